package fold

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// statement says that a position is final, and how that counts.
type statement struct {
	pos api.Position
	by  api.Support
}

// stated is a statement as it is kept, and who made it.
type stated struct {
	Mark
	from api.Hash // feed
	seq  uint64   // and the place in it
	id   [8]byte  // the beginning of the record's id
	api.Support
}

func encodeSupport(s api.Support) []byte {
	b := make([]byte, 0, 19)
	b = binary.BigEndian.AppendUint64(b, s.Epoch)
	b = binary.BigEndian.AppendUint64(b, s.Variant)
	b = binary.BigEndian.AppendUint16(b, s.Need)
	if s.Seal {
		b = append(b, 1)
	}
	return b
}

func decodeStated(k, v []byte) (stated, error) {
	if len(k) != 121 || len(v) != 18 && len(v) != 19 {
		return stated{}, api.Errorf("fold.final", api.Internal, "a stored statement is damaged; run `icnctl state rebuild`")
	}
	return stated{
		Mark: Mark{binary.BigEndian.Uint64(k[33:41]), api.Hash(k[41:73])},
		from: api.Hash(k[73:105]), seq: binary.BigEndian.Uint64(k[105:113]), id: [8]byte(k[113:121]),
		Support: api.Support{Epoch: binary.BigEndian.Uint64(v), Variant: binary.BigEndian.Uint64(v[8:]), Need: binary.BigEndian.Uint16(v[16:]), Seal: len(v) == 19},
	}, nil
}

// state notes that the record at by makes a statement. It counts for good, even if the feed that makes it turns out to be forked: what enough feeds
// have stated must not cease to be final because one of them lies later. Only a seal (seal.go) ends that.
func (s *State) state(st statement, by api.Position) error {
	pos := st.pos
	if st.by.Need == 0 || pos.Feed == by.Feed {
		return nil // a feed cannot speak for itself
	}
	k, v := finalKey(pos, by), encodeSupport(st.by)
	if s.finals[pos.Feed] == nil {
		s.finals[pos.Feed] = map[string][]byte{}
	}
	s.finals[pos.Feed][string(k)] = v
	s.batch.Set(k, v)
	f, err := s.Feed(pos.Feed)
	if err != nil || f == nil {
		return err
	}
	if st.by.Need == 1 && !st.by.Seal && f.Fork == 0 && !f.Pending && pos.Seq > f.Final.Seq {
		has, err := s.Has(pos)
		if err != nil {
			return err
		}
		off, err := s.sealedOff(by.Feed, by.Seq, [8]byte(by.ID[:8]))
		if err != nil {
			return err
		}
		if has && !off {
			return s.setFinal(f, Mark{pos.Seq, pos.ID})
		}
	}
	f.Pending = true
	s.dirty[f.ID] = f
	s.work = append(s.work, work{feed: f.ID})
	return nil
}

func (s *State) setFinal(f *Feed, m Mark) error {
	if f.Final == m {
		return nil
	}
	if f.Cutter {
		if err := s.cutsFinal(f, f.Final, m); err != nil {
			return err
		}
	}
	from := f.Final.Seq + 1
	if f.Fork != 0 || m.Seq < from {
		from = 1 // another branch perhaps, or less than before
	}
	f.Final = m
	s.dirty[f.ID] = f
	s.changes = append(s.changes, Change{Kind: Final, At: api.Position{Feed: f.ID, Seq: m.Seq, ID: m.ID}, From: from})
	s.finalMoved = append(s.finalMoved, api.Position{Feed: f.ID, Seq: m.Seq, ID: m.ID})
	return nil
}

// Rival is a position that is final like another of its feed, by the word of enough others, though neither continues the other.
type Rival struct {
	Topic        api.Topic
	Author       api.DID // of the feed
	Final, Rival api.Position
}

// setRival notes, and reports with the next commit, that two branches of f are final like each other. Which of them has effect follows from the
// positions alone, so that all who know the same choose alike, but it is for people to find out who lied and what stands.
func (s *State) setRival(f *Feed, final, rival Mark) {
	if f.Rival == rival {
		return
	}
	f.Rival = rival
	s.dirty[f.ID] = f
	if rival.Seq == 0 {
		return
	}
	r := Rival{f.Topic, f.Author, api.Position{Feed: f.ID, Seq: final.Seq, ID: final.ID}, api.Position{Feed: f.ID, Seq: rival.Seq, ID: rival.ID}}
	s.log.Error("two branches of a feed are final: witnesses contradict themselves; build on neither until people have looked at it (icnctl feed list --odd)",
		"feed", f.ID.Short(), "final", r.Final.String(), "rival", r.Rival.String())
	s.rivals = append(s.rivals, r)
	s.changes = append(s.changes, Change{Kind: Rivalled, At: r.Rival})
}

// Rivals returns what setRival has noted since it was asked last. To be asked after a Commit.
func (s *State) Rivals() []Rival {
	rs := s.rivals
	s.rivals = nil
	return rs
}

// settle brings final marks and effects up to date for the feeds on the work list, until nothing moves. A final mark of one feed can only move
// those of feeds that its statements name or that it cuts, and a feed never speaks of itself, so the list is bounded by what they reach.
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
		if w.cut {
			old := s.touched[f.ID]
			delete(s.touched, f.ID)
			if err := s.move(f, old); err != nil {
				return err
			}
			continue
		}
		if err := s.refinal(f, w.anew); err != nil {
			return err
		}
	}
	s.work = nil
	return nil
}

// refinal computes a feed's final mark from all statements about it: in order of seq, each position that is stored, stated by enough, and continues
// the one before. So it is a function of the set, whatever came first. In a feed with one branch nothing at or below the present mark can
// change, so only what lies between it and the tip is looked at; but with anew, when a seal has made statements void.
func (s *State) refinal(f *Feed, anew bool) error {
	if f.Fork != 0 {
		if err := s.touch(f); err != nil {
			return err
		}
	}
	var m, rival Mark
	var err error
	to := uint64(math.MaxUint64 - 1)
	pending := false
	if f.Fork == 0 {
		if to = f.Tip.Seq; !anew {
			m = f.Final
		}
		if pending, err = s.statedFrom(f.ID, to+1); err != nil {
			return err
		}
	}
	all, err := s.stated(f.ID, m.Seq+1, to)
	if err != nil {
		return err
	}
	here := all[:0]
	for _, st := range all {
		has, err := s.Has(api.Position{Feed: f.ID, Seq: st.Seq, ID: st.ID})
		if err != nil {
			return err
		}
		off := false
		if has && !st.Seal {
			if off, err = s.sealedOff(st.from, st.seq, st.id); err != nil {
				return err
			}
		}
		switch {
		case !has:
			pending = true
		case !off:
			here = append(here, st)
		}
	}
	if err := s.seal(f, here); err != nil {
		return err
	}
	if f.Fork == 0 {
		if i := newestSupported(here); i >= 0 {
			m = here[i].Mark
		}
	} else if m, rival, err = s.supportedBranch(f, here); err != nil {
		return err
	}
	s.setRival(f, m, rival)
	if pending != f.Pending {
		f.Pending = pending
		s.dirty[f.ID] = f
	}
	return s.setFinal(f, m)
}

// camp is those whose statements add up.
type camp struct {
	epoch, variant uint64
	seal           bool
}

// tally counts the statements about one branch, the last position first.
type tally struct {
	heard map[voice]bool
	count map[camp]int
}

type voice struct {
	camp
	from api.Hash
}

func newTally() tally { return tally{map[voice]bool{}, map[camp]int{}} }

// enough takes the next statement and reports whether enough feeds have made it or gone beyond.
func (t tally) enough(st *stated) bool {
	c := camp{st.Epoch, st.Variant, st.Seal}
	if v := (voice{c, st.from}); !t.heard[v] {
		t.heard[v] = true
		t.count[c]++
	}
	return t.count[c] >= int(st.Need)
}

// newestSupported returns the last statement of one branch that enough feeds have made, or gone beyond; -1 for none.
func newestSupported(all []stated) int {
	t := newTally()
	for i := len(all) - 1; i >= 0; i-- {
		if t.enough(&all[i]) {
			return i
		}
	}
	return -1
}

// supportedBranch is the final mark of a feed with several branches, and the first position that enough feeds have stated, too, though it does not
// continue that: then some of those who state lie, more of them than their number allows.
func (v *view) supportedBranch(f *Feed, all []stated) (m, rival Mark, err error) {
	for i := range all {
		c := &all[i]
		if c.Mark == m {
			continue
		}
		froms := map[api.Hash]bool{}
		for j := range all {
			if st := &all[j]; st.Epoch == c.Epoch && st.Variant == c.Variant && st.Seal == c.Seal && !froms[st.from] && st.Seq >= c.Seq {
				on, err := v.onBranch(f, c.Seq, c.ID, st.Mark)
				if err != nil {
					return m, rival, err
				}
				if on {
					froms[st.from] = true
				}
			}
		}
		if len(froms) < int(c.Need) {
			continue
		}
		on, err := v.onBranch(f, m.Seq, m.ID, c.Mark)
		if err != nil {
			return m, rival, err
		}
		if on || m.Seq == 0 {
			m = c.Mark
		} else if rival.Seq == 0 {
			rival = c.Mark
		}
	}
	return m, rival, nil
}

// stated lists the statements about the positions from..to of a feed, in order of position.
func (s *State) stated(feed api.Hash, from, to uint64) ([]stated, error) {
	lo, hi := key(nsFinal, feed[:], be(from)), key(nsFinal, feed[:], be(to+1))
	over := s.finals[feed]
	type kv struct{ k, v []byte }
	var kvs []kv
	for k, v := range over {
		if k >= string(lo) && k < string(hi) {
			kvs = append(kvs, kv{[]byte(k), v})
		}
	}
	it, err := s.st.Iter(lo, hi)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if _, changed := over[string(it.Key())]; !changed {
			kvs = append(kvs, kv{bytes.Clone(it.Key()), bytes.Clone(it.Value())})
		}
	}
	slices.SortFunc(kvs, func(a, b kv) int { return bytes.Compare(a.k, b.k) })
	all := make([]stated, 0, len(kvs))
	for _, kv := range kvs {
		st, err := decodeStated(kv.k, kv.v)
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	return all, it.Err()
}

// statedFrom reports whether there is a statement about a position of the feed from seq on.
func (s *State) statedFrom(feed api.Hash, from uint64) (bool, error) {
	lo := key(nsFinal, feed[:], be(from))
	over := s.finals[feed]
	for k := range over {
		if k >= string(lo) {
			return true, nil
		}
	}
	it, err := s.st.Iter(lo, upper(key(nsFinal, feed[:])))
	if err != nil {
		return false, err
	}
	defer it.Close()
	return it.First(), it.Err()
}
