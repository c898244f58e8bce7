package keys

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// claimEvery is how often a member's node says again that the delay of its recovery is over, until it is followed: each time witnesses state it,
// and so what time it is.
const claimEvery = 10 * time.Minute

// round does what is due in every space that the node follows: it publishes its own member's log, and as the registrar follows others'.
func (a *App) round(ctx context.Context, host api.Host, now time.Time) error {
	a.working.Lock()
	defer a.working.Unlock()
	for _, space := range host.Follows() {
		if err := a.look(ctx, host, space, now); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) look(ctx context.Context, host api.Host, space api.Hash, now time.Time) error {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil
	}
	d := &desk{host: host, r: r, s: s, office: office(s), log: host.Log().With("space", space.Short())}
	if err := d.publish(ctx, a.mine(host), now); err != nil {
		return err
	}
	holds := s.Holds(host.Self(), fact.Registrar)
	if !a.takeOffice(r, space, holds) {
		return nil
	}
	feeds := a.noted(space)
	for _, feed := range feeds {
		if err := d.stop(ctx, feed); err != nil {
			return err
		}
	}
	for _, feed := range feeds {
		settled, err := d.settle(ctx, feed)
		if err != nil {
			return err
		}
		if settled {
			a.done(space, feed)
		}
	}
	return nil
}

// office returns the feed in which the registrar says what the space follows.
func office(s *fact.Space) api.Hash {
	o, _ := s.Office(fact.Registrar)
	return s.Feed(fact.KeysTopic, o.Device)
}

// desk is one look at a space.
type desk struct {
	host   api.Host
	r      api.Reader
	s      *fact.Space
	office api.Hash // the registrar's feed
	log    logger
}

// logger is what a desk needs of a slog.Logger.
type logger interface {
	Warn(msg string, args ...any)
	Info(msg string, args ...any)
}

// base returns what the space follows of a member, nil for nothing, and the record that says so: the registrar's, or of who held the office before.
func (d *desk) base(did api.DID) (best *record.Log, device api.Key, at api.Position) {
	for _, h := range d.host.Heads(api.Topic{Space: d.s.ID, Name: fact.KeysTopic}) {
		b, by, ok := d.r.Own(h.Tip.Feed, rowBase(did))
		if l, dev := followed(b, ok); further(l, best) {
			best, device, at = l, dev, by
		}
	}
	return best, device, at
}

func (d *desk) started(event api.Hash) (s started, ok bool) {
	b, _, ok := d.r.Own(d.office, rowStart(event))
	return s, ok && codec.Unmarshal(b, &s) == nil
}

func (d *desk) stopped(event api.Hash) bool {
	_, _, ok := d.r.Own(d.office, rowStop(event))
	return ok
}

// write appends a record in the topic. It reports false when it is refused, which the log tells.
func (d *desk) write(ctx context.Context, kind string, body []byte, deps ...api.Position) (bool, error) {
	draft := api.Draft{Topic: api.Topic{Space: d.s.ID, Name: fact.KeysTopic}, Deps: fact.Deps(deps), Kind: kind, Body: body}
	_, err := d.host.Append(ctx, d.host.Self(), draft, api.WaitLocal)
	switch api.KindOf(err) {
	case api.Refused, api.Conflict, api.Invalid, api.TooLarge:
		d.log.Warn("a record about keys is not written", "kind", kind, "err", err)
		return false, nil
	}
	return err == nil, err
}

// rule writes a record of the registrar about did. The first one cites the genesis and what gives the office; each what others in office have followed.
func (d *desk) rule(ctx context.Context, kind string, did api.DID, body []byte, deps ...api.Position) (bool, error) {
	if _, _, known := d.r.Own(d.office, rowRegistrar); !known {
		deps = append(deps, d.s.Founded)
		deps = append(deps, d.s.Entries(fact.SpaceTopic)...)
		if head, ok := d.r.Head(d.s.Registrar()); ok {
			deps = append(deps, head)
		}
	}
	if _, _, at := d.base(did); at.Seq > 0 && at.Feed != d.office {
		deps = append(deps, at)
	}
	return d.write(ctx, kind, body, deps...)
}

// publish shows the space the log of this node's member, unless it follows that already or has been shown it. Once the delay of a recovery is over it
// is shown again.
func (d *desk) publish(ctx context.Context, own *record.Log, now time.Time) error {
	if own == nil {
		return nil
	}
	self := d.host.Self()
	if _, _, member := d.s.Member(self.DID()); !member {
		return nil
	}
	known, _, _ := d.base(self.DID())
	if ws, why := beyond(known, own.Settled()); why == nil {
		return d.show(ctx, own, ws, d.s.Feed(fact.KeysTopic, self.Device()), now)
	}
	return nil
}

// show publishes a log in a feed of this node's device, unless it is shown there.
func (d *desk) show(ctx context.Context, own *record.Log, ws []waiting, feed api.Hash, now time.Time) error {
	b, at, ok := d.r.Own(feed, rowLog)
	if ok && bytes.Equal(b, own.Bytes()) && !d.claim(ws, at, now) {
		return nil
	}
	var body []byte // none in the first record, whose auth is the log
	if _, begun := d.r.Head(feed); begun {
		body = own.Bytes()
	}
	_, err := d.write(ctx, kindLog, body)
	return err
}

// claim reports whether a log that was shown at a position is to be shown again.
func (d *desk) claim(ws []waiting, at api.Position, now time.Time) bool {
	due := int64(0)
	for _, w := range ws {
		s, ok := d.started(w.event)
		if !ok || d.stopped(w.event) {
			return false
		}
		due = max(due, s.Due)
	}
	rec, _, ok := d.r.Record(at)
	return ok && due > 0 && now.UnixMilli() >= due && rec.Time.Millis() < max(due, now.Add(-claimEvery).UnixMilli())
}

// stop confirms the vetoes in a feed.
func (d *desk) stop(ctx context.Context, feed api.Hash) error {
	for k := range d.r.Rows(feed, rowVetoes) {
		event := api.Hash(k[len(rowVetoes):])
		if d.stopped(event) {
			continue
		}
		_, at, ok := d.r.Own(feed, k)
		rec, _, known := d.r.Record(at)
		if !ok || !known {
			continue
		}
		var cite []api.Position
		if feed != d.office {
			cite = append(cite, at)
		}
		if _, err := d.rule(ctx, kindStop, rec.Author, codec.MustMarshal(&ruling{DID: rec.Author, Event: event}), cite...); err != nil {
			return err
		}
	}
	return nil
}

// settle follows the log that a feed has published as far as it may be followed now, and reports whether nothing is left to do.
func (d *desk) settle(ctx context.Context, feed api.Hash) (settled bool, err error) {
	b, at, ok := d.r.Own(feed, rowLog)
	l := publishedLog(b, ok)
	if l == nil || feed == d.office { // the registrar's own device fills the office, and stays; whoever has it next follows the log
		return true, nil
	}
	did := l.DID()
	if _, _, member := d.s.Member(did); !member {
		return true, nil
	}
	known, device, by := d.base(did)
	ws, why := beyond(known, l.Settled())
	if why != nil {
		if why.Rule != "known" {
			d.log.Warn("a key event log is not followed", "did", did, "reason", why.Text)
			return true, nil
		}
		if done, err := d.move(ctx, did, device, by); err != nil || !done { // what a crash has left out
			return done, err
		}
		return d.revoke(ctx, did)
	}
	c, cite, ok := d.certified(feed, at)
	if !ok {
		return false, nil
	}
	deps := append(d.s.Views(), cite)
	for _, w := range ws {
		if d.stopped(w.event) {
			return true, nil
		}
		s, ok := d.started(w.event)
		if !ok {
			written, err := d.rule(ctx, kindStart, did, codec.MustMarshal(&ruling{DID: did, Event: w.event}), deps...)
			return !written, err // the next look goes on
		}
		if c.now() < s.Due {
			return false, nil
		}
	}
	if w, err := d.rule(ctx, kindFollow, did, codec.MustMarshal(&follow{DID: did, Head: l.Settled().Head().ID}), deps...); err != nil || !w {
		return !w, err
	}
	d.log.Info("the space follows a key event log", "did", did, "device", l.Settled().Primary())
	if done, err := d.move(ctx, did, l.Settled().Primary(), api.Position{}); err != nil || !done {
		return done, err
	}
	return d.revoke(ctx, did)
}

// revoke ends the payments of the devices that the log which the space follows has removed, of those for which the member had set something aside.
func (d *desk) revoke(ctx context.Context, did api.DID) (done bool, err error) {
	r := d.host.Read() // what the space follows may be news
	defer r.Close()
	s, ok := fact.Open(r, d.s.ID)
	cutter, has := api.Lookup[fact.Cutter](d.host.Services())
	if !ok || !has {
		return false, nil
	}
	known, _, at := (&desk{host: d.host, r: r, s: s}).base(did)
	if known == nil {
		return true, nil
	}
	done = true
	for _, device := range s.Spenders(did) {
		if c, _, ok := s.Cut(s.Feed(fact.LedgerTopic, device)); ok && c.Next == device || !slices.Contains(known.Removed(), device) {
			continue
		}
		q := fact.CutRequest{Topic: fact.LedgerTopic, Device: device, Next: device, Causes: []api.Position{at}}
		switch _, _, _, err := cutter.Cut(ctx, d.host.Self(), d.s.ID, q, api.WaitLocal); api.KindOf(err) {
		case api.Conflict, api.Unavailable: // another cut is under way
			done = false
		case api.Refused, api.Invalid:
			d.log.Warn("the payments of a removed device are not cut", "did", did, "device", device, "err", err)
		default:
			if err != nil {
				return false, err
			}
		}
	}
	return done, nil
}

// certified is certify for a reader. It is false while the record at a position of feed is not final.
func (d *desk) certified(feed api.Hash, at api.Position) (c certified, cite api.Position, ok bool) {
	f, cite, ok := d.s.Final(feed)
	if !ok || f.Seq < at.Seq {
		return c, cite, false
	}
	c.need = int(f.Need)
	for e, witnesses := range d.s.Epochs() {
		if e.Number != f.Epoch {
			continue
		}
		for _, w := range witnesses {
			g, said := d.s.Stated(w, f.Epoch, feed)
			head, _ := d.r.Head(w)
			rec, _, here := d.r.Record(head)
			if said && here && g.Support() == f.Support() && g.Seq >= f.Seq {
				c.times = append(c.times, rec.Time.Millis())
			}
		}
	}
	return c, cite, c.order()
}

// move gives the member the device that a log names, unless it has it or was given another one by hand after the record that follows the log.
func (d *desk) move(ctx context.Context, did api.DID, device api.Key, by api.Position) (done bool, err error) {
	m, at, ok := d.s.Member(did)
	if !ok || device == (api.Key{}) || m.Device == device {
		return true, nil
	}
	if follow, _, ok := d.r.Record(by); ok {
		if given, _, ok := d.r.Record(at); ok && given.Time > follow.Time {
			return true, nil
		}
	}
	mover, ok := api.Lookup[fact.Mover](d.host.Services())
	if !ok {
		return false, nil
	}
	err = mover.Move(ctx, d.host.Self(), d.s.ID, did, device)
	switch api.KindOf(err) {
	case api.Refused, api.Invalid, api.NotFound:
		d.log.Warn("a member is not moved to the device that its key event log names", "did", did, "device", device, "err", err)
		return true, nil
	}
	return err == nil, err
}
