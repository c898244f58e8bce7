package market

import (
	"maps"
	"slices"
	"sort"
	"strings"
)

// Weights of where a word stands: an ad called "bread" goes before one that mentions it.
const (
	inTitle    = 4
	inCategory = 2
	inText     = 1
	inArea     = 1
)

// index is an inverted index: which ads have a word, and with what weight. 10,000 ads of 60 words take about 10 MB. It is not safe for concurrent use.
type index struct {
	posts map[string][]posting // ascending by slot
	vocab []string             // the words of posts in order, and some that no ad has any more
	fresh []string             // of posts and not in vocab yet
	empty int                  // words of vocab that are in no ad
}

type posting struct {
	slot   uint32
	weight uint8
}

// weigh returns the words of an ad and what each weighs.
func weigh(a *ad) map[string]uint8 {
	all := map[string]uint8{}
	add := func(text string, weight uint8) {
		for _, w := range words(text) {
			if all[w] < weight {
				all[w] = weight
			}
		}
	}
	add(a.Title, inTitle)
	add(a.Category, inCategory)
	add(a.Text, inText)
	add(a.Area, inArea)
	return all
}

// add takes an ad in under a slot that is free.
func (x *index) add(slot uint32, all map[string]uint8) {
	if x.posts == nil {
		x.posts = map[string][]posting{}
	}
	for w, weight := range all {
		ps, known := x.posts[w]
		if !known {
			x.fresh = append(x.fresh, w)
		}
		i, _ := find(ps, slot)
		x.posts[w] = slices.Insert(ps, i, posting{slot, weight})
	}
}

// remove takes an ad out again; all is what it was added with.
func (x *index) remove(slot uint32, all map[string]uint8) {
	for w := range all {
		ps := x.posts[w]
		i, ok := find(ps, slot)
		if !ok {
			continue
		}
		if ps = slices.Delete(ps, i, i+1); len(ps) > 0 {
			x.posts[w] = ps
			continue
		}
		delete(x.posts, w)
		x.empty++
	}
}

func find(ps []posting, slot uint32) (int, bool) {
	return slices.BinarySearchFunc(ps, slot, func(p posting, s uint32) int { return int(int64(p.slot) - int64(s)) })
}

// sorted brings the words in order.
func (x *index) sorted() []string {
	switch {
	case x.empty > 64 && x.empty > len(x.vocab)/4:
		x.vocab, x.empty = slices.Sorted(maps.Keys(x.posts)), 0
	case len(x.fresh) > 0:
		slices.Sort(x.fresh)
		x.vocab = merge(x.vocab, x.fresh)
	}
	x.fresh = x.fresh[:0]
	return x.vocab
}

func merge(a, b []string) []string {
	out := make([]string, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if a[0] <= b[0] {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return slices.Compact(append(append(out, a...), b...))
}

// maxPrefix bounds how many words the beginning of a word may stand for; the first ones by the alphabet count.
const maxPrefix = 256

// search returns the ads that have every word of a query, and how well each fits: the sum of what its words weigh, where the beginning of a word, which is
// taken of the query's last word only, weighs half as much as the whole. It returns nil for a query without a word.
func (x *index) search(query string) map[uint32]int {
	ws := words(query)
	if len(ws) == 0 {
		return nil
	}
	last := len(ws) - 1
	var hits map[uint32]int // nil: no word was looked up yet
	for _, w := range ws[:last] {
		ps, next := x.posts[w], map[uint32]int{}
		for _, p := range ps {
			if score, ok := hits[p.slot]; ok || hits == nil {
				next[p.slot] = score + 2*int(p.weight)
			}
		}
		hits = next
	}
	ends := map[uint32]int{}
	for _, p := range x.begin(ws[last]) {
		if _, ok := hits[p.slot]; ok || hits == nil {
			ends[p.slot] = max(ends[p.slot], int(p.weight))
		}
	}
	for slot, score := range hits {
		if ends[slot] > 0 {
			ends[slot] += score
		}
	}
	return ends
}

// begin returns the postings of the words that begin with w; those of w itself weigh double.
func (x *index) begin(w string) []posting {
	vocab := x.sorted()
	var all []posting
	from := sort.SearchStrings(vocab, w)
	for _, v := range vocab[from:min(len(vocab), from+maxPrefix)] {
		if !strings.HasPrefix(v, w) {
			break
		}
		for _, p := range x.posts[v] {
			if v == w {
				p.weight *= 2
			}
			all = append(all, p)
		}
	}
	return all
}
