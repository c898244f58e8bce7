package ledger

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// The records of the topic postings. They are the clerk's.
const (
	kindSchedule = "schedule"
	kindCharge   = "charge"
)

// What a schedule charges.
const (
	chargeDues      = "dues"      // an amount, of each member
	chargeLevyIn    = "levy-in"   // a share of what an account was paid
	chargeLevyOut   = "levy-out"  // a share of what an account has paid
	chargeDemurrage = "demurrage" // a share of what an account has at the end, above what is exempt
)

const (
	maxRate = 10_000 // all of it, in hundredths of a percent
	maxLegs = 64     // of one charge
)

// schedule says what accounts are charged, by period. One of the same name replaces it, and may say another amount, rate, exemption and last day.
type schedule struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64   // of the schedules that the office has set, from 1
	Name     string
	Charge   string // dues, levy-in, ...
	Currency string
	Amount   int64  `say:"amount,currency"` // of dues, minor units, > 0
	Rate     int64  // of all else, hundredths of a percent, 1 to 10000
	Exempt   int64  `say:"amount,currency"` // of demurrage: what is not charged for, minor units, >= 0
	Every    string // day, week, month
	First    string // day on which the first period begins, such as 2026-11-01
	Last     string // no period that ends later is charged; empty: there is no last day
	Zone     string // of the days, by IANA
}

func (s *schedule) check() error {
	switch {
	case s.Number == 0:
		return errors.New("number 0: numbers start at 1")
	case !isCode(s.Name, maxCode):
		return fmt.Errorf("name: want 1 to %d of a-z 0-9 -", maxCode)
	case s.Charge != chargeDues && s.Charge != chargeLevyIn && s.Charge != chargeLevyOut && s.Charge != chargeDemurrage:
		return fmt.Errorf("charge %q: want dues, levy-in, levy-out or demurrage", clip(s.Charge))
	case !isCode(s.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case s.Charge == chargeDues && (s.Amount <= 0 || s.Rate != 0 || s.Exempt != 0):
		return fmt.Errorf("amount %d, rate %d, exempt %d: dues have an amount above 0, no rate and no exemption", s.Amount, s.Rate, s.Exempt)
	case s.Charge != chargeDues && (s.Amount != 0 || s.Rate <= 0 || s.Rate > maxRate):
		return fmt.Errorf("amount %d, rate %d: want no amount, and a rate of 1 to %d hundredths of a percent", s.Amount, s.Rate, maxRate)
	case s.Exempt < 0 || s.Exempt > 0 && s.Charge != chargeDemurrage:
		return fmt.Errorf("exempt %d: want 0 or more, and only for demurrage", s.Exempt)
	case s.Every != everyDay && s.Every != everyWeek && s.Every != everyMonth:
		return fmt.Errorf("every %q: want day, week or month", clip(s.Every))
	case !isDay(s.First):
		return fmt.Errorf("first %q: want a date such as 2026-11-01", clip(s.First))
	case s.Last != "" && !isDay(s.Last):
		return fmt.Errorf("last %q: want a date such as 2026-11-01, or nothing", clip(s.Last))
	case len(s.Zone) == 0 || len(s.Zone) > maxZone:
		return fmt.Errorf("zone of %d bytes: want the name of a time zone, at most %d", len(s.Zone), maxZone)
	}
	return nil
}

// isDay reports whether s is a date in the one form, from 1970 on.
func isDay(s string) bool {
	t, err := time.Parse(time.DateOnly, s)
	return err == nil && t.Year() >= 1970
}

// follows reports whether s may take the place of before: the periods that were charged stay the periods that they were.
func (s *schedule) follows(before *schedule) bool {
	return s.Charge == before.Charge && s.Currency == before.Currency && s.Every == before.Every && s.First == before.First && s.Zone == before.Zone
}

// due returns what an account is charged, given the base: what it was paid, has paid, or has. Less than one minor unit is not charged. What was given back
// may be more than what was paid in a period; then the base is negative, and so is the charge.
func (s *schedule) due(base int64) int64 {
	switch {
	case s.Charge == chargeDues:
		return s.Amount
	case s.Charge == chargeDemurrage:
		if base <= s.Exempt {
			return 0
		}
		return share(base-s.Exempt, s.Rate)
	case base < 0:
		return -share(-max(base, -(1<<62)), s.Rate)
	}
	return share(base, s.Rate)
}

// share returns rate hundredths of a percent of n >= 0, rounded down.
func share(n, rate int64) int64 { return n/maxRate*rate + n%maxRate*rate/maxRate }

// charge posts a period's charges to accounts, and their sum to the treasury.
type charge struct {
	_        struct{} `cbor:",toarray"`
	Schedule string   // its name
	Number   uint64   // of the schedule that holds
	Period   uint64   // from 1
	Legs     []levied // ascending by account, behind those charged for this period before
	Done     bool     // nobody is left to charge for it
}

// levied charges one account.
type levied struct {
	_       struct{} `cbor:",toarray"`
	Account api.DID
	Base    int64 // what the charge is a share of, minor units; 0 for dues
	Amount  int64 // minor units, not 0; negative: the account gets it
}

func (c *charge) check() error {
	switch {
	case !isCode(c.Schedule, maxCode):
		return fmt.Errorf("schedule: want 1 to %d of a-z 0-9 -", maxCode)
	case c.Period == 0 || c.Period > maxPeriods:
		return fmt.Errorf("period %d: want 1 to %d", c.Period, maxPeriods)
	case len(c.Legs) == 0 || len(c.Legs) > maxLegs:
		return fmt.Errorf("%d legs: want 1 to %d", len(c.Legs), maxLegs)
	}
	for i, l := range c.Legs {
		switch {
		case len(l.Account) > maxDID:
			return fmt.Errorf("legs[%d].account: too long for a DID", i)
		case l.Amount == 0:
			return fmt.Errorf("legs[%d].amount 0: want none of these", i)
		case i > 0 && l.Account <= c.Legs[i-1].Account:
			return fmt.Errorf("legs[%d].account: not after the one before; want each account once, ascending", i)
		}
	}
	return nil
}

// Feed rows of an office's feed in the topic postings, beside cur/<code>:
//
//	holder             how many had held the office when this one came, 8 bytes
//	by                 device of the office, whose feed it is
//	number             of the newest schedule, 8 bytes
//	sched/<name>       schedule: the one that holds
//	at/<name>          reached: how far its charges have got
//	back/<feed><to>    sums: all this feed has given the account
//	net/<name>/<to>    what a levy has charged the account less what it gave back
//	fee/<feed><to>     sums: all this feed has charged the account; half of the feed's own id keeps it apart from what an earlier clerk has charged
//
// and on the feed of an account:
//
//	fees/<feed>        sums: how much of what that feed has charged is counted
var (
	rowBy      = []byte("by")
	rowHolder  = []byte("holder")
	rowNumber  = []byte("number")
	rowsSched  = []byte("sched/")
	rowsCharge = []byte("fee/")
)

func rowSched(name string) []byte { return append(append([]byte(nil), rowsSched...), name...) }
func rowReached(name string) []byte {
	return []byte("at/" + name)
}

func rowCharged(by api.Hash, account api.DID) []byte {
	return append(append(append(make([]byte, 0, 96), rowsCharge...), by[:16]...), account...)
}

func rowBack(by api.Hash, account api.DID) []byte {
	return append(append(append(make([]byte, 0, 96), "back/"...), by[:16]...), account...)
}

func rowNet(name string, account api.DID) []byte {
	return []byte("net/" + name + "/" + string(account))
}
func rowFees(feed api.Hash) []byte { return append([]byte("fees/"), feed[:]...) }

// reached says how far the charges of a schedule have got. They go on in the order of period and account, so none is charged twice.
type reached struct {
	_       struct{} `cbor:",toarray"`
	Period  uint64
	Account api.DID // of the period, the last one charged
	Done    bool    // nobody is left
}

// before reports whether a charge of the account for the period is still to come.
func (at reached) before(period uint64, account api.DID) bool {
	return period > at.Period || period == at.Period && account > at.Account && !at.Done
}

// post folds a record of the topic postings.
func (f *fold) posting() api.Outcome {
	switch f.rec.Kind {
	case kindSchedule:
		var s schedule
		if err := decode(f.rec.Body, &s); err != nil {
			return malformed(err)
		}
		return f.schedule(&s)
	case kindCharge:
		var c charge
		if err := decode(f.rec.Body, &c); err != nil {
			return malformed(err)
		}
		return f.charge(&c)
	case kindFreeze:
		var x freezing
		if err := decode(f.rec.Body, &x); err != nil {
			return malformed(err)
		}
		return f.freezing(&x)
	case kindDue, kindSettle, kindRedress, kindTally:
		return f.settling()
	case kindImport:
		var c imported
		if err := decode(f.rec.Body, &c); err != nil {
			return malformed(err)
		}
		return f.imports(&c)
	case kindImportUndo:
		var u importUndo
		if err := decode(f.rec.Body, &u); err != nil {
			return malformed(err)
		}
		return f.undoImport(&u)
	case kindImportBind:
		var b importBind
		if err := decode(f.rec.Body, &b); err != nil {
			return malformed(err)
		}
		return f.bindImport(&b)
	case kindPolicy:
		var p creditPolicy
		if err := decode(f.rec.Body, &p); err != nil {
			return malformed(err)
		}
		return f.policy(&p)
	}
	return unknownKind(f.rec)
}

func (f *fold) schedule(s *schedule) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	switch cur, ok := f.currency(s.Currency); {
	case !ok:
		return unknownCurrency(s.Currency)
	case cur.Gift():
		return giftCurrency(s.Currency)
	}
	last := fact.Number(f.Own(rowNumber))
	if s.Number != last+1 {
		out := api.Voided(Domain, "out-of-order", "the schedules of an office are numbered without gaps")
		out.Void.Inputs = map[string]string{"number": strconv.FormatUint(s.Number, 10), "last": strconv.FormatUint(last, 10)}
		return out
	}
	if b, ok := f.Own(rowSched(s.Name)); ok {
		if before := get[schedule](b, ok); !s.follows(&before) {
			return otherPeriods
		}
	}
	f.Put(rowNumber, api.Seq8(s.Number))
	f.Put(rowSched(s.Name), codec.MustMarshal(s))
	return api.Accepted
}

var otherPeriods = api.Outcome{Void: &api.Reason{
	Domain: Domain, Rule: "other-periods", Text: "a schedule of this name charges something else, in another currency, or for other periods: what was charged would be charged again or left out",
}}

func (f *fold) charge(c *charge) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	b, ok := f.Own(rowSched(c.Schedule))
	s := get[schedule](b, ok)
	if !ok || s.Number != c.Number {
		out := api.Voided(Domain, "other-schedule", "the charge is not by the schedule that holds")
		out.Void.Inputs = map[string]string{"schedule": c.Schedule, "number": strconv.FormatUint(c.Number, 10), "holds": strconv.FormatUint(s.Number, 10)}
		return out
	}
	at := get[reached](f.Own(rowReached(c.Schedule)))
	if !at.before(c.Period, c.Legs[0].Account) {
		out := api.Voided(Domain, "already-charged", "the accounts are charged in order, each once for a period, and this one's turn is past")
		out.Void.Inputs = map[string]string{"schedule": c.Schedule, "period": strconv.FormatUint(c.Period, 10), "account": string(c.Legs[0].Account)}
		return out
	}
	var in, back int64
	for _, l := range c.Legs {
		if want := s.due(l.Base); l.Amount != want || s.Charge == chargeDues && l.Base != 0 {
			out := api.Voided(Domain, "wrong-amount", "the schedule charges another amount")
			out.Void.Inputs = map[string]string{"account": string(l.Account), "amount": strconv.FormatInt(l.Amount, 10), "due": strconv.FormatInt(want, 10)}
			return out
		}
		if !f.within(&s, &l) {
			return notCharged(&l)
		}
		ok, fits := f.debit(&l, s.Currency), true
		if l.Amount > 0 {
			in, fits = add(in, l.Amount)
		} else {
			back += -l.Amount // no more than was charged, ever
		}
		switch {
		case !fits:
			return overflow
		case !ok:
			return *f.refused
		}
	}
	if !f.fund(s.Currency, in, back) {
		return *f.refused
	}
	at = reached{Period: c.Period, Account: c.Legs[len(c.Legs)-1].Account, Done: c.Done}
	f.Put(rowReached(c.Schedule), codec.MustMarshal(&at))
	return api.Accepted
}

// within keeps count of what a levy has charged an account, of which no more is given back: else who sets schedules could pay out what the treasury has.
func (f *fold) within(s *schedule, l *levied) bool {
	if s.Charge == chargeDues || s.Charge == chargeDemurrage {
		return l.Amount > 0
	}
	row := rowNet(s.Name, l.Account)
	b, ok := f.Own(row)
	net, fits := add(get[int64](b, ok), max(l.Amount, 0))
	if net += min(l.Amount, 0); !fits || net < 0 {
		return false
	}
	f.Put(row, codec.MustMarshal(net))
	return true
}

func notCharged(l *levied) api.Outcome {
	out := api.Voided(Domain, "wrong-amount", "more is given back than was charged")
	out.Void.Inputs = map[string]string{"account": string(l.Account), "amount": strconv.FormatInt(l.Amount, 10)}
	return out
}

// debit charges one account, or gives it something back. It is false, and the record refused, where that cannot be.
func (f *fold) debit(l *levied, code string) bool {
	_, charged := f.Own(rowCharged(f.rec.Feed, l.Account))
	_, paid := f.Own(rowBack(f.rec.Feed, l.Account))
	if !charged && !paid {
		if _, err := record.ParseDID(string(l.Account)); err != nil {
			out := api.Voided(Domain, "bad-account", "account: "+err.Error())
			f.refused = &out
			return false
		}
	}
	if l.Amount < 0 {
		f.untraded(l.Account, code, -l.Amount)
	}
	return f.move(l.Account, code, -l.Amount)
}

// fund gives the treasury the sum of what accounts are charged, less what they get back.
func (f *fold) fund(code string, in, back int64) bool {
	return in == back || f.move(fact.TreasuryAccount, code, in-back)
}

// move changes the balance of an account by what the office posts: what it gets is due to it as a payment is, what it is charged counts when its feed cites
// that or is cut for it.
func (f *fold) move(account api.DID, code string, delta int64) bool {
	row, counter, n := rowBack(f.rec.Feed, account), dueKey, delta
	if delta < 0 {
		row, counter, n = rowCharged(f.rec.Feed, account), feeKey, -delta
	}
	b, ok := f.Own(row)
	sums := getSums(b, ok)
	total, fits := add(of(sums, code), n)
	if !fits {
		out := overflow
		f.refused = &out
		return false
	}
	space := f.rec.Topic.Space
	f.Put(row, encodeSums(with(sums, code, total)))
	k := make([]byte, 0, keySize)
	f.Add(counter(k, space, account, f.rec.Feed, code), n)
	f.Add(balanceKey(k, space, code, account), delta)
	e := entry{ID: f.rec.ID, Code: code, Delta: delta}
	f.Index(historyKey(k, account, f.rec, 0), e.encode())
	return true
}

// enterOffice learns whether this device is the office's, from its feed's past or from what the record cites. The first holder cites the genesis, a later one
// the record that gives the office and the cut by which its feed goes on from that of the one before; else the record is refused.
func (f *fold) enterOffice(name string) {
	by, known := f.Own(rowBy)
	had := max(fact.Number(f.Own(rowHolder)), 1)
	mine := known && api.Key(by) == f.rec.Device
	for _, d := range f.rec.Deps {
		if d.Feed == f.rec.Feed {
			continue
		}
		if !known {
			f.learn(d)
		}
		o, ok := fact.OfficeAt(f, d, name)
		if n := max(o.Number, 1); !ok || mine && n <= had {
			continue
		} else if o.Device != f.rec.Device || o.DID != f.rec.Author {
			mine = mine && n <= had
		} else if n == 1 || f.succeeds(d, name, n) {
			mine, had = true, n
			f.Put(rowBy, f.rec.Device[:])
			f.Put(rowHolder, api.Seq8(n))
		}
	}
	if !mine && f.refused == nil {
		out := api.Voided(Domain, "not-in-office", "only the device of the office writes here, and its first record cites what gave it the office")
		out.Void.Inputs = map[string]string{"office": name}
		f.refused = &out
	}
}

// succeeds reports whether the record cites the cut by which its feed goes on from the feed of one who held the office before the nth, whom the record at d
// names: mostly of the one before, but a feed that has been passed on is not passed on to again.
func (f *fold) succeeds(d api.Position, name string, nth uint64) bool {
	for n := nth - 1; n > 0 && n+maxHolders > nth; n-- {
		if before, ok := fact.HandedAt(f, d, name, n); ok && f.continues(before.Device) {
			return true
		}
	}
	return false
}

// maxHolders bounds of how many holders before it is looked whose feed goes on.
const maxHolders = 64

// posted counts what offices have posted to the author's account, as far as the record shows it certain; and, certain or not, what a cut of the account's
// feed names as its cause, since the registrar has asked for it.
func (f *fold) posted(views, cuts, posted []api.Position) {
	for _, d := range posted {
		at, ok := f.certain(views, cuts, d)
		if !ok {
			continue
		}
		f.fees(at)
		if b, ok := f.At(at, rowBack(at.Feed, f.owner())); ok {
			back := getSums(b, ok)
			f.credit(at.Feed, back, back)
		}
	}
	for _, why := range f.binding {
		if h, _ := f.Dep(why.Position()); h.Topic.Name == fact.PostingsTopic {
			f.fees(why.Position())
		}
	}
}

// fees counts what the author's account was charged at or before a position of an office's feed, beyond what is counted already.
func (f *fold) fees(at api.Position) {
	b, ok := f.At(at, rowCharged(at.Feed, f.owner()))
	if !ok {
		return
	}
	row, known := f.Own(rowFees(at.Feed))
	if mine, fresh := f.counting[at.Feed]; fresh {
		row, known = mine, true
	}
	seen := getSums(row, known)
	changed := false
	for _, c := range getSums(b, ok) {
		more := c.Amount - of(seen, c.Code)
		if more <= 0 {
			continue
		}
		a := f.account(c.Code)
		debits, fits := add(a.Debits, more)
		if !fits {
			continue // beyond what an account can count: it stays owed
		}
		a.Debits, changed = debits, true
		seen = with(seen, c.Code, c.Amount)
		f.Add(feeKey(nil, f.rec.Topic.Space, f.owner(), at.Feed, c.Code), -more)
	}
	if changed {
		row := encodeSums(seen)
		f.Put(rowFees(at.Feed), row)
		if f.counting == nil {
			f.counting = map[api.Hash][]byte{}
		}
		f.counting[at.Feed] = row
	}
}
