package store

import (
	"bytes"

	"github.com/cockroachdb/pebble/v2"

	"github.com/intercooperative/icn/kernel/api"
)

// iter is pebble's iterator with the store's errors.
type iter struct {
	*pebble.Iterator
	failed func(error) error // is told of each error that is not nil, and returns it
	closed bool
}

func newIter(r pebble.Reader, lower, upper []byte, failed func(error) error) (Iter, error) {
	if len(lower) == 0 || lower[0] == reserved {
		lower = []byte{reserved + 1}
	}
	if len(upper) == 0 {
		upper = nil
	} else if bytes.Compare(upper, lower) < 0 {
		upper = lower // a range of nothing, which pebble takes only in this form
	}
	it, err := r.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, failed(api.Errorf("store.iter", api.Internal, "%w", err))
	}
	return &iter{Iterator: it, failed: failed}, nil
}

func (i *iter) Err() error {
	if i.closed {
		return nil
	}
	if err := i.Error(); err != nil {
		return i.failed(api.Errorf("store.iter", api.Internal, "%w", err))
	}
	return nil
}

func (i *iter) Close() error {
	if i.closed {
		return nil
	}
	i.closed = true
	if err := i.Iterator.Close(); err != nil {
		return i.failed(api.Errorf("store.iter", api.Internal, "%w", err))
	}
	return nil
}
