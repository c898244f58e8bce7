package trust

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
)

func printScores(b *strings.Builder, scores map[api.DID]Score) {
	var who []api.DID
	for did := range scores {
		who = append(who, did)
	}
	slices.Sort(who)
	for _, did := range who {
		fmt.Fprintf(b, "%s %v %v\n", did, scores[did], scores[did].Class())
	}
}

func printPaths(b *strings.Builder, paths []Path) {
	for _, p := range paths {
		fmt.Fprintf(b, "%.6f via %v\n", p.Weight, p.Via)
	}
}

func TestScore(t *testing.T) {
	datadriven.RunTest(t, "testdata/score.txt", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		var from, to string
		d.ScanArgs(t, "from", &from)
		d.MaybeScanArgs(t, "to", &to)
		v := api.DID(from)
		switch d.Cmd {
		case "score":
			scores, _ := parseGraph(t, d.Input).scores(v, "")
			printScores(&b, scores)
		case "context":
			g := parseGraph(t, d.Input)
			for _, c := range []string{"", "hours", "repairs", "unheard-of"} {
				fmt.Fprintf(&b, "%q:\n", c)
				scores, _ := g.scores(v, c)
				printScores(&b, scores)
			}
		case "paths":
			printPaths(&b, parseGraph(t, d.Input).paths(v, api.DID(to), ""))
		case "sample":
			scores, _ := sampleGraph(t).scores(v, "")
			printScores(&b, scores)
		case "sample-paths":
			printPaths(&b, sampleGraph(t).paths(v, api.DID(to), ""))
		default:
			t.Fatalf("unknown command %s", d.Cmd)
		}
		return b.String()
	})
}

// seeded gives a source of dice. Graphs are thrown, not drawn: rapid prefers small numbers, and small attestations between few people leave nothing
// to get wrong.
func seeded(t *rapid.T) *rand.Rand { return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) }

// someWeight is coarse half of the time, so that ties are common.
func someWeight(rng *rand.Rand, positive bool) int32 {
	w := 1 + rng.Int32N(10000)
	if rng.IntN(2) == 0 {
		w = []int32{1, 1000, 5000, 9000, 10000}[rng.IntN(5)]
	}
	if !positive && rng.IntN(3) == 0 {
		w = -w
	}
	return w
}

// someArcs throws a graph of n people with at most degree attestations each on average.
func someArcs(rng *rand.Rand, n, degree int, positive bool) [][]arc {
	arcs := make([][]arc, n)
	for range rng.IntN(n*degree + 1) {
		from, to := rng.IntN(n), rng.Int32N(int32(n))
		if int32(from) != to {
			arcs[from] = put(arcs[from], to, someWeight(rng, positive))
		}
	}
	return arcs
}

// put returns arcs with one replaced or added.
func put(arcs []arc, to, weight int32) []arc {
	arcs = slices.Clone(arcs)
	for i := range arcs {
		if arcs[i].to == to {
			arcs[i].weight = weight
			return arcs
		}
	}
	return append(arcs, arc{to, weight})
}

func with(arcs [][]arc, from, to, weight int32) [][]arc {
	arcs = slices.Clone(arcs)
	arcs[from] = put(arcs[from], to, weight)
	return arcs
}

// byDefinition is the comment in score.go word by word: it walks every chain.
func byDefinition(arcs [][]arc, from int32) []Score {
	direct := map[int32]int32{}
	for _, a := range arcs[from] {
		direct[a.to] = a.weight
	}
	type best map[int32]int32 // root -> strength
	support, oppose := make([]best, len(arcs)), make([]best, len(arcs))
	for i := range arcs {
		support[i], oppose[i] = best{}, best{}
	}
	var walk func(at, root, strength int32, hops int)
	walk = func(at, root, strength int32, hops int) {
		support[at][root] = max(support[at][root], strength)
		if hops == maxHops {
			return
		}
		for _, a := range arcs[at] {
			switch {
			case a.to == from || direct[a.to] < 0:
			case a.weight > 0:
				walk(a.to, root, hop(strength, a.weight), hops+1)
			case a.to != root:
				oppose[a.to][root] = max(oppose[a.to][root], hop(strength, -a.weight))
			}
		}
	}
	for to, w := range direct {
		if w > 0 {
			walk(to, to, w*int32(perPoint), 1)
		}
	}
	share := func(b best) int64 {
		var s []int64
		for _, v := range b {
			s = append(s, int64(v))
		}
		slices.Sort(s)
		slices.Reverse(s)
		s = append(s, 0, 0, 0)
		return (7*s[0] + 2*s[1] + s[2]) / 10
	}
	out := make([]Score, len(arcs))
	for i := range out {
		d := direct[int32(i)]
		switch {
		case int32(i) == from:
			out[i] = Full
		case d >= 0:
			out[i] = max(Score(d), Score((share(support[i])-share(oppose[i]))/perPoint), 0)
		}
	}
	return out
}

func TestScoreIsItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := seeded(t)
		for range 50 {
			arcs := someArcs(rng, 2+rng.IntN(8), 8, false)
			if got, want := score(arcs, 0), byDefinition(arcs, 0); !slices.Equal(got, want) {
				t.Fatalf("got %v, by definition %v\n%v", got, want, arcs)
			}
		}
	})
}

// TestScoreOrder: neither the order of insertion nor what was revoked and replaced on the way counts.
func TestScoreOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := seeded(t)
		n := 2 + rng.IntN(11)
		var all []Attestation
		for i := range rng.IntN(80) {
			from, to := rng.IntN(n), rng.IntN(n)
			weight := int16(someWeight(rng, false))
			if rng.IntN(8) == 0 {
				weight = 0
			}
			if from != to {
				all = append(all, Attestation{From: api.DID(rune('a' + from)), To: api.DID(rune('a' + to)), Score: weight, Context: fmt.Sprint(i % 2), stamp: api.Timestamp(i + 1)})
			}
		}
		// The last of each (from, to, context) stands.
		type key struct {
			from, to api.DID
			context  string
		}
		last := map[key]Attestation{}
		a := newGraph()
		for _, x := range all {
			a.set(&x)
			last[key{x.From, x.To, x.Context}] = x
		}
		var standing []Attestation
		for _, x := range all {
			if last[key{x.From, x.To, x.Context}] == x {
				standing = append(standing, x)
			}
		}
		rng.Shuffle(len(standing), func(i, j int) { standing[i], standing[j] = standing[j], standing[i] })
		b := newGraph()
		for i := range standing {
			b.set(&standing[i])
		}
		for i := range n {
			did := api.DID(rune('a' + i))
			x, _ := a.scores(did, "")
			y, _ := b.scores(did, "")
			if fmt.Sprint(x) != fmt.Sprint(y) {
				t.Fatalf("from %s: %v, in another order %v", did, x, y)
			}
		}
	})
}

// TestVouchingNeverLowers: a positive attestation by the viewpoint never lowers its target, whatever else is said.
func TestVouchingNeverLowers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := seeded(t)
		n := 2 + rng.IntN(9)
		arcs := someArcs(rng, n, 4, false)
		target, weight := 1+rng.Int32N(int32(n-1)), someWeight(rng, true)
		for _, a := range arcs[0] {
			if a.to == target && a.weight > weight {
				return // it would take something back
			}
		}
		before, after := score(arcs, 0)[target], score(with(arcs, 0, target, weight), 0)[target]
		if after < before || after < Score(weight) {
			t.Fatalf("score of %d fell from %v to %v by an attestation of %d\n%v", target, before, after, weight, arcs)
		}
	})
}

// TestVouchingHelpsAll: where nobody distrusts, no positive attestation by anybody lowers anybody.
func TestVouchingHelpsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := seeded(t)
		n := 2 + rng.IntN(9)
		arcs := someArcs(rng, n, 4, true)
		from, to := rng.Int32N(int32(n)), rng.Int32N(int32(n))
		if from == to {
			return
		}
		weight := int32(10000)
		before, after := score(arcs, 0), score(with(arcs, from, to, weight), 0)
		for i := range before {
			if after[i] < before[i] {
				t.Fatalf("score of %d fell from %v to %v when %d vouched for %d\n%v", i, before[i], after[i], from, to, arcs)
			}
		}
	})
}

// TestCrowdBehindOneEdge: people who are reached through one attestation u -> s only, however many and whatever they say, have no more than that
// attestation carries; they do not lift s, and what they say against others costs those no more than it carries either.
func TestCrowdBehindOneEdge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := seeded(t)
		honest, crowd := 2+rng.IntN(7), 1+rng.IntN(12)
		base := someArcs(rng, honest, 3, false)
		s := int32(honest) // the first of the crowd
		u, weight := rng.Int32N(s), someWeight(rng, true)

		arcs := make([][]arc, honest+crowd)
		copy(arcs, base)
		arcs[u] = put(arcs[u], s, weight)
		alone := score(arcs, 0)

		for range rng.IntN(100) {
			if liar, about := s+rng.Int32N(int32(crowd)), rng.Int32N(int32(honest+crowd)); liar != about {
				arcs[liar] = put(arcs[liar], about, someWeight(rng, false))
			}
		}
		got := score(arcs, 0)
		// What the edge carries: the strongest chain that reaches u, times the edge.
		capacity := weight
		if u != 0 {
			capacity = 0
			ends := scoring{arcs: base, barred: make([]bool, honest), support: make([]chains, honest), oppose: make([]chains, honest), direct: make([]int32, honest)}
			ends.run()
			if ends.direct[u] >= 0 {
				capacity = hop(ends.support[u][0].strength, weight) / int32(perPoint)
			}
		}
		if got[s] > alone[s] {
			t.Fatalf("the crowd lifted its own bridge from %v to %v\n%v", alone[s], got[s], arcs)
		}
		for i := range got {
			switch {
			case int32(i) >= s && got[i] > Score(capacity):
				t.Fatalf("%d of the crowd has %v, the edge carries %d\n%v", i, got[i], capacity, arcs)
			case int32(i) < s && got[i] < alone[i]-Score(capacity)-1: // rounded down twice
				t.Fatalf("the crowd slandered %d from %v to %v, the edge carries %d\n%v", i, alone[i], got[i], capacity, arcs)
			}
		}
	})
}

// TestLoneChainIsNeverFederated: the highest class needs the viewpoint's own word or several roots.
func TestLoneChainIsNeverFederated(t *testing.T) {
	arcs := [][]arc{{{1, 10000}}, {{2, 10000}}, nil}
	if c := score(arcs, 0)[2].Class(); c != Partner {
		t.Errorf("a lone chain of full attestations gives %v, want partner", c)
	}
}

func TestPathsAddUp(t *testing.T) {
	g := sampleGraph(t)
	for _, from := range []api.DID{"1", "7", "35"} {
		scores, _ := g.scores(from, "")
		explained := 0
		for to, want := range scores {
			if to == from {
				continue
			}
			var pos, neg []int64
			direct := Score(0)
			for _, p := range explain(g.in(""), g.ids[from], g.ids[to]) {
				if p.strength < 0 {
					neg = append(neg, -int64(p.strength))
					continue
				}
				pos = append(pos, int64(p.strength))
				if len(p.via) == 0 {
					direct = Score(p.strength / int32(perPoint))
				}
				checkPath(t, g, from, to, p)
			}
			pos, neg = append(pos, 0, 0, 0), append(neg, 0, 0, 0)
			v := (7*pos[0]+2*pos[1]+pos[2])/10 - (7*neg[0]+2*neg[1]+neg[2])/10
			if got := max(direct, Score(v/perPoint), 0); got != want {
				t.Errorf("%s to %s: the paths make %v, the score is %v", from, to, got, want)
			}
			explained++
		}
		if explained == 0 {
			t.Errorf("nobody is known from %s", from)
		}
	}
}

// checkPath walks a path and recomputes its strength.
func checkPath(t *testing.T, g *graph, from, to api.DID, p path) {
	t.Helper()
	at, strength := g.ids[from], int32(0)
	for i, next := range append(slices.Clone(p.via), g.ids[to]) {
		weight := int32(0)
		for _, a := range g.arcs[at] {
			if a.to == next {
				weight = a.weight
			}
		}
		if i == 0 {
			strength = weight * int32(perPoint)
		} else {
			strength = hop(strength, weight)
		}
		at = next
	}
	if strength != p.strength {
		t.Errorf("%s to %s via %v: says %d, walks to %d", from, to, p.via, p.strength, strength)
	}
}

func TestClasses(t *testing.T) {
	for s, want := range map[Score]Class{0: Isolated, 999: Isolated, 1000: Known, 3999: Known, 4000: Partner, 6999: Partner, 7000: Federated, Full: Federated} {
		if got := s.Class(); got != want {
			t.Errorf("score %v is %v, want %v", s, got, want)
		}
	}
}
