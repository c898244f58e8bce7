package ledger

import (
	"math"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Apply implements api.Applier.
func (*App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	f := &fold{Tx: tx, rec: rec}
	switch rec.Topic.Name {
	case fact.PostingsTopic:
		return f.posting()
	case fact.TreasuryTopic:
		return f.treasury()
	}
	switch rec.Kind {
	case kindTransfer:
		t, err := decodeTransfer(rec.Body)
		if err != nil {
			return malformed(err)
		}
		legs := [1]leg{{To: t.To, Currency: t.Currency, Amount: t.Amount}}
		return f.pay(legs[:], t.For)
	case kindBatch:
		var b batch
		if err := decode(rec.Body, &b); err != nil {
			return malformed(err)
		}
		return f.pay(b.Legs, b.For)
	case kindRequest:
		var q request
		if err := decode(rec.Body, &q); err != nil {
			return malformed(err)
		}
		return f.request(&q)
	case kindCancel:
		var c cancel
		if err := decode(rec.Body, &c); err != nil {
			return malformed(err)
		}
		return f.cancel(&c)
	case kindDecline:
		var d decline
		if err := decode(rec.Body, &d); err != nil {
			return malformed(err)
		}
		return f.decline(&d)
	case kindOrder:
		var o order
		if err := decode(rec.Body, &o); err != nil {
			return malformed(err)
		}
		return f.order(&o)
	case kindEndOrder:
		var e endOrder
		if err := decode(rec.Body, &e); err != nil {
			return malformed(err)
		}
		return f.endOrder(&e)
	case kindGrant:
		var g grant
		if err := decode(rec.Body, &g); err != nil {
			return malformed(err)
		}
		return f.grant(&g)
	case kindAck:
		if err := decode(rec.Body, new(ack)); err != nil {
			return malformed(err)
		}
		return f.ack()
	case kindMandate:
		var m mandate
		if err := decode(rec.Body, &m); err != nil {
			return malformed(err)
		}
		return f.mandate(&m)
	case kindAllot:
		var a allotment
		if err := decode(rec.Body, &a); err != nil {
			return malformed(err)
		}
		return f.allot(&a)
	case kindPropose:
		var s spending
		if err := decode(rec.Body, &s); err != nil {
			return malformed(err)
		}
		return f.propose(s.To)
	case kindProposeRules:
		if err := decode(rec.Body, new(treasuryRules)); err != nil {
			return malformed(err)
		}
		return f.propose("")
	case kindApprove:
		var a approval
		if err := decode(rec.Body, &a); err != nil {
			return malformed(err)
		}
		return f.approve(&a)
	case kindEscrow, kindRelease, kindEscrowBack, kindAward:
		return f.holding()
	case kindDispute, kindSay, kindBind, kindOffer, kindAccept, kindJudge, kindUphold:
		return f.disputing()
	case kindImportTake:
		return f.takeOver()
	case kindReturn:
		var g giveBack
		if err := decode(rec.Body, &g); err != nil {
			return malformed(err)
		}
		return f.giveBack(&g)
	case fact.KindClose:
		return fact.Close(tx, rec, Domain)
	}
	return unknownKind(rec)
}

func unknownKind(rec *api.Record) api.Outcome {
	return api.Voided(Domain, "unknown-kind", "no record of kind "+rec.Kind+" belongs in topic "+rec.Topic.Name)
}

func malformed(err error) api.Outcome { return api.Voided(Domain, "malformed", err.Error()) }

// keySize is room for the keys of most query rows.
const keySize = 192

// owner is the account whose feed this is: its author's, or that of the office which writes in the topic.
func (f *fold) owner() api.DID {
	if f.rec.Topic.Name == fact.TreasuryTopic {
		return fact.TreasuryAccount
	}
	return f.rec.Author
}

// fold is one Apply. What the record changes is kept here until the end, since a Tx does not read back its own writes.
type fold struct {
	api.Tx
	rec  *api.Record
	self self

	terms    map[string]fact.Currency // read from the genesis by this record
	accounts []*opened
	limits   []limits            // newly cited
	waiting  []sum               // cited credits that are not final
	set      []aside             // what is set aside
	hands    *helped             // newly learnt
	binding  []fact.Cause        // of cuts that this record takes into account
	founders []fact.Founder      // of the space, for its treasury
	counting map[api.Hash][]byte // the rows fees/<feed> that this record has written
	counted  bool                // set was read
	settled  bool                // and has changed
	nth      uint64              // clerks, 0 before it is looked up
	refused  *api.Outcome
}

type opened struct {
	code string
	account
}

// pay books payments: all of them, or none.
func (f *fold) pay(legs []leg, what []purpose) api.Outcome {
	f.enter()
	for i := range legs {
		if legs[i].To == f.rec.Author {
			return api.Voided(Domain, "self-transfer", "nobody pays oneself")
		}
	}
	if !f.self.Member {
		return f.spend(legs, what)
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	for i := range what {
		if out := f.fill(&legs[0], &what[i], what); out.Void != nil {
			return out
		}
	}
	for i := range legs {
		if out := f.takeOut(legs[i].Currency, legs[i].Amount); out.Void != nil {
			return out
		}
	}
	f.close()
	return f.post(legs)
}

// takeOut takes an amount from the author's account, if the limit lets it.
func (f *fold) takeOut(code string, amount int64) api.Outcome {
	cur, ok := f.currency(code)
	if !ok {
		return unknownCurrency(code)
	}
	a := f.account(code)
	l := f.limit(code, cur)
	if l.Frozen {
		return frozen
	}
	debits, ok := add(a.Debits, amount)
	if !ok {
		return overflow
	}
	if _, ok := add(debits, a.Aside); !ok {
		return overflow
	}
	if free := available(a.account, of(f.waiting, code), l); amount > free {
		return overLimit(code, amount, free, l.Limit)
	}
	a.Debits = debits
	return api.Accepted
}

// post books payments that may be made: debits of the author and credits of the recipients.
func (f *fold) post(legs []leg) api.Outcome {
	space := f.rec.Topic.Space
	k := make([]byte, 0, keySize) // a Tx copies what it is given
	for i := range legs {
		l := &legs[i]
		if !slices.ContainsFunc(legs[:i], func(o leg) bool { return o.To == l.To }) {
			if out := f.paid(l.To, legs[i:]); out.Void != nil {
				return out
			}
		}
		k = balanceKey(k[:0], space, l.Currency, f.owner())
		f.Add(k, -l.Amount)
		k = balanceKey(k[:0], space, l.Currency, l.To)
		f.Add(k, l.Amount)
		k = dueKey(k[:0], space, l.To, f.rec.Feed, l.Currency)
		f.Add(k, l.Amount)
		out, in := entry{ID: f.rec.ID, Code: l.Currency, Delta: -l.Amount}, entry{ID: f.rec.ID, Code: l.Currency, Delta: l.Amount}
		k = historyKey(k[:0], f.owner(), f.rec, i)
		f.Index(k, out.encode())
		k = historyKey(k[:0], l.To, f.rec, i)
		f.Index(k, in.encode())
	}
	return api.Accepted
}

// paid adds to what this feed has paid to an account what the legs pay it.
func (f *fold) paid(to api.DID, legs []leg) api.Outcome {
	row := rowPaid(f.rec.Feed, to)
	b, known := f.Own(row)
	if !known && to != fact.TreasuryAccount {
		if _, err := record.ParseDID(string(to)); err != nil {
			return api.Voided(Domain, "bad-recipient", "to: "+err.Error())
		}
	}
	sums := getSums(b, known)
	for i := range legs {
		if l := &legs[i]; l.To == to {
			total, ok := add(of(sums, l.Currency), l.Amount)
			if !ok {
				return overflow
			}
			sums = with(sums, l.Currency, total)
		}
	}
	f.Put(row, encodeSums(sums))
	return api.Accepted
}

func (f *fold) ack() api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.takeIn()
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	f.close()
	return api.Accepted
}

func (f *fold) grant(g *grant) api.Outcome {
	f.enter()
	if !f.self.Clerk {
		return api.Voided(Domain, "not-clerk", "only the clerk's device grants limits, and its first record cites the genesis, or where the office was handed over")
	}
	cur, ok := f.currency(g.Currency)
	if !ok {
		return unknownCurrency(g.Currency)
	}
	if cur.Gift() && g.Limit != fact.NoLimit {
		return giftCurrency(g.Currency)
	}
	row, known := f.Own(rowGrants(g.Account))
	if !known {
		if _, err := record.ParseDID(string(g.Account)); err != nil {
			return api.Voided(Domain, "bad-account", "account: "+err.Error())
		}
	}
	all := get[[]limits](row, known)
	i := slices.IndexFunc(all, func(l limits) bool { return l.Code == g.Currency })
	if i < 0 {
		i = len(all)
		all = append(all, limits{Code: g.Currency, Limit: cur.Limit, P: cur.P})
	}
	last := max(all[i].Number, before(f.clerks()))
	if g.Number != last+1 {
		out := api.Voided(Domain, "out-of-order", "a clerk's grants for one account and currency are numbered without gaps")
		out.Void.Inputs = map[string]string{"number": strconv.FormatUint(g.Number, 10), "last": strconv.FormatUint(last, 10)}
		return out
	}
	if out := f.follows(g, &all[i]); out.Void != nil {
		return out
	}
	f.logGrant(g)
	next := g.limits()
	if next.lessens(all[i]) {
		less := getSums(f.Own(rowLess(g.Account)))
		f.Put(rowLess(g.Account), encodeSums(with(less, g.Currency, int64(g.Number))))
	}
	all[i] = next
	f.Put(rowGrants(g.Account), codec.MustMarshal(all))
	if f.self.Member {
		if f.cite(); f.refused != nil {
			return *f.refused
		}
		if g.Account == f.rec.Author { // a feed does not cite itself
			f.take(all[i])
		}
		f.close()
	}
	return api.Accepted
}

var notContinued = api.Voided(Domain, "not-continued", "a member's new device goes on from where the one before was cut, and its first record cites that cut")

var frozen = api.Outcome{Void: &api.Reason{
	Domain: Domain, Rule: "frozen", Text: "the account is frozen: nothing may be spent from it",
	Remedy: "the clerk of the space can lift it; what others pay to the account goes on counting",
}}

// stranger is the outcome for a device that may not write here.
func (f *fold) stranger() api.Outcome {
	if f.refused != nil {
		return *f.refused
	}
	return notMember
}

var notMember = api.Voided(Domain, "not-a-member", "only a member's one spending device writes here, and its first record cites the admission and the genesis")

func unknownCurrency(code string) api.Outcome {
	return api.Voided(Domain, "unknown-currency", "the space has no currency "+code)
}

// giftCurrency refuses what would make a debt of a gift.
func giftCurrency(code string) api.Outcome {
	out := api.Voided(Domain, "gift-currency", code+" is a gift currency: it counts what members do for each other, and has no limits, policies or charges")
	out.Void.Inputs = map[string]string{"currency": code}
	return out
}

func overLimit(code string, amount, free, limit int64) api.Outcome {
	out := api.Voided(Domain, "over-limit", "the account may not go so far below zero")
	short := int64(math.MaxInt64)
	if free >= 0 || amount <= math.MaxInt64+free {
		short = amount - free
	}
	out.Void.Inputs = map[string]string{
		"currency": code, "amount": strconv.FormatInt(amount, 10), "available": strconv.FormatInt(free, 10),
		"limit": strconv.FormatInt(limit, 10), "short_by": strconv.FormatInt(short, 10),
	}
	out.Void.Remedy = "the clerk of the space can grant a higher limit; incoming payments count once they are final"
	return out
}

// enter learns what this device is in the space, from its feed's past or from what the record cites.
func (f *fold) enter() {
	f.self = getSelf(f.Own(rowSelf))
	old := f.self
	if old.Device != f.rec.Device { // of the device before: this one has to show what it is
		f.self = self{Terms: old.Terms, Device: f.rec.Device}
	}
	member := f.self.Member
	for _, d := range f.rec.Deps {
		if f.self.Member && f.self.Terms && !f.self.Clerk && f.rec.Kind != kindGrant {
			break
		}
		if m, ok := fact.MemberAt(f, d, f.rec.Author); ok && m.Device == f.rec.Device && !f.self.Member {
			if f.self.Member = m.Before == (api.Key{}) || m.Before == m.Device || f.continues(m.Before); !f.self.Member && f.refused == nil {
				f.refused = &notContinued
			}
		}
		if o, ok := fact.OfficeAt(f, d, fact.Clerk); ok {
			f.office(o)
		}
		if !f.self.Terms {
			f.self.Terms = f.learn(d)
		}
	}
	if f.self.Member && !member {
		f.home()
	}
	f.self.Allots = f.self.Allots || f.self.Member && f.rec.Kind == kindAllot
	if f.self != old {
		f.Put(rowSelf, codec.MustMarshal(&f.self))
	}
}

// learn takes the currencies of the space from its genesis, if d shows it.
func (f *fold) learn(d api.Position) bool {
	g, ok := fact.GenesisAt(f, d)
	if !ok {
		return false
	}
	f.terms = map[string]fact.Currency{}
	for _, code := range g.Currencies {
		if c, ok := fact.CurrencyAt(f, d, code); ok {
			f.terms[code] = c
			f.Put(rowCurrency(code), codec.MustMarshal(&c))
		}
	}
	return true
}

// office takes note of who is clerk, when it is news: this device, or another one, also if it was this one before.
func (f *fold) office(o fact.Office) {
	had, nth := f.clerks(), max(o.Number, 1)
	if nth < had {
		return
	}
	f.self.Clerk = o.Device == f.rec.Device && o.DID == f.rec.Author
	if nth > had {
		f.nth = nth
		f.Put(rowClerk, api.Seq8(nth))
	}
}

// clerks is how many clerks there were when the newest was cited.
func (f *fold) clerks() uint64 {
	if f.nth == 0 {
		f.nth = max(fact.Number(f.Own(rowClerk)), 1)
	}
	return f.nth
}

// continues reports whether the record cites the cut by which its device goes on from another's. If that device had written anything that stands,
// this feed has its rows; if not, there is nothing to go on from.
func (f *fold) continues(before api.Key) bool {
	old := record.FeedID(f.rec.Topic, before)
	for _, d := range f.rec.Deps {
		if c, ok := fact.CutAt(f, d, old); ok && c.Next == f.rec.Device {
			if !f.knows(&c) {
				return false
			}
			f.binding = append(f.binding, c.Causes...)
			return true
		}
	}
	return false
}

// knows reports whether the record cites the causes of a cut; if not it is refused.
func (f *fold) knows(c *fact.Cut) bool {
	for _, why := range c.Causes {
		if !f.Within(why.Position()) {
			out := api.Voided(Domain, "cause-not-cited", "a record that takes a cut of its feed into account cites the causes of the cut, too")
			out.Void.Inputs = map[string]string{"cause": why.Position().String()}
			f.refused = &out
			return false
		}
	}
	return true
}

// accept takes the cut of this feed at d into account: the record cites the causes of it, too, so that it knows them.
func (f *fold) accept(d api.Position) {
	c, ok := fact.CutAt(f, d, f.rec.Feed)
	if !ok || c.Number <= fact.Number(f.Own(rowCut(f.rec.Feed))) {
		return
	}
	if !f.knows(&c) {
		return
	}
	f.binding = append(f.binding, c.Causes...)
	f.Put(rowCut(f.rec.Feed), api.Seq8(c.Number))
}
