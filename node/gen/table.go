package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// The table of operations stands in page between these lines.
const (
	page       = "docs/api.md"
	tableBegin = "<!-- operations -->\n"
	tableEnd   = "<!-- end of operations -->\n"
)

// withTable returns the page with the table made anew.
func withTable(root string, ops []api.Operation) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		return nil, err
	}
	before, rest, begins := bytes.Cut(text, []byte(tableBegin))
	_, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !begins || !ends {
		return nil, fmt.Errorf("%s: want a line %q and after it %q", page, tableBegin, tableEnd)
	}
	var out bytes.Buffer
	out.Write(before)
	out.WriteString(tableBegin)
	out.WriteString("| operation | request | scope | what it does |\n|---|---|---|---|\n")
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(a, b api.Operation) int { return cmp.Compare(a.Name, b.Name) })
	for _, op := range ops {
		kind := ""
		if op.Kind != api.Unary {
			kind = ", " + op.Kind.String()
		}
		fmt.Fprintf(&out, "| `%s` | `%s %s`%s | `%s` | %s |\n", op.Name, op.Method, op.Path, kind, op.Scope, op.Summary)
	}
	out.WriteString(tableEnd)
	out.Write(after)
	return out.Bytes(), nil
}
