package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

func (a *App) treasuryOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "treasury.propose", Method: http.MethodPost, Path: "/treasury/proposals", CLI: "treasury propose", Scope: "treasury:write", Write: true,
			Signs: api.SignsOne, Summary: "Propose a payment from the treasury",
		}, a.propose),
		api.Handle(api.Operation{
			Name: "treasury.revise", Method: http.MethodPost, Path: "/treasury/rules", CLI: "treasury revise", Scope: "treasury:write", Write: true,
			Signs: api.SignsOne, Summary: "Propose other rules for the treasury: who approves, from which amount on, and how much is for what",
		}, a.revise),
		api.Handle(api.Operation{
			Name: "treasury.approve", Method: http.MethodPost, Path: "/treasury/approve", CLI: "treasury approve", Scope: "treasury:write", Write: true,
			Signs: api.SignsOne, Summary: "Approve what another member has proposed",
		}, a.approveProposal),
		api.Handle(api.Operation{
			Name: "treasury.proposals", Kind: api.List, Method: http.MethodGet, Path: "/treasury/proposals", CLI: "treasury proposals", Scope: "treasury:read",
			Summary: "List what was proposed, the newest first, who has approved it, and what became of it",
		}, a.proposals),
		api.Handle(api.Operation{
			Name: "treasury.do", Method: http.MethodPost, Path: "/treasury/do", CLI: "treasury do", Scope: "treasury:spend", Write: true,
			Signs: api.SignsOne, Summary: "Carry out what was proposed and approved, as the treasury's office",
		}, a.carryOut),
		api.Handle(api.Operation{
			Name: "treasury.pay", Method: http.MethodPost, Path: "/treasury/pay", CLI: "treasury pay", Scope: "treasury:spend", Write: true,
			Signs: api.SignsOne, Summary: "Pay a small amount that needs no approval, as the treasury's office",
		}, a.payFromTreasury),
		api.Handle(api.Operation{
			Name: "treasury.show", Method: http.MethodGet, Path: "/treasury", CLI: "treasury show", Scope: "treasury:read",
			Summary: "Show what the treasury has, its rules, and what is left of its budgets",
		}, a.showTreasury),
	}
}

// SpendIn is the input of treasury.propose and treasury.pay.
type SpendIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	To       api.DID  `json:"to" doc:"DID of the member to pay"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64    `json:"amount" doc:"Minor units, more than 0" example:"150"`
	Purpose  string   `json:"purpose,omitempty" doc:"Of the budget that it is from, where the rules have budgets"`
	Memo     string   `json:"memo,omitempty" doc:"What it is for, at most 256 bytes, one line"`
}

// Validate implements api.Validator.
func (in *SpendIn) Validate() error {
	if err := checkDID("to", in.To); err != nil {
		return err
	}
	s := in.body()
	return s.check()
}

func (in *SpendIn) body() spending {
	return spending{To: in.To, Currency: in.Currency, Amount: in.Amount, Purpose: in.Purpose, Memo: in.Memo}
}

// ProposeOut is the output of treasury.propose and treasury.revise.
type ProposeOut struct {
	Receipt  api.Receipt `json:"receipt"`
	Proposal api.Hash    `json:"proposal" doc:"by which it is approved and carried out"`
	Needed   int         `json:"needed" doc:"approvals of others"`
}

func (a *App) propose(ctx context.Context, call *api.Call, in *SpendIn) (*ProposeOut, error) {
	const op = "treasury.propose"
	return a.put(ctx, call, op, in.Space, func(r api.Reader, s *fact.Space, d *desk) (string, any, uint64, error) {
		body := in.body()
		if err := payable(op, s, &body); err != nil {
			return "", nil, 0, err
		}
		rules := d.rules(r, s)
		if _, ok := rules.budget(&body); !ok {
			return "", nil, 0, noBudget(op, rules, &body)
		}
		return kindPropose, &body, rules.need(&body), nil
	})
}

func payable(op string, s *fact.Space, body *spending) error {
	if err := checkCurrency(op, s, body.Currency); err != nil {
		return err
	}
	if !receives(s, body.To) {
		return api.Refusal(op, stranger(s, body.To))
	}
	return nil
}

func noBudget(op string, rules *treasuryRules, s *spending) error {
	why := *outsideBudget.Void
	var names []string
	for _, b := range rules.Budgets {
		names = append(names, b.Purpose+" in "+b.Currency)
	}
	why.Inputs = map[string]string{"purpose": s.Purpose, "currency": s.Currency, "budgets": oneOf(names)}
	return api.Refusal(op, &why)
}

// ReviseIn is the input of treasury.revise.
type ReviseIn struct {
	Space     api.Hash  `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Approvers []api.DID `json:"approvers" doc:"DIDs of the members who can approve"`
	Need      int       `json:"need" doc:"How many of them have to, for payments above all tiers and for other rules" example:"1"`
	Tiers     []string  `json:"tiers,omitempty" doc:"Fewer approvals for less: currency:amount:approvals, such as hours:1000:0 for payments of up to 1000 minor units that the office makes alone"`
	Budgets   []string  `json:"budgets,omitempty" doc:"What may be spent: purpose:currency:amount:month or year, such as seeds:hours:5000:month; without any, all that is approved"`
}

// Validate implements api.Validator.
func (in *ReviseIn) Validate() error {
	for i, did := range in.Approvers {
		if err := checkDID("approvers["+strconv.Itoa(i)+"]", did); err != nil {
			return err
		}
	}
	r, err := in.body()
	if err != nil {
		return err
	}
	return r.check()
}

func (in *ReviseIn) body() (*treasuryRules, error) {
	r := &treasuryRules{Approvers: slices.Clone(in.Approvers), Need: uint64(max(in.Need, 0))}
	slices.Sort(r.Approvers)
	for i, text := range in.Tiers {
		parts := strings.Split(text, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("tiers[%d] %q: want currency:amount:approvals", i, clip(text))
		}
		most, err := strconv.ParseInt(parts[1], 10, 64)
		need, err2 := strconv.ParseUint(parts[2], 10, 16)
		if err != nil || err2 != nil {
			return nil, fmt.Errorf("tiers[%d] %q: want whole numbers for the amount, in minor units, and the approvals", i, clip(text))
		}
		r.Tiers = append(r.Tiers, tier{Currency: parts[0], Most: most, Need: need})
	}
	for i, text := range in.Budgets {
		parts := strings.Split(text, ":")
		if len(parts) != 4 {
			return nil, fmt.Errorf("budgets[%d] %q: want purpose:currency:amount:month or year", i, clip(text))
		}
		amount, err := strconv.ParseInt(parts[2], 10, 64)
		every := parts[3]
		if err != nil || every != everyMonth && every != everyYear {
			return nil, fmt.Errorf("budgets[%d] %q: want a whole number of minor units, and month or year", i, clip(text))
		}
		r.Budgets = append(r.Budgets, budget{Purpose: parts[0], Currency: parts[1], Amount: amount, Every: every})
	}
	slices.SortStableFunc(r.Tiers, func(a, b tier) int {
		return cmp.Or(strings.Compare(a.Currency, b.Currency), cmp.Compare(a.Most, b.Most))
	})
	slices.SortStableFunc(r.Budgets, func(a, b budget) int {
		return cmp.Or(strings.Compare(a.Purpose, b.Purpose), strings.Compare(a.Currency, b.Currency))
	})
	return r, nil
}

func (a *App) revise(ctx context.Context, call *api.Call, in *ReviseIn) (*ProposeOut, error) {
	const op = "treasury.revise"
	return a.put(ctx, call, op, in.Space, func(r api.Reader, s *fact.Space, d *desk) (string, any, uint64, error) {
		rules, err := in.body()
		if err != nil {
			return "", nil, 0, api.Errorf(op, api.Invalid, "%w", err)
		}
		for _, did := range rules.Approvers {
			if _, _, ok := s.Member(did); !ok {
				return "", nil, 0, api.Refusal(op, stranger(s, did))
			}
		}
		for _, code := range append(codes(rules.Tiers, func(t tier) string { return t.Currency }), codes(rules.Budgets, func(b budget) string { return b.Currency })...) {
			if err := checkCurrency(op, s, code); err != nil {
				return "", nil, 0, err
			}
		}
		return kindProposeRules, rules, max(d.rules(r, s).Need, 1), nil
	})
}

func codes[T any](all []T, code func(T) string) (out []string) {
	for _, x := range all {
		out = append(out, code(x))
	}
	return out
}

// put writes a member's proposal.
func (a *App) put(ctx context.Context, call *api.Call, op string, space api.Hash, make func(api.Reader, *fact.Space, *desk) (string, any, uint64, error)) (*ProposeOut, error) {
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, d, err := a.seeTreasury(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	kind, body, need, err := make(r, s, &d)
	if err != nil {
		return nil, err
	}
	p, err := asMember(op, r, s, signer)
	if err != nil {
		return nil, err
	}
	rc, err := host.Append(ctx, signer, p.draft(s, kind, body, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return &ProposeOut{Receipt: rc, Proposal: rc.Position.ID, Needed: int(need)}, nil
}

// asMember plans a record of the signer's account, of its primary device.
func asMember(op string, r api.Reader, s *fact.Space, signer api.Signer) (*plan, error) {
	p, ok := prepare(r, s, signer.DID(), "", 0)
	if !ok {
		return nil, api.Refusal(op, stranger(s, signer.DID()))
	}
	if p.feed != s.Feed(fact.LedgerTopic, signer.Device()) {
		return nil, api.Refusal(op, notMember.Void)
	}
	return p, nil
}

// seeTreasury is see, with the desk of the treasury's office.
func (a *App) seeTreasury(op string, space api.Hash) (host api.Host, r api.Reader, s *fact.Space, d desk, err error) {
	if host, r, s, err = a.see(op, space); err != nil {
		return nil, nil, nil, d, err
	}
	if d, err = treasuryDesk(op, r, s); err != nil {
		r.Close()
		return nil, nil, nil, d, err
	}
	return host, r, s, d, nil
}

// treasuryDesk returns the desk of the treasury's office.
func treasuryDesk(op string, r api.Reader, s *fact.Space) (desk, error) {
	d, ok := deskOf(r, s, fact.Treasury, fact.TreasuryTopic)
	if !ok {
		return d, api.Errorf(op, api.NotFound, "%s has no treasury", s.Genesis.Name)
	}
	return d, nil
}

// rules returns what holds.
func (d *desk) rules(r api.Reader, s *fact.Space) *treasuryRules {
	if b, _, ok := r.Own(d.from, rowRules); ok {
		rules := get[treasuryRules](b, ok)
		return &rules
	}
	return firstRules(s.Genesis.Founders)
}

// ConsentIn is the input of treasury.approve.
type ConsentIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Proposal api.Hash `json:"proposal" doc:"Id of the proposal, as treasury proposals lists them"`
}

// Validate implements api.Validator.
func (in *ConsentIn) Validate() error {
	if in.Proposal.IsZero() {
		return errors.New("proposal: missing; want the id of a proposal, as treasury proposals lists them")
	}
	return nil
}

// ConsentOut is the output of treasury.approve.
type ConsentOut struct {
	Receipt  api.Receipt `json:"receipt"`
	Proposal Proposal    `json:"proposal"`
}

func (a *App) approveProposal(ctx context.Context, call *api.Call, in *ConsentIn) (*ConsentOut, error) {
	const op = "treasury.approve"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.awaitFinal(ctx, call, in.Proposal)
	host, r, s, d, err := a.seeTreasury(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	x, err := proposalOf(op, r, s, in.Proposal)
	if err != nil {
		return nil, err
	}
	switch rules := d.rules(r, s); {
	case x.by == signer.DID() || x.pays.To == signer.DID():
		return nil, api.Refusal(op, ownProposal.Void)
	case !rules.mayApprove(signer.DID()):
		var names []string
		for _, did := range rules.Approvers {
			names = append(names, string(did))
		}
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-approver", Text: "the rules of the treasury name others to approve",
			Inputs: map[string]string{"approvers": oneOf(names)}, Remedy: "ask one of them, or propose other rules: icnctl treasury revise",
		})
	}
	p, err := asMember(op, r, s, signer)
	if err != nil {
		return nil, err
	}
	if b, at, ok := r.Own(p.feed, rowApproved(in.Proposal)); ok && b != nil {
		return &ConsentOut{Receipt: fact.Repeated(r, at), Proposal: d.describe(r, s, x)}, nil // a request that is repeated
	}
	if err := mustBeFinal(op, x.rec, x.verdict, signer.DID()); err != nil {
		return nil, err
	}
	p.deps = fact.Deps(append(p.deps, x.at))
	body := &approval{Proposal: x.at.ID}
	rc, err := host.Append(ctx, signer, p.draft(s, kindApprove, body, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	now := host.Read()
	defer now.Close()
	if after, ok := fact.Open(now, s.ID); ok {
		s, r = after, now
	}
	return &ConsentOut{Receipt: rc, Proposal: d.describe(r, s, x)}, nil
}

// DoIn is the input of treasury.do.
type DoIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Proposal api.Hash `json:"proposal" doc:"Id of the proposal"`
}

// Validate implements api.Validator.
func (in *DoIn) Validate() error {
	p := ConsentIn{Proposal: in.Proposal}
	return p.Validate()
}

// DoOut is the output of treasury.do and treasury.pay. Amounts are minor units.
type DoOut struct {
	Receipt api.Receipt `json:"receipt"`
	Balance int64       `json:"balance" doc:"of the treasury, in the currency of the payment; of a gift currency 0"`
}

func (a *App) carryOut(ctx context.Context, call *api.Call, in *DoIn) (*DoOut, error) {
	const op = "treasury.do"
	a.awaitFinal(ctx, call, in.Proposal)
	return a.act(ctx, call, op, in.Space, func(r api.Reader, s *fact.Space, d *desk) (w work, err error) {
		x, err := proposalOf(op, r, s, in.Proposal)
		if err != nil {
			return w, err
		}
		// A request with a name may be one that is repeated, which Append knows and answers; any other of what is done is refused by the fold.
		if p := d.describe(r, s, x); p.State == "done" && call.Idempotency == "" {
			return w, api.Errorf(op, api.Conflict, "proposal %s was carried out by record %s", in.Proposal, p.Done)
		}
		if err := mustBeFinal(op, x.rec, x.verdict, call.Signer.DID()); err != nil {
			return w, err
		}
		w.deps = append(s.Views(), x.at)
		for _, at := range approvals(r, s, in.Proposal) {
			if sh, ok := certain(r, s, at.Feed); ok && sh.at.Seq >= at.Seq {
				w.deps = append(w.deps, sh.cite...)
			}
		}
		if t := x.rules; t != nil {
			w.kind, w.body = kindRules, &rules{Proposal: x.at.ID, Approvers: t.Approvers, Need: t.Need, Tiers: t.Tiers, Budgets: t.Budgets}
			return w, nil
		}
		w.pays = x.pays
		w.kind, w.body = kindSpend, &spend{Proposal: x.at.ID, To: w.pays.To, Currency: w.pays.Currency, Amount: w.pays.Amount, Purpose: w.pays.Purpose, Memo: w.pays.Memo}
		return w, nil
	})
}

func (a *App) payFromTreasury(ctx context.Context, call *api.Call, in *SpendIn) (*DoOut, error) {
	const op = "treasury.pay"
	return a.act(ctx, call, op, in.Space, func(_ api.Reader, s *fact.Space, _ *desk) (work, error) {
		body := in.body()
		return work{kind: kindPay, body: &body, pays: body}, payable(op, s, &body)
	})
}

// work is what the office is to write.
type work struct {
	kind string
	body any
	pays spending // none for rules
	deps []api.Position
}

// act writes a record of the treasury's office, which takes into account what it was paid.
func (a *App) act(ctx context.Context, call *api.Call, op string, space api.Hash, make func(api.Reader, *fact.Space, *desk) (work, error)) (*DoOut, error) {
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.grants.Lock() // one act at a time: they count against one budget
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, err := treasuryDesk(op, r, s)
	switch {
	case err != nil:
		return nil, err
	case !s.Holds(signer, fact.Treasury):
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-in-office", Text: "only the treasury's office of " + s.Genesis.Name + " spends what it has",
			Inputs: map[string]string{"treasury": string(d.office.DID)}, Remedy: "ask " + string(d.office.DID),
		})
	}
	if err := d.writable(op); err != nil {
		return nil, err
	}
	w, err := make(r, s, &d)
	if err != nil {
		return nil, err
	}
	p := d.purse(r, s, w.pays.Currency, w.pays.Amount)
	d.deps = append(append(d.deps, p.deps...), w.deps...)
	rc, err := host.Append(ctx, signer, d.draft(s, w.kind, w.body, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	now := host.Read()
	defer now.Close()
	out := &DoOut{Receipt: rc}
	if c, _ := s.Currency(w.pays.Currency); !c.Gift() {
		out.Balance = now.Counter(balanceKey(nil, s.ID, w.pays.Currency, fact.TreasuryAccount))
	}
	return out, nil
}

// purse plans what the treasury's next record takes in.
func (d *desk) purse(r api.Reader, s *fact.Space, code string, amount int64) *plan {
	p := &plan{feed: d.feed}
	for _, code := range s.Genesis.Currencies {
		c, _ := s.Currency(code)
		p.states = append(p.states, state{code: code, scale: c.Scale, account: getAccount(first(r.Own(d.from, rowAccount(code))))})
	}
	p.fees(r, s, fact.TreasuryAccount)
	p.acknowledge(r, s, fact.TreasuryAccount, code, amount, api.Position{})
	return p
}
