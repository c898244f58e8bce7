package client

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// site is a gateway that knows logins, one read operation and one stream.
type site struct {
	t    *testing.T
	ann  api.Signer
	base string
	bend func(*loginWords) // what is to be signed is changed

	mu     sync.Mutex
	asked  []string // operations, with what they showed
	good   string   // the access token that is taken
	n      int
	events []string // the connections to the stream, by what they resume
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if r.URL.Path == "/api/v1/events" {
		s.stream(w, r)
		return
	}
	var q jsonrpc.Request
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		s.t.Error(err)
	}
	s.asked = append(s.asked, q.Method+" "+token)
	answer := func(v any) {
		raw, err := json.Marshal(v)
		if err != nil {
			s.t.Error(err)
		}
		b, _ := json.Marshal(jsonrpc.Response{ID: q.ID, Result: raw})
		_, _ = w.Write(b)
	}
	switch q.Method {
	case "auth.challenge":
		words := &loginWords{Purpose: purposeLogin, Audience: s.base, DID: s.ann.DID(), Device: s.ann.Device(), Nonce: [16]byte{1}, Expires: time.Now().Add(time.Minute).UnixMilli()}
		if s.bend != nil {
			s.bend(words)
		}
		answer(map[string]any{"challenge": "c", "message": codec.MustMarshal(words)})
	case "auth.verify", "auth.refresh":
		s.n++
		s.good = fmt.Sprintf("t%d", s.n)
		answer(map[string]any{"access_token": s.good, "refresh_token": "r" + s.good, "expires_in": 900, "did": s.ann.DID(), "session": "00", "scopes": []string{"x:y"}})
	case "auth.revoke":
		answer(map[string]any{"ended": 1})
	default:
		if token != s.good {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"unauthenticated","detail":"gateway: the token has ended"}`))
			return
		}
		answer(map[string]any{"phase": "running"})
	}
}

// stream tells two events and breaks off; then it goes on where it is asked to, and ends.
func (s *site) stream(w http.ResponseWriter, r *http.Request) {
	after := r.Header.Get("Last-Event-ID")
	s.events = append(s.events, after+"?"+r.URL.Query().Get("space"))
	w.Header().Set("Content-Type", "text/event-stream")
	if after == "" {
		_, _ = w.Write([]byte("retry: 3000\n\n: still here\n\nid: c1\ndata: {\"type\":\"one\"}\n\nid: c2\ndata: {\"type\":\"two\"}\n\nid: c3\ndata: {\"type\":\"half"))
		return
	}
	_, _ = w.Write([]byte("id: c3\ndata: {\"type\":\"three\"}\n\nevent: end\ndata: {}\n\n"))
}

func serveSite(t *testing.T, start func(*httptest.Server)) (*site, *httptest.Server) {
	s := &site{t: t, ann: identity.Derive("client", "ann")}
	h := httptest.NewUnstartedServer(s)
	start(h)
	s.base = h.URL
	t.Cleanup(h.Close)
	return s, h
}

func (s *site) member(opts ...Option) *Client {
	j, err := CreateJournal(filepath.Join(s.t.TempDir(), "signed.json"), s.ann.Device())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := Dial(s.t.Context(), s.base, append(opts, Member(s.ann, j))...)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func TestLoginIsRenewed(t *testing.T) {
	s, _ := serveSite(t, (*httptest.Server).Start)
	c := s.member()
	status := func() {
		t.Helper()
		if out, err := c.NodeStatus(t.Context()); err != nil || out.Phase != "running" {
			t.Fatal(out, err)
		}
	}
	status()
	status()
	s.good = "another" // the node has ended the token before its time
	status()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	want := []string{
		"auth.challenge ", "auth.verify ", "node.status t1", "node.status t1", "node.status t1", "auth.refresh ", "node.status t2", "auth.revoke t2",
	}
	if !slices.Equal(s.asked, want) {
		t.Errorf("asked %q, want %q", s.asked, want)
	}
}

// What is signed to log in is a login here, now, of this device.
func TestLoginMessageIsRead(t *testing.T) {
	mal := identity.Derive("client", "mal")
	s, _ := serveSite(t, (*httptest.Server).Start)
	for name, bend := range map[string]func(*loginWords){
		"purpose":  func(w *loginWords) { w.Purpose = "icn-record" },
		"audience": func(w *loginWords) { w.Audience = "https://bank.example" },
		"nobody":   func(w *loginWords) { w.Audience = "" },
		"did":      func(w *loginWords) { w.DID = mal.DID() },
		"device":   func(w *loginWords) { w.Device = mal.Device() },
		"nonce":    func(w *loginWords) { w.Nonce = [16]byte{} },
		"over":     func(w *loginWords) { w.Expires = time.Now().Add(-time.Second).UnixMilli() },
		"long":     func(w *loginWords) { w.Expires = time.Now().Add(time.Hour).UnixMilli() },
		"node":     func(w *loginWords) { w.Node = "did:icn:x" },
	} {
		s.bend, s.asked = bend, nil
		_, err := s.member().Session(t.Context())
		if why := api.ReasonOf(err); why == nil || why.Rule != "mismatch" || len(s.asked) != 1 {
			t.Errorf("%s: %v, asked %q", name, err, s.asked)
		}
	}
	s.bend = func(w *loginWords) { w.Node = record.DIDOf(mal.Device()) }
	if _, err := s.member(Node(s.ann.DID())).Session(t.Context()); api.KindOf(err) != api.Refused {
		t.Errorf("another node than the one that is known: %v", err)
	}
	if _, err := s.member(Audience("elsewhere")).Session(t.Context()); api.KindOf(err) != api.Refused {
		t.Errorf("another audience than the one that is known: %v", err)
	}
	if who, err := s.member().Session(t.Context()); err != nil || who.DID != s.ann.DID() {
		t.Errorf("%+v %v", who, err)
	}
}

func TestStreamGoesOn(t *testing.T) {
	s, _ := serveSite(t, (*httptest.Server).Start)
	c := s.member()
	c.t.(*gateway).pause = time.Millisecond
	var got []string
	err := c.EventStream(t.Context(), EventStreamIn{Space: api.Hash{1}}, func(e *EventStreamItem) error {
		got = append(got, e.Type)
		return nil
	})
	space := "?" + api.Hash{1}.String()
	if err != nil || !slices.Equal(got, []string{"one", "two", "three"}) || !slices.Equal(s.events, []string{space, "c2" + space}) {
		t.Errorf("%q by %q, %v", got, s.events, err)
	}
	stop := fmt.Errorf("enough")
	if err := c.EventStream(t.Context(), EventStreamIn{}, func(*EventStreamItem) error { return stop }); err != stop { //nolint:errorlint // the very error
		t.Error(err)
	}
}

func TestOnlyWhoProvesToBeTheNodeIsAsked(t *testing.T) {
	s, h := serveSite(t, (*httptest.Server).StartTLS)
	if _, err := s.member().NodeStatus(t.Context()); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "prove") || len(s.asked) > 0 {
		t.Errorf("%v, asked %q", err, s.asked)
	}
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	if _, err := s.member(RootCAs(pool)).NodeStatus(t.Context()); err != nil {
		t.Error(err)
	}
	for address, want := range map[string]string{
		"http://coop.example": "not protected", "https://": "want one like", "https://a.example/x": "nothing but the host", "https://u:p@a.example": "nothing but the host",
		"ftp://a.example": "want unix:PATH", "": "want unix:PATH",
	} {
		if _, err := Dial(t.Context(), address); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://COOP.example:443/"} {
		if _, err := Dial(t.Context(), address); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	if _, err := Dial(t.Context(), "http://coop.example", PlainHTTP()); err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), "unix:/x", PlainHTTP()); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
}

// A token goes where it was meant to go and nowhere else; what no node answers is said to be none.
func TestOtherAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirection was followed") }))
	defer elsewhere.Close()
	status, n := 0, 0
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(status)
	}))
	defer h.Close()
	c, err := Dial(t.Context(), h.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.t.(*gateway).pause = time.Microsecond
	for _, want := range []struct {
		status, attempts int
		kind             api.Kind
	}{{302, 1, api.Unsupported}, {307, 1, api.Unsupported}, {404, 1, api.NotFound}, {502, attempts, api.Unavailable}, {503, attempts, api.Unavailable}, {200, 1, api.Unsupported}} {
		status, n = want.status, 0
		if _, err := c.NodeStatus(t.Context()); api.KindOf(err) != want.kind || n != want.attempts {
			t.Errorf("%d: %v, after %d attempts", want.status, err, n)
		}
	}
	status, n = 503, 0
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.NodeStatus(ctx); api.KindOf(err) != api.Unavailable || n != 0 {
		t.Errorf("%v after %d attempts", err, n)
	}
	h.Close()
	if _, err := c.NodeStatus(t.Context()); api.KindOf(err) != api.Unavailable {
		t.Error(err)
	}
}
