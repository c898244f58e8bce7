package ledger

import (
	"math"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// currency returns a currency of the space as the genesis has it.
func (f *fold) currency(code string) (fact.Currency, bool) {
	if c, ok := f.terms[code]; ok {
		return c, true
	}
	b, ok := f.Own(rowCurrency(code))
	return getCurrency(b, ok), ok
}

// account opens the author's account in a currency; close writes it back.
func (f *fold) account(code string) *opened {
	for _, o := range f.accounts {
		if o.code == code {
			return o
		}
	}
	o := &opened{code: code, account: getAccount(f.Own(rowAccount(code)))}
	f.accounts = append(f.accounts, o)
	return o
}

func (f *fold) close() {
	if f.settled {
		f.putAsides()
	}
	for _, o := range f.accounts {
		f.Put(rowAccount(o.code), o.encode())
	}
}

// limit returns the newest grant this feed has cited, else the currency's default.
func (f *fold) limit(code string, c fact.Currency) limits {
	for _, l := range f.limits {
		if l.Code == code {
			return l
		}
	}
	if b, ok := f.Own(rowLimit(code)); ok {
		return get[limits](b, ok)
	}
	return limits{Code: code, Limit: c.Limit, P: c.P}
}

// take counts a cited grant if it is newer than those cited before.
func (f *fold) take(l limits) {
	i := slices.IndexFunc(f.limits, func(o limits) bool { return o.Code == l.Code })
	last := get[limits](f.Own(rowLimit(l.Code)))
	if i >= 0 {
		last = f.limits[i]
	}
	if l.Number <= last.Number {
		return
	}
	if i < 0 {
		f.limits = append(f.limits, l)
	} else {
		f.limits[i] = l
	}
	f.Put(rowLimit(l.Code), codec.MustMarshal(&l))
}

// cite takes from what the record cites all that is for its author: grants, and credits, counted as far as the cited statements of enough
// witnesses show that the payer's feed is final and stands, else waiting.
func (f *fold) cite() {
	type credit struct {
		dep  api.Position
		paid []sum
	}
	owner := f.owner()
	var credits []credit
	var views, cuts, posted []api.Position
	for _, d := range f.rec.Deps {
		if d.Feed == f.rec.Feed {
			continue
		}
		paid, isPaid := f.At(d, rowPaid(d.Feed, owner))
		grants, isGrants := f.At(d, rowGrants(owner))
		for _, l := range get[[]limits](grants, isGrants) {
			f.take(l)
		}
		if isPaid {
			credits = append(credits, credit{d, getSums(paid, true)})
		}
		if isPaid || isGrants {
			continue
		}
		switch h, accepted := f.Dep(d); {
		case accepted && h.Topic.Name == fact.FinalityTopic:
			views = append(views, d)
		case h.Topic.Name == fact.CutTopic:
			f.accept(d)
			cuts = append(cuts, d)
		case h.Topic.Name == fact.PostingsTopic:
			posted = append(posted, d)
		}
	}
	for _, c := range credits {
		d, all := c.dep, c.paid
		final := []sum(nil)
		if at, ok := f.certain(views, cuts, d); ok {
			final = all
			if at != d {
				final = getSums(f.At(at, rowPaid(at.Feed, owner)))
			}
		}
		f.credit(d.Feed, final, all)
	}
	f.posted(views, cuts, posted)
	if f.self.Allots {
		f.reclaim(views, cuts)
	}
}

// credit counts what a payer has paid in all beyond what is counted already: what is final, and the rest as waiting.
func (f *fold) credit(payer api.Hash, final, all []sum) {
	row, known := f.Own(rowSeen(payer))
	seen := getSums(row, known)
	changed := false
	for _, p := range all {
		had, sure := of(seen, p.Code), of(final, p.Code) // all >= 0
		if more := p.Amount - max(had, sure); more > 0 {
			f.waiting = with(f.waiting, p.Code, addMax(of(f.waiting, p.Code), more))
		}
		if sure <= had {
			continue
		}
		a := f.account(p.Code)
		credits, ok := add(a.Credits, sure-had)
		if !ok {
			continue // beyond what an account can count: it stays due
		}
		a.Credits = credits
		seen = with(seen, p.Code, sure)
		changed = true
		f.Add(dueKey(nil, f.rec.Topic.Space, f.owner(), payer, p.Code), had-sure)
	}
	if changed {
		f.Put(rowSeen(payer), encodeSums(seen))
	}
}

// available returns how much an account may still spend; it may be below zero.
func available(a account, waiting int64, l limits) int64 {
	return addMax(addMax(a.Credits-a.Debits-a.Aside, min(waiting, l.P)), l.Limit)
}

// add returns a+b for non-negative numbers, false on overflow.
func add(a, b int64) (int64, bool) { return a + b, a <= math.MaxInt64-b }

// addMax returns a+b for b >= 0, at most the greatest int64.
func addMax(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
