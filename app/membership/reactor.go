package membership

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Watch implements api.Reactor: a cut that is made may have been in the way of another.
func (*App) Watch() []string { return []string{fact.CutTopic} }

// React wakes who waits for a commit and, on the registrar's node, admits who joined with a good invitation and has the feeds cut of whom a record
// ends or replaces.
func (a *App) React(ctx context.Context, host api.Host, commits []api.Commit) error {
	a.mu.Lock()
	close(a.changed)
	a.changed = make(chan struct{})
	a.mu.Unlock()
	host.Oracles().Invalidate(Domain)
	spaces := map[api.Hash]bool{}
	for _, c := range commits {
		switch {
		case !c.Active:
			continue
		case c.Record.Topic.Name == fact.CutTopic:
			spaces[c.Record.Topic.Space] = true
		case c.Record.Topic.Name == fact.JoinTopic:
			if err := a.answer(ctx, host, c.Record); err != nil {
				return err
			}
		case host.Self() != nil && c.Record.Device == host.Self().Device():
			if did := concerns(c.Record); did != "" {
				a.owed.Note(c.Record.Topic.Space, did, true)
				spaces[c.Record.Topic.Space] = true
			}
		}
	}
	for space := range spaces {
		if err := a.settle(ctx, host, space); err != nil {
			return err
		}
	}
	return nil
}

// answer admits the author of a join if this node's member is the registrar and the invitation still holds. What it does not admit it logs; who
// joined learns it from the time that passes.
func (a *App) answer(ctx context.Context, host api.Host, rec *api.Record) error {
	a.admit.Lock()
	defer a.admit.Unlock()
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, rec.Topic.Space)
	if !ok || !s.Holds(host.Self(), fact.Registrar) {
		return nil
	}
	m, _, known := s.Known(rec.Author)
	log := host.Log().With("space", s.ID.Short(), "did", rec.Author)
	if known {
		if m.Device == (api.Key{}) {
			log.Warn("a join is not answered: its author was removed; `icnctl member add` admits again")
		}
		return nil
	}
	k, _, ok := r.Own(rec.Feed, rowJoin)
	if !ok || len(k) != len(api.Key{}) {
		return nil
	}
	if reason := invitationHolds(r, s, api.Key(k), host.Now()); reason != nil {
		log.Warn("a join is not answered", "reason", reason.Text)
		return nil
	}
	draft := admission(r, s, rec.Author, rec.Device, rec.Position())
	draft.Idempotency = rec.ID.String()
	_, err := host.Append(ctx, host.Self(), draft, api.WaitLocal)
	switch api.KindOf(err) {
	case api.Refused, api.Conflict, api.Invalid:
		log.Warn("a join is not answered", "err", err)
		return nil
	}
	return err
}

// admission builds the next admission of the space.
func admission(r api.Reader, s *fact.Space, did api.DID, device api.Key, cites ...api.Position) api.Draft {
	number := uint64(len(s.Genesis.Founders))
	if b, _, ok := r.Own(s.Registrar(), rowNumber); ok {
		number = binary.BigEndian.Uint64(b)
	}
	return registrarDraft(r, s, kindAdmit, codec.MustMarshal(&admit{DID: did, Device: device, Number: number + 1}), cites...)
}

// registrarDraft is a draft for the registrar's feed. The first record of a registrar that did not found the space cites the genesis, or where the
// registrar before has handed over.
func registrarDraft(r api.Reader, s *fact.Space, kind string, body []byte, cites ...api.Position) api.Draft {
	cites = append(cites, s.Entries(fact.SpaceTopic)...)
	if _, _, ok := r.Own(s.Registrar(), rowCharter); !ok {
		cites = append(cites, s.Founded)
	}
	return api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.SpaceTopic}, Deps: fact.Deps(cites), Kind: kind, Body: body}
}

// invitationHolds returns why an invitation may not be used any more, nil when it may.
func invitationHolds(r api.Reader, s *fact.Space, key api.Key, now time.Time) *api.Reason {
	no := func(rule, text string) *api.Reason {
		return &api.Reason{Domain: Domain, Rule: rule, Text: text, Remedy: "ask the registrar of " + s.Genesis.Name + " for a new invitation"}
	}
	b, _, ok := r.Own(s.Registrar(), rowInvite(key))
	var i invite
	if !ok || codec.Unmarshal(b, &i) != nil {
		return no("no-invitation", "this invitation is not known here")
	}
	if now.UnixMilli() >= i.Expires {
		return no("invitation-expired", "the invitation has expired at "+time.UnixMilli(i.Expires).UTC().Format(time.RFC3339))
	}
	if b, _, ok := r.Own(s.Registrar(), rowUsed(key)); ok && binary.BigEndian.Uint64(b) >= uint64(i.Uses) {
		return no("invitation-used-up", "the invitation has been used as often as it says")
	}
	return nil
}
