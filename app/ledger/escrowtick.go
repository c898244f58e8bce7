package ledger

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// maxSettles bounds how many escrows the clerk's node deals with in a turn.
const maxSettles = 64

// settleSpaces lets the clerk's node settle the escrows that are decided, and lift the freezes that end.
func (a *App) settleSpaces(ctx context.Context, host api.Host, now time.Time) error {
	for _, id := range host.Follows() {
		if err := a.thaw(ctx, host, id, now); err != nil {
			return err
		}
		if err := a.settleIn(ctx, host, id, now, nil); err != nil {
			return err
		}
	}
	return nil
}

// settleIn settles those of some escrows of a space that are decided; with none named, of all.
func (a *App) settleIn(ctx context.Context, host api.Host, space api.Hash, now time.Time, ids []api.Hash) error {
	self := host.Self()
	if self == nil {
		return nil
	}
	a.grants.Lock() // one record of the office at a time
	defer a.grants.Unlock()
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !s.Holds(self, fact.Clerk) {
		for _, id := range ids {
			a.spoken.drop(space, id)
		}
		return nil
	}
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok || d.writable("") != nil {
		return nil
	}
	if ids == nil {
		ids = append(inEscrow(r, s), inDispute(r, s)...)
	}
	n := 0
	for _, id := range ids {
		draft, ok, over := d.next(r, s, id, now)
		if over {
			a.spoken.drop(space, id)
		}
		if !ok {
			continue
		}
		switch _, err := host.Append(ctx, self, draft, api.WaitLocal); {
		case api.KindOf(err) == api.Refused: // the witnesses' word may not be here in whole: later
			host.Log().Debug("an escrow or dispute is not settled yet", "space", space.Short(), "id", id.Short(), "err", err)
		case err != nil:
			return err
		case draft.Kind != kindDue && draft.Kind != kindTally:
			host.Log().Info("an escrow or dispute is settled", "space", space.Short(), "id", id.Short())
		}
		if n++; n == maxSettles {
			return nil
		}
	}
	return nil
}

// inEscrow lists the escrows that are not settled, by id.
func inEscrow(r api.Reader, s *fact.Space) (all []api.Hash) {
	for _, code := range s.Genesis.Currencies {
		prefix := balanceKey(nil, s.ID, code, escrowPrefix)
		for k := range r.Counters(prefix) {
			if id, ok := escrowOf(api.DID(escrowPrefix + string(k[len(prefix):]))); ok {
				all = append(all, id)
			}
		}
	}
	return all
}

// maxDisputes bounds how many disputes the clerk's node looks at in a turn, the newest of a space.
const maxDisputes = 1000

// inDispute lists the newest disputes.
func inDispute(r api.Reader, s *fact.Space) (all []api.Hash) {
	for _, id := range r.Index(didKey(nil, indexDisputes, s.ID, ""), nil, true) {
		if all = append(all, api.Hash(id)); len(all) == maxDisputes {
			break
		}
	}
	return all
}

// next makes the clerk's next record about an escrow or a dispute, if there is one to make; over says that there never will be.
func (d *desk) next(r api.Reader, s *fact.Space, id api.Hash, now time.Time) (draft api.Draft, ok, over bool) {
	dispute := id
	c, disputed := readClaim(r, s, id)
	if disputed {
		id = c.About
	}
	switch e, ok := readEscrow(r, s, now, id); {
	case ok && e.State == escrowSettled, !ok && !disputed:
		return draft, false, true
	case ok:
		draft, ok = d.settle(r, s, &e, now)
		return draft, ok, false
	}
	if draft, ok = d.redress(r, s, &c); !ok {
		draft, ok = d.uphold(r, s, dispute, &c)
	}
	_, _, done := r.Own(d.from, rowRedressed(c.About))
	return draft, ok, done
}

// settle makes the clerk's next record about an escrow: the settlement, or that its date has come; false while there is nothing to say.
func (d *desk) settle(r api.Reader, s *fact.Space, e *Escrow, now time.Time) (draft api.Draft, ok bool) {
	id := e.ID
	var c claims
	a, cites, agreed := accordOf(r, s, id, e.Payer, e.Payee)
	if !agreed && e.State == escrowOpen {
		return draft, false
	}
	deps := append(append(d.deps[:len(d.deps):len(d.deps)], s.Views()...), cites...)
	for _, did := range [...]api.DID{e.Payer, e.Payee, e.Arbiter, mediatorOf(r, s, id, e.Payer)} {
		sure, cites, ok := certainly(r, s, did)
		if !ok {
			continue
		}
		deps = append(deps, cites...)
		switch did {
		case e.Payer:
			b, ok := sure(rowEscrow(id))
			c.deposit, c.found = get[deposit](b, ok), ok
		case e.Payee:
			c.back = int64(fact.Number(sure(rowEscrowBack(id))))
		case e.Arbiter:
			b, ok := sure(rowAward(id))
			c.award, c.awarded = int64(fact.Number(b, ok)), ok
		}
	}
	if !c.found {
		return draft, false
	}
	if agreed {
		c.settleBy(&a)
	}
	cite := func(kind string, body any, more ...api.Position) (api.Draft, bool) {
		on := *d
		on.deps = append(deps, more...)
		return on.draft(s, kind, body, ""), true
	}
	if body, ok := c.settled(id); ok {
		return cite(kindSettle, &body)
	}
	if now.Before(e.Expires) {
		return draft, false
	}
	_, at, said := r.Own(d.feed, rowDue(d.feed, id))
	if !said {
		return cite(kindDue, &escrowDue{Escrow: id})
	}
	roll, ok := certain(r, s, s.Registrar())
	if sh, final := certain(r, s, d.feed); !ok || !final || sh.at.Seq < at.Seq {
		return draft, false
	}
	c.due = true
	body, _ := c.settled(id)
	return cite(kindSettle, &body, roll.cite...)
}

// mediatorOf returns by whose award a side has bound itself in a dispute about something.
func mediatorOf(r api.Reader, s *fact.Space, about api.Hash, did api.DID) api.DID {
	row, _, ok := certainly(r, s, did)
	if !ok {
		return ""
	}
	return get[bound](row(rowBound(about))).Mediator
}

// voice returns the feed in which a member speaks for its account: that of the device that acts for it, or of the one before as long as that has not begun or
// there is none.
func voice(r api.Reader, s *fact.Space, did api.DID) (feed api.Hash, ok bool) {
	m, _, ok := s.Known(did)
	if !ok {
		return feed, false
	}
	if feed = s.Feed(fact.LedgerTopic, m.Device); m.Device != (api.Key{}) {
		if _, begun := r.Head(feed); begun || m.Before == (api.Key{}) {
			return feed, true
		}
	}
	feed = s.Feed(fact.LedgerTopic, m.Before)
	if _, begun := r.Head(feed); !begun {
		if _, by, ok := s.Cut(feed); ok {
			if base, ok := r.Base(feed, by); ok {
				return base.Feed, true
			}
		}
	}
	return feed, true
}

// spoken is the escrows and disputes about which something was said that may decide them, in the memory of the clerk's node: it looks at them when something has become
// final. What is forgotten in a restart is found in the next turn.
type spoken struct {
	mu sync.Mutex
	m  map[api.Hash]map[api.Hash]bool // by space
}

// note takes in what was committed, and lists the spaces in which an escrow may be decided now.
func (s *spoken) note(commits []api.Commit) (spaces []api.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range commits {
		space := c.Record.Topic.Space
		if id := saidAbout(c.Record); c.Active && !id.IsZero() && len(s.m[space]) < maxDisputes {
			if s.m == nil {
				s.m = map[api.Hash]map[api.Hash]bool{}
			}
			if s.m[space] == nil {
				s.m[space] = map[api.Hash]bool{}
			}
			s.m[space][id] = true
		}
		if len(s.m[space]) > 0 && !slices.Contains(spaces, space) {
			spaces = append(spaces, space)
		}
	}
	return spaces
}

// in lists the escrows of a space, in order.
func (s *spoken) in(space api.Hash) []api.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Keys(s.m[space]), api.Hash.Compare)
}

func (s *spoken) drop(space, id api.Hash) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m[space], id)
}

// saidAbout returns the escrow or dispute that a record says something about which may decide it.
func saidAbout(rec *api.Record) api.Hash {
	switch rec.Kind {
	case kindRelease:
		var b release
		if decode(rec.Body, &b) == nil {
			return b.Escrow
		}
	case kindEscrowBack:
		var b escrowBack
		if decode(rec.Body, &b) == nil {
			return b.Escrow
		}
	case kindAward:
		var b award
		if decode(rec.Body, &b) == nil {
			return b.Escrow
		}
	case kindDue:
		var b escrowDue
		if decode(rec.Body, &b) == nil {
			return b.Escrow
		}
	case kindBind, kindAccept, kindJudge, kindUphold:
		return disputeOf(rec)
	case kindTally:
		var b tally
		if decode(rec.Body, &b) == nil {
			return b.Dispute
		}
	}
	return api.Hash{}
}

// settleSpoken lets the clerk's node settle at once what has just been decided.
func (a *App) settleSpoken(ctx context.Context, host api.Host, commits []api.Commit) error {
	for _, space := range a.spoken.note(commits) {
		if err := a.settleIn(ctx, host, space, host.Now(), a.spoken.in(space)); err != nil {
			return err
		}
	}
	return nil
}
