package session

// Remedies implements api.Adviser.
func (*App) Remedies() map[string]string {
	return map[string]string{
		"bad-proof":       "sign exactly the bytes of the challenge's message with the device's key, and send the newest key event of the DID for that device",
		"bad-token":       "refresh the token, or log in again: auth.challenge, then auth.verify",
		"device-removed":  "log in with a device that the DID still has, or let one of them approve this one: auth.pair",
		"no-pairing":      "let the new device ask again: auth.pair; what it asks for holds five minutes",
		"not-a-member":    "ask the registrar of the space for an invitation; who has one logs in for the scopes record:write and space:join, joins, and logs in again",
		"other-device":    "publish the rotation that names this device, or have the registrar move the member to it: icnctl member device",
		"scope":           "leave the scopes out to get the usual ones, or ask the operator of the node to act",
		"session-over":    "log in again: auth.challenge, then auth.verify",
		"stale-challenge": "ask for another challenge: auth.challenge",
		"too-many":        "wait a minute before the next attempt",
		"too-many-pairs":  "wait five minutes, or claim what was approved",
		"wrong-code":      "read the code from the screen of the new device; after three wrong ones it has to ask again",
	}
}
