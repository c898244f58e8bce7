package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// AllotIn is the input of ledger.allot.
type AllotIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Device   api.Key  `json:"device" doc:"Public key of another device of yours, 64 hexadecimal digits: id show on that device tells"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64    `json:"amount" doc:"Minor units, more than 0; added to what is set aside already" example:"150"`
}

// Validate implements api.Validator.
func (in *AllotIn) Validate() error {
	b := allotment{Device: in.Device, Currency: in.Currency, Amount: in.Amount}
	return b.check()
}

// AllotOut is the output of ledger.allot. Amounts are minor units.
type AllotOut struct {
	Receipt   api.Receipt `json:"receipt"`
	Available int64       `json:"available" doc:"what is left for the primary device itself"`
}

func (a *App) allot(ctx context.Context, call *api.Call, in *AllotIn) (*AllotOut, error) {
	const op = "ledger.allot"
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
	switch {
	case m.Device != signer.Device():
		return nil, api.Refusal(op, notPrimary(signer.Device(), m.Device))
	case m.Device == in.Device:
		return nil, api.Errorf(op, api.Invalid, "device: this is the device that you act with; it spends from the account itself")
	}
	for _, h := range host.Heads(api.Topic{Space: s.ID}) {
		if h.Device == in.Device && h.Author != signer.DID() {
			return nil, api.Errorf(op, api.Invalid, "device: it is %s's; name another device of your own", h.Author)
		}
	}
	p, _ := prepare(r, s, signer.DID(), in.Currency, in.Amount)
	body := &allotment{Device: in.Device, Currency: in.Currency, Amount: in.Amount}
	rc, err := host.Append(ctx, signer, p.draft(s, kindAllot, body, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, explain(err, s, p.state(in.Currency)))
	}
	out := &AllotOut{Receipt: rc}
	now := host.Read()
	defer now.Close()
	if after, ok := fact.Open(now, s.ID); ok {
		if p, ok := prepareMost(now, after, signer.DID(), in.Currency); ok {
			out.Available = p.state(in.Currency).available()
		}
	}
	return out, nil
}

// notPrimary says that an account is managed from another device.
func notPrimary(device, primary api.Key) *api.Reason {
	return &api.Reason{
		Domain: Domain, Rule: "other-device", Text: "this account spends from another of your devices, and nothing is set aside for this one",
		Inputs: map[string]string{"device": device.String(), "primary": primary.String()},
		Remedy: "pay from that device, or set something aside there: icnctl ledger allot " + device.String() + " AMOUNT",
	}
}

// onPrimary says that something is done from the device whose feed the account is: what counts once needs one order.
func onPrimary(device, primary api.Key) *api.Reason {
	why := *notFromTab.Void
	why.Inputs = map[string]string{"device": device.String(), "primary": primary.String()}
	why.Remedy = "do it on your primary device: icnctl ledger allotments shows which that is"
	return &why
}

// spend pays from what was set aside for the signer's device.
func (a *App) spend(ctx context.Context, call *api.Call, op string, host api.Host, r api.Reader, s *fact.Space, t *transfer) (*TransferOut, error) {
	signer := call.Signer
	m, _, _ := s.Member(signer.DID())
	p, ok := prepareDevice(r, s, signer.DID(), signer.Device())
	switch {
	case !ok:
		return nil, api.Refusal(op, notPrimary(signer.Device(), m.Device))
	case len(t.For) > 0:
		return nil, api.Refusal(op, onPrimary(signer.Device(), m.Device))
	}
	rc, err := host.Append(ctx, signer, p.draft(s, kindTransfer, t, call.Idempotency), call.Wait)
	if err != nil {
		if why := api.ReasonOf(err); why != nil && why.Rule == "over-allotment" {
			err = api.Refusal("", adviseDevice(why, s, p, signer.Device(), m.Device))
		}
		return nil, api.Wrap(op, err)
	}
	now := host.Read()
	defer now.Close()
	left, _ := pocketOf(now, p.feed, t.Currency)
	if c, _ := s.Currency(t.Currency); c.Gift() {
		return &TransferOut{Receipt: rc, Available: left.Left, Gift: true}, nil
	}
	return &TransferOut{Receipt: rc, Balance: now.Counter(balanceKey(nil, s.ID, t.Currency, signer.DID())), Available: left.Left}, nil
}

// adviseDevice says why a device may not spend so much in the decimals that people type, and what can be done.
func adviseDevice(why *api.Reason, s *fact.Space, p *allowance, device, primary api.Key) *api.Reason {
	more := *why
	code := why.Inputs["currency"]
	c, _ := s.Currency(code)
	more.Text = fmt.Sprintf("%s %s is more than the %s that is left of what was set aside for this device",
		decimals(why.Inputs["amount"], c.Scale), code, decimals(why.Inputs["available"], c.Scale))
	more.Inputs = map[string]string{"device": device.String(), "primary": primary.String()}
	for k, v := range why.Inputs {
		more.Inputs[k] = v
	}
	more.Remedy = "on your primary device: icnctl ledger allot " + device.String() + " " + decimals(why.Inputs["short_by"], c.Scale) + " --currency " + code
	if n := p.due[code]; n > 0 {
		more.Inputs["not_final"] = strconv.FormatInt(n, 10)
		more.Remedy = decimals(strconv.FormatInt(n, 10), c.Scale) + " " + code + " more is set aside and counts here once the witnesses hold that final"
	}
	return &more
}

// ReturnIn is the input of ledger.return.
type ReturnIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
}

// Validate implements api.Validator.
func (in *ReturnIn) Validate() error {
	b := giveBack{Currency: in.Currency}
	return b.check()
}

// ReturnOut is the output of ledger.return.
type ReturnOut struct {
	Receipt api.Receipt `json:"receipt"`
	Amount  int64       `json:"amount" doc:"what is given back, minor units; the primary device counts it once it is final"`
}

func (a *App) giveBack(ctx context.Context, call *api.Call, in *ReturnIn) (*ReturnOut, error) {
	const op = "ledger.return"
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
	p, ok := prepareDevice(r, s, signer.DID(), signer.Device())
	if m.Device == signer.Device() || !ok {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "nothing-left", Text: "nothing was set aside for this device", Inputs: map[string]string{"device": signer.Device().String()},
			Remedy: "return on the device that has the allotment: icnctl ledger allotments shows which",
		})
	}
	rc, err := host.Append(ctx, signer, p.draft(s, kindReturn, &giveBack{Currency: in.Currency}, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return &ReturnOut{Receipt: rc, Amount: p.of(in.Currency).Left}, nil
}

// AllotmentsIn is the input of ledger.allotments.
type AllotmentsIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"DID of the account; default: your own"`
}

// Validate implements api.Validator.
func (in *AllotmentsIn) Validate() error {
	if in.DID == "" {
		return nil
	}
	return checkDID("did", in.DID)
}

// AllotmentsOut is the output of ledger.allotments.
type AllotmentsOut struct {
	DID        api.DID     `json:"did"`
	Primary    api.Key     `json:"primary,omitzero" doc:"the device whose feed the account is; none for who was removed"`
	Allotments []Allotment `json:"allotments"`
}

// Allotment is what an account has set aside for a device in a currency. Amounts are minor units.
type Allotment struct {
	Device   api.Key `json:"device"`
	Currency string  `json:"currency"`
	Scale    int     `json:"scale"`
	Given    int64   `json:"given" doc:"set aside since the device's feed was last cut"`
	Spent    int64   `json:"spent" doc:"by the device, and not settled yet"`
	Returned int64   `json:"returned" doc:"given back by the device"`
	Left     int64   `json:"left" doc:"what the device may still spend"`
}

func (a *App) allotments(_ context.Context, call *api.Call, in *AllotmentsIn) (*AllotmentsOut, error) {
	const op = "ledger.allotments"
	_, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	did := in.DID
	if did == "" {
		did = call.Actor
	}
	m, _, ok := s.Member(did)
	if !ok {
		why := stranger(s, did)
		return nil, &api.Error{Op: op, Kind: api.NotFound, Reason: why, Err: errors.New(why.Text)}
	}
	return &AllotmentsOut{DID: did, Primary: m.Device, Allotments: append([]Allotment{}, allotments(r, s, m)...)}, nil
}

// allotments lists what a member has set aside, as far as this node knows.
func allotments(r api.Reader, s *fact.Space, m fact.Member) (all []Allotment) {
	from, _, _ := standing(r, s, s.Feed(fact.LedgerTopic, m.Device), m)
	for _, a := range get[[]aside](first(r.Own(from, rowAsides))) {
		feed := s.Feed(fact.LedgerTopic, a.Device)
		k, _ := pocketOf(r, feed, a.Code)
		c, _ := s.Currency(a.Code)
		one := Allotment{Device: a.Device, Currency: a.Code, Scale: int(c.Scale), Given: a.Given, Spent: k.Spent - a.Settled}
		if k.round == a.Round {
			one.Returned = k.Back
		}
		if cut, _, ok := s.Cut(feed); !ok || cut.Number <= a.Round { // else the rest is the account's again
			one.Left = max(0, a.Given-one.Spent-one.Returned)
		}
		if a.Device != m.Device && (one.Given != 0 || one.Spent != 0) {
			all = append(all, one)
		}
	}
	return all
}
