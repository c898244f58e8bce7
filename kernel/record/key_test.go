package record_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"pgregory.net/rapid"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

func TestCheckKey(t *testing.T) {
	refuse := func(b []byte, why string) {
		t.Helper()
		err := record.CheckKey(api.Key(b))
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), why) {
			t.Errorf("key %x: %v, want %q", b, err, why)
		}
	}
	canonical, others := smallOrder()
	if len(canonical) != 8 || len(others) != 6 {
		t.Fatalf("%d and %d encodings of small order, want 8 and 6", len(canonical), len(others))
	}
	for _, b := range canonical {
		refuse(b, "small or mixed order")
	}
	for _, b := range nonCanonical() {
		refuse(b, "") // not a point, or not its encoding
	}
	for _, b := range others {
		refuse(b, "non-canonical")
	}
	good := point(ann.root.Public().(ed25519.PublicKey))
	if err := record.CheckKey(api.Key(good.Bytes())); err != nil {
		t.Errorf("an honest key: %v", err)
	}
	for i := range 7 {
		refuse(good.Add(good, torsion).Bytes(), "small or mixed order")
		if i == 6 && record.CheckKey(api.Key(good.Add(good, torsion).Bytes())) != nil {
			t.Error("the honest key, eight steps on, is refused")
		}
	}
	refuse(append([]byte{2}, make([]byte, 31)...), "not a point")
}

// Every key of an honest generator passes.
func TestCheckKeyTakesHonestKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")
		if err := record.CheckKey(public(ed25519.NewKeyFromSeed(seed))); err != nil {
			t.Fatal(err)
		}
	})
}

// R13: two spellings of one DID are one person. There is only one spelling: every other is refused.
func TestR13_OneSpellingOneDID(t *testing.T) {
	root := public(ann.root)
	did := string(record.DIDOf(root))
	if k, err := record.ParseDID(did); err != nil || k != root {
		t.Fatalf("%s: %v", did, err)
	}
	text := strings.TrimPrefix(did, "did:icn:")
	mixed, _ := crooked(ann.root, 1, false, nil)
	for name, s := range map[string]string{
		"leading one":       "did:icn:1" + text,
		"many leading ones": "did:icn:" + strings.Repeat("1", 20) + text,
		"trailing space":    did + " ",
		"trailing newline":  did + "\n",
		"leading space":     " " + did,
		"space inside":      "did:icn: " + text,
		"nul":               did + "\x00",
		"method in capital": "did:ICN:" + text,
		"scheme in capital": "DID:icn:" + text,
		"other method":      "did:key:" + text,
		"multibase":         "did:icn:z" + text,
		"fragment":          did + "#device",
		"query":             did + "?a=b",
		"path":              did + "/",
		"case of the key":   "did:icn:" + strings.ToLower(text),
		"not in base58":     "did:icn:0" + text[1:],
		"cut":               did[:len(did)-3],
		"longer":            did + "2",
		"no key":            "did:icn:",
		"no prefix":         text,
		"nothing":           "",
		"huge":              "did:icn:" + strings.Repeat("2", 1<<20),
		"wide letters":      "did:icn:" + strings.Replace(text, text[:1], "Ａ", 1),
		"mixed order":       string(record.DIDOf(mixed)),
	} {
		if k, err := record.ParseDID(s); err == nil {
			t.Errorf("%s: %.80q is read as %s", name, s, k)
		} else if api.KindOf(err) != api.Invalid || len(err.Error()) > 400 {
			t.Errorf("%s: %.400v", name, err)
		}
	}
	canonical, _ := smallOrder()
	for _, b := range append(canonical, nonCanonical()...) {
		s := string(record.DIDOf(api.Key(b)))
		if _, err := record.ParseDID(s); err == nil {
			t.Errorf("%s stands for the bad key %x", s, b)
		}
	}
}

func TestParseDIDIsTheInverseOfDIDOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := public(ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")))
		if got, err := record.ParseDID(string(record.DIDOf(k))); err != nil || got != k {
			t.Fatalf("%v, %v; want %v", got, err, k)
		}
	})
}

// event is the wire form of a key event, to make those that SignKeyEvent would not.
type event struct {
	_       struct{} `cbor:",toarray"`
	Tag     string
	Version uint16
	Root    []byte
	Seq     uint64
	Device  []byte
}

type signedEvent struct {
	_         struct{} `cbor:",toarray"`
	Event     []byte
	Signature []byte
}

func goodEvent() event {
	root, device := public(ann.root), ann.Device()
	return event{Tag: "icn-key-event", Version: 1, Root: root[:], Device: device[:]}
}

func TestKeyEvent(t *testing.T) {
	got, err := record.ParseKeyEvent(ann.auth)
	if want := (record.KeyEvent{DID: ann.DID(), Device: ann.Device()}); err != nil || got != want {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
	mixed := point(public32(ann.root))
	mixed.Add(mixed, torsion)
	for name, tc := range map[string]struct {
		change func(*event)
		want   string
	}{
		"tag":           {func(e *event) { e.Tag = "icn-record" }, "tag"},
		"version":       {func(e *event) { e.Version = 2 }, "version 2"},
		"seq":           {func(e *event) { e.Seq = 1 }, "seq 1"},
		"short root":    {func(e *event) { e.Root = e.Root[:31] }, "keys of 31"},
		"short device":  {func(e *event) { e.Device = e.Device[:31] }, "and 31 bytes"},
		"other root":    {func(e *event) { e.Root = public32(ann.device) }, "signature"},
		"small root":    {func(e *event) { e.Root = torsion.Bytes() }, "small or mixed order"},
		"small device":  {func(e *event) { e.Device = torsion.Bytes() }, "small or mixed order"},
		"mixed device":  {func(e *event) { e.Device = mixed.Bytes() }, "small or mixed order"},
		"device no key": {func(e *event) { e.Device = make([]byte, 32); e.Device[0] = 2 }, "not a point"},
	} {
		e := goodEvent()
		tc.change(&e)
		b := codec.MustMarshal(&e)
		_, err := record.ParseKeyEvent(codec.MustMarshal(&signedEvent{Event: b, Signature: ed25519.Sign(ann.root, b)}))
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}

	e := goodEvent()
	b := codec.MustMarshal(&e)
	sig := ed25519.Sign(ann.root, b)
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"not CBOR":          []byte("hello"),
		"cut":               ann.auth[:len(ann.auth)-1],
		"more":              append(bytes.Clone(ann.auth), 0),
		"huge":              make([]byte, record.MaxKeyEvent+1),
		"no signature":      codec.MustMarshal(&signedEvent{Event: b}),
		"flipped signature": codec.MustMarshal(&signedEvent{Event: b, Signature: append([]byte{sig[0] ^ 1}, sig[1:]...)}),
		"S above the order": codec.MustMarshal(&signedEvent{Event: b, Signature: malleable(sig)}),
		"not an event":      codec.MustMarshal(&signedEvent{Event: []byte{0}, Signature: sig}),
	} {
		if ke, err := record.ParseKeyEvent(b); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %+v, %v", name, ke, err)
		}
	}
}

func public32(k ed25519.PrivateKey) []byte { return bytes.Clone(k.Public().(ed25519.PublicKey)) }

// A DID of a mixed-order root would verify, by this rule always and by the standard library's once in eight times: the key is refused whatever
// the signature.
func TestKeyEventOfAMixedOrderRoot(t *testing.T) {
	e := goodEvent()
	k, _ := crooked(ann.root, 1, false, nil)
	e.Root = k[:]
	b := codec.MustMarshal(&e)
	k, sig := crooked(ann.root, 1, false, b)
	if !record.Verify(k, b, sig) || !reference(k, b, sig) {
		t.Fatal("the crooked signature does not verify: the test is empty")
	}
	if _, err := record.ParseKeyEvent(codec.MustMarshal(&signedEvent{Event: b, Signature: sig})); err == nil || !strings.Contains(err.Error(), "mixed order") {
		t.Errorf("%v", err)
	}
}

func TestCheckKeyAgainstMultiplicationByTheOrder(t *testing.T) {
	canonical, _ := smallOrder()
	rapid.Check(t, func(t *rapid.T) {
		p := point(public32(ed25519.NewKeyFromSeed(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))))
		i := rapid.IntRange(0, 7).Draw(t, "torsion")
		p.Add(p, new(edwards25519.Point).Set(point(canonical[i])))
		if err := record.CheckKey(api.Key(p.Bytes())); (err == nil) != (i == 0) {
			t.Fatalf("an honest key plus %d times the torsion point: %v", i, err)
		}
	})
}
