package store

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"sync"
)

// past is what a commit overwrote: the rows as they were before it, in key order, a nil value for one that was not there.
//
// A snapshot is a number, that of the last commit it sees, and holds neither a connection nor a transaction of the server. It reads the rows
// as they are now, and puts back what the commits since have overwritten. This rests on there being one writer; what it overwrites is read,
// and noted here, before the commit is sent, while anybody has a snapshot open.
type past struct {
	n     int64
	rows  []change
	bytes int
}

// maxPast bounds what is noted for open snapshots. Beyond it they cannot be read any more, which ends the store.
const maxPast = 256 << 20

// errGone is what the reader of a snapshot is told that was held while very much was written.
var errGone = errors.New("a snapshot was held too long: what it sees has been overwritten by more than 256 MiB")

// history is the snapshots that are open, and what they need.
type history struct {
	mu      sync.Mutex
	quiet   sync.Cond     // no commit is under way that notes nothing
	blind   bool          // there is one
	waiting int           // how many wait for its end
	open    map[int64]int // how often each version is held
	pasts   []*past       // ascending
	bytes   int
	horizon int64 // versions below it cannot be read any more
}

func newHistory() *history {
	h := &history{open: map[int64]int{}}
	h.quiet.L = &h.mu
	return h
}

// hold opens a snapshot of all that has been committed.
func (p *postgres) hold() int64 {
	h := p.history
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.waiting++; h.blind; {
		h.quiet.Wait()
	}
	h.waiting--
	v := p.version.Load()
	h.open[v]++
	return v
}

// letGo closes one, and forgets what nobody needs any more.
func (p *postgres) letGo(v int64) {
	h := p.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[v]--; h.open[v] > 0 {
		return
	}
	delete(h.open, v)
	oldest := p.version.Load() // which is what the next one will see, even if a commit is under way
	for v := range h.open {
		oldest = min(oldest, v)
	}
	k := h.after(oldest)
	for _, e := range h.pasts[:k] {
		h.bytes -= e.bytes
	}
	h.pasts = slices.Clone(h.pasts[k:])
}

// again is hold for a version that is held already.
func (h *history) again(v int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open[v]++
}

// begin announces a commit, and reports whether it has to note what it overwrites. end follows.
func (h *history) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blind = len(h.open)+h.waiting == 0 // those who wait would never get a turn under load
	return !h.blind
}

func (h *history) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.blind = false
	h.quiet.Broadcast()
	if len(h.open) == 0 {
		h.pasts, h.bytes = nil, 0
	}
}

// note takes what commit n is about to overwrite.
func (h *history) note(e *past) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes+e.bytes > maxPast {
		h.pasts, h.bytes, h.horizon = nil, 0, e.n
		return
	}
	h.pasts = append(h.pasts, e)
	h.bytes += e.bytes
}

// since returns what was overwritten by the commits after v, in their order. The slice is the caller's to read.
func (h *history) since(v int64) ([]*past, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v < h.horizon {
		return nil, errGone
	}
	return h.pasts[h.after(v):], nil
}

// after is the index of the first commit after v.
func (h *history) after(v int64) int {
	k, _ := slices.BinarySearchFunc(h.pasts, v+1, func(e *past, n int64) int { return cmp.Compare(e.n, n) })
	return k
}

func byKey(c change, key []byte) int { return bytes.Compare(c.key, key) }
