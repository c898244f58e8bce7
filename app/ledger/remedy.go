package ledger

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"already-paid":        "nothing is to be done: icnctl explain and the id that stands with it shows the payment",
		"already-charged":     "nothing is lost: icnctl ledger schedules shows how far the charges have got",
		"other-periods":       "end the schedule by its last day, and set one of another name: icnctl ledger schedule",
		"other-schedule":      "nothing is lost: run icnctl ledger charge again on the clerk's node",
		"wrong-amount":        "nothing is lost: run icnctl ledger charge again on the clerk's node",
		"bad-account":         "check the DID for a typing error: icnctl member list",
		"bad-recipient":       "check the DID for a typing error: icnctl member list",
		"cancelled":           "ask for a new request, or pay without one: icnctl ledger transfer",
		"cause-not-cited":     "nothing is lost: make the payment again, with a new version of the program if it was an old one",
		"declined":            "to pay it nevertheless: icnctl ledger transfer",
		"no-order":            "see which there are: icnctl ledger order list",
		"no-request":          "check the id: icnctl ledger requests",
		"no-space":            "join a space, icnctl space join, or name the one that you mean with --space",
		"not-a-member":        "pay from the device that icnctl member list shows for you; who is no member joins first: icnctl space join",
		"not-as-asked":        "approve what was asked, icnctl ledger approve, or pay another amount without it: icnctl ledger transfer",
		"not-as-ordered":      "pay what the order says, icnctl ledger order pay, or something else without it: icnctl ledger transfer",
		"not-asked":           "pay without the request, if you mean to: icnctl ledger transfer",
		"not-clerk":           "ask who holds the office, icnctl space show, or have it handed over: icnctl office hand",
		"not-continued":       "wait until the witnesses have made the cut of the device before, icnctl feed list --odd shows it, and pay again",
		"not-from-allotment":  "do it on your primary device: icnctl ledger allotments shows which that is",
		"not-paid":            "check the id of the payment: icnctl ledger history",
		"nothing-left":        "have the member's first device set something aside: icnctl ledger allot",
		"out-of-order":        "nothing is lost: run icnctl ledger grant again on the clerk's node, which numbers anew",
		"over-limit":          "the clerk can grant a higher limit, icnctl ledger grant; what others pay you counts once it is final",
		"overflow":            "pay a smaller amount, or have balances settled first: icnctl ledger balance",
		"own-device":          "pay from this device at once, icnctl ledger transfer, or name another one: icnctl ledger allotments",
		"self-transfer":       "name another member: icnctl member list",
		"too-many-allotments": "have a device give back what it has, icnctl ledger return on its node, before another one gets something",
		"unknown-currency":    "icnctl space show lists the currencies of the space",
	}
}
