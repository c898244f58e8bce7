package ledger

import (
	"context"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// What a grant takes away would bind only who chooses to cite it. So the registrar's node has the account's feed cut, with the grant as the cause:
// whoever goes on cites both.

// What comes of a grant that lessens.
const (
	cutUnderWay    = "under-way"
	cutByRegistrar = "by-registrar"
	cutWaits       = "waits"
)

// bind announces the cut that is owed for an account, if one is. An earlier cut under way has to be made first: it names other causes, so that who
// cites it may go on without knowing of this one.
func (a *App) bind(ctx context.Context, host api.Host, signer api.Signer, space api.Hash, did api.DID) (string, error) {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return "", nil
	}
	if !s.Holds(signer, fact.Registrar) {
		a.owed.Note(space, did, false)
		return cutByRegistrar, nil
	}
	owed := owedBy(r, s, did)
	a.owed.Note(space, did, len(owed) > 0)
	cutter, ok := api.Lookup[fact.Cutter](host.Services())
	if !ok {
		return cutWaits, nil
	}
	what := cutUnderWay // also when somebody was faster
	for _, q := range owed {
		switch _, _, _, err := cutter.Cut(ctx, signer, space, q, api.WaitLocal); api.KindOf(err) {
		case api.Conflict, api.Unavailable:
			what = cutWaits
		default:
			if err != nil {
				return "", err
			}
		}
	}
	return what, nil
}

// owedBy lists the cuts that are asked for by the newest grant to lessen what an account may do, and by the handover of a clerk's office that the
// account's owner held, unless they were made for the sake of these.
func owedBy(r api.Reader, s *fact.Space, did api.DID) (owed []fact.CutRequest) {
	all := clerks(s)
	for i, o := range all {
		if i == 0 || o.DID != did {
			continue
		}
		_, why, ok := s.Handed(fact.Clerk, all[i-1].Number)
		c, _, cut := s.Cut(s.Feed(fact.LedgerTopic, o.Device))
		if ok && (!cut || !c.Names(why) && c.Next == (api.Key{})) && o.Device != all[0].Device { // a device that has ended is not opened for this
			owed = append(owed, fact.CutRequest{Topic: fact.LedgerTopic, Device: o.Device, Causes: []api.Position{why}})
		}
	}
	owed = append(owed, handedOver(s, did, fact.Clerk, fact.PostingsTopic)...)
	owed = append(owed, handedOver(s, did, fact.Treasury, fact.TreasuryTopic)...)
	m, _, ok := s.Member(did)
	if !ok {
		return owed
	}
	owed = append(owed, spendersOwed(r, s, m, did, all)...)
	c, _, _ := s.Cut(s.Feed(fact.LedgerTopic, m.Device))
	before, _, _ := s.Cut(s.Feed(fact.LedgerTopic, m.Before))
	q := fact.CutRequest{Topic: fact.LedgerTopic, Device: m.Device}
	for _, o := range all {
		_, why, ok := r.Own(s.Feed(fact.LedgerTopic, o.Device), rowLess(did))
		switch {
		case !ok || o.Device == m.Device: // a clerk's own feed knows its grants
		case c.Names(why):
		case before.Next == m.Device && before.Names(why): // who goes on from there has to know it
		default:
			q.Causes = append(q.Causes, why)
		}
	}
	q.Causes = append(q.Causes, ignored(r, s, m.Device, did, func(why api.Position) bool {
		return c.Names(why) || before.Next == m.Device && before.Names(why)
	})...)
	if len(q.Causes) == 0 {
		return owed
	}
	if i := slices.IndexFunc(owed, func(o fact.CutRequest) bool { return o.Device == q.Device && o.Topic == q.Topic }); i >= 0 {
		owed[i].Causes = append(owed[i].Causes, q.Causes...)
		return owed
	}
	return append(owed, q)
}

// feeGrace is how long after a charge an account's feed may go on without counting it. In a space for tests each hour of it is a second.
const feeGrace = 24 * time.Hour

// ignored lists the charges that an account's feed has gone on without counting for so long that it is to be cut for them. Who writes nothing spends nothing,
// and is left alone.
func ignored(r api.Reader, s *fact.Space, device api.Key, did api.DID, known func(api.Position) bool) (causes []api.Position) {
	grace := feeGrace
	if s.Genesis.Test {
		grace /= 3600
	}
	head, ok := r.Head(s.Feed(fact.LedgerTopic, device))
	if !ok {
		return nil
	}
	for feed := range feesOwed(r, s.ID, did) {
		_, why, ok := r.Own(feed, rowCharged(feed, did))
		if !ok || known(why) || slices.Contains(causes, why) {
			continue
		}
		charged, _, here := r.Record(why)
		newest, _, begun := r.Record(head)
		if sh, ok := certain(r, s, feed); here && begun && ok && sh.at.Seq >= why.Seq && newest.Time.Time().Sub(charged.Time.Time()) > grace {
			causes = append(causes, why)
		}
	}
	return causes
}

// handedOver lists the cuts by which the feeds in which did wrote for an office are to go on in those of who came next.
func handedOver(s *fact.Space, did api.DID, office, topic string) (owed []fact.CutRequest) {
	all := holders(s, office)
	for i, o := range all {
		c, _, cut := s.Cut(s.Feed(topic, o.Device))
		if i == 0 || o.DID != did || o.Device == all[0].Device || c.Next != (api.Key{}) {
			continue
		}
		_, why, ok := s.Handed(office, all[i-1].Number)
		q := fact.CutRequest{Topic: topic, Device: o.Device, Causes: []api.Position{why}}
		for _, next := range all[:i] { // the newest who has not passed the office on: a feed goes on once
			if c, _, _ := s.Cut(s.Feed(topic, next.Device)); c.Next == (api.Key{}) {
				q.Next = next.Device
				break
			}
		}
		if ok && (!cut || q.Next != (api.Key{}) || !c.Names(why)) {
			owed = append(owed, q)
		}
	}
	return owed
}

// spendersOwed lists the cuts of the feeds of devices for which the account had set something aside when it did not know of a grant that lessens: what they
// have left is the account's again, to be set aside within what it may do from then on.
func spendersOwed(r api.Reader, s *fact.Space, m fact.Member, did api.DID, all []fact.Office) (owed []fact.CutRequest) {
	from, _, _ := standing(r, s, s.Feed(fact.LedgerTopic, m.Device), m)
	for _, a := range get[[]aside](first(r.Own(from, rowAsides))) {
		if a.open() == 0 || a.Device == m.Device || slices.ContainsFunc(owed, func(q fact.CutRequest) bool { return q.Device == a.Device && q.Topic == fact.LedgerTopic }) {
			continue
		}
		c, _, _ := s.Cut(s.Feed(fact.LedgerTopic, a.Device))
		q := fact.CutRequest{Topic: fact.LedgerTopic, Device: a.Device}
		if c.Next == a.Device {
			q.Next = a.Device // it has ended, and stays so
		}
		for _, o := range all {
			b, why, ok := r.Own(s.Feed(fact.LedgerTopic, o.Device), rowLess(did))
			if of(getSums(b, ok), a.Code) > int64(a.Known) && o.Device != a.Device && !c.Names(why) {
				q.Causes = append(q.Causes, why)
			}
		}
		if len(q.Causes) > 0 {
			owed = append(owed, q)
		}
	}
	return owed
}

// bindOwed announces, on the registrar's node, the cuts that are owed: for whom a grant has just lessened something, and for whom an earlier cut was
// in the way.
func (a *App) bindOwed(ctx context.Context, host api.Host, commits []api.Commit) error {
	spaces := map[api.Hash]bool{}
	authors := map[api.Hash]map[api.DID]bool{}
	for _, c := range commits {
		space := c.Record.Topic.Space
		switch {
		case !c.Active:
		case c.Record.Topic.Name == fact.CutTopic:
			spaces[space] = true
		case c.Record.Topic.Name == fact.SpaceTopic:
			a.noteHolders(host, space) // the office may have been handed over
			spaces[space] = true
		case c.Record.Kind == kindGrant:
			var g grant
			if decode(c.Record.Body, &g) == nil {
				a.owed.Note(space, g.Account, true)
				spaces[space] = true
			}
		case c.Record.Topic.Name == fact.LedgerTopic:
			if authors[space] == nil {
				authors[space] = map[api.DID]bool{}
			}
			authors[space][c.Record.Author] = true
		}
	}
	for space, dids := range authors {
		if a.noteIgnored(host, space, dids) {
			spaces[space] = true
		}
	}
	for space := range spaces {
		for _, did := range a.owed.In(space) {
			switch _, err := a.bind(ctx, host, host.Self(), space, did); {
			case api.KindOf(err) == api.Refused:
				host.Log().Warn("the feed of an account is not cut", "did", did, "err", err)
			case err != nil:
				return err
			}
		}
	}
	return nil
}

// noteHolders notes those for whom a cut may be owed because they held an office.
func (a *App) noteHolders(host api.Host, space api.Hash) {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !s.Holds(host.Self(), fact.Registrar) {
		return
	}
	for _, o := range append(clerks(s), holders(s, fact.Treasury)...) {
		if len(owedBy(r, s, o.DID)) > 0 {
			a.owed.Note(space, o.DID, true)
		}
	}
}

// noteIgnored notes those who go on without counting what they were charged.
func (a *App) noteIgnored(host api.Host, space api.Hash, authors map[api.DID]bool) (any bool) {
	if host.Self() == nil {
		return false
	}
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !s.Holds(host.Self(), fact.Registrar) {
		return false
	}
	for did := range authors {
		if m, _, ok := s.Member(did); ok && len(ignored(r, s, m.Device, did, func(api.Position) bool { return false })) > 0 {
			a.owed.Note(space, did, true)
			any = true
		}
	}
	return any
}

// findOwed notes, when the node starts, for whom cuts are owed.
func (a *App) findOwed(host api.Host) {
	r := host.Read()
	defer r.Close()
	for _, id := range host.Follows() {
		s, ok := fact.Open(r, id)
		if !ok || !s.Holds(host.Self(), fact.Registrar) {
			continue
		}
		for _, o := range append(clerks(s), holders(s, fact.Treasury)...) {
			dids := []api.DID{o.DID}
			for k := range r.Rows(s.Feed(fact.LedgerTopic, o.Device), rowsLess) {
				dids = append(dids, api.DID(k[len(rowsLess):]))
			}
			for k := range r.Rows(s.Feed(fact.PostingsTopic, o.Device), rowsCharge) {
				if at := len(rowsCharge) + 16; len(k) > at {
					dids = append(dids, api.DID(k[at:]))
				}
			}
			for _, did := range dids {
				if len(owedBy(r, s, did)) > 0 {
					a.owed.Note(id, did, true)
				}
			}
		}
	}
}
