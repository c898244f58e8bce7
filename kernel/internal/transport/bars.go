package transport

import (
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// maxBars bounds bans and cuts each; beyond it the oldest gives way. Node keys are free, so whoever bans every bad node it meets needs a bound.
const maxBars = 1 << 16

// Bars are the bans and cuts of one node: who may not have a session, whoever opens it. The simulated network uses them too.
type Bars struct {
	now  func() time.Time
	mu   sync.Mutex
	bans map[api.DID]bar
	cuts map[api.DID]bar
}

type bar struct {
	reason string
	since  time.Time
	until  time.Time // zero for no end
}

// NewBars returns empty bars that tell the time by now.
func NewBars(now func() time.Time) *Bars {
	return &Bars{now: now, bans: map[api.DID]bar{}, cuts: map[api.DID]bar{}}
}

// put sets a bar and keeps within the bound.
func put(bars map[api.DID]bar, node api.DID, b bar) {
	if _, ok := bars[node]; !ok && len(bars) >= maxBars {
		var oldest api.DID
		first := true
		for d, b := range bars {
			if first || b.since.Before(bars[oldest].since) {
				oldest, first = d, false
			}
		}
		delete(bars, oldest)
	}
	bars[node] = b
}

// Ban bars a node until Unban. The empty DID cannot be banned: "everybody" is for cuts.
func (b *Bars) Ban(node api.DID, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if node != "" {
		put(b.bans, node, bar{reason: reason, since: b.now()})
	}
}

// Unban ends a ban.
func (b *Bars) Unban(node api.DID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.bans, node)
}

// Bans returns the banned nodes with their reasons.
func (b *Bars) Bans() map[api.DID]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[api.DID]string, len(b.bans))
	for d, x := range b.bans {
		out[d] = x.reason
	}
	return out
}

// Cut bars a node, or everybody for the empty DID, until then; the zero time is until Mend.
func (b *Bars) Cut(node api.DID, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	put(b.cuts, node, bar{since: b.now(), until: until})
}

// Mend ends a cut of exactly this DID.
func (b *Bars) Mend(node api.DID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.cuts, node)
}

// Cuts returns the cuts in force and when they end, the zero time for no end.
func (b *Bars) Cuts() map[api.DID]time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[api.DID]time.Time, len(b.cuts))
	for d := range b.cuts {
		if x, ok := b.cut(d); ok {
			out[d] = x.until
		}
	}
	return out
}

// cut returns the cut of exactly this DID, and forgets one that is over.
func (b *Bars) cut(node api.DID) (bar, bool) {
	x, ok := b.cuts[node]
	if ok && !x.until.IsZero() && !b.now().Before(x.until) {
		delete(b.cuts, node)
		return bar{}, false
	}
	return x, ok
}

// Allowed refuses a node that is banned or cut. The empty DID asks about everybody.
func (b *Bars) Allowed(node api.DID) error {
	_, err := b.Until(node)
	return err
}

// Until is Allowed, and says when the refusal ends, the zero time for not by itself.
func (b *Bars) Until(node api.DID) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if x, ok := b.bans[node]; ok {
		return time.Time{}, barred("banned", "node "+string(node)+" is banned: "+x.reason, "its operator can end that with icnctl peer unban")
	}
	for _, who := range []api.DID{"", node} {
		x, ok := b.cut(who)
		switch {
		case ok && x.until.IsZero():
			return x.until, barred("cut-off", "cut off until mended", "its operator can end that with icnctl peer mend")
		case ok:
			return x.until, barred("cut-off", "cut off until "+x.until.UTC().Format(time.RFC3339), "wait; its operator can end it earlier with icnctl peer mend")
		}
	}
	return time.Time{}, nil
}

func barred(rule, text, remedy string) error {
	return api.Refusal("transport.gate", &api.Reason{Domain: "kernel", Rule: rule, Text: text, Remedy: remedy})
}

// endBarred ends the sessions that the bars forbid now.
func (n *Node) endBarred() {
	n.mu.Lock()
	barred := map[*session]error{}
	for s := range n.live {
		if err := n.bars.Allowed(s.node); err != nil {
			barred[s] = err
		}
	}
	n.mu.Unlock()
	for s, err := range barred {
		if n.isUp(s) {
			s.end(byeBarred, err)
		} else {
			s.stream.Reset()
		}
	}
	n.poke()
}

// Ban implements Transport.
func (n *Node) Ban(node api.DID, reason string) {
	n.bars.Ban(node, reason)
	n.endBarred()
}

// Unban implements Transport.
func (n *Node) Unban(node api.DID) {
	n.bars.Unban(node)
	n.retry(node)
}

// Bans implements Transport.
func (n *Node) Bans() map[api.DID]string { return n.bars.Bans() }

// Cut implements Transport.
func (n *Node) Cut(node api.DID, until time.Time) {
	n.bars.Cut(node, until)
	n.endBarred()
}

// Mend implements Transport.
func (n *Node) Mend(node api.DID) {
	n.bars.Mend(node)
	n.retry(node)
}

// Cuts implements Transport.
func (n *Node) Cuts() map[api.DID]time.Time { return n.bars.Cuts() }
