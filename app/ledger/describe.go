package ledger

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	return []api.KindSpec{
		api.Says[transfer](fact.LedgerTopic, kindTransfer, "Pay {amount} to {to}[ for {memo}][{?category}, booked as {category}][{?for}, once: it names {for} thing(s) that it is for]."),
		api.Says[batch](fact.LedgerTopic, kindBatch, "Make {legs} payment(s), all of them or none[{?for}, once, as one part of a list]: see what each says."),
		api.Says[request](fact.LedgerTopic, kindRequest, "Ask {payer} to pay {amount}[ for {memo}][ until {expires}][{?back}, to give a payment back]."),
		api.Says[cancel](fact.LedgerTopic, kindCancel, "Take back the request {request} for a payment."),
		api.Says[decline](fact.LedgerTopic, kindDecline, "Decline to pay what the request {request} asks for[: {reason}]."),
		api.Says[order](fact.LedgerTopic, kindOrder, "Pay {amount} to {to} every {every} {unit} from {first} on[ until {last}][{?count}, {count} time(s)][ for {memo}], days as in {zone}."),
		api.Says[endOrder](fact.LedgerTopic, kindEndOrder, "End the standing order {order}."),
		api.Says[ack](fact.LedgerTopic, kindAck, "Acknowledge what has been paid to this account."),
		api.Says[grant](fact.LedgerTopic, kindGrant, "Grant number {number}: {account} may owe up to {limit} and spend {p} that is not final[{?frozen}, and is frozen: it may spend nothing]."),
		api.Says[allotment](fact.LedgerTopic, kindAllot, "Set {amount} aside for the device {device} to spend."),
		api.Says[giveBack](fact.LedgerTopic, kindReturn, "Give back what is left of this device's allotments in {currency}."),
		api.Says[schedule](fact.PostingsTopic, kindSchedule, "Schedule number {number}, {name}: charge accounts in {currency}[, {amount}][, {rate} hundredths of a percent][, but not for {exempt}]."),
		api.Says[charge](fact.PostingsTopic, kindCharge, "Charge accounts by schedule {schedule} for period {period}."),
		fact.SaysClose(fact.LedgerTopic),
	}
}
