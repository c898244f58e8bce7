package sim

import (
	"fmt"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// protocol checks what several witnesses have made final against their own words, which it reads by itself: not by what app finality makes of them.
type protocol struct {
	w    *World
	seen map[*kerneltest.Node]*heard
}

func (w *World) protocol() protocol { return protocol{w, map[*kerneltest.Node]*heard{}} }

// heard is what the checker has read and found right on a node.
type heard struct {
	turns   uint64 // those of the node when it was last looked at
	records int
	last    *api.Record                 // the last of them
	starts  map[api.Hash][]api.Position // where witnesses' feeds begin to speak in a later epoch
	epochs  map[api.Hash]uint64         // and in which, by the id of that record
	words   map[api.Hash][]word         // what the witnesses have said of each feed
	right   map[api.Hash]closed         // where each feed was final when that was found right
}

type closed struct {
	at   api.Position
	cuts uint64
}

// word is what a witness has held final in one record.
type word struct {
	item
	by    *kerneltest.Node
	in    api.Position
	epoch uint64 // in which it was said
}

// Step implements kerneltest.Checker, on the nodes that have got something.
func (p protocol) Step(*kerneltest.Cluster) error {
	for _, n := range p.w.Nodes() {
		if n.Outsider || p.seen[n] != nil && p.seen[n].turns == n.Turns() {
			continue
		}
		if err := p.feeds(n, false); err != nil {
			return err
		}
	}
	return nil
}

// End implements kerneltest.Checker. It looks at everything anew.
func (p protocol) End(*kerneltest.Cluster) error {
	clear(p.seen)
	for _, n := range p.w.Honest() {
		if !n.Outsider {
			if err := p.feeds(n, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// listen reads what a node has got since it was last asked. Another disk is read anew: it may have lost some of what was read before, and have got as many
// others since, so that their number does not show it.
func (p protocol) listen(n *kerneltest.Node) *heard {
	h, recs := p.seen[n], n.Records()
	if h == nil || h.records > len(recs) || h.records > 0 && recs[h.records-1] != h.last {
		h = &heard{starts: map[api.Hash][]api.Position{}, epochs: map[api.Hash]uint64{}, words: map[api.Hash][]word{}, right: map[api.Hash]closed{}}
		p.seen[n] = h
	}
	witnesses := map[api.Key]*kerneltest.Node{}
	for _, m := range p.w.members {
		if p.w.Witness(m) {
			witnesses[m.Member().Device()] = m
		}
	}
	for _, rec := range recs[h.records:] {
		by := witnesses[rec.Device]
		var start turn
		if by != nil && rec.Topic.Name == fact.FinalityTopic && rec.Kind == kindStart && codec.Unmarshal(rec.Body, &start) == nil {
			h.starts[rec.Feed] = append(h.starts[rec.Feed], rec.Position())
			h.epochs[rec.ID] = start.Epoch
		}
		var s statement
		if by == nil || rec.Topic.Name != fact.FinalityTopic || rec.Kind != kindStatement || codec.Unmarshal(rec.Body, &s) != nil {
			continue
		}
		var epoch uint64
		for _, at := range h.starts[rec.Feed] {
			if at.Seq < rec.Seq {
				epoch = max(epoch, h.epochs[at.ID])
			}
		}
		for _, it := range s.Final {
			h.words[it.Feed] = append(h.words[it.Feed], word{it, by, rec.Position(), epoch})
		}
	}
	h.turns, h.records = n.Turns(), len(recs)
	if len(recs) > 0 {
		h.last = recs[len(recs)-1]
	}
	return h
}

func (p protocol) feeds(n *kerneltest.Node, end bool) error {
	r := n.Read("")
	defer r.Close()
	heard := p.listen(n)
	for _, h := range n.Heads(api.Topic{Space: p.w.Space}) {
		mark, ok := r.Final(h.Tip.Feed)
		if !ok || h.Topic.Name == fact.FinalityTopic { // those who follow say where a witness's feed ends
			continue
		}
		var cuts []api.CutState
		for _, c := range r.Cuts(h.Tip.Feed) {
			if c.Final {
				cuts = append(cuts, c)
			}
		}
		now, words := closed{mark, uint64(len(cuts))}, heard.words[h.Tip.Feed]
		if heard.right[h.Tip.Feed] != now {
			if err := p.feed(n, r, h, mark, words, cuts); err != nil {
				return err
			}
			heard.right[h.Tip.Feed] = now
		}
		if end {
			if err := p.held(n, r, words, now.cuts); err != nil {
				return err
			}
		}
	}
	if end && !slices.ContainsFunc(p.w.members, func(m *kerneltest.Node) bool { return m.Liar() && p.w.Witness(m) }) {
		return p.deps(n, r)
	}
	return nil
}

// feed checks that enough witnesses hold what is final of a feed, and that no final cut says otherwise.
func (p protocol) feed(n *kerneltest.Node, r api.Reader, h api.Head, mark api.Position, words []word, cuts []api.CutState) error {
	type camp struct{ epoch, cut uint64 }
	voices := map[camp]map[*kerneltest.Node]bool{}
	enough := false
	for _, x := range slices.Backward(words) {
		c := camp{x.epoch, x.Cut}
		if x.Seq < mark.Seq || voices[c][x.by] {
			continue
		}
		if _, v, _ := r.Record(x.in); !v.Accepted || !r.Before(mark, x.at()) {
			continue
		}
		if voices[c] == nil {
			voices[c] = map[*kerneltest.Node]bool{}
		}
		voices[c][x.by] = true
		if enough = len(voices[c]) >= p.w.need(); enough {
			break
		}
	}
	if !enough {
		return fmt.Errorf("%s: feed %s of %s is final to %d, which not %d witnesses of one epoch hold with one number of cuts in account: %v", n.Name, mark.Feed.Short(), h.Topic.Name, mark.Seq, p.w.need(), voices)
	}
	for _, c := range cuts {
		if c.At.Seq > 0 && !r.Before(c.At, mark) && !r.Before(mark, c.At) {
			return fmt.Errorf("%s: feed %s is cut at %v, on another branch than what is final, %v", n.Name, mark.Feed.Short(), c.At, mark)
		}
	}
	return nil
}

// need is how many witnesses make a record final.
func (w *World) need() int {
	n := max(1, w.opt.Witnesses)
	return (n+(n-1)/3)/2 + 1
}

// held checks that what honest witnesses have held with the newest cuts in account is what it is, once it is final.
func (p protocol) held(n *kerneltest.Node, r api.Reader, words []word, cuts uint64) error {
	for _, x := range words {
		if x.by.Liar() || x.Cut != cuts {
			continue
		}
		at := x.at()
		if _, v, ok := r.Record(at); ok && v.Final && v.Accepted != x.Accepted {
			return fmt.Errorf("%s: %s holds %v accepted %t after %d cuts, and it is accepted %t", n.Name, x.by.Name, at, x.Accepted, cuts, v.Accepted)
		}
	}
	return nil
}

// deps checks, where all witnesses are honest, that what a final record stands on is final, too, if its feed is not cut.
func (p protocol) deps(n *kerneltest.Node, r api.Reader) error {
	if p.w.opt.Witnesses < 2 {
		return nil // a lone witness makes final what it has, in whatever order
	}
	for _, rec := range n.Records() {
		if _, v, _ := r.Record(rec.Position()); !v.Final || rec.Topic.Name == fact.FinalityTopic || !v.Accepted {
			continue
		}
		for _, d := range rec.Deps {
			if on, v, _ := r.Record(d); !v.Final && on.Topic.Name != fact.FinalityTopic && len(r.Cuts(d.Feed)) == 0 {
				return fmt.Errorf("%s: record %v of %s is final and stands on %v, which is not", n.Name, rec.Position(), rec.Topic.Name, d)
			}
		}
	}
	return nil
}
