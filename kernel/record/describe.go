package record

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// maxShown bounds the values of a description. What says more is for machines; nobody should sign it unread.
const maxShown = 4096

// The texts of what is not described.
const (
	textUnknown   = "This build does not know what the record says: do not sign it."
	textMalformed = "The record does not have the form of its kind: do not sign it."
	textTooMuch   = "The record says more than can be shown: do not sign it."
)

// Kinds are the kinds of records that a build knows, by topic and kind.
type Kinds map[[2]string]*api.KindSpec

// NewKinds indexes specs; of two for one kind the later counts.
func NewKinds(specs []api.KindSpec) Kinds {
	k := Kinds{}
	for i := range specs {
		k[[2]string{specs[i].Topic, specs[i].Kind}] = &specs[i]
	}
	return k
}

// Describe says what a record says: of its body what Body makes of it, of the rest what Parse has found.
func (k Kinds) Describe(r *api.Record) *api.Description {
	d := &api.Description{Topic: r.Topic.Name, Kind: r.Kind, Space: r.Topic.Space, Device: r.Device, Seq: r.Seq, Time: r.Time.Time(), Fields: []api.Field{}}
	spec := k[[2]string{r.Topic.Name, r.Kind}]
	switch {
	case spec == nil:
		d.Text = textUnknown
	case spec.Raw:
		d.Fields = []api.Field{{Name: spec.Fields[0].Name, Type: spec.Fields[0].Type, Value: hex.EncodeToString(r.Body)}}
		d.Known = true
	default:
		b := &bodyReader{r: codec.NewReader(r.Body)}
		fields := b.tuple(spec.Fields)
		switch err := b.r.End(); {
		case b.shown > maxShown:
			d.Text = textTooMuch
		case err != nil || b.bad:
			d.Text = textMalformed
		default:
			d.Fields, d.Known = fields, true
		}
	}
	if d.Known {
		d.Text = fill(spec.Text, d.Fields)
	}
	return d
}

// bodyReader reads the fields of a body. A fault makes all that follows empty.
type bodyReader struct {
	r     codec.Reader
	shown int
	bad   bool
}

func (b *bodyReader) tuple(specs []api.FieldSpec) []api.Field {
	b.r.Array(len(specs))
	fields := make([]api.Field, 0, len(specs))
	for i := range specs {
		fields = append(fields, b.field(&specs[i]))
	}
	for i := range fields { // the code may come after the amount
		if c := specs[i].Currency; c != "" {
			if f := find(fields, c); f != nil {
				fields[i].Currency = f.Value
			}
		}
	}
	return fields
}

func (b *bodyReader) field(spec *api.FieldSpec) api.Field {
	if !spec.List {
		return b.one(spec)
	}
	out := api.Field{Name: spec.Name, Type: spec.Type, List: true}
	n := b.r.ArrayLen(codec.MaxArray)
	if b.shown+n > maxShown {
		b.shown += n
		return out
	}
	for range n {
		if b.r.Failed() || b.shown > maxShown {
			break
		}
		f := b.one(spec)
		f.Name = ""
		out.Fields = append(out.Fields, f)
	}
	return out
}

// one reads one value; of a list one of its elements.
func (b *bodyReader) one(spec *api.FieldSpec) api.Field {
	f := api.Field{Name: spec.Name, Type: spec.Type}
	b.shown++
	switch spec.Type {
	case api.FieldText, api.FieldDID:
		f.Value = b.r.Text()
	case api.FieldUint:
		f.Value = strconv.FormatUint(b.r.Uint(math.MaxUint64), 10)
	case api.FieldInt, api.FieldAmount, api.FieldMillis, api.FieldSeconds, api.FieldBasis:
		f.Value = strconv.FormatInt(b.r.Int(), 10)
	case api.FieldBool:
		f.Value = strconv.FormatBool(b.r.Bool())
	case api.FieldBytes:
		f.Value = hex.EncodeToString(b.r.Bytes())
	case api.FieldKey, api.FieldHash:
		v := b.r.Bytes()
		switch {
		case len(v) != 32:
			b.bad = true
		case [32]byte(v) != [32]byte{}:
			f.Value = hex.EncodeToString(v)
		}
	case api.FieldTuple:
		f.Fields = b.tuple(spec.Fields)
	default:
		b.bad = true
	}
	return f
}

// find returns the field of a dotted name, nil for none.
func find(fields []api.Field, name string) *api.Field {
	first, rest, more := strings.Cut(name, ".")
	for i := range fields {
		if f := &fields[i]; f.Name == first {
			if more {
				return find(f.Fields, rest)
			}
			return f
		}
	}
	return nil
}

// fill writes a spec's text with the values of fields.
func fill(text string, fields []api.Field) string {
	var out strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '[')
		if i < 0 {
			i = len(text)
		}
		s, _ := substitute(text[:i], fields)
		out.WriteString(s)
		if text = text[i:]; text == "" {
			break
		}
		section, rest, _ := strings.Cut(text[1:], "]")
		if s, said := substitute(section, fields); said {
			out.WriteString(s)
		}
		text = rest
	}
	return out.String()
}

// substitute replaces the names in braces; said reports whether one of the fields is not empty.
func substitute(text string, fields []api.Field) (s string, said bool) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{")
		out.WriteString(before)
		if !found {
			return out.String(), said
		}
		var name string
		name, text, _ = strings.Cut(rest, "}")
		name, ask := strings.CutPrefix(name, "?")
		if f := find(fields, name); f != nil {
			said = said || !IsEmpty(f)
			if !ask {
				out.WriteString(show(f))
			}
		}
	}
}

// IsEmpty reports whether a field says nothing: an empty text, a zero key, id or number, false, an empty list, or a tuple of such.
func IsEmpty(f *api.Field) bool {
	switch {
	case f.List:
		return len(f.Fields) == 0
	case f.Type == api.FieldTuple:
		for i := range f.Fields {
			if !IsEmpty(&f.Fields[i]) {
				return false
			}
		}
		return true
	}
	return f.Value == "" || f.Value == "0" || f.Value == "false"
}

// show writes a value into a sentence. A list of tuples is only counted there, as is a tuple's inside, unless they are amounts with their currencies.
func show(f *api.Field) string {
	switch {
	case !f.List && priced(f) != nil:
		return show(priced(f))
	case f.List && f.Type == api.FieldTuple && (len(f.Fields) == 0 || priced(&f.Fields[0]) == nil):
		return strconv.Itoa(len(f.Fields))
	case f.List:
		all := make([]string, len(f.Fields))
		for i := range f.Fields {
			all[i] = show(&f.Fields[i])
		}
		return strings.Join(all, ", ")
	}
	switch f.Type {
	case api.FieldText:
		return `"` + Printable(f.Value) + `"`
	case api.FieldDID:
		return Printable(f.Value)
	case api.FieldAmount:
		return f.Value + " minor units of " + Printable(f.Currency)
	case api.FieldMillis, api.FieldSeconds:
		return moment(f)
	case api.FieldBasis:
		n, _ := strconv.ParseInt(f.Value, 10, 64)
		sign, u := "", uint64(n)
		if n < 0 {
			sign, u = "-", -u
		}
		return fmt.Sprintf("%s%d.%04d", sign, u/10000, u%10000)
	case api.FieldKey, api.FieldHash:
		if f.Value == "" {
			return "none"
		}
	case api.FieldBytes:
		return strconv.Itoa(len(f.Value)/2) + " bytes"
	case api.FieldTuple:
		return strconv.Itoa(len(f.Fields)) + " values"
	}
	return f.Value
}

// priced returns the amount of a tuple that is nothing but that and its currency; nil: it is more, or something else.
func priced(f *api.Field) *api.Field {
	if f.Type != api.FieldTuple || len(f.Fields) != 2 || f.Fields[0].Type != api.FieldText || f.Fields[1].Type != api.FieldAmount || f.Fields[1].Currency != f.Fields[0].Value {
		return nil
	}
	return &f.Fields[1]
}

// moment writes a time as RFC 3339 has it, in UTC and whole seconds; what lies outside of the years 1970 to 9999 stays a number.
func moment(f *api.Field) string {
	n, _ := strconv.ParseInt(f.Value, 10, 64)
	unit := " s"
	if f.Type == api.FieldMillis {
		if n < 0 {
			return f.Value + " ms"
		}
		n, unit = n/1000, " ms"
	}
	if n < 0 || n > 253402300799 {
		return f.Value + unit
	}
	return time.Unix(n, 0).UTC().Format(time.RFC3339)
}

// Printable is s with U+FFFD in place of what could break a line or make a text read as something else: controls, invisible characters and those that
// turn the direction of writing, in the ranges of docs/protocol.md section 12; and with ' in place of the quotation mark that a sentence puts around it.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xad, r == 0x61c, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e,
			r >= 0x2060 && r <= 0x206f, r == 0xfeff, r >= 0xe0000 && r <= 0xe0fff:
			return 0xfffd
		}
		return r
	}, s)
}
