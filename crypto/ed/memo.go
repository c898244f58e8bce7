package ed

import "sync"

// memo remembers keys, as many as two generations have: when the young one is full, the old one is forgotten. It is safe for concurrent use.
type memo struct {
	mu         sync.RWMutex
	young, old map[[KeySize]byte]struct{}
}

// maxGeneration is how many keys a generation has, each some 50 bytes of memory.
const maxGeneration = 4096

// good are keys that CheckKey has let through: nobody can make it say something else of them.
var good memo

func (m *memo) has(key []byte) bool {
	if len(key) != KeySize {
		return false
	}
	k := [KeySize]byte(key)
	m.mu.RLock()
	_, young := m.young[k]
	_, old := m.old[k]
	m.mu.RUnlock()
	if old && !young {
		m.add(key) // it is asked about still
	}
	return young || old
}

// add remembers a key of KeySize bytes.
func (m *memo) add(key []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.young) >= maxGeneration || m.young == nil {
		m.young, m.old = map[[KeySize]byte]struct{}{}, m.young
	}
	m.young[[KeySize]byte(key)] = struct{}{}
}
