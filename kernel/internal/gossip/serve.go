package gossip

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// job is one Wants being served.
type job struct {
	sp    *space
	ask   uint64
	items []wire.Want
	from  uint64 // where to go on in items[0]
	sent  int
	size  int
}

// enqueue takes a question. How much is served is bounded by askRecords for each, by maxJobs for each peer and by ServeRecords for all at
// once; so no peer gets more than its turn, and a peer that asks more than anyone needs to is not served.
func (c *Core) enqueue(l *link, f *wire.Wants) {
	if len(l.p.jobs) >= maxJobs {
		c.incident(l.p, "more questions at once than a node needs to ask")
		return
	}
	j := &job{sp: l.sp, ask: f.Ask, items: f.Items}
	if len(j.items) > 0 {
		j.from = j.items[0].From
	}
	l.p.jobs = append(l.p.jobs, j)
}

// serve sends about so many records, in turn to the peers that asked, and reports whether more wait.
func (c *Core) serve(budget int) (more bool) {
	for idle := 0; idle < len(c.peerList) && budget > 0; {
		c.turn++
		p := c.peerList[c.turn%len(c.peerList)]
		if len(p.jobs) == 0 {
			idle++
			continue
		}
		idle = 0
		j := p.jobs[0]
		f, cost := c.answer(j)
		budget -= cost
		if !f.More {
			p.jobs = p.jobs[1:]
		}
		c.send(p, f)
	}
	for _, p := range c.peerList {
		more = more || len(p.jobs) > 0
	}
	return more
}

// answer makes the next frame of a job. The cost counts records and look-ups.
func (c *Core) answer(j *job) (f *wire.Records, cost int) {
	f = &wire.Records{Space: j.sp.id[:], Ask: j.ask, Envelopes: [][]byte{}}
	size := 0
	for len(j.items) > 0 && len(f.Envelopes) < wire.MaxRecords && size <= answerBytes-maxEnvelope && j.sent < askRecords && j.size < askBytes {
		at := j.items[0].At.API()
		var envs [][]byte
		var more bool
		if j.sp.servable(at.Feed) {
			// What this node has written and not announced may not be on its disk yet. If a peer had it and a crash took it from us, we would
			// write another record in its place: a fork of our own making.
			if seq, forked := j.sp.heads.at(at.Feed); !forked && at.Seq > seq {
				at = api.Position{Feed: at.Feed, Seq: seq}
			}
			envs, more = c.log.Range(at.Feed, j.from, at, min(wire.MaxRecords-len(f.Envelopes), askRecords-j.sent), answerBytes-size)
		}
		cost += 1 + len(envs)
		for _, e := range envs {
			size, j.size = size+len(e), j.size+len(e)
		}
		j.sent += len(envs)
		f.Envelopes = append(f.Envelopes, envs...)
		if j.from += uint64(len(envs)); more && len(envs) > 0 {
			continue
		}
		if j.items = j.items[1:]; len(j.items) > 0 {
			j.from = j.items[0].From
		}
	}
	f.More = len(j.items) > 0 && j.sent < askRecords && j.size < askBytes
	return f, cost
}

// servable reports whether a feed may be asked for in a space. Feeds of other spaces may not, nor those of one that is not founded here: the
// asker need not have access to them.
func (sp *space) servable(feed api.Hash) bool { return sp.founded && sp.heads.get(feed) != nil }
