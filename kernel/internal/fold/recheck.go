package fold

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// maxWrong bounds the problems that a part of a recheck lists.
const maxWrong = 16

// frozen is a store that shows a snapshot and takes nothing. What a State prepares on the way goes nowhere.
type frozen struct {
	store.Store // for batches that nobody commits
	r           store.Reader
}

func (f frozen) Get(key []byte) ([]byte, bool, error)         { return f.r.Get(key) }
func (f frozen) Iter(lower, upper []byte) (store.Iter, error) { return f.r.Iter(lower, upper) }
func (f frozen) Commit(store.Batch, bool) error               { return errFrozen }

var errFrozen = api.Errorf("fold.recheck", api.Internal, "a recheck has written something")

// Recheck applies the next n records, in the order in which this node committed them after the given local number, again to what their past has left in a
// snapshot of the store, and holds what comes out against what is stored: the bytes against the id, the verdict, each feed row and fact, and the index rows, which are there
// exactly while the record has effect. Counters are sums over records, and not looked at. It returns the number of the last, or the given one at the end.
func Recheck(ctx context.Context, st store.Store, r store.Reader, apps *Apps, after uint64, n int) (last uint64, records int, problems []string, err error) {
	if _, cut, err := Meta(r, rebuilding); err != nil || cut {
		if cut {
			err = api.Errorf("fold.recheck", api.Unavailable, "the state is being rebuilt")
		}
		return after, 0, nil, err
	}
	s, err := Open(frozen{st, r}, apps, slog.New(slog.DiscardHandler))
	if err != nil {
		return after, 0, nil, err
	}
	c := &rechecker{s: s}
	last = after
	err = eachLogged(r, after, func(p api.Position, local uint64) (bool, error) {
		if local <= after {
			return true, nil
		}
		if err := ctx.Err(); err != nil || records == n {
			return false, err
		}
		records, last = records+1, local
		return true, c.record(p)
	})
	return last, records, c.problems, err
}

type rechecker struct {
	s        *State
	problems []string
}

func (c *rechecker) wrong(format string, args ...any) {
	if len(c.problems) < maxWrong {
		c.problems = append(c.problems, api.Errorf("", api.Internal, format, args...).Error())
	}
}

// record rechecks one record. An error is the store's; what is wrong with the record is a problem.
func (c *rechecker) record(p api.Position) error {
	st, err := c.s.stored(p)
	switch {
	case err != nil:
		c.wrong("record %v: %v", p, err)
		return nil
	case st == nil:
		c.wrong("record %v is in the log and not in the store", p)
		return nil
	case st.Position() != p:
		c.wrong("record %v: its bytes are those of %v", p, st.Position())
		return nil
	}
	f, err := c.s.Feed(p.Feed)
	if err != nil {
		return err
	}
	if f == nil {
		c.wrong("record %v: its feed has no header", p)
		return nil
	}
	st.Author = f.Author
	t, out, _, err := c.s.fold(st.Record)
	if err != nil {
		c.wrong("record %v cannot be applied again: %v", p, err)
		return nil
	}
	defer func() { c.s.spare = t }()
	if out != st.outcome {
		c.wrong("record %v: stored verdict %d, computed %d", p, st.outcome, out)
		return nil
	}
	if out != accepted {
		return nil
	}
	return c.effects(f, p, t)
}

// effects holds what an accepted record writes against what is stored.
func (c *rechecker) effects(f *Feed, p api.Position, t *tx) error {
	by := Mark{p.Seq, p.ID}
	for i := range t.rows {
		if i+1 < len(t.rows) && rewritten(t.rows[i+1:], t.rows[i].name) {
			continue
		}
		b, ok, err := c.s.st.Get(appendRowKey(nil, &f.ID, t.rows[i].name, &by))
		if err != nil {
			return err
		}
		if !ok || !bytes.Equal(b, t.rows[i].val) {
			c.wrong("record %v: the row %q is not what the record writes", p, t.rows[i].name)
		}
	}
	if len(t.index) == 0 {
		return nil
	}
	stands, err := c.s.stands(f)
	if err != nil {
		return err
	}
	on, err := c.s.hasEffect(f, stands, by)
	if err != nil {
		return err
	}
	for i := range t.index {
		if i+1 < len(t.index) && rewritten(t.index[i+1:], t.index[i].name) {
			continue
		}
		b, ok, err := c.s.st.Get(t.index[i].name)
		if err != nil {
			return err
		}
		same := ok && bytes.Equal(b, t.index[i].val)
		if on && !same || !on && same && f.Fork == 0 { // in a forked feed the row may be that of a rival in the same place
			c.wrong("record %v: the index row %q is not what the record writes, or is there without it", p, t.index[i].name)
		}
	}
	return nil
}

// rewritten reports whether the record has written a row once more.
func rewritten(later []named, name []byte) bool {
	for i := range later {
		if bytes.Equal(later[i].name, name) {
			return true
		}
	}
	return false
}
