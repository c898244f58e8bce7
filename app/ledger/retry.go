package ledger

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// A payment that has no effect is retried by a new record. What must not happen is that both count:
//
//   - What a rule has made void stays so: its own past says it.
//   - What a cut has left out may come back by a later cut that adopts its branch. But of two records of one feed, of which the later takes the cut
//     into account, at most one stands: on the later's branch the earlier lies in the gap that the cut has left, and of two branches one stands. And a
//     feed that another device goes on from for good has no later cut.
//
// So a retry is written by the device that made the payment, in the same feed, or by the one that goes on from it for good; these follow on each
// other, and what the one before has retried is in the past of the next. Devices that write at the same time could each pay.

// maxHeirs bounds how many devices go on from one another between a payment and its retry.
const maxHeirs = 64

// RetryIn is the input of ledger.retry.
type RetryIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID    api.Hash `json:"id" doc:"Id of the payment that has no effect, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *RetryIn) Validate() error {
	if in.ID.IsZero() {
		return errors.New("id: missing; want the id of a payment without effect, as ledger void lists them")
	}
	return nil
}

// RetryOut is the output of ledger.retry. Amounts are minor units. The receipt is that of an earlier retry when it is repeated.
type RetryOut struct {
	Of        api.Hash    `json:"of" doc:"the payment that has no effect"`
	Receipt   api.Receipt `json:"receipt" doc:"of the payment that takes its place; repeated: it was made by an earlier retry"`
	To        api.DID     `json:"to"`
	Currency  string      `json:"currency"`
	Scale     int         `json:"scale"`
	Amount    int64       `json:"amount"`
	Memo      string      `json:"memo,omitempty"`
	Balance   int64       `json:"balance"`
	Available int64       `json:"available"`
	Gift      bool        `json:"gift,omitempty" doc:"a gift currency: balance and available are 0"`
}

// retry makes a payment again that can have no effect any more. The request is named after the payment, so that it is done once whoever repeats it;
// a name that the caller gives is not used.
func (a *App) retry(ctx context.Context, call *api.Call, in *RetryIn) (*RetryOut, error) {
	const op = "ledger.retry"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	t, err := retriable(op, r, s, signer, in.ID)
	if err != nil {
		return nil, err
	}
	named := *call
	named.Idempotency = retryName(in.ID)
	paid, err := a.pay(ctx, &named, op, host, r, s, t)
	if err != nil {
		return nil, err
	}
	if id := paid.Receipt.Position.ID; paid.Receipt.Repeated {
		if _, v, ok := r.Lookup(id); ok && !v.Accepted {
			return nil, api.Refusal(op, refused("retried", "this payment was retried, and the retry has no effect either", in.ID,
				"see what became of the retry, icnctl explain "+id.String()+", and retry that: icnctl ledger retry "+id.String(), "retry", id.String()))
		}
	}
	c, _ := s.Currency(t.Currency)
	return &RetryOut{
		Of: in.ID, Receipt: paid.Receipt, To: t.To, Currency: t.Currency, Scale: int(c.Scale), Amount: t.Amount, Memo: t.Memo,
		Balance: paid.Balance, Available: paid.Available, Gift: paid.Gift,
	}, nil
}

// retryName is the idempotency key of the retry of a payment: as much of the id as fits.
func retryName(id api.Hash) string { return "retry:" + id.String()[:58] }

// retriable returns what a payment says if it may be retried by the signer.
func retriable(op string, r api.Reader, s *fact.Space, signer api.Signer, id api.Hash) (*transfer, error) {
	rec, v, ok := r.Lookup(id)
	switch {
	case !ok || rec.Topic != (api.Topic{Space: s.ID, Name: fact.LedgerTopic}):
		return nil, api.Errorf(op, api.NotFound, "id: the ledger of %s has no record %s here; icnctl ledger void --own lists what can be retried", s.Genesis.Name, id)
	case rec.Kind != kindTransfer:
		return nil, api.Errorf(op, api.Invalid, "id: record %s is of kind %s; only payments (%s) can be retried", id, clip(rec.Kind), kindTransfer)
	case rec.Author != signer.DID():
		return nil, api.Refusal(op, refused("not-payer", "only who made a payment can retry it", id, "ask the payer to retry it: icnctl ledger retry "+id.String(), "payer", string(rec.Author)))
	}
	if why := mayCount(r, s, signer, rec, &v); why != nil {
		return nil, api.Refusal(op, why)
	}
	t, err := decodeTransfer(rec.Body)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "id: record %s says nothing that could be paid: %w", id, err)
	}
	if rec.Device != signer.Device() {
		if why := paidSince(r, s, rec, &t, s.Feed(fact.LedgerTopic, signer.Device())); why != nil {
			return nil, api.Refusal(op, why)
		}
	}
	return &t, nil
}

// mayCount says why a payment could still have effect beside a retry by the signer, or nil when it cannot.
func mayCount(r api.Reader, s *fact.Space, signer api.Signer, rec *api.Record, v *api.Verdict) *api.Reason {
	id := rec.ID
	switch why := v.Reason; {
	case v.Accepted && v.Held:
		return refused("held", "a fork holds this payment: it counts if a cut adopts its branch", id,
			"wait until the registrar has cut the feed, icnctl feed list --odd shows it, and look again: icnctl explain "+id.String())
	case v.Accepted:
		return refused("counts", "this payment counts: there is nothing to retry", id, "to pay once more: icnctl ledger transfer")
	case v.Unfolded():
		return refused("not-judged", "this build does not know yet whether the payment counts", id, why.Remedy)
	}
	if rec.Device != signer.Device() {
		if !goesOn(r, s, rec.Device, signer.Device()) {
			return refused("other-device", "this payment was made by another of your devices", id,
				"retry it there, or pay anew from this one if it was not retried: icnctl ledger transfer", "device", rec.Device.String())
		}
		return nil
	}
	if head, _ := r.Head(rec.Feed); !isCut(v.Reason) || head.Seq > rec.Seq {
		return nil
	}
	for _, c := range r.Cuts(rec.Feed) { // the retry is going to take the newest into account, which must not be one that adopts the payment
		if !c.Cited && c.At.Seq >= rec.Seq {
			return refused("reversible", "a newer cut of the feed may give this payment its effect back", id,
				"wait until the witnesses hold that cut, icnctl feed list --odd shows it, and look again: icnctl explain "+id.String(), "cut", c.By.ID.String())
		}
	}
	return nil
}

// isCut reports whether a record has no effect because its feed was cut before it.
func isCut(why *api.Reason) bool { return why != nil && why.Domain == "kernel" && why.Rule == "cut" }

// goesOn reports whether the device to goes on for good, by final cuts, from where one before it was.
func goesOn(r api.Reader, s *fact.Space, from, to api.Key) bool {
	for range maxHeirs {
		if from == to {
			return true
		}
		feed := s.Feed(fact.LedgerTopic, from)
		c, by, ok := s.Cut(feed)
		final := slices.ContainsFunc(r.Cuts(feed), func(st api.CutState) bool { return st.By == by && st.Final })
		if !ok || !final || c.Next == (api.Key{}) || c.Next == from {
			return false
		}
		from = c.Next
	}
	return false
}

// paidSince says which payment like t, by a device before the one that writes in feed, may have been the retry of rec already: that device alone knew.
func paidSince(r api.Reader, s *fact.Space, rec *api.Record, t *transfer, feed api.Hash) *api.Reason {
	looked := 0
	for k, b := range r.Index(didKey(nil, indexHistory, s.ID, rec.Author), nil, true) {
		_, pos, _, ok := splitHistory(k)
		e := get[entry](b, true)
		pos.ID = e.ID
		other, _, here := r.Record(pos)
		if looked == maxScan || here && other.Time < rec.Time {
			break
		}
		looked++
		if !ok || !here || pos.Feed == feed || e.Delta != -t.Amount || e.Code != t.Currency {
			continue
		}
		o, err := decodeTransfer(other.Body)
		if err == nil && o.equal(t) {
			return refused("maybe-retried", "a device that you had before has paid the same again: that may have been the retry", rec.ID,
				"if it was another payment, pay anew: icnctl ledger transfer", "other", pos.ID.String())
		}
	}
	if looked == maxScan {
		return refused("too-long-ago", "more was paid since than can be looked through for an earlier retry", rec.ID,
			"see icnctl ledger history, and pay anew if it was not retried: icnctl ledger transfer", "payments", strconv.Itoa(looked))
	}
	return nil
}

// refused is the reason for which a payment is not retried. Inputs are names and values.
func refused(rule, text string, id api.Hash, remedy string, inputs ...string) *api.Reason {
	why := &api.Reason{Domain: Domain, Rule: rule, Text: text, Inputs: map[string]string{"payment": id.String()}, Remedy: remedy}
	for i := 0; i+1 < len(inputs); i += 2 {
		why.Inputs[inputs[i]] = inputs[i+1]
	}
	return why
}
