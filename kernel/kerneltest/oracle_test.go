package kerneltest_test

import (
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func TestOracles(t *testing.T) {
	q := api.Request{Domain: "d", Actor: "x", Action: "y"}
	for name, tc := range map[string]struct {
		oracle api.PolicyOracle
		effect api.Effect
		rule   string
		rate   *api.RateLimit
	}{
		"allow all":  {kerneltest.AllowAllOracle("d"), api.Allow, "", nil},
		"deny all":   {kerneltest.DenyAllOracle("d"), api.Deny, "deny-all", nil},
		"fixed rate": {kerneltest.FixedRateOracle("d", api.RateLimit{PerSecond: 2, Burst: 3}), api.Allow, "", &api.RateLimit{PerSecond: 2, Burst: 3}},
	} {
		d := tc.oracle.Evaluate(q)
		if tc.oracle.Domain() != "d" || d.Effect != tc.effect {
			t.Errorf("%s: domain %q, %+v", name, tc.oracle.Domain(), d)
		}
		if (d.Reason != nil) != (tc.rule != "") || d.Reason != nil && (d.Reason.Rule != tc.rule || d.Reason.Domain != "d") {
			t.Errorf("%s: reason %+v, want %q", name, d.Reason, tc.rule)
		}
		if got := d.Constraints.RateLimit; (got != nil) != (tc.rate != nil) || got != nil && *got != *tc.rate {
			t.Errorf("%s: rate %v, want %v", name, got, tc.rate)
		}
	}
}

func TestScoreRanker(t *testing.T) {
	r := kerneltest.ScoreRanker{"x": 0.5}
	if r.Rank("x") != 0.5 || r.Rank("y") != 0 {
		t.Errorf("ranks %v and %v, want 0.5 and 0", r.Rank("x"), r.Rank("y"))
	}
}
