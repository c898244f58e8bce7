package sim

import (
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Swap lets the registrar name the next witnesses. The error is the refusal.
func (w *World) Swap(next ...*kerneltest.Node) error {
	in := finality.WitnessIn{Space: w.Space}
	for _, n := range next {
		in.Witnesses = append(in.Witnesses, n.Member().Device())
	}
	if err := in.Validate(); err != nil {
		return err
	}
	w.councils = append(w.councils, next) // before it is tried: a crash does not tell whether it was
	if _, err := call(w.members[0], "space.witness", in); err != nil {
		return err
	}
	w.Count("swap", "%d witnesses", len(next))
	return nil
}

// Hand lets the registrar give an office to a member. The error is the refusal.
func (w *World) Hand(office string, to *kerneltest.Node) error {
	w.clerks[to] = true // before it is tried: a crash does not tell whether it was
	_, err := call(w.members[0], "office.hand", membership.HandIn{Space: w.Space, Office: office, DID: to.Member().DID(), Device: to.Member().Device()})
	if err != nil {
		return err
	}
	if office == fact.Clerk {
		w.clerk = to
	}
	w.Count("handover", "%s to %s", office, to.Name)
	return nil
}

// Witness reports whether the node's member is or was a witness of the space, or is named as one.
func (w *World) Witness(n *kerneltest.Node) bool {
	return slices.ContainsFunc(w.councils, func(c []*kerneltest.Node) bool { return slices.Contains(c, n) })
}

// settled are the members whose devices stay what they are, the honest ones only on demand.
func (w *World) settled(honest bool) (ns []*kerneltest.Node) {
	for _, m := range w.members {
		if w.moves[m] == moveNot && !w.moved[m] && (!honest || !m.Liar()) {
			ns = append(ns, m)
		}
	}
	return ns
}

// swap names others: as many as there are witnesses, and at most one of three further ones dishonest.
func (w *World) swap() error {
	from := w.settled(false)
	w.Rand.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	size := max(1, w.opt.Witnesses)
	var next []*kerneltest.Node
	for lying, i := 0, 0; i < len(from) && len(next) < size; i++ {
		if from[i].Liar() {
			if lying++; lying > (size-1)/3 {
				continue
			}
		}
		next = append(next, from[i])
	}
	if len(next) < size {
		return nil
	}
	_ = w.Swap(next...)
	return nil
}

// hand gives the clerk's office to somebody.
func (w *World) hand() error {
	if to := w.settled(true); len(to) > 0 {
		_ = w.Hand(fact.Clerk, to[w.Rand.IntN(len(to))])
	}
	return nil
}
