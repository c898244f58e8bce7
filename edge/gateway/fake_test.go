package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/kernel/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a dispatcher with an operation of each kind.
type fake struct {
	mu    sync.Mutex
	calls []string // what ran: operation and input
	last  *api.Call

	block chan struct{} // slow.write waits for it
	fill  int           // items that flood sends
	cut   chan struct{} // closed when flood may send no more
}

type noIn struct{}

type echoIn struct {
	ID    api.Hash  `json:"id,omitzero"`
	Text  string    `json:"text,omitempty"`
	N     int8      `json:"n,omitempty"`
	U     uint16    `json:"u,omitempty"`
	F     float64   `json:"f,omitempty"`
	On    bool      `json:"on,omitempty"`
	Opt   *int      `json:"opt,omitempty"`
	Many  []string  `json:"many,omitempty"`
	Nums  []int     `json:"nums,omitempty"`
	Raw   []byte    `json:"raw,omitempty"`
	At    time.Time `json:"at,omitzero"`
	Limit int       `json:"limit,omitempty"`
}

type pageIn struct {
	Cursor string `json:"cursor,omitempty"`
	Pad    int    `json:"pad,omitempty"`
}

type pageOut struct {
	Cursor string `json:"cursor,omitempty"`
	Pad    string `json:"pad,omitempty"`
}

type tailIn struct {
	After string `json:"after,omitempty"`
	Mode  string `json:"mode,omitempty"`
}

type tailItem struct {
	Cursor string `json:"cursor"`
	Text   string `json:"text"`
}

type filePart struct {
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
	Data []byte `json:"data"`
}

func (p *filePart) FilePart() (name, mediaType string, data []byte) { return p.Name, p.Type, p.Data }

func (f *fake) Operations() []api.Operation {
	echo := func(_ context.Context, _ *api.Call, in *echoIn) (*echoIn, error) { return in, nil }
	return []api.Operation{
		api.Handle(api.Operation{Name: "echo.get", Method: "GET", Path: "/echo/{text}", Scope: "echo:read"}, echo),
		api.Handle(api.Operation{Name: "echo.put", Method: "PUT", Path: "/echo/{text}", Scope: "echo:write", Write: true}, echo),
		api.Handle(api.Operation{Name: "echo.drop", Method: "DELETE", Path: "/echo/{text}", Scope: "echo:write", Write: true}, echo),
		api.Handle(api.Operation{Name: "echo.post", Method: "POST", Path: "/echo", Scope: "echo:write", Write: true}, echo),
		api.Handle(api.Operation{Name: "open.login", Method: "POST", Path: "/open", Scope: "public", Write: true}, echo),
		api.Handle(api.Operation{Name: "page.list", Kind: api.List, Method: "GET", Path: "/pages", Scope: "echo:read"}, func(_ context.Context, _ *api.Call, in *pageIn) (*pageOut, error) {
			out := &pageOut{Pad: strings.Repeat("x", in.Pad)}
			if in.Cursor == "" {
				out.Cursor = "a b&c"
			}
			return out, nil
		}),
		api.Handle(api.Operation{Name: "fail.refused", Method: "POST", Path: "/fail/refused", Scope: "echo:write", Write: true}, func(context.Context, *api.Call, *noIn) (*noIn, error) {
			return nil, &api.Error{Op: "fail.refused", Kind: api.Refused, Refusal: "r1", Reason: refusal, Err: refusal}
		}),
		api.Handle(api.Operation{Name: "fail.inside", Method: "GET", Path: "/fail/inside", Scope: "echo:read"}, func(context.Context, *api.Call, *noIn) (*noIn, error) {
			return nil, errors.New("the secret of the house")
		}),
		api.Handle(api.Operation{Name: "fail.panic", Method: "GET", Path: "/fail/panic", Scope: "echo:read"}, func(context.Context, *api.Call, *noIn) (*noIn, error) {
			panic("the secret of the house")
		}),
		api.Handle(api.Operation{Name: "slow.write", Method: "POST", Path: "/slow", Scope: "echo:write", Write: true}, func(ctx context.Context, _ *api.Call, in *echoIn) (*echoIn, error) {
			select {
			case <-f.block:
				return in, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}),
		api.HandleStream(api.Operation{Name: "file", Method: "GET", Path: "/file", Scope: "echo:read"}, func(_ context.Context, _ *api.Call, in *tailIn, emit func(*filePart) error) error {
			if in.Mode == "refuse" {
				return api.Refusal("file", refusal)
			}
			for i := range 3 {
				part := &filePart{Data: []byte(strings.Repeat(strconv.Itoa(i), 100_000))}
				if i == 0 {
					part.Name, part.Type = `a "b".csv`, "text/csv"
				}
				if err := emit(part); err != nil || in.Mode == "fail" && i == 1 {
					return cmp.Or(err, errors.New("the secret of the house"))
				}
			}
			return nil
		}),
		api.HandleStream(api.Operation{Name: "tail", Method: "GET", Path: "/tail", Scope: "echo:read"}, f.tail),
	}
}

var refusal = &api.Reason{Domain: "house", Rule: "full", Text: "the house is full", Inputs: map[string]string{"guests": "9"}, Remedy: "come tomorrow"}

// tail says what it was given after, or behaves as its mode says.
func (f *fake) tail(ctx context.Context, _ *api.Call, in *tailIn, emit func(*tailItem) error) error {
	switch in.Mode {
	case "refuse":
		return api.Refusal("tail", refusal)
	case "panic":
		panic("the secret of the house")
	case "flood":
		for range f.fill {
			if err := emit(&tailItem{Cursor: "f", Text: strings.Repeat("x", 64<<10)}); err != nil {
				close(f.cut)
				return err
			}
		}
		return nil
	}
	for _, c := range []string{"c1", "c2", "c3"} {
		if c <= in.After {
			continue
		}
		if err := emit(&tailItem{Cursor: c, Text: "item\n" + c}); err != nil {
			return err
		}
	}
	switch in.Mode {
	case "end":
		return nil
	case "fail":
		return api.Refusal("tail", refusal)
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Call(ctx context.Context, call *api.Call, name string, raw json.RawMessage, emit func(any) error) (any, error) {
	for _, op := range f.Operations() {
		if op.Name != name {
			continue
		}
		if !call.Can(op.Scope) {
			return nil, api.Refusal(name, &api.Reason{Domain: "kernel", Rule: "scope", Text: "this needs the scope " + op.Scope})
		}
		in, err := op.Decode(raw)
		if err != nil {
			return nil, err
		}
		f.mu.Lock()
		f.calls, f.last = append(f.calls, name+" "+string(raw)), call
		f.mu.Unlock()
		return op.Do(ctx, call, in, emit)
	}
	return nil, api.Errorf(name, api.NotFound, "no such operation")
}

func (f *fake) ran() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

func (f *fake) lastCall() api.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return *f.last
}

// tokens knows ann, ben, a reader, and tokens that are not good.
func tokens(_ context.Context, bearer string) (*api.Call, error) {
	switch bearer {
	case "ann", "ben":
		return &api.Call{Actor: api.DID("did:icn:" + bearer), Scopes: []string{"echo:*"}}, nil
	case "reader":
		return &api.Call{Actor: "did:icn:reader", Scopes: []string{"echo:read"}}, nil
	case "down":
		return nil, api.Errorf("auth", api.Unavailable, "not now")
	}
	return nil, api.Errorf("auth", api.Unauthenticated, "the token has expired")
}

type memory struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (m *memory) Put(key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[string][]byte{}
	}
	m.m[key] = bytes.Clone(value)
	return nil
}

func (m *memory) Delete(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.m, key)
	return nil
}

func (m *memory) Each(prefix string, fn func(string, []byte) bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.m {
		if strings.HasPrefix(k, prefix) && !fn(k, bytes.Clone(v)) {
			return nil
		}
	}
	return nil
}

// newServer returns a server of f with tokens, and what else the options say.
func newServer(t *testing.T, f *fake, change func(*Options)) *Server {
	t.Helper()
	o := Options{Dispatcher: f, Authenticate: tokens}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(nil) })
	return s
}

// do sends one request; headers are "Name: value".
func do(s *Server, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// problem reads a problem, and checks that it is one.
func problem(t *testing.T, w *httptest.ResponseRecorder) openapi.Problem {
	t.Helper()
	var p openapi.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("status %d, not a problem: %v\n%s", w.Code, err, w.Body)
	}
	if w.Header().Get("Content-Type") != "application/problem+json" || p.Status != w.Code || p.Code == "" || p.Title == "" || p.Type != "urn:icn:problem:"+p.Code {
		t.Errorf("incomplete problem %+v, headers %v", p, w.Header())
	}
	return p
}

const asAnn = "Authorization: Bearer ann"

// turnAway limits whoever is named, and addresses under "".
func turnAway(who ...api.DID) func(api.DID, netip.Addr) (time.Duration, *api.Reason) {
	return func(actor api.DID, _ netip.Addr) (time.Duration, *api.Reason) {
		for _, w := range who {
			if w == actor {
				return 1500 * time.Millisecond, &api.Reason{Domain: "house", Rule: "rate", Text: "too often"}
			}
		}
		return 0, nil
	}
}

func read(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func doRequest(s *Server, r *http.Request) *httptest.ResponseRecorder {
	r.Header.Set("Authorization", "Bearer ann")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
