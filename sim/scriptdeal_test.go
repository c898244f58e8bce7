package sim_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/sim"
)

// deal runs what a member does about an escrow or a dispute: the newest of the script.
func (s *script) deal(verb string, n *kerneltest.Node, args []string) (string, error) {
	number := func(i int) (v int64) {
		if i < len(args) {
			v, _ = strconv.ParseInt(args[i], 10, 64)
		}
		return v
	}
	ask := func(name string, in any) (any, string) {
		out, err := n.Call(context.Background(), name, in)
		if err != nil {
			return nil, fmt.Sprintf("%s by %s: %s\n", verb, n.Name, why(err))
		}
		return out, ""
	}
	switch verb {
	case "escrow":
		in := ledger.EscrowIn{Space: s.w.Space, Payee: s.w.Node(args[0]).Member().DID(), Currency: sim.Currency, Amount: number(1), Expires: s.w.Now().Add(time.Hour), Then: "payer"}
		out, no := ask("ledger.escrow.new", in)
		if no == "" {
			s.escrow = out.(*ledger.EscrowOut).Escrow.ID
		}
		return no, nil
	case "release", "giveback":
		_, no := ask("ledger.escrow."+verb, ledger.EscrowPartIn{Space: s.w.Space, ID: s.escrow, Amount: number(0)})
		return no, nil
	case "dispute":
		in := ledger.DisputeFileIn{Space: s.w.Space, Against: s.w.Node(args[0]).Member().DID(), Currency: sim.Currency, Amount: number(1), Reason: "it leaks"}
		paid, no := ask("ledger.history", ledger.HistoryIn{Space: s.w.Space, DID: n.Member().DID()})
		if no != "" {
			return no, nil
		}
		for _, e := range paid.(*ledger.HistoryOut).Entries {
			if e.To == in.Against && in.About.IsZero() {
				in.About = e.ID
			}
		}
		out, no := ask("ledger.dispute.file", in)
		if no == "" {
			s.dispute = out.(*ledger.DisputeOut).Dispute.ID
		}
		return no, nil
	case "uphold":
		_, no := ask("ledger.dispute.uphold", ledger.DisputeUpholdIn{Space: s.w.Space, ID: s.dispute, Back: len(args) > 0})
		return no, nil
	}
	return "", fmt.Errorf("unknown command %q", verb)
}

// deals says what has become of the escrow and the dispute of the script, once for all nodes that see the same.
func (s *script) deals() string {
	return s.views(func(b *strings.Builder, n *kerneltest.Node) {
		if !s.escrow.IsZero() {
			s.showEscrow(b, n)
		}
		if !s.dispute.IsZero() {
			s.showDispute(b, n)
		}
	})
}

func (s *script) showEscrow(b *strings.Builder, n *kerneltest.Node) {
	out, err := n.Ask("ledger.escrow.show", ledger.EscrowShowIn{Space: s.w.Space, ID: s.escrow})
	if err != nil {
		fmt.Fprintf(b, "  escrow: %s\n", why(err))
		return
	}
	e := out.(*ledger.EscrowShowOut).Escrow
	fmt.Fprintf(b, "  escrow of %d: %s", e.Amount, e.State)
	if e.Settlement != nil {
		fmt.Fprintf(b, ", %s, %d paid, %d back", e.Settlement.Why, e.Settlement.Paid, e.Settlement.Back)
	}
	b.WriteByte('\n')
}

func (s *script) showDispute(b *strings.Builder, n *kerneltest.Node) {
	out, err := n.Ask("ledger.dispute.show", ledger.DisputeShowIn{Space: s.w.Space, ID: s.dispute})
	if err != nil {
		fmt.Fprintf(b, "  dispute: %s\n", why(err))
		return
	}
	show := out.(*ledger.DisputeShowOut)
	d, done := show.Dispute, 0
	for _, x := range show.Said {
		if x.What == "redress" {
			done++
		}
	}
	fmt.Fprintf(b, "  dispute about %d: %s, upheld by %d of %d, redressed %d times\n", d.Amount, d.State, len(d.Upheld), d.Members, done)
}
