package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Receipt is what a member hands somebody who wants a proof. The error is the refusal.
func (w *World) Receipt(n *kerneltest.Node, in ledger.ReceiptIn) ([]byte, error) {
	if !n.Up() {
		return nil, api.Errorf("ledger.receipt", api.Unavailable, "node %s is down", n.Name)
	}
	in.Space = w.Space
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	call := &api.Call{Actor: n.Member().DID(), Signer: n.Member(), Scopes: []string{"*"}}
	_, err = n.Kernel().Call(context.Background(), call, "ledger.receipt", raw, func(item any) error {
		_, _, data := item.(api.Part).FilePart()
		_, err := b.Write(data)
		return err
	})
	return b.Bytes(), err
}

// VerifyReceipt is what that somebody does.
func VerifyReceipt(src io.Reader) (*app.Proven, error) {
	return app.VerifyReceipt(context.Background(), src, func(ctx context.Context, space api.Hash, next func() ([]byte, error)) (api.Reader, func() error, error) {
		r, err := kernel.Replay(ctx, app.Standard(app.Options{}), "", space, next)
		if err != nil {
			return nil, nil, err
		}
		return r.Reader("ledger"), r.Close, nil
	})
}

// receipt lets a member prove one of its payments, whatever has happened: what a node proves is true for who was not there, and true on that node.
func (w *World) receipt(n *kerneltest.Node) error {
	out, err := n.Ask("ledger.history", ledger.HistoryIn{Space: w.Space})
	if err != nil || n.Liar() {
		return nil //nolint:nilerr // a broken disk, or no member any more
	}
	entries := out.(*ledger.HistoryOut).Entries
	if len(entries) == 0 {
		return nil
	}
	e := entries[w.Rand.IntN(len(entries))]
	b, err := w.Receipt(n, ledger.ReceiptIn{ID: e.ID, Leg: e.Leg})
	if err != nil {
		if k := api.KindOf(err); k == api.Internal {
			return fmt.Errorf("%s cannot prove payment %s: %w", n.Name, e.ID, err)
		}
		return nil
	}
	p, err := VerifyReceipt(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("the receipt of %s for %s is not sound: %w", n.Name, e.ID, err)
	}
	if p.Payment == nil || p.Payment.ID != e.ID || p.Amount != e.Amount || p.Payment.From != e.From || p.Payment.To != e.To || !e.Final {
		return fmt.Errorf("the receipt of %s proves %+v, its history has %+v", n.Name, p, e)
	}
	w.Count("receipt", "%d bytes of %s by checkpoint %d", len(b), n.Name, p.Checkpoint.Number)
	return nil
}
