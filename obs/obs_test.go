package obs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestSecretsNeverShow(t *testing.T) {
	const plain = "correct horse"
	s := Secret(plain)
	for _, format := range []string{FormatJSON, FormatText} {
		var buf bytes.Buffer
		log, err := NewLogger(&buf, "debug", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("open", "p", s, "cfg", map[string]any{"p": s}, "keystore_passphrase", plain, slog.Group("g", "jwt_secret", plain))
		if strings.Contains(buf.String(), "horse") || strings.Count(buf.String(), "***") != 4 {
			t.Errorf("%s: %s", format, buf.String())
		}
	}
	j, err := json.Marshal(struct{ P Secret }{s})
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{string(j), fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, s, s, s, s, s), fmt.Sprint(struct{ P Secret }{s})} {
		if strings.Contains(out, "horse") || strings.Contains(out, fmt.Sprintf("%x", plain)) {
			t.Error(out)
		}
	}
	if s.Reveal() != plain {
		t.Error("Reveal lost the secret")
	}
}

func TestLoggerOptions(t *testing.T) {
	for _, c := range []struct{ level, format, want string }{
		{"info", "json", ""},
		{"warn", "text", ""},
		{"loud", "json", `log level "loud": want debug, info, warn or error`},
		{"info", "xml", `log format "xml": want json or text`},
	} {
		_, err := NewLogger(io.Discard, c.level, c.format)
		if got := fmt.Sprint(err); (err == nil) != (c.want == "") || (err != nil && got != c.want) {
			t.Errorf("%s %s: %v, want %q", c.level, c.format, err, c.want)
		}
	}
	var buf bytes.Buffer
	log, _ := NewLogger(&buf, "warn", "json")
	log.Info("quiet")
	if buf.Len() != 0 {
		t.Errorf("info passed at level warn: %s", buf.String())
	}
}

func TestRegistry(t *testing.T) {
	r := NewRegistry()
	r.Counter("icn_gossip_entries_total", "h").Inc()
	r.Counter("icn_gossip_entries_total", "h").Add(2) // the same one, after a restart
	r.Gauge("icn_ledger_balance_sum", "h").Set(-4)
	r.GaugeFunc("icn_store_bytes", "h", func() float64 { return 7 })
	r.CounterVec("icn_rpc_calls_total", "h", "operation", "outcome").With("a.b", "ok").Inc()
	r.HistogramVec("icn_rpc_call_seconds", "h", nil, "operation").With("a.b").Observe(0.2)
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"icn_gossip_entries_total", nil, 3},
		{"icn_ledger_balance_sum", nil, -4},
		{"icn_store_bytes", nil, 7},
		{"icn_rpc_calls_total", []string{"outcome", "ok", "operation", "a.b"}, 1},
		{"icn_rpc_call_seconds", []string{"operation", "a.b"}, 1},
	} {
		if got, ok := r.Value(c.name, c.labels...); !ok || got != c.want {
			t.Errorf("%s = %v, %v; want %v", c.name, got, ok, c.want)
		}
	}
	if _, ok := r.Value("icn_rpc_calls_total", "outcome", "ok"); ok {
		t.Error("found a counter by half of its labels")
	}
	if _, ok := r.Value("icn_not_there"); ok {
		t.Error("found a metric that does not exist")
	}
	var none *Registry
	none.Counter("icn_a_b", "h").Inc()
	none.HistogramVec("icn_a_c", "h", SizeBuckets(), "l").With("x").Observe(1)
	for _, bad := range []func(){
		func() { r.Counter("gossip_entries_total", "h") },
		func() { r.Gauge("icn_gossip_entries_total", "h") },
		func() { r.Counter("icn_Bad_name", "h") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a bad declaration did not panic")
				}
			}()
			bad()
		}()
	}
}

func TestServer(t *testing.T) {
	r := NewRegistry()
	r.Gauge("icn_supervisor_state", "h").Set(2)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	h := Handler(r, func() error { return errors.New("phase core-apps") })
	go func() { done <- Serve(ctx, l, h, slog.New(slog.DiscardHandler)) }()
	get := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if code, body := get("/readyz"); code != 503 || !strings.Contains(body, "core-apps") {
		t.Error(code, body)
	}
	if code, _ := get("/healthz"); code != 200 {
		t.Error("healthz", code)
	}
	if code, body := get("/metrics"); code != 200 || !strings.Contains(body, "icn_supervisor_state 2") || !strings.Contains(body, "go_goroutines") {
		t.Error(code, body)
	}
	if code, _ := get("/nothing"); code != 404 {
		t.Error("unknown path", code)
	}
	w := httptest.NewRecorder()
	if Handler(r, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil)); w.Code != http.StatusOK {
		t.Error("nothing said that it is not ready", w.Code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("still listening")
	}
}
