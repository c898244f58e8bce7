package fold

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// state notes that the record at by says pos is final, or no longer says so.
func (s *State) state(pos, by api.Position, on bool) error {
	k := finalKey(pos, by)
	if s.finals[pos.Feed] == nil {
		s.finals[pos.Feed] = map[string]bool{}
	}
	s.finals[pos.Feed][string(k)] = on
	if on {
		s.batch.Set(k, nil)
	} else {
		s.batch.Delete(k)
	}
	f, err := s.Feed(pos.Feed)
	if err != nil || f == nil {
		return err
	}
	if on && f.Fork == 0 && !f.Pending && pos.Seq > f.Final.Seq {
		has, err := s.Has(pos)
		if err != nil {
			return err
		}
		if has {
			s.setFinal(f, Mark{pos.Seq, pos.ID})
			return nil
		}
	}
	f.Pending = true
	s.dirty[f.ID] = f
	s.work = append(s.work, work{feed: f.ID, full: !on})
	return nil
}

func (s *State) setFinal(f *Feed, m Mark) {
	if f.Final != m {
		f.Final = m
		s.dirty[f.ID] = f
		s.finalMoved = append(s.finalMoved, api.Position{Feed: f.ID, Seq: m.Seq, ID: m.ID})
	}
}

// settle brings final marks up to date for the feeds on the work list, until nothing moves. A final mark of one feed can only move those of
// feeds that its statements name, and statements never name their own feed, so the list is bounded by what the statements reach.
func (s *State) settle() error {
	for steps := 0; len(s.work) > 0; steps++ {
		if steps > 1<<20 {
			return api.Errorf("fold.settle", api.Internal, "final marks do not come to rest")
		}
		w := s.work[0]
		s.work = s.work[1:]
		f, err := s.Feed(w.feed)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if err := s.refinal(f, w.full); err != nil {
			return err
		}
	}
	s.work = nil
	return nil
}

// refinal computes a feed's final mark from all positions stated final: in order of seq, each that is stored and continues the one before. So
// it is a function of the set, whatever came first. In a feed with one branch nothing at or below the present mark can change, so only what
// lies between it and the tip is looked at.
func (s *State) refinal(f *Feed, full bool) error {
	old, err := s.activeMark(f)
	if err != nil {
		return err
	}
	var m Mark
	to := uint64(math.MaxUint64 - 1)
	pending := false
	if f.Fork == 0 {
		to = f.Tip.Seq
		if !full {
			m = f.Final
		}
		if pending, err = s.statedFrom(f.ID, to+1); err != nil {
			return err
		}
	}
	stated, err := s.stated(f.ID, m.Seq+1, to)
	if err != nil {
		return err
	}
	for _, c := range stated {
		has, err := s.Has(api.Position{Feed: f.ID, Seq: c.Seq, ID: c.ID})
		if err != nil {
			return err
		}
		if !has {
			pending = true
			continue
		}
		ok, err := s.onBranch(f, m.Seq, m.ID, c)
		if err != nil {
			return err
		}
		if ok || m.Seq == 0 {
			m = c
		} else {
			s.log.Error("conflicting final positions: the witness contradicts itself", "feed", f.ID.Short(), "seq", c.Seq)
		}
	}
	if pending != f.Pending {
		f.Pending = pending
		s.dirty[f.ID] = f
	}
	s.setFinal(f, m)
	if f.Fork != 0 {
		return s.move(f, old)
	}
	return nil
}

// stated lists the positions from..to of a feed that are stated final, in order.
func (s *State) stated(feed api.Hash, from, to uint64) ([]Mark, error) {
	lo, hi := key(nsFinal, feed[:], be(from)), key(nsFinal, feed[:], be(to+1))
	over := s.finals[feed]
	var keys [][]byte
	for k, on := range over {
		if on && k >= string(lo) && k < string(hi) {
			keys = append(keys, []byte(k))
		}
	}
	it, err := s.st.Iter(lo, hi)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if _, changed := over[string(it.Key())]; !changed {
			keys = append(keys, bytes.Clone(it.Key()))
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	ms := make([]Mark, 0, len(keys))
	for _, k := range keys {
		m := Mark{binary.BigEndian.Uint64(k[33:41]), api.Hash(k[41:73])}
		if len(ms) == 0 || ms[len(ms)-1] != m {
			ms = append(ms, m)
		}
	}
	return ms, it.Err()
}

// statedFrom reports whether a position of the feed from seq on is stated final.
func (s *State) statedFrom(feed api.Hash, from uint64) (bool, error) {
	lo := key(nsFinal, feed[:], be(from))
	over := s.finals[feed]
	for k, on := range over {
		if on && k >= string(lo) {
			return true, nil
		}
	}
	it, err := s.st.Iter(lo, upper(key(nsFinal, feed[:])))
	if err != nil {
		return false, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if on, changed := over[string(it.Key())]; !changed || on {
			return true, nil
		}
	}
	return false, it.Err()
}
