package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// RequestIn is the input of ledger.request.
type RequestIn struct {
	Space    api.Hash  `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Payer    api.DID   `json:"payer" doc:"DID of the member who is asked to pay you"`
	Currency string    `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64     `json:"amount" doc:"Minor units, more than 0" example:"150"`
	Memo     string    `json:"memo,omitempty" doc:"What it is for, at most 256 bytes, one line"`
	Category string    `json:"category,omitempty" doc:"For the payer's books: at most 32 of a-z 0-9 -" example:"food"`
	Expires  time.Time `json:"expires,omitzero" doc:"From when on the request is shown as expired; it can still be approved, if the payer insists"`
	For      api.Hash  `json:"for,omitzero" doc:"Id of a payment of yours to the payer that you ask back, wholly or in part"`
}

// Validate implements api.Validator.
func (in *RequestIn) Validate() error {
	if err := checkDID("payer", in.Payer); err != nil {
		return err
	}
	q := in.body()
	return q.check()
}

// body is what the input says; where a payment that is asked back stands is looked up later.
func (in *RequestIn) body() request {
	q := request{Payer: in.Payer, Currency: in.Currency, Amount: in.Amount, Memo: in.Memo, Category: in.Category}
	if !in.Expires.IsZero() {
		q.Expires = max(1, in.Expires.UnixMilli())
	}
	if !in.For.IsZero() {
		q.Back = []purpose{{What: forRefund, ID: in.For, N: 1}}
	}
	return q
}

// RequestOut is the output of ledger.request. The id of the request is that of its record.
type RequestOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) request(ctx context.Context, call *api.Call, in *RequestIn) (*RequestOut, error) {
	const op = "ledger.request"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.awaitFinal(ctx, call, in.For)
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	q := in.body()
	switch _, _, ok := s.Member(q.Payer); {
	case q.Payer == signer.DID():
		return nil, api.Errorf(op, api.Invalid, "payer: this is your own account; name the member who is to pay")
	case !ok:
		return nil, api.Refusal(op, stranger(s, q.Payer))
	}
	if err := checkCurrency(op, s, q.Currency); err != nil {
		return nil, err
	}
	if len(q.Back) > 0 {
		if _, err := citations(op, r, s, signer.DID(), q.Back); err != nil {
			return nil, err
		}
		rec, _, _ := r.Lookup(q.Back[0].ID)
		paid := paidTo(rec, q.Payer, q.Currency)
		left := paid - givenBack(r, s, rec, q.Payer, q.Currency)
		switch {
		case rec.Author != signer.DID() || paid == 0:
			return nil, api.Errorf(op, api.Invalid, "for: record %s is no payment of yours to %s in %s", rec.ID, q.Payer, q.Currency)
		case q.Amount > left:
			return nil, api.Refusal(op, moreThanPaid(s, q.Currency, q.Amount, left))
		}
	}
	rc, err := a.write(ctx, call, op, host, r, s, note{kind: kindRequest, body: &q, tab: true})
	if err != nil {
		return nil, err
	}
	return &RequestOut{Receipt: rc}, nil
}

// paidTo adds up what a record pays somebody in a currency.
func paidTo(rec *api.Record, to api.DID, code string) (sum int64) {
	legs, _ := legsOf(rec)
	for i := range legs {
		if l := &legs[i]; l.To == to && l.Currency == code {
			sum = addMax(sum, l.Amount)
		}
	}
	return sum
}

// note is a record that pays nobody.
type note struct {
	kind string
	body any
	cite []api.Position
	tab  bool // any device of the member's may write it that has ever had an allotment
}

// write appends a record that pays nobody, as the next of the signer's feed.
func (a *App) write(ctx context.Context, call *api.Call, op string, host api.Host, r api.Reader, s *fact.Space, n note) (rc api.Receipt, err error) {
	signer := call.Signer
	m, _, ok := s.Member(signer.DID())
	if !ok {
		return rc, api.Refusal(op, stranger(s, signer.DID()))
	}
	d := api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.LedgerTopic}, Kind: n.kind, Body: codec.MustMarshal(n.body), Idempotency: call.Idempotency}
	if m.Device == signer.Device() {
		p, _ := prepare(r, s, signer.DID(), "", 0)
		d.Deps = fact.Deps(append(p.deps, n.cite...))
	} else {
		p, ok := prepareDevice(r, s, signer.DID(), signer.Device())
		if !ok || !n.tab {
			return rc, api.Refusal(op, onPrimary(signer.Device(), m.Device))
		}
		d.Deps = fact.Deps(append(p.deps, n.cite...))
	}
	rc, err = host.Append(ctx, signer, d, call.Wait)
	return rc, api.Wrap(op, err)
}

// The states of a request.
const (
	stateOpen      = "open"
	statePaid      = "paid"
	stateDeclined  = "declined"
	stateCancelled = "cancelled"
	stateExpired   = "expired"
)

var requestStates = []string{stateOpen, statePaid, stateDeclined, stateCancelled, stateExpired}

// RequestsIn is the input of ledger.requests.
type RequestsIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did,omitempty" doc:"DID of the account; default: your own"`
	Side   string   `json:"side,omitempty" doc:"in: only what others ask of the account; out: only what it asks of others; default: both"`
	State  string   `json:"state,omitempty" doc:"Only those that are open, paid, declined, cancelled or expired"`
	Limit  int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *RequestsIn) Validate() error {
	if in.DID != "" {
		if err := checkDID("did", in.DID); err != nil {
			return err
		}
	}
	switch {
	case in.Side != "" && in.Side != "in" && in.Side != "out":
		return fmt.Errorf("side %q: want in, out or nothing", clip(in.Side))
	case in.State != "" && !slices.Contains(requestStates, in.State):
		return fmt.Errorf("state %q: want one of %v", clip(in.State), requestStates)
	}
	return checkPlaces(in.Cursor, in.Limit)
}

// RequestsOut is the output of ledger.requests.
type RequestsOut struct {
	Requests []Request `json:"requests"`
	Cursor   string    `json:"cursor,omitempty"` // empty on the last page; a page may have fewer entries than asked for, even none
}

// Request is what somebody asks somebody to pay. Time is the clock of who asks.
type Request struct {
	ID       api.Hash  `json:"id"`
	Time     time.Time `json:"time"`
	Payee    api.DID   `json:"payee" doc:"who asks, and is to be paid"`
	Payer    api.DID   `json:"payer" doc:"who is to pay"`
	Currency string    `json:"currency"`
	Scale    int       `json:"scale"`
	Amount   int64     `json:"amount" doc:"minor units"`
	Memo     string    `json:"memo,omitempty"`
	Category string    `json:"category,omitempty"`
	Expires  time.Time `json:"expires,omitzero" doc:"from when on it is shown as expired, by the clock of the node that shows it"`
	For      []For     `json:"for,omitempty" doc:"the payment that is asked back"`
	State    string    `json:"state" doc:"open, paid, declined, cancelled or expired"`
	Reason   string    `json:"reason,omitempty" doc:"why it was declined"`
	By       api.Hash  `json:"by,omitzero" doc:"the record that paid, declined or cancelled it"`
	Final    bool      `json:"final,omitempty" doc:"nothing will change that"`
}

func (a *App) requests(_ context.Context, call *api.Call, in *RequestsIn) (*RequestsOut, error) {
	const op = "ledger.requests"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	did := cmp.Or(in.DID, call.Actor)
	out := &RequestsOut{Requests: []Request{}}
	out.Cursor, err = newest(r, didKey(nil, indexAsks, s.ID, did), in.Cursor, page(in.Limit), maxScan, func(_, id []byte) bool {
		q, ok := readRequest(r, s, host.Now(), api.Hash(id))
		if !ok || in.State != "" && q.State != in.State || in.Side == "in" && q.Payer != did || in.Side == "out" && q.Payee != did {
			return false
		}
		out.Requests = append(out.Requests, q)
		return true
	})
	return out, api.Wrap(op, err)
}

// readRequest reads a request and what has become of it.
func readRequest(r api.Reader, s *fact.Space, now time.Time, id api.Hash) (Request, bool) {
	rec, v, ok := r.Lookup(id)
	var body request
	if !ok || !v.Accepted || v.Held || rec.Kind != kindRequest || rec.Topic != (api.Topic{Space: s.ID, Name: fact.LedgerTopic}) || decode(rec.Body, &body) != nil {
		return Request{}, false
	}
	c, _ := s.Currency(body.Currency)
	q := Request{
		ID: id, Time: rec.Time.Time(), Payee: rec.Author, Payer: body.Payer, Currency: body.Currency, Scale: int(c.Scale), Amount: body.Amount,
		Memo: body.Memo, Category: body.Category, State: stateOpen,
	}
	q.For, _ = reasons(body.Back)
	if body.Expires > 0 {
		q.Expires = time.UnixMilli(body.Expires).UTC()
		if !now.Before(q.Expires) {
			q.State = stateExpired
		}
	}
	// What is paid is paid, also when it was cancelled at the same time.
	best := uint8(slotEnded)
	for _, b := range r.Index(slotKey(nil, s.ID, &purpose{What: forRequest, ID: id}), nil, false) {
		if x := get[settled](b, true); x.State < best {
			best, q.State, q.By = x.State, [...]string{statePaid, stateDeclined, stateCancelled}[x.State], x.ID
		}
	}
	if by, v, ok := r.Lookup(q.By); ok {
		q.Final = v.Final
		var d decline
		if by.Kind == kindDecline && decode(by.Body, &d) == nil {
			q.Reason = d.Reason
		}
	}
	return q, true
}

// ApproveIn is the input of ledger.approve.
type ApproveIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID     api.Hash `json:"id" doc:"Id of the request, 64 hexadecimal digits: ledger.requests lists them"`
	Anyway bool     `json:"anyway,omitempty" doc:"Pay it also when it has expired"`
}

// Validate implements api.Validator.
func (in *ApproveIn) Validate() error { return checkID("id", in.ID) }

// SettledOut is the output of ledger.decline and ledger.cancel.
type SettledOut struct {
	Receipt api.Receipt `json:"receipt" doc:"repeated: it was done before"`
	Request Request     `json:"request"`
}

// ApproveOut is the output of ledger.approve. Amounts are minor units.
type ApproveOut struct {
	Receipt   api.Receipt `json:"receipt" doc:"repeated: it was paid before"`
	Request   Request     `json:"request"`
	Balance   int64       `json:"balance"`
	Available int64       `json:"available"`
	Gift      bool        `json:"gift,omitempty" doc:"a gift currency: balance and available are 0"`
}

func (out *ApproveOut) paid(t *TransferOut) {
	out.Receipt, out.Balance, out.Available, out.Gift = t.Receipt, t.Balance, t.Available, t.Gift
}

// ask reads the request that an operation is about.
func ask(op string, r api.Reader, s *fact.Space, now time.Time, id api.Hash) (Request, error) {
	q, ok := readRequest(r, s, now, id)
	if !ok {
		return q, api.Errorf(op, api.NotFound, "id: the ledger of %s has no request %s here (yet); icnctl ledger requests lists them", s.Genesis.Name, id)
	}
	return q, nil
}

// done answers what is asked again with the record that did it. A record that has lost its effect does not count as done.
func done(r api.Reader, id api.Hash) api.Receipt {
	rec, _, _ := r.Lookup(id)
	return fact.Repeated(r, rec.Position())
}

// settledAs says why a request is not to be paid, declined or cancelled any more.
func settledAs(q *Request) *api.Reason {
	rules := map[string][2]string{
		statePaid:      {"already-paid", "icnctl explain " + q.By.String() + " shows the payment"},
		stateDeclined:  {"declined", "to pay it nevertheless: icnctl ledger transfer"},
		stateCancelled: {"cancelled", "ask for a new request, or pay without one: icnctl ledger transfer"},
		stateExpired:   {"expired", "to pay it nevertheless: icnctl ledger approve " + q.ID.String() + " --anyway"},
	}
	why := &api.Reason{
		Domain: Domain, Rule: rules[q.State][0], Text: "this request is " + q.State, Remedy: rules[q.State][1],
		Inputs: map[string]string{"request": q.ID.String()},
	}
	if !q.By.IsZero() {
		why.Inputs["by"] = q.By.String()
	}
	if q.State == stateExpired {
		why.Inputs["expires"] = q.Expires.Format(time.RFC3339)
	}
	return why
}

func (a *App) approve(ctx context.Context, call *api.Call, in *ApproveIn) (*ApproveOut, error) {
	const op = "ledger.approve"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.awaitFinal(ctx, call, in.ID)
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	q, err := ask(op, r, s, host.Now(), in.ID)
	if err != nil {
		return nil, err
	}
	out := &ApproveOut{Request: q}
	switch {
	case q.Payer != signer.DID():
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-asked", Text: "somebody else was asked to pay this", Inputs: map[string]string{"payer": string(q.Payer)},
			Remedy: "pay without the request, if you mean to: icnctl ledger transfer",
		})
	case q.State == statePaid:
		out.paid(paidOut(r, s, signer.DID(), q.Currency, done(r, q.By)))
		return out, nil
	case q.State == stateOpen, q.State == stateExpired && in.Anyway:
	default:
		return nil, api.Refusal(op, settledAs(&q))
	}
	t := &transfer{To: q.Payee, Currency: q.Currency, Amount: q.Amount, Memo: q.Memo, Category: q.Category, For: []purpose{{What: forRequest, ID: q.ID}}}
	for _, f := range q.For {
		t.For = append(t.For, purpose{What: forRefund, ID: f.ID, N: f.N})
	}
	paid, err := a.pay(ctx, call, op, host, r, s, t)
	if err != nil {
		return nil, err
	}
	out.paid(paid)
	out.Request = a.again(q)
	return out, nil
}

// again reads a request anew, after something was done about it.
func (a *App) again(q Request) Request {
	host, err := a.with("")
	if err != nil {
		return q
	}
	r := host.Read()
	defer r.Close()
	rec, _, ok := r.Lookup(q.ID)
	if !ok {
		return q
	}
	if s, ok := fact.Open(r, rec.Topic.Space); ok {
		if now, ok := readRequest(r, s, host.Now(), q.ID); ok {
			return now
		}
	}
	return q
}

// DeclineIn is the input of ledger.decline.
type DeclineIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID     api.Hash `json:"id" doc:"Id of the request, 64 hexadecimal digits"`
	Reason string   `json:"reason,omitempty" doc:"Why, for who asks: at most 256 bytes, one line"`
}

// Validate implements api.Validator.
func (in *DeclineIn) Validate() error {
	d := decline{Request: in.ID, Reason: in.Reason}
	return d.check()
}

func (a *App) decline(ctx context.Context, call *api.Call, in *DeclineIn) (*SettledOut, error) {
	return a.settle(ctx, call, "ledger.decline", in.Space, in.ID, stateDeclined, func(q *Request, me api.DID) (note, *api.Reason) {
		if q.Payer != me {
			return note{}, &api.Reason{Domain: Domain, Rule: "not-asked", Text: "somebody else was asked to pay this", Inputs: map[string]string{"payer": string(q.Payer)}}
		}
		return note{kind: kindDecline, body: &decline{Request: in.ID, Reason: in.Reason}}, nil
	})
}

// CancelIn is the input of ledger.cancel.
type CancelIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID    api.Hash `json:"id" doc:"Id of a request of your own, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *CancelIn) Validate() error { return checkID("id", in.ID) }

func (a *App) cancel(ctx context.Context, call *api.Call, in *CancelIn) (*SettledOut, error) {
	return a.settle(ctx, call, "ledger.cancel", in.Space, in.ID, stateCancelled, func(q *Request, me api.DID) (note, *api.Reason) {
		if q.Payee != me {
			return note{}, &api.Reason{
				Domain: Domain, Rule: "not-asker", Text: "only who has asked for a payment can take that back", Inputs: map[string]string{"payee": string(q.Payee)},
				Remedy: "who is asked can decline: icnctl ledger decline " + q.ID.String(),
			}
		}
		return note{kind: kindCancel, body: &cancel{Request: in.ID}, tab: true}, nil
	})
}

// settle declines or cancels a request that is not settled yet, once.
func (a *App) settle(
	ctx context.Context, call *api.Call, op string, space, id api.Hash, state string, say func(*Request, api.DID) (note, *api.Reason),
) (*SettledOut, error) {
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.awaitFinal(ctx, call, id)
	host, r, s, err := a.see(op, space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	q, err := ask(op, r, s, host.Now(), id)
	if err != nil {
		return nil, err
	}
	n, why := say(&q, signer.DID())
	switch {
	case why != nil:
		return nil, api.Refusal(op, why)
	case q.State == state:
		return &SettledOut{Receipt: done(r, q.By), Request: q}, nil
	case q.State != stateOpen && q.State != stateExpired:
		return nil, api.Refusal(op, settledAs(&q))
	}
	if rec, v, ok := r.Lookup(id); ok {
		if n.cite, err = answered(op, rec, v, signer.DID()); err != nil {
			return nil, err
		}
	}
	rc, err := a.write(ctx, call, op, host, r, s, n)
	if err != nil {
		return nil, err
	}
	return &SettledOut{Receipt: rc, Request: a.again(q)}, nil
}
