package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// ReceiptIn is the input of ledger.receipt: a payment, or a currency for the balance.
type ReceiptIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID       api.Hash `json:"id,omitzero" doc:"Id of a payment's record"`
	Leg      int      `json:"leg,omitempty" doc:"Which payment of the record, from 0"`
	Currency string   `json:"currency,omitempty" doc:"Instead of a payment: the currency whose balance is to be shown"`
	DID      api.DID  `json:"did,omitempty" doc:"Account: one of the payment's sides, or whose balance it is; default: your own"`
}

// Validate implements api.Validator.
func (in *ReceiptIn) Validate() error {
	if in.Leg < 0 || in.Leg >= maxLegs {
		return fmt.Errorf("leg %d: want 0 to %d", in.Leg, maxLegs-1)
	}
	return checkAccount("did", in.DID)
}

// receipt proves what is asked by the newest checkpoint that stands. It is checked before it is given away.
func (a *App) receipt(ctx context.Context, call *api.Call, in *ReceiptIn, emit func(*FilePart) error) error {
	const op = "ledger.receipt"
	if in.ID.IsZero() == (in.Currency == "") {
		return api.Errorf(op, api.Invalid, "id, currency: want the id of a payment, or the currency of a balance")
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return err
	}
	defer r.Close()
	prover, ok := api.Lookup[fact.Prover](host.Services())
	rr, reads := r.(api.RecordReader)
	if !ok || !reads {
		return api.Errorf(op, api.Unsupported, "nothing on this host proves states")
	}
	did, err := whose(op, s, call, in.DID)
	if err != nil {
		return err
	}
	p := &proof{Format: receiptFormat, Account: did, Currency: in.Currency, Leg: uint8(in.Leg)}
	row, at, err := p.subject(op, r, s, in)
	if err != nil {
		return err
	}
	if err := p.envelopes(ctx, rr, s, at); err != nil {
		return api.Wrap(op, err)
	}
	shown, err := prover.Show(ctx, s.ID, []api.StateRow{row}, at)
	if err != nil {
		return api.Wrap(op, err)
	}
	if len(shown.Proofs) == 0 {
		if in.Currency != "" {
			return api.Errorf(op, api.NotFound, "the balance was 0 at the newest checkpoint, and of that no row shows anything; or the account is newer")
		}
		return api.Errorf(op, api.Conflict, "the payment is newer than the newest checkpoint that stands: the registrar makes the next one with `icnctl space checkpoint create`")
	}
	p.Certificate = shown.Certificate
	x := &shown.Proofs[0]
	p.Row = shownRow{Value: x.Value, Place: x.Place, Rows: x.Rows, Path: x.Path}
	proven, err := p.check(s, prover.Attest)
	if err != nil {
		return api.Errorf(op, api.Internal, "what was made does not prove it: %w", err)
	}
	b := p.file(proven.Text())
	if len(b) > maxReceipt {
		return api.Errorf(op, api.TooLarge, "the receipt has %d bytes: at most %d", len(b), maxReceipt)
	}
	name := "balance-" + in.Currency
	if in.Currency == "" {
		name = in.ID.Short()
	}
	out := newParts("icn-receipt-"+name+".txt", "text/plain; charset=utf-8", emit)
	if _, err := out.Write(b); err != nil {
		return err
	}
	return out.flush()
}

// subject finds what the receipt is to show, and for a payment where it stands.
func (p *proof) subject(op string, r api.Reader, s *fact.Space, in *ReceiptIn) (row api.StateRow, at api.Position, err error) {
	if in.Currency != "" {
		return balanceRow(s.ID, p.Account, in.Currency), at, checkCurrency(op, s, in.Currency)
	}
	rec, v, ok := r.Lookup(in.ID)
	switch {
	case !ok || rec.Topic.Space != s.ID:
		return row, at, api.Errorf(op, api.NotFound, "%s has no record %s here (yet)", s.Genesis.Name, in.ID)
	case !v.Accepted || v.Held:
		return row, at, api.Errorf(op, api.Conflict, "record %s has no effect: icnctl explain %s says why", in.ID, in.ID)
	}
	row = movementRow(p.Account, rec, in.Leg)
	for range r.Index(row.Key, nil, false) {
		return row, rec.Position(), nil
	}
	return row, at, api.Errorf(op, api.NotFound, "leg %d of record %s has moved nothing of %s: name one of its sides with did", in.Leg, in.ID, p.Account)
}

// envelopes reads the signed records that go into a receipt.
func (p *proof) envelopes(ctx context.Context, r api.RecordReader, s *fact.Space, at api.Position) error {
	done := errors.New("all are found")
	err := r.Envelopes(s.ID, func(raw []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := record.DecodeVerified(raw)
		switch {
		case err != nil:
			return err
		case e.ID == s.ID:
			p.Founding = bytes.Clone(raw)
		case e.Feed == at.Feed && e.Seq == 1 && at.Seq > 1:
			p.Auth = bytes.Clone(e.Auth)
		}
		if e.ID == at.ID {
			p.Record = bytes.Clone(raw)
		}
		if len(p.Founding) > 0 && (at.IsZero() || len(p.Record) > 0) {
			return done
		}
		return nil
	})
	if errors.Is(err, done) {
		err = nil
	}
	if err == nil && (len(p.Founding) == 0 || !at.IsZero() && len(p.Record) == 0) {
		err = api.Errorf("ledger.receipt", api.Internal, "the records of the receipt are not all in the store")
	}
	return err
}
