package hybrid_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/intercooperative/icn/crypto/ed"
	"github.com/intercooperative/icn/crypto/hybrid"
)

// The vectors are for every implementation, in any language. Commit a change to them only if you understand it: it is a change of the format.
var rewrite = flag.Bool("rewrite", false, "rewrite testdata/vectors.json")

const vectorFile = "testdata/vectors.json"

type text []byte

func (h text) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *text) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type vectors struct {
	Keys       []keyVector       `json:"keys"`
	Signatures []signatureVector `json:"signatures"`
}

type keyVector struct {
	Level  hybrid.Level `json:"level"`
	Seed   text         `json:"seed"`
	Extend bool         `json:"extend,omitempty"` // the seed is that of the Ed25519 key itself
	Public text         `json:"public"`
}

type signatureVector struct {
	Name      string `json:"name"`
	Outcome   string `json:"outcome"` // ok or bad-signature
	Key       int    `json:"key"`     // index into keys
	Context   text   `json:"context"`
	Message   text   `json:"message"`
	Signature text   `json:"signature"`
}

func (v *keyVector) key(t *testing.T) *hybrid.PrivateKey {
	t.Helper()
	k, err := hybrid.NewKey(v.Level, v.Seed)
	if v.Extend {
		k, err = hybrid.Extend(v.Level, ed25519.NewKeyFromSeed(v.Seed))
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func makeVectors(t *testing.T) (v vectors) {
	for i, l := range levels {
		v.Keys = append(v.Keys, keyVector{Level: l, Seed: seed(byte(i + 1))})
	}
	v.Keys = append(v.Keys, keyVector{Level: hybrid.Level65, Seed: seed(4), Extend: true})
	for i := range v.Keys {
		k := v.Keys[i].key(t)
		v.Keys[i].Public = k.Public().Bytes()
		s := signatureVector{Name: "honest", Outcome: "ok", Key: i, Context: []byte("context"), Message: []byte("message")}
		s.Signature = sign(t, k, string(s.Context), s.Message)
		v.Signatures = append(v.Signatures, s)
	}
	honest := v.Signatures[1]
	other := sign(t, v.Keys[1].key(t), "context", []byte("another message"))
	const split = 1 + ed.SignatureSize
	bad := func(name string, sig []byte) {
		s := honest
		s.Name, s.Outcome, s.Signature = name, "bad-signature", sig
		v.Signatures = append(v.Signatures, s)
	}
	bad("the Ed25519 half is of another message", append(bytes.Clone(other[:split]), honest.Signature[split:]...))
	bad("the ML-DSA half is of another message", append(bytes.Clone(honest.Signature[:split]), other[split:]...))
	return v
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
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Keys) != 4 || len(v.Signatures) != 6 {
		t.Fatalf("%d keys, %d signatures", len(v.Keys), len(v.Signatures))
	}
	for i, kv := range v.Keys {
		if got := kv.key(t).Public().Bytes(); !bytes.Equal(got, kv.Public) {
			t.Errorf("key %d is %x", i, got)
		}
	}
	for _, s := range v.Signatures {
		p, err := hybrid.ParsePublicKey(v.Keys[s.Key].Public)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Verify(string(s.Context), s.Message, s.Signature); got != (s.Outcome == "ok") {
			t.Errorf("%s, key %d: %t, want %s", s.Name, s.Key, got, s.Outcome)
		}
		if s.Outcome == "ok" && !bytes.Equal(sign(t, v.Keys[s.Key].key(t), string(s.Context), s.Message), s.Signature) {
			t.Errorf("%s, key %d: signed otherwise", s.Name, s.Key)
		}
	}
}
