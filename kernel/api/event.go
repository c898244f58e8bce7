package api

import (
	"encoding/json"
	"reflect"
	"time"
)

// EventType declares one kind of event: what it is called, who may see it, and how it follows from a record. The kernel makes a record's events when it
// has effect, and makes them again for whoever reads the stream of events later: Of must come to the same whenever it is asked.
type EventType struct {
	Name    string   // <app>.<word>
	Scope   string   // what a caller must hold to see it, e.g. "ledger:read"
	Summary string   // one line, no full stop
	Topic   string   // of the records it follows from
	Kinds   []string // of these
	Always  bool     // told whatever types a caller asks for, such as how far the stream has got
	// Data is the type of the event's data. Fields carry json and doc tags.
	Data reflect.Type
	// Of returns the data of the event that rec makes, a pointer to Data, or nil when it makes none. It must be pure and cheap: it runs for each record
	// while anybody listens.
	Of func(past Past, rec *Record) any
}

// Past is what Of may read beside the record itself: what no later record changes.
type Past interface {
	// At returns the newest row of this app that pos's feed had Put under key at pos.
	At(pos Position, key []byte) ([]byte, bool)
}

// EventSource is an app that says what its records mean to those who listen. Called once, before the kernel runs.
type EventSource interface {
	App
	Events() []EventType
}

// Tell completes t with typed data; nil data is no event.
func Tell[Data any](t EventType, of func(past Past, rec *Record) *Data) EventType {
	t.Data = reflect.TypeFor[Data]()
	t.Of = func(past Past, rec *Record) any {
		if d := of(past, rec); d != nil {
			return d
		}
		return nil
	}
	return t
}

// Notice is a type of events that an app tells itself, with EventHost.Notify. They are not kept: they are told to who listens when it happens.
func Notice[Data any](name, scope, summary string) EventType {
	return EventType{Name: name, Scope: scope, Summary: summary, Data: reflect.TypeFor[Data]()}
}

// Event is one thing that happened in a space, or on this node, as those see it who listen.
type Event struct {
	Cursor string          `json:"cursor" doc:"goes on after this event: the input after of event.stream"`
	Type   string          `json:"type" doc:"one of event.types"`
	Space  Hash            `json:"space,omitzero" doc:"none: it happened on this node, not in a space"`
	Time   time.Time       `json:"time" doc:"by the clock of the author of the record that brought it about, else by this node's"`
	Record *Position       `json:"record,omitempty" doc:"the record that it is about"`
	Author DID             `json:"author,omitempty" doc:"of that record"`
	Data   json.RawMessage `json:"data,omitempty" doc:"by type: see event.types"`
}

// EventHost is a Host that reads the stream of events. Every Host of the kernel is one; a test's may not be.
type EventHost interface {
	Host
	// Events returns up to most events after a cursor for which want is true (nil: all), and the cursor to go on from, which may have moved when none
	// is returned; it is the same as before when there is nothing new. An empty cursor is where the stream ends now. Nothing blocks. A Conflict: the
	// cursor is not of this node's stream, or not any more; begin anew.
	Events(after string, most int, want func(*Event) bool) (events []*Event, next string, err error)
	// Notify tells an event of a type that is a Notice, about somebody.
	Notify(name string, space Hash, about DID, data any)
	// EventTypes lists the types of events, in order of name.
	EventTypes() []EventType
}
