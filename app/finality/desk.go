package finality

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// How a witness with others works.
const (
	lockAhead = 30 * time.Second // a record may be dated so far ahead of the witness's clock and be locked
	maxWalk   = 1 << 16          // records of one feed that one round looks at
)

// desk is where this node's member witnesses one space: what it has still to lock. All that binds it stands in its own feed; a desk is made anew
// after a restart.
//
// A lone witness holds what it has applied: one statement makes it final. Several first lock what they have applied, each position once its
// predecessor and its deps are locked, and hold what enough of them have locked alike. Two phases, since with one a cut could void what a few had
// seen final (docs/model).
type desk struct {
	space  api.Hash
	open   map[api.Hash]*queue // feeds with something to lock
	locked map[api.Hash]item   // own locks, as far as this desk has looked
}

// queue is a feed's records that are applied and not locked, oldest first.
type queue struct {
	items []queued
}

type queued struct {
	item
	deps []api.Position
	due  time.Time
}

func newDesk(space api.Hash) *desk {
	return &desk{space: space, open: map[api.Hash]*queue{}, locked: map[api.Hash]item{}}
}

// view is one round's look at the space.
type view struct {
	api.Reader
	*fact.Space
	self  api.Signer
	own   api.Hash // the witness's feed
	now   time.Time
	fresh bool // nothing stated yet: the first statement cites the genesis
}

func compare(a, b api.Hash) int { return bytes.Compare(a[:], b[:]) }

// round states what can be stated of the feeds that are noted, and of those that an earlier round had to leave.
func (d *desk) round(ctx context.Context, host api.Host, r api.Reader, s *fact.Space, feeds []api.Hash) error {
	v := &view{Reader: r, Space: s, self: host.Self(), now: host.Now()}
	v.own = s.Feed(fact.FinalityTopic, v.self.Device())
	_, _, known := r.Own(v.own, rowWitness)
	v.fresh = !known
	var st statement
	if s.Need() == 1 && len(s.Finality()) == 1 {
		for _, feed := range feeds {
			if it, ok := v.newest(feed); ok && it.ahead(get[mark](v.mark(rowFinal(feed)))) {
				st.Final = append(st.Final, it)
			}
		}
	} else {
		st.Locks = d.lock(v, feeds)
		st.Final = d.hold(v, feeds)
	}
	return v.say(ctx, host, &st)
}

func (v *view) mark(row []byte) ([]byte, bool) {
	b, _, ok := v.Own(v.own, row)
	return b, ok
}

// newest is the newest position of feed that has effect.
func (v *view) newest(feed api.Hash) (item, bool) {
	head, ok := v.Head(feed)
	if !ok {
		return item{}, false
	}
	rec, vd, ok := v.Record(head)
	if !ok || vd.Held || rec.Topic.Name == fact.FinalityTopic || rec.Topic.Space != v.ID {
		return item{}, false
	}
	return item{Feed: feed, Seq: head.Seq, ID: head.ID, Accepted: vd.Accepted}, true
}

// lock returns how far the feeds can be locked: predecessors and deps first, and nothing before it is due.
func (d *desk) lock(v *view, feeds []api.Hash) []item {
	for _, feed := range feeds {
		d.fill(v, feed)
	}
	open := slices.SortedFunc(func(yield func(api.Hash) bool) {
		for feed := range d.open {
			if !yield(feed) {
				return
			}
		}
	}, compare)
	moved := map[api.Hash]bool{}
	for again := true; again; {
		again = false
		for _, feed := range open {
			q := d.open[feed]
			n := 0
			for n < len(q.items) && d.lockable(v, &q.items[n]) {
				d.locked[feed] = q.items[n].item
				n++
			}
			if n > 0 {
				q.items = q.items[n:]
				moved[feed], again = true, true
			}
		}
	}
	var locks []item
	for _, feed := range open {
		if moved[feed] {
			locks = append(locks, d.locked[feed])
		}
		if len(d.open[feed].items) == 0 {
			delete(d.open, feed)
		}
	}
	return locks
}

// fill reads what a feed has beyond what is locked or queued.
func (d *desk) fill(v *view, feed api.Hash) {
	head, ok := v.Head(feed)
	if !ok {
		return
	}
	last := d.last(v, feed)
	q := d.open[feed]
	if q != nil && len(q.items) > 0 {
		last = q.items[len(q.items)-1].item
	}
	var newer []queued
	for at := head; at.Seq > last.Seq; {
		rec, vd, ok := v.Record(at)
		if !ok || vd.Held || rec.Topic.Name == fact.FinalityTopic || rec.Topic.Space != v.ID || len(newer) > maxWalk {
			return
		}
		newer = append(newer, queued{
			item: item{Feed: feed, Seq: at.Seq, ID: at.ID, Accepted: vd.Accepted}, deps: rec.Deps, due: rec.Time.Time().Add(-lockAhead),
		})
		at = api.Position{Feed: feed, Seq: at.Seq - 1, ID: rec.Prev}
		if at.Seq == last.Seq && last.Seq > 0 && at.ID != last.ID {
			return // another branch than the one that is locked: a cut will say
		}
	}
	if len(newer) == 0 {
		return
	}
	slices.Reverse(newer)
	if q == nil {
		q = &queue{}
		d.open[feed] = q
	}
	q.items = append(q.items, newer...)
}

// last is what this witness has locked of a feed.
func (d *desk) last(v *view, feed api.Hash) item {
	it, ok := d.locked[feed]
	if !ok {
		if f, ok := v.Locked(v.own, feed); ok {
			it = item{Feed: feed, Seq: f.Seq, ID: f.ID, Accepted: f.Accepted, Cut: f.Cut}
		}
		d.locked[feed] = it
	}
	return it
}

func (d *desk) lockable(v *view, q *queued) bool {
	if v.now.Before(q.due) {
		return false
	}
	for _, dep := range q.deps {
		if !slices.Contains(v.Finality(), dep.Feed) && d.last(v, dep.Feed).Seq < dep.Seq {
			return false
		}
	}
	return true
}

// hold returns what enough witnesses have locked as this node has it, and is not held yet.
func (d *desk) hold(v *view, feeds []api.Hash) []item {
	var items []item
	for _, feed := range feeds {
		var said []fact.Final
		for _, w := range v.Finality() {
			f, ok := v.Locked(w, feed)
			if ok && f.Cut == 0 && v.Has(f.Position(feed)) {
				said = append(said, f)
			}
		}
		f, ok := fact.Supported(said)
		it := item{Feed: feed, Seq: f.Seq, ID: f.ID, Accepted: f.Accepted, Cut: f.Cut}
		if !ok || !it.ahead(get[mark](v.mark(rowFinal(feed)))) {
			continue
		}
		if _, vd, ok := v.Record(it.position()); ok && vd.Accepted == it.Accepted {
			items = append(items, it)
		}
	}
	return items
}

// say writes statements, as many as the items need.
func (v *view) say(ctx context.Context, host api.Host, st *statement) error {
	for _, items := range [...][]item{st.Final, st.Locks} {
		slices.SortFunc(items, func(a, b item) int { return cmp.Or(compare(a.Feed, b.Feed)) })
	}
	for len(st.Final)+len(st.Locks) > 0 {
		n := min(len(st.Final), maxItems)
		m := min(len(st.Locks), maxItems-n)
		part := statement{Final: st.Final[:n], Locks: st.Locks[:m]}
		st.Final, st.Locks = st.Final[n:], st.Locks[m:]
		draft := api.Draft{Topic: api.Topic{Space: v.ID, Name: fact.FinalityTopic}, Kind: kindStatement, Body: codec.MustMarshal(&part)}
		if v.fresh {
			draft.Deps = []api.Position{v.Founded}
			v.fresh = false
		}
		_, err := host.Append(ctx, v.self, draft, api.WaitLocal)
		if api.KindOf(err) == api.Refused {
			// This feed is forked, or another program holds the key: no statement of ours counts until people have looked at it.
			host.Log().Error("the witness's statement is refused", "space", v.ID.Short(), "err", err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
