package kernel

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// place is where a reader of events goes on: with the event at index of the local number. Index 0 to perRecord-1 are the events of the record itself,
// perRecord*i and on those of the i-th change that its commit made beside.
type place struct {
	number uint64
	index  uint64
}

// perRecord bounds the events that one record makes.
const perRecord = 16

func (p place) compare(o place) int {
	return cmp.Or(cmp.Compare(p.number, o.number), cmp.Compare(p.index, o.index))
}

// afterRecord is the place after all that happened up to a local number.
func afterRecord(n uint64) place { return place{number: n + 1} }

// begin is the cursor of the oldest event that there is.
const begin = "begin"

// maxCursor bounds the text of a cursor: a name, two numbers and two dots.
const maxCursor = journalName + 2*20 + 2

// journalName is the length of the name of a journal.
const journalName = 16

// cursor is the text of a place in a journal: <name>.<local number>.<index>, for people who look at two of them, and opaque for programs.
func cursor(journal string, p place) string {
	return journal + "." + strconv.FormatUint(p.number, 10) + "." + strconv.FormatUint(p.index, 10)
}

// parseCursor reads the one spelling of a cursor.
func parseCursor(s string) (journal string, p place, err error) {
	journal, rest, ok := strings.Cut(s, ".")
	if len(s) <= maxCursor && ok && len(journal) == journalName {
		var n, i string
		if n, i, ok = strings.Cut(rest, "."); ok {
			var e1, e2 error
			p.number, e1 = strconv.ParseUint(n, 10, 64)
			p.index, e2 = strconv.ParseUint(i, 10, 64)
			if e1 == nil && e2 == nil && p.number > 0 && p.index/perRecord <= math.MaxUint32 && cursor(journal, p) == s {
				return journal, p, nil
			}
		}
	}
	return "", place{}, api.Errorf("event.stream", api.Invalid, "after %q: want the cursor of an event as it was given, or %q", clip(s), begin)
}

// reset is the error of a cursor that does not go on here.
func reset(text string, inputs ...string) error {
	r := &api.Reason{
		Domain: "kernel", Rule: "reset", Text: text, Inputs: map[string]string{},
		Remedy: fmt.Sprintf("read what you keep anew by its own operations, then follow the events from the cursor of a stream that begins now; or from after=%s, whatever came twice", begin),
	}
	for i := 0; i+1 < len(inputs); i += 2 {
		r.Inputs[inputs[i]] = inputs[i+1]
	}
	return &api.Error{Op: "event.stream", Kind: api.Conflict, Reason: r, Err: r}
}
