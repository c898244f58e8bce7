package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/intercooperative/icn/kernel/api"
)

// db is a Store on pebble, on a disk or in memory.
type db struct {
	name   string
	format int
	disk   *guard
	p      *pebble.DB
	lock   *pebble.Lock
	logs   bool // the engine keeps a log, which can be synced

	// mu is held shared inside every call and exclusively by Close: pebble panics when it is used after it is closed.
	mu     sync.RWMutex
	closed bool
}

var _ Store = (*db)(nil)

// Open opens the store in o.Dir and creates it if there is none, bringing the rows to the present format.
//
// It fails with api.Invalid for bad options, api.Unavailable when another process (or this one) has the directory open,
// api.Unsupported when a newer program wrote the store, and api.Internal when it cannot be read or written.
func Open(o Options) (Store, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, api.Errorf("store.open", api.Internal, "data directory: %w", err)
	}
	d, err := open("pebble", o, vfs.Default)
	if err != nil {
		return nil, err // not d: a nil *db in a Store is not nil
	}
	return d, nil
}

// open opens the store in o.Dir of disk. o is complete and the directory exists.
func open(name string, o Options, disk vfs.FS) (*db, error) {
	return openSteps(name, o, disk, migrations())
}

// openSteps is open with a choice of migrations.
func openSteps(name string, o Options, disk vfs.FS, steps []migration) (*db, error) {
	const op = "store.open"
	d := &db{name: name, logs: !o.noLog, disk: newGuard(disk, func(err error) {
		o.Logger.Error("store: failed; nothing is written to disk any more", "err", err)
		o.OnFail(err)
	})}
	var err error
	if d.lock, err = lockDir(disk, o.Dir); err != nil {
		return nil, err
	}
	po := o.engine(d.disk, d.disk.fail)
	po.Lock = d.lock
	if disk == vfs.Default {
		po.WithFSDefaults() // watches for a slow disk
	}
	if d.p, err = pebble.Open(o.Dir, po); err != nil {
		return nil, api.Errorf(op, api.Internal, "%s: %w", o.Dir, errors.Join(err, d.disk.err(), d.lock.Close()))
	}
	if err = migrate(d, steps); err == nil {
		err = d.disk.err()
	}
	if err != nil {
		if e := d.Close(); e != nil {
			o.Logger.Warn("store: close", "err", e)
		}
		return nil, api.Wrap(op, fmt.Errorf("%s: %w", o.Dir, err))
	}
	return d, nil
}

func lockDir(disk vfs.FS, dir string) (*pebble.Lock, error) {
	l, err := pebble.LockDirectory(dir, disk)
	switch {
	case err == nil:
		return l, nil
	case isHeld(err):
		return nil, api.Errorf("store.open", api.Unavailable, "data directory %s is in use by another icnd", dir)
	}
	return nil, api.Errorf("store.open", api.Internal, "lock data directory %s: %w", dir, err)
}

// isHeld tells a lock that somebody holds from one that cannot be taken at all: pebble gives the bare error of fcntl, or a text for a
// lock of this process, and the path with an error of the file.
func isHeld(err error) bool {
	var path *fs.PathError
	if errors.As(err, &path) {
		return false
	}
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || err.Error() == "lock held by current process"
}

// enter begins a call; leave ends it.
func (d *db) enter(op string) error {
	d.mu.RLock()
	if d.closed {
		d.mu.RUnlock()
		return api.Errorf(op, api.Unavailable, "the store is closed")
	}
	return nil
}

func (d *db) leave() { d.mu.RUnlock() }

func (d *db) Get(key []byte) ([]byte, bool, error) {
	if err := d.enter("store.get"); err != nil {
		return nil, false, err
	}
	defer d.leave()
	v, ok, err := get(d.p, key)
	return v, ok, d.readFailed(err)
}

// readFailed ends the store when a read of the engine failed: what a reader takes for missing may be there. It returns err.
func (d *db) readFailed(err error) error {
	if err != nil {
		d.disk.fail(err)
	}
	return err
}

func (d *db) Iter(lower, upper []byte) (Iter, error) {
	if err := d.enter("store.iter"); err != nil {
		return nil, err
	}
	defer d.leave()
	return newIter(d.p, lower, upper, d.readFailed)
}

func (d *db) Snapshot() Snapshot {
	if err := d.enter("store.snapshot"); err != nil {
		return closedSnapshot{err}
	}
	defer d.leave()
	return &snapshot{d: d, p: d.p.NewSnapshot()}
}

func (d *db) NewBatch() Batch { return &batch{p: d.p.NewBatch(), d: d} }

func (d *db) Commit(b Batch, sync bool) error {
	const op = "store.commit"
	if err := d.enter(op); err != nil {
		return err
	}
	defer d.leave()
	mine, ok := b.(*batch)
	if !ok || mine.d != d {
		return api.Errorf(op, api.Invalid, "the batch is of another store")
	}
	if err := mine.take(); err != nil {
		return err
	}
	return d.apply(mine.p, sync)
}

// apply commits a checked batch. The engine reports no failure: the guard under it does, before the engine learns how a write went.
func (d *db) apply(b *pebble.Batch, sync bool) error {
	if err := d.disk.err(); err != nil {
		return err
	}
	var err error
	sync = sync && d.logs
	switch {
	case !b.Empty():
		err = b.Commit(&pebble.WriteOptions{Sync: sync})
	case sync:
		err = d.p.LogData(nil, pebble.Sync) // the engine lets an empty batch pass without a sync
	}
	if err != nil {
		d.disk.fail(api.Errorf("store.commit", api.Internal, "%w", err))
	}
	return d.disk.err()
}

func (d *db) Bytes() uint64 {
	if d.enter("store.bytes") != nil {
		return 0
	}
	defer d.leave()
	return d.p.Metrics().DiskSpaceUsage()
}

func (d *db) Metrics() Metrics {
	if d.enter("store.metrics") != nil {
		return Metrics{}
	}
	defer d.leave()
	m := d.p.Metrics()
	t := m.Total()
	return Metrics{
		Flushes:      uint64(m.Flush.Count),
		Compactions:  uint64(m.Compact.Count),
		WALBytes:     m.WAL.BytesWritten,
		WrittenBytes: t.TableBytesFlushed + t.TableBytesCompacted,
		CacheBytes:   uint64(m.BlockCache.Size),
		CacheHits:    uint64(m.BlockCache.Hits),
		CacheMisses:  uint64(m.BlockCache.Misses),
		MemTables:    m.MemTable.Size,
		Debt:         m.Compact.EstimatedDebt,
	}
}

func (d *db) Engine() string { return d.name }
func (d *db) Format() int    { return d.format }

func (d *db) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	err := errors.Join(d.p.Close(), d.lock.Close())
	if f := d.disk.err(); f != nil {
		return nil // Commit and OnFail have told; the disk is as it was then
	}
	if err != nil {
		return api.Errorf("store.close", api.Internal, "%w", err)
	}
	return nil
}

// snapshot is a Snapshot of an open store.
type snapshot struct {
	d      *db
	p      *pebble.Snapshot
	closed atomic.Bool
}

func (s *snapshot) Get(key []byte) ([]byte, bool, error) {
	if err := s.d.enter("store.get"); err != nil {
		return nil, false, err
	}
	defer s.d.leave()
	v, ok, err := get(s.p, key)
	return v, ok, s.d.readFailed(err)
}

func (s *snapshot) Iter(lower, upper []byte) (Iter, error) {
	if err := s.d.enter("store.iter"); err != nil {
		return nil, err
	}
	defer s.d.leave()
	return newIter(s.p, lower, upper, s.d.readFailed)
}

func (s *snapshot) Close() error {
	if s.closed.Swap(true) || s.d.enter("store.snapshot") != nil {
		return nil
	}
	defer s.d.leave()
	if err := s.p.Close(); err != nil {
		return api.Errorf("store.snapshot", api.Internal, "%w", err)
	}
	return nil
}

// closedSnapshot is what a closed store gives: its error.
type closedSnapshot struct{ err error }

func (s closedSnapshot) Get([]byte) ([]byte, bool, error) { return nil, false, s.err }
func (s closedSnapshot) Iter(_, _ []byte) (Iter, error)   { return nil, s.err }
func (s closedSnapshot) Close() error                     { return nil }

func get(r pebble.Reader, key []byte) ([]byte, bool, error) {
	if len(key) == 0 || key[0] == reserved {
		return nil, false, nil // as in iteration
	}
	return getAny(r, key)
}

func getAny(r pebble.Reader, key []byte) ([]byte, bool, error) {
	v, done, err := r.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, api.Errorf("store.get", api.Internal, "%w", err)
	}
	v = slices.Clone(v)
	if v == nil {
		v = []byte{}
	}
	if err := done.Close(); err != nil {
		return nil, false, api.Errorf("store.get", api.Internal, "%w", err)
	}
	return v, true, nil
}
