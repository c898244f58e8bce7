package store

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// A read that fails ends the store and tells its owner, once, before the reader goes on, also when nobody looks at the error.
func TestFailedReadEndsTheStore(t *testing.T) {
	row := func(i int) []byte { return fmt.Appendf(nil, "row %06d", i) }
	const rows = 3000
	for name, look := range map[string]func(Reader){
		"get": func(r Reader) {
			for i := range rows {
				_, _, _ = r.Get(row(i))
			}
		},
		"iterate and close": func(r Reader) {
			it, err := r.Iter(nil, nil)
			if err != nil {
				return
			}
			for ok := it.First(); ok; ok = it.Next() {
				_ = it.Value()
			}
			_ = it.Close()
		},
	} {
		for _, snapshot := range []bool{false, true} {
			m := OpenMem(Faults{})
			b := m.NewBatch()
			for i := range rows {
				b.Set(row(i), []byte(strings.Repeat("v", 1000)))
			}
			if err := m.Commit(b, true); err != nil {
				t.Fatal(err)
			}
			b.Close()
			if err := m.p.Flush(); err != nil {
				t.Fatal(err)
			}
			var told []error
			m.db.disk.onFail = func(err error) { told = append(told, err) }
			m.Arm(Faults{FailRead: 20})
			if snapshot {
				s := m.Snapshot()
				look(s)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			} else {
				look(m)
			}
			if len(told) != 1 || !strings.Contains(told[0].Error(), errInjected.Error()) {
				t.Fatalf("%s, snapshot %t: told %v", name, snapshot, told)
			}
			b = m.NewBatch()
			b.Set([]byte("new"), nil)
			if err := m.Commit(b, true); api.KindOf(err) != api.Internal {
				t.Errorf("%s: a commit after it: %v", name, err)
			}
			b.Close()
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A store that is closed has not failed.
func TestReadOfClosedStoreIsNoFailure(t *testing.T) {
	failed := false
	o := Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), OnFail: func(error) { failed = true }}
	st, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s := st.Snapshot()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get([]byte("k")); api.KindOf(err) != api.Unavailable || failed {
		t.Errorf("%v, failed %t", err, failed)
	}
	if _, err := st.Snapshot().Iter(nil, nil); api.KindOf(err) != api.Unavailable || failed {
		t.Errorf("%v, failed %t", err, failed)
	}
}
