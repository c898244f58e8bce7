package kernel

import (
	"cmp"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// maxPushers bounds the peers whose push rate is remembered.
const maxPushers = 4096

// guard asks the guard domains' oracles about peers, by the node key that the session's handshake proved. The actions are "connect" (may it have
// a session?), "follow" (may it share this space?) and "push" (how many records may it bring that nobody asked for? RateLimit, in records). A
// guard that says nothing of an action allows it: guards only take away. Without guard domains everything is allowed.
type guard struct {
	oracles api.OracleRegistry
	domains []api.Domain
	pushes  *gate.Limiter
}

func newGuard(oracles api.OracleRegistry, domains []api.Domain) *guard {
	return &guard{oracles: oracles, domains: domains, pushes: gate.NewLimiter(maxPushers)}
}

func (g *guard) ask(q api.Request) api.Decision {
	return strictest(g.oracles, api.Allowed(api.ConstraintSet{}), q, g.domains)
}

// connect refuses a node that may not have a session.
func (g *guard) connect(node api.DID) error {
	if d := g.ask(api.Request{Actor: node, Action: "connect"}); d.Effect != api.Allow {
		return api.Refusal("connect", d.Reason)
	}
	return nil
}

// follow says whether a node may share a space.
func (g *guard) follow(node api.DID, space api.Hash) api.Decision {
	return g.ask(api.Request{Actor: node, Action: "follow", Topic: api.Topic{Space: space}})
}

// push takes tokens for n records that a node brings unasked, and reports whether there were as many.
func (g *guard) push(now time.Time, node api.DID, n int) bool {
	if len(g.domains) == 0 {
		return true
	}
	d := g.ask(api.Request{Actor: node, Action: "push"})
	if d.Effect != api.Allow || d.Constraints.RateLimit == nil {
		return d.Effect == api.Allow
	}
	ok, _ := g.pushes.Take(now, node, *d.Constraints.RateLimit, n)
	return ok
}

// mayPush reports whether a frame may go on: of what a peer pushes unasked, as much as the guards' rate allows. What is left out does not even
// reach the queue; it is counted against the peer, and comes again by reconciliation at this node's pace.
func (n *network) mayPush(node api.DID, f wire.Frame) bool {
	push, ok := f.(*wire.Push)
	if !ok || n.k.guard.push(n.k.opt.Now(), node, len(push.Envelopes)) {
		return true
	}
	n.k.refusals.note(true, []api.DID{node}, "push", api.RateLimited, &api.Reason{
		Domain: "kernel", Rule: "push-rate", Text: "more records pushed than this node takes from the peer; they come again by reconciliation, at this node's pace",
		Remedy: "wait: nothing is lost; icnctl security list shows why the rate is low",
	}, len(push.Envelopes))
	n.bad(api.Flood, node, len(push.Envelopes), "more records pushed than this node takes from it")
	return false
}

// keepOut ends the session of a node that may not have one any more. The cut is short: it ends the session, and from then on Admit keeps the node
// out and tells it why, while whoever of the two keeps the other dials again, and gets in once it may.
func (n *network) keepOut(now time.Time, node api.DID) {
	if err := n.k.guard.connect(node); err != nil {
		n.log.Warn("a session is ended: its node may not connect any more", "peer", node, "err", err)
		n.t.Cut(node, now.Add(accessEvery))
	}
}

// guarded is a registry whose answers in one domain are tightened by the guards': who asks it needs to know one domain only.
type guarded struct {
	api.OracleRegistry
	base   api.Domain
	guards []api.Domain
}

// guardedRates returns what ingest asks for an author's rate, and the domain to ask by; an empty domain means no rates.
func guardedRates(r api.OracleRegistry, base api.Domain, guards []api.Domain) (api.OracleRegistry, api.Domain) {
	switch {
	case len(guards) == 0:
		return r, base
	case base == "":
		return guarded{r, guards[0], guards[1:]}, guards[0]
	}
	return guarded{r, base, guards}, base
}

// Evaluate implements api.OracleRegistry.
func (g guarded) Evaluate(q api.Request) api.Decision {
	d := g.OracleRegistry.Evaluate(q)
	if q.Domain != g.base || d.Effect != api.Allow {
		return d
	}
	return strictest(g.OracleRegistry, d, q, g.guards)
}

// strictest asks every domain and takes, of what was decided already and what they answer, the strictest: any refusal refuses, of two constraints
// the lower one holds. Decisions are shared, so a change is made to a copy.
func strictest(r api.OracleRegistry, d api.Decision, q api.Request, domains []api.Domain) api.Decision {
	for _, domain := range domains {
		q.Domain = domain
		e := r.Evaluate(q)
		if e.Effect != api.Allow {
			return e
		}
		c := &d.Constraints
		if e.Constraints.RateLimit != nil {
			rate := *e.Constraints.RateLimit
			if have := c.RateLimit; have != nil {
				rate = api.RateLimit{PerSecond: min(rate.PerSecond, have.PerSecond), Burst: min(rate.Burst, have.Burst)}
			}
			c.RateLimit = &rate
		}
		c.Multiplier = lower(c.Multiplier, e.Constraints.Multiplier)
		c.Ceiling = lower(c.Ceiling, e.Constraints.Ceiling)
		c.MaxTopics = lower(c.MaxTopics, e.Constraints.MaxTopics)
		c.MaxConnections = lower(c.MaxConnections, e.Constraints.MaxConnections)
		c.AllowedTopics = both(c.AllowedTopics, e.Constraints.AllowedTopics)
		c.Capabilities = both(c.Capabilities, e.Constraints.Capabilities)
		if p := e.Constraints.PriorityClass; p != nil && (c.PriorityClass == nil || *p > *c.PriorityClass) { // 0 is served first
			c.PriorityClass = p
		}
		if p := e.Constraints.CanReplicate; p != nil && (c.CanReplicate == nil || !*p) {
			c.CanReplicate = p
		}
		if p := e.Constraints.ReplicaSelection; p != nil && (c.ReplicaSelection == nil || p.MinRank > c.ReplicaSelection.MinRank) {
			c.ReplicaSelection = p
		}
	}
	return d
}

func lower[T cmp.Ordered](a, b *T) *T {
	if a == nil || b != nil && *b < *a {
		return b
	}
	return a
}

// both returns what two lists have in common; a nil list imposes nothing, an empty one grants nothing.
func both(a, b []string) []string {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	out := []string{}
	for _, s := range a {
		if slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}
