package sim_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/sim"
)

type receipts struct{ payment, balance []byte }

// issued are receipts of a co-op with several witnesses: of a payment behind which its payer has made others, and of a balance.
var issued = sync.OnceValues(func() (r receipts, err error) {
	w, err := sim.New(sim.Options{Seed: 1, Nodes: 4})
	if err != nil {
		return r, err
	}
	defer w.Close()
	for i := range 12 {
		if err := w.Pay(w.Members()[i%3], w.Members()[(i+1)%3], int64(100+i)); err != nil {
			return r, err
		}
	}
	if err := w.Agree(time.Minute); err != nil {
		return r, err
	}
	if err := w.Checkpoint(); err != nil {
		return r, err
	}
	if err := w.Agree(time.Minute); err != nil {
		return r, err
	}
	ann := w.Members()[0]
	out, err := ann.Ask("ledger.history", ledger.HistoryIn{Space: w.Space})
	if err != nil {
		return r, err
	}
	entries := out.(*ledger.HistoryOut).Entries
	if r.payment, err = w.Receipt(ann, ledger.ReceiptIn{ID: entries[len(entries)-1].ID}); err != nil {
		return r, err
	}
	r.balance, err = w.Receipt(ann, ledger.ReceiptIn{Currency: sim.Currency, DID: w.Members()[1].Member().DID()})
	return r, err
})

func verified(t *testing.T, b []byte) *app.Proven {
	t.Helper()
	p, err := sim.VerifyReceipt(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	return p
}

func TestReceiptProves(t *testing.T) {
	r, err := issued()
	if err != nil {
		t.Fatal(err)
	}
	p := verified(t, r.payment)
	if p.Payment == nil || p.Amount < 100 || p.Amount > 111 || p.Checkpoint.Number != 1 || len(p.Checkpoint.Signed) == 0 || !strings.Contains(string(r.payment), p.Payment.ID.String()) {
		t.Errorf("%+v", p)
	}
	if len(r.payment) > 32<<10 {
		t.Errorf("%d bytes for one payment", len(r.payment))
	}
	if p = verified(t, r.balance); p.Payment != nil || p.Account == "" || !strings.Contains(string(r.balance), string(p.Account)) {
		t.Errorf("%+v", p)
	}
}

// A byte that is another anywhere is found, in the text by its line.
func TestReceiptFlippedByte(t *testing.T) {
	r, err := issued()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		good := rapid.SampledFrom([][]byte{r.payment, r.balance}).Draw(rt, "receipt")
		bad := bytes.Clone(good)
		i := rapid.IntRange(0, len(bad)-1).Draw(rt, "at")
		bad[i] ^= byte(rapid.IntRange(1, 255).Draw(rt, "by"))
		_, err := sim.VerifyReceipt(bytes.NewReader(bad))
		if k := api.KindOf(err); err == nil || k != api.Invalid && k != api.Unsupported {
			rt.Fatalf("byte %d of %d: %v", i, len(bad), err)
		}
		if text := bytes.Index(good, []byte("-----BEGIN")); i < text-1 && bytes.Count(bad, []byte("-----BEGIN")) == 1 && !strings.Contains(err.Error(), "line ") {
			rt.Fatalf("byte %d is in the text: %v", i, err)
		}
	})
}

// What somebody else's proof is worth under one's own text, and what a file may be that was made to do harm.
func TestReceiptHostile(t *testing.T) {
	r, err := issued()
	if err != nil {
		t.Fatal(err)
	}
	begin := []byte("-----BEGIN ICN RECEIPT-----")
	text, _, _ := bytes.Cut(r.payment, begin)
	_, other, _ := bytes.Cut(r.balance, begin)
	for name, bad := range map[string][]byte{
		"nothing":            nil,
		"half":               r.payment[:len(r.payment)/2],
		"more behind it":     append(bytes.Clone(r.payment), '\n'),
		"something before":   append([]byte("Paid in full.\n"), r.payment...),
		"another's proof":    bytes.Join([][]byte{text, other}, begin),
		"twice":              append(bytes.Clone(r.payment), r.payment...),
		"no text":            append(bytes.Clone(begin), other...),
		"too long":           append(bytes.Clone(r.payment), make([]byte, 8<<20)...),
		"other ends of line": bytes.ReplaceAll(r.payment, []byte("\n"), []byte("\r\n")),
	} {
		if _, err := sim.VerifyReceipt(bytes.NewReader(bad)); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReceiptVerify(f *testing.F) {
	r, err := issued()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.payment)
	f.Add(r.balance)
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := sim.VerifyReceipt(bytes.NewReader(b)); err != nil {
			if k := api.KindOf(err); k != api.Invalid && k != api.Unsupported {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
		} else if !bytes.Equal(b, r.payment) && !bytes.Equal(b, r.balance) {
			t.Fatal("another file is sound")
		}
	})
}

// Somebody who can write the text anew cannot change the proof: each of its values, one after another, is another, left out or there twice, and the proof
// itself is refused, not the text.
func TestReceiptEachField(t *testing.T) {
	r, err := issued()
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "-----BEGIN ICN RECEIPT-----\n", "-----END ICN RECEIPT-----\n"
	for name, good := range map[string][]byte{"payment": r.payment, "balance": r.balance} {
		text, rest, _ := strings.Cut(string(good), begin)
		raw, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(strings.TrimSuffix(rest, end), "\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		var root any
		if err := codec.Unmarshal(raw, &root); err != nil {
			t.Fatal(err)
		}
		check := func(what string) {
			b, err := codec.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			var file strings.Builder
			file.WriteString(text + begin)
			for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(b)), 64) {
				file.Write(append(line, '\n'))
			}
			file.WriteString(end)
			_, err = sim.VerifyReceipt(strings.NewReader(file.String()))
			if k := api.KindOf(err); err == nil || k != api.Invalid && k != api.Unsupported || strings.Contains(err.Error(), ": found ") {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		n := 0
		changed(root, "proof", func(v any) { root = v }, func(what string) { n++; check(what) })
		if n < 60 {
			t.Errorf("%s: only %d values were changed", name, n)
		}
		if b, _ := codec.Marshal(root); !bytes.Equal(b, raw) {
			t.Errorf("%s: the test has left something changed", name)
		}
	}
}

// changed sets each value of a tree to others, one at a time.
func changed(v any, where string, set func(any), check func(what string)) {
	try := func(other any, how string) {
		set(other)
		check(where + " " + how)
		set(v)
	}
	switch x := v.(type) {
	case []any:
		for i := range x {
			changed(x[i], fmt.Sprintf("%s[%d]", where, i), func(o any) { x[i] = o; set(x) }, check)
			try(append(slices.Clone(x[:i]), x[i+1:]...), fmt.Sprintf("without %d", i))
			try(slices.Insert(slices.Clone(x), i, x[i]), fmt.Sprintf("with %d twice", i))
		}
	case []byte:
		var inner any
		if codec.Unmarshal(x, &inner) == nil {
			if list, ok := inner.([]any); ok && len(list) > 0 { // an envelope, a certificate, a row
				changed(inner, where+"*", func(o any) { inner = o; set(codec.MustMarshal(o)) }, check)
				set(v)
			}
		}
		for _, i := range []int{0, len(x) / 2, len(x) - 1} {
			if i >= 0 && i < len(x) {
				o := bytes.Clone(x)
				o[i] ^= 1
				try(o, fmt.Sprintf("byte %d", i))
			}
		}
		try(append(bytes.Clone(x), 0), "longer")
	case string:
		try(x+"x", "longer")
	case uint64:
		try(x+1, "more")
	case int64:
		try(x-1, "less")
	}
}
