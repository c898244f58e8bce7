package store

import (
	"bytes"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// change is one row of a batch; a nil value deletes.
type change struct{ key, value []byte }

// pgBatch is a Batch that lies in memory until it is committed.
type pgBatch struct {
	p    *postgres
	ops  []change
	size int
	err  error // why it cannot be committed
	used bool  // committed, and not reset since
	gone bool  // closed
}

// rowOverhead is what a change weighs beside its bytes, in the size of a batch.
const rowOverhead = 12

func (b *pgBatch) Set(key, value []byte) {
	if b.check(key, value) {
		b.add(key, value, true)
	}
}

func (b *pgBatch) Delete(key []byte) {
	if b.check(key, nil) {
		b.add(key, nil, false)
	}
}

// add copies key and value into one allocation, which nobody changes afterwards.
func (b *pgBatch) add(key, value []byte, set bool) {
	both := make([]byte, len(key)+len(value))
	copy(both[copy(both, key):], value)
	c := change{key: both[:len(key):len(key)]}
	if set {
		c.value = both[len(key):]
	}
	b.ops = append(b.ops, c)
	b.size += len(both) + rowOverhead
}

// check reports whether one more row fits; the first that does not spoils the batch.
func (b *pgBatch) check(key, value []byte) bool {
	const op = "store.commit"
	switch {
	case b.err != nil:
	case b.used:
		b.err = api.Errorf(op, api.Invalid, "the batch was committed and not reset")
	case len(key) == 0:
		b.err = api.Errorf(op, api.Invalid, "empty key")
	case key[0] == reserved:
		b.err = api.Errorf(op, api.Invalid, "key %q: keys that begin with a zero byte belong to the store", key[:min(len(key), 32)])
	case len(key) > maxPostgresKey:
		b.err = api.Errorf(op, api.TooLarge, "key of %d bytes: at most %d in PostgreSQL", len(key), maxPostgresKey)
	case len(value) > MaxValue:
		b.err = api.Errorf(op, api.TooLarge, "value of %d bytes: at most %d", len(value), MaxValue)
	case b.size+len(key)+len(value)+rowOverhead > MaxBatch:
		b.err = api.Errorf(op, api.TooLarge, "batch of more than %d bytes", MaxBatch)
	default:
		return true
	}
	return false
}

// take marks the batch as committed and returns its changes in key order, one for each key, or says why it cannot be committed. The
// changes are the caller's.
func (b *pgBatch) take() ([]change, error) {
	switch {
	case b.err != nil:
		return nil, b.err
	case b.used || b.gone:
		return nil, api.Errorf("store.commit", api.Invalid, "the batch was committed before, or closed")
	}
	b.used = true
	ops := b.ops
	b.ops = nil
	slices.SortStableFunc(ops, func(a, b change) int { return bytes.Compare(a.key, b.key) })
	n := 0
	for i := range ops {
		if i+1 < len(ops) && bytes.Equal(ops[i].key, ops[i+1].key) {
			continue // a later one of the same key wins
		}
		ops[n] = ops[i]
		n++
	}
	clear(ops[n:])
	return ops[:n], nil
}

func (b *pgBatch) Len() int  { return len(b.ops) }
func (b *pgBatch) Size() int { return b.size }

func (b *pgBatch) Reset() {
	b.ops = b.ops[:0]
	b.size, b.err, b.used = 0, nil, false
}

func (b *pgBatch) Close() { b.ops, b.gone = nil, true }
