package keys

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

var _ api.EventSource = (*App)(nil)

// Log is the data of the events about somebody's key event log.
type Log struct {
	DID   api.DID  `json:"did" doc:"whose keys"`
	Event api.Hash `json:"event,omitzero" doc:"of the log: the recovery, or the newest rotation or recovery"`
}

// Events implements api.EventSource.
func (*App) Events() []api.EventType {
	of := func(name, summary, kind string) api.EventType {
		return api.EventType{Name: "keys." + name, Scope: "member:read", Summary: summary, Topic: fact.KeysTopic, Kinds: []string{kind}}
	}
	ruled := func(_ api.Past, rec *api.Record) *Log {
		var r ruling
		if decode(rec.Body, &r) != nil {
			return nil
		}
		return &Log{DID: r.DID, Event: r.Event}
	}
	return []api.EventType{
		api.Tell(of("published", "A member has published a key event log", kindLog), func(_ api.Past, rec *api.Record) *Log { return &Log{DID: rec.Author} }),
		api.Tell(of("vetoed", "The key in charge objects to a recovery", kindVeto), func(_ api.Past, rec *api.Record) *Log {
			var v veto
			if decode(rec.Body, &v) != nil {
				return nil
			}
			return &Log{DID: rec.Author, Event: v.Event}
		}),
		api.Tell(of("recovering", "A recovery of somebody's keys has begun to wait: who did not ask for it objects now", kindStart), ruled),
		api.Tell(of("stopped", "A recovery was objected to and has ended", kindStop), ruled),
		api.Tell(of("followed", "The space follows a member to other keys", kindFollow), func(_ api.Past, rec *api.Record) *Log {
			var f follow
			if decode(rec.Body, &f) != nil {
				return nil
			}
			return &Log{DID: f.DID, Event: f.Head}
		}),
	}
}
