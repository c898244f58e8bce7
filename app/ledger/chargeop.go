package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// ScheduleIn is the input of ledger.schedule.
type ScheduleIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Name     string   `json:"name" doc:"1 to 16 of a-z 0-9 -; a schedule of the same name is replaced from its next period on" example:"monthly"`
	Charge   string   `json:"charge" doc:"dues (an amount, of each member), levy-in or levy-out (a share of what an account was paid or has paid), or demurrage (a share of what an account has at the end, above what is exempt)" example:"dues"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64    `json:"amount,omitempty" doc:"Dues: minor units per period" example:"100"`
	Rate     int64    `json:"rate,omitempty" doc:"All else: hundredths of a percent, 1 to 10000; 200 is 2 %"`
	Exempt   int64    `json:"exempt,omitempty" doc:"Demurrage: how much of a balance is not charged for, minor units"`
	Every    string   `json:"every" doc:"day, week or month" example:"month"`
	First    string   `json:"first,omitempty" doc:"Day on which the first period begins, such as 2026-11-01; default: today"`
	Last     string   `json:"last,omitempty" doc:"Last day; a period that ends later is not charged"`
	Zone     string   `json:"zone,omitempty" doc:"Time zone of the days, by IANA; default UTC" example:"Europe/Berlin"`
}

// Validate implements api.Validator.
func (in *ScheduleIn) Validate() error {
	if _, err := loadZone(in.Zone); err != nil {
		return err
	}
	s := in.body(time.Unix(0, 0))
	s.Number = 1
	return s.check()
}

func (in *ScheduleIn) body(now time.Time) *schedule {
	s := &schedule{
		Name: in.Name, Charge: in.Charge, Currency: in.Currency, Amount: in.Amount, Rate: in.Rate, Exempt: in.Exempt, Every: in.Every, First: in.First, Last: in.Last, Zone: in.Zone,
	}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	if zone, err := loadZone(s.Zone); s.First == "" && err == nil {
		s.First = now.In(zone).Format(time.DateOnly)
	}
	return s
}

// ScheduleOut is the output of ledger.schedule.
type ScheduleOut struct {
	Receipt  api.Receipt `json:"receipt"`
	Schedule Schedule    `json:"schedule"`
}

// Schedule is what accounts are charged, by period. Amounts are minor units.
type Schedule struct {
	Name     string    `json:"name"`
	Number   uint64    `json:"number" doc:"of the schedules that the office has set"`
	Charge   string    `json:"charge" doc:"dues, levy-in, levy-out or demurrage"`
	Currency string    `json:"currency"`
	Scale    int       `json:"scale"`
	Amount   int64     `json:"amount,omitempty" doc:"of dues"`
	Rate     int64     `json:"rate,omitempty" doc:"of all else, hundredths of a percent"`
	Exempt   int64     `json:"exempt,omitempty" doc:"of demurrage: what is not charged for"`
	Every    string    `json:"every"`
	First    string    `json:"first"`
	Last     string    `json:"last,omitempty"`
	Zone     string    `json:"zone"`
	Period   uint64    `json:"period" doc:"the newest that was charged, from 1; 0: none"`
	Next     time.Time `json:"next,omitzero" doc:"when a period will be charged next; none: no more"`
	Due      int       `json:"due" doc:"periods that are due and not charged to everybody, at most 4"`
	Waits    string    `json:"waits,omitempty" doc:"why what is due is not charged by itself"`
}

func (a *App) show(r api.Reader, s *fact.Space, d *desk, sch *schedule, now time.Time) Schedule {
	c, _ := s.Currency(sch.Currency)
	at := d.reached(r, sch.Name)
	out := Schedule{
		Name: sch.Name, Number: sch.Number, Charge: sch.Charge, Currency: sch.Currency, Scale: int(c.Scale), Amount: sch.Amount, Rate: sch.Rate,
		Exempt: sch.Exempt, Every: sch.Every, First: sch.First, Last: sch.Last, Zone: sch.Zone, Period: at.Period,
	}
	open, next, err := sch.periods(at, now, maxUnasked+2)
	out.Next = next.UTC()
	open = a.without(s.ID, sch, open)
	switch out.Due = len(open); {
	case err != nil:
		out.Waits = err.Error()
	case len(open) > maxUnasked:
		out.Waits = fmt.Sprintf("more than %d periods are due at once: somebody has to look at the clock, and charge by icnctl ledger charge %s", maxUnasked, sch.Name)
	case d.ended:
		out.Waits = "the clerk's device has passed the office on before: hand it to another device"
	case d.waits:
		out.Waits = "the feed of the clerk before has to be cut first: icnctl feed list --odd"
	}
	return out
}

// maxBack is how far in the past a new schedule may begin: what has been is not charged for.
const maxBack = 31 * 24 * time.Hour

func (a *App) schedule(ctx context.Context, call *api.Call, in *ScheduleIn) (*ScheduleOut, error) {
	const op = "ledger.schedule"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.grants.Lock() // before reading: schedules are numbered
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, err := asClerk(op, r, s, signer, "charges accounts")
	if err != nil {
		return nil, err
	}
	if err := checkCurrency(op, s, in.Currency); err != nil {
		return nil, err
	}
	if _, ok := s.Office(fact.Treasury); !ok {
		return nil, api.Errorf(op, api.Conflict, "%s has no treasury that could get what is charged", s.Genesis.Name)
	}
	next := in.body(host.Now())
	before, known := d.schedule(r, in.Name)
	if known && in.First == "" {
		next.First = before.First
	}
	cal, err := next.calendar()
	switch {
	case err != nil:
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	case known && !next.follows(&before):
		return nil, api.Errorf(op, api.Conflict, "schedule %s charges %s in %s every %s from %s (%s): only amount, rate, exempt and last can change; end it with last, and set another one",
			in.Name, before.Charge, before.Currency, before.Every, before.First, before.Zone)
	case !known && cal.begins(1).Before(host.Now().Add(-maxBack)):
		return nil, api.Errorf(op, api.Invalid, "first %s: more than 31 days ago; nobody is charged for so long before", next.First)
	}
	if b, at, ok := r.Own(d.from, rowSched(in.Name)); ok {
		if next.Number = before.Number; *next == get[schedule](b, ok) { // a request that is repeated
			return &ScheduleOut{Receipt: fact.Repeated(r, at), Schedule: a.show(r, s, &d, next, host.Now())}, nil
		}
	}
	next.Number = fact.Number(first(r.Own(d.from, rowNumber))) + 1
	rc, err := host.Append(ctx, signer, d.draft(s, kindSchedule, next, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return &ScheduleOut{Receipt: rc, Schedule: a.show(r, s, &d, next, host.Now())}, nil
}

// asClerk returns the office's desk for its holder, who alone does what.
func asClerk(op string, r api.Reader, s *fact.Space, signer api.Signer, what string) (desk, error) {
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok || !s.Holds(signer, fact.Clerk) {
		return d, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-clerk", Text: "only the clerk of " + s.Genesis.Name + " " + what,
			Inputs: map[string]string{"clerk": string(d.office.DID)}, Remedy: "ask " + string(d.office.DID),
		})
	}
	return d, d.writable(op)
}

// writable refuses while the office cannot write from its device.
func (d *desk) writable(op string) error {
	switch {
	case d.ended:
		return api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "feed-passed-on", Text: "this device has held the office before and passed its feed on: for this the office needs another device",
			Inputs: map[string]string{"device": d.office.Device.String()}, Remedy: "have the office handed to another device of yours: icnctl id device, icnctl office hand",
		})
	case d.waits:
		return api.Refusal(op, notContinued.Void)
	}
	return nil
}

// SchedulesIn is the input of ledger.schedules.
type SchedulesIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// SchedulesOut is the output of ledger.schedules.
type SchedulesOut struct {
	Schedules []Schedule `json:"schedules"`
}

func (a *App) schedules(_ context.Context, _ *api.Call, in *SchedulesIn) (*SchedulesOut, error) {
	host, r, s, err := a.see("ledger.schedules", in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &SchedulesOut{Schedules: []Schedule{}}
	if d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic); ok {
		for _, sch := range d.schedules(r) {
			out.Schedules = append(out.Schedules, a.show(r, s, &d, &sch, host.Now()))
		}
	}
	return out, nil
}

// ChargeIn is the input of ledger.charge.
type ChargeIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Name   string   `json:"name" doc:"Name of the schedule"`
	DryRun bool     `json:"dry_run,omitempty" doc:"Say what would be charged, and charge nothing"`
}

// Validate implements api.Validator.
func (in *ChargeIn) Validate() error {
	if !isCode(in.Name, maxCode) {
		return fmt.Errorf("name %q: want the name of a schedule, as ledger schedules lists them", clip(in.Name))
	}
	return nil
}

// ChargeOut is the output of ledger.charge: what was or would be charged for the oldest period that is due.
type ChargeOut struct {
	Schedule string        `json:"schedule"`
	Currency string        `json:"currency"`
	Scale    int           `json:"scale"`
	Period   uint64        `json:"period" doc:"0: nothing is due"`
	Start    time.Time     `json:"start,omitzero"`
	End      time.Time     `json:"end,omitzero"`
	Charges  []Charge      `json:"charges"`
	Sum      int64         `json:"sum" doc:"what the treasury gets, minor units"`
	Left     int           `json:"left" doc:"further periods that are due, at most 4"`
	Receipts []api.Receipt `json:"receipts"`
}

// Charge is what one account is charged. Amounts are minor units.
type Charge struct {
	Account api.DID `json:"account"`
	Base    int64   `json:"base,omitempty" doc:"what the charge is a share of"`
	Amount  int64   `json:"amount" doc:"negative: the account gets it back"`
}

func (a *App) charge(ctx context.Context, call *api.Call, in *ChargeIn) (*ChargeOut, error) {
	const op = "ledger.charge"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	s, err := a.open(op, r, in.Space)
	r.Close()
	if err != nil {
		return nil, err
	}
	return a.chargeNext(ctx, op, host, signer, s.ID, in.Name, in.DryRun, call.Wait)
}

// chargeNext charges what is left to charge of the oldest period that is due.
func (a *App) chargeNext(ctx context.Context, op string, host api.Host, signer api.Signer, space api.Hash, name string, dry bool, wait api.Wait) (*ChargeOut, error) {
	a.grants.Lock() // before reading: the charges go on in order
	defer a.grants.Unlock()
	r := host.Read()
	defer r.Close()
	s, err := a.open(op, r, space)
	if err != nil {
		return nil, err
	}
	d, err := asClerk(op, r, s, signer, "charges accounts")
	if err != nil {
		return nil, err
	}
	sch, ok := d.schedule(r, name)
	if !ok {
		var names []string
		for _, o := range d.schedules(r) {
			names = append(names, o.Name)
		}
		return nil, api.Errorf(op, api.NotFound, "schedule %q: %s has %s", clip(name), s.Genesis.Name, oneOf(names))
	}
	c, _ := s.Currency(sch.Currency)
	out := &ChargeOut{Schedule: name, Currency: sch.Currency, Scale: int(c.Scale), Charges: []Charge{}, Receipts: []api.Receipt{}}
	open, _, err := sch.periods(d.reached(r, name), host.Now(), maxUnasked+2)
	if err != nil {
		return nil, api.Errorf(op, api.Internal, "%w", err)
	}
	open = a.without(space, &sch, open)
	for len(open) > 0 {
		p := open[0]
		legs, err := a.bill(ctx, host, r, s, &d, &sch, &p)
		if err != nil {
			return nil, api.Wrap(op, err)
		}
		if len(legs) == 0 { // everybody has been charged
			if !dry {
				a.done(space, &sch, p.number)
			}
			open = open[1:]
			continue
		}
		out.Period, out.Start, out.End, out.Left = p.number, p.start.UTC(), p.end.UTC(), len(open)-1
		for _, l := range legs {
			out.Charges = append(out.Charges, Charge{Account: l.Account, Base: l.Base, Amount: l.Amount})
			out.Sum += l.Amount
		}
		if dry {
			return out, nil
		}
		for i := 0; i < len(legs); i += maxLegs {
			part := legs[i:min(i+maxLegs, len(legs))]
			body := &charge{Schedule: name, Number: sch.Number, Period: p.number, Legs: part, Done: i+maxLegs >= len(legs)}
			rc, err := host.Append(ctx, signer, d.draft(s, kindCharge, body, ""), wait)
			if err != nil {
				return nil, api.Wrap(op, err)
			}
			out.Receipts = append(out.Receipts, rc)
		}
		a.done(space, &sch, p.number)
		return out, nil
	}
	return out, nil
}

func oneOf(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// billed names a period of a schedule for which there is nothing left to charge.
type billed struct {
	space  api.Hash
	name   string
	number uint64 // of the schedule: another one may charge more
}

// done remembers that everybody has been charged for a period and those before it. It is not written down: after a restart somebody looks again.
func (a *App) done(space api.Hash, s *schedule, period uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.charged == nil {
		a.charged = map[billed]uint64{}
	}
	a.charged[billed{space, s.Name, s.Number}] = period
}

// without leaves out the periods for which everybody has been charged.
func (a *App) without(space api.Hash, s *schedule, open []period) []period {
	a.mu.Lock()
	defer a.mu.Unlock()
	done := a.charged[billed{space, s.Name, s.Number}]
	return slices.DeleteFunc(open, func(p period) bool { return p.number <= done })
}

// How often the clerk's node looks for what is due, and how often at most where Tick is called again and again.
const (
	chargeEvery = time.Minute
	lookEvery   = time.Second
)

// Serve implements api.Runner.
func (a *App) Serve(ctx context.Context, host api.Host) error {
	tick, part := time.NewTicker(chargeEvery), time.NewTicker(inspectEvery)
	defer tick.Stop()
	defer part.Stop()
	for {
		if err := a.Tick(ctx, host, host.Now()); err != nil && ctx.Err() == nil {
			host.Log().Warn("what is due is not charged or paid", "err", err)
		}
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
				due = true
			case <-part.C:
				if err := a.inspect(ctx, host, host.Now()); err != nil && ctx.Err() == nil {
					host.Log().Debug("a part of the state is not inspected", "err", err)
				}
			}
		}
	}
}

// Tick implements api.Ticker: the clerk's node charges what is due, and each member's pays its standing orders.
func (a *App) Tick(ctx context.Context, host api.Host, now time.Time) error {
	if err := a.inspect(ctx, host, now); err != nil {
		host.Log().Debug("a part of the state is not inspected", "err", err)
	}
	self := host.Self()
	if self == nil {
		return nil
	}
	if err := a.payDue(ctx, host, now); err != nil {
		return err
	}
	if !a.looks(now) {
		return nil
	}
	if err := a.settleSpaces(ctx, host, now); err != nil {
		return err
	}
	for _, id := range host.Follows() {
		for _, name := range a.overdue(host, self, id, now) {
			for range maxUnasked {
				out, err := a.chargeNext(ctx, "ledger.charge", host, self, id, name, false, api.WaitLocal)
				if err != nil {
					return err
				}
				if out.Period == 0 {
					break
				}
				host.Log().Info("accounts are charged", "space", id.Short(), "schedule", name, "period", out.Period, "accounts", len(out.Charges), "sum", out.Sum)
			}
		}
		if err := a.regrade(ctx, host, self, id); err != nil {
			return err
		}
	}
	return nil
}

// looks reports whether it is time to look at the schedules again.
func (a *App) looks(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if since := now.Sub(a.looked); since >= 0 && since < lookEvery { // a clock that was put back does not end the charges
		return false
	}
	a.looked = now
	return true
}

// overdue lists the schedules by which the node's member, as clerk, has to charge something.
func (a *App) overdue(host api.Host, self api.Signer, space api.Hash, now time.Time) (names []string) {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !s.Holds(self, fact.Clerk) {
		return nil
	}
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok || d.writable("") != nil {
		return nil
	}
	for _, sch := range d.schedules(r) {
		if v := a.show(r, s, &d, &sch, now); v.Due > 0 && v.Waits == "" {
			names = append(names, sch.Name)
		}
	}
	return names
}
