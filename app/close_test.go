package app

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func (n *node) closes(s api.Signer, topic string) (*finality.CloseOut, error) {
	return as[finality.CloseOut](n, s, "feed.close", finality.CloseIn{Topic: topic})
}

// An owner ends its own feed without anybody's promise: what stood stands, nothing more is accepted, and another device goes on with what it owes.
func TestOwnerCloses(t *testing.T) {
	n, bob, carol := bank(t)
	if _, err := n.closes(bob, "ledger"); api.KindOf(err) != api.NotFound {
		t.Errorf("closing what is not begun: %v, want not found", err)
	}
	if err := n.pays(bob, carol, 9000); err != nil {
		t.Fatal(err)
	}
	out, err := n.closes(bob, "ledger")
	if err != nil || out.At != 1 || out.Receipt.Repeated {
		t.Fatalf("closed: %+v, %v; want at 1", out, err)
	}
	again, err := n.closes(bob, "ledger")
	if err != nil || again.At != 1 || again.Receipt.Position != out.Receipt.Position || !again.Receipt.Repeated {
		t.Errorf("closed again: %+v, %v; want the same", again, err)
	}
	n.wantRule(n.pays(bob, carol, 1), "feed-ended")
	thief := n.withoutLooking(bob, carol, 500)
	if v := n.verdict(thief.Position()); v.Accepted || v.Reason.Rule != "feed-ended" {
		t.Errorf("who has a copy of the key goes on: %+v", v)
	}
	if got := n.balanceOf(bob); got != -9000 {
		t.Errorf("bob has %d, want -9000", got)
	}
	odd := do[finality.ListOut](n, "feed.list", finality.ListIn{Topic: "ledger", Odd: true})
	if len(odd.Feeds) != 1 || !odd.Feeds[0].Closed || odd.Feeds[0].Final != 3 {
		t.Errorf("feeds: %+v, want bob's, closed", odd)
	}
	phone := kerneltest.Signer("bob/phone")
	do[membership.DeviceOut](n, "member.device", membership.DeviceIn{DID: bob.DID(), Device: phone.Device()})
	n.wantRule(n.pays(phone, carol, 1001), "over-limit")
	if err := n.pays(phone, carol, 1000); err != nil {
		t.Errorf("the new device goes on: %v", err)
	}
	n.sound()
}

// What is not the owner's own feed, here and now, is not closed without promises; and some feeds must not end like that.
func TestWhatIsNotClosed(t *testing.T) {
	n, bob, carol := bank(t)
	for _, topic := range []string{"", fact.FinalityTopic, fact.CutTopic, fact.SpaceTopic} {
		in := finality.CloseIn{Topic: topic}
		if err := in.Validate(); err == nil {
			t.Errorf("topic %q is closed", topic)
		}
	}
	if err := n.pays(n.self, bob, 100); err != nil {
		t.Fatal(err)
	}
	_, err := n.closes(n.self, "ledger")
	n.wantRule(err, "holds-office")
	for range 2 {
		if err := n.pays(bob, carol, 10); err != nil {
			t.Fatal(err)
		}
	}
	fork := n.withoutLooking(bob, carol, 1)
	twin, err := n.m.Make(bob, api.Draft{Topic: fork.Topic, Kind: fact.KindClose, Body: fact.CloseBody(fact.Place{Seq: fork.Seq - 1, ID: fork.Prev})}, api.Position{Feed: fork.Feed, Seq: fork.Seq - 1, ID: fork.Prev})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.m.Deliver(twin); err != nil {
		t.Fatal(err)
	}
	_, err = n.closes(bob, "ledger")
	n.wantRule(err, "feed-forked")
}

// History late-close: a close that names an earlier place, or one of another feed, has no effect, and the feed goes on. To end a feed there takes a cut.
func TestLateClose(t *testing.T) {
	n, bob, carol := bank(t)
	for range 3 {
		if err := n.pays(bob, carol, 10); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.pays(carol, bob, 5); err != nil {
		t.Fatal(err)
	}
	of := map[uint64]api.Position{}
	for _, r := range n.m.Records() {
		if r.Device == bob.Device() && r.Topic.Name == fact.LedgerTopic {
			of[r.Seq] = r.Position()
		}
	}
	place := func(p api.Position) fact.Place { return fact.Place{Seq: p.Seq, ID: p.ID} }
	topic := api.Topic{Space: do[membership.ShowOut](n, "space.show", membership.ShowIn{}).Space, Name: fact.LedgerTopic}
	for _, tc := range []struct {
		name  string
		by    api.Signer
		names fact.Place
	}{
		{"an earlier record", bob, place(of[1])},
		{"none", bob, fact.Place{}},
		{"another id", bob, fact.Place{Seq: 3, ID: of[2].ID}},
		{"another feed", carol, place(of[1])},
	} {
		_, err := n.m.Append(tc.by, api.Draft{Topic: topic, Kind: fact.KindClose, Body: fact.CloseBody(tc.names)})
		if why := api.ReasonOf(err); why == nil || why.Rule != "close-elsewhere" {
			t.Errorf("naming %s: %v, want void by close-elsewhere", tc.name, err)
		}
	}
	if err := n.pays(bob, carol, 10); err != nil {
		t.Errorf("the feed goes on: %v", err)
	}
	n.sound()
}
