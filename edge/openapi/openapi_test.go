package openapi

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

type shade int

func (shade) MarshalText() ([]byte, error) { return nil, nil }

type odd struct{}

func (odd) MarshalJSON() ([]byte, error) { return nil, nil }

type base struct {
	Space api.Hash `json:"space,omitzero" doc:"which space"`
	Kind  int      `json:"kind"`
}

type sendIn struct {
	base
	ID   api.Hash `json:"id" doc:"which one"`
	Kind string   `json:"kind" enum:"one,two"`
	To   api.DID  `json:"to" doc:"who"`
	Rows []part   `json:"rows"`
	Opt  *part    `json:"opt,omitempty"`
	Out  string   `json:"-"`
}

type part struct {
	Key  api.Key `json:"key"`
	Word string  `json:"word" example:"ox"`
	N    uint32  `json:"n,omitempty"`
}

type askIn struct {
	Who    api.DID  `json:"who" doc:"whose"`
	Many   []string `json:"many,omitempty"`
	Limit  int      `json:"limit,omitempty" example:"5"`
	Cursor string   `json:"cursor,omitempty"`
	After  string   `json:"after,omitempty"`
}

type answer struct {
	Receipt api.Receipt       `json:"receipt"`
	At      time.Time         `json:"at"`
	Raw     json.RawMessage   `json:"raw"`
	Any     any               `json:"any"`
	Bytes   []byte            `json:"bytes,omitempty"`
	Shade   shade             `json:"shade"`
	Map     map[string][]part `json:"map"`
	Self    *answer           `json:"self"`
	Pair    [2]float64        `json:"pair"`
	Small   int8              `json:"small"`
	Inline  struct{ X bool }  `json:"inline"`
	Why     *api.Reason       `json:"why,omitempty"`
	Cursor  string            `json:"cursor,omitempty"`
}

func handle[In, Out any](name, method, path string, edit ...func(*api.Operation)) api.Operation {
	op := api.Operation{Name: name, Method: method, Path: path, Scope: tagOf(name) + ":read", Summary: "Do " + name}
	for _, e := range edit {
		e(&op)
	}
	if op.Kind == api.Stream {
		return api.HandleStream(op, func(context.Context, *api.Call, *In, func(*Out) error) error { return nil })
	}
	return api.Handle(op, func(context.Context, *api.Call, *In) (*Out, error) { return nil, nil })
}

func writes(op *api.Operation) { op.Write, op.CLI = true, "pay send" }
func lists(op *api.Operation)  { op.Kind = api.List }
func stream(op *api.Operation) { op.Kind = api.Stream }
func public(op *api.Operation) { op.Scope = api.ScopePublic }

func demo() []api.Operation {
	return []api.Operation{
		handle[sendIn, answer]("pay.send", "POST", "/pay/{id}", writes),
		handle[askIn, answer]("pay.list", "GET", "/pay", lists),
		handle[askIn, part]("pay.follow", "GET", "/pay/{who}/follow", stream),
		handle[part, struct{}]("auth.enter", "POST", "/auth", public),
		handle[struct{}, struct{}]("auth.leave", "DELETE", "/auth", writes),
	}
}

func TestDocument(t *testing.T) {
	ops := demo()
	got, err := Document(ops, Info{Title: "Demo", Version: "1", Description: "A table for tests."})
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/demo.json"
	if *rewrite {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (go test -rewrite makes it anew):\n%s", golden, got)
	}
	again, err := Document([]api.Operation{ops[3], ops[1], ops[4], ops[0], ops[2]}, Info{Title: "Demo", Version: "1", Description: "A table for tests."})
	if err != nil || !bytes.Equal(got, again) {
		t.Error("the order of the table shows in the document", err)
	}
}

// TestReferences holds that what is referred to is there, and what is there is referred to.
func TestReferences(t *testing.T) {
	raw, err := Document(demo(), About())
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	refs := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				if s, ok := x.(string); ok && k == "$ref" {
					refs[s] = true
				}
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
	there := map[string]bool{}
	for kind, parts := range doc["components"].(map[string]any) {
		for name := range parts.(map[string]any) {
			if kind != "securitySchemes" {
				there["#/components/"+kind+"/"+name] = true
			}
		}
	}
	for r := range refs {
		if !there[r] {
			t.Errorf("%s is not there", r)
		}
	}
	for r := range there {
		if !refs[r] {
			t.Errorf("nothing refers to %s", r)
		}
	}
	if len(refs) < 10 {
		t.Errorf("only %d references", len(refs))
	}
}

func TestDocumentRefuses(t *testing.T) {
	type withChan struct {
		C chan int `json:"c"`
	}
	type withOdd struct {
		O odd `json:"o"`
	}
	type withText struct {
		N int64 `json:"n,string"`
	}
	number := reflect.TypeFor[int]()
	twice := handle[askIn, part]("a.b", "POST", "/a")
	twice.In = reflect.StructOf([]reflect.StructField{{Name: "A", Type: number, Tag: `json:"a"`}, {Name: "B", Type: number, Tag: `json:"a"`}})
	type nested struct {
		P part `json:"p"`
	}
	type waits struct {
		Wait string `json:"wait,omitempty"`
	}
	for want, ops := range map[string][]api.Operation{
		"method":          {handle[askIn, part]("a.b", "HEAD", "/a")},
		"begins with /":   {handle[askIn, part]("a.b", "GET", "a")},
		"is the place of": {handle[askIn, part]("a.b", "GET", "/a"), handle[askIn, part]("a.c", "GET", "/a")},
		`no field "x"`:    {handle[askIn, part]("a.b", "GET", "/a/{x}")},
		"chan":            {handle[withChan, part]("a.b", "POST", "/a")},
		"its own JSON":    {handle[withOdd, part]("a.b", "POST", "/a")},
		"option string":   {handle[withText, part]("a.b", "POST", "/a")},
		"are called a":    {twice},
		"stand in the":    {handle[nested, part]("a.b", "GET", "/a")},
		"want a struct":   {handle[[]string, part]("a.b", "POST", "/a")},
		"parameter wait":  {handle[waits, part]("a.b", "DELETE", "/a", writes)},
	} {
		if doc, err := Document(ops, About()); doc != nil || api.KindOf(err) != api.Internal || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
