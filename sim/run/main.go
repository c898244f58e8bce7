// Command run is `make sim`: it runs seeds of package sim and says what became of them. The last line is `N passed, N failed`; the exit code is 1
// when one failed.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/sim"
)

func main() {
	seed := flag.Uint64("seed", 1, "the first seed")
	seeds := flag.Int("seeds", 20, "how many seeds, one after the other")
	steps := flag.Int("steps", 100, "steps of each")
	most := flag.Duration("for", 0, "begin no seed after so much time; 0 for no bound")
	trace := flag.Bool("trace", false, "print what happens")
	keep := flag.String("keep", "", "folder for the seeds that fail, one file each")
	flag.Parse()
	os.Exit(run(os.Stdout, *seed, *seeds, *steps, *most, *trace, *keep))
}

func run(out io.Writer, seed uint64, seeds, steps int, most time.Duration, trace bool, keep string) int {
	total := map[string]uint64{}
	var kinds []string
	passed, failed, taken := 0, 0, 0
	began := time.Now()
	for i := range seeds {
		if most > 0 && time.Since(began) > most {
			break
		}
		o := sim.Draw(seed + uint64(i))
		if trace {
			o.Trace = out
		}
		r := sim.Play(o, steps)
		kinds = add(total, kinds, r.Faults)
		taken += r.Steps
		if r.Err == nil {
			passed++
			continue
		}
		failed++
		fmt.Fprintf(out, "seed %d, %d steps: %v\n", o.Seed, steps, r.Err)
		if keep != "" {
			k := sim.Kept{Seed: o.Seed, Steps: steps, Why: r.Err.Error()}
			if err := k.Write(filepath.Join(keep, fmt.Sprint(o.Seed))); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	for _, k := range kinds {
		fmt.Fprintf(out, "%-18s %d\n", k, total[k])
	}
	took := time.Since(began)
	fmt.Fprintf(out, "%d steps in %.1f s, %.0f steps/s\n", taken, took.Seconds(), float64(taken)/took.Seconds())
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}

// add sums up counts and returns the kinds in the order in which they were first met.
func add(total map[string]uint64, kinds []string, counts []kerneltest.Count) []string {
	for _, c := range counts {
		if _, known := total[c.Kind]; !known {
			kinds = append(kinds, c.Kind)
		}
		total[c.Kind] += c.N
	}
	return kinds
}
