package books

import (
	"io"
	"testing"
	"time"
)

// BenchmarkWrite writes made-up rows of one account; a row is what n counts.
func BenchmarkWrite(b *testing.B) {
	for _, rows := range []int{100_000, 1_000_000} {
		w := made(1000, 2)
		r := w.rows(0, time.Time{}, year)
		book := w.book(0, time.Time{}, year)
		book.Sections = func(yield func(*Section, error) bool) {
			yield(&Section{Account: account(0), Opening: make([]int64, 2), Rows: func(yield func(*Row, error) bool) {
				for n := 0; n < rows; {
					for row := range r {
						if n++; n > rows || !yield(row, nil) {
							return
						}
					}
				}
			}}, nil)
		}
		for _, format := range []string{CSV, HLedger, Beancount, OFX} {
			b.Run(format+"/"+map[int]string{100_000: "100k", 1_000_000: "1M"}[rows], func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Write(io.Discard, book, format); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
