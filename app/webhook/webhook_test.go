package webhook

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

var space = api.Hash{1}

// node is a Host with events, a local store and an oracle, and nothing else that a hook needs.
type node struct {
	api.Host
	mu      sync.Mutex
	evs     []*api.Event
	journal string
	values  map[string][]byte
	barred  map[api.DID]bool
	notices []string
}

func newNode() *node {
	return &node{Host: kerneltest.NewModel().Host("webhook"), journal: "a", values: map[string][]byte{}, barred: map[api.DID]bool{}}
}

func (n *node) Now() time.Time              { return time.Now() }
func (n *node) Local() api.Local            { return (*store)(n) }
func (n *node) Follows() []api.Hash         { return []api.Hash{space} }
func (n *node) Default() (api.Hash, error)  { return space, nil }
func (n *node) Oracles() api.OracleRegistry { return (*access)(n) }
func (n *node) EventTypes() []api.EventType {
	return []api.EventType{{Name: "ledger.transferred", Scope: "ledger:read"}, {Name: "ledger.granted", Scope: "ledger:read"}, {Name: "trust.attested", Scope: "trust:read"}}
}

func (n *node) Notify(name string, _ api.Hash, about api.DID, data any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notices = append(n.notices, fmt.Sprintf("%s %s %s", name, about, data.(*Switched).Why))
}

// happen adds events.
func (n *node) happen(a *App, types ...string) {
	n.mu.Lock()
	for _, t := range types {
		n.evs = append(n.evs, &api.Event{Cursor: fmt.Sprintf("%s.%d.1", n.journal, len(n.evs)+1), Type: t, Space: space, Data: json.RawMessage(`{"amount":1}`)})
	}
	n.mu.Unlock()
	if a != nil {
		_ = a.React(context.Background(), n, nil)
	}
}

func (n *node) Events(after string, most int, want func(*api.Event) bool) (out []*api.Event, next string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := len(n.evs)
	if after != "" {
		journal, rest, _ := strings.Cut(after, ".")
		if journal != n.journal {
			return nil, "", api.Errorf("event.stream", api.Conflict, "reset")
		}
		at, _ = strconv.Atoi(strings.TrimSuffix(rest, ".1"))
	}
	for ; at < len(n.evs) && len(out) < most; at++ {
		if want(n.evs[at]) {
			out = append(out, n.evs[at])
		}
	}
	return out, fmt.Sprintf("%s.%d.1", n.journal, at), nil
}

// store is a local store in memory.
type store node

func (s *store) Put(k string, v []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[k] = bytes.Clone(v)
	return nil
}

func (s *store) Delete(k string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, k)
	return nil
}

func (s *store) Each(prefix string, fn func(string, []byte) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		if strings.HasPrefix(k, prefix) && !fn(k, bytes.Clone(s.values[k])) {
			break
		}
	}
	return nil
}

// access lets all follow but who is barred.
type access node

func (a *access) Register(api.PolicyOracle) {}
func (a *access) Invalidate(api.Domain)     {}
func (a *access) Phase() api.Phase          { return api.Running }
func (a *access) Evaluate(q api.Request) api.Decision {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.barred[q.Actor] || q.Topic.Space != space {
		return api.Denied(&api.Reason{Text: "no"})
	}
	return api.Allowed(api.ConstraintSet{})
}

// receiver takes requests instead of a network.
type receiver struct {
	mu     sync.Mutex
	answer func(n int) (int, error) // to the nth request, from 1
	header http.Header
	n      int
	at     []time.Time
	got    []string // types of the events that were taken
	ids    []string
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.at = append(r.at, time.Now())
	status, err := http.StatusNoContent, error(nil)
	if r.answer != nil {
		status, err = r.answer(r.n)
	}
	if err != nil {
		return nil, err
	}
	var e api.Event
	if err := json.NewDecoder(q.Body).Decode(&e); err != nil {
		return nil, err
	}
	if good(status) {
		r.got, r.ids = append(r.got, e.Type+" "+e.Cursor), append(r.ids, q.Header.Get("Webhook-Id"))
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("ok")), Header: r.header.Clone(), Request: q}, nil
}

func (r *receiver) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func start(t *testing.T, n *node, o Options) *App {
	t.Helper()
	o.Access = "access"
	a := New(n, o)
	if err := a.Start(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return a
}

// serve runs the app until the returned function is called.
func serve(a *App, n *node) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Serve(ctx, n) }()
	return func() { cancel(); <-done }
}

var ann = &api.Call{Actor: "did:icn:ann", Scopes: []string{"ledger:read", "webhook:*"}}

func add(t *testing.T, a *App, url string, types ...string) *AddOut {
	t.Helper()
	out, err := a.add(t.Context(), ann, &AddIn{URL: url, Types: types})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A receiver that fails is tried ever more slowly, and switched off after three days; its owner is told. A test that is taken switches it on again, and
// it goes on where it was.
func TestFailuresBackOffAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, down := newNode(), atomic.Bool{}
		down.Store(true)
		r := &receiver{answer: func(int) (int, error) {
			if down.Load() {
				return 0, errors.New("no route to secret.example")
			}
			return 200, nil
		}}
		a := start(t, n, Options{Transport: r})
		stop := serve(a, n)
		defer stop()
		h := add(t, a, "https://example.org/hook")
		n.happen(a, "ledger.transferred", "trust.attested", "ledger.granted")
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		want := firstRetry
		for i := 1; i < len(r.at); i++ {
			if d := r.at[i].Sub(r.at[i-1]); d < want*3/4 || d > want*5/4+time.Second {
				t.Errorf("attempt %d after %s, want %s or a quarter more or less", i+1, d, want)
			}
			want = min(2*want, longestWait)
		}
		if n := len(r.at); n < 60 || n > 120 {
			t.Errorf("%d attempts in three days", n)
		}
		if len(n.notices) != 1 || !strings.HasPrefix(n.notices[0], "webhook.disabled did:icn:ann its receiver has failed for 7") {
			t.Errorf("%v", n.notices)
		}
		list, err := a.list(t.Context(), ann, &ListIn{})
		if err != nil || len(list.Hooks) != 1 || list.Hooks[0].Disabled == "" {
			t.Errorf("%+v %v", list, err)
		}
		tries, _ := a.deliveries(t.Context(), ann, &IDIn{ID: h.ID})
		if len(tries.Tries) != keptTries || tries.Tries[0].Error != "no connection" {
			t.Errorf("%+v", tries)
		}
		down.Store(false)
		if try, err := a.test(t.Context(), ann, &IDIn{ID: h.ID}); err != nil || try.Status != 200 {
			t.Fatalf("%+v %v", try, err)
		}
		if _, err := a.test(t.Context(), ann, &IDIn{ID: h.ID}); api.KindOf(err) != api.RateLimited {
			t.Errorf("a second test at once: %v", err)
		}
		synctest.Wait()
		if got := fmt.Sprint(r.taken()); got != "[webhook.test  ledger.transferred a.1.1 ledger.granted a.3.1]" {
			t.Errorf("%s: only what its owner may see, in order", got)
		}
	})
}

// Over any number of restarts, in the middle of anything, every event is delivered at least once and in order.
func TestRestartInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		r := &receiver{answer: func(i int) (int, error) {
			if i%3 == 0 {
				return 503, nil
			}
			return 200, nil
		}}
		a := start(t, n, Options{Transport: r})
		add(t, a, "https://example.org/hook", "ledger.*")
		var want []string
		for i := range 40 {
			stop := serve(a, n)
			n.happen(a, "ledger.transferred")
			want = append(want, fmt.Sprintf("ledger.transferred a.%d.1", i+1))
			time.Sleep(time.Duration(i%4) * 2 * time.Second)
			stop()
			a = start(t, n, Options{Transport: r}) // what was in memory is gone
		}
		stop := serve(a, n)
		time.Sleep(time.Hour)
		stop()
		if got := slices.Compact(r.taken()); !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	})
}

// What ends a hook at once, and what only makes it go on elsewhere.
func TestOwnerGoneReceiverGoneCursorGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, r := newNode(), &receiver{}
		a := start(t, n, Options{Transport: r})
		stop := serve(a, n)
		defer stop()
		add(t, a, "https://example.org/hook")
		n.happen(a, "ledger.transferred")
		synctest.Wait()
		n.mu.Lock()
		n.journal = "b" // the node was restored
		n.mu.Unlock()
		n.happen(a, "ledger.transferred")
		synctest.Wait()
		n.happen(a, "ledger.transferred")
		synctest.Wait()
		if got := fmt.Sprint(r.taken()); got != "[ledger.transferred a.1.1 webhook.reset b.2.1 ledger.transferred b.3.1]" {
			t.Error(got)
		}
		n.mu.Lock()
		n.barred[ann.Actor] = true
		n.mu.Unlock()
		n.happen(a, "ledger.transferred")
		synctest.Wait()
		if len(r.taken()) != 3 || len(n.notices) != 1 || !strings.Contains(n.notices[0], "may not follow") {
			t.Errorf("who was removed is told: %v, %v", r.taken(), n.notices)
		}
		n.barred = map[api.DID]bool{}
		r.answer = func(int) (int, error) { return 410, nil }
		add(t, a, "https://example.org/gone")
		n.happen(a, "ledger.transferred")
		synctest.Wait()
		if len(n.notices) != 2 || !strings.Contains(n.notices[1], "410") {
			t.Errorf("%v", n.notices)
		}
	})
}

// Who is removed while events wait is told none of those: it is asked before each, and the owner is told why nothing more comes.
func TestOwnerRemovedAmongDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		r := &receiver{answer: func(int) (int, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.barred[ann.Actor] = true
			return 204, nil
		}}
		a := start(t, n, Options{Transport: r})
		stop := serve(a, n)
		defer stop()
		add(t, a, "https://example.org/hook")
		n.happen(a, "ledger.transferred", "ledger.granted", "ledger.transferred")
		synctest.Wait()
		if got := r.taken(); len(got) != 1 || len(n.notices) != 1 || n.notices[0] != "webhook.disabled did:icn:ann "+noLonger {
			t.Errorf("%v, %v", got, n.notices)
		}
		time.Sleep(2 * longestWait)
		if n := len(r.taken()); n != 1 {
			t.Errorf("%d deliveries", n)
		}
	})
}

// A receiver says when to come again, within bounds; less than the node would wait by itself does not hurry it.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "1.5": 0, "0": 0, "90": 90 * time.Second, "100000": longestWait, "99999999999999999999999": longestWait,
		"Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0, "Fri, 02 Jan 2099 03:00:00 GMT": longestWait,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string][2]time.Duration{"600": {600 * time.Second, 601 * time.Second}, "0": {firstRetry * 3 / 4, firstRetry*5/4 + time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			n := newNode()
			r := &receiver{header: http.Header{"Retry-After": {text}}, answer: func(i int) (int, error) {
				if i == 1 {
					return 503, nil
				}
				return 204, nil
			}}
			a := start(t, n, Options{Transport: r})
			stop := serve(a, n)
			defer stop()
			add(t, a, "https://example.org/hook")
			n.happen(a, "ledger.transferred")
			time.Sleep(longestWait)
			if len(r.at) != 2 {
				t.Fatalf("%d attempts", len(r.at))
			}
			if d := r.at[1].Sub(r.at[0]); d < want[0] || d > want[1] {
				t.Errorf("Retry-After %s: after %s", text, d)
			}
		})
	}
}

// A real receiver: the signature is that of standardwebhooks.com, failures are tried again, and a redirect is not followed.
func TestReceiverOverTheNetwork(t *testing.T) {
	var elsewhere, hits atomic.Int32
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer trap.Close()
	secret := make(chan []byte, 1)
	taken := make(chan api.Event, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if hits.Add(1) == 1 {
			http.Redirect(w, q, trap.URL, http.StatusTemporaryRedirect)
			return
		}
		body, _ := io.ReadAll(q.Body)
		key := <-secret
		if got, want := q.Header.Get("Webhook-Signature"), sign(key, q.Header.Get("Webhook-Id"), q.Header.Get("Webhook-Timestamp"), body); got != want {
			t.Errorf("signature %s, want %s", got, want)
		}
		var e api.Event
		if err := json.Unmarshal(body, &e); err != nil {
			t.Error(err)
		}
		taken <- e
	}))
	defer srv.Close()
	n := newNode()
	a := start(t, n, Options{AllowPrivate: true, AllowHTTP: true})
	h := add(t, a, srv.URL)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h.Secret, "whsec_"))
	if err != nil || len(key) != 32 {
		t.Fatalf("secret %q", h.Secret)
	}
	secret <- key
	n.happen(a, "ledger.transferred")
	a.turn(t.Context(), a.hooks[h.ID])
	if tries, _ := a.deliveries(t.Context(), ann, &IDIn{ID: h.ID}); tries.Tries[0].Status != 307 || !strings.Contains(tries.Tries[0].Error, "redirects") || elsewhere.Load() != 0 {
		t.Errorf("%+v, %d hits elsewhere", tries, elsewhere.Load())
	}
	a.turn(t.Context(), a.hooks[h.ID])
	if e := <-taken; e.Type != "ledger.transferred" || string(e.Data) != `{"amount":1}` {
		t.Errorf("%+v", e)
	}
	out, _ := json.Marshal(must(a.list(t.Context(), ann, &ListIn{})))
	if strings.Contains(string(out), h.Secret[6:]) || strings.Contains(string(out), "secret") {
		t.Errorf("the secret is shown again: %s", out)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The known answer of the standard: https://github.com/standard-webhooks/standard-webhooks, tests of its libraries.
func TestSignature(t *testing.T) {
	key, _ := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
}

func TestPublicAddresses(t *testing.T) {
	for s, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1::1": true, "1.1.1.1": true,
		"127.0.0.1": false, "127.1.2.3": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false, "192.0.2.1": false,
		"::1": false, "::": false, "fe80::1": false, "fd00:ec2::254": false, "ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:db8::1": false, "::127.0.0.1": false, "fec0::1": false,
	} {
		if got := public(netip.MustParseAddr(s)); got != want {
			t.Errorf("%s: %t, want %t", s, got, want)
		}
	}
}

// rebinding is a name server for one name: the first time it is somewhere public, from then on it is this machine.
func rebinding(t *testing.T) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	var asked atomic.Int32
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			q := b[12:n]
			end := bytes.IndexByte(q, 0) + 5
			isA := q[end-3] == 1
			out := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, q[:end]...)
			if isA {
				ip := []byte{127, 0, 0, 1}
				if asked.Add(1) == 1 {
					ip = []byte{192, 0, 2, 7}
				}
				out[7] = 1
				out = append(append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), ip...)
			}
			_, _ = pc.WriteTo(out, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// A name that leads to this machine, from the start or only when it is dialled, is not reached: what counts is the address that is dialled.
func TestNamesThatLeadInside(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(srv.URL, "http://"))
	resolver := rebinding(t)
	if _, err := resolver.LookupHost(t.Context(), "hook.example.org"); err != nil { // what a check beforehand would have seen
		t.Fatal(err)
	}
	n := newNode()
	a := start(t, n, Options{AllowHTTP: true, Transport: transport(false, resolver)})
	for _, host := range []string{"localhost", "hook.example.org"} {
		h := add(t, a, "http://"+host+":"+port+"/")
		n.happen(a, "ledger.transferred")
		a.turn(t.Context(), a.hooks[h.ID])
		tries := must(a.deliveries(t.Context(), ann, &IDIn{ID: h.ID})).Tries
		if len(tries) != 1 || tries[0].Error != "the address is not a public one" || hits.Load() != 0 {
			t.Errorf("%s: %+v, %d hits", host, tries, hits.Load())
		}
	}
}

func TestAddIsBounded(t *testing.T) {
	n := newNode()
	a := start(t, n, Options{MaxOwn: 2, MaxHooks: 3, Transport: &receiver{}})
	n.barred["did:icn:eve"] = true
	by := func(who api.DID) *api.Call { return &api.Call{Actor: who, Scopes: []string{"*"}} }
	for i, c := range []struct {
		call *api.Call
		in   AddIn
		kind api.Kind
		want string // rule, or text
	}{
		{by("did:icn:ann"), AddIn{URL: "http://example.org"}, api.Refused, "plain-http"},
		{by("did:icn:ann"), AddIn{URL: "https://127.0.0.1"}, api.Refused, "private-address"},
		{by("did:icn:ann"), AddIn{URL: "https://[::ffff:10.0.0.1]/"}, api.Refused, "private-address"},
		{by("did:icn:eve"), AddIn{URL: "https://example.org"}, api.Refused, "not-your-space"},
		{by(""), AddIn{URL: "https://example.org"}, api.Unauthenticated, "log in"},
		{by("did:icn:ann"), AddIn{URL: "https://example.org", Space: api.Hash{9}}, api.NotFound, "does not follow"},
		{by("did:icn:ann"), AddIn{URL: "https://example.org", Types: []string{"ledger.stolen"}}, api.Invalid, "event.types"},
		{by("did:icn:ann"), AddIn{URL: "https://user:pass@example.org"}, api.Invalid, "without a user"},
		{by("did:icn:ann"), AddIn{URL: "ftp://example.org"}, api.Invalid, "https://"},
		{by("did:icn:ann"), AddIn{URL: "https://example.org/" + strings.Repeat("x", maxURL)}, api.TooLarge, "at most"},
		{by("did:icn:ann"), AddIn{URL: "https://example.org/1"}, api.Other, ""},
		{by("did:icn:ann"), AddIn{URL: "https://example.org/2", Types: []string{"ledger.*"}}, api.Other, ""},
		{by("did:icn:ann"), AddIn{URL: "https://example.org/3"}, api.Refused, "too-many"},
		{by("did:icn:ben"), AddIn{URL: "https://example.org/1"}, api.Other, ""},
		{by("did:icn:cas"), AddIn{URL: "https://example.org/1"}, api.Refused, "too-many"},
	} {
		err := c.in.Validate()
		if err == nil {
			_, err = a.add(t.Context(), c.call, &c.in)
		}
		text := fmt.Sprint(err)
		if why := api.ReasonOf(err); why != nil {
			text = why.Rule
		}
		if api.KindOf(err) != c.kind || c.want != "" && !strings.Contains(text, c.want) {
			t.Errorf("%d %s: %v, want %s %s", i, c.in.URL, err, c.kind.Code(), c.want)
		}
	}
	mine := must(a.list(t.Context(), by("did:icn:ben"), &ListIn{})).Hooks
	if len(mine) != 1 {
		t.Fatalf("%+v", mine)
	}
	for _, err := range []error{
		second(a.remove(t.Context(), by("did:icn:ann"), &IDIn{ID: mine[0].ID})), second(a.test(t.Context(), by("did:icn:ann"), &IDIn{ID: mine[0].ID})),
		second(a.deliveries(t.Context(), by(""), &IDIn{ID: mine[0].ID})),
	} {
		if api.KindOf(err) != api.NotFound {
			t.Errorf("somebody else's hook: %v", err)
		}
	}
	if _, err := a.remove(t.Context(), by("did:icn:ben"), &IDIn{ID: mine[0].ID}); err != nil || len(n.values) != 4 {
		t.Errorf("%v, left %d values of two hooks", err, len(n.values))
	}
}

func second[T any](_ T, err error) error { return err }
