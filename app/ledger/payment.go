package ledger

import (
	"errors"
	"fmt"
	"slices"
	"unicode"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// maxBatch bounds the payments in one batch record.
const maxBatch = 64

// transfer pays.
type transfer struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
	Memo     string
	Category string    // empty, or for the payer's books
	For      []purpose // what it is for: nothing, one thing, or a request and the payment that it asks back
}

// batch pays several at once, or nobody.
type batch struct {
	_    struct{} `cbor:",toarray"`
	Legs []leg    // 1 to maxBatch
	For  []purpose
}

// leg is one payment of a batch; the fold takes a transfer for a batch of one.
type leg struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
	Memo     string
	Category string
}

// purpose names what a payment is for: a slot of the payer's account, which counts once (forRefund: up to what was paid).
type purpose struct {
	_    struct{} `cbor:",toarray"`
	What uint8
	ID   api.Hash
	N    uint64
}

// What a payment may be for.
const (
	forRequest = 1 // ID is the record of the request, N is 0
	forOrder   = 2 // ID is the record of the payer's standing order, N the period, from 1
	forRefund  = 3 // ID is the record that paid what is given back, N its place in its feed
	forBatch   = 4 // ID is the digest of all that is to be paid, N the part of it, from 0
)

// decodeTransfer is decode for the kind that is by far the most frequent, written out by hand; a fuzz test compares the two.
func decodeTransfer(b []byte) (t transfer, err error) {
	r := codec.NewReader(b)
	r.Array(6)
	t = transfer{To: api.DID(r.Text()), Currency: r.Text(), Amount: r.Int(), Memo: r.Text(), Category: r.Text()}
	for range r.ArrayLen(maxPurposes) {
		r.Array(3)
		p := purpose{What: uint8(r.Uint(forBatch))}
		if id := r.Bytes(); len(id) == len(p.ID) {
			p.ID = api.Hash(id)
		} // else it is zero, which check refuses
		p.N = r.Uint(maxN)
		t.For = append(t.For, p)
	}
	if err := r.End(); err != nil {
		return t, err
	}
	return t, t.check()
}

// legsOf returns what a record would pay and what for; nothing for one that pays nobody.
func legsOf(rec *api.Record) ([]leg, []purpose) {
	switch rec.Kind {
	case kindTransfer:
		if t, err := decodeTransfer(rec.Body); err == nil {
			return []leg{{To: t.To, Currency: t.Currency, Amount: t.Amount, Memo: t.Memo, Category: t.Category}}, t.For
		}
	case kindBatch:
		var b batch
		if decode(rec.Body, &b) == nil {
			return b.Legs, b.For
		}
	}
	return nil, nil
}

// equal reports whether two payments say the same.
func (t *transfer) equal(o *transfer) bool {
	return t.To == o.To && t.Currency == o.Currency && t.Amount == o.Amount && t.Memo == o.Memo && t.Category == o.Category && slices.Equal(t.For, o.For)
}

func (t *transfer) check() error {
	if err := checkPayment(t.To, t.Currency, t.Amount, t.Memo, t.Category); err != nil {
		return err
	}
	switch len(t.For) {
	case 0:
		return nil
	case 1:
		if t.For[0].What == forBatch {
			return errors.New("for: a transfer is no part of a batch")
		}
		return t.For[0].check()
	case 2:
		if t.For[0].What != forRequest || t.For[1].What != forRefund {
			return errors.New("for: two things are a request and the payment that it asks back")
		}
		return errors.Join(t.For[0].check(), t.For[1].check())
	}
	return fmt.Errorf("for: %d things, at most %d", len(t.For), maxPurposes)
}

func (b *batch) check() error {
	if len(b.Legs) == 0 || len(b.Legs) > maxBatch {
		return fmt.Errorf("legs: %d, want 1 to %d", len(b.Legs), maxBatch)
	}
	for i := range b.Legs {
		l := &b.Legs[i]
		if err := checkPayment(l.To, l.Currency, l.Amount, l.Memo, l.Category); err != nil {
			return fmt.Errorf("legs[%d]: %w", i, err)
		}
	}
	switch {
	case len(b.For) == 0:
		return nil
	case len(b.For) > 1 || b.For[0].What != forBatch:
		return errors.New("for: want nothing, or the part of a batch")
	}
	return b.For[0].check()
}

const (
	maxPurposes = 2
	maxN        = 1<<53 - 1 // what every language can count to
)

func (p *purpose) check() error {
	switch {
	case p.What < forRequest || p.What > forBatch:
		return fmt.Errorf("for: what %d: want %d to %d", p.What, forRequest, forBatch)
	case p.ID.IsZero():
		return errors.New("for: id: want 32 bytes, not all zero")
	case p.N > maxN:
		return fmt.Errorf("for: n %d: at most %d", p.N, uint64(maxN))
	case p.What == forRequest && p.N != 0:
		return fmt.Errorf("for: n %d: a request is paid once, want 0", p.N)
	case (p.What == forOrder || p.What == forRefund) && p.N == 0:
		return errors.New("for: n 0: want 1 or more")
	}
	return nil
}

// checkPayment checks what every payment says.
func checkPayment(to api.DID, currency string, amount int64, memo, category string) error {
	switch {
	case len(to) > maxDID:
		return errors.New("to: too long for a DID")
	case !isCode(currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case amount <= 0:
		return fmt.Errorf("amount %d: want more than 0", amount)
	case category != "" && !isCode(category, maxCategory):
		return fmt.Errorf("category: want at most %d of a-z 0-9 -", maxCategory)
	}
	return checkLine("memo", memo)
}

// checkLine checks a text of a person's: one line of at most maxMemo bytes.
func checkLine(field, s string) error {
	if len(s) > maxMemo {
		return fmt.Errorf("%s of %d bytes: at most %d", field, len(s), maxMemo)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("%s: want text on one line, without control characters", field)
		}
	}
	return nil
}

// TransferBody encodes the body of a transfer, for clients that sign for themselves.
func TransferBody(to api.DID, currency string, amount int64) ([]byte, error) {
	t := transfer{To: to, Currency: currency, Amount: amount}
	if err := t.check(); err != nil {
		return nil, err
	}
	return codec.Marshal(&t)
}

// request asks a member to pay the author.
type request struct {
	_        struct{} `cbor:",toarray"`
	Payer    api.DID
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
	Memo     string
	Category string
	Expires  int64     `say:"millis"` // Unix milliseconds, 0: never. It is shown, and decides nothing.
	Back     []purpose // nothing, or the author's own payment to the payer that it asks back
}

func (q *request) check() error {
	if err := checkPayment(q.Payer, q.Currency, q.Amount, q.Memo, q.Category); err != nil {
		return err
	}
	switch {
	case q.Expires < 0 || q.Expires > maxN:
		return fmt.Errorf("expires %d: want Unix milliseconds, or 0", q.Expires)
	case len(q.Back) == 0:
		return nil
	case len(q.Back) > 1 || q.Back[0].What != forRefund:
		return errors.New("back: want nothing, or one payment of the author's own")
	}
	return q.Back[0].check()
}

// cancel takes a request of the author's own back.
type cancel struct {
	_       struct{} `cbor:",toarray"`
	Request api.Hash
}

func (c *cancel) check() error { return checkID("request", c.Request) }

// decline refuses to pay what somebody asks for.
type decline struct {
	_       struct{} `cbor:",toarray"`
	Request api.Hash
	Reason  string // empty, or one line
}

func (d *decline) check() error {
	if err := checkID("request", d.Request); err != nil {
		return err
	}
	return checkLine("reason", d.Reason)
}

func checkID(field string, id api.Hash) error {
	if id.IsZero() {
		return fmt.Errorf("%s: missing; want the id of a record", field)
	}
	return nil
}
