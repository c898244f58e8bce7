package app

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// silent are the kinds of records that make no event, and why.
var silent = map[string]string{
	"finality/statement": "the kernel tells what statements come to: record.final, feed.contested",
	"finality/promise":   "it answers a draft, which is told, and the cut that comes of it is told",
	"finality/vote":      "the replacement that enough votes make is told",

	"postings/dispute-tally": "what members say is told, and the redress that comes of it",
}

// Whoever listens hears of every kind of record, or there is a reason why not.
func TestEveryKindOfRecordHasItsEvent(t *testing.T) {
	seen := map[string]bool{}
	unused := maps.Clone(silent)
	for _, a := range Standard(Options{}) {
		told := map[string]bool{}
		if src, ok := a.(api.EventSource); ok {
			for _, e := range src.Events() {
				if seen[e.Name] {
					t.Errorf("%s is declared twice", e.Name)
				}
				seen[e.Name] = true
				for _, k := range e.Kinds {
					told[e.Topic+"/"+k] = true
				}
				if e.Summary == "" || strings.HasSuffix(e.Summary, ".") || !strings.Contains(e.Scope, ":") {
					t.Errorf("%s: summary %q, scope %q", e.Name, e.Summary, e.Scope)
				}
				for i := range e.Data.NumField() {
					if tag := e.Data.Field(i).Tag.Get("json"); tag == "" || tag == "-" {
						t.Errorf("%s: field %s has no name", e.Name, e.Data.Field(i).Name)
					}
				}
			}
		}
		for _, topic := range a.Info().Topics {
			for _, k := range topic.Kinds {
				name := topic.Name + "/" + k
				_, why := silent[name]
				delete(unused, name)
				if told[name] == why {
					t.Errorf("%s: an event %t, a reason to make none %t; want one of them", name, told[name], why)
				}
			}
		}
	}
	if len(unused) > 0 {
		t.Errorf("reasons for kinds that do not exist: %v", slices.Sorted(maps.Keys(unused)))
	}
}

// nothing is a past without rows.
type nothing struct{}

func (nothing) At(api.Position, []byte) ([]byte, bool) { return nil, false }

// A body that is none makes no event, and no panic: events are made of what was accepted, by whichever build.
func TestEventsOfStrangeRecords(t *testing.T) {
	for _, a := range Standard(Options{}) {
		src, ok := a.(api.EventSource)
		if !ok {
			continue
		}
		for _, e := range src.Events() {
			for _, body := range [][]byte{nil, {0x80}, {0xff}, []byte("hello")} {
				for _, k := range e.Kinds {
					data := e.Of(nothing{}, &api.Record{Kind: k, Topic: api.Topic{Name: e.Topic}, Seq: 2, Body: body})
					if data != nil && reflect.TypeOf(data) != reflect.PointerTo(e.Data) {
						t.Errorf("%s: %T, want %v", e.Name, data, e.Data)
					}
				}
			}
		}
	}
}
