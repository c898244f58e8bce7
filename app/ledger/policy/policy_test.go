package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func rule(change func(*Rule)) *Rule {
	r := &Rule{Start: 2000, Base: 10000, Max: 50000, Ramp: 90, Growth: 1000, Per: 5000, Trust: 3000}
	if change != nil {
		change(r)
	}
	return r
}

// The design's own example: a base of 100 h, a trust of 0.8 at 0.3, and 1000 h at 0.05 make 174 h.
func TestTheFormula(t *testing.T) {
	r := &Rule{Start: 10000, Base: 10000, Max: 50000, Growth: 5, Per: 100, Trust: 3000}
	n, terms := r.Limit("a", Facts{Trust: 8000, Cleared: 100000})
	if want := []Term{{TermBase, 10000, 0}, {TermTrust, 2400, 8000}, {TermGrowth, 5000, 100000}}; n != 17400 || !slices.Equal(terms, want) {
		t.Errorf("%d, %v", n, terms)
	}
}

func TestLimit(t *testing.T) {
	groups := func(r *Rule) {
		r.Groups = []Group{{Name: "bakers", Base: 30000, Max: 80000, Members: []string{"x", "y"}}}
		r.Own = []Own{{Account: "z", Limit: 7, Reason: "agreed"}}
	}
	for name, tc := range map[string]struct {
		change  func(*Rule)
		account string
		facts   Facts
		want    string
	}{
		"on the day of joining":         {nil, "a", Facts{}, "2000: base 10000, ramp -8000 of 0"},
		"six days later still":          {nil, "a", Facts{Days: 6}, "2000: base 10000, ramp -8000 of 0"},
		"after a week":                  {nil, "a", Facts{Days: 7}, "2622: base 10000, ramp -7378 of 7"},
		"before the ramp is over":       {nil, "a", Facts{Days: 90}, "9466: base 10000, ramp -534 of 84"},
		"when it is":                    {nil, "a", Facts{Days: 91}, "10000: base 10000"},
		"half a step earns nothing":     {nil, "a", Facts{Days: 100, Cleared: 4999}, "10000: base 10000"},
		"each whole step does":          {nil, "a", Facts{Days: 100, Cleared: 14999}, "12000: base 10000, growth 2000 of 14999"},
		"trust by tenths":               {nil, "a", Facts{Days: 100, Trust: 5999}, "11500: base 10000, trust 1500 of 5000"},
		"never above the most":          {nil, "a", Facts{Days: 100, Cleared: 1 << 62, Trust: 10000}, "50000: base 10000, trust 3000 of 10000, growth 50000 of 4611686018427387904, max -13000 of 50000"},
		"what is new earns slowly, too": {nil, "a", Facts{Days: 45, Cleared: 50000}, "10400: base 10000, growth 10000 of 50000, ramp -9600 of 42"},
		"facts that cannot be":          {nil, "a", Facts{Days: -5, Cleared: -1, Trust: -9}, "2000: base 10000, ramp -8000 of 0"},
		"no ramp":                       {func(r *Rule) { r.Ramp = 0 }, "a", Facts{}, "10000: base 10000"},
		"of a group":                    {groups, "y", Facts{Days: 100, Cleared: 5000}, "31000: group bakers 30000, growth 1000 of 5000"},
		"a limit of its own":            {groups, "z", Facts{Days: 100, Cleared: 5000}, "7: own 7"},
		"nothing for anybody":           {func(r *Rule) { *r = Rule{} }, "a", Facts{Days: 1000, Cleared: 1000, Trust: 10000}, "0: base 0"},
	} {
		r := rule(tc.change)
		if err := r.Check(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		n, terms := r.Limit(tc.account, tc.facts)
		var parts []string
		for _, x := range terms {
			s := fmt.Sprintf("%s %d", x.Name, x.Amount)
			if x.Of != 0 || x.Name == TermRamp {
				s += fmt.Sprintf(" of %d", x.Of)
			}
			parts = append(parts, s)
		}
		if got := fmt.Sprintf("%d: %s", n, strings.Join(parts, ", ")); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestCheck(t *testing.T) {
	member := func(names ...string) []Group { return []Group{{Name: "g", Base: 3000, Max: 3000, Members: names}} }
	for want, change := range map[string]func(*Rule){
		"max -1":             func(r *Rule) { *r = Rule{Max: -1} },
		"max 11529215046068": func(r *Rule) { r.Max = MostAmount + 1 },
		"base 50001":         func(r *Rule) { r.Base = 50001 },
		"start 10001":        func(r *Rule) { r.Start = 10001 },
		"start -1":           func(r *Rule) { r.Start = -1 },
		"ramp 3661":          func(r *Rule) { r.Ramp = 3661 },
		"growth 1000 per 0":  func(r *Rule) { r.Per = 0 },
		"growth 0 per 5000":  func(r *Rule) { r.Growth = 0 },
		"growth -1 per 5000": func(r *Rule) { r.Growth = -1 },
		"trust 10001":        func(r *Rule) { r.Trust = 10001 },
		"17 groups":          func(r *Rule) { r.Groups = make([]Group, 17) },
		"257 limits":         func(r *Rule) { r.Own = make([]Own, 257) },
		"groups[0].name":     func(r *Rule) { r.Groups = []Group{{Name: "The Bakers"}} },
		"groups[1].name": func(r *Rule) {
			r.Groups = append(member("a"), member("b")...)
		},
		"groups[0]: base 1999":  func(r *Rule) { r.Groups = []Group{{Name: "g", Base: 1999, Max: 3000}} },
		"groups[0].members":     func(r *Rule) { r.Groups = member() },
		`groups: "a" stands`:    func(r *Rule) { r.Groups = member("a", "b", "a") },
		`groups: "" stands`:     func(r *Rule) { r.Groups = member("a", "") },
		"257 members":           func(r *Rule) { r.Groups = member(make([]string, 257)...) },
		"own[0].account":        func(r *Rule) { r.Own = []Own{{}} },
		"own[1].account":        func(r *Rule) { r.Own = []Own{{"b", 1, "x"}, {"a", 1, "x"}} },
		"own[0].limit -1":       func(r *Rule) { r.Own = []Own{{"b", -1, "x"}} },
		"own[0].reason of 0":    func(r *Rule) { r.Own = []Own{{"b", 1, ""}} },
		"own[0].reason of 201 ": func(r *Rule) { r.Own = []Own{{"b", 1, strings.Repeat("x", 201)}} },
	} {
		if err := rule(change).Check(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestPresets(t *testing.T) {
	for _, p := range Presets() {
		for scale := range uint8(7) {
			got, err := Find(p.Name, scale)
			if err != nil || got.Rule.Check() != nil || got.Rule.Start == 0 || got.Rule.Max < 100 {
				t.Errorf("%s with %d decimals: %+v, %v, %v", p.Name, scale, got, err, got.Rule.Check())
			}
		}
	}
	if p, _ := Find("conservative", 2); p.Rule.Base != 10000 || p.Rule.Ramp != 90 {
		t.Errorf("%+v", p)
	}
	if _, err := Find("generous", 2); err == nil || !strings.Contains(err.Error(), "conservative") {
		t.Errorf("%v", err)
	}
}

func TestNext(t *testing.T) {
	r := rule(nil)
	for days, want := range map[int64]int64{-3: 7, 0: 7, 6: 1, 7: 7, 84: 7, 89: 2, 90: 0, 5000: 0} {
		if got := r.Next(days); got != want {
			t.Errorf("after %d days: %d, want %d", days, got, want)
		}
	}
	if (&Rule{}).Next(0) != 0 {
		t.Error("without a ramp nothing rises by itself")
	}
}

// amounts draws such as have made trouble before any other.
var amounts = rapid.OneOf(rapid.Int64Range(0, MostAmount), rapid.SampledFrom([]int64{0, 1, 2, MostAmount - 1, MostAmount}), rapid.Int64Range(0, 100000))

func drawRule(t *rapid.T) *Rule {
	ascending := func(label string, n int) []int64 {
		all := rapid.SliceOfN(amounts, n, n).Draw(t, label)
		slices.Sort(all)
		return all
	}
	sizes := ascending("start base max", 3)
	r := &Rule{Start: sizes[0], Base: sizes[1], Max: sizes[2], Ramp: rapid.Int64Range(0, MostRamp).Draw(t, "ramp"), Trust: rapid.Int64Range(0, Whole).Draw(t, "trust")}
	if rapid.Bool().Draw(t, "grows") {
		r.Growth, r.Per = max(amounts.Draw(t, "growth"), 1), max(amounts.Draw(t, "per"), 1)
	}
	if rapid.Bool().Draw(t, "group") {
		r.Groups = []Group{{Name: "g", Base: r.Base, Max: MostAmount, Members: []string{"g1", "g2"}}}
	}
	if rapid.Bool().Draw(t, "own") {
		r.Own = []Own{{Account: "o", Limit: amounts.Draw(t, "own limit"), Reason: "agreed"}}
	}
	return r
}

var anything = rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, math.MaxInt64}), rapid.Int64Range(0, 20000))

func drawFacts(t *rapid.T, label string) Facts {
	return Facts{Days: anything.Draw(t, label+" days"), Cleared: anything.Draw(t, label+" cleared"), Trust: anything.Draw(t, label+" trust")}
}

// Whatever the rule and the facts: the terms add up to the limit, which is neither negative nor above what the rule gives, and can be checked from the terms
// alone; who has more of everything has no lower limit.
func TestLimitsAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRule(t)
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		account := rapid.SampledFrom([]string{"a", "g2", "o"}).Draw(t, "account")
		f := drawFacts(t, "facts")
		n, terms := r.Limit(account, f)
		var sum int64
		for _, x := range terms {
			if sum += x.Amount; x.Amount == 0 && x != terms[0] {
				t.Fatalf("%v adds nothing", x)
			}
		}
		switch {
		case sum != n:
			t.Fatalf("the terms %v add up to %d, and the limit is %d", terms, sum, n)
		case n < 0 || n > r.Ceiling(account) || n > r.Highest():
			t.Fatalf("%d is not in 0 to %d, %d", n, r.Ceiling(account), r.Highest())
		case !r.Follows(account, n, terms):
			t.Fatalf("%d, %v does not follow from itself", n, terms)
		case r.Follows(account, n+1, terms):
			t.Fatalf("%d follows from %v", n+1, terms)
		}
		i := rapid.IntRange(0, len(terms)-1).Draw(t, "which")
		forged := slices.Clone(terms)
		forged[i].Amount++
		if r.Follows(account, n+1, forged) {
			t.Fatalf("%v follows", forged)
		}
		forged[i].Amount--
		forged[i].Name += "s"
		if r.Follows(account, n, forged) {
			t.Fatalf("%v follows, of the same sum", forged)
		}
		more := Facts{Days: max(f.Days, f.Days/2+1), Cleared: max(f.Cleared, f.Cleared/2+1), Trust: max(f.Trust, f.Trust/2+1)}
		if n2, _ := r.Limit(account, more); n2 < n {
			t.Fatalf("%+v gives %d, and %+v only %d", f, n, more, n2)
		}
	})
}

// However much somebody was paid, growth ends at the maximum.
func TestGrowthEndsAtTheMaximum(t *testing.T) {
	r := Rule{Max: MostAmount, Growth: 1 << 30, Per: 1}
	for _, cleared := range []int64{1 << 30, 1 << 35, 1 << 41, math.MaxInt64} {
		if n, _ := r.Limit("a", Facts{Cleared: cleared}); n != MostAmount {
			t.Errorf("for %d: %d, want %d", cleared, n, int64(MostAmount))
		}
	}
}

// In what order groups' members and accounts of their own were written down makes no difference to a limit.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rule(func(r *Rule) {
			r.Groups = []Group{
				{Name: "a", Base: 20000, Max: 20000, Members: []string{"m1", "m2", "m3"}},
				{Name: "b", Base: 30000, Max: 90000, Members: []string{"m4", "m5"}},
			}
		})
		f := drawFacts(t, "facts")
		account := rapid.SampledFrom([]string{"m1", "m2", "m3", "m4", "m5", "m6"}).Draw(t, "account")
		n, terms := r.Limit(account, f)
		for i := range r.Groups {
			r.Groups[i].Members = rapid.Permutation(r.Groups[i].Members).Draw(t, "members")
		}
		if n2, terms2 := r.Limit(account, f); n != n2 || !slices.Equal(terms, terms2) {
			t.Fatalf("%d %v, then %d %v", n, terms, n2, terms2)
		}
	})
}
