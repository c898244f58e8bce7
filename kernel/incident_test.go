package kernel_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// ban is longer than a test moves its clock on while it waits for something, however slow the machine.
const ban = 1000 * time.Hour

// warden is an app that guards: it raises whoever floods or breaks the protocol one step for each report, up to a ban, and notes all.
type warden struct {
	mu    sync.Mutex
	seen  []api.Incident
	step  map[api.DID]int
	until map[api.DID]time.Time
	now   func() time.Time
	host  api.Host
}

func newWarden(now func() time.Time) *warden {
	return &warden{step: map[api.DID]int{}, until: map[api.DID]time.Time{}, now: now}
}

func (*warden) Info() api.AppInfo                           { return api.AppInfo{Name: "warden"} }
func (w *warden) Oracle() api.PolicyOracle                  { return w }
func (*warden) Domain() api.Domain                          { return "guard" }
func (w *warden) Start(_ context.Context, h api.Host) error { w.host = h; return nil }

func (w *warden) Observe(i api.Incident) {
	w.mu.Lock()
	w.seen = append(w.seen, i)
	if i.Kind == api.Flood && w.step[i.Node] < 3 {
		w.step[i.Node]++
		w.until[i.Node] = w.now().Add(ban)
	}
	w.mu.Unlock()
	w.host.Oracles().Invalidate("guard")
}

func (w *warden) level(node api.DID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.now().Before(w.until[node]) {
		return w.step[node]
	}
	return 0
}

func (w *warden) Evaluate(q api.Request) api.Decision {
	level := w.level(q.Actor)
	if q.Action == "connect" && level >= 3 || q.Action == "follow" && level >= 2 {
		return api.Denied(&api.Reason{Domain: "guard", Rule: "flood", Text: "you push too much"})
	}
	if q.Action != "push" {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Allowed(api.ConstraintSet{RateLimit: &api.RateLimit{PerSecond: 100, Burst: 200 / uint32(1+level)}})
}

func (w *warden) kinds() map[string]uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]uint64{}
	for _, i := range w.seen {
		out[i.Kind] += i.Count
	}
	return out
}

// fakeClock is a clock that moves when it is told to.
type fakeClock struct{ ns atomic.Int64 }

func newFakeClock() *fakeClock {
	c := &fakeClock{}
	c.ns.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *fakeClock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *fakeClock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// guarded starts a node with a warden over a fake clock.
func guarded(t *testing.T) (*run, *warden, *fakeClock) {
	clock := newFakeClock()
	w := newWarden(clock.now)
	r := start(t, func(o *kernel.Options) {
		o.Listen, o.Now, o.GuardDomains = []string{"127.0.0.1:0"}, clock.now, []api.Domain{"guard"}
		o.Apps = append(o.Apps, w)
	})
	return r, w, clock
}

func (r *run) address(t *testing.T) string {
	t.Helper()
	return r.must(t, "node.status", "").(*kernel.Status).Addresses[0]
}

// rawPeer is a node that says what the test wants it to say.
func rawPeer(t *testing.T, name string, space api.Hash) (transport.Transport, *kerneltest.PeerLog, api.DID) {
	t.Helper()
	log := kerneltest.NewPeerLog([]api.Hash{space}, kerneltest.Signer(name))
	tr, err := transport.New(transport.Options{Key: kerneltest.NodeKey(name), TargetPeers: -1}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = tr.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return tr, log, kerneltest.NodeDID(kerneltest.NodeKey(name))
}

func (r *run) peers(t *testing.T) int {
	t.Helper()
	return r.must(t, "node.status", "").(*kernel.Status).Peers
}

// A peer that floods is throttled, then shares nothing, then has no session; when its time is over it comes back, and an honest peer never notices.
func TestFloodingPeerIsKeptOutForAWhile(t *testing.T) {
	r, w, clock := guarded(t)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	self := api.DID(strings.TrimPrefix(strings.Split(r.address(t), "@")[0], "icn://"))
	peer, _, node := rawPeer(t, "flooder", space)
	if _, err := peer.Dial(t.Context(), r.address(t)); err != nil {
		t.Fatal(err)
	}
	n := 0
	flood := func() { // 64 records a frame, each another one, so that none is known
		f := &wire.Push{Space: space[:]}
		for range wire.MaxRecords {
			n++
			f.Envelopes = append(f.Envelopes, fmt.Appendf(nil, "not a record %d", n))
		}
		_ = peer.Send(self, f) // without a session it is lost
	}
	for want := 1; want <= 3; want++ {
		eventually(t, fmt.Sprintf("level %d", want), func() bool {
			if want < 3 || w.level(node) < 3 {
				flood()
			}
			return w.level(node) >= want
		})
	}
	eventually(t, "incidents of both kinds", func() bool { k := w.kinds(); return k[api.Flood] > 0 && k[api.Malformed] > 0 })
	eventually(t, "the session to end", func() bool { clock.advance(3 * time.Second); return r.peers(t) == 0 })
	eventually(t, "a dial while banned to fail", func() bool { // the peer may hear later that its session has ended; while it is cut it is told nothing
		_, err := peer.Dial(t.Context(), r.address(t))
		return err != nil
	})
	eventually(t, "the cut to end and the reason to be told", func() bool {
		clock.advance(3 * time.Second)
		_, err := peer.Dial(t.Context(), r.address(t))
		return api.KindOf(err) == api.Refused && strings.Contains(err.Error(), "you push too much")
	})
	clock.advance(2 * ban)
	eventually(t, "the node to come back", func() bool {
		_, err := peer.Dial(t.Context(), r.address(t))
		return err == nil && w.level(node) == 0 && r.peers(t) == 1
	})
}

// R2: a peer that stops and starts again, many times, is no incident, nor is one that is cut and mended; its records go on coming.
func TestR2_RestartIsNoIncident(t *testing.T) {
	r, w, clock := guarded(t)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	var id *identity.Identity
	for i := range 3 {
		other := start(t, func(o *kernel.Options) {
			o.Listen, o.Now = []string{"127.0.0.1:0"}, clock.now
			if id == nil {
				id = o.Identity.(*identity.Identity)
			}
			o.Identity = id
		})
		if err := other.app.host.Follow(space); err != nil {
			t.Fatal(err)
		}
		other.must(t, "peer.dial", fmt.Sprintf(`{"address":%q}`, r.address(t)))
		eventually(t, "the other to have what it had", func() bool {
			clock.advance(100 * time.Millisecond)
			return *other.must(t, "notes.count", "").(*int64) == int64(1+i)
		})
		s, d := id.Signer(), api.Draft{Topic: api.Topic{Space: space, Name: "notes"}, Kind: "note", Body: fmt.Appendf(nil, "%d", i)}
		if _, err := other.app.host.Append(t.Context(), s, d, ""); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the record to arrive", func() bool {
			clock.advance(100 * time.Millisecond)
			return *r.must(t, "notes.count", "").(*int64) == int64(2+i)
		})
		if err := other.stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the session to be gone", func() bool { clock.advance(time.Second); return r.peers(t) == 0 })
	}
	if k := w.kinds(); len(k) != 0 {
		t.Errorf("incidents: %v", k)
	}
}

// R3: a node that dials itself is refused by itself, and blames nobody.
func TestR3_SelfDialIsNoIncident(t *testing.T) {
	r, w, _ := guarded(t)
	if _, err := r.call("peer.dial", fmt.Sprintf(`{"address":%q}`, r.address(t))); api.KindOf(err) != api.Invalid {
		t.Errorf("dial: %v, want invalid", err)
	}
	if k := w.kinds(); len(k) != 0 {
		t.Errorf("incidents: %v", k)
	}
}

// R12: two records at one place are reported with what proves it, of the author and not of whoever brought them; a record whose signature does not
// fit is the bringer's, whatever name stands in it.
func TestR12_WhoIsNamed(t *testing.T) {
	r, w, _ := guarded(t)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	self := api.DID(strings.TrimPrefix(strings.Split(r.address(t), "@")[0], "icn://"))
	peer, _, node := rawPeer(t, "messenger", space)
	if _, err := peer.Dial(t.Context(), r.address(t)); err != nil {
		t.Fatal(err)
	}
	mallory := kerneltest.Signer("mallory")
	sign := func(seq uint64, prev api.Hash, body string) *record.Envelope {
		rec := &api.Record{Version: record.Version, Topic: api.Topic{Space: space, Name: "notes"}, Seq: seq, Prev: prev, Kind: "note", Body: []byte(body), Time: 1}
		if seq == 1 {
			rec.Auth = mallory.Auth()
		}
		e, err := record.Sign(rec, mallory)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	one := sign(1, api.Hash{}, "one")
	a, b, forged := sign(2, one.ID, "a"), sign(2, one.ID, "b"), sign(2, one.ID, "c")
	forged.Raw[len(forged.Raw)-1] ^= 1
	if err := peer.Send(self, &wire.Push{Space: space[:], Envelopes: [][]byte{one.Raw, a.Raw, b.Raw, forged.Raw}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both to be reported", func() bool { k := w.kinds(); return k[api.ForkEvidence] == 1 && k[api.BadSignature] == 1 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.seen {
		switch i.Kind {
		case api.ForkEvidence:
			if i.Node != "" || i.Author != mallory.DID() || i.Feed != one.Feed || i.Seq != 2 || !i.Proven || len(i.Evidence) != 3 {
				t.Fatalf("%+v", i)
			}
			key, err := record.ParseKeyEvent(i.Evidence[0])
			if err != nil || key.DID != mallory.DID() {
				t.Errorf("key event: %+v %v", key, err)
			}
			for _, raw := range i.Evidence[1:] {
				if e, err := record.Decode(raw); err != nil || e.ID != a.ID && e.ID != b.ID {
					t.Errorf("evidence: %v %v", e, err)
				}
			}
		case api.BadSignature:
			if i.Node != node || i.Author != "" || i.Proven {
				t.Errorf("%+v", i)
			}
		default:
			t.Errorf("%+v", i)
		}
	}
}

// The words by which gossip names what a peer did are those that the reporter knows.
func TestGossipReasonsAreKnown(t *testing.T) {
	var text strings.Builder
	files, err := filepath.Glob("internal/gossip/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
	}
	for _, reason := range kernel.GossipReasons {
		if !strings.Contains(text.String(), `"`+reason+`"`) {
			t.Errorf("gossip does not say %q any more", reason)
		}
		if kernel.GossipKind(reason) == api.BadFrame {
			t.Errorf("%q is taken for a broken frame", reason)
		}
	}
	if kernel.GossipKind("push without records") != api.BadFrame {
		t.Error("a broken frame is not taken for one")
	}
}

// What an app keeps on this node outlives it, belongs to that app alone, and is bounded.
func TestLocal(t *testing.T) {
	dir := t.TempDir()
	var id *identity.Identity
	boot := func() *run {
		return start(t, func(o *kernel.Options) {
			o.Store, o.DataDir = "pebble", dir
			if id == nil {
				id = o.Identity.(*identity.Identity)
			}
			o.Identity = id
			o.Apps = append(o.Apps, newWarden(time.Now))
		})
	}
	local := func(r *run) api.Local { return r.app.host.(api.LocalHost).Local() }
	keys := func(l api.Local) (out []string) {
		t.Helper()
		if err := l.Each("k/", func(k string, v []byte) bool { out = append(out, k+"="+string(v)); return true }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	r := boot()
	l := local(r)
	for i := range 4 {
		if err := l.Put(fmt.Sprint("k/", i), fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{"k/1", "k/9"} {
		if err := l.Delete(k); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Put("k/2", []byte("two")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []error{l.Put(strings.Repeat("k", 129), nil), l.Put("k", make([]byte, 16<<10+1))} {
		if api.KindOf(bad) != api.TooLarge {
			t.Errorf("%v, want too large", bad)
		}
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = boot()
	if got, want := fmt.Sprint(keys(local(r))), "[k/0=0 k/2=two k/3=3]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	mem := local(start(t, nil))
	for i := range 8192 {
		if err := mem.Put(fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := mem.Put("more", nil); api.KindOf(err) != api.TooLarge {
		t.Errorf("%v, want too large", err)
	}
	if err := mem.Put("5", []byte("again")); err != nil {
		t.Errorf("a key that is there: %v", err)
	}
}

// Scenario 8: two branches of a feed that are final like each other are reported, of its author and of nobody who brought them.
func TestScenario8_RivalFinalsAreAnIncident(t *testing.T) {
	r, w, _ := guarded(t)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	self := api.DID(strings.TrimPrefix(strings.Split(r.address(t), "@")[0], "icn://"))
	peer, _, _ := rawPeer(t, "messenger", space)
	if _, err := peer.Dial(t.Context(), r.address(t)); err != nil {
		t.Fatal(err)
	}
	push := func(who, topic, kind, body string, deps ...api.Position) api.Position {
		t.Helper()
		s := kerneltest.Signer(who)
		rec := &api.Record{Version: record.Version, Topic: api.Topic{Space: space, Name: topic}, Seq: 1, Kind: kind, Body: []byte(body), Time: 1, Auth: s.Auth(), Deps: deps}
		e, err := record.Sign(rec, s)
		if err != nil {
			t.Fatal(err)
		}
		if err := peer.Send(self, &wire.Push{Space: space[:], Envelopes: [][]byte{e.Raw}}); err != nil {
			t.Fatal(err)
		}
		return e.Position()
	}
	a, b := push("mallory", "notes", "note", "a"), push("mallory", "notes", "note", "b")
	push("one", "words", "word", "", a)
	push("two", "words", "word", "", b)
	eventually(t, "the rivals to be reported", func() bool { return w.kinds()[api.Conflicting] == 1 })
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.seen {
		if i.Kind == api.Conflicting && (i.Author != kerneltest.Signer("mallory").DID() || i.Node != "" || i.Feed != a.Feed || i.Seq != 1 || !strings.Contains(i.Detail, a.ID.Short()) || !strings.Contains(i.Detail, b.ID.Short())) {
			t.Errorf("%+v", i)
		}
	}
}
