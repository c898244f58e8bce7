package model

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// One search is bounded in memory (MiB), depth (steps) and time; the largest good model needs a third of each.
const (
	memoryMax = 2048
	depthMax  = 1000
	timeMax   = 5 * time.Minute
)

// TestGood searches the rules as they are, every state of them.
func TestGood(t *testing.T) {
	for _, m := range []struct {
		name    string
		defines string
		small   bool // also in -short mode
		states  int  // at least: a slip that makes a step impossible must not pass for a proof
	}{
		{"one-cut", "DRAFTS=1", true, 300_000},
		{"one-cut-live", "DRAFTS=1 LIVE", false, 500_000},
		{"one-cut-live-honest-author", "DRAFTS=1 LIVE HONEST_AUTHOR CITE0=15", false, 100_000},
		{"plain-then-adopting", "DRAFTS=2 ADOPT0=1 ADOPT1=4 CITE0=9 CITE1=9", false, 1_000_000},
		{"adopting-then-live", "DRAFTS=2 LIVE ADOPT0=4 ADOPT1=2 CITE0=9 CITE1=9", false, 400_000},
		{"two-drafts-one-slot", "DRAFTS=2 SLOTS=1 ADOPT0=1 ADOPT1=4 CITE0=12 CITE1=9", false, 100_000},
	} {
		t.Run(m.name, func(t *testing.T) {
			if testing.Short() && !m.small {
				t.Skip("only the smallest model with -short")
			}
			t.Parallel()
			r := search(t, "-O2", m.defines)
			if r.violated != "" || r.errors != 0 {
				t.Errorf("%d errors, violated: %q\n%s", r.errors, r.violated, r.output)
			}
			if r.cut {
				t.Errorf("the search is not exhaustive\n%s", r.output)
			}
			if r.states < m.states {
				t.Errorf("%d states, want at least %d", r.states, m.states)
			}
			t.Logf("%d states", r.states)
		})
	}
}

// TestPlanted searches the rules with one of them spoilt. Each must be found out, and by the property that it breaks.
func TestPlanted(t *testing.T) {
	const twoCuts = " DRAFTS=2 CITE0=9 CITE1=9"
	for defines, want := range map[string]string{
		"ONE_PHASE":               "S2_final_stays_as_it_is", // scenario hidden-certificate
		"HOLD_BEFORE_PREDECESSOR": "S4_held_after_its_predecessor",
		"OPEN_FINAL":              "S4_final_after_its_predecessor",
		"VOW_ENDS_ON_KNOWN":       "S2_final_stays_as_it_is",
		"HIGHEST_SIGNED":          "S2_final_stays_as_it_is",
		"HOLD_STALE":              "S2_final_stays_as_it_is",
		"ADOPTION_EXEMPTS_ALL":    "S2_final_stays_as_it_is",
		"LATE_CLOSE":              "S2_final_stays_as_it_is",
		"VOID_BESIDE_ADOPTED":     "S1_one_id_at_a_position",
		"COUNT_STALE ADOPT0=4 ADOPT1=1" + twoCuts:          "S5_cut_counts_one_chain",
		"PROMISE_BEFORE_KNOWN ADOPT0=1 ADOPT1=4" + twoCuts: "S2_final_stays_as_it_is",
	} {
		name, _, _ := strings.Cut(defines, " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantViolated(t, search(t, "-O0", defines), want)
		})
	}
}

// TestEpochs searches how one set of witnesses follows on another, as it is, each rule spoilt, and for the histories that make it matter.
func TestEpochs(t *testing.T) {
	for defines, want := range map[string]string{
		"":                        "",
		"OVERLAP=2":               "",
		"RIVALS":                  "",
		"LEAKS":                   "",
		"LOCKS_OF_ALL":            "E2_cut_spares_the_final", // the rule of ADR 0016
		"FORGETS":                 "E2_cut_spares_the_final",
		"SEALS_OF_FEWER":          "E1_one_final",
		"SIGNS_AFTER_SEAL":        "E2_cut_spares_the_final",
		"RIVALS SEALS_UNSETTLED":  "E4_all_seal_for_one",
		"LEAKS COUNT_BEYOND_SEAL": "E1_one_final",
		"LEAKS LEAKS_EARLY":       "E1_one_final",
		"REACH_BOTH_LOCKED":       "not_reached",
		"REACH_LATE":              "not_reached",
		"REACH_CUT":               "not_reached",
		"LEAKS REACH_LEAKED":      "not_reached",
	} {
		t.Run(defines, func(t *testing.T) {
			t.Parallel()
			r := searchFile(t, "epochs.pml", "-O1", defines)
			wantViolated(t, r, want)
			if want == "" && (r.cut || r.errors != 0 || r.states < 400) {
				t.Errorf("%d states, %d errors, want an exhaustive search\n%s", r.states, r.errors, r.output)
			}
		})
	}
}

// TestHistories asks for the turning point of each short history: a state that no run reaches would prove nothing about it.
func TestHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short")
	}
	for _, defines := range []string{
		"DRAFT_CITED ADOPT0=1 CITE0=12",
		"VOW_ENDS ADOPT0=1 CITE0=10",
		"STALE_CERTIFICATE ADOPT0=1 CITE0=9",
		"RIVAL_SHOWN ADOPT0=1 CITE0=9",
		"OFFICE_CUT ADOPT0=1 CITE0=9",
		"ADOPTION ADOPT0=4 CITE0=12",
		"VOID_BASE ADOPT0=1 CITE0=10",
		"SILENT_OFFICE ADOPT0=1 CITE0=9",
	} {
		name, _, _ := strings.Cut(defines, " ")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantViolated(t, search(t, "-O0", defines), "not_reached")
		})
	}
}

func wantViolated(t *testing.T, r result, want string) {
	t.Helper()
	if r.violated != want {
		t.Errorf("violated: %q, want %q\n%s", r.violated, want, r.output)
	}
}

// result is what a search reports.
type result struct {
	violated string // the name of the property, empty if none
	errors   int
	states   int
	cut      bool // something bounded the search before it had seen every state
	output   string
}

var (
	violation = regexp.MustCompile(`assertion violated (\w+)`)
	errorsIn  = regexp.MustCompile(`errors: (\d+)`)
	statesIn  = regexp.MustCompile(`(\d+) states, stored`)
	bounded   = regexp.MustCompile(`max search depth too small|Search not completed|out of memory|reached -DMEMLIM|hash conflicts: .*lossy`)
)

// search generates a checker for the model with these parameters, compiles it and runs it. What stops at the first violation is not worth
// optimising: compiling takes longer.
func search(t *testing.T, optimise, defines string) result {
	t.Helper()
	return searchFile(t, "finality.pml", optimise, defines)
}

func searchFile(t *testing.T, file, optimise, defines string) result {
	t.Helper()
	needTools(t)
	source, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()

	generate := []string{"-a"}
	for _, d := range strings.Fields(defines) {
		generate = append(generate, "-D"+d)
	}
	run(t, dir, "spin", append(generate, source)...)
	run(t, dir, "cc", optimise, "-w", "-DSAFETY", "-DNOCLAIM", "-DMEMLIM="+strconv.Itoa(memoryMax), "-o", "pan", "pan.c")
	out := run(t, dir, filepath.Join(dir, "pan"), "-m"+strconv.Itoa(depthMax))

	r := result{output: out, cut: bounded.MatchString(out)}
	if m := violation.FindStringSubmatch(out); m != nil {
		r.violated = m[1]
	}
	r.errors = number(t, errorsIn, out)
	r.states = number(t, statesIn, out)
	return r
}

// number is the number that a report gives; a report without it is no report.
func number(t *testing.T, re *regexp.Regexp, out string) int {
	t.Helper()
	m := re.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no %q in:\n%s", re, out)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// needTools skips where the tools are not installed and cannot be: CI installs them with scripts/deps.sh, as root.
func needTools(t *testing.T) {
	t.Helper()
	missing := slices.DeleteFunc([]string{"spin", "cc"}, func(tool string) bool {
		_, err := exec.LookPath(tool)
		return err == nil
	})
	if len(missing) == 0 {
		return
	}
	const install = "sudo apt-get install spin gcc libc6-dev"
	if os.Geteuid() == 0 {
		t.Fatalf("missing: %v. Run scripts/deps.sh, or %s", missing, install)
	}
	t.Skipf("missing: %v. Run: %s", missing, install)
}
