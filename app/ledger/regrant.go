package ledger

import (
	"context"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// regrant writes the next grant for an account, changed from the one that holds. What lessens what the account may do is followed by a cut of its
// feed: else it would bind only who chooses to cite it.
func (a *App) regrant(
	ctx context.Context, call *api.Call, op string, space api.Hash, to api.DID, currency string, change func(api.Reader, *fact.Space, *limits) error,
) (*GrantOut, error) {
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.grants.Lock() // before reading: the number must be the newest
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := checkCurrency(op, s, currency); err != nil {
		return nil, err
	}
	if !s.Holds(signer, fact.Clerk) {
		o, _ := s.Office(fact.Clerk)
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-clerk", Text: "only the clerk of " + s.Genesis.Name + " grants limits",
			Inputs: map[string]string{"clerk": string(o.DID)}, Remedy: "ask " + string(o.DID),
		})
	}
	if _, _, ok := s.Member(to); !ok {
		return nil, api.Refusal(op, stranger(s, to))
	}
	last, at := heldBy(r, s, to, currency)
	next := last
	if err := change(r, s, &next); err != nil {
		return nil, err
	}
	office, since, _ := s.Holder(fact.Clerk)
	cites := []api.Position{s.Founded, since}
	if next.Policy > 0 {
		if by, ok := policyAt(r, s, currency, next.Policy); ok {
			cites = append(cites, by)
		} else { // another one holds since: what stays as it was is not its doing
			next.Policy, next.Terms = 0, nil
		}
	}
	if last.Number > 0 && next.same(&last) {
		// This is what holds already; a request that is repeated must not become a second grant.
		rec, v, ok := r.Record(at)
		if !ok {
			return nil, api.Errorf(op, api.Internal, "the record of the newest grant is missing")
		}
		return &GrantOut{
			Receipt: api.Receipt{Position: at, Topic: rec.Topic, Time: rec.Time, Final: v.Final, Repeated: true}, Number: last.Number, Limit: last.Limit,
		}, nil
	}
	if p, ok := prepare(r, s, signer.DID(), currency, 0); ok && p.feed == s.Feed(fact.LedgerTopic, signer.Device()) {
		cites = append(cites, p.deps...)
	}
	p := &plan{deps: fact.Deps(cites)}
	body := &grant{
		Account: to, Currency: currency, Number: max(last.Number, before(office.Number)) + 1, Limit: next.Limit, P: next.P, Frozen: next.Frozen,
		ByHand: next.ByHand, Policy: next.Policy, Terms: next.Terms,
	}
	rc, err := host.Append(ctx, signer, p.draft(s, kindGrant, body, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	out := &GrantOut{Receipt: rc, Number: body.Number, Limit: body.Limit}
	if next.lessens(last) && to != signer.DID() {
		out.Cut, err = a.bind(ctx, host, signer, s.ID, to)
	}
	return out, api.Wrap(op, err)
}

// heldBy returns the newest grant to a member, and where it is; with number 0 what holds without one.
func heldBy(r api.Reader, s *fact.Space, did api.DID, currency string) (limits, api.Position) {
	granted, at := lastGrants(r, s, did, func(l limits) bool { return l.Code == currency })
	if len(granted) > 0 {
		return granted[0], at
	}
	c, _ := s.Currency(currency)
	return limits{Code: currency, Limit: c.Limit, P: c.P}, at
}
