package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// What is in escrow is out of the payer's account and not yet in the payee's: it is on an account of its own, escrow:<id>, which nobody spends from. The payer
// may release it to the payee, the payee may give it back, an arbiter whom the payer has named may award it, and at a date it goes one way or the other. These
// say what they want in their own feeds; what comes of it is one record of the clerk's, who alone writes in that order: see escrowsettle.go.

// Record kinds, in the topic ledger.
const (
	kindEscrow     = "escrow"      // the payer's
	kindRelease    = "release"     // the payer's
	kindEscrowBack = "escrow-back" // the payee's
	kindAward      = "award"       // the arbiter's
)

// Who gets what is left in escrow at its date.
const (
	thenPayer = "payer"
	thenPayee = "payee"
)

// escrow puts an amount aside for a payee.
type escrow struct {
	_        struct{} `cbor:",toarray"`
	Payee    api.DID
	Currency string
	Amount   int64   `say:"amount,currency"` // minor units, > 0
	Arbiter  api.DID // who may award it; empty: nobody
	Expires  int64   `say:"millis"` // Unix milliseconds, > 0
	Then     string  // payer or payee: who gets, at that time, what is not decided
	Memo     string
	Category string
}

func (e *escrow) check() error {
	switch {
	case len(e.Arbiter) > maxDID:
		return errors.New("arbiter: too long for a DID")
	case e.Arbiter != "" && e.Arbiter == e.Payee:
		return errors.New("arbiter: the payee cannot be arbiter")
	case e.Expires <= 0 || e.Expires > maxN:
		return fmt.Errorf("expires %d: want Unix milliseconds, more than 0", e.Expires)
	case e.Then != thenPayer && e.Then != thenPayee:
		return fmt.Errorf("then %q: want payer or payee", clip(e.Then))
	}
	return checkPayment(e.Payee, e.Currency, e.Amount, e.Memo, e.Category)
}

// release is the payer's consent that so much of an escrow goes to the payee.
type release struct {
	_      struct{} `cbor:",toarray"`
	Escrow api.Hash
	Amount int64 // minor units of the escrow's currency, in all, > 0
}

func (r *release) check() error { return checkPart(r.Escrow, r.Amount) }

// escrowBack is the payee's consent that so much of an escrow goes back to the payer.
type escrowBack struct {
	_      struct{} `cbor:",toarray"`
	Escrow api.Hash
	Amount int64 // minor units of the escrow's currency, in all, > 0
}

func (b *escrowBack) check() error { return checkPart(b.Escrow, b.Amount) }

// award is the arbiter's word on how much of an escrow goes to the payee; the rest goes back.
type award struct {
	_      struct{} `cbor:",toarray"`
	Escrow api.Hash
	Amount int64  // minor units of the escrow's currency, to the payee, >= 0
	Reason string // empty, or one line
}

func (a *award) check() error {
	if a.Amount < 0 {
		return fmt.Errorf("amount %d: want 0 or more", a.Amount)
	}
	return cmp.Or(checkID("escrow", a.Escrow), checkLine("reason", a.Reason))
}

func checkPart(id api.Hash, amount int64) error {
	if amount <= 0 {
		return fmt.Errorf("amount %d: want more than 0", amount)
	}
	return checkID("escrow", id)
}

// escrowPrefix is how the account of an escrow begins; the id of its record follows.
const escrowPrefix = "escrow:"

// EscrowAccount is the account on which an escrow is, by the id of its record. It stands where else the DID of an account's owner stands, and is no DID.
func EscrowAccount(id api.Hash) api.DID { return api.DID(escrowPrefix + id.String()) }

// escrowOf returns whose escrow an account is.
func escrowOf(account api.DID) (id api.Hash, ok bool) {
	text, ok := strings.CutPrefix(string(account), escrowPrefix)
	if !ok {
		return id, false
	}
	id, err := api.ParseHash(text)
	return id, err == nil && !id.IsZero()
}

// Feed rows:
//
//	esc/<id>     deposit, on the feed of the payer
//	escback/<id> 8 bytes, on the feed of the payee: how much it gives back in all
//	award/<id>   8 bytes, on the feed of the arbiter: how much the payee gets
//
// and query rows: esc/<space><did> 0 <time><feed><seq> -> id of an escrow that concerns did; said/<space><id><feed><seq> -> word.
const (
	indexEscrows = "esc/"
	indexWords   = "said/"
)

func rowEscrow(id api.Hash) []byte     { return append([]byte("esc/"), id[:]...) }
func rowEscrowBack(id api.Hash) []byte { return append([]byte("escback/"), id[:]...) }
func rowAward(id api.Hash) []byte      { return append([]byte("award/"), id[:]...) }

// deposit is what the payer's feed keeps of an escrow.
type deposit struct {
	_        struct{} `cbor:",toarray"`
	Payer    api.DID
	Payee    api.DID
	Currency string
	Amount   int64
	Arbiter  api.DID
	Expires  int64
	Then     string
	Released int64
}

// word is what somebody has said about an escrow.
type word struct {
	_      struct{} `cbor:",toarray"`
	ID     api.Hash // of the record
	Kind   string
	Amount int64
}

func wordsKey(dst []byte, space, id api.Hash) []byte {
	return append(spaceKey(dst, indexWords, space), id[:]...)
}

// said tells queries what the record says about an escrow.
func (f *fold) said(id api.Hash, amount int64) {
	k := wordsKey(make([]byte, 0, keySize), f.rec.Topic.Space, id)
	f.Index(recordKey(k, f.rec), codec.MustMarshal(&word{ID: f.rec.ID, Kind: f.rec.Kind, Amount: amount}))
}

// holding folds a member's record about an escrow.
func (f *fold) holding() api.Outcome {
	switch f.rec.Kind {
	case kindEscrow:
		var e escrow
		if err := decode(f.rec.Body, &e); err != nil {
			return malformed(err)
		}
		return f.escrow(&e)
	case kindRelease:
		var r release
		if err := decode(f.rec.Body, &r); err != nil {
			return malformed(err)
		}
		return f.release(&r)
	case kindEscrowBack:
		var b escrowBack
		if err := decode(f.rec.Body, &b); err != nil {
			return malformed(err)
		}
		return f.escrowBack(&b)
	}
	var a award
	if err := decode(f.rec.Body, &a); err != nil {
		return malformed(err)
	}
	return f.award(&a)
}

// escrow takes an amount from the payer's account and keeps it.
func (f *fold) escrow(e *escrow) api.Outcome {
	f.enter()
	switch {
	case e.Payee == f.rec.Author:
		return api.Voided(Domain, "self-transfer", "nobody pays oneself")
	case e.Arbiter == f.rec.Author:
		return api.Voided(Domain, "bad-arbiter", "neither side of an escrow can be its arbiter")
	}
	if _, err := record.ParseDID(string(e.Payee)); err != nil {
		return api.Voided(Domain, "bad-recipient", "payee: "+err.Error())
	}
	if e.Arbiter != "" {
		if _, err := record.ParseDID(string(e.Arbiter)); err != nil {
			return api.Voided(Domain, "bad-arbiter", "arbiter: "+err.Error())
		}
	}
	if !f.self.Member {
		return f.stranger()
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	if out := f.takeOut(e.Currency, e.Amount); out.Void != nil {
		return out
	}
	f.close()
	f.Put(rowEscrow(f.rec.ID), codec.MustMarshal(&deposit{
		Payer: f.rec.Author, Payee: e.Payee, Currency: e.Currency, Amount: e.Amount, Arbiter: e.Arbiter, Expires: e.Expires, Then: e.Then,
	}))
	f.shift(f.rec.Author, e.Currency, -e.Amount, 0)
	f.shift(EscrowAccount(f.rec.ID), e.Currency, e.Amount, 0)
	for _, did := range [...]api.DID{f.rec.Author, e.Payee, e.Arbiter} {
		if did != "" {
			f.Index(placeKey(nil, indexEscrows, did, f.rec), f.rec.ID[:])
		}
	}
	return api.Accepted
}

// shift changes the balance of an account, and says so in its history.
func (f *fold) shift(account api.DID, code string, delta int64, leg int) {
	k := make([]byte, 0, keySize)
	f.Add(balanceKey(k, f.rec.Topic.Space, code, account), delta)
	e := entry{ID: f.rec.ID, Code: code, Delta: delta}
	f.Index(historyKey(k, account, f.rec, leg), e.encode())
}

// release keeps how much of an escrow of this feed's the payee is to have.
func (f *fold) release(r *release) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	b, ok := f.Own(rowEscrow(r.Escrow))
	h := get[deposit](b, ok)
	switch {
	case !ok:
		return noEscrow
	case r.Amount > h.Amount || r.Amount <= h.Released:
		return notMore(r.Amount, h.Released, h.Amount)
	}
	if out := f.join(); out.Void != nil {
		return out
	}
	h.Released = r.Amount
	f.Put(rowEscrow(r.Escrow), codec.MustMarshal(&h))
	f.said(r.Escrow, r.Amount)
	return api.Accepted
}

// escrowBack keeps how much of an escrow for the author its payer is to have back.
func (f *fold) escrowBack(b *escrowBack) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	h, ok := f.escrowed(b.Escrow)
	had := int64(fact.Number(f.Own(rowEscrowBack(b.Escrow))))
	switch {
	case !ok || h.Payee != f.rec.Author:
		return noEscrow
	case b.Amount > h.Amount || b.Amount <= had:
		return notMore(b.Amount, had, h.Amount)
	}
	if out := f.join(); out.Void != nil {
		return out
	}
	f.Put(rowEscrowBack(b.Escrow), api.Seq8(uint64(b.Amount)))
	f.said(b.Escrow, b.Amount)
	return api.Accepted
}

// award keeps, once, how much of an escrow its payee is to have, as its arbiter says.
func (f *fold) award(a *award) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	h, ok := f.escrowed(a.Escrow)
	if !ok || h.Arbiter != f.rec.Author {
		return noEscrow
	}
	if b, awarded := f.Own(rowAward(a.Escrow)); awarded || a.Amount > h.Amount {
		return notMore(a.Amount, int64(fact.Number(b, awarded)), h.Amount)
	}
	if out := f.join(); out.Void != nil {
		return out
	}
	f.Put(rowAward(a.Escrow), api.Seq8(uint64(a.Amount)))
	f.said(a.Escrow, a.Amount)
	return api.Accepted
}

// escrowed finds an escrow in what the record cites.
func (f *fold) escrowed(id api.Hash) (deposit, bool) {
	for _, d := range f.rec.Deps {
		if b, ok := f.At(d, rowEscrow(id)); ok && d.Feed != f.rec.Feed {
			return get[deposit](b, ok), true
		}
	}
	return deposit{}, false
}

var noEscrow = api.Voided(Domain, "no-escrow", "the record cites no such escrow, or its author has no such say in it")

func notMore(amount, had, most int64) api.Outcome {
	out := api.Voided(Domain, "not-more", "an amount is said in all: more than was said before, and no more than is in escrow; an award is made once")
	out.Void.Inputs = map[string]string{
		"amount": strconv.FormatInt(amount, 10), "before": strconv.FormatInt(had, 10), "in_escrow": strconv.FormatInt(most, 10),
	}
	return out
}
