package app

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/api"
)

// A rule is rehearsed over what has happened, before it is set: whom it would have refused, by how much, and what it would have moved; on every node alike.
func TestRehearsal(t *testing.T) {
	n, bob, carol := bank(t)
	n.m.Clock = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	n.mustPay(bob, carol, 3000)
	n.m.Clock = n.m.Clock.Add(10 * day)
	n.mustPay(bob, carol, 4000)
	n.mustPay(carol, n.self, 500)
	n.m.Clock = n.m.Clock.Add(30 * day)
	n.mustPay(n.self, carol, 100)
	in := ledger.RehearseIn{
		Currency: "hours", Policy: &ledger.ProposedPolicy{Currency: "hours", Base: new(int64(5000)), Max: new(int64(5000))},
		Charges: []ledger.ProposedCharge{{Name: "levy", Charge: "levy-out", Currency: "hours", Rate: 1000, Every: "month", First: "2026-03-01"}},
	}
	before := n.m.Digest("ledger")
	out := do[ledger.RehearseOut](n, "ledger.rehearse", in)
	if out.Payments != 4 || out.Refused != 1 || out.Withheld != 4000 || out.Moved != 350 || out.Affected != 2 {
		t.Errorf("%+v", out)
	}
	if r := out.Refusals[0]; r.From != bob.DID() || r.To != carol.DID() || r.Balance != -3000 || r.Limit != 5000 || r.Short != 2000 {
		t.Errorf("%+v", r)
	}
	if want := "would have refused 1 of 4 payments, 40.00 hours of 76.00 hours, moved 3.50 hours to the treasury, and affected 2 members"; out.Summary != want {
		t.Errorf("%s, want %s", out.Summary, want)
	}
	if n.m.Digest("ledger") != before || len(do[ledger.PolicyOut](n, "ledger.policy.show", ledger.PolicyIn{}).Policies) != 0 {
		t.Error("a rehearsal has changed something")
	}
	if again := do[ledger.RehearseOut](n, "ledger.rehearse", in); !reflect.DeepEqual(again, out) || out.Digest.IsZero() {
		t.Errorf("once more: %+v", again)
	}
	// Another node, another member, another day: the same report.
	other := newNode(t, "dan")
	if err := other.m.Host("membership").Follow(out.Space); err != nil {
		t.Fatal(err)
	}
	exchange(t, n, other)
	other.m.Clock = n.m.Clock.Add(77 * day)
	if there := do[ledger.RehearseOut](other, "ledger.rehearse", in); !reflect.DeepEqual(there, out) {
		t.Errorf("elsewhere: %+v, want %+v", there, out)
	}
	// Nothing but what there was: nobody would have been refused.
	in.Policy, in.Charges[0].Rate = nil, 1
	in.To = "2026-03-20"
	if out := do[ledger.RehearseOut](n, "ledger.rehearse", in); out.Refused != 0 || out.Payments != 3 || out.Moved != 0 {
		t.Errorf("no other rule: %+v", out)
	}
	for name, bad := range map[string]ledger.RehearseIn{
		"no rules":         {Currency: "hours"},
		"another currency": {Currency: "hours", Policy: &ledger.ProposedPolicy{Currency: "euro", Preset: "conservative"}},
		"a bad charge":     {Currency: "hours", Charges: []ledger.ProposedCharge{{Name: "x", Charge: "tithe", Currency: "hours", Rate: 1, Every: "month"}}},
		"twice":            {Currency: "hours", Charges: []ledger.ProposedCharge{in.Charges[0], in.Charges[0]}},
		"a bad rule":       {Currency: "hours", Policy: &ledger.ProposedPolicy{Currency: "hours", Base: new(int64(2)), Max: new(int64(1))}},
		"a bad day":        {Currency: "hours", Charges: in.Charges, Period: ledger.Period{From: "yesterday"}},
	} {
		raw, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		op := n.operations()["ledger.rehearse"]
		v, err := op.Decode(raw)
		if err == nil {
			_, err = op.Do(t.Context(), &api.Call{Actor: bob.DID(), Scopes: []string{"*"}}, v, nil)
		}
		if api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
