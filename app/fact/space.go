package fact

import (
	"cmp"
	"iter"
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
	epochs    []era        // from the genesis to the one in force; nil until somebody asks
}

// era is an epoch as this node knows it.
type era struct {
	Epoch
	named Cause      // the record that names it, zero for the genesis
	feeds []api.Hash // in which its witnesses state
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
	return s, true
}

// Feed returns the id of a device's feed in a topic of the space.
func (s *Space) Feed(topic string, device api.Key) api.Hash {
	return record.FeedID(api.Topic{Space: s.ID, Name: topic}, device)
}

// follow goes from the first registrar to the newest, by the records in which each hands over, or in which another takes the place of one who was
// silent. The feeds of one who has not written yet do not show what the feeds before had, so those are read till then.
func (s *Space) follow() {
	if s.holder.Device == (api.Key{}) {
		return
	}
	_, s.cutter, s.ended = s.line(CutTopic)
	s.holder, s.registrar, s.handed = s.line(SpaceTopic)
}

// line goes along the registrars' feeds of a topic. It returns the newest registrar, the last of their feeds that has begun, and, where that is not the
// newest registrar's, the record by which the office has passed.
func (s *Space) line(topic string) (o Office, feed api.Hash, passed api.Position) {
	o = s.holder
	feed = s.Feed(topic, o.Device)
	for {
		next, by, ok := s.after(s.Feed(topic, o.Device), o.Number)
		if !ok && !passed.IsZero() { // who has not begun may have been replaced, but has not handed over
			return o, feed, passed
		}
		if !ok {
			next, by, ok = s.handedIn(feed, o.Number)
		}
		if !ok {
			return o, feed, api.Position{}
		}
		o = next
		begun := s.Feed(topic, o.Device)
		if _, _, ok := s.handedIn(begun, o.Number-1); ok {
			feed, passed = begun, api.Position{}
		} else {
			passed = by
		}
	}
}

// handedIn returns who has the office by what a registrar's feed says, if that is a later one than the number-th.
func (s *Space) handedIn(feed api.Hash, number uint64) (o Office, by api.Position, ok bool) {
	b, by, ok := s.r.Fact(feed, nameOffice, []byte(Registrar))
	o, ok = decode[Office](b, ok)
	return o, by, ok && o.Number > number
}

// after returns who has taken the place of the number-th registrar, who writes in feed: witnesses have agreed on it, and the record that says so is final.
func (s *Space) after(feed api.Hash, number uint64) (o Office, by api.Position, ok bool) {
	for _, c := range s.r.Cuts(feed) {
		if !c.Final {
			continue
		}
		b, by, ok := s.r.Fact(c.By.Feed, nameOffice, officeKey(Registrar, max(number, 1)+1))
		if o, ok := decode[Office](b, ok); ok && by == c.By {
			return o, by, true
		}
	}
	return Office{}, api.Position{}, false
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

// eras lists the epochs up to the one in force: each follows once enough witnesses of the one before have sealed for it.
func (s *Space) eras() []era {
	if s.epochs == nil {
		g := s.Genesis
		s.epochs = []era{s.era(Epoch{Witnesses: g.Witnesses, Threshold: max(1, g.Threshold), Faulty: g.Faulty}, Cause{})}
		for {
			next, ok := s.follows(&s.epochs[len(s.epochs)-1])
			if !ok {
				break
			}
			s.epochs = append(s.epochs, next)
		}
	}
	return s.epochs
}

func (s *Space) era(e Epoch, named Cause) era {
	n := era{Epoch: e, named: named}
	for _, w := range e.Witnesses {
		n.feeds = append(n.feeds, s.Feed(FinalityTopic, w))
	}
	return n
}

// follows returns the epoch for which enough of e's witnesses have sealed.
func (s *Space) follows(e *era) (era, bool) {
	seals := map[Cause]int{}
	for _, w := range e.feeds {
		seal, _, ok := s.Seal(w, e.Number+1)
		if !ok {
			continue
		}
		if seals[seal.Next]++; seals[seal.Next] < int(e.Threshold) {
			continue
		}
		b, _, ok := s.r.Fact(seal.Next.Feed, nameEpoch, api.Seq8(seal.Number))
		if next, ok := decode[Epoch](b, ok); ok {
			return s.era(next, seal.Next), true
		}
	}
	return era{}, false
}

func (s *Space) current() *era {
	all := s.eras()
	return &all[len(all)-1]
}

// Epoch returns the witnesses in force, and the record that names them; for epoch 0 that is the one that founded the space.
func (s *Space) Epoch() (Epoch, api.Position) {
	if e := s.current(); e.Number > 0 {
		return e.Epoch, e.named.Position()
	}
	return s.current().Epoch, s.Founded
}

// Epochs goes through the epochs up to the one in force, and the feeds in which their witnesses state, in the order of their keys.
func (s *Space) Epochs() iter.Seq2[Epoch, []api.Hash] {
	return func(yield func(Epoch, []api.Hash) bool) {
		for _, e := range s.eras() {
			if !yield(e.Epoch, e.feeds) {
				return
			}
		}
	}
}

// Past counts the epochs that are over.
func (s *Space) Past() int { return len(s.eras()) - 1 }

// States reports whether a witness of any epoch states in feed.
func (s *Space) States(feed api.Hash) bool {
	return slices.ContainsFunc(s.eras(), func(e era) bool { return slices.Contains(e.feeds, feed) })
}

// Named returns who are or are to be the witnesses of an epoch, from 1, and the record that names them.
func (s *Space) Named(number uint64) (Epoch, api.Position, bool) {
	if all := s.eras(); number > 0 && number < uint64(len(all)) {
		return all[number].Epoch, all[number].named.Position(), true
	}
	b, pos, ok := s.r.Fact(s.Cutter(), nameEpoch, api.Seq8(number))
	e, ok := decode[Epoch](b, ok)
	return e, pos, ok
}

// Seal returns a witness's word that it makes room for an epoch, and the record that gives it.
func (s *Space) Seal(witness api.Hash, number uint64) (Seal, api.Position, bool) {
	b, pos, ok := s.r.Fact(witness, nameSeal, api.Seq8(number))
	seal, ok := decode[Seal](b, ok)
	return seal, pos, ok
}

// Standing returns in which epoch a witness speaks, and the record that says so; epoch 0 when none does.
func (s *Space) Standing(witness api.Hash) (Standing, api.Position) {
	b, pos, ok := s.r.Fact(witness, nameStanding, nil)
	st, _ := decode[Standing](b, ok)
	return st, pos
}

// Finality returns the feeds that the witnesses in force state in.
func (s *Space) Finality() []api.Hash { return s.current().feeds }

// Need returns how many witnesses make a position final.
func (s *Space) Need() int { return int(s.current().Threshold) }

// Member returns whether did is a member, and the record that says so.
func (s *Space) Member(did api.DID) (Member, api.Position, bool) {
	m, pos, ok := s.Known(did)
	if !ok || m.Device == (api.Key{}) {
		return Member{}, api.Position{}, false
	}
	return m, pos, true
}

// Belongs reports whether did is a member or holds an office.
func (s *Space) Belongs(did api.DID) bool {
	if _, _, ok := s.Member(did); ok {
		return true
	}
	return slices.ContainsFunc(s.Genesis.Offices, func(name string) bool {
		o, ok := s.Office(name)
		return ok && o.DID == did
	})
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

// Headcount returns how many members the space has, and the record that says so.
func (s *Space) Headcount() (uint64, api.Position) {
	for _, feed := range [...]api.Hash{s.registrar, s.Founded.Feed} {
		if b, pos, ok := s.r.Fact(feed, nameHeads, nil); ok {
			return Number(b, ok), pos
		}
	}
	return 0, api.Position{}
}

// Profile returns how who is or was a member wants to be called: by the device that acts for it, else by the one before.
func (s *Space) Profile(did api.DID) (p Profile, ok bool) {
	m, _, _ := s.Known(did)
	for _, device := range [...]api.Key{m.Device, m.Before} {
		if device == (api.Key{}) {
			continue
		}
		b, _, found := s.r.Fact(s.Feed(JoinTopic, device), nameProfile, nil)
		if p, ok = decode[Profile](b, found); ok {
			return p, true
		}
	}
	return Profile{}, false
}

// Spenders lists the devices that may spend beside the primary one of who is or was a member, by what that, or the one before, has set aside.
func (s *Space) Spenders(did api.DID) []api.Key {
	m, _, _ := s.Known(did)
	for _, device := range [...]api.Key{m.Device, m.Before} {
		feed := s.Feed(LedgerTopic, device)
		if head, ok := s.r.Head(s.Cutter()); ok && device != (api.Key{}) {
			if _, begun := s.r.Head(feed); !begun {
				if base, ok := s.r.Base(feed, head); ok {
					feed = base.Feed
				}
			}
		}
		b, _, ok := s.r.Fact(feed, nameSpenders, nil)
		if ds, ok := decode[[]api.Key](b, ok); ok {
			return ds
		}
	}
	return nil
}

// Office returns who holds an office.
func (s *Space) Office(name string) (Office, bool) {
	o, _, ok := s.Holder(name)
	return o, ok
}

// Holder returns who holds an office, and the record that says so.
func (s *Space) Holder(name string) (Office, api.Position, bool) {
	if name == Registrar && !s.handed.IsZero() {
		return s.holder, s.handed, true
	}
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

// Stated returns how far one witness has stated feed final in an epoch. The position need not be stored here yet.
func (s *Space) Stated(witness api.Hash, epoch uint64, feed api.Hash) (Final, bool) {
	b, _, ok := s.r.Fact(witness, nameFinal, inEpoch(feed, epoch))
	return decode[Final](b, ok)
}

// Locked returns how far one witness has locked feed in an epoch. A lone witness holds without locking: what it has held.
func (s *Space) Locked(witness api.Hash, epoch uint64, feed api.Hash) (Final, bool) {
	b, _, ok := s.r.Fact(witness, nameLock, inEpoch(feed, epoch))
	if f, ok := decode[Final](b, ok); ok {
		return f, true
	}
	f, ok := s.Stated(witness, epoch, feed)
	return f, ok && f.Need == 1
}

// Final returns how far feed is final by what the witnesses have stated, and the position to cite for that: the furthest that is named by one of
// those who are needed for it. Views gives the other half of the citation. What one has stated and enough have not locked counts as not said,
// so that a liar cannot make others stand on what may never become final.
func (s *Space) Final(feed api.Hash) (f Final, cite api.Position, ok bool) {
	var said []Final
	for _, e := range s.recent() {
		for _, w := range e.feeds {
			if f, ok := s.Stated(w, e.Number, feed); ok && s.r.Has(f.Position(feed)) && s.certified(&e, feed, f) {
				said = append(said, f)
			}
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
func (s *Space) certified(e *era, feed api.Hash, f Final) bool {
	p := f.Position(feed)
	if m, ok := s.r.Final(feed); f.Need == 1 || ok && s.r.Before(p, m) {
		return true
	}
	n := 0
	for _, w := range e.feeds {
		if l, ok := s.Locked(w, e.Number, feed); ok && l.Support() == f.Support() && s.r.Before(p, l.Position(feed)) {
			n++
		}
	}
	return f.Need > 0 && n >= int(f.Need)
}

// recent lists the epoch in force and the one before, in which all that the new one has not stated yet is as final.
func (s *Space) recent() []era {
	all := s.eras()
	return all[max(0, len(all)-2):]
}

// Views returns where the witnesses' feeds stand, to cite beside positions that are final by them.
func (s *Space) Views() []api.Position {
	var ps []api.Position
	for _, e := range s.recent() {
		for _, w := range e.feeds {
			if p, ok := s.r.Head(w); ok && !slices.Contains(ps, p) {
				ps = append(ps, p)
			}
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

// Passed returns who has the office of registrar as the number-th by what a feed of that line says.
func (s *Space) Passed(feed api.Hash, number uint64) (Office, bool) {
	b, _, ok := s.r.Fact(feed, nameOffice, officeKey(Registrar, number))
	return decode[Office](b, ok)
}

// Vote returns a witness's newest vote on the number-th registrar, and the record that gives it.
func (s *Space) Vote(witness api.Hash, number uint64) (Vote, api.Position, bool) {
	b, pos, ok := s.r.Fact(witness, nameVote, api.Seq8(number))
	v, ok := decode[Vote](b, ok)
	return v, pos, ok
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

// Repeated is the receipt of the record that an earlier request has led to.
func Repeated(r api.Reader, at api.Position) api.Receipt {
	rec, v, ok := r.Record(at)
	if !ok {
		return api.Receipt{Position: at, Repeated: true}
	}
	return api.Receipt{Position: at, Topic: rec.Topic, Time: rec.Time, Final: v.Final, Repeated: true}
}

// Deps returns positions as a draft needs them: in order of feed, of one feed the highest.
func Deps(ps []api.Position) []api.Position {
	ps = slices.Clone(ps)
	slices.SortFunc(ps, func(a, b api.Position) int {
		return cmp.Or(a.Feed.Compare(b.Feed), cmp.Compare(b.Seq, a.Seq))
	})
	return slices.CompactFunc(ps, func(a, b api.Position) bool { return a.Feed == b.Feed })
}
