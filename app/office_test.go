package app

import (
	"encoding/binary"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// offices are two nodes of one space: ann's, who founds it, witnesses it and has every office, and ben's. Carol and dan are members on ann's.
func offices(t *testing.T) (ann, ben *node, carol, dan api.Signer) {
	ann, ben = newNode(t, "ann"), newNode(t, "ben")
	carol, dan = kerneltest.Signer("carol"), kerneltest.Signer("dan")
	space := do[membership.CreateOut](ann, "space.create", membership.CreateIn{Name: "Mills"}).Space
	for _, s := range []api.Signer{ben.self, carol} {
		do[membership.AddOut](ann, "member.add", membership.AddIn{DID: s.DID(), Device: s.Device()})
	}
	if err := ben.m.Host("membership").Follow(space); err != nil {
		t.Fatal(err)
	}
	exchange(t, ann, ben)
	return ann, ben, carol, dan
}

func (n *node) hand(office string, to api.Signer) *membership.HandOut {
	n.t.Helper()
	return do[membership.HandOut](n, "office.hand", membership.HandIn{Office: office, DID: to.DID(), Device: to.Device()})
}

// grantBody encodes a grant of a thousand million by the rules of the codec alone, as one does who asks nobody. The number is below 24.
func grantBody(to api.DID, number byte) []byte {
	b := append([]byte{0x89, 0x78, byte(len(to))}, to...)
	b = append(append(b, 0x65), "hours"...)
	return append(binary.BigEndian.AppendUint32(append(b, number, 0x1a), 1e9), 0, 0xf4, 0xf4, 0, 0x80)
}

// Scenario 15, office-handover: the clerk's office moves from ann to ben while ann pays. Her payments go on, her grants do not; where two clerks fill one
// place the later one's counts, and the registrar's node binds it though the clerk is elsewhere.
func TestScenario15_OfficeHandover(t *testing.T) {
	ann, ben, carol, _ := offices(t)
	if err := ann.pays(ann.self, carol, 100); err != nil {
		t.Fatal(err)
	}
	first := do[ledger.GrantOut](ann, "ledger.grant", ledger.GrantIn{To: carol.DID(), Currency: "hours", Limit: 5000})
	handed := ann.hand(fact.Clerk, ben.self)
	if handed.Number != 2 || handed.Before != ann.self.DID() {
		t.Fatalf("handed: %+v", handed)
	}
	// Before she looks, ann pays and grants once more: her feed was cut.
	feed := ann.m.Host("ledger").Feed(first.Receipt.Topic, ann.self.Device())
	r := ann.m.Read("ledger")
	head, _ := r.Head(feed)
	cuts := r.Cuts(feed)
	r.Close()
	if len(cuts) != 1 || !cuts[0].Final {
		t.Fatalf("cuts of the clerk's feed: %+v, want one that is final", cuts)
	}
	late, err := ann.m.Make(ann.self, api.Draft{Topic: first.Receipt.Topic, Kind: "grant", Body: grantBody(carol.DID(), 2)}, head)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ann.m.Deliver(late); err != nil {
		t.Fatal(err)
	}
	if v := ann.verdict(late.Position()); v.Accepted || v.Reason.Rule != "cut" {
		t.Errorf("a grant after the handover: %+v, want void by the cut", v)
	}
	if err := ann.pays(ann.self, carol, 50); err != nil {
		t.Errorf("ann pays after the handover: %v", err)
	}
	if _, err := as[ledger.GrantOut](ann, ann.self, "ledger.grant", ledger.GrantIn{To: carol.DID(), Currency: "hours", Limit: 1}); err == nil {
		t.Error("ann grants after the handover")
	}
	d := api.Draft{Topic: first.Receipt.Topic, Kind: "grant", Body: grantBody(carol.DID(), 2)}
	_, err = ann.m.Append(ann.self, d)
	ann.wantRule(err, "not-clerk")

	exchange(t, ann, ben)
	lower := do[ledger.GrantOut](ben, "ledger.grant", ledger.GrantIn{To: carol.DID(), Currency: "hours", Limit: 700})
	if lower.Cut != "by-registrar" || lower.Number <= first.Number {
		t.Errorf("ben's grant: %+v, want it above ann's, and bound by the registrar's node", lower)
	}
	exchange(t, ann, ben)
	ann.wantRule(ann.pays(carol, ben.self, 851), "over-limit") // 150 that ann paid, and the line of 700
	if err := ann.pays(carol, ben.self, 850); err != nil {
		t.Errorf("within ben's limit: %v", err)
	}
	carols := ann.m.Host("ledger").Feed(first.Receipt.Topic, carol.Device())
	r = ann.m.Read("ledger")
	bound := r.Cuts(carols)
	r.Close()
	if len(bound) != 2 || !bound[1].Final { // ann's grant was below the 10000 that everybody has, too
		t.Errorf("cuts of carol's feed: %+v, want the registrar's node to have made one for each grant", bound)
	}
	exchange(t, ann, ben)
	ann.sound()
	ben.sound()
	if ann.balanceOf(carol) != ben.balanceOf(carol) {
		t.Error("two nodes, two balances")
	}
}

// The registrar's office moves with its line of admissions and of cuts: the numbers go on, and what ann announced ben carries out.
func TestRegistrarHandsOver(t *testing.T) {
	ann, ben, carol, dan := offices(t)
	if err := ann.pays(ann.self, carol, 100); err != nil {
		t.Fatal(err)
	}
	// A cut is under way when the office passes: ann's node, the only witness, has not answered yet.
	out := quietly[finality.CutFeedOut](ann, "feed.cut", &finality.CutIn{Topic: fact.LedgerTopic, Device: carol.Device()})
	quietly[membership.HandOut](ann, "office.hand", &membership.HandIn{Office: fact.Registrar, DID: ben.self.DID(), Device: ben.self.Device()})
	exchange(t, ann, ben)
	list := do[finality.ListOut](ben, "feed.list", finality.ListIn{Topic: fact.LedgerTopic, Odd: true})
	if len(list.Feeds) != 0 { // carol has written nothing: her feed is not listed, but its cut is there
		t.Errorf("feeds: %+v", list.Feeds)
	}
	for _, n := range []*node{ann, ben} {
		r := n.m.Read("ledger")
		cuts := r.Cuts(out.Feed)
		r.Close()
		if len(cuts) != 1 || !cuts[0].Final {
			t.Errorf("cuts: %+v, want the one that was under way made by the new registrar", cuts)
		}
	}
	_, err := as[membership.AddOut](ann, ann.self, "member.add", membership.AddIn{DID: dan.DID(), Device: dan.Device()})
	ann.wantRule(err, "not-registrar")
	_, err = ann.m.Append(ann.self, api.Draft{Topic: api.Topic{Space: out.Receipt.Topic.Space, Name: fact.CutTopic}, Kind: "hand"})
	ann.wantRule(err, "feed-ended")
	do[membership.AddOut](ben, "member.add", membership.AddIn{DID: dan.DID(), Device: dan.Device()})
	do[membership.RemoveOut](ben, "member.remove", membership.RemoveIn{DID: carol.DID(), Reason: "moved"})
	exchange(t, ann, ben)
	for _, n := range []*node{ann, ben} {
		show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
		for _, o := range show.Offices {
			if want := map[string]api.DID{fact.Registrar: ben.self.DID(), fact.Clerk: ann.self.DID(), fact.Treasury: ann.self.DID()}[o.Name]; o.DID != want {
				t.Errorf("%s is held by %s", o.Name, o.DID)
			}
		}
		if show.Members != 3 { // ann, ben, dan
			t.Errorf("%d members, want 3", show.Members)
		}
		r := n.m.Read("ledger")
		cuts := r.Cuts(out.Feed)
		r.Close()
		if len(cuts) != 2 || !cuts[1].Final {
			t.Errorf("cuts: %+v, want the removal's after the one before the handover", cuts)
		}
		n.sound()
	}
	// A lower limit of ann's, who still is the clerk, is bound by ben's node.
	do[ledger.GrantOut](ann, "ledger.grant", ledger.GrantIn{To: dan.DID(), Currency: "hours", Limit: 1})
	exchange(t, ann, ben)
	r := ann.m.Read("ledger")
	defer r.Close()
	if cuts := r.Cuts(ann.m.Host("ledger").Feed(api.Topic{Space: out.Receipt.Topic.Space, Name: fact.LedgerTopic}, dan.Device())); len(cuts) != 1 || !cuts[0].Final {
		t.Errorf("cuts of dan's feed: %+v, want one", cuts)
	}
}
