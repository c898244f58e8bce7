package ledger

import (
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// maxReclaims bounds how many devices' feeds one record of the primary device settles.
const maxReclaims = 8

// reclaim adds to the plan what comes back from other devices: what they have returned, and what cuts of their feeds have left; of device itself, which is
// about to become the primary one, all that it has. It says what they have spent, too.
func (p *plan) reclaim(r api.Reader, s *fact.Space, from api.Hash, device api.Key) {
	for _, a := range get[[]aside](first(r.Own(from, rowAsides))) {
		st := p.state(a.Code)
		if st == nil {
			continue
		}
		feed := s.Feed(fact.LedgerTopic, a.Device)
		k, at := pocketOf(r, feed, a.Code)
		spent := k.Spent - a.Settled
		st.spent = addMax(st.spent, max(spent, 0))
		if a.Device == device {
			st.freed = addMax(st.freed, a.open()-spent)
			continue
		}
		if p.settles == maxReclaims {
			continue
		}
		if c, _, ok := s.Cut(feed); ok && c.Number > a.Round {
			if _, cite, ok := finalCut(s, feed); ok && (c.At.Seq == 0 || r.Has(c.At.Position(feed))) {
				p.deps = append(p.deps, cite)
				if c.At.Seq > 0 {
					p.deps = append(p.deps, c.At.Position(feed))
				}
				st.freed = addMax(st.freed, a.open()-spent)
				p.settle(s)
			}
			continue
		}
		if k.round == a.Round && k.Back > a.Back {
			if sh, ok := certain(r, s, feed); ok && sh.at.Seq >= at.Seq {
				p.deps = append(p.deps, sh.cite...)
				st.freed = addMax(st.freed, k.Back-a.Back)
				p.settle(s)
			}
		}
	}
}

// settle notes that the plan's record settles with a device, which takes the witnesses' word.
func (p *plan) settle(s *fact.Space) {
	p.settles++
	p.deps = append(p.deps, s.Views()...)
}

// held is a currency of a device's purse as its feed has it.
type held struct {
	pocket
	round uint64
}

// pocketOf reads what a device has of its allotments, and where its feed says so.
func pocketOf(r api.Reader, feed api.Hash, code string) (held, api.Position) {
	b, at, ok := r.Own(feed, rowPurse(feed))
	p := get[purse](b, ok)
	return held{p.of(code), p.Round}, at
}

// allowance is what the next record of a device that is not the member's primary one may spend, and what it cites.
type allowance struct {
	purse
	feed api.Hash
	deps []api.Position
	news bool // it takes something in
	due  map[string]int64
}

// prepareDevice plans the next record of another device of a member. It is false when nothing was ever set aside for the device.
func prepareDevice(r api.Reader, s *fact.Space, did api.DID, device api.Key) (*allowance, bool) {
	m, _, ok := s.Member(did)
	if !ok {
		return nil, false
	}
	p := &allowance{feed: s.Feed(fact.LedgerTopic, device), due: map[string]int64{}}
	b, _, known := r.Own(p.feed, rowPurse(p.feed))
	p.purse = get[purse](b, known)
	_, p.deps, _ = standing(r, s, p.feed, fact.Member{Device: device}) // cuts of its own feed
	if c, _, ok := s.Cut(p.feed); ok && len(p.deps) > 0 && c.Number > p.Round {
		p.reset(c.Number)
	}
	from, _, _ := standing(r, s, s.Feed(fact.LedgerTopic, m.Device), m)
	b, at, given := r.Own(from, rowAsides)
	set := slices.DeleteFunc(get[[]aside](b, given), func(a aside) bool { return a.Device != device })
	terms, said, ok := r.Own(from, rowMandates)
	mine := mandatesFor(get[mandated](terms, ok).All, device)
	if sh, ok := certain(r, s, said.Feed); len(mine) > 0 && ok && sh.at.Seq >= said.Seq && !slices.Equal(mine, get[helped](first(r.Own(p.feed, rowHelped(p.feed)))).Mandates) {
		p.news = known // what was never given anything has nothing to take in
		if known {
			p.deps = append(append(p.deps, sh.cite...), s.Views()...)
		}
	}
	if sh, ok := certain(r, s, at.Feed); given && ok && sh.at.Seq >= at.Seq {
		for i := range set {
			had := p.of(set[i].Code).Given
			p.take(&set[i])
			p.news = p.news || p.of(set[i].Code).Given > had
		}
		if p.news {
			p.deps = append(append(p.deps, sh.cite...), s.Views()...)
		}
	} else {
		for _, a := range set {
			if k := p.of(a.Code); a.Round == p.Round && a.Given > k.Given {
				p.due[a.Code] = a.Given - k.Given
			}
		}
	}
	p.deps = fact.Deps(p.deps)
	return p, known || len(set) > 0
}

// draft makes the device's record.
func (p *allowance) draft(s *fact.Space, kind string, body any, idempotency string) api.Draft {
	return api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.LedgerTopic}, Deps: p.deps, Kind: kind, Body: codec.MustMarshal(body), Idempotency: idempotency}
}
