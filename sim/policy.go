package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// policy lets the clerk say by what rules limits come about; its node grants by them, in turns of that node, as members join, earn and are thought of.
func (w *World) policy() error {
	if w.clerk.Liar() {
		return nil
	}
	start := w.Rand.Int64N(limit)
	base := start + w.Rand.Int64N(limit)
	most := base + w.Rand.Int64N(limit)
	_ = w.Policy(ledger.SetPolicyIn{
		Start: &start, Base: &base, Max: &most, Ramp: new(w.Rand.Int64N(2) * 30), Growth: new(int64(100)), Per: new(int64(500)), Trust: new(w.Rand.Int64N(10001)),
		Warn: new(int64(8000)), Lower: new(w.Rand.IntN(3) == 0),
	})
	return nil
}

// Policy lets the clerk set the credit policy.
func (w *World) Policy(in ledger.SetPolicyIn) error {
	in.Space, in.Currency = w.Space, Currency
	w.policed = max(w.policed, *in.Max)
	_, err := call(w.clerk, "ledger.policy.set", in)
	return err
}

// allowed returns the most that a member's account was ever allowed to owe.
func (w *World) allowed(m *kerneltest.Node) int64 { return max(limit, w.granted[m], w.policed) }

// explained checks, as n has it, that each limit that a policy gave is what its terms add up to, and no more than any policy gives; it counts those.
func (w *World) explained(n *kerneltest.Node) error {
	if w.policed == 0 {
		return nil
	}
	for _, m := range w.members {
		out, err := n.Ask("ledger.limit", ledger.LimitIn{Space: w.Space, DID: m.Member().DID()})
		if err != nil {
			continue // n has not heard of m
		}
		for _, l := range out.(*ledger.LimitOut).Limits {
			if l.Policy == 0 {
				continue
			}
			var sum int64
			for _, t := range l.Terms {
				sum += t.Amount
			}
			if sum != l.Limit || l.Limit > w.policed {
				return fmt.Errorf("%s: policy %d gave %s a limit of %d, by terms that add up to %d, and %d at most", n.Name, l.Policy, m.Name, l.Limit, sum, w.policed)
			}
			w.Count("limit", "%s %d by policy %d", m.Name, l.Limit, l.Policy)
		}
	}
	return nil
}

// rehearse checks that the same rules over the same records come to the same report on each of the nodes.
func (w *World) rehearse(nodes []*kerneltest.Node) error {
	in := ledger.RehearseIn{
		Space: w.Space, Currency: Currency, Policy: &ledger.ProposedPolicy{Currency: Currency, Base: new(limit / 3), Max: new(limit), Start: new(limit / 3), Growth: new(int64(100)), Per: new(int64(700))},
		Charges: []ledger.ProposedCharge{{Name: "levy", Charge: "levy-out", Currency: Currency, Rate: 500, Every: "day"}},
	}
	var first *ledger.RehearseOut
	for _, n := range nodes {
		if !n.Up() || n.Outsider {
			continue
		}
		out, err := n.Ask("ledger.rehearse", in)
		if err != nil {
			return fmt.Errorf("%s: a rehearsal: %w", n.Name, err)
		}
		o := out.(*ledger.RehearseOut)
		if first == nil {
			first = o
		}
		if o.Digest != first.Digest {
			return fmt.Errorf("%s: %s, and elsewhere %s", n.Name, o.Summary, first.Summary)
		}
	}
	return nil
}
