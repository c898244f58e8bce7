package store

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/intercooperative/icn/kernel/api"
)

// guard is the file system under an engine that cannot bear failures: pebble panics, with its locks held, when the log cannot be
// written. The first failed change to the disk freezes the disk as it is: from then on the engine is told that all goes well while its
// changes are dropped and new files lie in memory. So a failure looks on disk like a crash at that moment, which the engine knows how
// to recover from, and the store can still be read and closed.
type guard struct {
	vfs.FS
	failed atomic.Pointer[error]
	onFail func(error)
	// limbo holds the files created after the failure. The store is about to be closed and takes no more commits: what comes here is
	// at most the recent rows and a few compactions.
	limbo *vfs.MemFS
}

func newGuard(fs vfs.FS, onFail func(error)) *guard {
	return &guard{FS: fs, onFail: onFail, limbo: vfs.NewMem()}
}

// err returns the failure, or nil.
func (g *guard) err() error {
	if p := g.failed.Load(); p != nil {
		return *p
	}
	return nil
}

// fail freezes the disk and tells the owner, the first time.
func (g *guard) fail(err error) {
	if g.failed.CompareAndSwap(nil, &err) {
		g.onFail(err)
	}
}

// change runs one change to the disk, or drops it. It reports whether the change took place.
func (g *guard) change(what, name string, do func() error) bool {
	if g.err() != nil {
		return false
	}
	if err := do(); err != nil {
		g.fail(api.Errorf("store", api.Internal, "%s %s: %w", what, name, err))
		return false
	}
	return true
}

func (g *guard) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	return g.open("create", name, func() (err error) { f, err = g.FS.Create(name, c); return err }, &f)
}

func (g *guard) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	return g.open("reuse", newname, func() (err error) { f, err = g.FS.ReuseForWrite(oldname, newname, c); return err }, &f)
}

func (g *guard) OpenReadWrite(name string, c vfs.DiskWriteCategory, _ ...vfs.OpenOption) (f vfs.File, err error) {
	return g.open("open", name, func() (err error) { f, err = g.FS.OpenReadWrite(name, c); return err }, &f)
}

func (g *guard) open(what, name string, do func() error, f *vfs.File) (vfs.File, error) {
	if g.change(what, name, do) {
		return &guardFile{File: *f, g: g, name: name, table: isTable(name)}, nil
	}
	if err := g.limbo.MkdirAll(g.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return g.limbo.Create(name, vfs.WriteCategoryUnspecified)
}

func (g *guard) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if g.err() != nil {
		if f, err := g.limbo.Open(name, opts...); err == nil {
			return f, nil
		}
	}
	return g.FS.Open(name, opts...)
}

func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: f, g: g, name: name}, nil
}

func (g *guard) Stat(name string) (vfs.FileInfo, error) {
	if g.err() != nil {
		if i, err := g.limbo.Stat(name); err == nil {
			return i, nil
		}
	}
	return g.FS.Stat(name)
}

func (g *guard) Link(oldname, newname string) error {
	g.change("link", newname, func() error { return g.FS.Link(oldname, newname) })
	return nil
}

func (g *guard) Rename(oldname, newname string) error {
	g.change("rename", newname, func() error { return g.FS.Rename(oldname, newname) })
	return nil
}

// Remove passes on that there is no such file: the engine asks to know.
func (g *guard) Remove(name string) (err error) {
	g.change("remove", name, func() error {
		if err = g.FS.Remove(name); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if g.err() != nil {
		return nil
	}
	return err
}

func (g *guard) RemoveAll(name string) error {
	g.change("remove", name, func() error { return g.FS.RemoveAll(name) })
	return nil
}

func (g *guard) MkdirAll(dir string, perm os.FileMode) error {
	g.change("create directory", dir, func() error { return g.FS.MkdirAll(dir, perm) })
	return nil
}

func (g *guard) Unwrap() vfs.FS { return g.FS }

// isTable tells the files the engine writes in the background and tries again, elsewhere, when writing one fails.
func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// guardFile is a file opened for writing, or a directory, before the failure.
type guardFile struct {
	vfs.File
	g     *guard
	name  string
	table bool
}

// change is guard.change for the file. A table that cannot be completed is reported as such, for it would be read again; its next
// attempt lies in limbo.
func (f *guardFile) change(what string, do func() error) error {
	if !f.g.change(what, f.name, do) && f.table {
		return f.g.err()
	}
	return nil
}

func (f *guardFile) Write(p []byte) (int, error) {
	if err := f.change("write", func() error { _, err := f.File.Write(p); return err }); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *guardFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.change("write", func() error { _, err := f.File.WriteAt(p, off); return err }); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *guardFile) Sync() error     { return f.change("sync", f.File.Sync) }
func (f *guardFile) SyncData() error { return f.change("sync", f.File.SyncData) }

func (f *guardFile) SyncTo(length int64) (full bool, err error) {
	err = f.change("sync", func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Preallocate is a hint: a file system that refuses it will refuse the write, too, if it matters.
func (f *guardFile) Preallocate(off, length int64) error {
	if f.g.err() == nil {
		return f.File.Preallocate(off, length)
	}
	return nil
}

// Close closes in any case; an error of it before the failure is one, for it may stand for a write that was put off.
func (f *guardFile) Close() error {
	err := f.File.Close()
	return f.change("close", func() error { return err })
}
