package kerneltest

import (
	"bytes"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// testStoreRefusals: a batch with a row that cannot be stored changes nothing, and Reset makes it whole again.
func testStoreRefusals(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	big := make([]byte, store.MaxValue+1)
	b := st.NewBatch()
	defer b.Close()
	for _, c := range []struct {
		name string
		key  []byte
		val  []byte
		want api.Kind
	}{
		{"empty key", nil, nil, api.Invalid},
		{"the store's key", []byte("\x00format"), []byte("9"), api.Invalid},
		{"long key", bytes.Repeat([]byte("k"), store.MaxKey+1), nil, api.TooLarge},
		{"long value", []byte("k"), big, api.TooLarge},
	} {
		b.Reset()
		b.Set([]byte("before"), nil)
		b.Set(c.key, c.val)
		b.Set([]byte("after"), nil)
		if err := st.Commit(b, true); api.KindOf(err) != c.want {
			t.Errorf("%s: got %v, want kind %s", c.name, err, c.want.Code())
		}
	}
	b.Reset()
	b.Delete(nil)
	if err := st.Commit(b, true); api.KindOf(err) != api.Invalid {
		t.Errorf("delete of an empty key: %v", err)
	}
	wantRows(t, st, "")
	b.Reset()
	b.Set([]byte("k"), []byte("v"))
	if err := st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	wantRows(t, st, "k=v")
	other, _ := open(t)
	defer closeStore(t, other)
	foreign := other.NewBatch()
	defer foreign.Close()
	foreign.Set([]byte("f"), nil)
	if err := st.Commit(foreign, true); api.KindOf(err) != api.Invalid {
		t.Errorf("a batch of another store: %v", err)
	}
}

func testStoreBatchOrder(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	put(t, st, false, "k", "1", "k", "-", "k", "2", "gone", "1", "gone", "-")
	wantRows(t, st, "k=2")
}

func testStoreBatchReuse(t *testing.T, open OpenStore) {
	st := openClosed(t, open)
	b := st.NewBatch()
	if b.Len() != 0 || b.Size() != 0 {
		t.Errorf("an empty batch has %d changes of %d bytes", b.Len(), b.Size())
	}
	b.Set([]byte("a"), []byte("12345"))
	b.Delete([]byte("b"))
	if b.Len() != 2 || b.Size() < 7 {
		t.Errorf("a batch of two has %d changes of %d bytes", b.Len(), b.Size())
	}
	if err := st.Commit(b, false); err != nil {
		t.Fatal(err)
	}
	if err := st.Commit(b, false); api.KindOf(err) != api.Invalid {
		t.Errorf("commit twice: %v", err)
	}
	b.Set([]byte("a"), []byte("late"))
	if err := st.Commit(b, false); api.KindOf(err) != api.Invalid {
		t.Errorf("commit of a batch that was not reset: %v", err)
	}
	b.Reset()
	if b.Len() != 0 || b.Size() != 0 {
		t.Errorf("a reset batch has %d changes of %d bytes", b.Len(), b.Size())
	}
	b.Set([]byte("b"), nil)
	if err := st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b.Close()
	wantRows(t, st, "a=12345 b=")
}

// testStoreLarge: values up to the limit, in batches larger than the tables in memory, and batches over the limit.
func testStoreLarge(t *testing.T, open OpenStore) {
	st, reopen := open(t)
	defer func() { closeStore(t, st) }()
	val := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n)}, store.MaxValue) }
	b := st.NewBatch()
	b.Set([]byte("k"), val(0))
	b.Set([]byte("k2"), val(1)[:store.MaxValue/3])
	if err := st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	b.Set([]byte("small"), []byte("1"))
	if err := st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	for n := range store.MaxBatch/store.MaxValue + 1 {
		b.Set([]byte{'m', byte(n)}, val(0))
	}
	if err := st.Commit(b, true); api.KindOf(err) != api.TooLarge {
		t.Errorf("a batch over the limit: %v", err)
	}
	b.Close()
	st = reopen(st)
	if v, _, err := st.Get([]byte("k")); err != nil || !bytes.Equal(v, val(0)) {
		t.Errorf("the longest value: %d bytes, %v", len(v), err)
	}
	wantGet(t, st, "small", "1")
	wantGet(t, st, "m\x00", "-")
}
