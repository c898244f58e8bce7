package keys

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"bad-veto":      "object in the data directory that holds the key in charge: icnctl id recover veto",
		"known":         "nothing is to be done: the space follows it",
		"no-recovery":   "icnctl id recover status lists the recoveries that there are",
		"no-veto":       "the owner objects first: icnctl id recover veto",
		"not-final":     "nothing is to be done here: the registrar's node does it again when the witnesses, icnctl space show, hold the log final",
		"not-own-log":   "show the log from a device of its own DID: icnctl id follow",
		"not-registrar": "nothing is to be done: the node of who holds the office, icnctl space show, does it by itself",
		"not-root":      "check the recovery phrase, and the clock of the device",
		"not-rotated":   "rotate with the recovery phrase: icnctl id rotate, or icnctl id restore on a new device",
		"not-started":   "wait: icnctl id recover status shows when the registrar's node has announced it, and until when it waits",
		"other-branch":  "the registrar decides by hand: icnctl member device",
		"other-head":    "nothing is to be done: the registrar's node follows the newest log by itself",
		"started":       "nothing is to be done: icnctl id recover status shows until when it waits",
		"too-early":     "wait until it is due, icnctl id recover status; the owner can object meanwhile: icnctl id recover veto",
		"vetoed":        "who has the recovery phrase rotates with it, icnctl id rotate; else the registrar, who knows the person, decides by hand: icnctl member device",
	}
}
