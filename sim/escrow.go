package sim

import (
	"fmt"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// escrow lets a member put something in escrow, or say something about an escrow that it has a part in.
func (w *World) escrow(n *kerneltest.Node) error {
	out, err := n.Ask("ledger.escrow.list", ledger.EscrowsIn{Space: w.Space, DID: n.Member().DID(), Limit: 8})
	if err != nil {
		return nil //nolint:nilerr // the node is not that far
	}
	all := out.(*ledger.EscrowsOut).Escrows
	if len(all) == 0 || w.Rand.IntN(4) == 0 {
		in := ledger.EscrowIn{
			Space: w.Space, Payee: w.other(n).Member().DID(), Currency: Currency, Amount: 1 + w.Rand.Int64N(900),
			Expires: w.Now().Add(time.Duration(1+w.Rand.IntN(240)) * time.Second), Then: [...]string{"payer", "payee"}[w.Rand.IntN(2)],
		}
		if o := w.other(n).Member().DID(); o != in.Payee && w.Rand.IntN(2) == 0 {
			in.Arbiter = o
		}
		if _, err := call(n, "ledger.escrow.new", in); err == nil {
			w.Count("escrow", "%d by %s", in.Amount, n.Name)
		}
		return nil
	}
	e := all[w.Rand.IntN(len(all))]
	part := 1 + w.Rand.Int64N(e.Amount)
	if w.Rand.IntN(2) == 0 {
		part = 0 // all
	}
	op, in := "ledger.escrow.release", any(ledger.EscrowPartIn{Space: w.Space, ID: e.ID, Amount: part})
	switch n.Member().DID() {
	case e.Payee:
		op = "ledger.escrow.giveback"
	case e.Arbiter:
		op, in = "ledger.escrow.award", ledger.EscrowAwardIn{Space: w.Space, ID: e.ID, Amount: part}
	}
	if _, err := call(n, op, in); err == nil {
		w.Count(op[len("ledger."):], "%s by %s", e.ID.Short(), n.Name)
	}
	return nil
}

// settlement is the body of a record that settles an escrow, as this package reads it.
type settlement struct {
	_        struct{} `cbor:",toarray"`
	Escrow   api.Hash
	Payer    api.DID
	Payee    api.DID
	Currency string
	Paid     int64
	Back     int64
	Why      string
}

// escrows checks, from the records that have effect on n, that each escrow is settled at most once and in whole, and that its account has what is in it.
func (w *World) escrows(n *kerneltest.Node) error {
	r := n.Read("")
	defer r.Close()
	by := map[api.Hash]*settlement{}
	var all []api.Hash
	for _, rec := range n.Records() {
		settles := rec.Topic.Name == fact.PostingsTopic && rec.Kind == "settle"
		if !settles && rec.Kind != "escrow" {
			continue
		}
		_, v, ok := r.Record(rec.Position())
		if !ok || !v.Accepted || v.Held {
			continue
		}
		if !settles {
			all = append(all, rec.ID)
			continue
		}
		s := new(settlement)
		if err := codec.Unmarshal(rec.Body, s); err != nil {
			return fmt.Errorf("%s: an accepted settlement: %w", n.Name, err)
		}
		if by[s.Escrow] != nil {
			return fmt.Errorf("%s: the escrow %s is settled twice", n.Name, s.Escrow.Short())
		}
		by[s.Escrow] = s
		w.Count("settle "+s.Why, "%s: %d paid, %d back", s.Escrow.Short(), s.Paid, s.Back)
	}
	for _, id := range all {
		out, err := n.Ask("ledger.escrow.show", ledger.EscrowShowIn{Space: w.Space, ID: id})
		if err != nil {
			return fmt.Errorf("%s: the escrow %s: %w", n.Name, id.Short(), err)
		}
		e, want := out.(*ledger.EscrowShowOut).Escrow, int64(0)
		if s := by[id]; s == nil {
			want = e.Amount
		} else if s.Paid+s.Back != e.Amount || s.Payer != e.Payer || s.Payee != e.Payee {
			return fmt.Errorf("%s: the escrow %+v is settled as %+v", n.Name, e, *s)
		}
		delete(by, id)
		has, err := n.Ask("ledger.balance", ledger.BalanceIn{Space: w.Space, DID: e.Account})
		if err != nil {
			return fmt.Errorf("%s: the escrow %s: %w", n.Name, id.Short(), err)
		}
		if b := has.(*ledger.BalanceOut).Balances[0].Balance; b != want {
			return fmt.Errorf("%s: the escrow %s has %d, want %d", n.Name, id.Short(), b, want)
		}
	}
	for id := range by {
		return fmt.Errorf("%s: %s is settled and is no escrow that has effect", n.Name, id.Short())
	}
	return nil
}
