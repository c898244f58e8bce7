package kernel

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/transport"
)

// Bounds of what is asked about copies, and how often. Beyond them nothing is remembered, or asked, of what came last.
const (
	maxWants    = 1024                   // feeds asked about at a time
	maxWaiters  = 4096                   // writers who wait
	knownFeeds  = 4096                   // feeds of which it is remembered who holds them; then all are forgotten and asked for again
	knownNodes  = 256                    // nodes remembered for each
	holdsApart  = 100 * time.Millisecond // between two questions to a node, at least
	holdsMost   = 2 * time.Second        // between two questions about a feed that nobody holds yet, at most
	holdsLater  = time.Second            // before asking about a record that nobody waits for
	holdsIdle   = 10                     // questions about a feed that nobody waits for, before it is given up
	explainWait = time.Second            // for the answers of peers, when somebody wants to know
)

// copies finds out which other members' nodes hold records: it asks the nodes with a session, in batches, and remembers what each says of itself.
//
// A node counts for one member that it serves, the first by DID who may follow the space; one that serves the author does not count. So k copies are k
// members' and k nodes', and whoever lies lies about one copy: their own.
type copies struct {
	l *letters

	mu    sync.Mutex
	known map[api.Hash]map[api.DID]heldCopy // by feed and node

	// Owned by the letters' loop.
	wants   map[api.Hash]*copyWant // by feed
	waiters int
	asked   map[api.DID]time.Time // when a node was asked last
	busy    map[api.DID]bool      // nodes that have not answered yet
}

// heldCopy is what a node says it holds of a feed: the branch that ends there.
type heldCopy struct {
	member api.DID
	end    api.Position
}

// copyWant is a feed whose copies somebody wants to know of.
type copyWant struct {
	top     api.Position // asked about
	space   api.Hash
	author  api.DID
	waiters []*copyWaiter
	next    time.Time
	tries   int
}

// copyWaiter waits until a position has so many copies.
type copyWaiter struct {
	at   api.Position
	need int
	done chan struct{} // closed then, or when err is set
	err  error
}

func newCopies(l *letters) *copies {
	return &copies{l: l, known: map[api.Hash]map[api.DID]heldCopy{}, wants: map[api.Hash]*copyWant{}, asked: map[api.DID]time.Time{}, busy: map[api.DID]bool{}}
}

// everyNode is the need of a waiter who wants to hear every node that may hold the record, once.
const everyNode = -1

// wait returns once need other members' nodes hold a record by author, or with an error: ctx's, or api.Unavailable.
func (c *copies) wait(ctx context.Context, p api.Position, space api.Hash, author api.DID, need int) error {
	w := &copyWaiter{at: p, need: need, done: make(chan struct{})}
	if len(c.holders(p, author)) >= need && need != everyNode {
		return nil
	}
	if c.l.post(ctx, func(now time.Time) { c.add(now, w, space, author) }) {
		// It ends by ctx mostly, so not by ctx.
		defer c.l.post(context.WithoutCancel(ctx), func(time.Time) { c.leave(w) })
		select {
		case <-w.done:
			return w.err
		case <-ctx.Done():
		case <-c.l.k.stopping:
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return api.Errorf("copies", api.Unavailable, "the node stops")
}

// note asks about a record that nobody waits for, a little later, together with those that follow it.
func (c *copies) note(p api.Position, space api.Hash, author api.DID) {
	c.l.try(func(now time.Time) {
		if w := c.want(p, space, author); w != nil && w.next.IsZero() {
			w.next = now.Add(holdsLater)
		}
	})
}

// holders lists the other members whose nodes are known to hold a record by author, in order.
func (c *copies) holders(p api.Position, author api.DID) []api.DID {
	c.mu.Lock()
	nodes := maps.Clone(c.known[p.Feed])
	c.mu.Unlock()
	if len(nodes) == 0 {
		return nil
	}
	r := c.l.k.reader("", c.l.k.log)
	defer r.Close()
	return holdersOf(r, nodes, p, author)
}

func holdersOf(r *fold.Reader, nodes map[api.DID]heldCopy, p api.Position, author api.DID) []api.DID {
	var who []api.DID
	for _, h := range nodes {
		if h.member != author && (h.end == p || r.Before(p, h.end)) {
			who = append(who, h.member)
		}
	}
	slices.Sort(who)
	return slices.Compact(who)
}

// want returns the want for a position's feed, nil when there are too many.
func (c *copies) want(p api.Position, space api.Hash, author api.DID) *copyWant {
	w := c.wants[p.Feed]
	if w == nil {
		if len(c.wants) >= maxWants {
			return nil
		}
		w = &copyWant{space: space, author: author}
		c.wants[p.Feed] = w
	}
	if p.Seq >= w.top.Seq {
		w.top, w.tries = p, 0
	}
	return w
}

func (c *copies) add(now time.Time, x *copyWaiter, space api.Hash, author api.DID) {
	var w *copyWant
	if c.waiters < maxWaiters {
		w = c.want(x.at, space, author)
	}
	if w == nil {
		x.err = api.Errorf("copies", api.Unavailable, "too many wait for copies of their records")
		close(x.done)
		return
	}
	if x.need == everyNode {
		members := map[api.DID]struct{}{}
		for _, p := range c.l.peers {
			if m, ok := c.l.holder(p.Peer, space, author); ok {
				members[m] = struct{}{}
			}
		}
		x.need = len(members)
	}
	w.waiters = append(w.waiters, x)
	c.waiters++
	w.next = now
	c.settle(w)
	c.tick(now)
}

// leave forgets a waiter.
func (c *copies) leave(x *copyWaiter) {
	if w := c.wants[x.at.Feed]; w != nil {
		if i := slices.Index(w.waiters, x); i >= 0 {
			w.waiters = slices.Delete(w.waiters, i, i+1)
			c.waiters--
		}
	}
}

// wake asks anew at the next tick: a node that was not there may be.
func (c *copies) wake(now time.Time) {
	for _, w := range c.wants {
		w.next, w.tries = now, 0
	}
}

// tick asks what is due.
func (c *copies) tick(now time.Time) {
	var due []*copyWant
	for _, w := range c.wants {
		if !now.Before(w.next) {
			due = append(due, w)
		}
	}
	if len(due) == 0 {
		return
	}
	slices.SortFunc(due, func(a, b *copyWant) int { return cmp.Or(a.next.Compare(b.next), comparePositions(a.top, b.top)) })
	missing := map[*copyWant]bool{} // by some node that may hold it
	for _, node := range slices.Sorted(maps.Keys(c.l.peers)) {
		var ask []*copyWant
		for _, w := range due {
			if _, ok := c.l.holder(c.l.peers[node].Peer, w.space, w.author); !ok || c.has(node, w.top) {
				continue
			}
			missing[w] = true
			if len(ask) < holdsAtOnce {
				ask = append(ask, w)
			}
		}
		if len(ask) > 0 && !c.busy[node] && now.Sub(c.asked[node]) >= holdsApart {
			c.ask(now, node, ask)
		}
	}
	for _, w := range due {
		w.next = now.Add(min(holdsApart<<min(w.tries, 8), holdsMost))
		w.tries++
		if len(w.waiters) == 0 && (!missing[w] || w.tries > holdsIdle) {
			delete(c.wants, w.top.Feed)
		}
	}
}

func (c *copies) has(node api.DID, p api.Position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[p.Feed][node].end == p
}

// ask asks a node about feeds.
func (c *copies) ask(now time.Time, node api.DID, wants []*copyWant) {
	tops := make([]api.Position, len(wants))
	for i, w := range wants {
		tops[i] = w.top
	}
	c.busy[node], c.asked[node] = true, now
	c.l.put(now, courier.Question{To: node, Kind: kindHolds, Payload: encodeHolds(tops)}, func(a courier.Answer) {
		delete(c.busy, node)
		if a.Err != nil {
			c.l.log.Debug("a peer does not say what it holds", "peer", node, "err", a.Err)
			return
		}
		ends, err := decodeHeld(a.Body, tops)
		if err != nil {
			c.l.log.Debug("a peer does not say what it holds", "peer", node, "err", err)
			return
		}
		c.learn(node, ends)
	})
}

// learn takes in what a node says that it holds, as far as it may hold it and this node knows the branch.
func (c *copies) learn(node api.DID, ends []api.Position) {
	p := c.l.peers[node]
	if p == nil {
		return
	}
	r := c.l.k.reader("", c.l.k.log)
	defer r.Close()
	for _, end := range ends {
		w := c.wants[end.Feed]
		if w == nil || !r.Stored(end) {
			continue
		}
		member, ok := c.l.holder(p.Peer, w.space, w.author)
		if !ok {
			continue
		}
		c.remember(node, heldCopy{member, end})
		c.settle(w)
	}
}

func (c *copies) remember(node api.DID, h heldCopy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	nodes := c.known[h.end.Feed]
	if nodes == nil {
		if len(c.known) >= knownFeeds {
			clear(c.known)
		}
		nodes = map[api.DID]heldCopy{}
		c.known[h.end.Feed] = nodes
	}
	if have, ok := nodes[node]; ok && have.end.Seq > h.end.Seq || !ok && len(nodes) >= knownNodes {
		return
	}
	nodes[node] = h
}

// settle lets go of those who have waited for enough.
func (c *copies) settle(w *copyWant) {
	if len(w.waiters) == 0 {
		return
	}
	c.mu.Lock()
	nodes := maps.Clone(c.known[w.top.Feed])
	c.mu.Unlock()
	r := c.l.k.reader("", c.l.k.log)
	defer r.Close()
	w.waiters = slices.DeleteFunc(w.waiters, func(x *copyWaiter) bool {
		if len(holdersOf(r, nodes, x.at, w.author)) < x.need {
			return false
		}
		close(x.done)
		c.waiters--
		return true
	})
}

// holder names the member as whose a peer's copy of a space's record by author counts, if it does.
func (l *letters) holder(p *transport.Peer, space api.Hash, author api.DID) (api.DID, bool) {
	if !slices.Contains(p.Spaces, space) || !l.k.follows.has(space) || l.k.guard.follow(p.Node, space).Effect != api.Allow || slices.ContainsFunc(p.Members, func(m transport.Member) bool { return m.DID == author }) {
		return "", false
	}
	var first api.DID
	for _, m := range p.Members {
		// Without the proof that the peer showed: an invitation lets in, and makes nobody a member.
		d := l.k.oracles.Evaluate(api.Request{Domain: l.k.opt.AccessDomain, Actor: m.DID, Action: "follow", Topic: api.Topic{Space: space}})
		if d.Effect == api.Allow && (first == "" || m.DID < first) {
			first = m.DID
		}
	}
	return first, first != ""
}
