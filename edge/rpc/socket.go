package rpc

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// maxSocketPath is what the operating systems we run on allow (104 on BSDs, 108 on Linux, with the final zero), less the suffix below.
const maxSocketPath = 104 - 1 - len(freshSuffix)

const freshSuffix = ".new"

// takeSocket listens on path with mode 0600. The socket is made beside its place and renamed into it, so that it never stands there with
// another mode and a stale one is replaced in one step. The caller holds the lock on the data directory, so no second daemon races.
func takeSocket(path string) (*net.UnixListener, error) {
	const op = "rpc.listen"
	if len(path) > maxSocketPath {
		return nil, api.Errorf(op, api.Invalid, "socket path %q is %d bytes long, the system allows %d: choose a shorter one with --rpc-bind unix:PATH",
			path, len(path), maxSocketPath)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, api.Errorf(op, api.Unavailable, "%w", err)
	case info.Mode()&fs.ModeSocket == 0:
		return nil, api.Errorf(op, api.Invalid, "%s exists and is not a socket: move it away or choose another path", path)
	default:
		probe, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			probe.Close()
			return nil, api.Errorf(op, api.Conflict, "somebody answers on %s: another daemon runs there", path)
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, api.Errorf(op, api.Conflict, "cannot tell whether the socket is in use: %w", err)
		}
	}
	fresh := path + freshSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, api.Errorf(op, api.Unavailable, "%w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, api.Errorf(op, api.Unavailable, "%w", err)
	}
	l.SetUnlinkOnClose(false) // it would unlink the name before the rename
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		l.Close()
		os.Remove(fresh)
		return nil, api.Errorf(op, api.Unavailable, "%w", err)
	}
	return l, nil
}

// releaseSocket closes l and removes its name. A failure leaves a stale socket, which the next start replaces.
func releaseSocket(l *net.UnixListener, path string) {
	os.Remove(path)
	l.Close()
}
