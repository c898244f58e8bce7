package app

import (
	"context"
	"testing"

	"github.com/intercooperative/icn/app/ledger"
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
