package gossip

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// wantKey names what is wanted: the tip of a feed (zero id) or one branch up to a record.
type wantKey struct{ feed, id api.Hash }

// want is something known to be missing.
//
// A tip is wanted of those peers that claim to have it, each up to what it claimed: a peer that claims too much is asked in vain and
// forgotten, and nobody else is asked for what only it says exists. An exact record is wanted of whoever has it. Ingest's are for ever, until
// they are here or the table is full; others end with their claims.
type want struct {
	key    wantKey
	claims []claim
	from   uint64 // exact: first seq of the range
	at     uint64 // exact: last seq, that of key.id
	base   uint64 // exact: our head when from was given; if it moved since, so does the range
	urgent bool   // ingest waits for it
	graft  bool   // the claimant becomes eager when asked: its push would have been faster
	tries  int    // answers in a row that brought nothing
	due    time.Time
	order  uint64 // of two due at the same time the older goes first
	index  int    // in the queue, or -1 while asked for or gone
	asked  uint64 // first seq asked for
	expect uint64 // records that the answer should bring
	gone   bool
}

// claim says that a peer has the feed up to seq.
type claim struct {
	node api.DID
	seq  uint64
}

// wants is a space's table. What is not in a queue is being asked for.
type wants struct {
	table  map[wantKey]*want
	urgent queue
	normal queue
}

// queue is a heap by due time, then age.
type queue []*want

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(q[i].due.Compare(q[j].due), cmp.Compare(q[i].order, q[j].order)) < 0
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	w := x.(*want)
	w.index = len(*q)
	*q = append(*q, w)
}

func (q *queue) Pop() any {
	old := *q
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	w.index = -1
	return w
}

func (t *wants) queueOf(w *want) *queue {
	if w.urgent {
		return &t.urgent
	}
	return &t.normal
}

// schedule makes w due at a time.
func (t *wants) schedule(w *want, due time.Time) {
	w.due = due
	if w.index >= 0 {
		heap.Fix(t.queueOf(w), w.index)
	} else {
		heap.Push(t.queueOf(w), w)
	}
}

func (t *wants) remove(w *want) {
	if w.index >= 0 {
		heap.Remove(t.queueOf(w), w.index)
	}
	w.gone = true
	delete(t.table, w.key)
}

// busy reports whether anything is due.
func (t *wants) busy(now time.Time) bool {
	return len(t.urgent) > 0 && !now.Before(t.urgent[0].due) || len(t.normal) > 0 && !now.Before(t.normal[0].due)
}

// add makes a want. When the table is full an urgent one takes the place of the oldest, another is left to the next reconciliation.
func (c *Core) add(sp *space, w *want) bool {
	t := &sp.wants
	if len(t.table) >= c.opt.MaxWanted {
		if !w.urgent {
			return false
		}
		q := t.normal
		if len(q) == 0 {
			q = t.urgent
		}
		if len(q) == 0 {
			return false // all are being asked for
		}
		t.remove(slices.MinFunc(q, func(a, b *want) int { return cmp.Compare(a.order, b.order) }))
	}
	c.order++
	w.order, w.index = c.order, -1
	t.table[w.key] = w
	return true
}

// claim notes that a peer says it has a feed up to seq.
func (c *Core) claim(due time.Time, l *link, feed api.Hash, seq uint64, graft bool) {
	t := &l.sp.wants
	w := t.table[wantKey{feed: feed}]
	due = due.Add(time.Duration(min(l.p.silent, 10)) * c.opt.HaveDelay) // who does not answer leaves others time to claim the same
	if w == nil {
		w = &want{key: wantKey{feed: feed}, graft: graft}
		if !c.add(l.sp, w) {
			return
		}
		t.schedule(w, due)
	}
	if i := slices.IndexFunc(w.claims, func(x claim) bool { return x.node == l.p.node }); i >= 0 {
		w.claims[i].seq = max(w.claims[i].seq, seq)
	} else if len(w.claims) < maxClaims {
		w.claims = append(w.claims, claim{l.p.node, seq})
	}
	if !graft {
		w.graft = false
	}
	if w.index >= 0 && w.tries == 0 && due.Before(w.due) {
		t.schedule(w, due)
	}
}

// exact wants the branch that ends in p, from a seq, of a peer that told of it.
func (c *Core) exact(due time.Time, sp *space, p api.Position, from uint64, node api.DID) {
	k := wantKey{p.Feed, p.ID}
	w := sp.wants.table[k]
	if w == nil {
		w = &want{key: k, from: from, at: p.Seq, base: sp.heads.seq(p.Feed)}
		if !c.add(sp, w) {
			return
		}
		sp.wants.schedule(w, due)
	}
	if len(w.claims) < maxClaims && !slices.ContainsFunc(w.claims, func(x claim) bool { return x.node == node }) {
		w.claims = append(w.claims, claim{node, p.Seq})
	}
}

// Missing says that ingest lacks records that others stand on. They are asked for until they are committed, first of the peer that
// brought what needs them, when there is one. Asking again for the same changes the range only.
func (c *Core) Missing(now time.Time, id api.Hash, ws []wire.Want, from api.DID) {
	c.now = now
	sp := c.spaces[id]
	if sp == nil {
		return
	}
	for i := range ws {
		p := ws[i].At.API()
		if p.ID.IsZero() || p.Seq == 0 || c.log.Has(p) {
			continue
		}
		k := wantKey{p.Feed, p.ID}
		w := sp.wants.table[k]
		switch {
		case w == nil && c.hasten(now, sp, p, ws[i].From):
			continue
		case w == nil:
			w = &want{key: k, urgent: true}
			if !c.add(sp, w) {
				continue
			}
			sp.wants.schedule(w, now)
		case !w.urgent:
			sp.wants.promote(w, now)
		}
		w.from, w.at, w.base = min(max(ws[i].From, 1), p.Seq), p.Seq, sp.heads.seq(p.Feed)
		if from != "" && w.tries == 0 && !slices.ContainsFunc(w.claims, func(x claim) bool { return x.node == from }) {
			if len(w.claims) == maxClaims {
				w.claims = w.claims[1:]
			}
			w.claims = append(w.claims, claim{from, p.Seq})
		}
	}
	c.fill(now)
}

// hasten reports whether a record that ingest misses is on its way already as a part of its feed's tip, which then goes first. If it turns out
// not to be, ingest says so again.
func (c *Core) hasten(now time.Time, sp *space, p api.Position, from uint64) bool {
	w := sp.wants.table[wantKey{feed: p.Feed}]
	if w == nil || w.tries > 0 || from != sp.heads.seq(p.Feed)+1 || c.satisfied(sp, w) ||
		!slices.ContainsFunc(w.claims, func(x claim) bool { return x.seq >= p.Seq }) {
		return false
	}
	if !w.urgent {
		sp.wants.promote(w, now)
	}
	return true
}

// promote makes w urgent.
func (t *wants) promote(w *want, now time.Time) {
	queued := w.index >= 0
	if queued {
		heap.Remove(&t.normal, w.index)
	}
	w.urgent = true
	if queued {
		t.schedule(w, now)
	}
}

// landed takes note of a committed record.
func (c *Core) landed(now time.Time, sp *space, p api.Position) {
	if w := sp.wants.table[wantKey{p.Feed, p.ID}]; w != nil {
		sp.wants.remove(w)
	}
	if w := sp.wants.table[wantKey{feed: p.Feed}]; w != nil {
		w.tries = 0
		if c.satisfied(sp, w) {
			sp.wants.remove(w)
		}
	}
}

// satisfied reports whether nothing of w is wanted any more.
func (c *Core) satisfied(sp *space, w *want) bool {
	w.claims = slices.DeleteFunc(w.claims, func(x claim) bool {
		p := c.peers[x.node]
		return p == nil || p.links[sp.id] == nil
	})
	if w.key.id.IsZero() {
		h := sp.heads.get(w.key.feed)
		if h != nil {
			w.claims = slices.DeleteFunc(w.claims, func(x claim) bool {
				// Past a fork there is no tip to catch up with, only records of one branch or the other, wanted exactly.
				return x.seq <= h.seq || h.fork != nil && x.seq >= h.fork.seq
			})
		}
		return len(w.claims) == 0
	}
	return !w.urgent && len(w.claims) == 0 || c.log.Has(api.Position{Feed: w.key.feed, Seq: w.at, ID: w.key.id})
}

// item is the question for w to a peer.
func (c *Core) item(sp *space, w *want, node api.DID) wire.Want {
	seq := sp.heads.seq(w.key.feed)
	if w.key.id.IsZero() {
		x := wire.Want{From: seq + 1, At: wire.Position{Feed: w.key.feed[:]}}
		for _, cl := range w.claims {
			if cl.node == node {
				x.At.Seq = cl.seq
			}
		}
		return x
	}
	from := w.from
	if seq > w.base && seq < w.at {
		from = max(from, seq+1)
	}
	return wire.Want{From: from, At: wire.FromPosition(api.Position{Feed: w.key.feed, Seq: w.at, ID: w.key.id})}
}
