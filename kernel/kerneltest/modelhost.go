package kerneltest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Signer returns the signer of that name, the same in every process. The text before a slash names the DID, the whole the device: "ann" and
// "ann/phone" are two devices of one DID.
func Signer(name string) api.Signer {
	did, _, _ := strings.Cut(name, "/")
	rootSeed, deviceSeed := sha256.Sum256([]byte("root "+did)), sha256.Sum256([]byte("device "+name))
	root, device := ed25519.NewKeyFromSeed(rootSeed[:]), ed25519.NewKeyFromSeed(deviceSeed[:])
	s := &signer{did: record.DIDOf(api.Key(root.Public().(ed25519.PublicKey))), device: api.Key(device.Public().(ed25519.PublicKey)), key: device}
	auth, err := record.SignKeyEvent(root, s.device)
	if err != nil {
		panic(err)
	}
	s.auth = auth
	return s
}

type signer struct {
	did    api.DID
	device api.Key
	key    ed25519.PrivateKey
	auth   []byte
}

func (s *signer) DID() api.DID                        { return s.did }
func (s *signer) Device() api.Key                     { return s.device }
func (s *signer) Auth() []byte                        { return s.auth }
func (s *signer) Sign(message []byte) ([]byte, error) { return ed25519.Sign(s.key, message), nil }

// host is api.Host for one app.
type host struct {
	m   *Model
	app string
}

// Host returns what the named app has as its Host.
func (m *Model) Host(app string) api.Host { return &host{m, app} }

// Read opens a Reader for the named app.
func (m *Model) Read(app string) api.Reader { return m.Host(app).Read() }

// Evaluate asks the oracle of the request's domain.
func (m *Model) Evaluate(r api.Request) api.Decision {
	m.mu.Lock()
	o := m.oracles[r.Domain]
	m.mu.Unlock()
	if o == nil {
		return api.Decision{}
	}
	return o.Evaluate(r)
}

func (h *host) Append(ctx context.Context, s api.Signer, d api.Draft, _ api.Wait) (api.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return api.Receipt{}, err
	}
	return h.m.Append(s, d)
}

func (h *host) Self() api.Signer {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return h.m.self
}

func (h *host) Feed(t api.Topic, device api.Key) api.Hash { return record.FeedID(t, device) }
func (h *host) Follow(space api.Hash) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.m.follows[space] = true
	return nil
}

func (h *host) Addresses() []string {
	return []string{"icn://" + string(h.Self().DID()) + "@127.0.0.1:7100"}
}
func (h *host) Oracles() api.OracleRegistry { return registry{h.m} }
func (h *host) Services() *api.Services     { return &h.m.services }
func (h *host) Now() time.Time              { return h.m.Clock }
func (h *host) Log() *slog.Logger           { return slog.New(slog.DiscardHandler) }

func (h *host) Dial(ctx context.Context, address string, proof []byte) error {
	if h.m.OnDial == nil {
		return ctx.Err()
	}
	return h.m.OnDial(address, proof)
}

func (h *host) Follows() []api.Hash {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	return slices.SortedFunc(maps.Keys(h.m.follows), api.Hash.Compare)
}

func (h *host) Heads(t api.Topic) []api.Head {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	var hs []api.Head
	for _, f := range h.m.feeds {
		if f.topic.Space == t.Space && (t.Name == "" || f.topic.Name == t.Name) {
			head := api.Head{Topic: f.topic, Device: f.device, Author: f.author, Fork: f.fork, Tip: f.tip.rec.Position()}
			if f.rival != nil {
				head.Rival = f.rival.rec.Position()
			}
			hs = append(hs, head)
		}
	}
	slices.SortFunc(hs, func(a, b api.Head) int {
		if a.Topic.Name != b.Topic.Name {
			return strings.Compare(a.Topic.Name, b.Topic.Name)
		}
		return a.Tip.Feed.Compare(b.Tip.Feed)
	})
	return hs
}

// registry is api.OracleRegistry without a cache.
type registry struct{ m *Model }

func (r registry) Evaluate(q api.Request) api.Decision { return r.m.Evaluate(q) }
func (r registry) Register(o api.PolicyOracle) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.oracles[o.Domain()] = o
}
func (r registry) Invalidate(api.Domain) {}
func (r registry) Phase() api.Phase      { return api.Running }

// reader is a snapshot: it copies what can change.
type reader struct {
	m     *Model
	app   string
	log   []*node
	index map[string]indexRow
	count map[string]int64
	feeds map[api.Hash]feed
}

func (h *host) Read() api.Reader {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	r := &reader{m: h.m, app: h.app, log: slices.Clip(h.m.log), index: maps.Clone(h.m.index[h.app]), count: maps.Clone(h.m.count[h.app]), feeds: map[api.Hash]feed{}}
	for id, f := range h.m.feeds {
		r.feeds[id] = *f
	}
	return r
}

func (r *reader) Close() { r.m = nil }

func (r *reader) Counter(key []byte) int64 { return r.count[string(key)] }

func (r *reader) Counters(prefix []byte) iter.Seq2[[]byte, int64] {
	return func(yield func([]byte, int64) bool) {
		for _, k := range sortedKeys(r.count) {
			if strings.HasPrefix(k, string(prefix)) && !yield([]byte(k), r.count[k]) {
				return
			}
		}
	}
}

func (r *reader) Index(prefix, after []byte, reverse bool) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		var keys []string
		for k := range r.index {
			if strings.HasPrefix(k, string(prefix)) {
				keys = append(keys, k)
			}
		}
		slices.Sort(keys)
		if reverse {
			slices.Reverse(keys)
		}
		from := string(prefix) + string(after)
		for _, k := range keys {
			if after != nil && (!reverse && k <= from || reverse && k >= from) {
				continue
			}
			if !yield([]byte(k), bytes.Clone(r.index[k].val)) {
				return
			}
		}
	}
}

func (r *reader) newest(feed api.Hash, name string) ([]byte, api.Position, bool) {
	v, by, ok := r.feeds[feed].active.newest(name)
	if !ok {
		return nil, api.Position{}, false
	}
	return v, by.rec.Position(), true
}

func (r *reader) Own(feed api.Hash, key []byte) ([]byte, api.Position, bool) {
	if f, ok := r.feeds[feed]; !ok || r.m.owners[f.topic.Name].name != r.app {
		return nil, api.Position{}, false
	}
	return r.newest(feed, rowName(classPut, "", key))
}

func (r *reader) Fact(feed api.Hash, name string, key []byte) ([]byte, api.Position, bool) {
	return r.newest(feed, rowName(classFact, name, key))
}

func (r *reader) Rows(feed api.Hash, prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		rows := map[string][]byte{}
		for n := r.feeds[feed].active; n != nil; n = n.parent {
			if r.feeds[feed].active.hides(n, nil) {
				continue
			}
			for name, v := range n.effects.rows {
				if _, newer := rows[name]; !newer && name[0] == classPut && strings.HasPrefix(rowKey(name), string(prefix)) {
					rows[name] = v
				}
			}
		}
		for _, name := range sortedKeys(rows) {
			if !yield([]byte(rowKey(name)), bytes.Clone(rows[name])) {
				return
			}
		}
	}
}

func positionOf(feed api.Hash, n *node) (api.Position, bool) {
	if n == nil {
		return api.Position{Feed: feed}, false
	}
	return n.rec.Position(), true
}

func (r *reader) Head(feed api.Hash) (api.Position, bool) {
	return positionOf(feed, r.feeds[feed].active)
}

func (r *reader) Has(p api.Position) bool {
	n := r.feeds[p.Feed].active.on(p.Seq)
	return n != nil && n.rec.Position() == p
}

func (r *reader) Before(a, b api.Position) bool {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	n, end := r.m.nodes[a.ID], r.m.nodes[b.ID]
	return n != nil && end != nil && n.rec.Position() == a && end.rec.Position() == b && a.Feed == b.Feed && end.on(a.Seq) == n
}

func (r *reader) Cuts(feed api.Hash) (all []api.CutState) {
	for _, n := range r.log {
		if !r.m.effective(n) {
			continue
		}
		for _, c := range n.effects.cuts {
			if c.Feed != feed {
				continue
			}
			st := api.CutState{By: n.rec.Position(), At: c.At, Final: r.m.final(n)}
			st.At.Feed = feed
			if f := r.m.feeds[feed]; f != nil {
				for _, p := range f.tip.pastRebases(nil) {
					st.Cited = st.Cited || p.by == n.rec.Feed && p.seq >= n.rec.Seq
				}
			}
			all = append(all, st)
		}
	}
	return all
}

func (r *reader) Base(feed api.Hash, by api.Position) (api.Position, bool) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	n := r.m.nodes[by.ID]
	if n == nil || n.rec.Position() != by {
		return api.Position{}, false
	}
	b, _, ok := n.newest(rowName(classNext, "", feed[:]))
	if !ok {
		return api.Position{}, false
	}
	return api.Position{Feed: api.Hash(b[:32]), Seq: binary.BigEndian.Uint64(b[32:]), ID: api.Hash(b[40:72])}, true
}

func (r *reader) Final(feed api.Hash) (api.Position, bool) {
	if n := r.feeds[feed].final; n != nil {
		return n.rec.Position(), true
	}
	return api.Position{}, false
}

func (r *reader) Branches(feed api.Hash) []api.Position {
	fork := r.feeds[feed].fork
	if fork == 0 {
		return nil
	}
	ends := map[*node]bool{}
	for _, n := range r.log {
		if n.rec.Feed == feed && n.rec.Seq >= fork {
			ends[n] = true
		}
	}
	for n := range maps.Clone(ends) {
		delete(ends, n.parent)
	}
	var ps []api.Position
	for n := range ends {
		ps = append(ps, n.rec.Position())
	}
	slices.SortFunc(ps, func(a, b api.Position) int { return cmp.Or(cmp.Compare(a.Seq, b.Seq), a.ID.Compare(b.ID)) })
	return ps[:min(len(ps), api.MaxBranches)]
}

func (r *reader) Record(p api.Position) (*api.Record, api.Verdict, bool) {
	if rec, v, ok := r.Lookup(p.ID); ok && rec.Position() == p {
		return rec, v, true
	}
	return nil, api.Verdict{}, false
}

func (r *reader) Lookup(id api.Hash) (*api.Record, api.Verdict, bool) {
	r.m.mu.Lock()
	n := r.m.nodes[id]
	r.m.mu.Unlock()
	if n == nil || n.number >= len(r.log) {
		return nil, api.Verdict{}, false
	}
	f := r.feeds[n.rec.Feed]
	rec := *n.rec
	v := api.Verdict{Accepted: n.out.Void == nil, Held: !n.onBranch(f.active), Final: n.onBranch(f.final), Reason: n.out.Void}
	if v.Reason == nil && r.m.forked && !f.stand[n] && (n.onBranch(f.end(f.final)) || f.active != nil && f.active.hides(n, nil)) {
		return &rec, api.Verdict{Final: v.Final, Reason: kernelVoid("cut", "the feed was cut before this record").Void}, true
	}
	return &rec, v, true
}

func (r *reader) Voids(t api.Topic, after api.Position) iter.Seq2[*api.Record, *api.Reason] {
	return func(yield func(*api.Record, *api.Reason) bool) {
		key := func(p api.Position) []byte { return slices.Concat(p.Feed[:], api.Seq8(p.Seq), p.ID[:]) }
		var ns []*node
		for _, n := range r.log {
			if n.rec.Topic == t && n.out.Void != nil && (after.IsZero() || bytes.Compare(key(n.rec.Position()), key(after)) > 0) {
				ns = append(ns, n)
			}
		}
		slices.SortFunc(ns, func(a, b *node) int { return bytes.Compare(key(a.rec.Position()), key(b.rec.Position())) })
		for _, n := range ns {
			if !yield(n.rec, n.out.Void) {
				return
			}
		}
	}
}
