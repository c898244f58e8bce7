package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Who is in escrow's account would have two who spend, payer and payee, so it has one who settles: the clerk, whose feed of postings puts all settlements in
// one order. What the clerk has no say in is how: the amounts follow from what the record cites, and it cannot leave out what it does not like where that
// would make a difference: see overlooks.

// Record kinds, in the topic postings.
const (
	kindDue    = "escrow-due" // the date of an escrow has come
	kindSettle = "settle"
)

// escrowDue says that the date of an escrow has come. Witnesses hold no record before it is due, so once this one is final its time is theirs as well; and
// what they held to be final then of those who have a say in the escrow counts.
type escrowDue struct {
	_      struct{} `cbor:",toarray"`
	Escrow api.Hash
}

func (d *escrowDue) check() error { return checkID("escrow", d.Escrow) }

// settlement pays out an escrow: so much to the payee and the rest back to the payer.
type settlement struct {
	_        struct{} `cbor:",toarray"`
	Escrow   api.Hash
	Payer    api.DID
	Payee    api.DID
	Currency string
	Paid     int64  `say:"amount,currency"` // to the payee, minor units, >= 0
	Back     int64  `say:"amount,currency"` // to the payer, minor units, >= 0
	Why      string // agreed, awarded or expired
}

// Why an escrow is settled.
const (
	whyAgreed  = "agreed"
	whyAwarded = "awarded"
	whyExpired = "expired"
	whyUpheld  = "upheld" // a dispute about a payment, by the members
)

func (s *settlement) check() error {
	switch {
	case len(s.Payer) > maxDID || len(s.Payee) > maxDID:
		return errors.New("payer, payee: too long for a DID")
	case !isCode(s.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case s.Paid < 0 || s.Back < 0 || s.Paid == 0 && s.Back == 0:
		return fmt.Errorf("paid %d, back %d: want 0 or more, and not both 0", s.Paid, s.Back)
	case s.Why != whyAgreed && s.Why != whyAwarded && s.Why != whyExpired:
		return fmt.Errorf("why %q: want agreed, awarded or expired", clip(s.Why))
	}
	return checkID("escrow", s.Escrow)
}

// legs are the two payments, which the account of the escrow makes.
func (s *settlement) legs() [2]leg {
	memo := "escrow " + s.Escrow.Short() + ", " + s.Why
	return [2]leg{
		{To: s.Payee, Currency: s.Currency, Amount: s.Paid, Memo: memo},
		{To: s.Payer, Currency: s.Currency, Amount: s.Back, Memo: memo},
	}
}

// Feed rows of the clerk's feed: due/<feed><id> the place of the record that says so, 8 bytes, half of the feed's own id keeping it apart from what an earlier
// clerk has said; settled/<id> the record that has settled an escrow, which holds for the next clerk, too.
func rowDue(by, id api.Hash) []byte {
	return append(append([]byte("due/"), by[:16]...), id[:]...)
}
func rowSettled(id api.Hash) []byte { return append([]byte("settled/"), id[:]...) }

// escrowDue notes that the date of an escrow has come.
func (f *fold) escrowDue(d *escrowDue) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	h, ok := f.escrowed(d.Escrow)
	if !ok {
		return noEscrow
	}
	row := rowDue(f.rec.Feed, d.Escrow)
	if _, before := f.Own(row); before || f.rec.Time.Millis() < h.Expires {
		return notDue(&h)
	}
	f.Put(row, api.Seq8(f.rec.Seq))
	return api.Accepted
}

// settleEscrow pays out an escrow, once.
func (f *fold) settleEscrow(s *settlement) api.Outcome {
	if f.enterOffice(fact.Clerk); f.refused != nil {
		return *f.refused
	}
	if by, done := f.Own(rowSettled(s.Escrow)); done {
		out := api.Voided(Domain, "already-settled", "the escrow was settled before, and is settled once")
		out.Void.Inputs = map[string]string{"by": api.Hash(by).String()}
		return out
	}
	c := f.claims(s.Escrow)
	if !c.found {
		return noEscrow
	}
	want, ok := c.settled(s.Escrow)
	switch {
	case !ok:
		return notDue(&c.deposit)
	case *s != want:
		out := api.Voided(Domain, "not-as-agreed", "the escrow is settled otherwise than follows from what the record cites")
		out.Void.Inputs = map[string]string{
			"why": want.Why, "paid": strconv.FormatInt(want.Paid, 10), "back": strconv.FormatInt(want.Back, 10), "currency": want.Currency,
		}
		return out
	}
	f.Put(rowSettled(s.Escrow), f.rec.ID[:])
	account := EscrowAccount(s.Escrow)
	for i, l := range s.legs() {
		if l.Amount == 0 {
			continue
		}
		if !f.move(l.To, s.Currency, l.Amount) {
			return *f.refused
		}
		if l.To == s.Payer {
			f.untraded(l.To, s.Currency, l.Amount)
		}
		f.shift(account, s.Currency, -l.Amount, i)
	}
	f.said(s.Escrow, s.Paid)
	return api.Accepted
}

// claims is what is certain of an escrow.
type claims struct {
	deposit // with what the payer has released
	found   bool
	back    int64 // what the payee gives back
	award   int64
	awarded bool
	due     bool // its date has come

	accord   accord // of a dispute about it
	disputed bool   // there is one
}

// settled says what an escrow comes to, if that is decided. What both sides agree on goes before what a dispute has come to, that before the word of the
// arbiter, and that before the date; where they have agreed twice, to pay it and to give it back, it is paid.
func (c *claims) settled(id api.Hash) (s settlement, ok bool) {
	s = settlement{Escrow: id, Payer: c.Payer, Payee: c.Payee, Currency: c.Currency}
	switch {
	case c.Released >= c.Amount-c.back:
		s.Why, s.Paid = whyAgreed, c.Released
	case c.disputed && c.accord.Claimant == c.Payee:
		s.Why, s.Paid = c.accord.Why, c.accord.Amount
	case c.disputed:
		s.Why, s.Paid = c.accord.Why, c.Amount-c.accord.Amount
	case c.awarded:
		s.Why, s.Paid = whyAwarded, c.award
	case c.due && c.Then == thenPayer:
		s.Why, s.Paid = whyExpired, c.Released
	case c.due:
		s.Why, s.Paid = whyExpired, c.Amount-c.back
	default:
		return s, false
	}
	s.Back = c.Amount - s.Paid
	return s, true
}

// claims reads what the record shows to be certain of an escrow.
func (f *fold) claims(id api.Hash) (c claims) {
	all := f.sure()
	for _, s := range all {
		if b, ok := f.At(s.at, rowEscrow(id)); ok {
			if h := get[deposit](b, ok); !c.found || h.Released > c.Released { // who has another device has said more on that
				c.deposit, c.found = h, true
			}
		}
		if b, ok := f.At(s.at, rowEscrowBack(id)); ok {
			c.back = max(c.back, int64(fact.Number(b, ok)))
		}
		if b, ok := f.At(s.at, rowAward(id)); ok {
			c.award, c.awarded = int64(fact.Number(b, ok)), true
		}
	}
	if !c.found {
		return c
	}
	v := f.voiced(all, id, c.Payer, c.Payee)
	if a, ok := f.accord(all, &v, id, c.Payer, c.Payee); ok {
		c.settleBy(&a)
	}
	c.due = f.isDue(id, &c, &v)
	return c
}

// settleBy takes what a dispute about the escrow has come to.
func (c *claims) settleBy(a *accord) {
	if a.Currency == c.Currency && a.Amount <= c.Amount {
		c.accord, c.disputed = *a, true
	}
}

// isDue reports whether the record shows that the date of an escrow has come, and leaves out nothing that was final by then.
func (f *fold) isDue(id api.Hash, c *claims, v *voiced) bool {
	seq := fact.Number(f.Own(rowDue(f.rec.Feed, id)))
	if seq == 0 {
		return false
	}
	views, _ := f.witnessed()
	var late []api.Position // who have seen the date come
	for _, v := range views {
		if last, ok := fact.SaidBy(f, v, f.rec.Feed); ok && last.Seq >= seq {
			late = append(late, v)
		}
	}
	if last, ok := fact.FinalBy(f, late, f.rec.Feed); !ok || last.Seq < seq {
		return false
	}
	say := []api.DID{c.Payer, c.Payee, c.Arbiter}
	if v.bound[0] == v.bound[1] {
		say = append(say, v.bound[0].Mediator)
	}
	return !slices.ContainsFunc(say, func(did api.DID) bool { return did != "" && f.overlooks(late, did) })
}

// overlooks reports whether a member may have said something that witnesses hold final and the record does not cite.
func (f *fold) overlooks(late []api.Position, did api.DID) bool {
	known := false
	for _, d := range f.rec.Deps {
		m, ok := fact.MemberAt(f, d, did)
		if !ok {
			continue
		}
		known = known || !f.beyond(late, d.Feed)
		for _, device := range [...]api.Key{m.Device, m.Before} {
			if device != (api.Key{}) && f.beyond(late, record.FeedID(api.Topic{Space: f.rec.Topic.Space, Name: fact.LedgerTopic}, device)) {
				return true
			}
		}
	}
	return !known // it does not say which devices are the member's
}

// beyond reports whether witnesses hold more of a feed final than the record cites.
func (f *fold) beyond(views []api.Position, feed api.Hash) bool {
	last, ok := fact.FinalBy(f, views, feed)
	if !ok {
		return false
	}
	for _, d := range f.rec.Deps {
		if d.Feed == feed {
			return last.Seq > d.Seq
		}
	}
	return true
}

// witnessed returns where the record cites witnesses, and where what cuts feeds.
func (f *fold) witnessed() (views, cuts []api.Position) {
	for _, d := range f.rec.Deps {
		switch h, accepted := f.Dep(d); {
		case accepted && h.Topic.Name == fact.FinalityTopic:
			views = append(views, d)
		case h.Topic.Name == fact.CutTopic:
			cuts = append(cuts, d)
		}
	}
	return views, cuts
}

func notDue(h *deposit) api.Outcome {
	out := api.Voided(Domain, "not-decided", "neither have both sides agreed, nor has the arbiter awarded it, nor does the record show that its date has come")
	out.Void.Inputs = map[string]string{"expires": strconv.FormatInt(h.Expires, 10)}
	return out
}

// settling folds a record of the clerk's about an escrow or a dispute.
func (f *fold) settling() api.Outcome {
	if f.rec.Kind == kindTally {
		var t tally
		if err := decode(f.rec.Body, &t); err != nil {
			return malformed(err)
		}
		return f.tally(&t)
	}
	if f.rec.Kind == kindRedress {
		var r redress
		if err := decode(f.rec.Body, &r); err != nil {
			return malformed(err)
		}
		return f.redress(&r)
	}
	if f.rec.Kind == kindDue {
		var d escrowDue
		if err := decode(f.rec.Body, &d); err != nil {
			return malformed(err)
		}
		return f.escrowDue(&d)
	}
	var s settlement
	if err := decode(f.rec.Body, &s); err != nil {
		return malformed(err)
	}
	return f.settleEscrow(&s)
}

// saidOfEscrow returns what a record says of an account that pays into escrow, is paid out of it, or is the escrow's own.
func saidOfEscrow(rec *api.Record, did api.DID, n int) (l leg, from api.DID, ok bool) {
	switch rec.Kind {
	case kindEscrow:
		var e escrow
		if decode(rec.Body, &e) != nil {
			return l, "", false
		}
		return leg{To: EscrowAccount(rec.ID), Currency: e.Currency, Amount: e.Amount, Memo: e.Memo, Category: e.Category}, rec.Author, true
	case kindSettle:
		s, ok := settledBy(rec)
		if !ok {
			return l, "", false
		}
		from = EscrowAccount(s.Escrow)
		for i, l := range s.legs() {
			if l.To == did || did == from && i == n {
				return l, from, true
			}
		}
	}
	if r, ok := redressedBy(rec); ok {
		return leg{To: r.To, Currency: r.Currency, Amount: r.Amount, Memo: "dispute " + r.Dispute.Short() + ", " + r.Why}, r.From, true
	}
	return l, "", false
}

// settledBy reads what a record pays out of an escrow.
func settledBy(rec *api.Record) (s settlement, ok bool) {
	return s, rec.Kind == kindSettle && decode(rec.Body, &s) == nil
}
