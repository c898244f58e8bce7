package gossip_test

import (
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// ahead is a log that holds more of its one feed than it has announced.
type ahead struct {
	feed  api.Hash
	asked []api.Position
}

func (l *ahead) Heads(api.Hash) []gossip.Head {
	return []gossip.Head{{Feed: l.feed, Seq: 3, ID: api.Hash{3}}}
}
func (*ahead) Has(api.Position) bool         { return true }
func (*ahead) Proof(api.Hash) []api.Position { return nil }
func (*ahead) Founded(api.Hash) bool         { return true }
func (l *ahead) Range(_ api.Hash, _ uint64, at api.Position, _, _ int) ([][]byte, bool) {
	l.asked = append(l.asked, at)
	return nil, false
}

// TestServesNothingUnannounced: records above the announced head may not be on disk yet, so a peer that asks for them gets the feed up to that head.
func TestServesNothingUnannounced(t *testing.T) {
	l := &ahead{feed: api.Hash{9}}
	space := api.Hash{1}
	c := gossip.New(gossip.Options{Seed: 1}, l)
	now := time.Unix(1_800_000_000, 0)
	c.Follow(space)
	c.PeerUp(now, "peer", []api.Hash{space}, 0)
	c.Ready()
	c.Frame(now, "peer", &wire.Wants{Space: space[:], Ask: 1, Items: []wire.Want{{From: 1, At: wire.FromPosition(api.Position{Feed: l.feed, Seq: 5, ID: api.Hash{5}})}}})
	c.Ready()
	if want := (api.Position{Feed: l.feed, Seq: 3}); len(l.asked) != 1 || l.asked[0] != want {
		t.Fatalf("served from %v, want %v", l.asked, want)
	}
}
