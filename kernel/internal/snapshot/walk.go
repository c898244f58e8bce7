package snapshot

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Sizes of a walk.
const (
	walkBatch   = 128     // signatures checked together
	keyCache    = 1024    // decoded keys
	maxOpen     = 1 << 16 // predecessors on side branches to be looked for in a second walk
	maxBranches = 4       // ends of side branches remembered per feed
)

// Visitor takes what a Walk has checked. A nil function takes nothing.
type Visitor struct {
	Record func(*record.Envelope) error // its signature and its place have been checked; it may be kept
	Meta   func(Meta) error
	Served func(Served) error
	// Has reports whether a record has been taken; it is asked for predecessors on side branches of forked feeds, which the walk does not
	// remember. When nil, Walk returns those that it could not find, for Resolve.
	Has func(api.Position) (bool, error)
	// Progress is called now and then with the number of records so far.
	Progress func(records uint64) error
}

// Source gives what an archive holds, item by item, and io.EOF at its end.
type Source interface {
	Next() (Item, error)
}

// Walk reads an archive to its end and checks every digest, every record's form, signature, certificate and place in its chain, and that what it
// cites stands before it. The first thing that is wrong ends it, with an error that names the record. The bodies are the apps' and are not looked at.
func Walk(ctx context.Context, r Source, v Visitor) (open []api.Position, err error) {
	w := walk{v: v, verifier: record.NewVerifier(keyCache), feeds: map[api.Hash]*chain{}}
	for {
		it, err := r.Next()
		if errors.Is(err, io.EOF) {
			err = w.flush()
			return w.open, err
		}
		if err != nil {
			return nil, err
		}
		switch {
		case it.Record != nil:
			err = w.add(ctx, it.Record)
		case it.Meta != nil && v.Meta != nil:
			err = v.Meta(*it.Meta)
		case it.Served != nil && v.Served != nil:
			err = v.Served(*it.Served)
		}
		if err != nil {
			return nil, err
		}
	}
}

// Resolve reads an archive once more and looks for the positions that Walk could not find. An error names one that is not there.
func Resolve(ctx context.Context, r *Reader, open []api.Position) error {
	want := make(map[api.Position]bool, len(open))
	for _, p := range open {
		want[p] = true
	}
	for {
		it, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if it.Record == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := record.Decode(it.Record)
		if err != nil {
			return err
		}
		delete(want, e.Position())
	}
	for _, p := range open {
		if want[p] {
			return errDamaged("a branch of feed %s goes back to record %d, id %s, which is not in it", p.Feed, p.Seq, p.ID)
		}
	}
	return nil
}

// chain is what a walk remembers of a feed.
type chain struct {
	tip   mark
	prev  api.Hash // before the tip
	high  uint64   // highest seq on any branch
	sides []mark   // ends of side branches, newest last
}

type mark struct {
	seq uint64
	id  api.Hash
}

type walk struct {
	v        Visitor
	verifier *record.Verifier
	feeds    map[api.Hash]*chain
	batch    []*record.Envelope
	done     uint64
	open     []api.Position
}

func (w *walk) add(ctx context.Context, raw []byte) error {
	e, err := record.Decode(bytes.Clone(raw)) // the envelope aliases it, and the frame goes
	if err != nil {
		return api.Errorf("snapshot.verify", api.Invalid, "record %d is malformed: %w", w.done+uint64(len(w.batch))+1, err)
	}
	if w.batch = append(w.batch, e); len(w.batch) < walkBatch {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return w.flush()
}

// flush checks the batch and hands it over.
func (w *walk) flush() error {
	good := w.verifier.Verify(w.batch)
	for i, e := range w.batch {
		w.done++
		if !good[i] {
			return w.bad(e, "the device key did not sign these bytes")
		}
		if err := w.place(e); err != nil {
			return err
		}
		if w.v.Record != nil {
			if err := w.v.Record(e); err != nil {
				return err
			}
		}
	}
	clear(w.batch)
	w.batch = w.batch[:0]
	if w.v.Progress != nil {
		return w.v.Progress(w.done)
	}
	return nil
}

func (w *walk) bad(e *record.Envelope, format string, args ...any) error {
	return api.Errorf("snapshot.verify", api.Invalid, "record %d, id %s, at %d of feed %s: %w", w.done, e.ID, e.Seq, e.Feed,
		api.Errorf("", api.Invalid, format, args...))
}

// place checks that a record follows its predecessor and what it cites, and remembers it.
func (w *walk) place(e *record.Envelope) error {
	for _, d := range e.Deps {
		if c := w.feeds[d.Feed]; c == nil || d.Seq > c.high {
			return w.bad(e, "it cites record %d of feed %s, which does not come before it", d.Seq, d.Feed)
		}
	}
	c, m := w.feeds[e.Feed], mark{e.Seq, e.ID}
	switch {
	case c == nil && e.Seq != 1:
		return w.bad(e, "its feed does not begin at 1")
	case c == nil:
		w.feeds[e.Feed] = &chain{tip: m, high: 1}
		return nil
	case m == c.tip:
		return w.bad(e, "it is there twice")
	case e.Seq == c.tip.seq+1 && e.Prev == c.tip.id:
		c.tip, c.prev = m, e.Prev
	case e.Seq == c.tip.seq && e.Prev == c.prev, e.Seq == 1: // a fork right here
		c.side(m)
	default:
		if err := w.branch(e, c); err != nil {
			return err
		}
	}
	c.high = max(c.high, e.Seq)
	return nil
}

// branch places a record of a side branch: behind the end of one that is remembered, or wherever its predecessor turns out to be.
func (w *walk) branch(e *record.Envelope, c *chain) error {
	if e.Seq > c.high+1 {
		return w.bad(e, "record %d is missing before it", e.Seq-1)
	}
	for i, s := range c.sides {
		if s.seq+1 == e.Seq && s.id == e.Prev {
			c.sides[i] = mark{e.Seq, e.ID}
			return nil
		}
	}
	c.side(mark{e.Seq, e.ID})
	p := api.Position{Feed: e.Feed, Seq: e.Seq - 1, ID: e.Prev}
	if w.v.Has != nil {
		ok, err := w.v.Has(p)
		if err == nil && !ok {
			err = w.bad(e, "its predecessor %s is not in the archive", e.Prev)
		}
		return err
	}
	if len(w.open) >= maxOpen {
		return api.Errorf("snapshot.verify", api.TooLarge, "more than %d branches of forked feeds: restore the archive into an empty directory to check it", maxOpen)
	}
	w.open = append(w.open, p)
	return nil
}

func (c *chain) side(m mark) {
	if len(c.sides) >= maxBranches {
		c.sides = append(c.sides[:0], c.sides[1:]...)
	}
	c.sides = append(c.sides, m)
}
