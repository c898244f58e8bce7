package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// protocol checks what several witnesses have made final against their own words, which it reads by itself: not by what app finality makes of them.
type protocol struct {
	w    *World
	seen map[*kerneltest.Node]uint64 // how many records a node held when it was last looked at
}

func (w *World) protocol() protocol { return protocol{w, map[*kerneltest.Node]uint64{}} }

// Step implements kerneltest.Checker, on the nodes that have got something.
func (p protocol) Step(c *kerneltest.Cluster) error {
	for _, n := range p.w.Nodes() {
		if end := n.LogEnd(); end != p.seen[n] && !n.Outsider && c.Rand.IntN(4) == 0 {
			p.seen[n] = end
			if err := p.feeds(n, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// End implements kerneltest.Checker.
func (p protocol) End(*kerneltest.Cluster) error {
	for _, n := range p.w.Honest() {
		if !n.Outsider {
			if err := p.feeds(n, true); err != nil {
				return err
			}
		}
	}
	return nil
}

// word is what a witness has held final in one record.
type word struct {
	item
	by *kerneltest.Node
}

// words lists what the witnesses have held final of each feed, as n has it.
func (p protocol) words(n *kerneltest.Node, r api.Reader) map[api.Hash][]word {
	witnesses := map[api.Key]*kerneltest.Node{}
	for _, m := range p.w.members[:min(len(p.w.members), max(1, p.w.opt.Witnesses))] {
		witnesses[m.Member().Device()] = m
	}
	words := map[api.Hash][]word{}
	for _, rec := range n.Records() {
		by := witnesses[rec.Device]
		var s statement
		if by == nil || rec.Topic.Name != fact.FinalityTopic || rec.Kind != kindStatement || codec.Unmarshal(rec.Body, &s) != nil {
			continue
		}
		if _, v, _ := r.Record(rec.Position()); v.Accepted {
			for _, it := range s.Final {
				words[it.Feed] = append(words[it.Feed], word{it, by})
			}
		}
	}
	return words
}

func (p protocol) feeds(n *kerneltest.Node, end bool) error {
	r := n.Read("")
	defer r.Close()
	words := p.words(n, r)
	need := p.w.need()
	for _, h := range n.Heads(api.Topic{Space: p.w.Space}) {
		feed := h.Tip.Feed
		mark, ok := r.Final(feed)
		if !ok {
			continue
		}
		voices := map[uint64]map[*kerneltest.Node]bool{}
		enough := false
		for _, x := range words[feed] {
			if r.Before(mark, api.Position{Feed: feed, Seq: x.Seq, ID: x.ID}) {
				if voices[x.Cut] == nil {
					voices[x.Cut] = map[*kerneltest.Node]bool{}
				}
				voices[x.Cut][x.by] = true
				enough = enough || len(voices[x.Cut]) >= need
			}
		}
		if !enough {
			return fmt.Errorf("%s: feed %s of %s is final to %d, which not %d witnesses hold with one number of cuts in account: %v", n.Name, feed.Short(), h.Topic.Name, mark.Seq, need, voices)
		}
		cuts := uint64(0)
		for _, c := range r.Cuts(feed) {
			if !c.Final {
				continue
			}
			cuts++
			if c.At.Seq > 0 && !r.Before(c.At, mark) && !r.Before(mark, c.At) {
				return fmt.Errorf("%s: feed %s is cut at %v, on another branch than what is final, %v", n.Name, feed.Short(), c.At, mark)
			}
		}
		if end {
			if err := p.held(n, r, words[feed], cuts); err != nil {
				return err
			}
		}
	}
	if end && p.w.opt.Liars+p.w.opt.Witnesses <= p.w.opt.Nodes {
		return p.deps(n, r)
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
		at := api.Position{Feed: x.Feed, Seq: x.Seq, ID: x.ID}
		if _, v, ok := r.Record(at); ok && !x.by.Liar() && x.Cut == cuts && v.Final && v.Accepted != x.Accepted {
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
