package node

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
)

// lockDir takes the data directory for this process, or says who has it. The lock ends with the process, whatever becomes of it.
func lockDir(dir string) (release func(), err error) {
	const op = "node.lock"
	path := filepath.Join(dir, config.LockFile)
	l := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(fs.FileMode(0o600)))
	ok, err := l.TryLock()
	if err != nil {
		return nil, api.Errorf(op, api.Unavailable, "%w", err)
	}
	if !ok {
		who := "another daemon"
		if pid, err := os.ReadFile(path); err == nil && len(pid) > 0 {
			who += fmt.Sprintf(" (process %s)", strings.TrimSpace(string(pid)))
		}
		return nil, api.Errorf(op, api.Conflict, "%s runs on the data directory %s: stop it, or choose another directory with --data-dir", who, dir)
	}
	// For people only: the lock is what counts, so a process id that cannot be written is no reason to stop.
	_ = os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600)
	return func() { l.Close() }, nil
}
