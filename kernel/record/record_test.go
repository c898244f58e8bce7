package record_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

func TestFoundingRecord(t *testing.T) {
	e := sign(t, first())
	got, err := record.Decode(e.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != api.Hash(sha256.Sum256(e.Signed)) || got.Topic.Space != got.ID || !record.Founds(got.Record) {
		t.Errorf("id %s, space %s", got.ID, got.Topic.Space)
	}
	if got.Author != ann.DID() || got.Feed != record.FeedID(got.Topic, ann.Device()) {
		t.Errorf("author %s, feed %s", got.Author, got.Feed)
	}
	if !record.Verify(got.Device, got.Signed, got.Signature) {
		t.Error("the signature does not fit")
	}
}

func TestLaterRecord(t *testing.T) {
	want := later()
	e := sign(t, want)
	got, err := record.Decode(e.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if got.Author != "" || record.Founds(got.Record) {
		t.Errorf("author %q at seq 2", got.Author)
	}
	got.Auth = nil // empty, in one of the two ways
	if !reflect.DeepEqual(got.Record, want) {
		t.Errorf("decoded %+v, signed %+v", got.Record, want)
	}
}

// The id of a feed depends on each of its parts, and on nothing else.
func TestFeedID(t *testing.T) {
	topic := api.Topic{Space: api.Hash{1}, Name: "notes"}
	seen := map[api.Hash]int{record.FeedID(topic, api.Key{1}): -1}
	for i, id := range []api.Hash{
		record.FeedID(api.Topic{Space: api.Hash{2}, Name: "notes"}, api.Key{1}),
		record.FeedID(api.Topic{Space: api.Hash{1}, Name: "note"}, api.Key{1}),
		record.FeedID(topic, api.Key{2}),
		record.FeedID(api.Topic{Space: api.Hash{1}, Name: strings.Repeat("n", 200)}, api.Key{1}),
	} {
		if j, dup := seen[id]; dup {
			t.Errorf("cases %d and %d share an id", i, j)
		}
		seen[id] = i
	}
	h := sha256.New()
	h.Write([]byte("icn-feed\x00"))
	h.Write(topic.Space[:])
	h.Write(make([]byte, 32))
	h.Write([]byte("notes"))
	if got := record.FeedID(topic, api.Key{}); !bytes.Equal(got[:], h.Sum(nil)) {
		t.Errorf("%s is not the digest that docs/protocol.md gives", got)
	}
}

// What may not be written may not be read either: each draft is refused by Unsigned.
func TestStructure(t *testing.T) {
	long := strings.Repeat("x", record.MaxName+1)
	many := func(n int) []api.Position {
		ps := make([]api.Position, n)
		for i := range ps {
			ps[i] = api.Position{Feed: api.Hash{byte(i >> 8), byte(i)}, Seq: 1}
		}
		return ps
	}
	for name, tc := range map[string]struct {
		change func(*api.Record)
		kind   api.Kind
	}{
		"good":                 {func(*api.Record) {}, api.Other},
		"version 0":            {func(r *api.Record) { r.Version = 0 }, api.Invalid},
		"version of tomorrow":  {func(r *api.Record) { r.Version = 65535 }, api.Other}, // stored, not refused: records.md, Ingest 1
		"seq 0":                {func(r *api.Record) { r.Seq = 0 }, api.Invalid},
		"founding at seq 2":    {func(r *api.Record) { r.Topic.Space = api.Hash{} }, api.Invalid},
		"no topic":             {func(r *api.Record) { r.Topic.Name = "" }, api.Invalid},
		"long topic":           {func(r *api.Record) { r.Topic.Name = long }, api.Invalid},
		"longest topic":        {func(r *api.Record) { r.Topic.Name = long[1:] }, api.Other},
		"capital in topic":     {func(r *api.Record) { r.Topic.Name = "Notes" }, api.Invalid},
		"slash in topic":       {func(r *api.Record) { r.Topic.Name = "a/b" }, api.Invalid},
		"no kind":              {func(r *api.Record) { r.Kind = "" }, api.Invalid},
		"long kind":            {func(r *api.Record) { r.Kind = long }, api.Invalid},
		"not text":             {func(r *api.Record) { r.Kind = "\xff" }, api.Invalid},
		"auth at seq 2":        {func(r *api.Record) { r.Auth = ann.Auth() }, api.Invalid},
		"no auth at seq 1":     {func(r *api.Record) { r.Seq, r.Prev = 1, api.Hash{} }, api.Invalid},
		"long auth":            {func(r *api.Record) { r.Seq, r.Auth = 1, make([]byte, record.MaxAuth+1) }, api.Invalid},
		"dep at seq 0":         {func(r *api.Record) { r.Deps[1].Seq = 0 }, api.Invalid},
		"deps out of order":    {func(r *api.Record) { r.Deps[0], r.Deps[1] = r.Deps[1], r.Deps[0] }, api.Invalid},
		"two deps on a feed":   {func(r *api.Record) { r.Deps[1].Feed = r.Deps[0].Feed }, api.Invalid},
		"128 deps":             {func(r *api.Record) { r.Deps = many(128) }, api.Other},
		"129 deps":             {func(r *api.Record) { r.Deps = many(129) }, api.TooLarge},
		"largest body":         {func(r *api.Record) { r.Body = make([]byte, record.MaxBody) }, api.Other},
		"larger body":          {func(r *api.Record) { r.Body = make([]byte, record.MaxBody+1) }, api.TooLarge},
		"largest record":       {func(r *api.Record) { r.Body, r.Deps = make([]byte, record.MaxBody), many(128) }, api.Other},
		"no body":              {func(r *api.Record) { r.Body = nil }, api.Other},
		"time at the end":      {func(r *api.Record) { r.Time = 1<<64 - 1 }, api.Other},
		"seq at the end":       {func(r *api.Record) { r.Seq = 1<<64 - 1 }, api.Other},
		"every sign in a name": {func(r *api.Record) { r.Kind = "az09-_.:" }, api.Other},
	} {
		r := later()
		tc.change(r)
		e, err := record.Sign(r, ann)
		if api.KindOf(err) != tc.kind || (err == nil) != (tc.kind == api.Other) {
			t.Errorf("%s: %v, want kind %s", name, err, tc.kind.Code())
			continue
		}
		if err == nil {
			if _, err := record.Decode(e.Raw); err != nil {
				t.Errorf("%s: written, not read: %v", name, err)
			}
		}
	}
}

// signedParts and envelopeParts are the wire forms, to make records that Unsigned and Seal would not.
type signedParts struct {
	_       struct{} `cbor:",toarray"`
	Tag     string
	Version uint64
	Space   []byte
	Topic   string
	Device  []byte
	Seq     uint64
	Prev    []byte
	Time    uint64
	Deps    []depParts
	Kind    string
	Auth    []byte
	Body    []byte
}

type depParts struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	ID   []byte
}

type envelopeParts struct {
	_         struct{} `cbor:",toarray"`
	Signed    []byte
	Signature []byte
}

// parts takes an envelope apart.
func parts(t fataler, e *record.Envelope) *signedParts {
	t.Helper()
	var s signedParts
	if err := codec.Unmarshal(e.Signed, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// join puts one together and signs it with ann's device key.
func join(s *signedParts) []byte {
	b := codec.MustMarshal(s)
	return codec.MustMarshal(&envelopeParts{Signed: b, Signature: ed25519.Sign(ann.device, b)})
}

func TestDecodeRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		from   func() *api.Record
		change func(*signedParts)
		kind   api.Kind
		want   string
	}{
		"tag":              {later, func(s *signedParts) { s.Tag = "icn-key-event" }, api.Invalid, "tag"},
		"version 0":        {later, func(s *signedParts) { s.Version = 0 }, api.Invalid, "version 0"},
		"version 65536":    {later, func(s *signedParts) { s.Version = 65536 }, api.Invalid, "out of range"},
		"space of 31":      {later, func(s *signedParts) { s.Space = s.Space[:31] }, api.Invalid, "space of 31"},
		"device of 33":     {later, func(s *signedParts) { s.Device = append(s.Device, 0) }, api.Invalid, "device key of 33"},
		"prev of 31":       {later, func(s *signedParts) { s.Prev = s.Prev[:31] }, api.Invalid, "prev of 31"},
		"no prev":          {later, func(s *signedParts) { s.Prev = nil }, api.Invalid, "prev of 0"},
		"prev at seq 1":    {first, func(s *signedParts) { s.Prev = make([]byte, 32) }, api.Invalid, "prev at seq 1"},
		"feed of 31":       {later, func(s *signedParts) { s.Deps[0].Feed = s.Deps[0].Feed[:31] }, api.Invalid, "dep 0"},
		"dep id of 33":     {later, func(s *signedParts) { s.Deps[1].ID = append(s.Deps[1].ID, 0) }, api.Invalid, "dep 1"},
		"129 deps":         {later, func(s *signedParts) { s.Deps = slices.Repeat(s.Deps[:1], 129) }, api.TooLarge, "129 deps"},
		"large body":       {later, func(s *signedParts) { s.Body = make([]byte, record.MaxBody+1) }, api.TooLarge, "body of"},
		"large envelope":   {later, func(s *signedParts) { s.Body = make([]byte, record.MaxSize) }, api.TooLarge, "envelope of"},
		"auth of another":  {first, func(s *signedParts) { s.Auth = newPerson("ben").auth }, api.Invalid, "certifies device"},
		"auth is no event": {first, func(s *signedParts) { s.Auth = []byte("x") }, api.Invalid, "keylog"},
	} {
		s := parts(t, sign(t, tc.from()))
		tc.change(s)
		_, err := record.Decode(join(s))
		if api.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q (%s)", name, err, tc.want, tc.kind.Code())
		}
	}
}

// reshape are other spellings of one record: a reader that took any would let one record have two ids or two envelopes.
func reshape(t fataler) map[string][]byte {
	e := sign(t, later())
	wrap := func(signed []byte) []byte {
		return codec.MustMarshal(&envelopeParts{Signed: signed, Signature: ed25519.Sign(ann.device, signed)})
	}
	swap := func(old, new []byte) []byte {
		if bytes.Count(e.Signed, old) == 0 {
			panic("nothing to swap")
		}
		return wrap(bytes.Replace(e.Signed, old, new, 1))
	}
	tag := append([]byte{0x6a}, "icn-record"...)
	body := append([]byte{0x4b}, "hello again"...)
	return map[string][]byte{
		"long form of an integer":           swap(append(slices.Clone(tag), 1), append(slices.Clone(tag), 0x18, 1)),
		"long form of a length":             swap(body, append([]byte{0x58, 11}, "hello again"...)),
		"indefinite string":                 swap(body, slices.Concat([]byte{0x5f}, body, []byte{0xff})),
		"indefinite array in the record":    wrap(slices.Concat([]byte{0x9f}, e.Signed[1:], []byte{0xff})),
		"indefinite array in the envelope":  slices.Concat([]byte{0x9f}, e.Raw[1:], []byte{0xff}),
		"long form in the envelope":         append([]byte{0x98, 2}, e.Raw[1:]...),
		"longest form of the array's head":  wrap(slices.Concat([]byte{0x9b, 0, 0, 0, 0, 0, 0, 0, 12}, e.Signed[1:])),
		"reserved form of the array's head": wrap(slices.Concat([]byte{0x9c}, e.Signed[1:])),
	}
}

func TestDecodeRefusesOtherSpellings(t *testing.T) {
	for name, raw := range reshape(t) {
		if _, err := record.Decode(raw); !errors.Is(err, codec.ErrNotCanonical) || api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeRefusesWhatIsNoEnvelope(t *testing.T) {
	e := sign(t, later())
	for name, raw := range map[string][]byte{
		"nothing":          nil,
		"text":             []byte("hello"),
		"cut":              e.Raw[:len(e.Raw)-1],
		"more":             append(slices.Clone(e.Raw), 0),
		"short signature":  codec.MustMarshal(&envelopeParts{Signed: e.Signed, Signature: e.Signature[1:]}),
		"no signature":     codec.MustMarshal(&envelopeParts{Signed: e.Signed}),
		"empty record":     codec.MustMarshal(&envelopeParts{Signature: e.Signature}),
		"three parts":      slices.Concat([]byte{0x83}, e.Raw[1:], []byte{0}),
		"map":              slices.Concat([]byte{0xa1}, e.Raw[1:]),
		"tagged":           slices.Concat([]byte{0xc1}, e.Raw),
		"null in it":       {0x82, 0xf6, 0xf6},
		"text for bytes":   append([]byte{0x82, 0x78 | e.Raw[1]&7}, e.Raw[2:]...),
		"promised, absent": {0x82, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		if _, err := record.Decode(raw); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := record.Decode(make([]byte, record.MaxSize+1)); api.KindOf(err) != api.TooLarge {
		t.Errorf("over the size: %v", err)
	}
}

// A count that promises more than MaxDeps must be refused before it is believed.
func TestDecodeDoesNotBelieveCounts(t *testing.T) {
	s := parts(t, sign(t, later()))
	s.Deps = nil
	b := codec.MustMarshal(s)
	head := slices.Concat([]byte{0x80, 0x64}, []byte("note")) // the empty deps and the kind
	at := bytes.Index(b, head)
	for count, kind := range map[string]api.Kind{
		"\x99\xff\xff":                         api.TooLarge,
		"\x9a\x00\x01\x00\x01":                 api.Invalid,
		"\x9b\xff\xff\xff\xff\xff\xff\xff\xff": api.Invalid,
	} {
		forged := slices.Concat(b[:at], []byte(count), b[at+1:])
		raw := codec.MustMarshal(&envelopeParts{Signed: forged, Signature: make([]byte, 64)})
		if n := testing.AllocsPerRun(10, func() {
			if _, err := record.Decode(raw); api.KindOf(err) != kind {
				t.Errorf("count %x: %v, want %s", count, err, kind.Code())
			}
		}); n > 50 {
			t.Errorf("count %x: %v allocations", count, n)
		}
	}
}

func TestSealWantsAWholeSignature(t *testing.T) {
	r := first()
	r.Device = ann.Device()
	b, err := record.Unsigned(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := record.Seal(r, b, make([]byte, 63)); api.KindOf(err) != api.Invalid {
		t.Errorf("%v", err)
	}
}

type noSigner struct{ *person }

func (noSigner) Sign([]byte) ([]byte, error) {
	return nil, api.Errorf("sign", api.Unavailable, "the key is locked")
}

func TestSignPassesOnTheSignersError(t *testing.T) {
	if _, err := record.Sign(first(), noSigner{ann}); api.KindOf(err) != api.Unavailable {
		t.Errorf("%v", err)
	}
}

// draw makes any record that may be written.
func draw(t *rapid.T) *api.Record {
	name := rapid.StringMatching(`[a-z0-9_.:-]{1,64}`)
	hash := rapid.Custom(func(t *rapid.T) (h api.Hash) {
		copy(h[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
		return h
	})
	r := &api.Record{
		Version: rapid.Uint16Min(1).Draw(t, "version"), Topic: api.Topic{Name: name.Draw(t, "topic")}, Seq: 1,
		Time: api.Timestamp(rapid.Uint64().Draw(t, "time")), Kind: name.Draw(t, "kind"), Auth: ann.Auth(),
		Body: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body"),
	}
	if !rapid.Bool().Draw(t, "founds") {
		r.Topic.Space = hash.Filter(func(h api.Hash) bool { return !h.IsZero() }).Draw(t, "space")
		if r.Seq = rapid.Uint64Min(1).Draw(t, "seq"); r.Seq > 1 {
			r.Prev, r.Auth = hash.Draw(t, "prev"), nil
		}
	}
	feeds := rapid.SliceOfNDistinct(hash, 0, 6, rapid.ID).Draw(t, "feeds")
	slices.SortFunc(feeds, func(a, b api.Hash) int { return bytes.Compare(a[:], b[:]) })
	r.Deps = make([]api.Position, len(feeds))
	for i, f := range feeds {
		r.Deps[i] = api.Position{Feed: f, Seq: rapid.Uint64Min(1).Draw(t, "dep seq"), ID: hash.Draw(t, "dep id")}
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := draw(t)
		e := sign(t, r)
		got, err := record.Decode(e.Raw)
		if err != nil {
			t.Fatal(err)
		}
		if r.Seq == 1 {
			r.Author = ann.DID()
		}
		if len(got.Auth) == 0 {
			got.Auth = nil
		}
		if len(got.Body) == 0 {
			got.Body, r.Body = nil, nil
		}
		if !reflect.DeepEqual(got.Record, r) {
			t.Fatalf("decoded %+v\nsigned  %+v", got.Record, r)
		}
		if !bytes.Equal(got.Signed, e.Signed) || !bytes.Equal(got.Signature, e.Signature) || !bytes.Equal(got.Raw, e.Raw) {
			t.Fatal("other bytes")
		}
		if !record.Verify(got.Device, got.Signed, got.Signature) {
			t.Fatal("the signature does not fit")
		}
		// Any change of the signed bytes that still decodes is another record, and unsigned.
		bad := slices.Clone(e.Raw)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if b, err := record.Decode(bad); err == nil && record.Verify(b.Device, b.Signed, b.Signature) {
			t.Fatalf("a damaged record passes as %+v", b.Record)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, r := range map[string]*api.Record{"first": first(), "later": later()} {
		raw := sign(b, r).Raw
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := record.Decode(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSign(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		sign(b, later())
	}
}
