package ledger

import (
	"context"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/rehearsal"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	maxRehearsed  = 500_000 // records of one rehearsal
	maxRehearsals = 16      // charges of one
)

// past reads what has happened in a currency. It follows from the records with effect alone, in whatever order they came.
func past(ctx context.Context, op string, host api.Host, r api.Reader, s *fact.Space, code string) (*rehearsal.Past, error) {
	c, _ := s.Currency(code)
	p := &rehearsal.Past{Default: c.Limit, Fund: string(fact.TreasuryAccount)}
	known := map[api.DID]bool{}
	var err error
	if p.Events, err = eventsOf(ctx, op, r, s, code, known); err != nil {
		return nil, err
	}
	roll, ok := api.Lookup[fact.Roll](host.Services())
	if !ok {
		return nil, api.Errorf(op, api.Unavailable, "nobody says here who the members are")
	}
	members, err := roll.Roll(s.ID)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	for _, did := range members {
		known[did] = true
	}
	var founded int64
	if rec, _, ok := r.Record(s.Founded); ok {
		founded = rec.Time.Millis()
	}
	for did := range known {
		m, at, ok := s.Known(did)
		if !ok {
			continue
		}
		one := rehearsal.Member{Account: string(did), Since: m.Since}
		if m.Since == 0 {
			one.Since = founded
		}
		if m.Device == (api.Key{}) {
			if rec, _, ok := r.Record(at); ok {
				one.Until = rec.Time.Millis()
			}
		}
		p.Members = append(p.Members, one)
	}
	for _, id := range r.Index(didKey(nil, indexGrants, s.ID, ""), nil, false) {
		if rec, _, g, ok := grantOf(r, id); ok && g.Currency == code {
			p.Grants = append(p.Grants, rehearsal.Grant{Time: uint64(rec.Time), Account: string(g.Account), Limit: g.Limit})
		}
	}
	return p, nil
}

// eventsOf reads the records that have moved something of a currency, and notes whose accounts.
func eventsOf(ctx context.Context, op string, r api.Reader, s *fact.Space, code string, known map[api.DID]bool) ([]rehearsal.Event, error) {
	type place struct {
		feed api.Hash
		seq  uint64
	}
	at := map[place]int{}
	var events []rehearsal.Event
	for k, v := range r.Index(spaceKey(nil, indexHistory, s.ID), nil, false) {
		did, pos, _, ok := splitHistory(k)
		e := get[entry](v, true)
		if !ok || e.Code != code {
			continue
		}
		known[did] = true
		i, seen := at[place{pos.Feed, pos.Seq}]
		if !seen {
			if i = len(events); i == maxRehearsed {
				return nil, api.Errorf(op, api.TooLarge, "%s has more than %d payments, which is more than one rehearsal replays", s.Genesis.Name, maxRehearsed)
			}
			at[place{pos.Feed, pos.Seq}] = i
			events = append(events, rehearsal.Event{Feed: pos.Feed, Seq: pos.Seq, ID: e.ID})
		}
		events[i].Moves = append(events[i].Moves, rehearsal.Move{Account: string(did), Amount: e.Delta})
	}
	for i := range events {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e := &events[i]
		rec, _, ok := r.Record(api.Position{Feed: e.Feed, Seq: e.Seq, ID: e.ID})
		if !ok {
			return nil, api.Errorf(op, api.Internal, "the record %s of a payment is not on this node: run `icnctl state verify`", api.Hash(e.ID))
		}
		whatHappened(rec, e)
	}
	return events, nil
}

// whatHappened says what a record's movements were.
func whatHappened(rec *api.Record, e *rehearsal.Event) {
	e.Time = uint64(rec.Time)
	switch rec.Topic.Name {
	case fact.LedgerTopic:
		e.Payer, e.Trade = string(rec.Author), true
		_, what := legsOf(rec)
		for _, p := range what {
			if p.What == forRefund {
				e.Undoes = p.ID
			}
		}
	case fact.TreasuryTopic:
		e.Trade = true
	case fact.PostingsTopic:
		e.Trade = rec.Kind == kindSettle
		var c charge
		if rec.Kind == kindCharge && decode(rec.Body, &c) == nil {
			e.Schedule = c.Schedule
		}
	}
}

// rehearsed turns a schedule into what is rehearsed: those of its periods that are due between two times.
func (s *schedule) rehearsed(from, to time.Time) (rehearsal.Charge, error) {
	out := rehearsal.Charge{Name: s.Name, Of: s.Charge, Due: s.due}
	cal, err := s.calendar()
	if err != nil {
		return out, err
	}
	var last time.Time
	if s.Last != "" {
		if last, err = cal.after(s.Last); err != nil {
			return out, err
		}
	}
	for n := uint64(1); n <= maxPeriods; n++ {
		p := period{n, cal.begins(int(n)), cal.begins(int(n) + 1)}
		due := p.due(s)
		if !p.start.Before(to) || due.After(to) || !last.IsZero() && p.end.After(last) {
			break
		}
		if !due.Before(from) {
			out.Periods = append(out.Periods, rehearsal.Period{Start: p.start.UnixMilli(), End: p.end.UnixMilli()})
		}
	}
	return out, nil
}
