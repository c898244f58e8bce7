package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// A dispute is about a payment or an escrow. All that is said in it are records of members; money moves with the consent of who loses it, both sides accept one
// offer or both have bound themselves to what a mediator awards, or else by the word of more than half of all members: see uphold.go. The clerk's feed carries
// it out: see redress.go.

// Record kinds, in the topic ledger.
const (
	kindDispute = "dispute"          // the claimant's
	kindSay     = "dispute-say"      // what is said in it
	kindBind    = "dispute-mediator" // a side agrees to a mediator, or the registrar names one
	kindOffer   = "dispute-offer"
	kindAccept  = "dispute-accept"
	kindJudge   = "dispute-award"
	kindUphold  = "dispute-uphold"
)

const (
	maxStatement = 4096 // bytes of a text in a dispute
	maxBlobs     = 8    // pieces of evidence with one
)

// dispute claims an amount from somebody.
type dispute struct {
	_        struct{} `cbor:",toarray"`
	About    api.Hash // record of a payment or an escrow between the two
	Against  api.DID
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0: what the claimant wants to have of it
	Reason   string
	Deadline int64      `say:"millis"` // Unix milliseconds: until when an answer is asked for. It is shown, and decides nothing.
	Evidence []api.Hash // digests of files, at most maxBlobs
}

func (d *dispute) check() error {
	switch {
	case len(d.Against) > maxDID:
		return errors.New("against: too long for a DID")
	case !isCode(d.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case d.Amount <= 0:
		return fmt.Errorf("amount %d: want more than 0", d.Amount)
	case d.Deadline <= 0 || d.Deadline > maxN:
		return fmt.Errorf("deadline %d: want Unix milliseconds, more than 0", d.Deadline)
	}
	return cmp.Or(checkID("about", d.About), checkStatement("reason", d.Reason, true), checkBlobs(d.Evidence))
}

func checkStatement(field, s string, needed bool) error {
	switch {
	case needed && s == "":
		return fmt.Errorf("%s: missing; want a text", field)
	case len(s) > maxStatement || !utf8.ValidString(s):
		return fmt.Errorf("%s of %d bytes: want text, at most %d", field, len(s), maxStatement)
	}
	return nil
}

func checkBlobs(all []api.Hash) error {
	if len(all) > maxBlobs {
		return fmt.Errorf("evidence: %d files, at most %d", len(all), maxBlobs)
	}
	if slices.ContainsFunc(all, api.Hash.IsZero) {
		return errors.New("evidence: want the digests of files")
	}
	return nil
}

// What is said in a dispute.
const (
	sayEvidence = "evidence"  // by a side
	sayAnswer   = "answer"    // by whom it is against
	sayEscalate = "escalate"  // by a side: the registrar is asked to name a mediator
	sayMediate  = "mediate"   // by who is asked to mediate, and will
	sayRefuse   = "refuse"    // by who is asked to mediate, and will not
	sayWithdraw = "withdraw"  // by the claimant: there is no claim any more
	sayWriteOff = "write-off" // by the claimant: the claim was good, and is given up
	saySettled  = "settled"   // by the claimant: it got what it is content with
)

var sayings = []string{sayEvidence, sayAnswer, sayEscalate, sayMediate, sayRefuse, sayWithdraw, sayWriteOff, saySettled}

// saying says something in a dispute.
type saying struct {
	_        struct{} `cbor:",toarray"`
	Dispute  api.Hash
	What     string // one of sayings
	Text     string
	Evidence []api.Hash // digests of files
}

func (s *saying) check() error {
	if !slices.Contains(sayings, s.What) {
		return fmt.Errorf("what %q: want one of %v", clip(s.What), sayings)
	}
	return cmp.Or(checkID("dispute", s.Dispute), checkStatement("text", s.Text, s.What == sayEvidence || s.What == sayAnswer), checkBlobs(s.Evidence))
}

// ends reports whether there is no claim any more.
func (s *saying) ends() bool {
	return s.What == sayWithdraw || s.What == sayWriteOff || s.What == saySettled
}

// binding agrees to a mediator; bound, also to what the mediator awards, up to what is claimed.
type binding struct {
	_        struct{} `cbor:",toarray"`
	Dispute  api.Hash
	Mediator api.DID
	Bound    bool
}

func (b *binding) check() error {
	if b.Mediator == "" || len(b.Mediator) > maxDID {
		return errors.New("mediator: want a DID")
	}
	return checkID("dispute", b.Dispute)
}

// offer proposes how much the claimant gets. Who makes it, and is a side, is bound by it until the same side makes or accepts another.
type offer struct {
	_       struct{} `cbor:",toarray"`
	Dispute api.Hash
	Amount  int64 // minor units of the claim's currency, >= 0
	Text    string
}

func (o *offer) check() error { return checkVerdict(o.Dispute, o.Amount, o.Text) }

// acceptance accepts an offer of the other side or the mediator.
type acceptance struct {
	_       struct{} `cbor:",toarray"`
	Dispute api.Hash
	Offer   api.Hash // id of its record
}

func (a *acceptance) check() error {
	return cmp.Or(checkID("dispute", a.Dispute), checkID("offer", a.Offer))
}

// judgement is what a mediator awards to the claimant.
type judgement struct {
	_       struct{} `cbor:",toarray"`
	Dispute api.Hash
	Amount  int64 // minor units of the claim's currency, >= 0
	Reason  string
}

func (j *judgement) check() error { return checkVerdict(j.Dispute, j.Amount, j.Reason) }

func checkVerdict(id api.Hash, amount int64, text string) error {
	if amount < 0 {
		return fmt.Errorf("amount %d: want 0 or more", amount)
	}
	return cmp.Or(checkID("dispute", id), checkStatement("text", text, false))
}

// Feed rows:
//
//	disp/<id>     complaint, on the feed of the claimant
//	bound/<about> bound, on the feed of a side: by whose award it is bound, once for good
//	deal/<about>  deal, on the feed of a side: the newest offer that it has made or accepted
//	offer/<id>    deal, on the feed of who makes the offer, by the id of its record
//	judge/<id>    8 bytes, on the feed of a mediator: what the claimant is awarded
//	up/<id>       on the feed of any member: whether it upholds the dispute
//	over/<id>     on the feed of the claimant: it has withdrawn, written off or settled its claim
//
// and query rows: disp/<space><did> 0 <time><feed><seq> and, for all, disp/<space> 0 <time><feed><seq> -> id of a dispute; what is said about it is with what is
// said about escrows.
const indexDisputes = "disp/"

func rowClaim(id api.Hash) []byte { return append([]byte("disp/"), id[:]...) }
func rowBound(about api.Hash) []byte {
	return append([]byte("bound/"), about[:]...)
}
func rowDeal(about api.Hash) []byte { return append([]byte("deal/"), about[:]...) }
func rowOffer(id api.Hash) []byte   { return append([]byte("offer/"), id[:]...) }
func rowJudged(id api.Hash) []byte  { return append([]byte("judge/"), id[:]...) }
func rowOver(id api.Hash) []byte    { return append([]byte("over/"), id[:]...) }

// complaint is what the claimant's feed keeps of a dispute.
type complaint struct {
	_        struct{} `cbor:",toarray"`
	About    api.Hash
	Claimant api.DID
	Against  api.DID
	Currency string
	Amount   int64
}

func (c *complaint) side(did api.DID) bool { return did == c.Claimant || did == c.Against }

// bound says by whose award a side is bound.
type bound struct {
	_        struct{} `cbor:",toarray"`
	Dispute  api.Hash
	Mediator api.DID
}

// deal is an offer.
type deal struct {
	_       struct{} `cbor:",toarray"`
	Dispute api.Hash
	Offer   api.Hash
	Amount  int64
}

// disputing folds a record about a dispute.
func (f *fold) disputing() api.Outcome {
	var err error
	var apply func() api.Outcome
	switch f.rec.Kind {
	case kindDispute:
		var d dispute
		err, apply = decode(f.rec.Body, &d), func() api.Outcome { return f.dispute(&d) }
	case kindSay:
		var s saying
		err, apply = decode(f.rec.Body, &s), func() api.Outcome { return f.say(&s) }
	case kindBind:
		var b binding
		err, apply = decode(f.rec.Body, &b), func() api.Outcome { return f.bind(&b) }
	case kindOffer:
		var o offer
		err, apply = decode(f.rec.Body, &o), func() api.Outcome { return f.offer(&o) }
	case kindAccept:
		var a acceptance
		err, apply = decode(f.rec.Body, &a), func() api.Outcome { return f.accepts(&a) }
	case kindJudge:
		var j judgement
		err, apply = decode(f.rec.Body, &j), func() api.Outcome { return f.judge(&j) }
	case kindUphold:
		var u upholding
		err, apply = decode(f.rec.Body, &u), func() api.Outcome { return f.uphold(&u) }
	}
	if err != nil {
		return malformed(err)
	}
	if f.enter(); !f.self.Member {
		return f.stranger()
	}
	if out := apply(); out.Void != nil {
		return out
	}
	return f.join()
}

func (f *fold) dispute(d *dispute) api.Outcome {
	if d.Against == f.rec.Author {
		return api.Voided(Domain, "own-dispute", "nobody has a dispute with oneself")
	}
	if _, err := record.ParseDID(string(d.Against)); err != nil {
		return api.Voided(Domain, "bad-account", "against: "+err.Error())
	}
	if _, ok := f.currency(d.Currency); !ok {
		return unknownCurrency(d.Currency)
	}
	f.Put(rowClaim(f.rec.ID), codec.MustMarshal(&complaint{About: d.About, Claimant: f.rec.Author, Against: d.Against, Currency: d.Currency, Amount: d.Amount}))
	for _, did := range [...]api.DID{f.rec.Author, d.Against, ""} {
		f.Index(placeKey(nil, indexDisputes, did, f.rec), f.rec.ID[:])
	}
	return api.Accepted
}

// claimed finds a dispute, the author's own or in what the record cites.
func (f *fold) claimed(id api.Hash) (complaint, bool) {
	if b, ok := f.Own(rowClaim(id)); ok {
		return get[complaint](b, ok), true
	}
	for _, d := range f.rec.Deps {
		if b, ok := f.At(d, rowClaim(id)); ok {
			return get[complaint](b, ok), true
		}
	}
	return complaint{}, false
}

func (f *fold) say(s *saying) api.Outcome {
	c, ok := f.claimed(s.Dispute)
	switch author := f.rec.Author; {
	case !ok:
		return noDispute
	case s.What == sayAnswer && author != c.Against,
		(s.What == sayEvidence || s.What == sayEscalate) && !c.side(author),
		(s.What == sayMediate || s.What == sayRefuse) && c.side(author),
		s.ends() && author != c.Claimant:
		return notYours
	}
	if s.ends() {
		f.Put(rowOver(s.Dispute), nil)
	}
	f.said(s.Dispute, 0)
	return api.Accepted
}

func (f *fold) bind(b *binding) api.Outcome {
	c, ok := f.claimed(b.Dispute)
	switch {
	case !ok:
		return noDispute
	case c.side(b.Mediator), b.Bound && !c.side(f.rec.Author):
		return notYours
	}
	if b.Bound {
		if _, before := f.Own(rowBound(c.About)); before {
			return api.Voided(Domain, "already-bound", "who has bound itself to what a mediator awards does not take that back")
		}
		f.Put(rowBound(c.About), codec.MustMarshal(&bound{Dispute: b.Dispute, Mediator: b.Mediator}))
	}
	f.said(b.Dispute, 0)
	return api.Accepted
}

func (f *fold) offer(o *offer) api.Outcome {
	c, ok := f.claimed(o.Dispute)
	if !ok {
		return noDispute
	}
	if o.Amount > c.Amount {
		return overClaim(o.Amount, c.Amount)
	}
	d := codec.MustMarshal(&deal{Dispute: o.Dispute, Offer: f.rec.ID, Amount: o.Amount})
	f.Put(rowOffer(f.rec.ID), d)
	if c.side(f.rec.Author) {
		f.Put(rowDeal(c.About), d)
	}
	f.said(o.Dispute, o.Amount)
	return api.Accepted
}

func (f *fold) accepts(a *acceptance) api.Outcome {
	c, ok := f.claimed(a.Dispute)
	switch {
	case !ok:
		return noDispute
	case !c.side(f.rec.Author):
		return notYours
	}
	for _, d := range f.rec.Deps {
		b, ok := f.At(d, rowOffer(a.Offer))
		if !ok || d.Feed == f.rec.Feed {
			continue
		}
		if o := get[deal](b, ok); o.Dispute == a.Dispute {
			f.Put(rowDeal(c.About), b)
			f.said(a.Dispute, o.Amount)
			return api.Accepted
		}
	}
	return api.Voided(Domain, "no-offer", "the record cites no such offer of somebody else")
}

func (f *fold) judge(j *judgement) api.Outcome {
	c, ok := f.claimed(j.Dispute)
	switch {
	case !ok:
		return noDispute
	case c.side(f.rec.Author):
		return notYours
	case j.Amount > c.Amount:
		return overClaim(j.Amount, c.Amount)
	}
	if _, before := f.Own(rowJudged(j.Dispute)); before {
		return api.Voided(Domain, "already-awarded", "an award is made once")
	}
	f.Put(rowJudged(j.Dispute), api.Seq8(uint64(j.Amount)))
	f.said(j.Dispute, j.Amount)
	return api.Accepted
}

var (
	noDispute = api.Voided(Domain, "no-dispute", "the record cites no such dispute")
	notYours  = api.Voided(Domain, "not-yours", "this is for another one to say: a side of the dispute, the one whom it is against, the claimant, or a mediator who is on neither side")
)

func overClaim(amount, most int64) api.Outcome {
	out := api.Voided(Domain, "over-claim", "no more is offered or awarded than is claimed")
	out.Void.Inputs = map[string]string{"amount": strconv.FormatInt(amount, 10), "claimed": strconv.FormatInt(most, 10)}
	return out
}

// accord is what a dispute comes to.
type accord struct {
	complaint
	Dispute api.Hash
	Amount  int64  // what the claimant gets
	Why     string // agreed or awarded
}

// voiced is what the two sides have let themselves in for about a payment or escrow.
type voiced struct {
	bound [2]bound
	deal  [2]deal
}

// accord says what two sides have agreed on: the same offer, which goes before what their mediator awards.
func (v *voiced) accord(judged func(mediator api.DID, id api.Hash) (int64, bool)) (a accord, ok bool) {
	if d := v.deal[0]; !d.Offer.IsZero() && d == v.deal[1] {
		return accord{Dispute: d.Dispute, Amount: d.Amount, Why: whyAgreed}, true
	}
	b := v.bound[0]
	if b.Mediator == "" || b != v.bound[1] {
		return a, false
	}
	n, ok := judged(b.Mediator, b.Dispute)
	return accord{Dispute: b.Dispute, Amount: n, Why: whyAwarded}, ok
}

// sure is a position that a record shows to be certain.
type sure struct {
	at api.Position
	by api.DID
}

// sure lists what the record shows to be certain of the feeds in the topic ledger.
func (f *fold) sure() (all []sure) {
	views, cuts := f.witnessed()
	for _, d := range f.rec.Deps {
		h, _ := f.Dep(d)
		if at, ok := f.certain(views, cuts, d); ok && h.Topic.Name == fact.LedgerTopic {
			all = append(all, sure{at, h.Author})
		}
	}
	return all
}

// voiced reads what is certain of what two sides have let themselves in for.
func (f *fold) voiced(all []sure, about api.Hash, one, other api.DID) (v voiced) {
	for _, s := range all {
		for i, did := range [...]api.DID{one, other} {
			if s.by != did {
				continue
			}
			if b, ok := f.At(s.at, rowBound(about)); ok {
				v.bound[i] = get[bound](b, ok)
			}
			if b, ok := f.At(s.at, rowDeal(about)); ok {
				v.deal[i] = get[deal](b, ok)
			}
		}
	}
	return v
}

// accord reads what is certain of what two sides have agreed on about a payment or escrow.
func (f *fold) accord(all []sure, v *voiced, about api.Hash, one, other api.DID) (a accord, ok bool) {
	a, ok = v.accord(func(mediator api.DID, id api.Hash) (int64, bool) {
		for _, s := range all {
			if b, ok := f.At(s.at, rowJudged(id)); ok && s.by == mediator {
				return int64(fact.Number(b, ok)), true
			}
		}
		return 0, false
	})
	if !ok {
		return a, false
	}
	for _, s := range all {
		if b, ok := f.At(s.at, rowClaim(a.Dispute)); ok && (s.by == one || s.by == other) {
			a.complaint = get[complaint](b, ok)
			return a, a.between(about, one, other)
		}
	}
	return a, false
}

// between reports whether the claim is of one of two against the other, about a record.
func (c *complaint) between(about api.Hash, one, other api.DID) bool {
	return c.About == about && c.side(one) && c.side(other)
}
