package finality

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// cutFeed announces a cut by the registrar, on node 0.
func (c *council) cutFeed(who string, q fact.CutRequest) api.Hash {
	c.t.Helper()
	m := c.nodes[0]
	q.Topic, q.Device = "chat", m.Signer(who).Device()
	feed, _, _, err := c.apps[0].Cut(context.Background(), self(m), c.space, q, api.WaitLocal)
	if err != nil {
		c.t.Fatal(err)
	}
	c.gather(m)
	return feed
}

// cutAt is the newest final cut of a feed as a node has it.
func (c *council) cutAt(node int, feed api.Hash) (by, at api.Position, n int) {
	r := c.nodes[node].Read("chat")
	defer r.Close()
	for _, s := range r.Cuts(feed) {
		if s.Final {
			by, at = s.By, s.At
			n++
		}
	}
	return by, at, n
}

func (c *council) verdict(node int, p api.Position) api.Verdict {
	r := c.nodes[node].Read("chat")
	defer r.Close()
	_, v, _ := r.Record(p)
	return v
}

func (c *council) same(nodes ...int) {
	c.t.Helper()
	for _, i := range nodes[1:] {
		for _, app := range []string{"chat", "finality"} {
			if c.nodes[i].Digest(app) != c.nodes[nodes[0]].Digest(app) {
				c.t.Fatalf("nodes %d and %d differ in %s", nodes[0], i, app)
			}
		}
	}
}

// With one witness a cut is a local matter: what the witness has seen stands, what comes later without knowing the cut is void, and the author goes
// on by citing it.
func TestCutByLoneWitness(t *testing.T) {
	c := newCouncil(t, 1, 1, 1)
	c.gather(c.nodes[0])
	c.run(0)
	c.say(0, "bob", "say")
	two := c.say(0, "bob", "say")
	feed := c.cutFeed("bob", fact.CutRequest{})
	c.run(0)
	by, at, n := c.cutAt(0, feed)
	if n != 1 || at != two {
		t.Fatalf("%d final cuts, at %v; want one at %v", n, at, two)
	}
	late := c.say(0, "bob", "say")
	c.run(0)
	if v := c.verdict(0, late); v.Accepted || v.Reason == nil || v.Reason.Rule != "cut" {
		t.Errorf("a record that does not know the cut: %+v, want void by the cut", v)
	}
	on := c.say(0, "bob", "say", by)
	c.run(0)
	if v := c.verdict(0, on); !v.Accepted || !v.Final {
		t.Errorf("a record that cites the cut: %+v, want accepted and final", v)
	}
	r := c.nodes[0].Read("chat")
	defer r.Close()
	if b, _, _ := r.Own(feed, []byte("n")); string(b) != "xxx" || r.Counter([]byte("said")) != 3 {
		t.Errorf("row %q, counter %d: want the void record left out", b, r.Counter([]byte("said")))
	}
}

// Scenario 7, freeze-mid-lock: the cut reaches some witnesses while a record has some locks. The chain goes on, and the record has one verdict
// everywhere.
func TestScenario7_FreezeMidLock(t *testing.T) {
	for seed := range uint64(20) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		everybody := []int{0, 1, 2, 3}
		c.run(everybody...)
		c.say(1, "bob", "say")
		c.run(everybody...)
		mid := c.say(1, "bob", "say")
		c.run(1, 2) // two locks, none of them the registrar's
		feed := c.cutFeed("bob", fact.CutRequest{})
		c.run(0, 3)
		c.run(everybody...)
		by, _, n := c.cutAt(0, feed)
		if n != 1 {
			t.Fatalf("seed %d: %d final cuts, want 1", seed, n)
		}
		on := c.say(1, "bob", "say", by)
		c.run(everybody...)
		c.wantFinal(on, true, everybody...)
		c.wantFinal(mid, true, everybody...)
		for _, i := range everybody {
			if c.verdict(i, mid).Accepted != c.verdict(0, mid).Accepted {
				t.Fatalf("seed %d: two verdicts on the record in the middle", seed)
			}
		}
		c.same(everybody...)
	}
}

// Scenario 6, hidden-certificate: one bad witness signs both branches, the author hides what enough have locked, a cut chooses the other branch if it
// may, and then he shows it. What was final stays final.
func TestScenario6_HiddenCertificate(t *testing.T) {
	for seed := range uint64(40) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		c.run(0, 1, 2, 3)
		root := c.say(1, "mal", "say")
		c.run(0, 1, 2, 3)
		left := c.sayAfter(1, "mal", "say", root)
		c.betray(c.nodes[0].Signer("w3"), left)
		hidden := c.all
		c.run(1, 2) // w1, w2 and the bad w3 lock left; some may hold it
		hidden, c.all = c.all, hidden[:len(hidden)-2:len(hidden)-2]
		seen := c.rng.IntN(2) == 0 // whether w2's statements get out
		if seen {
			for _, r := range hidden[len(c.all):] {
				if r.Device == self(c.nodes[2]).Device() {
					c.all = append(c.all, r)
				}
			}
		}
		right := c.sayAfter(0, "mal", "say", root)
		c.betray(c.nodes[0].Signer("w3"), right)
		feed := c.cutFeed("mal", fact.CutRequest{Adopt: right})
		c.run(0)
		final := c.final(1, left) || c.final(2, left)
		c.all = append([]*api.Record(nil), c.all...)
		have := map[api.Hash]bool{}
		for _, r := range c.all {
			have[r.ID] = true
		}
		for _, r := range hidden {
			if !have[r.ID] {
				c.all = append(c.all, r)
			}
		}
		c.run(0, 1, 2)
		if final && !c.final(0, left) {
			t.Fatalf("seed %d: what was final is not", seed)
		}
		for n := range 3 {
			if c.final(n, left) && c.final(n, right) {
				t.Fatalf("seed %d: both branches are final at node %d", seed, n)
			}
		}
		if _, at, n := c.cutAt(0, feed); n > 0 && final && at == right {
			t.Fatalf("seed %d: the cut chose against what was final", seed)
		}
		c.same(0, 1, 2)
	}
}

// Half the witnesses have locked one branch of a fork and half the other: no branch shows by locks alone what is certified before it, but what they
// have held does, and the feed is cut there, or on the branch that the draft adopts.
func TestCutOfAnEvenFork(t *testing.T) {
	for seed := range uint64(12) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		everybody := []int{0, 1, 2, 3}
		c.run(everybody...)
		root := c.say(1, "mal", "say")
		c.run(everybody...)
		left := c.sayAfter(0, "mal", "say", root)
		c.run(0, 1)
		show := c.hide(left)
		right := c.sayAfter(2, "mal", "say", root)
		c.run(2, 3)
		show()
		c.run(everybody...)
		c.wantFinal(root, true, everybody...)
		c.wantFinal(left, false, everybody...)
		c.wantFinal(right, false, everybody...)
		var q fact.CutRequest
		want := root
		if seed%2 == 0 {
			q.Adopt, want = right, right
		}
		feed := c.cutFeed("mal", q)
		c.run(everybody...)
		if _, at, n := c.cutAt(3, feed); n != 1 || at != want {
			t.Fatalf("seed %d: %d final cuts, at %v; want one at %v", seed, n, at, want)
		}
		c.wantFinal(left, false, everybody...)
		c.wantFinal(right, want == right, everybody...)
		c.same(everybody...)
	}
}

// Three of four witnesses have locked what comes before a fork, one of them has seen that and holds it, and then each has locked further, on two branches.
// Their newest locks show nothing on either, and the fourth is silent: what they had locked before shows what the one holds, so that it can answer, too.
func TestCutOfAForkThatHidesWhatOneHolds(t *testing.T) {
	for seed := range uint64(6) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		c.run(0, 1, 2, 3)
		root := c.say(1, "mal", "say")
		c.run(1)
		c.run(2)
		c.deliver(c.nodes[0], true)
		left := c.sayAfter(0, "mal", "say", root)
		c.run(0)
		known := c.all // what 0 has said of left reaches the others later
		c.all = slices.DeleteFunc(slices.Clone(known), func(r *api.Record) bool { return r.ID == left.ID })
		right := c.sayAfter(2, "mal", "say", root)
		c.run(2)
		i := slices.IndexFunc(known, func(r *api.Record) bool { return r.ID == left.ID })
		if _, err := c.nodes[1].Deliver(known[i]); err != nil {
			t.Fatal(err)
		}
		if err := c.nodes[1].React(); err != nil {
			t.Fatal(err)
		}
		c.gather(c.nodes[1])
		c.all = append(c.all, known[i])
		c.run(0, 1, 2)
		c.wantFinal(root, false, 0, 1, 2)
		feed := c.cutFeed("mal", fact.CutRequest{})
		c.run(0, 1, 2)
		if _, at, n := c.cutAt(0, feed); n != 1 || at != root {
			t.Fatalf("seed %d: %d final cuts, at %v; want one at %v", seed, n, at, root)
		}
		c.run(0, 1, 2, 3)
		c.wantFinal(root, true, 0, 1, 2, 3)
		c.wantFinal(right, false, 0, 1, 2, 3)
		c.same(0, 1, 2, 3)
	}
}

// A bad witness shows its lock to one other alone, which holds what that makes enough, and goes another way for everybody else. The one shows what it holds by
// the branch that only it was shown, for else it could promise nothing, and the feed could not be cut while the bad one is silent.
func TestCutShowsWhatOneAloneWasShown(t *testing.T) {
	for seed := range uint64(8) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		c.run(0, 1, 2, 3)
		left := c.say(1, "mal", "say")
		other := c.say(1, "eve", "say")
		c.run(0, 1)
		shown := c.all // w2 meets another branch of mal's
		c.all = slices.DeleteFunc(slices.Clone(shown), func(r *api.Record) bool { return r.ID == left.ID })
		c.sayAfter(2, "mal", "say", api.Position{})
		if err := c.nodes[2].React(); err != nil {
			t.Fatal(err)
		}
		c.gather(c.nodes[2])
		c.all = append(c.all, shown[slices.IndexFunc(shown, func(r *api.Record) bool { return r.ID == left.ID })])
		w3 := c.nodes[0].Signer("w3")
		c.betray(w3, left)
		alone := c.all[len(c.all)-1]
		c.all = c.all[:len(c.all)-1]
		c.betray(w3, other)
		if seed%2 == 0 { // which of the two comes first
			c.deliver(c.nodes[1], true)
		}
		if _, err := c.nodes[1].Deliver(alone); err != nil {
			t.Fatal(err)
		}
		if err := c.nodes[1].React(); err != nil {
			t.Fatal(err)
		}
		c.deliver(c.nodes[1], true)
		c.gather(c.nodes[1])
		feed := c.cutFeed("mal", fact.CutRequest{})
		c.run(0, 1, 2)
		c.all = append(c.all, alone) // with what cites it
		c.run(0, 1, 2)
		if _, at, n := c.cutAt(0, feed); n != 1 || at != left {
			t.Fatalf("seed %d: %d final cuts, at %v; want one at %v", seed, n, at, left)
		}
		c.same(0, 1, 2)
	}
}

// Scenario 9, removed-but-acked: half the witnesses know of the removal while carol cites a later record of bob's. She is held no longer than
// delivery takes, whatever becomes of his record; his feed has ended for good, and nothing of it counts any more, also not what cites the cut.
func TestScenario9_RemovedButAcked(t *testing.T) {
	for seed := range uint64(12) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		everybody := []int{0, 1, 2, 3}
		c.run(everybody...)
		stands := c.say(2, "bob", "say")
		c.run(everybody...)
		feed := c.cutFeed("bob", fact.CutRequest{Next: c.nodes[0].Signer("bob").Device()})
		late := c.say(2, "bob", "say")
		acked := c.say(2, "carol", "say", late)
		c.run(everybody[c.rng.IntN(3):]...)
		c.run(everybody...)
		by, at, n := c.cutAt(0, feed)
		if n != 1 || at != stands && at != late {
			t.Fatalf("seed %d: %d final cuts, at %v", seed, n, at)
		}
		c.wantFinal(acked, true, everybody...)
		again := c.say(2, "bob", "say", by)
		after := c.say(2, "carol", "say", again)
		c.run(everybody...)
		c.wantFinal(after, true, everybody...)
		for _, i := range everybody {
			if !c.verdict(i, acked).Accepted || !c.verdict(i, after).Accepted {
				t.Fatalf("seed %d: who cited the removed is void on node %d", seed, i)
			}
			if v := c.verdict(i, again); v.Accepted || v.Reason == nil || v.Reason.Rule != "feed-ended" && v.Reason.Rule != "cut" {
				t.Fatalf("seed %d: the removed goes on by citing the cut: %+v", seed, v)
			}
		}
		c.same(everybody...)
	}
}

// Who is let in again goes on in the same feed by a later cut, on the rows of before.
func TestEndedFeedIsOpenedAgain(t *testing.T) {
	c := newCouncil(t, 1, 1, 1)
	c.gather(c.nodes[0])
	c.run(0)
	c.say(0, "bob", "say")
	feed := c.cutFeed("bob", fact.CutRequest{Next: c.nodes[0].Signer("bob").Device()})
	c.run(0)
	first, _, _ := c.cutAt(0, feed)
	ended := c.say(0, "bob", "say", first)
	c.cutFeed("bob", fact.CutRequest{})
	c.run(0)
	second, _, n := c.cutAt(0, feed)
	p := c.say(0, "bob", "say", second)
	c.run(0)
	r := c.nodes[0].Read("chat")
	defer r.Close()
	if b, _, _ := r.Own(p.Feed, []byte("n")); n != 2 || string(b) != "xx" {
		t.Errorf("after %d cuts the row is %q, want what stood before the first and one more", n, b)
	}
	if v := c.verdict(0, ended); v.Accepted {
		t.Errorf("what was written while the feed had ended: %+v", v)
	}
	c.wantFinal(p, true, 0)
}

// A new device goes on where the old one was cut.
func TestSuccessorGoesOn(t *testing.T) {
	c := newCouncil(t, 1, 1, 1)
	c.gather(c.nodes[0])
	c.run(0)
	c.say(0, "old", "say")
	c.say(0, "old", "say")
	next := c.nodes[0].Signer("new").Device()
	feed := c.cutFeed("old", fact.CutRequest{Next: next})
	c.run(0)
	by, _, _ := c.cutAt(0, feed)
	p := c.say(0, "new", "say", by)
	r := c.nodes[0].Read("chat")
	defer r.Close()
	if b, _, _ := r.Own(p.Feed, []byte("n")); string(b) != "xxx" {
		t.Errorf("the successor's row is %q, want what the old device had and one more", b)
	}
}

// Any history of talk, forks, cuts and partitions: no final position ever changes its verdict or vanishes, chains go on, and all end alike.
func TestCutsUnderPartitions(t *testing.T) {
	for seed := range uint64(25) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		everybody := []int{0, 1, 2, 3}
		c.run(everybody...)
		finals := map[api.Position]bool{}
		check := func() {
			t.Helper()
			for _, i := range everybody {
				for _, rec := range c.nodes[i].Records() {
					if rec.Topic.Name != "chat" {
						continue
					}
					v := c.verdict(i, rec.Position())
					was, known := finals[rec.Position()]
					if v.Final && known && was != v.Accepted {
						t.Fatalf("seed %d: node %d has final %v as %v, it was %v", seed, i, rec.Position(), v.Accepted, was)
					}
					if v.Final {
						finals[rec.Position()] = v.Accepted
					}
				}
			}
		}
		cuts := 0
		for range 25 {
			node := c.rng.IntN(4)
			who := fmt.Sprint("p", node) // each author is at home on one node
			switch c.rng.IntN(8) {
			case 0:
				q := fact.CutRequest{Topic: "chat", Device: c.nodes[0].Signer(who).Device()}
				_, _, _, err := c.apps[0].Cut(context.Background(), self(c.nodes[0]), c.space, q, api.WaitLocal)
				if err == nil {
					cuts++
				} else if api.KindOf(err) != api.Conflict {
					t.Fatal(err)
				}
				c.gather(c.nodes[0])
			case 1:
				c.sayAfter(node, "p3", "say", api.Position{}) // p3 is the one who forks
			default:
				feed := c.nodes[0].Host("finality").Feed(api.Topic{Space: c.space, Name: "chat"}, c.nodes[0].Signer(who).Device())
				var cite []api.Position
				if by, _, n := c.cutAt(node, feed); n > 0 && c.rng.IntN(3) > 0 {
					cite = append(cite, by)
				}
				c.say(node, who, "say", cite...)
			}
			part := everybody[:1+c.rng.IntN(4)]
			if c.rng.IntN(2) == 0 {
				part = everybody[c.rng.IntN(4):]
			}
			c.run(part...)
			check()
		}
		c.run(everybody...)
		c.run(everybody...)
		check()
		c.same(everybody...)
		if cuts > 0 {
			total := 0
			for _, who := range []string{"p0", "p1", "p2", "p3"} {
				feed := c.nodes[0].Host("finality").Feed(api.Topic{Space: c.space, Name: "chat"}, c.nodes[0].Signer(who).Device())
				by, _, n := c.cutAt(0, feed)
				total += n
				if n > 0 && who != "p3" {
					var home int
					fmt.Sscanf(who, "p%d", &home)
					on := c.say(home, who, "say", by)
					c.run(everybody...)
					c.wantFinal(on, true, everybody...)
					if !c.verdict(0, on).Accepted {
						t.Errorf("seed %d: %s cannot go on: %+v", seed, who, c.verdict(0, on))
					}
				}
			}
			if total == 0 {
				t.Errorf("seed %d: %d cuts announced and none is final", seed, cuts)
			}
		}
	}
}
