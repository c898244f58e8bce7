package record_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// randomVector is a record without its bytes: who encodes its fields as it should comes to the same id, and by its key to the same signature.
type randomVector struct {
	decoded
	Signature text `json:"signature"`
}

// source draws from a generator whose algorithm is fixed, so that the same records come out of every build.
type source struct{ *rand.PCG }

func (s source) below(n int) int { return int(s.Uint64() % uint64(n)) }

func (s source) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.Uint64())
	}
	return b
}

// number draws sizes evenly rather than numbers: all lengths of the encoding occur.
func (s source) number() uint64 { return max(1, s.Uint64()>>s.below(64)) }

func (s source) name() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_.:"
	b := make([]byte, 1+s.below(record.MaxName))
	for i := range b {
		b[i] = letters[s.below(len(letters))]
	}
	return string(b)
}

func (s source) draft() *api.Record {
	r := &api.Record{
		Version: uint16(max(1, s.number()&0xffff)), Topic: api.Topic{Name: s.name()}, Seq: s.number(), Time: api.Timestamp(s.number()),
		Kind: s.name(), Body: s.bytes(s.below(1 << s.below(9))),
	}
	if s.below(4) == 0 {
		r.Seq = 1
	}
	if r.Seq > 1 || s.below(2) == 0 {
		r.Topic.Space = api.Hash(s.bytes(32))
	}
	if r.Seq > 1 {
		r.Prev = api.Hash(s.bytes(32))
	} else {
		r.Auth = ann.Auth()
	}
	for range s.below(1 + s.below(4)) {
		r.Deps = append(r.Deps, api.Position{Feed: api.Hash(s.bytes(32)), Seq: s.number(), ID: api.Hash(s.bytes(32))})
	}
	slices.SortFunc(r.Deps, func(a, b api.Position) int { return a.Feed.Compare(b.Feed) })
	return r
}

func makeRandom(t *testing.T) (out []randomVector) {
	s := source{rand.NewPCG(1, 2)}
	for range 250 {
		e := sign(t, s.draft())
		what, d := judgeRecord(e.Raw)
		if what != ok {
			t.Fatalf("%s: %x", what, e.Raw)
		}
		out = append(out, randomVector{decoded: *d, Signature: e.Signature})
	}
	return out
}

// The fields of each vector, encoded anew, give its id: what another implementation does with them.
func TestVectorsRandom(t *testing.T) {
	for i, v := range golden(t, "random.json", makeRandom(t)) {
		r := &api.Record{
			Version: v.Version, Topic: api.Topic{Space: v.Space, Name: v.Topic}, Device: v.Device, Seq: v.Seq, Prev: v.Prev, Time: api.Timestamp(v.Time), Kind: v.Kind,
			Auth: v.Auth, Body: v.Body,
		}
		if v.Founds {
			r.Topic.Space = api.Hash{}
		}
		for _, d := range v.Deps {
			r.Deps = append(r.Deps, api.Position(d))
		}
		e := sign(t, r)
		if e.ID != v.ID || e.Feed != v.Feed || !bytes.Equal(e.Signature, v.Signature) {
			b, _ := json.Marshal(v)
			t.Fatalf("vector %d comes to the id %s and the feed %s: %s", i, e.ID, e.Feed, b)
		}
	}
}
