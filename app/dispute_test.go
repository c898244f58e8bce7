package app

import (
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// disputes lets somebody dispute a payment or an escrow.
func (n *node) disputes(by, against api.Signer, about api.Hash, amount int64) api.Hash {
	n.t.Helper()
	in := ledger.DisputeFileIn{About: about, Against: against.DID(), Currency: "hours", Amount: amount, Reason: "it leaks"}
	out, err := as[ledger.DisputeOut](n, by, "ledger.dispute.file", in)
	must(n.t, err)
	return out.Dispute.ID
}

func (n *node) says(by api.Signer, id api.Hash, what, text string) error {
	_, err := as[ledger.DisputeOut](n, by, "ledger.dispute.say", ledger.DisputeSayIn{ID: id, What: what, Text: text})
	return err
}

func (n *node) binds(by api.Signer, id api.Hash, mediator api.Signer, bound bool) error {
	_, err := as[ledger.DisputeOut](n, by, "ledger.dispute.mediator", ledger.DisputeMediatorIn{ID: id, Mediator: mediator.DID(), Bound: bound})
	return err
}

// offers returns the id of the offer.
func (n *node) offers(by api.Signer, id api.Hash, amount int64) api.Hash {
	n.t.Helper()
	out, err := as[ledger.DisputeOut](n, by, "ledger.dispute.offer", ledger.DisputeVerdictIn{ID: id, Amount: amount})
	must(n.t, err)
	return out.Receipt.Position.ID
}

func (n *node) accepts(by api.Signer, id, offer api.Hash) error {
	_, err := as[ledger.DisputeOut](n, by, "ledger.dispute.accept", ledger.DisputeAcceptIn{ID: id, Offer: offer})
	return err
}

func (n *node) judges(by api.Signer, id api.Hash, amount int64) error {
	_, err := as[ledger.DisputeOut](n, by, "ledger.dispute.award", ledger.DisputeVerdictIn{ID: id, Amount: amount, Text: "half and half"})
	return err
}

func (n *node) disputed(id api.Hash) ledger.Dispute {
	n.t.Helper()
	return do[ledger.DisputeShowOut](n, "ledger.dispute.show", ledger.DisputeShowIn{ID: id}).Dispute
}

func (n *node) wantDispute(id api.Hash, state string) {
	n.t.Helper()
	if d := n.disputed(id); d.State != state {
		n.t.Errorf("the dispute: %+v, want %s", d, state)
	}
	n.sound()
}

// quarrel is a bank with a fourth member, dan, and a payment of 1000 by bob to carol.
func quarrel(t *testing.T) (n *node, bob, carol, dan api.Signer, paid api.Hash) {
	n, bob, carol = bank(t)
	dan = kerneltest.Signer("dan")
	do[membership.AddOut](n, "member.add", membership.AddIn{DID: dan.DID(), Device: dan.Device()})
	n.mustPay(bob, carol, 1000)
	return n, bob, carol, dan, do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: bob.DID()}).Entries[0].ID
}

// An offer that both sides accept is carried out, once; one that one side has made or accepted is not.
func TestDisputeIsSettledByAnOffer(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	id := n.disputes(bob, carol, paid, 600)
	n.wantDispute(id, "open")
	n.wantRule(n.says(bob, id, "answer", "it does not"), "not-yours")
	n.wantRule(n.says(dan, id, "evidence", "I saw it"), "not-yours")
	must(t, n.says(carol, id, "answer", "a little"))
	n.wantDispute(id, "answered")
	low := n.offers(carol, id, 200)
	n.wantRule(n.accepts(dan, id, low), "not-yours")
	n.wantRule(n.accepts(bob, id, paid), "no-offer")
	mid := n.offers(dan, id, 300) // by who is on neither side
	must(t, n.accepts(bob, id, mid))
	n.passes(time.Minute)
	if n.balanceOf(bob) != -1000 {
		t.Errorf("bob has %d: carol has not accepted", n.balanceOf(bob))
	}
	must(t, n.accepts(carol, id, mid))
	n.passes(time.Minute)
	n.wantDispute(id, "redressed")
	if n.balanceOf(bob) != -700 || n.balanceOf(carol) != 700 {
		t.Errorf("bob has %d, carol %d: want -700, 700", n.balanceOf(bob), n.balanceOf(carol))
	}
	// Another dispute about the same payment is not paid as well.
	again := n.disputes(bob, carol, paid, 600)
	must(t, n.accepts(bob, again, n.offers(carol, again, 600)))
	n.passes(time.Minute)
	if n.balanceOf(bob) != -700 {
		t.Errorf("bob has %d: the payment was redressed twice", n.balanceOf(bob))
	}
	var kinds []string
	for _, e := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: bob.DID()}).Entries {
		kinds = append(kinds, e.Kind)
	}
	if len(kinds) != 2 || kinds[0] != "redress" {
		t.Errorf("bob's history: %v", kinds)
	}
	must(t, n.pays(bob, carol, n.account(bob).Available)) // it counts for both
	must(t, n.pays(carol, bob, n.account(carol).Available))
	n.sound()
}

// What a mediator awards is carried out when both sides have bound themselves to it, and else nobody is made to pay.
func TestDisputeIsMediated(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	id := n.disputes(bob, carol, paid, 600)
	must(t, n.says(bob, id, "escalate", ""))
	n.wantDispute(id, "escalated")
	must(t, n.binds(n.self, id, dan, false)) // the registrar names dan
	if d := n.disputed(id); d.Mediator != dan.DID() || d.Mediates || len(d.Bound) != 0 {
		t.Errorf("the dispute: %+v", d)
	}
	must(t, n.says(dan, id, "mediate", ""))
	must(t, n.binds(bob, id, dan, true))
	n.wantRule(n.judges(dan, id, 601), "over-claim")
	n.wantRule(n.judges(carol, id, 0), "not-yours")
	must(t, n.judges(dan, id, 400))
	n.passes(time.Minute)
	if d := n.disputed(id); d.State != "awarded" || d.Binding || n.balanceOf(bob) != -1000 {
		t.Errorf("carol is not bound: %+v, and bob has %d", d, n.balanceOf(bob))
	}
	n.wantRule(n.judges(dan, id, 300), "already-awarded")
	must(t, n.binds(carol, id, dan, true))
	n.wantRule(n.binds(carol, id, n.self, true), "already-bound")
	n.passes(time.Minute)
	n.wantDispute(id, "redressed")
	if n.balanceOf(bob) != -600 {
		t.Errorf("bob has %d, want -600", n.balanceOf(bob))
	}
}

// What a mediator awards is not carried out for who has not bound themselves either: they may hold out for more.
func TestDisputeBindsBothSides(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	id := n.disputes(bob, carol, paid, 600)
	must(t, n.binds(carol, id, dan, true))
	must(t, n.judges(dan, id, 400))
	n.passes(time.Minute)
	if d := n.disputed(id); d.State == "redressed" || n.balanceOf(bob) != -1000 {
		t.Errorf("bob is not bound: %+v, and he has %d", d, n.balanceOf(bob))
	}
}

// A dispute about an escrow decides how that is paid out.
func TestDisputeAboutAnEscrow(t *testing.T) {
	n, bob, carol, dan, _ := quarrel(t)
	e, f := n.escrow(bob, carol, 500), n.escrow(bob, carol, 100)
	id := n.disputes(bob, carol, e.ID, 500)
	must(t, n.binds(bob, id, dan, true))
	must(t, n.binds(carol, id, dan, true))
	must(t, n.judges(dan, id, 120))
	n.passes(time.Minute)
	n.wantEscrow(e.ID, "settled", "awarded", 380, 120)
	n.wantDispute(id, "redressed")
	other := n.disputes(carol, bob, f.ID, 100)
	must(t, n.accepts(bob, other, n.offers(carol, other, 60)))
	n.passes(time.Minute)
	n.wantEscrow(f.ID, "settled", "agreed", 60, 40)
	if n.balanceOf(bob) != -1000-380-60 {
		t.Errorf("bob has %d", n.balanceOf(bob))
	}
}

// A claimant ends a dispute; who does not answer is shown.
func TestDisputeEnds(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	withdrawn, written := n.disputes(bob, carol, paid, 10), n.disputes(bob, carol, paid, 20)
	n.wantRule(n.says(carol, withdrawn, "withdraw", ""), "not-yours")
	must(t, n.says(bob, withdrawn, "withdraw", "I was mistaken"))
	n.wantDispute(withdrawn, "withdrawn")
	n.m.Clock = n.m.Clock.Add(15 * day)
	n.wantDispute(written, "unanswered")
	must(t, n.says(bob, written, "write-off", ""))
	n.wantDispute(written, "written-off")
	if all := do[ledger.DisputesOut](n, "ledger.dispute.list", ledger.DisputesIn{All: true}).Disputes; len(all) != 2 || all[0].ID != written {
		t.Errorf("all disputes: %+v", all)
	}
	for _, in := range []ledger.DisputeFileIn{
		{About: paid, Against: dan.DID(), Currency: "hours", Amount: 1, Reason: "x"},                                              // not between the two
		{About: paid, Against: carol.DID(), Currency: "hours", Amount: 1001, Reason: "x"},                                         // more than was paid
		{About: paid, Against: bob.DID(), Currency: "hours", Amount: 1, Reason: "x"},                                              // oneself
		{About: api.Hash{1}, Against: carol.DID(), Currency: "hours", Amount: 1, Reason: "x"},                                     // nothing
		{About: paid, Against: carol.DID(), Currency: "hours", Amount: 1, Reason: "x", Deadline: n.m.Clock.Add(-time.Hour).UTC()}, // past
	} {
		if _, err := as[ledger.DisputeOut](n, bob, "ledger.dispute.file", in); err == nil {
			t.Errorf("filed: %+v", in)
		}
	}
}

type redress struct {
	_        struct{} `cbor:",toarray"`
	Dispute  api.Hash
	From, To api.DID
	Currency string
	Amount   int64
	Why      string
}

// The clerk makes nobody pay by what was not agreed.
func TestClerkRedressesAsAgreed(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	id := n.disputes(bob, carol, paid, 600)
	must(t, n.binds(bob, id, dan, true))
	must(t, n.judges(dan, id, 600))
	n.offers(bob, id, 500)
	recs := n.m.Records()
	cite := []api.Position{
		last(recs, bob, fact.LedgerTopic, nil), last(recs, carol, fact.LedgerTopic, nil), last(recs, dan, fact.LedgerTopic, nil),
		last(recs, n.self, fact.SpaceTopic, nil), last(recs, n.self, fact.FinalityTopic, nil),
	}
	at := api.Position{}
	on := n
	post := func(r redress, rule string) {
		t.Helper()
		var deps []api.Position
		for _, p := range cite {
			if p.Seq > 0 {
				deps = append(deps, p)
			}
		}
		rec, out := on.deliver(n.self, api.Draft{
			Topic: api.Topic{Space: recs[0].Topic.Space, Name: fact.PostingsTopic}, Kind: "redress", Body: codec.MustMarshal(&r), Deps: fact.Deps(deps),
		}, at)
		if at = rec.Position(); out.Void == nil || out.Void.Rule != rule {
			t.Errorf("%+v: %+v, want void by %s", r, out.Void, rule)
		}
	}
	post(redress{Dispute: id, From: carol.DID(), To: bob.DID(), Currency: "hours", Amount: 600, Why: "awarded"}, "not-decided")
	post(redress{Dispute: id, From: carol.DID(), To: bob.DID(), Currency: "hours", Amount: 500, Why: "agreed"}, "not-decided")
	post(redress{Dispute: paid, From: carol.DID(), To: bob.DID(), Currency: "hours", Amount: 500, Why: "agreed"}, "no-dispute")
	must(t, n.binds(carol, id, dan, true)) // the clerk's node carries it out at once
	n.passes(time.Minute)
	n.wantDispute(id, "redressed")
	recs = n.m.Records()
	at, cite = last(recs, n.self, fact.PostingsTopic, nil), []api.Position{
		last(recs, bob, fact.LedgerTopic, nil), last(recs, carol, fact.LedgerTopic, nil), last(recs, dan, fact.LedgerTopic, nil), last(recs, n.self, fact.FinalityTopic, nil),
	}
	post(redress{Dispute: id, From: carol.DID(), To: bob.DID(), Currency: "hours", Amount: 600, Why: "awarded"}, "already-settled")
	if n.balanceOf(carol) != 400 {
		t.Errorf("carol has %d, want 400", n.balanceOf(carol))
	}
	// On a node that has all but the redress nothing else can take its place.
	on = newNode(t, "eve")
	for i, rec := range recs {
		if rec.Kind == "redress" && rec.Seq > 3 {
			recs = recs[:i]
			break
		}
		if _, err := on.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
	}
	at, cite = last(recs, n.self, fact.PostingsTopic, nil), []api.Position{
		last(recs, bob, fact.LedgerTopic, nil), last(recs, carol, fact.LedgerTopic, nil), last(recs, dan, fact.LedgerTopic, nil), last(recs, n.self, fact.FinalityTopic, nil), last(recs, n.self, fact.SpaceTopic, nil),
	}
	post(redress{Dispute: id, From: carol.DID(), To: bob.DID(), Currency: "hours", Amount: 601, Why: "awarded"}, "not-as-agreed")
	post(redress{Dispute: id, From: carol.DID(), To: n.self.DID(), Currency: "hours", Amount: 600, Why: "awarded"}, "not-as-agreed")
	post(redress{Dispute: id, From: dan.DID(), To: bob.DID(), Currency: "hours", Amount: 600, Why: "awarded"}, "not-as-agreed")
}
