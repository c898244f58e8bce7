package ledger

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// localHost is a node's host with a place for what the node keeps for itself, and what it tells.
type localHost struct {
	api.Host
	self api.Signer
	kept map[string][]byte
	told []*OrderFailed
}

func (*localHost) Events(string, int, func(*api.Event) bool) ([]*api.Event, string, error) {
	return nil, "", nil
}
func (*localHost) EventTypes() []api.EventType { return nil }

func (d *localHost) Self() api.Signer                   { return d.self }
func (d *localHost) Local() api.Local                   { return d }
func (d *localHost) Put(key string, value []byte) error { d.kept[key] = value; return nil }
func (d *localHost) Delete(key string) error            { delete(d.kept, key); return nil }
func (d *localHost) Notify(_ string, _ api.Hash, _ api.DID, data any) {
	d.told = append(d.told, data.(*OrderFailed))
}

func (d *localHost) Each(prefix string, fn func(string, []byte) bool) error {
	for k, v := range d.kept {
		if strings.HasPrefix(k, prefix) && !fn(k, v) {
			break
		}
	}
	return nil
}

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestSchedule(t *testing.T) {
	for name, tc := range map[string]struct {
		o    order
		want []string
	}{
		"days":   {order{First: "2026-02-27", Every: 1, Unit: "days"}, []string{"2026-02-27", "2026-02-28", "2026-03-01"}},
		"weeks":  {order{First: "2026-12-21", Every: 2, Unit: "weeks"}, []string{"2026-12-21", "2027-01-04", "2027-01-18"}},
		"month":  {order{First: "2027-12-31", Every: 1, Unit: "months"}, []string{"2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"}},
		"months": {order{First: "2026-08-30", Every: 6, Unit: "months"}, []string{"2026-08-30", "2027-02-28", "2027-08-30"}},
		"years":  {order{First: "2028-02-29", Every: 12, Unit: "months"}, []string{"2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"}},
	} {
		tc.o.Zone = "UTC"
		s, err := tc.o.calendar()
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range tc.want {
			if got := s.date(i + 1).Format(time.DateOnly); got != want {
				t.Errorf("%s: period %d begins on %s, want %s", name, i+1, got, want)
			}
		}
	}
}

// A day begins at midnight where the payer is, also when clocks are changed in that night, and later where midnight is left out.
func TestScheduleWhenClocksChange(t *testing.T) {
	for _, tc := range []struct{ zone, first, want string }{
		{"Europe/Vienna", "2026-03-29", "2026-03-28T23:00:00Z"},
		{"Europe/Vienna", "2026-03-30", "2026-03-29T22:00:00Z"},
		{"Europe/Vienna", "2026-10-25", "2026-10-24T22:00:00Z"},
		{"Europe/Vienna", "2026-10-26", "2026-10-25T23:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"}, // 00:00 was 01:00
		{"Asia/Beirut", "2022-03-27", "2022-03-26T22:00:00Z"},       // 00:00 was 01:00
		{"Pacific/Kiritimati", "2026-01-01", "2025-12-31T10:00:00Z"},
	} {
		o := order{First: tc.first, Every: 1, Unit: "days", Zone: tc.zone}
		s, err := o.calendar()
		if err != nil {
			t.Fatal(err)
		}
		if got := s.begins(1).UTC().Format(time.RFC3339); got != tc.want {
			t.Errorf("%s in %s begins at %s, want %s", tc.first, tc.zone, got, tc.want)
		}
		at := s.begins(1)
		if s.due(at) != 1 || s.due(at.Add(-time.Second)) != 0 {
			t.Errorf("%s in %s: due %d then and %d before", tc.first, tc.zone, s.due(at), s.due(at.Add(-time.Second)))
		}
	}
}

// Periods follow on each other, whatever they are, and as many have begun as begin before now.
func TestPeriodsFollow(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o := order{
			First: time.Unix(rapid.Int64Range(0, 4e9).Draw(rt, "first"), 0).UTC().Format(time.DateOnly), Every: rapid.Uint64Range(1, maxEvery).Draw(rt, "every"),
			Unit: rapid.SampledFrom([]string{"days", "weeks", "months"}).Draw(rt, "unit"), Count: rapid.Uint64Range(0, 30).Draw(rt, "count"),
			Zone: rapid.SampledFrom([]string{"UTC", "Europe/Vienna", "America/Sao_Paulo", "Australia/Lord_Howe"}).Draw(rt, "zone"),
		}
		s, err := o.calendar()
		if err != nil {
			rt.Fatal(err)
		}
		n := rapid.IntRange(1, 40).Draw(rt, "n")
		if !s.begins(n).Before(s.begins(n + 1)) {
			rt.Errorf("%+v: period %d begins at %v, the next at %v", o, n, s.begins(n), s.begins(n+1))
		}
		got, last := o.periods(s, s.begins(n))
		want := n
		if o.Count > 0 {
			want = min(n, int(o.Count))
		}
		if got != want || last != (o.Count > 0 && n >= int(o.Count)) {
			rt.Errorf("%+v: %d periods, last %t, want %d", o, got, last, want)
		}
	})
}

func (w *world) localHost(name string) *localHost {
	return &localHost{Host: w.m.Host("ledger"), self: w.signer(name), kept: map[string][]byte{}}
}

// turn lets a node look at its standing orders at some time.
func (w *world) turn(n *localHost, app *App, at time.Time) {
	w.t.Helper()
	w.m.Clock = at
	if err := app.Tick(w.t.Context(), n, at); err != nil {
		w.t.Fatal(err)
	}
}

func TestStandingOrder(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	ann := w.localHost("ann")
	w.m.Clock = day("2026-01-15")
	id := do[OrderOut](w, "ann", "ledger.order.new", OrderIn{To: w.did("bob"), Currency: "hours", Amount: 100, Unit: "months", First: "2026-01-31", Count: 4, Category: "rent"}).Receipt.Position.ID
	w.no("ann", "ledger.order.pay", OrderPayIn{ID: id}, "not-due")
	w.turn(ann, w.app, day("2026-01-30"))
	if got := w.balance("ann").Balance; got != 0 {
		t.Fatalf("paid early: %d", got)
	}
	w.turn(ann, w.app, day("2026-01-31"))
	w.turn(ann, w.app, day("2026-01-31").Add(time.Hour)) // again
	w.turn(ann, w.app, day("2025-06-01"))                // the clock goes back
	w.turn(ann, New(w), day("2026-01-31").Add(2*time.Hour))
	if got := w.balance("ann").Balance; got != -100 {
		t.Fatalf("ann has %d after one period, want -100", got)
	}
	out := do[OrderPayOut](w, "ann", "ledger.order.pay", OrderPayIn{ID: id, Period: 1})
	if !out.Receipt.Repeated {
		t.Errorf("%+v", out)
	}
	w.turn(ann, w.app, day("2026-03-31")) // two at once, the oldest first
	all := w.entries("bob", HistoryIn{})
	if len(all) != 3 || all[0].For[0].N != 3 || all[1].For[0].N != 2 || all[0].Kind != "order" || all[0].Category != "rent" {
		t.Fatalf("%+v", all)
	}
	w.turn(ann, w.app, day("2030-01-01"))
	o := do[OrdersOut](w, "ann", "ledger.orders", OrdersIn{}).Orders[0]
	if o.State != "done" || o.Paid != 4 || w.balance("ann").Balance != -400 {
		t.Errorf("%+v", o)
	}
	w.verify()
	w.sameElsewhere(1)
}

func TestStandingOrderEnds(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	ann := w.localHost("ann")
	w.m.Clock = day("2026-01-01")
	id := do[OrderOut](w, "ann", "ledger.order.new", OrderIn{To: w.did("bob"), Currency: "hours", Amount: 1, Unit: "days", First: "2026-01-01", Last: "2026-01-03"}).Receipt.Position.ID
	w.turn(ann, w.app, day("2026-01-02"))
	w.no("bob", "ledger.order.end", OrderEndIn{ID: id}, "no-order")
	do[OrderEndOut](w, "ann", "ledger.order.end", OrderEndIn{ID: id})
	if !do[OrderEndOut](w, "ann", "ledger.order.end", OrderEndIn{ID: id}).Receipt.Repeated {
		t.Error("ended twice")
	}
	w.turn(ann, w.app, day("2026-01-09"))
	if got := w.balance("ann").Balance; got != -2 {
		t.Errorf("ann has %d, want -2", got)
	}
	w.no("ann", "ledger.order.pay", OrderPayIn{ID: id}, "no-order")
	// The fold says so, too; and a payment that is not what the order says is none of it.
	pay := func(amount int64, p purpose) string {
		_, out := w.deliver("ann", api.Draft{
			Topic: w.topic(fact.LedgerTopic), Kind: kindTransfer, Body: codec.MustMarshal(&transfer{To: w.did("bob"), Currency: "hours", Amount: amount, For: []purpose{p}}),
		}, w.tip("ann"))
		if out.Void == nil {
			return ""
		}
		return out.Void.Rule
	}
	if rule := pay(1, purpose{What: forOrder, ID: id, N: 3}); rule != "no-order" {
		t.Errorf("%q", rule)
	}
	w.m.Clock = day("2026-01-09")
	other := do[OrderOut](w, "ann", "ledger.order.new", OrderIn{To: w.did("bob"), Currency: "hours", Amount: 1, Unit: "days", First: "2026-02-01"}).Receipt.Position.ID
	for amount, want := range map[int64]string{2: "not-as-ordered"} {
		if rule := pay(amount, purpose{What: forOrder, ID: other, N: 1}); rule != want {
			t.Errorf("%q", rule)
		}
	}
	if rule := pay(1, purpose{What: forOrder, ID: other, N: 1}); rule != "" {
		t.Errorf("%q", rule)
	}
	if rule := pay(1, purpose{What: forOrder, ID: other, N: 1}); rule != "already-paid" {
		t.Errorf("%q", rule)
	}
	w.verify()
	w.sameElsewhere(1)
}

// A refusal is kept and told, and tried again a few times; then it waits for the member.
func TestStandingOrderRefused(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	ann := w.localHost("ann")
	now := day("2026-01-01")
	w.m.Clock = now
	id := do[OrderOut](w, "ann", "ledger.order.new", OrderIn{To: w.did("bob"), Currency: "hours", Amount: 600, Unit: "months", First: "2026-01-01", Count: 2}).Receipt.Position.ID
	now = day("2026-02-01")
	for range 30 {
		w.turn(ann, w.app, now)
		now = now.Add(12 * time.Hour)
	}
	o := do[OrdersOut](w, "ann", "ledger.orders", OrdersIn{}).Orders[0]
	if o.Paid != 1 || len(o.Due) != 1 || o.State != "active" {
		t.Fatalf("%+v", o)
	}
	if len(ann.told) != maxTries || !ann.told[maxTries-1].GivenUp || ann.told[0].GivenUp || ann.told[0].Rule != "over-limit" || len(ann.kept) != 1 {
		t.Fatalf("told %d times, kept %d", len(ann.told), len(ann.kept))
	}
	do[GrantOut](w, "clerk", "ledger.grant", GrantIn{To: w.did("ann"), Currency: "hours", Limit: 2000})
	if out := do[OrderPayOut](w, "ann", "ledger.order.pay", OrderPayIn{ID: id}); out.Period != 2 || out.Balance != -1200 {
		t.Errorf("%+v", out)
	}
	w.turn(ann, w.app, now.Add(time.Hour))
	if len(ann.kept) != 0 {
		t.Errorf("%d refusals are kept of what is paid", len(ann.kept))
	}
	w.verify()
}

// After a long time, or a jump of the clock, the node pays a dozen periods and leaves the rest to the member.
func TestStandingOrderMissed(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	ann := w.localHost("ann")
	w.m.Clock = day("2026-01-01")
	id := do[OrderOut](w, "ann", "ledger.order.new", OrderIn{To: w.did("bob"), Currency: "hours", Amount: 1, Unit: "days", First: "2026-01-01"}).Receipt.Position.ID
	for i := range 5 {
		w.turn(ann, w.app, day("2036-01-01").Add(time.Duration(i)*time.Hour))
	}
	if got := w.balance("ann").Balance; got != -maxMissed {
		t.Errorf("ann has %d, want %d", got, -maxMissed)
	}
	o := do[OrdersOut](w, "bob", "ledger.orders", OrdersIn{DID: w.did("ann")}).Orders[0]
	if len(o.Due) != maxDue || !o.Due[0].Missed || o.Due[0].Period >= o.Due[1].Period || o.Begun != 3653 {
		t.Errorf("%d due, %+v, begun %d", len(o.Due), o.Due[0], o.Begun)
	}
	if out := do[OrderPayOut](w, "ann", "ledger.order.pay", OrderPayIn{ID: id, Period: 1}); out.Receipt.Repeated {
		t.Errorf("%+v", out)
	}
	// Another device of ann's does nothing by itself.
	w.turn(w.localHost("ann/phone"), New(w), day("2036-01-09"))
	if got := w.balance("ann").Balance; got != -maxMissed-1 {
		t.Errorf("ann has %d", got)
	}
	w.verify()
}

func TestBadOrders(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	good := OrderIn{To: w.did("bob"), Currency: "hours", Amount: 1, Unit: "days", First: "2026-01-01"}
	for name, change := range map[string]func(*OrderIn){
		"self":     func(in *OrderIn) { in.To = w.did("ann") },
		"amount":   func(in *OrderIn) { in.Amount = 0 },
		"unit":     func(in *OrderIn) { in.Unit = "years" },
		"every":    func(in *OrderIn) { in.Every = maxEvery + 1 },
		"first":    func(in *OrderIn) { in.First = "2026-02-30" },
		"last":     func(in *OrderIn) { in.Last = "2025-12-31" },
		"count":    func(in *OrderIn) { in.Count = -1 },
		"zone":     func(in *OrderIn) { in.Zone = "Europe/Mill_Lane" },
		"local":    func(in *OrderIn) { in.Zone = "Local" },
		"path":     func(in *OrderIn) { in.Zone = "../../etc/passwd" },
		"currency": func(in *OrderIn) { in.Currency = "euros" },
	} {
		in := good
		change(&in)
		if _, err := w.call("ann", "ledger.order.new", in); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A day that has no midnight begins when the clocks have changed, for periods of all kinds.
func TestDayWithoutMidnight(t *testing.T) {
	const zone = "America/Sao_Paulo" // 4 November 2018 began at 1 o'clock
	sched := &schedule{First: "2018-11-04", Every: everyDay, Zone: zone}
	c, err := sched.calendar()
	if err != nil {
		t.Fatal(err)
	}
	before, err := c.after("2018-11-03")
	if err != nil {
		t.Fatal(err)
	}
	s, err := (&Period{From: "2018-11-04", To: "2018-11-04", Zone: zone}).span(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	begins, ends := time.Date(2018, 11, 4, 3, 0, 0, 0, time.UTC), time.Date(2018, 11, 5, 2, 0, 0, 0, time.UTC)
	for _, got := range []time.Time{c.begins(1), before, s.from} {
		if !got.Equal(begins) {
			t.Errorf("the day begins at %s, want %s", got.UTC(), begins)
		}
	}
	for _, got := range []time.Time{c.begins(2), nextDay(s.from), s.to} {
		if !got.Equal(ends) {
			t.Errorf("the day ends at %s, want %s", got.UTC(), ends)
		}
	}
	if _, err := loadZone("Local"); err == nil {
		t.Error("the zone of the machine is taken")
	}
}
