package kerneltest

import "github.com/intercooperative/icn/kernel/api"

// oracle answers every request of its domain alike.
type oracle struct {
	domain   api.Domain
	decision api.Decision
}

func (o oracle) Domain() api.Domain                { return o.domain }
func (o oracle) Evaluate(api.Request) api.Decision { return o.decision }

// AllowAllOracle returns an oracle that allows everything in domain, without constraints.
func AllowAllOracle(domain api.Domain) api.PolicyOracle {
	return oracle{domain, api.Allowed(api.ConstraintSet{})}
}

// DenyAllOracle returns an oracle that denies everything in domain, by the rule "deny-all".
func DenyAllOracle(domain api.Domain) api.PolicyOracle {
	return oracle{domain, api.Denied(&api.Reason{
		Domain: domain, Rule: "deny-all", Text: "this oracle denies everything", Remedy: "use another oracle",
	})}
}

// FixedRateOracle returns an oracle that allows everything in domain at the given rate.
func FixedRateOracle(domain api.Domain, limit api.RateLimit) api.PolicyOracle {
	return oracle{domain, api.Allowed(api.ConstraintSet{RateLimit: &limit})}
}

// ScoreRanker is an api.Ranker over fixed ranks; who is not in it has rank 0.
type ScoreRanker map[api.DID]float64

var _ api.Ranker = ScoreRanker(nil)

// Rank returns the rank of did.
func (r ScoreRanker) Rank(did api.DID) float64 { return r[did] }
