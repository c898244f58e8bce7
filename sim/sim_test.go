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

const steps = 40

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
	seeds := uint64(20)
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
			a, b, c := sim.Play(sim.Draw(seed), 25), sim.Play(sim.Draw(seed), 25), sim.Play(sim.Draw(seed+6), 25)
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

// TestPlantedFaults: a protection that is switched off is missed by some seed, or by a script.
func TestPlantedFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		o      sim.Options
		script string // instead of seeds
		want   string // of the error, a pattern
	}{
		{name: "acknowledged before it is on disk", o: sim.Options{Plant: kerneltest.Plant{AckBeforeSync: true}}, want: "which it had acknowledged"},
		{name: "a refusal remembered by id", o: sim.Options{Plant: kerneltest.Plant{RefusalByID: "bob"}}, script: "poisoned-id", want: "do not hold the same"},
		{name: "a gate that drops what fits its chain", o: sim.Options{Plant: kerneltest.Plant{GateDrops: "bob"}}, want: "do not hold the same|cannot join"},
		{name: "a local retry that changes a verdict", o: sim.Options{Liars: 1, Plant: kerneltest.Plant{RetryFlips: "bob"}}, want: "accepted is"},
		{name: "a gateway that takes a place twice", o: sim.Options{Plant: kerneltest.Plant{TakesPlaces: true}}, want: "has taken a record of the member elsewhere for place|of feed .* that no node takes"},
		{name: "a journal of events that loses a change", o: sim.Options{Plant: kerneltest.Plant{ForgetsChange: "bob"}}, want: "was told|is told final|is told otherwise"},
		{name: "one phase", o: sim.Options{Wrap: onePhase}, script: "hidden-certificate", want: "final record"},
		{name: "a cut at the highest signed position", o: sim.Options{Wrap: highestSigned}, script: "highest-certified", want: "on another branch than what is final"},
		{name: "a lock before deps", o: sim.Options{Wrap: beforeDeps}, script: "locks-deps-first", want: "stands on"},
		{name: "a vow that a cut ends which is not final", o: sim.Options{Wrap: vowsEndEarly}, script: "vow-stands", want: "final record"},
		{name: "a hold while the verdict before it is open", o: sim.Options{Wrap: anyVariant}, script: "one-variant", want: "witnesses of one epoch hold"},
		{name: "an acknowledgement without id", o: sim.Options{Wrap: ackBySeq}, script: "ack-by-id", want: "owes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			caught := regexp.MustCompile(tc.want)
			if tc.script != "" {
				if err := play(filepath.Join("testdata", "script", tc.script), tc.o); err == nil || !caught.MatchString(err.Error()) {
					t.Errorf("script %s: %v", tc.script, err)
				} else {
					t.Logf("caught: %.300v", err)
				}
				return
			}
			for seed := range uint64(20) {
				o := tc.o
				o.Seed, o.Nodes = seed, 4
				r := sim.Play(o, 60)
				if r.Err == nil {
					continue
				}
				if !caught.MatchString(r.Err.Error()) {
					t.Errorf("seed %d finds something else: %v", seed, r.Err)
				}
				t.Logf("caught by seed %d: %.300v", seed, r.Err)
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
