package ledger

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	account, number := api.Source{Field: "account", From: api.FromInput, Input: "to"}, api.Source{Field: "number", From: api.FromSerial}
	again := func(field string) api.Source { return api.Source{Field: field, From: api.FromRecord, Input: "id"} }
	kept := func(field, what string) api.Source {
		return api.Source{Field: field, From: api.FromNode, Why: what + ", as the grant before says"}
	}
	return []api.KindSpec{
		api.Says[transfer](fact.LedgerTopic, kindTransfer, "Pay {amount} to {to}[ for {memo}].").
			By("ledger.transfer").
			By("ledger.retry", again("to"), again("currency"), again("amount"), again("memo")),
		api.Says[ack](fact.LedgerTopic, kindAck, "Acknowledge what has been paid to this account."),
		api.Says[grant](fact.LedgerTopic, kindGrant, "Grant number {number}: {account} may owe up to {limit} and spend {p} that is not final[{?frozen}, and is frozen: it may spend nothing].").
			By("ledger.grant", account, number, kept("p", "what may be spent before it is final"), kept("frozen", "whether the account is frozen")).
			By(
				"ledger.freeze", account, number, kept("limit", "how much may be owed"), kept("p", "what may be spent before it is final"),
				api.Source{Field: "frozen", From: api.FromNot, Input: "lift"},
			),
		api.Says[allotment](fact.LedgerTopic, kindAllot, "Set {amount} aside for the device {device} to spend.").By("ledger.allot"),
		api.Says[giveBack](fact.LedgerTopic, kindReturn, "Give back what is left of this device's allotments in {currency}.").By("ledger.return"),
		api.Says[schedule](fact.PostingsTopic, kindSchedule, "Schedule number {number}, {name}: charge accounts in {currency}[, {amount}][, {rate} hundredths of a percent][, but not for {exempt}]."),
		api.Says[charge](fact.PostingsTopic, kindCharge, "Charge accounts by schedule {schedule} for period {period}."),
		api.Says[proposal](fact.LedgerTopic, kindPropose, "Propose what the treasury is to do."),
		api.Says[approval](fact.LedgerTopic, kindApprove, "Approve proposal {proposal.id} for the treasury."),
		api.Says[act](fact.TreasuryTopic, kindSpend, "Pay from the treasury[, by proposal {about.proposal.id}]."),
		api.Says[act](fact.TreasuryTopic, kindRules, "Put rules for the treasury in force, by proposal {about.proposal.id}."),
		fact.SaysClose(fact.LedgerTopic),
	}
}
