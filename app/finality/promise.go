package finality

import (
	"context"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// answer promises for each feed of which a cut is announced. It reads anew: what the round has stated counts.
func (d *desk) answer(ctx context.Context, host api.Host, feeds []api.Hash) error {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, d.space)
	if !ok {
		return nil
	}
	v := newView(host, r, s)
	for _, feed := range feeds {
		dr, at, ok := s.Draft(feed)
		if !ok {
			continue
		}
		if vows := v.vows[feed]; len(vows) > 0 && vows[len(vows)-1].Number >= dr.Number {
			continue
		}
		if known, _ := s.FinalCuts(feed); known+1 != dr.Number {
			continue // first the earlier cuts become final here: what is certified depends on them
		}
		p, deps := v.promise(feed, dr, at)
		if held := get[mark](v.mark(rowFinal(feed, v.stand.Epoch))); p.At.Seq < held.Seq || !v.covers(p) {
			d.waits[feed] = true // first others hold it, too, or this epoch certifies what an earlier one may have
			continue
		}
		delete(d.waits, feed)
		if err := v.write(ctx, host, kindPromise, codec.MustMarshal(p), deps...); err != nil {
			return err
		}
	}
	return nil
}

// promise finds the highest position of a feed that can be shown to be certified, and what shows it.
func (v *view) promise(feed api.Hash, dr fact.Draft, at api.Position) (*promise, []api.Position) {
	p := &promise{Feed: feed, Number: dr.Number}
	deps := []api.Position{at}
	if c, _, ok := v.Cut(feed); ok {
		p.At = c.At
	}
	if v.alone() {
		if m := get[mark](v.mark(rowFinal(feed, v.stand.Epoch))); m.Seq > p.At.Seq {
			p.At = fact.Place{Seq: m.Seq, ID: m.ID}
		}
		return p, deps
	}
	for e, feeds := range v.Epochs() { // what an earlier one has certified binds still
		if f, top, ok := v.shown(e.Number, feeds, feed, dr.Number-1); ok && f.Seq > p.At.Seq {
			p.At = fact.Place{Seq: f.Seq, ID: f.ID}
			deps = append(v.heads(feeds), at, top)
		}
	}
	return p, deps
}

// shown is certified as a promise can show it, which cites one branch of the feed: locks on others do not count for what they have in common, but
// what those witnesses have held does.
func (v *view) shown(epoch uint64, witnesses []api.Hash, feed api.Hash, cuts uint64) (best fact.Final, top api.Position, ok bool) {
	var said [][2]fact.Final // by witness: locked, held
	for _, w := range witnesses {
		lock, _ := v.Locked(w, epoch, feed)
		held, _ := v.Stated(w, epoch, feed)
		said = append(said, [2]fact.Final{lock, held})
	}
	for _, by := range said {
		for _, tip := range by {
			end := tip.Position(feed)
			if tip.Cut != cuts || !v.Before(end, end) || cuts > 0 && !v.Has(end) {
				continue
			}
			var on []fact.Final
			for _, o := range said {
				shows := func(f fact.Final) bool { return f.Cut == cuts && v.Before(f.Position(feed), end) }
				if f, ok := voice(shows, o[0], o[1]); ok {
					on = append(on, f)
				}
			}
			if f, enough := fact.Supported(on); enough && f.Seq > best.Seq {
				best, top, ok = f, end, true
			}
		}
	}
	return best, top, ok
}
