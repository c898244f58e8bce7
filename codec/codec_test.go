package codec_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/codec"
)

type inner struct {
	_    struct{} `cbor:",toarray"`
	ID   []byte
	Seq  uint64
	More []inner
}

type value struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Small uint16
	N     int64
	Flag  bool
	Ratio float64
	Bytes []byte
	List  []inner
	Map   map[string]int64
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The one encoding of some values, written out by RFC 8949.
func TestCanonicalForm(t *testing.T) {
	for _, tc := range []struct {
		v    any
		want string
	}{
		{&value{}, "88 60 00 00 f4 f90000 40 80 a0"},
		{
			&value{Name: "a", Small: 24, N: -25, Flag: true, Ratio: 0.5, Bytes: []byte{1}, List: []inner{{}}, Map: map[string]int64{"bb": 1, "a": 2, "c": 3}},
			"88 6161 1818 3818 f5 f93800 4101 81 83 40 00 80 a3 6161 02 6163 03 626262 01",
		}, // keys in order of their bytes: the shorter first
		{ptr(uint64(math.MaxUint64)), "1bffffffffffffffff"},
		{ptr(int64(math.MinInt64)), "3b7fffffffffffffff"},
		{ptr(0.1), "fb3fb999999999999a"},
		{ptr(1.5), "f93e00"},
		{ptr([]string(nil)), "80"},
	} {
		b, err := codec.Marshal(tc.v)
		if err != nil || !bytes.Equal(b, unhex(t, tc.want)) {
			t.Errorf("%+v: %x, %v; want %s", tc.v, b, err, tc.want)
			continue
		}
		back := reflect.New(reflect.TypeOf(tc.v).Elem())
		if err := codec.Unmarshal(b, back.Interface()); err != nil {
			t.Errorf("%+v: %v", tc.v, err)
		}
		if again := codec.MustMarshal(back.Interface()); !bytes.Equal(again, b) {
			t.Errorf("%+v: read back, %x", tc.v, again)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestMarshalRefuses(t *testing.T) {
	for _, v := range []any{math.NaN(), math.Inf(1), make(chan int)} {
		if b, err := codec.Marshal(v); err == nil {
			t.Errorf("%v: %x", v, b)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("MustMarshal did not panic")
		}
	}()
	codec.MustMarshal(make(chan int))
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		in    string
		v     any
		canon bool // decodes, but is not the canonical form
	}{
		"nothing":                {"", new(uint64), false},
		"cut":                    {"19 01", new(uint64), false},
		"more":                   {"00 00", new(uint64), false},
		"long integer":           {"18 17", new(uint64), true},
		"longer integer":         {"19 00ff", new(uint64), true},
		"long length":            {"58 01 00", new([]byte), true},
		"indefinite bytes":       {"5f 41 00 ff", new([]byte), false},
		"indefinite array":       {"9f 00 ff", new([]uint64), false},
		"null for bytes":         {"f6", new([]byte), true},
		"array for bytes":        {"81 01", new([]byte), true},
		"null for a struct":      {"f6", new(inner), true},
		"tag":                    {"c1 00", new(uint64), false},
		"bignum":                 {"c2 41 01", new(uint64), false},
		"long float":             {"fb 3ff8000000000000", new(float64), true},
		"integer for a float":    {"01", new(float64), true},
		"keys out of order":      {"a2 6162 00 6161 00", new(map[string]int64), true},
		"key twice":              {"a2 6161 00 6161 00", new(map[string]int64), false},
		"not UTF-8":              {"61 ff", new(string), false},
		"integer too large":      {"1a 00010000", new(uint16), false},
		"negative for unsigned":  {"20", new(uint64), false},
		"array too short":        {"82 40 00", new(inner), false},
		"array too long":         {"84 40 00 80 00", new(inner), false},
		"text for bytes":         {"61 61", new([]byte), false},
		"bytes for text":         {"41 61", new(string), false},
		"reserved form":          {"1c", new(uint64), false},
		"huge length":            {"5b 7fffffffffffffff", new([]byte), false},
		"huge array":             {"9a 00010001", new([]uint64), false},
		"nested too deep":        {strings.Repeat("81", 40) + "00", new(any), false},
		"simple value for bool":  {"e0", new(bool), false},
		"struct as a map":        {"a0", new(inner), false},
		"not a number, in float": {"f97e00", new(float64), true},
	} {
		err := codec.Unmarshal(unhex(t, tc.in), tc.v)
		if err == nil {
			t.Errorf("%s: read as %+v", name, reflect.ValueOf(tc.v).Elem())
		} else if tc.canon && !errors.Is(err, codec.ErrNotCanonical) && name != "not a number, in float" {
			t.Errorf("%s: %v, want ErrNotCanonical", name, err)
		}
	}
}

func draw(t *rapid.T, depth int) inner {
	in := inner{ID: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "id"), Seq: rapid.Uint64().Draw(t, "seq"), More: []inner{}}
	if depth > 0 {
		for range rapid.IntRange(0, 2).Draw(t, "more") {
			in.More = append(in.More, draw(t, depth-1))
		}
	}
	return in
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := value{
			Name: rapid.String().Draw(t, "name"), Small: rapid.Uint16().Draw(t, "small"), N: rapid.Int64().Draw(t, "n"),
			Flag: rapid.Bool().Draw(t, "flag"), Ratio: rapid.Float64().Draw(t, "ratio"), Bytes: rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"),
			List: []inner{draw(t, 3)}, Map: rapid.MapOfN(rapid.String(), rapid.Int64(), 0, 8).Draw(t, "map"),
		}
		b, err := codec.Marshal(&v)
		if err != nil {
			t.Fatal(err)
		}
		var back value
		if err := codec.Unmarshal(b, &back); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		if !reflect.DeepEqual(back, v) && (len(v.Bytes) > 0 && len(v.Map) > 0) {
			t.Fatalf("%+v became %+v", v, back)
		}
	})
}

// FuzzUnmarshal: what is taken has this one encoding.
func FuzzUnmarshal(f *testing.F) {
	f.Add(codec.MustMarshal(&value{}))
	f.Add(codec.MustMarshal(&value{Name: "a", Small: 24, N: -25, Flag: true, Ratio: 0.1, Bytes: []byte{1}, List: []inner{{More: []inner{{}}}}, Map: map[string]int64{"a": 1, "b": 2}}))
	f.Add([]byte{0x88, 0x18, 0x17})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, v := range []any{new(value), new([]inner), new(any), new(map[uint64][]byte)} {
			if codec.Unmarshal(b, v) != nil {
				continue
			}
			if again, err := codec.Marshal(v); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%T: %x became %x, %v", v, b, again, err)
			}
		}
	})
}

func ExampleUnmarshal() {
	var n uint64
	fmt.Println(codec.Unmarshal([]byte{0x17}, &n), n)
	fmt.Println(codec.Unmarshal([]byte{0x18, 0x17}, &n)) // the same number in a longer form
	// Output:
	// <nil> 23
	// decode uint64: not in canonical form
}
