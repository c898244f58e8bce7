package gossip

import (
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// What one node knows to be final all must come to know. What a position is final by are records of other feeds, and these may lie where no head
// shows them: beyond a fork, when who made them has lied in one and told the truth in the other. So heads are compared with how far they are final,
// and who sees that a peer may know less names the records that prove it, for the peer to ask for like others that are announced. Only what is
// final somewhere is fetched so, and each mark brings as few records as are enough: whoever signs branches without end makes nobody
// fetch them.

// prove announces to a peer the records that make final what, by its heads, it may not know to be final. What finds no room comes in the next round.
func (c *Core) prove(now time.Time, l *link, hs []wire.Head) {
	if now.Before(l.proved.Add(reconcileGap)) {
		return
	}
	f := &wire.Have{Space: l.sp.id[:]}
	told := map[api.Position]bool{}
	looked := 0
	for i := range hs {
		h := l.sp.heads.get(api.Hash(hs[i].Feed))
		if h == nil || !h.beyond(&hs[i]) {
			continue
		}
		if looked++; looked > maxProofs {
			break
		}
		for _, p := range c.log.Proof(h.feed) {
			if !told[p] && len(f.At) < wire.MaxWants {
				told[p] = true
				f.At = append(f.At, wire.FromPosition(p))
			}
		}
	}
	if len(f.At) > 0 {
		l.proved = now
		c.send(l.p, f)
	}
}

// beyond reports whether more may be final here than with the peer whose head is w: what it has of the feed is the same, or stands no
// further because of a fork that both know.
func (h *head) beyond(w *wire.Head) bool {
	var forked uint64
	if h.fork != nil {
		forked = h.fork.seq
	}
	if h.final == 0 || w.Fork != forked {
		return false
	}
	same := w.Seq == h.seq && (len(w.ID) == 0 || api.Hash(w.ID) == h.id)
	return same || forked != 0 && w.Seq < h.final
}
