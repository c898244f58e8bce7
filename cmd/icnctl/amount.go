package main

import (
	"math"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// parseAmount reads an amount such as 12.5 as minor units of a currency with scale decimals. Anything that would have to be rounded or guessed is
// refused: more decimals than the currency has, a comma, a sign, an exponent.
func parseAmount(text string, scale int, currency string) (int64, error) {
	bad := func(format string, args ...any) (int64, error) {
		return 0, api.Errorf("amount", api.Invalid, "%q: "+format, append([]any{text}, args...)...)
	}
	whole, part, point := strings.Cut(text, ".")
	if !digits(whole) || (point && !digits(part)) {
		return bad("want digits, and a point before decimals, such as 12.50")
	}
	if len(part) > scale {
		return bad("%d decimals, but %s has %d", len(part), currency, scale)
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", scale-len(part)), 10, 64)
	if err != nil || n > math.MaxInt64 {
		return bad("too large")
	}
	return int64(n), nil
}

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// formatAmount writes minor units with their decimals, such as -12.50.
func formatAmount(minor int64, scale int) string {
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

// pickCurrency returns the currency of that code, or the only one when code is empty.
func pickCurrency(space *client.SpaceShowOut, code string) (client.MembershipCurrency, error) {
	var codes []string
	for _, c := range space.Currencies {
		if c.Code == code || (code == "" && len(space.Currencies) == 1) {
			return c, nil
		}
		codes = append(codes, c.Code)
	}
	if code == "" {
		return client.MembershipCurrency{}, api.Errorf("--currency", api.Invalid, "%s has %d currencies, name one: %s", space.Name, len(codes), orNone(strings.Join(codes, ", ")))
	}
	return client.MembershipCurrency{}, api.Errorf("--currency", api.Invalid, "%s has no %q; it has %s", space.Name, code, orNone(strings.Join(codes, ", ")))
}
