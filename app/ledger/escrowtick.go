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

// settleSpaces lets the clerk's node settle the escrows that are decided.
func (a *App) settleSpaces(ctx context.Context, host api.Host, now time.Time) error {
	for _, id := range host.Follows() {
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
		ids = inEscrow(r, s)
	}
	n := 0
	for _, id := range ids {
		e, ok := readEscrow(r, s, now, id)
		if !ok || e.State == escrowSettled {
			a.spoken.drop(space, id)
			continue
		}
		draft, ok := d.settle(r, s, &e, now)
		if !ok {
			continue
		}
		switch _, err := host.Append(ctx, self, draft, api.WaitLocal); {
		case api.KindOf(err) == api.Refused: // the witnesses' word may not be here in whole: later
			host.Log().Debug("an escrow is not settled yet", "space", space.Short(), "escrow", id.Short(), "err", err)
		case err != nil:
			return err
		case draft.Kind == kindSettle:
			host.Log().Info("an escrow is settled", "space", space.Short(), "escrow", id.Short())
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

// settle makes the clerk's next record about an escrow: the settlement, or that its date has come; false while there is nothing to say.
func (d *desk) settle(r api.Reader, s *fact.Space, e *Escrow, now time.Time) (draft api.Draft, ok bool) {
	if e.State == escrowOpen {
		return draft, false
	}
	id := e.ID
	var c claims
	deps := append(d.deps[:len(d.deps):len(d.deps)], s.Views()...)
	for _, did := range [...]api.DID{e.Payer, e.Payee, e.Arbiter} {
		feed, ok := voice(r, s, did)
		if !ok {
			continue
		}
		sh, ok := certain(r, s, feed)
		if !ok {
			continue
		}
		deps = append(deps, sh.cite...)
		sure := func(key []byte) ([]byte, bool) {
			b, by, ok := r.Own(feed, key)
			return b, ok && (by.Feed != feed || by.Seq <= sh.at.Seq)
		}
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

// spoken is the escrows about which something was said that may decide them, in the memory of the clerk's node: it looks at them when something has become
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
		if id := saidAbout(c.Record); c.Active && !id.IsZero() {
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

// saidAbout returns the escrow that a record says something about which may decide it.
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
