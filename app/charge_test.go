package app

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// charges sets a schedule on the clerk's node.
func (n *node) charges(in ledger.ScheduleIn) *ledger.ScheduleOut {
	n.t.Helper()
	in.Currency = "hours"
	return do[ledger.ScheduleOut](n, "ledger.schedule", in)
}

// passes lets time pass, and the node do what is due.
func (n *node) passes(d time.Duration) {
	n.t.Helper()
	n.m.Clock = n.m.Clock.Add(d)
	for _, a := range n.apps {
		if l, ok := a.(*ledger.App); ok {
			if err := l.Tick(n.t.Context(), n.m.Host("ledger"), n.m.Clock); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	if err := n.m.React(); err != nil {
		n.t.Fatal(err)
	}
}

// treasury is the balance of the space's own account.
func (n *node) treasury() int64 {
	n.t.Helper()
	return do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: fact.TreasuryAccount}).Balances[0].Balance
}

func (n *node) account(s api.Signer) ledger.Balance {
	n.t.Helper()
	return do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: s.DID()}).Balances[0]
}

const day = 24 * time.Hour

// Dues are charged when a period begins, once, whatever is tried, and count as soon as they are known.
func TestDues(t *testing.T) {
	n, bob, carol := bank(t)
	n.m.Clock = time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	out := n.charges(ledger.ScheduleIn{Name: "dues", Charge: "dues", Amount: 100, Every: "month"})
	if s := out.Schedule; s.First != "2026-01-31" || s.Due != 1 || s.Period != 0 {
		t.Fatalf("the schedule: %+v", s)
	}
	dry := do[ledger.ChargeOut](n, "ledger.charge", ledger.ChargeIn{Name: "dues", DryRun: true})
	if len(dry.Charges) != 3 || dry.Sum != 300 || n.treasury() != 0 {
		t.Fatalf("a dry run: %+v, and the treasury has %d", dry, n.treasury())
	}
	n.passes(time.Minute)
	if n.treasury() != 300 || n.balanceOf(bob) != -100 {
		t.Fatalf("the treasury has %d, bob %d: want 300, -100", n.treasury(), n.balanceOf(bob))
	}
	if again := do[ledger.ChargeOut](n, "ledger.charge", ledger.ChargeIn{Name: "dues"}); again.Period != 0 || len(again.Receipts) != 0 {
		t.Errorf("charged again: %+v", again)
	}
	if b := n.account(bob); b.Charged != 100 || b.Available != b.Limit-100 || b.Unacknowledged != 0 {
		t.Errorf("bob before his feed counts it: %+v", b)
	}
	n.wantRule(n.pays(bob, carol, n.account(bob).Available+1), "over-limit")
	if err := n.pays(bob, carol, n.account(bob).Available); err != nil {
		t.Fatal(err)
	}
	if b := n.account(bob); b.Charged != 0 || b.Available != 0 || b.Balance != -b.Limit {
		t.Errorf("bob after he has paid: %+v", b)
	}
	// January has no 31st of the month after: the last day counts. A clock set back charges nobody again.
	n.passes(27 * day)
	if n.treasury() != 300 {
		t.Errorf("the treasury has %d on 27 February", n.treasury())
	}
	n.passes(day)
	n.passes(-20 * day)
	n.passes(20 * day)
	if n.treasury() != 600 {
		t.Errorf("the treasury has %d on 28 February, want 600", n.treasury())
	}
	for _, e := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: carol.DID()}).Entries {
		if e.Kind == "charge" && (e.From != carol.DID() || e.To != fact.TreasuryAccount || e.BalanceDelta != -100 || e.Memo == "") {
			t.Errorf("carol's history: %+v", e)
		}
	}
	n.sound()
	// Four periods at once are too many to be charged unasked.
	n.passes(4 * 31 * day)
	if n.treasury() != 600 {
		t.Errorf("the treasury has %d: a clock that jumps charges for all that time", n.treasury())
	}
	if s := do[ledger.SchedulesOut](n, "ledger.schedules", ledger.SchedulesIn{}).Schedules[0]; s.Waits == "" || s.Due != 4 {
		t.Errorf("the schedule does not say what it waits for: %+v", s)
	}
	do[ledger.ChargeOut](n, "ledger.charge", ledger.ChargeIn{Name: "dues"})
	if n.treasury() != 900 {
		t.Errorf("the treasury has %d after somebody asked", n.treasury())
	}
}

// Levies are a share of what was paid in a period, demurrage of what is left at its end above what is exempt.
func TestLeviesAndDemurrage(t *testing.T) {
	n, bob, carol := bank(t)
	n.m.Clock = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	n.charges(ledger.ScheduleIn{Name: "levy", Charge: "levy-out", Rate: 150, Every: "week"})
	n.charges(ledger.ScheduleIn{Name: "demurrage", Charge: "demurrage", Rate: 200, Exempt: 1000, Every: "month"})
	n.mustPay(bob, carol, 5000)
	n.mustPay(bob, carol, 33)
	n.mustPay(carol, bob, 10) // 1.5 % of ten is less than one unit
	n.passes(8 * day)
	if n.treasury() != 75 || n.balanceOf(bob) != -5033+10-75 {
		t.Errorf("the treasury has %d, bob %d: want 75, %d", n.treasury(), n.balanceOf(bob), -5033+10-75)
	}
	for _, e := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: bob.DID()}).Entries {
		if e.Amount == 33 { // it was a mistake: it comes back, and with it what the levy has taken
			if _, err := as[ledger.ReverseOut](n, carol, "ledger.reverse", ledger.ReverseIn{ID: e.ID}); err != nil {
				t.Fatal(err)
			}
		}
		if e.Amount == 5000 {
			if _, err := as[ledger.ReverseOut](n, carol, "ledger.reverse", ledger.ReverseIn{ID: e.ID, Amount: 1000}); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.passes(7 * day)
	if got := n.balanceOf(bob); got != -5033+10-75+1033+15 {
		t.Errorf("bob has %d after a refund, want the levy on it back: %d", got, -5033+10-75+1033+15)
	}
	n.mustPay(bob, carol, 1033)
	n.passes(7 * day)
	n.mustPay(carol, bob, 100)
	n.passes(11 * day)
	// Carol had 4923 on 1 April, less the levy of 1 on what she paid in the second week.
	if got := n.balanceOf(carol); got != 4922-78 {
		t.Errorf("carol has %d, want %d", got, 4922-78)
	}
	if n.treasury() != 75+1+78 {
		t.Errorf("the treasury has %d, want %d", n.treasury(), 75+1+78)
	}
	n.sound()
}

// Scenario 2, levy-dodger: Bob never cites what he was charged. From the cut on nothing of his counts until he does; carol, who was charged as well, loses
// no payment.
func TestScenario2_LevyDodger(t *testing.T) {
	n, bob, carol := bank(t)
	n.mustPay(bob, carol, 100)
	n.charges(ledger.ScheduleIn{Name: "dues", Charge: "dues", Amount: 9000, Every: "month"})
	n.passes(time.Minute)
	if v := n.verdict(n.withoutLooking(bob, carol, 100).Position()); !v.Accepted {
		t.Fatalf("a payment by one who has not seen the charge yet: %+v", v)
	}
	n.mustPay(carol, bob, 10)
	n.passes(2 * day)
	n.withoutLooking(bob, carol, 100) // the registrar's node sees that he goes on
	last := n.withoutLooking(bob, carol, 9700)
	if v := n.verdict(last.Position()); v.Accepted || v.Reason.Rule != "cut" {
		t.Errorf("bob goes on without counting what he was charged: %+v, want void by the cut", v)
	}
	if b := n.account(bob); b.Charged != 9000 || b.Available > 1000 {
		t.Errorf("bob: %+v", b)
	}
	n.wantRule(n.pays(bob, carol, 2000), "over-limit")
	// He takes the cut into account and cites its cause, but no witness by whom that would be certain.
	r := n.m.Read("ledger")
	why, _ := r.Head(n.m.Host("ledger").Feed(api.Topic{Space: last.Topic.Space, Name: fact.PostingsTopic}, n.self.Device()))
	r.Close()
	if _, out := n.deliver(bob, n.paying(carol, 2000, append(n.cuts(), why)...), last.Position()); out.Void == nil || out.Void.Rule != "over-limit" {
		t.Errorf("bob goes on from the cut without its cause: %+v, want void", out)
	}
	n.mustPay(bob, carol, 100)
	if b := n.account(bob); b.Charged != 0 {
		t.Errorf("bob goes on from the cut and has not counted the charge: %+v", b)
	}
	n.mustPay(carol, bob, 500)
	if r = n.m.Read("ledger"); len(r.Cuts(n.m.Host("ledger").Feed(last.Topic, carol.Device()))) != 0 {
		r.Close()
		t.Error("carol's feed was cut")
	} else {
		r.Close()
	}
	n.sound()
}

// Scenario 15, office-handover: where the clerk's office passes on, the schedules and how far they have got pass with it.
func TestScenario15_ChargesAreHandedOver(t *testing.T) {
	ann, ben, carol, _ := offices(t)
	ann.m.Clock = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	ann.charges(ledger.ScheduleIn{Name: "dues", Charge: "dues", Amount: 100, Every: "month"})
	ann.passes(time.Minute)
	handed := ann.hand(fact.Clerk, ben.self)
	// Ben posts without the cut by which his feed goes on from hers: he would not know what was charged.
	show := do[membership.ShowOut](ann, "space.show", membership.ShowIn{})
	body := codec.MustMarshal(&struct {
		_                      struct{} `cbor:",toarray"`
		Number                 uint64
		Name, Charge, Currency string
		Amount, Rate, Exempt   int64
		Every, First, Last     string
		Zone                   string
	}{Number: 1, Name: "dues", Charge: "dues", Currency: "hours", Amount: 1, Every: "day", First: "2026-03-01", Zone: "UTC"})
	early := api.Draft{
		Topic: api.Topic{Space: show.Space, Name: fact.PostingsTopic}, Kind: "schedule", Body: body, Deps: fact.Deps([]api.Position{handed.Receipt.Position, show.Genesis}),
	}
	if _, out := ann.deliver(ben.self, early, api.Position{}); out.Void == nil || out.Void.Rule != "not-in-office" {
		t.Errorf("a clerk who has not gone on from the one before: %+v, want void", out)
	}
	exchange(t, ann, ben)
	_, err := as[ledger.ScheduleOut](ann, ann.self, "ledger.schedule", ledger.ScheduleIn{Name: "dues", Charge: "dues", Currency: "hours", Amount: 900, Every: "month"})
	ann.wantRule(err, "not-clerk")
	ben.m.Clock = ann.m.Clock.Add(31 * day)
	ann.m.Clock = ben.m.Clock
	ben.passes(time.Minute)
	exchange(t, ann, ben)
	ann.passes(time.Minute)
	if ann.treasury() != 600 || ben.treasury() != 600 || ann.balanceOf(carol) != -200 {
		t.Errorf("the treasury has %d and %d, carol %d: want 600, 600, -200", ann.treasury(), ben.treasury(), ann.balanceOf(carol))
	}
	if err := ann.pays(carol, ben.self, 10); err != nil {
		t.Fatal(err)
	}
	if b := ann.account(carol); b.Charged != 0 {
		t.Errorf("carol's feed counts what only one clerk has charged: %+v", b)
	}
	exchange(t, ann, ben)
	ann.sound()
	ben.sound()
	if ann.m.Digest("ledger") != ben.m.Digest("ledger") {
		t.Error("two nodes, two states")
	}
}

// Nothing is charged but what the schedule that holds says, in order, by the clerk.
func TestWrongChargesAreVoid(t *testing.T) {
	n, bob, carol := bank(t)
	out := n.charges(ledger.ScheduleIn{Name: "dues", Charge: "dues", Amount: 100, Every: "day"})
	n.passes(time.Minute)
	type leg struct {
		_       struct{} `cbor:",toarray"`
		Account api.DID
		Base    int64
		Amount  int64
	}
	type charge struct {
		_        struct{} `cbor:",toarray"`
		Schedule string
		Number   uint64
		Period   uint64
		Legs     []leg
		Done     bool
	}
	due := []leg{{Account: bob.DID(), Amount: 100}}
	for name, tc := range map[string]struct {
		by   api.Signer
		body charge
		rule string
	}{
		"another amount":   {n.self, charge{Schedule: "dues", Number: 1, Period: 2, Legs: []leg{{Account: bob.DID(), Amount: 101}}}, "wrong-amount"},
		"a base of dues":   {n.self, charge{Schedule: "dues", Number: 1, Period: 2, Legs: []leg{{Account: bob.DID(), Base: 1, Amount: 100}}}, "wrong-amount"},
		"another schedule": {n.self, charge{Schedule: "dues", Number: 2, Period: 2, Legs: due}, "other-schedule"},
		"no schedule":      {n.self, charge{Schedule: "fees", Number: 1, Period: 2, Legs: due}, "other-schedule"},
		"once more":        {n.self, charge{Schedule: "dues", Number: 1, Period: 1, Legs: due}, "already-charged"},
		"a member":         {carol, charge{Schedule: "dues", Number: 1, Period: 2, Legs: due}, "not-in-office"},
		"no account":       {n.self, charge{Schedule: "dues", Number: 1, Period: 2, Legs: []leg{{Account: "bob", Amount: 100}}}, "bad-account"},
		"nobody":           {n.self, charge{Schedule: "dues", Number: 1, Period: 2}, "malformed"},
		"twice in one":     {n.self, charge{Schedule: "dues", Number: 1, Period: 2, Legs: []leg{due[0], due[0]}}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := n.m.Append(tc.by, api.Draft{Topic: out.Receipt.Topic, Kind: "charge", Body: codec.MustMarshal(&tc.body)})
			n.wantRule(err, tc.rule)
		})
	}
	for name, in := range map[string]ledger.ScheduleIn{
		"other periods":  {Name: "dues", Charge: "dues", Amount: 100, Every: "month", Currency: "hours"},
		"long ago":       {Name: "old", Charge: "dues", Amount: 100, Every: "day", Currency: "hours", First: "2000-01-01"},
		"no currency":    {Name: "x", Charge: "dues", Amount: 100, Every: "day", Currency: "euros"},
		"no zone":        {Name: "x", Charge: "dues", Amount: 100, Every: "day", Currency: "hours", Zone: "Mars/Olympus"},
		"a rate of dues": {Name: "x", Charge: "dues", Amount: 100, Rate: 1, Every: "day", Currency: "hours"},
		"all and more":   {Name: "x", Charge: "demurrage", Rate: 10_001, Every: "day", Currency: "hours"},
	} {
		t.Run(name, func(t *testing.T) {
			op := n.operations()["ledger.schedule"]
			raw, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			v, err := op.Decode(raw)
			if err == nil {
				_, err = op.Do(context.Background(), &api.Call{Actor: n.self.DID(), Signer: n.self, Scopes: []string{"*"}}, v, nil)
			}
			if k := api.KindOf(err); k != api.Invalid && k != api.Conflict {
				t.Errorf("got %v", err)
			}
		})
	}
	if n.treasury() != 300 {
		t.Errorf("the treasury has %d, want 300", n.treasury())
	}
	n.sound()
}
