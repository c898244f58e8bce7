package finality

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// council is a space with several witnesses, each on a node of its own.
type council struct {
	t     *testing.T
	rng   *rand.Rand
	nodes []*kerneltest.Model
	apps  []*App
	space api.Hash
	all   []*api.Record // every record made anywhere
	known map[api.Hash]bool
}

func newCouncil(t *testing.T, n, need int, seed uint64) *council {
	c := &council{t: t, rng: rand.New(rand.NewPCG(seed, 2)), known: map[api.Hash]bool{}}
	var keys []api.Key
	for i := range n {
		a := New(nil)
		m := kerneltest.NewModel(chat{}, a)
		c.apps = append(c.apps, a)
		m.SetSelf(m.Signer(fmt.Sprint("w", i)))
		c.nodes = append(c.nodes, m)
		keys = append(keys, m.Signer(fmt.Sprint("w", i)).Device())
	}
	body, err := json.Marshal(charter{keys, uint16(need), self(c.nodes[0]).DID(), self(c.nodes[0]).Device()})
	if err != nil {
		t.Fatal(err)
	}
	rc, err := c.nodes[0].Append(c.nodes[0].Signer("founder"), api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: "genesis", Body: body})
	if err != nil {
		t.Fatal(err)
	}
	c.space = rc.Topic.Space
	return c
}

// gather takes note of what is new at a node.
func (c *council) gather(m *kerneltest.Model) {
	for _, r := range m.Records() {
		if !c.known[r.ID] {
			c.known[r.ID] = true
			c.all = append(c.all, r)
		}
	}
}

// deliver brings a node some of what it lacks, in any causal order; with all set, everything.
func (c *council) deliver(m *kerneltest.Model, all bool) {
	c.t.Helper()
	left := slices.Clone(c.all)
	c.rng.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	for moved := true; moved; {
		moved = false
		for i, r := range left {
			if r == nil || !all && c.rng.IntN(3) == 0 {
				continue
			}
			if _, err := m.Deliver(r); err == nil {
				left[i], moved = nil, true
			} else if api.KindOf(err) != api.NotFound {
				c.t.Fatal(err)
			}
		}
	}
}

// run lets everybody work and talk until nothing new is said.
func (c *council) run(who ...int) {
	c.t.Helper()
	for quiet := 0; quiet < 3; {
		before := len(c.all)
		for _, i := range who {
			c.deliver(c.nodes[i], quiet > 0)
			if err := c.nodes[i].React(); err != nil {
				c.t.Fatal(err)
			}
			c.gather(c.nodes[i])
		}
		if quiet++; len(c.all) > before {
			quiet = 0
		}
	}
}

func (c *council) say(node int, who, kind string, deps ...api.Position) api.Position {
	c.t.Helper()
	m := c.nodes[node]
	var prev api.Position
	for _, r := range m.Records() {
		if r.Device == m.Signer(who).Device() && r.Topic.Name == "chat" && r.Seq > prev.Seq {
			prev = r.Position()
		}
	}
	return c.sayAfter(node, who, kind, prev, deps...)
}

func (c *council) sayAfter(node int, who, kind string, prev api.Position, deps ...api.Position) api.Position {
	c.t.Helper()
	m := c.nodes[node]
	r, err := m.Make(m.Signer(who), api.Draft{Topic: api.Topic{Space: c.space, Name: "chat"}, Kind: kind, Deps: fact.Deps(deps), Body: []byte(fmt.Sprint(c.rng.Uint64()))}, prev)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := m.Deliver(r); err != nil {
		c.t.Fatal(err)
	}
	c.gather(m)
	return r.Position()
}

func (c *council) final(node int, p api.Position) bool {
	r := c.nodes[node].Read("chat")
	defer r.Close()
	_, v, _ := r.Record(p)
	return v.Final
}

func (c *council) wantFinal(p api.Position, want bool, nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		if got := c.final(i, p); got != want {
			c.t.Errorf("node %d: %v final %v, want %v", i, p, got, want)
		}
	}
}

func TestSeveralWitnesses(t *testing.T) {
	for _, tc := range []struct{ n, need int }{{3, 2}, {4, 3}, {7, 5}} {
		for seed := range uint64(10) {
			c := newCouncil(t, tc.n, tc.need, seed)
			c.gather(c.nodes[0])
			everybody := make([]int, tc.n)
			for i := range everybody {
				everybody[i] = i
			}
			c.run(everybody...)
			var said []api.Position
			for i := range 12 {
				p := c.say(i%3, fmt.Sprint("p", i%3), []string{"say", "say", "no"}[c.rng.IntN(3)])
				said = append(said, p)
				c.run(everybody[:1+c.rng.IntN(tc.n)]...)
			}
			c.run(everybody...)
			for _, p := range said {
				c.wantFinal(p, true, everybody...)
			}
			for i := 1; i < tc.n; i++ {
				if c.nodes[i].Digest("finality") != c.nodes[0].Digest("finality") {
					t.Fatalf("seed %d: node %d has another state", seed, i)
				}
			}
		}
	}
}

// Fewer than the threshold make nothing final; when one more comes back, what was said meanwhile becomes final.
func TestTooFewWitnesses(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.run(0, 1)
	p := c.say(0, "a", "say")
	c.run(0, 1)
	c.wantFinal(p, false, 0, 1)
	c.run(0, 1, 2)
	c.wantFinal(p, true, 0, 1, 2)
}

// A record is locked after its deps: while a witness may not lock a dep, it holds back what stands on it, and nothing else.
func TestLocksDepsFirst(t *testing.T) {
	c := newCouncil(t, 3, 2, 1)
	c.gather(c.nodes[0])
	c.run(0, 1, 2)
	root := c.say(0, "mal", "say")
	left := c.sayAfter(0, "mal", "say", root)
	c.sayAfter(0, "mal", "say", root) // mal's feed is held from here on
	on := c.say(0, "carol", "say", left)
	free := c.say(0, "dan", "say", root)
	c.run(0, 1, 2)
	c.wantFinal(root, true, 0, 1, 2)
	c.wantFinal(left, false, 0, 1, 2)
	c.wantFinal(on, false, 0, 1, 2)
	c.wantFinal(free, true, 0, 1, 2)
}

// Of two branches that reach different witnesses first, at most one becomes final, whatever a bad witness signs.
func TestAtMostOneBranchIsFinal(t *testing.T) {
	for seed := range uint64(30) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		c.run(0, 1, 2, 3)
		root := c.say(0, "mal", "say")
		c.run(0, 1, 2, 3)
		// w3 is bad and signs for both sides; w0 and w1 meet the left branch first, w2 the right one.
		left := c.sayAfter(0, "mal", "say", root)
		right := c.sayAfter(2, "mal", "say", root)
		hide := func(p api.Position) func() {
			i := slices.IndexFunc(c.all, func(r *api.Record) bool { return r.ID == p.ID })
			r := c.all[i]
			c.all = slices.Delete(c.all, i, i+1)
			return func() { c.all = append(c.all, r) }
		}
		showRight := hide(right)
		c.run(0, 1)
		showRight()
		showLeft := hide(left)
		if err := c.nodes[2].React(); err != nil {
			t.Fatal(err)
		}
		showLeft()
		w3 := c.nodes[0].Signer("w3")
		c.betray(w3, left)
		c.betray(w3, right)
		c.run(0, 1, 2)
		for n := range 3 {
			if c.final(n, left) && c.final(n, right) {
				t.Fatalf("seed %d: both branches are final at node %d", seed, n)
			}
		}
		if c.final(0, left) != c.final(2, left) || c.final(0, right) != c.final(2, right) {
			t.Fatalf("seed %d: nodes differ", seed)
		}
	}
}

// A witness that has locked the branch which did not become final locks what others build on the one that did.
func TestWhatIsFinalIsBuiltOn(t *testing.T) {
	for seed := range uint64(6) {
		c := newCouncil(t, 4, 3, seed)
		c.gather(c.nodes[0])
		c.run(0, 1, 2, 3)
		root := c.say(0, "mal", "say")
		c.run(0, 1, 2, 3)
		// w3 is bad, and signs for the left branch alone; then it is silent. w2 meets the right one first.
		left := c.sayAfter(0, "mal", "say", root)
		c.run(0, 1)
		shown := c.all
		c.all = slices.DeleteFunc(slices.Clone(shown), func(r *api.Record) bool { return r.ID == left.ID })
		right := c.sayAfter(2, "mal", "say", root)
		if err := c.nodes[2].React(); err != nil {
			t.Fatal(err)
		}
		c.gather(c.nodes[2])
		c.all = append(c.all, shown[slices.IndexFunc(shown, func(r *api.Record) bool { return r.ID == left.ID })])
		c.betray(c.nodes[0].Signer("w3"), left)
		c.run(0, 1, 2)
		c.wantFinal(left, true, 0, 1, 2)
		c.wantFinal(right, false, 0, 1, 2)
		on := c.say(0, "carol", "say", left)
		c.run(0, 1, 2)
		c.wantFinal(on, true, 0, 1, 2)
	}
}

// betray makes a witness lock and hold p in a branch of its own feed.
func (c *council) betray(w api.Signer, p api.Position) {
	m := c.nodes[3]
	var prev api.Position
	for _, r := range m.Records() {
		if r.Device == w.Device() && r.Topic.Name == fact.FinalityTopic && r.Seq > prev.Seq {
			prev = r.Position()
		}
	}
	it := item{Feed: p.Feed, Seq: p.Seq, ID: p.ID, Accepted: true}
	r, err := m.Make(w, api.Draft{
		Topic: api.Topic{Space: c.space, Name: fact.FinalityTopic}, Kind: kindStatement,
		Body: codec.MustMarshal(&statement{Final: []item{it}, Locks: []item{it}}),
	}, prev)
	if err != nil {
		c.t.Fatal(err)
	}
	c.all = append(c.all, r)
	c.known[r.ID] = true
}

func self(m *kerneltest.Model) api.Signer { return m.Host("finality").Self() }
