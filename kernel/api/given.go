package api

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// checkGiven refuses an input that leaves a wanted field out, so that a forgotten limit is not read as a limit of zero. A field is wanted when its
// json tag has neither omitempty nor omitzero; null gives nothing. V is what raw was decoded into.
func checkGiven(op string, v reflect.Value, raw json.RawMessage) error {
	if !lacks(v) { // so that few calls are parsed twice
		return nil
	}
	path, doc := leftOut(v, raw)
	switch {
	case path == "":
		return nil
	case doc == "":
		return Errorf(op, Invalid, "%s: missing", path)
	}
	return Errorf(op, Invalid, "%s: missing, want: %s", path, doc)
}

// eachMember calls fn for the JSON members of a struct, those of embedded structs among them, until it returns false; it returns what fn returned last.
func eachMember(v reflect.Value, fn func(name string, wanted bool, f reflect.StructField, v reflect.Value) bool) bool {
	if reflect.PointerTo(v.Type()).Implements(unmarshaler) {
		return true
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		goOn := true
		switch {
		case name == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			goOn = eachMember(v.Field(i), fn)
		case f.IsExported():
			if name == "" {
				name = f.Name
			}
			goOn = fn(name, !strings.Contains(opts, "omitempty") && !strings.Contains(opts, "omitzero"), f, v.Field(i))
		}
		if !goOn {
			return false
		}
	}
	return true
}

// lacks reports whether a wanted field in v is zero: it may be left out, or given as zero.
func lacks(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && lacks(v.Elem())
	case reflect.Struct:
		return !eachMember(v, func(_ string, wanted bool, _ reflect.StructField, v reflect.Value) bool {
			return (!wanted || !v.IsZero()) && !lacks(v)
		})
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return false
		}
		for i := range v.Len() {
			if lacks(v.Index(i)) {
				return true
			}
		}
	}
	return false
}

// leftOut returns the path of the first wanted field that raw, decoded into v, does not give, and what its doc tag says; "" when all are given. What
// stands in maps is not looked at.
func leftOut(v reflect.Value, raw json.RawMessage) (path, doc string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return leftOut(v.Elem(), raw)
		}
	case reflect.Struct:
		var members map[string]json.RawMessage
		_ = json.Unmarshal(raw, &members) // it was decoded before: what is no object is null, and gives nothing
		eachMember(v, func(name string, wanted bool, f reflect.StructField, v reflect.Value) bool {
			given := member(members, name)
			if wanted && v.IsZero() && given == nil {
				path, doc = name, f.Tag.Get("doc")
			} else if given != nil {
				if path, doc = leftOut(v, given); path != "" {
					path = name + separator(path) + path
				}
			}
			return path == ""
		})
	case reflect.Slice, reflect.Array:
		var items []json.RawMessage
		if v.Type().Elem().Kind() == reflect.Uint8 || json.Unmarshal(raw, &items) != nil {
			return "", ""
		}
		for i := range min(v.Len(), len(items)) {
			if path, doc = leftOut(v.Index(i), items[i]); path != "" {
				return "[" + strconv.Itoa(i) + "]" + separator(path) + path, doc
			}
		}
	}
	return path, doc
}

func separator(path string) string {
	if path[0] == '[' {
		return ""
	}
	return "."
}

// member returns what is given under a name, as encoding/json looks for it; nil for nothing and null.
func member(members map[string]json.RawMessage, name string) json.RawMessage {
	given, ok := members[name]
	for k, m := range members {
		if !ok && strings.EqualFold(k, name) {
			given = m
		}
	}
	if string(given) == "null" {
		return nil
	}
	return given
}
