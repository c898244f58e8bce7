package security

import (
	"fmt"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Oracle implements api.OracleProvider.
func (a *App) Oracle() api.PolicyOracle { return (*oracle)(a) }

// oracle answers what follows from an actor's level. It guards: it takes away and never gives, so what it has no rule for it allows.
type oracle App

// Domain implements api.PolicyOracle.
func (*oracle) Domain() api.Domain { return Domain }

// Evaluate implements api.PolicyOracle.
func (o *oracle) Evaluate(q api.Request) api.Decision {
	a := (*App)(o)
	host, err := a.with("security.oracle")
	if err != nil {
		return api.Allowed(api.ConstraintSet{})
	}
	now := host.Now()
	level := a.table.level(now, q.Actor)
	c := api.ConstraintSet{}
	switch {
	case q.Action == "connect" && level >= Ban:
		return api.Denied(a.why(now, q.Actor, "banned", "This node has no session with yours"))
	case q.Action == "follow" && level >= Quarantine:
		return api.Denied(a.why(now, q.Actor, "quarantined", "This node shares no space with yours"))
	case q.Action == "push":
		rate := level.pushes()
		c.RateLimit = &rate
	case q.Action == "append":
		c.RateLimit = level.appends()
	}
	if level > None {
		c.Custom = map[string]any{"level": level.String()}
	}
	return api.Allowed(c)
}

// why explains a level to whom it concerns: what, until when, and what can be done. It quotes nothing that was sent.
func (a *App) why(now time.Time, who api.DID, rule, text string) *api.Reason {
	s, _ := a.table.get(who)
	until := s.expires(now).UTC().Format(time.RFC3339)
	return &api.Reason{
		Domain: Domain, Rule: rule, Text: fmt.Sprintf("%s until %s, after %s.", text, until, s.summary()),
		Inputs: map[string]string{"subject": string(who), "until": until, "level": s.level(now).String()},
		Remedy: "it ends by itself; to have it looked at sooner, appeal (icnctl security appeal) or ask this node's operator",
	}
}

// summary counts the incidents in words.
func (s *subject) summary() string {
	var parts []string
	for _, t := range s.Kinds {
		parts = append(parts, fmt.Sprintf("%s %d", t.Kind, t.Count))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
