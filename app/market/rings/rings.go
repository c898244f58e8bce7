// Package rings finds rings of trades: members of whom each has what the next one wants, the last what the first wants. When all of them trade, what each is
// paid goes to another of the ring, so that balances move little or towards zero, and nobody needs more credit than before.
//
// It is pure and knows neither kernel nor ads: who gives what to whom comes as Trades, and members are numbers. What it finds depends on its input alone.
package rings

import (
	"cmp"
	"slices"
)

// Bounds of a search.
const (
	MinSize  = 2
	MaxSize  = 5
	MaxFound = 50      // rings that Find returns
	maxOut   = 24      // of the trades by which one member gives, the best
	maxSteps = 500_000 // trades that a search follows
)

// Trade is something that one member offers and another wants.
type Trade struct {
	From, To int    // members, from 0; From is paid by To
	Offer    string // what tells the offer and the want from others, and orders them
	Want     string
	Amount   int64  // minor units, 0: not said
	Currency string // of the amount
	Fit      int    // how well they fit; more is better
}

// Ring is trades of which each goes on from where the one before ends, and the last ends where the first begins: with the member of the lowest number.
type Ring struct {
	Trades   []Trade // with an amount, if any in the ring has one
	Assumed  []bool  // whose amount nobody has said: it is the mean of those that are
	Currency string  // "" where no amount is said
	Relief   int64   // by how much the absolute balances of the members shrink together; below 0: they grow
	Fit      int
}

// Market is what is known of the members.
type Market struct {
	Trades  []Trade
	Balance func(member int, currency string) int64
	Most    int // members of a ring, MinSize to MaxSize
	With    int // only rings with this member; -1: all
}

// Find returns the best rings: those that bring most relief, of these those with fewer members, then those that fit best, then in the order of what they
// trade. Of several trades between two members the one that fits best is taken. Whole tells that the bounds of the search have left nothing out.
func Find(m *Market) (found []Ring, whole bool) {
	s := &search{m: m, most: min(max(m.Most, MinSize), MaxSize), left: maxSteps}
	s.index()
	for start := range s.out {
		s.path = s.path[:0]
		s.follow(start, start)
	}
	slices.SortFunc(s.found, compare)
	return s.found[:min(len(s.found), MaxFound)], s.left > 0 && !s.cut
}

type search struct {
	m     *Market
	most  int
	out   [][]Trade // by member
	path  []Trade
	left  int
	cut   bool
	found []Ring
}

// index keeps the best trade of each two members, and the best of each member.
func (s *search) index() {
	best := map[[2]int]Trade{}
	members := 0
	for _, t := range s.m.Trades {
		if t.From == t.To || t.From < 0 || t.To < 0 {
			continue
		}
		members = max(members, t.From+1, t.To+1)
		k := [2]int{t.From, t.To}
		if old, ok := best[k]; !ok || better(t, old) < 0 {
			best[k] = t
		}
	}
	s.out = make([][]Trade, members)
	for k, t := range best {
		s.out[k[0]] = append(s.out[k[0]], t)
	}
	for i, ts := range s.out {
		slices.SortFunc(ts, better)
		if len(ts) > maxOut {
			s.out[i], s.cut = ts[:maxOut], true
		}
	}
}

func better(a, b Trade) int {
	return cmp.Or(cmp.Compare(b.Fit, a.Fit), cmp.Compare(a.Offer, b.Offer), cmp.Compare(a.Want, b.Want), cmp.Compare(a.To, b.To))
}

// follow goes on from a member to all that come behind start in number, and closes rings.
func (s *search) follow(start, at int) {
	for _, t := range s.out[at] {
		if s.left == 0 {
			return
		}
		s.left--
		switch {
		case t.To == start:
			if len(s.path)+1 >= MinSize {
				s.close(t)
			}
		case t.To < start || len(s.path)+1 >= s.most || slices.ContainsFunc(s.path, func(p Trade) bool { return p.To == t.To }):
		default:
			s.path = append(s.path, t)
			s.follow(start, t.To)
			s.path = s.path[:len(s.path)-1]
		}
	}
}

// close takes the path and its last trade as a ring, if its amounts are of one currency and it has the member that is asked about.
func (s *search) close(last Trade) {
	r := Ring{Trades: append(slices.Clone(s.path), last)}
	if s.m.With >= 0 && !slices.ContainsFunc(r.Trades, func(t Trade) bool { return t.From == s.m.With }) {
		return
	}
	said, sum := int64(0), int64(0)
	for _, t := range r.Trades {
		r.Fit += t.Fit
		if t.Amount == 0 {
			continue
		}
		if r.Currency != "" && r.Currency != t.Currency {
			return
		}
		r.Currency = t.Currency
		if said, sum = said+1, sum+t.Amount; sum < 0 {
			return // amounts that nobody means
		}
	}
	r.Assumed = make([]bool, len(r.Trades))
	if said > 0 {
		for i := range r.Trades {
			if t := &r.Trades[i]; t.Amount == 0 {
				t.Amount, t.Currency, r.Assumed[i] = sum/said, r.Currency, true
			}
		}
		r.Relief = s.relief(&r)
	}
	s.found = append(s.found, r)
	if len(s.found) >= 4*MaxFound {
		slices.SortFunc(s.found, compare)
		s.found = s.found[:MaxFound]
	}
}

// relief adds up by how much the absolute balances shrink.
func (s *search) relief(r *Ring) (sum int64) {
	for i, t := range r.Trades {
		before := r.Trades[(i+len(r.Trades)-1)%len(r.Trades)]
		was := s.m.Balance(t.From, r.Currency)
		sum += abs(was) - abs(was+t.Amount-before.Amount)
	}
	return sum
}

func abs(n int64) int64 { return max(n, -n) }

func compare(a, b Ring) int {
	if c := cmp.Or(cmp.Compare(b.Relief, a.Relief), cmp.Compare(len(a.Trades), len(b.Trades)), cmp.Compare(b.Fit, a.Fit)); c != 0 {
		return c
	}
	for i := range a.Trades {
		if c := cmp.Or(cmp.Compare(a.Trades[i].Offer, b.Trades[i].Offer), cmp.Compare(a.Trades[i].Want, b.Trades[i].Want)); c != 0 {
			return c
		}
	}
	return 0
}
