package kerneltest

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Healed is what it took two nodes to become equal: bytes of encoded frames in both directions, and time on a link without loss.
type Healed struct {
	Find, Ask, Fetch int     // bytes to find the difference, to ask for the records, and of the answers
	Trips            float64 // round trips until the last record has come
}

// healLatency is the one-way delay of the simulated link, and healTick how often a core's clock ticks.
const (
	healLatency = 20 * time.Millisecond
	healTick    = 100 * time.Millisecond
	healLimit   = time.Minute // virtual
)

// Heal lets two nodes meet that have so many records in so many feeds, of which the first has so many more, in feeds drawn at random (always
// the same draw). It runs the gossip cores and the real frames in virtual time, without transport and store.
func Heal(records, feeds, differences int) (Healed, error) {
	const op = "bench.heal"
	if feeds <= 0 || records < feeds || differences < 0 {
		return Healed{}, api.Errorf(op, api.Invalid, "%d records in %d feeds, %d differences: want at least a record a feed", records, feeds, differences)
	}
	space := api.Hash(sha256.Sum256([]byte("space")))
	r := rand.New(rand.NewPCG(1, 2))
	per := uint64(records / feeds)
	more := make([]uint64, feeds)
	for range differences {
		more[r.IntN(feeds)]++
	}
	s := &healing{now: time.Unix(1_700_000_000, 0)}
	for i := range s.nodes {
		n := &healNode{did: api.DID([]string{"a", "b"}[i]), tips: map[api.Hash]uint64{}}
		for f := range feeds {
			n.tips[sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(f)))] = per + more[f]*uint64(1-i)
		}
		n.core = gossip.New(gossip.Options{Seed: uint64(i)}, n)
		n.core.Follow(space)
		s.nodes[i] = n
	}
	begin := s.now
	for i, n := range s.nodes {
		n.core.PeerUp(s.now, s.nodes[1-i].did, []api.Hash{space}, 0)
	}
	for i := range s.nodes {
		if err := s.drain(i); err != nil {
			return Healed{}, err
		}
	}
	next := begin.Add(healTick)
	for s.got < differences {
		switch {
		case s.now.Sub(begin) > healLimit:
			return Healed{}, api.Errorf(op, api.Timeout, "%d of %d records have come after %s", s.got, differences, healLimit)
		case len(s.queue) > 0 && !s.queue[0].at.After(next):
			e := s.queue[0]
			s.queue, s.now = s.queue[1:], e.at
			f, err := wire.Decode(e.bytes)
			if err != nil {
				return Healed{}, err
			}
			s.nodes[e.to].core.Frame(s.now, s.nodes[1-e.to].did, f)
			if err := s.drain(e.to); err != nil {
				return Healed{}, err
			}
		default:
			s.now, next = next, next.Add(healTick)
			for i, n := range s.nodes {
				n.core.Tick(s.now)
				if err := s.drain(i); err != nil {
					return Healed{}, err
				}
			}
		}
	}
	s.healed.Trips = float64(s.now.Sub(begin)) / float64(2*healLatency)
	return s.healed, nil
}

// healing is two nodes and the link between them; one delay for all keeps the queue in order.
type healing struct {
	now    time.Time
	nodes  [2]*healNode
	queue  []healFrame
	got    int
	healed Healed
}

type healFrame struct {
	at    time.Time
	to    int
	bytes []byte
}

func (s *healing) drain(i int) error {
	n := s.nodes[i]
	for {
		out := n.core.Ready()
		if len(out.Send)+len(out.Deliver) == 0 {
			return nil
		}
		for _, m := range out.Send {
			b, err := wire.Encode(m.Frame)
			if err != nil {
				return err
			}
			switch m.Frame.(type) {
			case *wire.Wants:
				s.healed.Ask += len(b)
			case *wire.Records, *wire.Push:
				s.healed.Fetch += len(b)
			default:
				s.healed.Find += len(b)
			}
			s.queue = append(s.queue, healFrame{s.now.Add(healLatency), 1 - i, b})
		}
		for _, d := range out.Deliver {
			items := n.take(d)
			s.got += len(items)
			n.core.Committed(s.now, items)
		}
	}
}

// healNode is a log of records that are nothing but their place: feed, seq, and an id made of both.
type healNode struct {
	did  api.DID
	core *gossip.Core
	tips map[api.Hash]uint64
}

const healRecord = 256 // bytes of an envelope

func healID(feed api.Hash, seq uint64) api.Hash {
	if seq == 0 {
		return api.Hash{}
	}
	return sha256.Sum256(binary.BigEndian.AppendUint64(feed[:], seq))
}

func healEnvelope(feed api.Hash, seq uint64) []byte {
	return append(binary.BigEndian.AppendUint64(feed[:], seq), make([]byte, healRecord-40)...)
}

func (n *healNode) take(d gossip.Delivery) (items []gossip.Item) {
	for _, e := range d.Envelopes {
		feed, seq := api.Hash(e[:32]), binary.BigEndian.Uint64(e[32:])
		if n.tips[feed]+1 != seq {
			continue
		}
		n.tips[feed] = seq
		items = append(items, gossip.Item{Space: d.Space, Position: api.Position{Feed: feed, Seq: seq, ID: healID(feed, seq)}, Head: n.head(feed), Envelope: e, From: d.From})
	}
	return items
}

func (n *healNode) head(feed api.Hash) gossip.Head {
	seq := n.tips[feed]
	return gossip.Head{Feed: feed, Seq: seq, ID: healID(feed, seq)}
}

// Heads implements gossip.Log.
func (n *healNode) Heads(api.Hash) []gossip.Head {
	hs := make([]gossip.Head, 0, len(n.tips))
	for feed := range n.tips {
		hs = append(hs, n.head(feed))
	}
	return hs
}

// Has implements gossip.Log.
func (n *healNode) Has(p api.Position) bool {
	return p.Seq > 0 && p.Seq <= n.tips[p.Feed] && p.ID == healID(p.Feed, p.Seq)
}

// Proof implements gossip.Log: nothing is final here.
func (n *healNode) Proof(api.Hash) []api.Position { return nil }

// Founded implements gossip.Log.
func (n *healNode) Founded(api.Hash) bool { return true }

// Range implements gossip.Log.
func (n *healNode) Range(feed api.Hash, from uint64, at api.Position, maxRecords, maxBytes int) ([][]byte, bool) {
	end := min(at.Seq, n.tips[feed])
	var out [][]byte
	for seq := max(from, 1); seq <= end; seq++ {
		if len(out) > 0 && (len(out) >= maxRecords || (len(out)+1)*healRecord > maxBytes) {
			return out, true
		}
		out = append(out, healEnvelope(feed, seq))
	}
	return out, false
}
