package authz_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/authz"
)

// oracle answers by a function and counts how often it was asked.
type oracle struct {
	domain api.Domain
	answer func(api.Request) api.Decision
	asked  atomic.Int64
}

func (o *oracle) Domain() api.Domain { return o.domain }

func (o *oracle) Evaluate(q api.Request) api.Decision {
	o.asked.Add(1)
	return o.answer(q)
}

func allow(n uint32) func(api.Request) api.Decision {
	return func(api.Request) api.Decision { return api.Allowed(api.ConstraintSet{MaxTopics: &n}) }
}

func deny(rule string) func(api.Request) api.Decision {
	return func(api.Request) api.Decision { return api.Denied(&api.Reason{Domain: "a", Rule: rule}) }
}

func abstain(api.Request) api.Decision { return api.Decision{} }

// text shows a decision in one line.
func text(d api.Decision) string {
	switch {
	case d.Effect == api.Allow && d.Constraints.MaxTopics != nil:
		return fmt.Sprint("allow ", *d.Constraints.MaxTopics)
	case d.Reason != nil:
		return d.Effect.String() + " " + d.Reason.Rule
	}
	return d.Effect.String()
}

func TestPhasesAndUnanswered(t *testing.T) {
	r := authz.New(authz.Options{TTL: time.Minute})
	r.Register(&oracle{domain: "a", answer: allow(3)})
	r.Register(&oracle{domain: "silent", answer: abstain})
	r.Register(&oracle{domain: "terse", answer: func(api.Request) api.Decision { return api.Decision{Effect: api.Deny} }})
	r.Register(&oracle{domain: "odd", answer: func(api.Request) api.Decision { return api.Decision{Effect: 7} }})
	for _, phase := range []api.Phase{api.Genesis, api.CoreApps, api.Running} {
		if err := r.Advance(phase); err != nil || r.Phase() != phase {
			t.Fatalf("Advance to %s: %v, phase %s", phase, err, r.Phase())
		}
		want := map[api.Domain]string{"a": "allow 3", "terse": "deny denied", "odd": "deny denied", "silent": "allow", "nobody": "allow", "": "allow"}
		if phase == api.Running {
			want["silent"], want["nobody"], want[""] = "deny abstained", "deny unknown-domain", "deny unknown-domain"
		}
		for domain, want := range want {
			for range 2 { // asked and remembered
				d := r.Evaluate(api.Request{Domain: domain, Actor: "x", Action: "y"})
				if got := text(d); got != want {
					t.Errorf("%s, domain %q: %s, want %s", phase, domain, got, want)
				}
				if d.Effect == api.Deny && (d.Reason.Text == "" || d.Reason.Remedy == "" || d.Reason.Inputs["action"] != "y") {
					t.Errorf("incomplete reason %+v", d.Reason)
				}
			}
		}
	}
	for _, p := range []api.Phase{api.Genesis, api.CoreApps, api.Running + 1} {
		if err := r.Advance(p); api.KindOf(err) != api.Invalid {
			t.Errorf("Advance from running to %d: %v", p, err)
		}
	}
	if err := r.Advance(api.Running); err != nil {
		t.Errorf("staying in a phase: %v", err)
	}
}

func TestRegisterReplacesAndForgets(t *testing.T) {
	r := authz.New(authz.Options{TTL: time.Hour})
	old, other := &oracle{domain: "a", answer: allow(1)}, &oracle{domain: "b", answer: allow(9)}
	r.Register(old)
	r.Register(other)
	ask := func(domain api.Domain) string { return text(r.Evaluate(api.Request{Domain: domain})) }
	ask("a")
	ask("b")
	r.Register(&oracle{domain: "a", answer: deny("new")})
	if got := ask("a"); got != "deny new" {
		t.Errorf("after the swap: %s", got)
	}
	r.Register(old)
	if got := ask("a"); got != "allow 1" || old.asked.Load() != 2 {
		t.Errorf("after swapping back: %s, asked %d times, want 2: answers of an earlier registration are forgotten", got, old.asked.Load())
	}
	if ask("b"); other.asked.Load() != 1 {
		t.Errorf("the other domain was asked %d times, want 1", other.asked.Load())
	}
}

func TestRegisterPanicsForWiringMistakes(t *testing.T) {
	for _, o := range []api.PolicyOracle{nil, &oracle{answer: abstain}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Register(%v) did not panic", o)
				}
			}()
			authz.New(authz.Options{}).Register(o)
		}()
	}
}

func TestInvalidate(t *testing.T) {
	r := authz.New(authz.Options{TTL: time.Hour})
	n := uint32(1)
	o := &oracle{domain: "a", answer: func(api.Request) api.Decision { return api.Allowed(api.ConstraintSet{MaxTopics: new(n)}) }}
	r.Register(o)
	q := api.Request{Domain: "a"}
	r.Evaluate(q)
	n = 2
	if got := text(r.Evaluate(q)); got != "allow 1" {
		t.Errorf("remembered: %s", got)
	}
	r.Invalidate("a")
	r.Invalidate("unknown")
	if got := text(r.Evaluate(q)); got != "allow 2" {
		t.Errorf("after Invalidate: %s", got)
	}
}

func TestAnswersAge(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := authz.New(authz.Options{TTL: time.Second, Now: func() time.Time { return now }})
	o := &oracle{domain: "a", answer: allow(1)}
	r.Register(o)
	for _, step := range []struct {
		pass time.Duration
		want int64
	}{{0, 1}, {time.Second - 1, 1}, {1, 2}, {time.Second - 1, 2}, {time.Hour, 3}} {
		now = now.Add(step.pass)
		r.Evaluate(api.Request{Domain: "a"})
		if got := o.asked.Load(); got != step.want {
			t.Fatalf("%v later: asked %d times, want %d", step.pass, got, step.want)
		}
	}
	if s := r.Stats(); s != (authz.Stats{Asked: 3}) {
		t.Errorf("stats %+v", s)
	}
}

func TestWhatIsRemembered(t *testing.T) {
	base := api.Request{Domain: "a", Actor: "x", Action: "y", Topic: api.Topic{Space: api.Hash{1}, Name: "n"}}
	change := map[string]func(*api.Request){
		"actor":  func(q *api.Request) { q.Actor = "z" },
		"action": func(q *api.Request) { q.Action = "z" },
		"space":  func(q *api.Request) { q.Topic.Space[31] = 1 },
		"topic":  func(q *api.Request) { q.Topic.Name = "z" },
		"unit":   func(q *api.Request) { q.Unit, q.Amount = "z", 1 },
		"proofs": func(q *api.Request) { q.Proofs = []byte{1} },
		"split":  func(q *api.Request) { q.Actor, q.Action = "xy", "" },
	}
	for name, f := range change {
		r := authz.New(authz.Options{TTL: time.Hour})
		o := &oracle{domain: "a", answer: allow(1)}
		r.Register(o)
		q := base
		f(&q)
		r.Evaluate(base)
		r.Evaluate(q)
		if o.asked.Load() != 2 {
			t.Errorf("%s: a request that differs got a remembered answer", name)
		}
		r.Evaluate(base)
		if o.asked.Load() != 2 {
			t.Errorf("%s: the first answer was forgotten", name)
		}
		r.Evaluate(q)
		want := int64(2)
		if name == "proofs" || name == "unit" { // evidence is private, and what measures may change with every record
			want = 3
		}
		if o.asked.Load() != want {
			t.Errorf("%s: the second answer: asked %d times, want %d", name, o.asked.Load(), want)
		}
	}
}

func TestHugeRequestsAndNoTTLAreNotRemembered(t *testing.T) {
	for name, tc := range map[string]struct {
		ttl time.Duration
		q   api.Request
	}{
		"huge":   {time.Hour, api.Request{Domain: "a", Action: strings.Repeat("x", 1000)}},
		"no TTL": {0, api.Request{Domain: "a"}},
	} {
		r := authz.New(authz.Options{TTL: tc.ttl})
		o := &oracle{domain: "a", answer: allow(1)}
		r.Register(o)
		r.Evaluate(tc.q)
		r.Evaluate(tc.q)
		if o.asked.Load() != 2 {
			t.Errorf("%s: asked %d times, want 2", name, o.asked.Load())
		}
	}
}

// However many answers there are, each is right, and few of those that fit are forgotten.
func TestCacheIsBoundedAndRight(t *testing.T) {
	const entries = 256
	r := authz.New(authz.Options{TTL: time.Hour, MaxEntries: entries})
	o := &oracle{domain: "a", answer: func(q api.Request) api.Decision { return allow(uint32(q.Amount))(q) }}
	r.Register(o)
	ask := func(n int) {
		for i := range n {
			if got, want := text(r.Evaluate(api.Request{Domain: "a", Amount: int64(i)})), fmt.Sprint("allow ", i); got != want {
				t.Fatalf("request %d: %s", i, got)
			}
		}
	}
	ask(10 * entries)
	if got := o.asked.Load(); got != 10*entries {
		t.Fatalf("asked %d times", got)
	}
	ask(10 * entries)
	if got := o.asked.Load(); got < 19*entries {
		t.Errorf("asked %d times: more than %d answers were remembered", got, entries)
	}
	r.Invalidate("a")
	before := o.asked.Load()
	ask(entries / 8)
	ask(entries / 8)
	if again := o.asked.Load() - before - entries/8; again > entries/16 {
		t.Errorf("%d of %d answers forgotten in a table of %d", again, entries/8, entries)
	}
}

func TestPanickingOracleDenies(t *testing.T) {
	var told []string
	r := authz.New(authz.Options{TTL: time.Hour, Panicked: func(d api.Domain, v any) { told = append(told, fmt.Sprint(d, " ", v)) }})
	broken := true
	r.Register(&oracle{domain: "a", answer: func(q api.Request) api.Decision {
		if broken {
			panic("boom")
		}
		return allow(1)(q)
	}})
	q := api.Request{Domain: "a", Actor: "x", Action: strings.Repeat("é", 1000)}
	d := r.Evaluate(q)
	if got := text(d); got != "deny oracle-failed" {
		t.Errorf("in phase genesis: %s", got)
	}
	if n := len(d.Reason.Inputs["action"]); n > 600 {
		t.Errorf("the reason quotes %d bytes", n)
	}
	q.Proofs = []byte{1}
	r.Evaluate(q)
	if s := r.Stats(); s.Panics != 2 || len(told) != 2 || told[0] != "a boom" {
		t.Errorf("stats %+v, told %q", s, told)
	}
	broken, q.Proofs = false, nil
	if got := text(r.Evaluate(q)); got != "allow 1" {
		t.Errorf("once mended: %s", got)
	}
}

// An oracle may ask the registry in turn.
func TestOracleMayAskAnother(t *testing.T) {
	r := authz.New(authz.Options{TTL: time.Hour})
	r.Register(&oracle{domain: "b", answer: allow(7)})
	r.Register(&oracle{domain: "a", answer: func(q api.Request) api.Decision {
		q.Domain = "b"
		return r.Evaluate(q)
	}})
	if got := text(r.Evaluate(api.Request{Domain: "a"})); got != "allow 7" {
		t.Error(got)
	}
}

// Once Register or Invalidate has returned, no reader sees an older answer, whatever runs beside it.
func TestSwapUnderLoad(t *testing.T) {
	r := authz.New(authz.Options{TTL: time.Hour, MaxEntries: 64})
	var version atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	r.Register(&oracle{domain: "a", answer: allow(0)})
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				floor := version.Load()
				d := r.Evaluate(api.Request{Domain: "a", Amount: int64(i % 100), Actor: api.DID(fmt.Sprint(w))})
				if got := int64(*d.Constraints.MaxTopics); got < floor {
					t.Errorf("answer of version %d after %d was registered", got, floor)
					return
				}
			}
		})
	}
	for v := range int64(200) {
		r.Register(&oracle{domain: "a", answer: allow(uint32(v))})
		version.Store(v)
		r.Invalidate("a")
	}
	close(done)
	wg.Wait()
}

func benchRegistry() (*authz.Registry, api.Request) {
	r := authz.New(authz.Options{TTL: time.Hour})
	r.Register(&oracle{domain: "net", answer: allow(1)})
	q := api.Request{Domain: "net", Actor: "did:icn:6Mkw1EtXv7Yt4s1x8dYHq2N5QvV7TzQhX5w3mBqLJ8sZ", Action: "push", Topic: api.Topic{Space: api.Hash{1}, Name: "posts"}}
	r.Evaluate(q)
	return r, q
}

func BenchmarkEvaluateCached(b *testing.B) {
	r, q := benchRegistry()
	b.ReportAllocs()
	for b.Loop() {
		r.Evaluate(q)
	}
}

func BenchmarkEvaluateCachedParallel(b *testing.B) {
	r, q := benchRegistry()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Evaluate(q)
		}
	})
}
