package ledger

import (
	"context"
	"errors"
	"net/http"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// mandateOperations are those about helpers.
func (a *App) mandateOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "ledger.mandate", Method: http.MethodPost, Path: "/ledger/mandates", CLI: "ledger mandate", Scope: "ledger:write", Write: true,
			Signs: api.SignsOne, Summary: "Let a helper pay for you, with another device of yours, so much in a period; or end that",
		}, a.mandate),
		api.Handle(api.Operation{
			Name: "ledger.mandates", Method: http.MethodGet, Path: "/ledger/mandates", CLI: "ledger mandates", Scope: "ledger:read",
			Summary: "List who may pay for a member, and how much of it is left",
		}, a.mandates),
	}
}

// MandateIn is the input of ledger.mandate.
type MandateIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Device   api.Key  `json:"device" doc:"Public key of the device of yours that the helper holds, 64 hexadecimal digits"`
	Helper   api.DID  `json:"helper" doc:"DID of the helper, who stays the same for a device"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64    `json:"amount" doc:"That may be paid in a period, minor units; 0 ends the mandate"`
	Every    string   `json:"every" doc:"day, week or month, by UTC" example:"month"`
	Last     string   `json:"last,omitempty" doc:"The last day, such as 2027-05-31; default: until you end it"`
	Consent  string   `json:"consent,omitempty" doc:"How the member has agreed, if not by this record alone: such as on paper, when, and where that is; one line"`
}

// Validate implements api.Validator.
func (in *MandateIn) Validate() error {
	if err := checkDID("helper", in.Helper); err != nil {
		return err
	}
	return in.body().check()
}

func (in *MandateIn) body() *mandate {
	return &mandate{Device: in.Device, Helper: in.Helper, Currency: in.Currency, Amount: in.Amount, Every: in.Every, Last: in.Last, Consent: in.Consent}
}

// MandateOut is the output of ledger.mandate.
type MandateOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) mandate(ctx context.Context, call *api.Call, in *MandateIn) (*MandateOut, error) {
	const op = "ledger.mandate"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if err := checkCurrency(op, s, in.Currency); err != nil {
		return nil, err
	}
	m, _, ok := s.Member(signer.DID())
	if !ok {
		return nil, api.Refusal(op, stranger(s, signer.DID()))
	}
	if m.Device != signer.Device() {
		return nil, api.Refusal(op, notPrimary(signer.Device(), m.Device))
	}
	p, _ := prepareMost(r, s, signer.DID(), in.Currency)
	if b, at, ok := r.Own(p.feed, rowMandates); ok {
		for _, had := range get[mandated](b, ok).All {
			if had == *in.body() { // a request that is repeated
				return &MandateOut{Receipt: fact.Repeated(r, at)}, nil
			}
		}
	}
	rc, err := host.Append(ctx, signer, p.draft(s, kindMandate, in.body(), call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return &MandateOut{Receipt: rc}, nil
}

// MandatesIn is the input of ledger.mandates.
type MandatesIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"DID of the member; default: your own"`
}

// Validate implements api.Validator.
func (in *MandatesIn) Validate() error {
	if in.DID == "" {
		return nil
	}
	return checkDID("did", in.DID)
}

// MandatesOut is the output of ledger.mandates.
type MandatesOut struct {
	DID      api.DID   `json:"did"`
	Mandates []Mandate `json:"mandates"`
}

// Mandate says how much a helper may pay. Amounts are minor units.
type Mandate struct {
	Device   api.Key `json:"device"`
	Helper   api.DID `json:"helper"`
	Currency string  `json:"currency"`
	Scale    int     `json:"scale"`
	Amount   int64   `json:"amount" doc:"in a period; 0: it has ended"`
	Every    string  `json:"every"`
	Last     string  `json:"last,omitempty"`
	Consent  string  `json:"consent,omitempty"`
	Spent    int64   `json:"spent" doc:"in this period"`
	Over     bool    `json:"over,omitempty" doc:"it has ended"`
	Known    bool    `json:"known" doc:"the helper's device goes by it; until then it goes by the one before, or pays nothing"`
}

func (a *App) mandates(_ context.Context, call *api.Call, in *MandatesIn) (*MandatesOut, error) {
	const op = "ledger.mandates"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &MandatesOut{DID: in.DID, Mandates: []Mandate{}}
	if out.DID == "" {
		out.DID = call.Actor
	}
	m, _, ok := s.Member(out.DID)
	if !ok {
		why := stranger(s, out.DID)
		return nil, &api.Error{Op: op, Kind: api.NotFound, Reason: why, Err: errors.New(why.Text)}
	}
	from, _, _ := standing(r, s, s.Feed(fact.LedgerTopic, m.Device), m)
	now := host.Now()
	for _, x := range get[mandated](first(r.Own(from, rowMandates))).All {
		c, _ := s.Currency(x.Currency)
		one := Mandate{
			Device: x.Device, Helper: x.Helper, Currency: x.Currency, Scale: int(c.Scale), Amount: x.Amount, Every: x.Every, Last: x.Last, Consent: x.Consent, Over: x.over(now),
		}
		feed := s.Feed(fact.LedgerTopic, x.Device)
		for _, known := range get[helped](first(r.Own(feed, rowHelped(feed)))).Mandates {
			one.Known = one.Known || known == x
		}
		if sum := get[spent](first(r.Own(feed, rowHand(feed, x.Currency)))); sum.Period == x.period(now) {
			one.Spent = sum.Amount
		}
		out.Mandates = append(out.Mandates, one)
	}
	return out, nil
}

// Mandated is the data of ledger.mandated.
type Mandated struct {
	Device   api.Key `json:"device" doc:"of the member's, which the helper holds"`
	Helper   api.DID `json:"helper"`
	Currency string  `json:"currency"`
	Amount   int64   `json:"amount" doc:"that may be paid in a period, minor units; 0: it has ended"`
	Every    string  `json:"every"`
	Last     string  `json:"last,omitempty"`
}
