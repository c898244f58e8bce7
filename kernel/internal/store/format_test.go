package store

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/intercooperative/icn/kernel/api"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/format1 anew: only before format 1 is released")

// fixtureRow gives the rows of testdata/format1: i of 200 is "row/<i>" = "value <i>", and every tenth is deleted again. The last 20 are
// in the log, the others in a table.
func fixtureRow(i int) (key, value string) {
	return fmt.Sprintf("row/%03d", i), fmt.Sprint("value ", i)
}

const fixtureCount = 200

func writeFixture(t *testing.T, fixture string) {
	t.Helper()
	if err := os.RemoveAll(fixture); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // and a copy, which leaves behind the space the log has reserved
	st := openDir(t, dir)
	for i := range fixtureCount {
		b := st.NewBatch()
		key, value := fixtureRow(i)
		b.Set([]byte(key), []byte(value))
		if i%10 == 9 {
			b.Delete([]byte(key))
		}
		if err := st.Commit(b, true); err != nil {
			t.Fatal(err)
		}
		b.Close()
		if i == fixtureCount-20 { // opening moves the log into a table
			closeDir(t, st)
			st = openDir(t, dir)
		}
	}
	closeDir(t, st)
	if err := os.CopyFS(fixture, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
}

func openDir(t *testing.T, dir string) Store {
	t.Helper()
	st, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func closeDir(t *testing.T, st Store) {
	t.Helper()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

func copyFixture(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "format1"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestFormat1: a store written by the first release can be read for ever.
func TestFormat1(t *testing.T) {
	fixture := filepath.Join("testdata", "format1")
	if *rewrite {
		writeFixture(t, fixture)
	}
	st := openDir(t, copyFixture(t))
	defer closeDir(t, st)
	if st.Format() != format {
		t.Errorf("format %d after opening, want %d", st.Format(), format)
	}
	for i := range fixtureCount {
		key, want := fixtureRow(i)
		v, ok, err := st.Get([]byte(key))
		if err != nil || ok != (i%10 != 9) || ok && string(v) != want {
			t.Errorf("%s is %q, %v, %v", key, v, ok, err)
		}
	}
}

// A store of format 1 has its state made anew, by fold's own mark.
func TestFormat2(t *testing.T) {
	st := openDir(t, copyFixture(t))
	defer closeDir(t, st)
	if v, ok, err := st.Get([]byte("Mrebuilding")); !ok || len(v) != 1 || err != nil {
		t.Errorf("the mark is %q, %v, %v", v, ok, err)
	}
}

// TestFormatNumber: the table of migrations leads to the present format.
func TestFormatNumber(t *testing.T) {
	if n := len(migrations()) + 1; n != format {
		t.Errorf("the migrations lead to format %d, and the format is %d", n, format)
	}
	st := OpenMem(Faults{})
	defer closeDir(t, st)
	if v, _, err := getAny(st.p, []byte(formatKey)); err != nil || string(v) != fmt.Sprint(format) {
		t.Errorf("a new store says format %q, %v", v, err)
	}
}

// memWith returns a store in memory whose own rows are set as said.
func memWith(t *testing.T, number string) *Mem {
	t.Helper()
	m := OpenMem(Faults{LoseUnsynced: true})
	if err := m.p.Set([]byte(formatKey), []byte(number), nil); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFormatRefused(t *testing.T) {
	for number, want := range map[string]string{
		"4":   "format 4 and this build knows formats up to 3",
		"999": "format 999 and this build knows formats up to 3",
		"0":   `format number "0"`,
		"-1":  `format number "-1"`,
		"":    `format number ""`,
		"x":   `format number "x"`,
	} {
		_, err := memWith(t, number).crash()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("number %q: got %v, want %q", number, err, want)
		}
		if want := api.Unsupported; strings.HasPrefix(number, "9") && api.KindOf(err) != want {
			t.Errorf("number %q: kind %s", number, api.KindOf(err).Code())
		}
	}
	foreign := OpenMem(Faults{})
	if err := errors.Join(foreign.p.Delete([]byte(formatKey), nil), foreign.p.Set([]byte("row"), nil, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := foreign.crash(); api.KindOf(err) != api.Unsupported {
		t.Errorf("rows without a format number: %v", err)
	}
}

// testSteps lead from format 1 to 3: the first renames a/x to b/x in two commits, the second counts the rows.
func testSteps(fail bool) []migration {
	return []migration{
		func(s Store, last Batch) error {
			it, err := s.Iter([]byte("a/"), []byte("a0"))
			if err != nil {
				return err
			}
			defer it.Close()
			early := s.NewBatch()
			defer early.Close()
			for ok := it.First(); ok; ok = it.Next() {
				b := last
				if string(it.Key()) < "a/5" {
					b = early
				}
				b.Set([]byte("b/"+string(it.Key()[2:])), it.Value())
				b.Delete(it.Key())
			}
			if err := s.Commit(early, true); err != nil || it.Err() != nil {
				return errors.Join(err, it.Err())
			}
			if fail {
				return api.Errorf("test", api.Unavailable, "no more")
			}
			return nil
		},
		func(s Store, last Batch) error {
			it, err := s.Iter([]byte("b/"), nil)
			if err != nil {
				return err
			}
			defer it.Close()
			n := 0
			for ok := it.First(); ok; ok = it.Next() {
				n++
			}
			last.Set([]byte("count"), fmt.Append(nil, n))
			return it.Err()
		},
	}
}

// TestMigrate runs migrations on a disk that fails at each of its writes in turn, then again on what is left. A migration is done once,
// whole, and its number is with it.
func TestMigrate(t *testing.T) {
	for n := 0; ; n++ {
		m := memWith(t, "1")
		b := m.NewBatch()
		for i := range 10 {
			b.Set(fmt.Append(nil, "a/", i), fmt.Append(nil, i))
		}
		if err := m.Commit(b, true); err != nil {
			t.Fatal(err)
		}
		b.Close()
		m.Arm(Faults{LoseUnsynced: true, FailWrite: n})
		first := migrate(m.db, testSteps(false))
		if first != nil {
			m = crashUnmigrated(t, m)
		}
		if m.Format() != 3 {
			t.Errorf("write %d: format %d", n, m.Format())
		}
		for i := range 10 {
			_, old, err1 := m.Get(fmt.Append(nil, "a/", i))
			v, _, err2 := m.Get(fmt.Append(nil, "b/", i))
			if old || string(v) != fmt.Sprint(i) || err1 != nil || err2 != nil {
				t.Errorf("write %d: row %d: old %v, new %q, %v, %v", n, i, old, v, err1, err2)
			}
		}
		if v, _, _ := m.Get([]byte("count")); string(v) != "10" {
			t.Errorf("write %d: count %q", n, v)
		}
		closeDir(t, m)
		switch {
		case n == 0 && first != nil:
			t.Fatal(first)
		case n > 0 && first == nil: // all writes have failed once
			if n < 4 {
				t.Errorf("a run of %d writes", n-1)
			}
			return
		}
	}
}

// crashUnmigrated crashes m and opens what is left with the test's migrations.
func crashUnmigrated(t *testing.T, m *Mem) *Mem {
	t.Helper()
	kept := m.fs.CrashClone(vfs.CrashCloneCfg{})
	closeDir(t, m)
	next := &Mem{fs: kept, disk: &faultyFS{FS: kept}}
	o := Options{Dir: memDir, Logger: slog.New(slog.DiscardHandler)}
	o.EnsureDefaults()
	var err error
	if next.db, err = openSteps("mem", o, next.disk, testSteps(false)); err != nil {
		t.Fatalf("second attempt: %v", err)
	}
	return next
}

// TestMigrateFails: a migration that fails leaves the number as it was, and its kind is passed on.
func TestMigrateFails(t *testing.T) {
	m := memWith(t, "1")
	defer closeDir(t, m)
	err := migrate(m.db, testSteps(true))
	if api.KindOf(err) != api.Unavailable || !strings.Contains(err.Error(), "from format 1 to 2") {
		t.Errorf("got %v", err)
	}
	if v, _, _ := getAny(m.p, []byte(formatKey)); string(v) != "1" {
		t.Errorf("format %q", v)
	}
}
