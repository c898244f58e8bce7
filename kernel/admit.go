package kernel

import (
	"net/netip"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
)

// maxRequesters bounds the actors, and apart from them the addresses, whose rate of requests is remembered.
const maxRequesters = 16384

// addressBits is how much of an IPv6 address counts: a household has a whole /64.
const addressBits = 64

// requests limits what is asked of this node through its edges. Of an actor the rate oracle is asked, by the action "request", and the guards may
// tighten what it says; who is nobody yet is limited by address, to Options.StrangerRate.
type requests struct {
	actors, addresses *gate.Limiter
}

func newRequests() requests {
	return requests{gate.NewLimiter(maxRequesters), gate.NewLimiter(maxRequesters)}
}

// Admit takes one request from what actor may ask, or, when actor is "", from what its address may. It returns nil when it may be served; else why
// not, and after what time it may be repeated: 0 when waiting does not help.
func (k *Kernel) Admit(actor api.DID, addr netip.Addr) (after time.Duration, why *api.Reason) {
	limiter, who, limit, domain := k.requests.addresses, addressName(addr), &k.opt.StrangerRate, api.Domain("kernel")
	if actor != "" {
		if k.opt.RateDomain == "" {
			return 0, nil
		}
		q := api.Request{Domain: k.opt.RateDomain, Actor: actor, Action: "request"}
		d := k.oracles.Evaluate(q)
		if d.Effect == api.Allow {
			d = strictest(k.oracles, d, q, k.opt.GuardDomains)
		}
		if d.Effect != api.Allow {
			return 0, d.Reason
		}
		limiter, who, limit, domain = k.requests.actors, actor, d.Constraints.RateLimit, k.opt.RateDomain
	}
	if limit == nil {
		return 0, nil
	}
	ok, after := limiter.Take(k.opt.Now(), who, *limit, 1)
	if ok {
		return 0, nil
	}
	why = gate.RateReason(domain, *limit, after)
	if after == gate.Never {
		after = 0
	}
	return after, why
}

// addressName is what an address is remembered by.
func addressName(a netip.Addr) api.DID {
	if a.Is6() {
		if p, err := a.Prefix(addressBits); err == nil {
			a = p.Addr()
		}
	}
	return api.DID(a.String())
}
