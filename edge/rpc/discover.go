package rpc

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Description is what rpc.discover tells of one operation.
type Description struct {
	Name    string         `json:"name"`
	Kind    string         `json:"kind"` // unary, list or stream
	Summary string         `json:"summary"`
	Scope   string         `json:"scope"`
	Write   bool           `json:"write,omitempty"`
	CLI     string         `json:"cli,omitempty"`
	In      map[string]any `json:"in"`  // the JSON Schema of the input
	Out     map[string]any `json:"out"` // and of the output, or of one item of a stream
}

func discover(ops []api.Operation) map[string][]Description {
	list := make([]Description, len(ops))
	for i, op := range ops {
		list[i] = Description{
			Name: op.Name, Kind: op.Kind.String(), Summary: op.Summary, Scope: op.Scope, Write: op.Write, CLI: op.CLI,
			In: schema(op.In, 0), Out: schema(op.Out, 0),
		}
	}
	return map[string][]Description{"operations": list}
}

// maxSchemaDepth ends the description of types that contain themselves.
const maxSchemaDepth = 8

var (
	textType = reflect.TypeFor[encoding.TextMarshaler]()
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
	byteType = reflect.TypeFor[byte]()
)

// schema describes how encoding/json writes a value of type t, in the words of JSON Schema.
func schema(t reflect.Type, depth int) map[string]any {
	if t == nil || depth > maxSchemaDepth {
		return map[string]any{}
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case t == rawType:
		return map[string]any{}
	case t.Implements(textType) || reflect.PointerTo(t).Implements(textType):
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Slice, reflect.Array:
		if t.Elem() == byteType && t.Kind() == reflect.Slice {
			return map[string]any{"type": "string", "contentEncoding": "base64"}
		}
		return map[string]any{"type": "array", "items": schema(t.Elem(), depth+1)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schema(t.Elem(), depth+1)}
	case reflect.Struct:
		props := map[string]any{}
		properties(t, depth, props)
		return map[string]any{"type": "object", "properties": props}
	}
	return map[string]any{}
}

// properties adds the fields of a struct, those of embedded structs among them as encoding/json has it.
func properties(t reflect.Type, depth int, props map[string]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			properties(f.Type, depth, props)
			continue
		}
		if name == "" {
			name = f.Name
		}
		p := schema(f.Type, depth+1)
		if doc := f.Tag.Get("doc"); doc != "" {
			p["description"] = doc
		}
		props[name] = p
	}
}
