package gateway

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

func same(t *testing.T, a, b *httptest.ResponseRecorder) {
	t.Helper()
	if a.Code != b.Code || a.Body.String() != b.Body.String() || a.Header().Get("Content-Type") != b.Header().Get("Content-Type") {
		t.Errorf("first  %d %s\nsecond %d %s", a.Code, a.Body, b.Code, b.Body)
	}
}

func TestRepeatedWrites(t *testing.T) {
	f, store := &fake{}, &memory{}
	keeping := func(o *Options) { o.Kept = store }
	s := newServer(t, f, keeping)
	const key = "Idempotency-Key: k1"
	done := do(s, "POST", "/api/v1/echo", `{"n":1,"text":"x"}`, asAnn, key)
	refused := do(s, "POST", "/api/v1/fail/refused", `{}`, asAnn, key)
	if f.ran() != 2 || done.Code != 200 || refused.Code != 403 {
		t.Fatal(f.ran(), done.Code, refused.Code)
	}
	for name, again := range map[string]*Server{"same server": s, "after a restart": newServer(t, f, keeping)} {
		same(t, done, do(again, "POST", "/api/v1/echo", `{ "text":"x", "n":1}`, asAnn, key))
		same(t, refused, do(again, "POST", "/api/v1/fail/refused", `{}`, asAnn, key))
		if f.ran() != 2 {
			t.Errorf("%s: it ran again: %v", name, f.calls)
		}
		other := do(again, "POST", "/api/v1/echo", `{"n":2,"text":"x"}`, asAnn, key)
		if p := problem(t, other); other.Code != 409 || p.Code != "conflict" || !strings.Contains(p.Detail, "Idempotency-Key") || f.ran() != 2 {
			t.Error(name, other.Code, p)
		}
		// The same key at /rpc is the same key.
		if w := do(again, "POST", "/rpc", `{"jsonrpc":"2.0","id":1,"method":"echo.post","params":{"n":1,"text":"x","_idempotency":"k1"}}`, asAnn); !strings.Contains(w.Body.String(), done.Body.String()) || f.ran() != 2 {
			t.Error(name, w.Body)
		}
	}
	for _, c := range [][2]string{{"Authorization: Bearer ben", key}, {asAnn, "Idempotency-Key: k2"}} {
		before := f.ran()
		if w := do(s, "POST", "/api/v1/echo", `{"n":1,"text":"x"}`, c[0], c[1]); w.Code != 200 || f.ran() != before+1 {
			t.Errorf("%v: answered with somebody else's", c)
		}
	}
	before := f.ran()
	for range 2 {
		do(s, "PUT", "/api/v1/echo/x", `{"n":1}`, asAnn, key)          // another operation
		do(s, "POST", "/api/v1/open", `{"n":1}`, asAnn, key)           // public: its answers are tokens
		do(s, "POST", "/api/v1/open", `{"n":1}`, "Accept: */*", key)   // nobody's
		do(s, "POST", "/api/v1/echo", `{"n":1}`, asAnn, "Accept: */*") // without a key
	}
	if n := f.ran() - before; n != 7 {
		t.Errorf("%d ran, want 7", n)
	}
	// Whose token does not allow it is not told what was answered, either.
	if w := do(s, "POST", "/api/v1/echo", `{"n":1}`, "Authorization: Bearer reader", key); w.Code != 403 {
		t.Error(w.Code)
	}
}

// Two at once are one: the second waits for the first, and one with another input is told so at once.
func TestRepeatedInFlight(t *testing.T) {
	f := &fake{block: make(chan struct{})}
	s := newServer(t, f, func(o *Options) { o.Kept = &memory{} })
	var wg sync.WaitGroup
	answers := make([]*httptest.ResponseRecorder, 4)
	for i := range answers {
		wg.Go(func() { answers[i] = do(s, "POST", "/api/v1/slow", `{"n":1}`, asAnn, "Idempotency-Key: k") })
	}
	waitFor(t, func() bool { return f.ran() == 1 })
	if w := do(s, "POST", "/api/v1/slow", `{"n":2}`, asAnn, "Idempotency-Key: k"); w.Code != 409 {
		t.Error(w.Code)
	}
	close(f.block)
	wg.Wait()
	for _, a := range answers {
		same(t, answers[0], a)
	}
	if f.ran() != 1 || answers[0].Code != 200 {
		t.Error(f.ran(), answers[0].Code)
	}
}

// What says to come back is not kept: coming back must be able to help.
func TestPassingFailuresAreNotKept(t *testing.T) {
	f := &fake{block: make(chan struct{})}
	s := newServer(t, f, func(o *Options) { o.Kept, o.RequestTimeout = &memory{}, time.Nanosecond })
	if w := do(s, "POST", "/api/v1/slow", `{"n":1}`, asAnn, "Idempotency-Key: k"); w.Code != 504 {
		t.Fatal(w.Code, w.Body)
	}
	close(f.block)
	s.opt.RequestTimeout = time.Minute
	if w := do(s, "POST", "/api/v1/slow", `{"n":1}`, asAnn, "Idempotency-Key: k"); w.Code != 200 {
		t.Error(w.Code, w.Body)
	}
}

func TestKeptAnswersAreBounded(t *testing.T) {
	f, store := &fake{}, &memory{}
	k := newKeeper(f, store, slog.New(slog.DiscardHandler))
	now := time.Unix(0, 0)
	k.now = func() time.Time { return now }
	write := func(actor, key string) {
		t.Helper()
		if _, err := k.Call(t.Context(), &api.Call{Actor: api.DID(actor), Scopes: []string{"*"}, Idempotency: key}, "echo.post", []byte(`{"n":1}`), nil); err != nil {
			t.Fatal(err)
		}
	}
	write("ann", "first")
	for i := range maxKept + 10 {
		now = now.Add(time.Second)
		write("flood", fmt.Sprint(i))
	}
	if len(store.m) != maxKept || len(k.kept) != maxKept || k.oldest.Len() != maxKept {
		t.Fatal(len(store.m), len(k.kept), k.oldest.Len())
	}
	ran := f.ran()
	write("ann", "first")
	if f.ran() != ran {
		t.Error("who floods makes the node forget others' answers")
	}
	write("flood", "0")
	if f.ran() != ran+1 {
		t.Error("the flood's oldest is still kept")
	}
	now = now.Add(keepFor)
	write("ann", "second")
	if len(store.m) != 1 || len(k.of) != 1 {
		t.Error("old answers are still kept", len(store.m), k.of)
	}
	// An answer too large for the store is not done twice.
	large := []byte(`{"text":"` + strings.Repeat("x", maxKeptSize) + `"}`)
	call := func() (any, error) {
		return k.Call(t.Context(), &api.Call{Actor: "ann", Scopes: []string{"*"}, Idempotency: "large"}, "echo.post", large, nil)
	}
	if _, err := call(); err != nil {
		t.Fatal(err)
	}
	ran = f.ran()
	if _, err := call(); api.KindOf(err) != api.Conflict || !strings.Contains(err.Error(), "too large") || f.ran() != ran {
		t.Error(err, f.ran()-ran)
	}
}
