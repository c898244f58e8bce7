// Package finality is the app that witnesses speak through: it states, in a witness's own feed, up to where other feeds are final.
//
// A statement is a list of positions, one per feed, each with the verdict the witness knows there; a position covers its predecessors. Its items
// are no deps: a statement stands whether or not its items are here. A space has one witness in this version; the kernel counts a position final
// while the statement counts (api.Tx.Final), and other apps read how far a feed is final as a fact (fact.FinalAt).
//
// It does not decide what is true: a statement says what the witness has applied, accepted or void alike. It never states a position that waits
// for a fork to be resolved, so of two branches at most one becomes final.
//
// On the witness's node a service collects what was committed and states it: at once when idle, else once per interval, up to 256 feeds to a
// record. What a crash left unstated is found at the next start by comparing heads with what is final.
package finality
