// Package security is the app that weighs what goes wrong. The kernel reports incidents without an opinion (api.Incident); this app adds them up
// per node and per author, lets them decay, and answers with constraints: a warning, a throttle, quarantine, a ban. Each ends by itself.
//
//	warn        10 points   shown to people, nothing else
//	throttle    25 points   pushes are taken slowly; what is left out comes by reconciliation
//	quarantine  50 points   the session stays, no space is shared
//	ban        100 points   no session
//
// Points halve every hour. Weights, thresholds and durations are in weigh.go; docs/guides/security.md is for people.
//
// Who is blamed: for what a peer sent, the node whose key the session's handshake proved, never a name within the bytes; for a fork, the author
// whose key signed twice, never the messenger. What is said of a node stays on this node: no record of another node's opinion counts here. Two
// kinds of records do, in topic "security" of a space, since anybody can check them: a report holds two signed records for one place of a feed,
// and Apply verifies both; a pardon is written by the clerk's or the registrar's device. An appeal asks for one. A report that proves nothing is
// void and harms nobody.
//
// It never blames this node or its own member, and a restart, a lost session or a node that meets itself is no incident.
//
// Levels are this node's own business: they live in its local store, not in a digest. Oracle actions: "connect", "follow" and "push" by a node,
// "append" by an author.
package security
