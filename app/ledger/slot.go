package ledger

import (
	"encoding/binary"
	"strconv"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// What a payment is for is a slot of the payer's account. The account has one feed, and its records one order, so the first to fill a slot is the same
// everywhere: a request is paid once whoever approves it where, and a standing order once in a period. A request is filled by what refuses it, too.

// asked is what a request has said, on the feed of who asks.
type asked struct {
	_         struct{} `cbor:",toarray"`
	Payer     api.DID
	Currency  string
	Amount    int64
	Back      []purpose
	Cancelled bool
}

// filled says what has filled a slot.
type filled struct {
	_        struct{} `cbor:",toarray"`
	By       api.Hash
	Declined bool
}

// settled is what a query sees of a slot.
type settled struct {
	_      struct{} `cbor:",toarray"`
	ID     api.Hash // of the record
	State  uint8
	Amount int64 // given back, of a refund
}

// States of a slot.
const (
	slotPaid = iota
	slotDeclined
	slotCancelled
	slotEnded
)

func rowAsked(id api.Hash) []byte   { return append([]byte("req/"), id[:]...) }
func rowRefunds(id api.Hash) []byte { return append([]byte("back/"), id[:]...) }
func rowSlot(p *purpose) []byte     { return p.key([]byte("slot/")) }

func (p *purpose) key(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(append(append(dst, p.What), p.ID[:]...), p.N)
}

func slotKey(dst []byte, space api.Hash, p *purpose) []byte {
	return p.key(spaceKey(dst, indexSlots, space))
}

// request asks somebody to pay.
func (f *fold) request(q *request) api.Outcome {
	f.enter()
	if q.Payer == f.rec.Author {
		return api.Voided(Domain, "self-transfer", "nobody pays oneself")
	}
	if _, err := record.ParseDID(string(q.Payer)); err != nil {
		return api.Voided(Domain, "bad-recipient", "payer: "+err.Error())
	}
	if out := f.join(); out.Void != nil {
		return out
	}
	ask := asked{Payer: q.Payer, Currency: q.Currency, Amount: q.Amount, Back: q.Back}
	f.Put(rowAsked(f.rec.ID), codec.MustMarshal(&ask))
	f.Index(placeKey(nil, indexAsks, f.rec.Author, f.rec), f.rec.ID[:])
	f.Index(placeKey(nil, indexAsks, q.Payer, f.rec), f.rec.ID[:])
	return api.Accepted
}

// join is what a record that pays nothing does beside: like an ack, it counts what it cites.
func (f *fold) join() api.Outcome {
	if !f.self.Member {
		return f.takeIn()
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	f.close()
	return api.Accepted
}

// cancel takes back a request of this feed's.
func (f *fold) cancel(c *cancel) api.Outcome {
	f.enter()
	b, ok := f.Own(rowAsked(c.Request))
	if ask := get[asked](b, ok); ok && !ask.Cancelled {
		if out := f.join(); out.Void != nil {
			return out
		}
		ask.Cancelled = true
		f.Put(rowAsked(c.Request), codec.MustMarshal(&ask))
		f.settle(&purpose{What: forRequest, ID: c.Request}, slotCancelled, 0)
		return api.Accepted
	}
	return noRequest(c.Request)
}

// decline fills the slot of a request with a no.
func (f *fold) decline(d *decline) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.tabOnly()
	}
	ask, _, ok := f.askedFor(d.Request)
	switch {
	case !ok:
		return noRequest(d.Request)
	case ask.Payer != f.rec.Author:
		return notAsked
	}
	if out := f.join(); out.Void != nil {
		return out
	}
	p := purpose{What: forRequest, ID: d.Request}
	if out := f.once(&p, true); out.Void != nil {
		return out
	}
	f.settle(&p, slotDeclined, 0)
	return api.Accepted
}

// fill takes the slot that a payment names, if it is free and the payment is what it is for.
func (f *fold) fill(l *leg, p *purpose, all []purpose) api.Outcome {
	out := api.Accepted
	switch p.What {
	case forRequest:
		out = f.fillRequest(l, p, all[1:])
	case forOrder:
		out = f.fillOrder(l, p)
	case forRefund:
		return f.fillRefund(l, p)
	}
	if out.Void == nil {
		out = f.once(p, false)
	}
	if out.Void == nil {
		f.settle(p, slotPaid, 0)
	}
	return out
}

// once fills a slot that is free.
func (f *fold) once(p *purpose, declined bool) api.Outcome {
	row := rowSlot(p)
	if b, ok := f.Own(row); ok {
		return alreadyPaid(get[filled](b, ok))
	}
	f.Put(row, codec.MustMarshal(&filled{By: f.rec.ID, Declined: declined}))
	return api.Accepted
}

// settle tells queries what has become of a slot.
func (f *fold) settle(p *purpose, state uint8, amount int64) {
	k := append(slotKey(make([]byte, 0, keySize), f.rec.Topic.Space, p), f.rec.Feed[:]...)
	f.Index(binary.BigEndian.AppendUint64(k, f.rec.Seq), codec.MustMarshal(&settled{ID: f.rec.ID, State: state, Amount: amount}))
}

// askedFor finds a request in what the record cites: what it says there, and who asks.
func (f *fold) askedFor(id api.Hash) (ask asked, by api.DID, ok bool) {
	for _, d := range f.rec.Deps {
		if b, ok := f.At(d, rowAsked(id)); ok {
			h, _ := f.Dep(d)
			return get[asked](b, ok), h.Author, true
		}
	}
	return asked{}, "", false
}

// fillRequest checks that a payment is what the request asks for. With a request to give a payment back goes that payment.
func (f *fold) fillRequest(l *leg, p *purpose, rest []purpose) api.Outcome {
	ask, by, ok := f.askedFor(p.ID)
	switch {
	case !ok:
		return noRequest(p.ID)
	case ask.Payer != f.rec.Author:
		return notAsked
	case ask.Cancelled:
		return api.Voided(Domain, "cancelled", "who asked for this payment has taken that back")
	case by != l.To, ask.Currency != l.Currency, ask.Amount != l.Amount, len(ask.Back) != len(rest), len(rest) > 0 && ask.Back[0] != rest[0]:
		out := api.Voided(Domain, "not-as-asked", "the payment is not what was asked for")
		out.Void.Inputs = map[string]string{"to": string(by), "currency": ask.Currency, "amount": strconv.FormatInt(ask.Amount, 10)}
		return out
	}
	return api.Accepted
}

// fillRefund checks that the author gives back what it was paid, and not more in all: the cited feed says how much the payment was.
func (f *fold) fillRefund(l *leg, p *purpose) api.Outcome {
	paid, ok := f.paidBy(l, p)
	if !ok {
		return api.Voided(Domain, "not-paid", "what is given back was not paid by its recipient to the author in this currency, as far as the record cites it")
	}
	row := rowRefunds(p.ID)
	back := getSums(f.Own(row))
	had := of(back, l.Currency)
	if l.Amount > paid-had {
		out := api.Voided(Domain, "already-paid", "more would be given back than was paid")
		out.Void.Inputs = map[string]string{
			"currency": l.Currency, "amount": strconv.FormatInt(l.Amount, 10), "paid": strconv.FormatInt(paid, 10), "given_back": strconv.FormatInt(had, 10),
		}
		return out
	}
	f.Put(row, encodeSums(with(back, l.Currency, had+l.Amount)))
	f.settle(p, slotPaid, l.Amount)
	f.untraded(f.rec.Author, l.Currency, l.Amount)
	f.untraded(l.To, l.Currency, l.Amount)
	return api.Accepted
}

// paidBy returns how much the record that p names has paid the author: what its feed has paid by then, less what it had paid before.
func (f *fold) paidBy(l *leg, p *purpose) (int64, bool) {
	for _, d := range f.rec.Deps {
		at := api.Position{Feed: d.Feed, Seq: p.N, ID: p.ID}
		if d.Feed == f.rec.Feed || !f.Within(at) {
			continue
		}
		paid := f.paidIn(at, l.To, f.rec.Author, l.Currency)
		return paid, paid > 0
	}
	return 0, false
}

// paidIn returns how much the record at a position that is cited has paid of one to another; 0 where it is not of the one or has no effect.
func (f *fold) paidIn(at api.Position, from, to api.DID, code string) int64 {
	h, accepted := f.Dep(at)
	if !accepted || h.Author != from {
		return 0
	}
	row := rowPaid(at.Feed, to)
	paid := of(getSums(f.At(at, row)), code)
	if at.Seq > 1 {
		paid -= of(getSums(f.At(api.Position{Feed: at.Feed, Seq: at.Seq - 1, ID: h.Prev}, row)), code)
	}
	return paid
}

var notAsked = api.Voided(Domain, "not-asked", "somebody else was asked to pay this")

func noRequest(id api.Hash) api.Outcome {
	out := api.Voided(Domain, "no-request", "the record cites no such request, or it is not the author's to cancel")
	out.Void.Inputs = map[string]string{"request": id.String()}
	return out
}

func alreadyPaid(by filled) api.Outcome {
	out := api.Voided(Domain, "already-paid", "this was paid before, and is paid once")
	if by.Declined {
		out = api.Voided(Domain, "declined", "this was declined before")
	}
	out.Void.Inputs = map[string]string{"by": by.By.String()}
	return out
}
