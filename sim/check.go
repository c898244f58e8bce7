package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// books checks after each step, on every running node, that the balances of the space sum to zero and each is the sum of its history.
type books struct {
	w    *World
	seen map[*kerneltest.Node]uint64 // how many records a node held when it was last looked at
}

func (w *World) books() books { return books{w, map[*kerneltest.Node]uint64{}} }

// Step implements kerneltest.Checker.
func (b books) Step(*kerneltest.Cluster) error {
	for _, n := range b.w.Nodes() {
		if end := n.LogEnd(); end != b.seen[n] {
			b.seen[n] = end
			if err := b.balanced(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b books) balanced(n *kerneltest.Node) error {
	if !n.Up() || n.Outsider {
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
	return nil
}

// End implements kerneltest.Checker: besides, each node's state is what its records make from scratch.
func (b books) End(c *kerneltest.Cluster) error {
	clear(b.seen)
	if err := b.Step(c); err != nil {
		return err
	}
	for _, n := range c.Honest() {
		if err := verify(n); err != nil {
			return err
		}
	}
	return nil
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
	return nil
}

// Check makes all checks of a run's end; the nodes must have settled.
func (w *World) Check() error { return w.CheckEnd(w.books()) }

// Rebuild throws a node's state away and makes it anew.
func Rebuild(n *kerneltest.Node) error {
	if !n.Up() {
		return nil
	}
	before, _ := n.Digest()
	out, err := n.Ask("state.rebuild", kernel.None{})
	if v, ok := out.(*kernel.VerifyOut); ok && err == nil && v.Digest != before {
		return fmt.Errorf("%s: the rebuilt state differs", n.Name)
	}
	return nil // an error is a broken disk, which stops the node with its next step
}
