package ledger

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Escrowed is the data of ledger.escrowed. The id of the escrow is that of the record.
type Escrowed struct {
	From     api.DID `json:"from"`
	To       api.DID `json:"to"`
	Arbiter  api.DID `json:"arbiter,omitempty"`
	Currency string  `json:"currency"`
	Amount   int64   `json:"amount" doc:"minor units"`
	Expires  int64   `json:"expires" doc:"Unix milliseconds"`
	Then     string  `json:"then" doc:"payer or payee: who gets at that time what is not decided"`
	Memo     string  `json:"memo,omitempty"`
}

// EscrowSaid is the data of ledger.escrow-released, ledger.escrow-given-back and ledger.escrow-awarded.
type EscrowSaid struct {
	Escrow api.Hash `json:"escrow"`
	Amount int64    `json:"amount" doc:"minor units, in all"`
	Reason string   `json:"reason,omitempty"`
}

// EscrowIsDue is the data of ledger.escrow-due.
type EscrowIsDue struct {
	Escrow api.Hash `json:"escrow" doc:"whose date has come: it is settled once that is final"`
}

// EscrowSettled is the data of ledger.escrow-settled.
type EscrowSettled struct {
	Escrow   api.Hash `json:"escrow"`
	Payer    api.DID  `json:"payer"`
	Payee    api.DID  `json:"payee"`
	Currency string   `json:"currency"`
	Paid     int64    `json:"paid" doc:"to the payee, minor units"`
	Back     int64    `json:"back" doc:"to the payer, minor units"`
	Why      string   `json:"why" doc:"agreed, awarded or expired"`
}

// escrowEvents are what is told of escrows.
func escrowEvents() []api.EventType {
	of := func(topic, name, summary, kind string) api.EventType {
		return api.EventType{Name: "ledger." + name, Scope: "ledger:read", Summary: summary, Topic: topic, Kinds: []string{kind}}
	}
	return []api.EventType{
		api.Tell(of(fact.LedgerTopic, "escrowed", "A member has put an amount in escrow", kindEscrow), func(_ api.Past, rec *api.Record) *Escrowed {
			var e escrow
			if decode(rec.Body, &e) != nil {
				return nil
			}
			return &Escrowed{
				From: rec.Author, To: e.Payee, Arbiter: e.Arbiter, Currency: e.Currency, Amount: e.Amount, Expires: e.Expires, Then: e.Then, Memo: e.Memo,
			}
		}),
		api.Tell(of(fact.LedgerTopic, "escrow-released", "A payer has released something in escrow", kindRelease), func(_ api.Past, rec *api.Record) *EscrowSaid {
			var b release
			if decode(rec.Body, &b) != nil {
				return nil
			}
			return &EscrowSaid{Escrow: b.Escrow, Amount: b.Amount}
		}),
		api.Tell(of(fact.LedgerTopic, "escrow-given-back", "A payee has given something in escrow back", kindEscrowBack), func(_ api.Past, rec *api.Record) *EscrowSaid {
			var b escrowBack
			if decode(rec.Body, &b) != nil {
				return nil
			}
			return &EscrowSaid{Escrow: b.Escrow, Amount: b.Amount}
		}),
		api.Tell(of(fact.LedgerTopic, "escrow-awarded", "An arbiter has awarded an escrow", kindAward), func(_ api.Past, rec *api.Record) *EscrowSaid {
			var b award
			if decode(rec.Body, &b) != nil {
				return nil
			}
			return &EscrowSaid{Escrow: b.Escrow, Amount: b.Amount, Reason: b.Reason}
		}),
		api.Tell(of(fact.PostingsTopic, "escrow-due", "The date of an escrow has come", kindDue), func(_ api.Past, rec *api.Record) *EscrowIsDue {
			var d escrowDue
			if decode(rec.Body, &d) != nil {
				return nil
			}
			return &EscrowIsDue{Escrow: d.Escrow}
		}),
		api.Tell(of(fact.PostingsTopic, "escrow-settled", "An escrow was paid out, to its payee, its payer or both", kindSettle), func(_ api.Past, rec *api.Record) *EscrowSettled {
			s, ok := settledBy(rec)
			if !ok {
				return nil
			}
			return &EscrowSettled{Escrow: s.Escrow, Payer: s.Payer, Payee: s.Payee, Currency: s.Currency, Paid: s.Paid, Back: s.Back, Why: s.Why}
		}),
	}
}
