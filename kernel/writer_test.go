package kernel_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// A device key that may have signed elsewhere does not start on a store that does not know it: that would fork its feeds.
func TestUsedKeyWantsItsStore(t *testing.T) {
	keys, here, elsewhere := t.TempDir(), t.TempDir(), t.TempDir()
	made, err := identity.Create(keys, []byte("only for this test"), 2)
	if err != nil {
		t.Fatal(err)
	}
	made.Close()
	var id *identity.Identity
	with := func(dir string, anyStore bool) func(*kernel.Options) {
		return func(o *kernel.Options) {
			var err error
			id, err = identity.Open(keys, []byte("only for this test"))
			if err != nil {
				t.Fatal(err)
			}
			o.Store, o.DataDir, o.Identity, o.AnyStore = "pebble", dir, id, anyStore
		}
	}
	runs := func(dir string, anyStore bool) {
		t.Helper()
		r := start(t, with(dir, anyStore))
		r.id = id
		r.must(t, "notes.write", `{"text":"found"}`)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(dir string) {
		t.Helper()
		o := kernel.Options{Apps: []api.App{&notes{}}}
		with(dir, false)(&o)
		k, err := kernel.New(o)
		if err == nil {
			k.Close()
		}
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), made.Device().String()) || !strings.Contains(err.Error(), "id restore") {
			t.Errorf("got %v, want it to name the device and the way out", err)
		}
	}
	runs(here, false)
	if err := identity.MarkUsed(keys); err != nil {
		t.Fatal(err)
	}
	runs(here, false)
	refused(elsewhere)
	refused(elsewhere) // the first refusal has not tied it

	// A store of a version that tied nothing, with records of the key.
	st, err := store.Open(store.Options{Dir: filepath.Join(here, "store")})
	if err != nil {
		t.Fatal(err)
	}
	b := st.NewBatch()
	b.Delete([]byte("Mwriter/" + made.Device().String()))
	if err := st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	b.Close()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	runs(here, false)

	runs(elsewhere, true)
	runs(elsewhere, false)
}
