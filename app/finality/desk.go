package finality

import (
	"cmp"
	"context"
	"maps"
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
// predecessor is locked and its deps are locked or final, and hold what enough of them have locked alike. Two phases, since with one a cut could void what a few had
// seen final (docs/model).
type desk struct {
	space  api.Hash
	epoch  uint64
	open   map[api.Hash][]queued // by feed, the records that are applied and not locked, oldest first
	locked map[api.Hash]item     // own locks, as far as this desk has looked
	held   map[api.Hash]mark     // what this witness holds final, as far as this desk has looked or stated it
	cuts   map[api.Hash]bool     // feeds with a cut that is not final yet
	waits  map[api.Hash]bool     // feeds with a draft that others have to state something for before it is answered
	due    time.Time             // when the first of open that is dated ahead becomes due, zero for never
}

type queued struct {
	item
	deps  []api.Position // have to be locked before
	after []api.Position // and these final
	slot  *replace       // which office it takes, nil for none
	due   time.Time
}

func newDesk(space api.Hash, epoch uint64) *desk {
	return &desk{space: space, epoch: epoch, open: map[api.Hash][]queued{}, locked: map[api.Hash]item{}, held: map[api.Hash]mark{}, cuts: map[api.Hash]bool{}, waits: map[api.Hash]bool{}}
}

// view is one round's look at the space.
type view struct {
	api.Reader
	*fact.Space
	self    api.Signer
	own     api.Hash // the witness's feed
	stand   standing
	now     time.Time
	vows    map[api.Hash][]vow // by feed, this witness's promises that may bind still
	fresh   bool               // nothing stated yet: the first statement cites the genesis
	forked  map[api.Hash]bool  // feeds of witnesses with two branches
	refused bool               // something this witness wrote was
}

// round states what can be stated of the feeds that are noted, and of those that an earlier round had to leave; then it answers drafts of cuts.
func (d *desk) round(ctx context.Context, host api.Host, v *view, feeds []api.Hash) error {
	feeds = slices.Clone(feeds) // it is put in order below, and the registrar has a use for what was noted, as it is
	for feed := range d.cuts {
		settled := true
		for _, c := range v.Cuts(feed) {
			settled = settled && c.Final
		}
		if settled {
			delete(d.cuts, feed)
		}
		if n, _ := v.FinalCuts(feed); settled || n > d.last(v, feed).Cut { // of several who would take an office one does
			feeds = append(feeds, feed)
		}
	}
	slices.SortFunc(feeds, api.Hash.Compare)
	feeds = slices.Compact(feeds)
	var st statement
	if v.alone() {
		for _, feed := range feeds {
			if it, ok := v.newest(feed); ok && d.mayHold(v, &it) && v.continues(&it) {
				st.Final = append(st.Final, it)
			}
		}
	} else {
		st.Locks = d.lock(v, feeds)
		st.Final = d.hold(v, feeds)
	}
	held := st.Final
	if err := v.say(ctx, host, &st); err != nil {
		return err
	}
	if !v.refused {
		for _, it := range held {
			d.held[it.Feed] = mark{Seq: it.Seq, ID: it.ID, Accepted: it.Accepted, Cut: it.Cut}
		}
	}
	return d.answer(ctx, host, feeds)
}

func newView(host api.Host, r api.Reader, s *fact.Space) *view {
	v := &view{Reader: r, Space: s, self: host.Self(), now: host.Now()}
	v.own = s.Feed(fact.FinalityTopic, v.self.Device())
	b, _, known := r.Own(v.own, rowWitness)
	v.stand, v.fresh = get[standing](b, known), !known
	v.vows = map[api.Hash][]vow{}
	for k, b := range r.Rows(v.own, rowsVow) {
		if feed, epoch, ok := splitEpoch(rowsVow, k); ok && epoch == v.stand.Epoch {
			v.vows[feed] = get[[]vow](b, true)
		}
	}
	if s.Past() > 0 {
		v.forked = map[api.Hash]bool{}
		for _, h := range host.Heads(api.Topic{Space: s.ID, Name: fact.FinalityTopic}) {
			v.forked[h.Tip.Feed] = h.Fork != 0
		}
	}
	return v
}

// alone reports whether the space has this one witness: its word is enough, and it need not lock.
func (v *view) alone() bool { return len(v.Finality()) == 1 && v.Need() == 1 }

// certified returns the newest position of feed that enough of the witnesses of an epoch have locked alike, with so many cuts in account, and the
// furthest that one of them has locked on its branch. A fork does not hide what is certified; a cut does.
func (v *view) certified(epoch uint64, witnesses []api.Hash, feed api.Hash, cuts uint64) (best fact.Final, top api.Position, ok bool) {
	var said []fact.Final
	for _, w := range witnesses {
		f, ok := v.Locked(w, epoch, feed)
		p := f.Position(feed)
		if ok && f.Cut == cuts && (v.Has(p) || cuts == 0 && v.Before(p, p)) {
			said = append(said, f)
		}
	}
	for _, f := range said {
		// Those who went beyond f may have gone different ways: only f itself is what they all say.
		on := slices.DeleteFunc(slices.Clone(said), func(o fact.Final) bool {
			return o.Support() != f.Support() || !v.Before(f.Position(feed), o.Position(feed))
		})
		if f.Need > 0 && len(on) >= int(f.Need) && f.Seq > best.Seq {
			best, ok = f, true
			top = slices.MaxFunc(on, func(a, b fact.Final) int { return cmp.Compare(a.Seq, b.Seq) }).Position(feed)
		}
	}
	return best, top, ok
}

// heads are where some witnesses' feeds stand, but the own one.
func (v *view) heads(feeds []api.Hash) (ps []api.Position) {
	for _, w := range feeds {
		if p, ok := v.Head(w); ok && w != v.own {
			ps = append(ps, p)
		}
	}
	return ps
}

// mayHold reports whether a statement that holds it goes beyond what was stated and breaks no promise.
func (d *desk) mayHold(v *view, it *item) bool {
	if _, bound := forbids(v.vows[it.Feed], it); bound {
		return false
	}
	last, ok := d.held[it.Feed]
	if !ok {
		last = get[mark](v.mark(rowFinal(it.Feed, d.epoch)))
		d.held[it.Feed] = last
	}
	return it.ahead(last)
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
	if !ok || vd.Held || vd.Unfolded() || rec.Topic.Name == fact.FinalityTopic || rec.Topic.Space != v.ID || !v.mayReplace(slotOf(rec)) || v.passedOver(rec) {
		return item{}, false
	}
	cuts, _ := v.FinalCuts(feed)
	return item{Feed: feed, Seq: head.Seq, ID: head.ID, Accepted: vd.Accepted, Cut: cuts}, true
}

// lock returns how far the feeds can be locked: predecessors and deps first, and nothing before it is due.
func (d *desk) lock(v *view, feeds []api.Hash) []item {
	moved := map[api.Hash]bool{}
	for _, feed := range feeds {
		begun := d.begin(v, feed)
		moved[feed] = d.recut(v, feed) || begun
		d.fill(v, feed)
	}
	open := slices.SortedFunc(maps.Keys(d.open), api.Hash.Compare)
	for again := true; again; {
		again = false
		for _, feed := range open {
			for q := d.open[feed]; len(q) > 0 && d.lockable(v, &q[0]); q = d.open[feed] {
				d.locked[feed], d.open[feed] = q[0].item, q[1:]
				moved[feed], again = true, true
			}
		}
	}
	var locks []item
	for feed, is := range moved {
		if is {
			locks = append(locks, d.locked[feed])
		}
	}
	for _, feed := range open {
		if len(d.open[feed]) == 0 {
			delete(d.open, feed)
		}
	}
	d.due = d.nextDue(v.now)
	return locks
}

// recut begins a feed anew where its newest final cut has left it: what was locked beyond is void, or on a branch that was not chosen. It reports
// whether that is to be said.
func (d *desk) recut(v *view, feed api.Hash) bool {
	n, c := v.FinalCuts(feed)
	if n <= d.last(v, feed).Cut {
		return false
	}
	it := item{Feed: feed, Seq: c.At.Seq, ID: c.At.ID, Cut: n}
	if c.At.Seq > 0 {
		_, vd, ok := v.Record(c.At)
		if vd.Unfolded() {
			return false
		}
		it.Accepted = ok && vd.Accepted
	}
	d.locked[feed] = it
	delete(d.open, feed)
	return c.At.Seq > 0
}

// fill reads what a feed has beyond what is locked or queued.
func (d *desk) fill(v *view, feed api.Hash) {
	head, ok := v.Head(feed)
	if !ok {
		return
	}
	last := d.last(v, feed)
	if q := d.open[feed]; len(q) > 0 {
		last = q[len(q)-1].item
	}
	var newer []queued
	for at := head; at.Seq > last.Seq; {
		rec, vd, ok := v.Record(at)
		if !ok || vd.Held || rec.Topic.Name == fact.FinalityTopic || rec.Topic.Space != v.ID || len(newer) > maxWalk {
			return
		}
		if vd.Unfolded() { // so is all that follows: an upgrade will say what it is
			newer, at = nil, api.Position{Feed: feed, Seq: at.Seq - 1, ID: rec.Prev}
			continue
		}
		q := queued{item: item{Feed: feed, Seq: at.Seq, ID: at.ID, Accepted: vd.Accepted, Cut: last.Cut}}
		if vd.Reason == nil || vd.Reason.Rule != "cut" { // what is cut off waits for nothing
			q.due = rec.Time.Time().Add(-lockAhead)
			q.after = v.passing(rec)
			if rec.Topic.Name != fact.CutTopic && rec.Topic.Name != fact.OfficeTopic { // a cut decides about the feed that it cites: it cannot wait for it
				q.deps = rec.Deps
			}
			q.slot = slotOf(rec)
		}
		newer = append(newer, q)
		at = api.Position{Feed: feed, Seq: at.Seq - 1, ID: rec.Prev}
		if at.Seq == last.Seq && last.Seq > 0 && at.ID != last.ID {
			return // another branch than the one that is locked: a cut will say
		}
	}
	if len(newer) == 0 {
		return
	}
	slices.Reverse(newer)
	d.open[feed] = append(d.open[feed], newer...)
}

// last is what this witness has locked of a feed.
func (d *desk) last(v *view, feed api.Hash) item {
	it, ok := d.locked[feed]
	if !ok {
		if f, ok := v.Locked(v.own, d.epoch, feed); ok {
			it = item{Feed: feed, Seq: f.Seq, ID: f.ID, Accepted: f.Accepted, Cut: f.Cut}
		}
		d.locked[feed] = it
	}
	if it == (item{}) {
		it, _ = v.inherited(feed)
	}
	return it
}

func (d *desk) lockable(v *view, q *queued) bool {
	if v.now.Before(q.due) || !v.mayReplace(q.slot) {
		return false
	}
	for _, dep := range q.after {
		if n, _ := v.FinalCuts(dep.Feed); !v.settled(dep) && (n == 0 || v.Has(dep)) {
			return false
		}
	}
	for _, dep := range q.deps {
		if v.States(dep.Feed) {
			continue
		}
		if last := d.last(v, dep.Feed); last.Seq >= dep.Seq && v.Before(dep, last.position()) {
			continue
		}
		if v.settled(dep) { // though this witness has locked the other branch of a feed that went two ways
			continue
		}
		if n, _ := v.FinalCuts(dep.Feed); n == 0 || v.Has(dep) { // what a final cut has left behind waits for nothing
			return false
		}
	}
	return v.continues(&q.item)
}

// hold returns what enough witnesses have locked as this node has it, and is not held yet.
func (d *desk) hold(v *view, feeds []api.Hash) []item {
	var items []item
	for _, feed := range feeds {
		cuts, _ := v.FinalCuts(feed)
		f, _, ok := v.certified(d.epoch, v.Finality(), feed, cuts)
		it := item{Feed: feed, Seq: f.Seq, ID: f.ID, Accepted: f.Accepted, Cut: f.Cut}
		if !ok || !d.mayHold(v, &it) {
			continue
		}
		if _, vd, ok := v.Record(it.position()); ok && vd.Accepted == it.Accepted && !vd.Unfolded() {
			items = append(items, it)
		}
	}
	return items
}

// say writes statements, as many as the items need.
func (v *view) say(ctx context.Context, host api.Host, st *statement) error {
	for _, items := range [...][]item{st.Final, st.Locks} {
		slices.SortFunc(items, func(a, b item) int { return a.Feed.Compare(b.Feed) })
	}
	for len(st.Final)+len(st.Locks) > 0 {
		n := min(len(st.Final), maxItems)
		m := min(len(st.Locks), maxItems-n)
		part := statement{Final: st.Final[:n], Locks: st.Locks[:m]}
		st.Final, st.Locks = st.Final[n:], st.Locks[m:]
		if err := v.write(ctx, host, kindStatement, codec.MustMarshal(&part)); err != nil {
			return err
		}
	}
	return nil
}

// write appends to the witness's feed. The first record cites the genesis.
func (v *view) write(ctx context.Context, host api.Host, kind string, body []byte, deps ...api.Position) error {
	if v.fresh {
		deps = append(deps, v.Founded)
		v.fresh = false
	}
	d := api.Draft{Topic: api.Topic{Space: v.ID, Name: fact.FinalityTopic}, Deps: fact.Deps(deps), Kind: kind, Body: body}
	_, err := host.Append(ctx, v.self, d, api.WaitLocal)
	if api.KindOf(err) == api.Refused {
		// This feed is forked, or another program holds the key: no statement of ours counts until people have looked at it.
		v.refused = true
		host.Log().Error("the witness's record is refused", "kind", kind, "space", v.ID.Short(), "err", err)
		return nil
	}
	return err
}
