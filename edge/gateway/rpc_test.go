package gateway

import (
	"strings"
	"testing"
)

func TestRPC(t *testing.T) {
	f := &fake{}
	s := newServer(t, f, nil)
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		want       []string // parts of the body; none: no body
	}{
		{"a call", `{"jsonrpc":"2.0","id":1,"method":"echo.post","params":{"n":1}}`, []string{asAnn}, 200, []string{`"id":1`, `"result":{"n":1}`}},
		{
			"a batch", `[{"jsonrpc":"2.0","id":1,"method":"echo.post","params":{"n":1}},{"jsonrpc":"2.0","method":"echo.post"},{"jsonrpc":"2.0","id":"b","method":"nope"}]`,
			[]string{asAnn},
			200,
			[]string{`[{`, `"id":1`, `"id":"b"`, "-32601"},
		},
		{"notification", `{"jsonrpc":"2.0","method":"echo.post","params":{"n":1}}`, []string{asAnn}, 204, nil},
		{"not JSON", `{`, []string{asAnn}, 200, []string{"-32700"}},
		{"empty", ``, []string{asAnn}, 200, []string{"-32700"}},
		{"empty batch", `[]`, []string{asAnn}, 200, []string{"-32600"}},
		{"bad params", `{"jsonrpc":"2.0","id":1,"method":"echo.post","params":{"colour":1}}`, []string{asAnn}, 200, []string{"-32602", "colour", `"code":"invalid"`}},
		{"a refusal", `{"jsonrpc":"2.0","id":1,"method":"fail.refused"}`, []string{asAnn}, 200, []string{"-32003", `"refusal":"r1"`, `"rule":"full"`}},
		{"a panic", `{"jsonrpc":"2.0","id":1,"method":"fail.panic"}`, []string{asAnn}, 200, []string{"-32603"}},
		{"an error inside", `{"jsonrpc":"2.0","id":1,"method":"fail.inside"}`, []string{asAnn}, 200, []string{"-32603"}},
		{"a stream", `{"jsonrpc":"2.0","id":1,"method":"tail"}`, []string{asAnn}, 200, []string{"-32600", "GET /tail"}},
		{"cancel", `{"jsonrpc":"2.0","id":1,"method":"rpc.cancel","params":{"id":1}}`, []string{asAnn}, 200, []string{"-32601"}},
		{"discover", `{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}`, nil, 200, []string{"echo.post"}},
		{"public", `{"jsonrpc":"2.0","id":1,"method":"open.login","params":{"n":1}}`, nil, 200, []string{`"n":1`}},
		{"no token", `{"jsonrpc":"2.0","id":1,"method":"echo.post"}`, nil, 200, []string{"-32001"}},
		{"dead token", `{"jsonrpc":"2.0","id":1,"method":"open.login"}`, []string{"Authorization: Bearer old"}, 401, []string{"unauthenticated"}},
		{"a form", `a=b`, []string{asAnn, "Content-Type: text/plain"}, 415, []string{"unsupported-media-type"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(s, "POST", "/rpc", c.body, c.headers...)
			if w.Code != c.status || (c.want == nil) != (w.Body.Len() == 0) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for _, part := range c.want {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("%s lacks %s", w.Body, part)
				}
			}
			if strings.Contains(w.Body.String(), "secret of the house") {
				t.Error(w.Body)
			}
		})
	}
	limited := newServer(t, f, func(o *Options) { o.Limit = turnAway("did:icn:ann") })
	before := f.ran()
	if w := do(limited, "POST", "/rpc", `[{"jsonrpc":"2.0","id":1,"method":"echo.post"},{"jsonrpc":"2.0","id":2,"method":"echo.post"}]`, asAnn); strings.Count(w.Body.String(), "-32029") != 2 || f.ran() != before {
		t.Error("a batch is no way around the rate", w.Body)
	}
	if w := do(s, "GET", "/rpc", "", asAnn); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Error(w.Code, w.Header())
	}
}
