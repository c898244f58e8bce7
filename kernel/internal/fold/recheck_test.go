package fold_test

import (
	"fmt"
	"testing"

	"github.com/intercooperative/icn/kernel/internal/fold"
)

func (n *node) recheck(after uint64, most int) (last uint64, records int, problems []string) {
	n.Helper()
	n.total()
	snap := n.st.Snapshot()
	defer snap.Close()
	last, records, problems, err := fold.Recheck(n.Context(), n.st, snap, n.apps, after, most)
	if err != nil {
		n.Fatal(err)
	}
	return last, records, problems
}

// Records that are applied again to a sound state, in parts of any size, also of a forked and cut feed, come to what is stored.
func TestRecheckOfWhatIsSound(t *testing.T) {
	w := newWorld(t)
	r1 := w.add("bob", nil, 1)
	r2 := w.add("bob", r1, 2)
	w.make("carol", "toy", "add", nil, []byte{3}, r2)
	w.add("bob", r1, 9) // a fork: from here on nothing of bob's has effect
	cut := w.make("office", "cuts", "cut", nil, nil, r1)
	w.make("witness", "say", "final", nil, position(cut))
	n := newNode(t)
	n.put(w.all...)
	for _, most := range []int{1, 2, 100} {
		seen, at := 0, uint64(0)
		for {
			last, records, problems := n.recheck(at, most)
			if len(problems) > 0 {
				t.Fatalf("in parts of %d: %v", most, problems)
			}
			if seen += records; records == 0 {
				break
			}
			at = last
		}
		if seen != len(w.all) {
			t.Errorf("in parts of %d: %d records of %d", most, seen, len(w.all))
		}
	}
}

// Whatever row is another in the store is found, and one that is missing.
func TestRecheckFindsWhatIsPlanted(t *testing.T) {
	w := newWorld(t)
	last := w.add("bob", nil, 1)
	for i := range 4 {
		last = w.add("bob", last, byte(i))
	}
	rows := 0
	for _, missing := range []bool{false, true} {
		for i := 0; ; i++ {
			n := newNode(t)
			n.put(w.all...)
			n.total()
			if !n.spoil(i, missing) {
				break
			}
			rows++
			if _, _, problems := n.recheck(0, 100); len(problems) == 0 {
				t.Errorf("row %d, missing %t, is not found", i, missing)
			}
		}
	}
	if rows < 8 {
		t.Errorf("only %d rows were spoilt", rows)
	}
}

// spoil changes or removes the i-th row that records write.
func (n *node) spoil(i int, missing bool) bool {
	n.Helper()
	it, err := n.st.Iter([]byte{'A'}, []byte{'A' + 1})
	if err != nil {
		n.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if i--; i >= 0 {
			continue
		}
		b := n.st.NewBatch()
		defer b.Close()
		if missing {
			b.Delete(it.Key())
		} else {
			b.Set(it.Key(), fmt.Append(nil, it.Value(), "x"))
		}
		if err := n.st.Commit(b, false); err != nil {
			n.Fatal(err)
		}
		return true
	}
	return false
}
