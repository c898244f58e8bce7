package fold

import (
	"bytes"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// view reads rows branch by branch, from a snapshot or, with a State behind it, from the store and what the State has not committed yet.
type view struct {
	r     store.Reader
	s     *State             // nil for a snapshot
	known map[api.Hash]*Feed // of a snapshot, what was read before: one look at a space asks for the same few feeds again and again
	mem   *Memory            // of a snapshot, what others have read; nil: nothing
}

func (v *view) feed(id api.Hash) (*Feed, error) {
	if v.s != nil {
		return v.s.Feed(id)
	}
	f, ok := v.known[id]
	if ok {
		return f, nil
	}
	f, err := loadFeed(v.r, id, v.mem)
	if err != nil {
		return nil, err
	}
	if v.known == nil || len(v.known) >= maxFeeds {
		v.known = map[api.Hash]*Feed{}
	}
	v.known[id] = f // or that there is none
	return f, nil
}

// stored returns a record, or nil.
func (v *view) stored(p api.Position) (*Stored, error) {
	if v.s != nil {
		if st, ok := v.s.recs[p]; ok {
			return st, nil
		}
	}
	b, ok, err := v.r.Get(recordKey(p))
	if err != nil || !ok {
		return nil, err
	}
	st, err := decodeStored(b)
	if err == nil && v.hides(st.local) {
		return nil, nil
	}
	return st, err
}

// hides reports whether a record is not there yet because the state is being rebuilt and has not come to it.
func (v *view) hides(local uint64) bool {
	return v.s != nil && v.s.replayed != 0 && local > v.s.replayed
}

func (v *view) has(p api.Position) (bool, error) {
	if v.s != nil {
		if _, ok := v.s.recs[p]; ok {
			return true, nil
		}
	}
	b, ok, err := v.r.Get(recordKey(p))
	if err != nil || !ok {
		return false, err
	}
	_, local, _, _, ok := splitStored(b)
	return ok && !v.hides(local), nil
}

// ancestor walks from m back to seq along m's branch.
func (v *view) ancestor(feed api.Hash, m Mark, seq uint64) (Mark, error) {
	for m.Seq > seq {
		st, err := v.stored(api.Position{Feed: feed, Seq: m.Seq, ID: m.ID})
		if err != nil {
			return Mark{}, err
		}
		if st == nil {
			return Mark{}, api.Errorf("fold.ancestor", api.Internal, "feed %s: record %d is missing below %s", feed.Short(), m.Seq, m.ID.Short())
		}
		m = Mark{Seq: m.Seq - 1, ID: st.Prev}
	}
	return m, nil
}

// onBranch reports whether the record (seq, id) is m or below m on m's branch.
func (v *view) onBranch(f *Feed, seq uint64, id api.Hash, m Mark) (bool, error) {
	switch {
	case seq > m.Seq:
		return false, nil
	case f.Fork == 0 || seq < f.Fork:
		return true, nil
	}
	a, err := v.ancestor(f.ID, m, seq)
	return a.ID == id, err
}

// activeMark is the last position of f with effect, with its id.
func (v *view) activeMark(f *Feed) (Mark, error) {
	m := f.active()
	if m.Seq > 0 && m.ID.IsZero() {
		st, err := v.stored(api.Position{Feed: f.ID, Seq: f.Fork, ID: f.Alt[0]})
		if err != nil {
			return m, err
		}
		if st == nil {
			return m, api.Errorf("fold.active", api.Internal, "feed %s: fork evidence at %d is missing", f.ID.Short(), f.Fork)
		}
		m.ID = st.Prev
	}
	return m, nil
}

// lookup returns the newest row of that name which the branch ending at m had, on the feed that it stands on if not on its own, and who wrote it.
func (v *view) lookup(f *Feed, name []byte, m Mark) ([]byte, api.Position, bool, error) {
	for range maxBases {
		val, by, ok, err := v.rowBy(f, name, m)
		if err != nil || ok || len(f.rebases) == 0 {
			return val, api.Position{Feed: f.ID, Seq: by.Seq, ID: by.ID}, ok, err
		}
		rb, err := v.base(f, m)
		if err != nil || rb == nil {
			return nil, api.Position{}, false, err
		}
		if f, err = v.feed(rb.from); err != nil || f == nil {
			return nil, api.Position{}, false, err
		}
		m = rb.at
	}
	return nil, api.Position{}, false, nil
}

// rowBy is lookup on the feed alone.
func (v *view) rowBy(f *Feed, name []byte, m Mark) ([]byte, Mark, bool, error) {
	if v.s != nil {
		return v.s.rowBy(f, name, m, nil)
	}
	lasts := v.mem != nil && lasting(f, m)
	if lasts {
		if r, known := v.mem.row(f, name); known {
			return r.val, r.by, r.ok, nil
		}
	}
	gaps, err := v.gaps(f, m)
	if err != nil {
		return nil, Mark{}, false, err
	}
	val, by, ok, err := v.rowAt(f, name, m, gaps)
	val = slices.Clip(val) // whoever appends to it gets a copy
	if err == nil && lasts {
		v.mem.setRow(f, name, row{by: by, val: val, ok: ok})
	}
	return val, by, ok, err
}

// maxBases bounds how many feeds one stands on, one after the other: a device for every month of eighty years.
const maxBases = 1000

// rowAt returns the newest row of that name which the branch ending at m had outside of gaps, and who wrote it.
func (v *view) rowAt(f *Feed, name []byte, m Mark, gaps []span) (val []byte, by Mark, ok bool, err error) {
	if m.Seq == 0 {
		return nil, Mark{}, false, nil
	}
	lo := key(nsRow, f.ID[:], name)
	hi := append(bytes.Clone(lo), be(m.Seq+1)...)
	it, err := v.r.Iter(lo, hi)
	if err != nil {
		return nil, Mark{}, false, err
	}
	defer it.Close()
	for ok := it.Last(); ok; ok = it.Prev() {
		k := it.Key()
		if len(k) != len(lo)+rowSuffix {
			continue
		}
		_, _, seq, id := splitRow(k)
		if inSpans(gaps, seq) {
			continue
		}
		on, err := v.onBranch(f, seq, id, m)
		if err != nil {
			return nil, Mark{}, false, err
		}
		if on {
			return bytes.Clone(it.Value()), Mark{seq, id}, true, nil
		}
	}
	return nil, Mark{}, false, it.Err()
}

// each iterates store keys with a prefix; fn returns false to stop. Key and value are valid during fn only.
func each(r store.Reader, prefix []byte, fn func(k, v []byte) (bool, error)) error {
	it, err := r.Iter(prefix, upper(prefix))
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		more, err := fn(it.Key(), it.Value())
		if err != nil || !more {
			return err
		}
	}
	return it.Err()
}
