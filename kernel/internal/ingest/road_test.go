package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/clock"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// chain signs records of one author in topic "toy", with given amounts.
type chain struct {
	t     testing.TB
	s     signer
	space api.Hash
	last  *record.Envelope
	at    api.Timestamp
}

func (c *chain) next(amount byte, deps ...*record.Envelope) *record.Envelope {
	r := &api.Record{Topic: api.Topic{Space: c.space, Name: "toy"}, Seq: 1, Kind: "add", Time: c.at, Body: []byte{amount}}
	if c.last != nil {
		r.Seq, r.Prev = c.last.Seq+1, c.last.ID
	}
	for _, d := range deps {
		r.Deps = append(r.Deps, d.Position())
	}
	c.last = mustSign(c.t, r, c.s)
	return c.last
}

func genesis(t testing.TB) *record.Envelope {
	return mustSign(t, &api.Record{Topic: api.Topic{Name: "space"}, Seq: 1, Kind: "found", Body: []byte{1}}, newSigner("founder"))
}

func say(t testing.TB, space api.Hash, prev *record.Envelope, es ...*record.Envelope) *record.Envelope {
	items := make([]final, len(es))
	for i, e := range es {
		items[i] = final{Feed: e.Feed[:], Seq: e.Seq, ID: e.ID[:]}
	}
	r := &api.Record{Topic: api.Topic{Space: space, Name: "say"}, Seq: 1, Kind: "final", Body: codec.MustMarshal(items)}
	if prev != nil {
		r.Seq, r.Prev = prev.Seq+1, prev.ID
	}
	return mustSign(t, r, newSigner("founder"))
}

func (n *node) total(k string) int64 {
	r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
	defer r.Close()
	return r.Counter([]byte(k))
}

func wantOutcome(t *testing.T, r ingest.Result, want ingest.Outcome) {
	t.Helper()
	if r.Outcome != want {
		t.Fatalf("outcome %v (%v), want %v", r.Outcome, r.Err, want)
	}
}

// TestForkHoldsExceptFinal: two records at one seq hold a feed from the lowest forked seq, except final positions (records.md, fork), and the
// effects are undone and done exactly. docs/protocol.md section 4.
func TestForkHoldsExceptFinal(t *testing.T) {
	g := genesis(t)
	a := &chain{t: t, s: newSigner("mallory"), space: g.Topic.Space}
	r1, r2, r3, r4 := a.next(1), a.next(2), a.next(4), a.next(8)
	b := &chain{t: t, s: a.s, space: a.space, last: r1}
	r2b := b.next(16)
	r3b := b.next(32)

	n := newNode(t)
	n.ingest(t, g, r1, r2, r3, r4)
	if got := n.total("total"); got != 15 {
		t.Fatalf("total %d before the fork, want 15", got)
	}
	n.ingest(t, r2b)
	if got := n.total("total"); got != 1 {
		t.Fatalf("total %d after the fork at 2, want 1: all from 2 on is held", got)
	}
	n.ingest(t, say(t, a.space, nil, r3))
	if got := n.total("total"); got != 7 {
		t.Fatalf("total %d after 3 became final on the first branch, want 7", got)
	}
	n.ingest(t, r3b)
	if got := n.total("total"); got != 7 {
		t.Fatalf("total %d after the other branch grew, want 7 still", got)
	}

	// The other branch final instead: a node that knew only the first one changes over.
	m := newNode(t)
	m.ingest(t, g, r1, r2, r3, r4, say(t, a.space, nil, r3b))
	if got := m.total("total"); got != 15 {
		t.Fatalf("total %d: a final position that is not here yet must not hold anything", got)
	}
	m.ingest(t, r2b, r3b)
	if got := m.total("total"); got != 1+16+32 {
		t.Fatalf("total %d, want 49: the final branch counts", got)
	}
}

// TestRoadRefuses: what is malformed, oversized, mis-signed or foreign is refused with a counted reason (R4).
func TestR4_NothingUnsignedIsAccepted(t *testing.T) {
	g := genesis(t)
	a := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	good := a.next(1)
	other := mustSign(t, &api.Record{Topic: api.Topic{Space: api.Hash{9}, Name: "toy"}, Seq: 1, Kind: "add", Body: []byte{1}}, newSigner("far"))
	claimed := func() []byte { // another's record under one's own signature: the id is computed, so it is just a bad signature
		sig, _ := newSigner("thief").Sign(good.Signed)
		e, err := record.Seal(good.Record, good.Signed, sig)
		if err != nil {
			t.Fatal(err)
		}
		return e.Raw
	}()
	flipped := bytes.Clone(good.Raw)
	flipped[len(flipped)-1] ^= 1

	s, n, stop := serve(t, func(h api.Hash) bool { return h == g.Topic.Space })
	defer stop()
	for _, c := range []struct {
		name string
		raw  []byte
		want ingest.Outcome
		why  ingest.Why
	}{
		{"genesis", g.Raw, ingest.Committed, ""},
		{"noise", []byte("hello"), ingest.Refused, ingest.Malformed},
		{"empty", nil, ingest.Refused, ingest.Malformed},
		{"too large", make([]byte, record.MaxSize+1), ingest.Refused, ingest.Oversized},
		{"signature of another", claimed, ingest.Refused, ingest.BadSignature},
		{"one bit off", flipped, ingest.Refused, ingest.BadSignature},
		{"the same again, remembered by its whole envelope", flipped, ingest.Refused, ingest.BadSignature},
		{"foreign space", other.Raw, ingest.Refused, ingest.Foreign},
		{"good after its bad copies", good.Raw, ingest.Committed, ""},
		{"again", good.Raw, ingest.Duplicate, ""},
	} {
		before := n.whyCount(c.why)
		r := s.Submit(t.Context(), [][]byte{c.raw}, ingest.Origin{})[0]
		if r.Outcome != c.want {
			t.Errorf("%s: %v (%v), want %v", c.name, r.Outcome, r.Err, c.want)
		}
		if c.why != "" && n.whyCount(c.why) != before+1 {
			t.Errorf("%s: not counted as %s", c.name, c.why)
		}
		if c.want == ingest.Refused && r.Err == nil {
			t.Errorf("%s: refused without saying why", c.name)
		}
	}
}

// served is a node behind a Service.
type served struct {
	*node
	mu sync.Mutex
}

func (n *served) whyCount(w ingest.Why) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.why[w]
}

func serve(t testing.TB, follows func(api.Hash) bool) (*ingest.Service, *served, func()) {
	n := &served{node: newNode(t)}
	n.e.Follows = follows
	n.e.Now = time.Now
	n.e.Count = func(w ingest.Why, c int) {
		n.mu.Lock()
		n.why[w] += c
		n.mu.Unlock()
	}
	s := ingest.NewService(n.e)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	return s, n, func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

// TestScenario11_PoisonedID: each honest record comes after a copy with a bad signature; all land (scenarios.md 11).
func TestScenario11_PoisonedID(t *testing.T) {
	g := genesis(t)
	s, n, stop := serve(t, func(api.Hash) bool { return true })
	defer stop()
	a := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	raws := [][]byte{g.Raw}
	for range 40 {
		e := a.next(1)
		poison := bytes.Clone(e.Raw)
		poison[len(poison)-7] ^= 0x10
		raws = append(raws, poison, e.Raw)
	}
	for _, r := range s.Submit(t.Context(), raws, ingest.Origin{Solicited: true}) {
		if r.Err != nil && !ingest.IsBadSignature(r.Err) {
			t.Fatal(r.Err)
		}
	}
	if got := n.total("total"); got != 40 {
		t.Fatalf("total %d, want 40: an honest record was lost to its poisoned copy", got)
	}
}

// TestScenario10_FutureClock: a record of the future waits, is applied when another one needs it, and moves no honest clock (scenarios.md 10).
func TestScenario10_FutureClock(t *testing.T) {
	n := newNode(t)
	g := genesis(t)
	ms := n.now.UnixMilli()
	late := &chain{t: t, s: newSigner("late"), space: g.Topic.Space, at: api.MakeTimestamp(ms+31_000, 0)}
	far := &chain{t: t, s: newSigner("far"), space: g.Topic.Space, at: api.MakeTimestamp(ms+80*365*24*3600*1000, 0)}
	ann := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	soon, y2099 := late.next(1), far.next(2)

	rs := n.ingest(t, g, soon, y2099)
	wantOutcome(t, rs[1], ingest.Deferred)
	wantOutcome(t, rs[2], ingest.Deferred)
	if n.why[ingest.Future] != 2 {
		t.Fatalf("counted %v", n.why)
	}
	n.now = n.now.Add(2 * time.Second) // the first is due
	n.ingest(t)
	if got := n.total("total"); got != 1 {
		t.Fatalf("total %d, want 1: the record is due", got)
	}
	r := n.ingest(t, ann.next(4, y2099))
	wantOutcome(t, r[0], ingest.Committed)
	if got := n.total("total"); got != 7 {
		t.Fatalf("total %d, want 7: a record that is needed is applied whatever its time", got)
	}
	if last := n.e.Clock.Now(); last.Millis() > n.now.UnixMilli()+30_000 {
		t.Fatalf("the clock was dragged to %v", last.Time())
	}
}

// TestScenario9_GatesDelayAndNeverDecide: a rate that does not let a record through holds nobody who cites it, and is not in the digest (scenarios.md 9).
func TestScenario9_GatesDelayAndNeverDecide(t *testing.T) {
	g := genesis(t)
	bob := &chain{t: t, s: newSigner("bob"), space: g.Topic.Space}
	carol := &chain{t: t, s: newSigner("carol"), space: g.Topic.Space}
	var bobs []*record.Envelope
	for range 20 {
		bobs = append(bobs, bob.next(1))
	}
	ack := carol.next(2, bobs[9])

	slow := newNode(t)
	slow.e.RateDomain, slow.e.Oracles = "rate", rates{api.RateLimit{PerSecond: 1, Burst: 3}}
	items := []ingest.Item{{Envelope: g}}
	for _, e := range append(bobs, ack) {
		items = append(items, ingest.Item{Envelope: e})
	}
	for _, it := range items {
		again, err := record.Decode(it.Raw)
		if err != nil {
			t.Fatal(err)
		}
		it.Envelope = again
		if err := slow.e.Process([]ingest.Item{it}); err != nil {
			t.Fatal(err)
		}
	}
	if got := slow.total("total"); got != 12 {
		t.Fatalf("total %d, want 12: bob's first ten, which carol cites, and hers", got)
	}
	for range 30 {
		slow.now = slow.now.Add(time.Second)
		slow.ingest(t)
	}
	fast := newNode(t)
	fast.ingest(t, append([]*record.Envelope{g, ack}, bobs...)...)
	if a, b := slow.digest(t), fast.digest(t); a != b {
		t.Fatalf("digests %s and %s: a gate left a trace", a.Short(), b.Short())
	}
}

type rates struct{ limit api.RateLimit }

func (r rates) Evaluate(api.Request) api.Decision {
	return api.Allowed(api.ConstraintSet{RateLimit: &r.limit})
}
func (rates) Register(api.PolicyOracle) {}
func (rates) Invalidate(api.Domain)     {}
func (rates) Phase() api.Phase          { return api.Running }

// TestScenario12_WithheldDep: dependents of a withheld record wait, bounded, and land in one go when it comes (scenarios.md 12).
func TestScenario12_WithheldDep(t *testing.T) {
	n := newNode(t)
	g := genesis(t)
	mallory := &chain{t: t, s: newSigner("mallory"), space: g.Topic.Space}
	hidden := mallory.next(1)
	var es []*record.Envelope
	for i := range 50 {
		c := &chain{t: t, s: newSigner(fmt.Sprint("carol ", i)), space: g.Topic.Space}
		es = append(es, c.next(1, hidden), c.next(1))
	}
	n.ingest(t, g)
	for _, r := range n.ingest(t, es...) {
		wantOutcome(t, r, ingest.Held)
	}
	if m := n.e.Missing(10); len(m) != 1 || m[0] != hidden.Position() {
		t.Fatalf("missing %v, want the hidden record only", m)
	}
	n.ingest(t, hidden)
	if got := n.total("total"); got != 101 {
		t.Fatalf("total %d, want 101", got)
	}
	if w, b := n.e.Room(); w != 0 || b != 0 {
		t.Fatalf("the room holds %d records of %d bytes", w, b)
	}
}

// TestRoomIsBounded: records that cite what does not exist fill the room up to its limits, leave after a while, and then honest ones fit again.
func TestRoomIsBounded(t *testing.T) {
	n := newNode(t)
	n.e = ingest.NewEngine(func() ingest.Options {
		o := n.e.Options
		o.Room.Records, o.Room.PerFeed = 8, 4
		return o
	}())
	g := genesis(t)
	ghost := (&chain{t: t, s: newSigner("ghost"), space: g.Topic.Space}).next(1)
	var es []*record.Envelope
	for i := range 20 {
		es = append(es, (&chain{t: t, s: newSigner(fmt.Sprint(i)), space: g.Topic.Space}).next(1, ghost))
	}
	held := 0
	for _, r := range n.ingest(t, append([]*record.Envelope{g}, es...)...)[1:] {
		if r.Outcome == ingest.Held {
			held++
		} else if api.KindOf(r.Err) != api.Unavailable {
			t.Fatalf("%v %v: want held, or unavailable", r.Outcome, r.Err)
		}
	}
	if held != 8 {
		t.Fatalf("%d held, want 8", held)
	}
	n.now = n.now.Add(20 * time.Minute)
	n.ingest(t)
	if w, _ := n.e.Room(); w != 0 {
		t.Fatalf("%d records wait after their time", w)
	}
	n.ingest(t, es...)
	n.ingest(t, ghost)
	n.ingest(t, es...)
	if got := n.total("total"); got != 21 {
		t.Fatalf("total %d, want 21", got)
	}
}

// TestScenario18_ForkFloodIsBounded: a flood of branches is neither stored nor moves a balance.
func TestForkFloodIsBounded(t *testing.T) {
	n := newNode(t)
	g := genesis(t)
	a := &chain{t: t, s: newSigner("mallory"), space: g.Topic.Space}
	r1 := a.next(1)
	n.ingest(t, g, r1, a.next(2))
	refused := 0
	for i := range 100 {
		b := &chain{t: t, s: a.s, space: a.space, last: r1}
		e, _ := record.Decode(b.next(byte(20 + i)).Raw)
		if err := n.e.Process([]ingest.Item{{Envelope: e, Done: func(r ingest.Result) {
			if r.Outcome == ingest.Refused {
				refused++
			}
		}}}); err != nil {
			t.Fatal(err)
		}
	}
	if refused != 99 || n.why[ingest.ForkFlood] != 99 {
		t.Fatalf("%d refused, counted %v; want 99", refused, n.why)
	}
	if got := n.total("total"); got != 1 {
		t.Fatalf("total %d, want 1", got)
	}
}

// TestDigestHashesState: flipping one counter changes the digest, and verify finds it.
func TestDigestHashesState(t *testing.T) {
	n := newNode(t)
	g := genesis(t)
	a := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	n.ingest(t, g, a.next(1), a.next(2))
	before := n.digest(t)
	b := n.st.NewBatch()
	b.Set([]byte("Ctoy\x00total"), api.Seq8(4))
	if err := n.st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	if n.digest(t) == before {
		t.Fatal("a balance was changed and the digest was not")
	}
	scratch := store.OpenMem(store.Faults{})
	defer scratch.Close()
	_, _, problems, err := fold.Verify(t.Context(), n.st, scratch, n.apps, slog.New(slog.DiscardHandler))
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0], "toy") {
		t.Fatalf("verify says %v %v, want one problem with app toy", problems, err)
	}
	if _, err := n.state.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.digest(t) != before {
		t.Fatal("rebuild did not mend the state")
	}
}

// TestR11_CrashLosesNothingAcknowledged: power fails at random moments under load, 50 times; after each, everything that was acknowledged is there, the
// whole of a commit or nothing, and the state is what the records give.
func TestR11_CrashLosesNothingAcknowledged(t *testing.T) {
	g := genesis(t)
	signers := make([]signer, 8)
	for i := range signers {
		signers[i] = newSigner(fmt.Sprint("member ", i))
	}
	rng := rand.New(rand.NewPCG(11, 1))
	mem := store.OpenMem(store.Faults{LoseUnsynced: true, KeepPercent: 30, Seed: 1})
	acked := map[api.Hash]bool{}
	var mu sync.Mutex
	rounds := 50
	if testing.Short() {
		rounds = 8
	}
	for round := range rounds {
		n := &node{st: mem, now: time.Now(), why: map[ingest.Why]int{}}
		n.open(t)
		n.e.Now = time.Now
		n.e.Count = func(ingest.Why, int) {}
		r := fold.NewReader(mem, "toy", slog.New(slog.DiscardHandler))
		for id := range acked {
			if _, _, ok := r.Lookup(id); !ok {
				t.Fatalf("round %d: record %s was acknowledged and is gone", round, id.Short())
			}
		}
		r.Close()
		scratch := store.OpenMem(store.Faults{})
		if _, _, problems, err := fold.Verify(t.Context(), mem, scratch, n.apps, slog.New(slog.DiscardHandler)); err != nil || len(problems) > 0 {
			t.Fatalf("round %d: %v %v", round, err, problems)
		}
		scratch.Close()
		mem.Arm(store.Faults{LoseUnsynced: true, KeepPercent: 30, Seed: uint64(round), FailSync: 3 + rng.IntN(25)})

		s := ingest.NewService(n.e)
		done := make(chan error, 1)
		go func() { done <- s.Serve(context.Background()) }()
		s.Submit(t.Context(), [][]byte{g.Raw}, ingest.Origin{Solicited: true})
		var wg sync.WaitGroup
		for i, sg := range signers {
			wg.Go(func() {
				for j := range 200 {
					rc, err := s.Append(t.Context(), sg, api.Draft{Topic: api.Topic{Space: g.Topic.Space, Name: "toy"}, Kind: "add", Body: []byte{1, byte(i), byte(j), byte(round)}})
					if err != nil {
						return
					}
					mu.Lock()
					acked[rc.Position.ID] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if err := <-done; err == nil {
			t.Fatalf("round %d: the store failed and the road went on", round)
		}
		mem = mem.Crash()
	}
	if len(acked) < 10*rounds {
		t.Fatalf("only %d records were acknowledged: the test no longer tests", len(acked))
	}
	mem.Close()
}

// TestAppendIsIdempotent: the same request name and content gives the first receipt, also after a restart; another content is a conflict.
func TestAppendIsIdempotent(t *testing.T) {
	g := genesis(t)
	n := newNode(t)
	n.ingest(t, g)
	ann := newSigner("ann")
	do := func(body byte, name string) (api.Receipt, error) {
		var rc api.Receipt
		var err error
		if e := n.e.Append(ingest.Draft{
			Signer: ann, Done: func(r api.Receipt, e error) { rc, err = r, e },
			Draft: api.Draft{Topic: api.Topic{Space: g.Topic.Space, Name: "toy"}, Kind: "add", Body: []byte{body}, Idempotency: name},
		}); e != nil {
			t.Fatal(e)
		}
		if e := n.e.Flush(); e != nil {
			t.Fatal(e)
		}
		return rc, err
	}
	first, err := do(5, "order 1")
	if err != nil || first.Repeated {
		t.Fatal(first, err)
	}
	n.open(t)
	again, err := do(5, "order 1")
	if err != nil || !again.Repeated || again.Position != first.Position {
		t.Fatalf("repeated: %+v %v, want the receipt %+v", again, err, first)
	}
	if _, err := do(6, "order 1"); api.KindOf(err) != api.Conflict {
		t.Fatalf("other content: %v, want a conflict", err)
	}
	if _, err := do(13, ""); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "unlucky" {
		t.Fatalf("void draft: %v, want a refusal with its rule", err)
	}
	if got := n.total("total"); got != 5 {
		t.Fatalf("total %d, want 5", got)
	}
	next, err := do(1, "")
	if err != nil || next.Position.Seq != 2 {
		t.Fatalf("after a refusal: %+v %v, want seq 2: a refused draft takes no place", next, err)
	}
}

// TestAppendWaitsForItsRate: a writer over its rate is delayed, not refused.
func TestAppendWaitsForItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{st: store.OpenMem(store.Faults{}), why: map[ingest.Why]int{}}
		n.open(t)
		n.e.Now, n.e.Clock = time.Now, clock.New(time.Now, time.Minute)
		n.e.RateDomain, n.e.Oracles = "rate", rates{api.RateLimit{PerSecond: 1, Burst: 2}}
		s := ingest.NewService(n.e)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx) }()
		start := time.Now()
		ann := newSigner("ann")
		rc, err := s.Append(ctx, ann, api.Draft{Topic: api.Topic{Name: "space"}, Kind: "found", Body: []byte{1}})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := s.Append(ctx, ann, api.Draft{Topic: api.Topic{Space: rc.Topic.Space, Name: "toy"}, Kind: "add", Body: []byte{1}}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("six records at one a second and a burst of two took %v, want 4 s", took)
		}
		cancel()
		<-done
		n.st.Close()
	})
}

// TestBadRecordsCostNoMemory: a million bad records later the process has not grown by 20 MB.
func TestBadRecordsCostNoMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	g := genesis(t)
	s, n, stop := serve(t, func(h api.Hash) bool { return h == g.Topic.Space })
	defer stop()
	s.Submit(t.Context(), [][]byte{g.Raw}, ingest.Origin{Solicited: true})
	good := (&chain{t: t, s: newSigner("ann"), space: g.Topic.Space}).next(1)
	foreign := (&chain{t: t, s: newSigner("far"), space: api.Hash{7}}).next(1)
	ghost := (&chain{t: t, s: newSigner("ghost"), space: g.Topic.Space}).next(1)
	rng := rand.New(rand.NewPCG(3, 3))
	send := func(rounds int) {
		batch := make([][]byte, 64)
		for r := range rounds {
			for i := range batch {
				switch k := rng.IntN(64); {
				case k < 3: // mis-signed, each one different
					b := bytes.Clone(good.Raw)
					b[len(b)-1-rng.IntN(30)] ^= byte(1 + rng.IntN(255))
					batch[i] = b
				case k == 3:
					batch[i] = foreign.Raw
				case k == 4 && r%64 == 0: // cites what does not exist
					batch[i] = (&chain{t: t, s: newSigner(strconv.Itoa(rng.IntN(1 << 30))), space: g.Topic.Space}).next(1, ghost).Raw
				case k < 40:
					b := bytes.Clone(good.Raw[:len(good.Raw)-rng.IntN(100)])
					b[rng.IntN(len(b))] ^= 0x40
					batch[i] = b
				default:
					b := make([]byte, rng.IntN(400))
					for j := range b {
						b[j] = byte(rng.Uint32())
					}
					batch[i] = b
				}
			}
			s.Submit(t.Context(), batch, ingest.Origin{Peer: "flood"})
		}
	}
	send(200)
	debug.FreeOSMemory()
	before := rss(t)
	send(1_000_000 / 64)
	debug.FreeOSMemory()
	if grown := rss(t) - before; grown > 20<<20 {
		t.Errorf("the process grew by %d MB", grown>>20)
	}
	if got := n.total("total"); got != 0 {
		t.Errorf("total %d: a bad record was accepted", got)
	}
}

func rss(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// TestUnknownKindWaitsForAnUpgrade: a record of a kind that this build does not know is stored, never refused; what stands on it waits with it, on disk
// too, and nothing else does (records.md, ingest 1).
func TestUnknownKindWaitsForAnUpgrade(t *testing.T) {
	n := newNode(t)
	g := genesis(t)
	ann := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	bob := &chain{t: t, s: newSigner("bob"), space: g.Topic.Space}
	r1 := ann.next(1)
	odd := mustSign(t, &api.Record{Topic: r1.Topic, Seq: 2, Prev: r1.ID, Kind: "later", Body: []byte{1}}, ann.s)
	ann.last = odd
	b1 := bob.next(2)
	for _, r := range n.ingest(t, g, r1, odd, b1) {
		wantOutcome(t, r, ingest.Committed)
	}
	n.open(t)
	n.ingest(t, ann.next(4))      // stands on the odd one
	n.ingest(t, bob.next(8, odd)) // cites it
	if got := n.total("total"); got != 3 {
		t.Fatalf("total %d, want 3: what stands on an unknown kind must wait", got)
	}
	r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
	defer r.Close()
	if _, v, ok := r.Record(odd.Position()); !ok || v.Accepted || v.Reason == nil || v.Reason.Rule != "unknown-kind" {
		t.Fatalf("the odd record: %+v %v, want it kept, with the reason", v, ok)
	}
}

// What comes signed by many at once is verified among all and stored once each, with a receipt; of a copy whose signature does not fit nothing is kept,
// however often it comes, and it harms none that it is verified with.
func TestTakenTogether(t *testing.T) {
	g := genesis(t)
	s, n, stop := serve(t, func(api.Hash) bool { return true })
	defer stop()
	s.Submit(t.Context(), [][]byte{g.Raw}, ingest.Origin{Solicited: true})
	const writers, each = 16, 10
	var wg sync.WaitGroup
	for i := range writers {
		c := &chain{t: t, s: newSigner(fmt.Sprint("writer ", i)), space: g.Topic.Space}
		var raws [][]byte
		for range each {
			raws = append(raws, c.next(1).Raw)
		}
		wg.Go(func() {
			for _, raw := range raws {
				e, err := record.Decode(raw)
				if err != nil {
					t.Error(err)
					return
				}
				damaged := bytes.Clone(raw)
				damaged[len(damaged)-7] ^= 0x10
				forged, err := record.Decode(damaged)
				if err != nil {
					t.Error(err)
					return
				}
				for range 2 {
					if _, err := s.Take(t.Context(), c.s, forged, "", false); !ingest.IsBadSignature(err) {
						t.Errorf("a forged copy: %v", err)
					}
				}
				rc, err := s.Take(t.Context(), c.s, e, "", false)
				if err != nil || rc.Position != e.Position() || rc.Repeated {
					t.Errorf("%+v %v", rc, err)
				}
				if rc, err = s.Take(t.Context(), c.s, e, "", false); err != nil || !rc.Repeated {
					t.Errorf("again: %+v %v", rc, err)
				}
			}
		})
	}
	wg.Wait()
	if got := n.total("total"); got != writers*each {
		t.Errorf("total %d, want %d", got, writers*each)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := n.why[ingest.BadSignature]; got != 2*writers*each {
		t.Errorf("%d bad signatures counted, want %d", got, 2*writers*each)
	}
}

// A signed record that came by another way is remembered by the name under which its author asks for it here, so that the request itself, when it is
// repeated here, has that record for its answer and makes no second one.
func TestTakenUnderANameElsewhere(t *testing.T) {
	g := genesis(t)
	s, n, stop := serve(t, func(api.Hash) bool { return true })
	defer stop()
	c := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	e := c.next(1)
	s.Submit(t.Context(), [][]byte{g.Raw, e.Raw}, ingest.Origin{Solicited: true})
	if rc, err := s.Take(t.Context(), c.s, e, "pay", false); err != nil || !rc.Repeated {
		t.Fatalf("%+v %v", rc, err)
	}
	d := api.Draft{Topic: e.Topic, Kind: e.Kind, Body: e.Body, Idempotency: "pay"}
	if rc, err := s.Append(t.Context(), c.s, d); err != nil || !rc.Repeated || rc.Position != e.Position() {
		t.Errorf("the same request: %+v %v", rc, err)
	}
	d.Body = append(bytes.Clone(d.Body), 0)
	if _, err := s.Append(t.Context(), c.s, d); api.KindOf(err) != api.Conflict {
		t.Errorf("another request by that name: %v", err)
	}
	if got := n.total("total"); got != 1 {
		t.Errorf("total %d, want 1", got)
	}
}

// A signed record that is void uses its place up where that is wanted, with the rule that makes it void; and where it is not, leaves no trace.
func TestTakenVoid(t *testing.T) {
	g := genesis(t)
	s, n, stop := serve(t, func(api.Hash) bool { return true })
	defer stop()
	s.Submit(t.Context(), [][]byte{g.Raw}, ingest.Origin{Solicited: true})
	c := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	next := func(amount byte) *record.Envelope {
		e, err := record.Decode(c.next(amount).Raw)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	unlucky := next(13)
	if _, err := s.Take(t.Context(), c.s, unlucky, "pay", false); api.KindOf(err) != api.Refused || ingest.IsVoid(err) {
		t.Fatalf("%v, want a refusal", err)
	}
	for _, repeated := range []bool{false, true} {
		rc, err := s.Take(t.Context(), c.s, unlucky, "pay", true) // it would be repeated at once, had it left a trace
		if rc.Position != unlucky.Position() || rc.Repeated != repeated || !repeated && (!ingest.IsVoid(err) || api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "unlucky") {
			t.Fatalf("%+v %v, want it stored, and why it is void", rc, err)
		}
	}
	strange := mustSign(t, &api.Record{Topic: c.last.Topic, Seq: 2, Prev: c.last.ID, Kind: "later", Body: []byte{1}}, c.s)
	for range 2 { // it would be repeated, had it been kept
		if rc, err := s.Take(t.Context(), c.s, strange, "", true); ingest.IsVoid(err) || api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "unknown-kind" {
			t.Errorf("%+v %v: what this build does not know is kept as void", rc, err)
		}
	}
	good := next(3)
	ahead := mustSign(t, &api.Record{Topic: good.Topic, Seq: 3, Prev: good.ID, Kind: "add", Body: good.Body}, c.s)
	if _, err := s.Take(t.Context(), c.s, ahead, "", true); err == nil || ingest.IsVoid(err) {
		t.Errorf("%v: what is not the next is kept for no reason", err)
	}
	if rc, err := s.Take(t.Context(), c.s, good, "next", true); err != nil || rc.Position.Seq != 2 {
		t.Errorf("the next record: %+v %v", rc, err)
	}
	if got := n.total("total"); got != 3 {
		t.Errorf("total %d, want 3", got)
	}
}
