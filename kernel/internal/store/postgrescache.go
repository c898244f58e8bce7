package store

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sort"
	"sync"
)

// readCache holds what was read lately, so that a question asked in every operation is not a round trip to the server each time. It rests on
// there being one writer, whose commits it hears of: what it holds is as of the last of them.
//
// A reader of version v may use an entry that was made at v or before, as long as the cache has heard of all commits up to v. An entry may be
// made by a reader whose version is that of the cache, for then nothing has changed since it read.
type readCache struct {
	mu      sync.Mutex
	version int64
	// Two generations stand in for an exact order of use: what is used is put into the young one, and when that is full it becomes the old
	// one, whose entries are forgotten.
	young, old map[string]*cached
	bytes      int // of the young ones
}

// cached is the value of a key, nil for none, or the page of a range.
type cached struct {
	since  int64
	value  []byte
	page   []change
	ranged bool
	lo, hi []byte // the range; a nil hi is the end
	bytes  int
}

const (
	cacheBytes = 8 << 20  // of a generation
	maxCached  = 64 << 10 // of an entry
	entryBytes = 200      // what an entry weighs beside its bytes, roughly
)

func newReadCache(version int64) *readCache {
	return &readCache{version: version, young: map[string]*cached{}, old: map[string]*cached{}}
}

// valueName and pageName are the names of entries. A page is what one load reads.
func valueName(key []byte) string { return "v" + string(key) }

func pageName(lo, hi []byte, back bool, size int) string {
	b := []byte{'p', 0}
	if back {
		b[1] |= 1
	}
	if hi == nil {
		b[1] |= 2
	}
	b = binary.AppendUvarint(b, uint64(size))
	b = binary.AppendUvarint(b, uint64(len(lo)))
	return string(append(append(b, lo...), hi...))
}

// look returns what a reader of version v may use, or nil.
func (c *readCache) look(name string, v int64) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.young[name]
	if e == nil {
		if e = c.old[name]; e == nil {
			return nil
		}
		delete(c.old, name)
		c.put(name, e)
	}
	if c.version < v || e.since > v {
		return nil
	}
	return e
}

// keep takes what a reader of version v has read.
func (c *readCache) keep(name string, v int64, e *cached) {
	e.since, e.bytes = v, entryBytes+len(name)+len(e.value)+len(e.lo)+len(e.hi)
	for _, row := range e.page {
		e.bytes += entryBytes/4 + len(row.key) + len(row.value)
	}
	if e.bytes > maxCached {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version == v {
		delete(c.old, name)
		c.put(name, e)
	}
}

// put is called with the lock held.
func (c *readCache) put(name string, e *cached) {
	if was := c.young[name]; was != nil {
		c.bytes -= was.bytes
	}
	if c.bytes+e.bytes > cacheBytes {
		c.old, c.young, c.bytes = c.young, map[string]*cached{}, 0
	}
	c.young[name] = e
	c.bytes += e.bytes
}

// committed hears of commit n with its changes in key order.
func (c *readCache) committed(n int64, ops []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = n
	for _, o := range ops {
		name := valueName(o.key)
		if len(o.value) > maxCached {
			c.drop(name)
			continue
		}
		was := c.young[name]
		if was == nil {
			if was = c.old[name]; was == nil {
				continue
			}
		}
		// What was read before is read again: it stays, with its new value. Readers hold the old one, so it is not changed in place.
		delete(c.old, name)
		c.put(name, &cached{since: n, value: o.value, bytes: was.bytes - len(was.value) + len(o.value)})
	}
	for _, m := range []map[string]*cached{c.young, c.old} {
		for name, e := range m {
			if e.ranged && touches(ops, e.lo, e.hi) {
				c.drop(name)
			}
		}
	}
}

func (c *readCache) drop(name string) {
	if e := c.young[name]; e != nil {
		c.bytes -= e.bytes
		delete(c.young, name)
	}
	delete(c.old, name)
}

// touches reports whether one of the changes, which are in key order, is in the range.
func touches(ops []change, lo, hi []byte) bool {
	i := sort.Search(len(ops), func(i int) bool { return bytes.Compare(ops[i].key, lo) >= 0 })
	return i < len(ops) && (hi == nil || bytes.Compare(ops[i].key, hi) < 0)
}

// small reports whether every value of a page has been read.
func small(page []change) bool {
	return !slices.ContainsFunc(page, func(c change) bool { return c.value == nil })
}
