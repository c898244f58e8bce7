// Package finality is the app that witnesses speak through, and the registrar where feeds end.
//
// A statement (topic finality, in a witness's own feed) lists positions, one per feed; a position covers its predecessors. A lone witness holds what
// it has applied, and that is final. Several witnesses first lock what they have applied, each record after its deps, and hold what enough of
// them have locked alike; what enough hold is final (api.Tx.Final). Items are no deps: a statement stands whether or not its items are here.
// Other apps read how far a feed is final as facts (fact.FinalWithin).
//
// A cut (topic cuts, in the registrar's feed) says where a feed ends: at the highest position that enough witnesses promise to know certified, or on
// the branch of a fork that its draft adopts. From its promise on a witness holds nothing beyond until the cut is final. So an adverse fact (a lower
// limit, a freeze, a lost device, a fork) binds everybody from one certain position on, and nothing that was final is ever taken back. What the
// kernel makes of a cut stands in kernel/internal/fold/cut.go; the rules were checked by a model (docs/model).
//
// A checkpoint (the registrar's, in topic cuts) says to what state all comes that is final by what witnesses have said so far. Each witness folds that anew
// and says what it has found (checkpoint.go, docs/adr/0022).
//
// It does not decide what is true: a statement says what the witness has applied, accepted or void alike, and who ought to be cut is for others to
// say (fact.Cutter).
//
// On a witness's node a desk collects what was committed and states it: at once when idle, else in rounds, up to 256 items to a record. What a
// crash left unsaid is found at the next start by comparing heads with what is final.
package finality
