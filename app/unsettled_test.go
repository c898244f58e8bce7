package app

import (
	"context"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/market"
	"github.com/intercooperative/icn/kernel/api"
)

// Nobody's account is held because somebody else forks theirs: what a member writes cites another member's record only once that is final.
func TestNothingIsBuiltOnWhatIsNotFinal(t *testing.T) {
	n, bob, carol := bank(t)
	ann := n.self
	writes := func(by api.Signer, name string, in any) (any, error) { // before the witness has a say
		op := n.operations()[name]
		return op.Do(context.Background(), &api.Call{Actor: by.DID(), Signer: by, Scopes: []string{"*"}}, in, nil)
	}
	id := func(out any, err error) api.Hash {
		t.Helper()
		must(t, err)
		switch out := out.(type) {
		case *ledger.TransferOut:
			return out.Receipt.Position.ID
		case *ledger.RequestOut:
			return out.Receipt.Position.ID
		case *ledger.DisputeOut:
			return out.Receipt.Position.ID
		case *ledger.EscrowOut:
			return out.Receipt.Position.ID
		case *ledger.ProposeOut:
			return out.Receipt.Position.ID
		}
		t.Fatalf("%T", out)
		return api.Hash{}
	}
	week := n.m.Clock.Add(7 * day)
	n.donates(bob, 500)
	about := id(writes(bob, "ledger.transfer", &ledger.TransferIn{To: carol.DID(), Currency: "hours", Amount: 30}))
	n.passes(0)
	for name, tc := range map[string]struct {
		first, then string // by bob, and by carol upon it
		in          any
		upon        func(api.Hash) any
	}{
		"a request":  {"ledger.request", "ledger.approve", &ledger.RequestIn{Payer: carol.DID(), Currency: "hours", Amount: 10}, func(id api.Hash) any { return &ledger.ApproveIn{ID: id} }},
		"a decline":  {"ledger.request", "ledger.decline", &ledger.RequestIn{Payer: carol.DID(), Currency: "hours", Amount: 10}, func(id api.Hash) any { return &ledger.DeclineIn{ID: id} }},
		"a refund":   {"ledger.transfer", "ledger.reverse", &ledger.TransferIn{To: carol.DID(), Currency: "hours", Amount: 30}, func(id api.Hash) any { return &ledger.ReverseIn{ID: id} }},
		"an escrow":  {"ledger.escrow.new", "ledger.escrow.giveback", &ledger.EscrowIn{Payee: carol.DID(), Currency: "hours", Amount: 20, Expires: week}, func(id api.Hash) any { return &ledger.EscrowPartIn{ID: id, Amount: 20} }},
		"a dispute":  {"ledger.dispute.file", "ledger.dispute.say", &ledger.DisputeFileIn{About: about, Against: carol.DID(), Currency: "hours", Amount: 30, Reason: "it leaks"}, func(id api.Hash) any { return &ledger.DisputeSayIn{ID: id, What: "answer", Text: "it does not"} }},
		"a claim":    {"ledger.dispute.file", "ledger.dispute.uphold", &ledger.DisputeFileIn{About: about, Against: carol.DID(), Currency: "hours", Amount: 30, Reason: "it leaks"}, func(id api.Hash) any { return &ledger.DisputeUpholdIn{ID: id} }},
		"a proposal": {"treasury.propose", "treasury.approve", &ledger.SpendIn{To: bob.DID(), Currency: "hours", Amount: 100, Purpose: "oven"}, func(id api.Hash) any { return &ledger.ConsentIn{Proposal: id} }},
	} {
		by := carol
		if name == "a proposal" {
			by = ann
		}
		made := id(writes(bob, tc.first, tc.in))
		_, err := writes(by, tc.then, tc.upon(made))
		n.wantRule(err, "not-final")
		if api.KindOf(err) != api.Unavailable {
			t.Errorf("%s: %v, want one that is worth repeating", name, err)
		}
		n.passes(0)
		if _, err := writes(by, tc.then, tc.upon(made)); err != nil {
			t.Errorf("%s, once it is final: %v", name, err)
		}
		n.passes(0)
	}
}

// Who hides an ad cites it as far as it is final: what its author does next, in two ways perhaps, has no hold on them. What is not final is hidden at once all the
// same.
func TestModeratorCitesWhatIsFinal(t *testing.T) {
	n, bob, _ := bank(t)
	writes := func(by api.Signer, name string, in any) { // before the witness has a say
		t.Helper()
		_, err := n.operations()[name].Do(context.Background(), &api.Call{Actor: by.DID(), Signer: by, Scopes: []string{"*"}}, in, nil)
		must(t, err)
	}
	ad := func() (at api.Position) {
		writes(bob, "market.post", &market.PostIn{Side: "offer", Title: "Bread", Category: "food"})
		return last(n.m.Records(), bob, fact.MarketTopic, nil)
	}
	hidden := func(id api.Hash) api.Position {
		t.Helper()
		writes(n.self, "market.hide", &market.ActIn{Ad: id, Reason: "no bakery"})
		recs := n.m.Records()
		for _, d := range recs[len(recs)-1].Deps {
			if d.Feed == last(recs, bob, fact.MarketTopic, nil).Feed {
				return d
			}
		}
		t.Fatal("the act does not cite the ad")
		return api.Position{}
	}
	first := ad()
	n.passes(0)
	second := ad()
	if got := hidden(first.ID); got != first {
		t.Errorf("cited %v, want what is final, %v", got, first)
	}
	if got := hidden(second.ID); got != second {
		t.Errorf("cited %v, want %v", got, second)
	}
}
