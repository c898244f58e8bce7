package kernel_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
)

// A node whose disk gives back something else than was written stops, and until then answers nothing that may lack what it could not read.
func TestNodeStopsWhenItCannotRead(t *testing.T) {
	dir := t.TempDir()
	var keys *run
	open := func() *run {
		r := start(t, func(o *kernel.Options) {
			o.Store, o.DataDir = "pebble", dir
			if keys != nil {
				o.Identity = keys.id
			}
		})
		if keys == nil {
			keys = r
		}
		r.id = keys.id
		return r
	}
	r := open()
	space := r.must(t, "notes.write", `{"text":"hello"}`).(*api.Receipt).Topic.Space
	var ids []api.Hash
	for i := range 100 {
		rc := r.must(t, "notes.write", fmt.Sprintf(`{"space":%q,"text":"%d %s"}`, space, i, strings.Repeat("x", 20_000))).(*api.Receipt)
		ids = append(ids, rc.Position.ID)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	r = open() // what was in the log is in a table now
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	spoil(t, filepath.Join(dir, "store"))

	r = open()
	refused := false
	for _, id := range ids {
		out, err := r.call("record.explain", fmt.Sprintf(`{"id":%q}`, id))
		if api.KindOf(err) == api.Unavailable {
			refused = true
		} else if err != nil || !out.(*kernel.ExplainOut).Accepted {
			t.Fatalf("answered with %+v, %v", out, err)
		}
	}
	if !refused {
		t.Fatal("the store was read to its end: nothing was spoilt")
	}
	eventually(t, "the node to stop", func() bool { return !r.Ready() })
	if err := r.stop(); err == nil || !strings.Contains(err.Error(), "store") {
		t.Errorf("it stopped with %v", err)
	}
}

// spoil changes bytes in the middle of the largest table.
func spoil(t *testing.T, dir string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%v, %v: no tables", tables, err)
	}
	var name string
	var b []byte
	for _, n := range tables {
		c, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		if len(c) > len(b) {
			name, b = n, c
		}
	}
	for i := len(b) / 3; i < 2*len(b)/3; i += 1000 {
		b[i] ^= 0xff
	}
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
