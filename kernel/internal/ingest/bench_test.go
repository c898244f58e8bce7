package ingest_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/clock"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// BenchmarkIngest submits signed records of as many authors as submitters, one at a time each, durably on disk.
func BenchmarkIngest(b *testing.B) {
	for _, authors := range []int{64, 512} {
		b.Run(fmt.Sprint("road-", authors), func(b *testing.B) { benchRoad(b, authors) })
		b.Run(fmt.Sprint("bare-", authors), func(b *testing.B) { benchBare(b, authors) })
	}
}

func signed(b *testing.B, authors int) (g *record.Envelope, raws [][][]byte) {
	g = genesis(b)
	raws = make([][][]byte, authors)
	for i := range raws {
		c := &chain{t: b, s: newSigner(fmt.Sprint("bench ", i)), space: g.Topic.Space}
		for range b.N/authors + 1 {
			raws[i] = append(raws[i], c.next(1).Raw)
		}
	}
	return g, raws
}

func benchRoad(b *testing.B, authors int) {
	g, raws := signed(b, authors)
	st, err := store.Open(store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	apps, _ := fold.NewApps([]api.App{toy{}})
	state, err := fold.Open(st, apps, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	e := ingest.NewEngine(ingest.Options{
		Store: st, State: state, Clock: clock.New(time.Now, time.Minute), Now: time.Now,
		RateDomain: "rate", Oracles: rates{api.RateLimit{PerSecond: 1 << 30, Burst: 1 << 30}},
		Log: slog.New(slog.DiscardHandler), Follows: func(api.Hash) bool { return true },
	})
	s := ingest.NewService(e)
	go s.Serve(b.Context())
	s.Submit(b.Context(), [][]byte{g.Raw}, ingest.Origin{})
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	var n atomic.Int64
	for i := range raws {
		wg.Go(func() {
			for _, raw := range raws[i] {
				if n.Add(1) > int64(b.N) {
					return
				}
				if r := s.Submit(b.Context(), [][]byte{raw}, ingest.Origin{})[0]; r.Outcome != ingest.Committed {
					b.Error(r.Outcome, r.Err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// benchBare is the floor: decode, verify in batches, put in one synced batch.
func benchBare(b *testing.B, authors int) {
	_, raws := signed(b, authors)
	st, err := store.Open(store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	type req struct {
		raw  []byte
		done chan struct{}
	}
	in := make(chan req, 1024)
	v := record.NewVerifier(4096)
	go func() {
		batch := st.NewBatch()
		for r := range in {
			rs := []req{r}
		fill:
			for len(rs) < 512 {
				select {
				case r := <-in:
					rs = append(rs, r)
				default:
					break fill
				}
			}
			es := make([]*record.Envelope, len(rs))
			for i := range rs {
				es[i], _ = record.Decode(rs[i].raw)
			}
			for i, ok := range v.Verify(es) {
				if ok {
					batch.Set(append(append([]byte{1}, es[i].Feed[:]...), api.Seq8(es[i].Seq)...), es[i].Raw)
				}
			}
			if err := st.Commit(batch, true); err != nil {
				b.Error(err)
			}
			batch.Reset()
			for _, r := range rs {
				close(r.done)
			}
		}
	}()
	b.ResetTimer()
	var wg sync.WaitGroup
	var n atomic.Int64
	for i := range raws {
		wg.Go(func() {
			for _, raw := range raws[i] {
				if n.Add(1) > int64(b.N) {
					return
				}
				r := req{raw, make(chan struct{})}
				in <- r
				<-r.done
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
