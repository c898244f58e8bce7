package trust

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/intercooperative/icn/kernel/api"
)

// Attestation is what one person says of another.
type Attestation struct {
	From    api.DID
	To      api.DID
	Score   int16  // basis points, -10000 to 10000; 0 revokes
	Context string // what it is about, "" in general
	At      int64  // Unix seconds, claimed by the author, for display
	stamp   api.Timestamp
}

// supersedes reports whether a replaces b, said by the same person of the same person. The later record holds; of two devices that wrote at the
// same instant, the more cautious word holds, so that the answer is the same everywhere.
func (a *Attestation) supersedes(b *Attestation) bool {
	if a.stamp != b.stamp {
		return a.stamp > b.stamp
	}
	return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(b.At, a.At), cmp.Compare(b.Context, a.Context)) > 0
}

// graph holds the standing attestations of one space: about 110 bytes for each and 150 for each person. One writer at a time changes one person's
// attestations; computations read under the lock, and score look-ups do not come here at all (see space).
type graph struct {
	mu       sync.RWMutex
	ids      map[api.DID]int32
	people   []person
	arcs     [][]arc // by person, all contexts merged; sorted by whom
	contexts []string
	context  map[string]int32
	edges    int
	version  atomic.Uint64 // counts changes
}

type person struct {
	did   api.DID
	edges []edge // sorted by (to, context)
}

// edge is a standing attestation; its author is the person it stands at.
type edge struct {
	stamp   api.Timestamp
	at      int64
	to      int32
	context int32
	score   int16
}

func newGraph() *graph {
	return &graph{ids: map[api.DID]int32{}, context: map[string]int32{}}
}

func (g *graph) intern(did api.DID) int32 {
	id, ok := g.ids[did]
	if !ok {
		id = int32(len(g.people))
		g.ids[did] = id
		g.people = append(g.people, person{did: did})
		g.arcs = append(g.arcs, nil)
	}
	return id
}

func (g *graph) internContext(name string) int32 {
	id, ok := g.context[name]
	if !ok {
		id = int32(len(g.contexts))
		g.context[name] = id
		g.contexts = append(g.contexts, name)
	}
	return id
}

// place finds where an edge stands, or would, among those of one person.
func place(edges []edge, to, context int32) (int, bool) {
	return slices.BinarySearchFunc(edges, edge{to: to, context: context}, func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.context, b.context))
	})
}

// set makes a the standing attestation of its author, target and context; a score of 0 removes it. It reports whether anything changed.
func (g *graph) set(a *Attestation) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if a.Score == 0 {
		if _, known := g.ids[a.From]; !known {
			return false
		}
		if _, known := g.ids[a.To]; !known {
			return false
		}
	}
	from, to, context := g.intern(a.From), g.intern(a.To), g.internContext(a.Context)
	p := &g.people[from]
	at, found := place(p.edges, to, context)
	e := edge{stamp: a.stamp, at: a.At, to: to, context: context, score: a.Score}
	switch {
	case a.Score == 0 && !found, found && p.edges[at] == e:
		return false
	case a.Score == 0:
		p.edges = slices.Delete(p.edges, at, at+1)
		g.edges--
	case found:
		p.edges[at] = e
	default:
		p.edges = slices.Insert(p.edges, at, e)
		g.edges++
	}
	g.merge(from, to)
	g.version.Add(1)
	return true
}

// replace makes as the standing attestations of one author, all of them.
func (g *graph) replace(author api.DID, as []Attestation) bool {
	changed := false
	keep := map[[2]string]bool{}
	for i := range as {
		keep[[2]string{string(as[i].To), as[i].Context}] = true
	}
	for _, old := range g.of(author) {
		if !keep[[2]string{string(old.To), old.Context}] {
			old.Score = 0
			changed = g.set(&old) || changed
		}
	}
	for i := range as {
		changed = g.set(&as[i]) || changed
	}
	return changed
}

// merge computes the one arc between two people over all contexts: the latest word that stands.
func (g *graph) merge(from, to int32) {
	edges := g.people[from].edges
	at, _ := place(edges, to, 0)
	var latest *Attestation
	for ; at < len(edges) && edges[at].to == to; at++ {
		if a := g.attestation(from, &edges[at]); latest == nil || a.supersedes(latest) {
			latest = a
		}
	}
	arcs := g.arcs[from]
	i, found := slices.BinarySearchFunc(arcs, to, func(a arc, to int32) int { return cmp.Compare(a.to, to) })
	switch {
	case latest == nil && found:
		arcs = slices.Delete(arcs, i, i+1)
	case latest == nil:
	case found:
		arcs[i].weight = int32(latest.Score)
	default:
		arcs = slices.Insert(arcs, i, arc{to: to, weight: int32(latest.Score)})
	}
	g.arcs[from] = arcs
}

func (g *graph) attestation(from int32, e *edge) *Attestation {
	return &Attestation{From: g.people[from].did, To: g.people[e.to].did, Score: e.score, Context: g.contexts[e.context], At: e.at, stamp: e.stamp}
}

// of returns the standing attestations of one author, sorted by target and context.
func (g *graph) of(author api.DID) []Attestation {
	g.mu.RLock()
	defer g.mu.RUnlock()
	id, ok := g.ids[author]
	if !ok {
		return nil
	}
	out := make([]Attestation, len(g.people[id].edges))
	for i := range out {
		out[i] = *g.attestation(id, &g.people[id].edges[i])
	}
	slices.SortFunc(out, func(a, b Attestation) int {
		return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.Context, b.Context))
	})
	return out
}

// authors returns the people who attest somebody, from the given DID on, sorted.
func (g *graph) authors(from api.DID) []api.DID {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var out []api.DID
	for i := range g.people {
		if p := &g.people[i]; len(p.edges) > 0 && p.did >= from {
			out = append(out, p.did)
		}
	}
	slices.Sort(out)
	return out
}

// size returns how many people are mentioned and how many attestations stand.
func (g *graph) size() (people, edges int) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.people), g.edges
}

// in returns the adjacency lists of one context, "" for all merged. The caller holds the lock while it uses them.
func (g *graph) in(context string) [][]arc {
	if context == "" {
		return g.arcs
	}
	out := make([][]arc, len(g.people))
	id, ok := g.context[context]
	if !ok {
		return out
	}
	for i := range g.people {
		for _, e := range g.people[i].edges {
			if e.context == id {
				out[i] = append(out[i], arc{to: e.to, weight: int32(e.score)})
			}
		}
	}
	return out
}

// scores computes what everybody with a score above 0 has in one context from a viewpoint, and of which version of the graph that holds.
func (g *graph) scores(from api.DID, context string) (map[api.DID]Score, uint64) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	id, ok := g.ids[from]
	if !ok {
		return map[api.DID]Score{from: Full}, g.version.Load()
	}
	all := score(g.in(context), id)
	some := 0
	for _, s := range all {
		if s > 0 {
			some++
		}
	}
	out := make(map[api.DID]Score, some)
	for i, s := range all {
		if s > 0 {
			out[g.people[i].did] = s
		}
	}
	return out, g.version.Load()
}

// Path is a chain of attestations that counts for or against somebody.
type Path struct {
	Via    []api.DID `json:"via" doc:"the people between the viewpoint and the target, in order; none for a direct attestation"`
	Weight float64   `json:"weight" doc:"strength, -1 to 1; negative when the chain ends in distrust"`
}

// paths explains the score of to from a viewpoint.
func (g *graph) paths(from, to api.DID, context string) []Path {
	g.mu.RLock()
	defer g.mu.RUnlock()
	f, ok1 := g.ids[from]
	t, ok2 := g.ids[to]
	out := []Path{}
	if !ok1 || !ok2 || f == t {
		return out
	}
	for _, p := range explain(g.in(context), f, t) {
		x := Path{Via: make([]api.DID, len(p.via)), Weight: float64(p.strength) / fullStrength}
		for i, id := range p.via {
			x.Via[i] = g.people[id].did
		}
		out = append(out, x)
	}
	return out
}
