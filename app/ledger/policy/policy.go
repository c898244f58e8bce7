// Package policy computes how far an account may go below zero from what a co-op has published and from facts about the account, and says why, as terms
// that add up.
//
//	full  = base + base x trust x rate + growth for each whole `per` cleared, at most max
//	limit = start + (full - start) x days / ramp                                              while a member is new
//
// It knows neither records nor where facts come from: the same rule and facts give the same limit on every machine, in integers, rounded down. What is in
// whole weeks, tenths and steps is so on purpose: a limit that moved with every payment and every day would be a record for each of them.
//
// It is not the place that decides whether a limit is lowered, nor for whom there is a limit at all.
package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of a rule.
const (
	MostAmount  = 1 << 60 // minor units of every amount, so that terms add up without overflow
	MostRamp    = 3660    // days
	MostGroups  = 16
	MostMembers = 256 // of all groups, and as many limits of their own
	MostName    = 32  // bytes of a group's name
	MostReason  = 200 // bytes
	Whole       = 10_000
)

// A ramp goes by weeks and trust by tenths.
const (
	rampStep  = 7    // days
	trustStep = 1000 // of Whole
)

// Rule is a credit policy for one currency. Amounts are minor units, shares are of Whole.
type Rule struct {
	Start  int64 // limit on the day of joining, 0 to Base
	Base   int64 // limit once the ramp is over, before anything is earned, up to Max
	Max    int64 // the most that base, trust and growth come to
	Ramp   int64 // days from Start to the full limit, 0 to MostRamp
	Growth int64 // how much more for each whole Per that an account was paid
	Per    int64 // 0 exactly when Growth is
	Trust  int64 // share of Base that full trust adds, 0 to Whole
	Groups []Group
	Own    []Own
}

// Group is of accounts that have another base and another maximum, such as workshops.
type Group struct {
	Name    string // 1 to 32 of a-z 0-9 -
	Base    int64  // from the rule's Start
	Max     int64
	Members []string
}

// Own is an account whose limit is its own, whatever the rule makes of it.
type Own struct {
	Account string
	Limit   int64
	Reason  string
}

// Facts are what a limit depends on.
type Facts struct {
	Days    int64 // whole days since the account's owner joined
	Cleared int64 // what the account was paid in trade and has counted, minor units
	Trust   int64 // what the owner's standing is, 0 to Whole
}

// Term is a part of a limit: what it is called, how much it adds, and what fact it follows from.
type Term struct {
	Name   string
	Amount int64
	Of     int64 // cleared amount, trust, days, or the maximum; else 0
}

// The names of terms. The one of a group has its name behind it, as in "group bakers".
const (
	TermBase   = "base"
	TermGroup  = "group "
	TermOwn    = "own"
	TermTrust  = "trust"
	TermGrowth = "growth"
	TermMax    = "max"
	TermRamp   = "ramp"
)

// Check reports what is wrong with a rule: which field, its value, and what would be right.
func (r *Rule) Check() error {
	switch {
	case r.Max < 0 || r.Max > MostAmount:
		return fmt.Errorf("max %d: want 0 to %d", r.Max, int64(MostAmount))
	case r.Base < 0 || r.Base > r.Max:
		return fmt.Errorf("base %d: want 0 to max, %d", r.Base, r.Max)
	case r.Start < 0 || r.Start > r.Base:
		return fmt.Errorf("start %d: want 0 to base, %d", r.Start, r.Base)
	case r.Ramp < 0 || r.Ramp > MostRamp:
		return fmt.Errorf("ramp %d: want 0 to %d days", r.Ramp, MostRamp)
	case r.Growth < 0 || r.Growth > MostAmount || r.Per < 0 || (r.Growth == 0) != (r.Per == 0):
		return fmt.Errorf("growth %d per %d: want both above 0, or neither", r.Growth, r.Per)
	case r.Trust < 0 || r.Trust > Whole:
		return fmt.Errorf("trust %d: want 0 to %d hundredths of a percent", r.Trust, Whole)
	case len(r.Groups) > MostGroups:
		return fmt.Errorf("%d groups: at most %d", len(r.Groups), MostGroups)
	case len(r.Own) > MostMembers:
		return fmt.Errorf("%d limits of their own: at most %d", len(r.Own), MostMembers)
	}
	return errors.Join(r.checkGroups(), r.checkOwn())
}

func (r *Rule) checkGroups() error {
	var all []string
	for i, g := range r.Groups {
		switch {
		case !isName(g.Name):
			return fmt.Errorf("groups[%d].name: want 1 to %d of a-z 0-9 -", i, MostName)
		case i > 0 && g.Name <= r.Groups[i-1].Name:
			return fmt.Errorf("groups[%d].name: not after the one before; want each once, ascending", i)
		case g.Max < 0 || g.Max > MostAmount || g.Base < r.Start || g.Base > g.Max:
			return fmt.Errorf("groups[%d]: base %d, max %d: want base from start, %d, to max, and max at most %d", i, g.Base, g.Max, r.Start, int64(MostAmount))
		case len(g.Members) == 0:
			return fmt.Errorf("groups[%d].members: none", i)
		}
		all = append(all, g.Members...)
	}
	if len(all) > MostMembers {
		return fmt.Errorf("%d members of groups: at most %d", len(all), MostMembers)
	}
	slices.Sort(all)
	for i := range all {
		if all[i] == "" || i > 0 && all[i] == all[i-1] {
			return fmt.Errorf("groups: %q stands twice, or is no account", all[i])
		}
	}
	return nil
}

func (r *Rule) checkOwn() error {
	for i, o := range r.Own {
		switch {
		case o.Account == "" || i > 0 && o.Account <= r.Own[i-1].Account:
			return fmt.Errorf("own[%d].account: not after the one before; want each account once, ascending", i)
		case o.Limit < 0 || o.Limit > MostAmount:
			return fmt.Errorf("own[%d].limit %d: want 0 to %d", i, o.Limit, int64(MostAmount))
		case len(o.Reason) == 0 || len(o.Reason) > MostReason:
			return fmt.Errorf("own[%d].reason of %d bytes: want 1 to %d", i, len(o.Reason), MostReason)
		}
	}
	return nil
}

func isName(s string) bool {
	return s != "" && len(s) <= MostName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" // all of it is trimmed
}

// Ceiling returns the most that the rule gives an account, ever.
func (r *Rule) Ceiling(account string) int64 {
	if i := r.own(account); i >= 0 {
		return r.Own[i].Limit
	}
	if g := r.group(account); g != nil {
		return g.Max
	}
	return r.Max
}

// Highest returns the most that the rule gives anybody.
func (r *Rule) Highest() int64 {
	most := r.Max
	for i := range r.Groups {
		most = max(most, r.Groups[i].Max)
	}
	for i := range r.Own {
		most = max(most, r.Own[i].Limit)
	}
	return most
}

// Limit computes an account's limit, 0 to Ceiling, of a rule that Check finds nothing wrong with. The terms add up to it; those that add nothing are
// left out, but for the first.
func (r *Rule) Limit(account string, f Facts) (int64, []Term) {
	if i := r.own(account); i >= 0 {
		return r.Own[i].Limit, []Term{{Name: TermOwn, Amount: r.Own[i].Limit}}
	}
	base, most, name := r.Base, r.Max, TermBase
	if g := r.group(account); g != nil {
		base, most, name = g.Base, g.Max, TermGroup+g.Name
	}
	terms := []Term{{Name: name, Amount: base}}
	full := base
	add := func(name string, amount, of int64) {
		if amount != 0 {
			terms = append(terms, Term{Name: name, Amount: amount, Of: of})
			full += amount
		}
	}
	trust := min(max(f.Trust, 0), Whole) / trustStep * trustStep
	add(TermTrust, part(part(base, r.Trust, Whole), trust, Whole), trust)
	add(TermGrowth, r.growth(f.Cleared, most), max(f.Cleared, 0))
	add(TermMax, min(most-full, 0), most)
	if days := max(f.Days, 0) / rampStep * rampStep; days < r.Ramp {
		add(TermRamp, r.Start+part(full-r.Start, days, r.Ramp)-full, days)
	}
	return full, terms
}

// growth is what an account has earned by what it was paid, and no more than the most that it can have.
func (r *Rule) growth(cleared, most int64) int64 {
	if r.Per == 0 || cleared < r.Per {
		return 0
	}
	steps := cleared / r.Per
	if steps > most/r.Growth {
		return most
	}
	return steps * r.Growth
}

// part returns n * num / den rounded down, for 0 <= num <= den.
func part(n, num, den int64) int64 { return n/den*num + n%den*num/den }

// Follows reports whether terms are what the rule makes of the facts that they name, and limit their sum.
func (r *Rule) Follows(account string, limit int64, terms []Term) bool {
	f := Facts{Days: math.MaxInt64}
	for _, t := range terms {
		switch t.Name {
		case TermTrust:
			f.Trust = t.Of
		case TermGrowth:
			f.Cleared = t.Of
		case TermRamp:
			f.Days = t.Of
		}
	}
	want, why := r.Limit(account, f)
	return limit == want && slices.Equal(terms, why)
}

// Next returns after how many days a new member's limit next rises by itself; 0: not any more.
func (r *Rule) Next(days int64) int64 {
	if days = max(days, 0); days >= r.Ramp || r.Ramp == 0 {
		return 0
	}
	return days/rampStep*rampStep + rampStep - days
}

func (r *Rule) own(account string) int {
	i, ok := slices.BinarySearchFunc(r.Own, account, func(o Own, a string) int { return strings.Compare(o.Account, a) })
	if !ok {
		return -1
	}
	return i
}

func (r *Rule) group(account string) *Group {
	for i := range r.Groups {
		if slices.Contains(r.Groups[i].Members, account) {
			return &r.Groups[i]
		}
	}
	return nil
}
