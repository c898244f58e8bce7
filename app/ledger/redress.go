package ledger

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// kindRedress is the clerk's record, in the topic postings, that carries out what a dispute about a payment has come to.
const kindRedress = "redress"

// redress pays the claimant what both sides have agreed on, or what is awarded by whom both have bound themselves to follow; or it undoes a payment because
// more than half of all members uphold the claim. Nobody else's account can be debited by it.
type redress struct {
	_        struct{} `cbor:",toarray"`
	Dispute  api.Hash
	From     api.DID // whom the claim is against
	To       api.DID // the claimant
	Currency string
	Amount   int64  `say:"amount,currency"` // minor units, > 0
	Why      string // agreed, awarded or upheld
}

func (r *redress) check() error {
	switch {
	case len(r.From) > maxDID || len(r.To) > maxDID:
		return errors.New("from, to: too long for a DID")
	case !isCode(r.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case r.Amount <= 0:
		return fmt.Errorf("amount %d: want more than 0", r.Amount)
	case r.Why != whyAgreed && r.Why != whyAwarded && r.Why != whyUpheld:
		return fmt.Errorf("why %q: want agreed, awarded or upheld", clip(r.Why))
	}
	return checkID("dispute", r.Dispute)
}

// of is the redress that an accord asks for; false where it asks for none.
func (a *accord) redress() (redress, bool) {
	return redress{Dispute: a.Dispute, From: a.Against, To: a.Claimant, Currency: a.Currency, Amount: a.Amount, Why: a.Why}, a.Amount > 0
}

// rowRedressed is on the clerk's feed: the record that has carried out what a dispute about a record has come to. There is one for all disputes about it.
func rowRedressed(about api.Hash) []byte { return append([]byte("redress/"), about[:]...) }

// redress moves what a dispute has come to, once.
func (f *fold) redress(r *redress) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	c, ok := f.claimed(r.Dispute)
	if !ok {
		return noDispute
	}
	if by, done := f.Own(rowRedressed(c.About)); done {
		out := api.Voided(Domain, "already-settled", "what the dispute has come to was carried out before")
		out.Void.Inputs = map[string]string{"by": api.Hash(by).String()}
		return out
	}
	for _, d := range f.rec.Deps {
		if _, escrowed := f.At(d, rowEscrow(c.About)); escrowed {
			return api.Voided(Domain, "in-escrow", "what is in escrow is paid from there")
		}
	}
	all := f.sure()
	var a accord
	if r.Why == whyUpheld {
		a, ok = f.upheld(all, r.Dispute, &c)
	} else {
		v := f.voiced(all, c.About, c.Claimant, c.Against)
		a, ok = f.accord(all, &v, c.About, c.Claimant, c.Against)
	}
	if !ok || a.Dispute != r.Dispute {
		return notAgreed
	}
	if want, due := a.redress(); !due || *r != want {
		out := api.Voided(Domain, "not-as-agreed", "the dispute has come to something else, by what the record cites")
		out.Void.Inputs = map[string]string{"amount": strconv.FormatInt(want.Amount, 10), "currency": want.Currency, "why": want.Why}
		return out
	}
	f.Put(rowRedressed(c.About), f.rec.ID[:])
	if !f.move(r.From, r.Currency, -r.Amount) || !f.move(r.To, r.Currency, r.Amount) {
		return *f.refused
	}
	f.untraded(r.From, r.Currency, r.Amount)
	f.untraded(r.To, r.Currency, r.Amount)
	f.said(r.Dispute, r.Amount)
	return api.Accepted
}

var notAgreed = api.Voided(Domain, "not-decided", "neither have both sides accepted one offer, nor have they bound themselves to an award that is there, nor do more than half of all members uphold the claim, as far as the record shows it certain")

// accordOf is what two sides have agreed on about a payment or escrow by what is certain here, and what to cite for it.
func accordOf(r api.Reader, s *fact.Space, about api.Hash, one, other api.DID) (a accord, cites []api.Position, ok bool) {
	var v voiced
	for i, did := range [...]api.DID{one, other} {
		row, at, ok := certainly(r, s, did)
		if !ok {
			return a, nil, false
		}
		cites = append(cites, at...)
		v.bound[i], v.deal[i] = get[bound](row(rowBound(about))), get[deal](row(rowDeal(about)))
	}
	a, ok = v.accord(func(mediator api.DID, id api.Hash) (int64, bool) {
		row, at, ok := certainly(r, s, mediator)
		if !ok {
			return 0, false
		}
		b, ok := row(rowJudged(id))
		cites = append(cites, at...)
		return int64(fact.Number(b, ok)), ok
	})
	if !ok {
		return a, nil, false
	}
	for _, did := range [...]api.DID{one, other} {
		if row, _, ok := certainly(r, s, did); ok {
			if b, ok := row(rowClaim(a.Dispute)); ok {
				a.complaint = get[complaint](b, ok)
				return a, append(cites, s.Views()...), a.between(about, one, other)
			}
		}
	}
	return a, nil, false
}

// certainly reads the rows of a member's feed that are certain, and says what to cite for them.
func certainly(r api.Reader, s *fact.Space, did api.DID) (row func(key []byte) ([]byte, bool), cites []api.Position, ok bool) {
	feed, ok := voice(r, s, did)
	if !ok {
		return nil, nil, false
	}
	sh, ok := certain(r, s, feed)
	if !ok {
		return nil, nil, false
	}
	return func(key []byte) ([]byte, bool) {
		b, by, ok := r.Own(feed, key)
		return b, ok && (by.Feed != feed || by.Seq <= sh.at.Seq)
	}, sh.cite, true
}

// redress makes the clerk's next record about a dispute that is not about an escrow; false while there is nothing to carry out.
func (d *desk) redress(r api.Reader, s *fact.Space, c *complaint) (draft api.Draft, ok bool) {
	if _, _, done := r.Own(d.from, rowRedressed(c.About)); done {
		return draft, false
	}
	a, cites, ok := accordOf(r, s, c.About, c.Claimant, c.Against)
	if !ok {
		return draft, false
	}
	body, due := a.redress()
	on := *d
	on.deps = append(on.deps[:len(on.deps):len(on.deps)], cites...)
	return on.draft(s, kindRedress, &body, ""), due
}

// redressedBy reads what a record pays by a dispute.
func redressedBy(rec *api.Record) (b redress, ok bool) {
	return b, rec.Kind == kindRedress && codec.Unmarshal(rec.Body, &b) == nil && b.check() == nil
}
