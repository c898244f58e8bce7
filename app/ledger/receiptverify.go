package ledger

import (
	"context"
	"errors"
	"io"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// VerifyReceipt reads a receipt and checks all of it: that its record founds the space, that enough of the space's witnesses have signed the state, that the
// row is in it, for a payment that the row is the record's, whose device has signed it, and that it is final; and each byte of the text against what follows
// from that. The first thing that is wrong ends it. It needs no node and no key.
func VerifyReceipt(ctx context.Context, src io.Reader, replay Replay, attest fact.Attest) (_ *Proven, err error) {
	b, err := io.ReadAll(io.LimitReader(src, maxReceipt+1))
	if err != nil {
		return nil, badReceipt("%w", err)
	}
	p, err := parseReceipt(b)
	if err != nil {
		return nil, err
	}
	out, err := p.proven(ctx, replay, attest)
	if err != nil {
		return nil, err
	}
	return out, compareReceipt(b, p.file(out.Text()))
}

// proven checks a proof and returns what it proves.
func (p *proof) proven(ctx context.Context, replay Replay, attest fact.Attest) (_ *Proven, err error) {
	founding, err := genuine(p.Founding)
	if err != nil {
		return nil, badReceipt("founding: %w", err)
	}
	given := false
	r, end, err := replay(ctx, founding.Topic.Space, func() ([]byte, error) {
		if given {
			return nil, io.EOF
		}
		given = true
		return p.Founding, nil
	})
	if err != nil {
		return nil, badReceipt("founding: %w", err)
	}
	defer func() { err = errors.Join(err, end()) }()
	defer r.Close()
	s, ok := fact.Open(r, founding.Topic.Space)
	if !ok {
		return nil, badReceipt("founding: record %s founds no space", founding.ID)
	}
	return p.check(s, attest)
}

// check is proven for who has the space.
func (p *proof) check(s *fact.Space, attest fact.Attest) (*Proven, error) {
	out := &Proven{Space: s.ID, Name: s.Genesis.Name, Account: p.Account, Currency: p.Currency}
	var err error
	var at api.Position
	var row api.StateRow
	switch {
	case len(p.Record) > 0 && p.Currency != "":
		return nil, badReceipt("it is for a payment and a balance")
	case len(p.Record) > 0:
		if at, row, err = p.payment(s, out); err != nil {
			return nil, err
		}
	case len(p.Auth) > 0 || p.Leg != 0:
		return nil, badReceipt("an auth or leg without a payment")
	default:
		row = balanceRow(s.ID, p.Account, p.Currency)
		if len(p.Row.Value) != 8 {
			return nil, badReceipt("a balance of %d bytes: want 8", len(p.Row.Value))
		}
		out.Amount = int64(fact.Number(p.Row.Value, true))
	}
	c, ok := s.Currency(out.Currency)
	if !ok {
		return nil, badReceipt("currency %q: the space has none of this name", clip(out.Currency))
	}
	out.Scale = int(c.Scale)
	attested, err := attest(s.ID, &s.Genesis, p.Certificate, at)
	if err != nil {
		return nil, err
	}
	shown := p.Row.proves(row)
	if !attested.Has(&shown) {
		return nil, badReceipt("row: it is not in the state of checkpoint %d", attested.Number)
	}
	out.Checkpoint = *attested
	return out, nil
}

// payment reads the record of a payment, and names the row that has to be in the state.
func (p *proof) payment(s *fact.Space, out *Proven) (at api.Position, row api.StateRow, err error) {
	rec, err := genuine(p.Record)
	if err != nil {
		return at, row, badReceipt("record: %w", err)
	}
	if rec.Topic.Space != s.ID {
		return at, row, badReceipt("record: it is of the space %s", rec.Topic.Space)
	}
	auth := p.Auth
	if rec.Seq == 1 {
		if len(auth) > 0 {
			return at, row, badReceipt("auth: the record has its own")
		}
		auth = rec.Auth
	}
	a, err := record.ParseAuth(auth)
	if err != nil {
		return at, row, badReceipt("auth: %w", err)
	}
	if a.Device != rec.Device {
		return at, row, badReceipt("auth: it certifies the device %s, the record is signed by %s", a.Device, rec.Device)
	}
	rec.Author = a.DID
	var e entry
	if err := codec.Unmarshal(p.Row.Value, &e); err != nil {
		return at, row, badReceipt("row: %w", err)
	}
	if e.ID != rec.ID {
		return at, row, badReceipt("row: it is about record %s, not %s", e.ID, rec.ID)
	}
	l, from, _, ok := said(rec, p.Account, int(p.Leg), e)
	if !ok {
		return at, row, badReceipt("record: it has no payment %d", p.Leg)
	}
	out.Currency, out.Amount = l.Currency, l.Amount
	out.Payment = &ProvenPayment{
		ID: rec.ID, Leg: int(p.Leg), Time: rec.Time.Time(), From: from, To: l.To, Memo: l.Memo, Category: l.Category, By: rec.Author, Device: rec.Device,
	}
	return rec.Position(), movementRow(p.Account, rec, int(p.Leg)), nil
}

// genuine reads a record and checks its signature.
func genuine(raw []byte) (*api.Record, error) {
	e, err := record.Decode(raw)
	if err != nil {
		return nil, err
	}
	if !record.Verify(e.Device, e.Signed, e.Signature) {
		return nil, api.Errorf("receipt.verify", api.Invalid, "the device %s did not sign record %s", e.Device, e.ID)
	}
	return e.Record, nil
}
