package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Kinds are the faults and lies that a long run has to meet: each counts what took effect, not what was tried.
func Kinds() []string {
	return []string{
		"frame-lost", "frame-late", "frame-repeated", "frame-reordered", "frame-walled", "frame-slow",
		"partition", "block", "clock", "stop",
		"crash-power", "crash-kill", "crash-torn", "unsynced-lost", "log-torn", "disk-error", "disk-full",
		"lie-equivocate", "lie-evidence", "lie-fork-claim", "lie-device", "lie-witness", "lie-replay", "lie-withheld",
		"lie-flood", "lie-heads", "lie-keys",
		"lie-poison", "lie-postdate", "lie-repeat", "lie-digest", "lie-muted",
		"cut", "close", "device", "allot", "allotment-spent", "allotment-returned", "swap", "handover", "checkpoint", "charge", "import", "mandate",
		"elsewhere-paid", "elsewhere-lied-to", "elsewhere-stale", "elsewhere-altered", "elsewhere-again", "audit",
	}
}

// Bounds of Rare.
const (
	manySeeds = 1000
	rareBelow = 500
)

// Counts are how often each kind of fault was met in many runs. The zero value is none.
type Counts struct {
	list []kerneltest.Count
}

// Add adds those of one run.
func (c *Counts) Add(run []kerneltest.Count) {
	for _, x := range run {
		i, ok := slices.BinarySearchFunc(c.list, x.Kind, func(have kerneltest.Count, kind string) int { return cmp.Compare(have.Kind, kind) })
		if !ok {
			c.list = slices.Insert(c.list, i, kerneltest.Count{Kind: x.Kind})
		}
		c.list[i].N += x.N
	}
}

// Of returns how often a kind was met.
func (c Counts) Of(kind string) uint64 {
	for _, x := range c.list {
		if x.Kind == kind {
			return x.N
		}
	}
	return 0
}

// Rare names the kinds that a run of so many seeds has met fewer than 500 times: what it says about them is worth little. Fewer than 1000 seeds are
// not expected to meet everything.
func (c Counts) Rare(seeds int) (kinds []string) {
	if seeds < manySeeds {
		return nil
	}
	for _, k := range Kinds() {
		if n := c.Of(k); n < rareBelow {
			kinds = append(kinds, fmt.Sprintf("%s, %d times", k, n))
		}
	}
	return kinds
}

// String is a table, a line for each kind.
func (c Counts) String() string {
	var b strings.Builder
	for _, x := range c.list {
		fmt.Fprintf(&b, "%-18s %d\n", x.Kind, x.N)
	}
	return b.String()
}
