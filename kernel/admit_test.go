package kernel

import (
	"net/netip"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/authz"
)

type rates map[api.DID]api.Decision

func (rates) Domain() api.Domain { return "rates" }

func (r rates) Evaluate(q api.Request) api.Decision {
	if d, ok := r[q.Actor]; ok && q.Action == "request" {
		return d
	}
	return api.Decision{}
}

func TestAdmit(t *testing.T) {
	now := time.Unix(1000, 0)
	o := authz.New(authz.Options{Now: func() time.Time { return now }})
	o.Register(rates{
		"ann": api.Allowed(api.ConstraintSet{RateLimit: &api.RateLimit{PerSecond: 1, Burst: 3}}),
		"ben": api.Denied(&api.Reason{Domain: "rates", Rule: "no", Text: "no"}),
		"cat": api.Allowed(api.ConstraintSet{}),
		"dan": api.Allowed(api.ConstraintSet{RateLimit: &api.RateLimit{}}),
	})
	k := &Kernel{opt: Options{RateDomain: "rates", StrangerRate: api.RateLimit{PerSecond: 1, Burst: 2}, Now: func() time.Time { return now }}, oracles: o, requests: newRequests()}
	addr := netip.MustParseAddr
	some := addr("192.0.2.1")
	for i, c := range []struct {
		actor   api.DID
		addr    netip.Addr
		after   time.Duration
		refused bool
	}{
		{"ann", some, 0, false},
		{"ann", some, 0, false},
		{"ann", some, 0, false},
		{"ann", some, time.Second, true},
		{"ann", addr("192.0.2.2"), time.Second, true}, // a member's rate is theirs wherever they are
		{"ben", some, 0, true},
		{"cat", some, 0, false},
		{"dan", some, 0, true},
		{"", some, 0, false},
		{"", some, 0, false},
		{"", some, time.Second, true},
		{"", addr("192.0.2.2"), 0, false},
		{"", addr("2001:db8::1"), 0, false},
		{"", addr("2001:db8::2"), 0, false},
		{"", addr("2001:db8::3"), time.Second, true}, // one household
		{"", addr("2001:db8:0:1::1"), 0, false},
	} {
		after, why := k.Admit(c.actor, c.addr)
		if after != c.after || (why != nil) != c.refused {
			t.Errorf("%d: %q from %s: after %s, %+v", i, c.actor, c.addr, after, why)
		}
	}
	k.opt.RateDomain = ""
	if _, why := k.Admit("ben", some); why != nil {
		t.Error("limited without a rate domain", why)
	}
}
