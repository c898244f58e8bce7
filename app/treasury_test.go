package app

import (
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

func (n *node) donates(from api.Signer, amount int64) {
	n.t.Helper()
	if _, err := as[ledger.TransferOut](n, from, "ledger.transfer", ledger.TransferIn{To: fact.TreasuryAccount, Currency: "hours", Amount: amount}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) proposes(by, to api.Signer, amount int64, purpose string) api.Hash {
	n.t.Helper()
	out, err := as[ledger.ProposeOut](n, by, "treasury.propose", ledger.SpendIn{To: to.DID(), Currency: "hours", Amount: amount, Purpose: purpose})
	if err != nil {
		n.t.Fatal(err)
	}
	return out.Proposal
}

func (n *node) approves(by api.Signer, id api.Hash) error {
	_, err := as[ledger.ConsentOut](n, by, "treasury.approve", ledger.ConsentIn{Proposal: id})
	return err
}

func (n *node) does(id api.Hash) error {
	_, err := as[ledger.DoOut](n, n.self, "treasury.do", ledger.DoIn{Proposal: id})
	return err
}

func (n *node) mustDo(id api.Hash, by ...api.Signer) {
	n.t.Helper()
	for _, s := range by {
		if err := n.approves(s, id); err != nil {
			n.t.Fatal(err)
		}
	}
	if err := n.does(id); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) ledger() api.Topic {
	n.t.Helper()
	return api.Topic{Space: do[membership.ShowOut](n, "space.show", membership.ShowIn{}).Space, Name: fact.LedgerTopic}
}

// spends writes the office's record itself, by a proposal that some have approved.
func (n *node) spends(id api.Hash, in ledger.SpendIn, by ...api.Signer) error {
	n.t.Helper()
	r := n.m.Read("ledger")
	defer r.Close()
	rec, _, _ := r.Lookup(id)
	deps := append(n.words(), rec.Position())
	for _, s := range by {
		head, _ := r.Head(n.m.Host("ledger").Feed(rec.Topic, s.Device()))
		deps = append(deps, head)
	}
	body := codec.MustMarshal(&struct {
		_             struct{} `cbor:",toarray"`
		Proposal      api.Hash
		To            api.DID
		Currency      string
		Amount        int64
		Purpose, Memo string
	}{Proposal: id, To: in.To, Currency: in.Currency, Amount: in.Amount})
	_, err := n.m.Append(n.self, api.Draft{Topic: api.Topic{Space: rec.Topic.Space, Name: fact.TreasuryTopic}, Kind: "spend", Body: body, Deps: fact.Deps(deps)})
	return err
}

// Who has lost the answer gets it again under the name of the request, and nothing is paid twice.
func TestTreasuryRepeats(t *testing.T) {
	n, bob, carol := bank(t)
	n.donates(bob, 500)
	id := n.proposes(n.self, carol, 300, "")
	if err := n.approves(bob, id); err != nil {
		t.Fatal(err)
	}
	do := func(name string) (*ledger.DoOut, error) {
		out, err := n.operations()["treasury.do"].Do(t.Context(), &api.Call{Actor: n.self.DID(), Signer: n.self, Scopes: []string{"*"}, Idempotency: name}, &ledger.DoIn{Proposal: id}, nil)
		if err != nil {
			return nil, err
		}
		return out.(*ledger.DoOut), n.m.React()
	}
	first, err := do("rent")
	if err != nil {
		t.Fatal(err)
	}
	again, err := do("rent")
	if err != nil || again.Receipt.Position != first.Receipt.Position || !again.Receipt.Repeated || n.treasury() != 200 {
		t.Errorf("repeated: %+v, %v, and the treasury has %d: want the first answer, %+v, and 200", again, err, n.treasury(), first)
	}
	_, err = do("rent twice")
	n.wantRule(err, "already-done")
}

// The treasury pays what others than the proposer and the payee have approved, once, and what it has.
func TestTreasury(t *testing.T) {
	n, bob, carol := bank(t)
	n.donates(bob, 500)
	id := n.proposes(n.self, carol, 300, "")
	n.wantRule(n.does(id), "too-few-approvals")
	n.wantRule(n.approves(n.self, id), "own-proposal")
	n.wantRule(n.approves(carol, id), "own-proposal")
	n.mustDo(id, bob)
	if n.treasury() != 200 || n.balanceOf(carol) != 300 {
		t.Errorf("the treasury has %d, carol %d: want 200, 300", n.treasury(), n.balanceOf(carol))
	}
	if err := n.does(id); api.KindOf(err) != api.Conflict {
		t.Errorf("done twice: %v", err)
	}
	n.wantRule(n.spends(id, ledger.SpendIn{To: carol.DID(), Currency: "hours", Amount: 300}, bob), "already-done")
	another := n.proposes(n.self, carol, 100, "")
	if err := n.approves(bob, another); err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.spends(another, ledger.SpendIn{To: carol.DID(), Currency: "hours", Amount: 101}, bob), "other-content")
	n.mustPay(carol, bob, 250) // what the treasury paid is money
	much := n.proposes(n.self, carol, 201, "")
	if err := n.approves(bob, much); err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.does(much), "over-treasury")
	n.donates(bob, 1)
	if err := n.does(much); err != nil {
		t.Errorf("after the treasury was paid: %v", err)
	}
	all := do[ledger.ProposalsOut](n, "treasury.proposals", ledger.ProposalsIn{}).Proposals
	if len(all) != 3 || all[0].ID != much || all[2].State != "done" || !slices.Equal(all[2].Approvals, []api.DID{bob.DID()}) || all[1].State != "approved" {
		t.Errorf("the list: %+v", all)
	}
	var kinds []string
	for _, e := range do[ledger.HistoryOut](n, "ledger.history", ledger.HistoryIn{DID: fact.TreasuryAccount}).Entries {
		kinds = append(kinds, e.Kind)
	}
	if want := []string{"treasury", "transfer", "treasury", "transfer"}; !slices.Equal(kinds, want) {
		t.Errorf("the treasury's history: %v, want %v", kinds, want)
	}
	n.sound()
}

// Who has every office cannot spend the treasury's money alone, whichever way.
func TestAnAdminAloneCannotSpendTheTreasury(t *testing.T) {
	n, bob, carol := bank(t)
	n.donates(bob, 1000)
	// The payment that needs no approval: there are no rules that would allow one.
	_, err := as[ledger.DoOut](n, n.self, "treasury.pay", ledger.SpendIn{To: n.self.DID(), Currency: "hours", Amount: 1})
	n.wantRule(err, "too-few-approvals")
	// Rules of the admin's own.
	mine, err := as[ledger.ProposeOut](n, n.self, "treasury.revise", ledger.ReviseIn{Approvers: []api.DID{n.self.DID()}, Need: 1})
	if err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.does(mine.Proposal), "too-few-approvals")
	n.wantRule(n.approves(n.self, mine.Proposal), "own-proposal")
	// An approval of the own proposal, and of a payment to oneself, written without asking.
	for name, id := range map[string]api.Hash{"own": n.proposes(n.self, carol, 1000, ""), "for the payee": n.proposes(bob, n.self, 1000, "")} {
		r := n.m.Read("ledger")
		rec, _, _ := r.Lookup(id)
		r.Close()
		body := codec.MustMarshal(&struct {
			_        struct{} `cbor:",toarray"`
			Proposal api.Hash
		}{Proposal: id})
		var deps []api.Position
		if rec.Device != n.self.Device() {
			deps = append(deps, rec.Position())
		}
		_, err := n.m.Append(n.self, api.Draft{Topic: n.ledger(), Kind: "approve", Body: body, Deps: deps})
		if why := api.ReasonOf(err); why == nil || why.Rule != "own-proposal" {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
		n.wantRule(n.does(id), "too-few-approvals")
	}
	// As clerk: a levy that gives back what it never charged.
	n.charges(ledger.ScheduleIn{Name: "levy", Charge: "levy-in", Rate: 10000, Every: "day"})
	type leg struct {
		_            struct{} `cbor:",toarray"`
		Account      api.DID
		Base, Amount int64
	}
	body := codec.MustMarshal(&struct {
		_              struct{} `cbor:",toarray"`
		Schedule       string
		Number, Period uint64
		Legs           []leg
		Done           bool
	}{Schedule: "levy", Number: 1, Period: 1, Legs: []leg{{Account: n.self.DID(), Base: -1000, Amount: -1000}}})
	_, err = n.m.Append(n.self, api.Draft{Topic: api.Topic{Space: n.ledger().Space, Name: fact.PostingsTopic}, Kind: "charge", Body: body})
	n.wantRule(err, "wrong-amount")
	if n.treasury() != 1000 {
		t.Errorf("the treasury has %d, want 1000", n.treasury())
	}
	n.sound()
}

// Rules say who approves from which amount on, and how much is for what in a period. They change by what holds.
func TestTreasuryRules(t *testing.T) {
	n, bob, carol := bank(t)
	n.m.Clock = time.Date(2026, 5, 20, 0, 0, 0, 0, time.UTC)
	n.donates(bob, 5000)
	revise := func(in ledger.ReviseIn, by ...api.Signer) {
		t.Helper()
		out, err := as[ledger.ProposeOut](n, n.self, "treasury.revise", in)
		if err != nil {
			t.Fatal(err)
		}
		n.mustDo(out.Proposal, by...)
	}
	revise(ledger.ReviseIn{
		Approvers: []api.DID{n.self.DID(), bob.DID(), carol.DID()}, Need: 2, Tiers: []string{"hours:100:0", "hours:500:1"}, Budgets: []string{"seeds:hours:700:month"},
	}, bob)
	pay := func(to api.Signer, amount int64, purpose string) error {
		_, err := as[ledger.DoOut](n, n.self, "treasury.pay", ledger.SpendIn{To: to.DID(), Currency: "hours", Amount: amount, Purpose: purpose})
		return err
	}
	if err := pay(carol, 100, "seeds"); err != nil {
		t.Errorf("within the lowest tier: %v", err)
	}
	n.wantRule(pay(carol, 101, "seeds"), "too-few-approvals")
	n.wantRule(pay(carol, 10, "party"), "no-budget")
	n.mustDo(n.proposes(n.self, carol, 500, "seeds"), bob)
	n.wantRule(pay(carol, 101, "seeds"), "too-few-approvals")
	if show := do[ledger.TreasuryOut](n, "treasury.show", ledger.TreasuryIn{}); show.Rules.Budgets[0].Left != 100 || show.First {
		t.Errorf("the treasury: %+v", show)
	}
	if err := pay(bob, 60, "seeds"); err != nil {
		t.Fatal(err)
	}
	n.wantRule(pay(bob, 41, "seeds"), "over-budget")
	n.m.Clock = n.m.Clock.Add(12 * day)
	if err := pay(bob, 41, "seeds"); err != nil {
		t.Errorf("in the next month: %v", err)
	}
	n.m.Clock = n.m.Clock.Add(-12 * day) // the clock of who pays: his feed's does not run backwards
	if err := pay(bob, 100, "seeds"); err != nil {
		t.Fatal(err)
	}
	out, err := as[ledger.ProposeOut](n, n.self, "treasury.revise", ledger.ReviseIn{Approvers: []api.DID{n.self.DID()}, Need: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.approves(bob, out.Proposal); err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.does(out.Proposal), "too-few-approvals")
	n.mustDo(out.Proposal, carol)
	n.wantRule(n.approves(bob, n.proposes(n.self, carol, 5, "")), "not-approver")
	n.sound()
}

// Scenario 15, office-handover: the treasury passes to another, with what it has, its rules, and what it has done.
func TestScenario15_TreasuryHandover(t *testing.T) {
	ann, ben, carol, _ := offices(t)
	ann.donates(carol, 400)
	id := ann.proposes(ann.self, ben.self, 100, "")
	ann.mustDo(id, carol)
	ann.hand(fact.Treasury, ben.self)
	exchange(t, ann, ben)
	next := ann.proposes(ann.self, ben.self, 50, "")
	if err := ann.approves(carol, next); err != nil {
		t.Fatal(err)
	}
	ann.wantRule(ann.does(next), "not-in-office")
	exchange(t, ann, ben)
	if err := ben.does(id); api.KindOf(err) != api.Conflict {
		t.Errorf("ben does again what ann has done: %v", err)
	}
	if err := ben.does(next); err != nil {
		t.Fatal(err)
	}
	exchange(t, ann, ben)
	if ann.treasury() != 250 || ben.treasury() != 250 {
		t.Errorf("the treasury has %d and %d, want 250", ann.treasury(), ben.treasury())
	}
	ann.sound()
	if ann.m.Digest("ledger") != ben.m.Digest("ledger") {
		t.Error("two nodes, two states")
	}
}
