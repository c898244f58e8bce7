package sim

import (
	"context"
	"fmt"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Each member has a tab beside the device that its node serves: a further device, for which it sets amounts aside. An honest member's tab always acts on
// another member's node, so that it is often cut off from the primary device; a liar's acts on any node, so that its feed is forked now and then.

// home is where a member's tab is.
func (w *World) home(m *kerneltest.Node) *kerneltest.Node {
	if m.Liar() {
		return w.members[w.Rand.IntN(len(w.members))]
	}
	if i := slices.Index(w.members, m); i > 0 {
		return w.members[i-1]
	}
	if second := w.members[1]; !second.Liar() { // it was there from the start
		return second
	}
	return m
}

// tab lets somebody's tab do something: it pays, gives back what is left, or its feed is cut. If nothing is left as far as it knows, more is set aside.
func (w *World) tab() error {
	m := w.members[w.Rand.IntN(len(w.members))]
	at := w.home(m)
	if !w.canSpend(m, at) {
		w.mandate(m)
		_ = w.Allot(m, 1+w.Rand.Int64N(1500))
		return nil
	}
	switch n := w.Rand.IntN(12); {
	case n == 0:
		_ = w.CutTab(m, w.Rand.IntN(2) == 0)
	case n < 3:
		_ = w.Return(m, at)
	default:
		_ = w.PayFrom(m, at, w.other(m), 1+w.Rand.Int64N(800))
	}
	return nil
}

// mandate lets a member say now and then that the next one holds its tab, and how much that may pay in a month.
func (w *World) mandate(m *kerneltest.Node) {
	if w.Rand.IntN(4) > 0 {
		return
	}
	helper := w.members[(slices.Index(w.members, m)+1)%len(w.members)]
	_, err := call(m, "ledger.mandate", ledger.MandateIn{
		Space: w.Space, Device: m.Tab().Device(), Helper: helper.Member().DID(), Currency: Currency, Amount: w.Rand.Int64N(4000), Every: "month",
	})
	if err == nil {
		w.Count("mandate", "of %s by %s", helper.Name, m.Name)
	}
}

// canSpend reports whether something is left for a member's tab, as a node knows it.
func (w *World) canSpend(m, at *kerneltest.Node) bool {
	out, err := at.Ask("ledger.allotments", ledger.AllotmentsIn{Space: w.Space, DID: m.Member().DID()})
	return err == nil && slices.ContainsFunc(out.(*ledger.AllotmentsOut).Allotments, func(a ledger.Allotment) bool { return a.Left > 0 })
}

// Allot lets a member set something aside for its tab.
func (w *World) Allot(m *kerneltest.Node, amount int64) error {
	_, err := call(m, "ledger.allot", ledger.AllotIn{Space: w.Space, Device: m.Tab().Device(), Currency: Currency, Amount: amount})
	if err == nil {
		w.Count("allot", "%d by %s", amount, m.Name)
	}
	return err
}

// PayFrom lets a member's tab pay, on some node.
func (w *World) PayFrom(m, at, to *kerneltest.Node, amount int64) error {
	_, err := at.CallAs(context.Background(), m.Tab(), "ledger.transfer", ledger.TransferIn{Space: w.Space, To: to.Member().DID(), Currency: Currency, Amount: amount})
	if err == nil {
		w.Count("allotment-spent", "%d by %s", amount, m.Name)
	}
	return err
}

// Return lets a member's tab give back what is left, on some node.
func (w *World) Return(m, at *kerneltest.Node) error {
	_, err := at.CallAs(context.Background(), m.Tab(), "ledger.return", ledger.ReturnIn{Space: w.Space, Currency: Currency})
	if err == nil {
		w.Count("allotment-returned", "by %s", m.Name)
	}
	return err
}

// CutTab lets the registrar cut the payments of a member's tab, for good or to go on.
func (w *World) CutTab(m *kerneltest.Node, end bool) error {
	in := finality.CutIn{Space: w.Space, Topic: fact.LedgerTopic, Device: m.Tab().Device()}
	if end {
		in.Next = in.Device
	}
	_, err := call(w.members[0], "feed.cut", in)
	return err
}

// setAside is the body of an allotment, as this package reads it.
type setAside struct {
	_        struct{} `cbor:",toarray"`
	Device   api.Key
	Currency string
	Amount   int64
}

// otherwise adds what came in and went out by no payment of a member's: what offices have paid, given back and settled, what is in escrow, and what was elsewhere.
func (b books) otherwise(n *kerneltest.Node, did api.DID, paid, got *int64) error {
	for in := (ledger.HistoryIn{Space: b.w.Space, DID: did, Limit: 500}); ; {
		res, err := n.Ask("ledger.history", in)
		if err != nil {
			return err
		}
		out := res.(*ledger.HistoryOut)
		for _, e := range out.Entries {
			switch e.Kind {
			case "transfer", "request", "order", "refund", "batch": // from the records themselves
			case "escrow":
				*paid -= e.BalanceDelta
			default:
				*got += max(e.BalanceDelta, 0) // what is charged counts against nobody's limit, nor what is owed from elsewhere
			}
		}
		if in.Cursor = out.Cursor; in.Cursor == "" {
			return nil
		}
	}
}

// spendings checks, from the records that have effect on n, that nobody has spent more with all devices than what came in and the highest limit ever granted,
// and no tab more than what was ever set aside for it.
func (b books) spendings(n *kerneltest.Node) error {
	type sums struct{ paid, got, asked, tabbed int64 }
	all, tabs := map[api.DID]*sums{}, map[api.Key]*sums{}
	of := func(did api.DID) *sums {
		if all[did] == nil {
			all[did] = &sums{}
		}
		return all[did]
	}
	for _, m := range b.w.members {
		tabs[m.Tab().Device()] = of(m.Member().DID())
	}
	r := n.Read("")
	defer r.Close()
	for _, rec := range n.Records() {
		if rec.Topic.Name != fact.LedgerTopic || rec.Kind != "transfer" && rec.Kind != "batch" && rec.Kind != "allot" {
			continue
		}
		full, v, ok := r.Record(rec.Position())
		if !ok || !v.Accepted || v.Held {
			continue
		}
		var s setAside
		if rec.Kind == "allot" {
			if err := codec.Unmarshal(rec.Body, &s); err != nil {
				return fmt.Errorf("%s: an accepted allotment: %w", n.Name, err)
			}
			if to := tabs[s.Device]; to != nil {
				to.asked += s.Amount
			}
			continue
		}
		p, err := paidBy(rec)
		if err != nil {
			return fmt.Errorf("%s: an accepted payment: %w", n.Name, err)
		}
		for _, l := range p.Legs {
			of(full.Author).paid += l.Amount
			of(l.To).got += l.Amount
			if tab := tabs[rec.Device]; tab != nil {
				tab.tabbed += l.Amount
			}
		}
	}
	for _, m := range b.w.members {
		s := of(m.Member().DID())
		if err := b.otherwise(n, m.Member().DID(), &s.paid, &s.got); err != nil {
			return err
		}
		if most := b.w.allowed(m); s.paid > s.got+most {
			return fmt.Errorf("%s: %s has spent %d with all devices, got %d and was allowed %d at most", n.Name, m.Name, s.paid, s.got, most)
		}
		if s.tabbed > s.asked {
			return fmt.Errorf("%s: the tab of %s has spent %d, and %d were set aside for it", n.Name, m.Name, s.tabbed, s.asked)
		}
	}
	return nil
}
