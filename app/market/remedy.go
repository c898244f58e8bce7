package market

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"acted-before":    "nothing is to be done: icnctl market moderation shows what was done about the ad",
		"no-such-act":     "look at what was done about the ad, icnctl market moderation, and act again",
		"no-such-ad":      "icnctl market list shows the ads that stand",
		"not-a-member":    "join the space first, icnctl space join, and write from the device that icnctl member list shows for you",
		"not-a-moderator": "report the ad, icnctl market report, or ask who holds the office: icnctl space show",
		"not-own-ad":      "icnctl market list --author DID lists your own ads; of somebody else's, ask the author, or report it: icnctl market report",
		"nothing-to-do":   "nothing is to be done: icnctl market moderation shows what was done about the ad",
		"own-ad":          "withdraw it: icnctl market withdraw",
		"reported-before": "nothing is to be done: icnctl market moderation shows your report",
		"too-many":        "withdraw an ad that is done with: icnctl market withdraw",
	}
}
