// Package rehearsal replays what has happened in a co-op as if other rules had held: whose payments would have been refused, and what would have been charged.
//
// It takes the past as it was, record by record in one order, and changes nothing but what follows from the rules: a payment that would have been refused is
// not made, nor what stands on it; nobody behaves otherwise for that. It knows neither records nor clocks, and the same past and rules give the same report,
// to the byte, wherever it is worked out.
//
// It is not a forecast, and it does not know what was not yet final at the time of a payment: credits count at once.
package rehearsal

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/intercooperative/icn/app/ledger/policy"
)

const day = 24 * 60 * 60 * 1000 // milliseconds

// MaxRefusals bounds how many refusals a report lists; it counts all of them.
const MaxRefusals = 500

// What a charge is of.
const (
	Dues      = "dues"      // an amount, when the period begins
	LevyIn    = "levy-in"   // a share of what an account was paid, when it is over
	LevyOut   = "levy-out"  // of what it has paid
	Demurrage = "demurrage" // of what it has
)

// Event is a record that has moved something. All of it happens, or nothing.
type Event struct {
	Time     uint64 // milliseconds since 1970 times 65536, and a counter: what events are in order of, then of feed and place
	Feed     [32]byte
	Seq      uint64
	ID       [32]byte
	Payer    string   // whose limit it is held to; empty: nobody's
	Moves    []Move   // sum to zero
	Trade    bool     // what accounts are paid is earned
	Undoes   [32]byte // the payment that it gives back, or zero
	Schedule string   // by which it charges, or empty
}

// Move is what an account gets, or gives where it is below 0.
type Move struct {
	Account string
	Amount  int64
}

// Member is who is charged and has a limit. Times are Unix milliseconds.
type Member struct {
	Account string
	Since   int64
	Until   int64 // when the membership ended, 0: it has not
}

// Grant is a limit that was granted.
type Grant struct {
	Time    uint64
	Account string
	Limit   int64
}

// Charge is a schedule that is rehearsed.
type Charge struct {
	Name    string
	Of      string
	Due     func(base int64) int64
	Periods []Period // in order
}

// Period is from Start to before End, Unix milliseconds.
type Period struct{ Start, End int64 }

func (c *Charge) due(p *Period) int64 {
	if c.Of == Dues {
		return p.Start
	}
	return p.End
}

// Past is what has happened.
type Past struct {
	Events  []Event
	Members []Member
	Grants  []Grant // in order of time; they hold where no rule is rehearsed
	Default int64   // the limit of who was granted none
	Fund    string  // the account that gets what is charged
}

// Proposal is what is rehearsed.
type Proposal struct {
	Rule    *policy.Rule // of limits, as if it had held from the first day on; nil: the grants that there were
	Charges []Charge     // besides those there were; one of the same name takes the place of the schedule that there was
	From    int64        // from when on, Unix milliseconds: what was before stays as it was
	To      int64        // until when, exclusive
}

// Report is what would have come of it. Amounts are minor units.
type Report struct {
	Payments  int // that were looked at
	Paid      int64
	Refused   int
	Withheld  int64     // what the refused payments come to
	Moot      int       // records that would have had nothing to stand on: what gives back a refused payment, or settles an escrow that there was not
	Replaced  int       // charges that were made by schedules whose place others take
	Refusals  []Refusal // the first MaxRefusals
	Charges   []Charged
	Accounts  []Account // those for whom anything would be otherwise, ascending
	Members   int       // of them members
	Collected int64     // by all charges, less what is given back
}

// Refusal is a payment that would have been refused.
type Refusal struct {
	ID      [32]byte
	At      int64 // Unix milliseconds
	From    string
	To      string // the first of those who would have been paid
	Amount  int64
	Balance int64 // of the payer, then
	Limit   int64
	Short   int64 // how much was missing
}

// Charged is what a schedule would have charged.
type Charged struct {
	Name     string
	Of       string
	Periods  int
	Charges  int // of an account for a period
	Sum      int64
	Back     int64 // of a levy on what was given back later
	Accounts int
}

// Account is what would be otherwise for an account.
type Account struct {
	Account  string
	Refused  int
	Withheld int64 // what it would not have paid
	Charged  int64
	Before   int64 // its balance in the end as it was
	After    int64 // and as it would be
	Limit    int64 // in the end; 0 for who is no member
}

// run is one rehearsal.
type run struct {
	past    *Past
	p       *Proposal
	real    map[string]int64
	would   map[string]int64
	earned  map[string]int64
	granted map[string]int64
	members map[string]Member
	refused map[[32]byte]bool
	payers  map[string]string // of an escrow's account
	touched map[string]*Account
	charges []charging
	report  Report
	grants  int
}

// charging is how far a charge has got.
type charging struct {
	*Charge
	at    int              // the period that is next
	flow  map[string]int64 // what accounts were paid or have paid in it
	net   map[string]int64 // what they were charged, ever
	total Charged
}

// Run replays the past. It sorts what it is given.
func Run(past *Past, p *Proposal) *Report {
	r := &run{
		past: past, p: p, real: map[string]int64{}, would: map[string]int64{}, earned: map[string]int64{}, granted: map[string]int64{}, members: map[string]Member{},
		refused: map[[32]byte]bool{}, payers: map[string]string{}, touched: map[string]*Account{},
	}
	slices.SortFunc(past.Events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), slices.Compare(a.Feed[:], b.Feed[:]), cmp.Compare(a.Seq, b.Seq))
	})
	slices.SortFunc(past.Members, func(a, b Member) int { return strings.Compare(a.Account, b.Account) })
	slices.SortStableFunc(past.Grants, func(a, b Grant) int { return cmp.Compare(a.Time, b.Time) })
	for _, m := range past.Members {
		r.members[m.Account] = m
	}
	for i := range p.Charges {
		c := &p.Charges[i]
		r.charges = append(r.charges, charging{Charge: c, flow: map[string]int64{}, net: map[string]int64{}, total: Charged{Name: c.Name, Of: c.Of}})
	}
	for i := range past.Events {
		e := &past.Events[i]
		if millis(e.Time) >= p.To {
			break
		}
		r.collect(millis(e.Time))
		r.event(e)
	}
	r.collect(p.To)
	return r.finish()
}

func millis(t uint64) int64 { return int64(t >> 16) }

// event lets one record happen, or not.
func (r *run) event(e *Event) {
	for ; r.grants < len(r.past.Grants) && r.past.Grants[r.grants].Time <= e.Time; r.grants++ {
		g := &r.past.Grants[r.grants]
		r.granted[g.Account] = g.Limit
	}
	for _, m := range e.Moves {
		r.real[m.Account] = plus(r.real[m.Account], m.Amount)
		if strings.HasPrefix(m.Account, "escrow:") && m.Amount > 0 {
			r.payers[m.Account] = e.Payer
		}
	}
	now := millis(e.Time)
	if now < r.p.From {
		r.happen(e, now)
		return
	}
	if r.replaces(e.Schedule) {
		r.report.Replaced++
		return
	}
	if r.moot(e) {
		r.report.Moot++
		r.refused[e.ID] = true
		return
	}
	if e.Payer != "" && !r.allows(e, now) {
		r.refused[e.ID] = true
		return
	}
	r.happen(e, now)
}

// moot reports whether a record stands on one that is not there.
func (r *run) moot(e *Event) bool {
	if r.refused[e.Undoes] {
		return true
	}
	for _, m := range e.Moves {
		if m.Amount < 0 && strings.HasPrefix(m.Account, "escrow:") && r.would[m.Account] < -m.Amount {
			return true
		}
	}
	return false
}

// allows holds a payment to its payer's limit.
func (r *run) allows(e *Event, now int64) bool {
	amount, to := int64(0), ""
	for _, m := range e.Moves {
		if m.Account == e.Payer && m.Amount < 0 {
			amount = plus(amount, -m.Amount)
		} else if to == "" && m.Amount > 0 {
			to = m.Account
		}
	}
	r.report.Payments++
	r.report.Paid = plus(r.report.Paid, amount)
	limit := r.limit(e.Payer, now)
	if r.p.Rule == nil { // what has happened was allowed
		limit = max(limit, -max(r.real[e.Payer], -math.MaxInt64))
	}
	had := r.would[e.Payer]
	free := plus(had, limit)
	if amount <= free {
		return true
	}
	a := r.touch(e.Payer)
	a.Refused++
	a.Withheld = plus(a.Withheld, amount)
	r.report.Refused++
	r.report.Withheld = plus(r.report.Withheld, amount)
	if len(r.report.Refusals) < MaxRefusals {
		r.report.Refusals = append(r.report.Refusals, Refusal{
			ID: e.ID, At: now, From: e.Payer, To: to, Amount: amount, Balance: had, Limit: limit, Short: plus(amount, -max(free, -math.MaxInt64)),
		})
	}
	return false
}

// limit returns what an account may owe.
func (r *run) limit(account string, now int64) int64 {
	if r.p.Rule == nil {
		if n, ok := r.granted[account]; ok {
			return n
		}
		return r.past.Default
	}
	n, _ := r.p.Rule.Limit(account, policy.Facts{Days: (now - r.members[account].Since) / day, Cleared: r.earned[account]})
	return n
}

// happen moves what a record moves, and counts what is earned and what levies are of.
func (r *run) happen(e *Event, now int64) {
	for _, m := range e.Moves {
		r.would[m.Account] = plus(r.would[m.Account], m.Amount)
	}
	back := e.Undoes != [32]byte{}
	for _, m := range e.Moves {
		paid := max(m.Amount, -math.MaxInt64)
		switch {
		case back: // who gives back has not earned it, and who gets it back earns nothing
			r.earned[m.Account] = plus(r.earned[m.Account], min(paid, 0))
			r.flow(m.Account, -paid, now, -1)
		case !e.Trade:
		case paid > 0 && !r.returns(e, m.Account):
			r.earned[m.Account] = plus(r.earned[m.Account], paid)
			fallthrough
		default:
			r.flow(m.Account, paid, now, 1)
		}
	}
}

// returns reports whether an account gets back what it had put in escrow.
func (r *run) returns(e *Event, account string) bool {
	for _, m := range e.Moves {
		if m.Amount < 0 && r.payers[m.Account] == account {
			return true
		}
	}
	return false
}

// flow adds to what levies are of: of what comes in, or goes out. What is given back is taken away again.
func (r *run) flow(account string, amount, now, sign int64) {
	for i := range r.charges {
		c := &r.charges[i]
		if c.at == len(c.Periods) || now < c.Periods[c.at].Start || (c.Of != LevyIn || amount <= 0) && (c.Of != LevyOut || amount >= 0) {
			continue
		}
		c.flow[account] = plus(c.flow[account], sign*max(amount, -amount))
	}
}

// collect charges what is due by a time.
func (r *run) collect(now int64) {
	for {
		next := -1
		var at int64
		for i := range r.charges {
			c := &r.charges[i]
			if c.at == len(c.Periods) {
				continue
			}
			if due := c.due(&c.Periods[c.at]); due <= now && (next < 0 || due < at) {
				next, at = i, due
			}
		}
		if next < 0 {
			return
		}
		c := &r.charges[next]
		if at >= r.p.From {
			r.charge(c, at)
		}
		clear(c.flow)
		c.at++
	}
}

// charge charges the members for a period.
func (r *run) charge(c *charging, at int64) {
	c.total.Periods++
	for _, m := range r.past.Members {
		if m.Since > at || m.Until != 0 && m.Until <= at {
			continue
		}
		base := c.flow[m.Account]
		if c.Of == Demurrage {
			base = r.would[m.Account]
		}
		n := max(c.Due(base), -c.net[m.Account])
		if n == 0 {
			continue
		}
		if _, known := c.net[m.Account]; !known {
			c.total.Accounts++
		}
		c.net[m.Account] = plus(c.net[m.Account], n)
		c.total.Charges++
		c.total.Sum = plus(c.total.Sum, max(n, 0))
		c.total.Back = plus(c.total.Back, max(-n, 0))
		r.report.Collected = plus(r.report.Collected, n)
		r.would[m.Account] = plus(r.would[m.Account], -n)
		r.would[r.past.Fund] = plus(r.would[r.past.Fund], n)
		a := r.touch(m.Account)
		a.Charged = plus(a.Charged, n)
	}
}

// replaces reports whether a proposed charge takes the place of a schedule.
func (r *run) replaces(schedule string) bool {
	return schedule != "" && slices.ContainsFunc(r.p.Charges, func(c Charge) bool { return c.Name == schedule })
}

func (r *run) touch(account string) *Account {
	a := r.touched[account]
	if a == nil {
		a = &Account{Account: account}
		r.touched[account] = a
	}
	return a
}

// finish says in what the accounts differ in the end.
func (r *run) finish() *Report {
	for _, all := range []map[string]int64{r.real, r.would} {
		for account := range all {
			if r.real[account] != r.would[account] {
				r.touch(account)
			}
		}
	}
	for _, account := range slices.Sorted(maps.Keys(r.touched)) {
		a := r.touched[account]
		a.Before, a.After = r.real[account], r.would[account]
		if m, ok := r.members[account]; ok {
			r.report.Members++
			if m.Until == 0 {
				a.Limit = r.limit(account, r.p.To)
			}
		}
		r.report.Accounts = append(r.report.Accounts, *a)
	}
	for i := range r.charges {
		r.report.Charges = append(r.report.Charges, r.charges[i].total)
	}
	return &r.report
}

// plus adds without running over: what is more than 64 bits hold stays at the bound.
func plus(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
