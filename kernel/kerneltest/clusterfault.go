package kerneltest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// Crash says how a node ends without ceremony.
type Crash uint8

// The crashes.
const (
	// PowerLoss loses what was not synced.
	PowerLoss Crash = iota
	// Killed loses nothing that was written: it may be on disk although nobody was told.
	Killed
	// TornTail loses what was not synced but for the beginning of it, which ends anywhere.
	TornTail
)

// String returns the kind of fault under which the crash is counted.
func (k Crash) String() string {
	return [...]string{"crash-power", "crash-kill", "crash-torn"}[min(k, TornTail)]
}

// Crash stops the node at this instant; Start boots it again on what the disk kept.
func (n *Node) Crash(kind Crash) {
	n.c.fault(kind.String(), "%s", n.Name)
	if n.k != nil {
		n.down(nil)
	}
	had := n.LogEnd()
	f := store.Faults{LoseUnsynced: true}
	switch kind {
	case Killed:
		b := n.disk.NewBatch()
		_ = n.disk.Commit(b, true) // brings what was written to the disk; a failed store stays as it is
		b.Close()
		n.disk.Arm(f)
		n.disk = n.disk.Crash()
	case TornTail:
		n.disk.Arm(f)
		n.disk = n.disk.CrashTorn(n.c.Rand.Uint32())
		if torn := n.disk.Torn(); torn > 0 {
			n.c.fault("log-torn", "%s by %d bytes", n.Name, torn)
		}
	default:
		n.disk.Arm(f)
		n.disk = n.disk.Crash()
	}
	if has := n.LogEnd(); has < had {
		n.c.fault("unsynced-lost", "%s, %d records", n.Name, had-has)
	}
}

// Doom lets the node crash right after its next write, which is on disk by then unless the disk is slow.
func (n *Node) Doom(kind Crash) {
	n.c.Note("%s is to end: %s", n.Name, kind)
	n.doom = &kind
}

// Stop ends the node in order, as an operator does.
func (n *Node) Stop() {
	if n.k == nil {
		return
	}
	n.c.fault("stop", "%s", n.Name)
	n.net.Stop()
	n.down(nil)
	b := n.disk.NewBatch()
	_ = n.disk.Commit(b, true)
	b.Close()
	n.disk = n.disk.Crash()
}

// BreakDisk makes the node's next sync fail, or its next write when full is set, as on a disk that is full. The node stops by itself then.
func (n *Node) BreakDisk(full bool) {
	f := store.Faults{LoseUnsynced: true, FailSync: 1}
	if full {
		f = store.Faults{LoseUnsynced: true, DiskBytes: 1}
	}
	n.c.Note("the disk of %s breaks, full %t", n.Name, full)
	n.disk.Arm(f)
}

// SlowDisk makes the node's syncs lag by a step from its next start on.
func (n *Node) SlowDisk(slow bool) { n.slow = slow }

// SetSkew puts the node's clock ahead of the true time, or behind it.
func (n *Node) SetSkew(d time.Duration) {
	n.c.fault("clock", "%s %v", n.Name, d)
	n.c.sees(n.Now())
	n.skew = d
	n.ahead = n.ahead || d > 0
}

// sees notes that records may be dated as late as t: before that, the others need not take them.
func (c *Cluster) sees(t time.Time) {
	if t.After(c.horizon) {
		c.horizon = t
	}
}

// hasty is a disk that answers before anything is on it.
type hasty struct{ *store.Mem }

func (h hasty) Commit(b store.Batch, _ bool) error { return h.Mem.Commit(b, false) }

// EndFaults heals the network, makes all links good, puts clocks and disks right and starts what is down. Liars keep to the rules from now on.
// Time leaps to where no record is dated ahead any more.
func (c *Cluster) EndFaults() error {
	c.Note("all faults end")
	c.Net.Heal()
	for _, a := range c.nodes {
		c.sees(a.Now())
		a.skew, a.slow, a.doom = 0, false, nil
		if a.liar != nil {
			a.liar.modes = modes{}
		}
		for _, b := range c.nodes {
			c.Net.SetOneWay(a.DID(), b.DID(), Link{Delay: 10 * time.Millisecond})
		}
	}
	c.Net.SetLink("", "", Link{Delay: 10 * time.Millisecond})
	for _, n := range c.nodes {
		n.disk.Arm(store.Faults{LoseUnsynced: true})
		if n.k != nil {
			n.Probe()
		}
		if n.k == nil {
			if err := n.restart(); err != nil {
				return err
			}
		}
	}
	if leap := c.horizon.Add(skewMost); leap.After(c.Now()) {
		c.Note("time leaps to %v", leap.Sub(clusterEpoch))
		c.Net.Step(leap)
	}
	for _, n := range c.nodes {
		n.net.Mend("")
	}
	return nil
}

// Probe stops a node whose store has failed without its having noticed yet; a daemon's store tells it.
func (n *Node) Probe() {
	if n.k == nil {
		return
	}
	b := n.disk.NewBatch()
	defer b.Close()
	if err := n.disk.Commit(b, true); err != nil {
		n.broke(err)
	}
}

// skewMost is more than kernels let their clocks be ahead of the wall.
const skewMost = time.Minute

// restart boots a node that is down, on what the disk keeps of a store that failed.
func (n *Node) restart() error {
	if n.err != nil {
		n.disk.Arm(store.Faults{LoseUnsynced: true})
		n.disk = n.disk.Crash()
	}
	n.c.Note("%s starts", n.Name)
	return n.Start()
}

// pick draws one of the nodes that fit, nil when none does.
func (c *Cluster) pick(fit func(*Node) bool) *Node {
	var ns []*Node
	for _, n := range c.nodes {
		if fit(n) {
			ns = append(ns, n)
		}
	}
	if len(ns) == 0 {
		return nil
	}
	return ns[c.Rand.IntN(len(ns))]
}

// outsider reports whether d is an outsider's node.
func (c *Cluster) outsider(d api.DID) bool {
	return slices.ContainsFunc(c.nodes, func(n *Node) bool { return n.Outsider && n.DID() == d })
}

// PickUp draws a running node that is nobody's outsider, nil when there is none.
func (c *Cluster) PickUp() *Node {
	return c.pick(func(n *Node) bool { return n.k != nil && !n.Outsider })
}

// Faults are the actions that make networks, machines and clocks go wrong, and right again.
func Faults() []Action {
	up := func(n *Node) bool { return n.k != nil }
	on := func(fit func(*Node) bool, do func(*Cluster, *Node) error) func(*Cluster) error {
		return func(c *Cluster) error {
			if n := c.pick(fit); n != nil {
				return do(c, n)
			}
			return nil
		}
	}
	return []Action{
		{"crash", 8, on(up, func(c *Cluster, n *Node) error {
			n.SlowDisk(c.Rand.IntN(4) > 0)
			kind := [...]Crash{PowerLoss, PowerLoss, Killed, TornTail}[c.Rand.IntN(4)]
			if c.Rand.IntN(4) == 0 {
				n.Crash(kind)
			} else {
				n.Doom(kind)
			}
			return nil
		})},
		{"stop", 1, on(up, func(_ *Cluster, n *Node) error { n.Stop(); return nil })},
		{"disk", 4, on(up, func(c *Cluster, n *Node) error { n.BreakDisk(c.Rand.IntN(2) == 0); return nil })},
		{"start", 8, on(func(n *Node) bool { return n.k == nil }, func(_ *Cluster, n *Node) error { return n.restart() })},
		{"clock", 2, on(up, func(c *Cluster, n *Node) error { n.SetSkew(drawSkew(c.Rand)); return nil })},
		{"clock-right", 2, on(func(n *Node) bool { return n.skew != 0 }, func(_ *Cluster, n *Node) error { n.SetSkew(0); return nil })},
		{"partition", 2, (*Cluster).drawPartition},
		{"block", 2, (*Cluster).drawBlock},
		{"heal", 4, func(c *Cluster) error { c.Net.Heal(); return nil }},
		{"link", 4, (*Cluster).drawLink},
	}
}

// drawSkew draws a clock error: mostly within what peers accept, sometimes hours.
func drawSkew(r *rand.Rand) time.Duration {
	most := 20 * time.Second
	if r.IntN(4) == 0 {
		most = 6 * time.Hour
	}
	return time.Duration(r.Int64N(int64(2*most))) - most
}

func (c *Cluster) drawPartition() error {
	islands := make([][]api.DID, 2+c.Rand.IntN(2))
	var names string
	for _, n := range c.nodes {
		i := c.Rand.IntN(len(islands))
		islands[i] = append(islands[i], n.DID())
		names += fmt.Sprintf(" %s:%d", n.Name, i)
	}
	c.fault("partition", "%s", names)
	c.Net.Partition(islands...)
	return nil
}

func (c *Cluster) drawBlock() error {
	a, b := c.nodes[c.Rand.IntN(len(c.nodes))], c.nodes[c.Rand.IntN(len(c.nodes))]
	if a != b {
		c.fault("block", "%s to %s", a.Name, b.Name)
		c.Net.Block(a.DID(), b.DID())
	}
	return nil
}

func (c *Cluster) drawLink() error {
	a, b := c.nodes[c.Rand.IntN(len(c.nodes))], c.nodes[c.Rand.IntN(len(c.nodes))]
	l := Link{Delay: time.Duration(c.Rand.IntN(60)) * time.Millisecond, Jitter: time.Duration(1+c.Rand.IntN(200)) * time.Millisecond}
	kind := "link-delay"
	switch c.Rand.IntN(5) {
	case 0:
		l.Loss, kind = c.Rand.Float64()/3, "link-loss"
	case 1:
		l.Repeat, kind = c.Rand.Float64()/2, "link-repeat"
	case 2:
		l.Reorder, kind = c.Rand.Float64()/2, "link-reorder"
	case 3:
		l.Rate, kind = 1000+c.Rand.IntN(20_000), "link-slow"
	}
	c.fault(kind, "%s to %s", a.Name, b.Name)
	c.Net.SetOneWay(a.DID(), b.DID(), l)
	return nil
}
