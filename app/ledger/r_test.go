package ledger

import (
	"testing"

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
