package fold

import "github.com/intercooperative/icn/kernel/api"

// forget drops cached rows of a feed; from now on its rows are read branch by branch.
func (s *State) forget(feed api.Hash) {
	for k := range s.rows {
		if k[:32] == string(feed[:]) {
			delete(s.rows, k)
		}
	}
}

func (s *State) putRow(f *Feed, name []byte, by Mark, val []byte) {
	s.key = appendRowKey(s.key[:0], &f.ID, name, &by)
	s.batch.Set(s.key, val)
	r := row{by: by, val: val, ok: true}
	k := string(f.ID[:]) + string(name)
	s.over[k] = append(s.over[k], r)
	if f.Fork == 0 && f.Tip.Seq < by.Seq {
		s.rows[k] = r
	}
}

// rowName returns a row's name in memory that the next call uses again.
func (s *State) rowName(class byte, fact string, k []byte) []byte {
	s.name = rowName(s.name[:0], class, fact, k)
	return s.name
}

// row is lookup for who does not ask who wrote it.
func (s *State) row(f *Feed, name []byte, m Mark) ([]byte, bool, error) {
	val, _, ok, err := s.lookup(f, name, m)
	return val, ok, err
}

// rowBy returns a row of the feed itself, outside of its gaps and of some more, and who wrote it, with the caches and what is not committed.
func (s *State) rowBy(f *Feed, name []byte, m Mark, more []span) ([]byte, Mark, bool, error) {
	if m.Seq == 0 {
		return nil, Mark{}, false, nil
	}
	gaps := more
	if len(f.rebases) > 0 {
		own, err := s.gaps(f, m)
		if err != nil {
			return nil, Mark{}, false, err
		}
		gaps = append(own, more...)
	}
	s.scratch = append(append(s.scratch[:0], f.ID[:]...), name...)
	cached := f.Fork == 0 && len(gaps) == 0
	if cached {
		if r, ok := s.rows[string(s.scratch)]; ok && (!r.ok || r.by.Seq <= m.Seq) {
			return r.val, r.by, r.ok, nil
		}
	}
	over := s.over[string(s.scratch)]
	for i := len(over) - 1; i >= 0; i-- {
		by := over[i].by
		if inSpans(gaps, by.Seq) {
			continue
		}
		on, err := s.onBranch(f, by.Seq, by.ID, m)
		if err != nil {
			return nil, Mark{}, false, err
		}
		if on {
			return over[i].val, by, true, nil
		}
	}
	val, by, ok, err := s.rowAt(f, name, m, gaps)
	if err == nil && cached && m.Seq >= f.Tip.Seq && len(over) == 0 {
		s.rows[string(f.ID[:])+string(name)] = row{by: by, val: val, ok: ok}
	}
	return val, by, ok, err
}
