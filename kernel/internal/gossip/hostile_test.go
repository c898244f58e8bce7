package gossip_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

const mallory = api.DID("mallory")

// alone returns a cluster of one node with some feeds, and mallory connected to it.
func alone(t testing.TB, opt gossip.Options, feeds, records int) (*cluster, *node) {
	c := newCluster(t, 1, opt)
	x := c.nodes[0]
	for i := range feeds {
		for j := range records {
			c.publish(x, feedOf(fmt.Sprint(i)), fmt.Sprint(j))
		}
	}
	x.core.PeerUp(c.now, mallory, []api.Hash{testSpace}, 0)
	x.core.Ready()
	return c, x
}

func wantsFor(feeds, seq int) []wire.Want {
	var ws []wire.Want
	for i := range feeds {
		f := feedOf(fmt.Sprint(i))
		ws = append(ws, wire.Want{From: 1, At: wire.Position{Feed: f[:], Seq: uint64(seq)}})
	}
	return ws
}

func TestMisbehaviourIsReported(t *testing.T) {
	other := sha256.Sum256([]byte("other space"))
	s := testSpace[:]
	for _, tc := range []struct {
		name  string
		frame wire.Frame
		bad   bool
	}{
		{"space not shared", &wire.Graft{Space: other[:]}, true},
		{"space of no length", &wire.Graft{}, true},
		{"records never asked for", &wire.Records{Space: s, Ask: 1, Envelopes: [][]byte{{1}}}, true},
		{"push of nothing", &wire.Push{Space: s}, true},
		{"announcement of seq 0", &wire.Have{Space: s, At: []wire.Position{{Feed: s, ID: s}}}, true},
		{"push", &wire.Push{Space: s, Envelopes: [][]byte{{1}}}, false},
		{"not for gossip", &wire.Ping{}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, x := alone(t, gossip.Options{}, 1, 1)
			x.core.Frame(c.now, mallory, tc.frame)
			if out := x.core.Ready(); (len(out.Bad) > 0) != tc.bad {
				t.Errorf("incidents %v, want any: %t", out.Bad, tc.bad)
			}
		})
	}
	// Who was let in by a record that has not come here yet may not have the space, but does nothing wrong.
	c, x := alone(t, gossip.Options{}, 1, 1)
	x.core.PeerUp(c.now, mallory, nil, 0)
	x.core.Frame(c.now, mallory, &wire.Graft{Space: s})
	if out := x.core.Ready(); len(out.Send)+len(out.Bad) > 0 {
		t.Errorf("a frame in a space that is followed here only has effects: %+v", out)
	}
	c, x = alone(t, gossip.Options{}, 1, 1)
	x.core.Frame(c.now, "nobody", &wire.Graft{Space: s})
	if out := x.core.Ready(); len(out.Send)+len(out.Bad) > 0 {
		t.Errorf("a frame without a session has effects: %+v", out)
	}
}

// However much is asked, one Ready serves a bounded number of records, one question gets a bounded answer, and peers take turns.
func TestServingIsBoundedAndFair(t *testing.T) {
	c, x := alone(t, gossip.Options{ServeRecords: 200}, 60, 100)
	honest := api.DID("honest")
	x.core.PeerUp(c.now, honest, []api.Hash{testSpace}, 0)
	x.core.Ready()
	for ask := range 40 {
		x.core.Frame(c.now, mallory, &wire.Wants{Space: testSpace[:], Ask: uint64(ask + 1), Items: wantsFor(60, 1<<60)})
	}
	x.core.Frame(c.now, honest, &wire.Wants{Space: testSpace[:], Ask: 1, Items: wantsFor(1, 100)})
	served := map[api.DID]int{}
	byAsk := map[uint64]int{}
	incidents := 0
	for rounds := 1; ; rounds++ {
		out := x.core.Ready()
		n := 0
		incidents += len(out.Bad)
		for _, s := range out.Send {
			if f, ok := s.Frame.(*wire.Records); ok {
				n += len(f.Envelopes)
				served[s.To] += len(f.Envelopes)
				if s.To == mallory {
					byAsk[f.Ask] += len(f.Envelopes)
				}
			}
		}
		if n > 200+wire.MaxRecords {
			t.Fatalf("one Ready serves %d records, want at most about 200", n)
		}
		if rounds == 2 && served[honest] != 100 {
			t.Errorf("the honest peer has %d of 100 records after two rounds, mallory %d", served[honest], served[mallory])
		}
		if !out.More {
			break
		}
	}
	if incidents != 40-16 {
		t.Errorf("%d incidents for 40 questions at once, want 24", incidents)
	}
	for ask, n := range byAsk {
		if n > 1024 {
			t.Errorf("question %d was answered with %d records, want at most 1024", ask, n)
		}
	}
	if len(byAsk) != 16 {
		t.Errorf("%d questions served, want 16", len(byAsk))
	}
}

// TestGivesNothingAwayBeforeTheFounding: who has not got the record that founds a space cannot know who may have its records. It takes them, from whom
// it may, and gives none away, neither asked nor by itself; once the space is founded it does.
func TestGivesNothingAwayBeforeTheFounding(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{})
	joiner, outsider := c.nodes[0], c.nodes[1]
	joiner.log.open = false
	c.restart(joiner)
	c.mesh()
	for i := range 3 {
		c.publish(joiner, feedOf("early"), fmt.Sprint(i))
	}
	got := c.publish(outsider, feedOf("late"), "x")
	c.run(time.Minute)
	if n := outsider.log.count; n != 1 {
		t.Errorf("a node that the space is not founded on has given away %d records", n-1)
	}
	if c.frames["Push"] > 1 || c.frames["Have"] > 0 {
		t.Errorf("it has pushed or announced something: %v", c.frames)
	}
	if !joiner.log.Has(got) {
		t.Error("it has not got what was pushed to it")
	}
	joiner.core.Founded(c.now, testSpace)
	if !c.settle(time.Minute) {
		t.Errorf("founded, and not equal:\n%s", c.describe())
	}
}

// A space's peers get the feeds of that space only.
func TestFeedsOfOtherSpacesAreNotServed(t *testing.T) {
	c, x := alone(t, gossip.Options{}, 1, 1)
	private := api.Hash(sha256.Sum256([]byte("private")))
	e := makeEntry(feedOf("secret"), 1, api.Hash{}, nil, "secret")
	x.core.Follow(private)
	x.core.Committed(c.now, x.log.apply(private, e, ""))
	x.core.Frame(c.now, mallory, &wire.Wants{Space: testSpace[:], Ask: 1, Items: []wire.Want{{From: 1, At: wire.FromPosition(e.pos)}}})
	for _, s := range x.core.Ready().Send {
		if f, ok := s.Frame.(*wire.Records); ok && len(f.Envelopes) > 0 {
			t.Error("a record of a space that the peer does not share was served")
		}
	}
}

// Whoever claims what does not exist holds nobody up, and is forgotten.
func TestFalseClaimsHoldNobodyUp(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{})
	a, b := c.nodes[0], c.nodes[1]
	feed := feedOf("a")
	for i := range 5 {
		c.publish(a, feed, fmt.Sprint(i))
	}
	b.core.PeerUp(c.now, mallory, []api.Hash{testSpace}, 9)
	junk := sha256.Sum256([]byte("junk"))
	b.core.Frame(c.now, mallory, &wire.Have{Space: testSpace[:], At: []wire.Position{{Feed: feed[:], Seq: 1 << 60, ID: junk[:]}}})
	b.core.Frame(c.now, mallory, &wire.Heads{Space: testSpace[:], Heads: []wire.Head{
		{Feed: feed[:], Seq: 1 << 61, ID: junk[:], Fork: 2, Alt: [][]byte{junk[:], feed[:]}},
	}})
	b.core.Ready()
	c.connect(a, b)
	if !c.settle(12 * time.Second) {
		t.Fatalf("not equal after the time that one question may take:\n%s", c.describe())
	}
	// From now on whoever answers is asked first, even when it speaks last.
	next := api.Position{Feed: feed, Seq: 6, ID: junk}
	asked := api.DID("")
	c.log = func(_ time.Duration, from, to api.DID, f wire.Frame) {
		if _, ok := f.(*wire.Wants); ok && from == b.did && asked == "" {
			asked = to
		}
	}
	for _, from := range []api.DID{mallory, a.did} {
		b.core.Frame(c.now, from, &wire.Have{Space: testSpace[:], At: []wire.Position{wire.FromPosition(next)}})
	}
	c.run(time.Second)
	if asked != a.did {
		t.Errorf("asked %q first, want the peer that answers", asked)
	}
	c.run(3 * time.Minute) // mallory answers nothing
	if s, _ := b.core.Status(testSpace); s.Wanted != 0 || s.Asked != 0 {
		t.Errorf("still wanted: %+v", s)
	}
}

// What nobody has is asked for ever more rarely, of everybody in turn.
func TestMissingForEverBacksOff(t *testing.T) {
	c := newCluster(t, 4, gossip.Options{})
	c.mesh()
	c.run(2 * time.Second)
	x := c.nodes[0]
	feed := feedOf("nowhere")
	want := []wire.Want{{From: 1, At: wire.FromPosition(api.Position{Feed: feed, Seq: 3, ID: testSpace})}}
	asked := map[api.DID]int{}
	c.log = func(_ time.Duration, from, to api.DID, f wire.Frame) {
		if _, ok := f.(*wire.Wants); ok && from == x.did {
			asked[to]++
		}
	}
	for range 600 {
		x.core.Missing(c.now, testSpace, want, c.nodes[1].did)
		c.drain(x)
		c.run(time.Second)
	}
	total := 0
	for _, y := range c.nodes[1:] {
		if asked[y.did] < 3 {
			t.Errorf("%s was asked %d times, want at least 3", y.did, asked[y.did])
		}
		total += asked[y.did]
	}
	if total > 40 {
		t.Errorf("asked %d times in 10 minutes, want at most 40", total)
	}
	if s, _ := x.core.Status(testSpace); s.Wanted != 1 {
		t.Errorf("wanted %d, want 1: it is forgotten, or doubled", s.Wanted)
	}
	// In the end somebody has it.
	var prev api.Hash
	y := c.nodes[2]
	var last api.Position
	for seq := range uint64(3) {
		last = c.publishAt(y, feed, seq+1, prev, "late")
		prev = last.ID
	}
	c.settle(10 * time.Second)
	if !x.log.Has(last) {
		t.Error("the late record did not arrive")
	}
}

// A flood of claims stays within the table, and what ingest misses still finds a place.
func TestTableIsBounded(t *testing.T) {
	c, x := alone(t, gossip.Options{MaxWanted: 128}, 1, 1)
	for i := range 20 {
		f := &wire.Heads{Space: testSpace[:]}
		for j := range 500 {
			id := sha256.Sum256(fmt.Append(nil, i, j))
			f.Heads = append(f.Heads, wire.Head{Feed: id[:], Seq: 9, ID: id[:]})
		}
		x.core.Frame(c.now, mallory, f)
	}
	x.core.Ready()
	if s, _ := x.core.Status(testSpace); s.Wanted > 128 {
		t.Errorf("%d ranges wanted, want at most 128", s.Wanted)
	}
	for i := range 300 {
		p := api.Position{Feed: feedOf(fmt.Sprint("missing", i)), Seq: 1, ID: sha256.Sum256(fmt.Append(nil, i))}
		x.core.Missing(c.now, testSpace, []wire.Want{{From: 1, At: wire.FromPosition(p)}}, "")
	}
	if s, _ := x.core.Status(testSpace); s.Wanted > 128 {
		t.Errorf("%d ranges wanted, want at most 128", s.Wanted)
	}
}

// An answer without end is cut off.
func TestEndlessAnswerIsCutOff(t *testing.T) {
	c, x := alone(t, gossip.Options{}, 0, 0)
	f := feedOf("x")
	x.core.Frame(c.now, mallory, &wire.Heads{Space: testSpace[:], Heads: []wire.Head{{Feed: f[:], Seq: 1 << 40, ID: f[:]}}})
	x.core.Ready()
	delivered := 0
	var bad []gossip.Incident
	for i := range 100 {
		r := &wire.Records{Space: testSpace[:], Ask: 1, More: true}
		for j := range 64 {
			r.Envelopes = append(r.Envelopes, fmt.Append(nil, i, j))
		}
		x.core.Frame(c.now, mallory, r)
		out := x.core.Ready()
		for _, d := range out.Deliver {
			if d.Solicited {
				delivered += len(d.Envelopes)
			}
		}
		bad = append(bad, out.Bad...)
	}
	if delivered > 1024+64 || len(bad) == 0 {
		t.Errorf("%d envelopes taken as asked for, incidents %v; want at most 1088 and one", delivered, bad)
	}
}

// Sketches, probes and buckets cost us passes over all heads: a peer gets only so many.
func TestReconciliationIsBounded(t *testing.T) {
	c, x := alone(t, gossip.Options{}, 300, 1)
	sent := 0
	for i := range 1000 {
		salt := fmt.Appendf(nil, "%08d", i)
		f := &wire.Buckets{Space: testSpace[:], Salt: salt, Sums: make([][]byte, 256)}
		x.core.Frame(c.now, mallory, f)
		x.core.Frame(c.now, mallory, &wire.Sketch{Space: testSpace[:], Salt: salt, Parts: []wire.Part{{}}})
		x.core.Frame(c.now, mallory, &wire.Digest{Space: testSpace[:], Salt: salt, Sum: bytes.Repeat([]byte{255}, 16)})
		for _, s := range x.core.Ready().Send {
			b, err := wire.Encode(s.Frame)
			if err != nil {
				t.Fatal(err)
			}
			sent += len(b)
		}
	}
	if sent > 300_000 {
		t.Errorf("%d bytes answered at one instant", sent)
	}
}

// No frame makes a Core panic or say what cannot be encoded.
func FuzzFrame(f *testing.F) {
	s := testSpace[:]
	salt := []byte("saltsalt")
	head := wire.Head{Feed: s, Seq: 3, ID: s, Fork: 2, Alt: [][]byte{s, s}}
	for _, x := range []wire.Frame{
		&wire.Push{Space: s, Envelopes: [][]byte{{1}}}, &wire.Have{Space: s, At: []wire.Position{{Feed: s, Seq: 3, ID: s}}},
		&wire.Graft{Space: s}, &wire.Prune{Space: s}, &wire.Digest{Space: s, Sum: make([]byte, 16)}, &wire.Digest{Space: s, Salt: salt, Sum: make([]byte, 16)},
		&wire.Buckets{Space: s, Salt: salt, Prefix: []byte{1}, Sums: make([][]byte, 256)},
		&wire.Sketch{Space: s, Salt: salt, Parts: []wire.Part{{Prints: make([]byte, 2*wire.PrintSize)}}}, &wire.Probe{Space: s, Salt: salt, Parts: []wire.Part{{Prefix: []byte{1, 2, 3}, Prints: make([]byte, 2*wire.PrintSize)}}},
		&wire.Heads{Space: s, Heads: []wire.Head{head}}, &wire.Wants{Space: s, Ask: 1, Items: []wire.Want{{From: 1, At: wire.Position{Feed: s, Seq: 9}}}},
		&wire.Records{Space: s, Ask: 1, Envelopes: [][]byte{{1}}, More: true},
	} {
		b, err := wire.Encode(x)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		c, x := alone(t, gossip.Options{}, 3, 3)
		x.core.PeerUp(c.now, "other", []api.Hash{testSpace}, 0)
		for i, raw := range [][]byte{a, b, a} {
			fr, err := wire.Decode(raw)
			if err != nil {
				continue
			}
			c.now = c.now.Add(time.Duration(i) * 700 * time.Millisecond)
			x.core.Frame(c.now, mallory, fr)
			x.core.Tick(c.now)
			for more := true; more; {
				out := x.core.Ready()
				more = out.More
				for _, s := range out.Send {
					if _, err := wire.Encode(s.Frame); err != nil {
						t.Fatalf("%T makes the core say %T: %v", fr, s.Frame, err)
					}
				}
			}
		}
		x.core.PeerDown(c.now, mallory)
	})
}

func TestOptions(t *testing.T) {
	var o gossip.Options
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	for i, change := range []func(*gossip.Options){
		func(o *gossip.Options) { o.Fanout = 65 },
		func(o *gossip.Options) { o.Fanout = -1 },
		func(o *gossip.Options) { o.MaxInFlightWants = 13 },
		func(o *gossip.Options) { o.MaxWanted = 63 },
		func(o *gossip.Options) { o.ServeRecords = -1 },
		func(o *gossip.Options) { o.HaveDelay = -1 },
		func(o *gossip.Options) { o.AntiEntropyEvery = -1 },
	} {
		bad := o
		change(&bad)
		if api.KindOf(bad.Validate()) != api.Invalid {
			t.Errorf("change %d is accepted", i)
		}
	}
}

// Following, leaving and following again works with sessions up, and what is not followed is not spoken of.
func TestFollowAndUnfollow(t *testing.T) {
	c := newCluster(t, 2, gossip.Options{})
	c.mesh()
	a, b := c.nodes[0], c.nodes[1]
	b.core.Unfollow(testSpace)
	if _, ok := b.core.Status(testSpace); ok {
		t.Error("a space that is not followed has a status")
	}
	c.publish(a, feedOf("a"), "1")
	c.run(time.Second)
	if b.log.count != 0 || len(b.bad) > 0 {
		t.Errorf("after Unfollow %d records arrived, incidents %v", b.log.count, b.bad)
	}
	b.core.Follow(testSpace)
	if !c.settle(20 * time.Second) {
		t.Fatalf("not equal:\n%s", c.describe())
	}
	b.core.PeerUp(c.now, a.did, nil, 0) // a shares it no longer
	c.publish(b, feedOf("b"), "1")
	if i := slices.IndexFunc(b.core.Ready().Send, func(s gossip.Send) bool { return s.To == a.did }); i >= 0 {
		t.Error("a peer that does not share the space was told of a record")
	}
}

// However many peers prune it, a node stays on the tree, and asks another than the last who pruned it.
func TestPrunedByAllStaysOnTheTree(t *testing.T) {
	c, x := alone(t, gossip.Options{}, 1, 1)
	peers := []api.DID{mallory, "p1", "p2"}
	for _, p := range peers[1:] {
		x.core.PeerUp(c.now, p, []api.Hash{testSpace}, 0)
	}
	x.core.Ready()
	for _, p := range peers {
		x.core.Frame(c.now, p, &wire.Prune{Space: testSpace[:]})
	}
	var grafted []api.DID
	for _, s := range x.core.Ready().Send {
		if _, ok := s.Frame.(*wire.Graft); ok {
			grafted = append(grafted, s.To)
		}
	}
	if len(grafted) != 1 || grafted[0] == "p2" {
		t.Errorf("grafted %v, want one of the others than p2, which pruned last", grafted)
	}
	x.core.PeerDown(c.now, grafted[0])
	eager := 0
	s, _ := x.core.Status(testSpace)
	for _, p := range s.Peers {
		if p.Eager {
			eager++
		}
	}
	if eager != 1 {
		t.Errorf("%d eager links after the only one went down, want 1", eager)
	}
}
