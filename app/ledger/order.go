package ledger

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// order is a standing order: its author means to pay once in every period. Each payment is a transfer for (forOrder, id, period); nothing is paid by the
// order itself, and no clock decides what is valid.
type order struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
	Memo     string
	Category string
	Every    uint64 // units in a period, 1 to maxEvery
	Unit     string // days, weeks or months
	First    string // the day on which period 1 begins, as 2026-01-31
	Last     string // no period begins after this day; empty: without end
	Count    uint64 // so many periods at most; 0: any number
	Zone     string // IANA name of the time zone in which days begin
}

var orderUnits = []string{"days", "weeks", "months"}

func (o *order) check() error {
	if err := checkPayment(o.To, o.Currency, o.Amount, o.Memo, o.Category); err != nil {
		return err
	}
	first, err := parseDate("first", o.First)
	switch {
	case err != nil:
		return err
	case o.Every < 1 || o.Every > maxEvery:
		return fmt.Errorf("every %d: want 1 to %d", o.Every, maxEvery)
	case !slices.Contains(orderUnits, o.Unit):
		return fmt.Errorf("unit %q: want one of %v", clip(o.Unit), orderUnits)
	case o.Count > maxPeriods:
		return fmt.Errorf("count %d: at most %d", o.Count, maxPeriods)
	case o.Zone == "" || len(o.Zone) > maxZone:
		return fmt.Errorf("zone of %d bytes: want the name of a time zone such as Europe/Vienna, at most %d", len(o.Zone), maxZone)
	case o.Last == "":
		return nil
	}
	last, err := parseDate("last", o.Last)
	if err == nil && last.Before(first) {
		err = fmt.Errorf("last %s: before first, %s", o.Last, o.First)
	}
	return err
}

// calendar returns when the order's periods begin.
func (o *order) calendar() (*calendar, error) {
	return newCalendar(o.First, int(o.Every), strings.TrimSuffix(o.Unit, "s"), o.Zone)
}

// periods is how many of the order's periods have begun by now, as far as the order goes, and whether no more come.
func (o *order) periods(c *calendar, now time.Time) (n int, last bool) {
	most := maxPeriods
	if o.Count > 0 {
		most = int(o.Count)
	}
	if o.Last != "" {
		end, _ := parseDate("last", o.Last)
		most = min(most, sort.Search(maxPeriods, func(i int) bool { return c.date(i + 1).After(end) }))
	}
	n = min(c.due(now), most)
	return n, n == most
}

// endOrder ends a standing order: no payment for it is made any more.
type endOrder struct {
	_     struct{} `cbor:",toarray"`
	Order api.Hash
}

func (e *endOrder) check() error { return checkID("order", e.Order) }

// ordered is what the account's feed keeps of an order.
type ordered struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64
	Count    uint64
	Ended    bool
}

func rowOrder(id api.Hash) []byte { return append([]byte("order/"), id[:]...) }

func (f *fold) order(o *order) api.Outcome {
	f.enter()
	switch _, err := record.ParseDID(string(o.To)); {
	case o.To == f.rec.Author:
		return api.Voided(Domain, "self-transfer", "nobody pays oneself")
	case err != nil:
		return api.Voided(Domain, "bad-recipient", "to: "+err.Error())
	case !f.self.Member:
		return f.tabOnly()
	}
	if out := f.join(); out.Void != nil {
		return out
	}
	f.Put(rowOrder(f.rec.ID), codec.MustMarshal(&ordered{To: o.To, Currency: o.Currency, Amount: o.Amount, Count: o.Count}))
	f.Index(placeKey(nil, indexOrders, f.rec.Author, f.rec), f.rec.ID[:])
	return api.Accepted
}

// tabOnly is the outcome of what only the account's own feed says, in another one.
func (f *fold) tabOnly() api.Outcome {
	if _, ok := f.purse(); !ok {
		return f.stranger()
	}
	return notFromTab
}

func (f *fold) endOrder(e *endOrder) api.Outcome {
	f.enter()
	b, ok := f.Own(rowOrder(e.Order))
	if o := get[ordered](b, ok); ok && !o.Ended && f.self.Member {
		if out := f.join(); out.Void != nil {
			return out
		}
		o.Ended = true
		f.Put(rowOrder(e.Order), codec.MustMarshal(&o))
		f.settle(&purpose{What: forOrder, ID: e.Order}, slotEnded, 0)
		return api.Accepted
	}
	return noOrder(e.Order)
}

// fillOrder checks that a payment is what the author's order says.
func (f *fold) fillOrder(l *leg, p *purpose) api.Outcome {
	b, ok := f.Own(rowOrder(p.ID))
	switch o := get[ordered](b, ok); {
	case !ok || o.Ended || o.Count > 0 && p.N > o.Count:
		return noOrder(p.ID)
	case o.To != l.To, o.Currency != l.Currency, o.Amount != l.Amount:
		return api.Voided(Domain, "not-as-ordered", "the payment is not what the standing order says")
	}
	return api.Accepted
}

func noOrder(id api.Hash) api.Outcome {
	out := api.Voided(Domain, "no-order", "the account has no such standing order, or it has ended")
	out.Void.Inputs = map[string]string{"order": id.String()}
	return out
}
