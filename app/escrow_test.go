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

// escrow lets somebody put an amount in escrow for a week.
func (n *node) escrow(from, to api.Signer, amount int64, more ...func(*ledger.EscrowIn)) ledger.Escrow {
	n.t.Helper()
	in := ledger.EscrowIn{Payee: to.DID(), Currency: "hours", Amount: amount, Expires: n.m.Clock.Add(7 * day), Memo: "a boat"}
	for _, f := range more {
		f(&in)
	}
	out, err := as[ledger.EscrowOut](n, from, "ledger.escrow.new", in)
	if err != nil {
		n.t.Fatal(err)
	}
	return out.Escrow
}

func (n *node) releases(from api.Signer, id api.Hash, amount int64) error {
	_, err := as[ledger.EscrowOut](n, from, "ledger.escrow.release", ledger.EscrowPartIn{ID: id, Amount: amount})
	return err
}

func (n *node) givesBack(from api.Signer, id api.Hash, amount int64) error {
	_, err := as[ledger.EscrowOut](n, from, "ledger.escrow.giveback", ledger.EscrowPartIn{ID: id, Amount: amount})
	return err
}

func (n *node) awards(from api.Signer, id api.Hash, amount int64) error {
	_, err := as[ledger.EscrowOut](n, from, "ledger.escrow.award", ledger.EscrowAwardIn{ID: id, Amount: amount})
	return err
}

// wantEscrow checks what has become of an escrow, and that its account has nothing once it is settled.
func (n *node) wantEscrow(id api.Hash, state, why string, paid, back int64) {
	n.t.Helper()
	e := do[ledger.EscrowShowOut](n, "ledger.escrow.show", ledger.EscrowShowIn{ID: id}).Escrow
	on := do[ledger.BalanceOut](n, "ledger.balance", ledger.BalanceIn{DID: e.Account}).Balances[0].Balance
	switch {
	case e.State != state || state != "settled" && (e.Settlement != nil || on != e.Amount):
		n.t.Errorf("the escrow: %+v, on its account %d; want %s", e, on, state)
	case state == "settled" && (e.Settlement == nil || e.Settlement.Why != why || e.Settlement.Paid != paid || e.Settlement.Back != back || on != 0):
		n.t.Errorf("the escrow: %+v, %+v, on its account %d; want %s, %d to the payee and %d back", e, e.Settlement, on, why, paid, back)
	}
	n.sound()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An escrow is out of the payer's account, within its limit, and is paid out once both sides agree, in whole or in part, to the one or the other.
func TestEscrowIsSettledAsBothAgree(t *testing.T) {
	n, bob, carol := bank(t)
	e := n.escrow(bob, carol, 1000)
	if n.balanceOf(bob) != -1000 || n.balanceOf(carol) != 0 {
		t.Errorf("bob has %d, carol %d while it is in escrow", n.balanceOf(bob), n.balanceOf(carol))
	}
	n.wantEscrow(e.ID, "open", "", 0, 0)
	_, err := as[ledger.EscrowOut](n, bob, "ledger.escrow.new", ledger.EscrowIn{Payee: carol.DID(), Currency: "hours", Amount: n.account(bob).Available + 1, Expires: n.m.Clock.Add(day)})
	n.wantRule(err, "over-limit")
	n.wantRule(n.releases(carol, e.ID, 0), "no-escrow")
	n.wantRule(n.givesBack(bob, e.ID, 0), "no-escrow")
	n.wantRule(n.awards(carol, e.ID, 1), "no-escrow")
	must(t, n.releases(bob, e.ID, 300))
	n.wantRule(n.releases(bob, e.ID, 1001), "not-more")
	n.wantRule(n.releases(bob, e.ID, 200), "not-more")
	n.wantEscrow(e.ID, "open", "", 0, 0)
	must(t, n.givesBack(carol, e.ID, 700))
	n.wantEscrow(e.ID, "settled", "agreed", 300, 700)
	if n.balanceOf(bob) != -300 || n.balanceOf(carol) != 300 {
		t.Errorf("bob has %d, carol %d: want -300, 300", n.balanceOf(bob), n.balanceOf(carol))
	}
	n.wantRule(n.releases(bob, e.ID, 400), "already-settled")
	must(t, n.releases(bob, e.ID, 300)) // said again, it is what was said

	whole := n.escrow(bob, carol, 50)
	must(t, n.releases(bob, whole.ID, 0))
	n.wantEscrow(whole.ID, "settled", "agreed", 50, 0)
	refused := n.escrow(bob, carol, 60)
	must(t, n.givesBack(carol, refused.ID, 0))
	n.wantEscrow(refused.ID, "settled", "agreed", 0, 60)
	must(t, n.pays(carol, bob, n.account(carol).Available)) // what was paid out counts
	if b := n.account(carol); b.Available != 0 || b.Unacknowledged != 0 {
		t.Errorf("carol: %+v", b)
	}
	n.passes(30 * day)
	n.wantEscrow(e.ID, "settled", "agreed", 300, 700)

	kinds := map[string]int64{}
	for _, x := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: bob.DID()}).Entries {
		kinds[x.Kind] += x.BalanceDelta
		if x.Kind == "settle" && (x.From != e.Account && x.From != refused.Account || x.To != bob.DID()) {
			t.Errorf("bob's history: %+v", x)
		}
	}
	if kinds["escrow"] != -1110 || kinds["settle"] != 760 {
		t.Errorf("bob's history: %v", kinds)
	}
	own := do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: e.Account}).Entries
	if len(own) != 3 || own[2].From != bob.DID() || own[2].BalanceDelta != 1000 {
		t.Errorf("the history of the escrow: %+v", own)
	}
	st := do[ledger.StatementOut](n, "ledger.statement", ledger.StatementIn{DID: e.Account})
	if len(st.Rows) != 3 || st.Rows[2].Balance != 0 {
		t.Errorf("the statement of the escrow: %+v", st.Rows)
	}
	if all := do[ledger.EscrowsOut](n, "ledger.escrow.list", ledger.EscrowsIn{DID: carol.DID(), State: "settled"}).Escrows; len(all) != 3 || all[2].ID != e.ID {
		t.Errorf("carol's escrows: %+v", all)
	}
}

// The arbiter whom the payer has named decides, once; nobody else does.
func TestEscrowIsAwarded(t *testing.T) {
	n, bob, carol := bank(t)
	dan := kerneltest.Signer("dan")
	do[membership.AddOut](n, "member.add", membership.AddIn{DID: dan.DID(), Device: dan.Device()})
	e := n.escrow(bob, carol, 1000, func(in *ledger.EscrowIn) { in.Arbiter = dan.DID() })
	n.wantRule(n.awards(dan, e.ID, 1001), "not-more")
	must(t, n.awards(dan, e.ID, 400))
	n.wantEscrow(e.ID, "settled", "awarded", 400, 600)
	n.wantRule(n.awards(dan, e.ID, 500), "already-awarded")
	for _, arbiter := range []api.Signer{bob, kerneltest.Signer("eve")} {
		in := ledger.EscrowIn{Payee: carol.DID(), Currency: "hours", Amount: 1, Arbiter: arbiter.DID(), Expires: n.m.Clock.Add(day)}
		if _, err := as[ledger.EscrowOut](n, bob, "ledger.escrow.new", in); err == nil {
			t.Errorf("%s is arbiter", arbiter.DID())
		}
	}
}

// What is not decided at its date goes one way, and what was said in part holds; also when the payer has gone.
func TestEscrowExpires(t *testing.T) {
	n, bob, carol := bank(t)
	back := n.escrow(bob, carol, 1000)
	pay := n.escrow(bob, carol, 100, func(in *ledger.EscrowIn) { in.Then = "payee" })
	must(t, n.releases(bob, back.ID, 250))
	must(t, n.givesBack(carol, pay.ID, 30))
	n.passes(7*day - time.Second)
	n.wantEscrow(back.ID, "open", "", 0, 0)
	do[membership.RemoveOut](n, "member.remove", membership.RemoveIn{DID: bob.DID(), Reason: "has moved away"})
	n.passes(2 * time.Second)
	n.passes(2 * time.Second)
	n.wantEscrow(back.ID, "settled", "expired", 250, 750)
	n.wantEscrow(pay.ID, "settled", "expired", 70, 30)
	if n.balanceOf(carol) != 320 || n.balanceOf(bob) != -320 {
		t.Errorf("bob has %d, carol %d: want -320, 320", n.balanceOf(bob), n.balanceOf(carol))
	}
}

// settlement is what a clerk writes who does it by hand.
type settlement struct {
	_            struct{} `cbor:",toarray"`
	Escrow       api.Hash
	Payer, Payee api.DID
	Currency     string
	Paid, Back   int64
	Why          string
}

type escrowDue struct {
	_      struct{} `cbor:",toarray"`
	Escrow api.Hash
}

// last returns the newest record that a signer has written in a topic, among those that pass.
func last(recs []*api.Record, s api.Signer, topic string, pass func(*api.Record) bool) (at api.Position) {
	for _, rec := range recs {
		if rec.Device == s.Device() && rec.Topic.Name == topic && rec.Seq > at.Seq && (pass == nil || pass(rec)) {
			at = rec.Position()
		}
	}
	return at
}

// The clerk settles what follows from the records and nothing else, once, and cannot leave out what was final when the date came.
func TestClerkCannotSettleAsItLikes(t *testing.T) {
	n, bob, carol := bank(t)
	e := n.escrow(bob, carol, 1000)
	must(t, n.releases(bob, e.ID, 250))
	must(t, n.givesBack(carol, e.ID, 100))
	other := n.escrow(bob, carol, 100, func(in *ledger.EscrowIn) { in.Then = "payee" })
	must(t, n.givesBack(carol, other.ID, 30))
	n.passes(8 * day)
	n.passes(2 * time.Second)
	n.wantEscrow(e.ID, "settled", "expired", 250, 750)
	n.wantEscrow(other.ID, "settled", "expired", 70, 30)

	// A node that has all records but the settlement, and what was stated after it.
	o := newNode(t, "eve")
	var recs []*api.Record
	for _, rec := range n.m.Records() {
		if rec.Kind == "settle" {
			break
		}
		recs = append(recs, rec)
		if _, err := o.m.Deliver(rec); err != nil {
			t.Fatal(err)
		}
	}
	space := recs[0].Topic.Space
	escrowed := func(rec *api.Record) bool { return rec.ID == e.ID }
	payer, early := last(recs, bob, fact.LedgerTopic, nil), last(recs, bob, fact.LedgerTopic, escrowed)
	payee := last(recs, carol, fact.LedgerTopic, nil)
	roll := last(recs, n.self, fact.SpaceTopic, nil)
	view := last(recs, n.self, fact.FinalityTopic, nil)
	said := last(recs, n.self, fact.PostingsTopic, nil)
	before := last(recs, n.self, fact.FinalityTopic, func(rec *api.Record) bool { return rec.Position() != view })
	as := func(paid, back int64, why string) *settlement {
		return &settlement{Escrow: e.ID, Payer: bob.DID(), Payee: carol.DID(), Currency: "hours", Paid: paid, Back: back, Why: why}
	}
	toItself := *as(250, 750, "expired")
	toItself.Payee = n.self.DID()
	leavesOut := *as(100, 0, "expired")
	leavesOut.Escrow = other.ID
	at := said
	for _, c := range []struct {
		name string
		kind string
		body any
		cite []api.Position
		rule string
	}{
		{"as if both had agreed", "settle", as(1000, 0, "agreed"), []api.Position{payer, payee, roll, view}, "not-as-agreed"},
		{"to itself", "settle", &toItself, []api.Position{payer, payee, roll, view}, "not-as-agreed"},
		{"more than there is", "settle", as(250, 751, "expired"), []api.Position{payer, payee, roll, view}, "not-as-agreed"},
		{"what the payer has released left out", "settle", as(0, 1000, "expired"), []api.Position{early, payee, roll, view}, "no-escrow"},
		{"what the payee has given back left out", "settle", &leavesOut, []api.Position{payer, roll, view}, "not-decided"},
		{"before the witnesses have seen the date", "settle", as(250, 750, "expired"), []api.Position{payer, payee, roll, before}, "not-decided"},
		{"without a witness", "settle", as(250, 750, "expired"), []api.Position{payer, payee, roll}, "no-escrow"},
		{"without who is a member", "settle", as(250, 750, "expired"), []api.Position{payer, payee, view}, "not-decided"},
		{"without the escrow", "settle", as(250, 750, "expired"), []api.Position{payee, roll, view}, "no-escrow"},
		{"the date twice", "escrow-due", &escrowDue{Escrow: e.ID}, []api.Position{payer}, "not-decided"},
		{"as was agreed", "settle", as(250, 750, "expired"), []api.Position{payer, payee, roll, view}, ""},
		{"twice", "settle", as(250, 750, "expired"), []api.Position{payer, payee, roll, view}, "already-settled"},
	} {
		rec, out := o.deliver(n.self, api.Draft{
			Topic: api.Topic{Space: space, Name: fact.PostingsTopic}, Kind: c.kind, Body: codec.MustMarshal(c.body), Deps: fact.Deps(c.cite),
		}, at)
		at = rec.Position()
		switch {
		case c.rule == "" && out.Void != nil:
			t.Errorf("%s: void by %v", c.name, out.Void)
		case c.rule != "" && (out.Void == nil || out.Void.Rule != c.rule):
			t.Errorf("%s: %+v, want void by %s", c.name, out.Void, c.rule)
		}
	}
	genesis := api.Position{Feed: roll.Feed, Seq: 1, ID: space}
	_, out := o.deliver(bob, api.Draft{
		Topic: api.Topic{Space: space, Name: fact.PostingsTopic}, Kind: "settle", Body: codec.MustMarshal(as(1000, 0, "agreed")), Deps: fact.Deps([]api.Position{genesis, payee, view}),
	}, api.Position{})
	if out.Void == nil || out.Void.Rule != "not-in-office" {
		t.Errorf("bob settles: %+v", out)
	}
}

// The date is not said to have come before it has.
func TestEscrowDateIsNotSaidEarly(t *testing.T) {
	n, bob, carol := bank(t)
	e := n.escrow(bob, carol, 1000)
	recs := n.m.Records()
	deps := []api.Position{last(recs, bob, fact.LedgerTopic, nil), last(recs, n.self, fact.SpaceTopic, nil)}
	_, out := n.deliver(n.self, api.Draft{
		Topic: api.Topic{Space: recs[0].Topic.Space, Name: fact.PostingsTopic}, Kind: "escrow-due", Body: codec.MustMarshal(&escrowDue{Escrow: e.ID}), Deps: fact.Deps(deps),
	}, api.Position{})
	if out.Void == nil || out.Void.Rule != "not-decided" {
		t.Errorf("said a week early: %+v", out)
	}
}

// Scenario 20, escrow-race: the payer releases all while the payee gives all back, on two nodes. One of them wins, once, the same everywhere.
func TestScenario20_EscrowRace(t *testing.T) {
	ann, ben, carol, _ := offices(t)
	e := ann.escrow(ann.self, ben.self, 500)
	exchange(t, ann, ben)
	must(t, ben.givesBack(ben.self, e.ID, 0))
	must(t, ann.releases(ann.self, e.ID, 0))
	exchange(t, ann, ben)
	for range 3 {
		ann.passes(time.Second)
		exchange(t, ann, ben)
	}
	_ = carol
	ann.wantEscrow(e.ID, "settled", "agreed", 500, 0)
	ben.wantEscrow(e.ID, "settled", "agreed", 500, 0)
	var settled int
	for _, rec := range ben.m.Records() {
		if rec.Kind == "settle" {
			settled++
		}
	}
	if settled != 1 || ann.balanceOf(ben.self) != 500 || ben.balanceOf(ben.self) != 500 {
		t.Errorf("%d settlements, ben has %d here and %d there", settled, ann.balanceOf(ben.self), ben.balanceOf(ben.self))
	}
}

// Where the clerk's office passes on, the next clerk settles what is open, and nothing that is settled.
func TestEscrowsAreHandedOver(t *testing.T) {
	ann, ben, carol, _ := offices(t)
	done, open := ann.escrow(carol, ann.self, 10), ann.escrow(carol, ann.self, 20)
	must(t, ann.releases(carol, done.ID, 0))
	ann.wantEscrow(done.ID, "settled", "agreed", 10, 0)
	exchange(t, ann, ben)
	ann.hand(fact.Clerk, ben.self)
	exchange(t, ann, ben)
	ben.m.Clock = ann.m.Clock
	must(t, ann.releases(carol, open.ID, 20))
	for range 4 {
		exchange(t, ann, ben)
		ann.passes(time.Second)
		ben.passes(time.Second)
	}
	exchange(t, ann, ben)
	for _, n := range []*node{ann, ben} {
		n.wantEscrow(done.ID, "settled", "agreed", 10, 0)
		n.wantEscrow(open.ID, "settled", "agreed", 20, 0)
	}
	if got := ben.balanceOf(carol); got != -30 {
		t.Errorf("carol has %d, want -30", got)
	}
}
