package kernel

import (
	"context"
	"slices"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
)

// kindHolds asks a node how far it holds feeds on its disk: holdsForm, answered by heldForm.
const kindHolds = "kernel.holds"

const (
	holdsAtOnce   = 128                    // feeds of one question
	holdsMax      = 16 << 10               // bytes of one
	holdsPatience = 300 * time.Millisecond // how long a node that is asked waits for what may be on its way to it
)

// holdsRate is how often a node answers another. A node asks ten times a second at most.
var holdsRate = api.RateLimit{PerSecond: 20, Burst: 40}

// holdsForm lists the end of each feed that is asked about; heldForm says in the same order how far each is held.
type holdsForm struct {
	_    struct{} `cbor:",toarray"`
	Ends []endForm
}

type heldForm struct {
	_    struct{} `cbor:",toarray"`
	Held []markForm
}

type endForm struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	ID   []byte
}

// markForm is a zero Seq and an empty ID for a feed of which nothing is held.
type markForm struct {
	_   struct{} `cbor:",toarray"`
	Seq uint64
	ID  []byte
}

func encodeHolds(ends []api.Position) []byte {
	var f holdsForm
	for _, p := range ends {
		f.Ends = append(f.Ends, endForm{Feed: p.Feed[:], Seq: p.Seq, ID: p.ID[:]})
	}
	return codec.MustMarshal(&f)
}

func decodeHolds(b []byte) ([]api.Position, error) {
	var f holdsForm
	if err := codec.Unmarshal(b, &f); err != nil {
		return nil, api.Errorf("holds", api.Invalid, "%w", err)
	}
	if n := len(f.Ends); n > holdsAtOnce {
		return nil, api.Errorf("holds", api.TooLarge, "%d feeds: at most %d", n, holdsAtOnce)
	}
	ps := make([]api.Position, len(f.Ends))
	for i, e := range f.Ends {
		if len(e.Feed) != 32 || len(e.ID) != 32 || e.Seq == 0 {
			return nil, api.Errorf("holds", api.Invalid, "feed %d of the question: want 32 bytes, a number from 1, and 32 bytes", i)
		}
		ps[i] = api.Position{Feed: api.Hash(e.Feed), Seq: e.Seq, ID: api.Hash(e.ID)}
	}
	return ps, nil
}

func encodeHeld(ends []api.Position) []byte {
	var f heldForm
	for _, p := range ends {
		m := markForm{Seq: p.Seq}
		if p.Seq > 0 {
			m.ID = p.ID[:]
		}
		f.Held = append(f.Held, m)
	}
	return codec.MustMarshal(&f)
}

// decodeHeld returns the positions that an answer says are held. One beyond what was asked about is none.
func decodeHeld(b []byte, asked []api.Position) ([]api.Position, error) {
	var f heldForm
	if err := codec.Unmarshal(b, &f); err != nil {
		return nil, api.Errorf("holds", api.Invalid, "%w", err)
	}
	if len(f.Held) != len(asked) {
		return nil, api.Errorf("holds", api.Invalid, "%d answers to a question about %d feeds", len(f.Held), len(asked))
	}
	var ps []api.Position
	for i, m := range f.Held {
		if m.Seq == 0 || m.Seq > asked[i].Seq || len(m.ID) != 32 {
			continue
		}
		ps = append(ps, api.Position{Feed: asked[i].Feed, Seq: m.Seq, ID: api.Hash(m.ID)})
	}
	return ps, nil
}

// answerHolds answers a kindHolds: of spaces that the asker may follow, how far this node has each feed on disk. It waits a moment for what may be on
// its way, which spares both a second question.
func (k *Kernel) answerHolds(ctx context.Context, peer *transport.Peer, payload []byte) ([]byte, error) {
	asked, err := decodeHolds(payload)
	if err != nil {
		return nil, err
	}
	kick, cancel := k.watchers.subscribe()
	defer cancel()
	patience := time.NewTimer(holdsPatience)
	defer patience.Stop()
	for waited := k.inline != nil; ; {
		held, all := k.held(peer, asked)
		if all || waited {
			return encodeHeld(held), nil
		}
		select {
		case <-kick:
		case <-patience.C:
			waited = true
		case <-ctx.Done():
			waited = true
		}
	}
}

// held returns how far this node has feeds on disk, up to the positions asked about, and whether that is all of it.
func (k *Kernel) held(peer *transport.Peer, asked []api.Position) (ends []api.Position, all bool) {
	r := k.reader("", k.log)
	defer r.Close()
	synced := k.recent.end()
	onDisk := func(p api.Position) bool {
		n, ok := r.Number(p)
		return ok && n <= synced
	}
	ends, all = make([]api.Position, len(asked)), true
	for i, p := range asked {
		t, known := r.Topic(p.Feed)
		known = known && k.follows.has(t.Space) && slices.Contains(peer.Spaces, t.Space) && k.net.allowed(peer, t.Space)
		if known && onDisk(p) {
			ends[i] = p
			continue
		}
		all = false
		if h, ok := r.Head(p.Feed); known && ok && h.Seq < p.Seq && onDisk(h) {
			ends[i] = h
		}
	}
	return ends, all
}
