package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/policy"
	"github.com/intercooperative/icn/kernel/api"
)

// How much the clerk's node does in one turn: accounts of a space that it looks at, grants that it writes, and how many of these lower a limit, which has a feed
// cut. The next turn goes on where this one has stopped.
const (
	maxAssessed = 256
	maxRegrants = 16
	maxLowered  = 4
)

// policyOf returns the credit policy that holds for a currency, and the record that says so.
func policyOf(r api.Reader, s *fact.Space, code string) (p creditPolicy, at api.Position, ok bool) {
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok {
		return p, at, false
	}
	b, at, ok := r.Own(d.from, rowPolicy(code))
	return get[creditPolicy](b, ok), at, ok
}

// policyAt returns where the policy of a number is, if it is the one that holds.
func policyAt(r api.Reader, s *fact.Space, code string, number uint64) (api.Position, bool) {
	p, at, ok := policyOf(r, s, code)
	return at, ok && p.Number == number
}

// What becomes of an account's limit by a policy.
const (
	limitEven   = "even"    // it is what the policy gives
	limitRises  = "rises"   // to what the policy gives, in one of the next turns of the clerk's node
	limitLowers = "lowers"  // likewise
	limitAbove  = "above"   // it is more than the policy gives, and stays, since the policy lowers nothing
	limitWaits  = "waits"   // it is lowered once the account owes no more than the policy gives
	limitByHand = "by-hand" // a person has set it, and the policy leaves it alone
	limitFrozen = "frozen"  // nothing changes before the freeze is lifted
)

// assessment is what a policy makes of an account.
type assessment struct {
	did     api.DID
	held    limits
	balance int64
	facts   policy.Facts
	would   int64 // the limit that the policy gives
	terms   []policy.Term
	becomes string
}

// assessor assesses the accounts of a space in one currency by a policy, which need not be the one that holds.
type assessor struct {
	r       api.Reader
	s       *fact.Space
	p       *creditPolicy
	rule    *policy.Rule
	now     time.Time
	founded int64       // Unix milliseconds
	esteem  fact.Esteem // nil where only the grants before say it
}

// newAssessor takes the members' standing from this node where its member is the clerk; for others it is what the newest grant says.
func (a *App) newAssessor(host api.Host, r api.Reader, s *fact.Space, p *creditPolicy) *assessor {
	as := &assessor{r: r, s: s, p: p, rule: p.rule(), now: host.Now()}
	if rec, _, ok := r.Record(s.Founded); ok {
		as.founded = rec.Time.Millis()
	}
	if self := host.Self(); self != nil && s.Holds(self, fact.Clerk) {
		as.esteem, _ = api.Lookup[fact.Esteem](host.Services())
	}
	return as
}

// assess is false for who is no member.
func (as *assessor) assess(did api.DID) (v assessment, ok bool) {
	m, _, ok := as.s.Member(did)
	if !ok {
		return v, false
	}
	v.did = did
	v.held, _ = heldBy(as.r, as.s, did, as.p.Currency)
	v.balance = as.r.Counter(balanceKey(nil, as.s.ID, as.p.Currency, did))
	v.facts = as.factsOf(did, m, &v.held)
	v.would, v.terms = as.rule.Limit(string(did), v.facts)
	switch {
	case v.held.ByHand:
		v.becomes = limitByHand
	case v.would == v.held.Limit:
		v.becomes = limitEven
	case v.held.Frozen:
		v.becomes = limitFrozen
	case v.would > v.held.Limit:
		v.becomes = limitRises
	case !as.p.Lower:
		v.becomes = limitAbove
	case v.balance < -v.would:
		v.becomes = limitWaits
	default:
		v.becomes = limitLowers
	}
	return v, true
}

// factsOf finds what a limit depends on: since when its owner is a member, what its feed has counted of what it was paid, less what was no trade, and what
// the clerk thinks of its owner.
func (as *assessor) factsOf(did api.DID, m fact.Member, held *limits) policy.Facts {
	since := m.Since
	if since == 0 {
		since = as.founded
	}
	f := policy.Facts{Days: max(as.now.UnixMilli()-since, 0) / (24 * time.Hour).Milliseconds()}
	from, _, _ := standing(as.r, as.s, as.s.Feed(fact.LedgerTopic, m.Device), m)
	counted := getAccount(first(as.r.Own(from, rowAccount(as.p.Currency)))).Credits
	f.Cleared = max(counted-as.r.Counter(untradedKey(nil, as.s.ID, did, as.p.Currency)), 0)
	if as.esteem != nil {
		f.Trust = as.esteem.Esteem(as.s.ID, did)
	} else if i := slices.IndexFunc(held.Terms, func(t term) bool { return t.Name == policy.TermTrust }); i >= 0 {
		f.Trust = held.Terms[i].Of
	}
	return f
}

// byPolicy makes a limit what the policy gives.
func (a *App) byPolicy(op string, to api.DID) func(api.Reader, *fact.Space, *limits) error {
	return func(r api.Reader, s *fact.Space, l *limits) error {
		p, _, ok := policyOf(r, s, l.Code)
		if !ok {
			return api.Errorf(op, api.NotFound, "%s has no credit policy for %s: set one, icnctl ledger policy set, or name a limit", s.Genesis.Name, l.Code)
		}
		host, err := a.with(op)
		if err != nil {
			return err
		}
		v, ok := a.newAssessor(host, r, s, &p).assess(to)
		if !ok {
			return api.Refusal(op, stranger(s, to))
		}
		l.Limit, l.ByHand, l.Policy, l.Terms = v.would, false, p.Number, fromTerms(v.terms)
		return nil
	}
}

// change is a grant that a policy asks for.
type change struct {
	did  api.DID
	code string
	low  bool
}

// regrade writes, on the clerk's node, the grants that the policies of a space ask for: so many in a turn.
func (a *App) regrade(ctx context.Context, host api.Host, self api.Signer, space api.Hash) error {
	changes, next := a.changes(host, self, space)
	lowered := 0
	for i, c := range changes {
		if i == maxRegrants || c.low && lowered == maxLowered {
			next = changes[i-1].did
			break
		}
		if c.low {
			lowered++
		}
		call := &api.Call{Actor: self.DID(), Signer: self, Wait: api.WaitLocal}
		out, err := a.regrant(ctx, call, "ledger.regrade", space, c.did, c.code, a.byPolicy("ledger.regrade", c.did))
		switch {
		case api.KindOf(err) == api.Refused: // of this account; others are not kept waiting for it
			host.Log().Warn("a limit does not follow the credit policy", "space", space.Short(), "account", c.did, "err", err)
		case err != nil:
			return err
		default:
			host.Log().Info("a limit follows the credit policy", "space", space.Short(), "account", c.did, "currency", c.code, "limit", out.Limit, "grant", out.Number)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.graded == nil {
		a.graded = map[api.Hash]api.DID{}
	}
	a.graded[space] = next
	return nil
}

// changes lists the grants that the policies of a space ask for among the next accounts, and says which the last of them is; empty: of all.
func (a *App) changes(host api.Host, self api.Signer, space api.Hash) (all []change, last api.DID) {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !s.Holds(self, fact.Clerk) {
		return nil, ""
	}
	by := a.assessors(host, r, s)
	if len(by) == 0 {
		return nil, ""
	}
	a.mu.Lock()
	after := a.graded[space]
	a.mu.Unlock()
	members := membersAfter(host, space, after)
	for i, did := range members {
		if i == maxAssessed {
			return all, members[i-1]
		}
		for _, as := range by {
			if v, ok := as.assess(did); ok && (v.becomes == limitRises || v.becomes == limitLowers) {
				all = append(all, change{did, as.p.Currency, v.becomes == limitLowers})
			}
		}
	}
	return all, ""
}

// assessors has one for each currency that has a policy.
func (a *App) assessors(host api.Host, r api.Reader, s *fact.Space) (by []*assessor) {
	for _, code := range s.Genesis.Currencies {
		if p, _, ok := policyOf(r, s, code); ok {
			by = append(by, a.newAssessor(host, r, s, &p))
		}
	}
	return by
}

// membersAfter lists the members by DID that come after one.
func membersAfter(host api.Host, space api.Hash, after api.DID) []api.DID {
	roll, ok := api.Lookup[fact.Roll](host.Services())
	if !ok {
		return nil
	}
	members, err := roll.Roll(space)
	if err != nil {
		return nil
	}
	i, found := slices.BinarySearch(members, after)
	if found {
		i++
	}
	return members[i:]
}

// soften returns what an account may owe before it is warned, and the warning if it owes more.
func soften(r api.Reader, s *fact.Space, st *state, balance int64) (soft int64, warning string) {
	p, _, ok := policyOf(r, s, st.code)
	if !ok || p.Warn == 0 {
		return 0, ""
	}
	if soft = share(st.limits.Limit, p.Warn); balance >= -soft {
		return soft, ""
	}
	text := func(n int64) string { return decimals(strconv.FormatInt(n, 10), st.scale) }
	return soft, fmt.Sprintf("the account owes %s %s of %s that it may; payments are refused beyond that", text(-balance), st.code, text(st.limits.Limit))
}

// why says how a limit has come about, on one line.
func (l *limits) why(scale uint8) string {
	text := func(n int64) string { return decimals(strconv.FormatInt(n, 10), scale) }
	switch {
	case l.Limit == fact.NoLimit:
		return "none: a gift currency has no limits"
	case l.ByHand:
		return text(l.Limit) + ": set by the clerk"
	case l.Policy == 0:
		return text(l.Limit) + ": what everybody has without a grant"
	}
	parts := make([]string, len(l.Terms))
	for i, t := range l.Terms {
		parts[i] = text(t.Amount) + " " + explainTerm(t, text)
	}
	return fmt.Sprintf("%s by policy %d: %s", text(l.Limit), l.Policy, strings.Join(parts, ", "))
}

// explainTerm says what a part of a limit is for.
func explainTerm(t term, text func(int64) string) string {
	switch name, group := strings.CutPrefix(t.Name, policy.TermGroup); {
	case group:
		return "of the group " + name
	case t.Name == policy.TermBase:
		return "that everybody has"
	case t.Name == policy.TermOwn:
		return "as a limit of its own"
	case t.Name == policy.TermTrust:
		return "for a standing of " + decimals(strconv.FormatInt(t.Of, 10), 4)
	case t.Name == policy.TermGrowth:
		return "for " + text(t.Of) + " earned"
	case t.Name == policy.TermMax:
		return "since nobody has more than " + text(t.Of)
	case t.Name == policy.TermRamp:
		return fmt.Sprintf("for being new, %d days", t.Of)
	}
	return t.Name
}
