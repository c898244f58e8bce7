package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Replace asks a node to make a member the registrar: a witness's to vote, in another ballot if again is set, and the member's own to take office. It
// returns how far that is; the error is the refusal.
func (w *World) Replace(n, m *kerneltest.Node, again bool) (string, error) {
	out, err := call(n, "office.replace", finality.ReplaceIn{Space: w.Space, Silent: w.members[0].Member().DID(), DID: m.Member().DID(), Device: m.Member().Device(), Again: again})
	if err != nil {
		return "", err
	}
	o := out.(*finality.ReplaceOut)
	if o.Taken {
		w.Count("replace", "%s is registrar %d", m.Name, o.Number)
		return fmt.Sprintf("number %d, taken", o.Number), nil
	}
	return fmt.Sprintf("ballot %d, %d of %d votes", o.Ballot, o.Votes, o.Need), nil
}
