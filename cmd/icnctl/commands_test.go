package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/node"
)

// Every operation that claims words of the command line has its command, and there --json.
func TestEveryOperationHasItsCommand(t *testing.T) {
	ops, err := node.Operations()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range ops {
		if op.CLI == "" {
			continue
		}
		cmd, rest, err := (&ctl{out: io.Discard, err: io.Discard}).root().Find(strings.Fields(op.CLI))
		if err != nil || len(rest) > 0 || cmd.RunE == nil || cmd.HasSubCommands() && cmd.Example == "" { // a mere group has no example
			t.Errorf("%s: icnctl %s: %v, left over %v", op.Name, op.CLI, err, rest)
			continue
		}
		if cmd.InheritedFlags().Lookup("json") == nil {
			t.Errorf("icnctl %s has no --json", op.CLI)
		}
	}
}

// Help, man pages and completions are made from these.
func TestEveryCommandIsDescribed(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q", c.CommandPath(), c.Short)
		}
		if !c.HasSubCommands() && c.RunE == nil {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&ctl{}).root())
}

// named is a command line in a text for people: the words after icnctl.
var named = regexp.MustCompile(`icnctl((?: [a-z][a-z-]*)+)`)

// What remedies and errors tell people to type exists.
func TestTextsNameCommandsThatExist(t *testing.T) {
	root, checked := (&ctl{}).root(), 0
	check := func(where, text string) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			cmd := root
			for _, word := range strings.Fields(m[1]) {
				if !cmd.HasSubCommands() {
					break // what follows is the sentence
				}
				next, _, err := cmd.Find([]string{word})
				if err != nil || next == cmd {
					t.Errorf("%s: %q: %s has no %q", where, text, cmd.CommandPath(), word)
					break
				}
				cmd = next
			}
			checked++
		}
	}
	fset := token.NewFileSet()
	for _, dir := range []string{"app", "client", "edge", "kernel", "node"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					text, _ := strconv.Unquote(lit.Value)
					check(fset.Position(lit.Pos()).String(), text)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if checked < 80 {
		t.Errorf("only %d commands found in texts", checked)
	}
}
