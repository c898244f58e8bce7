package store_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// safeLog is a log that several goroutines write.
type safeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s did not come", what)
}

func set(st store.Store, sync bool, pairs ...string) error {
	b := st.NewBatch()
	defer b.Close()
	for i := 0; i < len(pairs); i += 2 {
		b.Set([]byte(pairs[i]), []byte(pairs[i+1]))
	}
	return st.Commit(b, sync)
}

func get(t *testing.T, r store.Reader, key string) string {
	t.Helper()
	v, ok, err := r.Get([]byte(key))
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if !ok {
		return "-"
	}
	return string(v)
}

const killSessions = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '%s' AND pid <> pg_backend_pid()"

// named returns the URL with a name for its sessions.
func named(at, name string) string { return at + "&application_name=" + name }

// TestPostgresStandby: a second one waits, takes over when the first loses its session, and the first can then write nothing.
func TestPostgresStandby(t *testing.T) {
	at := server.URL(t)
	deposed := make(chan error, 1)
	old := openPostgres(t, store.PostgresOptions{URL: named(at, "old"), OnFail: func(err error) { deposed <- err }})
	defer old.Close()
	if err := set(old, false, "a", "old", "b", "old"); err != nil {
		t.Fatal(err)
	}
	var log safeLog
	opened := make(chan store.Store, 1)
	go func() {
		st, err := store.OpenPostgres(t.Context(), store.PostgresOptions{URL: named(at, "new"), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Error(err)
		}
		opened <- st
	}()
	await(t, "the log line", func() bool { return strings.Contains(log.String(), "waiting to take over") })
	if err := set(old, true, "a", "old 2"); err != nil {
		t.Fatalf("while another waits: %v", err)
	}
	var next store.Store
	await(t, "the takeover", func() bool {
		query(t, at, fmt.Sprintf(killSessions, "old")) // it may win its session back, some times
		select {
		case next = <-opened:
			return true
		case <-time.After(100 * time.Millisecond):
			return false
		}
	})
	if next == nil {
		t.FailNow()
	}
	defer next.Close()
	if got := get(t, next, "a"); got != "old 2" {
		t.Errorf("the successor reads %q", got)
	}
	if err := set(next, true, "a", "new"); err != nil {
		t.Fatal(err)
	}
	// The old one wakes up.
	err := set(old, true, "a", "late", "c", "late")
	if api.KindOf(err) != api.Internal || !strings.Contains(err.Error(), "another node has taken over this database") {
		t.Errorf("the old one's commit: %v", err)
	}
	if again := set(old, false, "a", "later"); again == nil || again.Error() != err.Error() {
		t.Errorf("the second commit says %v, the first %v", again, err)
	}
	if told := <-deposed; told.Error() != err.Error() {
		t.Errorf("told %v, want %v", told, err)
	}
	if got := get(t, next, "a") + get(t, next, "b") + get(t, next, "c"); got != "newold-" {
		t.Errorf("after the old one's attempts the rows are %q", got)
	}
	if got := get(t, old, "b"); got != "old" {
		t.Errorf("a store that has failed reads %q", got)
	}
}

// TestPostgresNotices: a node that commits nothing learns within seconds that it was deposed.
func TestPostgresNotices(t *testing.T) {
	at := server.URL(t)
	deposed := make(chan error, 1)
	st := openPostgres(t, store.PostgresOptions{URL: at, OnFail: func(err error) { deposed <- err }})
	defer st.Close()
	query(t, at, "UPDATE icn_store SET epoch = epoch + 1")
	if err := <-deposed; !strings.Contains(err.Error(), "taken over") {
		t.Error(err)
	}
}

// TestPostgresFence: a commit that is under way when another takes over changes nothing at all, whatever it has sent.
func TestPostgresFence(t *testing.T) {
	at := server.URL(t)
	st := openPostgres(t, store.PostgresOptions{URL: at})
	defer st.Close()
	if err := set(st, true, "a", "1", "gone", "1"); err != nil {
		t.Fatal(err)
	}
	other, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.WithoutCancel(t.Context()))
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE icn_store SET epoch = epoch + 1"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		b := st.NewBatch()
		defer b.Close()
		b.Set([]byte("a"), []byte("2"))
		b.Set([]byte("b"), []byte("2"))
		b.Delete([]byte("gone"))
		done <- st.Commit(b, true)
	}()
	await(t, "the commit", func() bool {
		var n int
		query(t, at, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", &n)
		return n > 0
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; api.KindOf(err) != api.Internal || !strings.Contains(err.Error(), "taken over") {
		t.Errorf("got %v", err)
	}
	var rows string
	query(t, at, "SELECT string_agg(convert_from(key, 'UTF8') || '=' || convert_from(value, 'UTF8'), ' ' ORDER BY key) FROM icn_rows", &rows)
	if rows != "a=1 gone=1" {
		t.Errorf("the rows are %q", rows)
	}
}

// TestPostgresGivesUpWaiting: whoever waits stops when told to, and asks in vain while another writes.
func TestPostgresGivesUpWaiting(t *testing.T) {
	at := server.URL(t)
	st := openPostgres(t, store.PostgresOptions{URL: at})
	defer st.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var log safeLog
	done := make(chan error, 1)
	go func() {
		_, err := store.OpenPostgres(ctx, store.PostgresOptions{URL: at, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		done <- err
	}()
	await(t, "the log line", func() bool { return strings.Contains(log.String(), "waiting to take over") })
	cancel()
	if err := <-done; api.KindOf(err) != api.Unavailable {
		t.Errorf("got %v", err)
	}
}

// load commits numbered rows from several writers until told to stop, and knows what was acknowledged.
type load struct {
	acked [3]atomic.Int64
	wg    sync.WaitGroup
	stop  atomic.Bool
}

func (l *load) run(t *testing.T, st store.Store) {
	for w := range l.acked {
		l.wg.Go(func() {
			for n := l.acked[w].Load() + 1; !l.stop.Load(); n++ {
				if err := set(st, n%3 == 0, fmt.Sprintf("%d/%06d", w, n), "x", fmt.Sprintf("last/%d", w), fmt.Sprint(n)); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				l.acked[w].Store(n)
				if v, ok, err := st.Get(fmt.Appendf(nil, "last/%d", w)); err != nil || !ok || string(v) != fmt.Sprint(n) {
					t.Errorf("writer %d reads %q after %d: %v", w, v, n, err)
				}
			}
		})
	}
}

func (l *load) sum() (n int64) {
	for w := range l.acked {
		n += l.acked[w].Load()
	}
	return n
}

// check wants every commit that was acknowledged, each once and whole.
func (l *load) check(t *testing.T, st store.Store) {
	t.Helper()
	for w := range l.acked {
		n := 0
		it, err := st.Iter(fmt.Appendf(nil, "%d/", w), fmt.Appendf(nil, "%d0", w))
		if err != nil {
			t.Fatal(err)
		}
		for ok := it.First(); ok; ok = it.Next() {
			if n++; string(it.Key()) != fmt.Sprintf("%d/%06d", w, n) {
				t.Fatalf("row %d of writer %d is %q", n, w, it.Key())
			}
		}
		if err := it.Close(); err != nil || int64(n) != l.acked[w].Load() || get(t, st, fmt.Sprintf("last/%d", w)) != fmt.Sprint(n) {
			t.Errorf("writer %d: %d rows, %d acknowledged, last %s; %v", w, n, l.acked[w].Load(), get(t, st, fmt.Sprintf("last/%d", w)), err)
		}
	}
}

// TestPostgresKilled: the server dies under load and comes back, and nobody but the log notices: not even commits that nobody asked to be
// synced are lost, for the store repeats them.
func TestPostgresKilled(t *testing.T) {
	o := store.PostgresOptions{URL: server.URL(t)}
	st := openPostgres(t, o)
	var l load
	l.run(t, st)
	rounds := 2
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		before := l.sum()
		await(t, "load", func() bool { return l.sum() > before+60 })
		server.Kill(t)
		server.Start(t)
	}
	before := l.sum()
	await(t, "load after the last start", func() bool { return l.sum() > before+20 })
	l.stop.Store(true)
	l.wg.Wait()
	l.check(t, st)
	if err := set(st, true); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = openPostgres(t, o)
	defer st.Close()
	l.check(t, st)
}

// TestPostgresBarrier: an empty commit with sync waits until the server has synced what was committed before it.
func TestPostgresBarrier(t *testing.T) {
	at := server.URL(t)
	st := openPostgres(t, store.PostgresOptions{URL: at})
	defer st.Close()
	c, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	for n := range 20 { // the server syncs by itself five times a second, too
		if err := set(st, false, "a", fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
		var written string
		if err := c.QueryRow(t.Context(), "SELECT pg_current_wal_insert_lsn()::text").Scan(&written); err != nil {
			t.Fatal(err)
		}
		if err := set(st, true); err != nil {
			t.Fatal(err)
		}
		var synced bool
		if err := c.QueryRow(t.Context(), "SELECT pg_current_wal_flush_lsn() >= $1::pg_lsn", written).Scan(&synced); err != nil {
			t.Fatal(err)
		}
		if !synced {
			t.Fatalf("commit %d is not synced", n)
		}
	}
}
