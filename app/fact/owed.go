package fact

import (
	"maps"
	"slices"
	"sync"

	"github.com/intercooperative/icn/kernel/api"
)

// Owed remembers for whom feeds are to be cut still, in the memory of the registrar's node: an app notes a DID when a record says something adverse
// about it, and drops it when the cuts name that as their cause. What is owed follows from the records, so a restart finds it again. It is safe for
// concurrent use; the zero value is empty.
type Owed struct {
	mu sync.Mutex
	m  map[api.Hash]map[api.DID]bool
}

// Note says whether cuts are owed for did.
func (o *Owed) Note(space api.Hash, did api.DID, on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case !on:
		delete(o.m[space], did)
	case o.m == nil:
		o.m = map[api.Hash]map[api.DID]bool{space: {did: true}}
	case o.m[space] == nil:
		o.m[space] = map[api.DID]bool{did: true}
	default:
		o.m[space][did] = true
	}
}

// In lists for whom cuts are owed in a space, in order.
func (o *Owed) In(space api.Hash) []api.DID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.m[space]))
}

// Names reports whether the cut names a record as its cause, or a later one of that record's feed.
func (c *Cut) Names(why api.Position) bool { return Names(c.Causes, why) }

// Names reports whether causes have a record among them, or a later one of that record's feed.
func Names(causes []Cause, why api.Position) bool {
	return slices.ContainsFunc(causes, func(o Cause) bool { return o.Feed == why.Feed && o.Seq >= why.Seq })
}
