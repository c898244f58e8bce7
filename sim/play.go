package sim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Result is what became of a run.
type Result struct {
	Err    error  // nil when all checks passed
	Hash   string // of the trace
	Steps  int
	Faults []kerneltest.Count
}

// Play makes a world and runs it. A panic anywhere in the nodes is an error like another.
func Play(o Options, steps int) (r Result) {
	var w *World
	defer func() {
		if p := recover(); p != nil {
			r.Err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if w != nil {
			r.Hash, r.Steps, r.Faults = w.TraceHash(), w.Steps(), w.FaultCounts()
			w.Close()
		}
	}()
	var err error
	if w, err = New(o); err != nil {
		return Result{Err: err}
	}
	return Result{Err: w.Run(steps)}
}

// Kept is a seed that failed once and is replayed since.
type Kept struct {
	Seed  uint64
	Steps int
	Why   string // what it found
}

// Write writes the seed as a file: its why as comments, then seed and steps.
func (k Kept) Write(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	var b bytes.Buffer
	for line := range strings.Lines(k.Why) {
		fmt.Fprintf(&b, "# %s\n", strings.TrimRight(line, "\n"))
	}
	fmt.Fprintf(&b, "%d %d\n", k.Seed, k.Steps)
	return os.WriteFile(name, b.Bytes(), 0o644)
}

// ReadKept reads a file that Write wrote.
func ReadKept(name string) (k Kept, err error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return k, err
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if line, ok := strings.CutPrefix(s.Text(), "#"); ok {
			k.Why = strings.TrimSpace(k.Why + "\n" + strings.TrimSpace(line))
		} else if _, err := fmt.Sscanf(s.Text(), "%d %d", &k.Seed, &k.Steps); err == nil {
			return k, nil
		}
	}
	return k, errors.New(name + ": want a line with a seed and a number of steps")
}
