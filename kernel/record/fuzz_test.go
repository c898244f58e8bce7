package record

import (
	"bytes"
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
