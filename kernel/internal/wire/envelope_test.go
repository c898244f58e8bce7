package wire

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const goldenEnvelopes = "testdata/envelopes.txt"

// speaker signs with key for did; auth as it stands.
type speaker struct {
	key  ed25519.PrivateKey
	did  api.DID
	auth []byte
}

func (s speaker) Device() api.Key               { return api.Key(s.key.Public().(ed25519.PublicKey)) }
func (s speaker) DID() api.DID                  { return s.did }
func (s speaker) Auth() []byte                  { return s.auth }
func (s speaker) Sign(m []byte) ([]byte, error) { return ed25519.Sign(s.key, m), nil }

func private(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(fill(32, b)) }

func publicKey(b byte) api.Key { return api.Key(private(b).Public().(ed25519.PublicKey)) }

// asNode speaks with a node's key, asDevice with a device that a root key certified.
func asNode(b byte) speaker { return speaker{private(b), record.DIDOf(publicKey(b)), nil} }

func asDevice(t testing.TB, root, device byte) speaker {
	t.Helper()
	auth, err := record.SignKeyEvent(private(root), publicKey(device))
	if err != nil {
		t.Fatal(err)
	}
	return speaker{private(device), record.DIDOf(publicKey(root)), auth}
}

// toy is a seal that hides nothing but binds everything: for fixed bytes.
func toySeal(recipient, info, plain []byte) (enc, ciphertext []byte, err error) {
	return append([]byte("enc"), recipient...), toyCipher(recipient, info, plain), nil
}

func toyCipher(recipient, info, plain []byte) []byte {
	h := sha256.Sum256(append(append(append([]byte{}, recipient...), info...), plain...))
	return append(h[:], plain...)
}

func toyOpen(recipient []byte) OpenFunc {
	return func(info, enc, ciphertext []byte) ([]byte, error) {
		if len(ciphertext) < 32 || !bytes.Equal(toyCipher(recipient, info, ciphertext[32:]), ciphertext) {
			return nil, fmt.Errorf("does not open")
		}
		return ciphertext[32:], nil
	}
}

const sentAt = 1_800_000_000_000

func header(to byte) Header {
	return Header{To: record.DIDOf(publicKey(to)), Time: sentAt, Nonce: Nonce(fill(16, 7))}
}

var recipientKey = []byte("recipient key")

// samples are fixed envelopes: a line of the golden file each.
func samples(t testing.TB) []struct {
	name string
	raw  []byte
} {
	t.Helper()
	var out []struct {
		name string
		raw  []byte
	}
	add := func(name string, raw []byte, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out = append(out, struct {
			name string
			raw  []byte
		}{name, raw})
	}
	answer := header(1)
	answer.Re = Nonce(fill(16, 8))
	raw, err := (&SignedEnvelope{Header: header(2), Kind: "keys"}).Sign(asNode(1))
	add("signed-by-node", raw, err)
	raw, err = (&SignedEnvelope{Header: answer, Kind: "echo", Payload: []byte("payload")}).Sign(asDevice(t, 3, 4))
	add("signed-by-device", raw, err)
	raw, err = Encrypt(header(2), Content{Kind: "echo", Reply: []byte("reply key"), Payload: []byte("payload")}, recipientKey, toySeal, asNode(1))
	add("encrypted-by-node", raw, err)
	raw, err = Encrypt(answer, Content{Kind: "echo"}, recipientKey, toySeal, asDevice(t, 3, 4))
	add("encrypted-by-device", raw, err)
	return out
}

// The bytes of envelopes are fixed. Sealed ones are made with a toy in place of HPKE, whose own vectors are in crypto/seal.
func TestGoldenEnvelopes(t *testing.T) {
	var out strings.Builder
	for _, s := range samples(t) {
		fmt.Fprintf(&out, "%s %x\n", s.name, s.raw)
	}
	if *rewrite {
		if err := os.WriteFile(goldenEnvelopes, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenEnvelopes)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("%s differs; look at the change with -rewrite and git diff", goldenEnvelopes)
	}
	n := 0
	for line := range strings.Lines(string(want)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		raw, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		e, err := DecodeEnvelope(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := e.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d lines", n)
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	h := header(2)
	h.Re = Nonce(fill(16, 9))
	raw, err := (&SignedEnvelope{Header: h, Kind: "a-kind", Payload: []byte("payload")}).Sign(asDevice(t, 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	e, err := DecodeEnvelope(raw)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := e.(*SignedEnvelope)
	if !ok || s.Kind != "a-kind" || string(s.Payload) != "payload" || s.From != record.DIDOf(publicKey(3)) || s.Key != publicKey(4) ||
		s.To != h.To || s.Time != sentAt || s.Nonce != h.Nonce || s.Re != h.Re {
		t.Errorf("%+v", e)
	}

	raw, err = Encrypt(h, Content{Kind: "a-kind", Reply: []byte("reply"), Payload: []byte("payload")}, recipientKey, toySeal, asNode(1))
	if err != nil {
		t.Fatal(err)
	}
	e, err = DecodeEnvelope(raw)
	if err != nil {
		t.Fatal(err)
	}
	x, ok := e.(*EncryptedEnvelope)
	if !ok || x.Recipient != api.Hash(sha256.Sum256(recipientKey)) {
		t.Fatalf("%+v", e)
	}
	c, err := x.Open(toyOpen(recipientKey))
	if err != nil || c.Kind != "a-kind" || string(c.Reply) != "reply" || string(c.Payload) != "payload" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := x.Open(toyOpen([]byte("another"))); api.KindOf(err) != api.Unauthenticated {
		t.Errorf("with another key: %v", err)
	}
	x.To = "did:icn:other"
	if _, err := x.Open(toyOpen(recipientKey)); api.KindOf(err) != api.Unauthenticated {
		t.Errorf("with another header: %v", err)
	}
	_, garbage, _ := toySeal(recipientKey, x.form().info(), []byte("?"))
	x.Ciphertext = garbage
	if _, err := x.Open(toyOpen(recipientKey)); api.KindOf(err) != api.Invalid {
		t.Errorf("no content: %v", err)
	}
}

// Who may speak for whom.
func TestVerifySender(t *testing.T) {
	good := asDevice(t, 3, 4)
	for name, tc := range map[string]struct {
		s  speaker
		ok bool
	}{
		"node":                      {asNode(1), true},
		"device":                    {good, true},
		"root itself":               {speaker{private(3), good.did, nil}, true},
		"device without its event":  {speaker{private(4), good.did, nil}, false},
		"another's event":           {speaker{private(5), good.did, good.auth}, false},
		"event of another root":     {speaker{private(4), record.DIDOf(publicKey(6)), good.auth}, false},
		"event that cannot be read": {speaker{private(4), good.did, []byte("?")}, false},
		"no DID":                    {speaker{private(4), "somebody", nil}, false},
	} {
		raw, err := (&SignedEnvelope{Header: header(2), Kind: "k"}).Sign(tc.s)
		if err != nil {
			t.Fatal(err)
		}
		e, err := DecodeEnvelope(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err = e.Verify()
		if (err == nil) != tc.ok || err != nil && api.KindOf(err) != api.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No bit of an envelope can be changed without its being refused, in form or by its signature.
func TestEnvelopeTampering(t *testing.T) {
	all := samples(t)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(all).Draw(t, "envelope")
		raw := bytes.Clone(s.raw)
		bit := rapid.IntRange(0, 8*len(raw)-1).Draw(t, "bit")
		raw[bit/8] ^= 1 << (bit % 8)
		if e, err := DecodeEnvelope(raw); err == nil && e.Verify() == nil {
			t.Fatalf("%s with bit %d changed is taken", s.name, bit)
		}
	})
}

// A signature stands for one kind of thing: what is signed as a record, a key event, or one kind of envelope is nothing else.
func TestEnvelopesAreSeparate(t *testing.T) {
	r := &api.Record{Version: 1, Topic: api.Topic{Name: "t"}, Seq: 1, Kind: "k", Auth: asDevice(t, 3, 4).auth, Device: publicKey(4)}
	unsigned, err := record.Unsigned(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, signed := range map[string][]byte{"record": unsigned, "nothing": {}, "another array": {0x82, 1, 2}} {
		raw := codec.MustMarshal(&envelopeForm{Signed: signed, Signature: ed25519.Sign(private(4), signed)})
		if e, err := DecodeEnvelope(raw); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func TestDecodeEnvelopeRefuses(t *testing.T) {
	good := func() *signedForm {
		h := header(2)
		h.by(asNode(1))
		return (&SignedEnvelope{Header: h, Kind: "k", Payload: []byte("p")}).form()
	}
	sealed := func() *encryptedForm {
		h := header(2)
		h.by(asNode(1))
		return (&EncryptedEnvelope{Header: h, Enc: []byte{1}, Ciphertext: []byte{2}}).form()
	}
	form := func(change func(*signedForm)) any { f := good(); change(f); return f }
	seal := func(change func(*encryptedForm)) any { f := sealed(); change(f); return f }
	for name, tc := range map[string]struct {
		form any
		kind api.Kind
	}{
		"good":           {good(), api.Other},
		"good sealed":    {sealed(), api.Other},
		"most":           {form(func(f *signedForm) { f.Payload = make([]byte, MaxPayload) }), api.Other},
		"most sealed":    {seal(func(f *encryptedForm) { f.Enc, f.Ciphertext = make([]byte, maxEnc), make([]byte, maxCipher) }), api.Other},
		"version 0":      {form(func(f *signedForm) { f.Version = 0 }), api.Unsupported},
		"version 2":      {seal(func(f *encryptedForm) { f.Version = 2 }), api.Unsupported},
		"tag":            {form(func(f *signedForm) { f.Tag = "icn-record" }), api.Invalid},
		"tags changed":   {form(func(f *signedForm) { f.Tag = tagEncrypted }), api.Invalid},
		"tags changed 2": {seal(func(f *encryptedForm) { f.Tag = tagSigned }), api.Invalid},
		"no kind":        {form(func(f *signedForm) { f.Kind = "" }), api.Invalid},
		"bad kind":       {form(func(f *signedForm) { f.Kind = "a b" }), api.Invalid},
		"long kind":      {form(func(f *signedForm) { f.Kind = strings.Repeat("k", MaxKind+1) }), api.Invalid},
		"payload":        {form(func(f *signedForm) { f.Payload = make([]byte, MaxPayload+1) }), api.Invalid},
		"envelope":       {form(func(f *signedForm) { f.Payload = make([]byte, MaxEnvelope) }), api.TooLarge},
		"no sender":      {form(func(f *signedForm) { f.Header.From = "" }), api.Invalid},
		"long sender":    {form(func(f *signedForm) { f.Header.From = strings.Repeat("x", maxDID+1) }), api.Invalid},
		"no addressee":   {form(func(f *signedForm) { f.Header.To = "" }), api.Invalid},
		"key":            {form(func(f *signedForm) { f.Header.Key = fill(31, 1) }), api.Invalid},
		"key event":      {form(func(f *signedForm) { f.Header.Auth = make([]byte, record.MaxAuth+1) }), api.Invalid},
		"no nonce":       {form(func(f *signedForm) { f.Header.Nonce = nil }), api.Invalid},
		"zero nonce":     {form(func(f *signedForm) { f.Header.Nonce = make([]byte, 16) }), api.Invalid},
		"zero answer":    {form(func(f *signedForm) { f.Header.Re = make([]byte, 16) }), api.Invalid},
		"short answer":   {form(func(f *signedForm) { f.Header.Re = fill(15, 1) }), api.Invalid},
		"recipient":      {seal(func(f *encryptedForm) { f.Recipient = nil }), api.Invalid},
		"no enc":         {seal(func(f *encryptedForm) { f.Enc = nil }), api.Invalid},
		"long enc":       {seal(func(f *encryptedForm) { f.Enc = make([]byte, maxEnc+1) }), api.Invalid},
		"no ciphertext":  {seal(func(f *encryptedForm) { f.Ciphertext = nil }), api.Invalid},
		"ciphertext":     {seal(func(f *encryptedForm) { f.Ciphertext = make([]byte, maxCipher+1) }), api.Invalid},
	} {
		signed := codec.MustMarshal(tc.form)
		raw := codec.MustMarshal(&envelopeForm{Signed: signed, Signature: ed25519.Sign(private(1), signed)})
		e, err := DecodeEnvelope(raw)
		if api.KindOf(err) != tc.kind {
			t.Errorf("%s: %v, want %s", name, err, tc.kind.Code())
		}
		if err == nil && e.Verify() != nil {
			t.Errorf("%s: %v", name, e.Verify())
		}
	}
	signed := codec.MustMarshal(good())
	for name, raw := range map[string][]byte{
		"nothing":   nil,
		"signature": codec.MustMarshal(&envelopeForm{Signed: signed, Signature: fill(63, 1)}),
		"more":      append(codec.MustMarshal(&envelopeForm{Signed: signed, Signature: fill(64, 1)}), 0),
		"inside":    codec.MustMarshal(&envelopeForm{Signed: append(bytes.Clone(signed), 0), Signature: fill(64, 1)}),
	} {
		if _, err := DecodeEnvelope(raw); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What may not be taken is not made either.
func TestEncodeEnvelopeRefuses(t *testing.T) {
	h := header(2)
	if _, err := (&SignedEnvelope{Header: h, Kind: ""}).Sign(asNode(1)); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
	if _, err := (&SignedEnvelope{Header: h, Kind: "k", Payload: make([]byte, MaxPayload+1)}).Sign(asNode(1)); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
	if _, err := Encrypt(h, Content{Kind: "k", Reply: make([]byte, maxSealKey+1)}, recipientKey, toySeal, asNode(1)); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
	h.Nonce = Nonce{}
	if _, err := Encrypt(h, Content{Kind: "k"}, recipientKey, toySeal, asNode(1)); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
	// The largest that is taken fits a frame.
	raw, err := Encrypt(header(2), Content{Kind: strings.Repeat("k", MaxKind), Reply: make([]byte, 1216), Payload: make([]byte, MaxPayload)}, make([]byte, 1216), toySeal, asDevice(t, 3, 4))
	if err != nil || len(raw) > MaxEnvelope || MaxEnvelope+64 > MaxFrame {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	if _, err := DecodeEnvelope(raw); err != nil {
		t.Error(err)
	}
}

func TestFresh(t *testing.T) {
	now := time.UnixMilli(sentAt)
	for _, tc := range []struct {
		sent uint64
		ok   bool
	}{
		{sentAt, true},
		{sentAt - 30_000, true},
		{sentAt + 30_000, true},
		{sentAt - 30_001, false},
		{sentAt + 30_001, false},
		{0, false},
		{1<<64 - 1, false},
		{1 << 63, false},
	} {
		err := (&Header{Time: tc.sent}).Fresh(now, 30*time.Second)
		if (err == nil) != tc.ok || err != nil && (api.KindOf(err) != api.Refused || api.ReasonOf(err).Rule != "not-fresh") {
			t.Errorf("sent at %d: %v", int64(tc.sent)-sentAt, err)
		}
	}
}

func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		body []byte
		err  error
		kind api.Kind
		text string
	}{
		"body":       {[]byte("b"), nil, api.Other, ""},
		"no body":    {nil, nil, api.Other, ""},
		"refused":    {nil, api.Errorf("x", api.Refused, "no"), api.Refused, "no"},
		"unknown":    {nil, fmt.Errorf("a path"), api.Internal, "failed"},
		"long":       {nil, api.Errorf("x", api.Invalid, "%s", strings.Repeat("é", 4096)), api.Invalid, "é"},
		"not UTF-8":  {nil, api.Errorf("x", api.Invalid, "a\xffb"), api.Invalid, "ab"},
		"both given": {[]byte("b"), api.Errorf("x", api.NotFound, "none"), api.NotFound, "none"},
	} {
		raw, err := AnswerOf(tc.body, tc.err).Encode()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a, err := DecodeAnswer(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, err := a.Result()
		if tc.err == nil && (err != nil || !bytes.Equal(body, tc.body)) {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if tc.err != nil && (body != nil || !strings.Contains(err.Error(), tc.text) || strings.Contains(err.Error(), "path")) {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if k := api.KindOf(err); k.Code() != tc.kind.Code() { // Other and Internal are one to a peer
			t.Errorf("%s: kind %s", name, k.Code())
		}
	}
	for name, a := range map[string]*Answer{
		"reason without code": {Reason: "r"},
		"code with body":      {Code: "refused", Body: []byte{1}},
		"long reason":         {Code: "refused", Reason: strings.Repeat("x", maxReason+1)},
		"long body":           {Body: make([]byte, MaxBody+1)},
	} {
		if _, err := a.Encode(); err == nil {
			t.Errorf("%s is made", name)
		}
		if _, err := DecodeAnswer(codec.MustMarshal(a)); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		k    Keys
		kind api.Kind
	}{
		"good":     {Keys{Suite: SuiteXWing, Key: fill(1216, 1)}, api.Other},
		"suite":    {Keys{Suite: 2, Key: fill(1216, 1)}, api.Unsupported},
		"no key":   {Keys{Suite: SuiteXWing}, api.Invalid},
		"long key": {Keys{Suite: SuiteXWing, Key: make([]byte, maxSealKey+1)}, api.Invalid},
	} {
		raw, err := tc.k.Encode()
		if api.KindOf(err) != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			raw = codec.MustMarshal(&tc.k)
		}
		if got, err := DecodeKeys(raw); api.KindOf(err) != tc.kind || err == nil && !bytes.Equal(got.Key, tc.k.Key) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzEnvelope: what is taken has this one encoding of what is signed.
func FuzzEnvelope(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeEnvelope(b)
		if err != nil {
			if k := api.KindOf(err); k != api.Invalid && k != api.TooLarge && k != api.Unsupported {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
			return
		}
		var form any
		var p *proof
		switch e := e.(type) {
		case *SignedEnvelope:
			form, p = e.form(), &e.proof
		case *EncryptedEnvelope:
			form, p = e.form(), &e.proof
		}
		again := codec.MustMarshal(&envelopeForm{Signed: codec.MustMarshal(form), Signature: p.signature})
		if !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		if err := e.Verify(); err != nil && api.KindOf(err) != api.Unauthenticated {
			t.Fatal(err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	for _, a := range []*Answer{{}, {Body: []byte("b")}, {Code: "refused", Reason: "r"}} {
		b, err := a.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	k, err := (&Keys{Suite: SuiteXWing, Key: []byte{1}}).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(k)
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := DecodeAnswer(b); err == nil {
			if again, err := a.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x became %x, %v", b, again, err)
			}
		}
		if k, err := DecodeKeys(b); err == nil {
			if again, err := k.Encode(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%x became %x, %v", b, again, err)
			}
		}
	})
}
