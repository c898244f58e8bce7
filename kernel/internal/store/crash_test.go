package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// journal commits numbered batches and knows what must and may survive. Batch n sets "last" to n, a row of its own, and the shared row n%7.
type journal struct {
	n      int // batches handed to Commit
	synced int // the last of them that is surely on disk
}

// commit makes the next batch. padding makes it as large as the test wants.
func (j *journal) commit(st store.Store, sync bool, padding int) error {
	j.n++
	b := st.NewBatch()
	defer b.Close()
	text := fmt.Appendf(nil, "%06d", j.n)
	b.Set([]byte("last"), text)
	b.Set(append([]byte("own/"), text...), []byte(strings.Repeat("x", padding)))
	b.Set(fmt.Appendf(nil, "shared/%d", j.n%7), text)
	if err := st.Commit(b, sync); err != nil {
		return err
	}
	if sync {
		j.synced = j.n
	}
	return nil
}

// check holds what a crash left against the journal: exactly the result of batches 1 to p, for some p from synced to n. It returns p.
func (j *journal) check(t interface{ Fatalf(string, ...any) }, st store.Store) int {
	var p int
	if v, ok, err := st.Get([]byte("last")); err != nil {
		t.Fatalf("after the crash: %v", err)
	} else if ok {
		fmt.Sscanf(string(v), "%d", &p)
	}
	if p < j.synced || p > j.n {
		t.Fatalf("after the crash the last batch is %d; %d was synced and %d made", p, j.synced, j.n)
	}
	want := map[string]string{}
	for n := 1; n <= p; n++ {
		want[fmt.Sprintf("own/%06d", n)] = ""
		want["last"] = fmt.Sprintf("%06d", n)
		want[fmt.Sprintf("shared/%d", n%7)] = want["last"]
	}
	it, err := st.Iter(nil, nil)
	if err != nil {
		t.Fatalf("iter: %v", err)
	}
	defer it.Close()
	got := 0
	for ok := it.First(); ok; ok = it.Next() {
		got++
		w, ok := want[string(it.Key())]
		if !ok || w != "" && w != string(it.Value()) {
			t.Fatalf("after the crash at batch %d: row %q is %q", p, it.Key(), it.Value())
		}
	}
	if it.Err() != nil || got != len(want) {
		t.Fatalf("after the crash at batch %d: %d rows, want %d; %v", p, got, len(want), it.Err())
	}
	return p
}

// restart goes on from what the crash left.
func (j *journal) restart(p int) { j.n, j.synced = p, p }

// TestCrash: a crash between any commits leaves the result of a prefix of them, with all that were synced.
func TestCrash(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		st := store.OpenMem(store.Faults{
			LoseUnsynced: rapid.Bool().Draw(rt, "power loss"),
			KeepPercent:  rapid.SampledFrom([]int{0, 0, 20, 50, 90}).Draw(rt, "keep"),
			Seed:         rapid.Uint64().Draw(rt, "seed"),
		})
		defer func() { st.Close() }()
		var j journal
		for range rapid.IntRange(1, 3).Draw(rt, "crashes") {
			for range rapid.IntRange(0, 25).Draw(rt, "batches") {
				size := rapid.SampledFrom([]int{0, 10, 400, 9_000, 200_000}).Draw(rt, "size")
				if err := j.commit(st, rapid.IntRange(0, 3).Draw(rt, "sync") == 0, size); err != nil {
					rt.Fatal(err)
				}
			}
			st = st.Crash()
			j.restart(j.check(rt, st))
		}
	})
}

// TestCrashConcurrent: the same with a crash in the midst of commits.
func TestCrashConcurrent(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for seed := range uint64(20) {
		st := store.OpenMem(store.Faults{LoseUnsynced: true, KeepPercent: int(seed % 3 * 30), Seed: seed})
		var j journal
		started := make(chan struct{})
		var wg sync.WaitGroup
		enough := rng.IntN(60)
		wg.Go(func() {
			// No syncs once the crash may come: a commit that it overtakes may return nil and be lost, for its writer died, too.
			for n := 0; j.commit(st, n < enough && n%3 == 0, 5_000) == nil; n++ {
				if n == enough {
					close(started)
				}
			}
		})
		<-started
		next := st.Crash()
		wg.Wait()
		j.check(t, next)
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFailEveryWrite fails each write and each sync of a fixed run in turn. The store fails with the commit that needed it, stays failed
// and readable, closes, and its disk holds a prefix with all that was synced.
func TestFailEveryWrite(t *testing.T) {
	for _, what := range []string{"write", "sync"} {
		t.Run(what, func(t *testing.T) {
			n := 1
			for ; failAt(t, what, n); n++ {
			}
			if least := map[string]int{"write": 20, "sync": 7}[what]; n <= least {
				t.Errorf("the run has %d operations, want more than %d", n-1, least-1)
			}
		})
	}
}

// failAt runs with the n-th operation failing, and reports whether the run came to it.
func failAt(t *testing.T, what string, n int) bool {
	f := store.Faults{LoseUnsynced: true, Seed: uint64(n)}
	if n%4 == 0 {
		f.KeepPercent = 40
	}
	if what == "sync" {
		f.FailSync = n
	} else {
		f.FailWrite = n
	}
	st := store.OpenMem(f)
	var j journal
	var first error
	// Memory tables begin at a quarter of their size, 1 MiB, and double: 840 kB make the log rotate twice and a table be written.
	for range 14 {
		if first = j.commit(st, j.n%3 == 2, 60_000); first != nil {
			break
		}
	}
	if first != nil {
		if api.KindOf(first) != api.Internal || !strings.Contains(first.Error(), "injected") {
			t.Fatalf("%s %d: %v", what, n, first)
		}
		if again := j.commit(st, false, 1); !errors.Is(again, first) {
			t.Errorf("%s %d: the second commit says %v, the first %v", what, n, again, first)
		}
		j.n--
		if _, _, err := st.Get([]byte("own/000001")); err != nil {
			t.Errorf("%s %d: a failed store cannot be read: %v", what, n, err)
		}
	}
	after := st.Crash()
	j.check(t, after)
	if err := after.Close(); err != nil {
		t.Errorf("%s %d: close: %v", what, n, err)
	}
	return first != nil
}

// TestDiskFull: a full disk fails the store, and loses nothing that was synced.
func TestDiskFull(t *testing.T) {
	for _, space := range []int64{1, 40_000, 1_500_000, 3_100_000} {
		st := store.OpenMem(store.Faults{DiskBytes: space})
		var j journal
		var err error
		for err == nil && j.n < 100 {
			err = j.commit(st, true, 50_000)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d bytes of space: %v", space, err)
		}
		after := st.Crash()
		if p := j.check(t, after); int64(p+1)*50_000 < space/3 {
			t.Errorf("%d bytes of space: only %d batches fit", space, p)
		}
		if err := after.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFailConcurrent: all of many writers hear of a failure, none hangs, whichever operation it is.
func TestFailConcurrent(t *testing.T) {
	for n := 1; n <= 40; n += 3 {
		failConcurrent(t, store.Faults{FailSync: n})
		failConcurrent(t, store.Faults{FailWrite: n})
	}
}

func failConcurrent(t *testing.T, f store.Faults) {
	st := store.OpenMem(f)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				b := st.NewBatch()
				b.Set(fmt.Appendf(nil, "%d/%d", w, n), make([]byte, 5000))
				err := st.Commit(b, n%2 == 0)
				b.Close()
				if err != nil {
					if api.KindOf(err) != api.Internal {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}
