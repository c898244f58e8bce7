package gate_test

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
)

// rule returns which rule objects, "" for none, and checks that the Reason is one a person can use.
func rule(t *testing.T, r *api.Reason) string {
	t.Helper()
	if r == nil {
		return ""
	}
	if r.Domain != "d" || r.Text == "" || r.Remedy == "" || len(r.Inputs) == 0 {
		t.Errorf("incomplete reason %+v", r)
	}
	for k, v := range r.Inputs {
		if len(v) > 300 {
			t.Errorf("input %s of %d bytes", k, len(v))
		}
	}
	return r.Rule
}

func TestCeiling(t *testing.T) {
	for _, tc := range []struct {
		amount, ceiling int64
		by              *float64
		want            string
	}{
		{100, 100, nil, ""},
		{101, 100, nil, "ceiling"},
		{-5, 0, nil, ""},
		{50, 100, new(0.5), ""},
		{51, 100, new(0.5), "ceiling"},
		{100, 100, new(7.0), ""},
		{101, 100, new(7.0), "ceiling"}, // the multiplier never raises
		{101, 100, new(math.Inf(1)), "ceiling"},
		{1, 100, new(0.0), "ceiling"},
		{1, 100, new(-1.0), "ceiling"},
		{1, 100, new(math.NaN()), "ceiling"},
		{0, 100, new(math.NaN()), ""},
		{-9, -10, new(0.5), "ceiling"},
		{math.MaxInt64, math.MaxInt64, new(1.0), ""},
		{math.MaxInt64, math.MaxInt64, new(math.Nextafter(1, 0)), "ceiling"},
	} {
		c := &api.ConstraintSet{Ceiling: &tc.ceiling, Multiplier: tc.by}
		if got := rule(t, gate.Ceiling("d", tc.amount, c)); got != tc.want {
			t.Errorf("amount %d, ceiling %d, multiplier %v: %q, want %q", tc.amount, tc.ceiling, tc.by, got, tc.want)
		}
	}
	if r := gate.Ceiling("d", math.MaxInt64, &api.ConstraintSet{Multiplier: new(0.1)}); r != nil {
		t.Errorf("a multiplier without a ceiling objects: %+v", r)
	}
}

func TestLimitIsTheExactFloor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ceiling := rapid.Int64Range(1, math.MaxInt64).Draw(t, "ceiling")
		by := rapid.OneOf(rapid.Float64Range(0, 1), rapid.Float64Range(0, 1e-9), rapid.SampledFrom([]float64{0.1, 0.7, 1. / 3, 5e-324, 0x1p-63, 0x1p-11, 0x1p-12})).Draw(t, "by")
		want, _ := new(big.Rat).SetFloat64(by), 0
		want.Mul(want, new(big.Rat).SetInt64(ceiling))
		floor := new(big.Int).Quo(want.Num(), want.Denom())
		if got, limited := gate.Limit(&api.ConstraintSet{Ceiling: &ceiling, Multiplier: &by}); !limited || got != floor.Int64() {
			t.Fatalf("%d * %v = %d, want %v", ceiling, by, got, floor)
		}
	})
}

func TestCapability(t *testing.T) {
	for _, tc := range []struct {
		granted []string
		want    string
	}{
		{nil, ""},
		{[]string{}, "capability-missing"},
		{[]string{"read"}, "capability-missing"},
		{[]string{"read", "write"}, ""},
	} {
		if got := rule(t, gate.Capability("d", "write", &api.ConstraintSet{Capabilities: tc.granted})); got != tc.want {
			t.Errorf("granted %q: %q, want %q", tc.granted, got, tc.want)
		}
	}
	long := strings.Repeat("x", 10_000)
	rule(t, gate.Capability("d", long, &api.ConstraintSet{Capabilities: []string{"a", long + "y"}}))
}

func TestTopic(t *testing.T) {
	for _, tc := range []struct {
		allowed []string
		name    string
		want    string
	}{
		{nil, "posts", ""},
		{[]string{}, "posts", "topic-not-allowed"},
		{[]string{"posts"}, "posts", ""},
		{[]string{"posts"}, "posts2", "topic-not-allowed"},
		{[]string{"a", "po*"}, "posts", ""},
		{[]string{"posts*"}, "posts", ""},
		{[]string{"*"}, "anything", ""},
		{[]string{"p*s"}, "posts", "topic-not-allowed"}, // a star counts at the end only
		{[]string{"p*s"}, "p*s", ""},
	} {
		if got := rule(t, gate.Topic("d", tc.name, &api.ConstraintSet{AllowedTopics: tc.allowed})); got != tc.want {
			t.Errorf("%q in %q: %q, want %q", tc.name, tc.allowed, got, tc.want)
		}
	}
}

func TestCounts(t *testing.T) {
	c := &api.ConstraintSet{MaxTopics: new(uint32(2)), MaxConnections: new(uint32(0))}
	if got := rule(t, gate.Topics("d", 1, c)); got != "" {
		t.Errorf("second of two topics: %q", got)
	}
	if got := rule(t, gate.Topics("d", 2, c)); got != "max-topics" {
		t.Errorf("third of two topics: %q", got)
	}
	if got := rule(t, gate.Connections("d", 0, c)); got != "max-connections" {
		t.Errorf("first of no connections: %q", got)
	}
	if r := gate.Connections("d", 1<<40, &api.ConstraintSet{}); r != nil {
		t.Errorf("no limit objects: %+v", r)
	}
}

func TestToken(t *testing.T) {
	space, other := api.Hash{1}, api.Hash{2}
	good := api.CapabilityToken{Holder: ann, Space: space, Capabilities: []string{"push"}, Expires: epoch}
	at := func(d time.Duration) time.Time { return epoch.Add(d) }
	for _, tc := range []struct {
		name   string
		change func(*api.CapabilityToken)
		who    api.DID
		space  api.Hash
		now    time.Time
		want   string
	}{
		{"good", nil, ann, space, at(-1), ""},
		{"holder", nil, ben, space, at(-1), "token-holder"},
		{"space", nil, ann, other, at(-1), "token-space"},
		{"every space", func(t *api.CapabilityToken) { t.Space = api.Hash{} }, ann, other, at(-1), ""},
		{"at expiry", nil, ann, space, at(0), "token-expired"},
		{"no expiry", func(t *api.CapabilityToken) { t.Expires = time.Time{} }, ann, space, at(1 << 50), ""},
		{"capability", func(t *api.CapabilityToken) { t.Capabilities = []string{"pull"} }, ann, space, at(-1), "token-capability"},
		{"no capability", func(t *api.CapabilityToken) { t.Capabilities = nil }, ann, space, at(-1), "token-capability"},
	} {
		tok := good
		if tc.change != nil {
			tc.change(&tok)
		}
		if got := rule(t, gate.Token("d", &tok, tc.who, tc.space, "push", tc.now)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
