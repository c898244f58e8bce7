package kernel

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// EventsIn asks for the stream of events.
type EventsIn struct {
	Space api.Hash `json:"space,omitzero" doc:"of this space only; default: of all that the caller may follow, and of the node"`
	Types []string `json:"types,omitempty" doc:"of these types only, or of all that begin alike, such as record.*; at most 64; default: all"`
	After string   `json:"after,omitempty" doc:"go on after the event with this cursor; begin: with the oldest that is kept; default: with what happens from now on"`
}

// maxEventTypes bounds a filter.
const maxEventTypes = 64

// Validate implements api.Validator.
func (in *EventsIn) Validate() error {
	if n := len(in.Types); n > maxEventTypes {
		return api.Errorf("event.stream", api.Invalid, "types: %d, want at most %d", n, maxEventTypes)
	}
	if in.After == "" || in.After == begin {
		return nil
	}
	_, _, err := parseCursor(in.After)
	return err
}

// EventTypesOut is the answer of event.types.
type EventTypesOut struct {
	Types []EventTypeOut `json:"types"`
}

// EventTypeOut is one type of events.
type EventTypeOut struct {
	Name    string          `json:"name"`
	Scope   string          `json:"scope" doc:"what a caller must hold to see it"`
	Summary string          `json:"summary"`
	Kept    bool            `json:"kept" doc:"told to who comes back later, too; what is not kept is told to who listens when it happens"`
	Data    []EventFieldOut `json:"data" doc:"the fields of the event's data"`
}

// EventFieldOut is one field, as a reduced JSON Schema.
type EventFieldOut struct {
	Name     string          `json:"name"`
	Type     string          `json:"type" doc:"string, integer, number, boolean, array or object"`
	Format   string          `json:"format,omitempty" doc:"of a string: hash, key, did or date-time"`
	Optional bool            `json:"optional,omitempty"`
	Doc      string          `json:"doc,omitempty"`
	Items    *EventFieldOut  `json:"items,omitempty" doc:"of an array"`
	Fields   []EventFieldOut `json:"fields,omitempty" doc:"of an object"`
}

func (k *Kernel) eventOperations() []api.Operation {
	return []api.Operation{
		api.HandleStream(api.Operation{
			Name: "event.stream", Method: "GET", Path: "/events", CLI: "event stream", Scope: scopeEvents, Access: api.AccessOwn,
			Summary: "Tell what happens, as it happens, and from a cursor on what has happened since",
		}, k.opEvents),
		api.Handle(api.Operation{
			Name: "event.types", Method: "GET", Path: "/events/types", CLI: "event types", Scope: scopeEvents,
			Summary: "List the types of events and what they say",
		}, k.opEventTypes),
	}
}

// sieve is what one caller sees of the events.
type sieve struct {
	k     *Kernel
	call  *api.Call
	space api.Hash
	types map[string]bool // nil: all
}

func (k *Kernel) sieve(call *api.Call, in *EventsIn) (*sieve, error) {
	f := &sieve{k: k, call: call, space: in.Space}
	if !in.Space.IsZero() && !k.follows.has(in.Space) {
		return nil, api.Errorf("event.stream", api.NotFound, "space %s: this node does not follow it", in.Space)
	}
	if !in.Space.IsZero() && call.Remote() {
		if why := k.closed(call.Actor, in.Space, nil); why != nil {
			return nil, api.Refusal("event.stream", why)
		}
	}
	for _, pattern := range in.Types {
		if f.types == nil {
			f.types = map[string]bool{}
		}
		prefix, all := strings.CutSuffix(pattern, "*")
		known := false
		for _, t := range k.events.table.all {
			if t.Name == pattern || all && strings.HasPrefix(t.Name, prefix) {
				known, f.types[t.Name] = true, true
			}
		}
		if !known {
			return nil, api.Errorf("event.stream", api.Invalid, "types: %q is none: event.types lists them", clip(pattern))
		}
	}
	return f, nil
}

// passes is asked for each event anew: who is removed from a space, or whose scope ends, sees nothing more of it.
func (f *sieve) passes(e *happened) bool {
	switch {
	case f.types != nil && !f.types[e.Type], !f.space.IsZero() && e.Space != f.space:
		return false
	case e.Space.IsZero() && !f.call.Can(e.typ.Scope), !f.call.CanIn(e.typ.Scope, e.Space):
		return false
	}
	return e.Space.IsZero() || f.call.Sees(e.Space)
}

// markEvery is how many pages without an event for him a listener reads before he is told how far he has come.
const markEvery = 16

func (k *Kernel) opEvents(ctx context.Context, call *api.Call, in *EventsIn, emit func(*api.Event) error) error {
	f, err := k.sieve(call, in)
	if err != nil {
		return err
	}
	h := k.events
	at, journal, err := h.from(in.After)
	if err != nil {
		return err
	}
	l, err := h.join(in.Space, at)
	if err != nil {
		return err
	}
	defer h.leave(l)
	mark := func(live bool) error { return emit(h.mark(journal, at, live)) }
	if err := mark(false); err != nil {
		return err
	}
	for quiet, behind := 0, true; ; {
		var evs []*happened
		var live bool
		evs, at, live, err = h.next(ctx, l, journal) // from here on, what is in l is the hub's while it is idle
		if err != nil {
			if ctx.Err() != nil { // the caller has gone: no failure
				err = nil
			}
			return err
		}
		for _, e := range evs {
			if !f.passes(e) {
				continue
			}
			quiet = 0
			if err := emit(&e.Event); err != nil {
				return err
			}
		}
		switch {
		case live && behind:
			behind = false
			if err := mark(true); err != nil {
				return err
			}
		case !live:
			if quiet++; quiet == markEvery {
				quiet = 0
				if err := mark(false); err != nil {
					return err
				}
			}
		}
		if !live {
			continue
		}
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil
		case <-k.stopping:
			return api.Errorf("event.stream", api.Unavailable, "the node is stopping: go on from the last cursor when it runs again")
		}
	}
}

// mark tells how far a stream has come.
func (h *hub) mark(journal string, at place, live bool) *api.Event {
	data := `{"live":false}`
	if live {
		data = `{"live":true}`
	}
	return &api.Event{Cursor: cursor(journal, at), Type: eventMark, Time: h.k.opt.Now().UTC(), Data: []byte(data)}
}

// EventTypes returns the types of events that the apps and the kernel tell, in order of name.
func (k *Kernel) EventTypes() []api.EventType { return slices.Clone(k.events.table.all) }

func (k *Kernel) opEventTypes(context.Context, *api.Call, *None) (*EventTypesOut, error) {
	out := &EventTypesOut{}
	for _, t := range k.events.table.all {
		kept := t.Of != nil || t.Scope == scopeEvents && !t.Always
		out.Types = append(out.Types, EventTypeOut{Name: t.Name, Scope: t.Scope, Summary: t.Summary, Kept: kept, Data: fieldsOf(t.Data)})
	}
	return out, nil
}

var (
	didType  = reflect.TypeFor[api.DID]()
	hashType = reflect.TypeFor[api.Hash]()
	keyType  = reflect.TypeFor[api.Key]()
	timeType = reflect.TypeFor[time.Time]()
)

// fieldsOf lists the JSON fields of a struct type.
func fieldsOf(t reflect.Type) []EventFieldOut {
	out := []EventFieldOut{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() {
			continue
		}
		o := fieldOf(f.Type)
		o.Name, o.Doc, o.Optional = name, f.Tag.Get("doc"), strings.Contains(opts, "omit")
		out = append(out, o)
	}
	return out
}

func fieldOf(t reflect.Type) EventFieldOut {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case didType:
		return EventFieldOut{Type: "string", Format: "did"}
	case hashType:
		return EventFieldOut{Type: "string", Format: "hash"}
	case keyType:
		return EventFieldOut{Type: "string", Format: "key"}
	case timeType:
		return EventFieldOut{Type: "string", Format: "date-time"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return EventFieldOut{Type: "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return EventFieldOut{Type: "integer"}
	case reflect.Float32, reflect.Float64:
		return EventFieldOut{Type: "number"}
	case reflect.Slice:
		items := fieldOf(t.Elem())
		return EventFieldOut{Type: "array", Items: &items}
	case reflect.Struct:
		return EventFieldOut{Type: "object", Fields: fieldsOf(t)}
	case reflect.Map:
		return EventFieldOut{Type: "object"}
	}
	return EventFieldOut{Type: "string"}
}

// Events implements api.EventHost.
func (h *host) Events(after string, most int, want func(*api.Event) bool) (out []*api.Event, next string, err error) {
	hub := h.k.events
	at, journal, err := hub.from(after)
	if err != nil {
		return nil, "", err
	}
	for page := 0; page < 1+markEvery && len(out) < most; page++ {
		evs, to := hub.pull(journal, at)
		for _, e := range evs {
			if len(out) == most {
				to = e.at
				break
			}
			if want == nil || want(&e.Event) {
				out = append(out, &e.Event)
			}
		}
		if to == at {
			break
		}
		at = to
	}
	return out, cursor(journal, at), nil
}

// Notify implements api.EventHost.
func (h *host) Notify(name string, space api.Hash, about api.DID, data any) {
	h.k.events.tell(name, space, about, data)
}

// EventTypes implements api.EventHost.
func (h *host) EventTypes() []api.EventType { return h.k.events.table.all }

var _ api.EventHost = (*host)(nil)

// pull returns the events of the journal after a place, from the ring or the store, and the place after them.
func (h *hub) pull(journal string, at place) ([]*happened, place) {
	h.mu.Lock()
	if !h.pulled {
		if h.unheard() {
			h.upto = afterRecord(h.k.recent.end())
			h.drop()
		}
		h.pulled = true
	}
	if h.journal == journal && at.compare(h.since) >= 0 && at.compare(h.upto) <= 0 {
		defer h.mu.Unlock()
		evs := []*happened{}
		for i, _ := slices.BinarySearchFunc(h.ring, at, func(e *happened, p place) int { return e.at.compare(p) }); i < len(h.ring); i++ {
			if !h.ring[i].fleet {
				evs = append(evs, h.ring[i])
			}
		}
		return evs, h.upto
	}
	h.mu.Unlock()
	return h.read(journal, at, h.k.recent.end())
}
