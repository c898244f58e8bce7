package icn

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMutationsFit holds testdata/mutations.txt against the tree, so that a protection cannot move or lose its test unnoticed: what is taken away
// occurs exactly once in its file, the test that must fail exists, and each of R1 to R15 has a test named after it or says why not. `make mutations`
// takes the protections away and runs the tests.
func TestMutationsFit(t *testing.T) {
	list, err := os.ReadFile("testdata/mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for block := range strings.SplitSeq(string(list), "\n\n") {
		var old, new []string
		var file, pkg, test, row, why string
		for i, line := range slices.DeleteFunc(strings.Split(block, "\n"), func(s string) bool { return s == "" || s[0] == '#' }) {
			key, rest, _ := strings.Cut(line, " ")
			switch {
			case i == 0:
				row, why = key, rest
			case key == "in":
				file = rest
			case key == "-":
				old = append(old, rest)
			case key == "+":
				new = append(new, rest)
			case key == "by":
				pkg, test, _ = strings.Cut(rest, " ")
			default:
				t.Errorf("%s: line %q", row, line)
			}
		}
		if row == "none" { // none R0 why
			row, why, _ = strings.Cut(why, " ")
			rows[row] = true
		}
		if row == "" || file == "" {
			if why == "" && row != "" {
				t.Errorf("%s: no reason", row)
			}
			continue
		}
		if regexp.MustCompile(`R\d+`).MatchString(row) && regexp.MustCompile(`^Test(R\d+)*`+row+`(R\d+)*_`).MatchString(test) {
			rows[row] = true
		}
		if why == "" || len(old) == 0 || slices.Equal(old, new) {
			t.Errorf("%s, %s: want a sentence, what is taken away, and something else in its place", row, test)
		}
		text, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			t.Errorf("%s: %v", row, err)
		} else if n := strings.Count(string(text), strings.Join(old, "\n")); n != 1 {
			t.Errorf("%s: %s contains %d times, want once:\n%s", row, file, n, strings.Join(old, "\n"))
		}
		if !hasTest(t, pkg, test) {
			t.Errorf("%s: %s has no test %q", row, pkg, test)
		}
	}
	for i := range 15 {
		if row := fmt.Sprint("R", i+1); !rows[row] {
			t.Errorf("%s has no mutation that a test named after it must notice", row)
		}
	}
}

func hasTest(t *testing.T, pkg, test string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.FromSlash(pkg) + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if test != "" && strings.Contains(string(b), "\nfunc "+test+"(") {
			return true
		}
	}
	return false
}
