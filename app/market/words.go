package market

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Bounds of what is indexed.
const (
	maxWord  = 32   // characters; longer words are cut
	maxWords = 1024 // of one text
)

// words splits a text into the words that it is found by: runs of letters and digits, folded so that case, accents and the width of characters make no
// difference: "Fahrräder" is fahrrader, "Straße" strasse. In scripts without spaces between words each character is one.
func words(text string) []string {
	var out []string
	var b strings.Builder
	n := 0
	end := func() {
		if b.Len() > 0 {
			out = append(out, b.String())
			b.Reset()
		}
		n = 0
	}
	for _, r := range fold(text) {
		switch {
		case len(out) >= maxWords:
			return out
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer):
			end()
			b.WriteRune(r)
			end()
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if n++; n <= maxWord {
				b.WriteRune(r)
			}
		case r == '\'' || r == '\u2019': // don't is one word
		default:
			end()
		}
	}
	end()
	return out
}

// fold takes away case, marks and compatibility forms.
func fold(text string) string {
	folded := cases.Fold().String(norm.NFKD.String(text))
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		if plain, ok := strokes(r); ok {
			return plain
		}
		return r
	}, norm.NFKD.String(folded))
}

// strokes returns the plain letter of those that Unicode does not take apart, though people leave the stroke out when they search.
func strokes(r rune) (rune, bool) {
	switch r {
	case 'ø':
		return 'o', true
	case 'ł':
		return 'l', true
	case 'đ', 'ð':
		return 'd', true
	case 'ħ':
		return 'h', true
	case 'ı':
		return 'i', true
	case 'ŧ':
		return 't', true
	}
	return r, false
}
