package membership

import (
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Oracle implements api.OracleProvider.
func (a *App) Oracle() api.PolicyOracle { return (*oracle)(a) }

// oracle answers who may follow and write in a space.
type oracle App

// Domain implements api.PolicyOracle.
func (*oracle) Domain() api.Domain { return Domain }

// Evaluate implements api.PolicyOracle. Actions: "follow" (may the actor's node have the records of a space?), "write" (may the actor's records be
// taken in?) and the operations of this app, for which holding the scope is enough: what else they need their handlers and Apply check.
func (o *oracle) Evaluate(q api.Request) api.Decision {
	if strings.HasPrefix(q.Action, "space.") || strings.HasPrefix(q.Action, "member.") || strings.HasPrefix(q.Action, "office.") {
		return api.Allowed(api.ConstraintSet{})
	}
	if q.Action != "follow" && q.Action != "write" || q.Topic.Space.IsZero() {
		return api.Decision{}
	}
	host, err := (*App)(o).with("membership.oracle")
	if err != nil {
		return api.Decision{}
	}
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, q.Topic.Space)
	if !ok {
		return api.Allowed(api.ConstraintSet{}) // to bring its records, who else could; the kernel gives none away before the space is founded here
	}
	if s.Belongs(q.Actor) || q.Action == "write" && q.Topic.Name == fact.JoinTopic {
		return api.Allowed(api.ConstraintSet{})
	}
	reason := &api.Reason{
		Domain: Domain, Rule: "not-a-member", Text: "the actor is not a member of the space", Inputs: map[string]string{"actor": string(q.Actor)},
		Remedy: "ask its registrar for an invitation and use it: icnctl space join",
	}
	if q.Action == "follow" && len(q.Proofs) > 0 {
		var j join
		switch err := decode(q.Proofs, &j); {
		case err != nil || j.DID != q.Actor || !j.valid(s.ID):
			reason.Rule, reason.Text = "bad-invitation", "what the actor shows is no invitation to this space made out for it"
		default:
			held := invitationHolds(r, s, j.Key, host.Now())
			if held == nil {
				return api.Allowed(api.ConstraintSet{})
			}
			reason = held
		}
	}
	return api.Denied(reason)
}
