package finality

import (
	"context"
	"slices"

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
		if f, cites, ok := v.shown(e.Number, feeds, feed, dr.Number-1); ok && f.Seq > p.At.Seq {
			p.At = fact.Place{Seq: f.Seq, ID: f.ID}
			deps = append(cites, at)
		}
	}
	return p, deps
}

// shown is certified as a promise can show it, and what it cites for that. A record cites one branch of the feed: locks on others do not count for what
// they have in common, but what those witnesses have held does, and what they had locked before. Of a witness whose own feed is forked what it has said on
// any branch that is here counts: another branch than the one in force may be all that shows what this witness has held.
func (v *view) shown(epoch uint64, witnesses []api.Hash, feed api.Hash, cuts uint64) (best fact.Final, cites []api.Position, ok bool) {
	var said [][2]fact.Final                  // by witness: locked, held
	before := make([][]cited, len(witnesses)) // locks before the newest, once they are wanted
	branches := make([][]cited, len(witnesses))
	var newest fact.Final // of anybody: what those on a branch without a lock are measured by
	for _, w := range witnesses {
		lock, _ := v.Locked(w, epoch, feed)
		held, _ := v.Stated(w, epoch, feed)
		said = append(said, [2]fact.Final{lock, held})
		if lock.Seq > newest.Seq {
			newest = lock
		}
	}
	for i, w := range witnesses {
		if w == v.own || newest.Seq == 0 {
			continue
		}
		for _, tip := range v.Branches(w) {
			branches[i] = append(branches[i], v.earlier(w, tip, newest, feed)...)
		}
	}
	for _, by := range said {
		for _, tip := range by {
			end := tip.Position(feed)
			if tip.Cut != cuts || !v.Before(end, end) || cuts > 0 && !v.Has(end) {
				continue
			}
			shows := func(f fact.Final) bool { return f.Cut == cuts && v.Before(f.Position(feed), end) }
			var on []fact.Final
			cite := []api.Position{end}
			for i, w := range witnesses {
				lock := said[i][0]
				f, spoke := voice(shows, lock, said[i][1])
				at, _ := v.Head(w)
				if !spoke && w != v.own && lock.Seq > 1 && !v.Before(end, lock.Position(feed)) { // it went another way
					if before[i] == nil {
						before[i] = v.earlier(w, at, lock, feed)
					}
					if n := slices.IndexFunc(before[i], func(c cited) bool { return shows(c.Final) }); n >= 0 {
						f, at, spoke = before[i][n].Final, before[i][n].by, true
					}
				}
				for _, c := range branches[i] {
					if shows(c.Final) && (!spoke || c.Seq > f.Seq) {
						f, at, spoke = c.Final, c.by, true
					}
				}
				if !spoke {
					continue
				}
				on = append(on, f)
				if w != v.own {
					cite = append(cite, at)
				}
			}
			if f, enough := fact.Supported(on); enough && f.Seq > best.Seq {
				best, cites, ok = f, cite, true
			}
		}
	}
	return best, cites, ok
}

// cited is what a witness has locked, and the statement to cite for it.
type cited struct {
	fact.Final
	by api.Position
}

// earlier lists what a witness has locked of a feed in the epoch of its newest lock, up to a place of its own feed, newest first; never nil.
func (v *view) earlier(w api.Hash, at api.Position, newest fact.Final, feed api.Hash) []cited {
	locks, ok := []cited{}, !at.IsZero()
	st, _ := v.Standing(w)
	epoch := st.Epoch
	for range maxWalk {
		rec, vd, known := v.Record(at)
		if !ok || !known || epoch < newest.Epoch {
			break
		}
		switch {
		case !vd.Accepted:
		case rec.Kind == kindSeal:
			var t turn
			if read(rec.Body, &t) == nil {
				epoch = t.Number - 1
			}
		case rec.Kind == kindStatement && epoch == newest.Epoch:
			s, err := decode(rec.Body)
			if err != nil {
				break
			}
			for _, it := range s.Locks {
				if it.Feed == feed {
					f := fact.Final{Seq: it.Seq, ID: it.ID, Accepted: it.Accepted, Cut: it.Cut, Epoch: epoch, Need: newest.Need}
					locks = append(locks, cited{f, at})
				}
			}
		}
		at, ok = api.Position{Feed: w, Seq: rec.Seq - 1, ID: rec.Prev}, rec.Seq > 1
	}
	return locks
}
