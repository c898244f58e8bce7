package app

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// In gift mode what members do for each other is counted, and nobody owes anything: there is no limit to meet, no balance to see, and nothing that makes a
// debt of a gift. A funder's report has it all.
func TestGiftMode(t *testing.T) {
	n, bob, carol := newNode(t, "ann"), kerneltest.Signer("bob"), kerneltest.Signer("carol")
	do[membership.CreateOut](n, "space.create", membership.CreateIn{Name: "Neighbours", Gift: true})
	for _, s := range []api.Signer{bob, carol} {
		do[membership.AddOut](n, "member.add", membership.AddIn{DID: s.DID(), Device: s.Device()})
	}
	if c := do[membership.ShowOut](n, "space.show", membership.ShowIn{}).Currencies[0]; !c.Gift || c.DefaultLimit != 0 {
		t.Errorf("the space shows %+v", c)
	}
	thank := func(from, to api.Signer, amount int64) {
		t.Helper()
		out, err := as[ledger.TransferOut](n, from, "ledger.transfer", ledger.TransferIn{To: to.DID(), Currency: "hours", Amount: amount, Category: "care"})
		if err != nil {
			t.Fatal(err)
		}
		if !out.Gift || out.Balance != 0 || out.Available != 0 || out.Warning != "" {
			t.Errorf("the answer has a balance: %+v", out)
		}
	}
	for range 3 {
		thank(bob, carol, 1_000_000) // far beyond any limit that members have elsewhere
	}
	thank(carol, bob, 250)
	asked, err := as[ledger.RequestOut](n, bob, "ledger.request", ledger.RequestIn{Payer: carol.DID(), Currency: "hours", Amount: 50, Category: "garden"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it was done before
		out, err := as[ledger.ApproveOut](n, carol, "ledger.approve", ledger.ApproveIn{ID: asked.Receipt.Position.ID})
		if err != nil || !out.Gift || out.Balance != 0 || out.Available != 0 {
			t.Errorf("%+v %v", out, err)
		}
	}
	for _, want := range []struct {
		who     api.Signer
		in, out int64
	}{{bob, 300, 3_000_000}, {carol, 3_000_000, 300}} {
		b := do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: want.who.DID()}).Balances[0]
		if (b != ledger.Balance{Currency: "hours", Scale: 2, Gift: true, In: want.in, Out: want.out}) {
			t.Errorf("%s: %+v", want.who.DID(), b)
		}
	}
	if l := do[ledger.LimitOut](n, "ledger.limit", ledger.LimitIn{DID: bob.DID()}).Limits[0]; !l.Gift || l.Limit != 0 || !strings.Contains(l.Why, "no limits") {
		t.Errorf("limit: %+v", l)
	}
	if rows := do[ledger.LimitsOut](n, "ledger.limits", ledger.LimitsIn{}).Limits; len(rows) != 3 || rows[0].Limit != 0 || rows[0].Balance != 0 {
		t.Errorf("limits: %+v", rows)
	}

	var lines []string
	for _, l := range do[ledger.ReportOut](n, "ledger.report", ledger.ReportIn{Every: "year"}).Lines {
		lines = append(lines, fmt.Sprintf("%s %d of %d by %d for %d, asked %d", l.Category, l.Amount, l.Count, l.Payers, l.Payees, l.Requested))
	}
	if got := strings.Join(lines, "; "); got != "care 3000250 of 4 by 2 for 2, asked 0; garden 50 of 1 by 1 for 1, asked 50" {
		t.Errorf("report: %s", got)
	}

	st, err := as[ledger.StatementOut](n, bob, "ledger.statement", ledger.StatementIn{DID: bob.DID()})
	if err != nil {
		t.Fatal(err)
	}
	if a := st.Accounts[0]; !a.Gift || a.Opening != 0 || a.Closing != 0 || a.In != 300 || a.Out != 3_000_000 {
		t.Errorf("statement: %+v", a)
	}
	for _, r := range st.Rows {
		if !r.Gift || r.Balance != 0 {
			t.Errorf("a row has a balance: %+v", r)
		}
	}

	// Nothing makes a debt of it, and an account can be frozen all the same.
	_, err = as[ledger.GrantOut](n, n.self, "ledger.grant", ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 100})
	n.wantRule(err, "gift-currency")
	_, err = as[ledger.SetPolicyOut](n, n.self, "ledger.policy.set", ledger.SetPolicyIn{Currency: "hours", Preset: "conservative"})
	n.wantRule(err, "gift-currency")
	_, err = as[ledger.ScheduleOut](n, n.self, "ledger.schedule", ledger.ScheduleIn{Name: "dues", Charge: "dues", Currency: "hours", Amount: 100, Every: "month", First: "2026-01-01"})
	n.wantRule(err, "gift-currency")
	_, err = as[ledger.RehearseOut](n, n.self, "ledger.rehearse", ledger.RehearseIn{Currency: "hours", Policy: &ledger.ProposedPolicy{Currency: "hours", Preset: "permissive"}})
	n.wantRule(err, "gift-currency")
	do[ledger.GrantOut](n, "ledger.freeze", ledger.FreezeIn{To: bob.DID(), Currency: "hours"})
	n.passes(0)
	n.wantRule(n.pays(bob, carol, 1), "frozen")
	do[ledger.GrantOut](n, "ledger.freeze", ledger.FreezeIn{To: bob.DID(), Currency: "hours", Lift: true})
	if err := n.pays(bob, carol, 1); err != nil {
		t.Errorf("after the freeze: %v", err)
	}
}

// What a gift currency cannot be is said when it is founded.
func TestGiftModeIsFoundedWithoutLimits(t *testing.T) {
	limit, none := int64(500), int64(math.MaxInt64)
	for _, in := range []membership.CreateIn{{Name: "A", Gift: true, DefaultLimit: &limit}, {Name: "A", DefaultLimit: &none}} {
		if err := in.Validate(); err == nil || !strings.Contains(err.Error(), "default_limit") {
			t.Errorf("%+v: %v", in, err)
		}
	}
}
