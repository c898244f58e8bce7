package ledger

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// R6: what somebody seems to have been paid is no money before it is final, also for who cites it: it may be one side of a fork.
func TestR6_CreditNotFinalIsNoMoney(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob", "mal")
	paid, out := w.deliver("mal", w.transferDraft("ann", 1000, w.admission()), api.Position{})
	if out.Void != nil {
		t.Fatal(out.Void)
	}
	first, out := w.deliver("ann", w.transferDraft("bob", 1001, w.admission(), paid.Position()), api.Position{})
	if out.Void == nil || out.Void.Rule != "over-limit" {
		t.Errorf("ann spends more than her line: %+v, want void as over the limit", out.Void)
	}
	if _, out = w.deliver("ann", w.transferDraft("bob", 1000, w.admission(), paid.Position()), first.Position()); out.Void != nil {
		t.Errorf("ann spends her line: %+v", out.Void)
	}
	w.verify()
}

// R5: a freeze is the clerk's alone; it binds whoever cites it, and the next grant lifts it. (That nobody gets around it by not citing is a matter of cuts.)
func TestR5_FreezeIsTheClerks(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	freeze := func(number uint64, is bool) api.Draft {
		body := codec.MustMarshal(&grant{Account: w.did("ann"), Currency: "hours", Number: number, Limit: 1000, Frozen: is})
		return api.Draft{Topic: w.topic(fact.LedgerTopic), Kind: kindGrant, Body: body, Deps: []api.Position{w.admission()}}
	}
	forged, out := w.deliver("bob", freeze(1, true), api.Position{})
	if out.Void == nil || out.Void.Rule != "not-clerk" {
		t.Errorf("bob freezes: %+v, want void as not the clerk's", out.Void)
	}
	pay := func(prev api.Position, cite ...api.Position) (api.Position, string) {
		rec, out := w.deliver("ann", w.transferDraft("bob", 1, append(cite, w.admission())...), prev)
		if out.Void != nil {
			return rec.Position(), out.Void.Rule
		}
		return rec.Position(), ""
	}
	at, rule := pay(api.Position{}, forged.Position())
	if rule != "" {
		t.Errorf("what bob wrote stops ann: %s", rule)
	}
	ice, out := w.deliver("clerk", freeze(1, true), w.tip("clerk"))
	if out.Void != nil {
		t.Fatal(out.Void)
	}
	if at, rule = pay(at, ice.Position()); rule != "frozen" {
		t.Errorf("ann spends what is frozen: %q", rule)
	}
	thaw, out := w.deliver("clerk", freeze(2, false), ice.Position())
	if out.Void != nil {
		t.Fatal(out.Void)
	}
	if _, rule = pay(at, thaw.Position()); rule != "" {
		t.Errorf("after the thaw: %q", rule)
	}
	w.verify()
}
