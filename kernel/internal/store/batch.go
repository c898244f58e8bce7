package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/intercooperative/icn/kernel/api"
)

// batch is a Batch of pebble that remembers what is wrong with it.
type batch struct {
	p    *pebble.Batch
	d    *db
	err  error // why it cannot be committed
	used bool  // committed, and not reset since
}

func (b *batch) Set(key, value []byte) {
	if b.check(key, value) {
		b.refuse(b.p.Set(key, value, nil))
	}
}

func (b *batch) Delete(key []byte) {
	if b.check(key, nil) {
		b.refuse(b.p.Delete(key, nil))
	}
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
	case b.p.Len()+len(key)+len(value) > MaxBatch:
		b.err = api.Errorf(op, api.TooLarge, "batch of more than %d bytes", MaxBatch)
	default:
		return true
	}
	return false
}

func (b *batch) refuse(err error) {
	if err != nil {
		b.err = api.Errorf("store.commit", api.Internal, "%w", err)
	}
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
	return nil
}

func (b *batch) Len() int { return int(b.p.Count()) }

func (b *batch) Size() int {
	if b.p.Empty() {
		return 0 // not the engine's header
	}
	return b.p.Len()
}

func (b *batch) Reset() {
	b.p.Reset()
	b.err, b.used = nil, false
}

func (b *batch) Close() {
	if b.p == nil {
		return
	}
	_ = b.p.Close() // returns memory to a pool; its error is always nil
	b.p = nil
}
