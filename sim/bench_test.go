package sim_test

import (
	"testing"

	"github.com/intercooperative/icn/sim"
)

// BenchmarkPlay is what a seed of `make sim` takes.
func BenchmarkPlay(b *testing.B) {
	n := 0
	for seed := uint64(1); b.Loop(); seed++ {
		r := sim.Play(sim.Draw(seed), 60)
		if r.Err != nil {
			b.Fatalf("seed %d: %v", seed, r.Err)
		}
		n += r.Steps
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "steps/s")
}
