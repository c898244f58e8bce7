package record

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// seeds calls add with a field of each vector.
func seeds(f *testing.F, file, field string, add func(string)) {
	f.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "vectors", file))
	if err != nil {
		f.Fatal(err)
	}
	var vs []map[string]any
	if err := json.Unmarshal(b, &vs); err != nil {
		f.Fatal(err)
	}
	for _, v := range vs {
		add(v[field].(string))
	}
}

func fromHex(f *testing.F, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// FuzzDecode: what decodes has one encoding, and the reader written by hand takes exactly what the generic one takes.
func FuzzDecode(f *testing.F) {
	seeds(f, "records.json", "envelope", func(s string) { f.Add(fromHex(f, s)) })
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Decode(raw)
		var (
			generic envelope
			s       signed
		)
		if genericErr := codec.Unmarshal(raw, &generic); genericErr == nil && len(raw) <= MaxSize && len(generic.Signature) == 64 {
			var mine signed
			mineErr, sErr := mine.read(generic.Signed), codec.Unmarshal(generic.Signed, &s)
			if len(s.Deps) <= MaxDeps && (mineErr == nil) != (sErr == nil) {
				t.Fatalf("read: %v, codec: %v", mineErr, sErr)
			}
			if mineErr == nil && !reflect.DeepEqual(mine, s) {
				t.Fatalf("read %+v\ncodec %+v", mine, s)
			}
		} else if err == nil {
			t.Fatalf("decoded what the generic reader refuses: %v", genericErr)
		}
		if err != nil {
			if k := api.KindOf(err); k != api.Invalid && k != api.TooLarge {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
			return
		}
		r := *e.Record
		if Founds(&r) {
			r.Topic.Space = api.Hash{}
		}
		b, err := Unsigned(&r)
		if err != nil || !bytes.Equal(b, e.Signed) {
			t.Fatalf("decoded, encoded to %x, %v", b, err)
		}
		again, err := Seal(&r, b, e.Signature)
		if err != nil || !bytes.Equal(again.Raw, raw) || r.ID != e.ID || r.Feed != e.Feed || r.Topic != e.Topic {
			t.Fatalf("sealed again to %x, %v", again.Raw, err)
		}
	})
}

// FuzzKeyEvent: what is taken has usable keys, one spelling and one encoding.
func FuzzKeyEvent(f *testing.F) {
	seeds(f, "records.json", "envelope", func(s string) {
		if e, err := Decode(fromHex(f, s)); err == nil {
			f.Add(slices.Clone(e.Auth))
		}
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		ke, err := ParseKeyEvent(b)
		if err != nil {
			if k := api.KindOf(err); k != api.Invalid {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
			return
		}
		root, err := ParseDID(string(ke.DID))
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckKey(ke.Device); err != nil {
			t.Fatal(err)
		}
		event := codec.MustMarshal(&keyEvent{Tag: keyEventTag, Version: 1, Root: root[:], Seq: ke.Seq, Device: ke.Device[:]})
		if !bytes.Contains(b, event) {
			t.Fatalf("%+v does not encode to its event", ke)
		}
	})
}

// FuzzParseDID: what is taken is the one spelling of its key.
func FuzzParseDID(f *testing.F) {
	seeds(f, "dids.json", "did", func(s string) { f.Add(s) })
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseDID(s)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if string(DIDOf(k)) != s || CheckKey(k) != nil {
			t.Fatalf("%q is taken for %s", s, DIDOf(k))
		}
	})
}

// FuzzAuth: what is taken has one encoding, is what its bytes claim without verification, and every prefix of it verifies.
func FuzzAuth(f *testing.F) {
	seeds(f, "keylogs.json", "auth", func(s string) { f.Add(fromHex(f, s)) })
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAuth(b)
		if err != nil {
			if k := api.KindOf(err); k != api.Invalid {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
			return
		}
		if again, err := a.Log.Auth(a.Device); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("read, written as %x, %v", again, err)
		}
		if did, device, err := claimed(b); err != nil || did != a.DID || device != a.Device {
			t.Fatalf("claims %s, %s, %v", did, device, err)
		}
		for n := range a.Log.Events() {
			p, err := a.Log.Prefix(n + 1)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseLog(p.Bytes()); err != nil {
				t.Fatalf("the first %d events: %v", n+1, err)
			}
		}
	})
}

// FuzzRecovery: what is taken has one encoding.
func FuzzRecovery(f *testing.F) {
	seeds(f, "keylogs.json", "auth", func(s string) {
		a, err := ParseAuth(fromHex(f, s))
		if err != nil || a.Log.Terms().Guardians.Threshold == 0 {
			return
		}
		k, err := NewControlKey(ed25519.NewKeyFromSeed(make([]byte, 32)), false)
		if err != nil {
			f.Fatal(err)
		}
		r, err := a.Log.RequestRecovery(k, Terms{}, nil, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(r.Bytes())
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecovery(b)
		if err != nil {
			if k := api.KindOf(err); k != api.Invalid {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
			return
		}
		if again := r.Bytes(); !bytes.Equal(again, b) {
			t.Fatalf("read, written as %x", again)
		}
	})
}

// FuzzApproval: no bytes that others send make Complete panic, and none but a guardian's make it agree.
func FuzzApproval(f *testing.F) {
	k := func(n byte) ControlKey {
		c, err := NewControlKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)), false)
		if err != nil {
			f.Fatal(err)
		}
		return c
	}
	l, err := Incept(k(1), Terms{Guardians: Guardians{Threshold: 1, Commitments: []api.Hash{GuardianCommitment(Salt{1}, DIDOf(k(2).Public().Key))}}},
		Device{Key: k(3).Public().Key, Role: Primary})
	if err != nil {
		f.Fatal(err)
	}
	r, err := l.RequestRecovery(k(4), Terms{}, nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	auth, err := SignKeyEvent(k(2).ed, k(5).Public().Key)
	if err != nil {
		f.Fatal(err)
	}
	salt := Salt{1}
	f.Add(codec.MustMarshal(&approvalForm{Salt: salt[:], Auth: auth, Signature: ed25519.Sign(k(5).ed, approvalWords(r.signed.Event))}))
	f.Add([]byte{0x83, 0x40, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := r.Complete(b)
		if err == nil && out.Head().Kind != Recovery {
			t.Fatalf("%+v", out.Head())
		}
		if k := api.KindOf(err); err != nil && k != api.Invalid {
			t.Fatalf("kind %s: %v", k.Code(), err)
		}
	})
}
