package gossip_test

import (
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// R8, as far as there is something to measure: what a peer makes this node do is counted by the work, so that questions that bring nothing are not
// free. (Fuel of a sandbox comes with the sandbox.)
func TestR8_LookUpsCountAsWork(t *testing.T) {
	l := &ahead{feed: api.Hash{9}} // serves nothing, and notes what it is asked for
	space := api.Hash{1}
	const budget = 100
	c := gossip.New(gossip.Options{Seed: 1, ServeRecords: budget}, l)
	now := time.Unix(1_800_000_000, 0)
	c.Follow(space)
	c.PeerUp(now, mallory, []api.Hash{space}, 0)
	c.Ready()
	const asks, items = 10, 60
	for ask := range uint64(asks) {
		f := &wire.Wants{Space: space[:], Ask: ask + 1}
		for range items {
			f.Items = append(f.Items, wire.Want{From: 1, At: wire.FromPosition(api.Position{Feed: l.feed, Seq: 1, ID: api.Hash{1}})})
		}
		c.Frame(now, mallory, f)
	}
	rounds := 0
	for more := true; more; rounds++ {
		before := len(l.asked)
		more = c.Ready().More
		if n := len(l.asked) - before; n > budget+items {
			t.Fatalf("one Ready looks up %d positions, want at most %d and what is left of one question", n, budget)
		}
	}
	if len(l.asked) != asks*items {
		t.Errorf("%d look-ups in %d rounds, want all %d", len(l.asked), rounds, asks*items)
	}
}
