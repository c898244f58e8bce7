package main

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func TestParseAmount(t *testing.T) {
	for _, c := range []struct {
		in    string
		scale int
		want  int64 // -1: refused
	}{
		{"12.5", 2, 1250},
		{"12.50", 2, 1250},
		{"12", 2, 1200},
		{"0", 2, 0},
		{"0.01", 2, 1},
		{"007", 0, 7},
		{"92233720368547758.07", 2, math.MaxInt64},
		{"92233720368547758.08", 2, -1},
		{"99999999999999999999", 0, -1},
		{"12.505", 2, -1},
		{"12.500", 2, -1},
		{"1.0", 0, -1},
		{"12,50", 2, -1},
		{"-1", 2, -1},
		{"+1", 2, -1},
		{"1e3", 2, -1},
		{".5", 2, -1},
		{"5.", 2, -1},
		{"", 2, -1},
		{" 1", 2, -1},
		{"١", 2, -1},
	} {
		got, err := parseAmount(c.in, c.scale, "hours")
		if c.want < 0 {
			if api.KindOf(err) != api.Invalid {
				t.Errorf("%q scale %d: %d, %v; want a refusal", c.in, c.scale, got, err)
			}
		} else if err != nil || got != c.want {
			t.Errorf("%q scale %d: %d, %v; want %d", c.in, c.scale, got, err, c.want)
		}
	}
}

func TestFormatAmount(t *testing.T) {
	for _, c := range []struct {
		in    int64
		scale int
		want  string
	}{
		{1250, 2, "12.50"}, {-1250, 2, "-12.50"}, {5, 2, "0.05"}, {-5, 2, "-0.05"}, {0, 2, "0.00"}, {7, 0, "7"}, {1, 6, "0.000001"}, {math.MinInt64, 2, "-92233720368547758.08"},
	} {
		if got := formatAmount(c.in, c.scale); got != c.want {
			t.Errorf("%d scale %d: %s, want %s", c.in, c.scale, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n, scale := rapid.Int64Range(0, math.MaxInt64).Draw(t, "n"), rapid.IntRange(0, 6).Draw(t, "scale")
		if got, err := parseAmount(formatAmount(n, scale), scale, "x"); err != nil || got != n {
			t.Fatalf("%d scale %d came back as %d, %v", n, scale, got, err)
		}
	})
}

func TestPickCurrency(t *testing.T) {
	one := &client.SpaceShowOut{Name: "S", Currencies: []client.MembershipCurrency{{Code: "hours", Scale: 2}}}
	two := &client.SpaceShowOut{Name: "S", Currencies: []client.MembershipCurrency{{Code: "hours"}, {Code: "eggs"}}}
	for _, c := range []struct {
		space *client.SpaceShowOut
		code  string
		want  string // "": refused
	}{{one, "", "hours"}, {one, "hours", "hours"}, {one, "eggs", ""}, {two, "eggs", "eggs"}, {two, "", ""}, {&client.SpaceShowOut{}, "", ""}} {
		got, err := pickCurrency(c.space, c.code)
		if got.Code != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %+v, %v", c.code, got, err)
		}
	}
}

func TestCleanKeepsTheTerminalSafe(t *testing.T) {
	for in, want := range map[string]string{"Köln 🚲": "Köln 🚲", "a\x1b[2Jb\n": "a\uFFFD[2Jb\uFFFD", "abc\u202Edef": "abc\uFFFDdef"} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
