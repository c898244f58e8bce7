package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func TestParseRatings(t *testing.T) {
	a := client.TrustRow{Source: "6", Target: "2", Rating: 4, Time: 1289241912}
	b := client.TrustRow{Source: "ann", Target: "ben", Rating: -10, Time: 0}
	for _, c := range []struct {
		in   string
		want []client.TrustRow
		err  string
	}{
		{"6,2,4,1289241912\nann,ben,-10,0\n", []client.TrustRow{a, b}, ""},
		{"source,target,rating,time\n6,2, 4,1289241912.72836\n", []client.TrustRow{a}, ""},
		{"# from somewhere\n\n6,2,4,1289241912", []client.TrustRow{a}, ""},
		{"", nil, ""},
		{"6,2,4,1\n6,2\n", nil, "f.csv:2: column 3: the row has 2 columns"},
		{"6,2,4,1,9\n", nil, "column 5: the row has 5 columns"},
		{"6,2,4,1\n\n6,3,11,1\n", nil, `f.csv:3: column 3: rating "11"`},
		{"6,2,4.5,1\n", nil, `column 3: rating "4.5"`},
		{"source,target,rating1,time\n", nil, "column 3"},
		{"6,2,4,1\nsource,target,rating,time\n", nil, "f.csv:2: column 3"},
		{"6,2,4,yesterday\n", nil, `column 4: time "yesterday"`},
		{"6,2,4,-1\n", nil, "column 4"},
		{"6,2,4,1.x\n", nil, "column 4"},
		{"6,6,4,1\n", nil, `column 2: "6" rates themselves`},
		{",2,4,1\n", nil, "column 1: a person of 0 bytes"},
		{"6," + strings.Repeat("x", 65) + ",4,1\n", nil, "column 2: a person of 65 bytes"},
		{"6,\"2,4,1\n", nil, "f.csv:"},
	} {
		got, err := parseRatings("f.csv", strings.NewReader(c.in))
		if c.err != "" {
			if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.in, err, c.err)
			}
		} else if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %v %v", c.in, got, err)
		}
	}
}

func FuzzParseRatings(f *testing.F) {
	f.Add("6,2,4,1\n")
	f.Add("source,target,rating,time\n\"a\nb\",c,1,1.5\n")
	f.Add("#\n,,,")
	f.Fuzz(func(t *testing.T, in string) {
		rows, err := parseRatings("f", strings.NewReader(in))
		if err != nil && api.KindOf(err) != api.Invalid {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Source == "" || r.Source == r.Target || r.Rating < -10 || r.Rating > 10 || r.Time < 0 {
				t.Fatalf("%+v", r)
			}
		}
	})
}
