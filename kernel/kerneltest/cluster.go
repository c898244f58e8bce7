package kerneltest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Cluster is many whole nodes, with real apps, in one process, on one goroutine and on virtual time: one seed gives one trace. The nodes are
// production kernels driven inline; the network (Network) and the disks (the engine on crashable memory) are simulated and go wrong on demand.
//
// A test adds nodes, makes calls and faults itself and lets time pass with Advance, or leaves the choice to Run. What holds for every kernel,
// whatever the apps, is checked all along (clustercheck.go); what knows apps comes as a Checker.
//
// It is not safe for concurrent use, and checkers and actions are called from within it.
type Cluster struct {
	Net  *Network
	Rand *rand.Rand // the scheduler's choices

	opt     ClusterOptions
	nodes   []*Node
	sum     hash.Hash
	faults  map[string]int
	steps   int
	book    book
	horizon time.Time // the latest that a record may be dated
	failed  error     // what a check found
}

// ClusterOptions configure a Cluster.
type ClusterOptions struct {
	Seed uint64
	// Apps returns a new set of apps for a life of a node. All their chance comes from random.
	Apps func(node string, random io.Reader) []api.App
	// AccessDomain and RateDomain are those of kernel.Options.
	AccessDomain, RateDomain api.Domain
	Link                     Link // of all nodes, to begin with
	SlowDisks                bool // all disks sync a step late to begin with
	Plant                    Plant
	Trace                    io.Writer    // what happens, one line for each event; nil for nowhere
	Logger                   *slog.Logger // of the nodes; nil for nobody
}

// Plant switches protections off, so that a test can show that their loss is noticed. Only some nodes are affected where a field names one.
type Plant struct {
	// AckBeforeSync makes the disks of all nodes answer before anything is on them.
	AckBeforeSync bool
	// RefusalByID makes a node refuse for ever, by id, what came once with a bad signature.
	RefusalByID string
	// GateDrops makes a node drop, instead of delay, one in eight of the records that its peers send.
	GateDrops string
	// RetryFlips makes a node judge the void records of others anew by what it knows, and accept them.
	RetryFlips string
	// TakesPlaces makes all gateways take a record of a member elsewhere whatever stands at its place.
	TakesPlaces bool
	// ForgetsChange makes a node lose the newest change in its journal of events whenever it starts again.
	ForgetsChange string
}

// quantum is how finely virtual time passes: nodes see what has come since the last one.
const quantum = 20 * time.Millisecond

// clusterEpoch is when every cluster begins.
var clusterEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// NewCluster returns a cluster without nodes.
func NewCluster(o ClusterOptions) *Cluster {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{
		Net: NewNetwork(o.Seed, clusterEpoch), Rand: rand.New(rand.NewPCG(o.Seed, 0x636c7573746572)), opt: o, sum: sha256.New(), faults: map[string]int{},
		book: newBook(),
	}
	c.Net.SetLink("", "", o.Link)
	c.Net.Tap = func(at time.Time, from, to api.DID, frame []byte) {
		h := sha256.Sum256(frame)
		c.hash(at, "frame", string(from), string(to), string(h[:]))
	}
	return c
}

// Now returns the true time, from which a node's clock may differ.
func (c *Cluster) Now() time.Time { return c.Net.Now() }

// Nodes returns the nodes in the order in which they were added.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Node returns a node by name; it panics when there is none.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.nodes {
		if n.Name == name {
			return n
		}
	}
	panic("kerneltest: no node " + name)
}

// Honest returns the nodes that keep to the rules, running or not.
func (c *Cluster) Honest() []*Node {
	var ns []*Node
	for _, n := range c.nodes {
		if n.liar == nil {
			ns = append(ns, n)
		}
	}
	return ns
}

// Close releases all disks.
func (c *Cluster) Close() {
	for _, n := range c.nodes {
		_ = n.disk.Close()
	}
}

// hash adds an event to the trace.
func (c *Cluster) hash(at time.Time, parts ...string) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(at.UnixNano()))
	c.sum.Write(b[:])
	for _, p := range parts {
		binary.BigEndian.PutUint64(b[:], uint64(len(p)))
		c.sum.Write(b[:])
		c.sum.Write([]byte(p))
	}
}

// Note adds an event to the trace, and to the text of it.
func (c *Cluster) Note(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	c.hash(c.Now(), "note", s)
	if c.opt.Trace != nil {
		fmt.Fprintf(c.opt.Trace, "%9.3f %s\n", c.Now().Sub(clusterEpoch).Seconds(), s)
	}
}

// TraceHash returns the hash of all that has happened so far: notes, and every frame that arrived.
func (c *Cluster) TraceHash() string { return hex.EncodeToString(c.sum.Sum(nil)) }

// fault counts a fault and notes it.
func (c *Cluster) fault(kind, format string, args ...any) {
	c.faults[kind]++
	c.Note(kind+" "+format, args...)
}

// Count counts something that a test does beside the cluster's own faults, and notes it.
func (c *Cluster) Count(kind, format string, args ...any) { c.fault(kind, format, args...) }

// Count is how often something happened.
type Count struct {
	Kind string
	N    uint64
}

// FaultCounts returns how often each kind of fault has happened, in order of name.
func (c *Cluster) FaultCounts() []Count {
	n := c.Net.Counts()
	out := []Count{
		{"frame-arrived", n.Arrived},
		{"frame-lost", n.Lost},
		{"frame-repeated", n.Repeated},
		{"frame-reordered", n.Reordered},
		{"frame-walled", n.Walled},
		{"frame-late", n.Late},
		{"frame-slow", n.Slow},
	}
	for _, k := range slices.Sorted(maps.Keys(c.faults)) {
		out = append(out, Count{k, uint64(c.faults[k])})
	}
	return out
}

// Advance lets time pass. It returns what a check has found, as soon as it has.
func (c *Cluster) Advance(d time.Duration) error {
	for end := c.Now().Add(d); c.failed == nil && c.Now().Before(end); {
		next := c.Now().Add(quantum)
		if end.Before(next) {
			next = end
		}
		c.Net.Step(next)
		for _, i := range c.Rand.Perm(len(c.nodes)) {
			c.nodes[i].step()
		}
	}
	return c.failed
}

// Action is something that a step may do, more often the higher its weight. Do returns an error only when the run has to end.
type Action struct {
	Name   string
	Weight int
	Do     func(c *Cluster) error
}

// Checker looks at the cluster after every step, and once more when all faults are over and the nodes have had time to agree.
type Checker interface {
	Step(c *Cluster) error
	End(c *Cluster) error
}

// Bounds of a run.
const (
	stepMost   = 1500 * time.Millisecond // greatest pause after an action
	settleMost = 5 * time.Minute         // within which the nodes agree once the faults are over
)

// Run takes steps, each an action and a pause, with all checks of a step after each. It returns the first thing that is wrong. Settle and CheckEnd
// complete a run.
func (c *Cluster) Run(steps int, actions []Action, checks ...Checker) error {
	total := 0
	for _, a := range actions {
		total += a.Weight
	}
	for range steps {
		c.steps++
		pick := c.Rand.IntN(total)
		for _, a := range actions {
			if pick -= a.Weight; pick >= 0 {
				continue
			}
			c.Note("step %d: %s", c.steps, a.Name)
			if err := a.Do(c); err != nil {
				return fmt.Errorf("step %d, %s: %w", c.steps, a.Name, err)
			}
			break
		}
		if err := c.Advance(time.Duration(c.Rand.Int64N(int64(stepMost)))); err != nil {
			return fmt.Errorf("step %d: %w", c.steps, err)
		}
		for _, k := range append([]Checker{generic{}}, checks...) {
			if err := k.Step(c); err != nil {
				return fmt.Errorf("after step %d: %w", c.steps, err)
			}
		}
	}
	return nil
}

// CheckEnd makes the final checks, the cluster's own and the given ones.
func (c *Cluster) CheckEnd(checks ...Checker) error {
	for _, k := range append([]Checker{generic{}}, checks...) {
		if err := k.End(c); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	return nil
}

// Steps returns how many steps Run has taken.
func (c *Cluster) Steps() int { return c.steps }

// Settle ends all faults, starts what is down, and lets time pass until the honest nodes agree.
func (c *Cluster) Settle() error {
	if err := c.EndFaults(); err != nil {
		return err
	}
	return c.Agree(settleMost)
}

// Agree lets time pass until the honest nodes that run hold the same state and nothing more comes, but for the given ones, and fails when they do
// not within most.
func (c *Cluster) Agree(most time.Duration, except ...*Node) error {
	var before string
	for end := c.Now().Add(most); c.Now().Before(end); {
		if err := c.Advance(2 * time.Second); err != nil {
			return err
		}
		states, equal := c.states(except)
		if equal && states == before {
			c.Note("agreed: %s", states)
			return nil
		}
		before = states
	}
	return fmt.Errorf("after %v the nodes do not hold the same: %s\n%s", most, before, c.differences())
}

// states describes what the honest nodes hold, and whether it is the same.
func (c *Cluster) states(except []*Node) (text string, equal bool) {
	equal = true
	var first api.Hash
	for _, n := range c.Honest() {
		if n.k == nil || n.Outsider || slices.Contains(except, n) {
			continue
		}
		d, _ := n.Digest()
		if first.IsZero() {
			first = d
		}
		equal = equal && d == first
		text += fmt.Sprintf("%s %s %d records; ", n.Name, d.Short(), n.LogEnd())
	}
	return text, equal
}

// differences says which feeds the honest nodes hold differently.
func (c *Cluster) differences() string {
	var b strings.Builder
	heads := map[api.Hash]map[string]string{}
	var order []api.Hash
	for _, n := range c.Honest() {
		if n.Outsider {
			continue
		}
		for _, s := range n.Follows() {
			for _, h := range n.Heads(api.Topic{Space: s}) {
				if heads[h.Tip.Feed] == nil {
					heads[h.Tip.Feed] = map[string]string{}
					order = append(order, h.Tip.Feed)
				}
				r := n.Read("")
				fin, _ := r.Final(h.Tip.Feed)
				r.Close()
				heads[h.Tip.Feed][n.Name] = fmt.Sprintf("%s of %s: tip %d %s fork %d final %d", h.Topic.Name, c.nameOf(h.Author), h.Tip.Seq, h.Tip.ID.Short(), h.Fork, fin.Seq)
			}
		}
	}
	for _, n := range c.Honest() {
		if n.k == nil {
			continue
		}
		if l, err := n.k.Load(); err == nil && l.RoomRecords > 0 {
			fmt.Fprintf(&b, "%s: %d records wait, for %v\n", n.Name, l.RoomRecords, l.Missing[:min(8, len(l.Missing))])
		}
	}
	for _, feed := range order {
		var first string
		differs := false
		for i, n := range c.Honest() {
			if i == 0 {
				first = heads[feed][n.Name]
			}
			differs = differs || !n.Outsider && heads[feed][n.Name] != first
		}
		if !differs {
			continue
		}
		for _, n := range c.Honest() {
			fmt.Fprintf(&b, "%s: feed %s: %s\n", n.Name, feed.Short(), heads[feed][n.Name])
		}
	}
	return b.String()
}

// nameOf names the node of a member.
func (c *Cluster) nameOf(d api.DID) string {
	for _, n := range c.nodes {
		if n.member.DID() == d {
			return n.Name
		}
	}
	return string(d)
}
