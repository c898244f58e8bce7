package books

import (
	"encoding/csv"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Columns are the columns of a CSV file, in order.
func Columns() []string {
	return []string{
		"date", "time", "account", "name", "counter_account", "counter_name", "kind", "category", "memo", "currency", "amount", "balance", "state", "record", "leg",
		"keyed_by", "value_date",
	}
}

// writeCSV writes a row per movement and account, as RFC 4180 says.
func writeCSV(o *output, b *Book) (*Totals, error) {
	w := csv.NewWriter(o)
	w.UseCRLF = true
	if err := w.Write(Columns()); err != nil {
		return nil, err
	}
	t := b.NewTotals()
	line := make([]string, len(Columns()))
	for s, err := range b.Sections {
		if err != nil {
			return nil, err
		}
		err := b.Walk(s, t, func(r *Row, i int) error {
			c := &b.Currencies[i]
			line = append(line[:0], b.day(r.Time), r.Time.In(b.Zone).Format(time.RFC3339), s.Account, Cell(s.Name), r.Counter, Cell(r.CounterName), Cell(r.Kind),
				Cell(r.Category), Cell(r.Memo), r.Currency, Decimal(r.Amount, c.Scale), c.balance(r.Balance), state(r), r.ID, strconv.Itoa(r.Leg), r.KeyedBy, r.ValueDate)
			return w.Write(line)
		})
		if err != nil {
			return nil, err
		}
	}
	w.Flush()
	return t, w.Error()
}

func state(r *Row) string {
	if r.Final {
		return "final"
	}
	return "open"
}

// Cell makes text of others safe in a spreadsheet: what would be taken for a formula gets an apostrophe before it. Source: OWASP, CSV Injection.
func Cell(s string) string {
	s = Line(s)
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(s, " \u00a0\u3000"))
	if strings.ContainsRune("=+-@＝＋－＠", first) {
		return "'" + s
	}
	return s
}
