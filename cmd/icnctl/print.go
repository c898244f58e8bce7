package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// output remembers the first failed write, so that a full disk is not taken for success.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil && o.err == nil {
		o.err = api.Errorf("print", api.Unavailable, "%w", err)
	}
	return n, err
}

// printJSON prints one value, indented.
func (c *ctl) printJSON(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return api.Errorf("print", api.Internal, "%w", err)
	}
	b.WriteByte('\n')
	return c.print(b.Bytes())
}

// printValue prints what this program, not a node, has to say.
func (c *ctl) printValue(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return api.Errorf("print", api.Internal, "%w", err)
	}
	return c.printJSON(b)
}

func (c *ctl) print(b []byte) error {
	if _, err := c.out.Write(b); err != nil {
		return api.Errorf("print", api.Unavailable, "%w", err)
	}
	return nil
}

func reportJSON(w io.Writer, err error) {
	b, merr := json.Marshal(map[string]any{"error": jsonrpc.ErrorOf(err)})
	if merr != nil {
		fmt.Fprintln(w, "icnctl:", err)
		return
	}
	fmt.Fprintf(w, "%s\n", b)
}

// note says something about a result, on standard error.
func (c *ctl) note(format string, args ...any) { fmt.Fprintf(c.err, format+"\n", args...) }

// table prints rows under a header. With no rows it prints nothing and notes that there are none.
func (c *ctl) table(none, header string, rows [][]string) {
	if len(rows) == 0 {
		c.note("%s", none)
		return
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.ReplaceAll(header, " ", "\t"))
	for _, r := range rows {
		for i := range r {
			r[i] = clean(r[i])
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	_ = w.Flush() // c.out remembers
}

// facts prints names and values, one pair a line.
func (c *ctl) facts(pairs ...string) {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(w, "%s\t%s\n", pairs[i], clean(pairs[i+1]))
	}
	_ = w.Flush() // c.out remembers
}

// more notes that there is another page.
func (c *ctl) more(cursor string) {
	if cursor != "" {
		c.note("There is more: --cursor %s", cursor)
	}
}

// clean makes text from others, such as a memo or a name, safe for a terminal: control characters could rewrite what stands on it.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func hashes(hs []api.Hash) string {
	out := make([]string, len(hs))
	for i, h := range hs {
		out[i] = h.String()
	}
	return orNone(strings.Join(out, " "))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// verdict says in one word what became of a record.
func verdict(accepted, held, final bool) string {
	switch {
	case !accepted:
		return "void"
	case held:
		return "held"
	case final:
		return "final"
	}
	return "accepted"
}

// receipt notes where a write stands.
func (c *ctl) receipt(r api.Receipt) {
	state := "on this node's disk"
	if r.Final {
		state = "final"
	}
	if n := len(r.Holders); n > 0 {
		state += fmt.Sprintf(", with copies on other members' nodes: %d", n)
	}
	if r.Repeated {
		state += ", from an earlier call with the same idempotency key"
	}
	c.note("record %s, %s", r.Position.ID, state)
}
