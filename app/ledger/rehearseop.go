package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/rehearsal"
	"github.com/intercooperative/icn/kernel/api"
)

func (a *App) rehearseOperation() api.Operation {
	return api.Handle(api.Operation{
		Name: "ledger.rehearse", Method: http.MethodPost, Path: "/ledger/rehearse", CLI: "ledger rehearse", Scope: "ledger:read",
		Summary: "Replay the past as if other rules had held: whose payments they would have refused, and what they would have charged",
	}, a.rehearse)
}

// RehearseIn is the input of ledger.rehearse.
type RehearseIn struct {
	Space    api.Hash         `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Currency string           `json:"currency" doc:"Code of the currency" example:"hours"`
	Policy   *ProposedPolicy  `json:"policy,omitempty" example:"{\"currency\":\"hours\",\"preset\":\"conservative\"}" doc:"A credit policy, as ledger.policy.set would take it, as if it had held from the first day on; lower and warn make no difference. Without one the limits are those that were granted"`
	Charges  []ProposedCharge `json:"charges,omitempty" doc:"Dues, levies or demurrage, as ledger.schedule would take them, at most 16; one of the name of a schedule takes its place"`
	Period
}

// ProposedPolicy is what ledger.policy.set would be asked.
type ProposedPolicy SetPolicyIn

// ProposedCharge is what ledger.schedule would be asked.
type ProposedCharge ScheduleIn

// Validate implements api.Validator.
func (in *RehearseIn) Validate() error {
	switch {
	case !isCode(in.Currency, maxCode):
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(in.Currency), maxCode)
	case in.Policy == nil && len(in.Charges) == 0:
		return errors.New("policy: missing, and so are charges; want the rules that are to be rehearsed")
	case len(in.Charges) > maxRehearsals:
		return fmt.Errorf("charges: %d, at most %d", len(in.Charges), maxRehearsals)
	}
	if p := (*SetPolicyIn)(in.Policy); p != nil {
		if p.Currency != in.Currency {
			return fmt.Errorf("policy.currency %q: want %s, as of the rehearsal", clip(p.Currency), in.Currency)
		}
		if err := p.Validate(); err != nil {
			return fmt.Errorf("policy.%w", err)
		}
	}
	names := map[string]bool{}
	for i := range in.Charges {
		c := (*ScheduleIn)(&in.Charges[i])
		switch err := c.Validate(); {
		case err != nil:
			return fmt.Errorf("charges[%d].%w", i, err)
		case c.Currency != in.Currency:
			return fmt.Errorf("charges[%d].currency %q: want %s, as of the rehearsal", i, clip(c.Currency), in.Currency)
		case names[c.Name]:
			return fmt.Errorf("charges[%d].name %q: stands twice", i, c.Name)
		}
		names[c.Name] = true
	}
	return in.check()
}

// RehearseOut is the output of ledger.rehearse: on all nodes that hold the same records the same, to the byte. Amounts are minor units.
type RehearseOut struct {
	Space    api.Hash `json:"space"`
	Currency string   `json:"currency"`
	Scale    int      `json:"scale"`
	From     int64    `json:"from" doc:"Unix milliseconds; what was before stays as it was"`
	To       int64    `json:"to" doc:"Unix milliseconds: until before then"`
	Summary  string   `json:"summary" doc:"in one sentence"`

	Payments int   `json:"payments" doc:"that were looked at"`
	Paid     int64 `json:"paid" doc:"what they come to"`
	Refused  int   `json:"refused" doc:"of them, that the rules would have refused"`
	Withheld int64 `json:"withheld" doc:"what these come to"`
	Moot     int   `json:"moot" doc:"records that would have had nothing to stand on, such as what gives back a payment that was refused"`
	Replaced int   `json:"replaced" doc:"records by which schedules of the same name have charged, and that were left out"`
	Moved    int64 `json:"moved" doc:"what the charges would have moved to the treasury, less what levies give back"`
	Affected int   `json:"affected" doc:"members for whom anything would be otherwise"`

	Refusals []RehearsedRefusal `json:"refusals" doc:"the first 500"`
	Charges  []RehearsedCharge  `json:"charges"`
	Accounts []RehearsedAccount `json:"accounts" doc:"the first 1000 for whom anything would be otherwise, by DID"`

	Digest api.Hash `json:"digest" doc:"SHA-256 of all this as JSON, without the digest: to compare with what others find"`
}

// RehearsedRefusal is a payment that would have been refused. Amounts are minor units.
type RehearsedRefusal struct {
	ID      api.Hash `json:"id"`
	Time    int64    `json:"time" doc:"Unix milliseconds, by the payer's clock"`
	From    api.DID  `json:"from"`
	To      api.DID  `json:"to" doc:"of several, the first"`
	Amount  int64    `json:"amount"`
	Balance int64    `json:"balance" doc:"of the payer, then"`
	Limit   int64    `json:"limit"`
	Short   int64    `json:"short_by" doc:"what was missing"`
}

// RehearsedCharge is what a schedule would have charged. Amounts are minor units.
type RehearsedCharge struct {
	Name     string `json:"name"`
	Charge   string `json:"charge"`
	Periods  int    `json:"periods"`
	Accounts int    `json:"accounts"`
	Charges  int    `json:"charges" doc:"of an account for a period"`
	Sum      int64  `json:"sum"`
	Back     int64  `json:"back,omitempty" doc:"of a levy, on what was given back later"`
}

// RehearsedAccount is what would be otherwise for an account. Amounts are minor units.
type RehearsedAccount struct {
	Account  api.DID `json:"account"`
	Refused  int     `json:"refused,omitempty"`
	Withheld int64   `json:"withheld,omitempty" doc:"what it would not have paid"`
	Charged  int64   `json:"charged,omitempty"`
	Balance  int64   `json:"balance" doc:"in the end, as it was"`
	Would    int64   `json:"would" doc:"in the end, as it would be"`
	Limit    int64   `json:"limit" doc:"in the end, by the rules"`
}

// maxRehearsedAccounts bounds the accounts of a report.
const maxRehearsedAccounts = 1000

func (a *App) rehearse(ctx context.Context, _ *api.Call, in *RehearseIn) (*RehearseOut, error) {
	const op = "ledger.rehearse"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := checkCurrency(op, s, in.Currency); err != nil {
		return nil, err
	}
	if c, _ := s.Currency(in.Currency); c.Gift() {
		return nil, api.Refusal(op, giftCurrency(in.Currency).Void)
	}
	p, err := past(ctx, op, host, r, s, in.Currency)
	if err != nil {
		return nil, err
	}
	proposal, err := in.proposal(r, s, p)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	rep := rehearsal.Run(p, proposal)
	c, _ := s.Currency(in.Currency)
	out := &RehearseOut{
		Space: s.ID, Currency: in.Currency, Scale: int(c.Scale), From: proposal.From, To: proposal.To, Payments: rep.Payments, Paid: rep.Paid, Refused: rep.Refused,
		Withheld: rep.Withheld, Moot: rep.Moot, Replaced: rep.Replaced, Moved: rep.Collected, Affected: rep.Members,
		Refusals: []RehearsedRefusal{}, Charges: []RehearsedCharge{}, Accounts: []RehearsedAccount{},
	}
	text := func(n int64) string { return decimals(fmt.Sprint(n), c.Scale) + " " + in.Currency }
	out.Summary = fmt.Sprintf("would have refused %d of %d payments, %s of %s, moved %s to the treasury, and affected %d members",
		rep.Refused, rep.Payments, text(rep.Withheld), text(rep.Paid), text(rep.Collected), rep.Members)
	for _, x := range rep.Refusals {
		out.Refusals = append(out.Refusals, RehearsedRefusal{
			ID: x.ID, Time: x.At, From: api.DID(x.From), To: api.DID(x.To), Amount: x.Amount, Balance: x.Balance, Limit: x.Limit, Short: x.Short,
		})
	}
	for _, x := range rep.Charges {
		out.Charges = append(out.Charges, RehearsedCharge{Name: x.Name, Charge: x.Of, Periods: x.Periods, Accounts: x.Accounts, Charges: x.Charges, Sum: x.Sum, Back: x.Back})
	}
	for _, x := range rep.Accounts[:min(len(rep.Accounts), maxRehearsedAccounts)] {
		out.Accounts = append(out.Accounts, RehearsedAccount{
			Account: api.DID(x.Account), Refused: x.Refused, Withheld: x.Withheld, Charged: x.Charged, Balance: x.Before, Would: x.After, Limit: x.Limit,
		})
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	out.Digest = sha256.Sum256(b)
	return out, nil
}

// proposal says what is rehearsed. Where no end is given it is that of the past: no clock has a say.
func (in *RehearseIn) proposal(r api.Reader, s *fact.Space, past *rehearsal.Past) (*rehearsal.Proposal, error) {
	span, err := in.span(time.Unix(0, 0))
	if err != nil {
		return nil, err
	}
	out := &rehearsal.Proposal{To: span.to.UnixMilli()}
	if !span.from.IsZero() {
		out.From = span.from.UnixMilli()
	}
	if in.To == "" {
		out.To = out.From
		for i := range past.Events {
			out.To = max(out.To, int64(past.Events[i].Time>>16)+1)
		}
	}
	if in.Policy != nil {
		c, _ := s.Currency(in.Currency)
		before, _, known := policyOf(r, s, in.Currency)
		p, err := (*SetPolicyIn)(in.Policy).over(before, known, c.Scale)
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		p.Number = 1 // of none
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		out.Rule = p.rule()
	}
	from := time.UnixMilli(out.From)
	if out.From == 0 {
		if rec, _, ok := r.Record(s.Founded); ok {
			from = rec.Time.Time()
		}
	}
	for i := range in.Charges {
		sch := (*ScheduleIn)(&in.Charges[i]).body(from)
		c, err := sch.rehearsed(time.UnixMilli(out.From), time.UnixMilli(out.To))
		if err != nil {
			return nil, fmt.Errorf("charges[%d]: %w", i, err)
		}
		out.Charges = append(out.Charges, c)
	}
	return out, nil
}
