package node

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

// SnapshotHeader decrypts the beginning of an archive and says what it holds.
func SnapshotHeader(path string, by identity.Unseal) (*kernel.SnapshotInfo, error) {
	a := archive{path: path, by: by}
	defer a.close()
	plain, err := a.open()
	if err != nil {
		return nil, err
	}
	return a.info(kernel.ReadSnapshot(plain))
}

// VerifySnapshot checks an archive from end to end, without a node. Progress may be nil.
func VerifySnapshot(ctx context.Context, path string, by identity.Unseal, progress func(records, of uint64) error) (*kernel.SnapshotInfo, error) {
	a := archive{path: path, by: by}
	defer a.close()
	return a.info(kernel.VerifySnapshot(ctx, a.open, progress))
}

// RestoreOptions are what RestoreSnapshot needs beside the archive.
type RestoreOptions struct {
	DataDir      string // must be empty, or not be there; no daemon may run on it
	AcceptDigest bool   // see kernel.RestoreOptions
	Progress     func(records, of uint64) error
}

// RestoreSnapshot makes the store of a new data directory from an archive. There are no keys in an archive: make them with config.Init afterwards.
func RestoreSnapshot(ctx context.Context, path string, by identity.Unseal, o RestoreOptions) (*kernel.Restored, error) {
	const op = "snapshot.restore"
	if o.DataDir == "" {
		return nil, api.Errorf(op, api.Invalid, "no data directory: name one with --data-dir")
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, api.Errorf(op, api.Unavailable, "%w", err)
	}
	if err := wantEmpty(o.DataDir); err != nil {
		return nil, err
	}
	release, err := lockDir(o.DataDir)
	if err != nil {
		return nil, err
	}
	defer release()
	a := archive{path: path, by: by}
	defer a.close()
	plain, err := a.open()
	if err != nil {
		return nil, err
	}
	defaults := config.Defaults()
	out, err := kernel.RestoreSnapshot(ctx, plain, kernel.RestoreOptions{
		DataDir: o.DataDir, Apps: apps(&defaults), AcceptDigest: o.AcceptDigest, Progress: o.Progress,
	})
	if err == nil {
		_, err = a.info(&out.SnapshotInfo, nil)
	}
	return out, err
}

// wantEmpty refuses a directory with anything in it but the lock of a daemon that has ended.
func wantEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return api.Errorf("snapshot.restore", api.Unavailable, "%w", err)
	}
	for _, e := range entries {
		if e.Name() != config.LockFile {
			return api.Errorf("snapshot.restore", api.Conflict, "%s is not empty, %s is in it: an archive is restored into an empty data directory only", dir, e.Name())
		}
	}
	return nil
}

// archive is an encrypted file that may be read more than once.
type archive struct {
	path string
	by   identity.Unseal
	f    *os.File
}

// open returns the decrypted content from its beginning.
func (a *archive) open() (io.Reader, error) {
	a.close()
	f, err := os.Open(a.path)
	if err != nil {
		return nil, api.Errorf("snapshot.open", api.Invalid, "%w", err)
	}
	a.f = f
	return identity.Decrypt(f, a.by)
}

func (a *archive) close() {
	if a.f != nil {
		a.f.Close()
		a.f = nil
	}
}

// info adds what only the file says.
func (a *archive) info(i *kernel.SnapshotInfo, err error) (*kernel.SnapshotInfo, error) {
	if err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(a.path)
	st, err2 := a.f.Stat()
	if err := errors.Join(err, err2); err != nil {
		return nil, api.Errorf("snapshot.open", api.Unavailable, "%w", err)
	}
	i.Path, i.Bytes = abs, st.Size()
	return i, nil
}
