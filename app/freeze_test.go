package app

import (
	"testing"
	"time"

	"github.com/intercooperative/icn/app/ledger"
)

// A freeze with an end is lifted by the clerk's node when that has come, and says why it is there; one that was set anew since is not.
func TestFreezeEnds(t *testing.T) {
	n, bob, carol := bank(t)
	freeze := func(in ledger.FreezeIn) *ledger.GrantOut {
		in.Currency = "hours"
		return do[ledger.GrantOut](n, "ledger.freeze", in)
	}
	list := func() []ledger.Freeze { return do[ledger.FreezesOut](n, "ledger.freezes", ledger.FreezesIn{}).Freezes }
	until := n.m.Clock.Add(7 * day).Truncate(time.Second)
	in := ledger.FreezeIn{To: bob.DID(), Until: until, Reason: "lost his phone"}
	once := freeze(in)
	if again := freeze(in); again.Number != once.Number || !again.Receipt.Repeated {
		t.Errorf("asked again: %+v", again)
	}
	freeze(ledger.FreezeIn{To: carol.DID()})
	n.wantRule(n.pays(bob, carol, 1), "frozen")
	all := list()
	if len(all) != 2 {
		t.Fatalf("frozen: %+v", all)
	}
	for _, f := range all {
		if f.Account == bob.DID() && (f.Reason != in.Reason || !f.Until.Equal(until)) || f.Account == carol.DID() && (f.Reason != "" || !f.Until.IsZero()) {
			t.Errorf("frozen: %+v", f)
		}
	}
	n.passes(7*day - time.Minute)
	n.wantRule(n.pays(bob, carol, 1), "frozen")
	n.passes(2 * time.Minute)
	must(t, n.pays(bob, carol, 1))
	if all := list(); len(all) != 1 || all[0].Account != carol.DID() {
		t.Errorf("frozen: %+v", all)
	}
	n.wantRule(n.pays(carol, bob, 1), "frozen")
	// Frozen anew, without an end: the end that was said before is none of this freeze.
	freeze(ledger.FreezeIn{To: bob.DID()})
	n.passes(day)
	n.wantRule(n.pays(bob, carol, 1), "frozen")
	for _, bad := range []ledger.FreezeIn{{To: bob.DID(), Until: n.m.Clock.Add(-time.Hour)}, {To: bob.DID(), Until: n.m.Clock.Add(6 * 366 * day)}} {
		bad.Currency = "hours"
		if _, err := as[ledger.GrantOut](n, n.self, "ledger.freeze", bad); err == nil {
			t.Errorf("frozen until %s", bad.Until)
		}
	}
}
