package sim

import (
	"fmt"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Checkpoint lets the registrar write a checkpoint. The error is the refusal.
func (w *World) Checkpoint() error {
	out, err := call(w.members[0], "space.checkpoint.create", finality.CheckpointCreateIn{Space: w.Space})
	if err == nil {
		o := out.(*finality.CheckpointCreateOut)
		w.Count("checkpoint", "%d of %d records, %s", o.Number, o.Records, o.Digest.Short())
	}
	return err
}

// endCheckpoints checks, when all is well, that every checkpoint says what its view comes to, by a reading of the protocol that shares no code with the
// apps', that no honest witness has found anything else, and that one more is signed.
func (w *World) endCheckpoints() error {
	made := w.Checkpoint()
	if made == nil {
		if err := w.Agree(goOnMost); err != nil {
			return err
		}
	}
	for _, n := range w.Honest() {
		if n.Outsider || !n.Up() {
			continue
		}
		out, err := n.Ask("space.checkpoint.list", finality.CheckpointListIn{Space: w.Space})
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
		all := out.(*finality.CheckpointListOut).Checkpoints
		if made == nil && (len(all) == 0 || !all[0].Stands) {
			return fmt.Errorf("%s: the newest checkpoint does not stand: %+v", n.Name, all)
		}
		for _, c := range all {
			if err := w.checkpoint(n, c.Number); err != nil {
				return fmt.Errorf("%s: checkpoint %d: %w", n.Name, c.Number, err)
			}
		}
		if err := w.receipt(n); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) checkpoint(n *kerneltest.Node, number uint64) error {
	out, err := n.Ask("space.checkpoint.show", finality.CheckpointIn{Space: w.Space, Number: number})
	if err != nil {
		return err
	}
	c := out.(*finality.CheckpointShowOut)
	for _, k := range c.Checks {
		by := slices.IndexFunc(w.members, func(m *kerneltest.Node) bool { return m.Owns(k.Device) })
		if !k.Same && by >= 0 && !w.members[by].Liar() {
			return fmt.Errorf("%s has found another state, of %v", w.members[by].Name, k.Apps)
		}
	}
	in, ok := w.view(n, c.By)
	if !ok {
		return nil // of a branch of a liar's feed that nobody else has been shown
	}
	alone, err := n.FoldAlone(func(r *api.Record) bool { return in[r.ID] })
	if err != nil {
		return err
	}
	if alone != c.Digest || uint64(len(in)) != c.Records {
		return fmt.Errorf("it has %d records and digest %s, and the view has %d and %s", c.Records, c.Digest.Short(), len(in), alone.Short())
	}
	return nil
}

// view is the records of a checkpoint: what enough witnesses have held by then, they themselves, and all that stands under either. It is false when
// something is not here.
func (w *World) view(n *kerneltest.Node, by []api.Position) (in map[api.Hash]bool, ok bool) {
	byID := map[api.Hash]*api.Record{}
	for _, r := range n.Records() {
		byID[r.ID] = r
	}
	r := n.Read("")
	defer r.Close()
	words := map[api.Hash][]word{}
	var open []api.Hash
	for _, p := range by {
		if byID[p.ID] == nil {
			return nil, false
		}
		open = append(open, p.ID)
		witness := slices.IndexFunc(w.members, func(m *kerneltest.Node) bool { return m.Owns(byID[p.ID].Device) })
		var line []*api.Record
		for rec := byID[p.ID]; rec != nil; rec = byID[rec.Prev] {
			line = append(line, rec)
		}
		epoch := uint64(0)
		for _, rec := range slices.Backward(line) {
			if _, v, _ := r.Record(rec.Position()); !v.Accepted || rec.Topic.Name != fact.FinalityTopic {
				continue
			}
			var start turn
			if rec.Kind == kindStart && codec.Unmarshal(rec.Body, &start) == nil {
				epoch = start.Epoch
			}
			var s statement
			if rec.Kind != kindStatement || codec.Unmarshal(rec.Body, &s) != nil {
				continue
			}
			for _, it := range s.Final {
				words[it.Feed] = append(words[it.Feed], word{it, w.members[witness], rec.Position(), epoch})
			}
		}
	}
	for _, said := range words {
		if at, ok := w.held(r, said); ok {
			open = append(open, at.ID)
		}
	}
	in = map[api.Hash]bool{}
	for len(open) > 0 {
		id := open[len(open)-1]
		open = open[:len(open)-1]
		if in[id] {
			continue
		}
		in[id] = true
		rec := byID[id]
		if rec.Seq > 1 {
			open = append(open, rec.Prev)
		}
		for _, d := range rec.Deps {
			open = append(open, d.ID)
		}
	}
	return in, true
}

// held is the furthest position of a feed that enough witnesses have held, each that or a later one of its branch, in one epoch and with one number of cuts.
func (w *World) held(r api.Reader, said []word) (best api.Position, ok bool) {
	for _, c := range said {
		voices := map[*kerneltest.Node]bool{}
		for _, x := range said {
			if x.epoch == c.epoch && x.Cut == c.Cut && r.Before(c.at(), x.at()) {
				voices[x.by] = true
			}
		}
		if len(voices) >= w.need() && c.Seq > best.Seq {
			best, ok = c.at(), true
		}
	}
	return best, ok
}
