package webhook

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"plain-http":      "give an https address, or have the operator set webhook.allow_http",
		"private-address": "give an address on the public internet, or have the operator set webhook.allow_private",
		"not-your-space":  "ask its registrar for an invitation and use it: icnctl space join",
		"too-many":        "remove one (icnctl webhook remove), or have the operator allow more: webhook.max_own and webhook.max_hooks",
	}
}
