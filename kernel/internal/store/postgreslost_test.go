package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// proxy stands between a store and the server, and can go silent in either direction.
type proxy struct {
	l          net.Listener
	mu         sync.Mutex
	conns      []net.Conn
	deaf, mute atomic.Bool // drops what the store says, or what the server answers
	wg         sync.WaitGroup
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l}
	p.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			p.wg.Go(func() { p.pass(out, in, &p.deaf) })
			p.wg.Go(func() { p.pass(in, out, &p.mute) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// url is the way through the proxy to the place that the URL names.
func (p *proxy) url(direct string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("icn", kerneltest.PostgresPassword), Host: p.l.Addr().String(), Path: "/postgres",
		RawQuery: "sslmode=disable&search_path=" + strings.SplitAfter(direct, "search_path=")[1],
	}
	return u.String()
}

func (p *proxy) pass(to, from net.Conn, drop *atomic.Bool) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if drop.Load() {
			continue
		}
		if _, err := io.Copy(to, bytes.NewReader(buf[:n])); err != nil {
			return
		}
	}
}

// cut ends all connections and mends the proxy.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.deaf.Store(false)
	p.mute.Store(false)
}

// TestPostgresUnknown: of a commit whose answer was lost the store finds out whether it happened, and makes it happen once.
func TestPostgresUnknown(t *testing.T) {
	direct := server.URL(t)
	p := newProxy(t, server.Address())
	st := openPostgres(t, store.PostgresOptions{URL: p.url(direct)})
	defer st.Close()
	for n, sync := range []bool{true, false, true, false} {
		for _, sync := range []bool{true, false, true} { // the new session learns its statements
			if err := set(st, sync, "a", "0"); err != nil {
				t.Fatal(err)
			}
		}
		var before, after int
		query(t, direct, "SELECT commits FROM icn_store", &before)
		drop := &p.mute
		var snap store.Snapshot
		if n >= 2 {
			drop = &p.deaf
			snap = st.Snapshot() // what the commit overwrites has to be read, too
			defer snap.Close()
		}
		drop.Store(true)
		done := make(chan error, 1)
		go func() { done <- set(st, sync, "a", fmt.Sprint(n+1), fmt.Sprintf("own/%d", n), "x") }()
		if drop == &p.mute {
			await(t, "the commit", func() bool {
				query(t, direct, "SELECT commits FROM icn_store", &after)
				return after == before+1
			})
		} else {
			time.Sleep(50 * time.Millisecond) // it is on its way to nowhere; sooner or later makes no difference to what is wanted
		}
		p.cut()
		if err := <-done; err != nil {
			t.Fatalf("commit %d: %v", n+1, err)
		}
		query(t, direct, "SELECT commits FROM icn_store", &after)
		if got := get(t, st, "a") + get(t, st, fmt.Sprintf("own/%d", n)); got != fmt.Sprint(n+1)+"x" || after != before+1 {
			t.Errorf("commit %d: rows %q, and the database went from %d to %d", n+1, got, before, after)
		}
		if snap == nil {
			continue
		}
		if got := get(t, snap, "a") + get(t, snap, fmt.Sprintf("own/%d", n)); got != "0-" {
			t.Errorf("the snapshot before commit %d reads %q", n+1, got)
		}
	}
}

// TestPostgresSnapshotLost: a snapshot outlasts connections, and the server itself.
func TestPostgresSnapshotLost(t *testing.T) {
	at := named(server.URL(t), "lost")
	st := openPostgres(t, store.PostgresOptions{URL: at})
	defer st.Close()
	for n := range 60 {
		if err := set(st, false, fmt.Sprintf("%03d", n), "x"); err != nil {
			t.Fatal(err)
		}
	}
	snap := st.Snapshot()
	defer snap.Close()
	it, err := snap.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if string(it.Value()) != "x" {
			t.Fatalf("%q is %q", it.Key(), it.Value())
		}
		if n++; n == 5 {
			query(t, at, fmt.Sprintf(killSessions, "lost"))
			if err := set(st, true, "000", "y", "0005", "y", "059", "y", "06", "y"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if it.Err() != nil || n != 60 {
		t.Errorf("%d rows, %v", n, it.Err())
	}
	if got := get(t, snap, "000") + get(t, st, "000"); got != "xy" {
		t.Error(got)
	}
}

// TestPostgresManySnapshots: more snapshots than connections are open, each of another version, and each reads its own rows while a writer
// goes on.
func TestPostgresManySnapshots(t *testing.T) {
	st := openPostgres(t, store.PostgresOptions{URL: server.URL(t)})
	defer st.Close()
	rng := rand.New(rand.NewPCG(1, 3))
	rows := map[string]string{}
	type held struct {
		snap store.Snapshot
		rows map[string]string
	}
	var all []held
	for n := range 120 {
		b := st.NewBatch()
		for range 1 + rng.IntN(40) {
			k := fmt.Sprintf("%02d", rng.IntN(100))
			if rng.IntN(3) == 0 {
				b.Delete([]byte(k))
				delete(rows, k)
			} else {
				v := strings.Repeat("v", rng.IntN(2)*rng.IntN(40_000)) + fmt.Sprint(n)
				b.Set([]byte(k), []byte(v))
				rows[k] = v
			}
		}
		if err := st.Commit(b, false); err != nil {
			t.Fatal(err)
		}
		b.Close()
		if n%3 == 0 {
			all = append(all, held{st.Snapshot(), maps.Clone(rows)})
		}
		if n%10 == 9 { // in any order
			k := rng.IntN(len(all))
			checkRows(t, all[k].snap, all[k].rows)
			if err := all[k].snap.Close(); err != nil {
				t.Error(err)
			}
			all = slices.Delete(all, k, k+1)
		}
	}
	var wg sync.WaitGroup
	for _, h := range all {
		wg.Go(func() {
			checkRows(t, h.snap, h.rows)
			if err := h.snap.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	checkRows(t, st, rows)
}

// checkRows compares the rows by iteration in both directions, and one by one.
func checkRows(t *testing.T, r store.Reader, want map[string]string) {
	t.Helper()
	keys := slices.Sorted(maps.Keys(want))
	it, err := r.Iter([]byte("0"), []byte(":"))
	if err != nil {
		t.Error(err)
		return
	}
	defer it.Close()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n == len(keys) || string(it.Key()) != keys[n] || string(it.Value()) != want[keys[n]] {
			t.Errorf("row %d is %q with %d bytes, want %q", n, it.Key(), len(it.Value()), keys[min(n, len(keys)):])
			return
		}
		n++
	}
	if n != len(keys) {
		t.Errorf("%d rows, want %d", n, len(keys))
	}
	for ok := it.Prev(); ok; ok = it.Prev() {
		if n--; n < 0 || string(it.Key()) != keys[n] || string(it.Value()) != want[keys[n]] {
			t.Errorf("back at row %d: %q", n, it.Key())
			return
		}
	}
	if n != 0 || it.Err() != nil {
		t.Errorf("back ended at row %d: %v", n, it.Err())
	}
	for k := range 100 {
		key := fmt.Sprintf("%02d", k)
		w, has := want[key]
		if v, ok, err := r.Get([]byte(key)); err != nil || ok != has || string(v) != w {
			t.Errorf("%q: %d bytes, %v, %v; want %d, %v", key, len(v), ok, err, len(w), has)
		}
	}
}

// TestPostgresGone: a server that stays away ends the store, in the same words for all; what was acknowledged is there when it is back.
func TestPostgresGone(t *testing.T) {
	failed := make(chan error, 1)
	direct := server.URL(t)
	p := newProxy(t, server.Address())
	o := store.PostgresOptions{URL: p.url(direct), Patience: 200 * time.Millisecond, OnFail: func(err error) { failed <- err }}
	st := openPostgres(t, o)
	if err := set(st, true, "a", "1"); err != nil {
		t.Fatal(err)
	}
	p.l.Close()
	p.cut()
	err := set(st, true, "a", "2")
	if api.KindOf(err) != api.Internal || !strings.Contains(err.Error(), "no connection to the database for 200ms") {
		t.Errorf("commit: %v", err)
	}
	if told := <-failed; !errors.Is(told, err) {
		t.Errorf("told %v", told)
	}
	if _, _, err := st.Get([]byte("a")); err == nil {
		t.Error("a server that is away answers")
	}
	if err := st.Close(); err != nil {
		t.Error(err)
	}
	o.URL = direct
	st = openPostgres(t, o)
	defer st.Close()
	if got := get(t, st, "a"); got != "1" {
		t.Errorf("a is %q", got)
	}
}
