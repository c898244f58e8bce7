package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/intercooperative/icn/kernel/api"
)

// writer is the one connection that writes. Its session holds the advisory lock.
type writer struct {
	mu     sync.Mutex // guards all below; whoever holds it is the one who writes
	cfg    *pgx.ConnConfig
	conn   *pgx.Conn // nil when it was lost
	pid    uint32
	begun  time.Time // of the session, by the server's clock
	strict string    // how the server is told to sync commits, "on" or what the operator has set beyond it
	lazy   bool      // the session does not wait for its commits to be synced

	// redo holds the commits that nobody has waited for and that a crash of the server may undo. They are repeated then.
	redo      []commit
	redoBytes int
}

// commit is one that was made: its number and its changes.
type commit struct {
	n     int64
	ops   []change
	bytes int
}

// A commit goes to the server in statements of at most so much.
const (
	chunkBytes = 4 << 20
	chunkRows  = 4096
	// maxRedo is how many bytes of commits wait for a sync. The commit that exceeds it is synced, whether it asked or not.
	maxRedo = 64 << 20
)

// commit writes changes as one transaction.
func (p *postgres) commit(ops []change, sync bool) error {
	w := &p.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := p.err(); err != nil {
		return err
	}
	c := commit{n: p.version.Load() + 1, ops: ops}
	for _, o := range ops {
		c.bytes += len(o.key) + len(o.value)
	}
	sync = sync || w.redoBytes+c.bytes > maxRedo
	defer p.history.end()
	noted := !p.history.begin()
	send := func() (err error) {
		if !noted {
			if err = p.note(c); err != nil {
				return err
			}
			noted = true
		}
		return p.send(c, sync)
	}
	err := send()
	for err != nil {
		if !transient(err) {
			return p.fail(api.Errorf("store.commit", api.Internal, "%w", err))
		}
		p.log.Warn("store: the connection to the database was lost during a commit", "err", err)
		at, lost := p.reconnect()
		switch {
		case lost != nil:
			return p.fail(api.Errorf("store.commit", api.Internal, "whether the last commit happened shows at the next start: %w", lost))
		case at < c.n:
			err = send()
		case sync: // it happened; that it is synced, too, the lost session did not get to say
			err = p.flush()
		default:
			err = nil
		}
	}
	p.done(c, sync)
	return nil
}

// note reads what a commit is about to overwrite, for those who have snapshots open.
func (p *postgres) note(c commit) error {
	e := &past{n: c.n, rows: make([]change, len(c.ops))}
	keys := make([][]byte, len(c.ops))
	for i, o := range c.ops {
		e.rows[i].key, keys[i] = o.key, o.key
		e.bytes += len(o.key) + entryBytes/2
	}
	if p.w.conn == nil {
		return errNoConnection
	}
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	rows, err := p.w.conn.Query(ctx, "SELECT s.epoch, r.key, r.value FROM icn_store s LEFT JOIN icn_rows r ON r.key = ANY($1::bytea[])", keys)
	if err != nil {
		return err
	}
	defer rows.Close()
	var epoch int64
	for rows.Next() {
		var row change
		if err := rows.Scan(&epoch, &row.key, &row.value); err != nil {
			return err
		}
		if k, ok := slices.BinarySearchFunc(e.rows, row.key, byKey); ok {
			e.rows[k].value = row.value
			e.bytes += len(row.value)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if epoch != p.epoch {
		return errDeposed
	}
	p.history.note(e)
	return nil
}

// done takes note of a commit that happened.
func (p *postgres) done(c commit, synced bool) {
	p.cache.committed(c.n, c.ops)
	p.version.Store(c.n)
	p.written.Add(uint64(c.bytes))
	if synced {
		p.w.forget(c.n)
	} else {
		p.w.redo = append(p.w.redo, c)
		p.w.redoBytes += c.bytes
	}
}

// forget drops the commits up to n, which are synced.
func (w *writer) forget(n int64) {
	k := 0
	for k < len(w.redo) && w.redo[k].n <= n {
		w.redoBytes -= w.redo[k].bytes
		k++
	}
	clear(w.redo[:k])
	if w.redo = w.redo[k:]; len(w.redo) == 0 {
		w.redo = nil
	}
}

// send runs one commit in one transaction and one round trip. Each statement checks the epoch: the first locks the row that holds it until
// the end of the transaction, so either none of them changes anything or all do.
func (p *postgres) send(c commit, sync bool) error {
	w := &p.w
	if w.conn == nil {
		return errNoConnection
	}
	b := &pgx.Batch{}
	if w.lazy == sync {
		b.Queue(setSync, w.mode(sync))
	}
	fence := b.Len()
	b.Queue("UPDATE icn_store SET commits = $2, format = $3 WHERE epoch = $1", p.epoch, c.n, p.format.Load())
	p.queue(b, c.ops)
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	results := w.conn.SendBatch(ctx, b)
	var err error
	for i := 0; i < b.Len() && err == nil; i++ {
		tag, e := results.Exec()
		if err = e; err == nil && i == fence && tag.RowsAffected() != 1 {
			err = errDeposed
		}
	}
	if e := results.Close(); err == nil {
		err = e
	}
	if err == nil {
		w.lazy = !sync
	}
	return err
}

const setSync = "SELECT set_config('synchronous_commit', $1, false)"

// mode is how the session commits.
func (w *writer) mode(sync bool) string {
	if sync {
		return w.strict
	}
	return "off"
}

// queue puts changes into statements.
func (p *postgres) queue(b *pgx.Batch, ops []change) {
	var keys, values, gone [][]byte
	size := 0
	flush := func() {
		if len(gone) > 0 {
			b.Queue("DELETE FROM icn_rows WHERE key = ANY($1::bytea[]) AND (SELECT epoch FROM icn_store) = $2", gone, p.epoch)
		}
		if len(keys) > 0 {
			b.Queue("INSERT INTO icn_rows (key, value) SELECT k, v FROM unnest($1::bytea[], $2::bytea[]) AS t(k, v)"+
				" WHERE (SELECT epoch FROM icn_store) = $3 ON CONFLICT (key) DO UPDATE SET value = excluded.value", keys, values, p.epoch)
		}
		keys, values, gone, size = nil, nil, nil, 0
	}
	for _, o := range ops {
		if o.value == nil {
			gone = append(gone, o.key)
		} else {
			keys, values = append(keys, o.key), append(values, o.value)
		}
		if size += len(o.key) + len(o.value); size >= chunkBytes || len(keys)+len(gone) >= chunkRows {
			flush()
		}
	}
	flush()
}

// flushSQL makes the server sync all commits before it: a transaction that only writes to the log, and is synced as any other.
const flushSQL = "SELECT epoch, commits FROM icn_store, (SELECT pg_logical_emit_message(true, 'icn', '')) AS m"

// barrier waits until all commits before it are synced. It does not stand in the way of the writer.
func (p *postgres) barrier() error {
	if err := p.err(); err != nil {
		return err
	}
	var synced int64
	err := p.retry("store.commit", func(ctx context.Context) error {
		want := p.version.Load()
		var epoch int64
		if err := p.pool.QueryRow(ctx, flushSQL).Scan(&epoch, &synced); err != nil {
			return err
		}
		return p.current(epoch, synced, want)
	})
	if err != nil {
		return err
	}
	if err := p.err(); err != nil {
		return err
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.forget(synced)
	return nil
}

// flush is the barrier of the writer's own session.
func (p *postgres) flush() error {
	if p.w.conn == nil {
		return errNoConnection
	}
	ctx, cancel := context.WithTimeout(context.Background(), attempt)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue(setSync, p.w.mode(true))
	b.Queue(flushSQL)
	p.w.lazy = false
	return p.w.conn.SendBatch(ctx, b).Close()
}

// errNoConnection is what a writer whose connection was lost finds.
var errNoConnection = errors.New("no connection")

// confirm checks that this is still the writer, and brings a lost connection back. The caller holds the writer.
func (p *postgres) confirm() {
	if p.err() != nil {
		return
	}
	err := errNoConnection
	if p.w.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), attempt)
		defer cancel()
		var epoch int64
		if err = p.w.conn.QueryRow(ctx, "SELECT epoch FROM icn_store").Scan(&epoch); err == nil && epoch != p.epoch {
			err = errDeposed
		}
	}
	if err != nil && transient(err) {
		p.log.Warn("store: the connection to the database was lost", "err", err)
		_, err = p.reconnect()
	}
	if err != nil {
		_ = p.fail(api.Errorf("store.watch", api.Internal, "%w", err))
	}
}

// reconnect brings the writer's connection back, repeats what a crash of the server undid, and returns the number of the last commit.
// Holding the lock again proves that the lost session is over, so what it left behind will not change any more.
func (p *postgres) reconnect() (at int64, err error) {
	deadline := time.Now().Add(p.opt.Patience)
	lost := p.w.pid
	begun := p.w.begun
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, askEvery) {
		p.w.disconnect()
		if at, err = p.resume(lost, begun); err == nil || !transient(err) {
			break
		}
		if time.Now().After(deadline) {
			return 0, api.Errorf("store.connect", api.Unavailable, "no connection to the database for %s: %w", p.opt.Patience, err)
		}
		select {
		case <-time.After(pause):
		case <-p.closing:
			return 0, api.Errorf("store.connect", api.Unavailable, "the store is closed: %w", err)
		}
	}
	if err == nil {
		p.log.Info("store: the database is back", "commit", at)
	}
	return at, err
}

// errHeld is found by a writer whose lost session the server has not given up yet.
var errHeld = errors.New("the lost session still holds the database")

// resume is one attempt to reconnect.
func (p *postgres) resume(lost uint32, begun time.Time) (at int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(attempt, p.opt.Patience))
	defer cancel()
	if err := p.w.connect(ctx); err != nil {
		return 0, err
	}
	c := p.w.conn
	// The server may take long to notice that we are gone. Its processes are told apart by when they began, for numbers are used again.
	_, err = c.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2", int64(lost), begun)
	if err != nil {
		return 0, err
	}
	var mine bool
	if err := c.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", p.lockKey).Scan(&mine); err != nil {
		return 0, err
	}
	var epoch int64
	if err := c.QueryRow(ctx, "SELECT epoch, commits FROM icn_store").Scan(&epoch, &at); err != nil {
		return 0, err
	}
	known := p.version.Load()
	switch {
	case epoch != p.epoch:
		return 0, errDeposed
	case !mine:
		return 0, errHeld
	case at > known+1 || at < known-int64(len(p.w.redo)):
		return 0, api.Errorf("store.connect", api.Internal, "the database is at commit %d and this node at %d: it was changed by somebody else, or restored", at, known)
	}
	for _, c := range p.w.redo {
		if c.n > at {
			if err := p.send(c, true); err != nil {
				return 0, err
			}
			at = c.n
		}
	}
	return at, nil
}

// connect opens the writer's session.
func (w *writer) connect(ctx context.Context) error {
	c, err := pgx.ConnectConfig(ctx, w.cfg.Copy())
	if err != nil {
		return err
	}
	w.conn, w.lazy = c, false
	w.pid = c.PgConn().PID()
	return c.QueryRow(ctx, "SELECT backend_start, current_setting('synchronous_commit') FROM pg_stat_activity WHERE pid = pg_backend_pid()").Scan(&w.begun, &w.strict)
}

func (w *writer) disconnect() {
	if w.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = w.conn.Close(ctx) // it is closed, in order or not
	w.conn = nil
}
