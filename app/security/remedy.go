package security

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"no-proof":        "nothing is to be done: who is blamed has done nothing that this shows; upgrade the node that reports",
		"no-such-appeal":  "icnctl security reports lists the appeals; name one about the same node or person, or none: icnctl security pardon",
		"reported-before": "nothing is to be done: icnctl security reports shows the report",
		"too-many":        "ask another member to write it: icnctl security appeal",
	}
}
