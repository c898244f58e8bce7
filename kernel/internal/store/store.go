// Package store is the node's ordered key-value store: rows sorted by the bytes of their keys, atomic batches, consistent snapshots,
// and a commit that is on disk when it says so. It is where everything a node knows lies; what the rows mean is in fold.
//
// It is not a database: there are no queries, no conflicts and no transactions that read. One writer builds a [Batch] and commits it;
// any number of readers look on.
//
//	st, err := store.Open(store.Options{Dir: dir})
//	b := st.NewBatch()
//	b.Set(key, value)
//	err = st.Commit(b, true)
//
// A batch is applied whole or not at all, also across a crash, and what is on disk after a crash is the result of the first n
// commits for some n that covers every commit that returned nil with sync set. Readers may see a commit shortly before it is on disk.
//
// The first failed write, sync or read ends the store: from that moment nothing reaches the disk any more, as if the power had gone, and
// every commit returns the first error. Whether the failing commit took effect shows only on the next open. Reads go on working as far as they
// can, so that a node can stop in order; one that fails says so, and whoever does not look at errors is told through OnFail that rows may be missing
// from what it reads.
//
// Every Store is safe for concurrent use; a Batch, an Iter and the keys and values of an Iter are not. Iterators and snapshots are
// closed before the store is. Keys that begin with a zero byte belong to the store itself, are refused in batches and do not show in
// iteration.
//
// The package knows nothing of records. It is the only home of the storage engine, github.com/cockroachdb/pebble.
package store

// Limits of rows. A batch that breaks one is refused whole by Commit.
const (
	MaxKey   = 16 << 10 // bytes of a key; it has at least one
	MaxValue = 16 << 20 // bytes of a value
	MaxBatch = 64 << 20 // bytes of all keys and values of a batch, with some overhead for each row
)

// Reader reads a consistent order of rows.
type Reader interface {
	// Get returns a copy of the value of key, and whether there is one.
	Get(key []byte) (value []byte, ok bool, err error)
	// Iter opens an iterator over the keys from lower up to but without upper; an empty upper is the end. The bounds are copied.
	// It sees the rows as they are at the moment of the call.
	Iter(lower, upper []byte) (Iter, error)
}

// Iter walks rows in key order, either way. It starts nowhere: call First, Last, SeekGE or SeekLT before Next or Prev. A move returns
// whether it arrived at a row; after a false one Err tells whether the range ended or reading failed. Having run off one end, one step
// back arrives at the row there.
type Iter interface {
	First() bool
	Last() bool
	SeekGE(key []byte) bool // the first row at or after key
	SeekLT(key []byte) bool // the last row before key
	Next() bool
	Prev() bool
	Valid() bool
	Key() []byte   // valid until the next move
	Value() []byte // valid until the next move
	Err() error
	Close() error // returns Err
}

// Snapshot is the rows as they were when it was taken. It holds back the reclaiming of disk space: close it soon.
type Snapshot interface {
	Reader
	Close() error // a second Close does nothing
}

// Batch is a list of changes; a later one of the same key wins. Keys and values are copied. A row that cannot be stored is reported by
// Commit.
type Batch interface {
	Set(key, value []byte)
	Delete(key []byte)
	Len() int  // changes
	Size() int // bytes
	Reset()    // empties the batch for another use
	Close()    // releases the batch, which must not be used any more; a second Close does nothing
}

// Store is an open store.
type Store interface {
	Reader
	Snapshot() Snapshot
	NewBatch() Batch
	// Commit applies b and, with sync, returns when b and all commits before it are on disk. An empty batch with sync set waits for
	// the commits before it. b must be Reset before another use. Concurrent commits share syncs.
	//
	// It fails with api.Invalid or api.TooLarge for a batch that cannot be stored, which changes nothing; with api.Unavailable when
	// the store is closed; with api.Internal when the store has failed.
	Commit(b Batch, sync bool) error
	// Bytes is the disk space in use.
	Bytes() uint64
	// Metrics reads the counters of the engine.
	Metrics() Metrics
	// Engine names the engine: "pebble", or "mem".
	Engine() string
	// Format is the number of the format the rows are in.
	Format() int
	// Close waits for readers and writers inside a call and closes the store. A second Close does nothing.
	Close() error
}

// Metrics are the engine's counters since the store was opened, and its sizes now.
type Metrics struct {
	Flushes      uint64
	Compactions  uint64
	WALBytes     uint64 // bytes written to the log
	WrittenBytes uint64 // bytes written to tables by flushes and compactions
	CacheBytes   uint64 // in the block cache now
	CacheHits    uint64
	CacheMisses  uint64
	MemTables    uint64 // bytes of rows not yet in tables, now
	Debt         uint64 // bytes waiting for compaction, estimated
}
