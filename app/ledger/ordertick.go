package ledger

import (
	"context"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	turnEvery     = time.Minute
	maxOrders     = 256 // of a member's newest orders that are looked at
	maxMissed     = 12  // periods of an order that are paid without being asked; older ones wait for the member
	maxTries      = 10
	firstWait     = time.Minute
	longestWait   = 24 * time.Hour
	maxWhy        = 256
	localOrders   = "order/"
	evOrderFailed = "ledger.order-failed"
)

// turns says when the orders were looked at last, by the clock that Tick is given.
type turns struct {
	mu   sync.Mutex
	last time.Time
}

// next reports whether it is time for another turn; a clock that goes back does not stop them.
func (t *turns) next(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if since := now.Sub(t.last); since >= 0 && since < turnEvery {
		return false
	}
	t.last = now
	return true
}

// payDue pays what is due of this node's member's standing orders.
func (a *App) payDue(ctx context.Context, host api.Host, now time.Time) error {
	if !a.turns.next(now) {
		return nil
	}
	tried := tries(host)
	for _, space := range host.Follows() {
		if err := a.payOrders(ctx, host, space, now, tried); err != nil {
			return err
		}
	}
	if l, ok := host.(api.LocalHost); ok {
		for key := range tried { // what is left is due no more
			if err := l.Local().Delete(key); err != nil {
				return err
			}
		}
	}
	return nil
}

// payOrders pays what is due in one space. What is paid fills a slot, so whatever becomes of clock, node and device, it is paid once.
// What was tried and is due still is taken out of tried.
func (a *App) payOrders(ctx context.Context, host api.Host, space api.Hash, now time.Time, tried map[string]try) error {
	self, known := host.Self(), maps.Clone(tried)
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil
	}
	if m, _, ok := s.Member(self.DID()); !ok || m.Device != self.Device() {
		return nil
	}
	for o := range orders(r, s, self.DID(), now, known) {
		for _, d := range o.Due {
			delete(tried, tryKey(o.ID, d.Period))
		}
		for _, d := range o.Due {
			if d.Missed || d.GivenUp {
				continue
			}
			if wait := d.Next.Sub(now); wait > 0 && wait <= longestWait { // more: the clock has gone back
				break
			}
			if err := a.payOrder(ctx, host, &o, d, now); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// payOrder pays one period, or keeps why it was refused.
func (a *App) payOrder(ctx context.Context, host api.Host, o *StandingOrder, d Due, now time.Time) error {
	self := host.Self()
	call := &api.Call{Actor: self.DID(), Signer: self, Scopes: []string{"*"}, Wait: api.WaitLocal}
	_, err := a.orderPay(ctx, call, &OrderPayIn{Space: o.space, ID: o.ID, Period: d.Period})
	l, ok := host.(api.LocalHost)
	if !ok {
		return nil
	}
	key := tryKey(o.ID, d.Period)
	if err == nil {
		return l.Local().Delete(key)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the node stops; it is tried again
	}
	t := try{Tries: d.Tries + 1, Why: err.Error()}
	if why := api.ReasonOf(err); why != nil {
		t.Rule, t.Why = why.Rule, why.Text
	}
	t.Why = strings.ToValidUTF8(t.Why[:min(len(t.Why), maxWhy)], "")
	t.Next = now.Add(min(longestWait, firstWait<<(2*d.Tries))).UnixMilli()
	host.Log().Info("a payment of a standing order is refused", "order", o.ID.Short(), "period", d.Period, "tries", t.Tries, "why", t.Why)
	if e, ok := host.(api.EventHost); ok {
		e.Notify(evOrderFailed, o.space, self.DID(), &OrderFailed{Order: o.ID, Period: d.Period, Tries: t.Tries, GivenUp: t.Tries >= maxTries, Rule: t.Rule, Why: t.Why})
	}
	return l.Local().Put(key, codec.MustMarshal(&t))
}

// try is what this node keeps of a payment that was refused.
type try struct {
	_     struct{} `cbor:",toarray"`
	Tries int
	Next  int64 // Unix milliseconds
	Rule  string
	Why   string
}

func tryKey(id api.Hash, period int) string {
	return localOrders + id.String() + "/" + strconv.Itoa(period)
}

// tries reads what this node keeps of payments that were refused.
func tries(host api.Host) map[string]try {
	all := map[string]try{}
	if l, ok := host.(api.LocalHost); ok {
		_ = l.Local().Each(localOrders, func(key string, value []byte) bool {
			var t try
			if codec.Unmarshal(value, &t) == nil {
				all[key] = t
			}
			return true
		})
	}
	return all
}
