package fact

import (
	"bytes"
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
	registrar api.Hash   // feed, zero when the office is empty
	finality  []api.Hash // feeds of the witnesses
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
	if o, ok := s.Office(Registrar); ok {
		s.registrar = s.Feed(SpaceTopic, o.Device)
	}
	for _, w := range s.Genesis.Witnesses {
		s.finality = append(s.finality, s.Feed(FinalityTopic, w))
	}
	return s, true
}

// Feed returns the id of a device's feed in a topic of the space.
func (s *Space) Feed(topic string, device api.Key) api.Hash {
	return record.FeedID(api.Topic{Space: s.ID, Name: topic}, device)
}

// Registrar returns the feed that admits members.
func (s *Space) Registrar() api.Hash { return s.registrar }

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
	b, _, ok := s.r.Fact(s.Founded.Feed, nameOffice, []byte(name))
	return decode[Office](b, ok)
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

// Final returns how far feed is final by what the witnesses have stated, and the position to cite for that: the furthest that one of them has
// stated and this node holds. Views gives the other half of the citation.
func (s *Space) Final(feed api.Hash) (f Final, cite api.Position, ok bool) {
	var said []Final
	for _, w := range s.finality {
		f, ok := s.Stated(w, feed)
		if p := f.Position(feed); ok && s.r.Has(p) {
			said = append(said, f)
			if p.Seq > cite.Seq {
				cite = p
			}
		}
	}
	f, ok = Supported(said)
	return f, cite, ok
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

// Cutter returns the feed in which the space's registrar ends other feeds.
func (s *Space) Cutter() api.Hash {
	o, _ := s.Office(Registrar)
	return s.Feed(CutTopic, o.Device)
}

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
		return cmp.Or(bytes.Compare(a.Feed[:], b.Feed[:]), cmp.Compare(b.Seq, a.Seq))
	})
	return slices.CompactFunc(ps, func(a, b api.Position) bool { return a.Feed == b.Feed })
}
