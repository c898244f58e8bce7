package importer

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxCode is the longest code of an account, in bytes.
const maxCode = 48

// maxCell is the longest name of an account in a file, in bytes.
const maxCell = 256

// hashSize is how many digits tell codes apart that would be the same.
const hashSize = 8

// Code returns the code of an account by what a file calls it. What is a code already, 1 to 48 letters, digits and hyphens of ASCII, stays as it is; anything
// else becomes one that can be read, with digits of its hash, so that two accounts never get one code.
func Code(text string) (string, error) {
	switch {
	case text == "":
		return "", errors.New("empty: want an account")
	case len(text) > maxCell || strings.ContainsFunc(text, control):
		return "", fmt.Errorf("%q: want at most %d bytes on one line", clip(text), maxCell)
	case IsCode(text) && text != Clearing:
		return text, nil
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < utf8.RuneSelf && plain(byte(r)):
			b.WriteRune(r)
		case latin[unicode.ToLower(r)] != 0:
			b.WriteByte(latin[unicode.ToLower(r)])
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= maxCode-hashSize-1 {
			break
		}
	}
	sum := sha256.Sum256([]byte(text))
	return strings.TrimRight(b.String(), "-") + "-" + hex.EncodeToString(sum[:hashSize/2]), nil
}

// IsCode reports whether s can be the code of an account.
func IsCode(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) && s[i] != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxCode
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// latin has the letters without their marks.
var latin = map[rune]byte{
	'à': 'a', 'á': 'a', 'â': 'a', 'ã': 'a', 'ä': 'a', 'å': 'a', 'ç': 'c', 'è': 'e', 'é': 'e', 'ê': 'e', 'ë': 'e', 'ì': 'i', 'í': 'i', 'î': 'i', 'ï': 'i', 'ñ': 'n',
	'ò': 'o', 'ó': 'o', 'ô': 'o', 'õ': 'o', 'ö': 'o', 'ø': 'o', 'ù': 'u', 'ú': 'u', 'û': 'u', 'ü': 'u', 'ý': 'y', 'ÿ': 'y',
}

func isCode(s string, longest int) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= longest
}

func control(r rune) bool { return unicode.IsControl(r) }

// line makes text of a cell one line of at most MaxText bytes.
func line(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }), " ")
	for len(s) > MaxText {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s
}

// category makes a code of what a file calls a category.
func category(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case latin[r] != 0:
			b.WriteByte(latin[r])
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() == 32 {
			break
		}
	}
	return strings.TrimRight(b.String(), "-")
}

// dateForms are the ways in which a date can be written.
var dateForms = []string{"YYYY-MM-DD", "DD/MM/YYYY", "MM/DD/YYYY", "DD.MM.YYYY", "DD-MM-YYYY", "YYYY/MM/DD"}

// day reads a date; empty is that of the mapping.
func (m *Mapping) day(text string) (string, error) {
	if text == "" {
		return m.On, nil
	}
	date := text
	if i := strings.IndexAny(text, " T"); i > 0 {
		date = text[:i]
	}
	var y, mo, d string
	sep := strings.Trim(m.Date, "DMY")[:1]
	parts := strings.Split(date, sep)
	bad := fmt.Errorf("%q: want a date as %s", clip(text), m.Date)
	if len(parts) != 3 {
		return "", bad
	}
	for i, token := range strings.Split(m.Date, sep) {
		switch token {
		case "YYYY":
			y = parts[i]
		case "MM":
			mo = parts[i]
		case "DD":
			d = parts[i]
		}
	}
	if len(y) != 4 || len(mo) > 2 || len(d) > 2 || !digits(y) || !digits(mo) || !digits(d) {
		return "", bad
	}
	iso, err := isoDay(fmt.Sprintf("%s-%02s-%02s", y, mo, d))
	if err != nil {
		return "", bad
	}
	return iso, nil
}

// isoDay checks a day as this package writes it.
func isoDay(s string) (string, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1900 || t.Year() > 2200 {
		return "", fmt.Errorf("%q: want a day such as 2024-05-31, from 1900 to 2200", clip(s))
	}
	return t.Format(time.DateOnly), nil
}

// maxWhole bounds the digits of an amount.
const maxWhole = 30

// maxAmount bounds an amount, so that a sum over all rows of a file is far from the ends of an int64.
const maxAmount = 1 << 44

// amount reads an amount, in minor units of a currency with so many decimals.
func (m *Mapping) amount(text string, decimals int) (int64, error) {
	bad := fmt.Errorf("%q: want an amount such as %s", clip(text), m.example())
	s := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\u00a0', '\u202f', '\'', '’':
			return -1 // between groups of digits
		case '\u2212':
			return '-'
		}
		return r
	}, text)
	negative := false
	if in, ok := strings.CutPrefix(s, "("); ok && strings.HasSuffix(in, ")") { // as accountants have it
		s, negative = "-"+strings.TrimSuffix(in, ")"), false
	}
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		s, negative = rest, true
	} else {
		s = strings.TrimPrefix(s, "+")
	}
	if len(s) > maxWhole {
		return 0, bad
	}
	n := new(big.Rat)
	switch m.Unit {
	case Clock:
		h, mins, ok := strings.Cut(s, ":")
		mm, err := strconv.Atoi(mins)
		if !ok || !digits(h) || len(mins) != 2 || !digits(mins) || err != nil || mm > 59 {
			return 0, bad
		}
		n.SetString(h)
		n.Add(n, big.NewRat(int64(mm), 60))
	default:
		whole, part, point := strings.Cut(s, m.Point)
		whole, ok := ungroup(whole, m.Point)
		if !ok || point && !digits(part) {
			return 0, bad
		}
		if point {
			whole += "." + part
		}
		n.SetString(whole)
		switch m.Unit {
		case Minutes:
			n.Quo(n, big.NewRat(60, 1))
		case Seconds:
			n.Quo(n, big.NewRat(3600, 1))
		}
	}
	n.Mul(n, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)))
	if !n.IsInt() {
		if !m.Round {
			return 0, fmt.Errorf("%q: no whole number of the smallest unit, which has %d decimals; let the mapping say \"round\": true, or use a currency with more", clip(text), decimals)
		}
		n.Add(n, big.NewRat(1, 2))
		n.SetInt(new(big.Int).Div(n.Num(), n.Denom()))
	}
	if !n.Num().IsInt64() || n.Num().Int64() > maxAmount {
		return 0, fmt.Errorf("%q: too large", clip(text))
	}
	if negative {
		return -n.Num().Int64(), nil
	}
	return n.Num().Int64(), nil
}

func (m *Mapping) example() string {
	switch m.Unit {
	case Clock:
		return "1:30"
	case Minutes:
		return "90"
	case Seconds:
		return "5400"
	}
	return "12" + m.Point + "50"
}

// ungroup takes out of a whole number what stands between thousands: the point that does not stand before decimals.
func ungroup(s, point string) (string, bool) {
	group := ","
	if point == "," {
		group = "."
	}
	parts := strings.Split(s, group)
	for i, p := range parts {
		if !digits(p) || i > 0 && len(p) != 3 || i == 0 && len(parts) > 1 && len(p) > 3 {
			return "", false
		}
	}
	return strings.Join(parts, ""), true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func clip(s string) string {
	if len(s) <= 60 {
		return s
	}
	return strings.ToValidUTF8(s[:60], "") + "..."
}
