package ledger

import (
	"iter"
	"math"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// How many payers' feeds one record acknowledges, and how many with something due are looked at for that.
const (
	someAcks = 16 // always, if there are as many
	maxAcks  = 64 // when the amount needs them; a record cites at most 128
	maxLooks = 1024
	maxAfter = 1024 // records of one feed beyond its final position
)

// plan is what the next record of an account would stand on: what it cites, and what it may then spend.
type plan struct {
	feed    api.Hash
	deps    []api.Position
	acks    int // payers' feeds among deps whose credits count then
	settles int // devices whose allotments it settles
	states  []state
}

// state is one currency of an account.
type state struct {
	code    string
	scale   uint8
	account        // as the feed has it now
	gained  int64  // credits that the next record makes count
	freed   int64  // allotments that it makes the account's again
	spent   int64  // by other devices, beyond the account's debits, as far as this node knows
	waiting int64  // credits that it cites and that are not final
	due     int64  // all that was paid and is not counted yet
	charged int64  // what offices have charged and is not counted yet
	limits  limits // as of the next record
	waits   bool   // for the cut of the device before: until then this one spends nothing
}

func (s *state) available() int64 {
	if s.limits.Frozen || s.waits {
		return 0
	}
	a := s.account
	a.Credits = addMax(a.Credits, s.gained)
	a.Debits = addMax(a.Debits, s.charged)
	a.Aside -= s.freed
	return available(a, s.waiting, s.limits)
}

func (p *plan) state(code string) *state {
	if i := slices.IndexFunc(p.states, func(s state) bool { return s.code == code }); i >= 0 {
		return &p.states[i]
	}
	return nil
}

// enough reports whether the plan lets amount of code be spent; an empty code asks for nothing.
func (p *plan) enough(code string, amount int64) bool {
	s := p.state(code)
	return s == nil || s.available() >= amount
}

// prepare plans the next record of did's feed, which is to spend amount of code. It is false when did is no member.
func prepare(r api.Reader, s *fact.Space, did api.DID, code string, amount int64) (*plan, bool) {
	m, admission, ok := s.Member(did)
	if !ok {
		return nil, false
	}
	p := &plan{feed: s.Feed(fact.LedgerTopic, m.Device)}
	from, cites, waits := standing(r, s, p.feed, m)
	p.deps = append(p.deps, cites...)
	b, _, ok := r.Own(from, rowSelf)
	if me := getSelf(b, ok); from != p.feed || !me.Member || !me.Terms {
		p.deps = append(p.deps, admission, s.Founded)
	}
	granted, at := newGrants(r, s, from, did)
	if len(granted) > 0 {
		p.deps = append(p.deps, at)
	}
	for _, code := range s.Genesis.Currencies {
		c, _ := s.Currency(code)
		b, _, ok := r.Own(from, rowAccount(code))
		st := state{code: code, scale: c.Scale, account: getAccount(b, ok), limits: limits{Code: code, Limit: c.Limit, P: c.P}, waits: waits}
		if b, _, ok := r.Own(from, rowLimit(code)); ok {
			st.limits = get[limits](b, ok)
		}
		for _, g := range granted {
			if g.Code == code {
				st.limits = g
			}
		}
		p.states = append(p.states, st)
	}
	p.fees(r, s, did)
	p.reclaim(r, s, from, m.Device)
	p.acknowledge(r, s, did, code, amount, at)
	p.deps = fact.Deps(p.deps)
	return p, true
}

// standing returns the feed whose rows the next record of an account stands on, and what it cites for that: mostly its own and nothing; the feed of
// the device before, if this one has not begun yet, which waits until that is cut; and each cut with its causes that the feed has not taken into account.
func standing(r api.Reader, s *fact.Space, feed api.Hash, m fact.Member) (from api.Hash, cites []api.Position, waits bool) {
	from = feed
	cite := func(c fact.Cut, by api.Position) {
		cites = append(cites, by)
		for _, why := range c.Causes {
			cites = append(cites, why.Position())
		}
	}
	if me := getSelf(first(r.Own(feed, rowSelf))); (!me.Member || me.Device != m.Device) && m.Before != (api.Key{}) {
		old := s.Feed(fact.LedgerTopic, m.Before)
		c, by, ok := s.Cut(old)
		cut := ok && c.Next == m.Device
		from, waits = old, !cut && m.Before != m.Device
		if cut {
			if base, ok := r.Base(feed, by); ok { // old itself may never have begun
				from = base.Feed
			}
			cite(c, by)
		}
	}
	for _, st := range r.Cuts(feed) {
		if st.Cited {
			continue
		}
		if c, by, ok := s.Cut(feed); ok && by == st.By {
			cite(c, by)
		} else {
			cites = append(cites, st.By)
		}
	}
	return from, cites, waits
}

// prepareMost plans for as much of code as one record can make available.
func prepareMost(r api.Reader, s *fact.Space, did api.DID, code string) (*plan, bool) {
	return prepare(r, s, did, code, math.MaxInt64)
}

// newGrants returns a clerk's grants to did that its feed has not cited, and where to cite them: the newest clerk's who has any, and of an earlier one
// with the next record.
func newGrants(r api.Reader, s *fact.Space, feed api.Hash, did api.DID) (granted []limits, at api.Position) {
	return lastGrants(r, s, did, func(l limits) bool {
		b, _, ok := r.Own(feed, rowLimit(l.Code))
		return l.Number > get[limits](b, ok).Number
	}, feed)
}

// lastGrants returns those of the grants to did that are wanted, of the newest clerk who gave such, and where; it passes over some clerks' feeds.
func lastGrants(r api.Reader, s *fact.Space, did api.DID, want func(limits) bool, but ...api.Hash) (granted []limits, at api.Position) {
	for _, o := range clerks(s) {
		feed := s.Feed(fact.LedgerTopic, o.Device)
		if slices.Contains(but, feed) {
			continue
		}
		b, at, ok := r.Own(feed, rowGrants(did))
		// Who has the office for the second time has written in this feed before, for an earlier clerk's office than others since.
		now := func(l limits) bool { return l.Number > before(o.Number) && l.Number <= before(max(o.Number, 1)+1) }
		if granted = slices.DeleteFunc(get[[]limits](b, ok), func(l limits) bool { return !now(l) || !want(l) }); len(granted) > 0 {
			return granted, at
		}
	}
	return nil, api.Position{}
}

// clerks lists who holds and held the office of clerk, the newest first.
func clerks(s *fact.Space) []fact.Office { return holders(s, fact.Clerk) }

// holders lists who holds and held an office, the newest first.
func holders(s *fact.Space, office string) (all []fact.Office) {
	o, ok := s.Office(office)
	for n := o.Number; ok; n-- {
		all = append(all, o)
		if n <= 1 {
			break
		}
		o, _, ok = s.Handed(office, n-1)
	}
	return all
}

// due is what one payer's feed has paid and the account has not counted.
type due struct {
	payer api.Hash
	sums  []sum
}

// dues lists what is due to did, by payer's feed, at most so many.
func dues(r api.Reader, space api.Hash, did api.DID, most int) (all []due) {
	prefix := didKey(nil, counterDue, space, did)
	for k, n := range r.Counters(prefix) {
		rest := k[len(prefix):]
		if n <= 0 || len(rest) <= 32 {
			continue
		}
		payer := api.Hash(rest[:32])
		if len(all) == 0 || all[len(all)-1].payer != payer {
			if len(all) == most {
				break
			}
			all = append(all, due{payer: payer})
		}
		last := &all[len(all)-1]
		last.sums = append(last.sums, sum{Code: string(rest[32:]), Amount: n})
	}
	return all
}

// acknowledge adds credits to the plan: those that are final, and if that is not enough such that are not, as far as they may count. It leaves
// alone the feed of grant when that is cited beyond its final position: a record cites a feed once.
func (p *plan) acknowledge(r api.Reader, s *fact.Space, did api.DID, code string, amount int64, grant api.Position) {
	var later []due
	granted := slices.Contains(p.deps, grant)
	for _, d := range dues(r, s.ID, did, maxLooks) {
		for _, u := range d.sums {
			if st := p.state(u.Code); st != nil {
				st.due = addMax(st.due, u.Amount)
			}
		}
		if p.acks >= maxAcks || p.acks >= someAcks && p.enough(code, amount) {
			continue
		}
		sh, ok := certain(r, s, d.payer)
		var cite api.Position
		if ok {
			cite = sh.cite[0]
		}
		own := granted && grant.Feed == d.payer && (!ok || grant.Seq > cite.Seq)
		if own {
			cite = grant
		}
		final, waiting := paidBetween(r, did, d, sh.at, cite)
		switch {
		case len(final) > 0:
			p.gain(final, waiting)
			p.acks++
			p.deps = append(p.deps, sh.cite...)
		case own:
			p.gain(nil, waiting)
		case !granted || grant.Feed != d.payer:
			later = append(later, d)
		}
	}
	if p.acks > 0 {
		p.deps = append(p.deps, s.Views()...)
	}
	n := p.acks
	for _, d := range later {
		st := p.state(code)
		head, ok := r.Head(d.payer)
		if st == nil || n >= maxAcks || st.waiting >= st.limits.P || p.enough(code, amount) {
			break
		}
		if w := of(d.sums, code); ok && w > 0 {
			st.waiting = addMax(st.waiting, w)
			p.deps = append(p.deps, head)
			n++
		}
	}
}

// fees adds to the plan what offices have charged: it counts at once, and the record cites what is final of it.
func (p *plan) fees(r api.Reader, s *fact.Space, did api.DID) {
	var last api.Hash
	for feed, u := range feesOwed(r, s.ID, did) {
		if st := p.state(u.Code); st != nil {
			st.charged = addMax(st.charged, u.Amount)
		}
		if feed == last {
			continue
		}
		last = feed
		if sh, ok := certain(r, s, feed); ok {
			p.deps = append(append(p.deps, sh.cite...), s.Views()...)
		}
	}
}

// feesOwed goes through what an account was charged and has not counted, by office's feed.
func feesOwed(r api.Reader, space api.Hash, did api.DID) iter.Seq2[api.Hash, sum] {
	return func(yield func(api.Hash, sum) bool) {
		prefix := didKey(nil, counterFee, space, did)
		for k, n := range r.Counters(prefix) {
			if rest := k[len(prefix):]; n > 0 && len(rest) > 32 && !yield(api.Hash(rest[:32]), sum{Code: string(rest[32:]), Amount: n}) {
				return
			}
		}
	}
}

// gain adds what the plan's record counts as credit, and what it counts as waiting.
func (p *plan) gain(final, waiting []sum) {
	for _, u := range final {
		if st := p.state(u.Code); st != nil {
			st.gained = addMax(st.gained, u.Amount)
		}
	}
	for _, u := range waiting {
		if st := p.state(u.Code); st != nil {
			st.waiting = addMax(st.waiting, u.Amount)
		}
	}
}

// paidBetween splits what is due from a payer when its feed is cited at a position: what is final there (zero: nothing is), and what comes after
// that up to the position.
func paidBetween(r api.Reader, did api.DID, d due, final, cite api.Position) (sure, waiting []sum) {
	after, ok := dueAfter(r, did, cite)
	if !ok {
		return nil, nil
	}
	unsure := after
	if final.Seq > 0 && final != cite {
		if unsure, ok = dueAfter(r, did, final); !ok {
			return nil, nil
		}
	}
	for _, u := range d.sums {
		all := u.Amount - of(after, u.Code)
		counted := int64(0)
		if final.Seq > 0 {
			counted = u.Amount - of(unsure, u.Code)
		}
		if counted > 0 {
			sure = append(sure, sum{Code: u.Code, Amount: counted})
		}
		if rest := all - max(counted, 0); rest > 0 {
			waiting = append(waiting, sum{Code: u.Code, Amount: rest})
		}
	}
	return sure, waiting
}

// dueAfter adds up what the payer's feed has paid to did after a position of it with effect. It is false when that is too much to look at.
func dueAfter(r api.Reader, did api.DID, pos api.Position) (sums []sum, ok bool) {
	at, ok := r.Head(pos.Feed)
	for n := 0; ok && at.Seq > pos.Seq; n++ {
		rec, v, here := r.Record(at)
		if !here || n == maxAfter {
			return nil, false
		}
		if v.Accepted {
			for _, u := range paidBy(r, rec, did) {
				sums = with(sums, u.Code, addMax(of(sums, u.Code), u.Amount))
			}
		}
		at.Seq, at.ID = at.Seq-1, rec.Prev
	}
	return sums, ok
}

// paidBy returns what a record has paid to did.
func paidBy(r api.Reader, rec *api.Record, did api.DID) []sum {
	switch rec.Kind {
	case kindTransfer:
		if t, err := decodeTransfer(rec.Body); err == nil && t.To == did {
			return []sum{{Code: t.Currency, Amount: t.Amount}}
		}
	case kindSpend, kindPay:
		if s, ok := spentBy(rec); ok && s.To == did {
			return []sum{{Code: s.Currency, Amount: s.Amount}}
		}
	case kindBatch:
		var sums []sum
		legs, _ := legsOf(rec)
		for i := range legs {
			if l := &legs[i]; l.To == did {
				sums = with(sums, l.Currency, addMax(of(sums, l.Currency), l.Amount))
			}
		}
		return sums
	case kindCharge:
		if e, ok := chargedBy(r, rec, did); ok && e.Delta > 0 {
			return []sum{{Code: e.Code, Amount: e.Delta}}
		}
	case kindImport, kindImportUndo, kindImportBind:
		return importPaid(r, rec, did)
	}
	return nil
}

// draft makes the plan's record.
func (p *plan) draft(s *fact.Space, kind string, body any, idempotency string) api.Draft {
	return api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.LedgerTopic}, Deps: p.deps, Kind: kind, Body: codec.MustMarshal(body), Idempotency: idempotency}
}
