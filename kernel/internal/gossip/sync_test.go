package gossip_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Two nodes with as many feeds and records as each other, but not the same ones: whatever counts would call them equal.
func TestR1_EqualCountsDifferentSetsHeal(t *testing.T) {
	for _, feeds := range []int{1, 10, 400} {
		t.Run(fmt.Sprint(feeds), func(t *testing.T) {
			c := newCluster(t, 2, gossip.Options{})
			for i, x := range c.nodes {
				for j := range feeds {
					for k := range 3 {
						c.publish(x, feedOf(fmt.Sprint(i, j)), fmt.Sprint(k))
					}
				}
			}
			a, b := c.nodes[0], c.nodes[1]
			if a.log.count != b.log.count || a.log.state() == b.log.state() {
				t.Fatal("the test needs equal counts and different sets")
			}
			c.connect(a, b)
			if !c.settle(10 * time.Second) {
				t.Fatalf("not equal after 10 s:\n%s", c.describe())
			}
			if a.log.count != 6*feeds {
				t.Errorf("%d records, want %d", a.log.count, 6*feeds)
			}
		})
	}
}

// An empty node catches up with all there is, from several peers, with deps across feeds, and with a bounded number of records under way.
func TestR15_EmptyNodeCatchesUp(t *testing.T) {
	c := newCluster(t, 3, gossip.Options{})
	full := c.nodes[:2]
	var last []api.Position
	for i := range 20000 {
		feed := feedOf(fmt.Sprint(i * 7919 % 1200))
		if i < 3000 {
			feed = feedOf("long")
		}
		var deps []api.Position
		if i%5 == 0 && len(last) > 50 && last[len(last)-50].Feed != feed {
			deps = last[len(last)-50 : len(last)-49]
		}
		p := c.publish(full[0], feed, fmt.Sprint(i), deps...)
		e, _ := full[0].log.get(p)
		full[1].core.Committed(c.now, full[1].log.apply(testSpace, e, ""))
		last = append(last, p)
	}
	c.connect(full[0], full[1])
	c.run(2 * time.Second)
	late := c.nodes[2]
	c.connect(late, full[0])
	c.connect(late, full[1])
	if !c.settle(time.Minute) {
		s, _ := late.core.Status(testSpace)
		t.Fatalf("not equal after %s: %d of %d records, %d held, %+v", c.now.Sub(c.begin), late.log.count, full[0].log.count, len(late.log.held), s)
	}
	t.Logf("20,000 records in %s, at most %d bytes under way, %d envelopes fetched, %v", c.now.Sub(c.begin), c.most, late.solicit, c.bytes)
	if late.solicit > 22000 {
		t.Errorf("%d envelopes came for 20,000 records", late.solicit)
	}
	if c.most > 2*6*1024*300 {
		t.Errorf("%d bytes under way to one node", c.most)
	}
	if n := c.frames["Push"]; n > 0 {
		t.Errorf("%d pushes while nothing new was published", n)
	}
	for _, x := range c.nodes {
		if len(x.bad) > 0 {
			t.Errorf("%s complains: %v", x.did, x.bad)
		}
	}
}

// After a warm-up every node of ten gets each record about once.
func TestPushRedundancy(t *testing.T) {
	for _, fanout := range []int{3, 6, 9} {
		t.Run(fmt.Sprint(fanout), func(t *testing.T) {
			c := newCluster(t, 10, gossip.Options{Fanout: fanout, Seed: 7})
			c.mesh()
			publish := func(n int) {
				for i := range n {
					x := c.nodes[i*7%10]
					c.publish(x, feedOf(string(x.did)), fmt.Sprint(i, c.now))
					c.run(300 * time.Millisecond)
				}
			}
			publish(60)
			for _, x := range c.nodes {
				clear(x.received)
			}
			publish(100)
			c.run(2 * time.Second)
			if !c.equal() {
				t.Fatalf("not equal:\n%s", c.describe())
			}
			received, solicited := 0, 0
			for _, x := range c.nodes {
				for _, n := range x.received {
					received += n
				}
				solicited += x.solicit
			}
			ratio := float64(received+solicited) / 900
			t.Logf("each record %.3f times at each node; %d asked for; %v", ratio, solicited, c.frames)
			if ratio > 1.3 {
				t.Errorf("each record came %.2f times to each node, want at most 1.3", ratio)
			}
		})
	}
}

// With a third of all frames lost, everything arrives.
func TestLostFramesHeal(t *testing.T) {
	c := newCluster(t, 5, gossip.Options{Fanout: 3})
	c.lose = losing(1, 333)
	c.mesh()
	for i := range 200 {
		c.publish(c.nodes[i%5], feedOf(fmt.Sprint(i%17, i%5)), fmt.Sprint(i))
		c.run(100 * time.Millisecond)
	}
	if !c.settle(5 * time.Minute) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
}

// A refused delivery is not lost, and the peer is left in peace for a while.
func TestRefusedDeliveryComesAgain(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{})
	c.mesh()
	c.run(time.Second)
	c.nodes[1].refuse = 3
	for i := range 5 {
		c.publish(c.nodes[0], feedOf("a"), fmt.Sprint(i))
		c.run(50 * time.Millisecond)
	}
	if !c.settle(30 * time.Second) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
}

// SendFailed makes anti-entropy run long before its time.
func TestSendFailedHealsSoon(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{AntiEntropyEvery: time.Hour})
	c.mesh()
	c.run(3 * time.Second)
	a, b := c.nodes[0], c.nodes[1]
	c.lose = func(api.DID, api.DID, wire.Frame) bool { return true }
	c.publish(a, feedOf("a"), "lost")
	a.core.SendFailed(c.now, b.did)
	c.lose = nil
	if !c.settle(3 * time.Second) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
}

// Both branches of a fork reach everybody, wherever they were shown, and so does the place of the fork when it differs.
func TestForksReachEverybody(t *testing.T) {
	c := newCluster(t, 4, gossip.Options{})
	feed := feedOf("liar")
	for _, x := range c.nodes { // all know 1 and 2
		p1 := makeEntry(feed, 1, api.Hash{}, nil, "1")
		p2 := makeEntry(feed, 2, p1.pos.ID, nil, "2")
		x.core.Committed(c.now, x.log.apply(testSpace, p1, ""))
		x.core.Committed(c.now, x.log.apply(testSpace, p2, ""))
		c.drain(x)
	}
	for i := range 3 { // three branches of different length, one each to three nodes
		p := c.publish(c.nodes[i], feed, fmt.Sprint("branch", i))
		for j := range i * 4 {
			p = c.publishAt(c.nodes[i], feed, p.Seq+1, p.ID, fmt.Sprint(i, j))
		}
	}
	c.mesh()
	if !c.settle(time.Minute) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
	for _, x := range c.nodes {
		if h := x.log.head(feed); h.Fork != 3 || h.Seq != 2 {
			t.Errorf("%s: fork at %d, head %d; want 3 and 2", x.did, h.Fork, h.Seq)
		}
	}
	// Which two records each node holds may differ; that alone must not keep them talking.
	c.run(time.Minute)
	clear(c.frames)
	c.run(time.Minute)
	if c.frames["Sketch"] > 0 || c.frames["Wants"] > 0 {
		t.Errorf("nodes that know the fork keep reconciling: %v", c.frames)
	}
}

// TestFinalityReachesEverybody: what is final on one node becomes so on all, though the feed is forked, and though the statement lies beyond a fork of
// the feed that made it, where no head shows it.
func TestFinalityReachesEverybody(t *testing.T) {
	for _, forked := range []bool{false, true} {
		for _, lie := range []string{"no", "known", "unknown"} {
			t.Run(fmt.Sprintf("forked %t, the witness's fork %s", forked, lie), func(t *testing.T) {
				c := newCluster(t, 3, gossip.Options{})
				knows, other := c.nodes[0], c.nodes[1]
				feed, witness := feedOf("payments"), feedOf("witness")
				var p1, w1 api.Position
				for _, x := range c.nodes {
					p1 = c.publishAt(x, feed, 1, api.Hash{}, "1")
					w1 = c.publishAt(x, witness, 1, api.Hash{}, "1")
				}
				p := p1
				for i := range 3 {
					p = c.publishAt(knows, feed, p.Seq+1, p.ID, fmt.Sprint("a", i))
				}
				if forked {
					c.publishAt(other, feed, 2, p1.ID, "b")
				}
				w := c.publishAt(knows, witness, 2, w1.ID, "branch")
				c.publishAt(knows, witness, 3, w.ID, stating(p))
				if lie != "no" {
					q := c.publishAt(other, witness, 2, w1.ID, "rival")
					c.publishAt(other, witness, 3, q.ID, "rival")
					if lie == "known" {
						c.publishAt(knows, witness, 2, w1.ID, "rival")
					}
				}
				c.mesh()
				if !c.settle(time.Minute) {
					t.Fatalf("not equal:\n%s", c.describe())
				}
				for _, x := range c.nodes {
					if h := x.log.head(feed); h.Final != p.Seq || h.ID != p.ID {
						t.Errorf("%s: final to %d, head %d; want 4", x.did, h.Final, h.Seq)
					}
				}
				c.run(time.Minute)
				clear(c.frames)
				c.run(time.Minute)
				if c.frames["Sketch"]+c.frames["Have"] > 0 {
					t.Errorf("nodes that know the same keep reconciling: %v", c.frames)
				}
			})
		}
	}
}

// The same seed gives the same bytes at the same times.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) string {
		c := newCluster(t, 6, gossip.Options{Seed: seed, Fanout: 2})
		n := 0
		c.lose = func(api.DID, api.DID, wire.Frame) bool { n++; return n%11 == 0 }
		c.mesh()
		for i := range 100 {
			c.publish(c.nodes[i%6], feedOf(fmt.Sprint(i%9, i%6)), fmt.Sprint(i))
			if i == 50 {
				c.disconnect(c.nodes[0], c.nodes[1])
				c.restart(c.nodes[2])
				for _, x := range c.nodes {
					if x != c.nodes[2] {
						c.connect(x, c.nodes[2])
					}
				}
			}
			c.run(150 * time.Millisecond)
		}
		c.run(30 * time.Second)
		return fmt.Sprintf("%x", c.trace.Sum(nil))
	}
	if a, b := run(1), run(1); a != b {
		t.Errorf("same seed, different traces %s and %s", a, b)
	}
	if run(1) == run(2) {
		t.Error("another seed, the same trace: the seed has no effect")
	}
}

// A table much smaller than what is missing only takes more rounds.
func TestSmallTableCatchesUp(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{MaxWanted: 64, AntiEntropyEvery: time.Hour})
	for i := range 600 {
		c.publish(c.nodes[0], feedOf(fmt.Sprint(i)), "1")
	}
	c.mesh()
	if !c.settle(time.Minute) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
}

// Without any push, live traffic still arrives.
func TestAntiEntropyAlone(t *testing.T) {
	c := newCluster(t, 3, gossip.Options{AntiEntropyEvery: 5 * time.Second})
	c.lose = func(_, _ api.DID, f wire.Frame) bool { _, push := f.(*wire.Push); return push }
	c.mesh()
	for i := range 300 {
		c.publish(c.nodes[i%3], feedOf(fmt.Sprint(i%99)), fmt.Sprint(i)) // 99 is a multiple of 3: one writer for each feed
		c.run(50 * time.Millisecond)
	}
	if !c.settle(20 * time.Second) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
}
