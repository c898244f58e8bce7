package finality

import (
	"fmt"
	"slices"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Scenario 8, witnesses lost: with fewer than enough nothing more is final and nothing that was is lost; the registrar names others, and those do not come
// in force by its word alone, nor by that of those who are left. Who comes back after all, with all that it had, frees the space.
func TestScenario8_LostWitnesses(t *testing.T) {
	for _, tc := range []struct {
		n, need    int
		left, back []int
	}{
		{4, 3, []int{0, 1}, []int{2}},
		{2, 2, []int{0}, []int{1}},
	} {
		t.Run(fmt.Sprintf("%d of %d", tc.n-len(tc.left), tc.n), func(t *testing.T) {
			c := newCouncil(t, tc.n, tc.need, 1)
			a, b := c.join("a"), c.join("b")
			here := append(slices.Clone(tc.left), a, b)
			all := append(slices.Clone(here), tc.back...)
			c.gather(c.nodes[0])
			c.run(all...)
			before := c.say(0, "bob", "say")
			c.run(all...)
			c.wantFinal(before, true, all...)

			after := c.say(0, "bob", "say") // nobody hears of the others any more
			c.swap(1, 0, a)
			c.run(here...)
			c.wantEpoch(0, here...)
			c.wantFinal(before, true, here...)
			c.wantFinal(after, false, here...)
			if v := c.verdict(a, after); !v.Accepted || v.Held {
				t.Errorf("what is not final has no effect: %+v", v)
			}
			c.same(here...)

			c.run(append(slices.Clone(all), tc.back...)...)
			c.wantEpoch(1, all...)
			c.wantFinal(before, true, all...)
			c.wantFinal(after, true, all...)
			c.same(all...)
		})
	}
}

// Scenario 8, more liars than the space allows for: two of four sign for both branches of a fork. Each honest witness has seen another branch final; all
// who see both choose alike, and say to everybody that there are two.
func TestScenario8_RivalFinals(t *testing.T) {
	for seed := range uint64(8) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		c.run(0, 1, 2, 3)
		root := c.say(0, "mal", "say")
		c.run(0, 1, 2, 3)
		left, right := c.sayAfter(0, "mal", "say", root), c.sayAfter(1, "mal", "say", root)
		far := c.sayAfter(0, "mal", "say", left)
		liars := []api.Signer{self(c.nodes[2]), self(c.nodes[3])}
		base := slices.DeleteFunc(slices.Clone(c.all), func(r *api.Record) bool { return r.ID == left.ID || r.ID == right.ID || r.ID == far.ID })
		records := slices.Clone(c.all)
		side := func(node int, signed api.Position, shown ...api.Position) (said []*api.Record) {
			c.all = slices.Clone(base)
			for _, r := range records {
				if slices.Contains(shown, r.Position()) {
					c.all = append(c.all, r)
				}
			}
			for _, w := range liars {
				c.betray(w, signed)
			}
			c.run(node)
			c.wantFinal(signed, true, node)
			return c.all
		}
		one, two := side(0, far, left, far), side(1, right, right)
		c.all = one
		for _, r := range two {
			if !slices.ContainsFunc(one, func(o *api.Record) bool { return o.ID == r.ID }) {
				c.all = append(c.all, r)
			}
		}
		c.run(0, 1)
		for _, i := range []int{0, 1} {
			if c.final(i, far) == c.final(i, right) {
				t.Fatalf("seed %d: at node %d far is final %v, right %v; want one", seed, i, c.final(i, far), c.final(i, right))
			}
			if err := c.nodes[i].Host("finality").Follow(c.space); err != nil {
				t.Fatal(err)
			}
			out, err := c.apps[i].list(t.Context(), nil, &ListIn{Space: c.space, Topic: "chat", Odd: true})
			if err != nil {
				t.Fatal(err)
			}
			want := far.Seq
			if c.final(i, far) {
				want = right.Seq
			}
			if len(out.Feeds) != 1 || out.Feeds[0].Rival != want {
				t.Errorf("seed %d: node %d lists %+v, want a rival at %d", seed, i, out.Feeds, want)
			}
		}
		if c.final(0, right) != c.final(1, right) {
			t.Errorf("seed %d: the nodes choose differently", seed)
		}
		c.same(0, 1)
	}
}

// A fork of which one branch is final has no rival, however many locks are on the other.
func TestForkIsNoRival(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.run(0, 1, 2, 3)
	root := c.say(0, "mal", "say")
	c.run(0, 1, 2, 3)
	left := c.sayAfter(0, "mal", "say", root)
	c.run(0, 1, 2, 3)
	c.sayAfter(1, "mal", "say", root)
	c.betray(self(c.nodes[3]), c.sayAfter(1, "mal", "say", root))
	c.run(0, 1, 2)
	c.wantFinal(left, true, 0, 1, 2)
	for _, h := range c.nodes[0].Host("finality").Heads(api.Topic{Space: c.space, Name: "chat"}) {
		if h.Fork == 0 || !h.Rival.IsZero() {
			t.Errorf("%+v, want a fork without rival", h)
		}
	}
	c.open(0, func(s *fact.Space) {
		if f, _, ok := s.Final(left.Feed); !ok || f.ID != left.ID {
			t.Errorf("final as cited: %+v", f)
		}
	})
}
