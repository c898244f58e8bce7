package finality

import (
	"fmt"
	"slices"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// join adds a node to the council that is no witness yet.
func (c *council) join(name string) int {
	a := New(nil)
	m := kerneltest.NewModel(chat{}, a)
	m.SetSelf(m.Signer(name))
	c.apps, c.nodes = append(c.apps, a), append(c.nodes, m)
	return len(c.nodes) - 1
}

// swap names the witnesses of an epoch, on the registrar's node.
func (c *council) swap(need, faulty int, who ...int) api.Position {
	c.t.Helper()
	keys := []api.Key{}
	for _, i := range who {
		keys = append(keys, self(c.nodes[i]).Device())
	}
	m := c.nodes[0]
	_, rc, err := c.apps[0].Name(c.t.Context(), self(m), c.space, keys, need, faulty, api.WaitLocal)
	if err != nil {
		c.t.Fatal(err)
	}
	c.gather(m)
	return rc.Position
}

func (c *council) epoch(node int) (n uint64) {
	c.open(node, func(s *fact.Space) {
		e, _ := s.Epoch()
		n = e.Number
	})
	return n
}

func (c *council) wantEpoch(want uint64, nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		if got := c.epoch(i); got != want {
			c.t.Fatalf("node %d is in epoch %d, want %d", i, got, want)
		}
	}
}

// A lone witness makes room for another: what was final stays so, and the new one's word is enough.
func TestLoneWitnessIsReplaced(t *testing.T) {
	c := newCouncil(t, 1, 1, 1)
	c.join("next")
	c.gather(c.nodes[0])
	c.run(0, 1)
	before := c.say(0, "bob", "say")
	c.run(0, 1)
	c.swap(1, 0, 1)
	c.run(0, 1)
	c.wantEpoch(1, 0, 1)
	after := c.say(1, "bob", "say")
	c.run(0)
	c.wantFinal(after, false, 0)
	c.run(0, 1)
	c.wantFinal(before, true, 0, 1)
	c.wantFinal(after, true, 0, 1)
	c.same(0, 1)
}

// One of three witnesses is replaced by another device, while people talk.
func TestOneOfSeveralIsReplaced(t *testing.T) {
	for _, tc := range []struct{ n, need, faulty int }{{3, 2, 0}, {4, 3, 1}} {
		for seed := range uint64(5) {
			c := newCouncil(t, tc.n, tc.need, seed)
			fresh := c.join("next")
			var old, next, all []int
			for i := range tc.n + 1 {
				all = append(all, i)
				if i < tc.n {
					old = append(old, i)
				}
				if i != tc.n-1 {
					next = append(next, i)
				}
			}
			c.gather(c.nodes[0])
			c.run(all...)
			var said []api.Position
			talk := func() {
				said = append(said, c.say(0, "bob", "say"), c.say(c.rng.IntN(tc.n), "carol", "say"))
			}
			c.say(0, "carol", "say")
			c.run(all...)
			talk()
			c.swap(tc.need, tc.faulty, next...)
			c.run(old[:1+c.rng.IntN(tc.n)]...)
			c.say(0, "dan", "say")
			c.run(all...)
			c.wantEpoch(1, all...)
			p := c.say(fresh, "eve", "say")
			c.run(next...) // the one that left has no say
			c.wantFinal(p, true, next...)
			c.run(all...)
			for _, p := range append(said, p) {
				if v := c.verdict(0, p); v.Held {
					continue // carol spoke from two nodes at once
				}
				c.wantFinal(p, true, all...)
			}
			c.same(all...)
		}
	}
}

// forge makes a record that a key could sign at any time, after prev, and shows it to everybody.
func (c *council) forge(s api.Signer, kind string, body any, prev api.Position, deps ...api.Position) api.Position {
	c.t.Helper()
	m := c.nodes[0]
	c.deliver(m, true)
	r, err := m.Make(s, api.Draft{Topic: api.Topic{Space: c.space, Name: fact.FinalityTopic}, Kind: kind, Body: codec.MustMarshal(body), Deps: fact.Deps(deps)}, prev)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := m.Deliver(r); err != nil {
		c.t.Fatal(err)
	}
	c.gather(m)
	return r.Position()
}

// Scenario 8, witness-swap: the old witnesses' keys leak after a swap to others, and sign for the other branch of a double spend that lies astride it,
// and for what is new. Nothing of it becomes final, and nothing ceases to be.
func TestScenario8_WitnessSwap(t *testing.T) {
	for seed := range uint64(8) {
		c := newCouncil(t, 4, 3, seed)
		old := []int{0, 1, 2, 3}
		var next []int
		for i := range 4 {
			next = append(next, c.join(fmt.Sprint("n", i)))
		}
		all := slices.Concat(old, next)
		c.gather(c.nodes[0])
		c.run(all...)
		root := c.say(1, "mal", "say")
		c.run(all...)
		spent := c.say(1, "mal", "say")
		delayed := len(c.all)
		c.run(1, 2, 3) // what they state of it reaches the others late
		late := slices.Clone(c.all[delayed:])
		c.all = c.all[:delayed:delayed]
		c.swap(3, 1, next...)
		c.run(0)
		c.all = append(c.all, late...)
		c.run(all...)
		c.wantEpoch(1, all...)
		c.wantFinal(spent, true, all...)

		fresh := c.say(1, "bob", "say")
		again := c.sayAfter(1, "mal", "say", root)
		for _, i := range old {
			w := self(c.nodes[i])
			its := []item{{Feed: fresh.Feed, Seq: fresh.Seq, ID: fresh.ID, Accepted: true}, {Feed: again.Feed, Seq: again.Seq, ID: again.ID, Accepted: true}}
			slices.SortFunc(its, func(a, b item) int { return a.Feed.Compare(b.Feed) })
			c.forge(w, kindStatement, &statement{Final: its, Locks: its}, api.Position{}, c.nodes[0].Records()[0].Position())
		}
		c.run(old...)
		c.wantFinal(fresh, false, old...)
		c.wantFinal(spent, true, old...)
		c.wantFinal(again, false, old...)
		c.run(all...)
		c.wantFinal(fresh, true, all...)
		c.wantFinal(spent, true, all...)
		c.wantFinal(again, false, all...)
		c.wantEpoch(1, all...)
		c.same(all...)
	}
}

// Scenario 8, two rival swaps: a registrar that names two sets at one place gets neither or one of them, and nobody is left who states for the other.
func TestScenario8_RivalSwaps(t *testing.T) {
	for seed := range uint64(8) {
		c := newCouncil(t, 4, 3, seed)
		a, b := c.join("a"), c.join("b")
		all := []int{0, 1, 2, 3, a, b}
		c.gather(c.nodes[0])
		c.run(all...)
		m := c.nodes[0]
		name := func(who int) *api.Record {
			e := &epoch{Number: 1, Witnesses: []api.Key{self(c.nodes[who]).Device()}, Threshold: 1}
			r, err := m.Make(self(m), api.Draft{
				Topic: api.Topic{Space: c.space, Name: fact.CutTopic}, Kind: kindEpoch, Body: codec.MustMarshal(e), Deps: []api.Position{m.Records()[0].Position()},
			}, api.Position{})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		one, two := name(a), name(b)
		base := c.all
		left := []int{0, 1, 2, 3}[:1+c.rng.IntN(3)]
		right := []int{0, 1, 2, 3}[len(left):]
		c.all = append(slices.Clone(base), one)
		c.run(append(slices.Clone(left), a)...)
		side := c.all[len(base):]
		c.all = append(slices.Clone(base), two)
		c.run(append(slices.Clone(right), b)...)
		c.all = append(c.all, side...)
		c.run(all...)
		c.run(all...)
		won := map[api.Key]bool{}
		for _, i := range all {
			c.open(i, func(s *fact.Space) {
				if e, _ := s.Epoch(); e.Number > 0 {
					won[e.Witnesses[0]] = true
				}
			})
		}
		if len(won) > 1 {
			t.Fatalf("seed %d: both swaps are in force", seed)
		}
		if len(won) == 0 { // the witnesses in force go on
			p := c.say(1, "bob", "say")
			c.run(all...)
			c.wantFinal(p, true, all...)
		}
		c.same(all...)
	}
}

// hide keeps a record from who does not have it yet; the result shows it again.
func (c *council) hide(p api.Position) (show func()) {
	i := slices.IndexFunc(c.all, func(r *api.Record) bool { return r.ID == p.ID })
	r := c.all[i]
	c.all = slices.Delete(slices.Clone(c.all), i, i+1)
	return func() { c.all = append(c.all, r) }
}

// What the old witnesses made final binds the new ones who have not seen it: they know the statements, and neither lock the other branch of the fork nor
// answer a cut below, even when one of the old ones has forked its own feed to take its word back.
func TestScenario8_HiddenFinal(t *testing.T) {
	for _, tc := range []struct {
		name         string
		forked, cuts bool
	}{{"fork", false, false}, {"a witness forks", true, false}, {"cut", false, true}} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(3) {
				c := newCouncil(t, 4, 3, seed)
				var next []int
				for i := range 4 {
					next = append(next, c.join(fmt.Sprint("n", i)))
				}
				all := slices.Concat([]int{0, 1, 2, 3}, next)
				c.gather(c.nodes[0])
				c.run(all...)
				root := c.say(1, "mal", "say")
				c.run(all...)
				left := c.sayAfter(1, "mal", "say", root)
				c.run(1, 2, 3)
				c.wantFinal(left, true, 1)
				show := c.hide(left)
				c.swap(3, 1, next...)
				c.run(0, 1, 2, 3)
				if tc.forked {
					c.forge(self(c.nodes[3]), kindStatement, &statement{Locks: []item{{Feed: root.Feed, Seq: root.Seq, ID: root.ID, Accepted: true}}}, api.Position{}, c.nodes[0].Records()[0].Position())
				}
				if tc.cuts {
					c.run(next...)
					c.cutFeed("mal", fact.CutRequest{})
				}
				right := c.sayAfter(next[0], "mal", "say", root)
				c.run(append(slices.Clone(next), 0)...)
				c.wantEpoch(1, next...)
				free := c.say(next[0], "bob", "say")
				c.run(next...)
				c.wantFinal(free, true, next...)
				c.wantFinal(right, false, next...)
				show()
				c.run(all...)
				c.wantFinal(left, true, all...)
				c.wantFinal(right, false, all...)
				if v := c.verdict(next[0], left); !v.Accepted {
					t.Errorf("seed %d: what was final is void: %v", seed, v.Reason)
				}
				if _, at, n := c.cutAt(0, left.Feed); tc.cuts && (n != 1 || at.Seq < left.Seq) {
					t.Errorf("seed %d: %d cuts, at %v, want one that leaves %v", seed, n, at, left)
				}
				c.same(all...)
			}
		})
	}
}

// A dishonest one of the old witnesses lets the others make a record final and takes back its part in it, in each way that the protocol leaves it: the new
// ones, who have not seen the record, still do not lock the other branch of the fork, nor cut the feed below.
func TestScenario8_LiarTakesItsLockBack(t *testing.T) {
	for _, tc := range []struct {
		name   string
		beyond bool   // it locks what follows on the other branch
		cut    uint64 // with so many cuts in account
		forks  bool   // or it says so beside its first word
		cuts   bool   // the registrar cuts the feed
	}{
		{name: "it locks on", beyond: true},
		{name: "it counts cuts that are not", cut: 9},
		{name: "it forks its feed", forks: true},
		{name: "it counts cuts that are not, and there is one", cut: 9, cuts: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := range uint64(3) {
				c := newCouncil(t, 4, 3, seed)
				var next []int
				for i := range 4 {
					next = append(next, c.join(fmt.Sprint("n", i)))
				}
				honest := slices.Concat([]int{0, 1, 2}, next)
				c.gather(c.nodes[0])
				c.run(honest...)
				root := c.say(1, "mal", "say")
				c.run(honest...)
				left := c.sayAfter(1, "mal", "say", root)
				c.deliver(c.nodes[2], true)
				show := c.hide(left)
				z := self(c.nodes[3])
				it := []item{{Feed: left.Feed, Seq: left.Seq, ID: left.ID, Accepted: true}}
				first := c.forge(z, kindStatement, &statement{Final: it, Locks: it}, api.Position{}, c.nodes[0].Records()[0].Position())
				c.run(1, 2)
				c.wantFinal(left, true, 1)
				right := c.sayAfter(next[0], "mal", "say", root)
				again := right
				if tc.beyond {
					again = c.sayAfter(next[0], "mal", "say", right)
				}
				var founded []api.Position
				if tc.forks {
					first, founded = api.Position{}, []api.Position{c.nodes[0].Records()[0].Position()}
				}
				back := []item{{Feed: again.Feed, Seq: again.Seq, ID: again.ID, Accepted: true, Cut: tc.cut}}
				c.forge(z, kindStatement, &statement{Locks: back}, first, founded...)
				c.swap(3, 1, next...)
				c.run(0, 1, 2)
				if tc.cuts {
					c.run(next...)
					c.cutFeed("mal", fact.CutRequest{})
				}
				c.run(append(slices.Clone(next), 0)...)
				c.wantEpoch(1, next...)
				free := c.say(next[0], "bob", "say")
				c.run(next...)
				c.wantFinal(free, true, next...)
				c.wantFinal(right, false, next...)
				show()
				c.run(honest...)
				c.wantFinal(left, true, honest...)
				c.wantFinal(right, false, honest...)
				if _, at, n := c.cutAt(0, left.Feed); tc.cuts && (n != 1 || at.Seq < left.Seq) {
					t.Errorf("seed %d: %d cuts, at %v, want one that leaves %v", seed, n, at, left)
				}
				c.same(honest...)
			}
		})
	}
}

// Two of the old witnesses have locked a record, and the feed of a third, which was forked with its key, may have held it: nobody locks the other branch.
func TestScenario8_HolderForks(t *testing.T) {
	for seed := range uint64(3) {
		c := newCouncil(t, 4, 3, seed)
		var next []int
		for i := range 4 {
			next = append(next, c.join(fmt.Sprint("n", i)))
		}
		c.gather(c.nodes[0])
		all := slices.Concat([]int{0, 1, 2, 3}, next)
		c.run(all...)
		root := c.say(1, "mal", "say")
		c.run(all...)
		left := c.sayAfter(1, "mal", "say", root)
		c.deliver(c.nodes[2], true)
		show := c.hide(left)
		c.run(1, 2)
		c.swap(3, 1, next...)
		c.run(0, 1, 2, 3)
		right := c.sayAfter(next[0], "mal", "say", root)
		c.forge(self(c.nodes[3]), kindStatement, &statement{Locks: []item{{Feed: root.Feed, Seq: root.Seq, ID: root.ID, Accepted: true}}}, api.Position{}, c.nodes[0].Records()[0].Position())
		c.run(next...)
		c.wantEpoch(1, next...)
		c.wantFinal(right, false, next...)
		show()
		c.run(all...)
		c.wantFinal(right, false, all...)
		c.same(all...)
	}
}

// The locks of an epoch that a fork has split keep nobody from cutting the feed in the next: nobody has held either branch.
func TestSplitLocksAreCutInTheNextEpoch(t *testing.T) {
	for seed := range uint64(3) {
		c := newCouncil(t, 4, 3, seed)
		var next []int
		for i := range 4 {
			next = append(next, c.join(fmt.Sprint("n", i)))
		}
		c.gather(c.nodes[0])
		all := slices.Concat([]int{0, 1, 2, 3}, next)
		c.run(all...)
		root := c.say(1, "mal", "say")
		c.run(all...)
		left := c.sayAfter(1, "mal", "say", root)
		c.deliver(c.nodes[2], true)
		showLeft := c.hide(left)
		right := c.sayAfter(0, "mal", "say", root)
		c.deliver(c.nodes[3], true)
		showRight := c.hide(right)
		c.run(0, 1, 2, 3) // two lock either
		c.swap(3, 1, next...)
		c.run(all...)
		showLeft()
		showRight()
		c.run(all...)
		c.cutFeed("mal", fact.CutRequest{})
		c.run(all...)
		if _, at, n := c.cutAt(0, root.Feed); n != 1 || at != root {
			t.Fatalf("seed %d: %d cuts, at %v: want one at %v", seed, n, at, root)
		}
		p := c.say(0, "bob", "say")
		c.run(all...)
		c.wantFinal(p, true, all...)
		c.same(all...)
	}
}

// R5: nobody takes a step of a succession alone, or twice.
func TestR5_NoEpochWithoutTheOneBefore(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	fresh := c.join("next")
	c.gather(c.nodes[0])
	old := []int{0, 1, 2, 3}
	c.run(0, 1, 2, 3, fresh)
	m := c.nodes[0]
	founded := m.Records()[0].Position()
	next, w1, bob := self(c.nodes[fresh]), self(c.nodes[1]), m.Signer("bob")
	named := func(number uint64) *epoch { return newEpoch(number, []api.Key{next.Device()}, 1, 0) }
	c.refusedBy("not-registrar", 0, bob, fact.CutTopic, kindEpoch, named(1), founded)
	c.refusedBy("not-started", 0, self(m), fact.CutTopic, kindEpoch, named(2), founded)
	c.refusedBy("malformed", 0, self(m), fact.CutTopic, kindEpoch, newEpoch(1, []api.Key{next.Device(), w1.Device()}, 1, 0), founded)
	c.refusedBy("not-named", 1, w1, fact.FinalityTopic, kindSeal, &turn{Number: 1})
	c.refusedBy("not-a-witness", fresh, next, fact.FinalityTopic, kindStart, &turn{Number: 1}, founded)

	at := c.swap(1, 0, fresh)
	c.refusedBy("out-of-order", 0, self(m), fact.CutTopic, kindEpoch, named(1))
	if _, _, err := c.apps[0].Name(t.Context(), self(m), c.space, []api.Key{w1.Device()}, 1, 0, api.WaitLocal); api.KindOf(err) != api.Conflict {
		t.Errorf("naming others while the first wait: %v, want a conflict", err)
	}
	c.deliver(c.nodes[1], true)
	c.refusedBy("out-of-order", 1, w1, fact.FinalityTopic, kindSeal, &turn{Number: 2}, at)
	c.refusedBy("not-a-witness", 1, bob, fact.FinalityTopic, kindSeal, &turn{Number: 1}, at)
	c.run(1, 2) // two are too few to make it final, and seal nothing
	c.open(1, func(s *fact.Space) {
		for _, w := range s.Finality() {
			if _, _, ok := s.Seal(w, 1); ok {
				t.Error("a witness has sealed for what is not final")
			}
		}
	})
	c.run(1, 2, 3)
	p := c.say(1, "bob", "say")
	it := []item{{Feed: p.Feed, Seq: p.Seq, ID: p.ID, Accepted: true}}
	c.refusedBy("sealed", 1, w1, fact.FinalityTopic, kindStatement, &statement{Locks: it})
	c.refusedBy("sealed", 1, w1, fact.FinalityTopic, kindPromise, &promise{Feed: p.Feed, Number: 1})
	c.refusedBy("sealed", 1, w1, fact.FinalityTopic, kindSeal, &turn{Number: 1}, at)
	var seals []api.Position
	c.open(1, func(s *fact.Space) {
		for e, feeds := range s.Epochs() {
			for _, w := range feeds {
				if _, by, ok := s.Seal(w, 1); ok && e.Number == 0 {
					seals = append(seals, by)
				}
			}
		}
	})
	c.deliver(c.nodes[fresh], true)
	c.refusedBy("too-few-seals", fresh, next, fact.FinalityTopic, kindStart, &turn{Number: 1}, append([]api.Position{at}, seals[:2]...)...)
	c.refusedBy("not-a-witness", fresh, bob, fact.FinalityTopic, kindStart, &turn{Number: 1}, append([]api.Position{at}, seals...)...)
	c.run(append(old, fresh)...)
	c.wantFinal(p, true, 0, fresh)
	c.refusedBy("started", fresh, next, fact.FinalityTopic, kindStart, &turn{Number: 1}, append([]api.Position{at}, seals...)...)

	// The next change needs the word of who has started, and goes back to one of the first.
	c.swap(1, 0, 1)
	c.run(append(old, fresh)...)
	c.wantEpoch(2, append(old, fresh)...)
	q := c.say(0, "bob", "say")
	c.run(0, 1)
	c.wantFinal(q, true, 0, 1)
}

// R5: a vow binds the witness that made it and ends with its epoch: once the next is named, a cut needs the promises of those who follow.
func TestR5_NoCutByOldVows(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	fresh := c.join("next")
	c.gather(c.nodes[0])
	c.run(0, 1, 2, 3)
	p := c.say(1, "bob", "say")
	c.run(0, 1, 2, 3)
	m := c.nodes[0]
	feed := c.announce("bob")
	c.run(1, 2, 3)
	c.deliver(m, true)
	deps := []api.Position{p}
	c.open(0, func(s *fact.Space) {
		for _, w := range s.Finality() {
			if _, at, ok := s.Promise(w, feed); ok {
				deps = append(deps, at)
			}
		}
	})
	if len(deps) != 4 {
		t.Fatalf("%d promises, want 3", len(deps)-1)
	}
	c.swap(1, 0, fresh)
	by := &cut{Target: target{Topic: "chat", Device: m.Signer("bob").Device()}, Number: 1, At: fact.Place{Seq: p.Seq, ID: p.ID}}
	c.refusedBy("too-few-promises", 0, self(m), fact.CutTopic, kindCut, by, deps...)
	c.run(0, 1, 2, 3, fresh)
	if _, at, n := c.cutAt(0, feed); n != 1 || at != p {
		t.Errorf("%d cuts at %v: want the one that was announced, by the promise of the new witness", n, at)
	}
}
