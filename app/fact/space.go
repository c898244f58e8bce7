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
	registrar api.Hash // feed, zero when the office is empty
	finality  api.Hash // feed of the one witness
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
	if len(s.Genesis.Witnesses) > 0 {
		s.finality = s.Feed(FinalityTopic, s.Genesis.Witnesses[0])
	}
	return s, true
}

// Feed returns the id of a device's feed in a topic of the space.
func (s *Space) Feed(topic string, device api.Key) api.Hash {
	return record.FeedID(api.Topic{Space: s.ID, Name: topic}, device)
}

// Registrar returns the feed that admits members.
func (s *Space) Registrar() api.Hash { return s.registrar }

// Finality returns the feed that the space's witness states in.
func (s *Space) Finality() api.Hash { return s.finality }

// Member returns whether did is a member, and the record that says so.
func (s *Space) Member(did api.DID) (Member, api.Position, bool) {
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

// Currency returns a currency of the space.
func (s *Space) Currency(code string) (Currency, bool) {
	b, _, ok := s.r.Fact(s.Founded.Feed, nameCurrency, []byte(code))
	return decode[Currency](b, ok)
}

// Final returns how far the witness has stated feed final. The position need not be stored here yet.
func (s *Space) Final(feed api.Hash) (Final, bool) {
	b, _, ok := s.r.Fact(s.finality, nameFinal, feed[:])
	return decode[Final](b, ok)
}

// Deps returns positions as a draft needs them: in order of feed, of one feed the highest.
func Deps(ps []api.Position) []api.Position {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b api.Position) int {
		return cmp.Or(bytes.Compare(a.Feed[:], b.Feed[:]), cmp.Compare(b.Seq, a.Seq))
	})
	return slices.CompactFunc(ps, func(a, b api.Position) bool { return a.Feed == b.Feed })
}
