package gossip

import (
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// peer is a node with which there is a session.
type peer struct {
	node    api.DID
	rank    float64
	slot    int                   // bit in seen's masks, or -1
	shared  map[api.Hash]struct{} // spaces the peer shares, followed here or not
	links   map[api.Hash]*link    // the shared ones that are followed here
	asks    []*ask                // unsettled, ascending by number
	lastAsk uint64
	silent  int           // asks in a row that it left unanswered
	paused  time.Time     // not asked before
	pause   time.Duration // the last pause, doubled by the next refusal
	jobs    []*job        // Wants to be served
}

// link is the relation with one peer in one space.
type link struct {
	p    *peer
	sp   *space
	tie  uint64 // order among peers of equal rank, different on each node
	lazy bool   // announce only
	out  [][]byte
	have map[api.Hash]api.Position // to announce, by feed

	due       time.Time // next digest
	said      time.Time // last digest
	refined   time.Time // last reconciliation begun here
	digests   int
	equalAt   time.Time // last seen equal
	different bool      // the last comparison showed a difference
	salted    time.Time // last salted digest served
	offer     []offer   // heads it seems to lack, until it answered a Probe
	offered   time.Time
	proved    time.Time // last told what makes something final
	spent     int       // see spend
	spentAt   time.Time
}

// join makes the link between a peer and a space that both sides share. Its first digest is due.
func (c *Core) join(p *peer, sp *space) *link {
	l := &link{p: p, sp: sp, tie: c.random(), lazy: sp.eager() >= c.opt.Fanout}
	p.links[sp.id] = l
	i, _ := slices.BinarySearchFunc(sp.links, p.node, func(l *link, n api.DID) int { return strings.Compare(string(l.p.node), string(n)) })
	sp.links = slices.Insert(sp.links, i, l)
	return l
}

// part ends a link; what was asked over it goes back to the table.
func (c *Core) part(l *link) {
	delete(l.p.links, l.sp.id)
	l.sp.links = slices.DeleteFunc(l.sp.links, func(x *link) bool { return x == l })
	l.p.jobs = slices.DeleteFunc(l.p.jobs, func(j *job) bool { return j.sp == l.sp })
	for _, a := range slices.Clone(l.p.asks) {
		if a.sp == l.sp {
			c.settle(c.now, a, true)
		}
	}
}

// freeSlot returns a bit that no peer has, the one that was given longest ago, or -1: a peer beyond the 64th just gets some
// announcements that it does not need.
func (c *Core) freeSlot() int {
	var used uint64
	for _, p := range c.peerList {
		if p.slot >= 0 {
			used |= 1 << p.slot
		}
	}
	for i := 1; i <= 64; i++ {
		if s := (c.slot + i) % 64; used&(1<<s) == 0 {
			c.slot = s
			return s
		}
	}
	return -1
}

// soon brings the next digest forward.
func (l *link) soon(at time.Time) {
	if at.Before(l.due) {
		l.due = at
	}
}
