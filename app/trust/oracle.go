package trust

import (
	"strconv"

	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the policy domain this app answers for.
const Domain api.Domain = "trust"

// connect is the action of a peer that asks for a connection.
const connect = "connect"

// ask is the kernel's action for a question from a peer. Its rate is the same for everybody: a question costs an answer and changes nothing.
const ask = "ask"

// request is the kernel's action for a request of somebody who has logged in. A page asks for several things at once, so the burst is two seconds of
// the class's rate, where a record's is a quarter.
const request = "request"

// Oracle implements api.OracleProvider.
func (a *App) Oracle() api.PolicyOracle { return oracle{a} }

type oracle struct{ app *App }

func (oracle) Domain() api.Domain { return Domain }

// limits is what a class may do. Rate and burst are those of kernel-app-separation, 3.1. The topics are ours: somebody unknown can take part in
// one space (about ten topics each), a federated co-op's node in a hundred. Priority 0 is served first.
type limits struct {
	rate     api.RateLimit
	topics   uint32
	priority uint8
}

func (c Class) limits() limits {
	switch c {
	case Federated:
		return limits{api.RateLimit{PerSecond: 200, Burst: 50}, 1000, 0}
	case Partner:
		return limits{api.RateLimit{PerSecond: 100, Burst: 25}, 200, 1}
	case Known:
		return limits{api.RateLimit{PerSecond: 20, Burst: 5}, 50, 2}
	}
	return limits{api.RateLimit{PerSecond: 10, Burst: 2}, 10, 3}
}

// Evaluate translates the actor's score into constraints. It takes no lock in the usual case; when the graph has changed, one caller per
// Options.RefreshEvery computes the scores anew, which takes some milliseconds for thousands of people.
func (o oracle) Evaluate(r api.Request) api.Decision {
	if r.Domain != Domain {
		return api.Decision{}
	}
	score := o.app.Score(r.Actor)
	if r.Action == connect && score < o.app.opt.MinConnect {
		return api.Denied(&api.Reason{
			Domain: Domain, Rule: "min-connect",
			Text:   "This node only connects to members whom its own member trusts enough.",
			Inputs: map[string]string{"actor": string(r.Actor), "score": score.String(), "minimum": o.app.opt.MinConnect.String()},
			Remedy: "a member whom this node's member trusts can attest to you (icnctl trust add), or the operator can lower the minimum",
		})
	}
	class := score.Class()
	l := class.limits()
	if r.Action == ask {
		l.rate = api.RateLimit{PerSecond: 20, Burst: 20}
	}
	if r.Action == request {
		l.rate.Burst = 2 * l.rate.PerSecond
	}
	multiplier, replicate := score.Float(), class >= Partner
	return api.Allowed(api.ConstraintSet{
		RateLimit:     &l.rate,
		Multiplier:    &multiplier,
		MaxTopics:     &l.topics,
		PriorityClass: &l.priority,
		CanReplicate:  &replicate,
		Custom:        map[string]any{"score": multiplier, "class": class.String()},
	})
}

// String returns the score as 0 to 1, without trailing zeroes.
func (s Score) String() string { return strconv.FormatFloat(s.Float(), 'f', -1, 64) }
