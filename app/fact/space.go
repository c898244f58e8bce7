package fact

import (
	"cmp"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Space answers questions about one space from a Reader's snapshot, for oracles, operations and reactors. It is valid while the Reader is open.
type Space struct {
	ID      api.Hash
	Founded api.Position // the record that founded it
	Genesis Genesis

	r         api.Reader
	holder    Office       // the registrar
	handed    api.Position // the record that says so, of the registrar before; zero for the first
	registrar api.Hash     // feed that admits members, as far as the newest registrar has begun; zero when the office is empty
	cutter    api.Hash     // likewise the feed that cuts others
	ended     api.Position // the record by which the registrar before closed cutter, while the newest has not begun
	finality  []api.Hash   // feeds of the witnesses
}

// Open returns the space, or false when its genesis is not here (yet).
func Open(r api.Reader, id api.Hash) (*Space, bool) {
	rec, v, ok := r.Lookup(id)
	if !ok || !v.Accepted || rec.Topic.Space != id || rec.Topic.Name != SpaceTopic {
		return nil, false
	}
	s := &Space{ID: id, Founded: rec.Position(), r: r}
	b, _, ok := r.Fact(rec.Feed, nameGenesis, nil)
	if s.Genesis, ok = decode[Genesis](b, ok); !ok {
		return nil, false
	}
	if b, _, ok := r.Fact(rec.Feed, nameOffice, officeKey(Registrar, 1)); ok {
		s.holder, _ = decode[Office](b, ok)
	} else {
		b, _, ok := r.Fact(rec.Feed, nameOffice, []byte(Registrar))
		s.holder, _ = decode[Office](b, ok)
	}
	s.follow()
	for _, w := range s.Genesis.Witnesses {
		s.finality = append(s.finality, s.Feed(FinalityTopic, w))
	}
	return s, true
}

// Feed returns the id of a device's feed in a topic of the space.
func (s *Space) Feed(topic string, device api.Key) api.Hash {
	return record.FeedID(api.Topic{Space: s.ID, Name: topic}, device)
}

// follow goes from the first registrar to the newest, by the records in which each hands over. The feeds of one who has not written yet do not show
// what the feeds before had, so those are read till then.
func (s *Space) follow() {
	if s.holder.Device == (api.Key{}) {
		return
	}
	next := func(feed api.Hash, number uint64) (o Office, by api.Position, ok bool) {
		b, by, ok := s.r.Fact(feed, nameOffice, []byte(Registrar))
		o, ok = decode[Office](b, ok)
		return o, by, ok && o.Number > number
	}
	s.cutter = s.Feed(CutTopic, s.holder.Device)
	for number := s.holder.Number; ; {
		o, by, ok := next(s.cutter, number)
		if !ok {
			break
		}
		number = o.Number
		feed := s.Feed(CutTopic, o.Device)
		if _, _, begun := next(feed, number-1); !begun {
			s.ended = by
			break
		}
		s.cutter = feed
	}
	s.registrar = s.Feed(SpaceTopic, s.holder.Device)
	for {
		o, by, ok := next(s.registrar, s.holder.Number)
		if !ok {
			return
		}
		s.holder, s.handed = o, by
		feed := s.Feed(SpaceTopic, o.Device)
		if _, _, begun := next(feed, o.Number-1); !begun {
			return
		}
		s.registrar, s.handed = feed, api.Position{}
	}
}

// Registrar returns the feed to read for what admits members: the registrar's, or the one before as long as a new registrar has not written.
func (s *Space) Registrar() api.Hash { return s.registrar }

// Entries returns what the registrar's next record in a topic must cite because the office was handed over and it is the first there.
func (s *Space) Entries(topic string) []api.Position {
	switch {
	case topic == SpaceTopic && !s.handed.IsZero():
		return []api.Position{s.handed}
	case topic == CutTopic && !s.ended.IsZero():
		return []api.Position{s.ended}
	}
	return nil
}

// Finality returns the feeds that the space's witnesses state in.
func (s *Space) Finality() []api.Hash { return s.finality }

// Need returns how many witnesses make a position final.
func (s *Space) Need() int { return max(1, int(s.Genesis.Threshold)) }

// Member returns whether did is a member, and the record that says so.
func (s *Space) Member(did api.DID) (Member, api.Position, bool) {
	m, pos, ok := s.Known(did)
	if !ok || m.Device == (api.Key{}) {
		return Member{}, api.Position{}, false
	}
	return m, pos, true
}

// Removal returns why did, who was a member, is none any more.
func (s *Space) Removal(did api.DID) (Removal, bool) {
	m, at, ok := s.Known(did)
	if !ok || m.Device != (api.Key{}) {
		return Removal{}, false
	}
	b, _, ok := s.r.Fact(at.Feed, nameRemoval, []byte(did))
	return decode[Removal](b, ok)
}

// Known returns what did is or was, a member or a removed one, and the record that says so.
func (s *Space) Known(did api.DID) (Member, api.Position, bool) {
	for _, feed := range [...]api.Hash{s.registrar, s.Founded.Feed} {
		b, pos, ok := s.r.Fact(feed, nameMember, []byte(did))
		if m, ok := decode[Member](b, ok); ok {
			return m, pos, true
		}
	}
	return Member{}, api.Position{}, false
}

// Office returns who holds an office.
func (s *Space) Office(name string) (Office, bool) {
	o, _, ok := s.Holder(name)
	return o, ok
}

// Holder returns who holds an office, and the record that says so.
func (s *Space) Holder(name string) (Office, api.Position, bool) {
	for _, feed := range [...]api.Hash{s.registrar, s.Founded.Feed} {
		b, pos, ok := s.r.Fact(feed, nameOffice, []byte(name))
		if o, ok := decode[Office](b, ok); ok {
			return o, pos, true
		}
	}
	return Office{}, api.Position{}, false
}

// Handed returns the Number-th holder of an office, and the record that says so.
func (s *Space) Handed(name string, number uint64) (Office, api.Position, bool) {
	if o, pos, ok := s.Holder(name); ok && (o.Number == number || number == 1 && o.Number == 0) {
		return o, pos, true
	}
	for _, feed := range [...]api.Hash{s.registrar, s.Founded.Feed} {
		b, pos, ok := s.r.Fact(feed, nameOffice, officeKey(name, number))
		if o, ok := decode[Office](b, ok); ok {
			return o, pos, true
		}
	}
	return Office{}, api.Position{}, false
}

// Holds reports whether self holds one of the offices.
func (s *Space) Holds(self api.Signer, offices ...string) bool {
	return self != nil && slices.ContainsFunc(offices, func(name string) bool {
		o, ok := s.Office(name)
		return ok && o.DID == self.DID() && o.Device == self.Device()
	})
}

// Currency returns a currency of the space.
func (s *Space) Currency(code string) (Currency, bool) {
	b, _, ok := s.r.Fact(s.Founded.Feed, nameCurrency, []byte(code))
	return decode[Currency](b, ok)
}

// Stated returns how far one witness has stated feed final. The position need not be stored here yet.
func (s *Space) Stated(witness, feed api.Hash) (Final, bool) {
	b, _, ok := s.r.Fact(witness, nameFinal, feed[:])
	return decode[Final](b, ok)
}

// Locked returns how far one witness has locked feed.
func (s *Space) Locked(witness, feed api.Hash) (Final, bool) {
	b, _, ok := s.r.Fact(witness, nameLock, feed[:])
	return decode[Final](b, ok)
}

// Final returns how far feed is final by what the witnesses have stated, and the position to cite for that: the furthest that is named by one of
// those who are needed for it. Views gives the other half of the citation. What one has stated and enough have not locked counts as not said,
// so that a liar cannot make others stand on what may never become final.
func (s *Space) Final(feed api.Hash) (f Final, cite api.Position, ok bool) {
	var said []Final
	for _, w := range s.finality {
		if f, ok := s.Stated(w, feed); ok && s.r.Has(f.Position(feed)) && s.certified(feed, f) {
			said = append(said, f)
		}
	}
	if f, ok = Supported(said); !ok {
		return f, cite, false
	}
	for _, o := range said {
		if o.Support() == f.Support() && o.Seq > cite.Seq {
			cite = o.Position(feed)
		}
	}
	return f, cite, true
}

// certified reports whether a stated position is final already, or locked by enough witnesses, as it must be before an honest one states it.
func (s *Space) certified(feed api.Hash, f Final) bool {
	p := f.Position(feed)
	if m, ok := s.r.Final(feed); f.Need == 1 || ok && s.r.Before(p, m) {
		return true
	}
	n := 0
	for _, w := range s.finality {
		if l, ok := s.Locked(w, feed); ok && l.Support() == f.Support() && s.r.Before(p, l.Position(feed)) {
			n++
		}
	}
	return f.Need > 0 && n >= int(f.Need)
}

// Views returns where the witnesses' feeds stand, to cite beside positions that are final by them.
func (s *Space) Views() []api.Position {
	var ps []api.Position
	for _, w := range s.finality {
		if p, ok := s.r.Head(w); ok {
			ps = append(ps, p)
		}
	}
	return ps
}

// Cutter returns the feed to read for cuts: the registrar's, or the one before as long as a new registrar has not written.
func (s *Space) Cutter() api.Hash { return s.cutter }

// Draft returns the newest announcement of a cut of feed, and the record that makes it.
func (s *Space) Draft(feed api.Hash) (Draft, api.Position, bool) {
	b, pos, ok := s.r.Fact(s.Cutter(), nameDraft, feed[:])
	d, ok := decode[Draft](b, ok)
	return d, pos, ok
}

// Promise returns a witness's newest promise about feed, and the record that makes it.
func (s *Space) Promise(witness, feed api.Hash) (Promise, api.Position, bool) {
	b, pos, ok := s.r.Fact(witness, namePromise, feed[:])
	p, ok := decode[Promise](b, ok)
	return p, pos, ok
}

// Cut returns the newest cut of feed, and the record that makes it.
func (s *Space) Cut(feed api.Hash) (Cut, api.Position, bool) {
	b, pos, ok := s.r.Fact(s.Cutter(), nameCut, feed[:])
	c, ok := decode[Cut](b, ok)
	return c, pos, ok
}

// FinalCuts counts the final cuts of feed and returns the newest.
func (s *Space) FinalCuts(feed api.Hash) (n uint64, newest api.CutState) {
	for _, c := range s.r.Cuts(feed) {
		if c.Final {
			n++
			newest = c
		}
	}
	return n, newest
}

// Deps returns positions as a draft needs them: in order of feed, of one feed the highest.
func Deps(ps []api.Position) []api.Position {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b api.Position) int {
		return cmp.Or(a.Feed.Compare(b.Feed), cmp.Compare(b.Seq, a.Seq))
	})
	return slices.CompactFunc(ps, func(a, b api.Position) bool { return a.Feed == b.Feed })
}
