package trust

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"corrupt-row":      "look the node over, icnctl doctor, and fold its records again: icnctl state rebuild",
		"self-attestation": "ask another member to attest to you: icnctl trust add",
		"too-many":         "take one back first: icnctl trust add with --score 0",
	}
}
