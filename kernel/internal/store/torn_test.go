package store_test

import (
	"testing"

	"github.com/intercooperative/icn/kernel/internal/store"
)

// TestCrashTorn: a log that ends anywhere within what was not synced leaves the result of a prefix of the commits, with all that were synced; one
// cut leaves one result.
func TestCrashTorn(t *testing.T) {
	left := map[int]bool{}
	for cut := uint32(0); cut < 4000; cut += 97 {
		var first int
		for again := range 2 {
			st := store.OpenMem(store.Faults{LoseUnsynced: true})
			var j journal
			for i := range 9 {
				if err := j.commit(st, i == 3, 300); err != nil {
					t.Fatal(err)
				}
			}
			st = st.CrashTorn(cut)
			p := j.check(t, st)
			left[p] = true
			if again == 0 {
				first = p
			} else if p != first {
				t.Errorf("cut %d leaves %d and %d commits", cut, first, p)
			}
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(left) < 4 {
		t.Errorf("the cuts leave %v: they ought to differ", left)
	}
	st := store.OpenMem(store.Faults{LoseUnsynced: true})
	var j journal
	if err := j.commit(st, true, 10); err != nil {
		t.Fatal(err)
	}
	st = st.CrashTorn(5) // nothing to tear
	j.check(t, st)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
}
