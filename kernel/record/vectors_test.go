package record_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// The vectors under testdata/vectors are for every implementation of the format, in any language: testdata/vectors/README.md says how to read
// them. Commit a change to them only if you understand it: it is a change of the format.
var rewrite = flag.Bool("rewrite", false, "rewrite the files under testdata/vectors")

// The outcomes, in the order in which a reader finds them.
const (
	ok           = "ok"
	tooLarge     = "too-large"
	malformed    = "malformed"
	nonCanon     = "non-canonical"
	badKey       = "bad-key"
	badSignature = "bad-signature"
)

type recordVector struct {
	Name     string   `json:"name"`
	Why      string   `json:"why,omitempty"`
	Outcome  string   `json:"outcome"`
	Envelope text     `json:"envelope"`
	Record   *decoded `json:"record,omitempty"` // when the outcome is ok
	Seed     text     `json:"device_seed,omitempty"`
}

// decoded is what a reader must find in an envelope.
type decoded struct {
	ID      api.Hash     `json:"id"`
	Feed    api.Hash     `json:"feed"`
	Author  api.DID      `json:"author,omitempty"` // at seq 1
	Founds  bool         `json:"founds"`
	Version uint16       `json:"version"`
	Space   api.Hash     `json:"space"`
	Topic   string       `json:"topic"`
	Device  api.Key      `json:"device"`
	Seq     uint64       `json:"seq,string"`
	Prev    api.Hash     `json:"prev"`
	Time    uint64       `json:"time,string"`
	Deps    []decodedDep `json:"deps"`
	Kind    string       `json:"kind"`
	Auth    text         `json:"auth"`
	Body    text         `json:"body"`
}

type decodedDep struct {
	Feed api.Hash `json:"feed"`
	Seq  uint64   `json:"seq,string"`
	ID   api.Hash `json:"id"`
}

type signatureVector struct {
	Name      string `json:"name"`
	Why       string `json:"why,omitempty"`
	Outcome   string `json:"outcome"` // of the signature, by ZIP-215, whatever the key
	Key       text   `json:"key"`
	KeyIs     string `json:"key_is"` // ok or bad-key: a bad key is refused before any signature is looked at
	Message   text   `json:"message"`
	Signature text   `json:"signature"`
}

type didVector struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"` // ok, malformed or bad-key
	DID     string `json:"did"`
	Key     text   `json:"key,omitempty"`
}

// text is bytes as hexadecimal digits.
type text []byte

func (h text) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *text) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

// outcome classifies an error of Decode or ParseDID.
func outcome(err error) string {
	switch {
	case err == nil:
		return ok
	case api.KindOf(err) == api.TooLarge:
		return tooLarge
	case errors.Is(err, codec.ErrNotCanonical):
		return nonCanon
	case within(err, "key.check"):
		return badKey
	case within(err, "keyevent.parse") && strings.HasSuffix(err.Error(), "signature does not fit"):
		return badSignature
	}
	return malformed
}

// within reports whether an error of operation op is in err's chain.
func within(err error, op string) bool {
	for err != nil {
		var e *api.Error
		if !errors.As(err, &e) {
			return false
		}
		if e.Op == op {
			return true
		}
		err = e.Err
	}
	return false
}

func judgeRecord(raw []byte) (string, *decoded) {
	e, err := record.Decode(raw)
	if err != nil {
		return outcome(err), nil
	}
	if !record.Verify(e.Device, e.Signed, e.Signature) {
		return badSignature, nil
	}
	d := &decoded{
		ID: e.ID, Feed: e.Feed, Author: e.Author, Founds: record.Founds(e.Record), Version: e.Version, Space: e.Topic.Space, Topic: e.Topic.Name,
		Device: e.Device, Seq: e.Seq, Prev: e.Prev, Time: uint64(e.Time), Deps: []decodedDep{}, Kind: e.Kind, Auth: e.Auth, Body: e.Body,
	}
	for _, p := range e.Deps {
		d.Deps = append(d.Deps, decodedDep(p))
	}
	return ok, d
}

func makeRecords(t *testing.T) (out []recordVector) {
	add := func(name, why, want string, raw []byte) {
		v := recordVector{Name: name, Why: why, Outcome: want, Envelope: raw}
		if want == ok {
			_, v.Record = judgeRecord(raw)
			v.Seed = ann.device.Seed()
		}
		out = append(out, v)
	}
	altered := func(r *api.Record, change func(*signedParts)) []byte {
		s := parts(t, sign(t, r))
		change(s)
		return join(s)
	}
	add("founding", "seq 1, no space: the id is the space", ok, sign(t, first()).Raw)
	in := first()
	in.Topic.Space = api.Hash{0xaa}
	add("first-in-a-space", "seq 1 of a feed in a space that is there", ok, sign(t, in).Raw)
	add("later", "two deps, numbers of several sizes", ok, sign(t, later()).Raw)
	least := later()
	least.Deps, least.Body, least.Time = nil, nil, 0
	add("least", "no deps, no body, time 0", ok, sign(t, least).Raw)
	most := later()
	most.Version, most.Seq, most.Time = 65535, 1<<64-1, 1<<64-1
	add("largest-numbers", "a version of tomorrow is stored, not refused", ok, sign(t, most).Raw)

	e := sign(t, later())
	add("cut", "", malformed, e.Raw[:len(e.Raw)-1])
	add("byte-after-the-end", "", malformed, append(slices.Clone(e.Raw), 0))
	add("empty", "", malformed, nil)
	add("null-for-a-string", "", malformed, []byte{0x82, 0xf6, 0xf6})
	for _, c := range []struct {
		name   string
		from   func() *api.Record
		change func(*signedParts)
	}{
		{"other-tag", later, func(s *signedParts) { s.Tag = "icn-key-event" }},
		{"version-0", later, func(s *signedParts) { s.Version = 0 }},
		{"version-65536", later, func(s *signedParts) { s.Version = 65536 }},
		{"seq-0", later, func(s *signedParts) { s.Seq = 0 }},
		{"founding-at-seq-2", later, func(s *signedParts) { s.Space = nil }},
		{"prev-at-seq-1", first, func(s *signedParts) { s.Prev = make([]byte, 32) }},
		{"no-prev-at-seq-2", later, func(s *signedParts) { s.Prev = nil }},
		{"auth-at-seq-2", later, func(s *signedParts) { s.Auth = ann.auth }},
		{"no-auth-at-seq-1", first, func(s *signedParts) { s.Auth = nil }},
		{"auth-of-another-device", first, func(s *signedParts) { s.Auth = newPerson("ben").auth }},
		{"capital-in-topic", later, func(s *signedParts) { s.Topic = "Notes" }},
		{"topic-of-65", later, func(s *signedParts) { s.Topic = strings.Repeat("n", 65) }},
		{"empty-kind", later, func(s *signedParts) { s.Kind = "" }},
		{"deps-out-of-order", later, func(s *signedParts) { s.Deps[0], s.Deps[1] = s.Deps[1], s.Deps[0] }},
		{"two-deps-on-one-feed", later, func(s *signedParts) { s.Deps[1].Feed = s.Deps[0].Feed }},
		{"dep-at-seq-0", later, func(s *signedParts) { s.Deps[0].Seq = 0 }},
	} {
		add(c.name, "", malformed, altered(c.from(), c.change))
	}
	add("129-deps", "", tooLarge, altered(later(), func(s *signedParts) {
		s.Deps = nil
		for i := range 129 {
			f := [32]byte{byte(i)}
			s.Deps = append(s.Deps, depParts{Feed: f[:], Seq: 1, ID: f[:]})
		}
	}))
	spellings := reshape(t)
	for _, name := range sorted(spellings) {
		add(strings.ReplaceAll(name, " ", "-"), "", nonCanon, spellings[name])
	}

	seal := func(b, sig []byte) []byte { return codec.MustMarshal(&envelopeParts{Signed: b, Signature: sig}) }
	damaged := slices.Clone(e.Signature)
	damaged[0] ^= 1
	add("damaged-signature", "", badSignature, seal(e.Signed, damaged))
	add("signature-of-another-key", "", badSignature, seal(e.Signed, ed25519.Sign(ann.root, e.Signed)))
	add("s-above-the-order", "S + L: the same equation, another spelling", badSignature, seal(e.Signed, malleable(e.Signature)))
	_, twisted := crooked(ann.device, 0, true, e.Signed)
	add("r-of-mixed-order", "an honest key; valid by the cofactored rule only", ok, seal(e.Signed, twisted))

	auth := func(change func(*event), root ed25519.PrivateKey) []byte {
		ev := goodEvent()
		change(&ev)
		b := codec.MustMarshal(&ev)
		return codec.MustMarshal(&signedEvent{Event: b, Signature: ed25519.Sign(root, b)})
	}
	add("key-event-of-another-root", "", badSignature, altered(first(), func(s *signedParts) {
		s.Auth = auth(func(e *event) { e.Root = public32(newPerson("ben").root) }, ann.root)
	}))
	mixed, _ := crooked(ann.device, 1, false, nil)
	add("device-of-mixed-order", "", badKey, altered(first(), func(s *signedParts) {
		s.Device, s.Auth = mixed[:], auth(func(e *event) { e.Device = mixed[:] }, ann.root)
	}))
	add("device-of-small-order", "", badKey, altered(first(), func(s *signedParts) {
		s.Device, s.Auth = torsion.Bytes(), auth(func(e *event) { e.Device = torsion.Bytes() }, ann.root)
	}))
	add("root-not-canonical", "y = p + 1", badKey, altered(first(), func(s *signedParts) { s.Auth = auth(func(e *event) { e.Root = nonCanonical()[2] }, ann.root) }))
	// The signature under a mixed-order root verifies: it is the key that must be refused.
	ev := goodEvent()
	ev.Root, _ = mixedRoot(nil)
	b := codec.MustMarshal(&ev)
	_, sig := mixedRoot(b)
	add("root-of-mixed-order", "its signature verifies by ZIP-215: the key is what is wrong", badKey, altered(first(), func(s *signedParts) {
		s.Auth = codec.MustMarshal(&signedEvent{Event: b, Signature: sig})
	}))
	return out
}

func mixedRoot(message []byte) (key, sig []byte) {
	k, sig := crooked(ann.root, 1, false, message)
	return k[:], sig
}

func makeSignatures() (out []signatureVector) {
	add := func(name, why string, k api.Key, m, sig []byte) {
		v := signatureVector{Name: name, Why: why, Outcome: badSignature, KeyIs: ok, Key: k[:], Message: m, Signature: sig}
		if reference(k, m, sig) { // not the code under test
			v.Outcome = ok
		}
		if record.CheckKey(k) != nil {
			v.KeyIs = badKey
		}
		out = append(out, v)
	}
	m := []byte("a message")
	sig := ed25519.Sign(ann.device, m)
	add("honest", "", ann.Device(), m, sig)
	add("empty-message", "", ann.Device(), nil, ed25519.Sign(ann.device, nil))
	add("other-message", "", ann.Device(), []byte("b message"), sig)
	add("other-key", "", public(ann.root), m, sig)
	add("s-above-the-order", "", ann.Device(), m, malleable(sig))
	add("short", "", ann.Device(), m, sig[:63])
	_, twisted := crooked(ann.device, 0, true, m)
	add("r-of-mixed-order", "the cofactorless rule refuses it", ann.Device(), m, twisted)
	for i := range 7 {
		k, sig := crooked(ann.device, i+1, false, m)
		add(fmt.Sprint("key-of-mixed-order-", i+1), "cofactorless rules take it once in 2, 4 or 8 times", k, m, sig)
	}
	canonical, others := smallOrder()
	all := slices.Concat(canonical, others)
	for i, a := range all { // the whole square is in TestVerifyIsZIP215
		r := all[(5*i+3)%len(all)]
		add(fmt.Sprint("small-order-", i), "", api.Key(a), m, append(slices.Clone(r), make([]byte, 32)...))
	}
	return out
}

func makeDIDs() (out []didVector) {
	did := string(ann.DID())
	text := strings.TrimPrefix(did, "did:icn:")
	out = append(out, didVector{"canonical", ok, did, public32(ann.root)})
	for _, c := range [][2]string{
		{"leading-one", "did:icn:1" + text},
		{"trailing-space", did + " "},
		{"trailing-newline", did + "\n"},
		{"leading-space", " " + did},
		{"upper-case-method", "did:ICN:" + text},
		{"upper-case-scheme", "DID:icn:" + text},
		{"multibase", "did:icn:z" + text},
		{"fragment", did + "#device"},
		{"cut", did[:len(did)-3]},
		{"longer", did + "2"},
		{"not-in-the-alphabet", "did:icn:0" + text[1:]},
		{"empty", ""},
		{"no-key", "did:icn:"},
	} {
		out = append(out, didVector{c[0], malformed, c[1], nil})
	}
	mixed, _ := crooked(ann.root, 1, false, nil)
	canonical, _ := smallOrder()
	bad := append([][]byte{mixed[:]}, append(canonical, nonCanonical()...)...)
	for i, b := range bad {
		out = append(out, didVector{fmt.Sprint("key-", i), badKey, string(record.DIDOf(api.Key(b))), b})
	}
	return out
}

func sorted[V any](m map[string]V) []string {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// golden compares what this build makes with the file, or rewrites it, and returns what stands in the file.
func golden[T any](t *testing.T, file string, made []T) []T {
	t.Helper()
	path := filepath.Join("testdata", "vectors", file)
	want, err := json.MarshalIndent(made, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *rewrite {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs from what this build makes; look at the change with -rewrite and git diff", path)
	}
	var vs []T
	if err := json.Unmarshal(got, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) == 0 {
		t.Fatal("no vectors")
	}
	return vs
}

func TestVectorsRecords(t *testing.T) {
	seen := map[string]int{}
	for _, v := range golden(t, "records.json", makeRecords(t)) {
		got, d := judgeRecord(v.Envelope)
		if seen[v.Outcome]++; got != v.Outcome {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Outcome)
		}
		a, _ := json.Marshal(d)
		if b, _ := json.Marshal(v.Record); !bytes.Equal(a, b) {
			t.Errorf("%s: decoded\n%s\nwant\n%s", v.Name, a, b)
		}
	}
	for _, o := range []string{ok, tooLarge, malformed, nonCanon, badKey, badSignature} {
		if seen[o] == 0 {
			t.Errorf("no vector for %s", o)
		}
	}
}

func TestVectorsSignatures(t *testing.T) {
	for _, v := range golden(t, "signatures.json", makeSignatures()) {
		if got := record.Verify(api.Key(v.Key), v.Message, v.Signature); got != (v.Outcome == ok) {
			t.Errorf("%s: %t, want %s", v.Name, got, v.Outcome)
		}
		if err := record.CheckKey(api.Key(v.Key)); (err == nil) != (v.KeyIs == ok) {
			t.Errorf("%s: key %v, want %s", v.Name, err, v.KeyIs)
		}
	}
}

func TestVectorsDIDs(t *testing.T) {
	for _, v := range golden(t, "dids.json", makeDIDs()) {
		k, err := record.ParseDID(v.DID)
		if got := outcome(err); got != v.Outcome {
			t.Errorf("%s: %s (%v), want %s", v.Name, got, err, v.Outcome)
		}
		if v.Outcome == ok && !bytes.Equal(k[:], v.Key) {
			t.Errorf("%s: key %s, want %x", v.Name, k, v.Key)
		}
	}
}
