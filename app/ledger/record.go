package ledger

import (
	"errors"
	"fmt"

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
	kindBatch    = "batch"
	kindRequest  = "request"
	kindCancel   = "cancel"
	kindDecline  = "decline"
	kindOrder    = "order"
	kindEndOrder = "end-order"
)

// Bounds, in bytes.
const (
	maxMemo     = 256
	maxCode     = 16
	maxCategory = 32
	maxDID      = 72 // bounds what is looked at; record.ParseDID checks the rest
)

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
	Limit    int64  `say:"amount,currency"` // minor units, >= 0
	P        int64  `say:"amount,currency"` // credit not final that may be spent, minor units, >= 0
	Frozen   bool   // nothing may be spent until a later grant says otherwise
	ByHand   bool   // a person has set the limit: policies leave it alone
	Policy   uint64 // number of the policy that the limit comes from, 0 for none
	Terms    []term // what it is made of, then; they add up to it
}

func (*ack) check() error { return nil }

func (g *grant) check() error {
	switch {
	case len(g.Account) > maxDID:
		return errors.New("account: too long for a DID")
	case !isCode(g.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case g.Number == 0:
		return errors.New("number 0: numbers start at 1")
	case g.Limit < 0 || g.P < 0:
		return fmt.Errorf("limit %d, p %d: want 0 or more", g.Limit, g.P)
	}
	return g.checkWhy()
}

func decode[T interface{ check() error }](b []byte, v T) error {
	if err := codec.Unmarshal(b, v); err != nil {
		return err
	}
	return v.check()
}

func isCode(s string, longest int) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= longest
}
