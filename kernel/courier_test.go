package kernel_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// parrot answers questions of other nodes.
type parrot struct {
	mu    sync.Mutex
	heard []api.PeerRequest
	slow  chan error // what ended a slow answer
	specs []api.RequestSpec
	host  api.Host
}

func newParrot() *parrot {
	return &parrot{slow: make(chan error, 100), specs: []api.RequestSpec{
		{Kind: "parrot.echo"},
		{Kind: "parrot.fail"},
		{Kind: "parrot.panic"},
		{Kind: "parrot.slow"},
		{Kind: "parrot.short", MaxRequest: 3},
		{Kind: "parrot.secret", Sealed: true},
		{Kind: "parrot.rare", Rate: api.RateLimit{PerSecond: 1, Burst: 2}},
	}}
}

func (*parrot) Info() api.AppInfo                           { return api.AppInfo{Name: "parrot"} }
func (p *parrot) Requests() []api.RequestSpec               { return p.specs }
func (p *parrot) Start(_ context.Context, h api.Host) error { p.host = h; return nil }

func (p *parrot) Respond(ctx context.Context, h api.Host, r *api.PeerRequest) ([]byte, error) {
	p.mu.Lock()
	p.heard = append(p.heard, *r)
	p.mu.Unlock()
	switch r.Kind {
	case "parrot.fail":
		return nil, api.Errorf("parrot", api.KindOfCode(string(r.Payload)), "a secret detail")
	case "parrot.panic":
		panic("on purpose")
	case "parrot.slow":
		<-ctx.Done()
		p.slow <- ctx.Err()
		return nil, ctx.Err()
	}
	return append([]byte("you said "), r.Payload...), nil
}

func (p *parrot) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.heard)
}

// speaker is a node with a parrot and a warden.
type speaker struct {
	*run
	parrot *parrot
	warden *warden
	space  api.Hash
}

func newSpeaker(t *testing.T, change func(*kernel.Options)) *speaker {
	t.Helper()
	s := &speaker{parrot: newParrot()}
	s.run = start(t, func(o *kernel.Options) {
		o.Listen = []string{"127.0.0.1:0"}
		if change != nil {
			change(o)
		}
		now := o.Now
		if now == nil {
			now = time.Now
		}
		s.warden = newWarden(now)
		o.Apps = append(o.Apps, s.parrot, s.warden)
	})
	return s
}

// found makes the space that the others follow.
func (s *speaker) found(t *testing.T) *speaker {
	t.Helper()
	s.space = s.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt).Topic.Space
	return s
}

func (s *speaker) node(t *testing.T) api.DID {
	t.Helper()
	return s.must(t, "node.status", "").(*kernel.Status).Node
}

func (s *speaker) join(t *testing.T, o *speaker) {
	t.Helper()
	if !o.space.IsZero() {
		s.space = o.space
		if err := s.app.host.Follow(o.space); err != nil {
			t.Fatal(err)
		}
	}
	s.must(t, "peer.dial", fmt.Sprintf(`{"address":%q}`, o.address(t)))
}

func (s *speaker) ask(t *testing.T, to api.DID, kind, payload string, sealed bool) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	b, err := s.parrot.host.(api.Asker).Ask(ctx, to, kind, []byte(payload), sealed)
	return string(b), err
}

func pairOfSpeakers(t *testing.T) (a, b *speaker) {
	t.Helper()
	a, b = newSpeaker(t, nil).found(t), newSpeaker(t, nil)
	b.join(t, a)
	for _, s := range []*speaker{a, b} {
		other := map[*speaker]*speaker{a: b, b: a}[s].node(t)
		eventually(t, "the peers to answer each other", func() bool {
			_, err := s.ask(t, other, "parrot.echo", "", false)
			return err == nil
		})
	}
	return a, b
}

// Two nodes ask each other, in the open and sealed, and what goes wrong there is called by the same name here.
func TestPeersAskEachOther(t *testing.T) {
	a, b := pairOfSpeakers(t)
	for _, c := range []struct {
		kind, payload string
		sealed        bool
		want          string
		err           api.Kind
	}{
		{"parrot.echo", "hello", false, "you said hello", api.Other},
		{"parrot.echo", "hello", true, "you said hello", api.Other},
		{"parrot.secret", "hello", true, "you said hello", api.Other},
		{"parrot.secret", "hello", false, "", api.Refused},
		{"parrot.nothing", "", false, "", api.Unsupported},
		{"parrot.nothing", "", true, "", api.Unsupported},
		{"parrot.short", "abc", false, "you said abc", api.Other},
		{"parrot.short", "abcd", false, "", api.TooLarge},
		{"parrot.echo", strings.Repeat("x", 64<<10+1), false, "", api.TooLarge},
		{"parrot.echo", strings.Repeat("x", 512<<10+1), false, "", api.TooLarge},
		{"Parrot", "", false, "", api.Invalid},
		{"parrot.fail", "not-found", false, "", api.NotFound},
		{"parrot.fail", "conflict", true, "", api.Conflict},
		{"parrot.fail", "refused", false, "", api.Refused},
		{"parrot.fail", "internal", false, "", api.Internal},
		{"parrot.panic", "", false, "", api.Internal},
	} {
		for from, to := range map[*speaker]*speaker{a: b, b: a} {
			got, err := from.ask(t, to.node(t), c.kind, c.payload, c.sealed)
			if got != c.want || api.KindOf(err) != c.err {
				t.Errorf("%s %.20q sealed %t: %.40q %v, want %.40q %s", c.kind, c.payload, c.sealed, got, err, c.want, c.err.Code())
			}
			if hidden := strings.Contains(fmt.Sprint(err), "secret detail"); c.kind == "parrot.fail" && hidden == (c.err == api.Internal) {
				t.Errorf("%s: %v", c.payload, err)
			}
		}
	}
	b.parrot.mu.Lock()
	r := b.parrot.heard[len(b.parrot.heard)-1]
	b.parrot.mu.Unlock()
	if r.From != a.node(t) || r.Node != a.node(t) || !slices.Equal(r.Members, []api.DID{a.id.DID()}) {
		t.Errorf("%+v, want from %s of %s", r, a.node(t), a.id.DID())
	}
	var limited int
	for range 4 {
		if _, err := a.ask(t, b.node(t), "parrot.rare", "", false); api.KindOf(err) == api.RateLimited {
			limited++
		}
	}
	if limited == 0 {
		t.Error("the kind's own rate does not hold")
	}
	done := make(chan string, 1)
	a.parrot.host.(api.Asker).AskThen(0, b.node(t), "parrot.echo", []byte("later"), true, func(b []byte, err error) { done <- fmt.Sprint(string(b), err) })
	if got := <-done; got != "you said later<nil>" {
		t.Error(got)
	}
	if v, _ := a.reg.Value("icn_peer_answers_total", "kind", "parrot.fail", "code", "conflict"); v != 1 {
		t.Errorf("%v conflicts counted", v)
	}
	for _, s := range []*speaker{a, b} {
		if k := s.warden.kinds(); len(k) > 0 {
			t.Errorf("honest peers gave rise to %v", k)
		}
	}
}

// A question ends with its context, and with the session.
func TestQuestionsEnd(t *testing.T) {
	a, b := pairOfSpeakers(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	asker := a.parrot.host.(api.Asker)
	if _, err := asker.Ask(ctx, b.node(t), "parrot.slow", nil, false); api.KindOf(err) != api.Timeout {
		t.Errorf("%v", err)
	}
	went := make(chan error, 1)
	go func() {
		_, err := asker.Ask(t.Context(), b.node(t), "parrot.slow", nil, false)
		went <- err
	}()
	eventually(t, "two slow ones", func() bool { return b.parrot.count() >= 3 })
	a.must(t, "peer.cut", `{}`)
	if err := <-went; api.KindOf(err) != api.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := a.ask(t, b.node(t), "parrot.echo", "", false); api.KindOf(err) != api.Unavailable {
		t.Errorf("without a session: %v", err)
	}
	if err := b.stop(); err != nil { // it does not wait for those who nobody waits for
		t.Fatal(err)
	}
	for range 2 {
		if err := <-b.parrot.slow; err == nil {
			t.Error("no end")
		}
	}
	alone := start(t, nil)
	if _, err := alone.app.host.(api.Asker).Ask(t.Context(), b.id.DID(), "x", nil, false); api.KindOf(err) != api.Unavailable {
		t.Errorf("without peers: %v", err)
	}
}

// Who serves nobody of a common space is told that it may not ask, and the rate domain's oracle may say so too.
func TestStrangersAreNotAnswered(t *testing.T) {
	a, b := newSpeaker(t, nil).found(t), newSpeaker(t, nil)
	b.must(t, "peer.dial", fmt.Sprintf(`{"address":%q}`, a.address(t)))
	for _, sealed := range []bool{false, true} {
		var err error
		eventually(t, "an answer", func() bool {
			_, err = b.ask(t, a.node(t), "parrot.echo", "", sealed)
			return api.KindOf(err) != api.Unavailable
		})
		if api.KindOf(err) != api.Refused || !strings.Contains(err.Error(), "a space that it follows") {
			t.Errorf("%v", err)
		}
	}
	if _, err := b.call("peer.ping", fmt.Sprintf(`{"node":%q}`, a.node(t))); api.KindOf(err) != api.Refused {
		t.Errorf("ping: %v", err)
	}
	if err := b.app.host.Follow(a.space); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b to be answered", func() bool { _, err := b.ask(t, a.node(t), "parrot.echo", "", false); return err == nil })

	c := newSpeaker(t, func(o *kernel.Options) {
		o.Apps[2] = oracleApp{"rate", decide(func(q api.Request) api.Decision {
			if q.Action == "ask" {
				return api.Denied(&api.Reason{Domain: "rate", Rule: "mute", Text: "ask somebody else"})
			}
			return api.Allowed(api.ConstraintSet{})
		})}
	})
	c.join(t, a)
	eventually(t, "the refusal", func() bool {
		_, err := a.ask(t, c.node(t), "parrot.echo", "", false)
		return api.KindOf(err) == api.Refused && strings.Contains(err.Error(), "ask somebody else")
	})
	if c.parrot.count() != 0 {
		t.Error("served")
	}
}

type decide func(api.Request) api.Decision

func (decide) Domain() api.Domain                    { return "rate" }
func (d decide) Evaluate(q api.Request) api.Decision { return d(q) }

func TestRequestsAreWiredRight(t *testing.T) {
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []api.RequestSpec{
		{Kind: "echo"},
		{Kind: "parrot"},
		{Kind: "parrot."},
		{Kind: "other.echo"},
		{Kind: "keys"},
		{Kind: "sealed"},
		{Kind: "parrot.Echo"},
		{Kind: "parrot." + strings.Repeat("x", 58)},
		{Kind: "parrot.fail"},
		{Kind: "parrot.big", MaxRequest: 512<<10 + 1},
		{Kind: "parrot.less", MaxRequest: -1},
	} {
		p := newParrot()
		p.specs = append(p.specs, spec)
		k, err := kernel.New(kernel.Options{Store: "mem", Identity: id, Apps: []api.App{p}})
		if api.KindOf(err) != api.Internal {
			t.Errorf("%+v: %v", spec, err)
		}
		if err == nil {
			k.Close()
		}
	}
	k, err := kernel.New(kernel.Options{Store: "mem", Identity: id, Apps: []api.App{newParrot()}})
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
}

// Each tells the other what time it is there; a clock that is far off is told of, even when it is so far off that nothing else is answered.
func TestPingAndPeerClocks(t *testing.T) {
	a := newSpeaker(t, nil).found(t)
	wantState(t, a.doctor(t), "peer-clocks", kernel.CheckSkip, "")
	for _, c := range []struct {
		off   time.Duration
		state string
		text  string
		ping  api.Kind
	}{
		{0, kernel.CheckOK, "median of 1 peers", api.Other},
		{20 * time.Second, kernel.CheckWarn, "off by -", api.Other},
		{-20 * time.Second, kernel.CheckWarn, "off by ", api.Other},
		{5 * time.Minute, kernel.CheckWarn, "off by -", api.Refused},
	} {
		b := newSpeaker(t, func(o *kernel.Options) {
			o.Now = func() time.Time { return time.Now().Add(c.off) }
			o.Version = "ba\x1bd"
		})
		b.join(t, a)
		in := fmt.Sprintf(`{"node":%q}`, b.node(t))
		eventually(t, "the session", func() bool { return a.peers(t) == 1 })
		eventually(t, "the ping", func() bool { _, err := a.call("peer.ping", in); return api.KindOf(err) == c.ping })
		for _, in := range []string{in, fmt.Sprintf(`{"node":%q,"sealed":true}`, b.node(t))} {
			if c.ping != api.Other {
				continue
			}
			out := a.must(t, "peer.ping", in).(*kernel.PingOut)
			diff := time.Duration(out.Offset)*time.Millisecond - c.off
			if out.Build != "icn-go bad" || out.Node != b.node(t) || diff.Abs() > 5*time.Second || out.RTT <= 0 || out.Wall == 0 {
				t.Errorf("%+v", out)
			}
		}
		checks := a.doctor(t)
		wantState(t, checks, "peer-clocks", c.state, c.text)
		if c.off < 0 && strings.Contains(checks["peer-clocks"].Value, "off by -") {
			t.Errorf("%+v: the wrong way", checks["peer-clocks"])
		}
		if err := b.stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the session to end", func() bool { return a.peers(t) == 0 })
	}
	for in, want := range map[string]api.Kind{`{"node":"x"}`: api.Invalid, fmt.Sprintf(`{"node":%q}`, a.id.DID()): api.Unavailable} {
		if _, err := a.call("peer.ping", in); api.KindOf(err) != want {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// Inline, the same seed gives the same letters, sealed ones included, and what is sealed is in no frame.
func TestInlineKernelsAskAlike(t *testing.T) {
	play := func(seed uint64) (trace string, answers []string) {
		parrots := map[string]*parrot{}
		c := kerneltest.NewCluster(kerneltest.ClusterOptions{
			Seed: seed, AccessDomain: "access", RateDomain: "rate", Link: kerneltest.Link{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond},
			Apps: func(node string, _ io.Reader) []api.App {
				parrots[node] = newParrot()
				return []api.App{
					&ticking{notes: notes{ceiling: 100}}, parrots[node], oracleApp{"access", kerneltest.AllowAllOracle("access")}, oracleApp{"rate", kerneltest.AllowAllOracle("rate")},
				}
			},
		})
		defer c.Close()
		hash := c.Net.Tap
		seen := map[string]bool{}
		c.Net.Tap = func(at time.Time, from, to api.DID, frame []byte) {
			for _, word := range []string{"in the open", "under seal"} {
				seen[word] = seen[word] || bytes.Contains(frame, []byte(word))
			}
			hash(at, from, to, frame)
		}
		a, err := c.Add("a")
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Add("b")
		if err != nil {
			t.Fatal(err)
		}
		out, err := a.Call(t.Context(), "notes.write", noteIn{Text: "found"})
		if err != nil {
			t.Fatal(err)
		}
		if err := parrots["b"].host.Follow(out.(*api.Receipt).Topic.Space); err != nil {
			t.Fatal(err)
		}
		if err := c.Advance(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		ask := func(from string, to *kerneltest.Node, kind, payload string, sealed bool) {
			parrots[from].host.(api.Asker).AskThen(time.Second, to.DID(), kind, []byte(payload), sealed, func(b []byte, err error) {
				answers = append(answers, fmt.Sprint(string(b), " ", api.KindOf(err).Code()))
			})
			if err := c.Advance(2 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		ask("a", b, "parrot.echo", "in the open", false)
		ask("b", a, "parrot.secret", "under seal", true)
		ask("a", b, "parrot.fail", "conflict", true)
		ask("a", b, "parrot.nothing", "", false)
		if !seen["in the open"] || seen["under seal"] {
			t.Errorf("in the frames: %v", seen)
		}
		if _, err := parrots["a"].host.(api.Asker).Ask(t.Context(), b.DID(), "parrot.echo", nil, false); api.KindOf(err) != api.Unsupported {
			t.Errorf("waiting: %v", err)
		}
		return c.TraceHash(), answers
	}
	trace, answers := play(1)
	want := []string{"you said in the open internal", "you said under seal internal", " conflict", " unsupported"} // no error has the code of Other
	if !slices.Equal(answers, want) {
		t.Errorf("%q, want %q", answers, want)
	}
	if again, _ := play(1); again != trace {
		t.Error("another trace of the same seed")
	}
	if other, _ := play(2); other == trace {
		t.Error("the trace does not show what was said")
	}
}
