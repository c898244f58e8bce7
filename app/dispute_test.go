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

func (n *node) upholds(by api.Signer, id api.Hash, back bool) error {
	_, err := as[ledger.DisputeOut](n, by, "ledger.dispute.uphold", ledger.DisputeUpholdIn{ID: id, Back: back})
	return err
}

// More than half of all members have a payment undone, against the will of who was paid; half of them do not.
func TestMembersUndoAPayment(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	must(t, n.pays(carol, dan, 1000))
	id := n.disputes(bob, carol, paid, 600)
	must(t, n.says(carol, id, "answer", "it does not"))
	must(t, n.upholds(bob, id, false))
	must(t, n.upholds(dan, id, false))
	n.passes(time.Minute)
	if d := n.disputed(id); len(d.Upheld) != 2 || d.Members != 4 || d.State != "answered" || d.Binding || n.balanceOf(bob) != -1000 {
		t.Errorf("half of the members: %+v, bob has %d", d, n.balanceOf(bob))
	}
	must(t, n.upholds(dan, id, true))
	must(t, n.upholds(n.self, id, false))
	n.passes(time.Minute)
	if d := n.disputed(id); len(d.Upheld) != 2 || n.balanceOf(bob) != -1000 {
		t.Errorf("dan has taken it back: %+v, bob has %d", d, n.balanceOf(bob))
	}
	must(t, n.upholds(dan, id, false))
	n.passes(time.Minute)
	n.wantDispute(id, "redressed")
	if n.balanceOf(bob) != -400 || n.balanceOf(carol) != -600 {
		t.Errorf("bob has %d, carol %d: want -400, -600", n.balanceOf(bob), n.balanceOf(carol))
	}
	if e := do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: bob.DID()}).Entries[0]; e.Kind != "redress" || e.BalanceDelta != 600 {
		t.Errorf("bob's history begins with %+v", e)
	}
	// It is done once, by whatever dispute.
	must(t, n.upholds(dan, id, true))
	again := n.disputes(bob, carol, paid, 400)
	for _, s := range []api.Signer{bob, dan, n.self} {
		must(t, n.upholds(s, again, false))
	}
	n.passes(time.Minute)
	if n.balanceOf(bob) != -400 {
		t.Errorf("bob has %d: the payment was undone twice", n.balanceOf(bob))
	}
	if n.account(carol).Available != 10000-600 {
		t.Errorf("carol can spend %d", n.account(carol).Available)
	}
	n.sound()
}

// What was given back is not taken again; a claim that is over is not carried out; nothing is undone but a payment of the claimant's.
func TestMembersUndoNoMoreThanIsClaimed(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	all := []api.Signer{bob, dan, n.self}
	over := n.disputes(bob, carol, paid, 100)
	must(t, n.upholds(bob, over, false))
	must(t, n.upholds(dan, over, false))
	must(t, n.says(bob, over, "withdraw", ""))
	must(t, n.upholds(n.self, over, false))
	n.passes(time.Minute)
	n.wantDispute(over, "withdrawn")
	if n.balanceOf(bob) != -1000 {
		t.Errorf("bob has %d: the claim was withdrawn", n.balanceOf(bob))
	}
	n.wantRule(n.upholds(dan, n.disputes(carol, bob, paid, 100), false), "not-paid")
	n.wantRule(n.upholds(dan, n.disputes(bob, carol, n.escrow(bob, carol, 10).ID, 10), false), "not-paid")
	if _, err := as[ledger.DisputeOut](n, dan, "ledger.dispute.uphold", ledger.DisputeUpholdIn{ID: paid}); api.KindOf(err) != api.NotFound {
		t.Errorf("what is no dispute is upheld: %v", err)
	}
	id := n.disputes(bob, carol, paid, 800)
	_, err := as[ledger.ReverseOut](n, carol, "ledger.reverse", ledger.ReverseIn{ID: paid, Amount: 700})
	must(t, err)
	for _, s := range all {
		must(t, n.upholds(s, id, false))
	}
	n.passes(time.Minute)
	n.wantDispute(id, "redressed")
	if n.balanceOf(bob) != -10 || n.balanceOf(carol) != 0 {
		t.Errorf("bob has %d, carol %d: want -10, which are in escrow, and 0", n.balanceOf(bob), n.balanceOf(carol))
	}
}

type tally struct {
	_       struct{} `cbor:",toarray"`
	Dispute api.Hash
	Place   uint64
}

// The clerk counts each member once, by the newest that is final of what they have said and of who they are, and pays what follows from that.
func TestClerkCountsWhoUpholds(t *testing.T) {
	n, bob, carol, dan, paid := quarrel(t)
	id, over, wrong := n.disputes(bob, carol, paid, 600), n.disputes(bob, carol, paid, 1), n.disputes(carol, bob, paid, 1)
	must(t, n.upholds(bob, id, false))
	must(t, n.upholds(dan, over, false))
	must(t, n.says(bob, over, "settled", ""))
	must(t, n.upholds(dan, id, false))
	early := last(n.m.Records(), dan, fact.LedgerTopic, nil)
	must(t, n.upholds(dan, id, true))
	must(t, n.upholds(n.self, id, false))
	must(t, n.says(carol, id, "answer", "it does not"))
	before := last(n.m.Records(), carol, fact.LedgerTopic, nil)
	_, err := as[ledger.ReverseOut](n, carol, "ledger.reverse", ledger.ReverseIn{ID: paid, Amount: 500})
	must(t, err)
	must(t, n.upholds(dan, id, false))
	n.passes(time.Minute)
	n.wantDispute(id, "redressed")
	if n.balanceOf(bob) != 0 {
		t.Errorf("bob has %d, want 0", n.balanceOf(bob))
	}
	// A node that has not seen what the clerk's has made of it, and a clerk who makes something else.
	on, recs := newNode(t, "eve"), n.m.Records()
	for i, rec := range recs {
		if rec.Kind == "dispute-tally" {
			recs = recs[:i]
			break
		}
		if _, err := on.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
	}
	space := api.Topic{Space: recs[0].Topic.Space, Name: fact.PostingsTopic}
	at := last(recs, n.self, fact.PostingsTopic, nil)
	roll, view := last(recs, n.self, fact.SpaceTopic, nil), last(recs, n.self, fact.FinalityTopic, nil)
	old := last(recs, n.self, fact.SpaceTopic, func(rec *api.Record) bool { return rec.Seq < roll.Seq })
	of := func(s api.Signer) api.Position { return last(recs, s, fact.LedgerTopic, nil) }
	post := func(kind string, body any, rule string, cite ...api.Position) {
		t.Helper()
		rec, out := on.deliver(n.self, api.Draft{Topic: space, Kind: kind, Body: codec.MustMarshal(body), Deps: fact.Deps(cite)}, at)
		if at = rec.Position(); rule == "" && out.Void != nil || rule != "" && (out.Void == nil || out.Void.Rule != rule) {
			t.Errorf("%s %+v: %+v, want %q", kind, body, out.Void, rule)
		}
	}
	place := uint64(0)
	for _, rec := range recs {
		if rec.ID == paid {
			place = rec.Seq
		}
	}
	count := &tally{Dispute: id, Place: place}
	pays := func(amount int64) *redress {
		return &redress{Dispute: id, From: carol.DID(), To: bob.DID(), Currency: "hours", Amount: amount, Why: "upheld"}
	}
	post("dispute-tally", count, "no-roll", of(bob), of(dan), of(n.self), old, view)
	post("dispute-tally", count, "no-roll", of(bob), of(dan), of(n.self), view, recs[0].Position())
	post("dispute-tally", &tally{Dispute: paid, Place: place}, "no-dispute", of(bob), of(dan), roll, view)
	post("dispute-tally", &tally{Dispute: id, Place: place + 1}, "not-paid", of(bob), of(dan), roll, view)
	post("dispute-tally", &tally{Dispute: over, Place: place}, "no-claim", of(bob), of(dan), roll, view)
	post("dispute-tally", &tally{Dispute: wrong, Place: place}, "not-paid", of(bob), of(dan), of(carol), roll, view)
	post("dispute-tally", count, "", of(bob), early, roll, view)
	post("dispute-tally", count, "nothing-counted", of(bob), roll, view)
	post("redress", pays(500), "not-decided", of(bob), of(dan), of(n.self), of(carol), roll, view)
	post("dispute-tally", count, "", of(bob), of(n.self), roll, view)
	post("redress", pays(500), "not-decided", of(bob), of(dan), of(n.self), of(carol), roll, view)
	post("dispute-tally", count, "", of(bob), of(dan), roll, view)
	post("dispute-tally", count, "already-counted", of(bob), of(dan), of(n.self), roll, view)
	post("redress", pays(600), "not-as-agreed", of(bob), of(carol), roll, view)
	post("redress", pays(600), "not-decided", of(bob), before, roll, view) // before carol has given something back
	other := pays(500)
	other.From = dan.DID()
	post("redress", other, "not-as-agreed", of(bob), of(carol), roll, view)
	post("redress", pays(500), "", of(bob), of(carol), roll, view)
	post("redress", pays(500), "already-settled", of(bob), of(carol), roll, view)
}

// The members are counted by what the registrar of now says there are: who had the office before does not hide those admitted since.
func TestMembersAreThoseOfTheNewestRegistrar(t *testing.T) {
	ann, ben, carol, dan := offices(t)
	ann.hand(fact.Registrar, ben.self)
	exchange(t, ann, ben)
	for _, s := range []api.Signer{dan, kerneltest.Signer("eli")} {
		do[membership.AddOut](ben, "member.add", membership.AddIn{DID: s.DID(), Device: s.Device()})
	}
	exchange(t, ann, ben)
	ann.mustPay(carol, ben.self, 100)
	paid := do[ledger.HistoryOut](ann, "ledger.history", ledger.HistoryIn{DID: carol.DID()}).Entries[0]
	id := ann.disputes(carol, ben.self, paid.ID, 100)
	must(t, ann.upholds(carol, id, false))
	must(t, ann.upholds(ann.self, id, false))
	ann.passes(time.Minute)
	if d := ann.disputed(id); len(d.Upheld) != 2 || d.Members != 5 || d.Binding {
		t.Errorf("two of five: %+v", d)
	}
	recs := ann.m.Records()
	space, at := recs[0].Topic.Space, api.Position{}
	of := func(s api.Signer, topic string) api.Position { return last(recs, s, topic, nil) }
	for _, c := range []struct {
		roll api.Position
		rule string
	}{{of(ann.self, fact.SpaceTopic), "no-roll"}, {of(ben.self, fact.SpaceTopic), ""}} {
		cite := []api.Position{recs[0].Position(), c.roll, of(carol, fact.LedgerTopic), of(ann.self, fact.LedgerTopic), of(ann.self, fact.FinalityTopic)}
		rec, out := ann.deliver(ann.self, api.Draft{
			Topic: api.Topic{Space: space, Name: fact.PostingsTopic}, Kind: "dispute-tally", Body: codec.MustMarshal(&tally{Dispute: id, Place: 1}), Deps: fact.Deps(cite),
		}, at)
		if at = rec.Position(); c.rule == "" && out.Void != nil || c.rule != "" && (out.Void == nil || out.Void.Rule != c.rule) {
			t.Errorf("by %v: %+v, want %q", c.roll, out.Void, c.rule)
		}
	}
	must(t, ann.upholds(dan, id, false))
	ann.passes(time.Minute)
	exchange(t, ann, ben)
	for _, n := range []*node{ann, ben} {
		n.wantDispute(id, "redressed")
	}
}
