package finality

import (
	"context"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// succeed does what falls to this node's device where one epoch follows another: to seal its own, to start in the one in force, and to cite the seals
// that have come since. It reports whether it has written something.
func (v *view) succeed(ctx context.Context, host api.Host) (bool, error) {
	sealed, err := v.seal(ctx, host)
	if err != nil || sealed {
		return sealed, err
	}
	return v.start(ctx, host)
}

// speaks reports whether the device is a witness in force that has started and not sealed.
func (v *view) speaks() bool {
	e, _ := v.Epoch()
	return e.Number == v.stand.Epoch && slices.Contains(e.Witnesses, v.self.Device()) && v.sealedFor() <= e.Number
}

// sealedFor is the epoch for which this device has made room, 0 for none.
func (v *view) sealedFor() uint64 { return get[fact.Seal](v.mark(rowSeal)).Number }

// settled reports whether a record that names an epoch is final here: of two rivals one is at most.
func (v *view) settled(at api.Position) bool {
	fin, ok := v.Reader.Final(at.Feed)
	return ok && v.Before(at, fin)
}

// seal ends the device's epoch when those who follow are named for good. It cites the other witnesses' feeds as it has read them: what it has held, it
// held for what they say there, and who starts after it shall have that.
func (v *view) seal(ctx context.Context, host api.Host) (bool, error) {
	next, at, ok := v.Named(v.stand.Epoch + 1)
	if !ok || v.sealedFor() >= next.Number || !v.settled(at) {
		return false, nil
	}
	for e, feeds := range v.Epochs() {
		if e.Number == v.stand.Epoch && slices.Contains(feeds, v.own) {
			return true, v.write(ctx, host, kindSeal, codec.MustMarshal(&turn{Number: next.Number}), append(v.heads(feeds), at)...)
		}
	}
	return false, nil
}

// start makes the device a witness in force, or ends further feeds of those before it. The seal of a feed with two branches is left aside: who sealed
// it has said things elsewhere.
func (v *view) start(ctx context.Context, host api.Host) (bool, error) {
	now, at := v.Epoch()
	if now.Number == 0 || v.stand.Epoch > now.Number || !slices.Contains(now.Witnesses, v.self.Device()) || !v.settled(at) {
		return false, nil
	}
	deps := []api.Position{at}
	seals, need := 0, 0
	fresh := v.stand.Epoch < now.Number
	for e, feeds := range v.Epochs() {
		if e.Number+1 != now.Number {
			continue
		}
		need = int(e.Threshold)
		for _, w := range feeds {
			s, by, ok := v.Seal(w, now.Number)
			if !ok || s.Next.Position() != at || v.doubtful(w) {
				continue
			}
			seals++
			if w == v.own {
				continue
			}
			deps = append(deps, by)
			if _, cited := v.mark(rowSealed(w, now.Number)); !cited {
				fresh = true
			}
		}
	}
	if !fresh || seals < need {
		return false, nil
	}
	v.fresh = false // the record that names it stands in for the genesis
	return true, v.write(ctx, host, kindStart, codec.MustMarshal(&turn{Number: now.Number}), deps...)
}

// doubtful reports whether a witness's feed has two branches, and nothing says yet which one counts.
func (v *view) doubtful(witness api.Hash) bool {
	_, ended := v.Reader.Final(witness)
	return v.forked[witness] && !ended
}

// continues reports whether nothing beside it can have become final in an earlier epoch.
func (v *view) continues(it *item) bool {
	here := it.position()
	return v.past(it.Feed, it.Cut, func(p api.Position) bool { return v.Before(p, here) || v.Before(here, p) })
}

// covers reports whether nothing beyond what is promised can have become final in an earlier epoch.
func (v *view) covers(p *promise) bool {
	at := p.At.Position(p.Feed)
	return v.past(p.Feed, p.Number-1, func(pos api.Position) bool { return v.Before(pos, at) })
}

// past reports whether what earlier epochs may have made final of a feed agrees with fits.
//
// Of those who held such a position one at least was honest and had sealed: its word is in the past of a seal that this node has cited, and so are the
// locks that it had read, of Threshold witnesses. All but Faulty of those are honest and were not taken back, while one who lies may have locked
// something else since, stated more cuts than there are, or forked its feed. So nothing that disagrees was held unless one is seen to hold it and as
// many as are honest at least have locked it; who has signed what is not seen here may have done either.
func (v *view) past(feed api.Hash, cuts uint64, fits func(api.Position) bool) bool {
	for e, feeds := range v.Epochs() {
		if e.Number >= v.stand.Epoch {
			break
		}
		doubtful := 0
		var held, locked []api.Position // what disagrees
		for _, w := range feeds {
			if v.doubtful(w) {
				doubtful++
				continue
			}
			if f, ok := v.Stated(w, e.Number, feed); ok && f.Cut == cuts && !fits(f.Position(feed)) {
				held = append(held, f.Position(feed))
			}
			if f, ok := v.Locked(w, e.Number, feed); ok && f.Cut == cuts && !fits(f.Position(feed)) {
				locked = append(locked, f.Position(feed))
			}
		}
		enough := int(e.Threshold - e.Faulty)
		if doubtful >= enough {
			return false
		}
		if doubtful > 0 {
			held = append(held, locked...)
		}
		for _, p := range held {
			voices := doubtful
			for _, l := range locked {
				if v.together(p, l) {
					voices++
				}
			}
			if voices >= enough {
				return false
			}
		}
	}
	return true
}

// together reports whether two positions of a feed may be on one branch, as far as they are stored here.
func (v *view) together(a, b api.Position) bool {
	if a.Seq == b.Seq {
		return a == b
	}
	return v.Before(a, b) || v.Before(b, a) || !v.Before(a, a) || !v.Before(b, b)
}

// inherited is what is final of a feed when this epoch has said nothing of it yet: there it goes on.
func (v *view) inherited(feed api.Hash) (item, bool) {
	if v.stand.Epoch == 0 {
		return item{}, false
	}
	fin, ok := v.Reader.Final(feed)
	if !ok {
		return item{}, false
	}
	rec, vd, ok := v.Record(fin)
	if !ok || rec.Topic.Name == fact.FinalityTopic || rec.Topic.Space != v.ID {
		return item{}, false
	}
	cuts, _ := v.FinalCuts(feed)
	return item{Feed: feed, Seq: fin.Seq, ID: fin.ID, Accepted: vd.Accepted, Cut: cuts}, true
}

// begin takes over what is final of a feed of which this epoch has said nothing. It reports whether that is to be said.
func (d *desk) begin(v *view, feed api.Hash) bool {
	if _, said := v.Locked(v.own, d.epoch, feed); said || d.locked[feed] != (item{}) {
		return false
	}
	it, ok := v.inherited(feed)
	if ok {
		d.locked[feed] = it
	}
	return ok
}

// everything lists the feeds of a space of which a witness that starts has to speak.
func everything(host api.Host, r api.Reader, s *fact.Space) (feeds []api.Hash) {
	for _, h := range host.Heads(api.Topic{Space: s.ID}) {
		if h.Topic.Name != fact.FinalityTopic {
			feeds = append(feeds, h.Tip.Feed)
		}
	}
	for row := range r.Rows(s.Cutter(), []byte("draft/")) { // of which there may be nothing here
		if len(row) == len(rowDraft(api.Hash{})) {
			feeds = append(feeds, api.Hash(row[len(row)-32:]))
		}
	}
	return feeds
}
