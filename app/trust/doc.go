// Package trust is the web of attestations between people of a space, and what follows from it: a score of everybody as seen from anybody, a class,
// and the constraints that the kernel enforces (feature rows T1, T2, T3, T5, T6, T7, T9).
//
// It is not a reputation of its own: there is no global score, only what somebody's own attestations, and those of the people they lead to, say.
// It never decides whether a record is valid anywhere else.
//
// # Records
//
// Topic "trust", kind "attest", body [to, score, context, at]: to is a DID in its one spelling; score is in basis points, -10000 (distrust) to
// 10000, and 0 revokes; context is at most 32 of a-z 0-9 -; at is Unix seconds, claimed by the author and only shown. The author is the feed's.
// A record is void when
//
//   - it does not have that form, or its author attests to themselves;
//   - it is the first of its feed that counts and does not cite the space's own topic, or what it cites shows neither that its author is a member by
//     this device nor that the space is a test space, where anybody attests;
//   - its feed has 10,000 standing attestations already.
//
// A later attestation to the same person in the same context replaces the earlier one. Of several devices of one author the later record holds, and
// over all contexts the latest one that is not revoked.
//
// # State
//
// The fold keeps the newest attestation as a feed row and nothing else, so an attestation costs two small rows at most. Queries use a graph in
// memory, built from those rows at start and corrected after each commit (graph.go, space.go). Scores are computed from it on demand (score.go) and
// remembered. This node's own scores, which the oracle and the ranker use, may lag by Options.RefreshEvery; trust.score does not lag.
//
// # Concurrency
//
// Apply is pure. Everything else may be called concurrently once Start has returned; score look-ups take no lock.
package trust
