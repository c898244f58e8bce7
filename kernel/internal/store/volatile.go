package store

import (
	"errors"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/intercooperative/icn/kernel/api"
)

// OpenVolatile opens an empty store in memory for whoever keeps nothing: the same engine on a file system in memory, without a log. A commit
// is as safe at once as it ever gets. For a store whose disk can fail and lose power see [Mem], which pays for that: each sync copies the file.
func OpenVolatile() (Store, error) {
	// Few large memory tables, since writing one out does not make it any safer. They grow with their rows: an empty store stays small.
	o := Options{Dir: memDir, MemTableBytes: 32 << 20, Logger: slog.New(slog.DiscardHandler), noLog: true}
	o.EnsureDefaults()
	fs := vfs.NewMem()
	if err := fs.MkdirAll(memDir, 0o700); err != nil {
		return nil, api.Errorf("store.open", api.Internal, "directory in memory: %w", err)
	}
	d, err := open("mem", o, fs)
	if err != nil {
		return nil, err // not d: a nil *db in a Store is not nil
	}
	return d, nil
}

// OpenScratch opens an empty store like OpenVolatile's for more rows than memory should hold: in a new directory in dir, which Close removes.
func OpenScratch(dir string) (Store, error) {
	own, err := os.MkdirTemp(dir, "scratch-*")
	if err != nil {
		return nil, api.Errorf("store.open", api.Unavailable, "scratch directory: %w", err)
	}
	o := Options{Dir: own, Logger: slog.New(slog.DiscardHandler), noLog: true}
	o.EnsureDefaults()
	d, err := open("scratch", o, vfs.Default)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(own))
	}
	return scratch{d, own}, nil
}

type scratch struct {
	Store
	dir string
}

// Close implements Store.
func (s scratch) Close() error { return errors.Join(s.Store.Close(), os.RemoveAll(s.dir)) }
