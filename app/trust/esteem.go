package trust

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ fact.Esteem = (*App)(nil)

// Esteem implements fact.Esteem.
func (a *App) Esteem(space api.Hash, did api.DID) int64 {
	if self := a.host.Self(); self == nil || self.DID() == did {
		return 0
	}
	return int64(a.space(space).standing(a.self, a.host.Now, &a.opt).scores[did])
}
