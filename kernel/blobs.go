package kernel

import (
	"context"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/blob"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/internal/transport"
)

// kindBlob asks a node for a part of a blob: blobForm, answered by partForm.
const kindBlob = "kernel.blob"

// Bounds of fetching blobs from peers, and of giving them.
const (
	blobPart  = 256 << 10 // bytes of one answer
	blobEvery = 2 * time.Second
	blobTurn  = 64               // blobs fetched in a row before looking anew what is missing
	blobTries = 4                // peers asked for one in a turn
	blobFirst = 2 * time.Second  // until a blob that nobody gave is asked for again; twice as long each time
	blobLast  = 10 * time.Minute // at most
	blobMany  = 10_000           // missing ones that are remembered
	blobSweep = 10 * time.Minute
	blobGrace = 24 * time.Hour // for what no record names yet, or names any more
	blobWait  = 10 * time.Second
)

// blobRate is how often a node gives another a part: 5 MB/s.
var blobRate = api.RateLimit{PerSecond: 20, Burst: 40}

// Defaults of the room for blobs, in bytes.
const (
	defaultBlobQuota = 1 << 30
	defaultBlobEach  = 32 << 20
)

type blobForm struct {
	_      struct{} `cbor:",toarray"`
	Space  []byte
	Blob   []byte
	Offset uint64
}

type partForm struct {
	_    struct{} `cbor:",toarray"`
	Size uint64
	Part []byte
}

// blobs keeps what records name by hash, fetches what is missing from peers and gives to peers what they may have.
type blobs struct {
	k     *Kernel
	store *blob.Store

	ask func(ctx context.Context, node api.DID, question []byte) ([]byte, error)
	bad func(node api.DID, kind, what string)

	// Owned by Serve.
	missing map[api.Hash]*missingBlob
	swept   time.Time
}

// missingBlob is one that some record names and this node does not have.
type missingBlob struct {
	space  api.Hash
	owner  api.DID
	next   time.Time     // when it is asked for again
	after  time.Duration // and how long after that
	from   api.DID       // who has given got of it: the rest is asked of the same node, so that a wrong whole has one who is to blame
	size   uint64
	got    []byte
	seen   bool
	reason error
}

func newBlobs(k *Kernel) (*blobs, error) {
	dir := ""
	if k.opt.Inline == nil && k.opt.Store != "mem" && k.opt.DataDir != "" {
		dir = filepath.Join(k.opt.DataDir, "blobs")
	}
	s, err := blob.Open(blob.Options{Dir: dir, Quota: k.opt.BlobQuota, Each: k.opt.BlobEach})
	b := &blobs{k: k, store: s, missing: map[api.Hash]*missingBlob{}}
	b.ask = func(ctx context.Context, node api.DID, question []byte) ([]byte, error) {
		a := k.net.letters.ask(ctx, courier.Question{To: node, Kind: kindBlob, Payload: question})
		return a.Body, a.Err
	}
	b.bad = func(node api.DID, kind, what string) { k.net.bad(kind, node, 1, what) }
	return b, err
}

// named goes through the blobs that records name in a space.
func (b *blobs) named(space api.Hash) iter.Seq2[api.Hash, api.DID] {
	return func(yield func(api.Hash, api.DID) bool) {
		for _, app := range b.k.opt.Apps {
			c, ok := app.(api.BlobCiter)
			if !ok {
				continue
			}
			for h, who := range c.Cited(space) {
				if !yield(h, who) {
					return
				}
			}
		}
	}
}

// names reports whether a record of the space names the blob.
func (b *blobs) names(space, h api.Hash) bool {
	for x := range b.named(space) {
		if x == h {
			return true
		}
	}
	return false
}

func (b *blobs) String() string { return "blobs" }

// Serve implements suture.Service: it fetches what is missing and forgets what is not named any more.
func (b *blobs) Serve(ctx context.Context) error {
	tick := time.NewTicker(blobEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := b.turn(ctx, b.k.opt.Now()); err != nil {
				return err
			}
		}
	}
}

func (b *blobs) turn(ctx context.Context, now time.Time) error {
	used := map[api.Hash]bool{}
	for _, m := range b.missing {
		m.seen = false
	}
	for _, space := range b.k.follows.list() {
		for h, owner := range b.named(space) {
			used[h] = true
			if _, ok := b.store.Stat(h); ok {
				continue
			}
			m := b.missing[h]
			if m == nil && len(b.missing) < blobMany {
				m = &missingBlob{space: space, owner: owner, after: blobFirst}
				b.missing[h] = m
			}
			if m != nil {
				m.seen = true
			}
		}
	}
	n := 0
	for h, m := range b.missing {
		if _, here := b.store.Stat(h); here || !m.seen {
			delete(b.missing, h)
			continue
		}
		if now.Before(m.next) || n == blobTurn || b.k.net == nil || ctx.Err() != nil {
			continue
		}
		n++
		if err := b.fetch(ctx, h, m); err == nil {
			delete(b.missing, h)
		} else {
			if m.reason == nil || m.reason.Error() != err.Error() {
				b.k.log.Debug("a blob is not here yet", "blob", h.Short(), "err", err)
			}
			m.reason, m.next, m.after = err, now.Add(m.after), min(2*m.after, blobLast)
		}
	}
	if now.Sub(b.swept) < blobSweep {
		return nil
	}
	b.swept = now
	gone, err := b.store.Sweep(now.Add(-blobGrace), func(h api.Hash) bool { return used[h] })
	if gone > 0 {
		b.k.log.Info("blobs that no record names any more were removed", "blobs", gone)
	}
	return api.Wrap("blobs", err)
}

// fetch gets a blob from a peer that may have it.
func (b *blobs) fetch(ctx context.Context, h api.Hash, m *missingBlob) error {
	var nodes []api.DID
	for _, p := range b.k.net.t.Peers() {
		if slices.Contains(p.Spaces, m.space) && b.k.net.allowed(&p, m.space) && slices.Contains(p.Features, featureLetters) {
			nodes = append(nodes, p.Node)
		}
	}
	return b.fetchFrom(ctx, nodes, h, m)
}

func (b *blobs) fetchFrom(ctx context.Context, nodes []api.DID, h api.Hash, m *missingBlob) error {
	if b.store.Room(m.owner) <= 0 {
		return api.Errorf("blob.fetch", api.TooLarge, "no room for blobs of %s", m.owner)
	}
	err := api.Errorf("blob.fetch", api.Unavailable, "no peer that follows the space has a session")
	slices.Sort(nodes)
	if i := slices.Index(nodes, m.from); i > 0 { // who has given some goes first
		nodes[0], nodes[i] = nodes[i], nodes[0]
	}
	for _, node := range nodes[:min(len(nodes), blobTries)] {
		var whole []byte
		if whole, err = b.parts(ctx, node, h, m); err != nil {
			continue
		}
		if blob.Sum(whole) != h {
			err = b.wrong(node, m, api.Malformed, "a blob that has another hash than was asked for")
			continue
		}
		if _, err = b.store.Put(whole, m.owner, b.k.opt.Now()); err == nil {
			return nil
		}
	}
	return err
}

// parts asks one node for a blob, part by part, and goes on where it was interrupted. It ends: every answer brings a part of full length, or is an error.
func (b *blobs) parts(ctx context.Context, node api.DID, h api.Hash, m *missingBlob) ([]byte, error) {
	if m.from != node {
		m.from, m.got, m.size = node, nil, 0
	}
	for m.size == 0 || uint64(len(m.got)) < m.size {
		ctx, cancel := context.WithTimeout(ctx, blobWait)
		body, err := b.ask(ctx, node, codec.MustMarshal(&blobForm{Space: m.space[:], Blob: h[:], Offset: uint64(len(m.got))}))
		cancel()
		if err != nil {
			return nil, err
		}
		var f partForm
		if err := codec.Unmarshal(body, &f); err != nil {
			return nil, b.wrong(node, m, api.BadFrame, "an answer about a blob that does not decode")
		}
		switch {
		case f.Size == 0 || f.Size > blob.MaxSize || m.size != 0 && f.Size != m.size:
			return nil, b.wrong(node, m, api.BadFrame, "a blob whose size cannot be, or changes")
		case uint64(len(f.Part)) != min(blobPart, f.Size-uint64(len(m.got))):
			return nil, b.wrong(node, m, api.BadFrame, "a part of a blob that is too short or too long")
		}
		m.size = f.Size
		m.got = append(m.got, f.Part...)
	}
	return m.got, nil
}

// wrong forgets what a node gave, and notes what it did.
func (b *blobs) wrong(node api.DID, m *missingBlob, kind, what string) error {
	m.got, m.size = nil, 0
	b.bad(node, kind, what)
	return api.Errorf("blob.fetch", api.Invalid, "%s sent %s", node, what)
}

// answerBlob answers a kindBlob. Whether there is no such blob, no record of the space names it, or the asker may not have the space: it is NotFound.
func (b *blobs) answerBlob(peer *transport.Peer, payload []byte) ([]byte, error) {
	var f blobForm
	if err := codec.Unmarshal(payload, &f); err != nil || len(f.Space) != 32 || len(f.Blob) != 32 {
		return nil, api.Errorf("blob", api.Invalid, "want a space, a hash and an offset")
	}
	none := api.Errorf("blob", api.NotFound, "no such blob here")
	space, h := api.Hash(f.Space), api.Hash(f.Blob)
	i, ok := b.store.Stat(h)
	if !ok || !b.k.follows.has(space) || !slices.Contains(peer.Spaces, space) || !b.k.net.allowed(peer, space) || !b.names(space, h) {
		return nil, none
	}
	if f.Offset >= uint64(i.Size) {
		return nil, api.Errorf("blob", api.Invalid, "offset %d: the blob has %d bytes", f.Offset, i.Size)
	}
	all, err := b.store.Get(h)
	if err != nil {
		return nil, none
	}
	end := min(f.Offset+blobPart, uint64(len(all)))
	return codec.MustMarshal(&partForm{Size: uint64(len(all)), Part: all[f.Offset:end]}), nil
}

var _ api.BlobHost = (*host)(nil)

// Blobs implements api.BlobHost.
func (h *host) Blobs() api.Blobs { return blobView{h.k.blobs} }

// blobView is what apps see of the blobs.
type blobView struct{ b *blobs }

// Stat implements api.Blobs.
func (v blobView) Stat(h api.Hash) (api.BlobInfo, bool) {
	i, ok := v.b.store.Stat(h)
	if !ok {
		return api.BlobInfo{}, false
	}
	all, err := v.b.store.Get(h)
	return api.BlobInfo{Size: i.Size, Type: blob.Type(all), Owner: i.Owner}, err == nil
}
