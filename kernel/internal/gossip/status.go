package gossip

import (
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Status is what a space's gossip stands at, for people: what this node lacks and from whom it may come.
type Status struct {
	Feeds  int // with an applied head
	Wanted int // ranges known to be missing
	Asked  int // questions unsettled
	Peers  []PeerStatus
}

// PeerStatus is one peer's part of a Status.
type PeerStatus struct {
	Node      api.DID
	Eager     bool      // new records go to it at once
	Asked     int       // questions to it unsettled
	Equal     time.Time // last found to know the same of the space; zero for never
	Different bool      // the last comparison showed a difference
}

// Status reports on a followed space, peers ascending by node; ok is false for others.
func (c *Core) Status(id api.Hash) (s Status, ok bool) {
	sp := c.spaces[id]
	if sp == nil {
		return s, false
	}
	s = Status{Feeds: sp.heads.n, Wanted: len(sp.wants.table), Asked: sp.asks, Peers: []PeerStatus{}}
	for _, l := range sp.links {
		asked := 0
		for _, a := range l.p.asks {
			if a.sp == sp {
				asked++
			}
		}
		s.Peers = append(s.Peers, PeerStatus{Node: l.p.node, Eager: !l.lazy, Asked: asked, Equal: l.equalAt, Different: l.different})
	}
	return s, true
}
