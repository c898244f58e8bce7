package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// treasury takes the next step with the space's own money: a member gives something and proposes a payment, another approves it, or the office makes it.
func (w *World) treasury(n *kerneltest.Node) error {
	if n.Liar() {
		return nil
	}
	out, err := n.Ask("treasury.proposals", ledger.ProposalsIn{Space: w.Space, Open: true})
	if err != nil {
		return nil //nolint:nilerr // the node is not that far
	}
	all := out.(*ledger.ProposalsOut).Proposals
	if len(all) == 0 || w.Rand.IntN(8) == 0 {
		amount := 1 + w.Rand.Int64N(300)
		_, _ = call(n, "ledger.transfer", ledger.TransferIn{Space: w.Space, To: fact.TreasuryAccount, Currency: Currency, Amount: amount})
		_, _ = call(n, "treasury.propose", ledger.SpendIn{Space: w.Space, To: w.other(n).Member().DID(), Currency: Currency, Amount: amount})
		return nil
	}
	p := all[w.Rand.IntN(len(all))]
	if p.State == "approved" || w.Rand.IntN(8) == 0 {
		_ = w.Do(w.members[0], p.ID)
		return nil
	}
	_, _ = call(n, "treasury.approve", ledger.ConsentIn{Space: w.Space, Proposal: p.ID})
	return nil
}

// Do lets the treasury's office carry out a proposal; the error is the refusal.
func (w *World) Do(n *kerneltest.Node, id api.Hash) error {
	if _, err := call(n, "treasury.do", ledger.DoIn{Space: w.Space, Proposal: id}); err != nil {
		return err
	}
	w.Count("treasury", "%s", id.Short())
	return nil
}

// solvent checks that the treasury has not spent more than it has, as a node has it.
func (w *World) solvent(n *kerneltest.Node) error {
	out, err := n.Ask("ledger.balance", ledger.BalanceIn{Space: w.Space, DID: fact.TreasuryAccount})
	if err != nil {
		return nil //nolint:nilerr // n is not that far
	}
	for _, b := range out.(*ledger.BalanceOut).Balances {
		if b.Balance < 0 && !w.overhung(n) {
			return fmt.Errorf("%s: the treasury has %d %s", n.Name, b.Balance, b.Currency)
		}
	}
	return nil
}

// overhung reports whether n knows a cut that is not final: what it will leave out counts for n until then.
func (w *World) overhung(n *kerneltest.Node) bool {
	for _, m := range w.members {
		if w.overhangs(n, m) {
			return true
		}
	}
	return false
}
