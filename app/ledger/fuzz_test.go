package ledger

import (
	"bytes"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Whatever decodes is within bounds and has this one encoding.
func FuzzBodies(f *testing.F) {
	f.Add(codec.MustMarshal(&transfer{To: "did:icn:x", Currency: "hours", Amount: 1, Memo: "m"}))
	f.Add(codec.MustMarshal(&grant{Account: "did:icn:x", Currency: "hours", Number: 1, Limit: 2, P: 3}))
	f.Add(codec.MustMarshal(&ack{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tr transfer
		if decode(b, &tr) == nil && (tr.Amount <= 0 || len(tr.Memo) > maxMemo || !bytes.Equal(codec.MustMarshal(&tr), b)) {
			t.Errorf("transfer %+v from %x", tr, b)
		}
		var g grant
		if decode(b, &g) == nil && (g.Limit < 0 || g.P < 0 || g.Number == 0 || !bytes.Equal(codec.MustMarshal(&g), b)) {
			t.Errorf("grant %+v from %x", g, b)
		}
		var a ack
		if decode(b, &a) == nil && !bytes.Equal(codec.MustMarshal(&a), b) {
			t.Errorf("ack from %x", b)
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
