package gossip

import (
	"container/heap"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/internal/wire"
)

// ask is one Wants sent, from its sending until the records of its answer are committed, or not in time. So the records under way from one
// peer, in its queues, on the wire and in ingest, stay within MaxInFlightWants times askRecords.
type ask struct {
	id       uint64
	p        *peer
	sp       *space
	wants    []*want
	deadline time.Time // without a sign of the answer, or of commits once it has ended
	last     time.Time // once it has ended: settled by then, whatever the signs
	got      int       // records answered that were not here yet
	size     int       // bytes answered
	left     int       // of got, those not committed yet
	total    int       // records answered
	ended    bool
}

// batch is a Wants being filled.
type batch struct {
	f     wire.Wants
	wants []*want
	size  uint64 // records expected
	graft bool
}

// fill hands what is due to peers that may be asked.
func (c *Core) fill(now time.Time) {
	for _, sp := range c.spaceList {
		if len(sp.links) > 0 && sp.wants.busy(now) {
			c.fillSpace(now, sp)
		}
	}
}

func (c *Core) fillSpace(now time.Time, sp *space) {
	open := make(map[*link]*batch, len(sp.links))
	var blocked []*want
	for n := 0; n < fillScan && sp.wants.busy(now); n++ {
		q := &sp.wants.normal
		if u := sp.wants.urgent; len(u) > 0 && !now.Before(u[0].due) {
			q = &sp.wants.urgent
		}
		w := heap.Pop(q).(*want)
		if c.satisfied(sp, w) {
			sp.wants.remove(w)
			continue
		}
		l := c.pick(now, sp, w, open)
		if l == nil {
			blocked = append(blocked, w)
			if len(open) == 0 && !c.anyFree(now, sp) {
				break
			}
			continue
		}
		b := open[l]
		if b == nil {
			b = &batch{}
			open[l] = b
		}
		x := c.item(sp, w, l.p.node)
		w.asked, w.expect = x.From, x.At.Seq-x.From+1
		b.f.Items, b.wants = append(b.f.Items, x), append(b.wants, w)
		b.size += min(w.expect, askRecords)
		if w.graft {
			w.graft = false
			b.graft = true
		}
		if len(b.f.Items) == wire.MaxWants || b.size >= askRecords {
			c.sendAsk(now, l, b)
			delete(open, l)
		}
	}
	for _, l := range sp.links {
		if b := open[l]; b != nil {
			c.sendAsk(now, l, b)
		}
	}
	for _, w := range blocked {
		sp.wants.schedule(w, w.due)
	}
}

// pick chooses the peer to ask for w: the claimants in turn, those who answer before those who did not; for what ingest misses, once they have
// failed, anybody in turn.
func (c *Core) pick(now time.Time, sp *space, w *want, open map[*link]*batch) *link {
	var best *link
	for i := range w.claims {
		l := c.peers[w.claims[(i+w.tries)%len(w.claims)].node].links[sp.id] // satisfied has removed the claims of others
		if (best == nil || l.p.silent < best.p.silent) && c.free(now, l, w.urgent, open[l] != nil) {
			best = l
		}
	}
	if best != nil {
		return best
	}
	if w.urgent && !w.key.id.IsZero() && w.tries >= len(w.claims) {
		for i := range sp.links {
			if l := sp.links[(i+w.tries)%len(sp.links)]; c.free(now, l, true, open[l] != nil) {
				return l
			}
		}
	}
	return nil
}

// free reports whether a peer may be asked more.
func (c *Core) free(now time.Time, l *link, urgent, open bool) bool {
	limit := c.opt.MaxInFlightWants
	if urgent {
		limit += urgentReserve
	}
	return !now.Before(l.p.paused) && (open || len(l.p.asks) < limit)
}

func (c *Core) anyFree(now time.Time, sp *space) bool {
	return slices.ContainsFunc(sp.links, func(l *link) bool { return c.free(now, l, true, false) })
}

func (c *Core) sendAsk(now time.Time, l *link, b *batch) {
	p := l.p
	p.lastAsk++
	a := &ask{id: p.lastAsk, p: p, sp: l.sp, wants: b.wants, deadline: now.Add(c.opt.AskTimeout)}
	p.asks = append(p.asks, a)
	l.sp.asks++
	if b.graft { // it announced, so it holds us for lazy, whatever we hold it for
		l.lazy = false
		c.send(p, &wire.Graft{Space: l.sp.id[:]})
	}
	b.f.Space, b.f.Ask = l.sp.id[:], a.id
	c.send(p, &b.f)
}

// records takes an answer, or a part of one.
func (c *Core) records(now time.Time, l *link, f *wire.Records) {
	if f.Ask == 0 || f.Ask > l.p.lastAsk {
		c.incident(l.p, "records that were not asked for")
		return
	}
	i := slices.IndexFunc(l.p.asks, func(a *ask) bool { return a.id == f.Ask })
	if i < 0 || l.p.asks[i].ended || l.p.asks[i].sp != l.sp {
		// Too late: somebody else was asked. Still they may be news, with no more right to be taken in than a push.
		if news := c.unseen(l.p, f.Envelopes, time.Time{}); len(news) > 0 {
			c.deliver(l, news, false)
		}
		return
	}
	a := l.p.asks[i]
	var bring [][]byte
	for _, env := range f.Envelopes {
		a.total, a.size = a.total+1, a.size+len(env)
		e, _ := c.seen.get(env)
		e.mark(l.p)
		if e.done {
			continue
		}
		if e.ask != a {
			if e.ask != nil {
				e.ask.left-- // that answer waits for it no longer
			}
			e.ask = a
			a.left++
			a.got++
		}
		bring = append(bring, env)
	}
	if a.total > askRecords+wire.MaxRecords || a.size > askBytes+wire.MaxFrame {
		c.incident(l.p, "more records than one answer may have")
		c.settle(now, a, true)
		c.fill(now)
		return
	}
	if len(bring) > 0 {
		c.deliver(l, bring, true)
	}
	a.deadline = now.Add(c.opt.AskTimeout)
	if !f.More {
		a.ended = true
		a.deadline, a.last = now.Add(c.opt.SettleAfter), now.Add(settleMost*c.opt.SettleAfter)
		if a.left <= 0 {
			c.settle(now, a, false)
			c.fill(now)
		}
	}
}

// expired reports whether an ask has waited long enough. While fetched records are being committed in the space, those of an ended ask may
// just be further back in ingest's queue.
func (c *Core) expired(now time.Time, a *ask) bool {
	if now.Before(a.deadline) {
		return false
	}
	return !a.ended || !now.Before(a.last) || !now.Before(a.sp.progress.Add(c.opt.SettleAfter))
}

// settle ends an ask: what is still wanted is asked for again, at once where there was progress, elsewhere where there was none.
func (c *Core) settle(now time.Time, a *ask, failed bool) {
	a.p.asks = slices.DeleteFunc(a.p.asks, func(x *ask) bool { return x == a })
	a.sp.asks--
	if failed {
		a.p.silent++
	} else {
		a.p.silent = 0
	}
	full := a.total >= askRecords || a.size >= askBytes-maxEnvelope
	before := uint64(0) // records expected for the wants before this one: answers come in the order of the questions
	if a.got > 0 {
		a.sp.fetched = true
	}
	for _, w := range a.wants {
		cut := full && before >= uint64(a.total)
		before += min(w.expect, askRecords)
		if w.gone {
			continue
		}
		if c.satisfied(a.sp, w) {
			a.sp.wants.remove(w)
			continue
		}
		next := c.item(a.sp, w, a.p.node)
		switch {
		case !failed && next.From > w.asked:
			w.tries = 0
			a.sp.wants.schedule(w, now)
		case !failed && cut && w.tries < maxTries:
			w.tries++
			a.sp.wants.schedule(w, now)
		case failed || a.got == 0 || w.tries >= maxTries:
			c.elsewhere(now, a, w)
		default: // it came and was not committed: ingest holds it, or refused it
			w.tries++
			a.sp.wants.schedule(w, now.Add(backoff(w.tries)))
		}
	}
	a.wants = nil
}

// elsewhere takes w from a peer that does not have it or does not answer.
func (c *Core) elsewhere(now time.Time, a *ask, w *want) {
	w.claims = slices.DeleteFunc(w.claims, func(x claim) bool { return x.node == a.p.node })
	w.tries++
	if len(w.claims) == 0 && !w.urgent {
		a.sp.wants.remove(w)
		return
	}
	rounds := 0
	if len(w.claims) == 0 {
		rounds = w.tries / max(1, len(a.sp.links))
	}
	due := now
	if rounds > 0 {
		due = now.Add(backoff(rounds))
	}
	a.sp.wants.schedule(w, due)
}

func backoff(n int) time.Duration {
	return min(backoffLeast<<min(n-1, 10), backoffMost)
}
