package store

import (
	"errors"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errInjected is the error of a fault that was asked for.
var errInjected = errors.New("injected fault")

// faultyFS is a file system whose writes, syncs and reads fail as Faults say.
type faultyFS struct {
	vfs.FS
	mu            sync.Mutex
	faults        Faults
	syncs, writes int
	reads         int
	bytes         int64
}

func (d *faultyFS) arm(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.syncs, d.writes, d.reads, d.bytes = f, 0, 0, 0, 0
}

func (d *faultyFS) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.syncs++; d.syncs == d.faults.FailSync {
		return errInjected
	}
	return nil
}

func (d *faultyFS) write(n int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writes++; d.writes == d.faults.FailWrite {
		return errInjected
	}
	if d.faults.DiskBytes > 0 {
		if d.bytes+int64(n) > d.faults.DiskBytes {
			return syscall.ENOSPC
		}
		d.bytes += int64(n)
	}
	return nil
}

func (d *faultyFS) read() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reads++; d.reads == d.faults.FailRead {
		return errInjected
	}
	return nil
}

func (d *faultyFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, d}, nil
}

func (d *faultyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.Create(name, c))
}

func (d *faultyFS) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.wrap(d.FS.ReuseForWrite(oldname, newname, c))
}

func (d *faultyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.wrap(d.FS.OpenReadWrite(name, c, opts...))
}

func (d *faultyFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.wrap(d.FS.Open(name, opts...))
}

func (d *faultyFS) OpenDir(name string) (vfs.File, error) { return d.wrap(d.FS.OpenDir(name)) }
func (d *faultyFS) Unwrap() vfs.FS                        { return d.FS }

type faultyFile struct {
	vfs.File
	d *faultyFS
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.d.write(len(p)); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.d.write(len(p)); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.d.read(); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Sync() error {
	if err := f.d.sync(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) SyncData() error {
	if err := f.d.sync(); err != nil {
		return err
	}
	return f.File.SyncData()
}

func (f *faultyFile) SyncTo(length int64) (bool, error) {
	if err := f.d.sync(); err != nil {
		return false, err
	}
	return f.File.SyncTo(length)
}
