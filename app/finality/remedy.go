package finality

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"checked":          "nothing is to be done: it was said before",
		"device-used":      "take the office with a device that has not held one before: icnctl id show on its node prints its key",
		"draft-exists":     "nothing is to be done: the cut is under way, icnctl feed list --odd shows it",
		"feed-ended":       "cut the feed of the device that goes on, icnctl feed list --odd names it: icnctl feed cut",
		"handed-over":      "vote for who was given the office: icnctl space show",
		"no-checkpoint":    "nothing is to be done: the witness checks again when its node has the checkpoint",
		"no-digests":       "upgrade the witness's node, and make another checkpoint: icnctl space checkpoint create",
		"no-draft":         "announce the cut again on the registrar's node: icnctl feed cut",
		"no-such-office":   "nothing is lost: vote again with icnctl office replace when the node has the newest records, icnctl status",
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
		"same-device":      "name another device: icnctl office replace",
		"sealed":           "nothing is to be done: the witnesses that follow speak now, icnctl space show lists them",
		"started":          "nothing is to be done: the witness speaks already",
		"too-few-promises": "have more witnesses come online, icnctl space show lists them; the registrar's node makes the cut by itself then",
		"too-few-seals":    "keep the witnesses before running until they have sealed, icnctl space show lists them",
		"too-few-votes":    "have more witnesses vote for the same member and device, icnctl office replace on each one's node, and then run it again on the next registrar's",
		"too-many-vows":    "wait until the cuts under way are made, icnctl feed list --odd, and announce this one again: icnctl feed cut",
		"voted":            "call another ballot if the votes are split: icnctl office replace with --again",
		"vowed":            "nothing is to be done: the cut is under way, icnctl feed list --odd shows it; what stands is stated after it",
	}
}
