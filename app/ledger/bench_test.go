package ledger

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// slate is a Tx that has rows and drops what is written.
type slate struct {
	api.Tx
	rows map[string][]byte
}

func (s *slate) Own(k []byte) ([]byte, bool) { b, ok := s.rows[string(k)]; return b, ok }
func (*slate) Put([]byte, []byte)            {}
func (*slate) Index([]byte, []byte)          {}
func (*slate) Add([]byte, int64)             {}

// BenchmarkTransfer is what the app does for a plain payment, by far the most frequent record: allocations are the kernel's rows and this.
func BenchmarkTransfer(b *testing.B) {
	const to = "did:icn:7ebAX6vHDyfGYbTzBM3pDieYTmuYDUtGG1B3JHsCNRwE"
	body, err := TransferBody(to, "hours", 1)
	if err != nil {
		b.Fatal(err)
	}
	rec := &api.Record{
		Feed: api.Hash{1}, Author: "did:icn:7Lc7pd65yPmPdnTjkPtLdVwG4uUGtNaVkM8nyFv3u64R", Device: api.Key{2}, Seq: 9, Kind: kindTransfer, Body: body,
		Topic: api.Topic{Space: api.Hash{3}, Name: fact.LedgerTopic},
	}
	tx := &slate{rows: map[string][]byte{
		string(rowSelf):               codec.MustMarshal(&self{Member: true, Terms: true, Device: rec.Device}),
		string(rowCurrency("hours")):  codec.MustMarshal(&fact.Currency{Scale: 2, Limit: 100}),
		string(rowAccount("hours")):   (&account{Credits: 10, Debits: 5}).encode(),
		string(rowPaid(rec.Feed, to)): encodeSums([]sum{{Code: "hours", Amount: 5}}),
	}}
	app := New(nil)
	b.ReportAllocs()
	for b.Loop() {
		if out := app.Apply(tx, rec); out.Void != nil {
			b.Fatal(out.Void)
		}
	}
}
