package store

import (
	"bytes"
	"fmt"
	"testing"
)

// TestReadCache: an entry serves whom it is true for, follows what is committed, and goes when its range is touched.
func TestReadCache(t *testing.T) {
	c := newReadCache(5)
	value := func(name string, v int64) string {
		if e := c.look(name, v); e != nil {
			return string(e.value)
		}
		return "-"
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	k := valueName([]byte("k"))
	c.keep(k, 4, &cached{value: []byte("old")})
	c.keep(k, 6, &cached{value: []byte("new")})
	want("kept by readers of other versions", value(k, 5), "-")
	c.keep(k, 5, &cached{value: []byte("5")})
	want("the version it was read at", value(k, 5), "5")
	want("an older version", value(k, 4), "-")
	want("a commit not yet heard of", value(k, 6), "-")

	page := func(lo, hi string) string {
		var h []byte
		if hi != "" {
			h = []byte(hi)
		}
		name := pageName([]byte(lo), h, false, 16)
		c.keep(name, c.version, &cached{page: []change{{[]byte(lo), []byte("v")}}, ranged: true, lo: []byte(lo), hi: h})
		return name
	}
	before, around, after, open := page("a", "k"), page("k", "k\x00"), page("k\x00", "z"), page("b", "")
	c.committed(6, []change{{key: []byte("k"), value: []byte("6")}})
	want("after a commit", value(k, 6), "6")
	want("after a commit, for a snapshot before it", value(k, 5), "-")
	for name, kept := range map[string]bool{before: true, around: false, after: true, open: false} {
		if got := c.look(name, 6) != nil; got != kept {
			t.Errorf("page %q: kept %v", name, got)
		}
	}
	c.committed(7, []change{{key: []byte("k")}})
	if e := c.look(k, 7); e == nil || e.value != nil {
		t.Errorf("after a deletion: %+v", e)
	}
	c.committed(8, []change{{key: []byte("k"), value: make([]byte, maxCached+1)}})
	want("a long value", value(k, 8), "-")

	// It stays within its bounds, and what is used stays in it.
	c.keep(k, 8, &cached{value: []byte("used")})
	for n := range 3 * cacheBytes / 10_000 {
		c.keep(valueName(fmt.Append(nil, n)), 8, &cached{value: bytes.Repeat([]byte("x"), 10_000)})
		want("the used one", value(k, 8), "used")
	}
	sum := 0
	for _, e := range c.young {
		sum += e.bytes
	}
	if sum != c.bytes || sum > cacheBytes || len(c.young)+len(c.old) > 2*cacheBytes/10_000+2 {
		t.Errorf("%d bytes in %d and %d entries, counted as %d", sum, len(c.young), len(c.old), c.bytes)
	}
}
