package kernel_test

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
)

// FuzzCursor: what is taken for a cursor is the one spelling of a place.
func FuzzCursor(f *testing.F) {
	for _, s := range []string{"", "begin", "0123456789abcdef.1.0", "0123456789abcdef.18446744073709551615.0", "0123456789abcdef.1.-1", "a.b.c", "0123456789abcdef.1.00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		again, err := kernel.ParseCursor(s)
		if err == nil && again != s {
			t.Errorf("%q is read as %q", s, again)
		}
		if err != nil && api.KindOf(err) != api.Invalid {
			t.Errorf("%q: %v", s, err)
		}
	})
}

// idlers opens n streams that wait, and returns how often an item was emitted to them.
func (r *run) idlers(tb testing.TB, n int, in kernel.EventsIn) *atomic.Int64 {
	raw, err := json.Marshal(in)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var emitted atomic.Int64
	var wg sync.WaitGroup
	tb.Cleanup(func() { cancel(); wg.Wait() })
	for range n {
		wg.Go(func() {
			_, _ = r.Call(ctx, &api.Call{Signer: r.id.Signer(), Scopes: []string{"*"}}, "event.stream", raw, func(any) error { emitted.Add(1); return nil })
		})
	}
	for end := time.Now().Add(20 * time.Second); emitted.Load() < int64(2*n); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatal("the streams do not come to rest")
		}
	}
	return &emitted
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// idleBytes is what a stream may cost while nothing happens, with its goroutine's stack and without what an edge adds.
const idleBytes = 8 << 10

// Ten thousand who listen and to whom nothing happens fit into 80 MB, one goroutine each.
func TestIdleStreamsAreCheap(t *testing.T) {
	if testing.Short() {
		t.Skip("with the race detector, which make test runs on short tests, its memory would be counted, too")
	}
	r := start(t, nil)
	r.found(t)
	const n = 2000
	before, routines := heap(), runtime.NumGoroutine()
	r.idlers(t, n, kernel.EventsIn{})
	if each := (heap() - before) / n; each > idleBytes {
		t.Errorf("%d bytes for each idle stream, want at most %d", each, idleBytes)
	}
	if more := runtime.NumGoroutine() - routines; more > n {
		t.Errorf("%d goroutines for %d streams", more, n)
	}
}

func BenchmarkIdleStreams(b *testing.B) {
	for b.Loop() {
		r := start(b, nil)
		before := heap()
		r.idlers(b, 10_000, kernel.EventsIn{})
		b.ReportMetric(float64(heap()-before)/10_000, "B/stream")
		_ = r.stop()
	}
}

// One event to a thousand streams, from the call that writes it to the last who has it.
func BenchmarkFanOut(b *testing.B) {
	r := start(b, nil)
	rc, err := r.call("notes.write", `{"text":"found"}`)
	if err != nil {
		b.Fatal(err)
	}
	space := rc.(*api.Receipt).Topic.Space
	const n = 1000
	emitted := r.idlers(b, n, kernel.EventsIn{Space: space})
	in, _ := json.Marshal(noteIn{Space: space, Text: "hello"})
	b.ResetTimer()
	for b.Loop() {
		want := emitted.Load() + n
		if _, err := r.call("notes.write", string(in)); err != nil {
			b.Fatal(err)
		}
		for emitted.Load() < want {
			runtime.Gosched()
		}
	}
}
