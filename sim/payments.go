package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// trade lets a member ask another to pay, settle what somebody has asked or what it has asked itself, or give something back.
func (w *World) trade(n *kerneltest.Node) error {
	switch w.Rand.IntN(9) {
	case 6:
		w.batch(n)
	case 7, 8:
		w.order(n)
	case 0, 1:
		w.ask(n)
	case 2, 3:
		w.answer(n)
	case 4:
		w.giveBack(n)
	default:
		w.askBack(n)
	}
	return nil
}

func (w *World) ask(n *kerneltest.Node) {
	in := ledger.RequestIn{Space: w.Space, Payer: w.other(n).Member().DID(), Currency: Currency, Amount: 1 + w.Rand.Int64N(900)}
	if _, err := call(n, "ledger.request", in); err == nil {
		w.Count("request", "%d by %s", in.Amount, n.Name)
	}
}

// answer does something about one of the newest requests that concern a member, whatever has become of it; who lies may be asked at several nodes.
func (w *World) answer(n *kerneltest.Node) {
	out, err := n.Ask("ledger.requests", ledger.RequestsIn{Space: w.Space, DID: n.Member().DID(), Limit: 8})
	if err != nil {
		return // the node is not that far
	}
	all := out.(*ledger.RequestsOut).Requests
	if len(all) == 0 {
		return
	}
	q := all[w.Rand.IntN(len(all))]
	op, in := "ledger.approve", any(ledger.ApproveIn{Space: w.Space, ID: q.ID})
	switch {
	case q.Payee == n.Member().DID():
		op, in = "ledger.cancel", ledger.CancelIn{Space: w.Space, ID: q.ID}
	case w.Rand.IntN(4) == 0:
		op, in = "ledger.decline", ledger.DeclineIn{Space: w.Space, ID: q.ID}
	}
	if _, err := call(n, op, in); err == nil {
		w.Count(op[len("ledger."):], "%s by %s", q.ID.Short(), n.Name)
	}
}

// received draws one of the newest payments to or by a member.
func (w *World) received(n *kerneltest.Node, by bool) (ledger.Entry, bool) {
	out, err := n.Ask("ledger.history", ledger.HistoryIn{Space: w.Space, DID: n.Member().DID(), Limit: 16})
	if err != nil {
		return ledger.Entry{}, false
	}
	var all []ledger.Entry
	for _, e := range out.(*ledger.HistoryOut).Entries {
		if (e.BalanceDelta < 0) == by {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return ledger.Entry{}, false
	}
	return all[w.Rand.IntN(len(all))], true
}

func (w *World) giveBack(n *kerneltest.Node) {
	if e, ok := w.received(n, false); ok {
		in := ledger.ReverseIn{Space: w.Space, ID: e.ID, Currency: Currency, Amount: 1 + w.Rand.Int64N(e.Amount)}
		if _, err := call(n, "ledger.reverse", in); err == nil {
			w.Count("reverse", "%d by %s", in.Amount, n.Name)
		}
	}
}

func (w *World) askBack(n *kerneltest.Node) {
	if e, ok := w.received(n, true); ok {
		in := ledger.RequestIn{Space: w.Space, Payer: e.To, Currency: Currency, Amount: 1 + w.Rand.Int64N(e.Amount), For: e.ID}
		if _, err := call(n, "ledger.request", in); err == nil {
			w.Count("request-back", "%d by %s", in.Amount, n.Name)
		}
	}
}

// batch lets a member pay a list. One list is paid again and again, by the name of few, so that it was paid before now and then.
func (w *World) batch(n *kerneltest.Node) {
	in := ledger.BatchIn{Space: w.Space, Name: fmt.Sprint("list ", w.Rand.IntN(2))}
	for i, m := range w.members {
		if m != n {
			in.Rows = append(in.Rows, ledger.Leg{To: m.Member().DID(), Currency: Currency, Amount: int64(1 + i)})
		}
	}
	if out, err := call(n, "ledger.batch", in); err == nil {
		w.Count("batch "+out.(*ledger.BatchOut).Rows[0].State, "by %s", n.Name)
	}
}

// order lets a member give a standing order that is due since long, which its node pays in its turns; or pays one by hand, or ends it.
func (w *World) order(n *kerneltest.Node) {
	out, err := n.Ask("ledger.orders", ledger.OrdersIn{Space: w.Space, DID: n.Member().DID(), State: "active"})
	if err != nil {
		return
	}
	all := out.(*ledger.OrdersOut).Orders
	if len(all) < 2 {
		in := ledger.OrderIn{Space: w.Space, To: w.other(n).Member().DID(), Currency: Currency, Amount: 1 + w.Rand.Int64N(40), Unit: "months", First: "1999-12-31", Count: 1 + w.Rand.IntN(6)}
		if _, err := call(n, "ledger.order.new", in); err == nil {
			w.Count("order", "%d by %s", in.Amount, n.Name)
		}
		return
	}
	o := all[w.Rand.IntN(len(all))]
	if w.Rand.IntN(3) == 0 {
		if _, err := call(n, "ledger.order.end", ledger.OrderEndIn{Space: w.Space, ID: o.ID}); err == nil {
			w.Count("order-end", "%s by %s", o.ID.Short(), n.Name)
		}
		return
	}
	if _, err := call(n, "ledger.order.pay", ledger.OrderPayIn{Space: w.Space, ID: o.ID, Period: w.Rand.IntN(o.Begun + 1)}); err == nil {
		w.Count("order-pay", "%s by %s", o.ID.Short(), n.Name)
	}
}

// slot is what a payment is for, as this package reads it.
type slot struct {
	_    struct{} `cbor:",toarray"`
	What uint8
	ID   api.Hash
	N    uint64
}

type leg struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64
	Memo     string
	Category string
}

type batch struct {
	_    struct{} `cbor:",toarray"`
	Legs []leg
	For  []slot
}

// payment is the body of a transfer, as this package reads it: it does not ask the app.
type payment struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64
	Memo     string
	Category string
	For      []slot
}

// paidBy reads what a record pays.
func paidBy(rec *api.Record) (b batch, err error) {
	if rec.Kind == "batch" {
		return b, codec.Unmarshal(rec.Body, &b)
	}
	var p payment
	err = codec.Unmarshal(rec.Body, &p)
	return batch{Legs: []leg{{To: p.To, Currency: p.Currency, Amount: p.Amount}}, For: p.For}, err
}

// slotsOnce checks, from the records that have effect on n, that what counts once does, and that nobody has given back more than was paid.
func (w *World) slotsOnce(n *kerneltest.Node) error {
	type filled struct {
		by   api.DID
		what uint8
		id   api.Hash
		n    uint64
	}
	type back struct {
		by api.DID
		id api.Hash
	}
	slots, amounts, backs := map[filled]api.Hash{}, map[back]int64{}, map[back]int64{}
	r := n.Read("")
	defer r.Close()
	for _, rec := range n.Records() {
		if rec.Topic.Name != fact.LedgerTopic || rec.Kind != "transfer" && rec.Kind != "batch" {
			continue
		}
		full, v, ok := r.Record(rec.Position())
		if !ok || !v.Accepted || v.Held {
			continue
		}
		p, err := paidBy(rec)
		if err != nil {
			return fmt.Errorf("%s: an accepted payment: %w", n.Name, err)
		}
		for _, l := range p.Legs {
			amounts[back{l.To, rec.ID}] += l.Amount
		}
		for _, s := range p.For {
			if s.What == 3 {
				backs[back{full.Author, s.ID}] += p.Legs[0].Amount
				continue
			}
			k := filled{full.Author, s.What, s.ID, s.N}
			if one, twice := slots[k]; twice {
				return fmt.Errorf("%s: %v is paid by %s and by %s", n.Name, s, one.Short(), rec.ID.Short())
			}
			slots[k] = rec.ID
		}
	}
	for b, sum := range backs {
		if paid, here := amounts[b]; here && sum > paid { // what was left out by a cut is given back all the same
			return fmt.Errorf("%s: of %d that %s was paid by %s, %d were given back", n.Name, paid, b.by, b.id.Short(), sum)
		}
	}
	return nil
}
