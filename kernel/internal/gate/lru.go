package gate

// lru is a map whose entries are kept in the order of their last use. The zero lru is not ready: use newLRU.
type lru[K comparable, V any] struct {
	m    map[K]*node[K, V]
	root node[K, V] // ring: root.next is the newest, root.prev the oldest
}

type node[K comparable, V any] struct {
	key        K
	val        V
	prev, next *node[K, V]
}

func newLRU[K comparable, V any]() *lru[K, V] {
	l := &lru[K, V]{m: map[K]*node[K, V]{}}
	l.root.prev, l.root.next = &l.root, &l.root
	return l
}

func (l *lru[K, V]) len() int { return len(l.m) }

// get returns the value under k, ready to be changed in place, and makes it the newest; nil when there is none.
func (l *lru[K, V]) get(k K) *V {
	n := l.m[k]
	if n == nil {
		return nil
	}
	n.unlink()
	l.push(n)
	return &n.val
}

// put adds a value under a key that is not there yet.
func (l *lru[K, V]) put(k K, v V) *V {
	n := &node[K, V]{key: k, val: v}
	l.m[k] = n
	l.push(n)
	return &n.val
}

// oldest returns the value that was not used for the longest; nil when the map is empty.
func (l *lru[K, V]) oldest() *V {
	if n := l.root.prev; n != &l.root {
		return &n.val
	}
	return nil
}

// drop removes the oldest entry of a map that is not empty.
func (l *lru[K, V]) drop() {
	n := l.root.prev
	n.unlink()
	delete(l.m, n.key)
}

func (l *lru[K, V]) push(n *node[K, V]) {
	n.prev, n.next = &l.root, l.root.next
	n.prev.next, n.next.prev = n, n
}

func (n *node[K, V]) unlink() { n.prev.next, n.next.prev = n.next, n.prev }
