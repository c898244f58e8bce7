package kernel_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/obs"
)

// notes is a small app: notes are counted, "bad" ones are void. A word says that what it cites is final. Its operations write one, count them, and spend against a ceiling.
type notes struct {
	host    api.Host
	mu      sync.Mutex
	reacted []string
	serves  atomic.Int32
	ceiling int64
}

func (*notes) Info() api.AppInfo {
	return api.AppInfo{Name: "notes", Topics: []api.TopicSpec{
		{Name: "space", Kinds: []string{"found"}, Founding: "found"}, {Name: "notes", Kinds: []string{"note"}}, {Name: "words", Kinds: []string{"word"}},
	}}
}

func (*notes) Apply(tx api.Tx, r *api.Record) api.Outcome {
	if string(r.Body) == "bad" {
		return api.Voided("notes", "bad", "this note is bad")
	}
	if r.Kind == "word" {
		for _, d := range r.Deps {
			tx.Final(d, api.Alone)
		}
		return api.Accepted
	}
	tx.Add([]byte("n"), 1)
	tx.Index(append(slices.Clone(r.Feed[:]), api.Seq8(r.Seq)...), r.Body)
	return api.Accepted
}

func (n *notes) Oracle() api.PolicyOracle { return n }
func (*notes) Domain() api.Domain         { return "notes" }
func (n *notes) Evaluate(q api.Request) api.Decision {
	if q.Action == "notes.secret" {
		return api.Denied(&api.Reason{Domain: "notes", Rule: "secret", Text: "nobody may", Remedy: "ask later"})
	}
	return api.Allowed(api.ConstraintSet{Ceiling: &n.ceiling})
}

func (n *notes) Start(_ context.Context, h api.Host) error { n.host = h; return nil }
func (*notes) Watch() []string                             { return nil }

func (n *notes) React(_ context.Context, _ api.Host, cs []api.Commit) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range cs {
		n.reacted = append(n.reacted, string(c.Record.Body))
	}
	return nil
}

// Serve panics at first: its siblings must not notice.
func (n *notes) Serve(ctx context.Context, _ api.Host) error {
	if n.serves.Add(1) == 1 {
		panic("the first one always fails")
	}
	<-ctx.Done()
	return nil
}

type noteIn struct {
	Space  api.Hash `json:"space,omitzero"`
	Text   string   `json:"text"`
	Amount int64    `json:"amount,omitempty"`
}

func (in *noteIn) Validate() error {
	if in.Text == "" {
		return errors.New("text: missing")
	}
	return nil
}

func (in *noteIn) Measure() (api.Topic, string, int64) {
	return api.Topic{Space: in.Space, Name: "notes"}, "words", in.Amount
}

func (n *notes) Operations() []api.Operation {
	write := func(ctx context.Context, call *api.Call, in *noteIn) (*api.Receipt, error) {
		kind, name := "note", "notes"
		if in.Space.IsZero() {
			kind, name = "found", "space"
		}
		rc, err := n.host.Append(ctx, call.Signer, api.Draft{Topic: api.Topic{Space: in.Space, Name: name}, Kind: kind, Body: []byte(in.Text), Idempotency: call.Idempotency}, call.Wait)
		return &rc, err
	}
	return []api.Operation{
		api.Handle(api.Operation{Name: "notes.write", Scope: "notes:write", Write: true, Signs: api.SignsOne}, write),
		api.Handle(api.Operation{Name: "notes.secret", Scope: "notes:write", Write: true}, write),
		api.Handle(api.Operation{Name: "notes.count", Scope: "notes:read"}, func(context.Context, *api.Call, *kernel.None) (*int64, error) {
			r := n.host.Read()
			defer r.Close()
			c := r.Counter([]byte("n"))
			return &c, nil
		}),
	}
}

// run is a kernel that is running.
type run struct {
	*kernel.Kernel
	app  *notes
	id   *identity.Identity
	reg  *obs.Registry
	stop func() error
}

func start(t testing.TB, change func(*kernel.Options)) *run {
	t.Helper()
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{app: &notes{ceiling: 100}, id: id, reg: obs.NewRegistry()}
	o := kernel.Options{Store: "mem", Identity: id, Apps: []api.App{r.app}, AccessDomain: "access", RateDomain: "rate", Metrics: r.reg, Logger: slog.New(slog.DiscardHandler)}
	o.Apps = append(o.Apps, oracleApp{"access", kerneltest.AllowAllOracle("access")}, oracleApp{"rate", kerneltest.AllowAllOracle("rate")})
	if change != nil {
		change(&o)
	}
	if r.Kernel, err = kernel.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	var ended error
	r.stop = func() error {
		once.Do(func() { cancel(); ended = <-done })
		return ended
	}
	t.Cleanup(func() { r.stop() })
	eventually(t, "the kernel to be ready", r.Ready)
	return r
}

// oracleApp is an app that has policy only.
type oracleApp struct {
	name   string
	oracle api.PolicyOracle
}

func (a oracleApp) Info() api.AppInfo        { return api.AppInfo{Name: a.name} }
func (a oracleApp) Oracle() api.PolicyOracle { return a.oracle }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (r *run) call(name, in string, change ...func(*api.Call)) (any, error) {
	c := &api.Call{Actor: r.id.DID(), Signer: r.id.Signer(), Scopes: []string{"*"}}
	for _, f := range change {
		f(c)
	}
	return r.Call(context.Background(), c, name, json.RawMessage(in), nil)
}

func (r *run) must(t *testing.T, name, in string) any {
	t.Helper()
	out, err := r.call(name, in)
	if err != nil {
		t.Fatalf("%s %s: %v", name, in, err)
	}
	return out
}

func (r *run) digest(t *testing.T) api.Hash {
	t.Helper()
	return r.must(t, "state.digest", "").(*kernel.DigestOut).Digest
}

// TestCallPassesTheGates: scope, input, oracle and ceiling are asked in this order, and each refusal says why.
func TestCallPassesTheGates(t *testing.T) {
	r := start(t, nil)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	for _, c := range []struct {
		name, in string
		call     func(*api.Call)
		kind     api.Kind
		text     string
	}{
		{"notes.nothing", "{}", nil, api.NotFound, "does not exist"},
		{"notes.write", `{"text":"x"}`, func(c *api.Call) { c.Scopes = []string{"notes:read"} }, api.Refused, "notes:write"},
		{"notes.write", `{"test":"x"}`, nil, api.Invalid, `"test"`},
		{"notes.write", `{}`, nil, api.Invalid, "text: missing"},
		{"notes.secret", `{"text":"x"}`, nil, api.Refused, "ask later"},
		{"notes.write", fmt.Sprintf(`{"space":%q,"text":"x","amount":101}`, space), nil, api.Refused, "101"},
		{"notes.write", fmt.Sprintf(`{"space":%q,"text":"bad"}`, space), nil, api.Refused, "this note is bad"},
		{"notes.write", fmt.Sprintf(`{"space":%q,"text":"x"}`, api.Hash{7}), nil, api.NotFound, "does not follow"},
		{"notes.write", fmt.Sprintf(`{"space":%q,"text":"x"}`, space), func(c *api.Call) { c.Wait = "soon" }, api.Invalid, `"soon"`},
		{"notes.write", `{"text":"x"}`, func(c *api.Call) { c.Signer = nil }, api.Unsupported, "record.prepare"},
		{"record.submit", `{"records":[]}`, nil, api.Invalid, "1 to 256"},
		{"record.submit", `{"records":["??"]}`, nil, api.Invalid, "base64"},
		{"record.explain", fmt.Sprintf(`{"id":%q}`, api.Hash{1}), nil, api.NotFound, "does not hold"},
		{"topic.tail", `{"topic":"x"}`, nil, api.Invalid, "<space>/<name>"},
		{"peer.dial", `{"address":"icn://x"}`, nil, api.Unavailable, "without peers"},
	} {
		var change []func(*api.Call)
		if c.call != nil {
			change = append(change, c.call)
		}
		_, err := r.call(c.name, c.in, change...)
		if api.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%s %s: %v (%s), want %s with %q", c.name, c.in, err, api.KindOf(err).Code(), c.kind.Code(), c.text)
		}
	}
	if n := *r.must(t, "notes.count", "").(*int64); n != 1 {
		t.Errorf("%d notes, want 1: a refused call left something behind", n)
	}
	if v, ok := r.reg.Value("icn_calls_total", "operation", "notes.secret", "code", "refused"); !ok || v != 1 {
		t.Errorf("refused calls counted: %v %v, want 1", v, ok)
	}
}

// TestIdempotentAboveTheCeiling: a repeated request gets its first answer although the ceiling has come down since.
func TestIdempotentAboveTheCeiling(t *testing.T) {
	r := start(t, nil)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	key := func(c *api.Call) { c.Idempotency = "once" }
	in := fmt.Sprintf(`{"space":%q,"text":"pay","amount":90}`, space)
	first, err := r.call("notes.write", in, key)
	if err != nil {
		t.Fatal(err)
	}
	r.app.ceiling = 10
	if _, err := r.call("notes.write", in); api.KindOf(err) != api.Refused {
		t.Fatalf("over the ceiling: %v, want refused", err)
	}
	again, err := r.call("notes.write", in, key)
	if err != nil || !again.(*api.Receipt).Repeated || again.(*api.Receipt).Position != first.(*api.Receipt).Position {
		t.Fatalf("repeated: %+v %v", again, err)
	}
}

// TestSupervisor: a part that panics is restarted and counted; reactors see every commit; the node stops in order (K7).
func TestSupervisor(t *testing.T) {
	r := start(t, nil)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	for i := range 300 {
		r.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"%d"}`, space, i))
	}
	eventually(t, "the failed part to be restarted", func() bool { return r.app.serves.Load() >= 2 })
	eventually(t, "the reactor to see all", func() bool {
		r.app.mu.Lock()
		defer r.app.mu.Unlock()
		return len(r.app.reacted) == 301
	})
	r.app.mu.Lock()
	for i, s := range r.app.reacted[1:] {
		if s != fmt.Sprint(i) {
			t.Fatalf("reaction %d is to %q: not in commit order", i, s)
		}
	}
	r.app.mu.Unlock()
	if v, _ := r.reg.Value("icn_supervisor_restarts_total"); v < 1 {
		t.Error("the restart was not counted")
	}
	if err := r.stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if _, err := r.call("notes.count", ""); api.KindOf(err) != api.Unavailable {
		t.Errorf("call after the stop: %v, want unavailable", err)
	}
}

// TestThreeNodesAgree: records of three nodes reach all over QUIC, a late and empty node catches up, a cut node catches up after it is mended, and all
// have one digest, also after a rebuild (R15, scenario 17).
func TestThreeNodesAgree(t *testing.T) {
	peers := func(o *kernel.Options) { o.Listen = []string{"127.0.0.1:0"} }
	a, b, c := start(t, peers), start(t, peers), start(t, peers)
	status := func(r *run) *kernel.Status { return r.must(t, "node.status", "").(*kernel.Status) }
	dial := func(from, to *run) {
		t.Helper()
		from.must(t, "peer.dial", fmt.Sprintf(`{"address":%q}`, status(to).Addresses[0]))
	}
	write := func(r *run, space api.Hash, n int) {
		t.Helper()
		for i := range n {
			r.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"%s %d"}`, space, r.id.DID(), i))
		}
	}
	agree := func(n int64, rs ...*run) {
		t.Helper()
		for _, r := range rs {
			eventually(t, fmt.Sprintf("%d notes", n), func() bool { return *r.must(t, "notes.count", "").(*int64) == n })
		}
		for _, r := range rs[1:] {
			if x, y := rs[0].digest(t), r.digest(t); x != y {
				t.Fatalf("digests %s and %s", x.Short(), y.Short())
			}
		}
	}
	space := a.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	write(a, space, 200)
	if err := b.app.host.Follow(space); err != nil {
		t.Fatal(err)
	}
	dial(b, a)
	agree(201, a, b)
	write(b, space, 100)
	agree(301, a, b)

	if err := c.app.host.Follow(space); err != nil { // late and empty
		t.Fatal(err)
	}
	dial(c, b)
	agree(301, a, b, c)
	write(c, space, 50)
	agree(351, a, b, c)

	c.must(t, "peer.cut", `{}`)
	eventually(t, "c to be alone", func() bool { return status(c).Peers == 0 })
	write(a, space, 30)
	write(c, space, 30)
	agree(381, a, b)
	if n := *c.must(t, "notes.count", "").(*int64); n != 381 {
		t.Fatalf("c has %d notes, want its own 381", n)
	}
	c.must(t, "peer.mend", `{}`)
	agree(411, a, b, c)

	want := a.digest(t)
	if out := c.must(t, "state.rebuild", "").(*kernel.VerifyOut); !out.OK || out.Digest != want {
		t.Fatalf("rebuilt: %+v, want digest %s", out, want.Short())
	}
	if out := b.must(t, "state.verify", "").(*kernel.VerifyOut); !out.OK {
		t.Fatalf("verify: %v", out.Problems)
	}
}

// TestAccessDenied: a peer without access to a space gets nothing of it; once the oracle allows it, it gets all without a new connection (N7, G1).
func TestAccessDenied(t *testing.T) {
	gate := &switchOracle{domain: "access"}
	a := start(t, func(o *kernel.Options) {
		o.Listen, o.DecisionTTL = []string{"127.0.0.1:0"}, time.Millisecond
		o.Apps[1] = oracleApp{"access", gate}
	})
	b := start(t, func(o *kernel.Options) { o.Listen = []string{"127.0.0.1:0"} })
	space := a.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	if err := b.app.host.Follow(space); err != nil {
		t.Fatal(err)
	}
	b.must(t, "peer.dial", fmt.Sprintf(`{"address":%q}`, a.must(t, "node.status", "").(*kernel.Status).Addresses[0]))
	eventually(t, "the oracle to be asked", func() bool { return gate.asked.Load() > 0 })
	if n := *b.must(t, "notes.count", "").(*int64); n != 0 {
		t.Fatalf("b has %d notes of a space it may not follow", n)
	}
	gate.open.Store(true)
	eventually(t, "b to get the space", func() bool { return *b.must(t, "notes.count", "").(*int64) == 1 })
}

type switchOracle struct {
	domain api.Domain
	open   atomic.Bool
	asked  atomic.Int32
}

func (o *switchOracle) Domain() api.Domain { return o.domain }
func (o *switchOracle) Evaluate(api.Request) api.Decision {
	o.asked.Add(1)
	if o.open.Load() {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Denied(&api.Reason{Domain: o.domain, Rule: "closed", Text: "closed"})
}

// TestConnectRefused: the rate domain's oracle may keep a peer out, and the peer is told why.
func TestConnectRefused(t *testing.T) {
	a := start(t, func(o *kernel.Options) {
		o.Listen = []string{"127.0.0.1:0"}
		o.Apps[2] = oracleApp{"rate", kerneltest.DenyAllOracle("rate")}
	})
	b := start(t, func(o *kernel.Options) { o.Listen = []string{"127.0.0.1:0"} })
	_, err := b.call("peer.dial", fmt.Sprintf(`{"address":%q}`, a.must(t, "node.status", "").(*kernel.Status).Addresses[0]))
	if api.KindOf(err) != api.Refused || !strings.Contains(err.Error(), "denies everything") {
		t.Fatalf("dial: %v, want refused with the oracle's words", err)
	}
}

// TestSubmitTwice: a record signed elsewhere is committed once, and tail shows it.
func TestSubmitTwice(t *testing.T) {
	r := start(t, nil)
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	far := start(t, nil)
	if err := far.app.host.Follow(space); err != nil {
		t.Fatal(err)
	}
	var raw string
	if rc, err := far.app.host.Append(context.Background(), far.id.Signer(), api.Draft{Topic: api.Topic{Space: space, Name: "notes"}, Kind: "note", Body: []byte("far")}, ""); err != nil {
		t.Fatal(err)
	} else {
		raw = base64.StdEncoding.EncodeToString(kernel.RawOf(far.Kernel, rc.Position))
	}
	for _, want := range []string{"committed", "duplicate"} {
		out := r.must(t, "record.submit", fmt.Sprintf(`{"records":[%q]}`, raw)).(*kernel.SubmitOut)
		if out.Results[0].Outcome != want {
			t.Fatalf("%+v, want %s", out.Results[0], want)
		}
	}
	var seen []string
	_, err := r.Call(context.Background(), &api.Call{Actor: r.id.DID(), Signer: r.id.Signer(), Scopes: []string{"*"}}, "topic.tail", json.RawMessage(fmt.Sprintf(`{"topic":"%s/notes","last":10}`, space)),
		func(it any) error { seen = append(seen, it.(*kernel.TailItem).Kind); return nil })
	if err != nil || !slices.Equal(seen, []string{"note"}) {
		t.Fatalf("tail: %v %v", seen, err)
	}
}
