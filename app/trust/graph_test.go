package trust

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// TestGraphIsSmall: the whole Bitcoin OTC set takes well under 5 MB.
func TestGraphIsSmall(t *testing.T) {
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	g := bigGraph()
	if took := heap() - before; took > 4<<20 {
		t.Errorf("the graph takes %d bytes", took)
	}
	if people, edges := g.size(); people != 5881 || edges != 35592 {
		t.Errorf("%d people, %d edges", people, edges)
	}
}

// sample reads testdata/otc-sample.csv as the import would state it.
func sample(t testing.TB) []Row {
	t.Helper()
	f, err := os.Open("testdata/otc-sample.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	out := make([]Row, len(lines))
	for i, l := range lines {
		rating, err1 := strconv.Atoi(l[2])
		at, err2 := strconv.ParseInt(l[3], 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("line %d: %v %v", i+1, err1, err2)
		}
		out[i] = Row{Source: Label(l[0]), Target: Label(l[1]), Rating: rating, Time: at}
	}
	return out
}

func sampleGraph(t testing.TB) *graph {
	g := newGraph()
	for i, r := range sample(t) {
		g.set(&Attestation{From: api.DID(r.Source), To: api.DID(r.Target), Score: int16(r.Rating * perRating), Context: importContext, At: r.Time, stamp: api.Timestamp(i)})
	}
	return g
}

// parseGraph reads lines `from to score [context]`, the later of two about the same counting.
func parseGraph(t *testing.T, text string) *graph {
	t.Helper()
	g := newGraph()
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		v, err := strconv.ParseFloat(f[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		a := &Attestation{From: api.DID(f[0]), To: api.DID(f[1]), Score: int16(v*10000 + 0.5), stamp: api.Timestamp(i + 1)}
		if v < 0 {
			a.Score = int16(v*10000 - 0.5)
		}
		if len(f) > 3 {
			a.Context = f[3]
		}
		g.set(a)
	}
	return g
}

// bigGraph has the size of the Bitcoin OTC set: 5,881 people and 35,592 attestations, with a similar spread of ratings, seeded.
func bigGraph() *graph {
	const people, edges = 5881, 35592
	rng := rand.New(rand.NewPCG(1, 2))
	g := newGraph()
	name := func(i int) api.DID { return api.DID(fmt.Sprintf("did:icn:%044d", i)) }
	for i := range people {
		g.intern(name(i))
	}
	for n := 0; n < edges; {
		// The square makes a few people busy, as people are.
		from, to := int(float64(people)*rng.Float64()*rng.Float64()), rng.IntN(people)
		score := int16(1000 * (1 + min(9, rng.IntN(3)*rng.IntN(4))))
		if rng.IntN(10) == 0 {
			score = -10000
		}
		if _, dup := place(g.people[from].edges, int32(to), 0); from != to && !dup {
			n++
			g.set(&Attestation{From: name(from), To: name(to), Score: score, stamp: api.Timestamp(n)})
		}
	}
	return g
}

func BenchmarkScoreCold(b *testing.B) {
	g := bigGraph()
	from := g.people[0].did
	b.ReportAllocs()
	for b.Loop() {
		g.scores(from, "")
	}
}
