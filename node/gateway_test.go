package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/edge/gateway"
	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

// served is a real kernel with every app, a space in it, and a gateway before it.
type served struct {
	t     *testing.T
	k     *kernel.Kernel
	g     *gateway.Server
	self  api.DID
	space string
	table []api.Operation
}

func serveTable(t *testing.T) *served {
	t.Helper()
	cfg := config.Defaults()
	cfg.Network.BindAddr, cfg.Store.Engine = "", "mem"
	id, err := identity.Generate(fixedEntropy{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { id.Close() })
	k, err := kernel.New(kernelOptions(&cfg, Options{}, id, app.Sessions{}, nil, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for !k.Ready() {
		time.Sleep(time.Millisecond)
	}
	s := &served{t: t, k: k, self: id.DID(), table: k.Operations()}
	s.g, err = gateway.New(gateway.Options{
		Dispatcher: k, Kept: k.EdgeLocal("gateway"), Authenticate: func(_ context.Context, bearer string) (*api.Call, error) {
			switch bearer {
			case "operator":
				return &api.Call{Actor: s.self, Scopes: []string{"*"}}, nil
			case "scopeless":
				return &api.Call{Actor: s.self, Scopes: []string{"nothing:read"}}, nil
			}
			return nil, api.Errorf("auth", api.Unauthenticated, "no such token")
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	signer := id.Signer()
	out, err := k.Call(t.Context(), &api.Call{Actor: signer.DID(), Signer: signer, Scopes: []string{"*"}, Wait: api.WaitFinal}, "space.create", json.RawMessage(`{"name":"Hours","currency":"hours"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Space string `json:"space"`
	}
	if err := json.Unmarshal(raw, &made); err != nil || made.Space == "" {
		t.Fatalf("%v: %s", err, raw)
	}
	s.space = made.Space
	return s
}

// do sends one request of an operation; in is the whole input, path fields among it.
func (s *served) do(op *api.Operation, in map[string]json.RawMessage, headers ...string) (int, string) {
	s.t.Helper()
	in = maps.Clone(in)
	target := gateway.Prefix + op.Path
	text := func(raw json.RawMessage) string {
		var v string
		if !utf8.Valid(raw) { // which encoding/json would put right
			return strings.Trim(string(raw), `["]`)
		}
		if json.Unmarshal(raw, &v) == nil {
			return v
		}
		return string(raw)
	}
	for _, part := range strings.Split(op.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			value := text(in[name])
			if value == "" {
				value = strings.Repeat("cd", 32) // an id as well as a text
			}
			target = strings.Replace(target, part, url.PathEscape(value), 1)
			delete(in, name)
		}
	}
	body := ""
	if op.Method == http.MethodGet || op.Method == http.MethodDelete {
		q := url.Values{}
		for name, raw := range in {
			var list []json.RawMessage
			if utf8.Valid(raw) && json.Unmarshal(raw, &list) == nil && list != nil {
				for _, e := range list {
					q.Add(name, text(e))
				}
				continue
			}
			q.Set(name, text(raw))
		}
		target += "?" + q.Encode()
	} else {
		var b strings.Builder
		b.WriteString("{")
		for i, name := range slices.Sorted(maps.Keys(in)) {
			if i > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, "%q:%s", name, string(in[name])) // not marshalled, since some of it is meant to be wrong
		}
		body = b.String() + "}"
	}
	return s.raw(op, target, body, headers...)
}

func (s *served) raw(op *api.Operation, target, body string, headers ...string) (int, string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, op.Method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	if op.Kind == api.Stream {
		r.Header.Set("Accept", "text/event-stream")
	}
	r.Header.Set("Authorization", "Bearer operator")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	s.g.ServeHTTP(w, r)
	if w.Code >= 400 {
		var p openapi.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.Code == "" || p.Detail == "" {
			s.t.Errorf("%s %s %s: %d without a problem: %s", op.Name, target, shorten(body), w.Code, w.Body)
		}
	}
	return w.Code, w.Body.String()
}

func shorten(s string) string { return s[:min(len(s), 200)] }

// digest is everything that the node holds.
func (s *served) digest() string {
	s.t.Helper()
	op := s.op("state.digest")
	code, body := s.raw(op, gateway.Prefix+op.Path, "")
	if code != 200 {
		s.t.Fatal(code, body)
	}
	return body
}

func (s *served) op(name string) *api.Operation {
	i := slices.IndexFunc(s.table, func(op api.Operation) bool { return op.Name == name })
	return &s.table[i]
}

// inputFields lists the fields of an input by JSON name.
func inputFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && name != "" && name != "-" {
			out[name] = f.Type
		}
	}
	return out
}

// wrong lists values that no field of the type takes, as JSON.
func wrong(t reflect.Type) map[string]string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[api.Hash]() || t == reflect.TypeFor[api.Key]() {
		return map[string]string{"a short id": `"ab"`, "capitals": `"` + strings.Repeat("AB", 32) + `"`, "a list": `["a","b"]`, "an id too long": `"` + strings.Repeat("ab", 33) + `"`}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]string{"bad unicode": "\"\xff\xfe\"", "a list": `["a","b"]`}
	case reflect.Bool:
		return map[string]string{"a text": `"maybe"`, "a number": `2`}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]string{"not base64": `"???"`}
		}
		return map[string]string{"an object": `{"a":1}`, "bad unicode": "[\"\xff\"]"}
	}
	return map[string]string{"a text": `"many"`, "too large": `99999999999999999999999`, "far too large": `1e999`, "an object": `{"a":1}`}
}

// odd lists values that a field takes and an operation may not like.
func odd(t reflect.Type, name, self string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[api.Hash]() || t == reflect.TypeFor[api.Key]() {
		return []string{`""`, `"` + strings.Repeat("00", 32) + `"`, `"` + strings.Repeat("cd", 32) + `"`}
	}
	switch t.Kind() {
	case reflect.String:
		out := []string{`""`, `"\u0000"`, `"../../etc/passwd"`, `"` + strings.Repeat("ä", 3000) + `"`, `"did:icn:"`}
		if name != "path" { // a path to which a snapshot would be written
			out = append(out, `"x"`, `"`+self+`"`)
		}
		return out
	case reflect.Bool:
		return []string{"true"}
	case reflect.Slice:
		return []string{`[]`}
	}
	return []string{"0", "-1", "9223372036854775807", "-9223372036854775808", "255", "1"}
}

// Whatever is wrong with a request of whatever operation, the answer is a problem that is not the node's, and nothing has happened.
func TestNothingWrongIsDone(t *testing.T) {
	s := serveTable(t)
	before := s.digest()
	sent := 0
	for i := range s.table {
		op := &s.table[i]
		fields := inputFields(op.In)
		clean := map[string]json.RawMessage{}
		bad := func(what string, status int, body string) {
			sent++
			if status < 400 || status >= 500 {
				t.Errorf("%s, %s: %d %s", op.Name, what, status, shorten(body))
			}
		}
		is := func(what string, want, status int, body string) {
			sent++
			if status != want {
				t.Errorf("%s, %s: %d, want %d: %s", op.Name, what, status, want, shorten(body))
			}
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			for what, value := range wrong(fields[name]) {
				if strings.Contains(op.Path, "{"+name+"}") && (what == "a list" || what == "an object") {
					continue // in a path everything is a text
				}
				in := maps.Clone(clean)
				in[name] = json.RawMessage(value)
				status, body := s.do(op, in)
				bad(name+": "+what, status, body)
			}
		}
		extra := map[string]json.RawMessage{"surely_no_field": json.RawMessage("1")}
		if status, body := s.do(op, extra); status != 400 || !strings.Contains(body, "surely_no_field") && !strings.Contains(body, "in the path") {
			t.Errorf("%s, a field that it does not have: %d %s", op.Name, status, body)
		}
		status, body := s.do(op, clean, "Authorization: Bearer guessed")
		is("a token that is no good", 401, status, body)
		if op.Scope != "public" {
			status, body = s.do(op, clean, "Authorization: Bearer scopeless")
			is("a token without the scope", 403, status, body)
		}
		if op.Method != http.MethodGet && op.Method != http.MethodDelete {
			target := gateway.Prefix + strings.NewReplacer("{", "", "}", "").Replace(op.Path)
			for what, body := range map[string]string{"half": `{"a":`, "a list": `[]`, "null": "null", "a number": "7", "bad unicode": "{\"a\":\"\xff\"}", "deep": strings.Repeat("[", 50_000), "form": "a=b"} {
				status, got := s.raw(op, target, body)
				is("body: "+what, 400, status, got)
			}
			status, body = s.raw(op, target, `{"a":"`+strings.Repeat("x", 2<<20)+`"}`)
			is("a huge body", 413, status, body)
			status, body = s.raw(op, target, `{}`, "Content-Type: text/plain")
			is("another type", 415, status, body)
		}
		if op.Write {
			in := maps.Clone(clean)
			status, body = s.do(op, in, "Idempotency-Key: "+strings.Repeat("k", 65))
			is("a key too long", 400, status, body)
		}
	}
	if after := s.digest(); after != before {
		t.Errorf("something was done:\n%s\n%s", before, after)
	}
	t.Logf("%d requests to %d operations", sent, len(s.table))
}

// What is well formed and makes no sense is an error of the request as well, and a member's record is never made up by the gateway.
func TestOddInputs(t *testing.T) {
	s := serveTable(t)
	before := s.digest()
	for i := range s.table {
		op := &s.table[i]
		if op.Kind == api.Stream {
			continue // some go on for ever with odd inputs, as they should
		}
		fields := inputFields(op.In)
		inputs := []map[string]json.RawMessage{{}}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			for _, value := range odd(fields[name], name, string(s.self)) {
				inputs = append(inputs, map[string]json.RawMessage{name: json.RawMessage(value)})
			}
			if name == "space" {
				inputs = append(inputs, map[string]json.RawMessage{name: json.RawMessage(`"` + s.space + `"`)})
			}
		}
		for _, in := range inputs {
			status, body := s.do(op, in)
			// 501: the node holds nobody's key over HTTP, or has no peers in this test. 503: nor addresses.
			if status >= 500 && status != http.StatusNotImplemented && status != http.StatusServiceUnavailable {
				t.Errorf("%s %s: %d %s", op.Name, in, status, shorten(body))
			}
			if status == http.StatusServiceUnavailable && !strings.HasPrefix(op.Name, "peer.") && !strings.HasPrefix(op.Name, "space.") && !strings.HasPrefix(op.Name, "key.") {
				t.Errorf("%s %s: %d %s", op.Name, in, status, shorten(body))
			}
		}
	}
	if after := s.digest(); after != before {
		t.Errorf("something was done:\n%s\n%s", before, after)
	}
}

func TestGatewayReads(t *testing.T) {
	s := serveTable(t)
	for name, want := range map[string]string{"ledger.balance": `"balance":0`, "member.list": string(s.self), "node.status": `"phase":"running"`, "space.list": s.space} {
		in := map[string]json.RawMessage{}
		if name == "ledger.balance" {
			in["did"] = json.RawMessage(`"` + string(s.self) + `"`)
		}
		if code, body := s.do(s.op(name), in); code != 200 || !strings.Contains(strings.ReplaceAll(body, " ", ""), want) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	// A write that the member would have to sign is not signed here.
	code, body := s.do(s.op("ledger.transfer"), map[string]json.RawMessage{"to": json.RawMessage(`"` + string(s.self) + `"`), "currency": json.RawMessage(`"hours"`), "amount": json.RawMessage("1")})
	if code < 400 || code == 500 {
		t.Error(code, body)
	}
}

// A node does not start half: a port that is taken and a certificate that is none are the operator's to put right.
func TestGatewayRefusesToStart(t *testing.T) {
	l := httptest.NewServer(http.NotFoundHandler())
	defer l.Close()
	for want, change := range map[string]func(*config.Gateway){
		"--gateway-bind": func(g *config.Gateway) { g.Bind = l.Listener.Addr().String() },
		"no/such.pem":    func(g *config.Gateway) { g.Bind, g.TLSCert, g.TLSKey = "127.0.0.1:0", "no/such.pem", "no/such.key" },
	} {
		cfg := testConfig(t)
		cfg.Gateway.Enable = true
		change(&cfg.Gateway)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := Run(ctx, cfg, Options{Passphrase: with(secret)})
		cancel()
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), want) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
