package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Faults say how the disk of a [Mem] goes wrong. The zero value is a disk that never fails and a Crash that loses nothing written.
type Faults struct {
	// LoseUnsynced makes Crash a loss of power: what was not synced is gone. Without it a Crash is a killed process, and what was
	// written survives.
	LoseUnsynced bool
	// KeepPercent is the chance, 0 to 100, that a block of 4 KiB or a file name survives a loss of power although it was not synced:
	// the disk wrote some, in any order.
	KeepPercent int
	// Seed decides which blocks survive.
	Seed uint64
	// FailSync fails the n-th sync of a file or directory from now, counted from 1, and FailWrite the n-th write. 0 fails none.
	FailSync, FailWrite int
	// FailRead fails the n-th read at a place of a file from now: of a table, for the log is read from its beginning on.
	FailRead int
	// DiskBytes is the space left: the write that exceeds it fails with "no space left on device". 0 is no limit.
	DiskBytes int64
}

// Mem is a Store in memory with a disk that can fail and lose power. It is the real engine on a simulated disk, and meant for tests
// and for nodes that keep nothing.
type Mem struct {
	*db
	fs     *vfs.MemFS
	disk   *faultyFS
	faults Faults
	torn   int
}

var _ Store = (*Mem)(nil)

// memDir is the directory of the store on the simulated disk.
const memDir = "/store"

// OpenMem opens an empty store in memory. The faults are armed once it is open.
func OpenMem(f Faults) *Mem {
	fs := vfs.NewCrashableMem()
	// The directory itself is on disk before the store is: no crash takes it away.
	if err := fs.MkdirAll(memDir, 0o700); err != nil {
		panic(fmt.Sprintf("store.OpenMem: %v", err)) // an empty memory file system cannot refuse
	}
	root, err := fs.OpenDir("/")
	if err == nil {
		err = root.Sync()
	}
	if err != nil {
		panic(fmt.Sprintf("store.OpenMem: %v", err))
	}
	m, err := openMem(fs, f)
	if err != nil {
		panic(fmt.Sprintf("store.OpenMem: %v", err))
	}
	return m
}

func openMem(fs *vfs.MemFS, f Faults) (*Mem, error) {
	// Small, for a simulation has many: 50 nodes in a process are common. The engine takes the memory tables out of the cache.
	o := Options{Dir: memDir, CacheBytes: 8 << 20, MemTableBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)}
	o.EnsureDefaults()
	m := &Mem{fs: fs, disk: &faultyFS{FS: fs}}
	var err error
	if m.db, err = open("mem", o, m.disk); err != nil {
		return nil, err
	}
	m.Arm(f)
	return m, nil
}

// Arm replaces the faults and begins their counts anew. It must not run together with Crash.
func (m *Mem) Arm(f Faults) {
	m.faults = f
	m.disk.arm(f)
}

// Crash stops the store at this instant, without ceremony, and returns a new one on what its disk kept. The new disk does not fail
// until it is armed, and crashes as the old one did, with the next seed. The old store is closed: its iterators and snapshots must be
// closed before, and calls that are under way in other goroutines end with or without success, of which the new store may know nothing.
//
// It panics when the new store cannot be opened, for a disk that lost what was not synced must always be readable.
func (m *Mem) Crash() *Mem {
	n, err := m.crash()
	if err != nil {
		panic(fmt.Sprintf("store.Mem.Crash: %v", err))
	}
	return n
}

// CrashTorn is a loss of power in the middle of writing the log: all that was synced survives, and of what was written since then the log has
// the first bytes, as many as cut says, modulo what there is. The old store must not have failed and not be in use by other goroutines.
func (m *Mem) CrashTorn(cut uint32) *Mem {
	n, err := m.crashTorn(cut)
	if err != nil {
		panic(fmt.Sprintf("store.Mem.CrashTorn: %v", err))
	}
	return n
}

func (m *Mem) crashTorn(cut uint32) (*Mem, error) {
	kept := m.fs.CrashClone(vfs.CrashCloneCfg{})
	b := m.NewBatch()
	failed := m.Commit(b, true) != nil
	b.Close()
	torn := 0
	if !failed {
		var err error
		if torn, err = tear(kept, m.fs.CrashClone(vfs.CrashCloneCfg{}), cut); err != nil {
			return nil, err
		}
	}
	f := m.faults
	_ = m.Close() // the disk it would complain about is gone
	n, err := openMem(kept, Faults{LoseUnsynced: f.LoseUnsynced, KeepPercent: f.KeepPercent, Seed: f.Seed + 1})
	if err == nil {
		n.torn = torn
	}
	return n, err
}

// Torn returns how many bytes of the log CrashTorn has left on this disk behind what was synced: of a write that began.
func (m *Mem) Torn() int { return m.torn }

// tear appends to the newest log in kept a part of what the same log has more in whole, and returns how many bytes.
func tear(kept, whole *vfs.MemFS, cut uint32) (int, error) {
	names, err := kept.List(memDir)
	if err != nil {
		return 0, err
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		name = kept.PathJoin(memDir, name)
		was, err := read(kept, name)
		if err != nil {
			return 0, err
		}
		is, err := read(whole, name)
		if err != nil || len(is) <= len(was) {
			return 0, nil // a newer log was begun meanwhile, or nothing was written
		}
		f, err := kept.Create(name, vfs.WriteCategoryUnspecified)
		if err != nil {
			return 0, err
		}
		n := int(cut) % (len(is) - len(was))
		_, err = f.Write(is[:len(was)+n])
		return n, errors.Join(err, f.Sync(), f.Close())
	}
	return 0, nil
}

func read(fs vfs.FS, name string) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

func (m *Mem) crash() (*Mem, error) {
	f := m.faults
	cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(f.Seed, 0))}
	if f.LoseUnsynced {
		cfg.UnsyncedDataPercent = f.KeepPercent
	}
	kept := m.fs.CrashClone(cfg)
	_ = m.Close() // the disk it would complain about is gone
	return openMem(kept, Faults{LoseUnsynced: f.LoseUnsynced, KeepPercent: f.KeepPercent, Seed: f.Seed + 1})
}
