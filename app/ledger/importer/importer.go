// Package importer reads what other systems of mutual credit export as CSV: who has paid whom, the lines of accounts, or what accounts stand at.
//
// A Mapping says which column means what, how dates and amounts are written, and what the sign of an amount says; there are presets for Komunitin, CES,
// TimeOverflow and hOurworld (Presets). Read takes a file row by row, and either every cell of it can be understood or the Problems name those that cannot,
// by row and column. Nothing is guessed: an amount that is no whole number of minor units is a problem unless the mapping says round, and a date has one form.
//
// The package knows neither records nor accounts of this system, and does no I/O but read what it is given. The same file and mapping give the same File.
package importer

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds.
const (
	MaxBytes    = 10 << 20 // of a file
	MaxRows     = 100_000  // of a file, without the header
	MaxColumns  = 200
	MaxProblems = 100 // that are listed; the rest is counted
	MaxText     = 256 // bytes of a memo; what is longer is cut
)

// Clearing is the account against which a line is entered that names one account only. What is entered against it sums to zero when the file does.
const Clearing = "clearing"

// byteOrder is what some programs write before a file in UTF-8.
const byteOrder = "\ufeff"

// Move is an amount that went from one account to another.
type Move struct {
	Row      int // in the file, the header being row 1
	From, To string
	Currency string
	Amount   int64  // minor units, > 0
	Day      string // YYYY-MM-DD; empty: the file does not say
	Memo     string
	Category string
	ID       string // what the other system calls it; empty: nothing
	N        uint64 // of Moves alike that have no ID, from 0
}

// Stated is what an account stands at.
type Stated struct {
	Row      int
	Account  string
	Currency string
	Amount   int64 // minor units
	Day      string
}

// Problem is a cell that cannot be understood. Column is the header's text, empty for the row as a whole.
type Problem struct {
	Row    int
	Column string
	Text   string
}

func (p Problem) String() string {
	if p.Column == "" {
		return fmt.Sprintf("row %d: %s", p.Row, p.Text)
	}
	return fmt.Sprintf("row %d, column %s: %s", p.Row, p.Column, p.Text)
}

// File is what a file says.
type File struct {
	Moves    []Move            // of transfers and entries
	Stated   []Stated          // of balances
	Names    map[string]string // what the file calls an account, where that is not its code
	Rows     int               // below the header
	Skipped  int               // that the mapping leaves out, or that move nothing
	Problems []Problem         // at most MaxProblems
	More     int               // problems beyond these
}

func (f *File) problem(row int, column, format string, args ...any) {
	if len(f.Problems) == MaxProblems {
		f.More++
		return
	}
	f.Problems = append(f.Problems, Problem{row, column, fmt.Sprintf(format, args...)})
}

// Difference sums up, by currency, what is entered against Clearing; what is left out sums to zero. It is what keeps a file from being imported.
func (f *File) Difference() map[string]int64 {
	sums := map[string]int64{}
	for i := range f.Moves {
		m := &f.Moves[i]
		if m.From == Clearing {
			sums[m.Currency] += m.Amount
		}
		if m.To == Clearing {
			sums[m.Currency] -= m.Amount
		}
	}
	for code, n := range sums {
		if n == 0 {
			delete(sums, code)
		}
	}
	return sums
}

// Read reads a file. Scale gives the decimals of a currency of the space by its code, false for one that it has not. The error is about the file as a
// whole: its size, its header, its form.
func Read(r io.Reader, m *Mapping, scale func(code string) (decimals int, ok bool)) (*File, error) {
	bounded := &io.LimitedReader{R: r, N: MaxBytes + 1}
	from := bufio.NewReader(bounded)
	if mark, err := from.Peek(len(byteOrder)); err == nil && string(mark) == byteOrder {
		_, _ = from.Discard(len(byteOrder)) // what was peeked is there
	}
	rows := csv.NewReader(from)
	rows.FieldsPerRecord, rows.ReuseRecord, rows.LazyQuotes = -1, true, false
	rows.Comma = m.comma()
	head, err := rows.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("the file is empty: want a header in row 1")
	case err != nil:
		return nil, fmt.Errorf("row 1: %w", err)
	case len(head) > MaxColumns:
		return nil, fmt.Errorf("row 1: %d columns, at most %d", len(head), MaxColumns)
	}
	t := &table{m: m, scale: scale, head: slices.Clone(head), file: &File{Names: map[string]string{}}, alike: map[Move]uint64{}}
	if t.at, err = m.find(t.head); err != nil {
		return nil, err
	}
	for {
		t.cells, err = rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var parse *csv.ParseError
			if errors.As(err, &parse) {
				return nil, fmt.Errorf("row %d: %w", parse.StartLine, parse.Err)
			}
			return nil, err
		}
		t.row, _ = rows.FieldPos(0)
		if t.file.Rows++; t.file.Rows > MaxRows {
			return nil, fmt.Errorf("more than %d rows: make several files of it", MaxRows)
		}
		t.read()
	}
	if bounded.N <= 0 {
		return nil, fmt.Errorf("more than %d bytes: make several files of it", MaxBytes)
	}
	if t.file.Rows == 0 {
		return nil, errors.New("no rows below the header")
	}
	return t.file, nil
}

// table is a file while it is read.
type table struct {
	m     *Mapping
	scale func(string) (int, bool)
	head  []string
	at    map[string]int // column of a field
	file  *File
	alike map[Move]uint64

	row   int
	cells []string
	bad   bool // a cell of the row is
}

// cell returns the text of a field, empty where the file has no such column.
func (t *table) cell(field string) string {
	i, ok := t.at[field]
	if !ok || i >= len(t.cells) {
		return ""
	}
	return strings.TrimSpace(t.cells[i])
}

// wrong notes that a field's cell cannot be understood.
func (t *table) wrong(field string, err error) {
	t.bad = true
	column := ""
	if i, ok := t.at[field]; ok {
		column = clip(t.head[i])
	}
	t.file.problem(t.row, column, "%s", err)
}

func (t *table) read() {
	t.bad = false
	switch {
	case len(t.cells) == 1 && t.cells[0] == "": // a line with nothing on it
		t.file.Skipped++
		return
	case len(t.cells) != len(t.head):
		t.file.problem(t.row, "", "%d fields, want %d as in row 1", len(t.cells), len(t.head))
		return
	}
	for i, c := range t.cells {
		if !utf8.ValidString(c) {
			t.file.problem(t.row, clip(t.head[i]), "not in UTF-8: save the file as UTF-8")
			return
		}
	}
	if !t.kept() {
		t.file.Skipped++
		return
	}
	code, decimals := t.currency()
	if t.bad {
		return
	}
	day, err := t.m.day(t.cell(fieldDate))
	if err != nil {
		t.wrong(fieldDate, err)
	}
	switch t.m.Kind {
	case Transfers:
		t.transfer(code, decimals, day)
	case Entries:
		t.entry(code, decimals, day)
	case Balances:
		account, amount := t.account(fieldAccount), t.signed(decimals)
		if !t.bad {
			t.file.Stated = append(t.file.Stated, Stated{Row: t.row, Account: account, Currency: code, Amount: amount, Day: day})
		}
	}
}

// kept reports whether the mapping wants the row.
func (t *table) kept() bool {
	for field, values := range t.m.Keep {
		if !slices.ContainsFunc(values, func(v string) bool { return strings.EqualFold(v, t.cell(field)) }) {
			return false
		}
	}
	return true
}

// currency returns the code in the space of what the row is in.
func (t *table) currency() (code string, decimals int) {
	code = t.m.Currency
	if text := t.cell(fieldCurrency); text != "" {
		code = text
		if to, ok := t.m.Currencies[text]; ok {
			code = to
		} else if t.m.Currency != "" && len(t.m.Currencies) == 0 {
			code = t.m.Currency
		}
	}
	decimals, ok := t.scale(code)
	if !ok {
		t.wrong(fieldCurrency, fmt.Errorf("currency %q: the space has no such currency; say in the mapping which one it is", clip(code)))
	}
	return code, decimals
}

// account returns the code of the account in a cell.
func (t *table) account(field string) string {
	text := t.cell(field)
	code, err := Code(text)
	if err != nil {
		t.wrong(field, err)
		return ""
	}
	if code != text {
		t.file.Names[code] = text
	}
	return code
}

func (t *table) transfer(code string, decimals int, day string) {
	mv := Move{Row: t.row, From: t.account(fieldFrom), To: t.account(fieldTo), Currency: code, Day: day}
	n, err := t.m.amount(t.cell(fieldAmount), decimals)
	if err != nil {
		t.wrong(fieldAmount, err)
	}
	if n < 0 { // some write what a correction gives back as a payment of less than nothing
		n, mv.From, mv.To = -n, mv.To, mv.From
	}
	mv.Amount = n
	t.add(mv)
}

func (t *table) entry(code string, decimals int, day string) {
	mv := Move{Row: t.row, From: Clearing, To: t.account(fieldAccount), Currency: code, Day: day, Amount: t.signed(decimals)}
	if mv.Amount < 0 {
		mv.Amount, mv.From, mv.To = -mv.Amount, mv.To, mv.From
	}
	t.add(mv)
}

// signed returns the amount of a line: from one column with a sign, or from one for each side.
func (t *table) signed(decimals int) int64 {
	sign := int64(1)
	if t.m.Sign == Debit {
		sign = -1
	}
	if _, ok := t.at[fieldAmount]; ok {
		n, err := t.m.amount(t.cell(fieldAmount), decimals)
		if err != nil {
			t.wrong(fieldAmount, err)
		}
		return sign * n
	}
	var sum int64
	for _, side := range []struct {
		field string
		sign  int64
	}{{fieldCredit, 1}, {fieldDebit, -1}} {
		text := t.cell(side.field)
		if text == "" {
			continue
		}
		n, err := t.m.amount(text, decimals)
		if err != nil {
			t.wrong(side.field, err)
		}
		sum += side.sign * n // each is far from the ends of an int64
	}
	return sum
}

func (t *table) add(mv Move) {
	mv.Memo = line(t.cell(fieldMemo))
	mv.Category = category(t.cell(fieldCategory))
	mv.ID = t.cell(fieldID)
	if len(mv.ID) > maxID || strings.ContainsFunc(mv.ID, control) {
		t.wrong(fieldID, fmt.Errorf("%q: want at most %d bytes on one line", clip(mv.ID), maxID))
	}
	switch {
	case t.bad:
		return
	case mv.Amount == 0, mv.From == mv.To:
		t.file.Skipped++
		return
	}
	if mv.ID == "" {
		key := mv
		key.Row = 0
		mv.N = t.alike[key]
		t.alike[key]++
	}
	t.file.Moves = append(t.file.Moves, mv)
}
