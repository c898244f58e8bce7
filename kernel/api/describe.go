package api

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// Describer is an app that says how its records read, so that whoever is asked to sign one can be told what it says by its bytes alone. Describe returns
// one KindSpec for each kind of each of its topics. Called once, before the kernel runs.
type Describer interface {
	App
	Describe() []KindSpec
}

// KindSpec says how the body of one kind of record reads: a CBOR array of Fields, or, with Raw, nothing but the bytes of one field.
//
// Text is a sentence with the fields' names in braces: {amount}, and {target.device} for a field of a tuple. What stands in square brackets is left out
// when every field that it names is empty: an empty text, a zero key, id or number, false, an empty list. {?name} stands for nothing, and is there to ask
// that. Brackets are not nested.
type KindSpec struct {
	Topic  string      `json:"topic"`
	Kind   string      `json:"kind"`
	Text   string      `json:"text" doc:"a sentence with the names of fields in braces; [...] is left out when every field that it names is empty"`
	Raw    bool        `json:"raw,omitempty" doc:"the body is no CBOR array: its bytes are the one field"`
	Fields []FieldSpec `json:"fields"`
	Makers []Maker     `json:"operations,omitempty" doc:"the operations that have their caller sign such a record"`

	Form reflect.Type `json:"-"` // the struct that the app encodes; nil for Raw
}

// FieldSpec is one field of a body, or of a tuple in it.
type FieldSpec struct {
	Name     string      `json:"name"`
	Type     FieldType   `json:"type"`
	Currency string      `json:"currency,omitempty" doc:"of an amount: the field beside it that has the currency's code"`
	List     bool        `json:"list,omitempty" doc:"a CBOR array of any number of such values"`
	Fields   []FieldSpec `json:"fields,omitempty" doc:"of a tuple: a CBOR array of these"`
}

// FieldType says what a value means and how it is shown.
type FieldType string

// The types. Their values are texts: an integer is in decimal digits, since not every language has 64 bits; bytes, keys and ids are in lower-case
// hexadecimal, a zero key or id is the empty text; true is "true", false "false".
const (
	FieldText    FieldType = "text"
	FieldUint    FieldType = "uint"
	FieldInt     FieldType = "int"
	FieldBool    FieldType = "bool"
	FieldBytes   FieldType = "bytes"
	FieldDID     FieldType = "did"
	FieldKey     FieldType = "key"
	FieldHash    FieldType = "hash"
	FieldAmount  FieldType = "amount"       // minor units of a currency; only its space says how many decimals that are
	FieldMillis  FieldType = "millis"       // Unix milliseconds
	FieldSeconds FieldType = "seconds"      // Unix seconds
	FieldBasis   FieldType = "basis-points" // ten-thousandths
	FieldTuple   FieldType = "tuple"
)

// Description is what a record says, by its bytes alone.
type Description struct {
	Known  bool      `json:"known" doc:"false: this build does not know what the record says; do not sign it"`
	Text   string    `json:"text" doc:"one sentence for a person"`
	Topic  string    `json:"topic"`
	Kind   string    `json:"kind"`
	Space  Hash      `json:"space" doc:"of a founding record its own id"`
	Device Key       `json:"device" doc:"who is to sign"`
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Fields []Field   `json:"fields"`
}

// Field is one value of a Description; a tuple and a list have Fields instead, those of a list without a name.
type Field struct {
	Name     string    `json:"name,omitempty"`
	Type     FieldType `json:"type"`
	Value    string    `json:"value"`
	Currency string    `json:"currency,omitempty" doc:"of an amount: the currency's code"`
	List     bool      `json:"list,omitempty"`
	Fields   []Field   `json:"fields,omitempty"`
}

// Says makes the KindSpec of a kind whose body is a T encoded as a CBOR array. Field names are T's in snake case. The tag `say:"<type>"` gives an integer a
// meaning, `say:"amount,<field>"` names the field with the currency. It panics for a T that has no such form: a wiring mistake.
func Says[T any](topic, kind, text string) KindSpec {
	t := reflect.TypeFor[T]()
	return KindSpec{Topic: topic, Kind: kind, Text: text, Fields: fieldsOf(t), Form: t}
}

func fieldsOf(t reflect.Type) []FieldSpec {
	if t.Kind() != reflect.Struct || t.NumField() == 0 || t.Field(0).Tag.Get("cbor") != ",toarray" {
		panic(fmt.Sprintf("api.Says: %v is not encoded as a CBOR array", t))
	}
	fields := []FieldSpec{}
	for i := 1; i < t.NumField(); i++ {
		f := t.Field(i)
		spec := FieldSpec{Name: snake(f.Name)}
		ft := f.Type
		if spec.List = ft.Kind() == reflect.Slice && ft.Elem().Kind() != reflect.Uint8; spec.List {
			ft = ft.Elem()
		}
		spec.Type = typeOf(ft)
		if spec.Type == FieldTuple {
			spec.Fields = fieldsOf(ft)
		}
		if say, ok := f.Tag.Lookup("say"); ok {
			typ, currency, _ := strings.Cut(say, ",")
			spec.Type, spec.Currency = FieldType(typ), currency
		}
		fields = append(fields, spec)
	}
	return fields
}

func typeOf(t reflect.Type) FieldType {
	switch t {
	case reflect.TypeFor[DID]():
		return FieldDID
	case reflect.TypeFor[Key]():
		return FieldKey
	case reflect.TypeFor[Hash]():
		return FieldHash
	}
	switch t.Kind() {
	case reflect.String:
		return FieldText
	case reflect.Bool:
		return FieldBool
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return FieldInt
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return FieldUint
	case reflect.Slice:
		return FieldBytes
	case reflect.Struct:
		return FieldTuple
	}
	panic(fmt.Sprintf("api.Says: a %v has no form in a description", t))
}

// snake writes a Go name as JSON has it: DefaultLimit is default_limit, DID is did.
func snake(name string) string {
	var b strings.Builder
	rs := []rune(name)
	for i, r := range rs {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
