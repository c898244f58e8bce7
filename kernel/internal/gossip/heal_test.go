package gossip_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// bigLog is a log that knows more heads than it has records for: nobody ever asks for those, since both sides have them.
type bigLog struct {
	*toyLog
	more []gossip.Head
}

func (l bigLog) Heads(space api.Hash) []gossip.Head { return append(l.toyLog.Heads(space), l.more...) }

// healed is what it took two nodes to become equal.
type healed struct {
	find, ask, fetch int // bytes to find the difference, to ask for the records, and of the answers
	trips            float64
	took             time.Duration // virtual
}

// bloom is the size in bytes of a Bloom filter with 1% false positives over 100,000 ids, which also misses 1% of what is missing.
const bloom = 119_814

// heal makes two nodes that share the heads of so many feeds with records/feeds records each and lets the first have so many more records, in
// feeds drawn at random; then they meet.
func heal(t testing.TB, records, feeds, differences int) healed {
	c := newCluster(t, 2, gossip.Options{})
	r := rand.New(rand.NewPCG(1, 2))
	per := uint64(records / feeds)
	more := map[int]int{}
	for range differences {
		more[r.IntN(feeds)]++
	}
	var shared []gossip.Head
	for i := range feeds {
		feed := api.Hash(sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))))
		if more[i] == 0 {
			shared = append(shared, gossip.Head{Feed: feed, Seq: per, ID: feed})
			continue
		}
		for _, x := range c.nodes { // these have their records
			var prev api.Hash
			for seq := range per {
				e := makeEntry(feed, seq+1, prev, nil, "shared")
				x.log.apply(testSpace, e, "")
				prev = e.pos.ID
			}
		}
		for range more[i] {
			tip := c.nodes[0].log.feeds[feed].tip
			c.nodes[0].log.apply(testSpace, makeEntry(feed, tip.Seq+1, tip.ID, nil, "news"), "")
		}
	}
	for _, x := range c.nodes {
		x.core = gossip.New(x.opt, bigLog{x.log, shared})
		x.core.Follow(testSpace)
	}
	lag := c.nodes[0].log.count - c.nodes[1].log.count
	if lag != differences {
		t.Fatalf("%d differences, want %d", lag, differences)
	}
	var last time.Duration
	c.log = func(at time.Duration, _, _ api.DID, f wire.Frame) {
		if _, ok := f.(*wire.Records); ok {
			last = at + c.latency
		}
	}
	c.connect(c.nodes[0], c.nodes[1])
	if !c.settle(time.Minute) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
	h := healed{ask: c.bytes["Wants"], fetch: c.bytes["Records"], took: last, trips: float64(last) / float64(2*c.latency)}
	for _, name := range []string{"Digest", "Buckets", "Sketch", "Probe", "Heads"} {
		h.find += c.bytes[name]
	}
	return h
}

// What is said follows what changed, not what there is.
func TestBytesFollowWhatChanged(t *testing.T) {
	for _, tc := range []struct{ records, feeds, differences, most int }{
		{100_000, 200, 10, 2_500},
		{100_000, 1_000, 10, 3_500},
		{100_000, 1_000, 1_000, 45_000},
		{100_000, 10_000, 10, 4_500},
		{100_000, 10_000, 1_000, 115_000},
		{100_000, 100_000, 10, 15_000},
	} {
		h := heal(t, tc.records, tc.feeds, tc.differences)
		t.Logf("%d records, %d feeds, %d differences: %d B to find them, %d B to ask, %d B of records, %.1f round trips; Bloom 1%%: %d B to find 99%%",
			tc.records, tc.feeds, tc.differences, h.find, h.ask, h.fetch, h.trips, bloom)
		if h.find > tc.most {
			t.Errorf("%d feeds, %d differences: %d bytes to find them, want at most %d", tc.feeds, tc.differences, h.find, tc.most)
		}
		if h.trips > 12 {
			t.Errorf("%d feeds, %d differences: %.1f round trips", tc.feeds, tc.differences, h.trips)
		}
	}
}

func BenchmarkHeal(b *testing.B) {
	for _, differences := range []int{10, 1000} {
		for _, feeds := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("heal-%d/feeds=%d", differences, feeds), func(b *testing.B) {
				var h healed
				for b.Loop() {
					h = heal(b, 100_000, feeds, differences)
				}
				b.ReportMetric(float64(h.find), "find-B")
				b.ReportMetric(float64(h.ask), "ask-B")
				b.ReportMetric(float64(h.fetch), "records-B")
				b.ReportMetric(h.trips, "round-trips")
				b.ReportMetric(float64(h.find)/bloom, "of-bloom")
			})
		}
	}
}

// BenchmarkPush is the cost of a record on its way through a Core: taken from a peer, committed, pushed on to five others.
func BenchmarkPush(b *testing.B) {
	c := newCluster(b, 1, gossip.Options{})
	x := c.nodes[0]
	for i := range 6 {
		x.core.PeerUp(c.now, api.DID(fmt.Sprint("p", i)), []api.Hash{testSpace}, 0)
	}
	x.core.Ready()
	feed := feedOf("a")
	seq := uint64(0)
	var prev api.Hash
	body := string(make([]byte, 200))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		f := &wire.Push{Space: testSpace[:]}
		var items []gossip.Item
		for range 64 {
			seq++
			e := makeEntry(feed, seq, prev, nil, body)
			prev = e.pos.ID
			f.Envelopes = append(f.Envelopes, e.env)
			items = append(items, gossip.Item{Space: testSpace, Position: e.pos, Head: gossip.Head{Feed: feed, Seq: seq, ID: prev}, Envelope: e.env, From: "p0"})
		}
		b.StartTimer()
		x.core.Frame(c.now, "p0", f)
		x.core.Committed(c.now, items)
		x.core.Ready()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/record")
}

// A bucket with many heads is divided before its prints are sent.
func TestCrowdedBucketIsDivided(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{})
	var shared []gossip.Head
	for i := range 1500 {
		feed := feedOf(fmt.Sprint(i))
		feed[0] = 7
		if i >= 3 {
			shared = append(shared, gossip.Head{Feed: feed, Seq: 1, ID: feed})
			continue
		}
		c.nodes[i%2].log.apply(testSpace, makeEntry(feed, 1, api.Hash{}, nil, "news"), "")
	}
	for _, x := range c.nodes {
		x.core = gossip.New(x.opt, bigLog{x.log, shared})
		x.core.Follow(testSpace)
	}
	divided, prints := 0, 0
	c.log = func(_ time.Duration, _, _ api.DID, f wire.Frame) {
		switch f := f.(type) {
		case *wire.Buckets:
			if len(f.Prefix) == 1 && f.Prefix[0] == 7 {
				divided++
			}
		case *wire.Sketch:
			for _, p := range f.Parts {
				prints += len(p.Prints) / wire.PrintSize
			}
		}
	}
	c.connect(c.nodes[0], c.nodes[1])
	if !c.settle(5 * time.Second) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
	if divided == 0 || prints > 100 {
		t.Errorf("the bucket was divided %d times and %d prints were sent; want at least once and at most 100", divided, prints)
	}
}
