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
	filled := func(field, what string) api.Source { return api.Source{Field: field, From: api.FromNode, Why: what} }
	proposed := func(field string) api.Source {
		return api.Source{Field: field, From: api.FromRecord, Input: "proposal"}
	}
	asked := func(field string) api.Source { return filled(field, "as the request says") }
	ordered := func(field string) api.Source { return filled(field, "as the standing order says") }
	what := filled("for", "what it pays")
	preset := func(field string) api.Source {
		return filled(field, "what was asked for, else as the preset or the policy before says")
	}
	named := func(field string) api.Source { return api.Source{Field: field, From: api.FromInput, Input: "id"} }
	inDispute := api.Source{Field: "dispute", From: api.FromInput, Input: "id"}
	held := api.Source{Field: "escrow", From: api.FromInput, Input: "id"}
	return []api.KindSpec{
		api.Says[transfer](fact.LedgerTopic, kindTransfer, "Pay {amount} to {to}[ for {memo}][{?category}, booked as {category}][{?for}, once: it names {for} thing(s) that it is for].").
			By("ledger.transfer", what).
			By("ledger.approve", asked("to"), asked("currency"), asked("amount"), asked("memo"), asked("category"), what).
			By(
				"ledger.reverse", filled("to", "who had paid"), filled("currency", "of the payment"), filled("amount", "what is given back"),
				filled("category", "for the books"), what,
			).
			By("ledger.order.pay", ordered("to"), ordered("currency"), ordered("amount"), ordered("memo"), ordered("category"), what).
			By("ledger.retry", again("to"), again("currency"), again("amount"), again("memo"), again("category"), again("for")),
		api.Says[batch](fact.LedgerTopic, kindBatch, "Make {legs} payment(s), all of them or none[{?for}, once, as one part of a list]: see what each says.").By("ledger.batch", filled("legs", "the payments of the list"), what),
		api.Says[request](fact.LedgerTopic, kindRequest, "Ask {payer} to pay {amount}[ for {memo}][ until {expires}][{?back}, to give a payment back].").
			By("ledger.request", filled("back", "the payment that is asked back")),
		api.Says[cancel](fact.LedgerTopic, kindCancel, "Take back the request {request} for a payment.").By("ledger.cancel", named("request")),
		api.Says[decline](fact.LedgerTopic, kindDecline, "Decline to pay what the request {request} asks for[: {reason}].").By("ledger.decline", named("request")),
		api.Says[order](fact.LedgerTopic, kindOrder, "Pay {amount} to {to} every {every} {unit} from {first} on[ until {last}][{?count}, {count} time(s)][ for {memo}], days as in {zone}.").
			By("ledger.order.new"),
		api.Says[endOrder](fact.LedgerTopic, kindEndOrder, "End the standing order {order}.").By("ledger.order.end", named("order")),
		api.Says[ack](fact.LedgerTopic, kindAck, "Acknowledge what has been paid to this account."),
		api.Says[grant](fact.LedgerTopic, kindGrant, "Grant number {number}: {account} may owe up to {limit} and spend {p} that is not final[{?frozen}, and is frozen: it may spend nothing][{?policy}, by policy {policy}][{?by_hand}, set by hand: policies leave it alone].").
			By(
				"ledger.grant", account, number, kept("p", "what may be spent before it is final"), kept("frozen", "whether the account is frozen"),
				filled("by_hand", "policies leave the limit alone"), filled("policy", "none"), filled("terms", "none"),
			).
			By(
				"ledger.regrade", account, number, kept("p", "what may be spent before it is final"), kept("frozen", "whether the account is frozen"),
				filled("limit", "what the policy gives"), filled("by_hand", "the policy sets the limit"), filled("policy", "which one holds"), filled("terms", "what it makes of the account"),
			).
			By(
				"ledger.freeze", account, number, kept("limit", "how much may be owed"), kept("p", "what may be spent before it is final"),
				api.Source{Field: "frozen", From: api.FromNot, Input: "lift"},
				kept("by_hand", "whether a person has set the limit"), kept("policy", "where the limit comes from"), kept("terms", "what the limit is made of"),
			),
		api.Says[allotment](fact.LedgerTopic, kindAllot, "Set {amount} aside for the device {device} to spend.").By("ledger.allot"),
		api.Says[mandate](fact.LedgerTopic, kindMandate, "Let {helper}, who holds the device {device}, pay {amount} every {every} from this account[ until {last}][; the consent is {consent}]; an amount of 0 ends that.").
			By("ledger.mandate"),
		api.Says[giveBack](fact.LedgerTopic, kindReturn, "Give back what is left of this device's allotments in {currency}.").By("ledger.return"),
		api.Says[schedule](fact.PostingsTopic, kindSchedule, "Schedule number {number}, {name}: charge {charge} in {currency} every {every} from {first}[ to {last}] ({zone})[, {amount}][, {rate} hundredths of a percent][, but not for {exempt}].").
			By("ledger.schedule", number),
		api.Says[charge](fact.PostingsTopic, kindCharge, "Charge {legs} accounts by schedule {schedule}, number {number}, for period {period}.").
			By(
				"ledger.charge", api.Source{Field: "schedule", From: api.FromInput, Input: "name"}, filled("number", "which schedule holds"),
				filled("period", "what is charged next"), filled("legs", "who is charged what"), filled("done", "whether that is everybody"),
			),
		api.Says[imported](fact.PostingsTopic, kindImport, "Bring in part {part} of a file of {source}, {file}: {moves} movement(s) between accounts there[, of which members own {owners}].").
			By(
				"ledger.import.file", filled("file", "the digest of the file and of how it is read"), filled("source", "the system, by the mapping"), filled("part", "how many came in before"),
				filled("moves", "what the file says"), filled("owners", "whose the accounts are"),
			),
		api.Says[importUndo](fact.PostingsTopic, kindImportUndo, "Take back part {part} of a file of {source}, {file}: {moves} movement(s)[, of accounts of which members own {owners}][: {reason}].").
			By(
				"ledger.import.undo", filled("source", "the system"), filled("part", "which of the parts that are in"), filled("moves", "what came in with it"),
				filled("owners", "whose the accounts are"),
			),
		api.Says[importTake](fact.LedgerTopic, kindImportTake, "Take over the account {code} of another system as yours[, owing at most {owes}], with no other debts.").
			By("ledger.import.take", api.Source{Field: "code", From: api.FromInput, Input: "account"}, filled("owes", "what the account owes now, where nothing else was said")),
		api.Says[importBind](fact.PostingsTopic, kindImportBind, "Pass what the account {code} of another system has, debts too as far as they were taken over, on to {account}[{?release}, or rather back: it is not theirs].").
			By("ledger.import.bind", api.Source{Field: "code", From: api.FromInput, Input: "account"}, account),
		api.Says[creditPolicy](fact.PostingsTopic, kindPolicy, "Credit policy number {number} for {currency}[, {preset}]: a new member may owe {start}, after {ramp} days {base}, and {growth} more for each {per} earned, {max} at most[{?lower}; limits above that are lowered].").
			By(
				"ledger.policy.set", number, preset("start"), preset("base"), preset("max"), preset("ramp"), preset("growth"), preset("per"), preset("trust"), preset("warn"), preset("lower"),
				preset("groups"), preset("own"), preset("preset"),
			),
		api.Says[spending](fact.LedgerTopic, kindPropose, "Propose that the treasury pays {amount} to {to}[ from the budget {purpose}][ for {memo}].").By("treasury.propose"),
		api.Says[treasuryRules](fact.LedgerTopic, kindProposeRules, "Propose rules for the treasury: {need} of {approvers} approve[, in {tiers} tiers][, with {budgets} budgets].").
			By(
				"treasury.revise", api.Source{Field: "approvers", From: api.FromSet, Input: "approvers"}, filled("tiers", "from which amount on how many approve"),
				filled("budgets", "how much is for what"),
			),
		api.Says[approval](fact.LedgerTopic, kindApprove, "Approve proposal {proposal} for the treasury.").By("treasury.approve"),
		api.Says[spend](fact.TreasuryTopic, kindSpend, "Pay {amount} from the treasury to {to}[ from the budget {purpose}][ for {memo}], by proposal {proposal}.").
			By("treasury.do", proposed("to"), proposed("currency"), proposed("amount"), proposed("purpose"), proposed("memo")),
		api.Says[spending](fact.TreasuryTopic, kindPay, "Pay {amount} from the treasury to {to}[ from the budget {purpose}][ for {memo}].").By("treasury.pay"),
		api.Says[rules](fact.TreasuryTopic, kindRules, "Put the rules of proposal {proposal} for the treasury in force: {need} of {approvers} approve[, in {tiers} tiers][, with {budgets} budgets].").
			By("treasury.do", proposed("approvers"), proposed("need"), proposed("tiers"), proposed("budgets")),
		api.Says[escrow](fact.LedgerTopic, kindEscrow, "Put {amount} in escrow for {payee}[ for {memo}][{?category}, booked as {category}][{?arbiter}; {arbiter} may award it]; on {expires} what is not decided goes to the {then}.").
			By("ledger.escrow.new"),
		api.Says[release](fact.LedgerTopic, kindRelease, "Release {amount} minor units in all of the escrow {escrow} to its payee.").
			By("ledger.escrow.release", held, api.Source{Field: "amount", From: api.FromNode, Why: "all that is in escrow, where no amount was asked for"}),
		api.Says[escrowBack](fact.LedgerTopic, kindEscrowBack, "Give {amount} minor units in all of the escrow {escrow} back to its payer.").
			By("ledger.escrow.giveback", held, api.Source{Field: "amount", From: api.FromNode, Why: "all that is in escrow, where no amount was asked for"}),
		api.Says[award](fact.LedgerTopic, kindAward, "Award {amount} minor units of the escrow {escrow} to its payee, and the rest to its payer[: {reason}].").
			By("ledger.escrow.award", held),
		api.Says[escrowDue](fact.PostingsTopic, kindDue, "Note that the date of the escrow {escrow} has come."),
		api.Says[settlement](fact.PostingsTopic, kindSettle, "Settle the escrow {escrow}, {why}: {paid} to {payee}, {back} back to {payer}."),
		api.Says[dispute](fact.LedgerTopic, kindDispute, "Dispute {about}: claim {amount} from {against}, an answer by {deadline} is asked for: {reason}[, with {evidence} file(s)].").
			By("ledger.dispute.file", filled("deadline", "in 14 days, where none was asked for")),
		api.Says[saying](fact.LedgerTopic, kindSay, "Say in the dispute {dispute}, {what}[: {text}][, with {evidence} file(s)].").By("ledger.dispute.say", inDispute),
		api.Says[binding](fact.LedgerTopic, kindBind, "Agree to {mediator} as mediator of the dispute {dispute}[{?bound}, and to whatever is awarded, for good].").
			By("ledger.dispute.mediator", inDispute),
		api.Says[offer](fact.LedgerTopic, kindOffer, "Offer in the dispute {dispute} that the claimant gets {amount} minor units[: {text}].").By("ledger.dispute.offer", inDispute),
		api.Says[acceptance](fact.LedgerTopic, kindAccept, "Accept the offer {offer} in the dispute {dispute}.").By("ledger.dispute.accept", inDispute),
		api.Says[judgement](fact.LedgerTopic, kindJudge, "Award in the dispute {dispute} {amount} minor units to the claimant[: {reason}].").
			By("ledger.dispute.award", inDispute, api.Source{Field: "reason", From: api.FromInput, Input: "text"}),
		api.Says[upholding](fact.LedgerTopic, kindUphold, "Say that the claim of the dispute {dispute} is right and the payment is to be undone[{?back}, or rather take that back].").
			By("ledger.dispute.uphold", inDispute),
		api.Says[tally](fact.PostingsTopic, kindTally, "Count who upholds the dispute {dispute} about the payment in place {place} of its payer's feed."),
		api.Says[redress](fact.PostingsTopic, kindRedress, "Carry out what the dispute {dispute} has come to, {why}: {amount} from {from} to {to}."),
		api.Says[freezing](fact.PostingsTopic, kindFreeze, "Note of the freeze of {account} in {currency} by grant number {number}[: {reason}][; it ends on {until}].").
			By("ledger.freeze", account, filled("number", "of the grant that freezes it")),
		fact.SaysClose(fact.LedgerTopic),
	}
}
