package ledger

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// What a list of payments is at most.
const (
	maxRows     = 10_000
	maxCSV      = 4 << 20 // bytes
	maxProblems = 20      // that are told at once
)

// csvColumns are the columns that a list of payments may have, in any order; the first three have to be there.
var csvColumns = []string{"to", "amount", "currency", "memo", "category"}

const wantedColumns = 3

// parseRows reads a list of payments as CSV (RFC 4180) with a header. Amounts are in decimals of their currency, which decimals knows by code. The error
// names rows as a spreadsheet does, the header being row 1, at most maxProblems of them.
func parseRows(text string, scale func(code string) (decimals int, ok bool)) ([]leg, error) {
	if len(text) > maxCSV {
		return nil, fmt.Errorf("csv of %d bytes: at most %d; make several lists of it", len(text), maxCSV)
	}
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil {
		return nil, errors.New("csv: want a header in row 1: " + strings.Join(csvColumns, ","))
	}
	at := map[string]int{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		_, twice := at[name]
		if !slices.Contains(csvColumns, name) || twice {
			return nil, fmt.Errorf("csv: row 1: column %q: want each of %s once at most", clip(name), strings.Join(csvColumns, ","))
		}
		at[name] = i
	}
	for _, name := range csvColumns[:wantedColumns] {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("csv: row 1: no column %s; want %s", name, strings.Join(csvColumns, ","))
		}
	}
	var legs []leg
	var problems []error
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		line, _ := r.FieldPos(0)
		switch {
		case err != nil:
			return nil, fmt.Errorf("csv: %w", err)
		case len(legs) == maxRows:
			return nil, fmt.Errorf("csv: more than %d rows; make several lists of it", maxRows)
		case len(problems) == maxProblems:
			return nil, errors.Join(append(problems, errors.New("and more"))...)
		case len(row) != len(head):
			problems = append(problems, fmt.Errorf("csv: row %d: %d fields, want %d as in row 1", line, len(row), len(head)))
			continue
		}
		get := func(name string) string {
			if i, ok := at[name]; ok {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		l := leg{To: api.DID(get("to")), Currency: get("currency"), Memo: get("memo"), Category: get("category")}
		if column, err := l.read(get("amount"), scale); err != nil {
			problems = append(problems, fmt.Errorf("csv: row %d, column %s: %w", line, column, err))
		}
		legs = append(legs, l)
	}
	if len(legs) == 0 && len(problems) == 0 {
		return nil, errors.New("csv: no rows below the header")
	}
	return legs, errors.Join(problems...)
}

// read reads the amount and checks the rest; an error is about a column.
func (l *leg) read(amount string, scale func(string) (int, bool)) (column string, err error) {
	if err := checkDID("to", l.To); err != nil {
		return "to", errors.New(strings.TrimPrefix(err.Error(), "to: "))
	}
	decimals, ok := scale(l.Currency)
	if !ok {
		return "currency", fmt.Errorf("%q: the space has no such currency", clip(l.Currency))
	}
	if l.Amount, err = parseDecimals(amount, decimals); err != nil {
		return "amount", err
	}
	if l.Category != "" && !isCode(l.Category, maxCategory) {
		return "category", fmt.Errorf("%q: want at most %d of a-z 0-9 -", clip(l.Category), maxCategory)
	}
	return "memo", checkLine("memo", l.Memo)
}

// parseDecimals reads an amount above zero such as 12.50 as minor units of a currency with so many decimals. Nothing is rounded or guessed.
func parseDecimals(text string, scale int) (int64, error) {
	whole, part, point := strings.Cut(text, ".")
	if !isDigits(whole) || point && !isDigits(part) {
		return 0, fmt.Errorf("%q: want digits, and a point before decimals, such as 12.50", clip(text))
	}
	if len(part) > scale {
		return 0, fmt.Errorf("%q: %d decimals, want at most %d", clip(text), len(part), scale)
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", scale-len(part)), 10, 64)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q: too large", clip(text))
	}
	if n == 0 {
		return 0, fmt.Errorf("%q: want more than 0", clip(text))
	}
	return int64(n), nil
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
