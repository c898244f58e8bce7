package market

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"Fahrräder für Kinder!": "fahrrader fur kinder", "STRASSE Straße": "strasse strasse", "Żółty łóżko": "zolty lozko", "don't": "dont", "Ørsted 4×4": "orsted 4 4",
		"ＡＢＣ ｶﾅ": "abc カ ナ", "パン屋": "ハ ン 屋", "Москва": "москва", "ΣΟΦΟΣ σοφος": "σοφοσ σοφοσ", "": "", "--": "", "naïve café": "naive cafe", "ﬁsh": "fish",
	} {
		if got := strings.Join(words(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if n := len(words(strings.Repeat("ab ", 5000))); n != maxWords {
		t.Errorf("%d words", n)
	}
	if got := words(strings.Repeat("a", 99)); len(got) != 1 || len(got[0]) != maxWord {
		t.Errorf("%q", got)
	}
}

// Searching is what it says: every ad with every word, and no other, whatever was added and removed before.
func TestSearchIsWhatItSays(t *testing.T) {
	dict := strings.Fields("bread bred breathe rye cake cat car care cart dog")
	rapid.Check(t, func(t *rapid.T) {
		x := index{}
		have := map[uint32]map[string]uint8{}
		for i := range rapid.IntRange(1, 40).Draw(t, "steps") {
			slot := uint32(rapid.IntRange(0, 9).Draw(t, "slot"))
			if all := have[slot]; all != nil {
				x.remove(slot, all)
				delete(have, slot)
			} else {
				a := &ad{Title: rapid.SampledFrom(dict).Draw(t, "title"), Text: strings.Join(rapid.SliceOfN(rapid.SampledFrom(dict), 0, 4).Draw(t, "text"), " "), Category: "c"}
				have[slot] = weigh(a)
				x.add(slot, have[slot])
			}
			if i%3 != 0 {
				continue
			}
			q := rapid.SliceOfN(rapid.SampledFrom(append(dict, "c", "ca", "br", "d")), 1, 3).Draw(t, "query")
			want := map[uint32]int{}
			for slot, all := range have {
				score, ok := 0, true
				for i, w := range q {
					best := 2 * int(all[w])
					if i == len(q)-1 {
						for v, n := range all {
							if strings.HasPrefix(v, w) {
								best = max(best, int(n))
							}
						}
					}
					score, ok = score+best, ok && best > 0
				}
				if ok {
					want[slot] = score
				}
			}
			if got := x.search(strings.Join(q, " ")); !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: %v, want %v", q, got, want)
			}
		}
	})
}

// A word in the title goes before one in the text, a whole word before the beginning of one.
func TestRanking(t *testing.T) {
	x := index{}
	for i, a := range []*ad{{Title: "Fresh bread"}, {Title: "Cake", Text: "and bread"}, {Title: "Breadmaker"}, {Title: "Food", Category: "bread"}} {
		x.add(uint32(i), weigh(a))
	}
	got := x.search("bread")
	order := []uint32{0, 1, 2, 3}
	slices.SortStableFunc(order, func(a, b uint32) int { return got[b] - got[a] })
	if !slices.Equal(order, []uint32{0, 2, 3, 1}) || len(got) != 4 {
		t.Errorf("%v %v", order, got)
	}
}

// crowd fills a shelf with ads of made-up words.
func crowd(n int) *shelf {
	rnd := rand.New(rand.NewPCG(1, 2))
	vocab := make([]string, 20_000)
	for i := range vocab {
		vocab[i] = fmt.Sprintf("%c%c%d", 'a'+rnd.IntN(26), 'a'+rnd.IntN(26), i)
	}
	text := func(n int) string {
		ws := make([]string, n)
		for i := range ws {
			ws[i] = vocab[int(rnd.ExpFloat64()*2000)%len(vocab)]
		}
		return strings.Join(ws, " ")
	}
	s := newShelf([32]byte{1})
	for i := range n {
		id := [32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}
		s.put(id, [32]byte{2}, "did:icn:x", &standing{Posted: int64(i), Changed: int64(i), Ad: ad{
			Side: offer, Title: text(5), Text: text(60), Category: fmt.Sprintf("c%d", i%30), Expires: 1 << 40, Grid: 1000, Lat: rnd.Int64N(1e6), Lon: rnd.Int64N(1e6),
		}})
	}
	return s
}

func BenchmarkSearch10000(b *testing.B) {
	s := crowd(10_000)
	s.words.sorted()
	for name, q := range map[string]string{"one-word": "ab17", "prefix": "a", "two-words": "ab17 b"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.words.search(q)
			}
		})
	}
}

func BenchmarkNearest10000(b *testing.B) {
	v := &view{host: newWorld(b).m.Host("market"), shelf: crowd(10_000)}
	v.Reader = v.host.Read()
	b.ReportAllocs()
	for b.Loop() {
		v.nearest()
	}
}

func (v *view) nearest() { v.hits(&ListIn{Side: offer, Category: "c7", Near: "5,5"}, "") }
