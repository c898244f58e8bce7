package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node"
)

var rewrite = flag.Bool("rewrite", false, "write docs/rows.md anew")

// rowIDs are the rows that have to be in testdata/rows.txt, in this order.
const rowIDs = "L3 L4 L5 L6 L7 L8 L9 L10 L11 L12 L13 L14 L15 L16 L18 L19 L20 D1 D2 D3 D4 D5 D6 D7 D10 D11 D13 D17 U1 U7 U11"

// featureRow is a row of the features paper.
type featureRow struct {
	id, what, open string
	ops, cli       []string
	tests          []string
}

func readRows(text string) (rows []*featureRow, err error) {
	var r *featureRow
	for i, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || word == "#" || strings.HasPrefix(line, "#"):
			continue
		case rest == "":
			return nil, fmt.Errorf("line %d: an empty cell", i+1)
		case word == "op" && r != nil:
			r.ops = strings.Fields(rest)
		case word == "cli" && r != nil:
			r.cli = strings.Split(rest, ", ")
		case word == "test" && r != nil:
			r.tests = strings.Fields(rest)
		case word == "open" && r != nil:
			r.open = rest
		default:
			r = &featureRow{id: word, what: rest}
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// Each row can be reached by a program, on the command line, and has a test; what is not done yet says so.
func TestRows(t *testing.T) {
	text, err := os.ReadFile("../../testdata/rows.txt")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := readRows(string(text))
	if err != nil {
		t.Fatal(err)
	}
	all, err := node.Operations()
	if err != nil {
		t.Fatal(err)
	}
	ops := map[string]api.Operation{}
	for _, op := range all {
		ops[op.Name] = op
	}
	tests := everyTest(t)
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.id)
		if r.open == "" && (len(r.ops) == 0 || len(r.cli) == 0 || len(r.tests) == 0) {
			t.Errorf("%s has an empty cell, and is not marked as open", r.id)
		}
		for _, name := range r.ops {
			if op, ok := ops[name]; !ok {
				t.Errorf("%s: there is no operation %s", r.id, name)
			} else if !slices.Contains(r.cli, op.CLI) {
				t.Errorf("%s: the command of %s, %q, is missing", r.id, name, op.CLI)
			}
		}
		for _, words := range r.cli {
			if cmd, rest, err := (&ctl{out: io.Discard, err: io.Discard}).root().Find(strings.Fields(words)); err != nil || len(rest) > 0 || cmd.RunE == nil {
				t.Errorf("%s: there is no command icnctl %s", r.id, words)
			}
		}
		for _, name := range r.tests {
			if !tests[name] {
				t.Errorf("%s: there is no test %s", r.id, name)
			}
		}
	}
	if got := strings.Join(ids, " "); got != rowIDs {
		t.Errorf("rows %s\nwant %s", got, rowIDs)
	}
	const page = "../../docs/rows.md"
	want := rowsPage(rows)
	if *rewrite {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/rows.md is not what testdata/rows.txt says (%v): go test ./cmd/icnctl -run TestRows -rewrite", err)
	}
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// everyTest collects the names of all Go tests and end-to-end scripts.
func everyTest(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	scripts, err := filepath.Glob("testdata/e2e/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		tests["e2e/"+strings.TrimSuffix(filepath.Base(s), ".txt")] = true
	}
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range testName.FindAllSubmatch(b, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

func rowsPage(rows []*featureRow) []byte {
	var b bytes.Buffer
	b.WriteString("# The economy, row by row\n\nMade from `testdata/rows.txt` by a test that holds it against the operations, commands and tests there are. A row that is open says what is missing.\n\n")
	b.WriteString("| row | | operation | command | test |\n|---|---|---|---|---|\n")
	quoted := func(words []string) string {
		out := make([]string, len(words))
		for i, w := range words {
			out[i] = "`" + w + "`"
		}
		return strings.Join(out, ", ")
	}
	for _, r := range rows {
		what := r.what
		if r.open != "" {
			what += " **open: " + r.open + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.id, what, quoted(r.ops), quoted(r.cli), quoted(r.tests))
	}
	return b.Bytes()
}

// A row with an empty cell is not read, and one that is not marked as open is missed.
func TestRowsRefuseAnEmptyCell(t *testing.T) {
	if _, err := readRows("L1 something\nop "); err == nil {
		t.Error("an empty cell is read")
	}
	rows, err := readRows("# a\n\nL1 some thing\nop a.b c.d\ncli a b, c d\nopen x y\n")
	if err != nil || len(rows) != 1 || len(rows[0].cli) != 2 || rows[0].open != "x y" || len(rows[0].tests) != 0 {
		t.Errorf("%+v, %v", rows, err)
	}
}
