package app

import (
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func (n *node) retries(s api.Signer, id api.Hash) (*ledger.RetryOut, error) {
	return as[ledger.RetryOut](n, s, "ledger.retry", ledger.RetryIn{ID: id})
}

// lost is a payment of bob that a cut has left out: he had not seen that his limit is lower.
func lost(t *testing.T) (n *node, bob, carol api.Signer, gone *api.Record) {
	n, bob, carol = bank(t)
	if err := n.pays(bob, carol, 5000); err != nil {
		t.Fatal(err)
	}
	do[ledger.GrantOut](n, "ledger.grant", ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 6000})
	return n, bob, carol, n.withoutLooking(bob, carol, 700)
}

// What a cut has left out is paid by a new record, once however often it is asked for, and says the same.
func TestRetry(t *testing.T) {
	n, bob, carol, gone := lost(t)
	if v := n.verdict(gone.Position()); v.Accepted {
		t.Fatalf("the payment: %+v, want void", v)
	}
	list, err := as[ledger.VoidsOut](n, bob, "ledger.void", ledger.VoidsIn{Own: true})
	if err != nil || len(list.Entries) != 1 {
		t.Fatalf("own payments without effect: %+v, %v", list, err)
	}
	if e := list.Entries[0]; e.ID != gone.ID || e.Held || e.Amount != 700 || e.To != carol.DID() || e.Reason.Rule != "cut" || !strings.Contains(e.Reason.Remedy, "ledger retry "+gone.ID.String()) {
		t.Errorf("listed: %+v, %+v", e, e.Reason)
	}
	first, err := n.retries(bob, gone.ID)
	if err != nil {
		t.Fatal(err)
	}
	if first.Receipt.Repeated || first.Of != gone.ID || first.Amount != 700 || first.To != carol.DID() || first.Balance != -5700 || first.Available != 300 {
		t.Errorf("retried: %+v", first)
	}
	again, err := n.retries(bob, gone.ID)
	if err != nil || !again.Receipt.Repeated || again.Receipt.Position != first.Receipt.Position {
		t.Errorf("retried again: %+v, %v; want the first retry", again, err)
	}
	if got := n.balanceOf(bob); got != -5700 {
		t.Errorf("bob has %d, want -5700", got)
	}
	if v := n.verdict(gone.Position()); v.Accepted {
		t.Errorf("the first payment counts beside its retry: %+v", v)
	}
	_, err = n.retries(bob, first.Receipt.Position.ID)
	n.wantRule(err, "counts")
	_, err = n.retries(carol, gone.ID)
	n.wantRule(err, "not-payer")
	n.sound()
}

// A retry is a payment like any other: what the account may not spend is not spent, and what is refused is no retry.
func TestRetryKeepsTheLimit(t *testing.T) {
	n, bob, carol, gone := lost(t)
	do[ledger.GrantOut](n, "ledger.grant", ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 5500})
	_, err := n.retries(bob, gone.ID)
	n.wantRule(err, "over-limit")
	if err := n.pays(carol, bob, 400); err != nil {
		t.Fatal(err)
	}
	if out, err := n.retries(bob, gone.ID); err != nil || out.Receipt.Repeated {
		t.Errorf("%+v, %v", out, err)
	}
	n.sound()
}

// As long as a payment could still have effect, or somebody else could retry it too, it is not retried.
func TestRetryRefused(t *testing.T) {
	n, bob, carol, gone := lost(t)
	good, err := as[ledger.TransferOut](n, carol, "ledger.transfer", ledger.TransferIn{To: bob.DID(), Currency: "hours", Amount: 1})
	if err != nil {
		t.Fatal(err)
	}
	// carol forks her feed after that: what follows is held, and so is what she wrote twice
	head := good.Receipt.Position
	var forked [2]*api.Record
	for i, amount := range []int64{10, 20} {
		body, err := ledger.TransferBody(bob.DID(), "hours", amount)
		if err != nil {
			t.Fatal(err)
		}
		if forked[i], err = n.m.Make(carol, api.Draft{Topic: good.Receipt.Topic, Kind: "transfer", Body: body}, head); err != nil {
			t.Fatal(err)
		}
		if _, err := n.m.Deliver(forked[i]); err != nil {
			t.Fatal(err)
		}
	}
	list, err := as[ledger.VoidsOut](n, carol, "ledger.void", ledger.VoidsIn{Own: true})
	if err != nil || len(list.Entries) != 2 || !list.Entries[0].Held || !list.Entries[1].Held {
		t.Errorf("both branches are held: %+v, %v", list, err)
	}
	var ack *api.Record
	for _, rec := range n.m.Records() {
		if rec.Kind == "grant" {
			ack = rec
		}
	}
	for _, tc := range []struct {
		name string
		who  api.Signer
		id   api.Hash
		kind api.Kind
		rule string
	}{
		{"accepted", carol, good.Receipt.Position.ID, api.Refused, "counts"},
		{"held, the one branch", carol, forked[0].ID, api.Refused, "held"},
		{"held, the other", carol, forked[1].ID, api.Refused, "held"},
		{"somebody else's", carol, gone.ID, api.Refused, "not-payer"},
		{"another device", kerneltest.Signer("bob/tablet"), gone.ID, api.Refused, "other-device"},
		{"no payment", bob, ack.ID, api.Invalid, ""},
		{"unknown", bob, api.Hash{1}, api.NotFound, ""},
	} {
		_, err := n.retries(tc.who, tc.id)
		rule := ""
		if why := api.ReasonOf(err); why != nil {
			rule = why.Rule
			if why.Remedy == "" || why.Inputs["payment"] != tc.id.String() {
				t.Errorf("%s: %+v", tc.name, why)
			}
		}
		if api.KindOf(err) != tc.kind || rule != tc.rule {
			t.Errorf("%s: %v, want %s by %q", tc.name, err, tc.kind.Code(), tc.rule)
		}
	}
	if err := (&ledger.RetryIn{}).Validate(); err == nil {
		t.Error("no id is taken for one")
	}
	n.sound()
}

// The device that goes on from a lost one retries what that had left, unless the lost one may have done it, and the lost one does not any more.
func TestRetryByTheNextDevice(t *testing.T) {
	for _, retried := range []bool{false, true} {
		n, bob, carol, gone := lost(t)
		phone := kerneltest.Signer("bob/phone")
		var before api.Hash
		if retried {
			out, err := n.retries(bob, gone.ID)
			if err != nil {
				t.Fatal(err)
			}
			before = out.Receipt.Position.ID
		}
		_, err := n.retries(phone, gone.ID)
		n.wantRule(err, "other-device")
		do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: phone.Device()})
		out, err := n.retries(phone, gone.ID)
		if retried {
			n.wantRule(err, "maybe-retried")
			if why := api.ReasonOf(err); why != nil && why.Inputs["other"] != before.String() {
				t.Errorf("%+v, want the earlier retry %s named", why, before)
			}
		} else if err != nil || out.Receipt.Repeated {
			t.Errorf("the new phone: %+v, %v", out, err)
		}
		if _, err := n.retries(bob, gone.ID); !retried && api.KindOf(err) != api.Refused {
			t.Errorf("the old phone: %v", err)
		}
		if got := n.balanceOf(bob); got != -5700 {
			t.Errorf("retried before %t: bob has %d, want -5700", retried, got)
		}
		if got := n.balanceOf(carol); got != 5700 {
			t.Errorf("carol has %d, want 5700", got)
		}
		n.sound()
	}
}

// A retry that a cut has left out in its turn is the one to retry: the payment before would be answered with it for ever.
func TestRetryOfARetry(t *testing.T) {
	ann, bob, carol := newNode(t, "ann"), newNode(t, "bob"), kerneltest.Signer("carol")
	space := do[membership.CreateOut](ann, "space.create", membership.CreateIn{Name: "Bank"}).Space
	if err := bob.m.Host("ledger").Follow(space); err != nil {
		t.Fatal(err)
	}
	for _, s := range []api.Signer{bob.self, carol} {
		do[membership.AddOut](ann, "member.add", membership.AddIn{DID: s.DID(), Device: s.Device()})
	}
	exchange(t, ann, bob)
	pay := func(amount int64) api.Hash {
		t.Helper()
		return do[ledger.TransferOut](bob, "ledger.transfer", ledger.TransferIn{To: carol.DID(), Currency: "hours", Amount: amount}).Receipt.Position.ID
	}
	cut := func(limit int64) { // while bob is out of reach
		t.Helper()
		do[ledger.GrantOut](ann, "ledger.grant", ledger.GrantIn{To: bob.self.DID(), Currency: "hours", Limit: limit})
		exchange(t, ann, bob)
	}
	pay(100)
	exchange(t, ann, bob)
	lost := pay(700)
	cut(6000)
	first, err := bob.retries(bob.self, lost)
	if err != nil {
		t.Fatal(err)
	}
	cut(5000)
	_, err = bob.retries(bob.self, lost)
	bob.wantRule(err, "retried")
	if why := api.ReasonOf(err); why != nil && why.Inputs["retry"] != first.Receipt.Position.ID.String() {
		t.Errorf("%+v, want the retry %s named", why, first.Receipt.Position.ID)
	}
	second, err := bob.retries(bob.self, first.Receipt.Position.ID)
	if err != nil || second.Receipt.Repeated {
		t.Fatalf("the retry of the retry: %+v, %v", second, err)
	}
	exchange(t, ann, bob)
	for _, n := range []*node{ann, bob} {
		if got := n.balanceOf(bob.self); got != -800 {
			t.Errorf("bob has %d, want -800", got)
		}
		if !n.verdict(second.Receipt.Position).Final {
			t.Error("the retry does not become final")
		}
		n.sound()
	}
}
