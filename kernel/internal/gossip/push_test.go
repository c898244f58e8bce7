package gossip_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// among returns a node with sessions to the named peers, which the test plays.
func among(t *testing.T, peers ...api.DID) (*cluster, *node) {
	c := newCluster(t, 1, gossip.Options{})
	for _, p := range peers {
		c.nodes[0].core.PeerUp(c.now, p, []api.Hash{testSpace}, 0)
	}
	c.nodes[0].core.Ready()
	return c, c.nodes[0]
}

// sentTo lists to whom frames of a type were sent, and forgets the output.
func sentTo[F wire.Frame](x *node) []api.DID {
	var to []api.DID
	for _, s := range x.core.Ready().Send {
		if _, ok := s.Frame.(F); ok {
			to = append(to, s.To)
		}
	}
	return to
}

func commit(c *cluster, x *node, e entry, from api.DID) {
	x.core.Committed(c.now, x.log.apply(testSpace, e, from))
}

func TestPushSkipsWhoHasIt(t *testing.T) {
	c, x := among(t, "p1", "p2", "p3")
	e := makeEntry(feedOf("a"), 1, api.Hash{}, nil, "1")
	for _, p := range []api.DID{"p1", "p2"} {
		x.core.Frame(c.now, p, &wire.Push{Space: testSpace[:], Envelopes: [][]byte{e.env}})
	}
	if out := x.core.Ready(); len(out.Deliver) != 1 || out.Deliver[0].From != "p1" || out.Deliver[0].Solicited {
		t.Fatalf("delivered %+v, want p1's only", out.Deliver)
	}
	commit(c, x, e, "p1")
	if to := sentTo[*wire.Push](x); !slices.Equal(to, []api.DID{"p3"}) {
		t.Errorf("pushed to %v, want only p3: the others have it", to)
	}
	x.core.Tick(c.now)
	if to := sentTo[*wire.Have](x); len(to) > 0 {
		t.Errorf("announced to %v, who have it", to)
	}
	commit(c, x, makeEntry(feedOf("b"), 1, api.Hash{}, nil, "own"), "")
	if to := sentTo[*wire.Push](x); len(to) != 2 {
		t.Errorf("our own was pushed to %v, want the two that are eager", to)
	}
}

func TestOldNewsIsNotPushedOn(t *testing.T) {
	c, x := among(t, "p1", "p2")
	e := makeEntry(feedOf("a"), 1, api.Hash{}, nil, "1")
	x.core.Frame(c.now, "p1", &wire.Push{Space: testSpace[:], Envelopes: [][]byte{e.env}})
	c.now = c.now.Add(10 * time.Second) // held meanwhile
	commit(c, x, e, "p1")
	x.core.Tick(c.now)
	out := x.core.Ready()
	for _, s := range out.Send {
		if _, ok := s.Frame.(*wire.Push); ok {
			t.Errorf("pushed to %s", s.To)
		}
	}
	if !slices.ContainsFunc(out.Send, func(s gossip.Send) bool { _, ok := s.Frame.(*wire.Digest); return ok && s.To == "p2" }) {
		t.Error("and p2 does not learn of it by a digest either")
	}
}

// The last eager link survives any number of duplicates.
func TestLastEagerLinkIsNotPruned(t *testing.T) {
	c, x := among(t, "p1")
	f := &wire.Push{Space: testSpace[:], Envelopes: [][]byte{{1}}}
	for range 3 {
		x.core.Frame(c.now, "p1", f)
	}
	if to := sentTo[*wire.Prune](x); len(to) > 0 {
		t.Error("pruned the only link")
	}
	x.core.PeerUp(c.now, "p2", []api.Hash{testSpace}, 0)
	x.core.Frame(c.now, "p2", f)
	if to := sentTo[*wire.Prune](x); !slices.Equal(to, []api.DID{"p2"}) {
		t.Errorf("pruned %v, want p2, which brings duplicates", to)
	}
}

// A large batch travels in frames within their limits, in order.
func TestPushIsFramed(t *testing.T) {
	c, x := among(t, "p1")
	var items []gossip.Item
	var prev api.Hash
	for i := range 200 {
		e := makeEntry(feedOf("a"), uint64(i+1), prev, nil, string(make([]byte, 100*i)))
		prev = e.pos.ID
		items = append(items, x.log.apply(testSpace, e, "")...)
	}
	x.core.Committed(c.now, items)
	next := uint64(1)
	for _, s := range x.core.Ready().Send {
		f, ok := s.Frame.(*wire.Push)
		if !ok {
			continue
		}
		if b, err := wire.Encode(f); err != nil || len(b) > 257<<10 {
			t.Errorf("push of %d bytes: %v", len(b), err)
		}
		for _, env := range f.Envelopes {
			if e, _ := readEntry(env); e.pos.Seq != next {
				t.Fatalf("record %d where %d was due", e.pos.Seq, next)
			}
			next++
		}
	}
	if next != 201 {
		t.Errorf("%d records pushed, want 200", next-1)
	}
}

// A long range that ingest misses is fetched piece by piece, each piece once.
func TestMissingLongRange(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{AntiEntropyEvery: time.Hour})
	c.mesh()
	c.run(3 * time.Second)
	a, b := c.nodes[0], c.nodes[1]
	c.lose = func(_, _ api.DID, f wire.Frame) bool {
		switch f.(type) {
		case *wire.Push, *wire.Digest: // nothing else is to help
			return true
		}
		return false
	}
	var tip api.Position
	for i := range 3000 {
		tip = c.publish(a, feedOf("long"), fmt.Sprint(i))
	}
	sent := 0
	c.log = func(_ time.Duration, _, _ api.DID, f wire.Frame) {
		if r, ok := f.(*wire.Records); ok {
			sent += len(r.Envelopes)
		}
	}
	b.core.Missing(c.now, testSpace, []wire.Want{{From: 1, At: wire.FromPosition(tip)}}, a.did)
	c.drain(b)
	c.run(5 * time.Second)
	if b.log.count != 3000 || sent != 3000 {
		t.Errorf("%d records from %d envelopes, want 3000 of each", b.log.count, sent)
	}
}

// What ingest misses finds a place in a table full of claims.
func TestMissingDisplacesClaims(t *testing.T) {
	c, x := alone(t, gossip.Options{MaxWanted: 64, MaxInFlightWants: 1}, 0, 0)
	x.core.PeerUp(c.now, "p2", []api.Hash{testSpace}, 0)
	x.core.Ready()
	for range 2 { // the first fills mallory's only question, the second the table
		f := &wire.Heads{Space: testSpace[:]}
		for i := range 64 {
			id := sha256.Sum256(fmt.Append(nil, i, c.now))
			f.Heads = append(f.Heads, wire.Head{Feed: id[:], Seq: 1 << 20, ID: id[:]})
		}
		x.core.Frame(c.now, mallory, f)
	}
	x.core.Ready()
	p := api.Position{Feed: feedOf("missing"), Seq: 2, ID: testSpace}
	x.core.Missing(c.now, testSpace, []wire.Want{{From: 1, At: wire.FromPosition(p)}}, "p2")
	if to := sentTo[*wire.Wants](x); !slices.Equal(to, []api.DID{"p2"}) {
		t.Errorf("asked %v, want p2", to)
	}
}

// Some digests are salted, so that sets made to have the same sum do not stay hidden.
func TestSomeDigestsAreSalted(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{})
	plain, salts := 0, map[string]bool{}
	c.log = func(_ time.Duration, _, _ api.DID, f wire.Frame) {
		if d, ok := f.(*wire.Digest); ok && len(d.Salt) > 0 {
			salts[string(d.Salt)] = true
		} else if ok {
			plain++
		}
	}
	c.publish(c.nodes[0], feedOf("a"), "1")
	c.mesh()
	c.run(20 * time.Minute)
	if len(salts) < 3 || plain < 5*len(salts) {
		t.Errorf("%d different salts and %d plain digests, want some and many", len(salts), plain)
	}
	s, _ := c.nodes[0].core.Status(testSpace)
	if p := s.Peers[0]; p.Different || c.now.Sub(p.Equal) > time.Minute {
		t.Errorf("status %+v, want equal a short time ago", p)
	}
}
