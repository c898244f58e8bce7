package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// ReverseIn is the input of ledger.reverse.
type ReverseIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID       api.Hash `json:"id" doc:"Id of a payment to you, 64 hexadecimal digits: ledger.history lists them"`
	Currency string   `json:"currency,omitempty" doc:"Code of the currency; needed only when the payment was of several" example:"hours"`
	Amount   int64    `json:"amount,omitempty" doc:"Minor units; default: all that was not given back yet" example:"50"`
	Memo     string   `json:"memo,omitempty" doc:"Why, at most 256 bytes, one line"`
}

// Validate implements api.Validator.
func (in *ReverseIn) Validate() error {
	switch {
	case in.ID.IsZero():
		return errors.New("id: missing; want the id of a payment to you, as ledger history lists them")
	case in.Amount < 0:
		return fmt.Errorf("amount %d: want more than 0, or nothing for all", in.Amount)
	case in.Currency != "" && !isCode(in.Currency, maxCode):
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(in.Currency), maxCode)
	}
	return checkLine("memo", in.Memo)
}

// ReverseOut is the output of ledger.reverse. Amounts are minor units.
type ReverseOut struct {
	Receipt   api.Receipt `json:"receipt"`
	To        api.DID     `json:"to" doc:"who had paid"`
	Currency  string      `json:"currency"`
	Scale     int         `json:"scale"`
	Amount    int64       `json:"amount" doc:"given back now"`
	Left      int64       `json:"left" doc:"of the payment, not given back"`
	Balance   int64       `json:"balance"`
	Available int64       `json:"available"`
	Gift      bool        `json:"gift,omitempty" doc:"a gift currency: balance and available are 0"`
}

func (a *App) reverse(ctx context.Context, call *api.Call, in *ReverseIn) (*ReverseOut, error) {
	const op = "ledger.reverse"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.awaitFinal(ctx, call, in.ID)
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	what := []purpose{{What: forRefund, ID: in.ID}}
	if _, err := citations(op, r, s, signer.DID(), what); err != nil {
		return nil, err
	}
	rec, _, _ := r.Lookup(in.ID)
	var category string
	var codes []string
	legs, _ := legsOf(rec)
	for _, l := range legs {
		if l.To == signer.DID() && (in.Currency == "" || l.Currency == in.Currency) && !slices.Contains(codes, l.Currency) {
			codes, category = append(codes, l.Currency), l.Category
		}
	}
	switch {
	case len(codes) == 0:
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-paid", Text: "this is no payment to you", Inputs: map[string]string{"payment": in.ID.String(), "payer": string(rec.Author)},
			Remedy: "who paid asks it back: icnctl ledger request " + string(rec.Author) + " --for " + in.ID.String(),
		})
	case len(codes) > 1:
		return nil, api.Errorf(op, api.Invalid, "currency: missing; the payment was of %v", codes)
	}
	code := codes[0]
	left := paidTo(rec, signer.DID(), code) - givenBack(r, s, rec, signer.DID(), code)
	t := &transfer{To: rec.Author, Currency: code, Amount: cmp.Or(in.Amount, left, paidTo(rec, signer.DID(), code)), Memo: in.Memo, Category: category, For: what}
	if t.Amount > left && call.Idempotency == "" { // else it may be asked again, and has its answer
		return nil, api.Refusal(op, moreThanPaid(s, code, t.Amount, left))
	}
	paid, err := a.pay(ctx, call, op, host, r, s, t)
	if err != nil {
		return nil, err
	}
	c, _ := s.Currency(code)
	if paid.Receipt.Repeated { // it was counted above
		left += t.Amount
	}
	return &ReverseOut{
		Receipt: paid.Receipt, To: t.To, Currency: code, Scale: int(c.Scale), Amount: t.Amount, Left: left - t.Amount, Balance: paid.Balance, Available: paid.Available, Gift: paid.Gift,
	}, nil
}

// moreThanPaid says that not so much can be given back.
func moreThanPaid(s *fact.Space, code string, amount, left int64) *api.Reason {
	c, _ := s.Currency(code)
	show := func(n int64) string { return decimals(fmt.Sprint(n), c.Scale) }
	why := &api.Reason{
		Domain: Domain, Rule: "already-paid", Text: fmt.Sprintf("%s %s is more than the %s that is left of the payment to give back", show(amount), code, show(left)),
		Inputs: map[string]string{"currency": code, "amount": fmt.Sprint(amount), "left": fmt.Sprint(left)},
		Remedy: "give back what is left, or pay without naming the payment: icnctl ledger transfer",
	}
	if left == 0 {
		why.Text = "the payment was given back already"
	}
	return why
}
