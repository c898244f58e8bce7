package app

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// as calls an operation for another signer on the same node.
func as[Out any](n *node, s api.Signer, name string, in any) (*Out, error) {
	n.t.Helper()
	op, ok := n.operations()[name]
	if !ok {
		n.t.Fatalf("no operation %q", name)
	}
	raw, err := json.Marshal(in)
	if err != nil {
		n.t.Fatal(err)
	}
	v, err := op.Decode(raw)
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := op.Do(context.Background(), &api.Call{Actor: s.DID(), Signer: s, Scopes: []string{"*"}}, v, nil)
	if rerr := n.m.React(); rerr != nil {
		n.t.Fatal(rerr)
	}
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

// quietly calls an operation before anything reacts to the one before: the witness has not answered.
func quietly[Out any](n *node, name string, in any) *Out {
	n.t.Helper()
	op := n.operations()[name]
	out, err := op.Do(context.Background(), &api.Call{Actor: n.self.DID(), Signer: n.self, Scopes: []string{"*"}}, in, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return out.(*Out)
}

// bank is a space on one node, whose member ann is registrar, clerk and witness, with bob and carol.
func bank(t *testing.T) (n *node, bob, carol api.Signer) {
	n, bob, carol = newNode(t, "ann"), kerneltest.Signer("bob"), kerneltest.Signer("carol")
	do[membership.CreateOut](n, "space.create", membership.CreateIn{Name: "Bank"})
	for _, s := range []api.Signer{bob, carol} {
		do[membership.AddOut](n, "member.add", membership.AddIn{DID: s.DID(), Device: s.Device()})
	}
	return n, bob, carol
}

func (n *node) pays(from api.Signer, to api.Signer, amount int64) error {
	_, err := as[ledger.TransferOut](n, from, "ledger.transfer", ledger.TransferIn{To: to.DID(), Currency: "hours", Amount: amount})
	return err
}

func (n *node) balanceOf(s api.Signer) int64 {
	n.t.Helper()
	return do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: s.DID()}).Balances[0].Balance
}

func (n *node) wantRule(err error, rule string) {
	n.t.Helper()
	if why := api.ReasonOf(err); why == nil || why.Rule != rule {
		n.t.Errorf("got %v, want refused by %s", err, rule)
	}
}

// newest is the last record of a device's ledger feed.
func (n *node) newest(from api.Signer) (tip *api.Record) {
	for _, r := range n.m.Records() {
		if r.Device == from.Device() && r.Topic.Name == "ledger" && (tip == nil || r.Seq > tip.Seq) {
			tip = r
		}
	}
	return tip
}

// withoutLooking makes a payment that follows tip and cites nothing, as one who has not seen what came since, or does not want to.
func (n *node) withoutLooking(from api.Signer, to api.Signer, amount int64) *api.Record {
	n.t.Helper()
	tip := n.newest(from)
	body, err := ledger.TransferBody(to.DID(), "hours", amount)
	if err != nil {
		n.t.Fatal(err)
	}
	rec, err := n.m.Make(from, api.Draft{Topic: tip.Topic, Kind: "transfer", Body: body}, tip.Position())
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.m.Deliver(rec); err != nil {
		n.t.Fatal(err)
	}
	if err := n.m.React(); err != nil {
		n.t.Fatal(err)
	}
	return rec
}

func (n *node) sound() {
	n.t.Helper()
	if v := do[ledger.VerifyOut](n, "ledger.verify", ledger.VerifyIn{}); !v.OK {
		n.t.Errorf("the books: %+v", v)
	}
}

// Scenario 1, stale-limit: a lower limit binds even who goes on citing the old one. What was final stands; what comes after the cut without looking
// has no effect; who looks goes on.
func TestScenario1_StaleLimit(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.pays(bob, carol, 5000); err != nil {
		t.Fatal(err)
	}
	out := do[ledger.GrantOut](n, "ledger.grant", ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 1000})
	if out.Cut != "under-way" {
		t.Fatalf("grant: %+v, want a cut under way", out)
	}
	stale := n.withoutLooking(bob, carol, 4000)
	r := n.m.Read("ledger")
	_, v, _ := r.Record(stale.Position())
	r.Close()
	if v.Accepted || v.Reason == nil || v.Reason.Rule != "cut" {
		t.Errorf("a payment by the old limit: %+v, want void by the cut", v)
	}
	if got := n.balanceOf(bob); got != -5000 {
		t.Errorf("bob has %d, want -5000", got)
	}
	n.wantRule(n.pays(bob, carol, 1), "over-limit")
	if err := n.pays(carol, bob, 4500); err != nil {
		t.Fatal(err)
	}
	if err := n.pays(bob, carol, 500); err != nil {
		t.Errorf("within the new limit: %v", err)
	}
	n.sound()
}

// Two lower limits in a row: the second waits while the cut for the first is under way, and gets one of its own. An account that knows only the first
// cut, and cites only what caused that, does not escape the second.
func TestTwoLowerLimits(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.pays(bob, carol, 100); err != nil {
		t.Fatal(err)
	}
	first := quietly[ledger.GrantOut](n, "ledger.grant", &ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 1000})
	second := quietly[ledger.GrantOut](n, "ledger.grant", &ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 200})
	if first.Cut != "under-way" || second.Cut != "waits" {
		t.Fatalf("the cuts: %q, %q; want the second to wait for the first", first.Cut, second.Cut)
	}
	if err := n.m.React(); err != nil {
		t.Fatal(err)
	}
	feed := n.m.Host("ledger").Feed(first.Receipt.Topic, bob.Device())
	r := n.m.Read("ledger")
	cuts := r.Cuts(feed)
	head, _ := r.Head(feed)
	r.Close()
	if len(cuts) != 2 || !cuts[0].Final || !cuts[1].Final {
		t.Fatalf("cuts: %+v, want two that are final", cuts)
	}
	body, err := ledger.TransferBody(carol.DID(), "hours", 500)
	if err != nil {
		t.Fatal(err)
	}
	draft := api.Draft{Topic: first.Receipt.Topic, Kind: "transfer", Body: body}
	for _, tc := range []struct {
		by   api.Position
		why  api.Position
		rule string
	}{
		{cuts[0].By, first.Receipt.Position, "cut"},             // within what the first leaves, and the second has ended that
		{cuts[1].By, first.Receipt.Position, "cause-not-cited"}, // the second cut, without what it is for
		{cuts[1].By, second.Receipt.Position, "over-limit"},     // all, and so by the second limit
	} {
		draft.Deps = fact.Deps([]api.Position{tc.by, tc.why})
		rec, err := n.m.Make(bob, draft, head)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
		if v := n.verdict(rec.Position()); v.Accepted || v.Reason == nil || v.Reason.Rule != tc.rule {
			t.Errorf("citing %v and %v: %+v, want void by %s", tc.by, tc.why, v, tc.rule)
		}
		head = rec.Position()
	}
	if err := n.pays(bob, carol, 100); err != nil {
		t.Errorf("within the second limit: %v", err)
	}
	n.wantRule(n.pays(bob, carol, 1), "over-limit")
	n.sound()
}

func TestFreezeAndLift(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.pays(bob, carol, 100); err != nil {
		t.Fatal(err)
	}
	freeze := func(lift bool) {
		do[ledger.GrantOut](n, "ledger.freeze", ledger.FreezeIn{To: bob.DID(), Currency: "hours", Lift: lift})
	}
	freeze(false)
	n.withoutLooking(bob, carol, 1000)
	n.wantRule(n.pays(bob, carol, 1), "frozen")
	if err := n.pays(carol, bob, 50); err != nil {
		t.Errorf("a frozen account is paid: %v", err)
	}
	freeze(true)
	if err := n.pays(bob, carol, 10); err != nil {
		t.Errorf("after the freeze is lifted: %v", err)
	}
	if got := n.balanceOf(bob); got != -60 {
		t.Errorf("bob has %d, want -60", got)
	}
	n.sound()
}

// Scenario 13, two-phones, its one-witness part: bob's new phone goes on where the old one was cut, with its debts and credits; the old phone, and who
// stole it, writes nothing more that counts; the new one cannot begin with an empty account.
func TestScenario13_TwoPhones(t *testing.T) {
	n, bob, carol := bank(t)
	phone := kerneltest.Signer("bob/phone")
	if err := n.pays(bob, carol, 9000); err != nil {
		t.Fatal(err)
	}
	if err := n.pays(carol, bob, 2000); err != nil {
		t.Fatal(err)
	}
	moved := do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: phone.Device()})
	if moved.Before != bob.Device() || len(moved.Cuts) != len(fact.MemberTopics()) {
		t.Fatalf("moved: %+v", moved)
	}
	n.withoutLooking(bob, carol, 500) // the thief
	if err := n.pays(bob, carol, 1); api.KindOf(err) != api.Refused {
		t.Errorf("the old phone pays: %v", err)
	}
	if got := n.balanceOf(bob); got != -7000 {
		t.Errorf("bob has %d, want -7000", got)
	}
	n.wantRule(n.pays(phone, carol, 3001), "over-limit")
	if err := n.pays(phone, carol, 3000); err != nil { // his line of 10000, the debt of 9000, the 2000 that carol paid
		t.Errorf("the new phone pays: %v", err)
	}
	if err := n.pays(carol, bob, 3000); err != nil {
		t.Errorf("carol spends what both phones paid her: %v", err)
	}
	if got := n.balanceOf(carol); got != 7000 {
		t.Errorf("carol has %d, want 7000", got)
	}
	list := do[finality.ListOut](n, "feed.list", finality.ListIn{Topic: "ledger", Odd: true})
	if len(list.Feeds) != 1 || list.Feeds[0].Device != bob.Device() || !list.Feeds[0].Cuts[0].Final {
		t.Errorf("feeds: %+v", list)
	}
	n.sound()
}

// R12: a device that was replaced cannot come back by citing the cut, and a new one cannot leave the debts behind by not citing it.
func TestSuccessorCannotForget(t *testing.T) {
	n, bob, carol := bank(t)
	phone := kerneltest.Signer("bob/phone")
	if err := n.pays(bob, carol, 9000); err != nil {
		t.Fatal(err)
	}
	moved := do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: phone.Device()})
	r := n.m.Read("ledger")
	cut := r.Cuts(moved.Cuts[0].Feed)[0].By
	r.Close()
	body, err := ledger.TransferBody(carol.DID(), "hours", 5000)
	if err != nil {
		t.Fatal(err)
	}
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	for _, tc := range []struct {
		who  api.Signer
		cite api.Position
		rule string
	}{{phone, moved.Receipt.Position, "not-continued"}, {bob, cut, "feed-ended"}} {
		d := api.Draft{Topic: api.Topic{Space: show.Space, Name: "ledger"}, Kind: "transfer", Body: body, Deps: []api.Position{tc.cite}}
		_, err := n.m.Append(tc.who, d)
		n.wantRule(err, tc.rule)
	}
	n.sound()
}
