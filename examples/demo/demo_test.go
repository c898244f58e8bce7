package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// `make demo-stop` trusts no process id alone.
func TestRunsIsADaemonOnThatDirectory(t *testing.T) {
	if runs(os.Getpid(), ".") {
		t.Error("this test is no daemon")
	}
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	fake := filepath.Join(t.TempDir(), filepath.Base(daemon))
	if err := os.Symlink(sleep, fake); err != nil {
		t.Fatal(err)
	}
	// The second argument stands for the data directory; sleep adds the two up.
	cmd := exec.Command(fake, "60", "61")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for i := 0; !runs(cmd.Process.Pid, "61"); i++ { // the name is there a moment after the process
		if i > 200 {
			t.Fatal("a daemon on the directory is not recognised")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if runs(cmd.Process.Pid, "62") {
		t.Error("a daemon on another directory is taken for this one")
	}
}

func TestStepSaysWhichOneFailed(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out}
	if err := s.step("one", func() error { s.note("a\nb"); return nil }); err != nil {
		t.Fatal(err)
	}
	why := errors.New("rain")
	err := s.step("two", func() error { return why })
	if !errors.Is(err, why) || !strings.Contains(err.Error(), `step 2, "two"`) {
		t.Error(err)
	}
	if got := out.String(); !strings.Contains(got, " 1 ✓ one") || !strings.Contains(got, "     b\n") || !strings.Contains(got, " 2 ✗ two") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

func TestAmount(t *testing.T) {
	for minor, want := range map[int64]string{0: "0.00", 5: "0.05", -1150: "-11.50", -5: "-0.05"} {
		if got := amount(minor); got != want {
			t.Errorf("%d: %s, want %s", minor, got, want)
		}
	}
}
