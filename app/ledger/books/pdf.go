package books

import (
	_ "embed" // the font
	"fmt"
	"slices"
	"strings"
	"unicode"

	"codeberg.org/go-pdf/fpdf"
)

// font is DejaVu Sans Condensed: Latin, Greek, Cyrillic, Armenian and Georgian, among others. Its licence is beside it.
//
//go:embed font/DejaVuSansCondensed.ttf
var font []byte

// MaxPDFRows bounds a PDF, which is in memory as a whole until it is written: some 500 pages.
const MaxPDFRows = 20_000

// ErrTooLong says that a PDF would be too long.
var ErrTooLong = fmt.Errorf("a PDF has room for %d rows: choose a shorter period, one account, or another format", MaxPDFRows)

// Measures of a page, in millimetres: A4, upright.
const (
	pdfMargin = 12.0
	pdfWidth  = 210 - 2*pdfMargin
	pdfBottom = 297 - 18.0
	pdfLine   = 4.0
	pdfSize   = 8.0 // points
)

// pdfColumns are the widths of date, counter-account, memo, amount and balance.
var pdfColumns = [...]float64{21, 46, 63, 28, 28}

// writePDF writes a table for each account and currency.
func writePDF(o *output, b *Book) (*Totals, error) {
	f := fpdf.New("P", "mm", "A4", "")
	f.SetCompression(true)
	f.SetCatalogSort(true)
	f.SetCreationDate(b.To.UTC())
	f.SetModificationDate(b.To.UTC())
	f.SetProducer("ICN", true)
	f.SetTitle(printable(b.Name)+", "+b.period(), true)
	f.AddUTF8FontFromBytes("icn", "", font)
	f.SetMargins(pdfMargin, pdfMargin, pdfMargin)
	f.SetAutoPageBreak(false, 0)
	f.AliasNbPages("{pages}")
	p := &page{f: f, b: b}
	f.SetHeaderFunc(p.header)
	f.SetFooterFunc(p.footer)
	sum := b.NewTotals()
	f.AddPage()
	for s, err := range b.Sections {
		if err != nil {
			return nil, err
		}
		if err := p.section(s, sum); err != nil {
			return nil, err
		}
	}
	p.totals(sum)
	if err := f.Error(); err != nil {
		return nil, err
	}
	return sum, f.Output(o)
}

// page is a PDF while it is written.
type page struct {
	f     *fpdf.Fpdf
	b     *Book
	table string // what the table on this page is of; empty outside
	unit  string
	gift  bool // it has no balances to show
}

func (p *page) header() {
	p.size(13)
	p.text(pdfWidth, 7, fit(p.f, p.b.Name, pdfWidth), "L", 1)
	p.size(pdfSize)
	about := p.b.period() + ", dates in " + p.b.Zone.String()
	if p.b.Test {
		about += " · a test space: nothing in it is meant"
	}
	p.text(pdfWidth, pdfLine, fit(p.f, about, pdfWidth), "L", 1)
	p.grey(120)
	p.text(pdfWidth, pdfLine, "space "+p.b.Space, "L", 1)
	p.grey(0)
	p.f.Ln(3)
	if p.table != "" {
		p.heads(true)
	}
}

func (p *page) footer() {
	p.f.SetY(-14)
	p.size(7)
	p.grey(120)
	p.text(pdfWidth-22, pdfLine, "! not final yet", "L", 0)
	p.text(22, pdfLine, fmt.Sprintf("page %d of {pages}", p.f.PageNo()), "L", 0) // to the right it would be as far as {pages} is wide
	p.grey(0)
}

// heads writes the title of a table and the heads of its columns.
func (p *page) heads(again bool) {
	title := p.table
	if again {
		title += " (continued)"
	}
	p.size(10)
	p.text(pdfWidth, 6, fit(p.f, title, pdfWidth), "L", 1)
	p.size(pdfSize)
	p.f.SetFillColor(232, 232, 232)
	balance := "Balance, " + p.unit
	if p.gift {
		balance = ""
	}
	for i, head := range [...]string{"Date", "With", "For", "Amount, " + p.unit, balance} {
		align := "L"
		if i > 2 {
			align = "R"
		}
		p.f.CellFormat(pdfColumns[i], pdfLine+1.5, fit(p.f, head, pdfColumns[i]-2), "B", 0, align, true, 0, "")
	}
	p.f.Ln(-1)
}

// room starts another page when less than h is left of this one.
func (p *page) room(h float64) {
	if p.f.GetY()+h > pdfBottom {
		p.f.AddPage()
	}
}

// section writes an account: a table for each currency that it has used or has something of.
func (p *page) section(s *Section, sum *Totals) error {
	before := slices.Clone(sum.Sums)
	if err := p.b.Walk(s, sum, nil); err != nil {
		return err
	}
	if sum.Rows > MaxPDFRows {
		return ErrTooLong
	}
	for i, c := range p.b.Currencies {
		moved := Sum{In: sum.Sums[i].In - before[i].In, Out: sum.Sums[i].Out - before[i].Out, Count: sum.Sums[i].Count - before[i].Count}
		if moved.Count == 0 && s.Opening[i] == 0 && len(p.b.Currencies) > 1 {
			continue
		}
		p.room(30)
		p.table, p.unit, p.gift = Label(s.Name, s.Account), c.Code, c.Gift
		p.heads(false)
		if !c.Gift {
			p.line("", "Opening balance", "", "", c.balance(s.Opening[i]))
		}
		err := p.b.Walk(s, p.b.NewTotals(), func(r *Row, j int) error {
			if i == j {
				p.row(r, c)
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.room(5 * (pdfLine + 1))
		p.table = "" // what follows is on this page
		p.f.SetDrawColor(120, 120, 120)
		p.f.Line(pdfMargin, p.f.GetY(), pdfMargin+pdfWidth, p.f.GetY())
		p.line("", "In", "", Decimal(moved.In, c.Scale), "")
		p.line("", "Out", "", Decimal(-moved.Out, c.Scale), "")
		if !c.Gift {
			p.line("", "Closing balance", "", "", c.balance(s.Opening[i]+moved.In-moved.Out))
		}
		p.grey(120)
		p.text(pdfWidth, pdfLine, fit(p.f, "account "+s.Account, pdfWidth), "L", 1)
		p.grey(0)
		p.f.Ln(4)
	}
	return p.f.Error()
}

// row writes a movement, on as many lines as its texts need.
func (p *page) row(r *Row, c Currency) {
	what := r.Memo
	if r.Category != "" {
		what = strings.TrimSpace(what + " [" + r.Category + "]")
	}
	if r.Kind != "" && r.Kind != "transfer" {
		what = strings.TrimSpace(r.Kind + ": " + what)
	}
	date := p.b.day(r.Time)
	if !r.Final {
		date += " !"
	}
	p.line(date, Label(r.CounterName, r.Counter), what, Decimal(r.Amount, c.Scale), c.balance(r.Balance))
}

func (p *page) line(cells ...string) {
	var lines [len(pdfColumns)][]string
	most := 1
	for i, s := range cells {
		lines[i] = wrap(p.f, s, pdfColumns[i]-2)
		most = max(most, len(lines[i]))
	}
	p.room(float64(most)*pdfLine + 1)
	for n := range most {
		for i := range lines {
			s, align := "", "L"
			if n < len(lines[i]) {
				s = lines[i][n]
			}
			if i > 2 {
				align = "R"
			}
			p.f.CellFormat(pdfColumns[i], pdfLine, s, "", 0, align, false, 0, "")
		}
		p.f.Ln(pdfLine)
	}
}

// totals ends the document with what was in it by category.
func (p *page) totals(t *Totals) {
	cats := t.Categories()
	if len(cats) == 0 {
		return
	}
	p.room(20)
	p.size(10)
	title := "By category"
	if p.b.Whole {
		title += ", of all accounts"
	}
	p.text(pdfWidth, 6, title, "L", 1)
	p.size(pdfSize)
	p.line("", "Category", "", "In", "Out")
	for _, c := range cats {
		name, cur := c.Category, p.b.Currencies[c.Currency]
		if name == "" {
			name = "no category"
		}
		p.line("", name, fmt.Sprintf("%d rows, %s", c.Count, cur.Code), Decimal(c.In, cur.Scale), Decimal(-c.Out, cur.Scale))
	}
}

func (p *page) size(points float64) { p.f.SetFont("icn", "", points) }

func (p *page) grey(level int) { p.f.SetTextColor(level, level, level) }

func (p *page) text(w, h float64, s, align string, ln int) {
	p.f.CellFormat(w, h, s, "", ln, align, false, 0, "")
}

// wrap breaks text into lines of at most w, between words where it can.
func wrap(f *fpdf.Fpdf, s string, w float64) []string {
	var lines []string
	line, width := "", 0.0
	space := f.GetStringWidth(" ")
	for word := range strings.FieldsSeq(printable(s)) {
		n := f.GetStringWidth(word)
		if line != "" && width+space+n <= w {
			line, width = line+" "+word, width+space+n
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for n > w { // longer than a line by itself
			head := cut(f, word, w)
			lines, word = append(lines, head), word[len(head):]
			n = f.GetStringWidth(word)
		}
		line, width = word, n
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// cut returns as much of the beginning of a text as is at most w, and a character at least.
func cut(f *fpdf.Fpdf, s string, w float64) string {
	width := 0.0
	for i, r := range s {
		if width += f.GetStringWidth(string(r)); width > w && i > 0 {
			return s[:i]
		}
	}
	return s
}

// fit shortens a text to w.
func fit(f *fpdf.Fpdf, s string, w float64) string {
	s = printable(s)
	if f.GetStringWidth(s) <= w {
		return s
	}
	return cut(f, s, w-f.GetStringWidth("…")) + "…"
}

// scripts are those that the font has and that need neither joining nor another direction.
var scripts = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Armenian, unicode.Georgian, unicode.Common}

// missing stands for a character that the font cannot show, or not without garbling it.
const missing = '▯'

// printable replaces what would come out wrong: better an honest box than a letter in the wrong place. CSV has every name in full.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0xffff || !unicode.In(r, scripts...) || unicode.Is(unicode.M, r) {
			return missing
		}
		return r
	}, Line(s))
}
