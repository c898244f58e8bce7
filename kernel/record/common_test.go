package record_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"slices"

	"filippo.io/edwards25519"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// person signs records in these tests: fixed keys, named by a word.
type person struct {
	root, device ed25519.PrivateKey
	auth         []byte
}

func newPerson(name string) *person {
	p := &person{root: keyOf("root " + name), device: keyOf("device " + name)}
	var err error
	if p.auth, err = record.SignKeyEvent(p.root, p.Device()); err != nil {
		panic(err)
	}
	return p
}

func keyOf(word string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("icn record test: " + word))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(k ed25519.PrivateKey) api.Key { return api.Key(k.Public().(ed25519.PublicKey)) }

func (p *person) DID() api.DID                  { return record.DIDOf(public(p.root)) }
func (p *person) Device() api.Key               { return public(p.device) }
func (p *person) Auth() []byte                  { return slices.Clone(p.auth) }
func (p *person) Sign(m []byte) ([]byte, error) { return ed25519.Sign(p.device, m), nil }

var ann = newPerson("ann")

// first returns the draft of a record that founds a space, later that of the second record of a feed with two deps.
func first() *api.Record {
	return &api.Record{
		Version: 1, Topic: api.Topic{Name: "notes"}, Seq: 1, Time: api.MakeTimestamp(1_800_000_000_000, 7),
		Kind: "note:new", Auth: ann.Auth(), Body: []byte("hello"),
	}
}

func later() *api.Record {
	return &api.Record{
		Version: 1, Topic: api.Topic{Space: api.Hash{1}, Name: "notes"}, Seq: 2, Prev: api.Hash{2}, Time: api.MakeTimestamp(1_800_000_000_001, 0),
		Deps: []api.Position{{Feed: api.Hash{3}, Seq: 9, ID: api.Hash{4}}, {Feed: api.Hash{5}, Seq: 1 << 40, ID: api.Hash{6}}},
		Kind: "note", Body: []byte("hello again"),
	}
}

// fataler is what helpers need of a test, a benchmark or a rapid check.
type fataler interface {
	Helper()
	Fatal(...any)
}

func sign(t fataler, r *api.Record) *record.Envelope {
	t.Helper()
	e, err := record.Sign(r, ann)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func point(b []byte) *edwards25519.Point {
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil {
		panic(err)
	}
	return p
}

// torsion is a point of order 8: with its multiples it makes the points of small order.
var torsion = point(unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))

// smallOrder returns all encodings of points of small order, the canonical ones first: 8 of them, and 6 that are not.
func smallOrder() (canonical, others [][]byte) {
	p := edwards25519.NewIdentityPoint()
	for range 8 {
		canonical = append(canonical, p.Bytes())
		p.Add(p, torsion)
	}
	for _, s := range nonCanonical() {
		q, err := new(edwards25519.Point).SetBytes(s)
		if err == nil && new(edwards25519.Point).MultByCofactor(q).Equal(edwards25519.NewIdentityPoint()) == 1 {
			others = append(others, s)
		}
	}
	return canonical, others
}

// nonCanonical returns every 32-byte string that a lenient decoder could read as a point, but that is not the encoding of one: y from p to
// 2^255-1 in place of y-p, and x = 0 with a sign.
func nonCanonical() [][]byte {
	var out [][]byte
	add := func(b []byte) { out = append(out, b) }
	for y := range 19 {
		b := unhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
		b[0] += byte(y)
		add(b)
		signed := slices.Clone(b)
		signed[31] |= 0x80
		add(signed)
	}
	add(unhex("0100000000000000000000000000000000000000000000000000000000000080"))
	add(unhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"))
	return out
}

// crooked signs under a = key + torsion*times, a public key of mixed order whose owner knows the honest half, and with r of mixed order when
// twist is set.
func crooked(k ed25519.PrivateKey, times int, twist bool, message []byte) (api.Key, []byte) {
	h := sha512.Sum512(k.Seed())
	s, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err)
	}
	a := new(edwards25519.Point).ScalarBaseMult(s)
	for range times {
		a.Add(a, torsion)
	}
	nonce := sha512.Sum512(append(h[32:], message...))
	r, err := edwards25519.NewScalar().SetUniformBytes(nonce[:])
	if err != nil {
		panic(err)
	}
	R := new(edwards25519.Point).ScalarBaseMult(r)
	if twist {
		R.Add(R, torsion)
	}
	sig := append(R.Bytes(), edwards25519.NewScalar().MultiplyAdd(challenge(R.Bytes(), a.Bytes(), message), s, r).Bytes()...)
	return api.Key(a.Bytes()), sig
}

func challenge(r, a, message []byte) *edwards25519.Scalar {
	h := sha512.Sum512(slices.Concat(r, a, message))
	k, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	if err != nil {
		panic(err)
	}
	return k
}

// reference is ZIP-215 in the words of its text, on another library than the one under test.
func reference(k api.Key, message, sig []byte) bool {
	if len(sig) != 64 {
		return false
	}
	a, err := new(edwards25519.Point).SetBytes(k[:])
	if err != nil {
		return false
	}
	r, err := new(edwards25519.Point).SetBytes(sig[:32])
	if err != nil {
		return false
	}
	s, err := edwards25519.NewScalar().SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	// [8][S]B = [8]R + [8][k]A
	d := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(challenge(sig[:32], k[:], message), new(edwards25519.Point).Negate(a), s)
	d.Subtract(d, r)
	return d.MultByCofactor(d).Equal(edwards25519.NewIdentityPoint()) == 1
}

// malleable returns sig with the group order added to S: the same equation, another spelling.
func malleable(sig []byte) []byte {
	order := unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	out := slices.Clone(sig)
	carry := 0
	for i := range order {
		carry += int(out[32+i]) + int(order[i])
		out[32+i] = byte(carry)
		carry >>= 8
	}
	return out
}
