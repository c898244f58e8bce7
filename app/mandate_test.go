package app

import (
	"testing"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func (n *node) mandates(who, device, helper api.Signer, amount int64, last string) error {
	_, err := as[ledger.MandateOut](n, who, "ledger.mandate", ledger.MandateIn{
		Device: device.Device(), Helper: helper.DID(), Currency: "hours", Amount: amount, Every: "month", Last: last, Consent: "on paper, 2026-03-01, folder 3",
	})
	return err
}

// A helper pays for a member with a device of the member's: what is set aside, and no more in a month than the mandate says. History, statement and books say who
// has entered it; the member ends it.
func TestMandate(t *testing.T) {
	n, bob, carol := bank(t)
	n.m.Clock = time.Date(2026, 3, 30, 9, 0, 0, 0, time.UTC)
	tab, other := kerneltest.Signer("bob/tab"), kerneltest.Signer("bob/other")
	n.mustAllot(bob, other, 100)
	n.mustPay(other, carol, 40) // bob's own
	if err := n.mandates(bob, tab, n.self, 1000, "2026-05-31"); err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.mandates(bob, tab, carol, 1000, ""), "other-helper")
	n.wantRule(n.mandates(bob, bob, carol, 1000, ""), "own-device")
	n.wantRule(n.mandates(bob, other, bob, 1000, ""), "own-helper")
	n.wantRule(n.mandates(tab, other, carol, 1000, ""), "other-device")
	n.mustAllot(bob, tab, 5000)
	n.mustPay(tab, carol, 600)
	n.wantRule(n.pays(tab, carol, 401), "over-mandate")
	n.mustPay(tab, carol, 400)
	n.wantRule(n.pays(tab, carol, 1), "over-mandate")
	m := do[ledger.MandatesOut](n, "ledger.mandates", ledger.MandatesIn{DID: bob.DID()}).Mandates
	if len(m) != 1 || m[0].Spent != 1000 || !m[0].Known || m[0].Over || m[0].Consent == "" || m[0].Helper != n.self.DID() {
		t.Errorf("%+v", m)
	}
	n.m.Clock = n.m.Clock.AddDate(0, 0, 2) // April
	n.mustPay(tab, carol, 1000)
	n.wantRule(n.pays(tab, carol, 1), "over-mandate")

	// The member lets the helper pay less: the device takes it in before it pays again.
	if err := n.mandates(bob, tab, n.self, 1200, "2026-05-31"); err != nil {
		t.Fatal(err)
	}
	n.mustPay(tab, carol, 200)
	n.wantRule(n.pays(tab, carol, 1), "over-mandate")
	n.m.Clock = n.m.Clock.AddDate(0, 1, 31) // the last day is over
	n.wantRule(n.pays(tab, carol, 1), "no-mandate")
	if err := n.mandates(bob, tab, n.self, 0, ""); err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.pays(tab, carol, 1), "no-mandate")
	if m := do[ledger.MandatesOut](n, "ledger.mandates", ledger.MandatesIn{DID: bob.DID()}).Mandates; !m[0].Over {
		t.Errorf("%+v", m)
	}
	if back, err := n.gives(tab); err != nil || back != 5000-2200 {
		t.Errorf("what was set aside comes back: %d, %v", back, err)
	}
	// Who has entered what.
	keyed := map[api.DID]int64{}
	for _, e := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: bob.DID()}).Entries {
		keyed[e.KeyedBy] -= e.BalanceDelta
	}
	for _, r := range do[ledger.StatementOut](n, "ledger.statement", ledger.StatementIn{DID: carol.DID()}).Rows {
		keyed[r.KeyedBy] -= r.Amount
	}
	if keyed[""] != 0 || keyed[n.self.DID()] != 0 || len(keyed) != 2 { // both sides say the same
		t.Errorf("keyed by: %v", keyed)
	}
	n.sound()
}

// A mandate is kept where the member's first device changes.
func TestMandateIsCarriedOver(t *testing.T) {
	n, bob, carol := bank(t)
	tab := kerneltest.Signer("bob/tab")
	if err := n.mandates(bob, tab, n.self, 1000, ""); err != nil {
		t.Fatal(err)
	}
	n.mustAllot(bob, tab, 5000)
	n.mustPay(tab, carol, 700)
	phone := kerneltest.Signer("bob/phone")
	do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: phone.Device()})
	n.wantRule(n.pays(tab, carol, 301), "over-mandate")
	n.mustPay(tab, carol, 300)
	if err := n.mandates(phone, tab, n.self, 0, ""); err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.pays(tab, carol, 1), "no-mandate")
	n.sound()
}
