package fold

import (
	"bytes"
	"maps"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// A seal is a statement about a feed that states itself: it goes on from here. Once enough feeds say so, the position is final like any other, and
// what the sealed feed states on other branches counts for nothing. So keys that leak later cannot make anything final, while statements that were
// made before stay.
//
// Seals themselves count on whatever branch they stand: what is sealed is a function of the set of seals, and what else is final of that. There is no
// circle.

// seal works out where a feed is sealed, from the statements about it, and what else has to be worked out anew.
func (s *State) seal(f *Feed, said []stated) (err error) {
	var seals []stated
	for _, st := range said {
		if st.Seal {
			seals = append(seals, st)
		}
	}
	if len(seals) == 0 {
		return nil
	}
	m := f.Seal
	if f.Fork == 0 {
		if i := newestSupported(seals); i >= 0 {
			m = seals[i].Mark
		}
	} else if m, _, err = s.supportedBranch(f, seals); err != nil { // refinal looks for rivals among seals, too
		return err
	}
	if m == f.Seal {
		return nil
	}
	f.Seal = m
	s.dirty[f.ID] = f
	if f.Fork == 0 {
		return nil // all that it states is on the one branch
	}
	return s.restate(f)
}

// sealedOff reports whether the record at seq whose id begins so is on a branch of its feed that a seal has left.
func (v *view) sealedOff(feed api.Hash, seq uint64, id [8]byte) (bool, error) {
	f, err := v.feed(feed)
	if err != nil || f == nil || f.Seal.Seq == 0 || f.Fork == 0 || seq < f.Fork {
		return false, err
	}
	if seq <= f.Seal.Seq {
		at, err := v.ancestor(f.ID, f.Seal, seq)
		return !bytes.Equal(at.ID[:8], id[:]), err
	}
	m := Mark{Seq: seq}
	if v.s != nil {
		for p := range v.s.recs {
			if p.Feed == feed && p.Seq == seq && bytes.Equal(p.ID[:8], id[:]) {
				m.ID = p.ID
			}
		}
	}
	if m.ID.IsZero() {
		err := each(v.r, key(nsRecord, feed[:], be(seq), id[:]), func(k, _ []byte) (bool, error) {
			m.ID = api.Hash(k[41:73])
			return false, nil
		})
		if err != nil {
			return false, err
		}
	}
	on, err := v.onBranch(f, f.Seal.Seq, f.Seal.ID, m)
	return !on, err
}

// restate has the final marks of all feeds worked out anew of which f has spoken on one of its branches. It reads all statements there are: a seal comes
// once per feed, and only one with two branches gets here.
func (s *State) restate(f *Feed) error {
	targets := map[api.Hash]bool{}
	note := func(k, v []byte) error {
		st, err := decodeStated(k, v)
		if err == nil && st.from == f.ID && st.seq >= f.Fork && !st.Seal {
			targets[api.Hash(k[1:33])] = true
		}
		return err
	}
	for _, over := range s.finals {
		for k, v := range over {
			if err := note([]byte(k), v); err != nil {
				return err
			}
		}
	}
	err := each(s.st, []byte{nsFinal}, func(k, v []byte) (bool, error) { return true, note(k, v) })
	if err != nil {
		return err
	}
	for _, id := range slices.SortedFunc(maps.Keys(targets), api.Hash.Compare) {
		s.work = append(s.work, work{feed: id, anew: true})
	}
	return nil
}
