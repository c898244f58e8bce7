package store_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// What is committed is there, with or without a sync, also once it has left the memory table; an empty sync is no error; a closed store says so.
func TestVolatile(t *testing.T) {
	st, err := store.OpenVolatile()
	if err != nil {
		t.Fatal(err)
	}
	const rows = 600
	key := func(i int) []byte { return fmt.Appendf(nil, "row %04d", i) }
	for i := range rows { // about 75 MiB: more than two memory tables
		b := st.NewBatch()
		b.Set(key(i), bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 64<<10))
		if err := st.Commit(b, i%2 == 0); err != nil {
			t.Fatal(err)
		}
		b.Close()
	}
	empty := st.NewBatch()
	if err := st.Commit(empty, true); err != nil {
		t.Errorf("empty batch with a sync: %v", err)
	}
	empty.Close()
	for i := range rows {
		v, ok, err := st.Get(key(i))
		if err != nil || !ok || len(v) != 128<<10 || v[0] != byte(i) || v[1] != byte(i>>8) {
			t.Fatalf("row %d: %d bytes, %v, %v", i, len(v), ok, err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Get(key(0)); api.KindOf(err) != api.Unavailable {
		t.Errorf("closed: %v", err)
	}
}
