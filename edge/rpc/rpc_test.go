package rpc

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

type addIn struct {
	A    int64 `json:"a,omitempty" doc:"first number"`
	B    int64 `json:"b,omitempty"`
	Wait bool  `json:"wait,omitempty"`
}

type addOut struct {
	Sum         int64    `json:"sum"`
	Idempotency string   `json:"idempotency,omitempty"`
	Level       api.Wait `json:"level,omitempty"`
	Actor       api.DID  `json:"actor"`
	Scopes      []string `json:"scopes"`
}

type countIn struct {
	To     int  `json:"to,omitempty"`
	Follow bool `json:"follow,omitempty"`
}

type countItem struct {
	N int `json:"n"`
}

// fake is a dispatcher with a few operations that stand for what a kernel does.
type fake struct {
	ops     []api.Operation
	entered chan struct{} // one for each test.wait that began
}

func newFake() *fake {
	f := &fake{entered: make(chan struct{}, 2*MaxInFlight)}
	f.ops = []api.Operation{
		api.Handle(api.Operation{Name: "test.add", Write: true, Scope: "test:write", Summary: "Add two numbers"}, func(ctx context.Context, call *api.Call, in *addIn) (*addOut, error) {
			return &addOut{in.A + in.B, call.Idempotency, call.Wait, call.Actor, call.Scopes}, nil
		}),
		api.Handle(api.Operation{Name: "test.refuse", Scope: "test:read"}, func(context.Context, *api.Call, *struct{}) (*struct{}, error) {
			return nil, api.Refusal("test.refuse", &api.Reason{Domain: "test", Rule: "never", Text: "Never.", Remedy: "do not ask"})
		}),
		api.Handle(api.Operation{Name: "test.panic"}, func(context.Context, *api.Call, *struct{}) (*struct{}, error) { panic("boom") }),
		api.Handle(api.Operation{Name: "test.big"}, func(context.Context, *api.Call, *struct{}) (*string, error) {
			s := strings.Repeat("x", jsonrpc.MaxMessage)
			return &s, nil
		}),
		api.Handle(api.Operation{Name: "test.wait"}, func(ctx context.Context, _ *api.Call, _ *struct{}) (*struct{}, error) {
			f.entered <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		}),
		api.HandleStream(api.Operation{Name: "test.count"}, func(ctx context.Context, _ *api.Call, in *countIn, emit func(*countItem) error) error {
			for n := 1; n <= in.To; n++ {
				if err := emit(&countItem{n}); err != nil {
					return err
				}
			}
			if in.Follow {
				f.entered <- struct{}{}
				<-ctx.Done()
			}
			return nil
		}),
	}
	return f
}

func (f *fake) Operations() []api.Operation { return f.ops }

func (f *fake) Call(ctx context.Context, call *api.Call, name string, raw json.RawMessage, emit func(any) error) (any, error) {
	for _, op := range f.ops {
		if op.Name == name {
			in, err := op.Decode(raw)
			if err != nil {
				return nil, err
			}
			return op.Do(ctx, call, in, emit)
		}
	}
	return nil, api.Errorf(name, api.NotFound, "no such operation")
}

type rig struct {
	t    *testing.T
	f    *fake
	path string
	reg  *obs.Registry
	stop func() error // ends the server and returns Serve's error
}

func start(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "rpc") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, f: newFake(), path: filepath.Join(dir, "icnd.sock"), reg: obs.NewRegistry()}
	s, err := Listen(Options{
		Path: r.path, Dispatcher: r.f, Metrics: r.reg, Log: slog.New(slog.DiscardHandler),
		Caller: func() *api.Call { return &api.Call{Actor: "did:icn:me", Scopes: []string{"*"}} },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.drain = 10 * time.Millisecond // calls that never end are part of these tests
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// peer is a client that speaks raw lines.
type peer struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (r *rig) dial() *peer {
	r.t.Helper()
	c, err := net.Dial("unix", r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return &peer{r.t, c, bufio.NewReader(c)}
}

func (p *peer) send(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p, strings.Join(lines, "\n")+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) recv() string {
	p.t.Helper()
	s, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("after %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

func (p *peer) expect(want string) {
	p.t.Helper()
	if got := p.recv(); got != want {
		p.t.Errorf("got  %s\nwant %s", got, want)
	}
}

// expectCode reads a response and compares its id, error code and data code.
func (p *peer) expectCode(id string, code int, text string) {
	p.t.Helper()
	line := p.recv()
	var r jsonrpc.Reply
	if err := json.Unmarshal([]byte(line), &r); err != nil || r.Error == nil {
		p.t.Fatalf("%s: %v", line, err)
	}
	got := string(r.ID)
	if r.ID == nil {
		got = "null"
	}
	if got != id || r.Error.Code != code || !strings.Contains(r.Error.Message, text) {
		p.t.Errorf("got %s\nwant id %s, code %d, text %q", line, id, code, text)
	}
}

func TestCalls(t *testing.T) {
	p := start(t).dial()
	const who = `"actor":"did:icn:me","scopes":["*"]`
	for _, c := range []struct{ in, out string }{
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"a":1,"b":2}}`, `{"jsonrpc":"2.0","id":1,"result":{"sum":3,` + who + `}}`},
		{`{"jsonrpc":"2.0","id":"x","method":"test.add"}`, `{"jsonrpc":"2.0","id":"x","result":{"sum":0,` + who + `}}`},
		{
			`{"jsonrpc":"2.0","id":2,"method":"test.add","params":{"a":9007199254740993,"_idempotency":"k1","_wait":"final"}}`,
			`{"jsonrpc":"2.0","id":2,"result":{"sum":9007199254740993,"idempotency":"k1","level":"final",` + who + `}}`,
		},
		{
			`{"jsonrpc":"2.0","id":3,"method":"test.refuse"}`,
			`{"jsonrpc":"2.0","id":3,"error":{"code":-32003,"message":"test.refuse: Never. (do not ask)","data":{"code":"refused","op":"test.refuse","reason":{"domain":"test","rule":"never","text":"Never.","remedy":"do not ask"}}}}`,
		},
		{
			`[{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"a":1}},{"jsonrpc":"2.0","method":"test.add"},{"jsonrpc":"2.0","id":2,"method":"test.add","params":{"b":5}}]`,
			`[{"jsonrpc":"2.0","id":1,"result":{"sum":1,` + who + `}},{"jsonrpc":"2.0","id":2,"result":{"sum":5,` + who + `}}]`,
		},
		{`{"jsonrpc":"2.0","id":4,"method":"test.count","params":{"to":2}}`, `{"jsonrpc":"2.0","method":"stream","params":{"id":4,"item":{"n":1}}}`},
		{``, `{"jsonrpc":"2.0","method":"stream","params":{"id":4,"item":{"n":2}}}`},
		{``, `{"jsonrpc":"2.0","id":4,"result":null}`},
	} {
		if c.in != "" {
			p.send(c.in)
		}
		p.expect(c.out)
	}
}

func TestBadRequests(t *testing.T) {
	p := start(t).dial()
	for _, c := range []struct {
		in, id string
		code   int
		text   string
	}{
		{`{"jsonrpc":"2.0"`, "null", jsonrpc.CodeParse, "not JSON"},
		{`{"id":1,"method":"test.add"}`, "1", jsonrpc.CodeInvalidRequest, "jsonrpc"},
		{`[]`, "null", jsonrpc.CodeInvalidRequest, "batch"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.nothing"}`, "1", jsonrpc.CodeNoMethod, "test.nothing"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":[1,2]}`, "1", -32602, "one object"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"c":1}}`, "1", -32602, `unknown field "c"`},
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"a":"one"}}`, "1", -32602, `field "a"`},
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"_wait":"soon"}}`, "1", -32602, `"soon"`},
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"_wait":1}}`, "1", -32602, "want a text"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"_idempotency":""}}`, "1", -32602, "1 to 64"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"_idempotency":"` + strings.Repeat("k", 65) + `"}}`, "1", -32602, "65 characters"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.refuse","params":{"_idempotency":"k"}}`, "1", -32602, "writes nothing"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.panic"}`, "1", -32603, "log"},
		{`{"jsonrpc":"2.0","id":1,"method":"test.big"}`, "1", -32013, "limit"},
		{`{"jsonrpc":"2.0","method":"test.count"}`, "null", jsonrpc.CodeInvalidRequest, "needs an id"},
		{`{"jsonrpc":"2.0","id":1,"method":"rpc.cancel","params":{}}`, "1", -32602, "call in flight"},
	} {
		p.send(c.in)
		p.expectCode(c.id, c.code, c.text)
	}
	// A notification is never answered, even when it fails: the next answer is the next request's.
	p.send(`{"jsonrpc":"2.0","method":"test.refuse"}`, `{"jsonrpc":"2.0","method":"test.nothing"}`, `{"jsonrpc":"2.0","id":9,"method":"test.refuse"}`)
	p.expectCode("9", -32003, "Never")
	p.send(`[{"jsonrpc":"2.0","id":1,"method":"test.count"}]`)
	if got := p.recv(); !strings.Contains(got, "cannot stand in a batch") {
		t.Error(got)
	}
}

func TestCancel(t *testing.T) {
	r := start(t)
	p := r.dial()
	p.send(`{"jsonrpc":"2.0","id":1,"method":"test.wait"}`)
	<-r.f.entered
	p.send(`{"jsonrpc":"2.0","id":1,"method":"test.add"}`)
	p.expectCode("1", jsonrpc.CodeInvalidRequest, "in use")
	p.send(`{"jsonrpc":"2.0","id":2,"method":"rpc.cancel","params":{"id":1}}`)
	got := map[string]bool{p.recv(): true, p.recv(): true}
	if !got[`{"jsonrpc":"2.0","id":2,"result":{"canceled":true}}`] {
		t.Error(got)
	}
	p.send(`{"jsonrpc":"2.0","id":3,"method":"rpc.cancel","params":{"id":1}}`)
	p.expect(`{"jsonrpc":"2.0","id":3,"result":{"canceled":false}}`)

	// A stream that follows ends without an error when it is cancelled.
	p.send(`{"jsonrpc":"2.0","id":"s","method":"test.count","params":{"to":1,"follow":true}}`)
	p.expect(`{"jsonrpc":"2.0","method":"stream","params":{"id":"s","item":{"n":1}}}`)
	<-r.f.entered
	p.send(`{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":"s"}}`)
	p.expect(`{"jsonrpc":"2.0","id":"s","result":null}`)
}

func TestTooManyCallsAreRefused(t *testing.T) {
	r := start(t)
	p := r.dial()
	for i := range MaxInFlight {
		p.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"test.wait"}`, i+1))
		<-r.f.entered
	}
	p.send(`{"jsonrpc":"2.0","id":"extra","method":"test.add"}`)
	p.expectCode(`"extra"`, -32029, "64 calls")
	p.send(`{"jsonrpc":"2.0","id":"c","method":"rpc.cancel","params":{"id":1}}`)
	p.recv()
	p.recv()
	p.send(`{"jsonrpc":"2.0","id":"again","method":"test.add"}`)
	if got := p.recv(); !strings.Contains(got, `"sum":0`) {
		t.Error(got)
	}
}

func TestEveryRequestOfAFloodIsAnswered(t *testing.T) {
	p := start(t).dial()
	const flood = 5000
	go func() {
		for i := range flood {
			fmt.Fprintf(p, `{"jsonrpc":"2.0","id":%d,"method":"test.add","params":{"a":%d}}`+"\n", i, i)
		}
	}()
	seen := map[string]bool{}
	for range flood {
		var a jsonrpc.Reply
		if err := json.Unmarshal([]byte(p.recv()), &a); err != nil {
			t.Fatal(err)
		}
		if seen[string(a.ID)] || (a.Error != nil && a.Error.Code != api.RateLimited.RPCCode()) {
			t.Fatalf("%s twice, or %+v", a.ID, a.Error)
		}
		seen[string(a.ID)] = true
		if a.Error == nil && !strings.Contains(string(a.Result), `{"sum":`+string(a.ID)+",") {
			t.Fatalf("%s: %s", a.ID, a.Result)
		}
	}
}

func TestOversizeEndsTheConnection(t *testing.T) {
	p := start(t).dial()
	go func() {
		// The server hangs up before all of it is read, so an error here is the expected end.
		io.WriteString(p, `{"jsonrpc":"2.0","id":1,"method":"test.add","params":{"x":"`)
		io.WriteString(p, strings.Repeat("x", jsonrpc.MaxMessage)+"\n")
	}()
	p.expectCode("null", -32013, "8388608 bytes")
	if _, err := p.r.ReadByte(); err == nil {
		t.Error("the connection is still open")
	}
}

func TestHalfClose(t *testing.T) {
	p := start(t).dial()
	p.send(`{"jsonrpc":"2.0","id":1,"method":"test.count","params":{"to":500}}`)
	if err := p.Conn.(*net.UnixConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.r)
	if err != nil || strings.Count(string(out), "\n") != 501 || !strings.HasSuffix(string(out), `"result":null}`+"\n") {
		t.Errorf("%v: %d bytes, ends %.80q", err, len(out), out[max(0, len(out)-80):])
	}
}

func TestStopDrains(t *testing.T) {
	r := start(t)
	p := r.dial()
	p.send(`{"jsonrpc":"2.0","id":1,"method":"test.count","params":{"follow":true}}`)
	<-r.f.entered
	if v, _ := r.reg.Value("icn_rpc_connections"); v != 1 {
		t.Errorf("icn_rpc_connections = %v", v)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"jsonrpc":"2.0","id":1,"result":null}`)
	if _, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if _, err := os.Lstat(r.path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	if v, _ := r.reg.Value("icn_rpc_connections"); v != 0 {
		t.Errorf("icn_rpc_connections = %v", v)
	}
}

func TestTooManyConnections(t *testing.T) {
	r := start(t)
	for range MaxConnections {
		r.dial().send(`{"jsonrpc":"2.0","id":1,"method":"test.wait"}`)
		<-r.f.entered
	}
	r.dial().expectCode("null", -32053, "64 connections")
}

func TestSocket(t *testing.T) {
	r := start(t)
	info, err := os.Stat(r.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	listen := func(path string) error {
		s, err := Listen(Options{Path: path, Dispatcher: r.f, Caller: func() *api.Call { return &api.Call{} }})
		if err == nil {
			s.Close()
			s.Close()
		}
		return err
	}
	if err := listen(r.path); api.KindOf(err) != api.Conflict {
		t.Errorf("a second server on a live socket: %v", err)
	}
	dir := filepath.Dir(r.path)
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := listen(stale); err != nil {
		t.Errorf("a stale socket: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := listen(file); api.KindOf(err) != api.Invalid {
		t.Errorf("a file in the way: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "keep" {
		t.Error("the file in the way was touched")
	}
	if err := listen(filepath.Join(dir, strings.Repeat("x", 120))); api.KindOf(err) != api.Invalid {
		t.Errorf("a long path: %v", err)
	}
	if err := listen(filepath.Join(dir, "no", "such")); api.KindOf(err) != api.Unavailable {
		t.Errorf("a missing directory: %v", err)
	}
}

func TestDiscover(t *testing.T) {
	p := start(t).dial()
	p.send(`{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}`)
	var r struct {
		Result Discovery `json:"result"`
	}
	if err := json.Unmarshal([]byte(p.recv()), &r); err != nil {
		t.Fatal(err)
	}
	add := r.Result.Operations[0]
	in, _ := json.Marshal(add.In)
	const want = `{"type":"object","properties":{"a":{"type":"integer","format":"int64","description":"First number"},"b":{"type":"integer","format":"int64"},"wait":{"type":"boolean"}},"additionalProperties":false}`
	if add.Name != "test.add" || !add.Write || add.Scope != "test:write" || string(in) != want {
		t.Errorf("%+v\n%s", add, in)
	}
	if string(add.Out) != `{"$ref":"#/components/schemas/RpcAddOut"}` || len(r.Result.Components.Schemas["RpcAddOut"]) == 0 {
		t.Errorf("%s is not among %v", add.Out, r.Result.Components)
	}
	if last := r.Result.Operations[5]; last.Kind != "stream" {
		t.Errorf("%+v", last)
	}
}
