package openapi

import (
	"encoding/json"
	"reflect"
)

// What examples are made of. The keys are those of RFC 8032, 7.1, tests 1 and 2: points of the curve, since inputs check that, and nobody's. The DID
// is of the second; the hash is of nothing.
const (
	exampleHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	exampleKey  = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
	exampleDID  = "did:icn:586Z7H2vpX9qNhN2T4e9Utugie3ogjbxzGaMtM3E6HR5"
	exampleTime = "2026-05-01T12:00:00Z"
)

// maxExampleDepth ends examples of types that contain themselves.
const maxExampleDepth = 6

// exampleOf returns a value that has the required fields, and others that have an example of their own.
func (ts *types) exampleOf(fs []field, depth int) map[string]any {
	out := map[string]any{}
	for _, f := range fs {
		if f.required || f.example != "" {
			out[f.name] = ts.fieldExample(f, depth)
		}
	}
	return out
}

// fieldExample returns a value of a field: what its tags say, or what its type suggests.
func (ts *types) fieldExample(f field, depth int) any {
	switch {
	case f.example != "" && deref(f.typ).Kind() == reflect.String:
		return f.example
	case f.example != "":
		return json.RawMessage(f.example)
	case len(f.enum) > 0:
		return f.enum[0]
	}
	return ts.example(f.typ, depth)
}

func (ts *types) example(t reflect.Type, depth int) any {
	t = deref(t)
	switch {
	case words[t] != nil:
		return words[t]().Examples[0]
	case t == timeType:
		return exampleTime
	case t == rawType:
		return map[string]any{}
	case t.Implements(textType) || reflect.PointerTo(t).Implements(textType):
		return "text"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return true
	case reflect.Slice, reflect.Array:
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
			return "aWNu" // icn
		}
		if depth == maxExampleDepth {
			return []any{}
		}
		out := make([]any, 1)
		if t.Kind() == reflect.Array {
			out = make([]any, t.Len())
		}
		for i := range out {
			out[i] = ts.example(t.Elem(), depth+1)
		}
		return out
	case reflect.Map, reflect.Interface:
		return map[string]any{}
	case reflect.Struct:
		fs, err := ts.fields(t)
		if err != nil && ts.err == nil {
			ts.err = err
		}
		return ts.exampleOf(fs, depth+1)
	}
	return 1
}
