package hybrid_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"filippo.io/mldsa"
	"pgregory.net/rapid"

	"github.com/intercooperative/icn/crypto/ed"
	"github.com/intercooperative/icn/crypto/hybrid"
)

var levels = []hybrid.Level{hybrid.Level44, hybrid.Level65, hybrid.Level87}

func seed(b byte) []byte { return bytes.Repeat([]byte{b}, hybrid.SeedSize) }

func newKey(t testing.TB, l hybrid.Level, b byte) *hybrid.PrivateKey {
	t.Helper()
	k, err := hybrid.NewKey(l, seed(b))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k *hybrid.PrivateKey, context string, m []byte) []byte {
	t.Helper()
	sig, err := k.Sign(context, m)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func TestSignAndVerify(t *testing.T) {
	for _, l := range levels {
		k := newKey(t, l, 1)
		p := k.Public()
		sig := sign(t, k, "context", []byte("message"))
		if len(sig) != l.SignatureSize() || len(p.Bytes()) != l.PublicKeySize() || p.Level() != l {
			t.Errorf("level %d: %d and %d bytes", l, len(sig), len(p.Bytes()))
		}
		back, err := hybrid.ParsePublicKey(p.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if back.Fingerprint() != p.Fingerprint() || back.Ed25519() != p.Ed25519() || !bytes.Equal(back.Bytes(), p.Bytes()) {
			t.Errorf("level %d: another key came back", l)
		}
		if !back.Verify("context", []byte("message"), sig) {
			t.Errorf("level %d: an honest signature is refused", l)
		}
		for name, ok := range map[string]bool{
			"context":       back.Verify("Context", []byte("message"), sig),
			"moved context": back.Verify("contex", []byte("tmessage"), sig),
			"message":       back.Verify("context", []byte("massage"), sig),
			"nothing":       back.Verify("context", []byte("message"), nil),
			"longer":        back.Verify("context", []byte("message"), append(bytes.Clone(sig), 0)),
			"long context":  back.Verify(strings.Repeat("x", 256), []byte("message"), sig),
			"another's":     newKey(t, l, 2).Public().Verify("context", []byte("message"), sig),
		} {
			if ok {
				t.Errorf("level %d: %s: taken", l, name)
			}
		}
	}
	if l := hybrid.Level65; l.PublicKeySize() != 1985 || l.SignatureSize() != 3374 || hybrid.Level(1).PublicKeySize() != 0 || hybrid.Level(1).SignatureSize() != 0 {
		t.Error("sizes")
	}
}

// Either half alone is worth nothing: each is exchanged for a valid one of another message or another key.
func TestBothHalvesMustVerify(t *testing.T) {
	const split = 1 + ed.SignatureSize
	for _, l := range levels {
		k := newKey(t, l, 1)
		one, two := sign(t, k, "", []byte("one")), sign(t, k, "", []byte("two"))
		for name, sig := range map[string][]byte{
			"ML-DSA only":     append(bytes.Clone(two[:split]), one[split:]...),
			"Ed25519 only":    append(bytes.Clone(one[:split]), two[split:]...),
			"another's":       append(bytes.Clone(one[:split]), sign(t, newKey(t, l, 2), "", []byte("one"))[split:]...),
			"no Ed25519 half": append(append([]byte{byte(l)}, make([]byte, ed.SignatureSize)...), one[split:]...),
			"no ML-DSA half":  append(bytes.Clone(one[:split]), make([]byte, len(one)-split)...),
		} {
			if k.Public().Verify("", []byte("one"), sig) {
				t.Errorf("level %d: %s is taken", l, name)
			}
		}
	}
}

// The halves are what the package comment says, so that another implementation can be written from it.
func TestHalvesAreAsDocumented(t *testing.T) {
	const label = "hybrid-ed25519-mldsa"
	k := newKey(t, hybrid.Level65, 1)
	p := k.Public().Bytes()
	sig := sign(t, k, "ctx", []byte("m"))
	print := sha256.Sum256(p)
	bound := label + "\x41" + string(print[:]) + "\x03ctx" + "m"
	if !ed25519.Verify(p[1:33], []byte(bound), sig[1:65]) {
		t.Error("the Ed25519 half is of something else")
	}
	ml, err := mldsa.NewPublicKey(mldsa.MLDSA65(), p[33:])
	if err != nil {
		t.Fatal(err)
	}
	if err := mldsa.Verify(ml, []byte(bound), sig[65:], &mldsa.Options{Context: label}); err != nil {
		t.Errorf("the ML-DSA half is of something else: %v", err)
	}
	if mldsa.Verify(ml, []byte(bound), sig[65:], nil) == nil {
		t.Error("the ML-DSA half stands without its context")
	}
}

func TestSeedsAreSeparate(t *testing.T) {
	k := newKey(t, hybrid.Level65, 1)
	plain := ed25519.NewKeyFromSeed(seed(1))
	if p := k.Public().Ed25519(); bytes.Equal(p[:], plain.Public().(ed25519.PublicKey)) {
		t.Error("the seed itself is the Ed25519 half's")
	}
	own, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), seed(1))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasSuffix(k.Public().Bytes(), own.PublicKey().Bytes()) {
		t.Error("the seed itself is the ML-DSA half's")
	}
	if a, b := newKey(t, hybrid.Level65, 1), newKey(t, hybrid.Level65, 1); !bytes.Equal(sign(t, a, "", nil), sign(t, b, "", nil)) {
		t.Error("one seed, two keys or two signatures")
	}
}

// Extend keeps the key that people know, and gives it the same other half each time.
func TestExtend(t *testing.T) {
	root := ed25519.NewKeyFromSeed(seed(7))
	k, err := hybrid.Extend(hybrid.Level65, root)
	if err != nil {
		t.Fatal(err)
	}
	if p := k.Public().Ed25519(); !bytes.Equal(p[:], root.Public().(ed25519.PublicKey)) {
		t.Error("the Ed25519 half is another")
	}
	again, err := hybrid.Extend(hybrid.Level65, ed25519.NewKeyFromSeed(seed(7)))
	if err != nil || !bytes.Equal(again.Public().Bytes(), k.Public().Bytes()) {
		t.Errorf("another key the second time, %v", err)
	}
	clear(root)
	if !k.Public().Verify("", nil, sign(t, k, "", nil)) {
		t.Error("the key shares memory with the caller's")
	}
}

func TestErrors(t *testing.T) {
	good := newKey(t, hybrid.Level44, 1).Public().Bytes()
	with := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(good)) }
	for name, tc := range map[string]struct {
		b    []byte
		want error
	}{
		"no bytes":      {nil, hybrid.ErrKey},
		"level":         {with(func(b []byte) []byte { b[0] = 1; return b }), hybrid.ErrLevel},
		"another level": {with(func(b []byte) []byte { b[0] = 65; return b }), hybrid.ErrKey},
		"short":         {good[:len(good)-1], hybrid.ErrKey},
		"long":          {append(bytes.Clone(good), 0), hybrid.ErrKey},
		"small order":   {with(func(b []byte) []byte { clear(b[1:33]); b[1] = 1; return b }), ed.ErrOrder},
		"no point":      {with(func(b []byte) []byte { clear(b[1:33]); b[1] = 2; return b }), hybrid.ErrKey},
	} {
		if _, err := hybrid.ParsePublicKey(tc.b); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := hybrid.NewKey(hybrid.Level65, seed(1)[1:]); !errors.Is(err, hybrid.ErrSeed) {
		t.Error(err)
	}
	if _, err := hybrid.NewKey(3, seed(1)); !errors.Is(err, hybrid.ErrLevel) {
		t.Error(err)
	}
	if _, err := hybrid.Extend(hybrid.Level65, nil); !errors.Is(err, hybrid.ErrSeed) {
		t.Error(err)
	}
	if _, err := newKey(t, hybrid.Level44, 1).Sign(strings.Repeat("x", 256), nil); !errors.Is(err, hybrid.ErrContext) {
		t.Error(err)
	}
}

// No bit of a signature or a key can be changed.
func TestTampering(t *testing.T) {
	k := newKey(t, hybrid.Level44, 1)
	sig, pub := sign(t, k, "c", []byte("m")), k.Public().Bytes()
	rapid.Check(t, func(t *rapid.T) {
		s, p := bytes.Clone(sig), bytes.Clone(pub)
		which := rapid.SampledFrom([][]byte{s, p}).Draw(t, "which")
		which[rapid.IntRange(0, len(which)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if key, err := hybrid.ParsePublicKey(p); err == nil && key.Verify("c", []byte("m"), s) {
			t.Fatal("taken")
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add(newKey(f, hybrid.Level44, 1).Public().Bytes())
	f.Add([]byte{65})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := hybrid.ParsePublicKey(b)
		if err != nil {
			if !errors.Is(err, hybrid.ErrKey) && !errors.Is(err, hybrid.ErrLevel) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(p.Bytes(), b) || len(b) > hybrid.MaxPublicKeySize {
			t.Errorf("%x became %x", b, p.Bytes())
		}
	})
}

func FuzzVerify(f *testing.F) {
	k := newKey(f, hybrid.Level44, 1)
	good := sign(f, k, "c", []byte("m"))
	f.Add("c", []byte("m"), good)
	f.Fuzz(func(t *testing.T, context string, m, sig []byte) {
		if k.Public().Verify(context, m, sig) && (context != "c" || string(m) != "m") {
			t.Errorf("forged: %q %x %x", context, m, sig)
		}
	})
}

func BenchmarkVerify65(b *testing.B) {
	k := newKey(b, hybrid.Level65, 1)
	sig := sign(b, k, "c", []byte("m"))
	for b.Loop() {
		if !k.Public().Verify("c", []byte("m"), sig) {
			b.Fatal("refused")
		}
	}
}
