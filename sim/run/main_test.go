package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	if code := run(&out, 1, 2, 5, 0, true, t.TempDir()); code != 0 {
		t.Fatalf("exit %d:\n%s", code, out.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if last := lines[len(lines)-1]; last != "2 passed, 0 failed" {
		t.Errorf("the last line is %q", last)
	}
	for _, want := range []string{"step 5: ", "frame-arrived", "steps/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output does not say %q", want)
		}
	}
}
