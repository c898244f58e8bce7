package app

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

func (n *node) allots(who api.Signer, device api.Signer, amount int64) error {
	_, err := as[ledger.AllotOut](n, who, "ledger.allot", ledger.AllotIn{Device: device.Device(), Currency: "hours", Amount: amount})
	return err
}

func (n *node) mustAllot(who api.Signer, device api.Signer, amount int64) {
	n.t.Helper()
	if err := n.allots(who, device, amount); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) mustPay(from, to api.Signer, amount int64) {
	n.t.Helper()
	if err := n.pays(from, to, amount); err != nil {
		n.t.Fatalf("%d: %v", amount, err)
	}
}

func (n *node) gives(device api.Signer) (int64, error) {
	out, err := as[ledger.ReturnOut](n, device, "ledger.return", ledger.ReturnIn{Currency: "hours"})
	if err != nil {
		return 0, err
	}
	return out.Amount, nil
}

// has checks balance, what may be spent and what is set aside of an account.
func (n *node) has(who api.Signer, balance, available, aside int64) {
	n.t.Helper()
	b := do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: who.DID()}).Balances[0]
	if b.Balance != balance || b.Available != available || b.SetAside != aside || b.Unacknowledged < 0 {
		n.t.Errorf("balance %d, available %d, set aside %d, unacknowledged %d; want %d, %d, %d", b.Balance, b.Available, b.SetAside, b.Unacknowledged, balance, available, aside)
	}
}

func (n *node) cutFeed(device api.Key, end bool) {
	n.t.Helper()
	in := finality.CutIn{Topic: fact.LedgerTopic, Device: device}
	if end {
		in.Next = device
	}
	do[finality.CutFeedOut](n, "feed.cut", in)
}

// An allotment lowers the room of the account at once; the other device spends it, not more, and gives back the rest; a second one adds up. The account's
// limit of 10000 holds over both.
func TestAllotment(t *testing.T) {
	n, bob, carol := bank(t)
	tab := kerneltest.Signer("bob/tab")
	n.wantRule(n.pays(tab, carol, 1), "other-device")
	n.mustAllot(bob, tab, 3000)
	n.has(bob, 0, 7000, 3000)
	n.mustPay(tab, carol, 1000)
	n.has(bob, -1000, 7000, 2000)
	n.wantRule(n.pays(tab, carol, 2001), "over-allotment")
	n.wantRule(n.pays(bob, carol, 7001), "over-limit")
	n.wantRule(n.allots(bob, tab, 7001), "over-limit")
	n.mustAllot(bob, tab, 500)
	n.mustPay(tab, carol, 2100)
	n.has(bob, -3100, 6500, 400)
	if got, err := n.gives(tab); err != nil || got != 400 {
		t.Errorf("given back %d, %v; want 400", got, err)
	}
	if _, err := n.gives(tab); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "nothing-left" {
		t.Errorf("given back twice: %v", err)
	}
	n.wantRule(n.pays(tab, carol, 1), "over-allotment")
	n.has(bob, -3100, 6900, 0)
	n.mustPay(bob, carol, 6900)
	n.wantRule(n.pays(bob, carol, 1), "over-limit")
	n.mustPay(carol, bob, 500) // arrives with the primary device
	n.wantRule(n.pays(tab, carol, 1), "over-allotment")
	n.mustAllot(bob, tab, 500)
	n.mustPay(tab, carol, 500)
	n.has(bob, -10000, 0, 0)
	if _, err := as[ledger.AllotOut](n, tab, "ledger.allot", ledger.AllotIn{Device: bob.Device(), Currency: "hours", Amount: 1}); api.KindOf(err) != api.Refused {
		t.Errorf("a device that is not the primary one allots: %v", err)
	}
	n.sound()
}

// Scenario 13, two-phones, with allotments open: the primary device is replaced, and what was set aside stays set aside, once. What the old primary device
// sets aside beyond the cut counts for nobody.
func TestScenario13_AllotmentsAreCarriedOver(t *testing.T) {
	n, bob, carol := bank(t)
	tab, phone, other := kerneltest.Signer("bob/tab"), kerneltest.Signer("bob/phone"), kerneltest.Signer("bob/other")
	n.mustPay(bob, carol, 1000)
	n.mustAllot(bob, tab, 4000)
	n.mustPay(tab, carol, 500)
	do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: phone.Device()})
	n.has(bob, -1500, 5000, 3500)

	// Who has the old phone gives the whole room to another device.
	body := codec.MustMarshal([]any{other.Device(), "hours", int64(5000)})
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	rec, err := n.m.Make(bob, api.Draft{Topic: api.Topic{Space: show.Space, Name: "ledger"}, Kind: "allot", Body: body}, n.tipOf(bob))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := n.m.Deliver(rec); err != nil || out.Void != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	if err := n.m.React(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.m.Append(other, n.paying(carol, 1, append(n.words(), rec.Position())...)); api.ReasonOf(err) == nil {
		t.Errorf("an allotment beyond the cut is spent: %v", err)
	}

	n.mustPay(tab, carol, 1000)
	n.wantRule(n.pays(phone, carol, 5001), "over-limit")
	n.mustPay(phone, carol, 5000)
	n.mustAllotNothing(phone, tab)
	n.mustPay(tab, carol, 2500)
	n.has(bob, -10000, 0, 0)
	n.wantRule(n.pays(tab, carol, 1), "over-allotment")
	n.sound()
}

func (n *node) mustAllotNothing(who, device api.Signer) {
	n.t.Helper()
	n.wantRule(n.allots(who, device, 1), "over-limit")
}

// tipOf is the last record of a device's payments.
func (n *node) tipOf(s api.Signer) (at api.Position) {
	for _, r := range n.m.Records() {
		if r.Device == s.Device() && r.Topic.Name == "ledger" && r.Seq > at.Seq {
			at = r.Position()
		}
	}
	return at
}

// words is where the witness's feed stands.
func (n *node) words() (ps []api.Position) {
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	for _, h := range n.m.Host("ledger").Heads(api.Topic{Space: show.Space, Name: fact.FinalityTopic}) {
		ps = append(ps, h.Tip)
	}
	return ps
}

func (n *node) paying(to api.Signer, amount int64, deps ...api.Position) api.Draft {
	n.t.Helper()
	body, err := ledger.TransferBody(to.DID(), "hours", amount)
	if err != nil {
		n.t.Fatal(err)
	}
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	return api.Draft{Topic: api.Topic{Space: show.Space, Name: "ledger"}, Kind: "transfer", Body: body, Deps: fact.Deps(deps)}
}

// The device with an allotment becomes the primary one: it keeps the account with what it has spent itself, once.
func TestAllottedDeviceBecomesPrimary(t *testing.T) {
	n, bob, carol := bank(t)
	tab := kerneltest.Signer("bob/tab")
	n.mustPay(bob, carol, 1000)
	n.mustAllot(bob, tab, 4000)
	n.mustPay(tab, carol, 500)
	do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: tab.Device()})
	n.has(bob, -1500, 8500, 0)
	n.wantRule(n.pays(tab, carol, 8501), "over-limit")
	n.mustPay(tab, carol, 8500)
	n.has(bob, -10000, 0, 0)
	if _, err := n.gives(tab); err == nil {
		t.Error("it gives back what is its own")
	}
	n.sound()
}

// A cut of the device's feed gives the account what the device had not spent; whoever has the device spends nothing more, citing the cut or not, and also
// not what was set aside before it and not taken in.
func TestCutTakesAllotmentBack(t *testing.T) {
	for name, end := range map[string]bool{"the feed goes on": false, "the feed ends": true} {
		t.Run(name, func(t *testing.T) {
			n, bob, carol := bank(t)
			tab := kerneltest.Signer("bob/tab")
			n.mustAllot(bob, tab, 4000)
			n.mustPay(tab, carol, 1000)
			n.mustAllot(bob, tab, 2000)
			before := n.tipOf(bob)
			n.cutFeed(tab.Device(), end)
			n.has(bob, -1000, 9000, 0)
			n.withoutLooking(tab, carol, 3000)
			if got := n.balanceOf(bob); got != -1000 {
				t.Errorf("beyond the cut: bob has %d, want -1000", got)
			}
			if err := n.pays(tab, carol, 1); api.KindOf(err) != api.Refused {
				t.Errorf("the tab pays: %v", err)
			}
			if _, err := n.m.Append(tab, n.paying(carol, 1, append(append(n.words(), before), n.cuts()...)...)); api.ReasonOf(err) == nil {
				t.Errorf("the tab takes in what was set aside before the cut: %v", err)
			}
			n.mustPay(bob, carol, 9000)
			n.wantRule(n.pays(bob, carol, 1), "over-limit")
			if !end {
				n.mustPay(carol, bob, 100)
				n.mustAllot(bob, tab, 100)
				n.wantRule(n.pays(tab, carol, 101), "over-allotment")
				n.mustPay(tab, carol, 100)
			}
			n.has(bob, -10000, 0, 0)
			n.sound()
		})
	}
}

// cuts is where the registrar's feed of cuts stands.
func (n *node) cuts() (ps []api.Position) {
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	for _, h := range n.m.Host("ledger").Heads(api.Topic{Space: show.Space, Name: fact.CutTopic}) {
		ps = append(ps, h.Tip)
	}
	return ps
}

// A device cannot keep what a cut takes by citing the cut in a record that is void: only an accepted one takes it into account.
func TestVoidRecordTakesNoCutIntoAccount(t *testing.T) {
	n, bob, carol := bank(t)
	tab := kerneltest.Signer("bob/tab")
	n.mustAllot(bob, tab, 4000)
	n.mustPay(tab, carol, 1000)
	n.cutFeed(tab.Device(), false)
	d := n.paying(carol, 9999, n.cuts()...)
	rec, err := n.m.Make(tab, d, n.tipOf(tab))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := n.m.Deliver(rec); err != nil || out.Void == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	n.withoutLooking(tab, carol, 3000)
	n.mustPay(bob, carol, 9000)
	n.has(bob, -10000, 0, 0)
	n.sound()
}

// A thief who forks the device's feed spends at most what was set aside for it: witnesses hold one branch.
func TestForkedDeviceLosesItsAllotment(t *testing.T) {
	n, bob, carol := bank(t)
	tab := kerneltest.Signer("bob/tab")
	n.mustAllot(bob, tab, 4000)
	n.mustPay(tab, carol, 1000)
	at := n.tipOf(tab)
	n.mustPay(tab, carol, 3000)
	twin, err := n.m.Make(tab, n.paying(carol, 2999), at)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.m.Deliver(twin); err != nil {
		t.Fatal(err)
	}
	if err := n.m.React(); err != nil {
		t.Fatal(err)
	}
	n.cutFeed(tab.Device(), true)
	n.has(bob, -4000, 6000, 0)
	n.mustPay(bob, carol, 6000)
	n.has(bob, -10000, 0, 0)
	n.sound()
}

// A frozen account does not go on with its other devices, and a removed member's do not either.
func TestFreezeAndRemovalReachAllottedDevices(t *testing.T) {
	n, bob, carol := bank(t)
	tab := kerneltest.Signer("bob/tab")
	n.mustAllot(bob, tab, 4000)
	n.mustPay(tab, carol, 1000)
	do[ledger.GrantOut](n, "ledger.freeze", ledger.FreezeIn{To: bob.DID(), Currency: "hours"})
	if err := n.pays(tab, carol, 1); api.KindOf(err) != api.Refused {
		t.Errorf("the tab of a frozen account pays: %v", err)
	}
	n.withoutLooking(tab, carol, 100)
	if got := n.balanceOf(bob); got != -1000 {
		t.Errorf("bob has %d, want -1000", got)
	}
	do[ledger.GrantOut](n, "ledger.freeze", ledger.FreezeIn{To: bob.DID(), Currency: "hours", Lift: true})
	n.mustAllot(bob, tab, 50)
	n.mustPay(tab, carol, 20)
	do[membership.RemoveOut](n, "member.remove", membership.RemoveIn{DID: bob.DID(), Reason: "left"})
	n.withoutLooking(tab, carol, 10)
	if got := n.balanceOf(bob); got != -1020 {
		t.Errorf("bob, who was removed, has %d, want -1020", got)
	}
	n.sound()
}

// What may be spent is shown truly also when the last device was replaced before it had written, and when the member was removed then.
func TestShownTrulyAfterTwoNewDevices(t *testing.T) {
	n, bob, carol := bank(t)
	n.mustPay(bob, carol, 9000)
	for _, name := range []string{"bob/2", "bob/3", "bob/4"} {
		do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: kerneltest.Signer(name).Device()})
		n.has(bob, -9000, 1000, 0)
	}
	four := kerneltest.Signer("bob/4")
	n.wantRule(n.pays(four, carol, 1001), "over-limit")
	n.mustPay(four, carol, 100)
	n.has(bob, -9100, 900, 0)
}

// Scenario 13: a rotation that removes a second device ends its payments, too; what it had spent stands, the rest is the member's again on the new phone.
func TestRotationRevokesAllottedDevice(t *testing.T) {
	n, dora, carol := savings(t)
	tab, err := identity.NewDevice(newEntropy("dora's tab"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := dora.AddDevice(tab.Device(), record.Secondary)
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.Join(l); err != nil {
		t.Fatal(err)
	}
	n.mustAllot(dora.Signer(), tab.Signer(), 3000)
	n.mustPay(tab.Signer(), carol, 1000)
	id, err := identity.Restore(newEntropy("dora's phone"), dora.Log(), dora.phrase, identity.Rotation{Remove: []api.Key{dora.Device(), tab.Device()}})
	if err != nil {
		t.Fatal(err)
	}
	phone := person{id, dora.phrase}
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	n.withoutLooking(tab.Signer(), carol, 2000)
	if err := n.pays(tab.Signer(), carol, 1); api.KindOf(err) != api.Refused {
		t.Errorf("the removed tab pays: %v", err)
	}
	n.has(phone.Signer(), -5000, 5000, 0)
	n.wantRule(n.pays(phone.Signer(), carol, 5001), "over-limit")
	n.mustPay(phone.Signer(), carol, 5000)
	n.sound()
}
