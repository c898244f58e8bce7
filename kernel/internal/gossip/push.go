package gossip

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Committed says what the node has just committed, in order. News is pushed and announced; what was fetched is not, since it is old to most:
// peers that lack it too learn so by a digest.
func (c *Core) Committed(now time.Time, items []Item) {
	c.now = now
	for i := range items {
		it := &items[i]
		sp := c.spaces[it.Space]
		if sp == nil {
			continue
		}
		sp.heads.set(&it.Head)
		e, _ := c.seen.get(it.Envelope)
		news := it.From == "" || e.news(now)
		if !e.done {
			e.done = true
			if a := e.ask; a != nil {
				e.ask = nil
				a.left--
			}
		}
		c.landed(now, sp, it.Position)
		if !news || !sp.founded {
			sp.fetched, sp.progress = true, now
			continue
		}
		for _, l := range sp.links {
			switch {
			case l.p.node == it.From || e.marked(l.p):
			case l.lazy:
				if l.have == nil {
					l.have = map[api.Hash]api.Position{}
				}
				l.have[it.Position.Feed] = it.Position
			default:
				e.mark(l.p)
				l.out = append(l.out, it.Envelope)
			}
		}
	}
	for _, sp := range c.spaceList {
		for _, l := range sp.links {
			c.flushPush(l)
		}
	}
	for _, p := range c.peerList {
		for _, a := range slices.Clone(p.asks) {
			if a.ended && a.left <= 0 {
				p.pause = 0 // its deliveries land
				c.settle(now, a, false)
			}
		}
	}
	c.fill(now)
}

// Final says how far feeds are final now, each with its highest final position. Call it before Committed with what has made them so: of a feed that
// is not known yet, the Item says it.
func (c *Core) Final(finals []api.Position) {
	for _, p := range finals {
		for _, sp := range c.spaceList {
			sp.heads.close(p)
		}
	}
}

// flushPush sends what has gathered for an eager peer.
func (c *Core) flushPush(l *link) {
	size, from := 0, 0
	for i, e := range l.out {
		if i > from && (i-from == wire.MaxRecords || size+len(e) > pushBytes) {
			c.send(l.p, &wire.Push{Space: l.sp.id[:], Envelopes: l.out[from:i:i]})
			size, from = 0, i
		}
		size += len(e)
	}
	if from < len(l.out) {
		c.send(l.p, &wire.Push{Space: l.sp.id[:], Envelopes: l.out[from:]})
	}
	l.out = nil
}

// flushHaves announces what has gathered, the last record of each feed, to Fanout of the lazy peers: enough to mend the tree, while
// announcements to all of many would weigh more than the records.
func (c *Core) flushHaves(sp *space) {
	c.flush = c.flush[:0]
	for _, l := range sp.links {
		if len(l.have) > 0 {
			c.flush = append(c.flush, l)
		}
	}
	for n := 0; len(c.flush) > 0; n++ {
		i := int(c.random() % uint64(len(c.flush)))
		l := c.flush[i]
		c.flush = slices.Delete(c.flush, i, i+1)
		if n < c.opt.Fanout {
			c.announce(l)
		}
		l.have = nil
	}
}

func (c *Core) announce(l *link) {
	at := slices.SortedFunc(maps.Values(l.have), func(a, b api.Position) int { return compareHash(&a.Feed, &b.Feed) })
	for part := range slices.Chunk(at, wire.MaxWants) {
		f := &wire.Have{Space: l.sp.id[:], At: make([]wire.Position, len(part))}
		for i := range part {
			f.At[i] = wire.FromPosition(part[i])
		}
		c.send(l.p, f)
	}
}

// push takes pushed records. A peer whose push brings nothing new is off the tree; one that brings news is on it.
func (c *Core) push(now time.Time, l *link, f *wire.Push) {
	if len(f.Envelopes) == 0 {
		c.incident(l.p, "push without records")
		return
	}
	if news := c.unseen(l.p, f.Envelopes, now); len(news) > 0 {
		c.deliver(l, news, false)
		if l.lazy && l.sp.eager() < c.opt.Fanout {
			l.lazy = false
		}
		return
	}
	if l.lazy { // it has not heard yet, or lost our word
		c.send(l.p, &wire.Prune{Space: l.sp.id[:]})
		return
	}
	if l.sp.eager() > 1 {
		l.lazy = true
		c.send(l.p, &wire.Prune{Space: l.sp.id[:]})
	}
}

// unseen notes that p has the envelopes and returns those that nobody brought before, which came by push then, unless that is zero.
func (c *Core) unseen(p *peer, envelopes [][]byte, pushed time.Time) [][]byte {
	var news [][]byte
	for _, env := range envelopes {
		e, had := c.seen.get(env)
		e.mark(p)
		if !had {
			e.pushed = pushed
			news = append(news, env)
		}
	}
	return news
}

func (c *Core) deliver(l *link, envelopes [][]byte, solicited bool) {
	c.out.Deliver = append(c.out.Deliver, Delivery{From: l.p.node, Space: l.sp.id, Envelopes: envelopes, Solicited: solicited})
}

// graft makes the link eager at the peer's wish, within reason.
func (c *Core) graft(l *link) {
	if l.lazy && l.sp.eager() >= 2*c.opt.Fanout {
		c.send(l.p, &wire.Prune{Space: l.sp.id[:]})
		return
	}
	l.lazy = false
}

// pruned makes the link lazy at the peer's wish.
func (c *Core) pruned(l *link) {
	l.lazy = true
	c.ensureEager(l.sp, l)
}

// ensureEager keeps the node on the tree: when no link is eager, the best becomes so, if possible another than the one just pruned.
func (c *Core) ensureEager(sp *space, except *link) {
	if len(sp.links) == 0 || sp.eager() > 0 {
		return
	}
	best := slices.MaxFunc(sp.links, func(a, b *link) int {
		if a == except || b == except {
			return compareBool(b == except, a == except)
		}
		return cmp.Or(cmp.Compare(a.p.rank, b.p.rank), cmp.Compare(a.tie, b.tie))
	})
	best.lazy = false
	c.send(best.p, &wire.Graft{Space: sp.id[:]})
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// announced takes announcements: what does not arrive by push within HaveDelay is asked for, and the peer is grafted, since the tree is broken
// or slower than its announcement.
func (c *Core) announced(now time.Time, l *link, f *wire.Have) {
	for i := range f.At {
		p := f.At[i].API()
		if p.Seq == 0 {
			c.incident(l.p, "announcement of seq 0")
			return
		}
		seq, forked := l.sp.heads.at(p.Feed)
		switch {
		case p.Seq > seq && !forked:
			c.claim(now.Add(c.opt.HaveDelay), l, p.Feed, p.Seq, true)
		case !c.log.Has(p):
			c.exact(now.Add(c.opt.HaveDelay), l.sp, p, min(seq+1, p.Seq), l.p.node)
		}
	}
	c.fill(now)
}
