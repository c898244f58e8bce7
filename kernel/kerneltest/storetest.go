package kerneltest

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// OpenStore opens an empty store for a test. reopen ends the store it is given, as roughly as the implementation can without losing what
// was synced, and opens it anew. Whoever opens closes: tests close nothing but what reopen returned last, or st if it was not called.
type OpenStore func(t testing.TB) (st store.Store, reopen func(store.Store) store.Store)

// TestStore holds a store to the contract of package store.
func TestStore(t *testing.T, open OpenStore) {
	for _, c := range []struct {
		name string
		test func(*testing.T, OpenStore)
	}{
		{"GetSetDelete", testStoreGetSetDelete},
		{"Copies", testStoreCopies},
		{"Refusals", testStoreRefusals},
		{"Iterate", testStoreIterate},
		{"Snapshot", testStoreSnapshot},
		{"BatchOrder", testStoreBatchOrder},
		{"BatchReuse", testStoreBatchReuse},
		{"Large", testStoreLarge},
		{"Reopen", testStoreReopen},
		{"Barrier", testStoreBarrier},
		{"Closed", testStoreClosed},
		{"Concurrent", testStoreConcurrent},
		{"Model", testStoreModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open) })
	}
}

// openClosed opens a store that the end of the test closes.
func openClosed(t testing.TB, open OpenStore) store.Store {
	st, _ := open(t)
	t.Cleanup(func() { closeStore(t, st) })
	return st
}

// closer is a store, a snapshot or an iterator.
type closer interface{ Close() error }

func closeStore(t testing.TB, c closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// put commits one batch of pairs; a value of "-" deletes.
func put(t testing.TB, st store.Store, sync bool, pairs ...string) {
	t.Helper()
	b := st.NewBatch()
	defer b.Close()
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "-" {
			b.Delete([]byte(pairs[i]))
		} else {
			b.Set([]byte(pairs[i]), []byte(pairs[i+1]))
		}
	}
	if err := st.Commit(b, sync); err != nil {
		t.Fatalf("commit %q: %v", pairs, err)
	}
}

// rows returns the rows of a range as "key=value", joined by spaces.
func rows(t testing.TB, r store.Reader, lower, upper string) string {
	t.Helper()
	it, err := r.Iter([]byte(lower), []byte(upper))
	if err != nil {
		t.Fatalf("iter %q to %q: %v", lower, upper, err)
	}
	defer closeStore(t, it)
	var out []byte
	for ok := it.First(); ok; ok = it.Next() {
		if len(out) > 0 {
			out = append(out, ' ')
		}
		out = fmt.Appendf(out, "%s=%s", it.Key(), it.Value())
	}
	if err := it.Err(); err != nil {
		t.Fatalf("iterate %q to %q: %v", lower, upper, err)
	}
	return string(out)
}

func wantRows(t testing.TB, r store.Reader, want string) {
	t.Helper()
	if got := rows(t, r, "", ""); got != want {
		t.Errorf("rows are %q, want %q", got, want)
	}
}

// wantGet checks one row; want "-" is none.
func wantGet(t testing.TB, r store.Reader, key, want string) {
	t.Helper()
	v, ok, err := r.Get([]byte(key))
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	got := string(v)
	if !ok {
		got = "-"
	}
	if got != want {
		t.Errorf("%q is %q, want %q", key, got, want)
	}
}

func testStoreGetSetDelete(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	wantGet(t, st, "a", "-")
	wantGet(t, st, "", "-")
	wantRows(t, st, "")
	put(t, st, true, "a", "1", "b", "", "\xff\xff", "3")
	wantGet(t, st, "a", "1")
	wantGet(t, st, "b", "")
	wantGet(t, st, "\xff\xff", "3")
	wantGet(t, st, "ab", "-")
	put(t, st, false, "a", "2", "b", "-", "never", "-")
	wantGet(t, st, "a", "2")
	wantGet(t, st, "b", "-")
	wantRows(t, st, "a=2 \xff\xff=3")
	if st.Format() < 1 || st.Engine() == "" || st.Bytes() == 0 {
		t.Errorf("format %d, engine %q, %d bytes", st.Format(), st.Engine(), st.Bytes())
	}
}

// testStoreCopies: the store and its caller never share memory.
func testStoreCopies(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	k, v := []byte("key"), []byte("value")
	b := st.NewBatch()
	defer b.Close()
	b.Set(k, v)
	k[0], v[0] = 'x', 'x'
	if err := st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	got, _, err := st.Get([]byte("key"))
	if err != nil || string(got) != "value" {
		t.Fatalf("got %q, %v", got, err)
	}
	got[0] = 'y'
	wantGet(t, st, "key", "value")

	lower, upper := []byte("a"), []byte("z")
	it, err := st.Iter(lower, upper)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, it)
	lower[0], upper[0] = 'z', 'a'
	if !it.First() || string(it.Key()) != "key" {
		t.Error("an iterator keeps its caller's bounds")
	}
}

func testStoreIterate(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	put(t, st, false, "a", "1", "c", "3", "e", "5")
	put(t, st, false, "b", "2", "d", "4", "c", "-")
	for _, c := range []struct{ lower, upper, want string }{
		{"", "", "a=1 b=2 d=4 e=5"},
		{"a", "e", "a=1 b=2 d=4"},
		{"aa", "dd", "b=2 d=4"},
		{"b", "b", ""},
		{"d", "b", ""},
		{"f", "", ""},
		{"\x00", "b", "a=1"}, // the store's own rows do not show
		{"", "\x00\xff", ""},
	} {
		if got := rows(t, st, c.lower, c.upper); got != c.want {
			t.Errorf("%q to %q: %q, want %q", c.lower, c.upper, got, c.want)
		}
	}
	it, err := st.Iter([]byte("b"), []byte("e"))
	if err != nil {
		t.Fatal(err)
	}
	// Keys are b and d.
	for i, c := range []struct {
		move func() bool
		want string
	}{
		{it.Last, "d"},
		{it.Prev, "b"},
		{it.Prev, ""},
		{it.Next, "b"},
		{it.Next, "d"},
		{it.Next, ""},
		{it.Prev, "d"},
		{it.First, "b"},
		{func() bool { return it.SeekGE([]byte("c")) }, "d"},
		{func() bool { return it.SeekGE([]byte("a")) }, "b"},
		{func() bool { return it.SeekGE([]byte("e")) }, ""},
		{func() bool { return it.SeekLT([]byte("d")) }, "b"},
		{func() bool { return it.SeekLT([]byte("z")) }, "d"},
		{func() bool { return it.SeekLT([]byte("b")) }, ""},
		{func() bool { return it.SeekLT([]byte("a")) }, ""},
	} {
		ok, got := c.move(), ""
		if it.Valid() {
			got = string(it.Key())
		}
		if got != c.want || ok != (c.want != "") {
			t.Errorf("move %d: %v at %q, want %q", i, ok, got, c.want)
		}
	}
	closeStore(t, it)
	closeStore(t, it) // a second time does nothing
}

func testStoreSnapshot(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	put(t, st, false, "a", "1", "b", "1")
	snap := st.Snapshot()
	it, err := st.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, st, false, "a", "2", "b", "-", "c", "2")
	wantRows(t, snap, "a=1 b=1")
	wantGet(t, snap, "b", "1")
	wantGet(t, snap, "c", "-")
	later, err := snap.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []store.Iter{it, later} { // of the moment it was opened, and of the snapshot
		if !i.Last() || string(i.Key()) != "b" || string(i.Value()) != "1" {
			t.Errorf("an iterator saw a later commit: %q", i.Key())
		}
		closeStore(t, i)
	}
	closeStore(t, snap)
	closeStore(t, snap) // a second time does nothing
	wantRows(t, st, "a=2 c=2")
}

func testStoreReopen(t *testing.T, open OpenStore) {
	st, reopen := open(t)
	defer func() { closeStore(t, st) }()
	put(t, st, false, "a", "1")
	put(t, st, true, "b", "1", "a", "2")
	for range 3 {
		st = reopen(st)
		wantRows(t, st, "a=2 b=1")
	}
	put(t, st, true, "a", "-")
	st = reopen(st)
	wantRows(t, st, "b=1")
}

// testStoreBarrier: an empty batch with sync makes what was committed before durable.
func testStoreBarrier(t *testing.T, open OpenStore) {
	st, reopen := open(t)
	defer func() { closeStore(t, st) }()
	put(t, st, false, "a", "1")
	put(t, st, true)
	st = reopen(st)
	wantRows(t, st, "a=1")
}

func testStoreClosed(t *testing.T, open OpenStore) {
	st, _ := open(t)
	b := st.NewBatch()
	b.Set([]byte("a"), nil)
	snap := st.Snapshot()
	closeStore(t, snap)
	closeStore(t, st)
	closeStore(t, st) // a second time does nothing
	_, _, getErr := st.Get([]byte("a"))
	_, iterErr := st.Iter(nil, nil)
	_, _, snapErr := st.Snapshot().Get([]byte("a"))
	for name, err := range map[string]error{"get": getErr, "iter": iterErr, "snapshot": snapErr, "commit": st.Commit(b, true)} {
		if api.KindOf(err) != api.Unavailable {
			t.Errorf("%s on a closed store: %v", name, err)
		}
	}
	if st.Bytes() != 0 || st.Metrics() != (store.Metrics{}) {
		t.Error("a closed store still counts")
	}
	b.Close()
}

// testStoreConcurrent: every reader sees whole batches, in order, while two writers commit.
func testStoreConcurrent(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	const writers, rounds, keys = 2, 60, 8
	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		writing.Go(func() {
			for n := range rounds {
				b := st.NewBatch()
				for k := range keys {
					b.Set(fmt.Appendf(nil, "%d/%d", w, k), fmt.Appendf(nil, "%06d", n))
				}
				if err := st.Commit(b, n%10 == 0); err != nil {
					t.Error(err)
				}
				b.Close()
			}
		})
	}
	for range 2 {
		reading.Go(func() {
			var last [writers]string
			for {
				snap := st.Snapshot()
				for w := range writers {
					first, _, err := snap.Get(fmt.Appendf(nil, "%d/0", w))
					if err != nil {
						t.Error(err)
					}
					if string(first) < last[w] {
						t.Errorf("writer %d went from %s back to %s", w, last[w], first)
					}
					last[w] = string(first)
					it, err := snap.Iter(fmt.Appendf(nil, "%d/", w), fmt.Appendf(nil, "%d0", w))
					if err != nil {
						t.Error(err)
						break
					}
					for ok := it.First(); ok; ok = it.Next() {
						if !bytes.Equal(it.Value(), first) {
							t.Errorf("half a batch: %s beside %s", first, it.Value())
						}
					}
					closeStore(t, it)
				}
				closeStore(t, snap)
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writing.Wait()
	close(done)
	reading.Wait()
	for w := range writers {
		wantGet(t, st, fmt.Sprintf("%d/0", w), fmt.Sprintf("%06d", rounds-1))
	}
}

func testStoreModel(t *testing.T, open OpenStore) {
	rapid.Check(t, func(rt *rapid.T) {
		st, reopen := open(t)
		m := &storeModel{st: st, reopen: reopen, rows: map[string]string{}}
		defer func() { closeStore(t, m.st) }()
		defer m.dropSnapshot(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"":         m.check,
			"commit":   m.commit,
			"walk":     m.walk,
			"snapshot": m.takeSnapshot,
			"reopen":   m.restart,
		})
	})
}
