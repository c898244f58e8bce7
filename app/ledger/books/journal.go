package books

import (
	"strings"
)

// What a language takes for its own, and what stands for it.
var (
	noteSafe = strings.NewReplacer(";", ",", "|", "/")
	tagSafe  = strings.NewReplacer(",", ".", ";", ".")
	quoted   = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// dialect is a plain-text accounting language.
type dialect interface {
	head(o *output, b *Book)
	// account introduces an account.
	account(o *output, account, name string)
	// move writes a movement as who paid sees it: from is the account that amount leaves.
	move(o *output, b *Book, m *move)
	// opening enters what was there before.
	opening(o *output, b *Book, account string, currency int, amount int64)
	// assert says what must be there at the end.
	assert(o *output, b *Book, account string, currency int, amount int64)
}

// move is a movement between two accounts; it reads the same whichever of them it was found in.
type move struct {
	*Row
	currency           int
	from, to           string
	fromLabel, toLabel string
	amount             int64 // more than 0
}

// writeJournal writes each movement once, and what each account has at the end as an assertion. Of a whole space a movement is in two sections and
// written in the one that leads.
func writeJournal(o *output, b *Book, d dialect) (*Totals, error) {
	d.head(o, b)
	t, seen := b.NewTotals(), names{}
	introduce := func(account, name string) {
		if seen.fresh(account) {
			d.account(o, account, name)
		}
	}
	for s, err := range b.Sections {
		if err != nil {
			return nil, err
		}
		introduce(s.Account, s.Name)
		for i, n := range s.Opening {
			if n != 0 {
				d.opening(o, b, s.Account, i, n)
			}
		}
		used := make([]bool, len(b.Currencies))
		err := b.Walk(s, t, func(r *Row, i int) error {
			used[i] = true
			if b.Whole && !r.Lead {
				return o.err
			}
			introduce(r.Counter, r.CounterName)
			d.move(o, b, movement(s, r, i))
			return o.err
		})
		if err != nil {
			return nil, err
		}
		for i, n := range t.Closing {
			if used[i] || n != 0 {
				d.assert(o, b, s.Account, i, n)
			}
		}
	}
	return t, o.err
}

func movement(s *Section, r *Row, i int) *move {
	m := &move{Row: r, currency: i}
	own, other := Label(s.Name, s.Account), Label(r.CounterName, r.Counter)
	if r.Amount < 0 {
		m.from, m.fromLabel, m.to, m.toLabel, m.amount = s.Account, own, r.Counter, other, -r.Amount
	} else {
		m.from, m.fromLabel, m.to, m.toLabel, m.amount = r.Counter, other, s.Account, own, r.Amount
	}
	return m
}

// mark is the flag of a movement: complete, or one that may still change.
func (m *move) mark() string {
	if m.Final {
		return "*"
	}
	return "!"
}

// hledger is the journal of hledger, which ledger-cli reads too.
type hledger struct{}

func (hledger) head(o *output, b *Book) {
	o.printf("; %s: %s\n; space %s, dates in %s\n", hNote(b.Name), b.period(), b.Space, b.Zone)
	if b.Test {
		o.printf("; This is a test space: nothing in it is meant.\n")
	}
	o.printf("decimal-mark .\n")
	for _, c := range b.Currencies {
		o.printf("commodity %s\n", hAmount(1000, 0, c, true))
	}
	o.printf("account equity:opening\n\n")
}

func (hledger) account(o *output, account, name string) {
	o.printf("account %s", hAccount(account))
	if name != "" {
		o.printf("  ; name:%s", hTag(name))
	}
	o.printf("\n")
}

func (hledger) move(o *output, b *Book, m *move) {
	c := b.Currencies[m.currency]
	o.printf("%s %s %s → %s", b.day(m.Time), m.mark(), hNote(m.fromLabel), hNote(m.toLabel))
	if m.Memo != "" {
		o.printf(" | %s", hNote(m.Memo))
	}
	o.printf("  ; ref:%s, kind:%s", m.Ref(), hTag(m.Kind))
	if m.Category != "" {
		o.printf(", category:%s", hTag(m.Category))
	}
	if m.KeyedBy != "" {
		o.printf(", keyed-by:%s", hTag(m.KeyedBy))
	}
	if m.ValueDate != "" {
		o.printf(", value-date:%s", hTag(m.ValueDate))
	}
	o.printf("\n    %s    %s\n    %s    %s\n\n", hAccount(m.from), hAmount(-m.amount, c.Scale, c, false), hAccount(m.to), hAmount(m.amount, c.Scale, c, false))
}

func (hledger) opening(o *output, b *Book, account string, currency int, amount int64) {
	c := b.Currencies[currency]
	o.printf("%s * opening balance  ; ref:opening-%s-%s-%s\n    %s    %s\n    equity:opening\n\n", b.begin(), b.begin(), c.Code, strings.TrimPrefix(account, didPrefix),
		hAccount(account), hAmount(amount, c.Scale, c, false))
}

func (hledger) assert(o *output, b *Book, account string, currency int, amount int64) {
	c := b.Currencies[currency]
	o.printf("%s * closing balance  ; ref:closing-%s-%s-%s\n    %s    %s = %s\n\n", b.day(b.To), b.day(b.To), c.Code, strings.TrimPrefix(account, didPrefix),
		hAccount(account), hAmount(0, c.Scale, c, false), hAmount(amount, c.Scale, c, false))
}

// hAmount writes an amount; with whole set it is an example of how, with all decimals.
func hAmount(minor int64, scale int, c Currency, whole bool) string {
	n := Decimal(minor, scale)
	if whole {
		n += "." + strings.Repeat("0", c.Scale) // without decimals the point must stand all the same
	}
	return n + ` "` + c.Code + `"`
}

// hAccount is the name of an account in a journal, the same as docs/guides/icn.rules gives it: what cannot be in a name becomes a hyphen.
func hAccount(account string) string {
	return "icn:" + strings.Map(func(r rune) rune {
		if r == ':' {
			return r
		}
		return plain(r)
	}, account)
}

// plain replaces what is no letter or digit of ASCII.
func plain(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}

// hNote keeps text from being taken for a comment or a payee.
func hNote(s string) string { return noteSafe.Replace(Line(s)) }

// hTag keeps text from ending a tag's value.
func hTag(s string) string { return tagSafe.Replace(Line(s)) }

// beancount is the language of Beancount 2 and 3.
type beancount struct{}

func (beancount) head(o *output, b *Book) {
	o.printf("; %s: %s\n; space %s, dates in %s\n", Line(b.Name), b.period(), b.Space, b.Zone)
	if b.Test {
		o.printf("; This is a test space: nothing in it is meant.\n")
	}
	for _, c := range b.Currencies {
		o.printf("1970-01-01 commodity %s\n  name: %s\n", commodity(c.Code), bText(c.Code))
	}
	o.printf("1970-01-01 open Equity:Opening\n\n")
}

func (beancount) account(o *output, account, name string) {
	o.printf("1970-01-01 open %s\n  account: %s\n", bAccount(account), bText(account))
	if name != "" {
		o.printf("  name: %s\n", bText(name))
	}
}

func (beancount) move(o *output, b *Book, m *move) {
	c := b.Currencies[m.currency]
	o.printf("%s %s %s %s ^icn-%s\n  kind: %s\n", b.day(m.Time), m.mark(), bText(m.fromLabel+" → "+m.toLabel), bText(m.Memo), m.Ref(), bText(m.Kind))
	if m.Category != "" {
		o.printf("  category: %s\n", bText(m.Category))
	}
	if m.KeyedBy != "" {
		o.printf("  keyed-by: %s\n", bText(m.KeyedBy))
	}
	if m.ValueDate != "" {
		o.printf("  value-date: %s\n", m.ValueDate)
	}
	o.printf("  %s  %s %s\n  %s  %s %s\n\n", bAccount(m.from), Decimal(-m.amount, c.Scale), commodity(c.Code), bAccount(m.to), Decimal(m.amount, c.Scale), commodity(c.Code))
}

func (beancount) opening(o *output, b *Book, account string, currency int, amount int64) {
	c := b.Currencies[currency]
	o.printf("%s * \"Opening balance\" ^icn-opening-%s-%s-%s\n  %s  %s %s\n  Equity:Opening\n\n", b.begin(), b.begin(), c.Code, component(account), bAccount(account),
		Decimal(amount, c.Scale), commodity(c.Code))
}

func (beancount) assert(o *output, b *Book, account string, currency int, amount int64) {
	c := b.Currencies[currency]
	o.printf("%s balance %s  %s %s\n\n", b.day(b.To), bAccount(account), Decimal(amount, c.Scale), commodity(c.Code))
}

func bAccount(account string) string {
	if strings.HasPrefix(account, didPrefix) {
		return "Assets:Members:" + component(account)
	}
	return "Assets:Others:" + component(account)
}

// component is an account as a part of a name in Beancount: it begins with a capital letter, and a hyphen stands for what may not be in it.
func component(account string) string {
	s := "A" + account
	if key, ok := strings.CutPrefix(account, didPrefix); ok {
		s = "D" + key
	}
	return strings.Map(plain, s)
}

// commodity is a currency's code as Beancount wants it: capitals, two or more, of which the first is a letter and the last no hyphen. Codes that are
// none get a frame with points, which no code has.
func commodity(code string) string {
	s := strings.ToUpper(code)
	if len(s) < 2 || s[0] < 'A' || s[0] > 'Z' || s[len(s)-1] == '-' || len(s) > 20 {
		return "C." + s + ".C"
	}
	return s
}

func bText(s string) string {
	return `"` + quoted.Replace(Line(s)) + `"`
}
