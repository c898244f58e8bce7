package finality

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"draft-exists":     "nothing is to be done: the cut is under way, icnctl feed list --odd shows it",
		"feed-ended":       "cut the feed of the device that goes on, icnctl feed list --odd names it: icnctl feed cut",
		"no-draft":         "announce the cut again on the registrar's node: icnctl feed cut",
		"not-a-witness":    "icnctl space show lists the witnesses; the registrar names others: icnctl space witness",
		"not-ahead":        "nothing is to be done: it was stated before",
		"not-certified":    "wait until enough witnesses have locked the position, icnctl feed list, and announce the cut again: icnctl feed cut",
		"not-cited":        "announce the cut again on the registrar's node, which cites what is needed: icnctl feed cut",
		"not-named":        "nothing is to be done: the witness seals again when its node has the record that names the epoch",
		"not-registrar":    "ask who holds the office, icnctl space show, to cut the feed: icnctl feed cut",
		"not-started":      "wait until enough of the witnesses named before have started, icnctl space show, and name the next ones again: icnctl space witness",
		"not-the-highest":  "announce the cut again, icnctl feed cut; if it happens again look the witness's node over: icnctl doctor",
		"out-of-order":     "nothing is lost: run the command again on the node of who holds the office, which numbers anew",
		"own-feed":         "nothing is to be done: the other witnesses state it; upgrade the node that wrote this",
		"promised":         "nothing is to be done: the first answer counts",
		"sealed":           "nothing is to be done: the witnesses that follow speak now, icnctl space show lists them",
		"started":          "nothing is to be done: the witness speaks already",
		"too-few-promises": "have more witnesses come online, icnctl space show lists them; the registrar's node makes the cut by itself then",
		"too-few-seals":    "keep the witnesses before running until they have sealed, icnctl space show lists them",
		"too-many-vows":    "wait until the cuts under way are made, icnctl feed list --odd, and announce this one again: icnctl feed cut",
		"vowed":            "nothing is to be done: the cut is under way, icnctl feed list --odd shows it; what stands is stated after it",
	}
}
