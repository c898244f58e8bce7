package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// What is due by a schedule follows from the records, and what is charged already from the clerk's feed: so a charge that a crash, a restart, a clock set
// back or a second clerk's node has come in between of is neither left out nor made twice.

// maxUnasked is how many periods of a schedule are charged without anybody having asked: a clock that is set years ahead must not charge for years.
const maxUnasked = 3

// desk is where an office writes.
type desk struct {
	office fact.Office
	topic  string
	feed   api.Hash       // of the office's device
	from   api.Hash       // whose rows its next record stands on: feed's own, or those of who held it before
	deps   []api.Position // what that has to cite
	waits  bool           // for the cut of the feed before
	ended  bool           // the device has passed the office on before, and its feed with it: another one is needed
}

// deskOf returns the desk of an office, which writes in a topic; false where the space has no such office.
func deskOf(r api.Reader, s *fact.Space, name, topic string) (d desk, ok bool) {
	o, by, ok := s.Holder(name)
	if !ok {
		return d, false
	}
	d = desk{office: o, topic: topic, feed: s.Feed(topic, o.Device)}
	d.from = d.feed
	n := max(o.Number, 1)
	if b, _, known := r.Own(d.feed, rowBy); known && api.Key(b) == o.Device && fact.Number(first(r.Own(d.feed, rowHolder))) == n {
		return d, true
	}
	d.deps = append(d.deps, s.Founded, by)
	if n == 1 {
		return d, true
	}
	if c, _, _ := s.Cut(d.feed); c.Next != (api.Key{}) {
		d.ended = true
	}
	for k := n - 1; k > 0 && k+maxHolders > n; k-- {
		before, _, _ := s.Handed(name, k)
		old := s.Feed(topic, before.Device)
		c, cut, ok := s.Cut(old)
		if k == n-1 {
			d.from = old
		}
		if !ok || c.Next != o.Device {
			continue
		}
		d.deps = append(d.deps, cut)
		for _, why := range c.Causes {
			d.deps = append(d.deps, why.Position())
		}
		if d.from = old; old != d.feed {
			if base, ok := r.Base(d.feed, cut); ok {
				d.from = base.Feed
			}
		}
		return d, true
	}
	d.waits = true
	return d, true
}

// schedules lists what holds, by name.
func (d *desk) schedules(r api.Reader) []schedule {
	var all []schedule
	for _, v := range r.Rows(d.from, rowsSched) {
		all = append(all, get[schedule](v, true))
	}
	return all
}

func (d *desk) schedule(r api.Reader, name string) (schedule, bool) {
	b, _, ok := r.Own(d.from, rowSched(name))
	return get[schedule](b, ok), ok
}

func (d *desk) reached(r api.Reader, name string) reached {
	return get[reached](first(r.Own(d.from, rowReached(name))))
}

// draft makes a record of the office.
func (d *desk) draft(s *fact.Space, kind string, body any, idempotency string) api.Draft {
	return api.Draft{
		Topic: api.Topic{Space: s.ID, Name: d.topic}, Deps: fact.Deps(d.deps), Kind: kind, Body: codec.MustMarshal(body), Idempotency: idempotency,
	}
}

// period is a period of a schedule.
type period struct {
	number     uint64
	start, end time.Time
}

// due returns when it is charged: dues when it begins, all else, which is a share of what has happened, when it is over.
func (p *period) due(s *schedule) time.Time {
	if s.Charge == chargeDues {
		return p.start
	}
	return p.end
}

// calendar returns when the periods of a schedule begin.
func (s *schedule) calendar() (*calendar, error) { return newCalendar(s.First, 1, s.Every, s.Zone) }

// periods lists those that are due by now and not charged to everybody yet, at most so many, and says when the next one will be.
func (s *schedule) periods(at reached, now time.Time, most int) (open []period, next time.Time, err error) {
	cal, err := s.calendar()
	if err != nil {
		return nil, next, err
	}
	var last time.Time
	if s.Last != "" {
		if last, err = cal.after(s.Last); err != nil {
			return nil, next, err
		}
	}
	n := max(at.Period, 1)
	if at.Done {
		n++
	}
	for ; n <= maxPeriods; n++ {
		p := period{n, cal.begins(int(n)), cal.begins(int(n) + 1)}
		switch due := p.due(s); {
		case !last.IsZero() && p.end.After(last):
			return open, time.Time{}, nil
		case due.After(now) || len(open) == most:
			return open, due, nil
		}
		open = append(open, p)
	}
	return open, time.Time{}, nil
}

// bill is what a schedule charges for a period, as far as it is not charged yet.
func (a *App) bill(ctx context.Context, host api.Host, r api.Reader, s *fact.Space, d *desk, sch *schedule, p *period) ([]levied, error) {
	at := d.reached(r, sch.Name)
	var all []levied
	add := func(account api.DID, base int64) {
		if n := sch.due(base); n != 0 && at.before(p.number, account) {
			all = append(all, levied{Account: account, Base: base, Amount: n})
		}
	}
	roll, ok := api.Lookup[fact.Roll](host.Services())
	if !ok {
		return nil, api.Errorf("ledger.charge", api.Unavailable, "nobody says here who the members are")
	}
	members, err := roll.Roll(s.ID)
	if err != nil {
		return nil, err
	}
	for _, did := range members {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if sch.Charge == chargeDues {
			add(did, 0)
		} else {
			add(did, d.base(r, s, sch, did, p))
		}
	}
	slices.SortFunc(all, func(a, b levied) int { return cmp.Compare(a.Account, b.Account) })
	return all, nil
}

// base is what a charge is a share of: what an account had at the end of the period, or what it was paid or has paid in it, as its history says now. What the
// office itself has posted is not paid. Times are those of the payers.
func (d *desk) base(r api.Reader, s *fact.Space, sch *schedule, did api.DID, p *period) int64 {
	if sch.Charge == chargeDemurrage {
		n := r.Counter(balanceKey(nil, s.ID, sch.Currency, did))
		for _, e := range entriesFrom(r, s.ID, did, p.end) {
			if e.Code == sch.Currency {
				n -= e.Delta
			}
		}
		return n
	}
	offices := map[api.Hash]bool{}
	for _, o := range clerks(s) {
		offices[s.Feed(fact.PostingsTopic, o.Device)] = true
	}
	var n int64
	for pos, e := range entriesFrom(r, s.ID, did, p.start) {
		if !pos.time.Before(p.end) || e.Code != sch.Currency || offices[pos.Feed] && !settles(r, pos.Position, e) {
			continue
		}
		switch in := sch.Charge == chargeLevyIn; {
		case !refunds(r, pos.Position, e, did):
			if e.Delta > 0 == in {
				n = addMax(n, max(e.Delta, -e.Delta))
			}
		case e.Delta < 0 == in: // what was paid in is given back, or what was paid out comes back
			back := max(e.Delta, -e.Delta)
			n = max(n, math.MinInt64+back) - back
		}
	}
	return max(n, -d.most(r, sch, did))
}

// settles reports whether an entry is of a settlement of an escrow: the office has posted it, and it is a payment of the payer's all the same.
func settles(r api.Reader, pos api.Position, e entry) bool {
	pos.ID = e.ID
	rec, _, ok := r.Record(pos)
	return ok && rec.Kind == kindSettle
}

// refunds reports whether an entry of an account gives a payment back: it is no trade, and undoes one.
func refunds(r api.Reader, pos api.Position, e entry, did api.DID) bool {
	pos.ID = e.ID
	rec, _, ok := r.Record(pos)
	if !ok {
		return false
	}
	if s, ok := settledBy(rec); ok {
		return s.Payer == did
	}
	_, what := legsOf(rec)
	return slices.ContainsFunc(what, func(p purpose) bool { return p.What == forRefund })
}

// most returns of how much a levy can be given back to an account: of what it was charged for.
func (d *desk) most(r api.Reader, sch *schedule, did api.DID) int64 {
	b, _, ok := r.Own(d.from, rowNet(sch.Name, did))
	net := get[int64](b, ok)
	if net > math.MaxInt64/maxRate {
		return math.MaxInt64
	}
	return net * maxRate / sch.Rate
}

// placed is where an entry stands, and when.
type placed struct {
	api.Position
	time time.Time
}

// entriesFrom goes through the entries of an account from a time on.
func entriesFrom(r api.Reader, space api.Hash, did api.DID, from time.Time) func(func(placed, entry) bool) {
	return func(yield func(placed, entry) bool) {
		after := api.Seq8(uint64(api.MakeTimestamp(max(0, from.UnixMilli()), 0)))
		for k, v := range r.Index(didKey(nil, indexHistory, space, did), after, false) {
			_, pos, _, ok := splitHistory(k)
			if !ok {
				continue
			}
			t := api.Timestamp(binary.BigEndian.Uint64(k[len(k)-suffixSize:]))
			if !yield(placed{pos, t.Time()}, get[entry](v, true)) {
				return
			}
		}
	}
}

// chargedBy returns what an accepted charge has done to an account: what its history says.
func chargedBy(r api.Reader, rec *api.Record, did api.DID) (entry, bool) {
	for _, v := range r.Index(historyKey(nil, did, rec, 0), nil, false) {
		return get[entry](v, true), true
	}
	return entry{}, false
}
