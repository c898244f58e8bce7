package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/crypto/seal"
)

// The vectors are for every implementation, in any language. Commit a change to them only if you understand it: it is a change of the format.
// Sealing is random, so -rewrite makes other ciphertexts each time; keys stay.
var rewrite = flag.Bool("rewrite", false, "rewrite testdata/vectors.json")

const vectorFile = "testdata/vectors.json"

func newKey(t testing.TB, b byte) *seal.Key {
	t.Helper()
	k, err := seal.NewKey(bytes.Repeat([]byte{b}, seal.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealAndOpen(t *testing.T) {
	k := newKey(t, 1)
	for _, n := range []int{0, 1, 1000, seal.MaxLength} {
		m := bytes.Repeat([]byte{7}, n)
		enc, ct, err := seal.Seal(k.Public(), []byte("info"), []byte("aad"), m)
		if err != nil {
			t.Fatal(err)
		}
		if len(enc) != seal.EncSize || len(ct) != n+seal.TagSize || len(enc)+len(ct) != n+seal.Overhead {
			t.Errorf("%d bytes became %d and %d", n, len(enc), len(ct))
		}
		if got, err := k.Open([]byte("info"), []byte("aad"), enc, ct); err != nil || !bytes.Equal(got, m) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	one, _, err := seal.Seal(k.Public(), nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := seal.Seal(k.Public(), nil, nil, nil)
	if err != nil || bytes.Equal(one, two) {
		t.Errorf("one encapsulated key for two messages, %v", err)
	}
	if len(k.Public()) != seal.KeySize || !bytes.Equal(k.Public(), newKey(t, 1).Public()) || bytes.Equal(k.Public(), newKey(t, 2).Public()) {
		t.Error("a key is its seed's")
	}
	k.Public()[0] ^= 1
	if !bytes.Equal(k.Public(), newKey(t, 1).Public()) {
		t.Error("Public hands out the key's own bytes")
	}
}

// Nothing opens when anything was changed, and not with another key, info or aad.
func TestTampering(t *testing.T) {
	k := newKey(t, 1)
	info, aad := []byte("info"), []byte("aad")
	enc, ct, err := seal.Seal(k.Public(), info, aad, []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another key": func() ([]byte, error) { return newKey(t, 2).Open(info, aad, enc, ct) },
		"no aad":      func() ([]byte, error) { return k.Open(info, nil, enc, ct) },
		"swapped":     func() ([]byte, error) { return k.Open(aad, info, enc, ct) },
		"moved":       func() ([]byte, error) { return k.Open([]byte("infoa"), []byte("ad"), enc, ct) },
		"cut":         func() ([]byte, error) { return k.Open(info, aad, enc, ct[:len(ct)-1]) },
		"longer":      func() ([]byte, error) { return k.Open(info, aad, enc, append(bytes.Clone(ct), 0)) },
		"nothing":     func() ([]byte, error) { return k.Open(info, aad, enc, nil) },
		"no enc":      func() ([]byte, error) { return k.Open(info, aad, nil, ct) },
		"long enc":    func() ([]byte, error) { return k.Open(info, aad, append(bytes.Clone(enc), 0), ct) },
		"zero enc":    func() ([]byte, error) { return k.Open(info, aad, make([]byte, seal.EncSize), ct) },
	} {
		if m, err := open(); !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: %q, %v", name, m, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		parts := [][]byte{bytes.Clone(info), bytes.Clone(aad), bytes.Clone(enc), bytes.Clone(ct)}
		p := rapid.SampledFrom(parts).Draw(t, "part")
		bit := rapid.IntRange(0, 8*len(p)-1).Draw(t, "bit")
		p[bit/8] ^= 1 << (bit % 8)
		// The top bit of an X25519 point is not looked at when points are multiplied, but is part of what is hashed.
		if m, err := k.Open(parts[0], parts[1], parts[2], parts[3]); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("%q, %v", m, err)
		}
	})
}

func TestBounds(t *testing.T) {
	k := newKey(t, 1)
	big := make([]byte, seal.MaxInfo+1)
	if _, err := seal.NewKey(make([]byte, 31)); !errors.Is(err, seal.ErrSeed) {
		t.Error(err)
	}
	for name, tc := range map[string]struct {
		key, info, aad, plain []byte
		want                  error
	}{
		"info":        {k.Public(), big, nil, nil, seal.ErrTooBig},
		"aad":         {k.Public(), nil, big, nil, seal.ErrTooBig},
		"plain":       {k.Public(), nil, nil, make([]byte, seal.MaxLength+1), seal.ErrTooBig},
		"no key":      {nil, nil, nil, nil, seal.ErrKey},
		"short key":   {k.Public()[1:], nil, nil, nil, seal.ErrKey},
		"no ML-KEM":   {bytes.Repeat([]byte{0xff}, seal.KeySize), nil, nil, nil, seal.ErrKey}, // coefficients above q
		"zero X25519": {append(k.Public()[:1184], make([]byte, 32)...), nil, nil, nil, seal.ErrKey},
	} {
		if _, _, err := seal.Seal(tc.key, tc.info, tc.aad, tc.plain); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if err := seal.CheckKey(k.Public()); err != nil {
		t.Error(err)
	}
	if err := seal.CheckKey(k.Public()[1:]); !errors.Is(err, seal.ErrKey) {
		t.Error(err)
	}
	enc := make([]byte, seal.EncSize)
	for name, open := range map[string]func() ([]byte, error){
		"info":       func() ([]byte, error) { return k.Open(big, nil, enc, nil) },
		"aad":        func() ([]byte, error) { return k.Open(nil, big, enc, nil) },
		"ciphertext": func() ([]byte, error) { return k.Open(nil, nil, enc, make([]byte, seal.MaxLength+seal.TagSize+1)) },
	} {
		if _, err := open(); !errors.Is(err, seal.ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type text []byte

func (h text) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *text) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type vector struct {
	Name       string `json:"name"`
	Outcome    string `json:"outcome"` // ok or does-not-open
	Seed       text   `json:"seed"`    // the recipient's
	Public     text   `json:"public"`
	Info       text   `json:"info"`
	AAD        text   `json:"aad"`
	Enc        text   `json:"enc"`
	Ciphertext text   `json:"ciphertext"`
	Plaintext  text   `json:"plaintext,omitempty"`
}

func makeVectors(t *testing.T) (vs []vector) {
	k := newKey(t, 1)
	v := vector{
		Name: "honest", Outcome: "ok", Seed: bytes.Repeat([]byte{1}, seal.SeedSize), Public: k.Public(),
		Info: []byte("info"), AAD: []byte("aad"), Plaintext: []byte("message"),
	}
	var err error
	if v.Enc, v.Ciphertext, err = seal.Seal(v.Public, v.Info, v.AAD, v.Plaintext); err != nil {
		t.Fatal(err)
	}
	vs = append(vs, v)
	empty := v
	empty.Name, empty.Info, empty.AAD, empty.Plaintext = "empty", nil, nil, nil
	if empty.Enc, empty.Ciphertext, err = seal.Seal(v.Public, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	vs = append(vs, empty)
	for _, name := range []string{"changed ciphertext", "changed X25519 part", "changed ML-KEM part"} {
		bad := v
		bad.Name, bad.Outcome, bad.Plaintext = name, "does-not-open", nil
		bad.Enc, bad.Ciphertext = bytes.Clone(v.Enc), bytes.Clone(v.Ciphertext)
		switch name {
		case "changed ciphertext":
			bad.Ciphertext[0] ^= 1
		case "changed X25519 part":
			bad.Enc[seal.EncSize-32] ^= 1
		default:
			bad.Enc[0] ^= 1
		}
		vs = append(vs, bad)
	}
	return vs
}

func TestVectors(t *testing.T) {
	if *rewrite {
		b, err := json.MarshalIndent(makeVectors(t), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorFile, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var vs []vector
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) != 5 {
		t.Fatalf("%d vectors", len(vs))
	}
	for _, v := range vs {
		k, err := seal.NewKey(v.Seed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k.Public(), v.Public) {
			t.Errorf("%s: the public key is %x", v.Name, k.Public())
		}
		m, err := k.Open(v.Info, v.AAD, v.Enc, v.Ciphertext)
		if v.Outcome == "ok" && (err != nil || !bytes.Equal(m, v.Plaintext)) || v.Outcome != "ok" && !errors.Is(err, seal.ErrOpen) {
			t.Errorf("%s: %q, %v, want %s", v.Name, m, err, v.Outcome)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := newKey(f, 1)
	enc, ct, err := seal.Seal(k.Public(), []byte("i"), nil, []byte("m"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("i"), []byte{}, enc, ct)
	f.Fuzz(func(t *testing.T, info, aad, e, c []byte) {
		_, err := k.Open(info, aad, e, c)
		if err != nil && !errors.Is(err, seal.ErrOpen) && !errors.Is(err, seal.ErrTooBig) {
			t.Error(err)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add(newKey(f, 1).Public())
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, _, err := seal.Seal(b, nil, nil, nil); (err == nil) != (seal.CheckKey(b) == nil) && !errors.Is(err, seal.ErrKey) {
			t.Errorf("%v, CheckKey %v", err, seal.CheckKey(b))
		}
	})
}
