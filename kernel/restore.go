package kernel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/snapshot"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// RestoreOptions say where an archive is restored to.
type RestoreOptions struct {
	DataDir string    // the store will lie in its folder "store", which must not exist
	Apps    []api.App // those of the node; they fold the records
	// AcceptDigest keeps the result although the state is not what the archive says. After an upgrade of the apps that is to be expected; between
	// equal versions it is a fault.
	AcceptDigest bool
	Progress     func(records, of uint64) error // may be nil
	Logger       *slog.Logger
}

// Restored is what came of an archive.
type Restored struct {
	SnapshotInfo
	State   api.Hash `json:"state" doc:"digest of the state as it was folded here"`
	Differs []string `json:"differs,omitempty" doc:"apps whose state is not what the archive says"`
}

// restoring is the folder that becomes the store when all has gone well.
const restoring = "store.restoring"

// commitEvery bounds what lies in memory while restoring, in rows that are not written yet.
const commitEvery = 512

// RestoreSnapshot makes a store from an archive, decrypted already: each record is checked as VerifySnapshot does and folded again, and the state that
// comes out is compared with the digest of the moment when the archive was made. Until all of it has succeeded, and is on disk, there is no store.
// The device key that was in use is marked: a node with that key will not start on this store.
func RestoreSnapshot(ctx context.Context, plain io.Reader, o RestoreOptions) (_ *Restored, err error) {
	const op = "snapshot.restore"
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	final, tmp := filepath.Join(o.DataDir, "store"), filepath.Join(o.DataDir, restoring)
	for _, dir := range []string{final, tmp} {
		if _, err := os.Lstat(dir); err == nil {
			return nil, api.Errorf(op, api.Conflict, "%s exists: an archive is restored into an empty data directory only", dir)
		}
	}
	apps, err := fold.NewApps(o.Apps)
	if err != nil {
		return nil, err
	}
	r, err := snapshot.NewReader(plain)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(store.Options{Dir: tmp, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	out, err := restoreInto(ctx, st, apps, r, o)
	if err = errors.Join(err, st.Close()); err != nil {
		return nil, api.Wrap(op, err)
	}
	if len(out.Differs) > 0 && !o.AcceptDigest {
		return nil, api.Errorf(op, api.Conflict, "the records are sound, and their state in %s is not what the archive of version %s says: restore it with that version, or accept what this one makes of them with --accept-digest",
			strings.Join(out.Differs, ", "), out.Version)
	}
	if err := os.Rename(tmp, final); err != nil {
		return nil, unavailable(err)
	}
	return out, unavailable(syncDir(o.DataDir))
}

func restoreInto(ctx context.Context, st store.Store, apps *fold.Apps, r *snapshot.Reader, o RestoreOptions) (*Restored, error) {
	state, err := fold.Open(st, apps, o.Logger)
	if err != nil {
		return nil, err
	}
	pending := 0
	put := func(rows int) error {
		if pending += rows; pending < commitEvery {
			return nil
		}
		pending = 0
		_, _, err := state.Commit(false)
		return err
	}
	v := snapshot.Visitor{
		Record: func(e *record.Envelope) error {
			if err := state.Put(e); err != nil {
				return err
			}
			return put(1)
		},
		Meta: func(m snapshot.Meta) error {
			if m.Name != fold.MetaJournal { // the journal that comes of this is another one
				state.SetMeta(m.Name, append([]byte{}, m.Value...))
			}
			return put(1 + len(m.Value)/1024)
		},
		Served: func(s snapshot.Served) error {
			state.SetIdempotent(s.Device, s.Name, s.Content, s.At)
			return put(1)
		},
		Has: state.Has,
	}
	if o.Progress != nil {
		v.Progress = func(n uint64) error { return o.Progress(n, r.Header.Records) }
	}
	if _, err := snapshot.Walk(ctx, r, v); err != nil {
		return nil, err
	}
	state.SetMeta(metaDoubt, nil) // what other nodes have sent since the archive was made is not in it
	state.SetMeta(metaRetired+r.Header.Device.String(), api.Seq8(uint64(r.Header.Created.UnixMilli())))
	if _, _, err := state.Commit(true); err != nil {
		return nil, err
	}
	digest, sums, err := fold.Digest(st, apps)
	if err != nil {
		return nil, err
	}
	out := &Restored{SnapshotInfo: *snapshotInfo(&r.Header, r.Totals()), State: digest}
	have := map[string]api.Hash{}
	for _, s := range sums {
		have[s.App] = s.Digest
	}
	for _, a := range r.Header.Apps {
		if digest, known := have[a.App]; digest != a.Digest && (known || a.Rows > 0) { // an app that had no state is not missed
			out.Differs = append(out.Differs, a.App)
		}
	}
	return out, nil
}
