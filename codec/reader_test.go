package codec_test

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/intercooperative/icn/codec"
)

// item is read by Unmarshal and, by hand, by readItem: the two must agree.
type item struct {
	_     struct{} `cbor:",toarray"`
	Name  string
	Small uint16
	Large uint64
	Int   int64
	Bool  bool
	Bytes []byte
	List  []pair
}

type pair struct {
	_ struct{} `cbor:",toarray"`
	A uint64
	B []byte
}

func readItem(b []byte) (v item, err error) {
	r := codec.NewReader(b)
	r.Array(7)
	v.Name = r.Text()
	v.Small = uint16(r.Uint(math.MaxUint16))
	v.Large = r.Uint(math.MaxUint64)
	v.Int = r.Int()
	v.Bool = r.Bool()
	v.Bytes = r.Bytes()
	for range r.ArrayLen(codec.MaxArray) {
		r.Array(2)
		v.List = append(v.List, pair{A: r.Uint(math.MaxUint64), B: r.Bytes()})
		if r.Failed() {
			break
		}
	}
	return v, r.End()
}

// appendItem is the inverse of readItem, for what AppendInt can write of Large.
func appendItem(b []byte, v *item) []byte {
	b = codec.AppendArray(b, 7)
	b = codec.AppendText(b, v.Name)
	b = codec.AppendInt(b, int64(v.Small))
	b = codec.AppendInt(b, int64(v.Large))
	b = codec.AppendInt(b, v.Int)
	b = codec.AppendBool(b, v.Bool)
	b = codec.AppendBytes(b, v.Bytes)
	b = codec.AppendArray(b, len(v.List))
	for i := range v.List {
		b = codec.AppendInt(codec.AppendArray(b, 2), int64(v.List[i].A))
		b = codec.AppendBytes(b, v.List[i].B)
	}
	return b
}

func sample() []byte {
	return codec.MustMarshal(&item{
		Name: "é", Small: 300, Large: math.MaxUint64, Int: math.MinInt64, Bool: true, Bytes: make([]byte, 300),
		List: []pair{{A: 23}, {A: 24, B: []byte{1}}, {A: 1 << 16}, {A: 1 << 32}},
	})
}

func TestReader(t *testing.T) {
	b := sample()
	v, err := readItem(b)
	if err != nil || v.Name != "é" || v.Small != 300 || v.Large != math.MaxUint64 || v.Int != math.MinInt64 || !v.Bool || len(v.Bytes) != 300 || len(v.List) != 4 || v.List[3].A != 1<<32 {
		t.Fatalf("%+v, %v", v, err)
	}
	if again := codec.MustMarshal(&v); !bytes.Equal(again, b) {
		t.Errorf("%x became %x", b, again)
	}
	if cap(v.Bytes) != len(v.Bytes) {
		t.Error("a caller that appends would write over the input")
	}
}

func TestReaderErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		read func(*codec.Reader)
		want error
	}{
		"nothing":           {"", func(r *codec.Reader) { r.Uint(9) }, codec.ErrMalformed},
		"cut head":          {"19 01", func(r *codec.Reader) { r.Uint(math.MaxUint64) }, codec.ErrMalformed},
		"cut string":        {"42 01", func(r *codec.Reader) { r.Bytes() }, codec.ErrMalformed},
		"huge string":       {"5b ffffffffffffffff", func(r *codec.Reader) { r.Bytes() }, codec.ErrMalformed},
		"above the limit":   {"0a", func(r *codec.Reader) { r.Uint(9) }, codec.ErrMalformed},
		"other type":        {"0a", func(r *codec.Reader) { r.Bytes() }, codec.ErrMalformed},
		"negative":          {"20", func(r *codec.Reader) { r.Uint(9) }, codec.ErrMalformed},
		"null":              {"f6", func(r *codec.Reader) { r.Bytes() }, codec.ErrMalformed},
		"not UTF-8":         {"61 ff", func(r *codec.Reader) { r.Text() }, codec.ErrMalformed},
		"other length":      {"82 00 00", func(r *codec.Reader) { r.Array(3) }, codec.ErrMalformed},
		"array too long":    {"83", func(r *codec.Reader) { r.ArrayLen(2) }, codec.ErrMalformed},
		"huge array":        {"9b ffffffffffffffff", func(r *codec.Reader) { r.ArrayLen(2) }, codec.ErrMalformed},
		"too large":         {"1b 8000000000000000", func(r *codec.Reader) { r.Int() }, codec.ErrMalformed},
		"too small":         {"3b 8000000000000000", func(r *codec.Reader) { r.Int() }, codec.ErrMalformed},
		"long negative":     {"38 17", func(r *codec.Reader) { r.Int() }, codec.ErrNotCanonical},
		"no integer":        {"f4", func(r *codec.Reader) { r.Int() }, codec.ErrMalformed},
		"no truth value":    {"f6", func(r *codec.Reader) { r.Bool() }, codec.ErrMalformed},
		"long truth value":  {"f8 15", func(r *codec.Reader) { r.Bool() }, codec.ErrNotCanonical},
		"left over":         {"00 00", func(r *codec.Reader) { r.Uint(9) }, codec.ErrMalformed},
		"long form":         {"18 17", func(r *codec.Reader) { r.Uint(99) }, codec.ErrNotCanonical},
		"longer form":       {"19 00ff", func(r *codec.Reader) { r.Uint(999) }, codec.ErrNotCanonical},
		"longest form":      {"1b 00000000ffffffff", func(r *codec.Reader) { r.Uint(math.MaxUint64) }, codec.ErrNotCanonical},
		"long length":       {"5a 0000ffff", func(r *codec.Reader) { r.Bytes() }, codec.ErrNotCanonical},
		"indefinite":        {"5f 41 00 ff", func(r *codec.Reader) { r.Bytes() }, codec.ErrNotCanonical},
		"reserved form":     {"1c", func(r *codec.Reader) { r.Uint(99) }, codec.ErrNotCanonical},
		"first error stays": {"18 17 ff", func(r *codec.Reader) { r.Uint(99); r.Bytes(); r.Text(); r.Array(1); r.ArrayLen(1) }, codec.ErrNotCanonical},
	} {
		r := codec.NewReader(unhex(t, tc.in))
		tc.read(&r)
		if err := r.End(); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// FuzzReader: reading by hand takes exactly what Unmarshal takes.
func FuzzReader(f *testing.F) {
	f.Add(sample())
	f.Add([]byte{0x87, 0x60, 0x18, 0x17, 0x00, 0x20, 0xf4, 0x40, 0x80})
	f.Add([]byte{0x87, 0x60, 0x17, 0x00, 0x38, 0x18, 0xf5, 0x40, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		var want item
		got, err := readItem(b)
		wantErr := codec.Unmarshal(b, &want)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("Reader: %v, Unmarshal: %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(codec.MustMarshal(&got), b) {
			t.Fatalf("read as %+v", got)
		}
		if err == nil && got.Large <= math.MaxInt64 && !slices.ContainsFunc(got.List, func(p pair) bool { return p.A > math.MaxInt64 }) {
			if again := appendItem(nil, &got); !bytes.Equal(again, b) {
				t.Fatalf("%x is appended as %x", b, again)
			}
		}
	})
}
