package store_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/intercooperative/icn/kernel/internal/store"
)

// The benchmarks beside those of pebble in store_test.go: the same rows, with one round trip to a server on this machine for each call.

func BenchmarkPostgresCommit64(b *testing.B) {
	for _, sync := range []bool{true, false} {
		b.Run(fmt.Sprintf("sync=%t", sync), func(b *testing.B) {
			st := openPostgres(b, store.PostgresOptions{URL: server.URL(b)})
			defer st.Close()
			batch := st.NewBatch()
			defer batch.Close()
			value := bytes.Repeat([]byte("v"), 350)
			b.SetBytes(64 * 350)
			n := 0
			for b.Loop() {
				batch.Reset()
				for range 64 {
					batch.Set(fmt.Appendf(nil, "R%032x%08x", n*2654435761, n), value)
					n++
				}
				if err := st.Commit(batch, sync); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkPostgresRead(b *testing.B) {
	st := openPostgres(b, store.PostgresOptions{URL: server.URL(b)})
	defer st.Close()
	const rows = 10_000
	batch := st.NewBatch()
	for n := range rows {
		batch.Set(fmt.Appendf(nil, "R%08d", n), bytes.Repeat([]byte("v"), 350))
	}
	if err := st.Commit(batch, true); err != nil {
		b.Fatal(err)
	}
	for name, format := range map[string]string{"get": "R%08d", "miss": "R%08dx"} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				if _, ok, err := st.Get(fmt.Appendf(nil, format, n%rows)); err != nil || ok != (name == "get") {
					b.Fatal(ok, err)
				}
				n += 7919
			}
		})
	}
	b.Run("last", func(b *testing.B) { // the newest row of a name, as the fold asks for it
		n := 0
		for b.Loop() {
			it, err := st.Iter(fmt.Appendf(nil, "R%07d", n%(rows/10)), fmt.Appendf(nil, "R%07d:", n%(rows/10)))
			if err != nil || !it.Last() {
				b.Fatal(err)
			}
			if err := it.Close(); err != nil {
				b.Fatal(err)
			}
			n += 7919
		}
	})
	b.Run("scan", func(b *testing.B) {
		for b.Loop() {
			it, err := st.Iter(nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for ok := it.First(); ok; ok = it.Next() {
				n++
			}
			if err := it.Close(); err != nil || n != rows {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
