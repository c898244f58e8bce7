package ledger

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// skewed is a host on which one counter is another, and on which records are applied again as told.
type skewed struct {
	api.Host
	key      string
	by       int64
	parts    []api.Rechecked
	asked    int
	reported []api.Incident
}

type skewedReader struct {
	api.Reader
	*skewed
}

func (h *skewed) Read() api.Reader { return skewedReader{h.Host.Read(), h} }

func (h *skewed) Report(i api.Incident) { h.reported = append(h.reported, i) }

func (h *skewed) Recheck(_ context.Context, after uint64, n int) (api.Rechecked, error) {
	h.asked++
	for _, p := range h.parts {
		if p.Last > after {
			return p, nil
		}
	}
	return api.Rechecked{Last: after}, nil
}

func (r skewedReader) Counter(key []byte) int64 {
	n := r.Reader.Counter(key)
	if string(key) == r.key {
		n += r.by
	}
	return n
}

// pass lets the inspector go on until it rests, and returns what the app then says.
func pass(t *testing.T, a *App, h api.Host, now *time.Time) api.Finding {
	t.Helper()
	passes := a.inspector.passes
	for range 1000 {
		*now = now.Add(inspectEvery)
		if err := a.inspect(t.Context(), h, *now); err != nil {
			t.Fatal(err)
		}
		if a.inspector.passes > passes {
			return a.Examine()
		}
	}
	t.Fatal("the pass does not end")
	return api.Finding{}
}

func traded(t *testing.T) *world {
	w := newWorld(t, hours(1000, 0), "ann", "ben")
	for range 3 {
		w.pay("ann", "ben", 100)
		w.pay("ben", "ann", 30)
	}
	return w
}

// A balance that is not the sum of its history is found, named, and reported; and when it is right again, no longer.
func TestInspectorFindsAWrongCounter(t *testing.T) {
	w := traded(t)
	now := time.Unix(1_000_000, 0)
	h := &skewed{Host: w.m.Host("ledger")}
	a := New(w)
	if f := pass(t, a, h, &now); f.Failed || len(h.reported) > 0 {
		t.Fatalf("%+v, %+v", f, h.reported)
	}
	h.key, h.by = string(balanceKey(nil, w.space, "hours", w.did("ben"))), 7
	now = now.Add(inspectAnyway)
	f := pass(t, a, h, &now)
	if !f.Failed || !strings.Contains(f.Value, string(w.did("ben"))) || !strings.Contains(f.Value, "217") || !strings.Contains(f.Next, "state verify") {
		t.Errorf("%+v", f)
	}
	if len(h.reported) != 1 || h.reported[0].Kind != api.Divergence {
		t.Errorf("reported %+v", h.reported)
	}
	h.key = ""
	for range 2 {
		now = now.Add(inspectAnyway)
		f = pass(t, a, h, &now)
	}
	if f.Failed {
		t.Errorf("it is still said: %+v", f)
	}
}

// What records do not come to any more is reported.
func TestInspectorAppliesRecordsAgain(t *testing.T) {
	w := traded(t)
	now := time.Unix(1_000_000, 0)
	h := &skewed{Host: w.m.Host("ledger"), parts: []api.Rechecked{{Last: 300, Records: inspectRecords}, {Last: 420, Records: 120, Problems: []string{"record x: the row y is another"}}}}
	a := New(w)
	if f := pass(t, a, h, &now); !f.Failed || !strings.Contains(f.Value, "row y") || a.inspector.topped != 420 {
		t.Errorf("%+v, %d", f, a.inspector.topped)
	}
	// Nothing has come since: it asks no more than that until a day is over.
	asked := h.asked
	for range 3 {
		now = now.Add(inspectRest)
		if err := a.inspect(t.Context(), h, now); err != nil {
			t.Fatal(err)
		}
	}
	if h.asked > asked+3 || a.inspector.doing != resting {
		t.Errorf("asked %d times more, in stage %d", h.asked-asked, a.inspector.doing)
	}
	for range 100 { // within a second, and in the hour of rest, it does not even look
		if err := a.inspect(t.Context(), h, now); err != nil {
			t.Fatal(err)
		}
	}
	if h.asked > asked+3 {
		t.Error("it looks within a second")
	}
	h.parts = append(h.parts, api.Rechecked{Last: 421, Records: 1})
	now = now.Add(inspectRest)
	if err := a.inspect(t.Context(), h, now); err != nil || a.inspector.doing != recordsStage {
		t.Errorf("stage %d, %v: something has come", a.inspector.doing, err)
	}
}

func BenchmarkInspectAccounts(b *testing.B) {
	w := newWorld(b, hours(1_000_000, 0), "ann", "ben")
	for range 1000 {
		w.pay("ann", "ben", 1)
	}
	_, r, s, err := w.app.see("bench", w.space)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	rows := 0
	for b.Loop() {
		n, problems := sumsOf(r, s, w.did("ben"))
		if rows += n; len(problems) > 0 {
			b.Fatal(problems)
		}
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
