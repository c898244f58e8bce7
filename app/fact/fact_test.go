package fact

import (
	"bytes"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// one has the Fact and Publish halves of a Tx over a single map.
type one struct {
	api.Tx
	m map[string][]byte
}

func (o one) Publish(name string, key, value []byte) { o.m[name+"\x00"+string(key)] = value }
func (o one) Fact(_ api.Position, name string, key []byte) ([]byte, bool) {
	b, ok := o.m[name+"\x00"+string(key)]
	return b, ok
}

func TestRoundTrip(t *testing.T) {
	tx, dep := one{m: map[string][]byte{}}, api.Position{}
	did, key, feed := api.DID("did:icn:x"), api.Key{7}, api.Hash{9}
	PutMember(tx, did, Member{Device: key, Number: 3, Founder: true})
	PutCurrency(tx, "hours", Currency{Scale: 2, Limit: 10000, P: 5})
	PutOffice(tx, Clerk, Office{DID: did, Device: key, Number: 1})
	PutWitness(tx, key, Witness{Epoch: 1})
	PutFinal(tx, feed, Final{Seq: 4, ID: api.Hash{1}, Accepted: true})
	PutGenesis(tx, Genesis{Name: "n", Founders: []Founder{{DID: did, Device: key}}, Currencies: []string{"hours"}, Test: true})

	if m, ok := MemberAt(tx, dep, did); !ok || m.Device != key || m.Number != 3 || !m.Founder {
		t.Errorf("member: %+v %v", m, ok)
	}
	if _, ok := MemberAt(tx, dep, "did:icn:y"); ok {
		t.Error("a stranger is a member")
	}
	if c, ok := CurrencyAt(tx, dep, "hours"); !ok || c.Scale != 2 || c.Limit != 10000 || c.P != 5 {
		t.Errorf("currency: %+v %v", c, ok)
	}
	if o, ok := OfficeAt(tx, dep, Clerk); !ok || o.DID != did || o.Device != key {
		t.Errorf("office: %+v %v", o, ok)
	}
	if w, ok := WitnessAt(tx, dep, key); !ok || w.Epoch != 1 {
		t.Errorf("witness: %+v %v", w, ok)
	}
	if f, ok := FinalAt(tx, dep, 0, feed); !ok || f.Position(feed) != (api.Position{Feed: feed, Seq: 4, ID: api.Hash{1}}) || !f.Accepted {
		t.Errorf("final: %+v %v", f, ok)
	}
	if g, ok := GenesisAt(tx, dep); !ok || !g.Test || len(g.Founders) != 1 || g.Founders[0].DID != did {
		t.Errorf("genesis: %+v %v", g, ok)
	}
}

func TestGolden(t *testing.T) {
	// The encoding of a published fact is part of the protocol: verdicts depend on it.
	got := codec.MustMarshal(&Final{Seq: 4, ID: api.Hash{1}, Accepted: true, Cut: 2, Epoch: 1, Need: 3})
	want := append([]byte{0x86, 0x04, 0x58, 0x20, 1}, append(make([]byte, 31), 0xf5, 2, 1, 3)...)
	if !bytes.Equal(got, want) {
		t.Errorf("final is encoded as %x, want %x", got, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(codec.MustMarshal(&Member{Device: api.Key{1}, Number: 2}))
	f.Add(codec.MustMarshal(&Genesis{Name: "n", Founders: []Founder{{DID: "d"}}, Witnesses: []api.Key{{1}}}))
	f.Add(codec.MustMarshal(&Final{Seq: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		again[Genesis](t, b)
		again[Member](t, b)
		again[Currency](t, b)
		again[Office](t, b)
		again[Witness](t, b)
		again[Final](t, b)
	})
}

func again[T any](t *testing.T, b []byte) {
	if v, ok := decode[T](b, true); ok && !bytes.Equal(codec.MustMarshal(&v), b) {
		t.Errorf("%T: decoded from %x, encoded otherwise", v, b)
	}
}
