package fold

import (
	"bytes"
	"fmt"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// tx implements api.Tx for one record: it reads from the record's causal past and collects what the record writes.
type tx struct {
	s     *State
	r     *api.Record
	owner *owner

	rows    []named // by row name
	index   []named // by store key
	adds    []addition
	finals  []statement
	cuts    []api.Cut
	closes  bool     // the record ends its own feed
	rebases []rebase // cuts of the record's feed that it is the first to cite
	mem     []byte   // holds index and adds, which do not outlive the record; rows do
}

// txBytes is room for what most records write beside feed rows.
const txBytes = 1 << 10

// newTx returns a tx in the memory of the last one that Put was done with.
func (s *State) newTx(r *api.Record, o *owner) *tx {
	t := s.spare
	if s.spare = nil; t == nil {
		return &tx{s: s, r: r, owner: o, mem: make([]byte, 0, txBytes)}
	}
	clear(t.rows) // what they point to is kept elsewhere
	*t = tx{s: s, r: r, owner: o, rows: t.rows[:0], index: t.index[:0], adds: t.adds[:0], mem: t.mem[:0]}
	return t
}

type named struct{ name, val []byte }

// addition is what is added to the counter with a store key.
type addition struct {
	key   []byte
	delta int64
}

var _ api.Tx = (*tx)(nil)

// fail carries a store error out of Apply, which has no error to return.
type fail struct{ err error }

// run calls Apply. A panic of an app is a bug in a pure function: it happens on every node alike, so it is a verdict.
func (t *tx) run() (out api.Outcome, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case fail:
			err = p.err
		default:
			t.s.log.Error("an app panicked while applying a record", "app", t.owner.name, "record", t.r.ID.Short(), "panic", fmt.Sprint(p))
			out = api.Outcome{Void: kernelReason("apply-panic", "the app cannot apply this record: "+fmt.Sprint(p))}
		}
	}()
	return t.owner.apply.Apply(t, t.r), nil
}

func (t *tx) check(err error) {
	if err != nil {
		panic(fail{err})
	}
}

func (t *tx) Own(k []byte) ([]byte, bool) { return t.own(t.s.rowName(classPut, "", k)) }

// own reads a row of the record's feed, or of what that stands on.
func (t *tx) own(name []byte) ([]byte, bool) {
	if t.r.Seq > 1 {
		f, err := t.s.Feed(t.r.Feed)
		t.check(err)
		prev := Mark{t.r.Seq - 1, t.r.Prev}
		v, _, ok, err := t.s.rowBy(f, name, prev, t.gaps())
		t.check(err)
		if ok || len(f.rebases)+len(t.rebases) == 0 {
			return v, ok
		}
		rb, err := t.s.base(f, prev)
		t.check(err)
		if rb != nil {
			return t.onBase(rb, name)
		}
	}
	for i := range t.rebases {
		if t.rebases[i].from != t.r.Feed {
			return t.onBase(&t.rebases[i], name)
		}
	}
	return nil, false
}

// onBase reads a row of the feed that the record's feed stands on.
func (t *tx) onBase(rb *rebase, name []byte) ([]byte, bool) {
	f, err := t.s.Feed(rb.from)
	t.check(err)
	v, ok, err := t.s.row(f, name, rb.at)
	t.check(err)
	return v, ok
}

// gaps are those that this very record makes.
func (t *tx) gaps() (gs []span) {
	for _, rb := range t.rebases {
		if rb.from == t.r.Feed {
			gs = append(gs, span{rb.at.Seq, rb.c.Seq})
		}
	}
	return gs
}

// dep returns the feed of a position that the record cites, or cites a later one of.
func (t *tx) dep(p api.Position) *Feed {
	f := t.within(p)
	if f == nil {
		panic(fmt.Sprintf("read at %v, which the record does not cite", p))
	}
	return f
}

func (t *tx) within(p api.Position) *Feed {
	for _, d := range t.r.Deps {
		if d.Feed != p.Feed {
			continue
		}
		f, err := t.s.Feed(p.Feed)
		t.check(err)
		if d == p {
			return f
		}
		if p.Seq == 0 || p.Seq > d.Seq {
			return nil
		}
		has, err := t.s.has(p)
		t.check(err)
		on, err := t.s.onBranch(f, p.Seq, p.ID, Mark{d.Seq, d.ID})
		t.check(err)
		if has && on {
			return f
		}
		return nil // a record cites one position of a feed
	}
	return nil
}

func (t *tx) Within(p api.Position) bool { return t.within(p) != nil }

func (t *tx) At(dep api.Position, k []byte) ([]byte, bool) {
	f := t.dep(dep)
	if o := t.s.apps.topics[f.Topic.Name]; o == nil || o.name != t.owner.name {
		return nil, false
	}
	v, ok, err := t.s.row(f, t.s.rowName(classPut, "", k), Mark{dep.Seq, dep.ID})
	t.check(err)
	return v, ok
}

func (t *tx) Fact(dep api.Position, name string, k []byte) ([]byte, bool) {
	f := t.dep(dep)
	v, ok, err := t.s.row(f, t.s.rowName(classFact, name, k), Mark{dep.Seq, dep.ID})
	t.check(err)
	return v, ok
}

func (t *tx) Dep(dep api.Position) (*api.Record, bool) {
	f := t.dep(dep)
	st, err := t.s.stored(dep)
	t.check(err)
	r := *st.Record
	r.Author, r.Body, r.Auth = f.Author, nil, nil
	return &r, st.outcome == accepted
}

func (t *tx) Put(k, v []byte) {
	t.rows = append(t.rows, named{rowName(nil, classPut, "", k), bytes.Clone(v)})
}

func (t *tx) Publish(name string, k, v []byte) {
	t.rows = append(t.rows, named{rowName(nil, classFact, name, k), bytes.Clone(v)})
}

func (t *tx) Index(k, v []byte) {
	t.index = append(t.index, named{t.keep(nsIndex, k), t.keepBytes(v)})
}

func (t *tx) Add(c []byte, delta int64) {
	t.adds = append(t.adds, addition{t.keep(nsCounter, c), delta})
}

// keep returns the store key of a row of the app's own.
func (t *tx) keep(ns byte, k []byte) []byte {
	from := len(t.mem)
	t.mem = append(append(t.mem, ns), t.owner.name...)
	t.mem = append(append(t.mem, 0), k...)
	return t.mem[from:len(t.mem):len(t.mem)]
}

func (t *tx) keepBytes(v []byte) []byte {
	from := len(t.mem)
	t.mem = append(t.mem, v...)
	return t.mem[from:len(t.mem):len(t.mem)]
}

func (t *tx) Cut(c api.Cut) {
	own := c.Feed == t.r.Feed
	if own && c.At != t.r.Position() || !own && c.At.Seq > 0 && (c.At.Feed != c.Feed || t.within(c.At) == nil) {
		panic(fmt.Sprintf("a cut of feed %s at %v, which the record does not cite", c.Feed.Short(), c.At))
	}
	if own {
		t.closes = true
	} else {
		t.cuts = append(t.cuts, c)
	}
	t.rows = append(t.rows, named{cutName(c.Feed), encodeCutRow(Mark{c.At.Seq, c.At.ID}, own || c.Next != (api.Key{}))})
	t.next(c)
}

// next says on what the feed that goes on stands: on what a cut leaves of the one before, or where that is nothing, on what that one would have stood on.
func (t *tx) next(c api.Cut) {
	from, at := c.Feed, Mark{c.At.Seq, c.At.ID}
	if at.Seq == 0 {
		base, ok := t.own(nextName(c.Feed))
		if !ok {
			return
		}
		from, at = api.Hash(base), parseMark(base[32:])
	} else if c.Next == (api.Key{}) {
		return
	}
	goes := c.Feed
	if c.Next != (api.Key{}) {
		topic := t.r.Topic
		if from != t.r.Feed {
			f, err := t.s.Feed(from)
			t.check(err)
			topic = f.Topic
		}
		if goes = record.FeedID(topic, c.Next); goes == c.Feed {
			return // nobody goes on
		}
	}
	t.rows = append(t.rows, named{nextName(goes), encodeNextRow(from, at)})
}

func (t *tx) Final(p api.Position, by api.Support) {
	t.finals = append(t.finals, statement{pos: p, by: by})
}
