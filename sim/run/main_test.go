package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercooperative/icn/sim"
)

func TestRun(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    options
		want []string
	}{
		{"traced", options{seed: 1, seeds: 2, steps: 5, trace: true, workers: 4}, []string{"step 5: ", "frame-arrived", "steps/s"}},
		{"two at a time", options{seed: 1, seeds: 2, steps: 5, workers: 2}, []string{"frame-arrived", "steps/s"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out strings.Builder
			tc.o.keep = t.TempDir()
			if code := tc.o.run(&out); code != 0 {
				t.Fatalf("exit %d:\n%s", code, out.String())
			}
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if last := lines[len(lines)-1]; last != "2 passed, 0 failed" {
				t.Errorf("the last line is %q", last)
			}
			for _, want := range tc.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the output does not say %q", want)
				}
			}
		})
	}
}

// TestRunReports: a seed that fails is said, kept, and is the exit code.
func TestRunReports(t *testing.T) {
	var out strings.Builder
	o := options{seed: 3, seeds: 1, workers: 1, keep: t.TempDir()}
	o.play = func(sim.Options, int) sim.Result { return sim.Result{Err: os.ErrInvalid} }
	if code := o.run(&out); code != 1 || !strings.Contains(out.String(), "seed 3, 0 steps: invalid argument") || !strings.HasSuffix(out.String(), "0 passed, 1 failed\n") {
		t.Errorf("exit %d:\n%s", code, out.String())
	}
	if k, err := sim.ReadKept(filepath.Join(o.keep, "3")); err != nil || k.Seed != 3 || k.Why != os.ErrInvalid.Error() {
		t.Errorf("kept %+v, %v", k, err)
	}
	out.Reset()
	o.seeds, o.keep = 1000, ""
	o.play = func(sim.Options, int) sim.Result { return sim.Result{} }
	if code := o.run(&out); code != 1 || !strings.Contains(out.String(), "hardly met: frame-lost, 0 times") {
		t.Errorf("a run that met nothing: exit %d:\n%s", code, out.String())
	}
}
