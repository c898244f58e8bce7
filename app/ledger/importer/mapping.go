package importer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// What the rows of a file are.
const (
	Transfers = "transfers" // each has who paid and who was paid
	Entries   = "entries"   // each has one account, and what it got or gave
	Balances  = "balances"  // each has one account, and what it stands at
)

// What an amount above zero says in entries and balances.
const (
	Credit = "credit" // the account has it
	Debit  = "debit"  // the account owes it
)

// How amounts are written.
const (
	Decimal = "decimal" // 12.50
	Clock   = "h:mm"    // 1:30 is one and a half
	Minutes = "minutes" // 90 is one and a half
	Seconds = "seconds" // 5400 is one and a half
)

// The fields that a column can mean.
const (
	fieldFrom     = "from"
	fieldTo       = "to"
	fieldAccount  = "account"
	fieldAmount   = "amount"
	fieldCredit   = "credit"
	fieldDebit    = "debit"
	fieldCurrency = "currency"
	fieldDate     = "date"
	fieldMemo     = "memo"
	fieldCategory = "category"
	fieldID       = "id"
	fieldState    = "state"
)

var fields = []string{
	fieldFrom, fieldTo, fieldAccount, fieldAmount, fieldCredit, fieldDebit, fieldCurrency, fieldDate, fieldMemo, fieldCategory, fieldID, fieldState,
}

// Bounds of a mapping.
const (
	MaxMapping = 16 << 10 // bytes
	maxNames   = 16       // headers for one field
	maxValues  = 64
	maxID      = 64
	maxName    = 16
)

// Names are headers that mean the same, the first that the file has counts. In JSON a single one may stand without brackets.
type Names []string

// UnmarshalJSON implements json.Unmarshaler.
func (n *Names) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*n = Names{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(n))
}

// Mapping says how a file reads. Its JSON is what people write.
type Mapping struct {
	Preset     string              `json:"preset,omitempty"`     // what is not said here is as that preset has it
	Source     string              `json:"source,omitempty"`     // the system that it comes from: 1 to 16 of a-z 0-9 -
	Kind       string              `json:"kind,omitempty"`       // transfers, entries or balances
	Columns    map[string]Names    `json:"columns,omitempty"`    // headers by field; upper and lower case are the same
	Date       string              `json:"date,omitempty"`       // YYYY-MM-DD, DD/MM/YYYY, MM/DD/YYYY or DD.MM.YYYY; what follows a date behind a space or a T is left out
	On         string              `json:"on,omitempty"`         // the day of rows that have none, YYYY-MM-DD
	Point      string              `json:"point,omitempty"`      // what stands before decimals: . or ,
	Unit       string              `json:"unit,omitempty"`       // decimal, h:mm, minutes or seconds
	Round      bool                `json:"round,omitempty"`      // to the nearest minor unit; else what is none is a problem
	Sign       string              `json:"sign,omitempty"`       // what an amount above zero says: credit or debit
	Separator  string              `json:"separator,omitempty"`  // of columns: , ; or a tab
	Currency   string              `json:"currency,omitempty"`   // code in the space of all rows, or of those that name none
	Currencies map[string]string   `json:"currencies,omitempty"` // code in the space by what the file calls it
	Keep       map[string][]string `json:"keep,omitempty"`       // rows are left out whose field has none of these values
}

// Parse reads a mapping: the name of a preset, or JSON.
func Parse(b []byte) (*Mapping, error) {
	text := strings.TrimSpace(string(b))
	if m, ok := Preset(text); ok {
		return m, nil
	}
	if len(b) > MaxMapping {
		return nil, fmt.Errorf("mapping of %d bytes: at most %d", len(b), MaxMapping)
	}
	if !strings.HasPrefix(text, "{") {
		return nil, fmt.Errorf("mapping %q: want one of %s, or JSON", clip(text), strings.Join(Presets(), ", "))
	}
	var m Mapping
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("mapping: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("mapping: something stands behind its end")
	}
	if m.Preset != "" {
		base, ok := Preset(m.Preset)
		if !ok {
			return nil, fmt.Errorf("mapping: preset %q: want one of %s", clip(m.Preset), strings.Join(Presets(), ", "))
		}
		m = *base.with(&m)
	}
	m = *defaults.with(&m)
	return &m, m.check()
}

var defaults = &Mapping{Source: "csv", Date: "YYYY-MM-DD", Point: ".", Unit: Decimal, Sign: Credit, Separator: ","}

// with returns the mapping with what another says in place of its own. A column or a value to keep is replaced by its field.
func (m *Mapping) with(o *Mapping) *Mapping {
	n := *m
	for _, f := range []struct{ to, from *string }{
		{&n.Source, &o.Source},
		{&n.Kind, &o.Kind},
		{&n.Date, &o.Date},
		{&n.On, &o.On},
		{&n.Point, &o.Point},
		{&n.Unit, &o.Unit},
		{&n.Sign, &o.Sign},
		{&n.Separator, &o.Separator},
		{&n.Currency, &o.Currency},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	n.Preset, n.Round = "", m.Round || o.Round
	n.Columns, n.Currencies, n.Keep = merge(m.Columns, o.Columns), merge(m.Currencies, o.Currencies), merge(m.Keep, o.Keep)
	return &n
}

func merge[V any](a, b map[string]V) map[string]V {
	out := map[string]V{}
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}

func (m *Mapping) check() error {
	if !isCode(m.Source, maxName) {
		return fmt.Errorf("mapping: source %q: want 1 to %d of a-z 0-9 -", clip(m.Source), maxName)
	}
	for _, c := range []struct {
		field, value string
		want         []string
	}{
		{"kind", m.Kind, []string{Transfers, Entries, Balances}},
		{"date", m.Date, dateForms},
		{"point", m.Point, []string{".", ","}},
		{"unit", m.Unit, []string{Decimal, Clock, Minutes, Seconds}},
		{"sign", m.Sign, []string{Credit, Debit}},
		{"separator", m.Separator, []string{",", ";", "\t"}},
	} {
		if !slices.Contains(c.want, c.value) {
			return fmt.Errorf("mapping: %s %q: want one of %q", c.field, clip(c.value), c.want)
		}
	}
	if m.On != "" {
		if _, err := isoDay(m.On); err != nil {
			return fmt.Errorf("mapping: on %w", err)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(m.Columns)) {
		if names := m.Columns[field]; !slices.Contains(fields, field) || len(names) > maxNames {
			return fmt.Errorf("mapping: columns: %q: want at most %d headers for each of %s", clip(field), maxNames, strings.Join(fields, ", "))
		}
	}
	if len(m.Currencies) > maxValues {
		return fmt.Errorf("mapping: %d currencies: at most %d", len(m.Currencies), maxValues)
	}
	for field, values := range m.Keep {
		if _, ok := m.Columns[field]; !ok || len(values) == 0 || len(values) > maxValues {
			return fmt.Errorf("mapping: keep: %q: want 1 to %d values for a field that has a column", clip(field), maxValues)
		}
	}
	for _, field := range m.needs() {
		if len(m.Columns[field]) == 0 {
			return fmt.Errorf("mapping: columns: %s needs a header for %s", m.Kind, field)
		}
	}
	if len(m.Columns[fieldAmount]) > 0 && (len(m.Columns[fieldCredit]) > 0 || len(m.Columns[fieldDebit]) > 0) {
		return errors.New("mapping: columns: want amount, or credit and debit, not both")
	}
	return nil
}

// needs lists the fields without which the kind cannot be read.
func (m *Mapping) needs() []string {
	switch {
	case m.Kind == Transfers:
		return []string{fieldFrom, fieldTo, fieldAmount}
	case len(m.Columns[fieldAmount]) > 0:
		return []string{fieldAccount, fieldAmount}
	}
	return []string{fieldAccount, fieldCredit, fieldDebit}
}

func (m *Mapping) comma() rune {
	r, _ := utf8.DecodeRuneInString(m.Separator)
	return r
}

// find says which column of a header has each field.
func (m *Mapping) find(head []string) (map[string]int, error) {
	names := make([]string, len(head))
	for i, h := range head {
		names[i] = header(h)
	}
	at := map[string]int{}
	for _, field := range slices.Sorted(maps.Keys(m.Columns)) {
		for _, want := range m.Columns[field] {
			i := slices.Index(names, header(want))
			if i < 0 {
				continue
			}
			if slices.Contains(names[i+1:], header(want)) {
				return nil, fmt.Errorf("row 1: column %q stands there twice", clip(want))
			}
			at[field] = i
			break
		}
	}
	for _, field := range m.needs() {
		if _, ok := at[field]; !ok {
			return nil, fmt.Errorf("row 1: no column for %s: want %s; the file has %s", field, strings.Join(m.Columns[field], " or "), clip(strings.Join(head, ", ")))
		}
	}
	for _, field := range slices.Sorted(maps.Keys(m.Keep)) {
		if _, ok := at[field]; !ok {
			return nil, fmt.Errorf("row 1: no column for %s, by which rows are left out: want %s", field, strings.Join(m.Columns[field], " or "))
		}
	}
	return at, nil
}

func header(s string) string { return strings.ToLower(strings.TrimSpace(s)) }
