package ledger

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// The space's own money is spent by the treasury's office, and only with the approval of as many others as its rules ask for. What is to be done is
// proposed by a record of a member; approvals are records of members; the office cites them. No one of them can do it alone.

// Record kinds: the first three are of members in the topic ledger, the others of the office in the topic treasury.
const (
	kindPropose      = "propose"       // a payment
	kindProposeRules = "propose-rules" // other rules
	kindApprove      = "approve"
	kindSpend        = "spend" // pay by a proposal
	kindPay          = "pay"   // pay what needs none
	kindRules        = "rules" // put rules in force
)

const (
	maxApprovers = 64
	maxTiers     = 16
	maxBudgets   = 64
)

// spending says what is to be paid from the treasury.
type spending struct {
	_        struct{} `cbor:",toarray"`
	To       api.DID
	Currency string
	Amount   int64  `say:"amount,currency"` // minor units, > 0
	Purpose  string // of a budget
	Memo     string
}

func (s *spending) check() error {
	t := transfer{To: s.To, Currency: s.Currency, Amount: s.Amount, Memo: s.Memo}
	if err := t.check(); err != nil {
		return err
	}
	if s.To == fact.TreasuryAccount {
		return errors.New("to: this is the treasury itself")
	}
	if s.Purpose != "" && !isCode(s.Purpose, maxCode) {
		return fmt.Errorf("purpose: want 1 to %d of a-z 0-9 -, or nothing where the rules have no budgets", maxCode)
	}
	return nil
}

// treasuryRules say who approves, and how much is for what.
type treasuryRules struct {
	_         struct{}  `cbor:",toarray"`
	Approvers []api.DID // ascending; only they can approve
	Need      uint64    // approvals that a payment above all tiers needs, and new rules: 1 to as many as approvers
	Tiers     []tier    // ascending by currency and amount
	Budgets   []budget  // ascending by purpose and currency; none: whatever is approved may be paid
}

// tier says how many approvals a payment of up to an amount needs.
type tier struct {
	_        struct{} `cbor:",toarray"`
	Currency string
	Most     int64 `say:"amount,currency"` // minor units, > 0
	Need     uint64
}

// budget bounds what is paid for a purpose in a period.
type budget struct {
	_        struct{} `cbor:",toarray"`
	Purpose  string
	Currency string
	Amount   int64  `say:"amount,currency"` // minor units, > 0
	Every    string // month or year, by UTC
}

const everyYear = "year"

func (t *treasuryRules) check() error {
	switch {
	case len(t.Approvers) == 0 || len(t.Approvers) > maxApprovers:
		return fmt.Errorf("%d approvers: want 1 to %d", len(t.Approvers), maxApprovers)
	case t.Need == 0 || t.Need > uint64(len(t.Approvers)):
		return fmt.Errorf("need %d: want 1 to %d, as many as there are approvers", t.Need, len(t.Approvers))
	case len(t.Tiers) > maxTiers || len(t.Budgets) > maxBudgets:
		return fmt.Errorf("%d tiers, %d budgets: at most %d and %d", len(t.Tiers), len(t.Budgets), maxTiers, maxBudgets)
	}
	for i, did := range t.Approvers {
		if did == "" || len(did) > maxDID || i > 0 && did <= t.Approvers[i-1] {
			return fmt.Errorf("approvers[%d]: want DIDs, each once, ascending", i)
		}
	}
	for i, x := range t.Tiers {
		before := t.Tiers[max(i-1, 0)]
		switch {
		case !isCode(x.Currency, maxCode) || x.Most <= 0 || x.Need > uint64(len(t.Approvers)):
			return fmt.Errorf("tiers[%d]: want a currency, an amount above 0, and at most as many approvals as there are approvers", i)
		case i > 0 && (x.Currency < before.Currency || x.Currency == before.Currency && (x.Most <= before.Most || x.Need < before.Need)):
			return fmt.Errorf("tiers[%d]: want them ascending by currency and amount, and no fewer approvals for more", i)
		}
	}
	for i, b := range t.Budgets {
		before := t.Budgets[max(i-1, 0)]
		switch {
		case !isCode(b.Purpose, maxCode) || !isCode(b.Currency, maxCode) || b.Amount <= 0 || b.Every != everyMonth && b.Every != everyYear:
			return fmt.Errorf("budgets[%d]: want a purpose, a currency, an amount above 0, and month or year", i)
		case i > 0 && (b.Purpose < before.Purpose || b.Purpose == before.Purpose && b.Currency <= before.Currency):
			return fmt.Errorf("budgets[%d]: want them ascending by purpose and currency, each once", i)
		}
	}
	return nil
}

// need returns how many approvals a payment takes.
func (t *treasuryRules) need(s *spending) uint64 {
	for _, x := range t.Tiers {
		if x.Currency == s.Currency && s.Amount <= x.Most {
			return x.Need
		}
	}
	return t.Need
}

// budget returns what bounds a payment; false where there are budgets and none for it.
func (t *treasuryRules) budget(s *spending) (b budget, ok bool) {
	i := slices.IndexFunc(t.Budgets, func(b budget) bool { return b.Purpose == s.Purpose && b.Currency == s.Currency })
	if i < 0 {
		return b, len(t.Budgets) == 0
	}
	return t.Budgets[i], true
}

// period returns the number of the budget's period in which a time is.
func (b *budget) period(t time.Time) uint64 {
	if b.Every == everyYear {
		return uint64(t.UTC().Year())
	}
	return uint64(t.UTC().Year())*12 + uint64(t.UTC().Month()) - 1
}

// firstRules hold until others are approved: each founder can approve, and one of them must who has not proposed it; where there is one founder only, a member.
func firstRules(founders []fact.Founder) *treasuryRules {
	r := &treasuryRules{Need: 1}
	if len(founders) > 1 {
		for _, f := range founders {
			r.Approvers = append(r.Approvers, f.DID)
		}
		slices.Sort(r.Approvers)
		r.Need = uint64(len(founders)) / 2
	}
	return r
}

// mayApprove reports whether a member is among the approvers; with none named every member is.
func (t *treasuryRules) mayApprove(did api.DID) bool {
	return len(t.Approvers) == 0 || slices.Contains(t.Approvers, did)
}

// approval approves a proposal.
type approval struct {
	_        struct{} `cbor:",toarray"`
	Proposal api.Hash // id of its record
}

func (a *approval) check() error { return checkProposal(a.Proposal) }

func checkProposal(id api.Hash) error {
	if id.IsZero() {
		return errors.New("proposal: missing")
	}
	return nil
}

// spend makes the payment of a proposal.
type spend struct {
	_        struct{} `cbor:",toarray"`
	Proposal api.Hash
	To       api.DID
	Currency string
	Amount   int64 `say:"amount,currency"` // minor units, > 0
	Purpose  string
	Memo     string
}

func (s *spend) spending() spending {
	return spending{To: s.To, Currency: s.Currency, Amount: s.Amount, Purpose: s.Purpose, Memo: s.Memo}
}

func (s *spend) check() error {
	pays := s.spending()
	return cmp.Or(checkProposal(s.Proposal), pays.check())
}

// rules puts the rules of a proposal in force.
type rules struct {
	_         struct{} `cbor:",toarray"`
	Proposal  api.Hash
	Approvers []api.DID
	Need      uint64
	Tiers     []tier
	Budgets   []budget
}

func (r *rules) rules() treasuryRules {
	return treasuryRules{Approvers: r.Approvers, Need: r.Need, Tiers: r.Tiers, Budgets: r.Budgets}
}

func (r *rules) check() error {
	says := r.rules()
	return cmp.Or(checkProposal(r.Proposal), says.check())
}

// proposal is what a feed keeps of one: the body of its record, which says what the office's record has to say, and who may not approve it.
type proposal struct {
	_       struct{} `cbor:",toarray"`
	Kind    string
	Content []byte
	By      api.DID
	To      api.DID // who would be paid; empty for rules
}

// Feed rows. Of members:
//
//	prop/<id>        proposal, by the id of its record
//	yes/<id>         a byte: this feed has approved the proposal
//
// and of the treasury's office, beside those of an account and of an office:
//
//	founders         []fact.Founder, from the genesis
//	rules            treasuryRules: those that hold
//	done/<id>        nothing: the proposal was carried out
//	spent/<purpose>/<code>   spent: how much of a budget is
var (
	rowFounders = []byte("founders")
	rowRules    = []byte("rules")
)

func rowProposal(id api.Hash) []byte { return append([]byte("prop/"), id[:]...) }
func rowApproved(id api.Hash) []byte { return append([]byte("yes/"), id[:]...) }
func rowDone(id api.Hash) []byte     { return append([]byte("done/"), id[:]...) }
func rowSpent(b *budget) []byte      { return []byte("spent/" + b.Purpose + "/" + b.Currency) }

type spent struct {
	_      struct{} `cbor:",toarray"`
	Period uint64
	Amount int64
}

// Query rows, by space: props/<space><time><feed><seq> -> id of a proposal; yes/<space><id><feed><seq> -> nothing; done/<space><id> likewise.
const (
	indexProposals = "props/"
	indexYes       = "yes/"
	indexDone      = "done/"
)

func recordKey(dst []byte, rec *api.Record) []byte {
	return append(append(dst, rec.Feed[:]...), api.Seq8(rec.Seq)...)
}

// propose keeps a member's proposal for others to approve.
func (f *fold) propose(to api.DID) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	f.Put(rowProposal(f.rec.ID), codec.MustMarshal(&proposal{Kind: f.rec.Kind, Content: f.rec.Body, By: f.rec.Author, To: to}))
	k := append(spaceKey(nil, indexProposals, f.rec.Topic.Space), api.Seq8(uint64(f.rec.Time))...)
	f.Index(recordKey(k, f.rec), f.rec.ID[:])
	f.close()
	return api.Accepted
}

// proposed returns a proposal that the record cites.
func (f *fold) proposed(id api.Hash) (p proposal, ok bool) {
	for _, d := range f.rec.Deps {
		if b, ok := f.At(d, rowProposal(id)); ok && d.Feed != f.rec.Feed {
			return get[proposal](b, ok), true
		}
	}
	return p, false
}

// approve keeps a member's approval of what somebody else has proposed, and not for the member's own good.
func (f *fold) approve(a *approval) api.Outcome {
	f.enter()
	if !f.self.Member {
		return f.stranger()
	}
	if _, own := f.Own(rowProposal(a.Proposal)); own {
		return ownProposal
	}
	p, ok := f.proposed(a.Proposal)
	switch {
	case !ok:
		return noProposal
	case p.By == f.rec.Author || p.To == f.rec.Author:
		return ownProposal
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	f.Put(rowApproved(a.Proposal), []byte{1})
	k := append(spaceKey(nil, indexYes, f.rec.Topic.Space), a.Proposal[:]...)
	f.Index(recordKey(k, f.rec), []byte(f.rec.Author))
	f.close()
	return api.Accepted
}

var (
	noProposal    = api.Voided(Domain, "no-such-proposal", "the record cites no proposal of that id")
	ownProposal   = api.Voided(Domain, "own-proposal", "nobody approves a proposal of their own, or a payment to themselves")
	otherContent  = api.Voided(Domain, "other-content", "what the office does is not what was proposed")
	alreadyDone   = api.Voided(Domain, "already-done", "the proposal was carried out before")
	outsideBudget = api.Voided(Domain, "no-budget", "the rules of the treasury have no budget for the purpose in the currency")
)

// treasury folds a record of the treasury's office.
func (f *fold) treasury() api.Outcome {
	var paid spend
	switch f.rec.Kind {
	case kindRules:
		var r rules
		if err := decode(f.rec.Body, &r); err != nil {
			return malformed(err)
		}
		return f.newRules(&r)
	case kindSpend:
		if err := decode(f.rec.Body, &paid); err != nil {
			return malformed(err)
		}
		return f.spendOwn(paid.Proposal, paid.spending())
	case kindPay:
		var s spending
		if err := decode(f.rec.Body, &s); err != nil {
			return malformed(err)
		}
		return f.spendOwn(api.Hash{}, s)
	}
	return unknownKind(f.rec)
}

// enterTreasury is enterOffice, and takes the founders from the genesis.
func (f *fold) enterTreasury() {
	if f.enterOffice(fact.Treasury); f.refused != nil {
		return
	}
	if _, ok := f.Own(rowFounders); ok {
		return
	}
	for _, d := range f.rec.Deps {
		if g, ok := fact.GenesisAt(f, d); ok {
			f.founders = g.Founders
			f.Put(rowFounders, codec.MustMarshal(g.Founders))
			return
		}
	}
}

// rules returns what holds.
func (f *fold) rules() *treasuryRules {
	if b, ok := f.Own(rowRules); ok {
		r := get[treasuryRules](b, ok)
		return &r
	}
	if f.founders == nil {
		f.founders = get[[]fact.Founder](f.Own(rowFounders))
	}
	return firstRules(f.founders)
}

// approved refuses what fewer have approved than is needed: the proposal of a kind and content. An approval counts where it is certain, of one who may give it.
func (f *fold) approved(id api.Hash, kind string, content []byte, holds *treasuryRules, need uint64) *api.Outcome {
	p, ok := f.proposed(id)
	switch {
	case !ok:
		return &noProposal
	case p.Kind != kind || !bytes.Equal(p.Content, content):
		return &otherContent
	}
	if _, done := f.Own(rowDone(id)); done {
		return &alreadyDone
	}
	views, cuts := f.witnessed()
	var voices []api.DID
	for _, d := range f.rec.Deps {
		if d.Feed == f.rec.Feed {
			continue
		}
		if _, ok := f.At(d, rowApproved(id)); !ok {
			continue
		}
		sure, ok := f.certain(views, cuts, d)
		if !ok {
			continue
		}
		h, _ := f.Dep(d)
		if _, ok := f.At(sure, rowApproved(id)); ok && holds.mayApprove(h.Author) && !slices.Contains(voices, h.Author) {
			voices = append(voices, h.Author)
		}
	}
	if uint64(len(voices)) < need {
		return tooFew(len(voices), need)
	}
	f.Put(rowDone(id), []byte{1})
	f.Index(append(spaceKey(nil, indexDone, f.rec.Topic.Space), id[:]...), f.rec.ID[:])
	return nil
}

func tooFew(have int, need uint64) *api.Outcome {
	out := api.Voided(Domain, "too-few-approvals", "the treasury's rules ask for the approval of more members, who neither propose it nor are paid by it")
	out.Void.Inputs = map[string]string{"approvals": strconv.Itoa(have), "needed": strconv.FormatUint(need, 10)}
	return &out
}

// newRules makes others hold, once they are approved by those that hold.
func (f *fold) newRules(r *rules) api.Outcome {
	if f.enterTreasury(); f.refused != nil {
		return *f.refused
	}
	next, now := r.rules(), f.rules()
	content := codec.MustMarshal(&next)
	if out := f.approved(r.Proposal, kindProposeRules, content, now, max(now.Need, 1)); out != nil {
		return *out
	}
	f.Put(rowRules, content)
	return api.Accepted
}

// spendOwn pays from the treasury, by a proposal or without.
func (f *fold) spendOwn(id api.Hash, s spending) api.Outcome {
	if f.enterTreasury(); f.refused != nil {
		return *f.refused
	}
	if _, ok := f.currency(s.Currency); !ok {
		return unknownCurrency(s.Currency)
	}
	holds := f.rules()
	if need := holds.need(&s); id.IsZero() && need > 0 {
		return *tooFew(0, need)
	} else if !id.IsZero() {
		if out := f.approved(id, kindPropose, codec.MustMarshal(&s), holds, need); out != nil {
			return *out
		}
	}
	if out := f.budgeted(holds, &s); out != nil {
		return *out
	}
	if f.cite(); f.refused != nil {
		return *f.refused
	}
	account := f.account(s.Currency)
	debits, ok := add(account.Debits, s.Amount)
	if !ok {
		return overflow
	}
	if free := available(account.account, 0, limits{}); s.Amount > free {
		return overTreasury(s.Currency, s.Amount, free)
	}
	account.Debits = debits
	f.close()
	return f.post([]leg{{To: s.To, Currency: s.Currency, Amount: s.Amount, Memo: s.Memo}})
}

// budgeted counts a payment against the budget of its purpose.
func (f *fold) budgeted(holds *treasuryRules, s *spending) *api.Outcome {
	b, ok := holds.budget(s)
	if !ok {
		return &outsideBudget
	}
	if b.Amount == 0 {
		return nil
	}
	had := get[spent](f.Own(rowSpent(&b)))
	if p := b.period(f.rec.Time.Time()); p > had.Period { // an author's clock does not run backwards
		had = spent{Period: p}
	}
	total, fits := add(had.Amount, s.Amount)
	if !fits || total > b.Amount {
		out := api.Voided(Domain, "over-budget", "the budget of the purpose is spent for this period")
		out.Void.Inputs = map[string]string{
			"purpose": s.Purpose, "currency": s.Currency, "amount": strconv.FormatInt(s.Amount, 10), "left": strconv.FormatInt(b.Amount-had.Amount, 10),
		}
		return &out
	}
	had.Amount = total
	f.Put(rowSpent(&b), codec.MustMarshal(&had))
	return nil
}

func overTreasury(code string, amount, free int64) api.Outcome {
	out := api.Voided(Domain, "over-treasury", "the treasury has no credit: it pays what it has and knows to be final")
	out.Void.Inputs = map[string]string{"currency": code, "amount": strconv.FormatInt(amount, 10), "available": strconv.FormatInt(free, 10)}
	return out
}
