package app

import (
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// credit is a co-op whose currency lets a new member owe 20.00, with bob and carol.
func credit(t *testing.T, policy ledger.SetPolicyIn) (n *node, bob, carol api.Signer) {
	t.Helper()
	n, bob, carol = newNode(t, "ann"), kerneltest.Signer("bob"), kerneltest.Signer("carol")
	n.m.Clock = time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC)
	do[membership.CreateOut](n, "space.create", membership.CreateIn{Name: "Bank", DefaultLimit: new(int64(2000))})
	for _, s := range []api.Signer{bob, carol} {
		do[membership.AddOut](n, "member.add", membership.AddIn{DID: s.DID(), Device: s.Device()})
	}
	if policy.Currency != "" {
		do[ledger.SetPolicyOut](n, "ledger.policy.set", policy)
	}
	return n, bob, carol
}

func (n *node) limitOf(s api.Signer) ledger.Limit {
	n.t.Helper()
	return do[ledger.LimitOut](n, "ledger.limit", ledger.LimitIn{DID: s.DID()}).Limits[0]
}

// A new co-op with a preset: its members can pay at once, their limits rise by themselves while they are new and as they earn, and each grant says why.
func TestLimitsFollowAPolicy(t *testing.T) {
	n, bob, carol := credit(t, ledger.SetPolicyIn{Currency: "hours", Preset: "conservative"})
	if err := n.pays(bob, carol, 2000); err != nil {
		t.Fatalf("a new member cannot pay: %v", err)
	}
	err := n.pays(bob, carol, 1)
	n.wantRule(err, "over-limit")
	if why := api.ReasonOf(err); !strings.Contains(why.Text, "0.01 are missing") || !strings.Contains(why.Inputs["limit_by"], "what everybody has") || !strings.Contains(why.Remedy, string(n.self.DID())) {
		t.Errorf("the refusal says %+v", why)
	}
	n.passes(time.Minute)
	if l := n.limitOf(bob); l.Number != 0 || l.Becomes != "even" || l.NextIn != 7 {
		t.Errorf("on the first day: %+v", l)
	}
	n.passes(7 * day)
	if l := n.limitOf(bob); l.Limit != 2622 || l.Policy != 1 || len(l.Terms) != 2 || l.Why != "26.22 by policy 1: 100.00 that everybody has, -73.78 for being new, 7 days" {
		t.Errorf("after a week: %+v", l)
	}
	n.passes(84 * day)
	if l := n.limitOf(bob); l.Limit != 10000 || len(l.Terms) != 1 {
		t.Errorf("when the ramp is over: %+v", l)
	}
	// Carol has earned 20.00; with 150.00 more she has 170.00, as soon as she has counted them, and of 100.00 each a step.
	if err := n.pays(bob, carol, 8000); err != nil {
		t.Fatal(err)
	}
	n.mustPay(n.self, carol, 7000)
	n.mustPay(carol, n.self, 100)
	n.passes(time.Minute)
	if l := n.limitOf(carol); l.Limit != 10500 || l.Earned != 17000 || l.Terms[1].Text != "for 170.00 earned" {
		t.Errorf("carol has earned: %+v", l)
	}
	log := do[ledger.GrantsOut](n, "ledger.grants", ledger.GrantsIn{DID: carol.DID()}).Changes
	if len(log) != 3 || log[0].Before != 10000 || log[0].Limit != 10500 || log[2].Before != 2000 || log[2].Policy != 1 {
		t.Errorf("the log of carol's limit: %+v", log)
	}
	all := do[ledger.GrantsOut](n, "ledger.grants", ledger.GrantsIn{Limit: 2})
	if next := do[ledger.GrantsOut](n, "ledger.grants", ledger.GrantsIn{Limit: 100, Cursor: all.Cursor}); len(all.Changes) != 2 || len(next.Changes) != 5 {
		t.Errorf("pages of the log: %d and %d entries, want 2 and 5", len(all.Changes), len(next.Changes))
	}
	n.sound()
}

// What is given back is no trade: neither side's limit grows by it.
func TestRefundsEarnNothing(t *testing.T) {
	n, bob, carol := credit(t, ledger.SetPolicyIn{Currency: "hours", Base: new(int64(5000)), Max: new(int64(50000)), Growth: new(int64(100)), Per: new(int64(1000))})
	n.passes(time.Minute)
	for range 3 {
		n.mustPay(bob, carol, 4000)
		for _, e := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: bob.DID(), Limit: 1}).Entries {
			if _, err := as[ledger.ReverseOut](n, carol, "ledger.reverse", ledger.ReverseIn{ID: e.ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.mustPay(bob, carol, 1)
	n.mustPay(carol, bob, 1)
	n.passes(time.Minute)
	if b, c := n.limitOf(bob), n.limitOf(carol); b.Earned > 1 || c.Earned > 1 || b.Limit != 5000 || c.Limit != 5000 {
		t.Errorf("bob %+v, carol %+v", b, c)
	}
}

// A limit is not lowered unless the policy says so, and then not below what is owed; what a person has set stays until it is given back.
func TestPoliciesLowerOnlyWhatTheySay(t *testing.T) {
	n, bob, carol := credit(t, ledger.SetPolicyIn{})
	set := func(in ledger.SetPolicyIn) *ledger.SetPolicyOut {
		t.Helper()
		in.Currency = "hours"
		return do[ledger.SetPolicyOut](n, "ledger.policy.set", in)
	}
	if _, err := as[ledger.SetPolicyOut](n, n.self, "ledger.policy.set", ledger.SetPolicyIn{Currency: "hours", Max: new(int64(1))}); api.KindOf(err) != api.Invalid {
		t.Errorf("a first policy without a base: %v", err)
	}
	set(ledger.SetPolicyIn{Base: new(int64(9000)), Max: new(int64(9000))})
	n.passes(time.Minute)
	do[ledger.GrantOut](n, "ledger.grant", ledger.GrantIn{To: carol.DID(), Currency: "hours", Limit: 12345})
	n.mustPay(bob, carol, 6000)

	less := ledger.SetPolicyIn{Base: new(int64(4000)), Start: new(int64(4000))}
	if got := set(less).Becomes; got["above"] != 2 || got["by-hand"] != 1 {
		t.Errorf("a lower policy that lowers nothing: %v", got)
	}
	n.passes(time.Minute)
	if l := n.limitOf(bob); l.Limit != 9000 || l.Becomes != "above" || l.Would != 4000 {
		t.Errorf("bob: %+v", l)
	}
	less.Lower, less.DryRun = new(true), true
	dry := set(less)
	if got := dry.Becomes; got["lowers"] != 1 || got["waits"] != 1 || got["by-hand"] != 1 || len(dry.Changes) != 1 {
		t.Errorf("tried: %+v", dry)
	}
	if p := do[ledger.PolicyOut](n, "ledger.policy.show", ledger.PolicyIn{}).Policies; len(p) != 1 || p[0].Number != 2 || p[0].Lower {
		t.Errorf("a dry run has set something: %+v", p)
	}
	less.DryRun = false
	set(less)
	if again := set(less); !again.Receipt.Repeated || again.Policy.Number != 3 {
		t.Errorf("the same once more: %+v", again)
	}
	n.passes(time.Minute)
	if l := n.limitOf(bob); l.Limit != 9000 || l.Becomes != "waits" {
		t.Errorf("bob owes 60.00: %+v", l)
	}
	if l := n.limitOf(n.self); l.Limit != 4000 || l.Policy != 3 {
		t.Errorf("ann owes nothing: %+v", l)
	}
	n.mustPay(carol, bob, 2000)
	n.passes(time.Minute)
	if l := n.limitOf(bob); l.Limit != 4000 {
		t.Errorf("bob owes 40.00: %+v", l)
	}
	if b := n.account(bob); b.Limit != 4000 || b.Soft != 0 {
		t.Errorf("bob's account: %+v", b)
	}
	if l := n.limitOf(carol); l.Limit != 12345 || !l.ByHand || !strings.Contains(l.Why, "set by the clerk") {
		t.Errorf("carol's was set by hand: %+v", l)
	}
	out := do[ledger.GrantOut](n, "ledger.regrade", ledger.RegradeIn{To: carol.DID(), Currency: "hours"})
	if out.Limit != 4000 || n.limitOf(carol).ByHand {
		t.Errorf("given back: %+v, %+v", out, n.limitOf(carol))
	}
	n.sound()
}

// Freezing an account neither hides where its limit comes from nor takes it from the policy.
func TestFreezeKeepsThePolicy(t *testing.T) {
	n, bob, _ := credit(t, ledger.SetPolicyIn{Currency: "hours", Base: new(int64(3000)), Max: new(int64(9000))})
	freeze := func(lift bool) {
		do[ledger.GrantOut](n, "ledger.freeze", ledger.FreezeIn{To: bob.DID(), Currency: "hours", Lift: lift})
	}
	n.passes(time.Minute)
	freeze(false)
	if l := n.limitOf(bob); !l.Frozen || l.Policy != 1 || l.ByHand || l.Limit != 3000 {
		t.Errorf("frozen: %+v", l)
	}
	do[ledger.SetPolicyOut](n, "ledger.policy.set", ledger.SetPolicyIn{Currency: "hours", Base: new(int64(5000))})
	n.passes(time.Minute)
	if l := n.limitOf(bob); l.Becomes != "frozen" || l.Limit != 3000 {
		t.Errorf("frozen under another policy: %+v", l)
	}
	freeze(true)
	n.passes(time.Minute)
	if l := n.limitOf(bob); l.Frozen || l.Limit != 5000 || l.Policy != 2 {
		t.Errorf("lifted: %+v", l)
	}
	n.sound()
}

// Who owes most of what it may is warned, in the answer to the payment and in the balance.
func TestSoftLimit(t *testing.T) {
	n, bob, carol := credit(t, ledger.SetPolicyIn{Currency: "hours", Base: new(int64(2000)), Max: new(int64(2000)), Warn: new(int64(8000))})
	pay := func(amount int64) string {
		t.Helper()
		out, err := as[ledger.TransferOut](n, bob, "ledger.transfer", ledger.TransferIn{To: carol.DID(), Currency: "hours", Amount: amount})
		if err != nil {
			t.Fatal(err)
		}
		return out.Warning
	}
	if w := pay(1600); w != "" || n.account(bob).Warning != "" || n.account(bob).Soft != 1600 {
		t.Errorf("at 80 %%: %q, %+v", w, n.account(bob))
	}
	if w := pay(1); !strings.Contains(w, "16.01 hours of 20.00") || n.account(bob).Warning != w {
		t.Errorf("above: %q, %+v", w, n.account(bob))
	}
	if n.account(carol).Warning != "" {
		t.Error("carol is warned of what she has")
	}
}

// A group has another base and another maximum, and an account may have a limit of its own.
func TestGroupsAndOwnLimits(t *testing.T) {
	n, bob, carol := credit(t, ledger.SetPolicyIn{
		Currency: "hours", Base: new(int64(3000)), Max: new(int64(9000)),
	})
	do[ledger.SetPolicyOut](n, "ledger.policy.set", ledger.SetPolicyIn{
		Currency: "hours", Groups: []ledger.CreditGroup{{Name: "workshops", Base: 20000, Max: 30000, Members: []api.DID{bob.DID()}}},
		Own: []ledger.OwnLimit{{Account: carol.DID(), Limit: 2500, Reason: "agreed on 1 May"}},
	})
	n.passes(time.Minute)
	if b, c, a := n.limitOf(bob), n.limitOf(carol), n.limitOf(n.self); b.Limit != 20000 || b.Terms[0].Name != "group workshops" || c.Limit != 2500 || c.Terms[0].Name != "own" || a.Limit != 3000 {
		t.Errorf("bob %+v, carol %+v, ann %+v", b, c, a)
	}
	rows := do[ledger.LimitsOut](n, "ledger.limits", ledger.LimitsIn{Limit: 2})
	more := do[ledger.LimitsOut](n, "ledger.limits", ledger.LimitsIn{Limit: 2, Cursor: rows.Cursor})
	if len(rows.Limits) != 2 || len(more.Limits) != 1 || more.Cursor != "" || more.Limits[0].Becomes != "even" {
		t.Errorf("listed: %+v, %+v", rows, more)
	}
}

// The members' standing counts as far as the policy says, by tenths, and nobody's own word for itself.
func TestTrustRaisesLimits(t *testing.T) {
	n, bob, _ := credit(t, ledger.SetPolicyIn{Currency: "hours", Base: new(int64(3000)), Max: new(int64(9000)), Trust: new(int64(5000))})
	do[trust.AddOut](n, "trust.add", trust.AddIn{To: bob.DID(), Score: new(0.59)})
	n.passes(time.Minute)
	if l := n.limitOf(bob); l.Limit <= 3000 || l.Limit > 4500 || l.Terms[1].Name != "trust" || l.Terms[1].Of%1000 != 0 {
		t.Errorf("bob: %+v", l)
	}
	if l := n.limitOf(n.self); l.Limit != 3000 {
		t.Errorf("ann vouches for herself: %+v", l)
	}
}

// A grant that says a policy gives it has to be what that policy gives, and to cite it.
func TestGrantsByPolicyAreChecked(t *testing.T) {
	n, bob, carol := credit(t, ledger.SetPolicyIn{Currency: "hours", Base: new(int64(3000)), Max: new(int64(9000))})
	n.passes(time.Minute)
	real := n.newest(n.self)
	type term struct {
		_      struct{} `cbor:",toarray"`
		Name   string
		Amount int64
		Of     int64
	}
	type grant struct {
		_        struct{} `cbor:",toarray"`
		Account  api.DID
		Currency string
		Number   uint64
		Limit    int64
		P        int64
		Frozen   bool
		ByHand   bool
		Policy   uint64
		Terms    []term
	}
	try := func(g grant, deps []api.Position) error {
		g.Currency, g.Number = "hours", 2
		_, err := n.m.Append(n.self, api.Draft{Topic: n.ledger(), Kind: "grant", Deps: deps, Body: codec.MustMarshal(&g)})
		return err
	}
	base := func(n int64) []term { return []term{{Name: "base", Amount: n}} }
	n.wantRule(try(grant{Account: bob.DID(), Limit: 9000, Policy: 1, Terms: base(9000)}, real.Deps), "wrong-limit")
	n.wantRule(try(grant{Account: bob.DID(), Limit: 9000, Policy: 1, Terms: base(3000)}, real.Deps), "wrong-limit")
	n.wantRule(try(grant{Account: carol.DID(), Limit: 3000, Policy: 2, Terms: base(3000)}, real.Deps), "other-policy")
	n.wantRule(try(grant{Account: carol.DID(), Limit: 2000, Policy: 2, Terms: base(2000)}, nil), "other-policy")
	n.wantRule(try(grant{Account: carol.DID(), Limit: 3000, Policy: 1}, real.Deps), "malformed")
	n.wantRule(try(grant{Account: carol.DID(), Limit: 3000, Terms: base(3000)}, real.Deps), "malformed")
	n.wantRule(try(grant{Account: carol.DID(), Limit: 3000, ByHand: true, Policy: 1, Terms: base(3000)}, real.Deps), "malformed")
	if err := try(grant{Account: carol.DID(), Limit: 3000, Policy: 1, Terms: base(3000)}, real.Deps); err != nil {
		t.Errorf("the same as before: %v", err)
	}
}
