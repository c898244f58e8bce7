package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// serve runs a server for real: streams need a connection.
func serve(t *testing.T, f *fake, change func(*Options, *times)) (*Server, string) {
	t.Helper()
	reg := obs.NewRegistry()
	o := Options{Dispatcher: f, Authenticate: tokens, Metrics: reg}
	tm := times{heartbeat, slowAfter, writeTimeout, streamLife, settle, drainGrace, readTimeout}
	if change != nil {
		change(&o, &tm)
	}
	s := newServer(t, f, func(p *Options) { *p = o })
	s.times = tm
	ts := httptest.NewServer(s)
	t.Cleanup(func() { s.stop(errStopping); ts.Close() })
	return s, ts.URL
}

// opened is what came of opening a stream of events.
type opened struct {
	StatusCode int
	Header     http.Header
	Body       io.Reader
	leave      context.CancelFunc
}

// listenTo opens a stream of events; headers are "Name: value".
func listenTo(t *testing.T, url string, headers ...string) opened {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return opened{resp.StatusCode, resp.Header, resp.Body, cancel}
}

// until reads lines until one holds text.
func until(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := r.ReadString('\n')
		all.WriteString(line)
		if strings.Contains(line, text) {
			return all.String()
		}
		if err != nil {
			t.Fatalf("%q did not come: %v\n%s", text, err, clip(all.String(), 2000))
		}
	}
}

func TestEvents(t *testing.T) {
	_, url := serve(t, &fake{}, nil)
	resp := listenTo(t, url+"/api/v1/tail?mode=end", asAnn)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(resp.StatusCode, resp.Header)
	}
	const item = "id: %[1]s\ndata: {\"cursor\":\"%[1]s\",\"text\":\"item\\n%[1]s\"}\n\n"
	want := "retry: 3000\n\n" + strings.ReplaceAll(item, "%[1]s", "c1") + strings.ReplaceAll(item, "%[1]s", "c2") + strings.ReplaceAll(item, "%[1]s", "c3") + "event: end\ndata: {}\n\n"
	if got := read(t, resp.Body); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, c := range []struct {
		query   string
		headers []string
		lacks   string
	}{
		{"?mode=end&after=c1", nil, "id: c1"},
		{"?mode=end", []string{"Last-Event-ID: c2"}, "id: c2"},
		{"?mode=end&after=c1", []string{"Last-Event-ID: c2"}, "id: c2"}, // a browser that comes again has the old address
	} {
		got := read(t, listenTo(t, url+"/api/v1/tail"+c.query, append(c.headers, asAnn)...).Body)
		if strings.Contains(got, c.lacks) || !strings.Contains(got, "id: c3") {
			t.Errorf("%v: %s", c, got)
		}
	}
	got := read(t, listenTo(t, url+"/api/v1/tail?mode=fail", asAnn).Body)
	if !strings.Contains(got, "id: c3") || !strings.HasSuffix(got, "\n\n") || !strings.Contains(got, "event: problem\ndata: {") || !strings.Contains(got, `"rule":"full"`) {
		t.Error(got)
	}
	for query, status := range map[string]int{"?mode=refuse": 403, "?colour=red": 400, "?mode=panic": 500} {
		if resp := listenTo(t, url+"/api/v1/tail"+query, asAnn); resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", query, resp.StatusCode, read(t, resp.Body))
		}
	}
	if resp := listenTo(t, url+"/api/v1/tail"); resp.StatusCode != http.StatusUnauthorized {
		t.Error(resp.StatusCode)
	}
}

// dial opens a WebSocket.
func dial(t *testing.T, url string, o *websocket.DialOptions) (*websocket.Conn, int) {
	t.Helper()
	c, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(url, "http"), o)
	if err != nil && resp == nil {
		t.Fatal(err)
	}
	if c != nil {
		t.Cleanup(func() { c.CloseNow() })
		c.SetReadLimit(1 << 20)
	}
	if resp.Body != nil {
		resp.Body.Close()
	}
	return c, resp.StatusCode
}

// drain reads until the end, and returns the messages and how it ended.
func drain(t *testing.T, c *websocket.Conn) ([]string, websocket.CloseError) {
	t.Helper()
	var out []string
	for {
		_, b, err := c.Read(t.Context())
		var end websocket.CloseError
		if errors.As(err, &end) {
			return out, end
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
}

func TestWebSocket(t *testing.T) {
	_, url := serve(t, &fake{}, func(o *Options, _ *times) { o.CORSOrigins = []string{"https://app.example"} })
	by := func(protocols ...string) *websocket.DialOptions {
		return &websocket.DialOptions{Subprotocols: protocols, HTTPHeader: http.Header{}}
	}
	c, _ := dial(t, url+"/api/v1/tail?mode=end&after=c1", by("icn.v1", "icn.bearer.ann"))
	if c.Subprotocol() != "icn.v1" {
		t.Errorf("subprotocol %q: the token must not come back", c.Subprotocol())
	}
	if got, end := drain(t, c); len(got) != 2 || got[0] != `{"cursor":"c2","text":"item\nc2"}` || end.Code != websocket.StatusNormalClosure {
		t.Error(got, end)
	}
	c, _ = dial(t, url+"/api/v1/tail?mode=fail", by("icn.v1", "icn.bearer.ann"))
	if got, end := drain(t, c); len(got) != 3 || end.Code != 4403 || !strings.HasPrefix(end.Reason, "refused: tail: the house is full") {
		t.Error(got, end)
	}
	header := by()
	header.HTTPHeader.Set("Authorization", "Bearer ann")
	c, _ = dial(t, url+"/api/v1/tail?mode=end", header)
	if got, _ := drain(t, c); len(got) != 3 {
		t.Error(got)
	}
	for name, x := range map[string]struct {
		o      *websocket.DialOptions
		origin string
		status int
	}{
		"no token":             {by("icn.v1"), "", 401},
		"dead token":           {by("icn.v1", "icn.bearer.old"), "", 401},
		"nothing but a token":  {by("icn.bearer.ann"), "", 400},
		"another site's page":  {by("icn.v1", "icn.bearer.ann"), "https://evil.example", 403},
		"a configured origin":  {by("icn.v1", "icn.bearer.ann"), "https://app.example", 101},
		"this very origin":     {by("icn.v1", "icn.bearer.ann"), url, 101},
		"two different tokens": {by("icn.v1", "icn.bearer.ann", "icn.bearer.ben"), "", 401},
	} {
		if x.origin != "" {
			x.o.HTTPHeader.Set("Origin", x.origin)
		}
		if _, status := dial(t, url+"/api/v1/tail", x.o); status != x.status {
			t.Errorf("%s: %d, want %d", name, status, x.status)
		}
	}
}

// A client that does not read is dropped, and when it reads again it learns why; nobody else waits for it.
func TestSlowClientIsDropped(t *testing.T) {
	for _, transport := range []string{"sse", "websocket"} {
		t.Run(transport, func(t *testing.T) {
			f := &fake{fill: 1 << 20, cut: make(chan struct{})}
			s, url := serve(t, f, func(_ *Options, tm *times) { tm.slow, tm.write = 50*time.Millisecond, time.Minute })
			dropped := func() bool {
				n, _ := s.opt.Metrics.Value("icn_gateway_streams_ended_total", "why", "slow")
				return n == 1
			}
			if transport == "sse" {
				resp := listenTo(t, url+"/api/v1/tail?mode=flood", asAnn)
				r := bufio.NewReaderSize(resp.Body, 1<<20)
				until(t, r, "id: f")
				<-f.cut // until then the client does nothing
				if got := until(t, r, "slow client"); !strings.Contains(got, "event: problem\n") {
					t.Error(clip(got[max(0, len(got)-300):], 300))
				}
				if rest, err := io.ReadAll(r); err != nil || len(rest) > 1 {
					t.Error("the last event was not the last", len(rest), err)
				}
			} else {
				c, _ := dial(t, url+"/api/v1/tail?mode=flood", &websocket.DialOptions{Subprotocols: []string{"icn.v1", "icn.bearer.ann"}})
				<-f.cut
				if _, end := drain(t, c); end.Code != websocket.StatusTryAgainLater || !strings.Contains(end.Reason, "slow client") {
					t.Error(end)
				}
			}
			waitFor(t, dropped)
		})
	}
}

func waitFor(t *testing.T, what func() bool) {
	t.Helper()
	for range 2000 {
		if what() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it did not come to that")
}

// A stream lives on heartbeats, and ends when its token is good no longer.
func TestHeartbeatsAskAnew(t *testing.T) {
	revoked := make(chan struct{})
	_, url := serve(t, &fake{}, func(o *Options, tm *times) {
		tm.heartbeat = 10 * time.Millisecond
		o.Authenticate = func(ctx context.Context, bearer string) (*api.Call, error) {
			select {
			case <-revoked:
				return nil, api.Errorf("auth", api.Unauthenticated, "the session was revoked")
			default:
				return tokens(ctx, bearer)
			}
		}
	})
	r := bufio.NewReader(listenTo(t, url+"/api/v1/tail", asAnn).Body)
	c, _ := dial(t, url+"/api/v1/tail", &websocket.DialOptions{Subprotocols: []string{"icn.v1", "icn.bearer.ann"}})
	until(t, r, ": still here")
	until(t, r, ": still here")
	close(revoked)
	until(t, r, "the session was revoked")
	if got, end := drain(t, c); len(got) != 3 || end.Code != 4401 {
		t.Error(got, end)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	s, url := serve(t, &fake{}, func(o *Options, _ *times) { o.MaxStreams, o.MaxCallerStreams = 3, 2 })
	first := listenTo(t, url+"/api/v1/tail", asAnn)
	listenTo(t, url+"/api/v1/tail", asAnn)
	if resp := listenTo(t, url+"/api/v1/tail", asAnn); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Error("a third of one caller", resp.StatusCode)
	}
	listenTo(t, url+"/api/v1/tail", "Authorization: Bearer ben")
	if resp := listenTo(t, url+"/api/v1/tail", "Authorization: Bearer reader"); resp.StatusCode != http.StatusServiceUnavailable {
		t.Error("a fourth of all", resp.StatusCode)
	}
	first.leave()
	waitFor(t, func() bool { s.streams.mu.Lock(); defer s.streams.mu.Unlock(); return s.streams.open == 2 })
	if resp := listenTo(t, url+"/api/v1/tail", asAnn); resp.StatusCode != http.StatusOK {
		t.Error("a place was not given back", resp.StatusCode)
	}
}

func TestStreamsEndWithAge(t *testing.T) {
	_, url := serve(t, &fake{}, func(_ *Options, tm *times) { tm.life = 20 * time.Millisecond })
	until(t, bufio.NewReader(listenTo(t, url+"/api/v1/tail", asAnn).Body), "resume after the last item")
}

// The time that a request has to come whole is no limit of what follows.
func TestReadTimeoutEndsNoStream(t *testing.T) {
	f := &fake{block: make(chan struct{})}
	s, err := Listen(Options{Bind: "127.0.0.1:0", Dispatcher: f, Authenticate: tokens})
	if err != nil {
		t.Fatal(err)
	}
	s.times.read, s.times.heartbeat = 100*time.Millisecond, 20*time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	url := "http://" + s.Addr().String()
	status := make(chan int)
	go func() {
		r, _ := http.NewRequest(http.MethodPost, url+"/api/v1/slow", strings.NewReader(`{"n":1}`))
		r.Header.Set("Authorization", "Bearer ann")
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	waitFor(t, func() bool { return f.ran() == 1 })
	r := bufio.NewReader(listenTo(t, url+"/api/v1/tail", asAnn).Body)
	for range 20 { // well beyond it
		until(t, r, ": still here")
	}
	close(f.block)
	if code := <-status; code != 200 {
		t.Error("a slow request was answered with", code)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A server that stops ends streams with a reason, lets requests finish, and takes no new ones.
func TestStop(t *testing.T) {
	f := &fake{block: make(chan struct{})}
	s, err := Listen(Options{Bind: "127.0.0.1:0", Dispatcher: f, Authenticate: tokens})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	url := "http://" + s.Addr().String()
	r := bufio.NewReader(listenTo(t, url+"/api/v1/tail", asAnn).Body)
	c, _ := dial(t, url+"/api/v1/tail", &websocket.DialOptions{Subprotocols: []string{"icn.v1", "icn.bearer.ann"}})
	until(t, r, "c3")
	slow := make(chan int, 1)
	go func() {
		q, _ := http.NewRequest(http.MethodPost, url+"/api/v1/slow", strings.NewReader(`{"n":1}`))
		q.Header.Set("Authorization", "Bearer ann")
		q.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			slow <- 0
			return
		}
		resp.Body.Close()
		slow <- resp.StatusCode
	}()
	waitFor(t, func() bool { return f.ran() >= 3 })
	stop()
	until(t, r, "the node is stopping")
	if _, end := drain(t, c); end.Code != websocket.StatusGoingAway || !strings.Contains(end.Reason, "stopping") {
		t.Error(end)
	}
	if w := do(s, "GET", "/api/v1/pages", "", asAnn); w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("Connection") != "close" {
		t.Error(w.Code, w.Header())
	}
	if w := do(s, "GET", "/readyz", ""); w.Code != 503 {
		t.Error(w.Code)
	}
	close(f.block)
	if code := <-slow; code != 200 {
		t.Error("a request in flight was answered with", code)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.Addr().String()); err == nil {
		t.Error("still listening")
	}
}

// A client that sends a message is told at once that nobody wants it, and has no stream any more.
func TestSocketTakesNoMessages(t *testing.T) {
	s, url := serve(t, &fake{}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url+"/api/v1/tail?after=c3", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer ann"}}}) //nolint:bodyclose // Dial leaves none open
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("%v", err)
	}
	gone := make(chan struct{})
	go func() { s.streams.running.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-ctx.Done():
		t.Error("the stream goes on")
	}
}
