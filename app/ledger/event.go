package ledger

import (
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ api.EventSource = (*App)(nil)

// Transferred is the data of ledger.transferred.
type Transferred struct {
	From     api.DID `json:"from"`
	To       api.DID `json:"to"`
	Currency string  `json:"currency"`
	Amount   int64   `json:"amount" doc:"minor units"`
	Memo     string  `json:"memo,omitempty"`
	Category string  `json:"category,omitempty"`
	KeyedBy  api.DID `json:"keyed_by,omitempty" doc:"the helper who has entered it"`
	For      []For   `json:"for,omitempty" doc:"what it is for: by it a payment of a request, of a standing order or back is told from others"`
}

// Batched is the data of ledger.batched.
type Batched struct {
	From api.DID `json:"from"`
	Legs []Leg   `json:"legs" doc:"the payments, at most 64"`
	For  []For   `json:"for,omitempty" doc:"the list, and which part of it this is"`
}

// Leg is one payment of a batch.
type Leg struct {
	To       api.DID `json:"to"`
	Currency string  `json:"currency"`
	Amount   int64   `json:"amount" doc:"minor units"`
	Memo     string  `json:"memo,omitempty"`
	Category string  `json:"category,omitempty"`
}

// Requested is the data of ledger.requested.
type Requested struct {
	From     api.DID `json:"from" doc:"who asks, and would be paid"`
	To       api.DID `json:"to" doc:"who is asked to pay"`
	Currency string  `json:"currency"`
	Amount   int64   `json:"amount" doc:"minor units"`
	Memo     string  `json:"memo,omitempty"`
	Category string  `json:"category,omitempty"`
	Expires  int64   `json:"expires,omitempty" doc:"Unix milliseconds"`
	For      []For   `json:"for,omitempty" doc:"the payment that is to be given back"`
}

// Ordered is the data of ledger.ordered.
type Ordered struct {
	To       api.DID `json:"to"`
	Currency string  `json:"currency"`
	Amount   int64   `json:"amount" doc:"minor units, in each period"`
	Memo     string  `json:"memo,omitempty"`
	Category string  `json:"category,omitempty"`
	Every    uint64  `json:"every" doc:"units in a period"`
	Unit     string  `json:"unit" doc:"days, weeks or months"`
	First    string  `json:"first" doc:"the day on which the first period begins"`
	Last     string  `json:"last,omitempty" doc:"no period begins after this day"`
	Count    uint64  `json:"count,omitempty" doc:"so many periods at most"`
	Zone     string  `json:"zone" doc:"time zone in which days begin"`
}

// OrderEnded is the data of ledger.order-ended.
type OrderEnded struct {
	Order api.Hash `json:"order"`
}

// OrderFailed is the data of ledger.order-failed.
type OrderFailed struct {
	Order   api.Hash `json:"order"`
	Period  int      `json:"period" doc:"from 1"`
	Tries   int      `json:"tries" doc:"so far"`
	GivenUp bool     `json:"given_up" doc:"the node tries no more: the member can still pay it by hand"`
	Rule    string   `json:"rule,omitempty" doc:"of the refusal"`
	Why     string   `json:"why"`
}

// Cancelled is the data of ledger.cancelled.
type Cancelled struct {
	Request api.Hash `json:"request" doc:"that its author has taken back"`
}

// Declined is the data of ledger.declined.
type Declined struct {
	Request api.Hash `json:"request" doc:"that is not going to be paid"`
	Reason  string   `json:"reason,omitempty"`
}

// Acknowledged is the data of ledger.acknowledged.
type Acknowledged struct {
	Records []api.Position `json:"records" doc:"what the account now takes into account: it may spend what it was paid up to there"`
}

// Granted is the data of ledger.granted, ledger.frozen and ledger.lifted.
type Granted struct {
	Account  api.DID `json:"account"`
	Currency string  `json:"currency"`
	Number   uint64  `json:"number" doc:"of the grant, for this account and currency"`
	Limit    int64   `json:"limit" doc:"credit limit, minor units"`
	P        int64   `json:"p" doc:"credit not final that may be spent, minor units"`
	Frozen   bool    `json:"frozen" doc:"nothing may be spent"`
	ByHand   bool    `json:"by_hand,omitempty" doc:"a person has set the limit, and policies leave it alone"`
	Policy   uint64  `json:"policy,omitempty" doc:"number of the policy that the limit comes from"`
}

// Allotted is the data of ledger.allotted.
type Allotted struct {
	Device   api.Key `json:"device" doc:"that may spend it"`
	Currency string  `json:"currency"`
	Amount   int64   `json:"amount" doc:"minor units"`
}

// Returned is the data of ledger.returned.
type Returned struct {
	Device   api.Key `json:"device" doc:"that gives back what is left of its allotments"`
	Currency string  `json:"currency"`
}

// Scheduled is the data of ledger.scheduled.
type Scheduled struct {
	Name     string `json:"name"`
	Number   uint64 `json:"number" doc:"of the schedules that the office has set"`
	Charge   string `json:"charge" doc:"dues, levy-in, levy-out or demurrage"`
	Currency string `json:"currency"`
	Amount   int64  `json:"amount,omitempty" doc:"of dues, minor units"`
	Rate     int64  `json:"rate,omitempty" doc:"of all else, hundredths of a percent"`
	Exempt   int64  `json:"exempt,omitempty" doc:"what is not charged for, minor units"`
	Every    string `json:"every" doc:"day, week or month"`
	First    string `json:"first" doc:"day on which the first period begins"`
	Last     string `json:"last,omitempty"`
}

// PolicySet is the data of ledger.policy-set. Amounts are minor units.
type PolicySet struct {
	Number   uint64 `json:"number" doc:"of the policies that the office has set"`
	Currency string `json:"currency"`
	Preset   string `json:"preset,omitempty"`
	Start    int64  `json:"start" doc:"limit on the day of joining"`
	Base     int64  `json:"base" doc:"limit once the ramp is over"`
	Max      int64  `json:"max" doc:"the most that it grows to"`
	Lower    bool   `json:"lower" doc:"limits above what the policy gives are lowered"`
}

// Charged is the data of ledger.charged.
type Charged struct {
	Schedule string   `json:"schedule"`
	Number   uint64   `json:"number" doc:"of the schedule"`
	Period   uint64   `json:"period" doc:"from 1"`
	Charges  []Charge `json:"charges"`
	Done     bool     `json:"done" doc:"nobody is left to charge for the period"`
}

// Spent is the data of ledger.proposed, ledger.spent and ledger.paid.
type Spent struct {
	Proposal api.Hash `json:"proposal,omitzero" doc:"none: it needed no approval"`
	To       api.DID  `json:"to"`
	Currency string   `json:"currency"`
	Amount   int64    `json:"amount" doc:"minor units"`
	Purpose  string   `json:"purpose,omitempty"`
	Memo     string   `json:"memo,omitempty"`
}

func spentEvent(proposal api.Hash, s spending) *Spent {
	return &Spent{Proposal: proposal, To: s.To, Currency: s.Currency, Amount: s.Amount, Purpose: s.Purpose, Memo: s.Memo}
}

// Revised is the data of ledger.rules-proposed and ledger.revised.
type Revised struct {
	Proposal api.Hash `json:"proposal"`
	Rules    Rules    `json:"rules"`
}

// Approved is the data of ledger.approved.
type Approved struct {
	Proposal api.Hash `json:"proposal"`
}

// Events implements api.EventSource.
func (*App) Events() []api.EventType {
	of := func(name, summary string, kind string) api.EventType {
		return api.EventType{Name: "ledger." + name, Scope: "ledger:read", Summary: summary, Topic: fact.LedgerTopic, Kinds: []string{kind}}
	}
	office := func(name, summary string, kind string) api.EventType {
		t := of(name, summary, kind)
		t.Topic = fact.PostingsTopic
		return t
	}
	treasury := func(name, summary, topic, kind string) api.EventType {
		return api.EventType{Name: "ledger." + name, Scope: "treasury:read", Summary: summary, Topic: topic, Kinds: []string{kind}}
	}
	return slices.Concat(escrowEvents(), importEvents(), disputeEvents(), []api.EventType{
		api.Tell(of("transferred", "Somebody has paid somebody", kindTransfer), func(past api.Past, rec *api.Record) *Transferred {
			t, err := decodeTransfer(rec.Body)
			if err != nil {
				return nil
			}
			d := &Transferred{From: rec.Author, To: t.To, Currency: t.Currency, Amount: t.Amount, Memo: t.Memo, Category: t.Category}
			if h := get[helped](past.At(rec.Position(), rowHelped(rec.Feed))); h.Since > 0 {
				d.KeyedBy = h.Mandates[0].Helper
			}
			d.For, _ = reasons(t.For)
			return d
		}),
		api.Tell(of("mandated", "A member has let a helper pay, changed that, or ended it", kindMandate), func(_ api.Past, rec *api.Record) *Mandated {
			var m mandate
			if decode(rec.Body, &m) != nil {
				return nil
			}
			return &Mandated{Device: m.Device, Helper: m.Helper, Currency: m.Currency, Amount: m.Amount, Every: m.Every, Last: m.Last}
		}),
		api.Tell(of("batched", "Somebody has paid several at once", kindBatch), func(_ api.Past, rec *api.Record) *Batched {
			legs, what := legsOf(rec)
			if len(legs) == 0 {
				return nil
			}
			d := &Batched{From: rec.Author}
			for _, l := range legs {
				d.Legs = append(d.Legs, Leg{To: l.To, Currency: l.Currency, Amount: l.Amount, Memo: l.Memo, Category: l.Category})
			}
			d.For, _ = reasons(what)
			return d
		}),
		api.Tell(of("requested", "Somebody has asked somebody to pay", kindRequest), func(_ api.Past, rec *api.Record) *Requested {
			var q request
			if decode(rec.Body, &q) != nil {
				return nil
			}
			d := &Requested{From: rec.Author, To: q.Payer, Currency: q.Currency, Amount: q.Amount, Memo: q.Memo, Category: q.Category, Expires: q.Expires}
			d.For, _ = reasons(q.Back)
			return d
		}),
		api.Tell(of("ordered", "A member means to pay somebody at regular times", kindOrder), func(_ api.Past, rec *api.Record) *Ordered {
			var o order
			if decode(rec.Body, &o) != nil {
				return nil
			}
			return &Ordered{
				To: o.To, Currency: o.Currency, Amount: o.Amount, Memo: o.Memo, Category: o.Category,
				Every: o.Every, Unit: o.Unit, First: o.First, Last: o.Last, Count: o.Count, Zone: o.Zone,
			}
		}),
		api.Tell(of("order-ended", "A standing order has been ended", kindEndOrder), func(_ api.Past, rec *api.Record) *OrderEnded {
			var e endOrder
			if decode(rec.Body, &e) != nil {
				return nil
			}
			return &OrderEnded{Order: e.Order}
		}),
		api.Notice[OrderFailed](evOrderFailed, "ledger:read", "A payment of a standing order was refused"),
		api.Tell(of("cancelled", "A request has been taken back", kindCancel), func(_ api.Past, rec *api.Record) *Cancelled {
			var c cancel
			if decode(rec.Body, &c) != nil {
				return nil
			}
			return &Cancelled{Request: c.Request}
		}),
		api.Tell(of("declined", "A request has been declined", kindDecline), func(_ api.Past, rec *api.Record) *Declined {
			var d decline
			if decode(rec.Body, &d) != nil {
				return nil
			}
			return &Declined{Request: d.Request, Reason: d.Reason}
		}),
		api.Tell(of("acknowledged", "An account takes payments and limits into account", kindAck), func(_ api.Past, rec *api.Record) *Acknowledged {
			return &Acknowledged{Records: rec.Deps}
		}),
		api.Tell(of("granted", "The clerk has set an account's limits", kindGrant), func(_ api.Past, rec *api.Record) *Granted {
			g, _ := granted(rec)
			return g
		}),
		api.Tell(of("frozen", "The clerk has frozen an account", kindGrant), func(past api.Past, rec *api.Record) *Granted {
			if g, _ := granted(rec); g != nil && g.Frozen && !wasFrozen(past, rec, g) {
				return g
			}
			return nil
		}),
		api.Tell(of("lifted", "The clerk has lifted the freeze of an account", kindGrant), func(past api.Past, rec *api.Record) *Granted {
			if g, _ := granted(rec); g != nil && !g.Frozen && wasFrozen(past, rec, g) {
				return g
			}
			return nil
		}),
		api.Tell(of("allotted", "A member has set an amount aside for another device to spend", kindAllot), func(_ api.Past, rec *api.Record) *Allotted {
			var a allotment
			if decode(rec.Body, &a) != nil {
				return nil
			}
			return &Allotted{Device: a.Device, Currency: a.Currency, Amount: a.Amount}
		}),
		api.Tell(of("returned", "A device has given back what was left of its allotments", kindReturn), func(_ api.Past, rec *api.Record) *Returned {
			var g giveBack
			if decode(rec.Body, &g) != nil {
				return nil
			}
			return &Returned{Device: rec.Device, Currency: g.Currency}
		}),
		api.Tell(office("scheduled", "The clerk has said what accounts are charged", kindSchedule), func(_ api.Past, rec *api.Record) *Scheduled {
			var s schedule
			if decode(rec.Body, &s) != nil {
				return nil
			}
			return &Scheduled{
				Name: s.Name, Number: s.Number, Charge: s.Charge, Currency: s.Currency, Amount: s.Amount, Rate: s.Rate, Exempt: s.Exempt,
				Every: s.Every, First: s.First, Last: s.Last,
			}
		}),
		api.Tell(office("policy-set", "The clerk has said by what rules members get their credit limits", kindPolicy), func(_ api.Past, rec *api.Record) *PolicySet {
			var p creditPolicy
			if decode(rec.Body, &p) != nil {
				return nil
			}
			return &PolicySet{Number: p.Number, Currency: p.Currency, Preset: p.Preset, Start: p.Start, Base: p.Base, Max: p.Max, Lower: p.Lower}
		}),
		api.Tell(office("charged", "Accounts were charged dues, a levy or demurrage", kindCharge), func(_ api.Past, rec *api.Record) *Charged {
			var c charge
			if decode(rec.Body, &c) != nil {
				return nil
			}
			out := &Charged{Schedule: c.Schedule, Number: c.Number, Period: c.Period, Done: c.Done}
			for _, l := range c.Legs {
				out.Charges = append(out.Charges, Charge{Account: l.Account, Base: l.Base, Amount: l.Amount})
			}
			return out
		}),
		api.Tell(treasury("proposed", "Somebody has proposed a payment from the treasury", fact.LedgerTopic, kindPropose), func(_ api.Past, rec *api.Record) *Spent {
			var s spending
			if decode(rec.Body, &s) != nil {
				return nil
			}
			return spentEvent(rec.ID, s)
		}),
		api.Tell(treasury("rules-proposed", "Somebody has proposed rules for the treasury", fact.LedgerTopic, kindProposeRules), func(_ api.Past, rec *api.Record) *Revised {
			var t treasuryRules
			if decode(rec.Body, &t) != nil {
				return nil
			}
			return &Revised{Proposal: rec.ID, Rules: *t.shown()}
		}),
		api.Tell(treasury("approved", "A member has approved a proposal", fact.LedgerTopic, kindApprove), func(_ api.Past, rec *api.Record) *Approved {
			var a approval
			if decode(rec.Body, &a) != nil {
				return nil
			}
			return &Approved{Proposal: a.Proposal}
		}),
		api.Tell(treasury("spent", "The treasury has paid what was approved", fact.TreasuryTopic, kindSpend), func(_ api.Past, rec *api.Record) *Spent {
			var s spend
			if decode(rec.Body, &s) != nil {
				return nil
			}
			return spentEvent(s.Proposal, s.spending())
		}),
		api.Tell(treasury("paid", "The treasury has paid what needs no approval", fact.TreasuryTopic, kindPay), func(_ api.Past, rec *api.Record) *Spent {
			var s spending
			if decode(rec.Body, &s) != nil {
				return nil
			}
			return spentEvent(api.Hash{}, s)
		}),
		api.Tell(treasury("revised", "Other rules hold for the treasury", fact.TreasuryTopic, kindRules), func(_ api.Past, rec *api.Record) *Revised {
			var t rules
			if decode(rec.Body, &t) != nil {
				return nil
			}
			says := t.rules()
			return &Revised{Proposal: t.Proposal, Rules: *says.shown()}
		}),
		fact.CloseEvent("ledger", "ledger:read", fact.LedgerTopic),
	})
}

func granted(rec *api.Record) (*Granted, error) {
	var g grant
	if err := decode(rec.Body, &g); err != nil {
		return nil, err
	}
	return &Granted{Account: g.Account, Currency: g.Currency, Number: g.Number, Limit: g.Limit, P: g.P, Frozen: g.Frozen, ByHand: g.ByHand, Policy: g.Policy}, nil
}

// wasFrozen reports whether the account was frozen by this clerk's grants before rec.
func wasFrozen(past api.Past, rec *api.Record, g *Granted) bool {
	if rec.Seq == 1 {
		return false
	}
	all := get[[]limits](past.At(api.Position{Feed: rec.Feed, Seq: rec.Seq - 1, ID: rec.Prev}, rowGrants(g.Account)))
	i := slices.IndexFunc(all, func(l limits) bool { return l.Code == g.Currency })
	return i >= 0 && all[i].Frozen
}
