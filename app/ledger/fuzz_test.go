package ledger

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Whatever decodes is within bounds and has this one encoding.
func FuzzBodies(f *testing.F) {
	f.Add(codec.MustMarshal(&transfer{To: "did:icn:x", Currency: "hours", Amount: 1, Memo: "m"}))
	f.Add(codec.MustMarshal(&transfer{To: "did:icn:x", Currency: "hours", Amount: 1, Category: "food", For: []purpose{{What: forRequest, ID: api.Hash{1}}, {What: forRefund, ID: api.Hash{2}, N: 7}}}))
	f.Add(codec.MustMarshal(&batch{Legs: []leg{{To: "did:icn:x", Currency: "hours", Amount: 1}}, For: []purpose{{What: forBatch, ID: api.Hash{1}, N: 2}}}))
	f.Add(codec.MustMarshal(&request{Payer: "did:icn:x", Currency: "hours", Amount: 1, Expires: 5, Back: []purpose{{What: forRefund, ID: api.Hash{1}, N: 1}}}))
	f.Add(codec.MustMarshal(&cancel{Request: api.Hash{1}}))
	f.Add(codec.MustMarshal(&decline{Request: api.Hash{1}, Reason: "no"}))
	f.Add(codec.MustMarshal(&grant{Account: "did:icn:x", Currency: "hours", Number: 1, Limit: 2, P: 3}))
	f.Add(codec.MustMarshal(&ack{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tr transfer
		if decode(b, &tr) == nil && (tr.Amount <= 0 || len(tr.Memo) > maxMemo || !bytes.Equal(codec.MustMarshal(&tr), b)) {
			t.Errorf("transfer %+v from %x", tr, b)
		}
		byHand, err := decodeTransfer(b)
		if again := decode(b, new(transfer)); (err == nil) != (again == nil) || err == nil && !byHand.equal(&tr) {
			t.Errorf("by hand %+v, %v; else %+v, %v; from %x", byHand, err, tr, again, b)
		}
		var g grant
		if decode(b, &g) == nil && (g.Limit < 0 || g.P < 0 || g.Number == 0 || !bytes.Equal(codec.MustMarshal(&g), b)) {
			t.Errorf("grant %+v from %x", g, b)
		}
		var a ack
		if decode(b, &a) == nil && !bytes.Equal(codec.MustMarshal(&a), b) {
			t.Errorf("ack from %x", b)
		}
		var al allotment
		if decode(b, &al) == nil && (!bytes.Equal(codec.MustMarshal(&al), b) || al.Amount <= 0) {
			t.Errorf("allotment %+v from %x", al, b)
		}
		var ba batch
		if decode(b, &ba) == nil && (!bytes.Equal(codec.MustMarshal(&ba), b) || len(ba.Legs) == 0 || len(ba.Legs) > maxBatch) {
			t.Errorf("batch %+v from %x", ba, b)
		}
		var rq request
		if decode(b, &rq) == nil && (!bytes.Equal(codec.MustMarshal(&rq), b) || rq.Amount <= 0) {
			t.Errorf("request %+v from %x", rq, b)
		}
		var de decline
		if decode(b, &de) == nil && (!bytes.Equal(codec.MustMarshal(&de), b) || len(de.Reason) > maxMemo) {
			t.Errorf("decline %+v from %x", de, b)
		}
		var re giveBack
		if decode(b, &re) == nil && !bytes.Equal(codec.MustMarshal(&re), b) {
			t.Errorf("return %+v from %x", re, b)
		}
	})
}

// Rows that are read and written by hand have the form that the codec gives them.
func FuzzRows(f *testing.F) {
	f.Add("hours", int64(5), int64(-7), true, false, uint8(2))
	f.Fuzz(func(t *testing.T, code string, a, b int64, x, y bool, scale uint8) {
		code = strings.ToValidUTF8(code, "")
		acct, sums, e := account{Credits: a, Debits: b, Aside: a}, []sum{{Code: code, Amount: a}, {Code: "z", Amount: b}}, entry{ID: api.Hash{scale}, Code: code, Delta: b}
		me, cur := self{Member: x, Clerk: y, Allots: x, Device: api.Key{scale}}, fact.Currency{Scale: scale, Limit: a, P: b}
		if raw := acct.encode(); !bytes.Equal(raw, codec.MustMarshal(&acct)) || getAccount(raw, true) != acct {
			t.Errorf("account %+v: %x", acct, raw)
		}
		if raw := encodeSums(sums); !bytes.Equal(raw, codec.MustMarshal(sums)) || !slices.Equal(getSums(raw, true), sums) {
			t.Errorf("sums %+v: %x", sums, raw)
		}
		if raw := e.encode(); !bytes.Equal(raw, codec.MustMarshal(&e)) {
			t.Errorf("entry %+v: %x", e, raw)
		}
		if got := getSelf(codec.MustMarshal(&me), true); got != me {
			t.Errorf("self %+v: %+v", me, got)
		}
		if got := getCurrency(codec.MustMarshal(&cur), true); got != cur {
			t.Errorf("currency %+v: %+v", cur, got)
		}
	})
}

// A cursor is read back as what it was made from.
func FuzzVoidCursor(f *testing.F) {
	f.Add(voidCursor(api.Position{Feed: api.Hash{1}, Seq: 2, ID: api.Hash{3}}))
	f.Fuzz(func(t *testing.T, s string) {
		if p, ok := parseVoidCursor(s); ok && s != "" && voidCursor(p) != strings.ToLower(s) {
			t.Errorf("%q is read as %v", s, p)
		}
	})
}
