package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/intercooperative/icn/kernel/api"
)

const (
	// maxPostgresKey is the longest key an index of PostgreSQL surely takes; keys of a node have a few hundred bytes at most.
	maxPostgresKey = 2560
	// attempt bounds one statement, patience or not: a peer that vanished without a word looks like one that is slow.
	attempt = time.Minute
	// watchEvery is how often a writer makes sure that it still is the writer, and how often one that waits asks whether it may.
	watchEvery = 2 * time.Second
	askEvery   = 500 * time.Millisecond
	// defaultConns is the size of the pool of readers, unless the URL says pool_max_conns. Nobody holds a connection for longer than a
	// statement.
	defaultConns, minConns = 8, 2
)

// postgres is a Store in a PostgreSQL database. All rows lie in one table; a table of one row says whose turn it is to write (epoch) and
// how far the writer is (commits). Each statement that reads or writes rows checks that row in the same snapshot or transaction, so that
// nobody who was deposed writes, and nobody reads rows from before what was committed last.
//
// One connection writes, and holds the advisory lock that a standby waits for. The pool reads.
type postgres struct {
	opt  PostgresOptions
	log  *slog.Logger
	pool *pgxpool.Pool

	lockKey int64
	epoch   int64        // ours; it never changes while the store is open
	version atomic.Int64 // the last commit that has happened
	format  atomic.Int64
	written atomic.Uint64 // bytes of rows

	w writer

	history *history
	cache   *readCache

	failing sync.Once
	failed  atomic.Pointer[error]
	closing chan struct{} // closed when nothing is worth waiting for any more
	watched chan struct{} // closed when the watch has ended

	// mu is held shared inside every call and exclusively by Close.
	mu       sync.RWMutex
	closed   bool
	shutdown sync.Once
}

var _ Store = (*postgres)(nil)

// OpenPostgres opens the store in a database and creates its tables if there are none, bringing the rows to the present format. While
// another node writes the database it waits, and logs that, until that one ends or loses its session, or until ctx does.
//
// It fails with api.Invalid for a URL, role, password or database that is wrong; api.Conflict for a database of another owner;
// api.Unsupported for one that a newer or another program wrote; api.Unavailable when the server cannot be reached or ctx ended; and
// api.Internal when it cannot be read or written.
func OpenPostgres(ctx context.Context, o PostgresOptions) (Store, error) {
	p, err := openPostgres(ctx, o, migrations())
	if err != nil {
		return nil, err
	}
	return p, nil
}

func openPostgres(ctx context.Context, o PostgresOptions, steps []migration) (*postgres, error) {
	const op = "store.open"
	cfg, err := o.parse()
	if err != nil {
		return nil, err
	}
	p := &postgres{opt: o, log: o.Logger, history: newHistory(), closing: make(chan struct{}), watched: make(chan struct{})}
	p.w.cfg = cfg.ConnConfig.Copy()
	if p.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg); err != nil {
		return nil, api.Errorf(op, api.Internal, "%w", err)
	}
	if err = p.takeOver(ctx, len(steps)+1); err == nil {
		err = p.migrate(steps)
	}
	if err != nil {
		p.release()
		return nil, api.Wrap(op, fmt.Errorf("database %s: %w", where(p.w.cfg), err))
	}
	go p.watch()
	return p, nil
}

// enter begins a call; leave ends it.
func (p *postgres) enter(op string) error {
	p.mu.RLock()
	if p.closed {
		p.mu.RUnlock()
		return api.Errorf(op, api.Unavailable, "the store is closed")
	}
	return nil
}

func (p *postgres) leave() { p.mu.RUnlock() }

// err returns why the store has failed, or nil.
func (p *postgres) err() error {
	if e := p.failed.Load(); e != nil {
		return *e
	}
	return nil
}

// fail ends the store, the first time, and returns what ended it.
func (p *postgres) fail(err error) error {
	p.failing.Do(func() { // nobody returns the error before the owner has been told
		p.failed.Store(&err)
		p.log.Error("store: failed; nothing is written to the database any more", "err", err)
		p.opt.OnFail(err)
	})
	return p.err()
}

// errDeposed is returned by whatever finds that the epoch is not ours.
var errDeposed = errors.New("another node has taken over this database")

// errBehind is found by a reader on a server that lost, in a crash, commits nobody had asked to be synced; the writer is about to repeat them.
var errBehind = errors.New("the server has lost recent commits")

// transient tells trouble with a connection, which another one may not have, from an answer of the server.
func transient(err error) bool {
	if errors.Is(err, errBehind) {
		return true
	}
	var ours *api.Error
	if errors.As(err, &ours) || errors.Is(err, errDeposed) || errors.Is(err, errGone) || errors.Is(err, errForeign) || errors.Is(err, pgx.ErrNoRows) {
		return false
	}
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return true
	}
	switch pe.Code {
	case "57P01", "57P02", "57P03", "53300": // shut down, crashed, starting up, too many connections
		return true
	}
	return strings.HasPrefix(pe.Code, "08")
}

// retry runs a read until it succeeds, for as long as patience lasts. A read that cannot be done ends the store: those who ask have no
// way to say that they do not know, and would answer as if there were no rows.
func (p *postgres) retry(op string, do func(ctx context.Context) error) error {
	give := time.NewTimer(p.opt.Patience)
	defer give.Stop()
	last := 3 // attempts of a store that has failed: a connection that was lost is found out by using it
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, askEvery) {
		ctx, cancel := context.WithTimeout(context.Background(), attempt)
		err := do(ctx)
		cancel()
		if err == nil {
			return nil
		}
		if p.err() != nil {
			last--
		}
		if last == 0 || !transient(err) {
			return p.fail(api.Errorf(op, api.Internal, "%w", err))
		}
		select {
		case <-time.After(pause):
		case <-give.C:
			return p.fail(api.Errorf(op, api.Internal, "no connection to the database for %s: %w", p.opt.Patience, err))
		case <-p.closing:
			return api.Errorf(op, api.Unavailable, "the store is closed: %w", err)
		}
	}
}

// current checks what a read found in the table of one row against what must be there. want is the last commit before the read.
func (p *postgres) current(epoch, commits, want int64) error {
	switch {
	case p.failed.Load() != nil: // a failed store can be read, so that a node can stop in order
		return nil
	case epoch != p.epoch:
		return errDeposed
	case commits < want:
		return errBehind
	}
	return nil
}

// getSQL reads the value of a key, if there is one, in one row with what current checks.
const getSQL = "SELECT s.epoch, s.commits, r.value FROM icn_store s LEFT JOIN icn_rows r ON r.key = $1"

func (p *postgres) Get(key []byte) ([]byte, bool, error) {
	if err := p.enter("store.get"); err != nil {
		return nil, false, err
	}
	defer p.leave()
	if len(key) == 0 || key[0] == reserved {
		return nil, false, nil // as in iteration
	}
	name := valueName(key)
	if e := p.cache.look(name, p.version.Load()); e != nil {
		return bytes.Clone(e.value), e.value != nil, nil
	}
	var value []byte
	var commits int64
	err := p.retry("store.get", func(ctx context.Context) error {
		want := p.version.Load()
		var epoch int64
		err := p.pool.QueryRow(ctx, getSQL, key).Scan(&epoch, &commits, &value)
		if err != nil {
			return err
		}
		return p.current(epoch, commits, want)
	})
	if err != nil {
		return nil, false, err
	}
	p.cache.keep(name, commits, &cached{value: bytes.Clone(value)})
	return value, value != nil, nil
}

func (p *postgres) Iter(lower, upper []byte) (Iter, error) {
	if err := p.enter("store.iter"); err != nil {
		return nil, err
	}
	defer p.leave()
	return newPagedIter(p, p.hold(), lower, upper), nil
}

func (p *postgres) Snapshot() Snapshot {
	if err := p.enter("store.snapshot"); err != nil {
		return closedSnapshot{err}
	}
	defer p.leave()
	return &pgSnapshot{p: p, v: p.hold()}
}

func (p *postgres) NewBatch() Batch { return &pgBatch{p: p} }

func (p *postgres) Commit(b Batch, sync bool) error {
	const op = "store.commit"
	if err := p.enter(op); err != nil {
		return err
	}
	defer p.leave()
	mine, ok := b.(*pgBatch)
	if !ok || mine.p != p {
		return api.Errorf(op, api.Invalid, "the batch is of another store")
	}
	ops, err := mine.take()
	if err != nil {
		return err
	}
	switch {
	case len(ops) > 0:
		return p.commit(ops, sync)
	case sync:
		return p.barrier()
	}
	return p.err()
}

func (p *postgres) Bytes() uint64 {
	if p.enter("store.bytes") != nil {
		return 0
	}
	defer p.leave()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var n int64
	if err := p.pool.QueryRow(ctx, "SELECT pg_total_relation_size('icn_rows') + pg_total_relation_size('icn_store')").Scan(&n); err != nil {
		p.log.Warn("store: size", "err", err)
	}
	return uint64(n)
}

// Metrics has no more than the bytes committed: the engine's own counters are the server's to tell.
func (p *postgres) Metrics() Metrics {
	if p.enter("store.metrics") != nil {
		return Metrics{}
	}
	defer p.leave()
	return Metrics{WALBytes: p.written.Load()}
}

func (p *postgres) Engine() string { return "postgres" }
func (p *postgres) Format() int    { return int(p.format.Load()) }

func (p *postgres) Close() error {
	p.shutdown.Do(func() { close(p.closing) }) // nobody inside a call waits for a server that is away
	p.mu.Lock()
	was := p.closed
	p.closed = true
	p.mu.Unlock()
	if was {
		return nil
	}
	<-p.watched
	p.release()
	return nil
}

// release closes every connection. The lock goes with that of the writer, last: whoever takes over finds no session of ours.
func (p *postgres) release() {
	p.pool.Close()
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.disconnect()
}

// watch makes sure, while nothing else does, that this is still the writer.
func (p *postgres) watch() {
	defer close(p.watched)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for p.err() == nil {
		select {
		case <-tick.C:
		case <-p.closing:
			return
		}
		if p.w.mu.TryLock() { // else a commit is about to find out
			p.confirm()
			p.w.mu.Unlock()
		}
	}
}
