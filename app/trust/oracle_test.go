package trust

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func TestOracle(t *testing.T) {
	f := start(t, "test", Options{MinConnect: 1500})
	f.add("ann", "bob", 0.1, "")
	f.add("ann", "cat", 0.4, "")
	f.add("ann", "dan", 0.7, "")
	for _, c := range []struct {
		who       string
		class     string
		rate      api.RateLimit
		topics    uint32
		priority  uint8
		replicate bool
		score     float64
	}{
		{"eve", "isolated", api.RateLimit{PerSecond: 10, Burst: 2}, 10, 3, false, 0},
		{"bob", "known", api.RateLimit{PerSecond: 20, Burst: 5}, 50, 2, false, 0.1},
		{"cat", "partner", api.RateLimit{PerSecond: 100, Burst: 25}, 200, 1, true, 0.4},
		{"dan", "federated", api.RateLimit{PerSecond: 200, Burst: 50}, 1000, 0, true, 0.7},
		{"ann", "federated", api.RateLimit{PerSecond: 200, Burst: 50}, 1000, 0, true, 1},
	} {
		d := f.m.Evaluate(api.Request{Domain: Domain, Actor: f.did(c.who), Action: "trust.add"})
		s := d.Constraints
		if d.Effect != api.Allow || *s.RateLimit != c.rate || *s.MaxTopics != c.topics || *s.PriorityClass != c.priority || *s.CanReplicate != c.replicate ||
			*s.Multiplier != c.score || s.Custom["class"] != c.class || s.Custom["score"] != c.score || f.Rank(f.did(c.who)) != c.score {
			b, _ := json.Marshal(d)
			t.Errorf("%s: %s", c.who, b)
		}
		d = f.m.Evaluate(api.Request{Domain: Domain, Actor: f.did(c.who), Action: "connect"})
		if deny := c.score < 0.15; (d.Effect == api.Deny) != deny || deny && (d.Reason.Remedy == "" || d.Reason.Inputs["minimum"] != "0.15") {
			t.Errorf("%s connects: %+v", c.who, d)
		}
		d = f.m.Evaluate(api.Request{Domain: Domain, Actor: f.did(c.who), Action: "request"})
		if want := (api.RateLimit{PerSecond: c.rate.PerSecond, Burst: 2 * c.rate.PerSecond}); *d.Constraints.RateLimit != want {
			t.Errorf("%s asks %+v, want %+v", c.who, *d.Constraints.RateLimit, want)
		}
	}
	if d := f.Oracle().Evaluate(api.Request{Domain: "other", Actor: f.did("dan")}); d.Effect != api.Abstain {
		t.Errorf("answers for another domain: %+v", d)
	}
	ranker, ok := api.Lookup[api.Ranker](f.host.Services())
	if !ok || ranker.Rank(f.did("cat")) != 0.4 {
		t.Error("the ranker is not offered")
	}
	// The best over all spaces counts.
	first := f.space
	f.space = f.found("zoe", "test")
	f.add("ann", "bob", 0.8, "")
	f.add("ann", "dan", 0.2, "")
	if b, d := f.Rank(f.did("bob")), f.Rank(f.did("dan")); b != 0.8 || d != 0.7 || f.space == first {
		t.Errorf("over two spaces bob has %v and dan %v, want 0.8 and 0.7", b, d)
	}
}

// TestStaleness: own scores lag by RefreshEvery at most, or by RefreshChanges, and are not computed more often.
func TestStaleness(t *testing.T) {
	f := start(t, "test", Options{RefreshEvery: time.Second, RefreshChanges: 3})
	f.add("ann", "bob", 0.1, "")
	rank := func(want float64, when string) {
		t.Helper()
		if got := f.Rank(f.did("bob")); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	rank(0.1, "first asked")
	f.add("ann", "bob", 0.2, "")
	rank(0.1, "at once")
	f.m.Clock = f.m.Clock.Add(time.Second)
	rank(0.2, "a second later")
	f.add("ann", "bob", 0.3, "")
	f.add("ann", "bob", 0.4, "")
	rank(0.2, "two changes later")
	f.add("ann", "bob", 0.5, "")
	rank(0.5, "three changes later")
	if got := f.ask("ann", "bob", "").Score; got != 0.5 {
		t.Errorf("trust.score lags: %v", got)
	}
}

// TestRecentViews: many viewpoints are answered, few remembered.
func TestRecentViews(t *testing.T) {
	f := start(t, "test", Options{})
	for i := range 3 * maxViews {
		f.add(fmt.Sprint("p", i), "bob", 0.5, "")
	}
	s := f.App.space(f.space)
	for round := range 2 {
		for i := range 3 * maxViews {
			if got := f.ask(fmt.Sprint("p", i), "bob", ""); got.Score != 0.5 {
				t.Fatalf("round %d, p%d: %+v", round, i, got)
			}
		}
	}
	if len(s.recent) != maxViews {
		t.Errorf("%d views remembered, want %d", len(s.recent), maxViews)
	}
	f.add("p0", "bob", 0.6, "")
	if got := f.ask("p0", "bob", ""); got.Score != 0.6 {
		t.Errorf("an old view is served: %+v", got)
	}
}

func BenchmarkScoreCached(b *testing.B) {
	m := kerneltest.NewModel(spaceApp{})
	a := New(spaces{m}, Options{})
	a.host = m.Host("space")
	s := newSpace(api.Hash{1})
	s.graph = bigGraph()
	m.SetSelf(m.Signer("ann"))
	s.graph.set(&Attestation{From: m.Signer("ann").DID(), To: s.graph.people[0].did, Score: 9000, stamp: 1})
	a.loaded.Store(&loaded{all: []*space{s}})
	who := s.graph.people[0].did
	if a.Score(who) == 0 {
		b.Fatal("nobody is known")
	}
	b.ReportAllocs()
	for b.Loop() {
		a.Score(who)
	}
}
