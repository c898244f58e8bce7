// Package gate holds the kernel's mechanisms of enforcement: a rate limiter, checks of amounts, counts, topics and
// capabilities against a ConstraintSet, and a replay guard. It is not policy: every number comes in with the call, from an
// oracle or from configuration, and nothing here knows why it is what it is. A gate delays or declines a service; it never
// decides whether a record is valid.
//
// The checks return nil when they have no objection, else a Reason for a person: which rule, what it looked at, what would
// change the answer. The domain in it is the caller's: whose constraints these are.
//
// The package is pure: it reads no clock, draws no randomness and does no I/O; the same calls give the same answers. Limiter
// and Replay are safe for concurrent use and bounded in memory; the checks keep nothing.
package gate
