package trust

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ api.EventSource = (*App)(nil)

// Attested is the data of trust.attested.
type Attested struct {
	From    api.DID `json:"from"`
	To      api.DID `json:"to"`
	Score   int16   `json:"score" doc:"basis points, -10000 to 10000; 0 takes back what was said before"`
	Context string  `json:"context"`
}

// Events implements api.EventSource.
func (*App) Events() []api.EventType {
	return []api.EventType{
		api.Tell(api.EventType{
			Name: "trust.attested", Scope: scopeRead, Summary: "Somebody has said how far they trust somebody", Topic: Topic, Kinds: []string{Kind},
		}, func(_ api.Past, rec *api.Record) *Attested {
			b, err := decode(rec.Body)
			if err != nil {
				return nil
			}
			return &Attested{From: rec.Author, To: b.To, Score: b.Score, Context: b.Context}
		}),
		fact.CloseEvent("trust", scopeRead, Topic),
	}
}
