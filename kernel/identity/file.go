package identity

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/intercooperative/icn/kernel/api"
)

func errExists(path string) error {
	return api.Errorf("keystore.create", api.Conflict, "%s exists: it holds the only copy of its keys and is never overwritten", path)
}

// makeDir creates dir for its owner alone. One that is there may be readable by others, but not writable: who can rename files in it can
// replace the keystore.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if perm := info.Mode().Perm(); checkModes && perm&0o022 != 0 {
		return api.Errorf("keystore.dir", api.Invalid, "%s can be written by others (mode %04o): chmod 700 %s", dir, perm, dir)
	}
	return nil
}

// checkModes is whether file modes mean anything here.
const checkModes = runtime.GOOS != "windows"

// readPrivate reads a file that nobody else may read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf("keystore.open", api.NotFound, "%s does not exist: create it with `icnd init`", path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat() // of what is open, not of what stands at the path by now
	if err != nil {
		return nil, err
	}
	switch perm := info.Mode().Perm(); {
	case !info.Mode().IsRegular():
		return nil, api.Errorf("keystore.open", api.Invalid, "%s is not a file", path)
	case checkModes && perm&0o077 != 0:
		return nil, api.Errorf("keystore.open", api.Invalid, "%s can be read by others (mode %04o): chmod 600 %s", path, perm, path)
	case info.Size() > maxKeystore:
		return nil, api.Errorf("keystore.open", api.Invalid, "%s has %d bytes: a keystore has at most %d", path, info.Size(), maxKeystore)
	}
	return io.ReadAll(io.LimitReader(f, maxKeystore))
}

// replace puts b at path, whole or not at all, and durably.
func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".keystore-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // what stays after a crash is encrypted
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeNew puts b at path, whole or not at all, where nothing stands yet, and durably.
func writeNew(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".keystore-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // what stays after a crash is encrypted
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	switch err := os.Link(f.Name(), path); { // unlike a rename, a link replaces nothing
	case errors.Is(err, fs.ErrExist):
		return errExists(path)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrPermission): // a file system without links
		if _, err := os.Lstat(path); err == nil {
			return errExists(path)
		}
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	// The directory may be new too.
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// syncDir makes the names in dir durable.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // directories cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
