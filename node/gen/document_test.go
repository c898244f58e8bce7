package main

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node"
)

type described struct {
	ID         string `json:"operationId"`
	Parameters []struct {
		Name     string
		In       string
		Required bool
		Example  any
		Schema   schema
	}
	Body struct {
		Content map[string]struct {
			Schema  schema
			Example map[string]any
		}
	} `json:"requestBody"`
}

type schema struct {
	Ref        string `json:"$ref"`
	Required   []string
	Enum       []string
	Properties map[string]schema
}

// table returns the operations and what the document says of each.
func table(t *testing.T) ([]api.Operation, map[string]described, map[string]schema) {
	t.Helper()
	ops, err := node.Operations()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := openapi.Document(ops, openapi.About())
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths      map[string]map[string]described
		Components struct{ Schemas map[string]schema }
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	byName := map[string]described{}
	for _, path := range doc.Paths {
		for _, d := range path {
			byName[d.ID] = d
		}
	}
	return ops, byName, doc.Components.Schemas
}

// TestDocumentIsTrue holds what the document says of inputs against what the operations take: an example of the required fields is taken, without any
// one of them it is refused, and a text is taken exactly when the enumeration has it.
func TestDocumentIsTrue(t *testing.T) {
	ops, docs, schemas := table(t)
	for _, op := range ops {
		d := docs[op.Name]
		in, required, enums := map[string]any{}, []string{}, map[string][]string{}
		for _, p := range d.Parameters {
			if p.In != "path" && p.In != "query" || p.Name == "" {
				continue
			}
			if p.Example != nil {
				in[p.Name] = p.Example
			}
			if p.Required && p.In == "query" {
				required = append(required, p.Name)
			}
			enums[p.Name] = p.Schema.Enum
		}
		if c, ok := d.Body.Content["application/json"]; ok {
			maps.Copy(in, c.Example)
			s := c.Schema
			if s.Ref != "" {
				s = schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
			}
			required = append(required, s.Required...)
			for name, p := range s.Properties {
				enums[name] = p.Enum
			}
		}
		if err := decode(t, op, in); err != nil {
			t.Errorf("%s refuses the document's example: %v", op.Name, err)
			continue
		}
		for _, name := range required {
			less := maps.Clone(in)
			if delete(less, name); len(less) == len(in) {
				t.Errorf("%s: the example lacks %s", op.Name, name)
			}
			if decode(t, op, less) == nil {
				t.Errorf("%s: %s is required, and not missed", op.Name, name)
			}
		}
		for name, values := range enums {
			for _, v := range values {
				more := maps.Clone(in)
				more[name] = v
				if err := decode(t, op, more); err != nil {
					t.Errorf("%s: %s may be %s, and is refused: %v", op.Name, name, v, err)
				}
			}
			more := maps.Clone(in)
			if more[name] = "none of them"; len(values) > 0 && decode(t, op, more) == nil {
				t.Errorf("%s: %s is none of %s, and taken", op.Name, name, values)
			}
		}
	}
}

func decode(t *testing.T, op api.Operation, in map[string]any) error {
	t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	_, err = op.Decode(raw)
	return err
}

// TestPagesHaveCursors holds lists to what clients page by.
func TestPagesHaveCursors(t *testing.T) {
	ops, _, _ := table(t)
	lists := 0
	for _, op := range ops {
		if op.Kind != api.List {
			continue
		}
		lists++
		for typ, names := range map[reflect.Type][]string{op.In: {"limit", "cursor"}, op.Out: {"cursor"}} {
			for _, name := range names {
				has := slices.ContainsFunc(reflect.VisibleFields(typ), func(f reflect.StructField) bool {
					tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
					return tag == name
				})
				if !has {
					t.Errorf("%s is a list, and %s has no %s", op.Name, typ, name)
				}
			}
		}
	}
	if lists == 0 {
		t.Error("no lists")
	}
}
