package kernel

import (
	"context"
	"errors"
	"log/slog"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/snapshot"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// Replayed is what the records of a space come to, folded without a node. Close it.
type Replayed struct {
	Records uint64

	st   store.Store
	apps *fold.Apps
}

// Replay checks the records of a space that next gives, one signed envelope after another and then io.EOF, as VerifySnapshot does, and folds them by apps
// in an empty store of its own, which lies in a new folder of dir until Close, and without a dir in memory. Every record must be of the space. It keeps nothing that next gave.
// The first thing that is wrong ends it, with an error that names the record by its place.
func Replay(ctx context.Context, apps []api.App, dir string, space api.Hash, next func() ([]byte, error)) (_ *Replayed, err error) {
	const op = "records.replay"
	table, err := fold.NewApps(apps)
	if err != nil {
		return nil, err
	}
	open := store.OpenVolatile
	if dir != "" {
		open = func() (store.Store, error) { return store.OpenScratch(dir) }
	}
	st, err := open()
	if err != nil {
		return nil, err
	}
	out := &Replayed{st: st, apps: table}
	defer func() {
		if err != nil {
			err = errors.Join(err, st.Close())
		}
	}()
	state, err := fold.Open(st, table, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	_, err = snapshot.Walk(ctx, envelopes(next), snapshot.Visitor{
		Record: func(e *record.Envelope) error {
			if e.Topic.Space != space {
				return api.Errorf(op, api.Invalid, "record %d, id %s, is of the space %s", out.Records+1, e.ID, e.Topic.Space)
			}
			if err := state.Put(e); err != nil {
				return err
			}
			if out.Records++; out.Records%commitEvery != 0 {
				return nil
			}
			_, _, err := state.Commit(false)
			return err
		},
		Has: state.Has,
	})
	if err != nil {
		return nil, err
	}
	_, _, err = state.Commit(false)
	return out, err
}

// Reader reads what the records come to, for one app. Close it before the Replayed.
func (r *Replayed) Reader(app string) api.RecordReader {
	return fold.NewReader(r.st, app, slog.New(slog.DiscardHandler)).Advised(r.apps)
}

// Close removes the store.
func (r *Replayed) Close() error { return r.st.Close() }

// envelopes gives records as the items of an archive.
type envelopes func() ([]byte, error)

// Next implements snapshot.Source.
func (next envelopes) Next() (snapshot.Item, error) {
	raw, err := next()
	return snapshot.Item{Record: raw}, err
}
