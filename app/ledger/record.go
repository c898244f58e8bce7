package ledger

import (
	"errors"
	"fmt"
	"unicode"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Record kinds.
const (
	kindTransfer = "transfer"
	kindAck      = "ack"
	kindGrant    = "grant"
	kindAllot    = "allot"
	kindReturn   = "return"
)

// Bounds, in bytes.
const (
	maxMemo = 256
	maxCode = 16
	maxDID  = 72 // bounds what is looked at; record.ParseDID checks the rest
)

// transfer pays.
type transfer struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
	Memo     string
}

// ack is a record that does nothing but cite.
type ack struct {
	_ struct{} `cbor:",toarray"`
}

// grant sets an account's credit limit. A clerk's grants for one account and currency are numbered without gaps, the first clerk's from 1, the nth's
// from (n-1) * 2^32 + 1.
type grant struct {
	_        struct{} `cbor:",toarray"`
	Account  api.DID
	Currency string
	Number   uint64
	Limit    int64 `say:"amount,currency"` // minor units, >= 0
	P        int64 `say:"amount,currency"` // credit not final that may be spent, minor units, >= 0
	Frozen   bool  // nothing may be spent until a later grant says otherwise
}

// decodeTransfer is decode for the kind that is by far the most frequent, written out by hand; a fuzz test compares the two.
func decodeTransfer(b []byte) (t transfer, err error) {
	r := codec.NewReader(b)
	r.Array(4)
	t = transfer{To: api.DID(r.Text()), Currency: r.Text(), Amount: r.Int(), Memo: r.Text()}
	if err := r.End(); err != nil {
		return t, err
	}
	return t, t.check()
}

func (t *transfer) check() error {
	switch {
	case len(t.To) > maxDID:
		return errors.New("to: too long for a DID")
	case !isCode(t.Currency):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case t.Amount <= 0:
		return fmt.Errorf("amount %d: want more than 0", t.Amount)
	case len(t.Memo) > maxMemo:
		return fmt.Errorf("memo of %d bytes: at most %d", len(t.Memo), maxMemo)
	}
	for _, r := range t.Memo {
		if unicode.IsControl(r) {
			return errors.New("memo: want text on one line, without control characters")
		}
	}
	return nil
}

func (*ack) check() error { return nil }

func (g *grant) check() error {
	switch {
	case len(g.Account) > maxDID:
		return errors.New("account: too long for a DID")
	case !isCode(g.Currency):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case g.Number == 0:
		return errors.New("number 0: numbers start at 1")
	case g.Limit < 0 || g.P < 0:
		return fmt.Errorf("limit %d, p %d: want 0 or more", g.Limit, g.P)
	}
	return nil
}

func decode[T interface{ check() error }](b []byte, v T) error {
	if err := codec.Unmarshal(b, v); err != nil {
		return err
	}
	return v.check()
}

func isCode(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxCode
}

// TransferBody encodes the body of a transfer, for clients that sign for themselves.
func TransferBody(to api.DID, currency string, amount int64) ([]byte, error) {
	t := transfer{To: to, Currency: currency, Amount: amount}
	if err := t.check(); err != nil {
		return nil, err
	}
	return codec.Marshal(&t)
}
