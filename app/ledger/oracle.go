package ledger

import (
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Oracle implements api.OracleProvider.
func (a *App) Oracle() api.PolicyOracle { return (*oracle)(a) }

// oracle turns an account's state into a ceiling.
type oracle App

// Domain implements api.PolicyOracle.
func (*oracle) Domain() api.Domain { return Domain }

// Evaluate implements api.PolicyOracle. For ledger.transfer it allows what the account could spend with its next record; for the other operations of
// this app holding the scope is enough.
func (o *oracle) Evaluate(q api.Request) api.Decision {
	switch {
	case !strings.HasPrefix(q.Action, "ledger.") && !strings.HasPrefix(q.Action, "treasury."):
		return api.Decision{}
	case q.Action != "ledger.transfer":
		return api.Allowed(api.ConstraintSet{})
	}
	_, r, s, err := (*App)(o).see(q.Action, q.Topic.Space)
	if err != nil {
		return api.Denied(&api.Reason{Domain: Domain, Rule: "no-space", Text: err.Error()})
	}
	defer r.Close()
	p, ok := prepareMost(r, s, q.Actor, q.Unit) // not just for this amount: the answer is cached
	if !ok {
		return api.Denied(stranger(s, q.Actor))
	}
	st := p.state(q.Unit)
	if st == nil {
		return api.Denied(&api.Reason{
			Domain: Domain, Rule: "unknown-currency", Text: s.Genesis.Name + " has no currency " + clip(q.Unit),
			Remedy: "it has " + strings.Join(s.Genesis.Currencies, ", "),
		})
	}
	switch {
	case st.limits.Frozen:
		return api.Denied(frozen.Void)
	case st.waits:
		return api.Denied(notContinued.Void)
	}
	most := max(st.available(), 0)
	if m, _, ok := s.Known(q.Actor); ok { // the actor may ask with another device
		for _, a := range allotments(r, s, m) {
			if a.Currency == q.Unit {
				most = max(most, a.Left)
			}
		}
	}
	d := api.Allowed(api.ConstraintSet{Ceiling: &most})
	if q.Amount > most { // better words than the gate has for a ceiling
		d.Reason = advise(overLimit(q.Unit, q.Amount, most, st.limits.Limit).Void, s, st)
	}
	return d
}

// stranger says why a DID has no say here: it is no member, or no more.
func stranger(s *fact.Space, did api.DID) *api.Reason {
	if gone, ok := s.Removal(did); ok {
		return &api.Reason{
			Domain: Domain, Rule: "removed", Text: clip(string(did)) + " was removed from " + s.Genesis.Name + ": " + gone.Reason,
			Inputs: map[string]string{"did": clip(string(did)), "space": s.ID.String(), "reason": gone.Reason},
			Remedy: "the balance stays, and what is owed is owed; the registrar can admit again: icnctl member add",
		}
	}
	return &api.Reason{
		Domain: Domain, Rule: "not-a-member", Text: clip(string(did)) + " is not a member of " + s.Genesis.Name,
		Inputs: map[string]string{"did": clip(string(did)), "space": s.ID.String()}, Remedy: "its registrar can invite: icnctl space invite",
	}
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
