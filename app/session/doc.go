// Package session is the app through which people log in to this node by their DID, where the key that signs stays with them: in a browser, on a phone.
//
// Who logs in proves two things: that a device key is theirs, by signing a message that this node has made (auth.challenge, auth.verify), and that the
// DID lets this device sign, by its key event. They get a token of minutes and one to refresh it with; the former says who they are (Authenticate), with
// which device, and what for (scopes). A new device can be let in by one that is logged in (auth.pair, auth.approve, auth.claim); nobody copies a token.
//
// Nothing here is a record, and nothing here signs one: a session only lets its holder ask. What is written in a space is signed by the member's device,
// with or without a session.
//
// Invariants. A refresh token is good once; one that comes a second time ends its session, whoever brought it. A session ends when the device is removed
// from the DID or replaced in a space, when the member is removed, or when anybody of that DID revokes it, and with it at once every access token. At rest
// there is of a refresh token its SHA-256 only. Nobody but this node's own member is ever given a scope of the operator's.
//
// What strangers can cause to be kept is nothing: challenges and pairings are sealed with a key that lasts as long as the process and given to who asked
// for them, so that a flood of them costs a hash each; what was used is remembered for as long as it would hold, and only members get that far.
//
// The sessions stand in the app's Local, which may lack the last seconds after a power cut: what was revoked in them holds again then, until it is revoked
// once more. An App is safe for concurrent use. The messages to sign are normative: docs/protocol.md, section 11.
package session
