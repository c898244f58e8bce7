package codec_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/vectors.json")

// vectors are for every implementation of the encoding, in any language (sdk/ts reads them). Bytes are hexadecimal. Commit a change to them only if
// you understand it: it is a change of the format.
type vectors struct {
	Numbers []numberVector `json:"numbers"` // the one encoding of a number
	Forms   []formVector   `json:"forms"`   // bytes, and whether they are the one encoding of something
}

type numberVector struct {
	Int   string `json:"int,omitempty"`   // decimal
	Float string `json:"float,omitempty"` // the 64 bits of IEEE 754, hexadecimal
	Bytes string `json:"bytes"`
}

type formVector struct {
	Name    string `json:"name"`
	Bytes   string `json:"bytes"`
	Outcome string `json:"outcome"` // ok or refused
}

func makeVectors() (v vectors) {
	src := rand.NewPCG(3, 4)
	encoded := func(x any) string { return hex.EncodeToString(codec.MustMarshal(x)) }
	for n := range uint(64) {
		for _, u := range []uint64{1<<n - 1, 1 << n, src.Uint64() >> n} {
			v.Numbers = append(v.Numbers, numberVector{Int: strconv.FormatUint(u, 10), Bytes: encoded(u)})
			if i := ^int64(u &^ (1 << 63)); i < 0 {
				v.Numbers = append(v.Numbers, numberVector{Int: strconv.FormatInt(i, 10), Bytes: encoded(i)})
			}
		}
		for _, x := range []float64{
			math.Ldexp(1, int(n)-32), -math.Ldexp(1.5, int(n)-30), math.Ldexp(1+math.Ldexp(1, -10), int(n)-40), math.Ldexp(1+math.Ldexp(1, -11), int(n)-30),
			math.Ldexp(1, -int(n)*4), math.Float64frombits(src.Uint64() &^ (1 << 62)), math.Float64frombits(src.Uint64() >> 29 << 29 &^ (1 << 62)),
		} {
			v.Numbers = append(v.Numbers, numberVector{Float: strconv.FormatUint(math.Float64bits(x), 16), Bytes: encoded(x)})
		}
	}
	for _, x := range []float64{0, math.Copysign(0, -1), 65504, 65505, math.MaxFloat32, math.MaxFloat64, math.SmallestNonzeroFloat32, math.SmallestNonzeroFloat64, 0.1} {
		v.Numbers = append(v.Numbers, numberVector{Float: strconv.FormatUint(math.Float64bits(x), 16), Bytes: encoded(x)})
	}
	for _, f := range [][2]string{
		{"nothing", ""},
		{"cut", "1901"},
		{"byte-after-the-end", "0000"},
		{"long-integer", "1817"},
		{"longer-integer", "1900ff"},
		{"longest-integer", "1b00000000ffffffff"},
		{"long-negative", "3817"},
		{"long-length", "580100"},
		{"long-text", "780161"},
		{"long-array", "980100"},
		{"indefinite-bytes", "5f4100ff"},
		{"indefinite-array", "9f00ff"},
		{"indefinite-map", "bfff"},
		{"tag", "c100"},
		{"bignum", "c24101"},
		{"long-float", "fb3ff8000000000000"},
		{"single-that-is-a-half", "fa3fc00000"},
		{"half", "f93e00"},
		{"not-a-number", "f97e00"},
		{"infinity", "f97c00"},
		{"map", "a2616100626262f5"},
		{"keys-out-of-order", "a2616200616100"},
		{"longer-key-first", "a262626200616100"},
		{"key-twice", "a2616100616100"},
		{"integer-keys", "a301000a0120f4"},
		{"not-UTF-8", "61ff"},
		{"half-a-surrogate-pair", "63eda080"},
		{"text-with-a-mark", "63efbbbf"},
		{"null", "f6"},
		{"undefined", "f7"},
		{"reserved-form", "1c"},
		{"huge-length", "5b7fffffffffffffff"},
		{"huge-array", "9a00010001"},
		{"nested-16-deep", strings.Repeat("81", 16) + "00"},
		{"nested-17-deep", strings.Repeat("81", 17) + "00"},
		{"empty-at-depth-16", strings.Repeat("81", 15) + "80"},
		{"empty-at-depth-17", strings.Repeat("81", 16) + "80"},
		{"maps-16-deep", strings.Repeat("a100", 16) + "00"},
		{"maps-17-deep", strings.Repeat("a100", 17) + "00"},
	} {
		v.Forms = append(v.Forms, formVector{f[0], f[1], outcome(f[1])})
	}
	return v
}

func outcome(form string) string {
	b, err := hex.DecodeString(form)
	if err != nil {
		panic(err)
	}
	var v any
	if codec.Unmarshal(b, &v) != nil {
		return "refused"
	}
	return "ok"
}

func TestVectors(t *testing.T) {
	const path = "testdata/vectors.json"
	want, err := json.MarshalIndent(makeVectors(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
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
}
