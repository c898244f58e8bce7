package kerneltest

import (
	"fmt"
	"math/rand/v2"

	"github.com/intercooperative/icn/kernel/api"
)

// book is what the cluster remembers of all nodes' commits, to hold later ones against.
type book struct {
	verdicts map[api.Hash]ruling // by record
	places   map[place]api.Hash  // the first record that a node has committed there
	forked   map[api.Hash]bool   // feeds of which two have been committed at one place
	finals   map[place]closing
	stated   []api.Position // the final positions, in the order in which the first node knew
}

type ruling struct {
	accepted bool
	by       string
}

type place struct {
	feed api.Hash
	seq  uint64
}

func newBook() book {
	return book{verdicts: map[api.Hash]ruling{}, places: map[place]api.Hash{}, forked: map[api.Hash]bool{}, finals: map[place]closing{}}
}

// fail notes the first thing that is wrong; Advance returns it.
func (c *Cluster) fail(format string, args ...any) {
	if c.failed == nil {
		c.failed = fmt.Errorf(format, args...)
		c.Note("FAILED: %v", c.failed)
	}
}

// committed checks what a node says is on its disk.
func (c *Cluster) committed(n *Node, commits []api.Commit, finals []api.Position) {
	n.turns++
	for _, x := range commits {
		id := x.Record.ID
		if was, known := c.book.verdicts[id]; !x.Accepted && n.unfolded(x.Record.Position()) {
			// no verdict yet
		} else if !known {
			c.book.verdicts[id] = ruling{x.Accepted, n.Name}
		} else if was.accepted != x.Accepted {
			c.fail("record %s by %s (%s): accepted is %t on %s and was %t on %s", id.Short(), x.Record.Author, x.Record.Kind, x.Accepted, n.Name, was.accepted, was.by)
		}
		at := place{x.Record.Feed, x.Record.Seq}
		if first, known := c.book.places[at]; !known {
			c.book.places[at] = id
		} else if first != id {
			c.book.forked[at.feed] = true
		}
		if ahead := x.Record.Time.Time().Sub(c.Now()); x.Record.Device == n.member.Device() && n.liar == nil && !n.ahead && ahead > skewMost {
			c.fail("%s, whose clock is not ahead, dates record %s by %v ahead", n.Name, id.Short(), ahead)
		}
		if n.Outsider && c.nameOf(x.Record.Author) != string(x.Record.Author) { // what strangers make up is nobody's secret
			c.fail("%s stores record %s of space %s, which no oracle lets it have", n.Name, id.Short(), x.Record.Topic.Space.Short())
		}
		n.kept = append(n.kept, x.Record.Position())
	}
	for _, p := range finals {
		if err := n.closed(p); err != nil {
			c.fail("%w", err)
		}
	}
}

// checkKept checks that a node which boots holds all that it had announced.
func (n *Node) checkKept() error {
	r := n.Read("")
	defer r.Close()
	for _, p := range n.kept {
		rec, v, ok := r.Record(p)
		if !ok {
			return fmt.Errorf("%s has lost record %s at %v, which it had acknowledged", n.Name, p.ID.Short(), p)
		}
		if was, known := n.c.book.verdicts[p.ID]; known && was.accepted != v.Accepted && !cutOff(v) && !v.Unfolded() {
			return fmt.Errorf("%s: after a start record %s (%s) is accepted %t, and was %t", n.Name, p.ID.Short(), rec.Kind, v.Accepted, was.accepted)
		}
	}
	return n.checkMarks()
}

// unfolded reports whether a record waits for another build: it is stored and has no verdict.
func (n *Node) unfolded(p api.Position) bool {
	r := n.Read("")
	defer r.Close()
	_, v, _ := r.Record(p)
	return v.Unfolded()
}

// generic checks what holds for every kernel, whatever its apps.
type generic struct{}

// Bounds of what a node may hold in memory for later; the first two are those of feed.Limits.
const (
	roomRecordsMost = 16 << 10
	roomBytesMost   = 64 << 20
	inboxMost       = 16 << 10
	offeredMost     = 1024
)

// finalsPerStep is how many final positions are looked up on each node after a step, besides those of the feeds that are forked or cut, and modelEvery how many steps there are, on average, between
// two comparisons with the model; at the end all are looked up, and the model is asked.
const (
	finalsPerStep = 2
	modelEvery    = 32
)

// Step implements Checker.
func (generic) Step(c *Cluster) error {
	if c.failed != nil {
		return c.failed
	}
	for _, n := range c.nodes {
		if n.k == nil {
			continue
		}
		l, err := n.k.Load()
		if err != nil {
			continue // its store has failed, which its next step finds
		}
		if l.RoomRecords > roomRecordsMost || l.RoomBytes > roomBytesMost || l.Inbox > inboxMost || l.Offered > offeredMost {
			return fmt.Errorf("%s holds more than it may: %+v", n.Name, l)
		}
		if err := n.checkContested(); err != nil {
			return err
		}
		for range min(finalsPerStep, len(c.book.stated)) {
			if err := n.checkFinal(c.book.stated[c.Rand.IntN(len(c.book.stated))]); err != nil {
				return err
			}
		}
	}
	if n := c.PickUp(); n != nil && c.Rand.IntN(modelEvery) == 0 {
		return c.CheckModel(n)
	}
	return nil
}

// End implements Checker: all that was announced is there, what is final is final everywhere, all honest nodes hold the same, and the model makes
// the same of it in another order.
func (generic) End(c *Cluster) error {
	if c.failed != nil {
		return c.failed
	}
	var first *Node
	for _, n := range c.Honest() {
		if n.Outsider {
			continue // committed looks at all that it stores
		}
		if err := n.checkKept(); err != nil {
			return err
		}
		for _, p := range c.book.stated {
			if err := n.checkFinal(p); err != nil {
				return err
			}
		}
		if first == nil {
			first = n
			continue
		}
		want, wants := first.Digest()
		if got, gots := n.Digest(); got != want {
			for app, d := range wants {
				if gots[app] != d {
					return fmt.Errorf("%s and %s differ in %s", first.Name, n.Name, app)
				}
			}
		}
	}
	if first == nil {
		return nil
	}
	return c.CheckModel(first)
}

// CheckModel folds what a node holds anew, in another order, by the rules written the obvious way, and compares.
func (c *Cluster) CheckModel(n *Node) error {
	var s [32]byte
	apps := c.opt.Apps("model", rand.NewChaCha8(s))
	m := NewModel(apps...)
	if err := m.DeliverAll(shuffled(c.Rand, n.Records())); err != nil {
		return fmt.Errorf("the model refuses what %s holds: %w", n.Name, err)
	}
	_, digests := n.Digest()
	for _, a := range apps {
		if name := a.Info().Name; m.Digest(name) != digests[name] {
			return fmt.Errorf("%s and the model differ in %s", n.Name, name)
		}
	}
	return nil
}

// shuffled returns records in another causal order.
func shuffled(rng *rand.Rand, rs []*api.Record) []*api.Record {
	waits := map[api.Position]int{}
	after := map[api.Position][]*api.Record{}
	var free, out []*api.Record
	for _, r := range rs {
		on := r.Deps
		if r.Seq > 1 {
			on = append([]api.Position{{Feed: r.Feed, Seq: r.Seq - 1, ID: r.Prev}}, on...)
		}
		waits[r.Position()] = len(on)
		for _, p := range on {
			after[p] = append(after[p], r)
		}
		if len(on) == 0 {
			free = append(free, r)
		}
	}
	for len(free) > 0 {
		i := rng.IntN(len(free))
		r := free[i]
		free = append(free[:i], free[i+1:]...)
		out = append(out, r)
		for _, w := range after[r.Position()] {
			if waits[w.Position()]--; waits[w.Position()] == 0 {
				free = append(free, w)
			}
		}
	}
	return out
}

// flipApps are the apps of a node with the fault Plant.RetryFlips: what it meets late it judges by what it knows by then.
func flipApps(n *Node, apps []api.App) []api.App {
	out := make([]api.App, len(apps))
	for i, a := range apps {
		out[i] = a
		if f, ok := a.(full); ok {
			out[i] = &flip{full: f, n: n}
		}
	}
	return out
}

// full is an app with everything that an app may have, but for a part of its own that runs.
type full interface {
	api.Applier
	api.OracleProvider
	api.OperationProvider
	api.Reactor
	api.Starter
}

type flip struct {
	full
	n *Node
}

// Apply implements api.Applier, wrongly.
func (f *flip) Apply(tx api.Tx, r *api.Record) api.Outcome {
	o := f.full.Apply(tx, r)
	if o.Void != nil && r.Device != f.n.member.Device() {
		return api.Accepted
	}
	return o
}
