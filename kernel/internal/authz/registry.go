// Package authz is the registry of policy oracles: it routes a request to the oracle of the request's domain, remembers
// answers for a while, and denies what nobody answers for. It is not policy: it knows neither what a domain means nor why an
// oracle says what it says.
//
// Reading takes no lock. The oracles stand in an immutable map behind one atomic pointer, and remembered answers in a table of
// atomic pointers (cache.go); a new oracle makes all answers of the old one unfindable at once, since an answer counts only
// for the very registration that gave it.
package authz

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Options configure a Registry.
type Options struct {
	TTL        time.Duration    // how long an answer is remembered; 0 or less: not at all
	MaxEntries int              // answers remembered, rounded up to a power of two; 0 means 16,384, the most is 1,048,576
	Now        func() time.Time // the clock that ages answers; nil means time.Now
	// Panicked is told of each panic of an oracle, for the log, on the goroutine of the caller; nil for nobody.
	Panicked func(domain api.Domain, value any)
}

const (
	defaultEntries = 1 << 14
	maxEntries     = 1 << 20
)

// EnsureDefaults replaces zero and impossible values.
func (o *Options) EnsureDefaults() {
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultEntries
	}
	o.MaxEntries = min(o.MaxEntries, maxEntries)
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Registry implements api.OracleRegistry. It is safe for concurrent use; oracles may call it from within Evaluate.
type Registry struct {
	opt     Options
	started time.Time
	cache   *cache // nil when nothing is remembered

	mu     sync.Mutex // writers of oracles and phase
	slots  atomic.Pointer[map[api.Domain]*slot]
	phase  atomic.Uint32
	asked  atomic.Uint64
	panics atomic.Uint64
}

var _ api.OracleRegistry = (*Registry)(nil)

// slot is one registration of an oracle, or a renewal of it: its address is what remembered answers are bound to.
type slot struct {
	domain api.Domain
	oracle api.PolicyOracle
}

// New returns an empty Registry in phase Genesis.
func New(o Options) *Registry {
	o.EnsureDefaults()
	r := &Registry{opt: o, started: o.Now()}
	if o.TTL > 0 {
		r.cache = newCache(o.MaxEntries)
	}
	r.slots.Store(&map[api.Domain]*slot{})
	return r
}

// Register makes o the oracle of its domain, instead of the one before, and forgets what that one answered. A request that is being
// answered meanwhile may still get the old oracle's answer, but none that starts after Register returns. It panics for a nil oracle and
// for an empty domain: wiring mistakes.
func (r *Registry) Register(o api.PolicyOracle) {
	if o == nil || o.Domain() == "" {
		panic("authz: Register of an oracle that is nil or has no domain")
	}
	s := &slot{domain: o.Domain(), oracle: o}
	r.update(func(m map[api.Domain]*slot) { m[s.domain] = s })
}

// Invalidate forgets what the oracle of domain answered, for it would answer otherwise now.
func (r *Registry) Invalidate(domain api.Domain) {
	r.update(func(m map[api.Domain]*slot) {
		if old := m[domain]; old != nil {
			m[domain] = &slot{domain: domain, oracle: old.oracle}
		}
	})
}

func (r *Registry) update(change func(map[api.Domain]*slot)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := maps.Clone(*r.slots.Load())
	change(m)
	r.slots.Store(&m)
}

// Phase returns the current phase.
func (r *Registry) Phase() api.Phase { return api.Phase(r.phase.Load()) }

// Advance moves on to phase p. Staying is allowed, going back or past Running is api.Invalid.
func (r *Registry) Advance(p api.Phase) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p < r.Phase() || p > api.Running {
		return api.Errorf("authz.advance", api.Invalid, "phase %d after %s: the kernel only moves forward", p, r.Phase())
	}
	r.phase.Store(uint32(p))
	return nil
}

// Stats are counters since New.
type Stats struct {
	Asked  uint64 // requests put to an oracle: not answered from memory
	Panics uint64 // of those, how many panicked
}

// Stats returns the counters.
func (r *Registry) Stats() Stats { return Stats{Asked: r.asked.Load(), Panics: r.panics.Load()} }

// Evaluate answers with the decision of the request's domain: Allow, or Deny with a reason, never Abstain. Where no oracle answers,
// because the domain is unknown or its oracle abstains, the answer is Deny once the kernel is Running and Allow without constraints
// before. An oracle that panics denies.
//
// Answers are remembered for the TTL, but for requests with Proofs and for
// those that measure (Unit is set), whose answer may change with every record. What the Decision points to is shared with other callers: it must not
// be modified.
func (r *Registry) Evaluate(q api.Request) api.Decision {
	s := (*r.slots.Load())[q.Domain]
	if s == nil {
		return r.unanswered(&q, "unknown-domain", "no oracle answers for this domain", "start an app that owns the domain")
	}
	d := r.answer(s, &q)
	switch {
	case d.Effect == api.Abstain:
		return r.unanswered(&q, "abstained", "the oracle of this domain has no rule for the action", "ask for an action that the domain knows")
	case d.Effect == api.Deny && d.Reason != nil, d.Effect == api.Allow:
		return d
	}
	return api.Denied(reason(&q, "denied", "the oracle of this domain says no, without a reason", "ask who runs the app of the domain"))
}

func (r *Registry) answer(s *slot, q *api.Request) api.Decision {
	if r.cache == nil || len(q.Proofs) > 0 || q.Unit != "" {
		d, _ := r.ask(s, q)
		return d
	}
	k := keyOf(q)
	if k.size() > maxKey {
		d, _ := r.ask(s, q)
		return d
	}
	now := r.opt.Now().Sub(r.started)
	h := r.cache.hash(k)
	if d := r.cache.get(h, k, s, now); d != nil {
		return *d
	}
	d, ok := r.ask(s, q)
	if ok {
		r.cache.put(h, now, &entry{key: *k, slot: s, until: now + r.opt.TTL, decision: d})
	}
	return d
}

// ask puts the request to the oracle; ok is false when it panicked: such an answer is not worth remembering.
func (r *Registry) ask(s *slot, q *api.Request) (d api.Decision, ok bool) {
	r.asked.Add(1)
	defer func() {
		if ok {
			return
		}
		v := recover()
		r.panics.Add(1)
		if r.opt.Panicked != nil {
			r.opt.Panicked(s.domain, v)
		}
		d = api.Denied(reason(q, "oracle-failed", "the oracle of this domain failed", "look for the fault in this node's log"))
	}()
	return s.oracle.Evaluate(*q), true
}

// unanswered is the answer where there is no oracle's.
func (r *Registry) unanswered(q *api.Request, rule, text, remedy string) api.Decision {
	if r.Phase() < api.Running {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Denied(reason(q, rule, text, remedy))
}

func reason(q *api.Request, rule, text, remedy string) *api.Reason {
	return &api.Reason{
		Domain: q.Domain, Rule: rule, Text: text, Remedy: remedy,
		Inputs: map[string]string{"domain": clip(string(q.Domain)), "action": clip(q.Action), "actor": clip(string(q.Actor))},
	}
}

// clip bounds what a Reason quotes of a request.
func clip(s string) string {
	const most = 128
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
