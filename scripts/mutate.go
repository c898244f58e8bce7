//go:build ignore

// Mutate shows that tests protect what they are named after: it takes the protections of testdata/mutations.txt away, one at a time in a copy of
// the tree, and wants the named test to fail each time, and to pass without. A build that fails is no failing test.
//
//	go run scripts/mutate.go            all of them; from the root of the tree
//	go run scripts/mutate.go -only R4   of one row, or of several: R4,vow
//
// It exits with 1 when a mutation survives or the list no longer fits the tree.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const list = "testdata/mutations.txt"

// patience is how long one run of one test may take. A test that hangs has not failed: whoever reads the output learns nothing.
const patience = 3 * time.Minute

// mutation is an entry of the list.
type mutation struct {
	row, file, old, new, pkg, test string
}

func main() {
	only := flag.String("only", "", "rows to try, separated by commas; all if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string) error {
	b, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	ms, err := parse(string(b))
	if err != nil {
		return err
	}
	if only != "" {
		rows := strings.Split(only, ",")
		ms = slices.DeleteFunc(ms, func(m mutation) bool { return !slices.Contains(rows, m.row) })
	}
	if len(ms) == 0 {
		return errors.New("no such row in " + list)
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := copyTree(".", dir); err != nil {
		return err
	}
	if err := sound(ctx, dir, ms); err != nil {
		return err
	}
	wrong := 0
	fmt.Printf("%-12s %-11s %6s  %-52s %s\n", "row", "", "s", "test", "without")
	for _, m := range ms {
		start := time.Now()
		verdict, detail := try(ctx, dir, m)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		gone, _, _ := strings.Cut(strings.TrimSpace(m.old), "\n")
		fmt.Printf("%-12s %-11s %6.1f  %-52s %s: %s\n", m.row, verdict, time.Since(start).Seconds(), m.test, m.file, gone)
		if verdict != killed {
			wrong++
			fmt.Println(detail)
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d mutations are not killed", wrong, len(ms))
	}
	fmt.Printf("all %d mutations are killed\n", len(ms))
	return nil
}

// parse reads the list; mutations_test.go at the root holds its rules.
func parse(text string) (ms []mutation, err error) {
	for block := range strings.SplitSeq(text, "\n\n") {
		var m mutation
		var old, new []string
		for i, line := range slices.DeleteFunc(strings.Split(block, "\n"), func(s string) bool { return s == "" || s[0] == '#' }) {
			key, rest, _ := strings.Cut(line, " ")
			switch {
			case i == 0:
				m.row = key
			case key == "in":
				m.file = rest
			case key == "-":
				old = append(old, rest)
			case key == "+":
				new = append(new, rest)
			case key == "by":
				m.pkg, m.test, _ = strings.Cut(rest, " ")
			default:
				return nil, fmt.Errorf("%s: line %q", list, line)
			}
		}
		m.old, m.new = strings.Join(old, "\n"), strings.Join(new, "\n")
		if m.row != "" && m.row != "none" {
			ms = append(ms, m)
		}
	}
	return ms, nil
}

// sound wants all named tests to pass as things are.
func sound(ctx context.Context, dir string, ms []mutation) error {
	tests := map[string][]string{}
	for _, m := range ms {
		if !slices.Contains(tests[m.pkg], m.test) {
			tests[m.pkg] = append(tests[m.pkg], m.test)
		}
	}
	for pkg, names := range tests {
		if out, err := test(ctx, dir, pkg, strings.Join(names, "|")); err != nil {
			return fmt.Errorf("as things are, %s does not pass: %w\n%s", pkg, err, tail(out))
		}
	}
	return nil
}

const killed = "killed"

// try takes one protection away and puts it back.
func try(ctx context.Context, dir string, m mutation) (verdict, detail string) {
	name := filepath.Join(dir, filepath.FromSlash(m.file))
	text, err := os.ReadFile(name)
	if err != nil {
		return "LIST", err.Error()
	}
	if n := bytes.Count(text, []byte(m.old)); n != 1 || m.old == m.new {
		return "LIST", fmt.Sprintf("the text to replace occurs %d times: want once, and another text in its place", n)
	}
	if err := os.WriteFile(name, bytes.Replace(text, []byte(m.old), []byte(m.new), 1), 0o644); err != nil {
		return "LIST", err.Error()
	}
	out, err := test(ctx, dir, m.pkg, m.test)
	if werr := os.WriteFile(name, text, 0o644); werr != nil {
		return "LIST", werr.Error() // all that follows would be tried on a broken tree
	}
	switch {
	case err == nil:
		return "SURVIVES", "the test passes without it"
	case bytes.Contains(out, []byte("--- FAIL: "+m.test)) && !bytes.Contains(out, []byte("panic: test timed out")):
		return killed, ""
	}
	return "NO TEST", "the test did not fail, it did not come to an end:\n" + tail(out)
}

func test(ctx context.Context, dir, pkg, names string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-trimpath", "-vet=off", "-count=1", "-timeout="+patience.String(), "-run", "^("+names+")$", "./"+pkg)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

func tail(out []byte) string {
	const most = 2000
	return string(out[max(0, len(out)-most):])
}

// copyTree copies what the tests need.
func copyTree(from, to string) error {
	skip := []string{".git", "bin", "dist"}
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		target := filepath.Join(to, name)
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(skip, name):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, info.Mode())
	})
}
