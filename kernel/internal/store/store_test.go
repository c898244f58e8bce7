package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_OPEN"); dir != "" { // the other process of TestLockOtherProcess
		_, err := store.Open(store.Options{Dir: dir})
		fmt.Print(err)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		server.Stop()
		os.Exit(code)
	}))
}

func TestStoreOnDisk(t *testing.T) {
	kerneltest.TestStore(t, func(t testing.TB) (store.Store, func(store.Store) store.Store) {
		o := store.Options{Dir: t.TempDir(), MemTableBytes: 1 << 20}
		open := func() store.Store {
			st, err := store.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		return open(), func(old store.Store) store.Store {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return open()
		}
	})
}

func TestStoreInMemory(t *testing.T) {
	for name, f := range map[string]store.Faults{
		"killed":     {},
		"power loss": {LoseUnsynced: true},
	} {
		t.Run(name, func(t *testing.T) {
			kerneltest.TestStore(t, func(testing.TB) (store.Store, func(store.Store) store.Store) {
				return store.OpenMem(f), func(old store.Store) store.Store { return old.(*store.Mem).Crash() }
			})
		})
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(store.Options{Dir: dir})
	wantLocked(t, dir, api.KindOf(err), fmt.Sprint(err))
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err = store.Open(store.Options{Dir: dir}); err != nil {
		t.Fatalf("after close: %v", err)
	}
	defer st.Close()

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_OPEN="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	wantLocked(t, dir, api.Unavailable, string(out))
}

func wantLocked(t *testing.T, dir string, kind api.Kind, text string) {
	t.Helper()
	if want := "data directory " + dir + " is in use by another icnd"; kind != api.Unavailable || !strings.Contains(text, want) {
		t.Errorf("got %s %q, want unavailable %q", kind.Code(), text, want)
	}
}

func TestOpenErrors(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    store.Options
		want api.Kind
	}{
		"no directory":     {store.Options{}, api.Invalid},
		"small cache":      {store.Options{Dir: "x", CacheBytes: 1}, api.Invalid},
		"negative cache":   {store.Options{Dir: "x", CacheBytes: -1}, api.Invalid},
		"large table":      {store.Options{Dir: "x", MemTableBytes: 1 << 40}, api.Invalid},
		"few files":        {store.Options{Dir: "x", MaxOpenFiles: 1}, api.Invalid},
		"many compactions": {store.Options{Dir: "x", Compactions: 99}, api.Invalid},
		"a file":           {store.Options{Dir: file}, api.Internal},
	} {
		if st, err := store.Open(c.o); api.KindOf(err) != c.want || st != nil {
			t.Errorf("%s: got %v, want kind %s", name, err, c.want.Code())
		}
	}
}

// TestPrivateDir: nobody else reads a member's store.
func TestPrivateDir(t *testing.T) {
	dir := t.TempDir() + "/new/store"
	st, err := store.Open(store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestDamage: a table with flipped bits is noticed when it is read, and ends the store.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	log := slog.New(slog.DiscardHandler)
	failed := make(chan error, 1)
	o := store.Options{Dir: dir, Logger: log, OnFail: func(err error) { failed <- err }}
	st, err := store.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 3000) // does not compress, so that rows have blocks of their own
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 20 {
		for i := range value {
			value[i] = byte(rng.Uint32())
		}
		commit(t, st, true, fmt.Sprint("key", n), string(value))
	}
	for range 2 { // opening writes the log's rows into a table
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		if st, err = store.Open(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	flipTables(t, dir)
	if st, err = store.Open(o); err != nil {
		t.Fatalf("open: %v", err) // damage in a table shows when it is read
	}
	defer st.Close()
	bad := 0
	for n := range 20 {
		if _, ok, err := st.Get(fmt.Append(nil, "key", n)); err != nil {
			bad++
		} else if !ok {
			t.Errorf("key%d is gone", n)
		}
	}
	if bad == 0 {
		t.Fatal("every row of a damaged table can be read")
	}
	first := <-failed
	b := st.NewBatch()
	defer b.Close()
	b.Set([]byte("k"), nil)
	if err := st.Commit(b, true); !errors.Is(err, first) || api.KindOf(err) != api.Internal {
		t.Errorf("commit: %v, want %v", err, first)
	}
}

// flipTables damages the bytes in the middle, which are rows, of every table in dir.
func flipTables(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sst") {
			continue
		}
		n++
		data, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 16 {
			data[len(data)/2+i] ^= 0xff
		}
		if err := os.WriteFile(dir+"/"+e.Name(), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		t.Fatal("no tables")
	}
}

// TestMetrics: flushes and the log are counted.
func TestMetrics(t *testing.T) {
	st := store.OpenMem(store.Faults{})
	defer st.Close()
	for n := range 40 { // 4 MiB through tables of 1 MiB
		commit(t, st, true, fmt.Sprint(n), strings.Repeat("v", 100<<10))
	}
	if m := st.Metrics(); m.WALBytes < 40*100<<10 || m.Flushes == 0 || m.WrittenBytes == 0 {
		t.Errorf("%+v", m)
	}
}

func commit(t testing.TB, st store.Store, sync bool, key, value string) {
	t.Helper()
	b := st.NewBatch()
	defer b.Close()
	b.Set([]byte(key), []byte(value))
	if err := st.Commit(b, sync); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCommit64 is the commit of 64 records, as one writer does it.
func BenchmarkCommit64(b *testing.B) {
	st, err := store.Open(store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	batch := st.NewBatch()
	defer batch.Close()
	value := bytes.Repeat([]byte("v"), 350)
	b.SetBytes(64 * 350)
	n := 0
	for b.Loop() {
		batch.Reset()
		for range 64 {
			batch.Set(fmt.Appendf(nil, "R%032x%08x", n*2654435761, n), value)
			n++
		}
		if err := st.Commit(batch, true); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkGet(b *testing.B) {
	st := store.OpenMem(store.Faults{})
	defer st.Close()
	const rows = 10_000
	for n := range rows {
		commit(b, st, false, fmt.Sprintf("R%08d", n), strings.Repeat("v", 350))
	}
	for name, format := range map[string]string{"hit": "R%08d", "miss": "R%08dx"} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				if _, ok, err := st.Get(fmt.Appendf(nil, format, n%rows)); err != nil || ok != (name == "hit") {
					b.Fatal(ok, err)
				}
				n += 7919
			}
		})
	}
}
