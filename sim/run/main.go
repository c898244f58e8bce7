// Command run is `make sim`: it runs seeds of package sim, as many at a time as there are processors, and says what became of them. The last line is
// `N passed, N failed`; the exit code is 1 when one failed, or when a long run hardly met a kind of fault (sim.Rare).
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/intercooperative/icn/sim"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "the first seed")
	flag.IntVar(&o.seeds, "seeds", 20, "how many seeds, one after the other")
	flag.IntVar(&o.steps, "steps", 100, "steps of each")
	flag.DurationVar(&o.most, "for", 0, "begin no seed after so much time; 0 for no bound")
	flag.BoolVar(&o.trace, "trace", false, "print what happens")
	flag.StringVar(&o.keep, "keep", "", "folder for the seeds that fail, one file each")
	flag.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many seeds at a time; one when there is a trace")
	flag.Parse()
	debug.SetGCPercent(400) // a seed's memory is small and soon forgotten
	os.Exit(o.run(os.Stdout))
}

// options are the flags.
type options struct {
	seed    uint64
	seeds   int
	steps   int
	most    time.Duration
	trace   bool
	keep    string
	workers int
	play    func(o sim.Options, steps int) sim.Result // nil: sim.Play
}

func (o options) run(out io.Writer) int {
	began := time.Now()
	if o.trace {
		o.workers = 1
	}
	if o.play == nil {
		o.play = sim.Play
	}
	var mu sync.Mutex // guards all that follows, and out but for the trace
	var total sim.Counts
	next, passed, failed, taken := 0, 0, 0, 0
	take := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == o.seeds || o.most > 0 && time.Since(began) > o.most {
			return 0, false
		}
		next++
		return o.seed + uint64(next) - 1, true
	}
	done := func(seed uint64, r sim.Result) {
		mu.Lock()
		defer mu.Unlock()
		total.Add(r.Faults)
		taken += r.Steps
		if r.Err == nil {
			passed++
			return
		}
		failed++
		fmt.Fprintf(out, "seed %d, %d steps: %v\n", seed, o.steps, r.Err)
		if o.keep == "" {
			return
		}
		k := sim.Kept{Seed: seed, Steps: o.steps, Why: r.Err.Error()}
		if err := k.Write(filepath.Join(o.keep, fmt.Sprint(seed))); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	var workers sync.WaitGroup
	for range max(1, o.workers) {
		workers.Go(func() {
			for seed, ok := take(); ok; seed, ok = take() {
				d := sim.Draw(seed)
				if o.trace {
					d.Trace = out
				}
				done(seed, o.play(d, o.steps))
			}
		})
	}
	workers.Wait()
	fmt.Fprint(out, total)
	rare := total.Rare(passed + failed)
	for _, k := range rare {
		fmt.Fprintf(out, "hardly met: %s\n", k)
	}
	took := time.Since(began)
	fmt.Fprintf(out, "%d steps in %.1f s, %.0f steps/s\n", taken, took.Seconds(), float64(taken)/took.Seconds())
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 || len(rare) > 0 {
		return 1
	}
	return 0
}
