// Package books writes what happened in accounts in the forms that treasurers' programs read: CSV, Beancount, hledger's journal, OFX and PDF.
//
// It takes neutral rows and knows neither records nor nodes. The same rows give the same bytes. Rows are read one after another and not kept, but for
// PDF, which has a bound; what is kept grows with the number of accounts and categories, not of rows.
//
// Every movement has an id that never changes, the record's id and the leg, so that a program that has seen it can leave it out: the FITID in OFX, the
// tag ref in a journal, a link in Beancount, two columns in CSV. Accounts are called by what identifies them, names stand beside them: two members may
// have one name, and a name may change between two exports.
package books

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The formats.
const (
	CSV       = "csv"
	Beancount = "beancount"
	HLedger   = "hledger"
	OFX       = "ofx"
	PDF       = "pdf"
)

// Formats lists the formats, in order.
func Formats() []string { return []string{Beancount, CSV, HLedger, OFX, PDF} }

// MediaType returns the media type of a format, "" for one that is not known.
func MediaType(format string) string {
	switch format {
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case Beancount, HLedger:
		return "text/plain; charset=utf-8"
	case OFX:
		return "application/x-ofx"
	case PDF:
		return "application/pdf"
	}
	return ""
}

// Extension returns what the name of a file of that format ends in, without the dot.
func Extension(format string) string {
	if format == HLedger {
		return "journal"
	}
	return format
}

// Book is what is written: one account, or all of a space, over a period.
type Book struct {
	Space      string         // id of the space
	Name       string         // of the space
	Test       bool           // nothing in the space is meant
	Whole      bool           // all accounts: each movement is in two sections
	From       time.Time      // inclusive; zero: from the beginning
	To         time.Time      // exclusive
	Zone       *time.Location // of dates
	Currencies []Currency     // ascending by code
	// Sections are the accounts, in order. They and their rows may be walked more than once, and are the same each time. An error ends them.
	Sections iter.Seq2[*Section, error]
}

// Currency is a unit of account.
type Currency struct {
	Code  string
	Scale int // decimals, 0 to 18
	// Gift is set of a currency in which nobody owes: what people read shows no balances of it. Journals have them all the same, or they would not add up.
	Gift bool
}

// balance writes a balance for people.
func (c *Currency) balance(n int64) string {
	if c.Gift {
		return ""
	}
	return Decimal(n, c.Scale)
}

// Section is one account.
type Section struct {
	Account string
	Name    string  // how the owner wants to be called; may be empty
	Opening []int64 // by currency of the book, minor units
	Rows    iter.Seq2[*Row, error]
}

// Row is one movement as one of its two accounts sees it.
type Row struct {
	Time        time.Time // by the clock of who paid
	ID          string    // of the record
	Leg         int       // of the record, from 0
	Counter     string    // the other account
	CounterName string
	Currency    string
	Amount      int64 // minor units, negative when it went out
	Balance     int64 // of the account after it; Walk fills it in
	Memo        string
	Category    string
	ValueDate   string // YYYY-MM-DD by another system, from which it came in; else empty
	Kind        string // transfer, refund, fee, ...
	KeyedBy     string // who entered it for the owner; empty: the owner
	Final       bool
	Lead        bool // of the two sides of a movement the one with which a journal of all accounts has it
}

// Ref is the id of a movement that never changes.
func (r *Row) Ref() string { return r.ID + "-" + strconv.Itoa(r.Leg) }

// maxCategories bounds the categories that totals are kept of; what comes later is counted together.
const (
	maxCategories = 1000
	rest          = "(other)"
)

// Sum is what came in and what went out.
type Sum struct {
	In, Out int64 // minor units, both 0 or more
	Count   uint64
}

func (s *Sum) add(amount int64) {
	s.Count++
	if amount < 0 {
		s.Out -= amount
	} else {
		s.In += amount
	}
}

// Totals add up rows.
type Totals struct {
	Rows    uint64
	Closing []int64 // of the section that was walked last, by currency
	Sums    []Sum   // by currency
	kinds   map[category]*Sum
}

type category struct {
	currency int
	name     string
}

// CategorySum is the sum of one category in one currency.
type CategorySum struct {
	Currency int // index in the book's
	Category string
	Sum
}

// NewTotals begins totals of a book.
func (b *Book) NewTotals() *Totals {
	return &Totals{Sums: make([]Sum, len(b.Currencies)), kinds: map[category]*Sum{}}
}

// Categories lists the sums by currency and category, ascending.
func (t *Totals) Categories() []CategorySum {
	var out []CategorySum
	for c, s := range t.kinds {
		out = append(out, CategorySum{c.currency, c.name, *s})
	}
	slices.SortFunc(out, func(a, b CategorySum) int {
		return cmp.Or(cmp.Compare(a.Currency, b.Currency), strings.Compare(a.Category, b.Category))
	})
	return out
}

// Walk visits the rows of a section, with their balances, and adds them to the totals. Visit may be nil.
func (b *Book) Walk(s *Section, t *Totals, visit func(r *Row, currency int) error) error {
	if len(s.Opening) != len(b.Currencies) {
		return fmt.Errorf("account %s: %d opening balances for %d currencies", s.Account, len(s.Opening), len(b.Currencies))
	}
	t.Closing = slices.Clone(s.Opening)
	for r, err := range s.Rows {
		if err != nil {
			return err
		}
		i, ok := b.currency(r.Currency)
		if !ok {
			return fmt.Errorf("record %s: the currency %q is not one of the space", r.ID, r.Currency)
		}
		t.Closing[i] += r.Amount
		r.Balance = t.Closing[i]
		t.Rows++
		t.Sums[i].add(r.Amount)
		t.category(i, r.Category).add(r.Amount)
		if visit != nil {
			if err := visit(r, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Totals) category(currency int, name string) *Sum {
	k := category{currency, name}
	if t.kinds[k] == nil {
		if len(t.kinds) >= maxCategories {
			k.name = rest
		}
		if t.kinds[k] == nil {
			t.kinds[k] = &Sum{}
		}
	}
	return t.kinds[k]
}

func (b *Book) currency(code string) (int, bool) {
	return slices.BinarySearchFunc(b.Currencies, code, func(c Currency, code string) int { return strings.Compare(c.Code, code) })
}

// Write writes the book in a format and returns what it adds up to.
func Write(w io.Writer, b *Book, format string) (*Totals, error) {
	out := &output{w: w}
	var t *Totals
	var err error
	switch format {
	case CSV:
		t, err = writeCSV(out, b)
	case Beancount:
		t, err = writeJournal(out, b, &beancount{})
	case HLedger:
		t, err = writeJournal(out, b, &hledger{})
	case OFX:
		t, err = writeOFX(out, b)
	case PDF:
		t, err = writePDF(out, b)
	default:
		return nil, fmt.Errorf("format %q: want one of %s", format, strings.Join(Formats(), ", "))
	}
	return t, cmp.Or(out.err, err)
}

// output remembers the first error.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}

func (o *output) printf(format string, args ...any) {
	if o.err == nil {
		fmt.Fprintf(o, format, args...)
	}
}

// Decimal writes minor units with a point before the last scale digits.
func Decimal(minor int64, scale int) string {
	sign, n := "", uint64(minor)
	if minor < 0 {
		sign, n = "-", -n // also right for the least int64
	}
	s := strconv.FormatUint(n, 10)
	if scale <= 0 {
		return sign + s
	}
	if len(s) <= scale {
		s = strings.Repeat("0", scale-len(s)+1) + s
	}
	return sign + s[:len(s)-scale] + "." + s[len(s)-scale:]
}

// tailSize is how much of the end of an account is shown beside a name.
const tailSize = 8

// Label is how an account is shown: by the name its owner gave, and the end of what identifies it.
func Label(name, account string) string {
	tail := strings.TrimPrefix(account, didPrefix)
	if tail == account { // an office, an escrow: short, and its own name
		return strings.TrimSpace(Line(name) + " " + Line(account))
	}
	if len(tail) > tailSize {
		tail = tail[len(tail)-tailSize:]
	}
	if name == "" {
		return "…" + tail
	}
	return Line(name) + " …" + tail
}

const didPrefix = "did:icn:"

// Line makes text of others safe on a line: what controls lines or the direction of writing becomes a replacement character.
func Line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// day is the date of a time, in the zone of the book.
func (b *Book) day(t time.Time) string { return t.In(b.Zone).Format(time.DateOnly) }

// last is the last day of the period.
func (b *Book) last() string { return b.day(b.To.Add(-time.Nanosecond)) }

// period says the period in words.
func (b *Book) period() string {
	if b.From.IsZero() {
		return "from the beginning to " + b.last()
	}
	return b.day(b.From) + " to " + b.last()
}

// begin is the day on which what was there before is entered.
func (b *Book) begin() string {
	if b.From.IsZero() {
		return "1970-01-01"
	}
	return b.day(b.From)
}

// names remembers accounts that have been introduced.
type names map[string]bool

func (n names) fresh(account string) bool {
	if n[account] {
		return false
	}
	n[account] = true
	return true
}
