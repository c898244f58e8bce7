package trust

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	return []api.KindSpec{
		api.Says[body](Topic, Kind, "Say how far you trust {to}[ as to {context}]: {score}, where 1 is fully, -1 not at all, and 0 takes it back.").
			By("trust.add", api.Source{Field: "at", From: api.FromClock}),
		fact.SaysClose(Topic),
	}
}
