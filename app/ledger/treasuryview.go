package ledger

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// proposed is a proposal, by whom, and where it stands.
type proposed struct {
	rules *treasuryRules // nil: it is about a payment
	pays  spending
	by    api.DID
	at    api.Position
	time  api.Timestamp

	rec     *api.Record
	verdict api.Verdict
}

func proposalOf(op string, r api.Reader, s *fact.Space, id api.Hash) (x proposed, err error) {
	rec, v, ok := r.Lookup(id)
	if ok && rec.Topic == (api.Topic{Space: s.ID, Name: fact.LedgerTopic}) && v.Accepted && !v.Held {
		x = proposed{by: rec.Author, at: rec.Position(), time: rec.Time, rec: rec, verdict: v}
		switch rec.Kind {
		case kindPropose:
			return x, decode(rec.Body, &x.pays)
		case kindProposeRules:
			x.rules = new(treasuryRules)
			return x, decode(rec.Body, x.rules)
		}
	}
	return x, api.Errorf(op, api.NotFound, "proposal %s: none of that id counts here; icnctl treasury proposals lists them", id)
}

// Proposal is what somebody proposed to do with the treasury. Amounts are minor units.
type Proposal struct {
	ID        api.Hash  `json:"id"`
	Time      time.Time `json:"time"`
	By        api.DID   `json:"by"`
	About     string    `json:"about" doc:"payment or rules"`
	To        api.DID   `json:"to,omitempty"`
	Currency  string    `json:"currency,omitempty"`
	Scale     int       `json:"scale,omitempty"`
	Amount    int64     `json:"amount,omitempty"`
	Purpose   string    `json:"purpose,omitempty"`
	Memo      string    `json:"memo,omitempty"`
	Rules     *Rules    `json:"rules,omitempty"`
	Approvals []api.DID `json:"approvals" doc:"of those who may"`
	Needed    int       `json:"needed"`
	State     string    `json:"state" doc:"open, approved or done"`
	Done      api.Hash  `json:"done,omitzero" doc:"the record that carried it out"`
}

// Rules are those of the treasury.
type Rules struct {
	Approvers []api.DID `json:"approvers" doc:"empty: every member"`
	Need      int       `json:"need"`
	Tiers     []Tier    `json:"tiers"`
	Budgets   []Budget  `json:"budgets"`
}

// Tier says how many approvals a payment of up to an amount needs.
type Tier struct {
	Currency string `json:"currency"`
	Most     int64  `json:"most" doc:"minor units"`
	Need     int    `json:"need"`
}

// Budget bounds what is paid for a purpose in a period.
type Budget struct {
	Purpose  string `json:"purpose"`
	Currency string `json:"currency"`
	Amount   int64  `json:"amount" doc:"minor units"`
	Every    string `json:"every" doc:"month or year, by UTC"`
	Left     int64  `json:"left" doc:"of the period that is now; in a proposal of rules all of it"`
}

func (t *treasuryRules) shown() *Rules {
	out := &Rules{Approvers: t.Approvers, Need: int(t.Need), Tiers: []Tier{}, Budgets: []Budget{}}
	for _, x := range t.Tiers {
		out.Tiers = append(out.Tiers, Tier{Currency: x.Currency, Most: x.Most, Need: int(x.Need)})
	}
	for _, b := range t.Budgets {
		out.Budgets = append(out.Budgets, Budget{Purpose: b.Purpose, Currency: b.Currency, Amount: b.Amount, Every: b.Every, Left: b.Amount})
	}
	return out
}

// describe says what a proposal is and what became of it.
func (d *desk) describe(r api.Reader, s *fact.Space, x proposed) Proposal {
	rules := d.rules(r, s)
	out := Proposal{ID: x.at.ID, Time: x.time.Time(), By: x.by, State: "open", Approvals: []api.DID{}}
	if x.rules != nil {
		out.About, out.Rules, out.Needed = "rules", x.rules.shown(), int(max(rules.Need, 1))
	} else {
		p := x.pays
		c, _ := s.Currency(p.Currency)
		out.About, out.To, out.Currency, out.Scale, out.Amount, out.Purpose, out.Memo = "payment", p.To, p.Currency, int(c.Scale), p.Amount, p.Purpose, p.Memo
		out.Needed = int(rules.need(&p))
	}
	for did := range approvals(r, s, x.at.ID) {
		if rules.mayApprove(did) && !slices.Contains(out.Approvals, did) {
			out.Approvals = append(out.Approvals, did)
		}
	}
	if len(out.Approvals) >= out.Needed {
		out.State = "approved"
	}
	for _, v := range r.Index(append(spaceKey(nil, indexDone, s.ID), x.at.ID[:]...), nil, false) {
		out.State = "done"
		copy(out.Done[:], v)
	}
	return out
}

// approvals goes through who has approved a proposal, and where.
func approvals(r api.Reader, s *fact.Space, id api.Hash) func(func(api.DID, api.Position) bool) {
	return func(yield func(api.DID, api.Position) bool) {
		prefix := append(spaceKey(nil, indexYes, s.ID), id[:]...)
		for k, v := range r.Index(prefix, nil, false) {
			at := api.Position{Feed: api.Hash(k[len(prefix):][:32]), Seq: binary.BigEndian.Uint64(k[len(prefix)+32:])}
			if !yield(api.DID(v), at) {
				return
			}
		}
	}
}

// ProposalsIn is the input of treasury.proposals.
type ProposalsIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Open   bool     `json:"open,omitempty" doc:"Only what is not carried out yet"`
	Limit  int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *ProposalsIn) Validate() error {
	return checkPlaces(in.Cursor, in.Limit)
}

// ProposalsOut is the output of treasury.proposals.
type ProposalsOut struct {
	Proposals []Proposal `json:"proposals"`
	Cursor    string     `json:"cursor,omitempty"` // empty on the last page
}

func (a *App) proposals(_ context.Context, _ *api.Call, in *ProposalsIn) (*ProposalsOut, error) {
	const op = "treasury.proposals"
	_, r, s, d, err := a.seeTreasury(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &ProposalsOut{Proposals: []Proposal{}}
	out.Cursor, err = newest(r, spaceKey(nil, indexProposals, s.ID), in.Cursor, page(in.Limit), maxScan, func(_, id []byte) bool {
		x, err := proposalOf(op, r, s, api.Hash(id))
		if err != nil {
			return false // held by a fork
		}
		p := d.describe(r, s, x)
		if in.Open && p.State == "done" {
			return false
		}
		out.Proposals = append(out.Proposals, p)
		return true
	})
	return out, api.Wrap(op, err)
}

// TreasuryIn is the input of treasury.show.
type TreasuryIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// TreasuryOut is the output of treasury.show.
type TreasuryOut struct {
	Holder   api.DID   `json:"holder" doc:"who has the office"`
	Account  api.DID   `json:"account"`
	Balances []Balance `json:"balances"`
	Rules    *Rules    `json:"rules"`
	First    bool      `json:"first" doc:"no rules have been approved yet: these hold until then"`
}

func (a *App) showTreasury(_ context.Context, _ *api.Call, in *TreasuryIn) (*TreasuryOut, error) {
	const op = "treasury.show"
	host, r, s, d, err := a.seeTreasury(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := treasuryBalance(op, r, s)
	if err != nil {
		return nil, err
	}
	_, _, known := r.Own(d.from, rowRules)
	rules := d.rules(r, s)
	out := &TreasuryOut{Holder: d.office.DID, Account: fact.TreasuryAccount, Balances: b.Balances, Rules: rules.shown(), First: !known}
	for i, b := range rules.Budgets {
		if had := get[spent](first(r.Own(d.from, rowSpent(&b)))); had.Period >= b.period(host.Now()) {
			out.Rules.Budgets[i].Left = b.Amount - had.Amount
		}
	}
	return out, nil
}

// spentBy returns what a record pays from the treasury.
func spentBy(rec *api.Record) (spending, bool) {
	var s spending
	var by spend
	switch rec.Kind {
	case kindPay:
		return s, decode(rec.Body, &s) == nil
	case kindSpend:
		ok := decode(rec.Body, &by) == nil
		return by.spending(), ok
	}
	return s, false
}
