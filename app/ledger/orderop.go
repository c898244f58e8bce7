package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// OrderIn is the input of ledger.order.new.
type OrderIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	To       api.DID  `json:"to" doc:"DID of the member to pay"`
	Currency string   `json:"currency" doc:"Code of the currency" example:"hours"`
	Amount   int64    `json:"amount" doc:"Minor units, more than 0, in each period" example:"150"`
	Memo     string   `json:"memo,omitempty" doc:"What it is for, at most 256 bytes, one line"`
	Category string   `json:"category,omitempty" doc:"For your books: at most 32 of a-z 0-9 -" example:"rent"`
	Every    int      `json:"every,omitempty" doc:"Units in a period, 1 to 366; default 1"`
	Unit     string   `json:"unit" doc:"days, weeks or months" example:"months"`
	First    string   `json:"first" doc:"The day of the first payment; the 31st is the last day of a shorter month" example:"2026-12-31"`
	Last     string   `json:"last,omitempty" doc:"No payment after this day; default: without end" example:"2027-12-31"`
	Count    int      `json:"count,omitempty" doc:"So many payments at most; default: any number"`
	Zone     string   `json:"zone,omitempty" doc:"Time zone in which days begin, by its IANA name; default UTC" example:"Europe/Vienna"`
}

// Validate implements api.Validator.
func (in *OrderIn) Validate() error {
	if err := checkDID("to", in.To); err != nil {
		return err
	}
	if in.Every < 0 || in.Count < 0 {
		return fmt.Errorf("every %d, count %d: want 1 or more", in.Every, in.Count)
	}
	o := in.body()
	if err := o.check(); err != nil {
		return err
	}
	_, err := o.calendar()
	return err
}

func (in *OrderIn) body() order {
	return order{
		To: in.To, Currency: in.Currency, Amount: in.Amount, Memo: in.Memo, Category: in.Category,
		Every: uint64(max(1, in.Every)), Unit: in.Unit, First: in.First, Last: in.Last, Count: uint64(in.Count), Zone: cmp.Or(in.Zone, "UTC"),
	}
}

// OrderOut is the output of ledger.order.new. The id of the order is that of its record.
type OrderOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) order(ctx context.Context, call *api.Call, in *OrderIn) (*OrderOut, error) {
	const op = "ledger.order.new"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	switch _, _, ok := s.Member(in.To); {
	case in.To == signer.DID():
		return nil, api.Errorf(op, api.Invalid, "to: this is your own account; name the member to pay")
	case !ok:
		return nil, api.Refusal(op, stranger(s, in.To))
	}
	if err := checkCurrency(op, s, in.Currency); err != nil {
		return nil, err
	}
	o := in.body()
	rc, err := a.write(ctx, call, op, host, r, s, note{kind: kindOrder, body: &o})
	if err != nil {
		return nil, err
	}
	return &OrderOut{Receipt: rc}, nil
}

// OrdersIn is the input of ledger.orders.
type OrdersIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"DID of the payer; default: your own"`
	State string   `json:"state,omitempty" doc:"Only those that are active, done or ended"`
}

// The states of a standing order.
const (
	orderActive = "active"
	orderDone   = "done"
	orderEnded  = "ended"
)

// Validate implements api.Validator.
func (in *OrdersIn) Validate() error {
	switch in.State {
	case "", orderActive, orderDone, orderEnded:
	default:
		return fmt.Errorf("state %q: want active, done or ended", clip(in.State))
	}
	if in.DID == "" {
		return nil
	}
	return checkDID("did", in.DID)
}

// OrdersOut is the output of ledger.orders.
type OrdersOut struct {
	Orders []StandingOrder `json:"orders" doc:"the newest first, at most 256"`
}

// StandingOrder is a payment that a member means to make at regular times.
type StandingOrder struct {
	ID       api.Hash  `json:"id"`
	Time     time.Time `json:"time" doc:"when it was given, by the payer's clock"`
	Payer    api.DID   `json:"payer"`
	To       api.DID   `json:"to"`
	Currency string    `json:"currency"`
	Scale    int       `json:"scale"`
	Amount   int64     `json:"amount" doc:"minor units, in each period"`
	Memo     string    `json:"memo,omitempty"`
	Category string    `json:"category,omitempty"`
	Every    int       `json:"every" doc:"units in a period"`
	Unit     string    `json:"unit" doc:"days, weeks or months"`
	First    string    `json:"first"`
	Last     string    `json:"last,omitempty"`
	Count    int       `json:"count,omitempty"`
	Zone     string    `json:"zone"`
	State    string    `json:"state" doc:"active; done: no further payment is due, and none is missing; ended by the payer"`
	Begun    int       `json:"begun" doc:"periods that have begun"`
	Paid     int       `json:"paid" doc:"periods that are paid"`
	Next     time.Time `json:"next,omitzero" doc:"when the next period begins"`
	Due      []Due     `json:"due,omitempty" doc:"periods that have begun and are not paid, the oldest first; the newest 64 of them"`

	space api.Hash
}

// Due is a payment of a standing order that is to be made. The payer's node makes it, if the payer's key is there; else the payer does, by ledger.order.pay.
type Due struct {
	Period  int       `json:"period" doc:"from 1"`
	Since   time.Time `json:"since"`
	Missed  bool      `json:"missed,omitempty" doc:"more than 12 periods are due, and this is an older one: it is not paid without being asked"`
	Tries   int       `json:"tries,omitempty" doc:"how often this node has tried and was refused"`
	Next    time.Time `json:"next,omitzero" doc:"when it tries again"`
	GivenUp bool      `json:"given_up,omitempty" doc:"it tries no more"`
	Why     string    `json:"why,omitempty" doc:"of the last refusal"`
}

// maxDue bounds the due periods that are listed of an order.
const maxDue = 64

func (a *App) orders(_ context.Context, call *api.Call, in *OrdersIn) (*OrdersOut, error) {
	const op = "ledger.orders"
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &OrdersOut{Orders: []StandingOrder{}}
	for o := range orders(r, s, cmp.Or(in.DID, call.Actor), host.Now(), tries(host)) {
		if in.State == "" || o.State == in.State {
			out.Orders = append(out.Orders, o)
		}
	}
	return out, nil
}

// orders iterates the newest orders of a payer.
func orders(r api.Reader, s *fact.Space, payer api.DID, now time.Time, tried map[string]try) iter.Seq[StandingOrder] {
	return func(yield func(StandingOrder) bool) {
		n := 0
		for _, id := range r.Index(didKey(nil, indexOrders, s.ID, payer), nil, true) {
			if n++; n > maxOrders {
				return
			}
			if o, ok := readOrder(r, s, api.Hash(id), now, tried); ok && !yield(o) {
				return
			}
		}
	}
}

// readOrder reads an order, and what of it is paid and due.
func readOrder(r api.Reader, s *fact.Space, id api.Hash, now time.Time, tried map[string]try) (StandingOrder, bool) {
	rec, v, ok := r.Lookup(id)
	var b order
	if !ok || !v.Accepted || v.Held || rec.Kind != kindOrder || rec.Topic != (api.Topic{Space: s.ID, Name: fact.LedgerTopic}) || decode(rec.Body, &b) != nil {
		return StandingOrder{}, false
	}
	c, _ := s.Currency(b.Currency)
	o := StandingOrder{
		ID: id, Time: rec.Time.Time(), Payer: rec.Author, To: b.To, Currency: b.Currency, Scale: int(c.Scale), Amount: b.Amount, Memo: b.Memo, Category: b.Category,
		Every: int(b.Every), Unit: b.Unit, First: b.First, Last: b.Last, Count: int(b.Count), Zone: b.Zone, State: orderActive, space: s.ID,
	}
	plan, err := b.calendar()
	if err != nil { // another node knows the zone
		return o, true
	}
	paid := map[int]bool{}
	p := purpose{What: forOrder, ID: id}
	prefix := p.key(spaceKey(nil, indexSlots, s.ID))
	for k, raw := range r.Index(prefix[:len(prefix)-8], nil, false) {
		if n := int(binary.BigEndian.Uint64(k[len(prefix)-8:])); n == 0 {
			if get[settled](raw, true).State == slotEnded {
				o.State = orderEnded
			}
		} else {
			paid[n] = true
		}
	}
	var last bool
	o.Begun, last = b.periods(plan, now)
	o.Paid = len(paid)
	if o.State == orderEnded {
		return o, true
	}
	if !last {
		o.Next = plan.begins(o.Begun + 1).UTC()
	}
	for n := o.Begun; n > 0 && len(o.Due) < maxDue; n-- {
		if paid[n] {
			continue
		}
		d := Due{Period: n, Since: plan.begins(n).UTC(), Missed: n <= o.Begun-maxMissed}
		if t, ok := tried[tryKey(id, n)]; ok {
			d.Tries, d.Why, d.Next, d.GivenUp = t.Tries, t.Why, time.UnixMilli(t.Next).UTC(), t.Tries >= maxTries
		}
		o.Due = append(o.Due, d)
	}
	slices.Reverse(o.Due)
	if last && len(o.Due) == 0 {
		o.State = orderDone
	}
	return o, true
}

// OrderPayIn is the input of ledger.order.pay.
type OrderPayIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID     api.Hash `json:"id" doc:"Id of the standing order, 64 hexadecimal digits: ledger.orders lists them"`
	Period int      `json:"period,omitempty" doc:"Which period to pay, from 1; default: the oldest that is due"`
}

// Validate implements api.Validator.
func (in *OrderPayIn) Validate() error {
	if in.Period < 0 || in.Period > maxPeriods {
		return fmt.Errorf("period %d: want 1 to %d", in.Period, maxPeriods)
	}
	return checkID("id", in.ID)
}

// OrderPayOut is the output of ledger.order.pay. Amounts are minor units.
type OrderPayOut struct {
	Receipt   api.Receipt `json:"receipt" doc:"repeated: it was paid before"`
	Period    int         `json:"period"`
	To        api.DID     `json:"to"`
	Currency  string      `json:"currency"`
	Scale     int         `json:"scale"`
	Amount    int64       `json:"amount"`
	Balance   int64       `json:"balance"`
	Available int64       `json:"available"`
	Gift      bool        `json:"gift,omitempty" doc:"a gift currency: balance and available are 0"`
}

func (out *OrderPayOut) paid(t *TransferOut) {
	out.Receipt, out.Balance, out.Available, out.Gift = t.Receipt, t.Balance, t.Available, t.Gift
}

// ownOrder reads an order of the caller's.
func ownOrder(op string, host api.Host, r api.Reader, s *fact.Space, me api.DID, id api.Hash) (o StandingOrder, err error) {
	o, ok := readOrder(r, s, id, host.Now(), nil)
	switch {
	case !ok:
		return o, api.Errorf(op, api.NotFound, "id: the ledger of %s has no standing order %s here (yet); icnctl ledger order list lists them", s.Genesis.Name, id)
	case o.Payer != me:
		return o, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "no-order", Text: "this is somebody else's standing order", Inputs: map[string]string{"payer": string(o.Payer)},
		})
	}
	return o, nil
}

func (a *App) orderPay(ctx context.Context, call *api.Call, in *OrderPayIn) (*OrderPayOut, error) {
	const op = "ledger.order.pay"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	o, err := ownOrder(op, host, r, s, signer.DID(), in.ID)
	if err != nil {
		return nil, err
	}
	out := &OrderPayOut{Period: in.Period, To: o.To, Currency: o.Currency, Scale: o.Scale, Amount: o.Amount}
	if in.Period > 0 {
		if by, ok := filledBy(r, s, &purpose{What: forOrder, ID: o.ID, N: uint64(in.Period)}, signer.DID()); ok {
			out.paid(paidOut(r, s, signer.DID(), o.Currency, done(r, by)))
			return out, nil
		}
	} else if len(o.Due) > 0 {
		out.Period = o.Due[0].Period
	}
	switch {
	case o.State == orderEnded:
		return nil, api.Refusal(op, noOrder(o.ID).Void)
	case out.Period == 0 || out.Period > o.Begun:
		why := &api.Reason{Domain: Domain, Rule: "not-due", Text: "nothing of this standing order is due", Inputs: map[string]string{"order": o.ID.String()}}
		why.Remedy = "wait until it is due, or pay without it: icnctl ledger transfer"
		if !o.Next.IsZero() {
			why.Inputs["next"] = o.Next.Format(time.RFC3339)
		}
		return nil, api.Refusal(op, why)
	}
	t := &transfer{To: o.To, Currency: o.Currency, Amount: o.Amount, Memo: o.Memo, Category: o.Category, For: []purpose{{What: forOrder, ID: o.ID, N: uint64(out.Period)}}}
	paid, err := a.pay(ctx, call, op, host, r, s, t)
	if err != nil {
		return nil, err
	}
	out.paid(paid)
	return out, nil
}

// OrderEndIn is the input of ledger.order.end.
type OrderEndIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID    api.Hash `json:"id" doc:"Id of a standing order of yours, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *OrderEndIn) Validate() error { return checkID("id", in.ID) }

// OrderEndOut is the output of ledger.order.end.
type OrderEndOut struct {
	Receipt api.Receipt   `json:"receipt" doc:"repeated: it was ended before"`
	Order   StandingOrder `json:"order"`
}

func (a *App) orderEnd(ctx context.Context, call *api.Call, in *OrderEndIn) (*OrderEndOut, error) {
	const op = "ledger.order.end"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	o, err := ownOrder(op, host, r, s, signer.DID(), in.ID)
	if err != nil {
		return nil, err
	}
	if o.State == orderEnded {
		for _, b := range r.Index(slotKey(nil, s.ID, &purpose{What: forOrder, ID: o.ID}), nil, false) {
			return &OrderEndOut{Receipt: done(r, get[settled](b, true).ID), Order: o}, nil
		}
	}
	rc, err := a.write(ctx, call, op, host, r, s, note{kind: kindEndOrder, body: &endOrder{Order: in.ID}})
	if err != nil {
		return nil, err
	}
	o.State, o.Due, o.Next = orderEnded, nil, time.Time{}
	return &OrderEndOut{Receipt: rc, Order: o}, nil
}
