package keys

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Followed returns the log of a DID that a space follows, nil for none.
func (a *App) Followed(space api.Hash, did api.DID) (l *record.Log) {
	a.see(space, func(d *desk) { l, _, _ = d.base(did) })
	return l
}

// Shown returns the logs of a DID that records of a space show: those it has published, and those that let its devices write. It reads feeds back to their
// beginning, which takes some milliseconds.
func (a *App) Shown(space api.Hash, did api.DID) (ls []*record.Log) {
	a.see(space, func(d *desk) { ls = d.shown(did) })
	return ls
}

// see calls f with a desk that reads, if the space is here.
func (a *App) see(space api.Hash, f func(*desk)) {
	host, r, s, err := a.open("keys", space)
	if err != nil {
		return
	}
	defer r.Close()
	f(&desk{host: host, r: r, s: s, office: office(s), log: host.Log()})
}

// shown lists the logs of a DID that the records of the space show.
func (d *desk) shown(did api.DID) (ls []*record.Log) {
	add := func(l *record.Log) {
		if l != nil && l.DID() == did {
			ls = append(ls, l)
		}
	}
	shortest := map[api.Key]api.Position{} // of each device the feed with the fewest records
	for _, h := range d.host.Heads(api.Topic{Space: d.s.ID}) {
		if h.Author != did {
			continue
		}
		if h.Topic.Name == fact.KeysTopic {
			b, _, ok := d.r.Own(h.Tip.Feed, rowLog)
			add(publishedLog(b, ok))
		}
		if p, ok := shortest[h.Device]; !ok || h.Tip.Seq < p.Seq {
			shortest[h.Device] = h.Tip
		}
	}
	for _, tip := range shortest {
		rec, _, ok := d.r.Record(tip)
		for n := 0; ok && rec.Seq > 1 && n < maxWalk; n++ {
			rec, _, ok = d.r.Lookup(rec.Prev)
		}
		if ok && rec.Seq == 1 {
			if p, err := record.ParseAuth(rec.Auth); err == nil {
				add(p.Log)
			}
		}
	}
	return ls
}
