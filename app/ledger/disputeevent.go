package ledger

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Disputed is the data of ledger.disputed. The id of the dispute is that of the record.
type Disputed struct {
	About    api.Hash `json:"about" doc:"record of a payment or an escrow"`
	Claimant api.DID  `json:"claimant"`
	Against  api.DID  `json:"against"`
	Currency string   `json:"currency"`
	Amount   int64    `json:"amount" doc:"minor units"`
	Reason   string   `json:"reason"`
	Deadline int64    `json:"deadline" doc:"Unix milliseconds"`
}

// DisputeNews is the data of the events about what is said in a dispute.
type DisputeNews struct {
	Dispute  api.Hash `json:"dispute"`
	What     string   `json:"what,omitempty" doc:"evidence, answer, escalate, mediate, refuse, withdraw, write-off or settled"`
	Text     string   `json:"text,omitempty"`
	Mediator api.DID  `json:"mediator,omitempty"`
	Bound    bool     `json:"bound,omitempty" doc:"who agrees to the mediator is bound by what is awarded"`
	Offer    api.Hash `json:"offer,omitzero" doc:"that is accepted"`
	Amount   *int64   `json:"amount,omitempty" doc:"that is offered or awarded, minor units"`
	Back     bool     `json:"back,omitempty" doc:"who has upheld the claim takes that back"`
}

// Redressed is the data of ledger.dispute-redressed.
type Redressed struct {
	Dispute  api.Hash `json:"dispute"`
	From     api.DID  `json:"from"`
	To       api.DID  `json:"to"`
	Currency string   `json:"currency"`
	Amount   int64    `json:"amount" doc:"minor units"`
	Why      string   `json:"why" doc:"agreed, awarded or upheld"`
}

// FreezeNoted is the data of ledger.freeze-noted.
type FreezeNoted struct {
	Account  api.DID `json:"account"`
	Currency string  `json:"currency"`
	Number   uint64  `json:"number" doc:"of the grant that freezes it"`
	Until    int64   `json:"until,omitempty" doc:"Unix milliseconds"`
	Reason   string  `json:"reason,omitempty"`
}

// disputeOf returns the dispute that a record of a member says something in.
func disputeOf(rec *api.Record) api.Hash {
	if n := newsOf(rec); n != nil {
		return n.Dispute
	}
	return api.Hash{}
}

func newsOf(rec *api.Record) *DisputeNews {
	switch rec.Kind {
	case kindSay:
		var b saying
		if decode(rec.Body, &b) == nil {
			return &DisputeNews{Dispute: b.Dispute, What: b.What, Text: b.Text}
		}
	case kindBind:
		var b binding
		if decode(rec.Body, &b) == nil {
			return &DisputeNews{Dispute: b.Dispute, Mediator: b.Mediator, Bound: b.Bound}
		}
	case kindOffer:
		var b offer
		if decode(rec.Body, &b) == nil {
			return &DisputeNews{Dispute: b.Dispute, Text: b.Text, Amount: &b.Amount}
		}
	case kindAccept:
		var b acceptance
		if decode(rec.Body, &b) == nil {
			return &DisputeNews{Dispute: b.Dispute, Offer: b.Offer}
		}
	case kindJudge:
		var b judgement
		if decode(rec.Body, &b) == nil {
			return &DisputeNews{Dispute: b.Dispute, Text: b.Reason, Amount: &b.Amount}
		}
	case kindUphold:
		var b upholding
		if decode(rec.Body, &b) == nil {
			return &DisputeNews{Dispute: b.Dispute, Back: b.Back}
		}
	}
	return nil
}

// disputeEvents are what is told of disputes, and of freezes.
func disputeEvents() []api.EventType {
	of := func(topic, name, summary, kind string) api.EventType {
		return api.EventType{Name: "ledger." + name, Scope: "ledger:read", Summary: summary, Topic: topic, Kinds: []string{kind}}
	}
	news := func(_ api.Past, rec *api.Record) *DisputeNews { return newsOf(rec) }
	return []api.EventType{
		api.Tell(of(fact.LedgerTopic, "disputed", "A member disputes a payment or an escrow", kindDispute), func(_ api.Past, rec *api.Record) *Disputed {
			var d dispute
			if decode(rec.Body, &d) != nil {
				return nil
			}
			return &Disputed{About: d.About, Claimant: rec.Author, Against: d.Against, Currency: d.Currency, Amount: d.Amount, Reason: d.Reason, Deadline: d.Deadline}
		}),
		api.Tell(of(fact.LedgerTopic, "dispute-said", "Somebody has said something in a dispute", kindSay), news),
		api.Tell(of(fact.LedgerTopic, "dispute-mediator", "A side agrees to a mediator, or the registrar has named one", kindBind), news),
		api.Tell(of(fact.LedgerTopic, "dispute-offered", "An offer was made in a dispute", kindOffer), news),
		api.Tell(of(fact.LedgerTopic, "dispute-accepted", "A side has accepted an offer", kindAccept), news),
		api.Tell(of(fact.LedgerTopic, "dispute-awarded", "A mediator has awarded something", kindJudge), news),
		api.Tell(of(fact.LedgerTopic, "dispute-upheld", "A member says that a claim is right, or takes that back", kindUphold), news),
		api.Tell(of(fact.PostingsTopic, "freeze-noted", "The clerk says why an account is frozen, and until when", kindFreeze), func(_ api.Past, rec *api.Record) *FreezeNoted {
			var x freezing
			if decode(rec.Body, &x) != nil {
				return nil
			}
			return &FreezeNoted{Account: x.Account, Currency: x.Currency, Number: x.Number, Until: x.Until, Reason: x.Reason}
		}),
		api.Tell(of(fact.PostingsTopic, "dispute-redressed", "What a dispute has come to was carried out", kindRedress), func(_ api.Past, rec *api.Record) *Redressed {
			b, ok := redressedBy(rec)
			if !ok {
				return nil
			}
			return &Redressed{Dispute: b.Dispute, From: b.From, To: b.To, Currency: b.Currency, Amount: b.Amount, Why: b.Why}
		}),
	}
}
