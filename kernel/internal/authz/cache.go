package authz

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// cache remembers decisions in a table of fixed size. A decision may stand in any of the few places of its hash's group, so a look-up is a few
// atomic loads and comparisons, without a lock and without an allocation; a newcomer to a full group replaces the answer that would age out
// first. Two writers may overwrite each other: then an answer is forgotten early, which costs a question and nothing else.
type cache struct {
	seed maphash.Seed
	mask uint64
	at   []atomic.Pointer[entry]
}

// ways is the size of a group.
const ways = 4

// entry is immutable once it stands in the table.
type entry struct {
	key      key
	slot     *slot
	until    time.Duration // since the Registry started
	decision api.Decision
}

// key is an api.Request without its proofs.
type key struct {
	domain api.Domain
	actor  api.DID
	action string
	topic  api.Topic
	unit   string
	amount int64
}

// maxKey bounds the text of a remembered request, in bytes: with the size of the table that bounds the memory.
const maxKey = 512

func keyOf(q *api.Request) *key {
	return &key{q.Domain, q.Actor, q.Action, q.Topic, q.Unit, q.Amount}
}

func (k *key) size() int {
	return len(k.domain) + len(k.actor) + len(k.action) + len(k.topic.Name) + len(k.unit)
}

func newCache(entries int) *cache {
	n := max(1<<bits.Len(uint(entries-1)), ways)
	return &cache{seed: maphash.MakeSeed(), mask: uint64(n - 1), at: make([]atomic.Pointer[entry], n)}
}

func (c *cache) hash(k *key) uint64 { return maphash.Comparable(c.seed, *k) }

// group returns the places where an entry of hash h may stand.
func (c *cache) group(h uint64) []atomic.Pointer[entry] {
	i := h & c.mask &^ (ways - 1)
	return c.at[i : i+ways]
}

// get returns the decision that the registration s gave for k and that holds at now; nil when there is none.
func (c *cache) get(h uint64, k *key, s *slot, now time.Duration) *api.Decision {
	g := c.group(h)
	for i := range g {
		if e := g[i].Load(); e != nil && e.slot == s && e.key == *k && now < e.until {
			return &e.decision
		}
	}
	return nil
}

// put remembers e: in the place of an older answer to the same request, else in a free place or that of a dead answer, else in that of the
// one that dies first.
func (c *cache) put(h uint64, now time.Duration, e *entry) {
	g := c.group(h)
	best, least := 0, time.Duration(1<<63-1)
	for i := range g {
		old := g[i].Load()
		switch {
		case old != nil && old.key == e.key:
			g[i].Store(e)
			return
		case old == nil || old.until <= now:
			best, least = i, -1
		case old.until < least:
			best, least = i, old.until
		}
	}
	g[best].Store(e)
}
