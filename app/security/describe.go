package security

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	return []api.KindSpec{
		api.Says[report](Topic, kindReport, "Report that a device has signed two records for one place: {a} and {b} prove it."),
		api.Says[appeal](Topic, kindAppeal, "Ask to look again at what {subject} is blamed for: {text}.").
			By("security.appeal", api.Source{Field: "subject", From: api.FromAuthor, Input: "subject"}),
		api.Says[pardon](Topic, kindPardon, "Take back what {subject} is blamed for up to now[: {text}].").By("security.pardon"),
		fact.SaysClose(Topic),
	}
}
