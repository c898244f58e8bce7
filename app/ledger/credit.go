package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/policy"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// A credit policy says how the limits of accounts come about. It binds nobody by itself: the clerk's node writes grants by it, and each of them says by which
// policy and why, so that everybody can check it.

const kindPolicy = "policy"

// creditPolicy is the body of a policy record: it takes the place of the one before for its currency. The fields from Start to Own are those of policy.Rule.
type creditPolicy struct {
	_        struct{} `cbor:",toarray"`
	Number   uint64   // of the policies that the office has set, from 1
	Currency string
	Preset   string // the name of the preset that it is, empty for none
	Start    int64  `say:"amount,currency"`
	Base     int64  `say:"amount,currency"`
	Max      int64  `say:"amount,currency"`
	Ramp     int64  // days
	Growth   int64  `say:"amount,currency"`
	Per      int64  `say:"amount,currency"`
	Trust    int64  `say:"basis-points"`
	Warn     int64  `say:"basis-points"` // share of a limit from which on an account is warned, 0: never
	Lower    bool   // limits that are above what the policy gives are lowered to it
	Groups   []creditGroup
	Own      []ownLimit
}

type creditGroup struct {
	_       struct{} `cbor:",toarray"`
	Name    string
	Base    int64
	Max     int64
	Members []api.DID
}

type ownLimit struct {
	_       struct{} `cbor:",toarray"`
	Account api.DID
	Limit   int64
	Reason  string
}

// term is a part of a limit, as policy.Term.
type term struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	Amount int64
	Of     int64
}

// maxTerms bounds the terms of a grant.
const maxTerms = 8

func (p *creditPolicy) check() error {
	switch {
	case p.Number == 0:
		return errors.New("number 0: numbers start at 1")
	case !isCode(p.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case p.Preset != "" && !isCode(p.Preset, maxCode):
		return fmt.Errorf("preset: want at most %d of a-z 0-9 -", maxCode)
	case p.Warn < 0 || p.Warn > maxRate:
		return fmt.Errorf("warn %d: want 0 to %d hundredths of a percent", p.Warn, maxRate)
	}
	for i := range p.Groups {
		for j, did := range p.Groups[i].Members {
			if len(did) > maxDID {
				return fmt.Errorf("groups[%d].members[%d]: too long for a DID", i, j)
			}
		}
	}
	for i := range p.Own {
		o := &p.Own[i]
		if len(o.Account) > maxDID {
			return fmt.Errorf("own[%d].account: too long for a DID", i)
		}
		if err := checkLine(fmt.Sprintf("own[%d].reason", i), o.Reason); err != nil {
			return err
		}
	}
	return p.rule().Check()
}

// rule returns what limits follow from.
func (p *creditPolicy) rule() *policy.Rule {
	r := &policy.Rule{Start: p.Start, Base: p.Base, Max: p.Max, Ramp: p.Ramp, Growth: p.Growth, Per: p.Per, Trust: p.Trust}
	for _, g := range p.Groups {
		members := make([]string, len(g.Members))
		for i, did := range g.Members {
			members[i] = string(did)
		}
		r.Groups = append(r.Groups, policy.Group{Name: g.Name, Base: g.Base, Max: g.Max, Members: members})
	}
	for _, o := range p.Own {
		r.Own = append(r.Own, policy.Own{Account: string(o.Account), Limit: o.Limit, Reason: o.Reason})
	}
	return r
}

// same reports whether two policies say the same, whatever their numbers.
func (p *creditPolicy) same(o *creditPolicy) bool {
	a, b := *p, *o
	a.Number, b.Number = 0, 0
	return string(codec.MustMarshal(&a)) == string(codec.MustMarshal(&b))
}

// Feed rows of an office's feed in the topic postings:
//
//	policies           number of the newest policy, 8 bytes
//	policy/<code>      creditPolicy: the one that holds for the currency
var (
	rowPolicies = []byte("policies")
	rowsPolicy  = []byte("policy/")
)

func rowPolicy(code string) []byte { return append(append([]byte(nil), rowsPolicy...), code...) }

// policy puts a policy in the place of the one before.
func (f *fold) policy(p *creditPolicy) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	switch cur, ok := f.currency(p.Currency); {
	case !ok:
		return unknownCurrency(p.Currency)
	case cur.Gift():
		return giftCurrency(p.Currency)
	}
	last := fact.Number(f.Own(rowPolicies))
	if p.Number != last+1 {
		out := api.Voided(Domain, "out-of-order", "the policies of an office are numbered without gaps")
		out.Void.Inputs = map[string]string{"number": strconv.FormatUint(p.Number, 10), "last": strconv.FormatUint(last, 10)}
		return out
	}
	f.Put(rowPolicies, api.Seq8(p.Number))
	f.Put(rowPolicy(p.Currency), codec.MustMarshal(p))
	return api.Accepted
}

// checkWhy checks what a grant says of how its limit came about, as far as the grant alone shows it.
func (g *grant) checkWhy() error {
	switch {
	case len(g.Terms) > maxTerms:
		return fmt.Errorf("%d terms: at most %d", len(g.Terms), maxTerms)
	case g.Policy == 0 && len(g.Terms) > 0:
		return errors.New("terms: only a limit that a policy gives has terms")
	case g.Policy > 0 && (g.ByHand || len(g.Terms) == 0):
		return fmt.Errorf("policy %d: a limit that a policy gives has terms, and is not set by hand", g.Policy)
	}
	for i := range g.Terms {
		if len(g.Terms[i].Name) > len(policy.TermGroup)+policy.MostName {
			return fmt.Errorf("terms[%d].name: too long", i)
		}
	}
	return nil
}

// follows checks that the limit of a grant by policy is what the policy makes of the facts that its terms name. The grant cites the policy, or says the same as
// the one before.
func (f *fold) follows(g *grant, before *limits) api.Outcome {
	if g.Policy == 0 || g.Policy == before.Policy && g.Limit == before.Limit && slices.Equal(g.Terms, before.Terms) {
		return api.Accepted
	}
	for _, d := range f.rec.Deps {
		b, ok := f.At(d, rowPolicy(g.Currency))
		p := get[creditPolicy](b, ok)
		if !ok || p.Number != g.Policy {
			continue
		}
		if p.rule().Follows(string(g.Account), g.Limit, toTerms(g.Terms)) {
			return api.Accepted
		}
		out := api.Voided(Domain, "wrong-limit", "the policy makes another limit of the facts that the grant names")
		out.Void.Inputs = map[string]string{"account": string(g.Account), "policy": strconv.FormatUint(g.Policy, 10), "limit": strconv.FormatInt(g.Limit, 10)}
		return out
	}
	out := api.Voided(Domain, "other-policy", "a grant cites the policy that its limit comes from")
	out.Void.Inputs = map[string]string{"policy": strconv.FormatUint(g.Policy, 10), "currency": g.Currency}
	return out
}

// limits is what the grant says, as it is kept.
func (g *grant) limits() limits {
	return limits{Code: g.Currency, Number: g.Number, Limit: g.Limit, P: g.P, Frozen: g.Frozen, ByHand: g.ByHand, Policy: g.Policy, Terms: g.Terms}
}

// untraded notes that an account is paid, or was, what is no trade: limits do not grow by it.
func (f *fold) untraded(account api.DID, code string, amount int64) {
	f.Add(untradedKey(make([]byte, 0, keySize), f.rec.Topic.Space, account, code), amount)
}

func untradedKey(dst []byte, space api.Hash, account api.DID, code string) []byte {
	return append(didKey(dst, counterOther, space, account), code...)
}

// logGrant keeps a grant in the list of changes.
func (f *fold) logGrant(g *grant) {
	k := make([]byte, 0, keySize)
	f.Index(placeKey(k, indexGrants, "", f.rec), f.rec.ID[:])
	f.Index(placeKey(k, indexGrants, g.Account, f.rec), f.rec.ID[:])
}

func toTerms(terms []term) []policy.Term {
	out := make([]policy.Term, len(terms))
	for i, t := range terms {
		out[i] = policy.Term{Name: t.Name, Amount: t.Amount, Of: t.Of}
	}
	return out
}

func fromTerms(terms []policy.Term) []term {
	out := make([]term, len(terms))
	for i, t := range terms {
		out[i] = term{Name: t.Name, Amount: t.Amount, Of: t.Of}
	}
	return out
}
