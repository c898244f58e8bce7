package ed_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"filippo.io/edwards25519"
	"pgregory.net/rapid"

	"github.com/intercooperative/icn/crypto/ed"
)

func private(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
}

func public(k ed25519.PrivateKey) []byte { return k.Public().(ed25519.PublicKey) }

// The eight points of small order, by adding one of order 8 to itself.
func smallOrder(t testing.TB) [][]byte {
	t.Helper()
	p, err := new(edwards25519.Point).SetBytes([]byte{
		0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
	})
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	sum := edwards25519.NewIdentityPoint()
	for range 8 {
		all = append(all, sum.Bytes())
		sum = new(edwards25519.Point).Add(sum, p)
	}
	if sum.Equal(edwards25519.NewIdentityPoint()) != 1 {
		t.Fatal("not of order 8")
	}
	return all
}

func TestCheckKey(t *testing.T) {
	if err := ed.CheckKey(public(private(1))); err != nil {
		t.Errorf("an honest key: %v", err)
	}
	honest, err := new(edwards25519.Point).SetBytes(public(private(1)))
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range smallOrder(t) {
		if err := ed.CheckKey(b); !errors.Is(err, ed.ErrOrder) {
			t.Errorf("small order %d: %v", i, err)
		}
		if i == 0 {
			continue
		}
		low, _ := new(edwards25519.Point).SetBytes(b)
		if err := ed.CheckKey(new(edwards25519.Point).Add(honest, low).Bytes()); !errors.Is(err, ed.ErrOrder) {
			t.Errorf("mixed order %d: %v", i, err)
		}
	}
	one := append([]byte{0xee}, bytes.Repeat([]byte{0xff}, 30)...) // y = p + 1
	for name, tc := range map[string]struct {
		key  []byte
		want error
	}{
		"none":          {nil, ed.ErrNotAPoint},
		"short":         {public(private(1))[1:], ed.ErrNotAPoint},
		"off the curve": {append([]byte{2}, make([]byte, 31)...), ed.ErrNotAPoint},
		"non-canonical": {append(one, 0x7f), ed.ErrNotCanonical},
	} {
		if err := ed.CheckKey(tc.key); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// By ZIP-215 the equation is cofactored: a key and an R of small order satisfy it with S = 0, which the standard library's rule refuses for most.
func TestVerifyIsZIP215(t *testing.T) {
	m := []byte("message")
	std := 0
	low := smallOrder(t)
	for _, a := range low {
		for _, r := range low {
			sig := append(bytes.Clone(r), make([]byte, 32)...)
			if !ed.Verify(a, m, sig) {
				t.Errorf("key %x, R %x: refused", a, r)
			}
			if ed25519.Verify(a, m, sig) {
				std++
			}
		}
	}
	if std == len(low)*len(low) {
		t.Error("the standard library takes them all: the test no longer tells the rules apart")
	}
}

func TestVerifyRefusesLengths(t *testing.T) {
	k, m := private(1), []byte("m")
	sig := ed25519.Sign(k, m)
	if !ed.Verify(public(k), m, sig) {
		t.Fatal("an honest signature is refused")
	}
	if ed.Verify(public(k)[1:], m, sig) || ed.Verify(nil, m, sig) || ed.Verify(public(k), m, sig[1:]) || ed.Verify(public(k), m, nil) {
		t.Error("a wrong length is taken")
	}
}

// Batches say what Verify says, wherever the bad ones are.
func TestBatchesAgree(t *testing.T) {
	v := ed.NewVerifier(4)
	rapid.Check(t, func(t *rapid.T) {
		ms := make([]ed.Signed, rapid.IntRange(0, 140).Draw(t, "n"))
		for i := range ms {
			k := private(byte(i % 7))
			m := []byte{byte(i), byte(i >> 8)}
			ms[i] = ed.Signed{Key: public(k), Message: m, Signature: ed25519.Sign(k, m)}
		}
		for range rapid.IntRange(0, 3).Draw(t, "bad") {
			if len(ms) > 0 {
				i := rapid.IntRange(0, len(ms)-1).Draw(t, "which")
				ms[i].Signature = bytes.Clone(ms[i].Signature)
				ms[i].Signature[rapid.IntRange(0, 63).Draw(t, "byte")] ^= 1
			}
		}
		for i, ok := range v.Verify(ms) {
			if want := ed.Verify(ms[i].Key, ms[i].Message, ms[i].Signature); ok != want {
				t.Fatalf("%d of %d: %t, singly %t", i, len(ms), ok, want)
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	k, m := private(1), []byte("m")
	f.Add(public(k), m, ed25519.Sign(k, m))
	v := ed.NewVerifier(4)
	f.Fuzz(func(t *testing.T, key, m, sig []byte) {
		one := ed.Verify(key, m, sig)
		if ed.CheckKey(key) != nil {
			return
		}
		if ed25519.Verify(key, m, sig) && !one {
			t.Errorf("the standard library takes it, Verify does not: %x %x %x", key, m, sig)
		}
		s := ed.Signed{Key: key, Message: m, Signature: sig}
		for _, batch := range v.Verify([]ed.Signed{s, s}) {
			if batch != one {
				t.Errorf("in a batch %t, singly %t", batch, one)
			}
		}
	})
}
