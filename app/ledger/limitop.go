package ledger

import (
	"context"
	"strconv"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// LimitTerm is a part of a limit; the parts add up to it.
type LimitTerm struct {
	Name   string `json:"name" doc:"base, group NAME, own, trust, growth, max or ramp"`
	Amount int64  `json:"amount" doc:"minor units"`
	Of     int64  `json:"of,omitempty" doc:"the fact that it follows from: what was earned, a standing of 10000, days, or the maximum"`
	Text   string `json:"text" doc:"what it is for, in words"`
}

func showTerms(terms []term, scale uint8) []LimitTerm {
	out := make([]LimitTerm, len(terms))
	for i, t := range terms {
		out[i] = LimitTerm{Name: t.Name, Amount: t.Amount, Of: t.Of, Text: explainTerm(t, func(n int64) string { return decimals(strconv.FormatInt(n, 10), scale) })}
	}
	return out
}

// LimitIn is the input of ledger.limit.
type LimitIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"Member; default: you"`
}

// Validate implements api.Validator.
func (in *LimitIn) Validate() error {
	if in.DID == "" {
		return nil
	}
	return checkDID("did", in.DID)
}

// LimitOut is the output of ledger.limit.
type LimitOut struct {
	DID    api.DID `json:"did"`
	Limits []Limit `json:"limits"`
	Clerk  api.DID `json:"clerk,omitempty" doc:"who can change them"`
}

// Limit is how far an account may go below zero in a currency, and why. Amounts are minor units.
type Limit struct {
	Currency string      `json:"currency"`
	Scale    int         `json:"scale"`
	Limit    int64       `json:"limit"`
	Balance  int64       `json:"balance"`
	Soft     int64       `json:"soft,omitempty" doc:"who owes more than this is warned; 0: nobody is"`
	Frozen   bool        `json:"frozen,omitempty"`
	ByHand   bool        `json:"by_hand,omitempty" doc:"a person has set it, and policies leave it alone"`
	Number   uint64      `json:"number,omitempty" doc:"of the newest grant; 0: nobody has granted anything, and the limit is what everybody has from the founding"`
	Since    time.Time   `json:"since,omitzero" doc:"of that grant"`
	Policy   uint64      `json:"policy,omitempty" doc:"the policy by which it was granted"`
	Terms    []LimitTerm `json:"terms" doc:"what it is made of, then"`
	Why      string      `json:"why" doc:"all that on one line"`
	Gift     bool        `json:"gift,omitempty" doc:"a gift currency has no limits"`

	Becomes string      `json:"becomes,omitempty" doc:"what the policy that holds makes of it now: even, rises, lowers, above, waits, by-hand or frozen"`
	Would   int64       `json:"would,omitempty" doc:"the limit that the policy gives now"`
	Gives   []LimitTerm `json:"gives,omitempty" doc:"what that is made of"`
	Earned  int64       `json:"earned,omitempty" doc:"what the account was paid in trade and has counted, by which the limit grows"`
	Days    int64       `json:"days,omitempty" doc:"since its owner joined"`
	NextIn  int64       `json:"next_in,omitempty" doc:"days until the limit of a new member rises by itself"`
}

func (a *App) limit(_ context.Context, call *api.Call, in *LimitIn) (*LimitOut, error) {
	const op = "ledger.limit"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &LimitOut{DID: in.DID, Limits: []Limit{}}
	if out.DID == "" {
		out.DID = call.Actor
	}
	if _, _, ok := s.Member(out.DID); !ok {
		why := stranger(s, out.DID)
		return nil, &api.Error{Op: op, Kind: api.NotFound, Reason: why, Err: why}
	}
	if o, ok := s.Office(fact.Clerk); ok {
		out.Clerk = o.DID
	}
	for _, code := range s.Genesis.Currencies {
		c, _ := s.Currency(code)
		l, at := heldBy(r, s, out.DID, code)
		if c.Gift() {
			out.Limits = append(out.Limits, Limit{Currency: code, Scale: int(c.Scale), Gift: true, Frozen: l.Frozen, Terms: []LimitTerm{}, Why: l.why(c.Scale)})
			continue
		}
		v := Limit{
			Currency: code, Scale: int(c.Scale), Limit: l.Limit, Balance: r.Counter(balanceKey(nil, s.ID, code, out.DID)), Frozen: l.Frozen, ByHand: l.ByHand, Number: l.Number,
			Policy: l.Policy, Terms: showTerms(l.Terms, c.Scale), Why: l.why(c.Scale),
		}
		if rec, _, ok := r.Record(at); ok && l.Number > 0 {
			v.Since = rec.Time.Time()
		}
		if p, _, ok := policyOf(r, s, code); ok {
			as := a.newAssessor(host, r, s, &p)
			x, _ := as.assess(out.DID)
			v.Soft = share(l.Limit, p.Warn)
			v.Becomes, v.Would, v.Gives, v.Earned, v.Days = x.becomes, x.would, showTerms(fromTerms(x.terms), c.Scale), x.facts.Cleared, x.facts.Days
			v.NextIn = as.rule.Next(x.facts.Days)
		}
		out.Limits = append(out.Limits, v)
	}
	return out, nil
}

// RegradeIn is the input of ledger.regrade.
type RegradeIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	To       api.DID  `json:"to" doc:"DID of the account"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
}

// Validate implements api.Validator.
func (in *RegradeIn) Validate() error {
	g := GrantIn{To: in.To, Currency: in.Currency}
	return g.Validate()
}

func (a *App) regradeOne(ctx context.Context, call *api.Call, in *RegradeIn) (*GrantOut, error) {
	const op = "ledger.regrade"
	return a.regrant(ctx, call, op, in.Space, in.To, in.Currency, a.byPolicy(op, in.To))
}

// LimitsIn is the input of ledger.limits.
type LimitsIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Currency string   `json:"currency,omitempty" doc:"Only this currency"`
	Becomes  string   `json:"becomes,omitempty" doc:"Only those of which the policy makes this: even, rises, lowers, above, waits, by-hand or frozen"`
	Limit    int      `json:"limit,omitempty" doc:"Members of a page, 1 to 500; default 50"`
	Cursor   string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *LimitsIn) Validate() error {
	if in.Cursor != "" && checkDID("cursor", api.DID(in.Cursor)) != nil {
		return errCursor
	}
	return checkPage(in.Limit)
}

// LimitsOut is the output of ledger.limits.
type LimitsOut struct {
	Limits []LimitRow `json:"limits"`
	Cursor string     `json:"cursor,omitempty"` // empty on the last page; a page may have fewer members than asked for, even none
}

// LimitRow is a member's limit in one currency. Amounts are minor units.
type LimitRow struct {
	Account  api.DID `json:"account"`
	Currency string  `json:"currency"`
	Scale    int     `json:"scale"`
	Limit    int64   `json:"limit"`
	Balance  int64   `json:"balance"`
	Number   uint64  `json:"number" doc:"of the newest grant, 0: none"`
	Frozen   bool    `json:"frozen,omitempty"`
	ByHand   bool    `json:"by_hand,omitempty"`
	Policy   uint64  `json:"policy,omitempty" doc:"by which it was granted"`
	Becomes  string  `json:"becomes,omitempty" doc:"what the policy that holds makes of it"`
	Would    int64   `json:"would" doc:"what the policy gives; without one, the limit"`
	Why      string  `json:"why"`
}

// row is an assessment as it is listed.
func (as *assessor) row(v *assessment) LimitRow {
	w := limitRow(as.s, v.did, &v.held, v.balance)
	w.Becomes, w.Would = v.becomes, v.would
	return w
}

func limitRow(s *fact.Space, did api.DID, l *limits, balance int64) LimitRow {
	c, _ := s.Currency(l.Code)
	if c.Gift() {
		return LimitRow{Account: did, Currency: l.Code, Scale: int(c.Scale), Number: l.Number, Frozen: l.Frozen, Why: l.why(c.Scale)}
	}
	return LimitRow{
		Account: did, Currency: l.Code, Scale: int(c.Scale), Limit: l.Limit, Balance: balance, Number: l.Number, Frozen: l.Frozen, ByHand: l.ByHand, Policy: l.Policy,
		Would: l.Limit, Why: l.why(c.Scale),
	}
}

func (a *App) limitsList(ctx context.Context, _ *api.Call, in *LimitsIn) (*LimitsOut, error) {
	const op = "ledger.limits"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	codes := s.Genesis.Currencies
	if in.Currency != "" {
		if err := checkCurrency(op, s, in.Currency); err != nil {
			return nil, err
		}
		codes = []string{in.Currency}
	}
	by := map[string]*assessor{}
	for _, as := range a.assessors(host, r, s) {
		by[as.p.Currency] = as
	}
	out := &LimitsOut{Limits: []LimitRow{}}
	members := membersAfter(host, s.ID, api.DID(in.Cursor))
	for i, did := range members {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if i == page(in.Limit) {
			out.Cursor = string(members[i-1])
			break
		}
		for _, code := range codes {
			var w LimitRow
			if as := by[code]; as != nil {
				v, ok := as.assess(did)
				if !ok {
					continue
				}
				w = as.row(&v)
			} else {
				l, _ := heldBy(r, s, did, code)
				w = limitRow(s, did, &l, r.Counter(balanceKey(nil, s.ID, code, did)))
			}
			if in.Becomes == "" || in.Becomes == w.Becomes {
				out.Limits = append(out.Limits, w)
			}
		}
	}
	return out, nil
}

// GrantsIn is the input of ledger.grants.
type GrantsIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did,omitempty" doc:"Only changes for this account; default: for all"`
	Limit  int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *GrantsIn) Validate() error {
	if in.DID != "" {
		if err := checkDID("did", in.DID); err != nil {
			return err
		}
	}
	return checkPlaces(in.Cursor, in.Limit)
}

// GrantsOut is the output of ledger.grants.
type GrantsOut struct {
	Changes []LimitChange `json:"changes"`
	Cursor  string        `json:"cursor,omitempty"` // empty on the last page; a page may have fewer entries than asked for, even none
}

// LimitChange is a grant. Amounts are minor units.
type LimitChange struct {
	Time     time.Time   `json:"time" doc:"by the clerk's clock"`
	ID       api.Hash    `json:"id"`
	Clerk    api.DID     `json:"clerk"`
	Account  api.DID     `json:"account"`
	Currency string      `json:"currency"`
	Scale    int         `json:"scale"`
	Number   uint64      `json:"number" doc:"of the grants for the account and currency"`
	Limit    int64       `json:"limit"`
	Before   int64       `json:"before" doc:"the limit of the grant before, else what everybody has"`
	Frozen   bool        `json:"frozen,omitempty"`
	ByHand   bool        `json:"by_hand,omitempty"`
	Policy   uint64      `json:"policy,omitempty"`
	Terms    []LimitTerm `json:"terms"`
	Why      string      `json:"why"`
	Final    bool        `json:"final"`
}

func (a *App) grantLog(_ context.Context, _ *api.Call, in *GrantsIn) (*GrantsOut, error) {
	const op = "ledger.grants"
	_, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &GrantsOut{Changes: []LimitChange{}}
	out.Cursor, err = newest(r, didKey(nil, indexGrants, s.ID, in.DID), in.Cursor, page(in.Limit), maxScan, func(place, id []byte) bool {
		c, ok := loggedChange(r, s, id, place)
		if ok {
			out.Changes = append(out.Changes, c)
		}
		return ok
	})
	return out, api.Wrap(op, err)
}

// loggedChange reads the grant of a row of the log, and what held before it.
func loggedChange(r api.Reader, s *fact.Space, id, place []byte) (c LimitChange, ok bool) {
	rec, v, g, ok := grantOf(r, id)
	if !ok {
		return c, false
	}
	cur, _ := s.Currency(g.Currency)
	l := g.limits()
	c = LimitChange{
		Time: rec.Time.Time(), ID: rec.ID, Clerk: rec.Author, Account: g.Account, Currency: g.Currency, Scale: int(cur.Scale), Number: g.Number, Limit: g.Limit, Before: cur.Limit,
		Frozen: g.Frozen, ByHand: g.ByHand, Policy: g.Policy, Terms: showTerms(g.Terms, cur.Scale), Why: l.why(cur.Scale), Final: v.Final,
	}
	const most = 64 // of other currencies in between
	n := 0
	for _, old := range r.Index(didKey(nil, indexGrants, s.ID, g.Account), place, true) {
		if _, _, o, ok := grantOf(r, old); ok && o.Currency == g.Currency {
			c.Before = o.Limit
			break
		}
		if n++; n == most {
			break
		}
	}
	return c, true
}

func grantOf(r api.Reader, id []byte) (rec *api.Record, v api.Verdict, g grant, ok bool) {
	if len(id) != len(api.Hash{}) {
		return nil, v, g, false
	}
	rec, v, ok = r.Lookup(api.Hash(id))
	return rec, v, g, ok && decode(rec.Body, &g) == nil
}
