package gossip

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Anti-entropy, frame by frame. Of two nodes whose digests differ the one with the lower sum begins, so that one of them does:
//
//	Digest   both ways   16 bytes over all heads
//	Buckets  begun       256 sums by the first byte of the feed, or of a prefix; left out while a node has few heads
//	Sketch   answer      a print of 5 bytes for each head in the buckets that differ
//	Probe    answer      the prints that have no equal here: tell me those heads
//	Heads    answer      these heads
//	Heads    answer      and the heads that you lack or are behind in
//
// after which each side asks for the records it lacks. Sums of buckets and prints are salted afresh each time: two different heads that look
// equal by chance or by design look different in the next round, and there is a next round as long as the digests differ. No frame but Probe
// leaves anything behind here, so a lost frame costs one round.

// sayDigest compares notes with a peer: now if it was not done just now, else a little later.
func (c *Core) sayDigest(now time.Time, l *link) {
	if next := l.said.Add(reconcileGap); now.Before(next) {
		l.due = next
		return
	}
	var salt []byte
	if l.digests++; l.digests%saltedEvery == 0 {
		salt = c.salt()
	}
	c.tellDigest(now, l, salt)
}

func (c *Core) tellDigest(now time.Time, l *link, salt []byte) {
	l.said = now
	l.due = c.next(now)
	h := &l.sp.heads
	c.send(l.p, &wire.Digest{Space: l.sp.id[:], Salt: salt, Sum: h.digest(salt).bytes(), Count: uint64(h.n)})
}

// next is when to compare notes again: about AntiEntropyEvery from now, with each peer in a phase of its own.
func (c *Core) next(now time.Time) time.Time {
	every := c.opt.AntiEntropyEvery
	return now.Add(every - every/8 + time.Duration(c.random()%uint64(every/4+1)))
}

func (c *Core) salt() []byte { return binary.BigEndian.AppendUint64(nil, c.random()) }

// digest compares a peer's digest with ours.
func (c *Core) digest(now time.Time, l *link, f *wire.Digest) {
	if len(f.Salt) > 0 && now.Before(l.salted.Add(reconcileGap)) {
		return // each costs a pass over the heads
	}
	if len(f.Salt) > 0 {
		l.salted = now
	}
	mine := l.sp.heads.digest(f.Salt).bytes()
	order := bytes.Compare(mine, f.Sum)
	l.different = order != 0
	switch {
	case order == 0:
		l.equalAt = now
		l.due = c.next(now) // the peer has just said what we would
	case c.asking(l):
		// What differs is on its way. Both sides look again when it is here.
		l.soon(now.Add(c.opt.SettleAfter))
	case order < 0:
		c.refine(now, l)
	case now.Before(l.said.Add(reconcileGap)) && len(f.Salt) == 0:
		// The peer has our digest already and begins; should that be lost, we say it again soon.
		l.soon(now.Add(2 * reconcileGap))
	default:
		c.tellDigest(now, l, f.Salt)
	}
}

// asking reports whether the peer is busy answering us in this space.
func (c *Core) asking(l *link) bool {
	return slices.ContainsFunc(l.p.asks, func(a *ask) bool { return a.sp == l.sp })
}

// refine begins a reconciliation.
func (c *Core) refine(now time.Time, l *link) {
	if now.Before(l.refined.Add(reconcileGap)) {
		l.soon(l.refined.Add(reconcileGap))
		return
	}
	l.refined = now
	salt := c.salt()
	if l.sp.heads.n <= maxDirect {
		ps := l.sp.heads.prints(salt, nil)
		c.send(l.p, &wire.Sketch{Space: l.sp.id[:], Salt: salt, Parts: []wire.Part{{Prints: join(ps)}}})
		return
	}
	sums, _ := l.sp.heads.buckets(salt, nil)
	c.sendBuckets(l, salt, nil, &sums)
}

func (c *Core) sendBuckets(l *link, salt, prefix []byte, sums *[256]uint32) {
	f := &wire.Buckets{Space: l.sp.id[:], Salt: salt, Prefix: prefix, Sums: make([][]byte, 256)}
	for i, s := range sums {
		if s != 0 {
			f.Sums[i] = binary.BigEndian.AppendUint32(nil, s)
		}
	}
	c.send(l.p, f)
}

func join(ps []printed) []byte {
	b := make([]byte, 0, len(ps)*wire.PrintSize)
	for i := range ps {
		b = append(b, ps[i].print[:]...)
	}
	return b
}

// buckets answers a peer's buckets with prints of those that differ, or with finer buckets where there are many heads.
func (c *Core) buckets(now time.Time, l *link, f *wire.Buckets) {
	if !l.spend(now, f.Prefix) {
		return
	}
	sums, count := l.sp.heads.buckets(f.Salt, f.Prefix)
	out := &wire.Sketch{Space: l.sp.id[:], Salt: f.Salt}
	total := 0
	flush := func() {
		if len(out.Parts) > 0 {
			c.send(l.p, out)
			out, total = &wire.Sketch{Space: l.sp.id[:], Salt: f.Salt}, 0
		}
	}
	for i := range sums {
		var theirs uint32
		if len(f.Sums[i]) == wire.SumSize {
			theirs = binary.BigEndian.Uint32(f.Sums[i])
		}
		if sums[i] == theirs {
			continue
		}
		prefix := append(slices.Clone(f.Prefix), byte(i))
		if count[i] > maxBucket && len(prefix) <= 2 {
			finer, _ := l.sp.heads.buckets(f.Salt, prefix)
			c.sendBuckets(l, f.Salt, prefix, &finer)
			continue
		}
		// Feeds are hashes: more than a frame of prints under three bytes takes someone who worked on it, and delays his own feeds.
		ps := l.sp.heads.prints(f.Salt, prefix)
		ps = ps[:min(len(ps), wire.MaxPrints)]
		if total+len(ps) > wire.MaxPrints {
			flush()
		}
		out.Parts = append(out.Parts, wire.Part{Prefix: prefix, Prints: join(ps)})
		total += len(ps)
	}
	flush()
}

// sketch finds what differs from a peer's sketch: what it has is probed for, what it lacks is offered.
func (c *Core) sketch(now time.Time, l *link, f *wire.Sketch) {
	if len(f.Parts) == 0 || !l.spend(now, prefixes(f.Parts)...) {
		return
	}
	if now.Sub(l.offered) > reconcileGap {
		l.offer = nil
	}
	l.offered = now
	ask := &wire.Probe{Space: l.sp.id[:], Salt: f.Salt}
	for _, part := range f.Parts {
		ours, theirs := l.sp.heads.prints(f.Salt, part.Prefix), part.Prints
		var unknown []byte
		for len(theirs) > 0 || len(ours) > 0 {
			order := -1
			switch {
			case len(theirs) == 0:
			case len(ours) == 0:
				order = 1
			default:
				order = bytes.Compare(ours[0].print[:], theirs[:wire.PrintSize])
			}
			if order < 0 && len(l.offer) < maxOffer {
				l.offer = append(l.offer, offer{feed: ours[0].feed})
			}
			if order > 0 {
				unknown = append(unknown, theirs[:wire.PrintSize]...)
			}
			if order <= 0 {
				ours = ours[1:]
			}
			if order >= 0 {
				theirs = theirs[wire.PrintSize:]
			}
		}
		if len(unknown) > 0 {
			ask.Parts = append(ask.Parts, wire.Part{Prefix: part.Prefix, Prints: unknown})
		}
	}
	if len(ask.Parts) > 0 {
		c.send(l.p, ask)
		return
	}
	c.tellOffer(l)
}

// tellOffer sends the heads that the peer was found to lack.
func (c *Core) tellOffer(l *link) {
	offers := l.offer
	l.offer = nil
	if len(offers) == 0 {
		return
	}
	hs := make([]wire.Head, 0, len(offers))
	for _, o := range offers {
		if h := l.sp.heads.get(o.feed); h != nil {
			hs = append(hs, h.wire(o.id))
		}
	}
	c.sendHeads(l, hs)
}

// sendHeads sends heads in as many frames as needed, at least one.
func (c *Core) sendHeads(l *link, hs []wire.Head) {
	for {
		n := min(len(hs), wire.MaxHeads)
		c.send(l.p, &wire.Heads{Space: l.sp.id[:], Heads: hs[:n:n], More: n < len(hs)})
		if hs = hs[n:]; len(hs) == 0 {
			return
		}
	}
}

// probe answers with the heads asked for; what moved on in the meantime shows in the next round.
func (c *Core) probe(now time.Time, l *link, f *wire.Probe) {
	if !l.spend(now, prefixes(f.Parts)...) {
		return
	}
	hs := []wire.Head{}
	for _, part := range f.Parts {
		ours := l.sp.heads.prints(f.Salt, part.Prefix)
		for i := 0; i < len(part.Prints) && len(hs) < maxOffer; i += wire.PrintSize {
			want := print(part.Prints[i : i+wire.PrintSize])
			j, _ := slices.BinarySearchFunc(ours, want, func(a printed, w print) int { return bytes.Compare(a.print[:], w[:]) })
			for ; j < len(ours) && ours[j].print == want; j++ {
				hs = append(hs, l.sp.heads.get(ours[j].feed).wire(false))
			}
		}
	}
	c.sendHeads(l, hs)
}

// headsFrom takes heads of a peer: what it is ahead in is wanted, what it is behind in stays on offer.
func (c *Core) headsFrom(now time.Time, l *link, f *wire.Heads) {
	found := make(map[api.Hash]standing, len(f.Heads))
	for i := range f.Heads {
		found[api.Hash(f.Heads[i].Feed)] = c.compare(now, l, &f.Heads[i])
	}
	c.prove(now, l, f.Heads)
	for i := range l.offer {
		l.offer[i].id = l.offer[i].id || found[l.offer[i].feed] == beside
	}
	l.offer = slices.DeleteFunc(l.offer, func(o offer) bool { return found[o.feed] == ahead })
	if !f.More {
		c.tellOffer(l)
	}
	c.fill(now)
}

// offer is a head that a peer seems to lack, with its id if the seq alone would not tell it so.
type offer struct {
	feed api.Hash
	id   bool
}

// standing is how a peer stands to us in one feed.
type standing uint8

const (
	behind standing = iota // or unknown
	beside                 // as far, and not the same or not known to be
	ahead                  // has all that we have
)

// compare wants what the peer's head shows to be missing here.
func (c *Core) compare(now time.Time, l *link, w *wire.Head) standing {
	feed := api.Hash(w.Feed)
	tip := api.Position{Feed: feed, Seq: w.Seq}
	if len(w.ID) > 0 {
		tip.ID = api.Hash(w.ID)
	}
	mine := l.sp.heads.get(feed)
	var seq, forked uint64
	if mine != nil {
		seq = mine.seq
		if mine.fork != nil {
			forked = mine.fork.seq
		}
	}
	switch {
	case w.Seq > seq && forked == 0:
		c.claim(now, l, feed, w.Seq, false)
	case w.Seq == 0 || tip.ID.IsZero() || mine != nil && tip.ID == mine.id:
	case w.Seq < seq && forked == 0 && w.Fork == 0:
		// On our branch or not, the peer finds out when it fetches the rest from us, and then tells its evidence.
	case !c.log.Has(tip):
		from := w.Seq
		if w.Seq > seq {
			from = seq + 1
		} else if forked != 0 {
			from = min(forked, from)
		}
		c.exact(now, l.sp, tip, from, l.p.node)
	}
	if w.Fork != 0 && (forked == 0 || w.Fork < forked) {
		due := now
		if w.Seq > seq {
			due = now.Add(forkDelay) // the records before the fork come first, once
		}
		for _, alt := range w.Alt {
			if p := (api.Position{Feed: feed, Seq: w.Fork, ID: api.Hash(alt)}); !c.log.Has(p) {
				c.exact(due, l.sp, p, min(seq+1, w.Fork), l.p.node)
			}
		}
	}
	proved := forked == 0 || w.Fork != 0 && w.Fork <= forked
	switch {
	case forked != 0 && w.Fork == forked:
		return beside // as far as this shows: each side has to see how far the feed stands on the other
	case mine == nil || proved && (w.Seq > seq || w.Seq == seq && tip.ID == mine.id):
		return ahead
	case w.Seq >= seq:
		return beside
	}
	return behind
}

// spread tells peers that what came in by asking may be news to them, once all of it is here.
func (c *Core) spread(now time.Time, sp *space) {
	if !sp.fetched || sp.asks > 0 || now.Before(sp.spreadAt) || sp.wants.busy(now) {
		return
	}
	sp.fetched = false
	sp.spreadAt = now.Add(reconcileGap)
	for _, l := range sp.links {
		l.soon(now)
	}
}

// spend bounds the passes over the heads that a peer can cause: a burst for reconciling once, however many the heads, then some a second.
func (l *link) spend(now time.Time, parts ...[]byte) bool {
	if gap := now.Sub(l.spentAt); gap > 0 {
		l.spent -= int(min(gap, time.Minute) * spendRate / time.Second)
		l.spent, l.spentAt = max(0, l.spent), now
	}
	cost := 0
	for _, prefix := range parts {
		cost += onePass >> (8 * len(prefix))
	}
	if l.spent+cost > spendBurst {
		return false
	}
	l.spent += cost
	return true
}

func prefixes(parts []wire.Part) [][]byte {
	ps := make([][]byte, len(parts))
	for i := range parts {
		ps[i] = parts[i].Prefix
	}
	return ps
}
