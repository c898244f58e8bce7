package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// dues let the clerk set a schedule, under a name of its own, whose first period is charged at once by its node, in turns of that node.
func (w *World) dues() error {
	if w.clerk.Liar() || len(w.schedules) == maxSchedules {
		return nil
	}
	_ = w.Dues(1 + w.Rand.Int64N(300))
	return nil
}

// maxSchedules bounds how many a run sets.
const maxSchedules = 8

// Dues lets the clerk charge all members an amount, once.
func (w *World) Dues(amount int64) error {
	name := fmt.Sprintf("dues-%d", len(w.schedules)+1)
	_, err := call(w.clerk, "ledger.schedule", ledger.ScheduleIn{Space: w.Space, Name: name, Charge: "dues", Currency: Currency, Amount: amount, Every: "month"})
	if err != nil {
		return err
	}
	w.schedules = append(w.schedules, name)
	return nil
}

// charged adds up what offices have taken from a member's account, as n has it, and checks that it was charged once by each schedule.
func (w *World) charged(n, m *kerneltest.Node) (sum int64, err error) {
	seen := map[string]bool{}
	for in := (ledger.HistoryIn{Space: w.Space, DID: m.Member().DID(), Limit: 500}); ; {
		out, err := n.Ask("ledger.history", in)
		if err != nil {
			return 0, nil //nolint:nilerr // n has not heard of m
		}
		page := out.(*ledger.HistoryOut)
		for _, e := range page.Entries {
			if e.Kind == "redress" && e.BalanceDelta < 0 {
				sum -= e.BalanceDelta
			}
			if e.Kind != "charge" {
				continue
			}
			if seen[e.Memo] {
				return 0, fmt.Errorf("%s: %s was charged twice for %s", n.Name, m.Name, e.Memo)
			}
			seen[e.Memo] = true
			sum -= e.BalanceDelta
		}
		if in.Cursor = page.Cursor; in.Cursor == "" {
			return sum, nil
		}
	}
}

// charges counts what was charged in the end.
func (w *World) charges(n *kerneltest.Node) error {
	for _, m := range w.members {
		sum, err := w.charged(n, m)
		if err != nil {
			return err
		}
		if sum > 0 {
			w.Count("charge", "%s %d", m.Name, sum)
		}
	}
	return nil
}
