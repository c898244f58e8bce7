package fold

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// do adds (sign +1) or takes back (sign -1) the effects of an accepted record.
func (s *State) do(p api.Position, t *tx, sign int64) error {
	for _, kv := range t.index {
		if sign > 0 {
			s.batch.Set(kv.name, kv.val)
		} else {
			s.batch.Delete(kv.name)
		}
	}
	for _, a := range t.adds {
		if err := s.count(a.key, sign*a.delta); err != nil {
			return err
		}
	}
	return s.cut(t.cuts, p, sign > 0)
}

func (s *State) count(key []byte, delta int64) error {
	c := s.counters[string(key)]
	if c == nil {
		c = &counter{key: bytes.Clone(key)}
		b, found, err := s.st.Get(key)
		if err != nil {
			return err
		}
		if found {
			c.n = int64(binary.BigEndian.Uint64(b))
		}
		s.counters[string(key)] = c
	}
	c.n += delta // wraps on overflow, and back on undo: apps bound what they add
	if !c.changed {
		c.changed = true
		s.counted = append(s.counted, c)
	}
	return nil
}

// move brings a feed's effects from how it stood to how it stands: what had effect and has no more is undone, newest first; what has and had not
// is done, oldest first.
func (s *State) move(f *Feed, old standing) error {
	now, err := s.stands(f)
	if err != nil || now.equal(old) {
		return err
	}
	low := min(old.end.Seq, now.end.Seq)
	for _, sp := range slices.Concat(old.gaps, now.gaps) {
		low = min(low, sp.lo)
	}
	a, b := old.end, now.end
	had, has := map[Mark]bool{}, map[Mark]bool{}
	var undo, redo []Mark
	for a.Seq > low || b.Seq > low || a != b {
		if a.Seq >= b.Seq {
			if had[a] = !inSpans(old.gaps, a.Seq); had[a] {
				undo = append(undo, a)
			}
		}
		if b.Seq >= a.Seq {
			if has[b] = !inSpans(now.gaps, b.Seq); has[b] {
				redo = append(redo, b)
			}
		}
		ma, mb := a, b
		if ma.Seq >= mb.Seq {
			if a, err = s.ancestor(f.ID, ma, ma.Seq-1); err != nil {
				return err
			}
		}
		if mb.Seq >= ma.Seq {
			if b, err = s.ancestor(f.ID, mb, mb.Seq-1); err != nil {
				return err
			}
		}
	}
	undo = slices.DeleteFunc(undo, func(m Mark) bool { return has[m] })
	redo = slices.DeleteFunc(redo, func(m Mark) bool { return had[m] })
	slices.Reverse(redo)
	for _, step := range []struct {
		marks []Mark
		sign  int64
	}{{undo, -1}, {redo, +1}} {
		for _, m := range step.marks {
			if err := s.again(f, m, step.sign); err != nil {
				return err
			}
		}
	}
	return nil
}

// again does or undoes what a stored record did.
func (s *State) again(f *Feed, m Mark, sign int64) error {
	p := api.Position{Feed: f.ID, Seq: m.Seq, ID: m.ID}
	st, err := s.stored(p)
	if err != nil {
		return err
	}
	if st == nil {
		return api.Errorf("fold.move", api.Internal, "record %v is missing", p)
	}
	if st.outcome != accepted {
		return nil
	}
	st.Author = f.Author
	t, out, _, err := s.fold(st.Record)
	if err != nil {
		return err
	}
	if out != accepted {
		return api.Errorf("fold.move", api.Internal, "record %v is not accepted when applied again: Apply is not pure", p)
	}
	kind := Done
	if sign < 0 {
		kind = Undone
	}
	s.changes = append(s.changes, Change{Kind: kind, At: p})
	return s.do(p, t, sign)
}

// hasEffect reports whether a record is among those that have.
func (v *view) hasEffect(f *Feed, st standing, m Mark) (bool, error) {
	if inSpans(st.gaps, m.Seq) {
		return false, nil
	}
	return v.onBranch(f, m.Seq, m.ID, st.end)
}
