package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// books checks after each step, on every running node, that the balances of the space sum to zero, each is the sum of its history, and nobody owes
// more than the highest limit that was ever granted to him.
type books struct {
	w    *World
	seen map[*kerneltest.Node]uint64 // the node's turns when it was last looked at
}

func (w *World) books() books { return books{w, map[*kerneltest.Node]uint64{}} }

// Step implements kerneltest.Checker.
func (b books) Step(*kerneltest.Cluster) error {
	for _, n := range b.w.Nodes() {
		if turns := n.Turns(); turns != b.seen[n] {
			b.seen[n] = turns
			if err := b.balanced(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b books) balanced(n *kerneltest.Node) error {
	if !n.Up() || n.Outsider || b.w.guest != nil && b.w.guest.n == n { // who is about to join need not have the genesis
		return nil
	}
	out, err := n.Ask("ledger.verify", ledger.VerifyIn{Space: b.w.Space})
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	v := out.(*ledger.VerifyOut)
	for _, c := range v.Currencies {
		if c.Sum != 0 {
			return fmt.Errorf("%s: the balances in %s sum to %d", n.Name, c.Currency, c.Sum)
		}
	}
	if !v.OK {
		return fmt.Errorf("%s: the books do not balance: %v", n.Name, v.Problems)
	}
	if err := b.w.retriedOnce(n); err != nil {
		return err
	}
	if err := b.w.solvent(n); err != nil {
		return err
	}
	m := b.w.members[b.w.Rand.IntN(len(b.w.members))]
	return b.debt(n, m)
}

// debt checks that a member owes no more than it was ever allowed to, as n has it: only final credit may be spent again.
func (b books) debt(n, m *kerneltest.Node) error {
	out, err := n.Ask("ledger.balance", ledger.BalanceIn{Space: b.w.Space, DID: m.Member().DID()})
	if err != nil {
		return nil //nolint:nilerr // n has not heard of m
	}
	for _, x := range out.(*ledger.BalanceOut).Balances {
		most := b.w.allowed(m)
		if x.Balance >= -most || b.w.overhangs(n, m) {
			continue
		}
		charged, err := b.w.charged(n, m) // that takes an account below its limit
		if err != nil {
			return err
		}
		owed, _ := b.w.cameIn(n, m) // and so does what was taken back
		if most += charged + owed; x.Balance < -most {
			return fmt.Errorf("%s: %s owes %d, and was allowed %d at most", n.Name, m.Name, -x.Balance, most)
		}
	}
	return nil
}

// overhangs reports whether n knows a cut that is not final and will leave out payments by m: what goes on from there does not count them, and they count
// for n until then.
func (w *World) overhangs(n, m *kerneltest.Node) bool {
	r := n.Read("")
	defer r.Close()
	for _, h := range n.Heads(w.Topic()) {
		if h.Author == m.Member().DID() && slices.ContainsFunc(r.Cuts(h.Tip.Feed), func(c api.CutState) bool { return !c.Final && c.At.Seq < h.Tip.Seq }) {
			return true
		}
	}
	return false
}

// End implements kerneltest.Checker: besides, each node's state is what its records make from scratch.
func (b books) End(c *kerneltest.Cluster) error {
	clear(b.seen)
	if err := b.Step(c); err != nil {
		return err
	}
	if err := b.w.rehearse(c.Honest()); err != nil {
		return err
	}
	for i, n := range c.Honest() {
		if err := verify(n); err != nil {
			return err
		}
		if i == 0 && n.Up() {
			if err := b.w.explained(n); err != nil {
				return err
			}
			if err := b.w.charges(n); err != nil {
				return err
			}
			if err := b.w.importedOnce(n); err != nil {
				return err
			}
		}
		if err := b.w.unproven(n); err != nil {
			return err
		}
		if !n.Up() || n.Outsider {
			continue
		}
		for _, m := range b.w.members {
			if err := b.debt(n, m); err != nil {
				return err
			}
		}
		if err := b.w.slotsOnce(n); err != nil {
			return err
		}
		if err := b.spendings(n); err != nil {
			return err
		}
		if err := b.w.escrows(n); err != nil {
			return err
		}
		if err := b.w.redresses(n); err != nil {
			return err
		}
	}
	return b.w.stalls()
}

// verify folds a node's records anew beside its state and compares.
func verify(n *kerneltest.Node) error {
	if !n.Up() {
		return nil
	}
	out, err := n.Ask("state.verify", kernel.None{})
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name, err)
	}
	if v := out.(*kernel.VerifyOut); !v.OK {
		return fmt.Errorf("%s: the state is not what the records make: %v", n.Name, v.Problems)
	}
	if wrong, err := n.Recheck(); err != nil || len(wrong) > 0 {
		return fmt.Errorf("%s: records applied again come to something else: %v, %w", n.Name, wrong, err)
	}
	for _, a := range n.Apps() {
		if e, ok := a.(api.Examiner); ok && e.Examine().Failed {
			return fmt.Errorf("%s: %+v", n.Name, e.Examine())
		}
	}
	return nil
}

// Check makes all checks of a run's end; the nodes must have settled.
func (w *World) Check() error { return w.CheckEnd(w.books(), w.protocol()) }

// CheckWords checks what is final against the words of the witnesses, as each node has them now.
func (w *World) CheckWords() error { return w.protocol().Step(w.Cluster) }

// Rebuild throws a node's state away and makes it anew: the same, by the same build.
func Rebuild(n *kerneltest.Node) error {
	if !n.Up() {
		return nil
	}
	before, _ := n.Digest()
	switch after, err := Upgraded(n); {
	case err != nil: // a broken disk: what is there is half a state
		n.Probe()
	case after != before:
		return fmt.Errorf("%s: the rebuilt state differs", n.Name)
	}
	return nil
}

// Upgraded makes a node's state anew by the apps that it has now, and returns the digest.
func Upgraded(n *kerneltest.Node) (api.Hash, error) {
	out, err := n.Ask("state.rebuild", kernel.None{})
	if err != nil {
		return api.Hash{}, err
	}
	return out.(*kernel.VerifyOut).Digest, nil
}

// goOn checks that all honest members can write something that becomes final, now that all is well: whatever liars have made of the network, and
// wherever their feeds were cut.
func (w *World) goOn() error {
	type said struct {
		by *kerneltest.Node
		at api.Position
	}
	var all []said
	for _, m := range w.members {
		if m.Liar() {
			continue
		}
		out, err := call(m, "ledger.transfer", ledger.TransferIn{Space: w.Space, To: w.other(m).Member().DID(), Currency: Currency, Amount: 1})
		if err == nil {
			all = append(all, said{m, out.(*ledger.TransferOut).Receipt.Position})
			continue
		}
		if r := api.ReasonOf(err); r == nil || r.Rule != "over-limit" && r.Rule != "frozen" {
			return fmt.Errorf("%s cannot pay: %w", m.Name, err)
		}
	}
	if err := w.Agree(goOnMost); err != nil {
		return err
	}
	for _, s := range all {
		for _, n := range w.Honest() {
			if n.Outsider {
				continue
			}
			r := n.Read("")
			_, v, ok := r.Record(s.at)
			waits := stuck(r, s.at)
			r.Close()
			if !ok || !v.Final || !v.Accepted {
				return fmt.Errorf("%s cannot go on: on %s its record %v is accepted %t, held %t, final %t (%+v)%s", s.by.Name, n.Name, s.at, v.Accepted, v.Held, v.Final, reasonText(v.Reason), waits)
			}
		}
	}
	return nil
}

// goOnMost is within how long what honest members write becomes final when all is well, and settleMost cuts and all the rest of it.
const (
	goOnMost   = time.Minute
	settleMost = 5 * time.Minute
)

// stuck describes what of a feed is not final and what it waits for.
func stuck(r api.Reader, at api.Position) (text string) {
	final, _ := r.Final(at.Feed)
	text = fmt.Sprintf("\n  final to %d, cuts %+v", final.Seq, r.Cuts(at.Feed))
	for n := 0; at.Seq > final.Seq && n < 20; n++ {
		rec, v, ok := r.Record(at)
		if !ok {
			break
		}
		text += fmt.Sprintf("\n  %d %s accepted %t", at.Seq, rec.Kind, v.Accepted)
		for _, d := range rec.Deps {
			on, w, _ := r.Record(d)
			text += fmt.Sprintf(", dep %s %v final %t held %t accepted %t", on.Topic.Name, d, w.Final, w.Held, w.Accepted)
		}
		at.Seq, at.ID = at.Seq-1, rec.Prev
	}
	return text
}

func reasonText(r *api.Reason) string {
	if r == nil {
		return "no reason"
	}
	return r.Rule + ": " + r.Text
}
