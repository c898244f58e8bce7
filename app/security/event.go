package security

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ api.EventSource = (*App)(nil)

// Reported is the data of security.reported.
type Reported struct {
	Author api.DID  `json:"author" doc:"who signed two records for one place"`
	Topic  string   `json:"topic" doc:"name of the topic"`
	Feed   api.Hash `json:"feed"`
	Seq    uint64   `json:"seq" doc:"the place"`
}

// Said is the data of security.appealed and security.pardoned.
type Said struct {
	Subject api.DID `json:"subject" doc:"node or person"`
	Text    string  `json:"text,omitempty"`
}

// Events implements api.EventSource.
func (*App) Events() []api.EventType {
	of := func(name, summary, kind string) api.EventType {
		return api.EventType{Name: "security." + name, Scope: scopeRead, Summary: summary, Topic: Topic, Kinds: []string{kind}}
	}
	return []api.EventType{
		api.Tell(of("reported", "Somebody has proved that a device signed two records for one place", kindReport), func(_ api.Past, rec *api.Record) *Reported {
			var r report
			if decode(rec.Body, &r) != nil {
				return nil
			}
			p, err := r.verify(rec.Topic.Space)
			if err != nil {
				return nil
			}
			return &Reported{Author: p.Author, Topic: p.Topic.Name, Feed: p.Feed, Seq: p.Seq}
		}),
		api.Tell(of("appealed", "Somebody asks to look again at what a node or a person is blamed for", kindAppeal), func(_ api.Past, rec *api.Record) *Said {
			var a appeal
			if decode(rec.Body, &a) != nil {
				return nil
			}
			return &Said{Subject: a.Subject, Text: a.Text}
		}),
		api.Tell(of("pardoned", "An office has taken back what a node or a person is blamed for", kindPardon), func(_ api.Past, rec *api.Record) *Said {
			var p pardon
			if decode(rec.Body, &p) != nil {
				return nil
			}
			return &Said{Subject: p.Subject, Text: p.Text}
		}),
		fact.CloseEvent("security", scopeRead, Topic),
	}
}
