package api

import (
	"maps"
	"slices"
	"time"
)

// Domain names an area of policy. It is an opaque string that belongs to the app whose oracle answers for it.
type Domain string

// Request asks an oracle whether an actor may do something, and within which constraints.
type Request struct {
	Domain Domain `json:"domain"`
	Actor  DID    `json:"actor"`
	Action string `json:"action"`           // operation or mechanism, e.g. an operation's name, "connect", "push"
	Topic  Topic  `json:"topic,omitzero"`   // zero when no topic is concerned
	Unit   string `json:"unit,omitempty"`   // what Amount counts; not cached when set
	Amount int64  `json:"amount,omitempty"` // minor units; compared with Ceiling by the kernel
	Proofs []byte `json:"-"`                // opaque evidence shown by the actor (a handshake's credential); not cached when set
}

// Effect is an oracle's answer in one word.
type Effect uint8

// The effects. The zero Effect is Abstain: an oracle that says nothing allows nothing.
const (
	Abstain Effect = iota
	Allow
	Deny
)

// String returns the lower-case name.
func (e Effect) String() string { return [...]string{"abstain", "allow", "deny"}[min(e, Deny)] }

// Decision is an oracle's answer: Allow with constraints, Deny with a reason, or Abstain.
type Decision struct {
	Effect      Effect        `json:"effect"`
	Constraints ConstraintSet `json:"constraints,omitzero"`
	Reason      *Reason       `json:"reason,omitempty"`
}

// Allowed is Allow with constraints.
func Allowed(c ConstraintSet) Decision { return Decision{Effect: Allow, Constraints: c} }

// Denied is Deny with a reason.
func Denied(r *Reason) Decision { return Decision{Effect: Deny, Reason: r} }

// PolicyOracle translates an app's meaning into constraints. Evaluate must not block: it is on the hot path, and its
// answer is cached for the registry's TTL. Source: kernel-app-separation, 3.1.
type PolicyOracle interface {
	Domain() Domain
	Evaluate(Request) Decision
}

// RateLimit is a token bucket: PerSecond tokens are added each second up to Burst.
type RateLimit struct {
	PerSecond uint32 `json:"per_second"`
	Burst     uint32 `json:"burst"`
}

// ReplicaSelection bounds the choice of nodes that hold copies: candidates ranked below MinRank are passed over.
type ReplicaSelection struct {
	MinRank float64 `json:"min_rank"`
}

// ConstraintSet is what an oracle may impose. A nil field imposes nothing. The kernel enforces the typed fields and
// never reads Custom. Source: kernel-app-separation, 3.4, completed by the fields used elsewhere in it.
type ConstraintSet struct {
	RateLimit        *RateLimit        `json:"rate_limit,omitempty"`
	Multiplier       *float64          `json:"credit_multiplier,omitempty"` // scales a ceiling, 0 to 1
	Ceiling          *int64            `json:"credit_ceiling,omitempty"`    // greatest Amount allowed, minor units
	MaxTopics        *uint32           `json:"max_topics,omitempty"`
	MaxConnections   *uint32           `json:"max_connections,omitempty"`
	AllowedTopics    []string          `json:"allowed_topics,omitempty"` // topic names, or a trailing * for a prefix; nil allows all
	Capabilities     []string          `json:"capabilities,omitempty"`   // nil imposes nothing, empty grants none
	PriorityClass    *uint8            `json:"priority_class,omitempty"` // 0 first
	CanReplicate     *bool             `json:"can_replicate,omitempty"`
	ReplicaSelection *ReplicaSelection `json:"replica_selection,omitempty"`
	Custom           map[string]any    `json:"custom,omitempty"` // for apps and displays; no kernel code reads it
}

// Clone returns a deep copy, but for values inside Custom.
func (c ConstraintSet) Clone() ConstraintSet {
	c.RateLimit = clonePtr(c.RateLimit)
	c.Multiplier = clonePtr(c.Multiplier)
	c.Ceiling = clonePtr(c.Ceiling)
	c.MaxTopics = clonePtr(c.MaxTopics)
	c.MaxConnections = clonePtr(c.MaxConnections)
	c.AllowedTopics = slices.Clone(c.AllowedTopics)
	c.Capabilities = slices.Clone(c.Capabilities)
	c.PriorityClass = clonePtr(c.PriorityClass)
	c.CanReplicate = clonePtr(c.CanReplicate)
	c.ReplicaSelection = clonePtr(c.ReplicaSelection)
	c.Custom = maps.Clone(c.Custom)
	return c
}

func clonePtr[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// CapabilityToken says that Holder may do Capabilities in Space until Expires. Kernel entry points accept it as proof.
type CapabilityToken struct {
	Holder       DID       `json:"holder"`
	Space        Hash      `json:"space,omitzero"` // zero: every space
	Capabilities []string  `json:"capabilities"`
	Expires      time.Time `json:"expires,omitzero"` // zero: never
}

// Phase is the kernel's stage of life. Genesis and CoreApps let unknown domains pass; Running denies them.
type Phase uint8

// The phases, in order; the kernel only moves forward.
const (
	Genesis Phase = iota
	CoreApps
	Running
)

// String returns the lower-case name.
func (p Phase) String() string {
	return [...]string{"genesis", "core-apps", "running"}[min(p, Running)]
}

// Reason explains a denial, a deferral, a throttle or a void verdict so that a person knows what to do next.
type Reason struct {
	Domain Domain            `json:"domain"`           // who says so
	Rule   string            `json:"rule"`             // stable, kebab-case: which rule
	Text   string            `json:"text"`             // one sentence for a person
	Inputs map[string]string `json:"inputs,omitempty"` // what the rule looked at
	Remedy string            `json:"remedy,omitempty"` // what would change the answer, and who can
}

// Error makes a Reason usable as a cause.
func (r *Reason) Error() string {
	if r.Remedy == "" {
		return r.Text
	}
	return r.Text + " (" + r.Remedy + ")"
}

// OracleRegistry routes requests to the oracle of their domain. It is itself usable wherever one oracle is wanted.
type OracleRegistry interface {
	Evaluate(Request) Decision // the answer may be shared: read only
	Register(PolicyOracle)     // replaces the domain's oracle atomically and forgets its cached answers
	Invalidate(Domain)         // forgets the domain's cached answers
	Phase() Phase
}

// Ranker orders candidates by a number that an app supplies; higher is preferred. The kernel knows no more about it.
type Ranker interface {
	Rank(DID) float64
}
