package kernel

import (
	"reflect"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// Scopes of the kernel's own events: whoever may listen to a space sees what becomes of its records; what happens on the node is the operator's.
const (
	scopeEvents = "event:read"
	scopePeers  = "peer:read"
	scopeNode   = "node:read"
)

// The kernel's own types of events.
const (
	eventMark     = "event.mark"
	recordFinal   = "record.final"
	recordUndone  = "record.undone"
	recordVoid    = "record.void"
	feedForked    = "feed.forked"
	feedContested = "feed.contested"
	feedCut       = "feed.cut"
	peerUp        = "peer.up"
	peerDown      = "peer.down"
	nodeIncident  = "node.incident"
)

// MarkData is the data of event.mark.
type MarkData struct {
	Live bool `json:"live" doc:"all that has happened so far has been told; what follows is new"`
}

// FinalData is the data of record.final.
type FinalData struct {
	Topic string `json:"topic" doc:"name of the topic"`
	From  uint64 `json:"from" doc:"all from this place of the feed up to the record is final; 1 after more was final says that the feed has forked, and what was final before on another branch may not be"`
}

// RecordData is the data of record.undone.
type RecordData struct {
	Topic string `json:"topic" doc:"name of the topic"`
	Kind  string `json:"kind"`
}

// VoidData is the data of record.void.
type VoidData struct {
	Topic  string      `json:"topic" doc:"name of the topic"`
	Kind   string      `json:"kind"`
	Reason *api.Reason `json:"reason,omitempty" doc:"why; none: this build does not know the kind"`
}

// FeedData is the data of feed.forked, feed.contested and feed.cut.
type FeedData struct {
	Topic string `json:"topic" doc:"name of the topic"`
}

// PeerData is the data of peer.up and peer.down.
type PeerData struct {
	Node api.DID `json:"node"`
	Why  string  `json:"why,omitempty"`
}

// IncidentData is the data of node.incident.
type IncidentData struct {
	Kind   string   `json:"kind"`
	Node   api.DID  `json:"node,omitempty" doc:"whose session brought it"`
	Author api.DID  `json:"author,omitempty" doc:"of the feed concerned"`
	Feed   api.Hash `json:"feed,omitzero"`
	Count  uint64   `json:"count"`
	Detail string   `json:"detail,omitempty"`
}

func kernelEvent[Data any](name, scope, summary string) api.EventType {
	return api.EventType{Name: name, Scope: scope, Summary: summary, Data: reflect.TypeFor[Data]()}
}

func kernelEvents() []api.EventType {
	mark := kernelEvent[MarkData](eventMark, scopeEvents, "How far the stream has got: a cursor and nothing else")
	mark.Always = true
	return []api.EventType{
		mark,
		kernelEvent[FinalData](recordFinal, scopeEvents, "Nothing will change a record, and those before it in its feed, any more"),
		kernelEvent[RecordData](recordUndone, scopeEvents, "A record has lost its effect: take back what its events said"),
		kernelEvent[VoidData](recordVoid, scopeEvents, "A record came that has no effect by the rules"),
		kernelEvent[FeedData](feedForked, scopeEvents, "A device has signed two records for one place"),
		kernelEvent[FeedData](feedContested, scopeEvents, "Two branches of a feed are final: some of those who said so lie"),
		kernelEvent[FeedData](feedCut, scopeEvents, "A feed ends at the record, for everybody"),
		kernelEvent[PeerData](peerUp, scopePeers, "A peer has connected; not kept, so it may be missed"),
		kernelEvent[PeerData](peerDown, scopePeers, "A peer is gone; not kept, so it may be missed"),
		kernelEvent[IncidentData](nodeIncident, scopeNode, "Something went wrong, as the node saw it; not kept, so it may be missed"),
	}
}

// eventTable is all types, by name and by the records they follow from.
type eventTable struct {
	all    []api.EventType // in order of name
	byName map[string]*api.EventType
	owner  map[string]string           // type -> app
	of     map[string][]*api.EventType // topic and kind
}

// kindOf is the key of a record's kind.
func kindOf(topic, kind string) string { return topic + "\x00" + kind }

func newEventTable(apps []api.App) (*eventTable, error) {
	t := &eventTable{all: kernelEvents(), byName: map[string]*api.EventType{}, owner: map[string]string{}, of: map[string][]*api.EventType{}}
	for _, app := range apps {
		src, ok := app.(api.EventSource)
		if !ok {
			continue
		}
		info := app.Info()
		for _, e := range src.Events() {
			owns := slices.ContainsFunc(info.Topics, func(s api.TopicSpec) bool {
				return s.Name == e.Topic && !slices.ContainsFunc(e.Kinds, func(k string) bool { return !slices.Contains(s.Kinds, k) })
			})
			switch {
			case !strings.HasPrefix(e.Name, info.Name+"."):
				return nil, api.Errorf("kernel.new", api.Internal, "event %q of app %s: want a name %s.<word>", e.Name, info.Name, info.Name)
			case e.Of == nil && e.Topic == "" && len(e.Kinds) == 0 && e.Data != nil && e.Scope != "" && e.Summary != "": // a notice
			case e.Of == nil || e.Data == nil || e.Scope == "" || e.Summary == "" || len(e.Kinds) == 0 || !owns:
				return nil, api.Errorf("kernel.new", api.Internal, "event %q is incomplete, or of records that app %s does not own", e.Name, info.Name)
			}
			t.owner[e.Name] = info.Name
			t.all = append(t.all, e)
		}
	}
	slices.SortFunc(t.all, func(a, b api.EventType) int { return strings.Compare(a.Name, b.Name) })
	for i := range t.all {
		e := &t.all[i]
		if t.byName[e.Name] != nil {
			return nil, api.Errorf("kernel.new", api.Internal, "event %q exists twice", e.Name)
		}
		t.byName[e.Name] = e
		for _, k := range e.Kinds {
			key := kindOf(e.Topic, k)
			if t.of[key] = append(t.of[key], e); len(t.of[key]) > perRecord {
				return nil, api.Errorf("kernel.new", api.Internal, "records %s in topic %s make more than %d events", k, e.Topic, perRecord)
			}
		}
	}
	return t, nil
}
