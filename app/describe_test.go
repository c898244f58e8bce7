package app

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write testdata/kinds.json anew")

func allKinds(t testing.TB) map[[2]string]api.KindSpec {
	t.Helper()
	specs := map[[2]string]api.KindSpec{}
	for _, a := range Standard(Options{}) {
		d, ok := a.(api.Describer)
		if !ok && len(a.Info().Topics) == 0 { // it has no records
			continue
		}
		if !ok {
			t.Errorf("%s does not describe its records", a.Info().Name)
			continue
		}
		for _, s := range d.Describe() {
			k := [2]string{s.Topic, s.Kind}
			if _, twice := specs[k]; twice {
				t.Errorf("%v is described twice", k)
			}
			specs[k] = s
		}
	}
	return specs
}

// Every kind of every app says how it reads, and nothing else is described; a text names fields that there are.
func TestEveryKindIsDescribed(t *testing.T) {
	specs := allKinds(t)
	seen := 0
	for _, a := range Standard(Options{}) {
		for _, topic := range a.Info().Topics {
			for _, kind := range topic.Kinds {
				seen++
				s, ok := specs[[2]string{topic.Name, kind}]
				if !ok || s.Text == "" {
					t.Errorf("%s/%s of %s is not described", topic.Name, kind, a.Info().Name)
				}
				for _, part := range strings.Split(s.Text, "{")[1:] {
					name, _, _ := strings.Cut(part, "}")
					if !has(s.Fields, strings.TrimPrefix(name, "?")) {
						t.Errorf("%s/%s: the text names %q, which is no field", topic.Name, kind, name)
					}
				}
			}
		}
	}
	if seen != len(specs) {
		t.Errorf("%d kinds, %d descriptions", seen, len(specs))
	}
}

func has(fields []api.FieldSpec, name string) bool {
	first, rest, more := strings.Cut(name, ".")
	for _, f := range fields {
		if f.Name == first {
			return !more || has(f.Fields, rest)
		}
	}
	return false
}

// random fills a struct with anything that its types can hold.
func random(t *rapid.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				random(t, v.Field(i))
			}
		}
	case reflect.String:
		v.SetString(rapid.String().Draw(t, "text"))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := rapid.Int64().Draw(t, "int")
		v.SetInt(n >> (64 - v.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n := rapid.Uint64().Draw(t, "uint")
		v.SetUint(n >> (64 - v.Type().Bits()))
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, "len")
		if n == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			random(t, v.Index(i))
		}
	}
}

// What an app encodes, a description reads, field by field, to its end.
func TestDescriptionsReadWhatAppsWrite(t *testing.T) {
	for key, spec := range allKinds(t) {
		if spec.Raw {
			continue
		}
		kinds := record.NewKinds([]api.KindSpec{spec})
		rapid.Check(t, func(t *rapid.T) {
			v := reflect.New(spec.Form)
			random(t, v.Elem())
			r := &api.Record{Topic: api.Topic{Name: spec.Topic}, Kind: spec.Kind, Body: codec.MustMarshal(v.Interface())}
			d := kinds.Describe(r)
			if !d.Known || len(d.Fields) != len(spec.Fields) {
				t.Fatalf("%v: %+v from %x", key, d, r.Body)
			}
			for _, bad := range [][]byte{append(append([]byte{}, r.Body...), 0), r.Body[:len(r.Body)-1]} {
				r.Body = bad
				if d := kinds.Describe(r); d.Known || len(d.Fields) > 0 || !strings.Contains(d.Text, "do not sign") {
					t.Fatalf("%v: another body is described: %+v", key, d)
				}
			}
		})
	}
}

// vector is one golden vector: what the signed bytes of a record say.
type vector struct {
	Name        string           `json:"name"`
	Bytes       string           `json:"bytes"` // hexadecimal
	Description *api.Description `json:"description"`
}

// sample is a value for each type, different for each field.
func sample(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				sample(v.Field(i), n)
			}
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[api.DID]() {
			v.SetString(string(identity.Derive("vector", string(rune('a'+*n%26))).DID()))
		} else {
			v.SetString("text " + string(rune('a'+*n%26)) + " \u202e\"q\"\n")
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(-100 * *n))
	case reflect.Uint8:
		v.SetUint(uint64(*n))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		sample(v.Index(0), n)
		sample(v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(uint64(*n))
		}
	}
}

// The vectors in testdata/kinds.json are for other languages: for each kind a record with something in every field, one with nothing, and one that is
// malformed. Run with -update to write them anew; what changes there changes what members are shown.
func TestKindVectors(t *testing.T) {
	specs := allKinds(t)
	list := make([]api.KindSpec, 0, len(specs))
	for _, s := range specs {
		list = append(list, s)
	}
	kinds := record.NewKinds(list)
	ann := identity.Derive("vector", "ann")
	var got []vector
	add := func(name, topic, kind string, body []byte) {
		r := &api.Record{
			Version: record.Version, Topic: api.Topic{Space: api.Hash{1, 2, 3}, Name: topic}, Device: ann.Device(), Seq: 2, Prev: api.Hash{4},
			Time: api.MakeTimestamp(1_800_000_000_000, 7), Kind: kind, Body: body,
		}
		b, err := record.Unsigned(r)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := record.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, vector{name, hex.EncodeToString(b), kinds.Describe(parsed)})
	}
	for _, a := range Standard(Options{}) {
		for _, topic := range a.Info().Topics {
			for _, kind := range topic.Kinds {
				s, name := specs[[2]string{topic.Name, kind}], topic.Name+" "+kind
				if s.Raw {
					add(name, topic.Name, kind, []byte{1, 2, 3})
					add(name+" empty", topic.Name, kind, nil)
					continue
				}
				v, n := reflect.New(s.Form), 0
				sample(v.Elem(), &n)
				add(name, topic.Name, kind, codec.MustMarshal(v.Interface()))
				add(name+" empty", topic.Name, kind, codec.MustMarshal(reflect.New(s.Form).Interface()))
				add(name+" malformed", topic.Name, kind, []byte{0x9f, 0xff})
			}
		}
	}
	add("unknown", "nowhere", "nothing", []byte{0x80})
	b, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	b = append(b, '\n')
	path := filepath.Join("testdata", "kinds.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(b) {
		t.Errorf("%s differs: run with -update if what members are shown is meant to change", path)
	}
}

// FuzzDescribe describes any body of any kind: nothing breaks, what is known says so by all of its bytes, and no line is broken.
func FuzzDescribe(f *testing.F) {
	specs := allKinds(f)
	list := make([]api.KindSpec, 0, len(specs))
	for _, a := range Standard(Options{}) {
		if d, ok := a.(api.Describer); ok {
			list = append(list, d.Describe()...)
		}
	}
	kinds := record.NewKinds(list)
	for i, s := range list {
		if !s.Raw {
			f.Add(i, codec.MustMarshal(reflect.New(s.Form).Interface()))
		}
	}
	f.Fuzz(func(t *testing.T, i int, body []byte) {
		s := list[int(uint(i)%uint(len(list)))]
		d := kinds.Describe(&api.Record{Topic: api.Topic{Name: s.Topic}, Kind: s.Kind, Body: body})
		if strings.ContainsAny(d.Text, "\n\r\u202e\u2028") {
			t.Fatalf("%q", d.Text)
		}
		if !d.Known || s.Raw {
			return
		}
		v := reflect.New(s.Form).Interface()
		if err := codec.Unmarshal(body, v); err != nil {
			// Numbers that are too large for the app's type are shown all the same, and refused by the app.
			if strings.Contains(err.Error(), "overflow") {
				return
			}
			t.Fatalf("described, and not readable: %v: %+v", err, d)
		}
		if string(codec.MustMarshal(v)) != string(body) {
			t.Fatalf("%x is described and is not canonical", body)
		}
	})
}
