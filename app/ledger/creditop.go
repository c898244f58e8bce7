package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/policy"
	"github.com/intercooperative/icn/kernel/api"
)

// creditOperations are those of credit policies and of limits.
func (a *App) creditOperations() []api.Operation {
	return []api.Operation{
		a.rehearseOperation(),
		api.Handle(api.Operation{
			Name: "ledger.policy.show", Method: http.MethodGet, Path: "/ledger/policy", CLI: "ledger policy show", Scope: "ledger:read",
			Summary: "Show by what rules members get their credit limits",
		}, a.policies),
		api.Handle(api.Operation{
			Name: "ledger.policy.presets", Method: http.MethodGet, Path: "/ledger/policy/presets", CLI: "ledger policy presets", Scope: "ledger:read",
			Summary: "List credit policies to begin with",
		}, a.presets),
		api.Handle(api.Operation{
			Name: "ledger.policy.set", Method: http.MethodPost, Path: "/ledger/policy", CLI: "ledger policy set", Scope: "ledger:grant", Write: true,
			Signs: api.SignsOne, Summary: "Say by what rules members get their credit limits, or first what that would change",
		}, a.setPolicy),
		api.Handle(api.Operation{
			Name: "ledger.regrade", Method: http.MethodPost, Path: "/ledger/regrade", CLI: "ledger regrade", Scope: "ledger:grant", Write: true,
			Signs: api.SignsSeveral, Summary: "Give an account the limit that the credit policy gives, now and from now on",
		}, a.regradeOne),
		api.Handle(api.Operation{
			Name: "ledger.limit", Method: http.MethodGet, Path: "/ledger/limit", CLI: "ledger limit", Scope: "ledger:read",
			Summary: "Explain how an account's credit limits have come about",
		}, a.limit),
		api.Handle(api.Operation{
			Name: "ledger.limits", Kind: api.List, Method: http.MethodGet, Path: "/ledger/limits", CLI: "ledger limits", Scope: "ledger:read",
			Summary: "List the members' credit limits, and what the policy makes of each",
		}, a.limitsList),
		api.Handle(api.Operation{
			Name: "ledger.grants", Kind: api.List, Method: http.MethodGet, Path: "/ledger/grants", CLI: "ledger grants", Scope: "ledger:read",
			Summary: "List the changes of credit limits, newest first, and why",
		}, a.grantLog),
	}
}

// CreditPolicy is by what rules accounts get their limits in a currency. Amounts are minor units, shares hundredths of a percent.
type CreditPolicy struct {
	Number   uint64        `json:"number" doc:"of the policies that the office has set"`
	Currency string        `json:"currency"`
	Scale    int           `json:"scale"`
	Preset   string        `json:"preset,omitempty" doc:"the preset that it is"`
	Start    int64         `json:"start" doc:"limit on the day of joining"`
	Base     int64         `json:"base" doc:"limit once the ramp is over, before anything is earned"`
	Max      int64         `json:"max" doc:"the most that it comes to"`
	Ramp     int64         `json:"ramp" doc:"days from start to the full limit; it rises every 7 days"`
	Growth   int64         `json:"growth" doc:"how much more for each whole per that an account was paid in trade and has counted"`
	Per      int64         `json:"per"`
	Trust    int64         `json:"trust" doc:"share of base that a full standing adds, by tenths, as the clerk's node sees it"`
	Warn     int64         `json:"warn" doc:"share of its limit from which on an account is warned; 0: never"`
	Lower    bool          `json:"lower" doc:"limits above what the policy gives are lowered to it, once no more is owed; else they stay"`
	Groups   []CreditGroup `json:"groups"`
	Own      []OwnLimit    `json:"own" doc:"accounts that have a limit of their own"`
	Record   api.Hash      `json:"record,omitzero" doc:"id of the record; none: it is proposed"`
}

// CreditGroup is of accounts that have another base and another maximum. Amounts are minor units.
type CreditGroup struct {
	Name    string    `json:"name" doc:"1 to 32 of a-z 0-9 -" example:"workshops"`
	Base    int64     `json:"base"`
	Max     int64     `json:"max"`
	Members []api.DID `json:"members" doc:"each in one group; at most 256 in all"`
}

// OwnLimit is a limit of an account's own.
type OwnLimit struct {
	Account api.DID `json:"account"`
	Limit   int64   `json:"limit" doc:"minor units"`
	Reason  string  `json:"reason" doc:"why, for all to read: at most 200 bytes, one line"`
}

func (p *creditPolicy) shown(s *fact.Space, record api.Hash) CreditPolicy {
	c, _ := s.Currency(p.Currency)
	out := CreditPolicy{
		Number: p.Number, Currency: p.Currency, Scale: int(c.Scale), Preset: p.Preset, Start: p.Start, Base: p.Base, Max: p.Max, Ramp: p.Ramp, Growth: p.Growth, Per: p.Per,
		Trust: p.Trust, Warn: p.Warn, Lower: p.Lower, Groups: []CreditGroup{}, Own: []OwnLimit{}, Record: record,
	}
	for _, g := range p.Groups {
		out.Groups = append(out.Groups, CreditGroup{Name: g.Name, Base: g.Base, Max: g.Max, Members: g.Members})
	}
	for _, o := range p.Own {
		out.Own = append(out.Own, OwnLimit{Account: o.Account, Limit: o.Limit, Reason: o.Reason})
	}
	return out
}

// PolicyIn is the input of ledger.policy.show.
type PolicyIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// PolicyOut is the output of ledger.policy.show.
type PolicyOut struct {
	Policies []CreditPolicy `json:"policies" doc:"by currency; a currency without one has the limit of the founding for everybody, and grants by hand"`
}

func (a *App) policies(_ context.Context, _ *api.Call, in *PolicyIn) (*PolicyOut, error) {
	_, r, s, err := a.see("ledger.policy.show", in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &PolicyOut{Policies: []CreditPolicy{}}
	for _, code := range s.Genesis.Currencies {
		if p, at, ok := policyOf(r, s, code); ok {
			out.Policies = append(out.Policies, p.shown(s, at.ID))
		}
	}
	return out, nil
}

// PresetsOut is the output of ledger.policy.presets.
type PresetsOut struct {
	Presets []CreditPreset `json:"presets"`
}

// CreditPreset is a credit policy to begin with. Amounts are whole units, hours or euros, not minor ones.
type CreditPreset struct {
	Name   string `json:"name" example:"conservative"`
	For    string `json:"for" doc:"whom it suits"`
	Start  int64  `json:"start"`
	Base   int64  `json:"base"`
	Max    int64  `json:"max"`
	Ramp   int64  `json:"ramp" doc:"days"`
	Growth int64  `json:"growth"`
	Per    int64  `json:"per"`
	Trust  int64  `json:"trust" doc:"hundredths of a percent"`
	Warn   int64  `json:"warn" doc:"hundredths of a percent"`
}

func (*App) presets(context.Context, *api.Call, *struct{}) (*PresetsOut, error) {
	out := &PresetsOut{}
	for _, p := range policy.Presets() {
		r := &p.Rule
		out.Presets = append(out.Presets, CreditPreset{
			Name: p.Name, For: p.For, Start: r.Start, Base: r.Base, Max: r.Max, Ramp: r.Ramp, Growth: r.Growth, Per: r.Per, Trust: r.Trust, Warn: p.Warn,
		})
	}
	return out, nil
}

// SetPolicyIn is the input of ledger.policy.set. Amounts are minor units, shares hundredths of a percent. What is left out is as the preset says; without
// one, as the policy before says.
type SetPolicyIn struct {
	Space    api.Hash      `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Currency string        `json:"currency" doc:"Code of the currency" example:"hours"`
	Preset   string        `json:"preset,omitempty" doc:"Name of a preset, as ledger.policy.presets lists them; the other fields change it" example:"conservative"`
	Start    *int64        `json:"start,omitempty" doc:"Limit on the day of joining"`
	Base     *int64        `json:"base,omitempty" doc:"Limit once the ramp is over, before anything is earned"`
	Max      *int64        `json:"max,omitempty" doc:"The most that base, trust and growth come to"`
	Ramp     *int64        `json:"ramp,omitempty" doc:"Days from start to the full limit, 0 to 3660"`
	Growth   *int64        `json:"growth,omitempty" doc:"How much more for each whole per that an account was paid; 0: nothing"`
	Per      *int64        `json:"per,omitempty" doc:"See growth"`
	Trust    *int64        `json:"trust,omitempty" doc:"Share of base that a full standing adds, 0 to 10000"`
	Warn     *int64        `json:"warn,omitempty" doc:"Share of its limit from which on an account is warned, 0 to 10000"`
	Lower    *bool         `json:"lower,omitempty" doc:"Lower limits that are above what the policy gives; each has the account's feed cut. Default: they stay"`
	Groups   []CreditGroup `json:"groups,omitempty" doc:"Accounts that have another base and another maximum; an empty list: none"`
	Own      []OwnLimit    `json:"own,omitempty" doc:"Accounts that have a limit of their own; an empty list: none"`
	DryRun   bool          `json:"dry_run,omitempty" doc:"Say what would change, and set nothing"`
}

// Validate implements api.Validator.
func (in *SetPolicyIn) Validate() error {
	if !isCode(in.Currency, maxCode) {
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(in.Currency), maxCode)
	}
	for i, g := range in.Groups {
		for j, did := range g.Members {
			if err := checkDID(fmt.Sprintf("groups[%d].members[%d]", i, j), did); err != nil {
				return err
			}
		}
	}
	for i, o := range in.Own {
		if err := checkDID(fmt.Sprintf("own[%d].account", i), o.Account); err != nil {
			return err
		}
	}
	if in.Preset != "" {
		_, err := policy.Find(in.Preset, 0)
		return err
	}
	return nil
}

// over returns the policy that the input makes of the one before.
func (in *SetPolicyIn) over(before creditPolicy, known bool, scale uint8) (*creditPolicy, error) {
	p := before
	p.Currency, p.Preset = in.Currency, ""
	switch {
	case in.Preset != "":
		preset, err := policy.Find(in.Preset, scale)
		if err != nil {
			return nil, err
		}
		r := &preset.Rule
		p.Preset = in.Preset
		p.Start, p.Base, p.Max, p.Ramp, p.Growth, p.Per, p.Trust, p.Warn = r.Start, r.Base, r.Max, r.Ramp, r.Growth, r.Per, r.Trust, preset.Warn
	case !known && (in.Base == nil || in.Max == nil):
		return nil, errors.New("preset: missing, and so is base or max; a first policy has a preset, or both of these")
	case !known && in.Start == nil:
		p.Start = *in.Base
	}
	changed := false
	for _, f := range []struct {
		to   *int64
		from *int64
	}{
		{&p.Start, in.Start},
		{&p.Base, in.Base},
		{&p.Max, in.Max},
		{&p.Ramp, in.Ramp},
		{&p.Growth, in.Growth},
		{&p.Per, in.Per},
		{&p.Trust, in.Trust},
		{&p.Warn, in.Warn},
	} {
		if f.from != nil && *f.to != *f.from {
			*f.to, changed = *f.from, true
		}
	}
	if changed {
		p.Preset = ""
	}
	if in.Lower != nil {
		p.Lower = *in.Lower
	}
	if in.Groups != nil {
		p.Groups = nil
		for _, g := range in.Groups {
			members := slices.Sorted(slices.Values(g.Members))
			p.Groups = append(p.Groups, creditGroup{Name: g.Name, Base: g.Base, Max: g.Max, Members: members})
		}
		slices.SortFunc(p.Groups, func(a, b creditGroup) int { return strings.Compare(a.Name, b.Name) })
	}
	if in.Own != nil {
		p.Own = nil
		for _, o := range in.Own {
			p.Own = append(p.Own, ownLimit{Account: o.Account, Limit: o.Limit, Reason: o.Reason})
		}
		slices.SortFunc(p.Own, func(a, b ownLimit) int { return strings.Compare(string(a.Account), string(b.Account)) })
	}
	return &p, nil
}

// SetPolicyOut is the output of ledger.policy.set.
type SetPolicyOut struct {
	Receipt api.Receipt    `json:"receipt,omitzero" doc:"none of a dry run"`
	Policy  CreditPolicy   `json:"policy"`
	Becomes map[string]int `json:"becomes" doc:"of how many members' limits becomes what: even, rises, lowers, above (it is more than the policy gives, and stays), waits (to be lowered until less is owed), by-hand (it is left alone), frozen"`
	Changes []LimitRow     `json:"changes" doc:"the first 50 that change"`
}

// maxEffects bounds how many members a new policy is tried on, and maxListed how many of those that change are listed.
const (
	maxEffects = 10_000
	maxListed  = 50
)

func (a *App) setPolicy(ctx context.Context, call *api.Call, in *SetPolicyIn) (*SetPolicyOut, error) {
	const op = "ledger.policy.set"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.grants.Lock() // before reading: policies are numbered
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := checkCurrency(op, s, in.Currency); err != nil {
		return nil, err
	}
	d, err := asClerk(op, r, s, signer, "sets the credit policy")
	if err != nil {
		return nil, err
	}
	c, _ := s.Currency(in.Currency)
	before, at, known := policyOf(r, s, in.Currency)
	next, err := in.over(before, known, c.Scale)
	if err == nil {
		next.Number = fact.Number(first(r.Own(d.from, rowPolicies))) + 1
		err = next.check()
	}
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	out := &SetPolicyOut{}
	switch same := known && next.same(&before); {
	case same: // a request that is repeated
		next.Number, out.Receipt = before.Number, fact.Repeated(r, at)
	case !in.DryRun:
		if out.Receipt, err = host.Append(ctx, signer, d.draft(s, kindPolicy, next, call.Idempotency), call.Wait); err != nil {
			return nil, api.Wrap(op, err)
		}
	}
	out.Policy = next.shown(s, out.Receipt.Position.ID)
	as := a.newAssessor(host, r, s, next)
	out.Becomes, out.Changes = map[string]int{}, []LimitRow{}
	for i, did := range membersAfter(host, s.ID, "") {
		if i == maxEffects || ctx.Err() != nil {
			break
		}
		v, ok := as.assess(did)
		if !ok {
			continue
		}
		out.Becomes[v.becomes]++
		if (v.becomes == limitRises || v.becomes == limitLowers) && len(out.Changes) < maxListed {
			out.Changes = append(out.Changes, as.row(&v))
		}
	}
	return out, nil
}
