package fold

import (
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// What a store holds is records, what follows from them, and named values and served requests, which follow from nothing. For an archive, Envelopes,
// Metas and Requests give all that does not follow from something else; Put, SetMeta and SetIdempotent take it back.

// Envelopes visits the signed envelopes of all records in the order in which this node committed them. The bytes are valid during fn only. While
// the state is being rebuilt it fails with Unavailable: what follows from the records is not there then.
func Envelopes(r store.Reader, fn func(raw []byte) error) error {
	return visitEnvelopes(r, func(api.Position) (bool, error) { return true, nil }, fn)
}

func visitEnvelopes(r store.Reader, wanted func(api.Position) (bool, error), fn func(raw []byte) error) error {
	if _, cut, err := Meta(r, rebuilding); err != nil || cut {
		if cut {
			err = api.Errorf("fold.export", api.Unavailable, "the state is being rebuilt")
		}
		return err
	}
	return replay(r, func(p api.Position, _ uint64) error {
		if want, err := wanted(p); err != nil || !want {
			return err
		}
		b, ok, err := r.Get(recordKey(p))
		if err != nil {
			return err
		}
		if !ok {
			return api.Errorf("fold.export", api.Internal, "record %v is in the log and not in the store", p)
		}
		_, _, _, raw, ok := splitStored(b)
		if !ok {
			return errDamaged
		}
		return fn(raw)
	})
}

var _ api.RecordReader = (*Reader)(nil)

// Envelopes implements api.RecordReader.
func (r *Reader) Envelopes(space api.Hash, fn func(raw []byte) error) error {
	return visitEnvelopes(r.r, func(p api.Position) (bool, error) {
		f, err := r.feed(p.Feed)
		return f != nil && f.Topic.Space == space, err
	}, fn)
}

// Requests visits what SetIdempotent has remembered.
func Requests(r store.Reader, fn func(device api.Key, name, content api.Hash, at api.Position) error) error {
	return each(r, []byte{nsIdem}, func(k, v []byte) (bool, error) {
		if len(k) != 65 || len(v) != 104 {
			return false, api.Errorf("fold.export", api.Internal, "request %x is damaged", k)
		}
		at, _ := parsePos(v[32:])
		return true, fn(api.Key(k[1:33]), api.Hash(k[33:]), api.Hash(v[:32]), at)
	})
}

// Waiting counts the feeds of a space whose newest records wait for an upgrade of this node, and lists the first few.
func (r *Reader) Waiting(space api.Hash) (n int, some []api.Hash) {
	r.note(each(r.r, key(nsTopic, space[:]), func(k, _ []byte) (bool, error) {
		f, err := r.feed(api.Hash(k[len(k)-32:]))
		if err != nil || f == nil || !f.Waits {
			return err == nil, err
		}
		if n++; len(some) < 3 {
			some = append(some, f.ID)
		}
		return true, nil
	}))
	return n, slices.Clip(some)
}
