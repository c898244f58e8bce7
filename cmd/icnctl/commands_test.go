package main

import (
	"io"
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
		if err != nil || len(rest) > 0 || cmd.RunE == nil || cmd.HasSubCommands() {
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
