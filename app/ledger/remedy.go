package ledger

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"already-done":        "nothing is lost: icnctl treasury proposals shows the record that carried it out",
		"already-charged":     "nothing is lost: icnctl ledger schedules shows how far the charges have got",
		"no-budget":           "name the purpose of a budget, icnctl treasury show, or propose rules that have one: icnctl treasury revise",
		"no-such-proposal":    "look at what was proposed: icnctl treasury proposals",
		"not-in-office":       "ask who holds the office, icnctl space show, or have it handed over: icnctl office hand",
		"other-content":       "nothing is lost: run icnctl treasury do again on the node of the treasury's office",
		"over-budget":         "wait for the next period, or propose rules with more: icnctl treasury revise",
		"over-treasury":       "what was paid to the treasury counts once it is final: icnctl treasury show",
		"own-proposal":        "ask somebody else to approve it: icnctl treasury show names who may",
		"too-few-approvals":   "have others approve it, icnctl treasury approve, until it is final: icnctl treasury proposals",
		"other-periods":       "end the schedule by its last day, and set one of another name: icnctl ledger schedule",
		"other-schedule":      "nothing is lost: run icnctl ledger charge again on the clerk's node",
		"wrong-amount":        "nothing is lost: run icnctl ledger charge again on the clerk's node",
		"bad-account":         "check the DID for a typing error: icnctl member list",
		"bad-recipient":       "check the DID for a typing error: icnctl member list",
		"cause-not-cited":     "nothing is lost: make the payment again, with a new version of the program if it was an old one",
		"no-space":            "join a space, icnctl space join, or name the one that you mean with --space",
		"not-a-member":        "pay from the device that icnctl member list shows for you; who is no member joins first: icnctl space join",
		"not-clerk":           "ask who holds the office, icnctl space show, or have it handed over: icnctl office hand",
		"not-continued":       "wait until the witnesses have made the cut of the device before, icnctl feed list --odd shows it, and pay again",
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
