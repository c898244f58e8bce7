package rehearsal

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/app/ledger/policy"
)

const fund = "office:treasury"

// story makes a past of lines "day who>whom amount [word]", where word is undo=N, the line that it gives back, or by=SCHEDULE.
func story(t *testing.T, members string, lines ...string) *Past {
	t.Helper()
	p := &Past{Default: 100, Fund: fund}
	for _, m := range strings.Fields(members) {
		p.Members = append(p.Members, Member{Account: m})
	}
	for i, line := range lines {
		var on int64
		var who string
		var amount int64
		if _, err := fmt.Sscan(line, &on, &who, &amount); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		from, to, _ := strings.Cut(who, ">")
		e := Event{Time: uint64(on*day)<<16 + uint64(i), Seq: uint64(i), ID: [32]byte{byte(i) + 1}, Payer: from, Trade: true, Moves: []Move{{from, -amount}, {to, amount}}}
		for _, w := range strings.Fields(line)[3:] {
			if n, ok := strings.CutPrefix(w, "undo="); ok {
				var k byte
				fmt.Sscan(n, &k) //nolint:errcheck // a line that is wrong undoes nothing, and the test notices
				e.Undoes = [32]byte{k + 1}
			}
			if by, ok := strings.CutPrefix(w, "by="); ok {
				e.Payer, e.Trade, e.Schedule = "", false, by
			}
			if w == "office" {
				e.Payer = ""
			}
		}
		p.Events = append(p.Events, e)
	}
	return p
}

func flat(limit int64) *policy.Rule { return &policy.Rule{Start: limit, Base: limit, Max: limit} }

func monthly(name, of string, due func(int64) int64, n int) Charge {
	c := Charge{Name: name, Of: of, Due: due}
	for i := range int64(n) {
		c.Periods = append(c.Periods, Period{i * 30 * day, (i + 1) * 30 * day})
	}
	return c
}

func told(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d refused, %d of %d, moot %d, replaced %d, collected %d\n", r.Refused, r.Payments, r.Withheld, r.Paid, r.Moot, r.Replaced, r.Collected)
	for _, x := range r.Refusals {
		fmt.Fprintf(&b, "%s pays %s %d with %d and a limit of %d: %d missing\n", x.From, x.To, x.Amount, x.Balance, x.Limit, x.Short)
	}
	for _, x := range r.Charges {
		fmt.Fprintf(&b, "%s %s: %d periods, %d charges of %d accounts, %d back %d\n", x.Name, x.Of, x.Periods, x.Charges, x.Accounts, x.Sum, x.Back)
	}
	for _, x := range r.Accounts {
		fmt.Fprintf(&b, "%s: refused %d, charged %d, %d and not %d\n", x.Account, x.Refused, x.Charged, x.After, x.Before)
	}
	return b.String()
}

func TestRun(t *testing.T) {
	tenth := func(base int64) int64 { return base / 10 }
	all := Proposal{To: math.MaxInt64}
	for name, tc := range map[string]struct {
		past *Past
		p    Proposal
		want string
	}{
		"what has happened was allowed": {
			story(t, "a b", "1 a>b 500", "2 b>a 3"), all,
			"0 of 2 refused, 0 of 503, moot 0, replaced 0, collected 0\n",
		},
		"a lower limit": {
			story(t, "a b c", "1 a>b 40", "2 a>b 20", "3 a>b 10", "4 b>c 90"),
			Proposal{Rule: flat(50), To: math.MaxInt64},
			"1 of 4 refused, 20 of 160, moot 0, replaced 0, collected 0\n" +
				"a pays b 20 with -40 and a limit of 50: 10 missing\n" +
				"a: refused 1, charged 0, -50 and not -70\nb: refused 0, charged 0, -40 and not -20\n",
		},
		"who is not paid cannot pay": {
			story(t, "a b c", "1 a>b 60", "2 b>c 90"),
			Proposal{Rule: flat(50), To: math.MaxInt64},
			"2 of 2 refused, 150 of 150, moot 0, replaced 0, collected 0\n" +
				"a pays b 60 with 0 and a limit of 50: 10 missing\nb pays c 90 with 0 and a limit of 50: 40 missing\n" +
				"a: refused 1, charged 0, 0 and not -60\nb: refused 1, charged 0, 0 and not -30\nc: refused 0, charged 0, 0 and not 90\n",
		},
		"what was not paid is not given back": {
			story(t, "a b", "1 a>b 60", "2 b>a 60 undo=0"),
			Proposal{Rule: flat(50), To: math.MaxInt64},
			"1 of 1 refused, 60 of 60, moot 1, replaced 0, collected 0\na pays b 60 with 0 and a limit of 50: 10 missing\na: refused 1, charged 0, 0 and not 0\n",
		},
		"nor settled": {
			story(t, "a b", "1 a>escrow:x 60", "2 escrow:x>b 60 office"),
			Proposal{Rule: flat(50), To: math.MaxInt64},
			"1 of 1 refused, 60 of 60, moot 1, replaced 0, collected 0\na pays escrow:x 60 with 0 and a limit of 50: 10 missing\n" +
				"a: refused 1, charged 0, 0 and not -60\nb: refused 0, charged 0, 0 and not 60\n",
		},
		"limits grow with what is earned, but not with what comes back": {
			story(t, "a b", "1 b>a 10", "2 a>b 30", "3 b>a 10 undo=1", "4 a>b 8"),
			Proposal{Rule: &policy.Rule{Start: 10, Base: 10, Max: 90, Growth: 10, Per: 10}, To: math.MaxInt64},
			"0 of 4 refused, 0 of 58, moot 0, replaced 0, collected 0\n",
		},
		"new members have less": {
			story(t, "a b", "1 a>b 20", "60 a>b 20"),
			Proposal{Rule: &policy.Rule{Start: 10, Base: 100, Max: 100, Ramp: 30}, To: math.MaxInt64},
			"1 of 2 refused, 20 of 40, moot 0, replaced 0, collected 0\na pays b 20 with 0 and a limit of 10: 10 missing\n" +
				"a: refused 1, charged 0, -20 and not -40\nb: refused 0, charged 0, 20 and not 40\n",
		},
		"dues, and what they leave no room for": {
			story(t, "a b", "5 a>b 95", "35 a>b 5"),
			Proposal{Charges: []Charge{monthly("dues", Dues, func(int64) int64 { return 3 }, 2)}, To: 36 * day},
			"1 of 2 refused, 5 of 100, moot 0, replaced 0, collected 12\na pays b 5 with -101 and a limit of 100: 6 missing\n" +
				"dues dues: 2 periods, 4 charges of 2 accounts, 12 back 0\na: refused 1, charged 6, -101 and not -100\nb: refused 0, charged 6, 89 and not 100\n" +
				"office:treasury: refused 0, charged 0, 12 and not 0\n",
		},
		"a levy, and what it gives back": {
			story(t, "a b", "5 a>b 50", "35 b>a 50 undo=0", "65 a>b 1"),
			Proposal{Charges: []Charge{monthly("levy", LevyOut, tenth, 2)}, To: math.MaxInt64},
			"0 of 3 refused, 0 of 101, moot 0, replaced 0, collected 0\nlevy levy-out: 2 periods, 2 charges of 1 accounts, 5 back 5\na: refused 0, charged 0, -1 and not -1\n",
		},
		"demurrage in the place of what there was": {
			story(t, "a b", "5 a>b 50", "6 b>office:treasury 7 by=rust"),
			Proposal{Charges: []Charge{monthly("rust", Demurrage, func(n int64) int64 { return max(0, n) / 10 }, 1)}, To: math.MaxInt64},
			"0 of 1 refused, 0 of 50, moot 0, replaced 1, collected 5\nrust demurrage: 1 periods, 1 charges of 1 accounts, 5 back 0\n" +
				"b: refused 0, charged 5, 45 and not 43\noffice:treasury: refused 0, charged 0, 5 and not 7\n",
		},
		"what was before stays": {
			story(t, "a b", "1 a>b 90", "5 a>b 5", "6 a>b 1"),
			Proposal{Rule: flat(50), From: 6 * day, To: math.MaxInt64},
			"1 of 1 refused, 1 of 1, moot 0, replaced 0, collected 0\na pays b 1 with -95 and a limit of 50: 46 missing\n" +
				"a: refused 1, charged 0, -95 and not -96\nb: refused 0, charged 0, 95 and not 96\n",
		},
		"and what comes after is not looked at": {
			story(t, "a b", "1 a>b 40", "5 a>b 90"),
			Proposal{Rule: flat(50), To: 5 * day},
			"0 of 1 refused, 0 of 40, moot 0, replaced 0, collected 0\n",
		},
	} {
		if got := told(Run(tc.past, &tc.p)); got != tc.want {
			t.Errorf("%s:\n%swant\n%s", name, got, tc.want)
		}
	}
}

// Limits that were granted hold where no rule is rehearsed, and members are charged while they are members.
func TestGrantsAndTenure(t *testing.T) {
	p := story(t, "a b", "5 a>b 90", "40 a>b 20")
	p.Grants = []Grant{{Time: uint64(30*day) << 16, Account: "a", Limit: 120}}
	p.Members = append(p.Members, Member{Account: "c", Since: 10 * day}, Member{Account: "d", Until: 30 * day})
	r := Run(p, &Proposal{Charges: []Charge{monthly("dues", Dues, func(int64) int64 { return 6 }, 2)}, To: 100 * day})
	if r.Refused != 1 || r.Refusals[0].Limit != 120 || r.Refusals[0].Short != 2 {
		t.Errorf("%+v", r.Refusals)
	}
	if c := r.Charges[0]; c.Charges != 6 || c.Accounts != 4 { // a, b, d; then a, b, c
		t.Errorf("%+v", c)
	}
}

// drawPast is what may have happened: any payments, some given back.
func drawPast(t *rapid.T) *Past {
	accounts := []string{"a", "b", "c", "d", fund}
	p := &Past{Default: rapid.Int64Range(0, 200).Draw(t, "default"), Fund: fund}
	for _, a := range accounts[:4] {
		p.Members = append(p.Members, Member{Account: a, Since: rapid.Int64Range(0, 40).Draw(t, "since") * day})
	}
	for i := range rapid.IntRange(0, 60).Draw(t, "events") {
		from := rapid.IntRange(0, 3).Draw(t, "from")
		to := (from + rapid.IntRange(1, 4).Draw(t, "to")) % len(accounts)
		amount := rapid.OneOf(rapid.Int64Range(1, 300), rapid.Just(int64(1<<55))).Draw(t, "amount")
		e := Event{
			Time: uint64(rapid.Int64Range(0, 100).Draw(t, "day")*day) << 16, Feed: [32]byte{byte(from)}, Seq: uint64(i), ID: [32]byte{byte(i), 1}, Payer: accounts[from], Trade: true,
			Moves: []Move{{accounts[from], -amount}, {accounts[to], amount}},
		}
		if len(p.Events) > 0 && rapid.IntRange(0, 5).Draw(t, "refund") == 0 {
			e.Undoes = p.Events[rapid.IntRange(0, len(p.Events)-1).Draw(t, "undoes")].ID
		}
		p.Events = append(p.Events, e)
	}
	return p
}

// The same past gives the same report in whatever order it is read; rules that change nothing refuse nothing; and nothing is made or lost.
func TestReportsAreSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		past := drawPast(t)
		proposal := Proposal{To: 200 * day, From: rapid.Int64Range(0, 50).Draw(t, "from") * day}
		if none := Run(past, &proposal); none.Refused != 0 || len(none.Accounts) != 0 {
			t.Fatalf("no rule, and yet %s", told(none))
		}
		if rapid.Bool().Draw(t, "rule") {
			proposal.Rule = &policy.Rule{Start: 5, Base: 50, Max: rapid.Int64Range(50, 500).Draw(t, "max"), Ramp: 28, Growth: 7, Per: 20}
		}
		for i, of := range []string{Dues, LevyIn, LevyOut, Demurrage} {
			if rapid.Bool().Draw(t, of) {
				due := func(n int64) int64 { return n / 20 }
				if of == Dues {
					due = func(int64) int64 { return 2 }
				}
				proposal.Charges = append(proposal.Charges, monthly(of, of, due, 1+i))
			}
		}
		first := Run(past, &proposal)
		var sum int64
		for _, a := range first.Accounts {
			sum += a.After - a.Before // two's complement: what runs over on the way comes back
		}
		if sum != 0 {
			t.Fatalf("%d were made or lost: %s", sum, told(first))
		}
		past.Events = rapid.Permutation(past.Events).Draw(t, "events")
		past.Members = rapid.Permutation(past.Members).Draw(t, "members")
		if again := Run(past, &proposal); !reflect.DeepEqual(first, again) {
			t.Fatalf("%s and then %s", told(first), told(again))
		}
	})
}

// Year makes a year of a co-op: so many members who pay each other so often.
func year(members, payments int) *Past {
	rng := rand.New(rand.NewPCG(1, 2))
	p := &Past{Default: 2000, Fund: fund}
	name := make([]string, members)
	for i := range name {
		name[i] = fmt.Sprintf("did:icn:member-%04d", i)
		p.Members = append(p.Members, Member{Account: name[i], Since: int64(rng.IntN(180)) * day})
	}
	slices.Sort(name)
	for i := range payments {
		from := rng.IntN(members)
		to := (from + 1 + rng.IntN(members-1)) % members
		amount := 1 + rng.Int64N(1500)
		e := Event{
			Time: uint64(int64(i)*365*day/int64(payments))<<16 + uint64(i%7), Feed: [32]byte{byte(from), byte(from >> 8)}, Seq: uint64(i),
			ID: [32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}, Payer: name[from], Trade: true, Moves: []Move{{name[from], -amount}, {name[to], amount}},
		}
		p.Events = append(p.Events, e)
	}
	return p
}

// A year of 1,000 members and 100,000 payments under another limit, a levy and demurrage.
func BenchmarkRun(b *testing.B) {
	past := year(1000, 100_000)
	preset, err := policy.Find("conservative", 2)
	if err != nil {
		b.Fatal(err)
	}
	p := &Proposal{Rule: &preset.Rule, To: 365 * day, Charges: []Charge{
		monthly("levy", LevyOut, func(n int64) int64 { return n / 100 }, 12), monthly("rust", Demurrage, func(n int64) int64 { return max(n-5000, 0) / 50 }, 12),
	}}
	for b.Loop() {
		if r := Run(past, p); r.Payments != 100_000 {
			b.Fatal(r.Payments)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}
