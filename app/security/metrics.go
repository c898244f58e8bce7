package security

import (
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// metrics are the app's own; docs/guides/security.md lists them.
type metrics struct {
	incidents obs.Vec[obs.Counter]
	raised    obs.Vec[obs.Counter]
	pardons   obs.Counter
}

func (m *metrics) init(r *obs.Registry, a *App) {
	m.incidents = r.CounterVec("icn_security_incidents_total", "Incidents weighed, by kind.", "kind")
	m.raised = r.CounterVec("icn_security_raised_total", "How often a level was raised, by the level reached.", "level")
	m.pardons = r.Counter("icn_security_pardons_total", "Pardons followed, by a record or on this node.")
	for _, l := range [...]Level{Warn, Throttle, Quarantine, Ban} {
		r.GaugeFunc("icn_security_"+l.String()+"_subjects", "Nodes and authors that stand at the level "+l.String()+".", func() float64 {
			host, err := a.with("metrics")
			if err != nil {
				return 0
			}
			return float64(a.table.at(host.Now(), l))
		})
	}
}

// known returns a kind as a label: those that this build knows, else other.
func known(kind string) string {
	kinds := []string{
		api.BadSignature, api.Malformed, api.Oversized, api.BadFrame, api.BadHandshake, api.Flood, api.Excess, api.Unasked, api.Unshared, api.ForkEvidence, api.Replay,
		api.Conflicting, api.Divergence,
	}
	if slices.Contains(kinds, kind) {
		return kind
	}
	return "other"
}
