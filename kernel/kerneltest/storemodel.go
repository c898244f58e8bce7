package kerneltest

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/internal/store"
)

// storeModel walks a store and a sorted map through the same random operations.
type storeModel struct {
	st     store.Store
	reopen func(store.Store) store.Store
	rows   map[string]string

	snap     store.Snapshot
	snapRows map[string]string
}

// modelKey draws short keys of few letters, so that they meet, with the edges of the order among them.
func modelKey(t *rapid.T, label string) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("ab\x01\U0010ffff")), 1, 3, -1).Draw(t, label)
}

func (m *storeModel) commit(t *rapid.T) {
	b := m.st.NewBatch()
	defer b.Close()
	n := rapid.IntRange(0, 8).Draw(t, "changes")
	for range n {
		k := modelKey(t, "key")
		if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
			b.Delete([]byte(k))
			delete(m.rows, k)
			continue
		}
		v := strings.Repeat("v", rapid.SampledFrom([]int{0, 1, 300, 5_000}).Draw(t, "size")) + fmt.Sprint(len(m.rows))
		b.Set([]byte(k), []byte(v))
		m.rows[k] = v
	}
	if b.Len() != n {
		t.Fatalf("a batch of %d changes says %d", n, b.Len())
	}
	if err := m.st.Commit(b, rapid.Bool().Draw(t, "sync")); err != nil {
		t.Fatal(err)
	}
}

func (m *storeModel) takeSnapshot(t *rapid.T) {
	m.dropSnapshot(t)
	m.snap, m.snapRows = m.st.Snapshot(), maps.Clone(m.rows)
}

func (m *storeModel) dropSnapshot(t *rapid.T) {
	if m.snap == nil {
		return
	}
	if err := m.snap.Close(); err != nil {
		t.Fatal(err)
	}
	m.snap = nil
}

// restart ends the store after a barrier, so that all of the model's rows are durable.
func (m *storeModel) restart(t *rapid.T) {
	if rapid.IntRange(0, 7).Draw(t, "rarely") != 0 {
		t.Skip("costly")
	}
	m.dropSnapshot(t)
	b := m.st.NewBatch()
	if err := m.st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	b.Close()
	m.st = m.reopen(m.st)
}

// check compares all rows, and some by key.
func (m *storeModel) check(t *rapid.T) {
	compareRows(t, m.st, m.rows)
	if m.snap != nil {
		compareRows(t, m.snap, m.snapRows)
	}
}

func compareRows(t *rapid.T, r store.Reader, want map[string]string) {
	it, err := r.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	keys := slices.Sorted(maps.Keys(want))
	i := 0
	for ok := it.First(); ok; ok = it.Next() {
		if i == len(keys) || string(it.Key()) != keys[i] || string(it.Value()) != want[keys[i]] {
			t.Fatalf("row %d is %q, want %q", i, it.Key(), keys[min(i, len(keys)):])
		}
		i++
	}
	if err := it.Err(); err != nil || i != len(keys) {
		t.Fatalf("%d rows, want %d; %v", i, len(keys), err)
	}
	for _, k := range append(keys, "none") {
		w, has := want[k]
		if v, ok, err := r.Get([]byte(k)); err != nil || ok != has || string(v) != w {
			t.Fatalf("get %q: %d bytes, %v, %v; want %d bytes, %v", k, len(v), ok, err, len(w), has)
		}
	}
}

// walk moves an iterator over a random range about, beside an index into the model's sorted keys.
func (m *storeModel) walk(t *rapid.T) {
	lower, upper := modelKey(t, "lower"), modelKey(t, "upper")
	if rapid.Bool().Draw(t, "open end") {
		upper = ""
	}
	var keys []string
	for _, k := range slices.Sorted(maps.Keys(m.rows)) {
		if k >= lower && (upper == "" || k < upper) {
			keys = append(keys, k)
		}
	}
	it, err := m.st.Iter([]byte(lower), []byte(upper))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	at := -2 // nowhere; -1 is before the first key, len(keys) after the last
	for range rapid.IntRange(1, 12).Draw(t, "moves") {
		move := rapid.SampledFrom([]string{"first", "last", "ge", "lt", "next", "prev"}).Draw(t, "move")
		var ok bool
		switch {
		case move == "first" || at == -2 && move == "next":
			ok, at = it.First(), 0
		case move == "last" || at == -2 && move == "prev":
			ok, at = it.Last(), len(keys)-1
		case move == "ge":
			k := modelKey(t, "target")
			ok, at = it.SeekGE([]byte(k)), sort.SearchStrings(keys, k)
		case move == "lt":
			k := modelKey(t, "target")
			ok, at = it.SeekLT([]byte(k)), sort.SearchStrings(keys, k)-1
		case move == "next":
			ok, at = it.Next(), min(at+1, len(keys))
		case move == "prev":
			ok, at = it.Prev(), max(at-1, -1)
		}
		on := at >= 0 && at < len(keys)
		if ok != on || it.Valid() != on {
			t.Fatalf("%s: arrived %v, want %v (%d of %d)", move, ok, on, at, len(keys))
		}
		if on && (string(it.Key()) != keys[at] || string(it.Value()) != m.rows[keys[at]]) {
			t.Fatalf("%s: at %q, want %q", move, it.Key(), keys[at])
		}
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
}
