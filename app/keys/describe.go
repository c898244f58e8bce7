package keys

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Describe implements api.Describer.
func (*App) Describe() []api.KindSpec {
	return []api.KindSpec{
		{
			Topic: fact.KeysTopic, Kind: kindLog, Raw: true, Text: "Show the space this member's key event log[ as it is now, {log}].",
			Fields: []api.FieldSpec{{Name: "log", Type: api.FieldBytes}},
			Makers: []api.Maker{{Operation: "key.publish", Sources: []api.Source{{Field: "log", From: api.FromAuth}}}},
		},
		api.Says[veto](fact.KeysTopic, kindVeto, "Object to the recovery {event}.").By("key.veto"),
		api.Says[ruling](fact.KeysTopic, kindStart, "As registrar: the recovery {event} of {did} begins to wait."),
		api.Says[ruling](fact.KeysTopic, kindStop, "As registrar: the recovery {event} of {did} is stopped by an objection."),
		api.Says[follow](fact.KeysTopic, kindFollow, "As registrar: follow the key event log of {did} up to {head}."),
	}
}
