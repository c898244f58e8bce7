package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/intercooperative/icn/kernel/api"
)

// batch is a Batch of pebble that remembers what is wrong with it. It gathers changes by itself and hands them over in the order of their keys:
// pebble finds the place of a row in its memory table from the place of the row before, which takes half the time when they are neighbours.
type batch struct {
	p     *pebble.Batch
	d     *db
	edits []edit
	data  []byte // keys and values, one after the other
	err   error  // why it cannot be committed
	used  bool   // committed, and not reset since
}

// edit is a row to set or to delete.
type edit struct {
	first      uint64 // the first eight bytes of the key, to compare by
	at         int    // in the data: the key, and then the value; later changes lie later
	key, value uint32 // lengths
	deleted    bool
}

// keepData bounds the memory that a batch keeps for its next use, in bytes.
const keepData = 1 << 20

func (b *batch) Set(key, value []byte) {
	if b.check(key, value) {
		b.add(edit{key: uint32(len(key)), value: uint32(len(value))}, key, value)
	}
}

func (b *batch) Delete(key []byte) {
	if b.check(key, nil) {
		b.add(edit{key: uint32(len(key)), deleted: true}, key, nil)
	}
}

func (b *batch) add(c edit, key, value []byte) {
	var first [8]byte
	copy(first[:], key)
	c.first, c.at = binary.BigEndian.Uint64(first[:]), len(b.data)
	b.edits = append(b.edits, c)
	b.data = append(append(b.data, key...), value...)
}

func (b *batch) key(c *edit) []byte { return b.data[c.at:][:c.key] }

// fill brings the changes, by key and then by age, into the batch of the engine.
func (b *batch) fill() error {
	slices.SortFunc(b.edits, func(x, y edit) int {
		if x.first != y.first {
			return cmp.Compare(x.first, y.first)
		}
		return cmp.Or(bytes.Compare(b.key(&x), b.key(&y)), cmp.Compare(x.at, y.at))
	})
	for i := range b.edits {
		c := &b.edits[i]
		var err error
		if k := b.key(c); c.deleted {
			err = b.p.Delete(k, nil)
		} else {
			err = b.p.Set(k, b.data[c.at+len(k):][:c.value], nil)
		}
		if err != nil {
			return api.Errorf("store.commit", api.Internal, "%w", err)
		}
	}
	return nil
}

// check reports whether one more row fits; the first that does not spoils the batch.
func (b *batch) check(key, value []byte) bool {
	const op = "store.commit"
	switch {
	case b.err != nil:
	case b.used:
		b.err = api.Errorf(op, api.Invalid, "the batch was committed and not reset")
	case len(key) == 0:
		b.err = api.Errorf(op, api.Invalid, "empty key")
	case key[0] == reserved:
		b.err = api.Errorf(op, api.Invalid, "key %q: keys that begin with a zero byte belong to the store", key[:min(len(key), 32)])
	case len(key) > MaxKey:
		b.err = api.Errorf(op, api.TooLarge, "key of %d bytes: at most %d", len(key), MaxKey)
	case len(value) > MaxValue:
		b.err = api.Errorf(op, api.TooLarge, "value of %d bytes: at most %d", len(value), MaxValue)
	case b.Size()+len(key)+len(value)+rowOverhead > MaxBatch:
		b.err = api.Errorf(op, api.TooLarge, "batch of more than %d bytes", MaxBatch)
	default:
		return true
	}
	return false
}

// take marks the batch as committed, or says why it cannot be.
func (b *batch) take() error {
	switch {
	case b.err != nil:
		return b.err
	case b.used || b.p == nil:
		return api.Errorf("store.commit", api.Invalid, "the batch was committed before, or closed")
	}
	b.used = true
	b.err = b.fill()
	return b.err
}

func (b *batch) Len() int { return len(b.edits) }

func (b *batch) Size() int { return len(b.data) + rowOverhead*len(b.edits) }

func (b *batch) Reset() {
	b.p.Reset()
	if cap(b.data) > keepData {
		b.edits, b.data = nil, nil
	}
	b.edits, b.data = b.edits[:0], b.data[:0]
	b.err, b.used = nil, false
}

func (b *batch) Close() {
	if b.p == nil {
		return
	}
	_ = b.p.Close() // returns memory to a pool; its error is always nil
	b.p, b.edits, b.data = nil, nil, nil
}
