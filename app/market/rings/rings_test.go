package rings_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/app/market/rings"
)

func trade(from, to int, amount int64) rings.Trade {
	return rings.Trade{From: from, To: to, Offer: fmt.Sprintf("o%d", from), Want: fmt.Sprintf("w%d-%d", to, from), Amount: amount, Currency: "hours", Fit: 1}
}

func balances(bs ...int64) func(int, string) int64 {
	return func(m int, _ string) int64 { return bs[m] }
}

func path(r rings.Ring) (ms []int) {
	for _, t := range r.Trades {
		ms = append(ms, t.From)
	}
	return ms
}

// Planted rings are found, those first that bring most relief, and those that lead nowhere are not.
func TestU7_PlantedRings(t *testing.T) {
	m := &rings.Market{
		Trades: []rings.Trade{
			trade(0, 1, 30), trade(1, 2, 10), trade(2, 0, 20), // 0 gains 10, 1 loses 20, 2 gains 10
			trade(3, 4, 5), trade(4, 3, 5), // nobody's balance moves
			trade(5, 0, 50), trade(2, 5, 0), // 5 is in no ring with 3 or 4
		},
		Balance: balances(-10, 25, -40, 0, 0, 7), Most: 5, With: -1,
	}
	got, whole := rings.Find(m)
	if !whole || len(got) != 3 || !slices.Equal(path(got[0]), []int{0, 1, 2}) || got[0].Relief != 10+20+10 {
		t.Fatalf("%+v, whole %t", got, whole)
	}
	if r := got[1]; !slices.Equal(path(r), []int{3, 4}) || r.Relief != 0 {
		t.Errorf("%+v", r)
	}
	// 0-1-2-5: 2's amount is not said, so the mean of 30, 10 and 50.
	if r := got[2]; !slices.Equal(path(r), []int{0, 1, 2, 5}) || r.Trades[2].Amount != 30 || !slices.Equal(r.Assumed, []bool{false, false, true, false}) {
		t.Errorf("%+v", r)
	}
	m.Most = 2
	if got, _ := rings.Find(m); len(got) != 1 || len(got[0].Trades) != 2 {
		t.Errorf("of two: %+v", got)
	}
	m.Most, m.With = 5, 5
	if got, _ := rings.Find(m); len(got) != 1 || len(got[0].Trades) != 4 {
		t.Errorf("with member 5: %+v", got)
	}
	m.With, m.Trades[1].Currency = -1, "euro"
	if got, _ := rings.Find(m); len(got) != 1 {
		t.Errorf("of two currencies: %+v", got)
	}
}

// Against a search that tries everything: the same rings, whatever the order of the trades, each once, and each is one.
func TestFindIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 7).Draw(t, "members")
		var ts []rings.Trade
		has := map[[2]int]bool{}
		for range rapid.IntRange(0, 18).Draw(t, "trades") {
			a, b := rapid.IntRange(0, n-1).Draw(t, "from"), rapid.IntRange(0, n-1).Draw(t, "to")
			if a != b && !has[[2]int{a, b}] {
				has[[2]int{a, b}] = true
				ts = append(ts, trade(a, b, rapid.Int64Range(0, 9).Draw(t, "amount")))
			}
		}
		bs := make([]int64, n)
		for i := range bs {
			bs[i] = rapid.Int64Range(-20, 20).Draw(t, "balance")
		}
		most := rapid.IntRange(2, 5).Draw(t, "most")
		m := &rings.Market{Trades: ts, Balance: balances(bs...), Most: most, With: -1}
		got, whole := rings.Find(m)
		want := 0
		var walk func(start, at, size int, seen map[int]bool)
		walk = func(start, at, size int, seen map[int]bool) {
			for b := range n {
				switch {
				case !has[[2]int{at, b}]:
				case b == start && size >= 2:
					want++
				case b > start && !seen[b] && size < most:
					seen[b] = true
					walk(start, b, size+1, seen)
					delete(seen, b)
				}
			}
		}
		for s := range n {
			walk(s, s, 1, map[int]bool{})
		}
		if !whole || len(got) != min(want, rings.MaxFound) {
			t.Fatalf("%d rings, whole %t; want %d", len(got), whole, want)
		}
		for i, r := range got {
			if i > 0 && got[i-1].Relief < r.Relief {
				t.Fatalf("ring %d brings more relief than the one before", i)
			}
			for j, x := range r.Trades {
				if next := r.Trades[(j+1)%len(r.Trades)]; x.To != next.From || !has[[2]int{x.From, x.To}] {
					t.Fatalf("no ring: %+v", r)
				}
			}
		}
		other := slices.Clone(ts)
		rand.New(rand.NewPCG(1, uint64(len(ts)))).Shuffle(len(other), func(i, j int) { other[i], other[j] = other[j], other[i] })
		m.Trades = other
		if again, _ := rings.Find(m); !reflect.DeepEqual(again, got) {
			t.Fatalf("in another order: %+v, was %+v", again, got)
		}
	})
}

// Where everybody has what everybody wants the search ends all the same, and says that it has left something out.
func TestFindIsBounded(t *testing.T) {
	var ts []rings.Trade
	for a := range 120 {
		for b := range 120 {
			if a != b {
				ts = append(ts, trade(a, b, 1))
			}
		}
	}
	m := &rings.Market{Trades: ts, Balance: func(int, string) int64 { return 0 }, Most: 5, With: -1}
	got, whole := rings.Find(m)
	if whole || len(got) != rings.MaxFound {
		t.Errorf("%d rings, whole %t", len(got), whole)
	}
}
