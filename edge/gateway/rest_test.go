package gateway

import (
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

func TestDecode(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for _, c := range []struct {
		name, method, target, body string
		status                     int
		want                       string // the output, or a part of the problem's detail
	}{
		{"path", "GET", "/api/v1/echo/a%2Fb%20c", "", 200, `{"text":"a/b c"}`},
		{
			"every type", "GET", "/api/v1/echo/x?id=" + id + "&n=-128&u=65535&f=0.5&on=true&opt=0&many=a&many=b&nums=1&nums=2&raw=aGk=&at=2026-01-02T03:04:05Z", "", 200,
			`{"id":"` + id + `","text":"x","n":-128,"u":65535,"f":0.5,"on":true,"opt":0,"many":["a","b"],"nums":[1,2],"raw":"aGk=","at":"2026-01-02T03:04:05Z"}`,
		},
		{"delete", "DELETE", "/api/v1/echo/x?n=1", "", 200, `{"text":"x","n":1}`},
		{"body", "POST", "/api/v1/echo", `{"n":1,"many":["ö"]}`, 200, `{"n":1,"many":["ö"]}`},
		{"body and path", "PUT", "/api/v1/echo/x", `{"n":1}`, 200, `{"text":"x","n":1}`},
		{"no body", "POST", "/api/v1/echo", "", 200, `{}`},

		{"unknown parameter", "GET", "/api/v1/echo/x?colour=red", "", 400, `query parameter "colour": unknown`},
		{"path field in the query", "GET", "/api/v1/echo/x?text=y", "", 400, `"text"`},
		{"wait where nothing is written", "GET", "/api/v1/echo/x?wait=final", "", 400, `"wait"`},
		{"not a number", "GET", "/api/v1/echo/x?n=many", "", 400, `query parameter n: got "many", want a whole number of at most 8 bits`},
		{"overflow", "GET", "/api/v1/echo/x?n=128", "", 400, "query parameter n"},
		{"below nothing", "GET", "/api/v1/echo/x?u=-1", "", 400, "0 or more"},
		{"no finite number", "GET", "/api/v1/echo/x?f=NaN", "", 400, "query parameter f"},
		{"not a truth", "GET", "/api/v1/echo/x?on=yes", "", 400, "true or false"},
		{"no id", "GET", "/api/v1/echo/x?id=XYZ", "", 400, "query parameter id"},
		{"twice", "GET", "/api/v1/echo/x?n=1&n=2", "", 400, "query parameter n: given twice"},
		{"bad escape", "GET", "/api/v1/echo/x?n=%zz", "", 400, "query"},
		{"bad unicode in a query", "GET", "/api/v1/echo/x?many=%ff", "", 400, "not UTF-8"},
		{"bad unicode in a path", "GET", "/api/v1/echo/%ff", "", 400, "text in the path"},
		{"bad unicode in a body", "POST", "/api/v1/echo", "{\"text\":\"\xff\"}", 400, "not UTF-8"},
		{"body where none is taken", "GET", "/api/v1/echo/x", "{}", 400, "body: GET takes none"},
		{"query where a body is taken", "POST", "/api/v1/echo?n=1", "{}", 400, `query parameter "n"`},
		{"unknown field", "POST", "/api/v1/echo", `{"colour":1}`, 400, `field "colour": unknown`},
		{"a field's other spelling", "POST", "/api/v1/echo", `{"TEXT":"x"}`, 400, `field "TEXT": unknown`},
		{"field twice", "POST", "/api/v1/echo", `{"n":1,"n":2}`, 400, "field n: stands twice"},
		{"path field in the body", "PUT", "/api/v1/echo/x", `{"text":"y"}`, 400, "field text: it stands in the path"},
		{"wrong type", "POST", "/api/v1/echo", `{"n":"1"}`, 400, `field "n"`},
		{"wrong id", "POST", "/api/v1/echo", `{"id":"1"}`, 400, "field id"},
		{"fraction", "POST", "/api/v1/echo", `{"n":1.5}`, 400, `field "n"`},
		{"a list", "POST", "/api/v1/echo", `[]`, 400, "one JSON object"},
		{"null", "POST", "/api/v1/echo", `null`, 400, "one JSON object"},
		{"half", "POST", "/api/v1/echo", `{"n":1`, 400, "not JSON"},
		{"a comma too many", "POST", "/api/v1/echo", `{"n":1,}`, 400, "not JSON"},
		{"two", "POST", "/api/v1/echo", `{"n":1}{}`, 400, "after top-level value"},
		{"deep", "POST", "/api/v1/echo", `{"many":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400, ""},
		{"huge", "POST", "/api/v1/echo", `{"text":"` + strings.Repeat("x", 100_000) + `"}`, 413, "65536 bytes"},
		{"bad wait", "POST", "/api/v1/echo?wait=soon", "{}", 400, "query parameter wait"},
		{"good wait", "POST", "/api/v1/echo?wait=replicated(2)", "{}", 200, "{}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{}
			s := newServer(t, f, func(o *Options) { o.MaxBody = 1 << 16 })
			w := do(s, c.method, c.target, c.body, asAnn)
			if w.Code != c.status {
				t.Fatalf("status %d, want %d: %s", w.Code, c.status, w.Body)
			}
			if c.status == 200 {
				if got := w.Body.String(); got != c.want || w.Header().Get("Content-Type") != "application/json" {
					t.Errorf("got %s\nwant %s", got, c.want)
				}
				return
			}
			if p := problem(t, w); !strings.Contains(p.Detail, c.want) {
				t.Errorf("detail %q lacks %q", p.Detail, c.want)
			}
			if f.ran() != 0 {
				t.Error("it ran all the same")
			}
		})
	}
}

func TestProtocol(t *testing.T) {
	s := newServer(t, &fake{}, func(o *Options) {
		o.Limit = turnAway("did:icn:ben")
		o.Docs = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("docs")) })
	})
	for _, c := range []struct {
		name, method, target, body string
		headers                    []string
		status                     int
		code                       string
		header                     [2]string // name, value that it must hold
	}{
		{"nowhere", "GET", "/api/v1/nothing", "", nil, 404, "not-found", [2]string{}},
		{"the root", "GET", "/", "", nil, 404, "not-found", [2]string{}},
		{"other method", "POST", "/api/v1/pages", "{}", []string{asAnn}, 405, "method-not-allowed", [2]string{"Allow", "GET"}},
		{"three methods", "POST", "/api/v1/echo/x", "{}", []string{asAnn}, 405, "method-not-allowed", [2]string{"Allow", "DELETE, GET, PUT"}},
		{"form", "POST", "/api/v1/echo", "a=b", []string{asAnn, "Content-Type: application/x-www-form-urlencoded"}, 415, "unsupported-media-type", [2]string{}},
		{"latin-1", "POST", "/api/v1/echo", "{}", []string{asAnn, "Content-Type: application/json; charset=latin1"}, 415, "unsupported-media-type", [2]string{}},
		{"compressed", "POST", "/api/v1/echo", "{}", []string{asAnn, "Content-Encoding: gzip"}, 415, "unsupported-media-type", [2]string{}},
		{"wants XML", "GET", "/api/v1/pages", "", []string{asAnn, "Accept: application/xml"}, 406, "not-acceptable", [2]string{}},
		{"wants anything", "GET", "/api/v1/pages", "", []string{asAnn, "Accept: text/html, */*;q=0.1"}, 200, "", [2]string{"Content-Type", "application/json"}},
		{"no token", "GET", "/api/v1/pages", "", nil, 401, "unauthenticated", [2]string{"WWW-Authenticate", `Bearer realm="icn"`}},
		{"dead token", "GET", "/api/v1/pages", "", []string{"Authorization: Bearer old"}, 401, "unauthenticated", [2]string{"WWW-Authenticate", `invalid_token`}},
		{"another scheme", "GET", "/api/v1/pages", "", []string{"Authorization: Basic YTpi"}, 401, "unauthenticated", [2]string{"WWW-Authenticate", `Bearer`}},
		{"a token in the address", "GET", "/api/v1/pages?access_token=ann", "", nil, 401, "unauthenticated", [2]string{}},
		{"login down", "GET", "/api/v1/pages", "", []string{"Authorization: Bearer down"}, 503, "unavailable", [2]string{"Retry-After", "1"}},
		{"lacks the scope", "POST", "/api/v1/echo", "{}", []string{"Authorization: Bearer reader"}, 403, "refused", [2]string{}},
		{"public", "POST", "/api/v1/open", "{}", nil, 200, "", [2]string{"Cache-Control", "no-store"}},
		{"over the rate", "GET", "/api/v1/pages", "", []string{"Authorization: Bearer ben"}, 429, "rate-limited", [2]string{"Retry-After", "2"}},
		{"bad key", "POST", "/api/v1/echo", "{}", []string{asAnn, "Idempotency-Key: " + strings.Repeat("k", 65)}, 400, "invalid", [2]string{}},
		{"inside", "GET", "/api/v1/fail/inside", "", []string{asAnn}, 500, "internal", [2]string{}},
		{"panic", "GET", "/api/v1/fail/panic", "", []string{asAnn}, 500, "internal", [2]string{}},
		{"stream without saying how", "GET", "/api/v1/tail", "", []string{asAnn}, 406, "not-acceptable", [2]string{}},
		{"health", "GET", "/healthz", "", nil, 200, "", [2]string{"Content-Type", "text/plain"}},
		{"readiness", "GET", "/readyz", "", nil, 200, "", [2]string{}},
		{"docs", "GET", "/docs/app.js", "", nil, 200, "", [2]string{"Content-Security-Policy", "script-src 'self'"}},
		{"given id", "GET", "/healthz", "", []string{"X-Request-Id: abc-1"}, 200, "", [2]string{"X-Request-Id", "abc-1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(s, c.method, c.target, c.body, c.headers...)
			if w.Code != c.status || !strings.Contains(w.Header().Get(c.header[0]), c.header[1]) && c.header[0] != "" {
				t.Fatalf("status %d, want %d; header %s %q: %s", w.Code, c.status, c.header[0], w.Header().Get(c.header[0]), w.Body)
			}
			h := w.Header()
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Content-Security-Policy") == "" || h.Get("X-Request-Id") == "" || h.Get("Strict-Transport-Security") != "" {
				t.Errorf("headers %v", h)
			}
			if c.status < 400 {
				return
			}
			if p := problem(t, w); p.Code != c.code || strings.Contains(w.Body.String(), "secret of the house") {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestRefusalIsExplained(t *testing.T) {
	w := do(newServer(t, &fake{}, nil), "POST", "/api/v1/fail/refused", "{}", asAnn)
	p := problem(t, w)
	if w.Code != 403 || p.Code != "refused" || p.Op != "fail.refused" || p.Refusal != "r1" || p.Reason == nil || p.Reason.Rule != "full" || p.Reason.Inputs["guests"] != "9" || p.Reason.Remedy != "come tomorrow" {
		t.Errorf("%s", w.Body)
	}
}

// The gateway holds nobody's key, and adds to a token's scopes what everybody has.
func TestCallOfAToken(t *testing.T) {
	f := &fake{}
	s := newServer(t, f, nil)
	do(s, "POST", "/api/v1/echo?wait=final", "{}", asAnn, `Idempotency-Key: "k1"`)
	if c := f.lastCall(); c.Actor != "did:icn:ann" || c.Signer != nil || c.Wait != api.WaitFinal || c.Idempotency != "k1" || !c.Can("public") || c.Can("other:read") {
		t.Errorf("%+v", c)
	}
	do(s, "POST", "/api/v1/open", "{}")
	if c := f.lastCall(); c.Actor != "" || c.Signer != nil || len(c.Scopes) != 1 || c.Scopes[0] != "public" {
		t.Errorf("%+v", c)
	}
}

func TestPagesAndTags(t *testing.T) {
	s := newServer(t, &fake{}, nil)
	w := do(s, "GET", "/api/v1/pages?pad=3", "", asAnn)
	if link := w.Header().Get("Link"); link != `</api/v1/pages?cursor=a+b%26c&pad=3>; rel="next"` {
		t.Error(link)
	}
	last := do(s, "GET", "/api/v1/pages?cursor=a+b%26c&pad=3", "", asAnn)
	if last.Code != 200 || last.Header().Get("Link") != "" || last.Header().Get("ETag") == w.Header().Get("ETag") {
		t.Error(last.Code, last.Header())
	}
	tag := w.Header().Get("ETag")
	if tag == "" || strings.HasPrefix(tag, "W/") {
		t.Fatalf("tag %q", tag)
	}
	for _, header := range []string{tag, `"other", ` + tag, "*", "W/" + tag} {
		if again := do(s, "GET", "/api/v1/pages?pad=3", "", asAnn, "If-None-Match: "+header); again.Code != 304 || again.Body.Len() != 0 || again.Header().Get("ETag") != tag {
			t.Errorf("%s: %d %s", header, again.Code, again.Header())
		}
	}
	if other := do(s, "GET", "/api/v1/pages?pad=4", "", asAnn, "If-None-Match: "+tag); other.Code != 200 {
		t.Error("another body under the same tag", other.Code)
	}
	zipped := do(s, "GET", "/api/v1/pages?pad=5000", "", asAnn, "Accept-Encoding: br, gzip")
	if zipped.Header().Get("Content-Encoding") != "gzip" || !strings.HasSuffix(zipped.Header().Get("ETag"), `-gzip"`) || !strings.Contains(strings.Join(zipped.Header().Values("Vary"), ","), "Accept-Encoding") {
		t.Fatal(zipped.Header())
	}
	z, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out pageOut
	if err := json.Unmarshal([]byte(read(t, z)), &out); err != nil || len(out.Pad) != 5000 {
		t.Error(err, len(out.Pad))
	}
	plain := do(s, "GET", "/api/v1/pages?pad=5000", "", asAnn, "Accept-Encoding: gzip;q=0")
	if plain.Header().Get("Content-Encoding") != "" || plain.Header().Get("ETag") == zipped.Header().Get("ETag") {
		t.Error(plain.Header())
	}
	if head := do(s, "HEAD", "/api/v1/pages?pad=3", "", asAnn); head.Code != 200 || head.Header().Get("ETag") != tag {
		t.Error(head.Code, head.Header())
	}
}

func TestCORS(t *testing.T) {
	s := newServer(t, &fake{}, func(o *Options) { o.CORSOrigins = []string{"https://app.example"} })
	pre := []string{"Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: authorization,idempotency-key"}
	good := do(s, "OPTIONS", "/api/v1/echo/x", "", append(pre, "Origin: https://app.example")...)
	h := good.Header()
	if good.Code != 204 || h.Get("Access-Control-Allow-Origin") != "https://app.example" || h.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Origin") || h.Get("Access-Control-Allow-Headers") == "" {
		t.Error(good.Code, h)
	}
	bad := do(s, "OPTIONS", "/api/v1/echo/x", "", append(pre, "Origin: https://evil.example")...)
	if bad.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error(bad.Header())
	}
	if w := do(s, "GET", "/api/v1/pages", "", asAnn, "Origin: https://app.example"); w.Header().Get("Access-Control-Allow-Origin") == "" || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "Link") {
		t.Error(w.Header())
	}
	closed := newServer(t, &fake{}, nil)
	if w := do(closed, "OPTIONS", "/api/v1/echo/x", "", append(pre, "Origin: https://app.example")...); w.Code != 405 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Error("open by default", w.Code, w.Header())
	}
}

func TestAddress(t *testing.T) {
	s := newServer(t, &fake{}, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.9", "192.0.2.1"}, // a stranger says what it likes
		{"10.0.0.1:5", "198.51.100.9", "198.51.100.9"},
		{"10.0.0.1:5", "203.0.113.7, 198.51.100.9, 10.0.0.2", "198.51.100.9"}, // what was before it, the client made up
		{"10.0.0.1:5", "nonsense", "10.0.0.1"},
		{"[::ffff:192.0.2.1]:5", "", "192.0.2.1"},
	} {
		r, _ := http.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := s.address(r).String(); got != c.want {
			t.Errorf("%s, %q: %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

func TestTooManyRequests(t *testing.T) {
	f := &fake{block: make(chan struct{})}
	s := newServer(t, f, func(o *Options) { o.MaxRequests = 1 })
	done := make(chan int)
	go func() { done <- do(s, "POST", "/api/v1/slow", "{}", asAnn).Code }()
	waitFor(t, func() bool { return f.ran() == 1 })
	w := do(s, "GET", "/api/v1/pages", "", asAnn)
	if p := problem(t, w); w.Code != 503 || w.Header().Get("Retry-After") != "1" || p.Code != "unavailable" {
		t.Error(w.Code, w.Header(), p)
	}
	if w := do(s, "GET", "/healthz", ""); w.Code != 200 {
		t.Error("health is not told under load", w.Code)
	}
	close(f.block)
	if code := <-done; code != 200 {
		t.Error(code)
	}
	if w := do(s, "GET", "/api/v1/pages", "", asAnn); w.Code != 200 {
		t.Error("the place was not given back", w.Code)
	}
}

func TestStrangersAreLimitedByAddress(t *testing.T) {
	s := newServer(t, &fake{}, func(o *Options) { o.Limit = turnAway("") })
	for _, header := range []string{"Accept: */*", "Authorization: Bearer guess"} {
		if w := do(s, "GET", "/api/v1/pages", "", header); w.Code != 429 || problem(t, w).Reason == nil {
			t.Error(header, w.Code)
		}
	}
	if w := do(s, "GET", "/api/v1/pages", "", asAnn); w.Code != 200 {
		t.Error("who has logged in is limited by address", w.Code)
	}
}

func TestMetrics(t *testing.T) {
	reg := obs.NewRegistry()
	s := newServer(t, &fake{}, func(o *Options) { o.Metrics = reg })
	do(s, "GET", "/api/v1/pages", "", asAnn)
	do(s, "GET", "/api/v1/pages", "")
	do(s, "GET", "/some/where", "")
	for _, c := range [][2]string{{"page.list", "2xx"}, {"page.list", "4xx"}, {"none", "4xx"}} {
		if n, _ := reg.Value("icn_gateway_requests_total", "operation", c[0], "class", c[1]); n != 1 {
			t.Error(c, n)
		}
	}
}

func TestTwoOperationsAtOnePlace(t *testing.T) {
	_, err := New(Options{Dispatcher: twice{&fake{}}})
	if api.KindOf(err) != api.Internal || !strings.Contains(err.Error(), "echo.get") {
		t.Error(err)
	}
}

type twice struct{ *fake }

func (d twice) Operations() []api.Operation {
	return append(d.fake.Operations(), d.fake.Operations()...)
}

func FuzzDecode(f *testing.F) {
	f.Add("GET", "/api/v1/echo/x?n=1&many=a", "")
	f.Add("PUT", "/api/v1/echo/x?wait=final", `{"n":1,"id":""}`)
	f.Add("POST", "/rpc", `[{"jsonrpc":"2.0","id":1,"method":"echo.post","params":{"n":1}}]`)
	f.Add("DELETE", "/api/v1/echo/%ff", "x")
	f.Fuzz(func(t *testing.T, method, target, body string) {
		r, err := http.NewRequest(method, target, strings.NewReader(body))
		if err != nil || strings.HasPrefix(r.URL.Path, "/api/v1/fail") || strings.HasPrefix(r.URL.Path, "/api/v1/tail") || strings.HasPrefix(r.URL.Path, "/api/v1/slow") || strings.Contains(body, "fail.") || strings.Contains(body, "slow") {
			t.Skip("the fake's own failures, and what it never ends")
		}
		s := newServer(t, &fake{}, nil)
		w := doRequest(s, r)
		if w.Code >= 500 {
			t.Errorf("%s %s %q: %d %s", method, target, body, w.Code, w.Body)
		}
		if w.Code >= 400 && !json.Valid(w.Body.Bytes()) && r.Method != http.MethodHead {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
