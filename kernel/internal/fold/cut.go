package fold

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// A cut is a record K of one feed that says where another feed F ends: at a position P. Two things come of it.
//
//   - For F itself it counts from the first record c that cites K (or a later cut by K's feed) and is accepted. c and what follows see no row of the
//     records between P and c: they stand on P. So a verdict is a function of the record's own past, and no record is folded anew. A void c takes
//     nothing into account: an app may have refused it for what it leaves out, and the next record has to cite K as well.
//   - For everybody it counts once K is final: the records above P have no effect, but from such a c on.
//
// A record may close its own feed: then no later record of it is accepted, whether or not the close is final, and a device that it names goes on from
// there. Nothing that had effect loses it, so nothing is undone.
//
// So the effects that stand are those of the records up to an end, without the gaps that rebases leave; a cut that comes, becomes final or is
// cited moves the end or makes a gap, and exactly the difference is undone or done (move). A record of another feed that cites one beyond P reads
// what its own past says, cut or not: nothing here changes a third party's verdict.
//
// A cut may name a device that goes on from P in a feed of its own (Next): that feed's first record to cite K stands on F's rows at P, and F itself
// has ended: a record of it that cites K is void, else there would be two who go on. With F's own device as Next nobody goes on: F has ended until a
// later cut says otherwise. Where nothing of F stands, what goes on stands on what F itself would have stood on: a device that is given and replaced
// before it has written anything loses nothing, and neither does one that is cut in the meantime.

// cut is a cut of a feed, as it lies under that feed.
type cut struct {
	by api.Position // the record that cuts
	at Mark         // the last position that stands, zero for none
}

// rebase says that the record at c stands on an earlier position, of its own feed or, for the first of a successor, of another.
type rebase struct {
	c    Mark
	by   api.Hash // feed of the cut that c cites
	seq  uint64   // and the cut's place in it
	from api.Hash // feed that it stands on; its own for a plain cut
	at   Mark     // position in it
}

// span is a gap: the seqs lo < seq < hi have no effect.
type span struct{ lo, hi uint64 }

func inSpans(spans []span, seq uint64) bool {
	for _, sp := range spans {
		if sp.lo < seq && seq < sp.hi {
			return true
		}
	}
	return false
}

// standing is what of a feed has effect: up to end, without the gaps.
type standing struct {
	end  Mark
	gaps []span
}

func (a standing) equal(b standing) bool { return a.end == b.end && slices.Equal(a.gaps, b.gaps) }

func encodeMark(b []byte, m Mark) []byte {
	return append(binary.BigEndian.AppendUint64(b, m.Seq), m.ID[:]...)
}

func parseMark(b []byte) Mark { return Mark{binary.BigEndian.Uint64(b), api.Hash(b[8:40])} }

// Rows of class classCut on the cutting feed, by the feed that is cut; value: seq, id, and 1 when it does not go on.
func cutName(feed api.Hash) []byte { return rowName(nil, classCut, "", feed[:]) }

func encodeCutRow(at Mark, ended bool) []byte {
	b := encodeMark(make([]byte, 0, 41), at)
	if ended {
		return append(b, 1)
	}
	return append(b, 0)
}

// Rows of class classNext on the cutting feed, by the feed that goes on from another; value: the other, seq, id.
func nextName(feed api.Hash) []byte { return rowName(nil, classNext, "", feed[:]) }

func encodeNextRow(from api.Hash, at Mark) []byte {
	return encodeMark(append(make([]byte, 0, 72), from[:]...), at)
}

func cutKey(target api.Hash, by api.Position) []byte {
	return key(nsCut, target[:], by.Feed[:], be(by.Seq), by.ID[:])
}

func cutterKey(by api.Position, target api.Hash) []byte {
	return key(nsCutter, by.Feed[:], be(by.Seq), by.ID[:], target[:])
}

func rebaseKey(feed api.Hash, c Mark, by api.Hash) []byte {
	return key(nsRebase, feed[:], be(c.Seq), c.ID[:], by[:])
}

// rebaseSize is the length of an encoded rebase.
const rebaseSize = 8 + 32 + 40

func (rb *rebase) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, rb.seq)
	return encodeMark(append(b, rb.from[:]...), rb.at)
}

// loadCuts reads what is known of cuts of a feed.
func loadCuts(r store.Reader, f *Feed) error {
	err := each(r, key(nsCut, f.ID[:]), func(k, v []byte) (bool, error) {
		if len(k) != 105 || len(v) != 40 {
			return false, errDamagedCut
		}
		f.cuts = append(f.cuts, cut{by: api.Position{Feed: api.Hash(k[33:65]), Seq: binary.BigEndian.Uint64(k[65:73]), ID: api.Hash(k[73:105])}, at: parseMark(v)})
		return true, nil
	})
	if err != nil {
		return err
	}
	return each(r, key(nsRebase, f.ID[:]), func(k, v []byte) (bool, error) {
		if len(k) != 105 || len(v) == 0 || len(v)%rebaseSize != 0 {
			return false, errDamagedCut
		}
		for v := range slices.Chunk(v, rebaseSize) {
			f.rebases = append(f.rebases, rebase{
				c: parseMark(k[33:73]), by: api.Hash(k[73:105]), seq: binary.BigEndian.Uint64(v), from: api.Hash(v[8:40]), at: parseMark(v[40:]),
			})
		}
		return true, nil
	})
}

var errDamagedCut = api.Errorf("fold.cut", api.Internal, "a stored cut is damaged; run `icnctl state rebuild`")

// gaps lists the gaps of f's branch that ends at m.
func (v *view) gaps(f *Feed, m Mark) ([]span, error) {
	var gs []span
	for i := range f.rebases {
		rb := &f.rebases[i]
		if rb.from != f.ID {
			continue
		}
		on, err := v.onBranch(f, rb.c.Seq, rb.c.ID, m)
		if err != nil {
			return nil, err
		}
		if on && rb.at.Seq+1 < rb.c.Seq {
			gs = append(gs, span{rb.at.Seq, rb.c.Seq})
		}
	}
	return gs, nil
}

// base is where the branch of f that ends at m stands on another feed, if it does.
func (v *view) base(f *Feed, m Mark) (*rebase, error) {
	for i := range f.rebases {
		rb := &f.rebases[i]
		if rb.from == f.ID {
			continue
		}
		if on, err := v.onBranch(f, rb.c.Seq, rb.c.ID, m); err != nil || on {
			return rb, err
		}
	}
	return nil, nil
}

// cited reports whether f's branch that ends at m cites the cut, or a later one by its feed.
func (v *view) cited(f *Feed, by api.Position, m Mark) (bool, error) {
	for i := range f.rebases {
		rb := &f.rebases[i]
		if rb.by != by.Feed || rb.seq < by.Seq {
			continue
		}
		if on, err := v.onBranch(f, rb.c.Seq, rb.c.ID, m); err != nil || on {
			return on, err
		}
	}
	return false, nil
}

// isFinal reports whether a cut is final.
func (v *view) isFinal(by api.Position) (bool, error) {
	f, err := v.feed(by.Feed)
	if err != nil || f == nil || f.Final.Seq < by.Seq {
		return false, err
	}
	return v.onBranch(f, by.Seq, by.ID, f.Final)
}

// stands works out what of f has effect.
func (v *view) stands(f *Feed) (st standing, err error) {
	if st.end, err = v.activeMark(f); err != nil || len(f.cuts)+len(f.rebases) == 0 {
		return st, err
	}
	var finals []cut
	for _, c := range f.cuts {
		final, err := v.isFinal(c.by)
		if err != nil {
			return st, err
		}
		if final {
			finals = append(finals, c)
		}
	}
	if f.Fork != 0 {
		if st.end, err = v.adopted(f, st.end, finals); err != nil {
			return st, err
		}
	}
	for moved := true; moved; {
		moved = false
		for _, c := range finals {
			if c.at.Seq >= st.end.Seq {
				continue
			}
			on, err := v.onBranch(f, c.at.Seq, c.at.ID, st.end)
			if err != nil {
				return st, err
			}
			done, err := v.cited(f, c.by, st.end)
			if err != nil {
				return st, err
			}
			if (on || c.at.Seq == 0) && !done {
				st.end, moved = c.at, true
			}
		}
	}
	st.gaps, err = v.gaps(f, st.end)
	return st, err
}

// adopted is the end of a forked feed when a final cut has chosen a branch: the newest cut of each cutting feed, taken in order. What is final
// is never left.
func (v *view) adopted(f *Feed, end Mark, finals []cut) (Mark, error) {
	for i, c := range finals {
		if c.at.Seq < f.Fork || i+1 < len(finals) && finals[i+1].by.Feed == c.by.Feed {
			continue
		}
		has, err := v.has(api.Position{Feed: f.ID, Seq: c.at.Seq, ID: c.at.ID})
		if err != nil {
			return end, err
		}
		on, err := v.onBranch(f, end.Seq, end.ID, c.at)
		if err != nil {
			return end, err
		}
		if has && on {
			end = c.at
		}
	}
	return end, nil
}

// touch notes how a feed stands before something about its cuts changes; settle brings its effects to where it stands then.
func (s *State) touch(f *Feed) error {
	if _, ok := s.touched[f.ID]; ok {
		return nil
	}
	st, err := s.stands(f)
	if err != nil {
		return err
	}
	s.touched[f.ID] = st
	s.work = append(s.work, work{feed: f.ID, cut: true})
	return nil
}

// cut notes that the record at by cuts feeds, or no longer does.
func (s *State) cut(cuts []api.Cut, by api.Position, on bool) error {
	for _, c := range cuts {
		m := Mark{c.At.Seq, c.At.ID}
		k, kk := cutKey(c.Feed, by), cutterKey(by, c.Feed)
		if on {
			s.batch.Set(k, encodeMark(nil, m))
			s.batch.Set(kk, nil)
		} else {
			s.batch.Delete(k)
			s.batch.Delete(kk)
		}
		s.cutting[string(kk)] = on
		s.cutsOf[c.Feed] = append(s.cutsOf[c.Feed], change{cut{by, m}, on})
		f, err := s.Feed(c.Feed)
		if err != nil {
			return err
		}
		if f == nil {
			continue
		}
		if err := s.touch(f); err != nil {
			return err
		}
		f.change(cut{by, m}, on)
		s.dirty[f.ID] = f
	}
	return nil
}

// change is a cut that came or went since the last commit.
type change struct {
	cut
	on bool
}

func (f *Feed) change(c cut, on bool) {
	i, found := slices.BinarySearchFunc(f.cuts, c, func(a, b cut) int { return bytes.Compare(posValue(a.by), posValue(b.by)) })
	switch {
	case on && !found:
		f.cuts = slices.Insert(f.cuts, i, c)
	case !on && found:
		f.cuts = slices.Delete(f.cuts, i, i+1)
	}
}

// greet gives a feed that is new here the cuts that came before it.
func (s *State) greet(f *Feed) error {
	if err := loadCuts(s.st, f); err != nil {
		return err
	}
	for _, c := range s.cutsOf[f.ID] {
		f.change(c.cut, c.on)
	}
	return nil
}

// cutsFinal touches the feeds that f cuts between two of its own final marks.
func (s *State) cutsFinal(f *Feed, a, b Mark) error {
	lo, hi := min(a.Seq, b.Seq), max(a.Seq, b.Seq)
	if f.Fork != 0 {
		lo = 0 // another branch may have become final
	}
	from, to := key(nsCutter, f.ID[:], be(lo+1)), key(nsCutter, f.ID[:], be(hi+1))
	targets := map[api.Hash]bool{}
	for k, on := range s.cutting {
		if on && k >= string(from) && k < string(to) {
			targets[api.Hash([]byte(k[len(k)-32:]))] = true
		}
	}
	it, err := s.st.Iter(from, to)
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		k := it.Key()
		targets[api.Hash(k[len(k)-32:])] = true
	}
	for _, id := range slices.SortedFunc(maps.Keys(targets), api.Hash.Compare) {
		t, err := s.Feed(id)
		if err != nil {
			return err
		}
		if t != nil {
			if err := s.touch(t); err != nil {
				return err
			}
			for _, c := range t.cuts {
				if c.by.Feed == f.ID && a.Seq < c.by.Seq && c.by.Seq <= b.Seq {
					s.changes = append(s.changes, Change{Kind: Cut, At: api.Position{Feed: t.ID, Seq: c.at.Seq, ID: c.at.ID}})
				}
			}
		}
	}
	return it.Err()
}

// rebase finds the cuts of r's feed, and of the one it goes on from, that r is the first of its branch to cite. why is not nil when one of them ends
// the feed elsewhere.
func (s *State) rebase(r *api.Record) (rbs []rebase, why *api.Reason, err error) {
	var f *Feed
	prev := Mark{r.Seq - 1, r.Prev}
	based := false // it stands on another feed already
	for _, d := range r.Deps {
		df, err := s.Feed(d.Feed)
		if err != nil {
			return nil, nil, err
		}
		if df == nil || !df.Cutter {
			continue
		}
		at := Mark{d.Seq, d.ID}
		ends, by, cut, err := s.rowBy(df, cutName(r.Feed), at, nil)
		if err != nil {
			return nil, nil, err
		}
		if cut && ends[40] == 1 {
			return nil, feedEnded(), nil
		}
		base, since, follows, err := s.rowBy(df, nextName(r.Feed), at, nil)
		if err != nil {
			return nil, nil, err
		}
		if !cut && !follows {
			continue
		}
		if f == nil {
			if f, err = s.Feed(r.Feed); err != nil {
				return nil, nil, err
			}
			if f != nil {
				b, err := s.base(f, prev)
				if err != nil {
					return nil, nil, err
				}
				based = b != nil
			}
		}
		newest := max(by.Seq, since.Seq)
		if f != nil {
			done, err := s.cited(f, api.Position{Feed: d.Feed, Seq: newest}, prev)
			if err != nil {
				return nil, nil, err
			}
			if done {
				continue
			}
		}
		rb := rebase{c: Mark{r.Seq, r.ID}, by: d.Feed, seq: newest}
		if cut {
			rb.from, rb.at = r.Feed, parseMark(ends)
			on := rb.at.Seq == 0
			if !on && f != nil {
				if on, err = s.onBranch(f, rb.at.Seq, rb.at.ID, prev); err != nil {
					return nil, nil, err
				}
			}
			if !on {
				return nil, kernelReason("cut-elsewhere", "the record cites a cut of its feed that does not lie before it: the feed has ended on another branch"), nil
			}
			rbs = append(rbs, rb)
		}
		if follows && !based {
			rb.from, rb.at, based = api.Hash(base), parseMark(base[32:]), true
			rbs = append(rbs, rb)
		}
	}
	return rbs, nil, nil
}

func feedEnded() *api.Reason {
	return kernelReason("feed-ended", "this feed has ended: another device goes on from there, or nobody does")
}

// closed reports whether the feed of r has ended itself before r, on r's branch. That needs no cut to be final: r's own past says it.
func (s *State) closed(r *api.Record, gaps []span) (bool, error) {
	f, err := s.Feed(r.Feed)
	if err != nil || f == nil || !f.Cutter || r.Seq == 1 {
		return false, err
	}
	_, _, ok, err := s.rowBy(f, cutName(r.Feed), Mark{r.Seq - 1, r.Prev}, gaps)
	return ok, err
}

// addRebases keeps what a stored record is the first to cite.
func (s *State) addRebases(f *Feed, rbs []rebase) error {
	if len(rbs) == 0 {
		return nil
	}
	if err := s.touch(f); err != nil {
		return err
	}
	rows := map[string][]byte{}
	for i := range rbs { // two by one feed share a row
		k := string(rebaseKey(f.ID, rbs[i].c, rbs[i].by))
		rows[k] = rbs[i].append(rows[k])
		s.batch.Set([]byte(k), rows[k])
	}
	f.rebases = append(f.rebases, rbs...)
	s.dirty[f.ID] = f
	s.forget(f.ID)
	return nil
}

// Uncited lists the newest cuts of a feed, by each feed that cuts it, that its tip has not cited.
func (s *State) Uncited(feed api.Hash) ([]api.Position, error) {
	f, err := s.Feed(feed)
	if err != nil || f == nil {
		return nil, err
	}
	var ps []api.Position
	for i, c := range f.cuts {
		if i+1 < len(f.cuts) && f.cuts[i+1].by.Feed == c.by.Feed {
			continue // a later one says it, too
		}
		done, err := s.cited(f, c.by, f.Tip)
		if err != nil {
			return nil, err
		}
		if !done {
			ps = append(ps, c.by)
		}
	}
	return ps, nil
}

// CutOff says why a stored record has no effect because of a final cut of its feed, nil when it has or something else is the cause.
func (s *State) CutOff(p api.Position) (*api.Reason, error) {
	f, err := s.Feed(p.Feed)
	if err != nil || f == nil || len(f.cuts)+len(f.rebases) == 0 {
		return nil, err
	}
	st, err := s.stands(f)
	if err != nil {
		return nil, err
	}
	return s.cutOff(f, st, p)
}

// cutOff says why a record has no effect though nothing is forked before it: nil when no cut is the cause.
func (v *view) cutOff(f *Feed, st standing, p api.Position) (*api.Reason, error) {
	var by *api.Position
	var at Mark
	if inSpans(st.gaps, p.Seq) {
		for i := range f.rebases {
			if rb := &f.rebases[i]; rb.from == f.ID && rb.at.Seq < p.Seq && p.Seq < rb.c.Seq {
				by, at = &api.Position{Feed: rb.by, Seq: rb.seq}, rb.at
			}
		}
	} else if p.Seq > st.end.Seq || f.Fork != 0 {
		for i := range f.cuts {
			c := &f.cuts[i]
			final, err := v.isFinal(c.by)
			if err != nil {
				return nil, err
			}
			on, err := v.onBranch(f, p.Seq, p.ID, st.end)
			if err != nil {
				return nil, err
			}
			if final && !on && c.at.Seq < p.Seq && (f.Fork == 0 || c.at.Seq >= f.Fork-1) {
				by, at = &c.by, c.at
			}
		}
	}
	if by == nil {
		return nil, nil
	}
	why := kernelReason("cut", "the feed was cut before this record, and the record does not take the cut into account")
	why.Inputs = map[string]string{"cut_feed": by.Feed.String(), "cut_seq": strconv.FormatUint(by.Seq, 10), "stands_up_to": strconv.FormatUint(at.Seq, 10)}
	why.Remedy = "make it again as a new record, which cites the cut"
	return why, nil
}
