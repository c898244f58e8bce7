package membership

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"bad-invitation":     "copy the whole invitation again, or ask the registrar for a new one; then icnctl space join",
		"device-used":        "make a fresh device, icnctl id device request, and have that admitted",
		"holds-office":       "hand the office over first: icnctl office hand",
		"invitation-exists":  "make another one: icnctl space invite",
		"invitation-used-up": "ask the registrar for another one, icnctl space invite; then icnctl space join",
		"join-mismatch":      "run icnctl space join again on the node of who wants to join; the registrar can also admit by hand: icnctl member add",
		"member-exists":      "nothing is to be done; for another device of a member: icnctl member device",
		"no-invitation":      "ask the registrar for an invitation and use it: icnctl space join",
		"no-such-office":     "icnctl space show lists the offices that there are",
		"not-a-founder":      "found the space from a device that its genesis names: icnctl space create does so",
		"not-a-member":       "icnctl member list shows who is one; the registrar admits: icnctl member add",
		"not-founding":       "found a space of its own: icnctl space create",
		"not-own-join":       "join on the device that is to be admitted: icnctl space join",
		"not-own-profile":    "set it on the device that acts for you, icnctl member list shows which: icnctl member profile",
		"not-registrar":      "ask who holds the office, icnctl space show, or have it handed over: icnctl office hand",
		"out-of-order":       "nothing is lost: run the command again on the node of who holds the office, which numbers anew",
		"same-device":        "nothing is to be done: it is so already",
		"was-removed":        "the registrar can admit again by hand: icnctl member add",
	}
}
