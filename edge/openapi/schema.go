package openapi

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/intercooperative/icn/kernel/api"
)

// schema is the part of JSON Schema 2020-12 that Go types need; the zero schema takes any value.
type schema struct {
	Ref             string             `json:"$ref,omitempty"`
	AnyOf           []*schema          `json:"anyOf,omitempty"`
	Type            any                `json:"type,omitempty"` // a name, or two of which one is "null"
	Format          string             `json:"format,omitempty"`
	Description     string             `json:"description,omitempty"`
	Pattern         string             `json:"pattern,omitempty"`
	ContentEncoding string             `json:"contentEncoding,omitempty"`
	Enum            []string           `json:"enum,omitempty"`
	Minimum         *int64             `json:"minimum,omitempty"`
	Maximum         *int64             `json:"maximum,omitempty"`
	MinLength       int                `json:"minLength,omitempty"`
	MaxLength       int                `json:"maxLength,omitempty"`
	MinItems        int                `json:"minItems,omitempty"`
	MaxItems        int                `json:"maxItems,omitempty"`
	Items           *schema            `json:"items,omitempty"`
	Properties      map[string]*schema `json:"properties,omitempty"`
	Required        []string           `json:"required,omitempty"`
	Additional      any                `json:"additionalProperties,omitempty"` // false, or the schema of a map's values
	Examples        []any              `json:"examples,omitempty"`
	Clock           string             `json:"x-icn-clock,omitempty"` // what clock an integer reads
}

var (
	jsonType    = reflect.TypeFor[json.Marshaler]()
	textType    = reflect.TypeFor[encoding.TextMarshaler]()
	timeType    = reflect.TypeFor[time.Time]()
	rawType     = reflect.TypeFor[json.RawMessage]()
	waitType    = reflect.TypeFor[api.Wait]()
	problemType = reflect.TypeFor[Problem]()
	apiPath     = waitType.PkgPath()
)

// clockHybrid marks an integer as an api.Timestamp. Its format alone would not tell it from a count, and it does not fit the numbers of JavaScript.
const clockHybrid = "hybrid"

// words describes the scalar types of kernel/api, whose text form Go's types do not show. The functions make a schema anew each time.
var words = map[reflect.Type]func() *schema{
	reflect.TypeFor[api.Hash](): func() *schema {
		return &schema{Type: "string", Pattern: "^[0-9a-f]{64}$", Description: "A SHA-256 digest: the id of a record, a space or a feed.", Examples: []any{exampleHash}}
	},
	reflect.TypeFor[api.Key](): func() *schema {
		return &schema{Type: "string", Pattern: "^[0-9a-f]{64}$", Description: "An Ed25519 public key: a device's, a node's or a root key.", Examples: []any{exampleKey}}
	},
	reflect.TypeFor[api.DID](): func() *schema {
		return &schema{
			Type: "string", Pattern: "^(did:icn:[1-9A-HJ-NP-Za-km-z]{32,44})?$", Examples: []any{exampleDID},
			Description: "Who somebody is: did:icn: and the base58btc form of a root key. Empty in an answer: nobody.",
		}
	},
	waitType: func() *schema {
		return &schema{
			Type: "string", Pattern: `^(local|final|replicated(\(([1-9]|[1-5][0-9]|6[0-4])\))?)?$`, Examples: []any{string(api.WaitFinal)},
			Description: "How far a write has got: local (on this node's disk), replicated(k) (on disk of k other members, 1 to 64), final (stated by the witnesses). " +
				"Empty in an answer: not even stored.",
		}
	},
	reflect.TypeFor[api.Timestamp](): func() *schema {
		return &schema{
			Type: "integer", Format: "uint64", Minimum: new(int64), Clock: clockHybrid, Examples: []any{json.Number("116499205324800000")},
			Description: "A hybrid logical clock: 48 bits of Unix milliseconds, 16 bits of counter. It is over 2^53; divided by 65536 and rounded down it is the milliseconds.",
		}
	},
}

// types turns Go types into schemas as encoding/json would write them, and keeps those that have a name.
type types struct {
	schemas map[string]*schema
	names   map[string]reflect.Type
	err     error // the first
}

func newTypes() *types {
	return &types{schemas: map[string]*schema{}, names: map[string]reflect.Type{}}
}

func (ts *types) fail(where, format string, args ...any) *schema {
	if ts.err == nil {
		ts.err = api.Errorf(opName, api.Internal, where+": "+format, args...)
	}
	return &schema{}
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// camel joins words with a capital each: too-large is TooLarge.
func camel(s string) string {
	var out strings.Builder
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		out.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return out.String()
}

// typeName is the component of a named type: its own name if kernel/api or this package declares it, else after its package's. A new app renames nothing.
func typeName(t reflect.Type) string {
	if t.PkgPath() == apiPath || t == problemType {
		return camel(t.Name())
	}
	return camel(t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]) + camel(t.Name())
}

// named returns a reference to the component of t, which build makes when it is first met. The place is taken before, so that a type may contain itself.
func (ts *types) named(t reflect.Type, where string, build func() *schema) *schema {
	name := typeName(t)
	switch other := ts.names[name]; other {
	case t:
	case nil:
		ts.names[name] = t
		ts.schemas[name] = build()
	default:
		return ts.fail(where, "%s and %s both want the name %s", t, other, name)
	}
	return &schema{Ref: "#/components/schemas/" + name}
}

// resolve follows a reference.
func (ts *types) resolve(s *schema) *schema {
	if s.Ref == "" {
		return s
	}
	return ts.schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
}

// ref returns the schema of a value of type t that is not null: a reference where t has a name. Answer says that it is written, not read.
func (ts *types) ref(t reflect.Type, where string, answer bool) *schema {
	t = deref(t)
	switch {
	case words[t] != nil:
		return ts.named(t, where, words[t])
	case t == timeType:
		return &schema{Type: "string", Format: "date-time"}
	case t == rawType:
		return &schema{}
	case t.Implements(jsonType) || reflect.PointerTo(t).Implements(jsonType):
		return ts.fail(where, "%s writes its own JSON, which nothing here describes", t)
	case t.Implements(textType) || reflect.PointerTo(t).Implements(textType):
		return &schema{Type: "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Float32:
		return &schema{Type: "number", Format: "float"}
	case reflect.Float64:
		return &schema{Type: "number", Format: "double"}
	case reflect.Interface:
		return &schema{}
	case reflect.Slice, reflect.Array:
		return ts.list(t, where, answer)
	case reflect.Map:
		return &schema{Type: "object", Additional: ts.value(t.Elem(), where, answer)}
	case reflect.Struct:
		build := func() *schema {
			fs, err := ts.fields(t)
			if err != nil && ts.err == nil {
				ts.err = err
			}
			return ts.object(fs, where, answer)
		}
		if t.Name() == "" {
			return build()
		}
		return ts.named(t, where, build)
	}
	if s := integer(t.Kind()); s != nil {
		return s
	}
	return ts.fail(where, "a %s cannot be written as JSON", t.Kind())
}

func (ts *types) list(t reflect.Type, where string, answer bool) *schema {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		return &schema{Type: "string", ContentEncoding: "base64"}
	}
	s := &schema{Type: "array", Items: ts.value(t.Elem(), where, answer)}
	if t.Kind() == reflect.Array {
		s.MinItems, s.MaxItems = t.Len(), t.Len()
	}
	return s
}

// integer returns the schema of a kind of integer; nil when it is none. JSON has no bounds, Go has.
func integer(k reflect.Kind) *schema {
	s := &schema{Type: "integer"}
	bounds := func(lo, hi int64) *schema {
		s.Minimum, s.Maximum = &lo, &hi
		return s
	}
	switch k {
	case reflect.Int, reflect.Int64:
		s.Format = "int64"
		return s
	case reflect.Int32:
		s.Format = "int32"
		return s
	case reflect.Int16:
		return bounds(-1<<15, 1<<15-1)
	case reflect.Int8:
		return bounds(-1<<7, 1<<7-1)
	case reflect.Uint, reflect.Uint64:
		s.Format, s.Minimum = "uint64", new(int64)
		return s
	case reflect.Uint32:
		return bounds(0, 1<<32-1)
	case reflect.Uint16:
		return bounds(0, 1<<16-1)
	case reflect.Uint8:
		return bounds(0, 1<<8-1)
	}
	return nil
}

// value is ref, but what is answered may be null where Go has nil.
func (ts *types) value(t reflect.Type, where string, answer bool) *schema {
	s := ts.ref(t, where, answer)
	if !answer {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return nullable(s)
	}
	return s
}

func nullable(s *schema) *schema {
	name, simple := s.Type.(string)
	switch {
	case simple:
		s.Type = []string{name, "null"}
		return s
	case s.Ref != "":
		return &schema{AnyOf: []*schema{s, {Type: "null"}}}
	}
	return s // takes anything already
}

// field is one JSON member of a struct.
type field struct {
	name     string
	typ      reflect.Type
	required bool // neither omitempty nor omitzero: always written, and wanted by api.Operation.Decode
	doc      string
	enum     []string // the tag enum: the values that a text may have
	example  string   // the tag example: as JSON, or as text where the field is one
}

func (ts *types) hasFields(t reflect.Type) bool {
	t = deref(t)
	return t.Kind() != reflect.Struct || t.NumField() > 0
}

// fields returns the JSON members of a struct in their order; those of embedded structs stand in their place, unless a field further out hides them.
func (ts *types) fields(t reflect.Type) ([]field, error) {
	t = deref(t)
	if t.Kind() != reflect.Struct {
		return nil, api.Errorf(opName, api.Internal, "%s: want a struct, so that its fields have names", t)
	}
	type found struct {
		field
		depth int
	}
	var all []found
	var walk func(t reflect.Type, depth int) error
	walk = func(t reflect.Type, depth int) error {
		for i := range t.NumField() {
			f := t.Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			options := strings.Split(opts, ",")
			switch {
			case f.Tag.Get("json") == "-":
				continue
			case f.Anonymous && name == "" && deref(f.Type).Kind() == reflect.Struct:
				if err := walk(deref(f.Type), depth+1); err != nil {
					return err
				}
				continue
			case !f.IsExported():
				continue
			case slices.Contains(options, "string"):
				return api.Errorf(opName, api.Internal, "%s.%s: the option string of the json tag is not described here", t, f.Name)
			case name == "":
				name = f.Name
			}
			got := found{field{
				name: name, typ: f.Type, doc: f.Tag.Get("doc"), example: f.Tag.Get("example"),
				required: !slices.Contains(options, "omitempty") && !slices.Contains(options, "omitzero"),
			}, depth}
			if e := f.Tag.Get("enum"); e != "" {
				got.enum = strings.Split(e, ",")
			}
			at := slices.IndexFunc(all, func(o found) bool { return o.name == name })
			switch {
			case at < 0:
				all = append(all, got)
			case all[at].depth > depth:
				all[at] = got
			case all[at].depth == depth:
				return api.Errorf(opName, api.Internal, "%s: two fields are called %s", t, name)
			}
		}
		return nil
	}
	if err := walk(t, 0); err != nil {
		return nil, err
	}
	out := make([]field, len(all))
	for i, f := range all {
		out[i] = f.field
	}
	return out, nil
}

// object describes a JSON object with these members. An input takes no others.
func (ts *types) object(fs []field, where string, answer bool) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}}
	for _, f := range fs {
		at := where + " " + f.name
		var p *schema
		if f.required {
			p = ts.value(f.typ, at, answer)
			s.Required = append(s.Required, f.name)
		} else {
			p = ts.ref(f.typ, at, answer) // nil is left out
		}
		p = f.constrain(p)
		if d := sentence(f.doc); d != "" {
			p.Description = d
		}
		s.Properties[f.name] = p
	}
	slices.Sort(s.Required)
	if !answer {
		s.Additional = false
	}
	return s
}

// constrain adds to s, which is the field's own, what its tags say.
func (f *field) constrain(s *schema) *schema {
	s.Enum = f.enum
	return s
}
