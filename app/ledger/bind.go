package ledger

import (
	"context"

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
	q, owed := owedBy(r, s, did)
	a.owed.Note(space, did, owed)
	if !owed {
		return cutUnderWay, nil // somebody was faster
	}
	cutter, ok := api.Lookup[fact.Cutter](host.Services())
	if !ok {
		return cutWaits, nil
	}
	_, _, _, err := cutter.Cut(ctx, signer, space, q, api.WaitLocal)
	switch api.KindOf(err) {
	case api.Conflict, api.Unavailable:
		return cutWaits, nil
	}
	if err != nil {
		return "", err
	}
	return cutUnderWay, nil
}

// owedBy is the cut that the newest grant to lessen what an account may do asks for, unless one was made for its sake.
func owedBy(r api.Reader, s *fact.Space, did api.DID) (q fact.CutRequest, owed bool) {
	m, _, ok := s.Member(did)
	o, held := s.Office(fact.Clerk)
	if !ok || !held || m.Device == o.Device {
		return q, false // the clerk's own feed knows its grants
	}
	_, why, ok := r.Own(s.Feed(fact.LedgerTopic, o.Device), rowLess(did))
	if !ok {
		return q, false
	}
	if c, _, ok := s.Cut(s.Feed(fact.LedgerTopic, m.Device)); ok && c.Names(why) {
		return q, false
	}
	if c, _, ok := s.Cut(s.Feed(fact.LedgerTopic, m.Before)); ok && c.Next == m.Device && c.Names(why) {
		return q, false // who goes on from there has to know it
	}
	return fact.CutRequest{Topic: fact.LedgerTopic, Device: m.Device, Causes: []api.Position{why}}, true
}

// bindOwed announces, on the registrar's node, the cuts that are owed: for whom a grant has just lessened something, and for whom an earlier cut was
// in the way.
func (a *App) bindOwed(ctx context.Context, host api.Host, commits []api.Commit) error {
	spaces := map[api.Hash]bool{}
	for _, c := range commits {
		space := c.Record.Topic.Space
		switch {
		case !c.Active:
		case c.Record.Topic.Name == fact.CutTopic:
			spaces[space] = true
		case c.Record.Kind == kindGrant:
			var g grant
			if decode(c.Record.Body, &g) == nil {
				a.owed.Note(space, g.Account, true)
				spaces[space] = true
			}
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

// findOwed notes, when the node starts, for whom cuts are owed.
func (a *App) findOwed(host api.Host) {
	r := host.Read()
	defer r.Close()
	for _, id := range host.Follows() {
		s, ok := fact.Open(r, id)
		if !ok || !s.Holds(host.Self(), fact.Registrar) {
			continue
		}
		o, _ := s.Office(fact.Clerk)
		for k := range r.Rows(s.Feed(fact.LedgerTopic, o.Device), rowsLess) {
			did := api.DID(k[len(rowsLess):])
			if _, owed := owedBy(r, s, did); owed {
				a.owed.Note(id, did, true)
			}
		}
	}
}
