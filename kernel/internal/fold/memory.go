package fold

import (
	"sync"

	"github.com/intercooperative/icn/kernel/api"
)

// memoryBytes bounds what a Memory holds, roughly counted; a full one is emptied, like the caches of State.
const memoryBytes = 4 << 20

// What an entry costs beside its bytes, and the longest value that is remembered.
const (
	memoryFeed  = 384
	memoryRow   = 128
	memoryValue = 4 << 10
)

// Memory is what the Readers of one store remember for each other, since no commit can change it: the rows of a feed that neither is forked nor stands
// on cuts, as its tip has them, for a tip's id names its whole past, and the verdict of a record is a matter of its past; whose a feed is; and the records
// that found spaces. What does change, a feed's head, is read from each snapshot anew, so that a Reader with a Memory answers like one without.
//
// Only making the state anew takes rows away, so a Memory ends with that. It is safe for concurrent use; the nil Memory remembers nothing.
type Memory struct {
	mu    sync.RWMutex
	feeds map[api.Hash]*remembered
	found map[api.Hash]*Stored // by id
	size  int
}

// remembered is what is known of one feed.
type remembered struct {
	origin
	tip  Mark // that rows are of
	rows map[string]row
	size int // of rows
}

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	return &Memory{feeds: map[api.Hash]*remembered{}, found: map[api.Hash]*Stored{}}
}

// lasting reports whether what the branch of f that ends at m reads is a matter of m alone.
func lasting(f *Feed, m Mark) bool {
	return f.Fork == 0 && len(f.rebases) == 0 && m == f.Tip
}

func (m *Memory) origin(feed api.Hash) (o origin, ok bool) {
	if m == nil {
		return o, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if k := m.feeds[feed]; k != nil {
		return k.origin, true
	}
	return o, false
}

func (m *Memory) setOrigin(feed api.Hash, o origin) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.feeds[feed] == nil {
		m.grow(memoryFeed)
		m.feeds[feed] = &remembered{origin: o}
	}
}

// row returns what is known of a name at the tip of f: maybe that there is no such row.
func (m *Memory) row(f *Feed, name []byte) (r row, known bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if k := m.feeds[f.ID]; k != nil && k.tip == f.Tip {
		r, known = k.rows[string(name)]
	}
	return r, known
}

func (m *Memory) setRow(f *Feed, name []byte, r row) {
	if len(r.val) > memoryValue {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.feeds[f.ID]
	if k == nil || k.tip.Seq > f.Tip.Seq { // newer snapshots than this one will be asked
		return
	}
	if k.tip != f.Tip {
		m.size -= k.size
		clear(k.rows)
		k.tip, k.size = f.Tip, 0
	}
	if _, known := k.rows[string(name)]; known {
		return
	}
	n := len(name) + len(r.val) + memoryRow
	if m.grow(n) { // f was forgotten, too
		return
	}
	if k.rows == nil {
		k.rows = map[string]row{}
	}
	k.rows[string(name)] = r
	k.size += n
}

// founding returns a record that founds a space, with a header of the caller's own.
func (m *Memory) founding(id api.Hash) *Stored {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.found[id].copy()
}

func (m *Memory) setFounding(st *Stored) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.found[st.ID] == nil {
		m.grow(memoryFeed + 2*len(st.Raw))
		m.found[st.ID] = st.copy()
	}
}

// grow makes room for n bytes and reports whether everything had to be forgotten for that.
func (m *Memory) grow(n int) (emptied bool) {
	if emptied = m.size+n > memoryBytes; emptied {
		clear(m.feeds)
		clear(m.found)
		m.size = 0
	}
	m.size += n
	return emptied
}
