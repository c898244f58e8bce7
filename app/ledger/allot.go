package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// A member's primary device, whose feed the account is, sets amounts aside for other devices of the member: allotments. That lowers what it may spend itself
// at once; the other device takes the amount in when it is final, and then spends it alone. Both sides keep totals, so that nothing counts twice, and
// count them in rounds: with each cut of the device's feed a new one begins, and what was left of the one before is the account's again.

// maxAsides bounds for how many devices and currencies an account may set something aside, ever.
const maxAsides = 64

// allotment is the body of an allot record.
type allotment struct {
	_        struct{} `cbor:",toarray"`
	Device   api.Key  // another device of the author's
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
}

func (a *allotment) check() error {
	switch {
	case a.Device == (api.Key{}):
		return errors.New("device: missing; want the public key of another device of yours")
	case !isCode(a.Currency, maxCode):
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	case a.Amount <= 0:
		return fmt.Errorf("amount %d: want more than 0", a.Amount)
	}
	return nil
}

// giveBack is the body of a return record: all that is left of the device's allotments in a currency.
type giveBack struct {
	_        struct{} `cbor:",toarray"`
	Currency string
}

func (g *giveBack) check() error {
	if !isCode(g.Currency, maxCode) {
		return fmt.Errorf("currency: want 1 to %d of a-z 0-9 -", maxCode)
	}
	return nil
}

// aside is what an account has set aside for a device in a currency.
type aside struct {
	_       struct{} `cbor:",toarray"`
	Device  api.Key
	Code    string
	Round   uint64 // number of the newest cut of the device's feed that the account has counted
	Given   int64  // in this round
	Back    int64  // of that, what the device has given back
	Settled int64  // what the device had spent, ever, when the round began: those are debits of the account
	Known   uint64 // number of the grant under which the account last set something aside
}

// open is what the account counts as set aside: what the device has spent of it in this round, or may.
func (s *aside) open() int64 { return s.Given - s.Back }

// purse is what a device has of its allotments.
type purse struct {
	_     struct{} `cbor:",toarray"`
	Round uint64   // number of the newest cut of its feed that it has cited
	Sums  []pocket // ascending by code
}

// pocket is one currency of a purse.
type pocket struct {
	_     struct{} `cbor:",toarray"`
	Code  string
	Given int64 // taken in, in this round
	Left  int64
	Back  int64 // given back in this round
	Spent int64 // ever
}

func (p *purse) of(code string) pocket {
	if i, ok := p.find(code); ok {
		return p.Sums[i]
	}
	return pocket{Code: code}
}

func (p *purse) set(k pocket) {
	i, ok := p.find(k.Code)
	if !ok {
		p.Sums = slices.Insert(p.Sums, i, k)
	}
	p.Sums[i] = k
}

func (p *purse) find(code string) (int, bool) {
	return slices.BinarySearchFunc(p.Sums, code, func(k pocket, c string) int { return cmp.Compare(k.Code, c) })
}

// take counts what was set aside, as far as that is news.
func (p *purse) take(a *aside) {
	k := p.of(a.Code)
	if a.Round != p.Round || a.Given <= k.Given {
		return
	}
	k.Left += a.Given - k.Given
	k.Given = a.Given
	p.set(k)
}

// reset begins a round: what was left is the account's.
func (p *purse) reset(round uint64) {
	p.Round = round
	for i := range p.Sums {
		k := &p.Sums[i]
		k.Given, k.Left, k.Back = 0, 0, 0
	}
}

// allot sets something aside.
func (f *fold) allot(b *allotment) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	if b.Device == f.rec.Device {
		return api.Voided(Domain, "own-device", "the device whose feed the account is spends from the account, not from an allotment")
	}
	cur, ok := f.currency(b.Currency)
	if !ok {
		return unknownCurrency(b.Currency)
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	l := f.limit(b.Currency, cur)
	if l.Frozen {
		return frozen
	}
	a := f.account(b.Currency)
	if free := available(a.account, of(f.waiting, b.Currency), l); b.Amount > free {
		return overLimit(b.Currency, b.Amount, free, l.Limit)
	}
	s := f.asideFor(b.Device, b.Currency)
	if s == nil {
		return tooManyAsides
	}
	given, fits := add(s.Given, b.Amount)
	all, fit := add(a.Aside, b.Amount)
	if _, both := add(all, a.Debits); !fits || !fit || !both {
		return overflow
	}
	s.Given, s.Known, a.Aside, f.settled = given, l.Number, all, true
	f.close()
	return api.Accepted
}

var (
	overflow      = api.Voided(Domain, "overflow", "the account cannot count so much")
	tooManyAsides = api.Voided(Domain, "too-many-allotments", "an account sets something aside for at most "+strconv.Itoa(maxAsides)+" devices and currencies")
	notFromTab    = api.Voided(Domain, "not-from-allotment", "what is paid for a request, an order, a refund or a list of payments is paid from the account itself, by its device")
	nothingLeft   = api.Voided(Domain, "nothing-left", "nothing is left of this device's allotments")
)

// asides returns what the account has set aside.
func (f *fold) asides() []aside {
	if !f.counted {
		f.counted = true
		f.set = get[[]aside](f.Own(rowAsides))
	}
	return f.set
}

// asideFor returns what is set aside for a device in a currency, to be changed, or nil when there are too many.
func (f *fold) asideFor(device api.Key, code string) *aside {
	i := slices.IndexFunc(f.asides(), func(a aside) bool { return a.Device == device && a.Code == code })
	if i < 0 {
		if len(f.set) == maxAsides {
			return nil
		}
		i = len(f.set)
		f.set = append(f.set, aside{Device: device, Code: code})
	}
	return &f.set[i]
}

// putAsides writes what is set aside, and for whom, so that those feeds can be cut.
func (f *fold) putAsides() {
	f.Put(rowAsides, codec.MustMarshal(f.set))
	fact.PutSpenders(f, devices(f.set))
}

// devices lists for whom something is set aside.
func devices(set []aside) (ds []api.Key) {
	for _, a := range set {
		if !slices.Contains(ds, a.Device) {
			ds = append(ds, a.Device)
		}
	}
	return ds
}

// reclaim counts what comes back from devices: what they have given back, and what a cut of their feeds has left them. Both have to be final: else the
// device could spend the same on another branch.
func (f *fold) reclaim(views, cuts []api.Position) {
	for i := range f.asides() {
		s := &f.set[i]
		feed := record.FeedID(f.rec.Topic, s.Device)
		for _, d := range f.rec.Deps {
			if d.Feed != feed {
				continue
			}
			if p, ok := f.purseAt(views, cuts, d); ok && p.Round == s.Round {
				if k := p.of(s.Code); k.Back > s.Back {
					f.account(s.Code).Aside -= k.Back - s.Back
					s.Back, f.settled = k.Back, true
				}
			}
		}
		for _, d := range cuts {
			f.cutOff(s, feed, views, d)
		}
	}
}

// purseAt reads the newest purse of another device of the author's that is final and stands, at or before d.
func (f *fold) purseAt(views, cuts []api.Position, d api.Position) (p purse, ok bool) {
	if h, _ := f.Dep(d); h.Author != f.rec.Author {
		return p, false
	}
	at, ok := f.certain(views, cuts, d)
	if !ok {
		return p, false
	}
	b, ok := f.At(at, rowPurse(d.Feed))
	return get[purse](b, ok), ok
}

// cutOff settles what was set aside for a device whose feed a cut ends, if d shows such a cut that is final: what the device had spent there is a debit.
func (f *fold) cutOff(s *aside, feed api.Hash, views []api.Position, d api.Position) {
	c, ok := f.cutAt(views, d, feed)
	if !ok || c.Number <= s.Round {
		return
	}
	var spent int64
	if at := c.At.Position(feed); at.Seq > 0 {
		if !f.Within(at) {
			return
		}
		if h, _ := f.Dep(at); h.Author != f.rec.Author {
			return
		}
		b, ok := f.At(at, rowPurse(feed))
		p := get[purse](b, ok)
		spent = p.of(s.Code).Spent
	}
	a := f.account(s.Code)
	s.settle(&a.account, spent)
	s.Round = c.Number
	f.settled = true
}

// settle makes what a device has spent, ever, debits of the account, and gives the account the rest of what was set aside.
func (s *aside) settle(a *account, spent int64) {
	if more := spent - s.Settled; more > 0 {
		a.Debits = addMax(a.Debits, more)
	} else {
		a.Debits += more
	}
	a.Aside -= s.open()
	s.Given, s.Back, s.Settled = 0, 0, spent
}

// home settles what was set aside for this very device, which is the member's primary one from now on.
func (f *fold) home() {
	set := f.asides()
	f.self.Allots = len(set) > 0
	b, ok := f.Own(rowPurse(f.rec.Feed))
	p := get[purse](b, ok)
	for i := range set {
		if s := &set[i]; s.Device == f.rec.Device {
			s.settle(&f.account(s.Code).account, p.of(s.Code).Spent)
			f.settled = true
		}
	}
	f.set = slices.DeleteFunc(set, func(s aside) bool { return s.Device == f.rec.Device })
}

// purse returns what this device, which is not the member's primary one, may spend: what it had and what the record takes in.
func (f *fold) purse() (p purse, ok bool) {
	b, known := f.Own(rowPurse(f.rec.Feed))
	p = get[purse](b, known)
	var views, cuts, sources []api.Position
	for _, d := range f.rec.Deps {
		h, accepted := f.Dep(d)
		switch h.Topic.Name {
		case fact.FinalityTopic:
			if accepted {
				views = append(views, d)
			}
		case fact.CutTopic:
			cuts = append(cuts, d)
			if f.accept(d); f.refused != nil {
				return p, false
			}
			if c, ok := fact.CutAt(f, d, f.rec.Feed); ok && c.Number > p.Round {
				p.reset(c.Number)
			}
		case fact.LedgerTopic:
			if h.Author == f.rec.Author && d.Feed != f.rec.Feed {
				sources = append(sources, d)
			}
		}
	}
	for _, d := range sources {
		at, ok := f.certain(views, cuts, d)
		if !ok {
			continue
		}
		f.learnMandates(at)
		for _, s := range get[[]aside](f.At(at, rowAsides)) {
			if s.Device == f.rec.Device {
				p.take(&s)
			}
		}
	}
	return p, known || len(p.Sums) > 0
}

func (f *fold) putPurse(p *purse) { f.Put(rowPurse(f.rec.Feed), codec.MustMarshal(p)) }

// spend pays from allotments. What counts once is for the account's own feed to pay, which has one order.
func (f *fold) spend(legs []leg, what []purpose) api.Outcome {
	p, ok := f.purse()
	if !ok {
		return f.stranger()
	}
	if len(what) > 0 {
		return notFromTab
	}
	for i := range legs {
		l := &legs[i]
		k := p.of(l.Currency)
		if l.Amount > k.Left {
			return overAllotment(l.Currency, l.Amount, k.Left)
		}
		k.Left -= l.Amount
		if k.Spent, ok = add(k.Spent, l.Amount); !ok {
			return overflow
		}
		p.set(k)
	}
	if out := f.byHand(legs); out != nil {
		return *out
	}
	f.putPurse(&p)
	return f.post(legs)
}

// takeIn is an ack of a device that is not the primary one.
func (f *fold) takeIn() api.Outcome {
	p, ok := f.purse()
	if !ok {
		return f.stranger()
	}
	f.putPurse(&p)
	return api.Accepted
}

// giveBack returns what is left.
func (f *fold) giveBack(b *giveBack) api.Outcome {
	f.enter()
	if f.self.Member {
		return nothingLeft
	}
	p, ok := f.purse()
	if !ok {
		return f.stranger()
	}
	k := p.of(b.Currency)
	if k.Left == 0 {
		return nothingLeft
	}
	k.Back, k.Left = k.Back+k.Left, 0
	p.set(k)
	f.putPurse(&p)
	return api.Accepted
}

func overAllotment(code string, amount, left int64) api.Outcome {
	out := api.Voided(Domain, "over-allotment", "the device may spend what was set aside for it, not more")
	out.Void.Inputs = map[string]string{
		"currency": code, "amount": strconv.FormatInt(amount, 10), "available": strconv.FormatInt(left, 10), "short_by": strconv.FormatInt(amount-left, 10),
	}
	out.Void.Remedy = "the member's primary device can set more aside; it counts here once it is final"
	return out
}
