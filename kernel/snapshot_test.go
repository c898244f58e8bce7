package kernel_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// vault is a key that archives of a test are encrypted to.
type vault struct {
	public string
	keys   []byte
	dir    string
	n      int
}

func newVault(t *testing.T) *vault {
	t.Helper()
	public, keys, err := identity.NewSealKey()
	if err != nil {
		t.Fatal(err)
	}
	return &vault{public: public, keys: keys, dir: t.TempDir()}
}

// snapshot makes an archive of r and returns its path and what the node said last.
func (v *vault) snapshot(t *testing.T, r *run) (string, *kernel.SnapshotInfo) {
	t.Helper()
	v.n++
	path := filepath.Join(v.dir, fmt.Sprintf("%d.age", v.n))
	items, err := r.stream("snapshot.create", kernel.SnapshotIn{Path: path, Recipients: []string{v.public}})
	if err != nil {
		t.Fatal(err)
	}
	last := items[len(items)-1]
	if last.Stage != "done" || last.Done == nil || last.Records != last.Of {
		t.Fatalf("the last word is %+v", last)
	}
	return path, last.Done
}

func (r *run) stream(name string, in any) ([]*kernel.SnapshotItem, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	var items []*kernel.SnapshotItem
	c := &api.Call{Actor: r.id.DID(), Signer: r.id.Signer(), Scopes: []string{"*"}}
	_, err = r.Call(context.Background(), c, name, raw, func(item any) error {
		items = append(items, item.(*kernel.SnapshotItem))
		return nil
	})
	return items, err
}

func (v *vault) opener(t *testing.T, path string) func() (io.Reader, error) {
	return func() (io.Reader, error) {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		return identity.Decrypt(bytes.NewReader(b), identity.Unseal{Keys: v.keys})
	}
}

func (v *vault) verify(t *testing.T, path string) (*kernel.SnapshotInfo, error) {
	t.Helper()
	return kernel.VerifySnapshot(t.Context(), v.opener(t, path), nil)
}

func (v *vault) restore(t *testing.T, path, dir string, change ...func(*kernel.RestoreOptions)) (*kernel.Restored, error) {
	t.Helper()
	plain, err := v.opener(t, path)()
	if err != nil {
		return nil, err
	}
	o := kernel.RestoreOptions{DataDir: dir, Apps: []api.App{&notes{}, oracleApp{name: "access"}, oracleApp{name: "rate"}}}
	for _, f := range change {
		f(&o)
	}
	return kernel.RestoreSnapshot(t.Context(), plain, o)
}

func onDisk(dir string) func(*kernel.Options) {
	return func(o *kernel.Options) { o.Store, o.DataDir = "pebble", dir }
}

// rows reads a whole store, but for what says where it comes from.
func rows(t *testing.T, dir string) map[string]string {
	t.Helper()
	st, err := store.Open(store.Options{Dir: filepath.Join(dir, "store"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	it, err := st.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	out := map[string]string{}
	for ok := it.First(); ok; ok = it.Next() {
		if k := string(it.Key()); !strings.HasPrefix(k, "Msnapshot/") && !strings.HasPrefix(k, "Mretired/") && !strings.HasPrefix(k, "Mwriter/") && k != "Mdoubt" {
			out[k] = string(it.Value())
		}
	}
	return out
}

// log takes the rows of the log out and returns what they say: which records share a row depends on which were committed together.
func log(rows map[string]string) string {
	var text string
	for _, k := range slices.Sorted(maps.Keys(rows)) {
		if k[0] == 'L' {
			text += rows[k]
			delete(rows, k)
		}
	}
	return text
}

// A restored store is the original, row by row: whatever the node keeps, and whatever will be added to that, is in the archive or follows from it.
func TestSnapshotRestoresEveryRow(t *testing.T) {
	dir, v := t.TempDir(), newVault(t)
	r := start(t, onDisk(dir))
	space := r.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt).Topic.Space
	for i := range 700 { // more than one commit when restoring
		if _, err := r.call("notes.write", fmt.Sprintf(`{"space":%q,"text":"note %d"}`, space, i), func(c *api.Call) { c.Idempotency = fmt.Sprint("key ", i%5, i) }); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the reactor", func() bool { r.app.mu.Lock(); defer r.app.mu.Unlock(); return len(r.app.reacted) == 701 })
	path, info := v.snapshot(t, r)
	if want := r.digest(t); info.Digest != want || info.Records != 701 || info.Requests != 700 || len(info.Spaces) != 1 || info.Device != r.id.Device() {
		t.Errorf("%+v, want digest %s", info, want)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 || st.Size() != info.Bytes {
		t.Errorf("%v %v, want mode 0600 and %d bytes", st, err, info.Bytes)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	checked, err := v.verify(t, path)
	if err != nil || checked.Records != 701 || checked.Sum != info.Sum || checked.Sum.IsZero() {
		t.Errorf("%+v %v", checked, err)
	}

	again := t.TempDir()
	var told []uint64
	out, err := v.restore(t, path, again, func(o *kernel.RestoreOptions) {
		o.Progress = func(n, _ uint64) error { told = append(told, n); return nil }
	})
	if err != nil || out.State != info.Digest || len(out.Differs) > 0 || len(told) < 5 {
		t.Fatalf("%+v %v, told %v", out, err, told)
	}
	have, want := rows(t, again), rows(t, dir)
	if a, b := log(have), log(want); a != b || b == "" {
		t.Error("the records lie in another order")
	}
	for k, val := range want {
		// A reactor notes its place after it has reacted, so the archive may say a little less: it reacts once more, never too seldom.
		if have[k] != val && (!strings.HasPrefix(k, "Mreact/") || have[k] > val) {
			t.Errorf("row %q is %x, was %x", k, have[k], val)
		}
	}
	if len(have) != len(want) {
		t.Errorf("%d rows, there were %d", len(have), len(want))
	}
	if entries, err := os.ReadDir(again); err != nil || len(entries) != 1 {
		t.Errorf("%v %v, want the store and nothing else", entries, err)
	}
}

// The old device key is refused on the restored store; a new one goes on, with all that was there.
func TestRestoredStoreWantsANewDevice(t *testing.T) {
	dir, again, third, v := t.TempDir(), t.TempDir(), t.TempDir(), newVault(t)
	r := start(t, onDisk(dir))
	space := r.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt).Topic.Space
	path, _ := v.snapshot(t, r)
	r.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"after it"}`, space))
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.restore(t, path, again); err != nil {
		t.Fatal(err)
	}
	refused := func(dir string) {
		t.Helper()
		k, err := kernel.New(kernel.Options{DataDir: dir, Identity: r.id, Apps: []api.App{&notes{}}})
		if err == nil {
			k.Close()
		}
		if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), r.id.Device().String()) || !strings.Contains(err.Error(), "icnd init") {
			t.Errorf("with the old key: %v", err)
		}
	}
	refused(again)
	fresh := start(t, onDisk(again)) // start makes new keys
	if n := *fresh.must(t, "notes.count", "").(*int64); n != 1 {
		t.Errorf("%d notes, want 1", n)
	}
	fresh.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"by another device"}`, space))
	// The mark goes with the next archive.
	path, _ = v.snapshot(t, fresh)
	if err := fresh.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.restore(t, path, third); err != nil {
		t.Fatal(err)
	}
	refused(third)
}

// Snapshots under load: each is one moment, sound, and gives the state that it names.
func TestSnapshotUnderLoad(t *testing.T) {
	dir, v := t.TempDir(), newVault(t)
	r := start(t, onDisk(dir))
	space := r.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt).Topic.Space
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := r.call("notes.write", fmt.Sprintf(`{"space":%q,"text":"%d of %d"}`, space, i, w)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	last := uint64(0)
	for i := range 4 {
		eventually(t, "some writes", func() bool {
			return r.must(t, "node.status", "").(*kernel.Status).Records > last+50
		})
		path, info := v.snapshot(t, r)
		if info.Records <= last {
			t.Errorf("snapshot %d has %d records, the one before %d", i, info.Records, last)
		}
		last = info.Records
		if _, err := v.verify(t, path); err != nil {
			t.Errorf("snapshot %d: %v", i, err)
		}
		if out, err := v.restore(t, path, t.TempDir()); err != nil || out.State != info.Digest {
			t.Errorf("snapshot %d: %+v %v", i, out, err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestSnapshotRefuses(t *testing.T) {
	v := newVault(t)
	r := start(t, nil)
	r.must(t, "notes.write", `{"text":"found"}`)
	path, _ := v.snapshot(t, r)
	to := []string{v.public}
	for name, tc := range map[string]struct {
		in   kernel.SnapshotIn
		kind api.Kind
		text string
	}{
		"there already": {kernel.SnapshotIn{Path: path, Recipients: to}, api.Conflict, "never overwritten"},
		"no folder":     {kernel.SnapshotIn{Path: filepath.Join(v.dir, "no", "x"), Recipients: to}, api.Invalid, "no such file"},
		"relative":      {kernel.SnapshotIn{Path: "x", Recipients: to}, api.Invalid, "absolute"},
		"not clean":     {kernel.SnapshotIn{Path: v.dir + "/../x", Recipients: to}, api.Invalid, "absolute"},
		"no key":        {kernel.SnapshotIn{Path: filepath.Join(v.dir, "x")}, api.Invalid, "one of the two"},
		"both":          {kernel.SnapshotIn{Path: filepath.Join(v.dir, "x"), Passphrase: "long enough", Recipients: to}, api.Invalid, "one of the two"},
		"short":         {kernel.SnapshotIn{Path: filepath.Join(v.dir, "x"), Passphrase: "seven77"}, api.Invalid, "at least 8"},
		"bad key":       {kernel.SnapshotIn{Path: filepath.Join(v.dir, "x"), Recipients: []string{"age1no"}}, api.Invalid, "recipient 1"},
	} {
		_, err := r.stream("snapshot.create", tc.in)
		if api.KindOf(err) != tc.kind || !strings.Contains(fmt.Sprint(err), tc.text) || strings.Contains(fmt.Sprint(err), "seven77") {
			t.Errorf("%s: %v (%s), want %q", name, err, api.KindOf(err).Code(), tc.text)
		}
	}
	// A caller who has left ends it, and nothing stays behind.
	enough := errors.New("enough")
	c := &api.Call{Actor: r.id.DID(), Signer: r.id.Signer(), Scopes: []string{"*"}}
	raw, _ := json.Marshal(kernel.SnapshotIn{Path: filepath.Join(v.dir, "x"), Recipients: to})
	if _, err := r.Call(t.Context(), c, "snapshot.create", raw, func(any) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(v.dir, "*")); len(left) != 1 {
		t.Errorf("left over: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(v.dir, ".*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// otherNotes is an app that makes something else of the same records.
type otherNotes struct{ notes }

func (*otherNotes) Apply(tx api.Tx, _ *api.Record) api.Outcome {
	tx.Add([]byte("n"), 2)
	return api.Accepted
}

func TestRestoreRefuses(t *testing.T) {
	v := newVault(t)
	r := start(t, nil)
	space := r.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt).Topic.Space
	for range 30 {
		r.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"x"}`, space))
	}
	path, info := v.snapshot(t, r)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	empty := func(dir string) {
		t.Helper()
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
	// Torn, and with a bit flipped, at many places: nothing is restored.
	bad := filepath.Join(v.dir, "bad.age")
	for i := 0; i < len(whole); i += 1 + len(whole)/60 {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		for what, b := range map[string][]byte{"torn": whole[:i], "flipped": flipped} {
			if err := os.WriteFile(bad, b, 0o600); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if _, err := v.restore(t, bad, dir); api.KindOf(err) != api.Invalid {
				t.Fatalf("%s at %d of %d: %v", what, i, len(whole), err)
			}
			empty(dir)
			if _, err := v.verify(t, bad); api.KindOf(err) != api.Invalid {
				t.Fatalf("verify, %s at %d of %d: %v", what, i, len(whole), err)
			}
		}
	}
	// Into a folder with a store, or with the remains of an attempt.
	for _, name := range []string{"store", "store.restoring"} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := v.restore(t, path, dir); api.KindOf(err) != api.Conflict {
			t.Errorf("over %s: %v", name, err)
		}
	}
	// With apps that make another state of it.
	dir := t.TempDir()
	other := func(o *kernel.RestoreOptions) { o.Apps = []api.App{&otherNotes{}} }
	if _, err := v.restore(t, path, dir, other); api.KindOf(err) != api.Conflict || !strings.Contains(err.Error(), "notes") || !strings.Contains(err.Error(), "--accept-digest") {
		t.Errorf("another state: %v", err)
	}
	empty(dir)
	out, err := v.restore(t, path, dir, other, func(o *kernel.RestoreOptions) { o.AcceptDigest = true })
	if err != nil || out.State == info.Digest || len(out.Differs) != 1 {
		t.Errorf("another state, accepted: %+v %v", out, err)
	}
	// An end of the context.
	dir = t.TempDir()
	stop := errors.New("stop")
	if _, err := v.restore(t, path, dir, func(o *kernel.RestoreOptions) { o.Progress = func(uint64, uint64) error { return stop } }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	empty(dir)
}
