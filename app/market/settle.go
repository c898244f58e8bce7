package market

import (
	"maps"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// maxActs bounds how many acts on one ad are looked at; the rest counts for nothing.
const maxActs = 1024

// settled returns the chain of acts on an ad that counts, oldest first. Each act follows on another, so moderators who knew of each other make one chain.
// Those who acted at once make branches: the longest chain counts, since somebody has built on it knowing more; among the longest, at each branching the
// act with the least id. It depends on the acts alone, in whatever order they came, so it is the same on every node that has them.
func settled(acts map[api.Hash]*done) []api.Hash {
	next := map[api.Hash][]api.Hash{}
	for _, id := range slices.SortedFunc(maps.Keys(acts), api.Hash.Compare) {
		next[acts[id].After] = append(next[acts[id].After], id)
	}
	order := []api.Hash{{}} // what follows stands behind what it follows on
	for i := 0; i < len(order) && len(order) <= maxActs; i++ {
		order = append(order, next[order[i]]...)
	}
	depth, best := map[api.Hash]int{}, map[api.Hash]api.Hash{}
	for i := len(order) - 1; i > 0; i-- {
		id := order[i]
		before := acts[id].After
		d, had := depth[id]+1, best[before]
		if had.IsZero() || d > depth[before] || d == depth[before] && id.Compare(had) < 0 {
			depth[before], best[before] = d, id
		}
	}
	var chain []api.Hash
	for id := best[api.Hash{}]; !id.IsZero(); id = best[id] {
		chain = append(chain, id)
	}
	return chain
}
