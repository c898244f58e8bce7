package kernel

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// answers is a registry with one answer per domain.
type answers map[api.Domain]api.Decision

func (a answers) Evaluate(q api.Request) api.Decision { return a[q.Domain] }
func (answers) Register(api.PolicyOracle)             {}
func (answers) Invalidate(api.Domain)                 {}
func (answers) Phase() api.Phase                      { return api.Running }

func rate(per, burst uint32) api.Decision {
	return api.Allowed(api.ConstraintSet{RateLimit: &api.RateLimit{PerSecond: per, Burst: burst}})
}

var no = api.Denied(&api.Reason{Rule: "no"})

// Any refusal refuses, the strictest limit holds, and nobody's answer is changed in the process.
func TestGuardedRates(t *testing.T) {
	free := api.Allowed(api.ConstraintSet{})
	for _, c := range []struct {
		name       string
		base       api.Domain
		rate, a, b api.Decision
		want       api.Decision
	}{
		{"nobody limits", "rate", free, free, free, free},
		{"the base alone", "rate", rate(10, 5), free, free, rate(10, 5)},
		{"a guard alone", "rate", free, rate(7, 9), free, rate(7, 9)},
		{"the lower of each", "rate", rate(10, 5), rate(20, 3), rate(8, 4), rate(8, 3)},
		{"the base refuses", "rate", no, free, free, no},
		{"a guard refuses", "rate", rate(10, 5), free, no, no},
		{"no base", "", no, rate(3, 3), rate(2, 5), rate(2, 3)},
		{"no base, refused", "", free, no, free, no},
	} {
		reg := answers{"rate": c.rate, "a": c.a, "b": c.b}
		before := text(t, reg)
		r, domain := guardedRates(reg, c.base, []api.Domain{"a", "b"})
		if got := r.Evaluate(api.Request{Domain: domain, Actor: "x", Action: "append"}); text(t, got) != text(t, c.want) {
			t.Errorf("%s: %s, want %s", c.name, text(t, got), text(t, c.want))
		}
		if text(t, reg) != before {
			t.Errorf("%s: an answer was changed", c.name)
		}
	}
	if r, domain := guardedRates(answers{}, "rate", nil); domain != "rate" || r.(answers) == nil {
		t.Error("without guards nothing stands in between")
	}
	r, _ := guardedRates(answers{"rate": rate(5, 5), "a": no, "other": free}, "rate", []api.Domain{"a"})
	if d := r.Evaluate(api.Request{Domain: "other"}); d.Effect != api.Allow {
		t.Error("a guard speaks in another domain")
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStrictestOfAll(t *testing.T) {
	p := func(f float64) *float64 { return &f }
	n := func(i int64) *int64 { return &i }
	u := func(i uint32) *uint32 { return &i }
	c := func(i uint8) *uint8 { return &i }
	yes, not := true, false
	reg := answers{
		"a": api.Allowed(api.ConstraintSet{
			Multiplier: p(0.5), Ceiling: n(10), MaxTopics: u(4), PriorityClass: c(1), CanReplicate: &yes, Capabilities: []string{"x", "y"},
			ReplicaSelection: &api.ReplicaSelection{MinRank: 0.2}, AllowedTopics: []string{"t"},
		}),
		"b": api.Allowed(api.ConstraintSet{
			Multiplier: p(0.7), Ceiling: n(5), MaxConnections: u(3), PriorityClass: c(3), CanReplicate: &not, Capabilities: []string{"y", "z"},
			ReplicaSelection: &api.ReplicaSelection{MinRank: 0.1}, AllowedTopics: []string{},
		}),
	}
	want := api.Allowed(api.ConstraintSet{
		Multiplier: p(0.5), Ceiling: n(5), MaxTopics: u(4), MaxConnections: u(3), PriorityClass: c(3), CanReplicate: &not, Capabilities: []string{"y"},
		ReplicaSelection: &api.ReplicaSelection{MinRank: 0.2}, AllowedTopics: []string{},
	})
	for _, domains := range [][]api.Domain{{"a", "b"}, {"b", "a"}} {
		got := strictest(reg, api.Allowed(api.ConstraintSet{}), api.Request{}, domains)
		if text(t, got) != text(t, want) || got.Constraints.AllowedTopics == nil {
			t.Errorf("%v: %s, want %s", domains, text(t, got), text(t, want))
		}
	}
}

func TestGuardOfPeers(t *testing.T) {
	now := time.Unix(0, 0)
	open := newGuard(answers{}, nil)
	if open.connect("n") != nil || open.follow("n", api.Hash{}).Effect != api.Allow || !open.push(now, "n", 1<<30) {
		t.Error("without guards everything is allowed")
	}
	g := newGuard(answers{"g": rate(10, 64)}, []api.Domain{"g"})
	if !g.push(now, "n", 64) || g.push(now, "n", 1) || !g.push(now, "other", 64) || !g.push(now.Add(time.Second), "n", 10) {
		t.Error("push takes tokens by node and time")
	}
	g = newGuard(answers{"g": no}, []api.Domain{"g"})
	if err := g.connect("n"); api.KindOf(err) != api.Refused || api.ReasonOf(err).Rule != "no" || g.follow("n", api.Hash{}).Effect == api.Allow || g.push(now, "n", 1) {
		t.Error("what a guard refuses is refused")
	}
}
