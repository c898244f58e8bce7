package sim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/sim"
)

const steps = 60

// keep writes down a seed that failed, so that it is replayed from now on.
func keep(t *testing.T, seed uint64, steps int, err error) {
	t.Helper()
	name := filepath.Join("testdata", "seeds", fmt.Sprint(seed))
	if e := (sim.Kept{Seed: seed, Steps: steps, Why: err.Error()}).Write(name); e != nil {
		t.Error(e)
	}
	t.Errorf("seed %d: %v\nkept as %s; look at it with: go run ./sim/run -seed %d -seeds 1 -steps %d -trace", seed, err, name, seed, steps)
}

// TestSeeds runs what nobody has thought of.
func TestSeeds(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			if r := sim.Play(sim.Draw(seed), steps); r.Err != nil {
				keep(t, seed, steps, r.Err)
			}
		})
	}
}

// TestOneSeedOneTrace: everything that happens follows from the seed, and something follows from it.
func TestOneSeedOneTrace(t *testing.T) {
	for seed := uint64(100); seed < 104; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			a, b, c := sim.Play(sim.Draw(seed), 40), sim.Play(sim.Draw(seed), 40), sim.Play(sim.Draw(seed+6), 40)
			if a.Err != nil || a.Hash != b.Hash {
				t.Errorf("seed %d: %s and %s, %v", seed, a.Hash, b.Hash, a.Err)
			}
			if a.Hash == c.Hash {
				t.Errorf("seeds %d and %d have one trace", seed, seed+6)
			}
		})
	}
}

// TestKeptSeeds replays what failed once.
func TestKeptSeeds(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "seeds", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			k, err := sim.ReadKept(name)
			if err != nil {
				t.Fatal(err)
			}
			if r := sim.Play(sim.Draw(k.Seed), k.Steps); r.Err != nil {
				t.Errorf("seed %d again: %v\nit was: %s", k.Seed, r.Err, k.Why)
			}
		})
	}
}

// TestPlantedFaults: a protection that is switched off is missed by some seed.
func TestPlantedFaults(t *testing.T) {
	for _, tc := range []struct {
		name  string
		plant kerneltest.Plant
		liars int
		want  string // of the error, a pattern
	}{
		{"acknowledged before it is on disk", kerneltest.Plant{AckBeforeSync: true}, 0, "which it had acknowledged"},
		{"a refusal remembered by id", kerneltest.Plant{RefusalByID: "bob"}, 1, "do not hold the same"},
		{"a gate that drops what fits its chain", kerneltest.Plant{GateDrops: "bob"}, 0, "do not hold the same|cannot join"},
		{"a local retry that changes a verdict", kerneltest.Plant{RetryFlips: "bob"}, 1, "accepted is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(20) {
				r := sim.Play(sim.Options{Seed: seed, Nodes: 4, Liars: tc.liars, Plant: tc.plant}, steps)
				if r.Err == nil {
					continue
				}
				if !regexp.MustCompile(tc.want).MatchString(r.Err.Error()) {
					t.Errorf("seed %d finds something else: %v", seed, r.Err)
				}
				t.Logf("caught by seed %d: %.200v", seed, r.Err)
				return
			}
			t.Error("nobody has noticed")
		})
	}
}

func TestKeptSeedsAreFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "seeds", "7")
	want := sim.Kept{Seed: 7, Steps: 50, Why: "one\ntwo"}
	if err := want.Write(name); err != nil {
		t.Fatal(err)
	}
	if got, err := sim.ReadKept(name); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(name, []byte("# nothing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.ReadKept(name); err == nil {
		t.Error("a file without a seed is read")
	}
}
