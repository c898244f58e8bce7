package store

import (
	"log/slog"
	"runtime"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/intercooperative/icn/kernel/api"
)

// Options say where a store lies and how much memory it may take. The zero value of all but Dir is a good choice for a small daemon.
type Options struct {
	// Dir is the directory of the store, created with mode 0700 if missing. Required.
	Dir string
	// CacheBytes bounds the cache of table blocks, in bytes. 0 means 8 MiB; at least 1 MiB.
	CacheBytes int64
	// MemTableBytes is the size at which recent rows are written out as a table, in bytes. Up to four such tables are in memory when the
	// disk falls behind; a larger one makes fewer and larger tables. 0 means 8 MiB; 1 MiB to 512 MiB.
	MemTableBytes int64
	// MaxOpenFiles bounds the open table files. 0 means 256; at least 32.
	MaxOpenFiles int
	// Compactions bounds the compactions that run at a time. 0 means 1, or 2 on a machine with four processors or more; at most 16.
	Compactions int
	// Logger hears of failures, slow disks, stalls and low disk space. nil means slog.Default.
	Logger *slog.Logger
	// OnFail is called once, with the first error, when the store fails (see the package comment). It must not call the store, and
	// returns soon. nil means nobody is told before the next commit.
	OnFail func(error)

	noLog bool // nothing outlives the process, so there is nothing to replay
}

// EnsureDefaults fills in what is zero.
func (o *Options) EnsureDefaults() {
	if o.CacheBytes == 0 {
		o.CacheBytes = 8 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 8 << 20
	}
	if o.MaxOpenFiles == 0 {
		o.MaxOpenFiles = 256
	}
	if o.Compactions == 0 {
		o.Compactions = 1
		if runtime.GOMAXPROCS(0) >= 4 {
			o.Compactions = 2
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.OnFail == nil {
		o.OnFail = func(error) {}
	}
}

// Validate reports the first option out of its range; defaults must be filled in. Its errors are api.Invalid.
func (o *Options) Validate() error {
	const op = "store.options"
	switch {
	case o.Dir == "":
		return api.Errorf(op, api.Invalid, "data directory: name one")
	case o.CacheBytes < 1<<20:
		return api.Errorf(op, api.Invalid, "cache of %d bytes: at least 1 MiB", o.CacheBytes)
	case o.MemTableBytes < 1<<20 || o.MemTableBytes > 512<<20:
		return api.Errorf(op, api.Invalid, "memory table of %d bytes: 1 MiB to 512 MiB", o.MemTableBytes)
	case o.MaxOpenFiles < 32:
		return api.Errorf(op, api.Invalid, "%d open files: at least 32", o.MaxOpenFiles)
	case o.Compactions < 1 || o.Compactions > 16:
		return api.Errorf(op, api.Invalid, "%d compactions at a time: 1 to 16", o.Compactions)
	}
	return nil
}

// engine translates the options for pebble.
func (o *Options) engine(fs vfs.FS, fail func(error)) *pebble.Options {
	log := o.Logger
	po := &pebble.Options{
		FS:                 fs,
		Logger:             logger{log, fail},
		FormatMajorVersion: pebble.FormatTableFormatV6,     // raised by hand only: older builds cannot go back
		CacheSize:          o.CacheBytes + o.MemTableBytes, // pebble takes what memory tables hold off its cache
		MemTableSize:       uint64(o.MemTableBytes),
		MaxOpenFiles:       o.MaxOpenFiles,
		DisableWAL:         o.noLog,
		// Few tables in L0 mean rewriting the levels below very often, which cost a store that is mostly appended to a tenth of all it does;
		// reads stay cheap thanks to the filters.
		L0CompactionThreshold:      8,
		L0StopWritesThreshold:      24,
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, o.Compactions },
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { log.Error("store: background work failed", "err", err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) {
				fail(api.Errorf("store.read", api.Internal, "damaged file: %v", info.Details))
			},
			DiskSlow:        func(info pebble.DiskSlowInfo) { log.Warn("store: the disk is slow", "what", info.String()) },
			LowDiskSpace:    func(info pebble.LowDiskSpaceInfo) { log.Warn("store: the disk is nearly full", "what", info.String()) },
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) { log.Warn("store: writes wait for the disk", "why", info.Reason) },
		},
	}
	for i := range po.Levels {
		// Ten bits a key: one miss in a hundred reads a block. Most reads of a node ask for records it does not have.
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// logger takes what pebble has to say. Pebble calls Fatalf where it cannot go on and expects the process to end; here the store ends.
type logger struct {
	*slog.Logger
	fail func(error)
}

func (l logger) Infof(string, ...any) {} // replay and housekeeping: not for operators

func (l logger) Errorf(format string, args ...any) {
	l.Error("store", "err", api.Errorf("", api.Internal, format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	l.fail(api.Errorf("store", api.Internal, format, args...))
}
