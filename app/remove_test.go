package app

import (
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Every topic is either one in which members write, whose feeds end with the membership, or one that membership knows not to cut.
func TestMemberTopicsAreComplete(t *testing.T) {
	others := []string{fact.SpaceTopic, fact.JoinTopic, fact.FinalityTopic, fact.CutTopic, fact.KeysTopic, fact.OfficeTopic, fact.PostingsTopic, fact.TreasuryTopic}
	for _, a := range Standard(Options{}) {
		for _, topic := range a.Info().Topics {
			if slices.Contains(fact.MemberTopics(), topic.Name) == slices.Contains(others, topic.Name) {
				t.Errorf("topic %q of app %q: want it in fact.MemberTopics or among those that are not cut", topic.Name, a.Info().Name)
			}
		}
	}
}

func (n *node) remove(who api.Signer) *membership.RemoveOut {
	n.t.Helper()
	out := do[membership.RemoveOut](n, "member.remove", membership.RemoveIn{DID: who.DID(), Reason: "left the bakery"})
	if err := n.m.React(); err != nil {
		n.t.Fatal(err)
	}
	return out
}

func (n *node) verdict(p api.Position) api.Verdict {
	n.t.Helper()
	r := n.m.Read("ledger")
	defer r.Close()
	_, v, ok := r.Record(p)
	if !ok {
		n.t.Fatalf("record %v is not here", p)
	}
	return v
}

// Scenario 9, removed-but-acked, its one-witness part: what was final of the member stays, and the balance with it; nothing that comes later counts,
// whether or not it knows the cut; who has acknowledged such a record loses nothing by it.
func TestScenario9_RemovedButAcked(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.pays(bob, carol, 300); err != nil {
		t.Fatal(err)
	}
	out := n.remove(bob)
	if len(out.Cuts) != len(fact.MemberTopics()) {
		t.Fatalf("removed: %+v, want a cut of each topic in which members write", out)
	}
	late := n.withoutLooking(bob, carol, 500)
	if v := n.verdict(late.Position()); v.Accepted || v.Reason == nil || v.Reason.Rule != "cut" {
		t.Errorf("a payment after the removal: %+v, want void by the cut", v)
	}
	// Carol's device takes it for good and cites it: her record stands, is final, and gives her nothing.
	body, err := ledger.TransferBody(n.self.DID(), "hours", 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.pays(carol, n.self, 1); err != nil {
		t.Fatal(err)
	}
	r := n.m.Read("ledger")
	head, _ := r.Head(n.m.Host("ledger").Feed(late.Topic, carol.Device()))
	r.Close()
	acked, err := n.m.Make(carol, api.Draft{Topic: late.Topic, Kind: "transfer", Body: body, Deps: []api.Position{late.Position()}}, head)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.m.Deliver(acked); err != nil {
		t.Fatal(err)
	}
	if err := n.m.React(); err != nil {
		t.Fatal(err)
	}
	if v := n.verdict(acked.Position()); !v.Accepted || !v.Final {
		t.Errorf("who cites what the removed wrote: %+v, want accepted and final", v)
	}
	if got := n.balanceOf(carol); got != 289 {
		t.Errorf("carol has %d, want 289: what was final before the removal counts, what came later does not", got)
	}

	n.wantRule(n.pays(bob, carol, 1), "removed")
	n.wantRule(n.pays(carol, bob, 1), "removed")
	bal := do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: bob.DID()})
	if b := bal.Balances[0]; b.Balance != -300 || b.Available != 0 || !strings.Contains(bal.Removed, "bakery") {
		t.Errorf("balance: %+v, want a debt of 300, nothing to spend, and why", bal)
	}
	n.sound()
}

// A removed member who cites the removal's cut is void, too, also in a topic where nothing was known of him.
func TestRemovedCannotCiteTheCut(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.pays(bob, carol, 300); err != nil {
		t.Fatal(err)
	}
	out := n.remove(bob)
	if len(out.Cuts) == 0 {
		t.Fatal("nothing is cut")
	}
	body, err := ledger.TransferBody(carol.DID(), "hours", 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range out.Cuts {
		r := n.m.Read("ledger")
		by := r.Cuts(c.Feed)[0].By
		r.Close()
		topic := api.Topic{Space: out.Receipt.Topic.Space, Name: c.Topic}
		kind := map[string]string{fact.LedgerTopic: "transfer", fact.TrustTopic: "attest", fact.SecurityTopic: "appeal", fact.MarketTopic: "post"}[c.Topic]
		d := api.Draft{Topic: topic, Kind: kind, Body: body, Deps: fact.Deps([]api.Position{by, out.Receipt.Position})}
		_, err := n.m.Append(bob, d)
		n.wantRule(err, "feed-ended")
	}
	n.sound()
}

// Who is admitted again goes on under a new number with the balance of old, by the same device or a new one, and never by one that is lost.
func TestAdmittedAgain(t *testing.T) {
	for name, phone := range map[string]api.Signer{"the same device": kerneltest.Signer("bob"), "another device": kerneltest.Signer("bob/phone")} {
		t.Run(name, func(t *testing.T) {
			n, bob, carol := bank(t)
			if err := n.pays(bob, carol, 9000); err != nil {
				t.Fatal(err)
			}
			n.remove(bob)
			n.remove(bob) // asked again, nothing more happens
			n.withoutLooking(bob, carol, 700)
			do[membership.AddOut](n, "member.add", membership.AddIn{DID: bob.DID(), Device: phone.Device()})
			if err := n.m.React(); err != nil {
				t.Fatal(err)
			}
			n.wantRule(n.pays(phone, carol, 1001), "over-limit")
			if err := n.pays(phone, carol, 1000); err != nil {
				t.Errorf("what is left of the line: %v", err)
			}
			if got := n.balanceOf(bob); got != -10000 {
				t.Errorf("bob has %d, want -10000", got)
			}
			members := do[membership.MembersOut](n, "member.list", membership.MembersIn{})
			seen := 0
			for _, m := range members.Members {
				if m.DID == bob.DID() && m.Device == phone.Device() {
					seen++
				}
			}
			if show := do[membership.ShowOut](n, "space.show", membership.ShowIn{}); len(members.Members) != 3 || seen != 1 || show.Members != 3 {
				t.Errorf("members: %+v, counted %d; want three, bob once", members, show.Members)
			}
			if phone.Device() != bob.Device() {
				_, err := as[membership.DeviceOut](n, n.self, "member.device", membership.DeviceIn{DID: bob.DID(), Device: bob.Device()})
				n.wantRule(err, "device-used")
			}
			n.sound()
		})
	}
}

// A removal that comes while another cut of the feed is under way is carried out when that is made.
func TestRemovalWaitsForAnotherCut(t *testing.T) {
	n, bob, carol := bank(t)
	if err := n.pays(bob, carol, 300); err != nil {
		t.Fatal(err)
	}
	quietly[ledger.GrantOut](n, "ledger.grant", &ledger.GrantIn{To: bob.DID(), Currency: "hours", Limit: 500})
	n.remove(bob)
	late := n.withoutLooking(bob, carol, 100)
	r := n.m.Read("ledger")
	cuts := r.Cuts(late.Feed)
	r.Close()
	if len(cuts) != 2 || !cuts[1].Final {
		t.Fatalf("cuts of the feed: %+v, want two", cuts)
	}
	n.wantRule(n.pays(bob, carol, 1), "removed")
}
