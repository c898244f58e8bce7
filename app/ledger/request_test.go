package ledger

import (
	"context"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// do runs an operation that has to succeed.
func do[Out any](w *world, who, op string, in any) *Out {
	w.t.Helper()
	out, err := w.call(who, op, in)
	if err != nil {
		w.t.Fatalf("%s: %s: %v", who, op, err)
	}
	return out.(*Out)
}

// no runs an operation that has to be refused by a rule.
func (w *world) no(who, op string, in any, rule string) {
	w.t.Helper()
	_, err := w.call(who, op, in)
	if why := api.ReasonOf(err); why == nil || why.Rule != rule {
		w.t.Errorf("%s: %s: %v, want refused by %s", who, op, err, rule)
	}
}

func (w *world) ask(payee, payer string, amount int64) api.Hash {
	w.t.Helper()
	id := do[RequestOut](w, payee, "ledger.request", RequestIn{Payer: w.did(payer), Currency: "hours", Amount: amount, Memo: "eggs", Category: "food"}).Receipt.Position.ID
	w.final()
	return id
}

func (w *world) asked(who string, id api.Hash) Request {
	w.t.Helper()
	for _, q := range do[RequestsOut](w, who, "ledger.requests", RequestsIn{}).Requests {
		if q.ID == id {
			return q
		}
	}
	w.t.Fatalf("%s has no request %s", who, id)
	return Request{}
}

func (w *world) entries(who string, in HistoryIn) []Entry {
	w.t.Helper()
	return do[HistoryOut](w, who, "ledger.history", in).Entries
}

func TestRequestIsPaidOnce(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob", "carol")
	id := w.ask("ann", "bob", 300)
	if q := w.asked("bob", id); q.State != "open" || q.Payee != w.did("ann") || q.Amount != 300 || q.Memo != "eggs" {
		t.Fatalf("%+v", q)
	}
	w.no("carol", "ledger.approve", ApproveIn{ID: id}, "not-asked")
	w.no("ann", "ledger.decline", DeclineIn{ID: id}, "not-asked")
	w.no("bob", "ledger.cancel", CancelIn{ID: id}, "not-asker")
	w.no("bob", "ledger.transfer", TransferIn{To: w.did("ann"), Currency: "hours", Amount: 299, For: "request:" + id.String()}, "not-as-asked")
	w.no("bob", "ledger.transfer", TransferIn{To: w.did("carol"), Currency: "hours", Amount: 300, For: "request:" + id.String()}, "not-as-asked")
	w.no("carol", "ledger.transfer", TransferIn{To: w.did("ann"), Currency: "hours", Amount: 300, For: "request:" + id.String()}, "not-asked")
	first := do[ApproveOut](w, "bob", "ledger.approve", ApproveIn{ID: id})
	if first.Balance != -300 || first.Available != 700 || first.Request.State != "paid" {
		t.Errorf("%+v", first)
	}
	again := do[ApproveOut](w, "bob", "ledger.approve", ApproveIn{ID: id}) // a second click
	if !again.Receipt.Repeated || again.Receipt.Position != first.Receipt.Position || again.Balance != -300 {
		t.Errorf("%+v", again)
	}
	w.no("bob", "ledger.decline", DeclineIn{ID: id}, "already-paid")
	w.no("ann", "ledger.cancel", CancelIn{ID: id}, "already-paid")
	e := w.entries("ann", HistoryIn{})[0]
	if e.Kind != "request" || e.For[0].ID != id || e.Category != "food" || e.BalanceDelta != 300 {
		t.Errorf("%+v", e)
	}
	if got := len(do[RequestsOut](w, "bob", "ledger.requests", RequestsIn{State: "open"}).Requests); got != 0 {
		t.Errorf("%d open requests", got)
	}
	w.verify()
	w.sameElsewhere(1)
}

func TestRequestDeclinedCancelledExpired(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	declined, cancelled := w.ask("ann", "bob", 1), w.ask("ann", "bob", 2)
	out := do[SettledOut](w, "bob", "ledger.decline", DeclineIn{ID: declined, Reason: "not mine"})
	if out.Request.State != "declined" || out.Request.Reason != "not mine" {
		t.Errorf("%+v", out)
	}
	if !do[SettledOut](w, "bob", "ledger.decline", DeclineIn{ID: declined}).Receipt.Repeated {
		t.Error("declined twice")
	}
	w.no("bob", "ledger.approve", ApproveIn{ID: declined}, "declined")
	do[SettledOut](w, "ann", "ledger.cancel", CancelIn{ID: cancelled})
	w.no("bob", "ledger.approve", ApproveIn{ID: cancelled}, "cancelled")
	w.no("bob", "ledger.decline", DeclineIn{ID: cancelled}, "cancelled")

	long := do[RequestOut](w, "ann", "ledger.request", RequestIn{Payer: w.did("bob"), Currency: "hours", Amount: 5, Expires: time.UnixMilli(1).UTC()}).Receipt.Position.ID
	w.no("bob", "ledger.approve", ApproveIn{ID: long}, "expired")
	w.no("bob", "ledger.approve", ApproveIn{ID: long, Anyway: true}, "not-final")
	w.no("bob", "ledger.decline", DeclineIn{ID: long}, "not-final")
	w.final()
	if out := do[ApproveOut](w, "bob", "ledger.approve", ApproveIn{ID: long, Anyway: true}); out.Balance != -5 {
		t.Errorf("%+v", out)
	}
	for state, want := range map[string]int{"declined": 1, "cancelled": 1, "paid": 1, "open": 0} {
		if got := do[RequestsOut](w, "bob", "ledger.requests", RequestsIn{State: state, Side: "in"}).Requests; len(got) != want {
			t.Errorf("%s: %+v", state, got)
		}
	}
	w.verify()
	w.sameElsewhere(1)
}

// The fold decides, whoever has made the record: what was cancelled before the payer's view of it is void, what was paid at the same time is paid.
func TestRequestRaces(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	id := w.ask("ann", "bob", 300)
	asked := w.tip("ann")
	do[SettledOut](w, "ann", "ledger.cancel", CancelIn{ID: id})
	pay := func(cite, prev api.Position) (api.Position, string) {
		rec, out := w.deliver("bob", api.Draft{
			Topic: w.topic(fact.LedgerTopic), Kind: kindTransfer, Deps: fact.Deps([]api.Position{w.admission(), cite}),
			Body: codec.MustMarshal(&transfer{To: w.did("ann"), Currency: "hours", Amount: 300, For: []purpose{{What: forRequest, ID: id}}}),
		}, prev)
		if out.Void != nil {
			return rec.Position(), out.Void.Rule
		}
		return rec.Position(), ""
	}
	at, rule := pay(w.tip("ann"), api.Position{})
	if rule != "cancelled" {
		t.Errorf("%q", rule)
	}
	if at, rule = pay(w.admission(), at); rule != "no-request" {
		t.Errorf("cites nothing: %q", rule)
	}
	if at, rule = pay(asked, at); rule != "" {
		t.Errorf("%q", rule)
	}
	if q := w.asked("ann", id); q.State != "paid" {
		t.Errorf("cancelled and paid at once: %+v", q)
	}
	if _, rule = pay(asked, at); rule != "already-paid" {
		t.Errorf("%q", rule)
	}
	w.verify()
	w.sameElsewhere(3)
}

func TestReverse(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob", "carol")
	w.mustPay("ann", "bob", 100)
	paid := w.mustPay("ann", "bob", 300).Receipt.Position.ID
	w.no("bob", "ledger.reverse", ReverseIn{ID: paid}, "not-final")
	w.final()
	w.no("carol", "ledger.reverse", ReverseIn{ID: paid}, "not-paid")
	w.no("ann", "ledger.reverse", ReverseIn{ID: paid}, "not-paid")
	w.no("bob", "ledger.reverse", ReverseIn{ID: paid, Amount: 301}, "already-paid")
	if out := do[ReverseOut](w, "bob", "ledger.reverse", ReverseIn{ID: paid, Amount: 120, Memo: "two were bad"}); out.Left != 180 || out.Amount != 120 {
		t.Errorf("%+v", out)
	}
	w.no("bob", "ledger.transfer", TransferIn{To: w.did("ann"), Currency: "hours", Amount: 181, For: "refund:" + paid.String()}, "already-paid")
	w.no("bob", "ledger.transfer", TransferIn{To: w.did("carol"), Currency: "hours", Amount: 1, For: "refund:" + paid.String()}, "not-paid")

	// The payer asks for the rest; what is given back meanwhile is not given back again.
	back := do[RequestOut](w, "ann", "ledger.request", RequestIn{Payer: w.did("bob"), Currency: "hours", Amount: 180, For: paid}).Receipt.Position.ID
	w.final()
	w.no("ann", "ledger.request", RequestIn{Payer: w.did("bob"), Currency: "hours", Amount: 181, For: paid}, "already-paid")
	if q := w.asked("bob", back); q.For[0].What != "refund" || q.For[0].ID != paid {
		t.Errorf("%+v", q)
	}
	if out := do[ApproveOut](w, "bob", "ledger.approve", ApproveIn{ID: back}); out.Request.State != "paid" {
		t.Errorf("%+v", out)
	}
	w.no("bob", "ledger.reverse", ReverseIn{ID: paid}, "already-paid")
	if got := w.balance("ann").Balance; got != -100 {
		t.Errorf("ann has %d, want -100", got)
	}
	for _, who := range []string{"ann", "bob"} {
		all := w.entries(who, HistoryIn{})
		if len(all) != 4 || all[0].Kind != "refund" || all[0].For[1].ID != paid || all[2].ID != paid || all[2].Refunded != 300 || all[3].Refunded != 0 {
			t.Errorf("%s: %+v", who, all)
		}
	}
	w.verify()
	w.sameElsewhere(1)
}

func TestReverseAskedTwice(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	paid := w.mustPay("ann", "bob", 300).Receipt.Position.ID
	w.final()
	var first api.Receipt
	for i := range 2 {
		call := &api.Call{Actor: w.did("bob"), Signer: w.signer("bob"), Scopes: []string{"*"}, Idempotency: "click"}
		out, err := w.app.reverse(context.Background(), call, &ReverseIn{ID: paid})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = out.Receipt
		} else if !out.Receipt.Repeated || out.Receipt.Position != first.Position || out.Left != 0 {
			t.Errorf("%+v", out)
		}
	}
	w.verify()
}

func TestHistoryFilters(t *testing.T) {
	w := newWorld(t, map[string]fact.Currency{"hours": {Scale: 2, Limit: 1000}, "loaves": {Limit: 10}}, "ann", "bob", "carol")
	pay := func(to, code string, amount int64, memo, category string) time.Time {
		rc := do[TransferOut](w, "ann", "ledger.transfer", TransferIn{To: w.did(to), Currency: code, Amount: amount, Memo: memo, Category: category}).Receipt
		return rc.Time.Time()
	}
	pay("bob", "hours", 10, "Brown bread", "food")
	pay("carol", "hours", 20, "bicycle", "")
	pay("bob", "loaves", 3, "breakfast", "food")
	last := w.entries("ann", HistoryIn{})[0].Time
	for name, tc := range map[string]struct {
		in   HistoryIn
		want int
	}{
		"all":         {HistoryIn{}, 3},
		"currency":    {HistoryIn{Currency: "hours"}, 2},
		"with":        {HistoryIn{With: w.did("bob")}, 2},
		"category":    {HistoryIn{Category: "food"}, 2},
		"text":        {HistoryIn{Text: "BREA"}, 2},
		"both":        {HistoryIn{Text: "bread", With: w.did("bob")}, 1},
		"least":       {HistoryIn{Min: 10}, 2},
		"most":        {HistoryIn{Max: 10}, 2},
		"between":     {HistoryIn{Min: 4, Max: 19}, 1},
		"from":        {HistoryIn{From: last.Add(time.Millisecond)}, 0},
		"from long":   {HistoryIn{From: time.Unix(1, 0)}, 3},
		"until":       {HistoryIn{Until: last.Add(time.Millisecond)}, 3},
		"until early": {HistoryIn{Until: time.Unix(1, 0)}, 0},
	} {
		if got := w.entries("ann", tc.in); len(got) != tc.want {
			t.Errorf("%s: %d entries, want %d", name, len(got), tc.want)
		}
	}
	for name, in := range map[string]HistoryIn{
		"min":   {Min: -1},
		"max":   {Min: 5, Max: 4},
		"until": {From: last, Until: last},
		"text":  {Text: strings.Repeat("x", 257)},
		"with":  {With: "bob"},
	} {
		if _, err := w.call("ann", "ledger.history", in); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every part of what the input may say has its bounds.
func TestBadRequests(t *testing.T) {
	w := newWorld(t, hours(1000, 0), "ann", "bob")
	good := RequestIn{Payer: w.did("bob"), Currency: "hours", Amount: 1}
	for name, change := range map[string]func(*RequestIn){
		"self":      func(in *RequestIn) { in.Payer = w.did("ann") },
		"no DID":    func(in *RequestIn) { in.Payer = "bob" },
		"zero":      func(in *RequestIn) { in.Amount = 0 },
		"negative":  func(in *RequestIn) { in.Amount = -1 << 63 },
		"currency":  func(in *RequestIn) { in.Currency = "euros" },
		"long memo": func(in *RequestIn) { in.Memo = strings.Repeat("x", 10<<20) },
		"category":  func(in *RequestIn) { in.Category = "Food!" },
	} {
		in := good
		change(&in)
		if _, err := w.call("ann", "ledger.request", in); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.no("ann", "ledger.request", RequestIn{Payer: w.did("eve"), Currency: "hours", Amount: 1}, "not-a-member")
	for _, op := range []string{"ledger.approve", "ledger.decline", "ledger.cancel"} {
		if _, err := w.call("bob", op, ApproveIn{ID: api.Hash{1}}); op == "ledger.approve" && api.KindOf(err) != api.NotFound {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// Whatever is asked, paid, declined, cancelled and given back in which order ever: a slot counts once, refunds stay within what was paid, and the same
// records give the same state in any order.
func TestSlotsCountOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, hours(2000, 0), "ann", "bob", "carol")
		names := []string{"ann", "bob", "carol"}
		var requests, payments []api.Hash
		for range rapid.IntRange(5, 25).Draw(rt, "steps") {
			who, other := rapid.SampledFrom(names).Draw(rt, "who"), rapid.SampledFrom(names).Draw(rt, "other")
			amount := rapid.Int64Range(1, 400).Draw(rt, "amount")
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0:
				if out, err := w.call(who, "ledger.request", RequestIn{Payer: w.did(other), Currency: "hours", Amount: amount}); err == nil {
					requests = append(requests, out.(*RequestOut).Receipt.Position.ID)
				}
			case 1:
				if out, err := w.pay(who, other, amount); err == nil {
					payments = append(payments, out.Receipt.Position.ID)
				}
			case 2:
				if len(payments) > 0 {
					_, _ = w.call(who, "ledger.reverse", ReverseIn{ID: rapid.SampledFrom(payments).Draw(rt, "payment"), Amount: amount})
				}
			case 3:
				w.final()
			default:
				if len(requests) > 0 {
					op := rapid.SampledFrom([]string{"ledger.approve", "ledger.approve", "ledger.decline", "ledger.cancel"}).Draw(rt, "op")
					_, _ = w.call(who, op, ApproveIn{ID: rapid.SampledFrom(requests).Draw(rt, "request")})
				}
			}
		}
		paid, back := map[api.Hash]int{}, map[api.Hash]int64{}
		amounts := map[api.Hash]int64{}
		for _, rec := range w.m.Records() {
			legs, what := legsOf(rec)
			for _, l := range legs {
				amounts[rec.ID] += l.Amount
			}
			for _, p := range what {
				if p.What == forRefund {
					back[p.ID] += legs[0].Amount
				} else {
					paid[p.ID]++
				}
			}
		}
		for id, n := range paid {
			if n != 1 {
				rt.Errorf("request %s was paid %d times", id, n)
			}
		}
		for id, n := range back {
			if n > amounts[id] {
				rt.Errorf("of payment %s, %d, %d was given back", id, amounts[id], n)
			}
		}
		w.verify()
		w.sameElsewhere(7)
	})
}
