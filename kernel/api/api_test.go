package api_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

const digits = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestParseHash(t *testing.T) {
	h, err := api.ParseHash(digits)
	if err != nil || h.String() != digits || h.Short() != digits[:12] || h.IsZero() {
		t.Fatalf("%s, %v", h, err)
	}
	for _, s := range []string{"", digits[1:], digits + "0", strings.ToUpper(digits), "g" + digits[1:], " " + digits[1:], strings.Repeat("0", 1000)} {
		if h, err := api.ParseHash(s); api.KindOf(err) != api.Invalid || !h.IsZero() || len(err.Error()) > 200 {
			t.Errorf("%.70q: %s, %v", s, h, err)
		}
	}
}

func TestHashAndKeyInJSON(t *testing.T) {
	type doc struct {
		H api.Hash `json:"h"`
		K api.Key  `json:"k"`
	}
	var d doc
	in := `{"h":"` + digits + `","k":"` + digits + `"}`
	if err := json.Unmarshal([]byte(in), &d); err != nil || d.K.String() != digits {
		t.Fatalf("%+v, %v", d, err)
	}
	if out, err := json.Marshal(d); err != nil || string(out) != in {
		t.Errorf("%s, %v", out, err)
	}
	if err := json.Unmarshal([]byte(`{"h":"","k":""}`), &d); err != nil || d != (doc{}) {
		t.Errorf("empty texts: %+v, %v; want the zero values", d, err)
	}
	for _, in := range []string{`{"h":"xx"}`, `{"k":"xx"}`} {
		if err := json.Unmarshal([]byte(in), &d); err == nil {
			t.Errorf("%s is read", in)
		}
	}
}

func TestParseTopic(t *testing.T) {
	h, _ := api.ParseHash(digits)
	want := api.Topic{Space: h, Name: "a/b"}
	if got, err := api.ParseTopic(want.String()); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	for _, s := range []string{"", "/", digits, digits + "/", "/name", "x/name"} {
		if got, err := api.ParseTopic(s); api.KindOf(err) != api.Invalid {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}

func TestPosition(t *testing.T) {
	p := api.Position{Feed: api.Hash{0xab}, Seq: 7, ID: api.Hash{0xcd}}
	if got := p.String(); got != "ab0000000000:7:cd0000000000" {
		t.Error(got)
	}
	if p.IsZero() || !(api.Position{}).IsZero() {
		t.Error("IsZero")
	}
	r := api.Record{Feed: p.Feed, Seq: p.Seq, ID: p.ID}
	if r.Position() != p {
		t.Error(r.Position())
	}
}

func TestTimestamp(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 123e6, time.UTC)
	ts := api.MakeTimestamp(at.UnixMilli(), 7)
	if ts.Millis() != at.UnixMilli() || !ts.Time().Equal(at) || ts.Time().Location() != time.UTC {
		t.Errorf("%v", ts.Time())
	}
	if a, b := api.MakeTimestamp(5, 65535), api.MakeTimestamp(6, 0); a+1 != b {
		t.Errorf("%x and %x do not follow", a, b)
	}
}

func TestNamesOfNumbers(t *testing.T) {
	for got, want := range map[string]string{
		api.Log.String(): "log", api.Latest.String(): "latest", api.Ephemeral.String(): "ephemeral", api.Retention(9).String(): "retention(9)",
		api.Abstain.String(): "abstain", api.Allow.String(): "allow", api.Deny.String(): "deny",
		api.Genesis.String(): "genesis", api.CoreApps.String(): "core-apps", api.Running.String(): "running", api.Phase(9).String(): "running",
		api.Unary.String(): "unary", api.List.String(): "list", api.Stream.String(): "stream",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if api.Effect(9).String() != "deny" {
		t.Error("an effect of tomorrow must not read as an allowance")
	}
}

func TestSeq8OrdersLikeNumbers(t *testing.T) {
	last := ""
	for _, n := range []uint64{0, 1, 255, 256, 1 << 32, 1<<64 - 1} {
		b := string(api.Seq8(n))
		if len(b) != 8 || b <= last && n > 0 {
			t.Errorf("%d: %x after %x", n, b, last)
		}
		last = b
	}
}

// Every field of a clone is a copy, also of a field that is added tomorrow.
func TestConstraintSetClone(t *testing.T) {
	c := api.ConstraintSet{
		RateLimit: &api.RateLimit{PerSecond: 1}, Multiplier: new(0.5), Ceiling: new(int64(1)), MaxTopics: new(uint32(1)), MaxConnections: new(uint32(1)),
		AllowedTopics: []string{"a"}, Capabilities: []string{"a"}, PriorityClass: new(uint8(1)), CanReplicate: new(true),
		ReplicaSelection: &api.ReplicaSelection{MinRank: 1}, Custom: map[string]any{"a": 1},
	}
	d := c.Clone()
	if !reflect.DeepEqual(c, d) {
		t.Fatalf("%+v became %+v", c, d)
	}
	cv, dv := reflect.ValueOf(c), reflect.ValueOf(d)
	for i := range cv.NumField() {
		f, name := cv.Field(i), cv.Type().Field(i).Name
		if f.IsZero() {
			t.Errorf("%s is not set by this test", name)
		} else if f.Pointer() == dv.Field(i).Pointer() {
			t.Errorf("%s is shared", name)
		}
	}
	if !reflect.DeepEqual(api.ConstraintSet{}, api.ConstraintSet{}.Clone()) {
		t.Error("an empty set gains something")
	}
	if got := (api.ConstraintSet{Capabilities: []string{}}).Clone(); got.Capabilities == nil {
		t.Error("a list that grants nothing became one that imposes nothing")
	}
}

func TestDecisions(t *testing.T) {
	r := &api.Reason{Text: "no", Remedy: "ask"}
	if d := api.Denied(r); d.Effect != api.Deny || d.Reason != r {
		t.Errorf("%+v", d)
	}
	if d := api.Allowed(api.ConstraintSet{Ceiling: new(int64(1))}); d.Effect != api.Allow || *d.Constraints.Ceiling != 1 {
		t.Errorf("%+v", d)
	}
	if (api.Decision{}).Effect != api.Abstain {
		t.Error("the zero decision says something")
	}
	if o := api.Voided("d", "rule", "text"); o.Void == nil || o.Void.Rule != "rule" || api.Accepted.Void != nil {
		t.Errorf("%+v", o)
	}
}

// What an oracle imposes reaches an edge as JSON by the names of the specification; what it does not impose is left out.
func TestConstraintSetInJSON(t *testing.T) {
	b, err := json.Marshal(api.Decision{Effect: api.Allow})
	if err != nil || string(b) != `{"effect":1}` {
		t.Errorf("%s, %v", b, err)
	}
	b, err = json.Marshal(api.ConstraintSet{RateLimit: &api.RateLimit{PerSecond: 20, Burst: 40}, Multiplier: new(0.5), Ceiling: new(int64(7))})
	if want := `{"rate_limit":{"per_second":20,"burst":40},"credit_multiplier":0.5,"credit_ceiling":7}`; err != nil || string(b) != want {
		t.Errorf("%s, %v", b, err)
	}
}

type greeter interface{ Greet() string }

type hello string

func (h hello) Greet() string { return string(h) }

func TestServices(t *testing.T) {
	var s api.Services
	if _, found := api.Lookup[greeter](&s); found {
		t.Error("found before it was provided")
	}
	api.Provide[greeter](&s, hello("hi"))
	api.Provide(&s, 7)
	if g, found := api.Lookup[greeter](&s); !found || g.Greet() != "hi" {
		t.Error("not found")
	}
	if n, found := api.Lookup[int](&s); !found || n != 7 {
		t.Error("int not found")
	}
	if _, found := api.Lookup[hello](&s); found {
		t.Error("found under another type than it was provided as")
	}
	defer func() {
		if recover() == nil {
			t.Error("two owners of one service")
		}
	}()
	api.Provide[greeter](&s, hello("again"))
}

func TestSays(t *testing.T) {
	type inner struct {
		_     struct{} `cbor:",toarray"`
		SeqNo uint64
		Body  []byte
	}
	type form struct {
		_         struct{} `cbor:",toarray"`
		To        api.DID
		NextKey   api.Key
		ID        api.Hash
		Code      string
		Amount    int64 `say:"amount,code"`
		Open      bool
		Inners    []inner
		AllHashes []api.Hash
	}
	got := api.Says[form]("t", "k", "text")
	want := []api.FieldSpec{
		{Name: "to", Type: api.FieldDID},
		{Name: "next_key", Type: api.FieldKey},
		{Name: "id", Type: api.FieldHash},
		{Name: "code", Type: api.FieldText},
		{Name: "amount", Type: api.FieldAmount, Currency: "code"},
		{Name: "open", Type: api.FieldBool},
		{Name: "inners", Type: api.FieldTuple, List: true, Fields: []api.FieldSpec{{Name: "seq_no", Type: api.FieldUint}, {Name: "body", Type: api.FieldBytes}}},
		{Name: "all_hashes", Type: api.FieldHash, List: true},
	}
	if got.Topic != "t" || got.Kind != "k" || got.Text != "text" || got.Raw || !reflect.DeepEqual(got.Fields, want) {
		t.Errorf("%+v", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a struct that is encoded as a map is described as an array")
		}
	}()
	api.Says[struct{ A int }]("t", "k", "text")
}
