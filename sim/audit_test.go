package sim_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/sim"
)

// envelope is one of a small co-op in which something was paid.
var envelope = sync.OnceValues(func() ([]byte, error) {
	w, err := sim.New(sim.Options{Seed: 1, Nodes: 3})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for i := range 12 {
		if err := w.Pay(w.Members()[i%3], w.Members()[(i+1)%3], int64(100+i)); err != nil {
			return nil, err
		}
	}
	if err := w.Agree(time.Minute); err != nil {
		return nil, err
	}
	return w.Envelope(w.Members()[0])
})

func TestAuditVerify(t *testing.T) {
	b, err := envelope()
	if err != nil {
		t.Fatal(err)
	}
	got, err := sim.VerifyEnvelope(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	m := got.Manifest
	if len(m.Files) != 6 || m.Totals[0].Rows != 24 || m.Totals[0].In != m.Totals[0].Out || m.Totals[0].In != 12*100+66 || m.Records < 15 || got.As == "" {
		t.Errorf("%+v", got)
	}
}

// A byte that is another anywhere is found, and the place is named.
func TestAuditFlippedByte(t *testing.T) {
	good, err := envelope()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		bad := bytes.Clone(good)
		i := rapid.IntRange(0, len(bad)-1).Draw(rt, "at")
		bad[i] ^= byte(rapid.IntRange(1, 255).Draw(rt, "by"))
		_, err := sim.VerifyEnvelope(bytes.NewReader(bad))
		if k := api.KindOf(err); err == nil || k != api.Invalid && k != api.Unsupported && k != api.TooLarge {
			rt.Fatalf("byte %d of %d: %v", i, len(bad), err)
		}
		if named := place(good, i); !strings.Contains(err.Error(), named) && !strings.Contains(err.Error(), "manifest") {
			rt.Fatalf("byte %d is in %s: %v", i, named, err)
		}
	})
}

// place is the file in whose header, content or padding a byte is.
func place(tar []byte, at int) string {
	for off := 0; off+512 <= len(tar) && tar[off] != 0; {
		name, _, _ := bytes.Cut(tar[off:off+100], []byte{0})
		var size int
		fmt.Sscanf(string(tar[off+124:off+135]), "%o", &size)
		next := off + 512 + (size+511)/512*512
		if at < next {
			return string(name)
		}
		off = next
	}
	return "archive"
}

// What is wrong in an export is named by its line, with what should be there.
func TestAuditNamesTheLine(t *testing.T) {
	good, err := envelope()
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(good, []byte("books.csv")) // in the manifest
	i += bytes.Index(good[i:], []byte("date,time"))
	lines := bytes.SplitAfter(good[i:], []byte("\r\n"))
	at := i + len(lines[0]) + len(lines[1]) + bytes.Index(lines[2], []byte(",hours,")) + 8
	bad := bytes.Clone(good)
	bad[at] = '9'
	_, err = sim.VerifyEnvelope(bytes.NewReader(bad))
	if err == nil || !strings.Contains(err.Error(), "books.csv: line 3: found") || !strings.Contains(err.Error(), "want \"") {
		t.Error(err)
	}
}

// What a file may be that somebody made to do harm.
func TestAuditHostile(t *testing.T) {
	good, err := envelope()
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"half":            good[:len(good)/2],
		"more behind it":  append(bytes.Clone(good), 0),
		"twice":           append(bytes.Clone(good), good...),
		"another path":    bytes.Replace(good, []byte("manifest.json"), []byte("../fest.json\x00"), 1),
		"a huge manifest": bytes.Replace(good, good[124:136], []byte("77777777777\x00"), 1),
		"a link":          append(append(bytes.Clone(good[:156]), '2'), good[157:]...),
		"no records":      bytes.Replace(good, []byte("records.icn"), []byte("records.icm"), 2),
	} {
		if _, err := sim.VerifyEnvelope(bytes.NewReader(bad)); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := 0; n < len(good); n += max(1, len(good)/40) {
		if _, err := sim.VerifyEnvelope(bytes.NewReader(good[:n])); api.KindOf(err) != api.Invalid {
			t.Errorf("cut off at %d: %v", n, err)
		}
	}
}

// Two members with the same records give the same books.
func TestAuditOfTwoMembers(t *testing.T) {
	w, err := sim.New(sim.Options{Seed: 2, Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for i := range 9 {
		if err := w.Pay(w.Members()[i%3], w.Members()[(i+1)%3], int64(100+i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Agree(time.Minute); err != nil {
		t.Fatal(err)
	}
	var sums [][32]byte
	for _, n := range w.Members() {
		b, err := w.Envelope(n)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sha256.Sum256(b[bytes.LastIndex(b, []byte("books.beancount\x00")):]))
	}
	if sums[0] != sums[1] || sums[1] != sums[2] {
		t.Error("the books differ")
	}
}

func FuzzAuditVerify(f *testing.F) {
	good, err := envelope()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:4096])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := sim.VerifyEnvelope(bytes.NewReader(b)); err != nil {
			if k := api.KindOf(err); k != api.Invalid && k != api.Unsupported && k != api.TooLarge {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
		} else if !bytes.Equal(b, good) {
			t.Fatal("another file is sound")
		}
	})
}
