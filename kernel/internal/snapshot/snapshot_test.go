package snapshot_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/snapshot"
	"github.com/intercooperative/icn/kernel/record"
)

// world writes records as nodes do.
type world struct {
	t     fatal
	topic api.Topic
	heads map[string]*record.Envelope
	all   []*record.Envelope
}

type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

func newWorld(t fatal) *world {
	return &world{t: t, topic: api.Topic{Name: "notes"}, heads: map[string]*record.Envelope{}}
}

// write adds the next record of a device; after names the one it follows, nil for the newest.
func (w *world) write(who, body string, after *record.Envelope, deps ...*record.Envelope) *record.Envelope {
	w.t.Helper()
	e := w.sign(who, body, after, deps...)
	w.all = append(w.all, e)
	return e
}

func (w *world) sign(who, body string, after *record.Envelope, deps ...*record.Envelope) *record.Envelope {
	w.t.Helper()
	s := identity.Derive("snapshot", who)
	r := &api.Record{Version: 1, Topic: w.topic, Seq: 1, Kind: "note", Body: []byte(body), Time: api.MakeTimestamp(1_800_000_000_000, 0)}
	if after == nil {
		after = w.heads[who]
	}
	if after != nil {
		r.Seq, r.Prev = after.Seq+1, after.ID
	} else {
		r.Auth = s.Auth()
	}
	for _, d := range deps {
		r.Deps = append(r.Deps, d.Position())
	}
	e, err := record.Sign(r, s)
	if err != nil {
		w.t.Fatalf("%v", err)
	}
	w.topic.Space = e.Topic.Space
	if after == w.heads[who] {
		w.heads[who] = e
	}
	return e
}

func (w *world) header() snapshot.Header {
	return snapshot.Header{
		Created: time.UnixMilli(1_800_000_000_123).UTC(), Version: "test", StoreFormat: 1, Node: identity.Derive("snapshot", "node").DID(),
		DID: identity.Derive("snapshot", "ann").DID(), Device: identity.Derive("snapshot", "ann").Device(), Spaces: []api.Hash{w.topic.Space},
		Records: uint64(len(w.all)), Digest: sha256.Sum256([]byte("state")), Apps: []snapshot.AppDigest{{App: "notes", Digest: api.Hash{1}, Rows: 7}},
	}
}

type parts struct {
	metas  []snapshot.Meta
	served []snapshot.Served
}

func (w *world) archive(p parts) []byte {
	w.t.Helper()
	var b bytes.Buffer
	if _, err := w.writeTo(&b, p); err != nil {
		w.t.Fatalf("%v", err)
	}
	return b.Bytes()
}

func (w *world) writeTo(dst io.Writer, p parts) (snapshot.Totals, error) {
	aw, err := snapshot.NewWriter(dst, w.header())
	if err != nil {
		return snapshot.Totals{}, err
	}
	for _, e := range w.all {
		if err := aw.Record(e.Raw); err != nil {
			return snapshot.Totals{}, err
		}
	}
	for _, m := range p.metas {
		if err := aw.Meta(m.Name, m.Value); err != nil {
			return snapshot.Totals{}, err
		}
	}
	for _, s := range p.served {
		if err := aw.Served(s); err != nil {
			return snapshot.Totals{}, err
		}
	}
	return aw.Close()
}

// verify does what a person does with `snapshot verify`.
func verify(b []byte) (snapshot.Totals, error) {
	r, err := snapshot.NewReader(bytes.NewReader(b))
	if err != nil {
		return snapshot.Totals{}, err
	}
	open, err := snapshot.Walk(context.Background(), r, snapshot.Visitor{})
	if err != nil || len(open) == 0 {
		return r.Totals(), err
	}
	again, err := snapshot.NewReader(bytes.NewReader(b))
	if err == nil {
		err = snapshot.Resolve(context.Background(), again, open)
	}
	return r.Totals(), err
}

// read reads to the end and looks at nothing but digests and counts.
func read(b []byte) (snapshot.Totals, error) {
	r, err := snapshot.NewReader(bytes.NewReader(b))
	if err != nil {
		return snapshot.Totals{}, err
	}
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return r.Totals(), nil
		} else if err != nil {
			return r.Totals(), err
		}
	}
}

func small(t fatal) (*world, parts) {
	w := newWorld(t)
	w.write("ann", "genesis", nil)
	for i := range 20 {
		e := w.write("ann", fmt.Sprint("a", i), nil)
		w.write("ben", fmt.Sprint("b", i), nil, e)
	}
	return w, parts{
		metas:  []snapshot.Meta{{Name: "follow/x"}, {Name: "peer/y", Value: []byte("proof")}},
		served: []snapshot.Served{{Device: api.Key{1}, Name: api.Hash{2}, Content: api.Hash{3}, At: w.all[3].Position()}},
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.write("ann", "genesis", nil)
		for range rapid.IntRange(0, 40).Draw(t, "records") {
			size := rapid.SampledFrom([]int{0, 10, 1000, 40_000}).Draw(t, "size")
			w.write(rapid.SampledFrom([]string{"ann", "ben", "cleo"}).Draw(t, "who"), strings.Repeat("x", size), nil)
		}
		var p parts
		for i := range rapid.IntRange(0, 5).Draw(t, "metas") {
			p.metas = append(p.metas, snapshot.Meta{Name: fmt.Sprint("m", i), Value: bytes.Repeat([]byte{byte(i)}, rapid.SampledFrom([]int{0, 5, 300_000}).Draw(t, "value"))})
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "served") {
			p.served = append(p.served, snapshot.Served{Device: api.Key{byte(i)}, Name: api.Hash{2}, Content: api.Hash{byte(i), 3}, At: w.all[0].Position()})
		}
		var b bytes.Buffer
		wrote, err := w.writeTo(&b, p)
		if err != nil {
			t.Fatal(err)
		}
		r, err := snapshot.NewReader(&b)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%+v", r.Header), fmt.Sprintf("%+v", w.header()); got != want {
			t.Fatalf("header %s, want %s", got, want)
		}
		var records [][]byte
		var got parts
		for {
			it, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case it.Record != nil:
				records = append(records, bytes.Clone(it.Record))
			case it.Meta != nil:
				got.metas = append(got.metas, snapshot.Meta{Name: it.Meta.Name, Value: bytes.Clone(it.Meta.Value)})
			case it.Served != nil:
				got.served = append(got.served, *it.Served)
			}
		}
		if r.Totals() != wrote || wrote.Records != uint64(len(w.all)) || wrote.Sum.IsZero() {
			t.Fatalf("read %+v, wrote %+v", r.Totals(), wrote)
		}
		for i, e := range w.all {
			if !bytes.Equal(records[i], e.Raw) {
				t.Fatalf("record %d differs", i)
			}
		}
		if fmt.Sprintf("%x", got) != fmt.Sprintf("%x", p) {
			t.Fatalf("%x, want %x", got, p)
		}
	})
}

func TestVerifyGood(t *testing.T) {
	w, p := small(t)
	got, err := verify(w.archive(p))
	if err != nil || got.Records != 41 || got.Metas != 2 || got.Served != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Torn anywhere, an archive is never taken for a whole one.
func TestTorn(t *testing.T) {
	w, p := small(t)
	b := w.archive(p)
	for n := range b {
		if _, err := read(b[:n]); api.KindOf(err) != api.Invalid {
			t.Fatalf("cut at %d of %d: %v", n, len(b), err)
		}
	}
	if _, err := read(append(bytes.Clone(b), 0)); err == nil || !strings.Contains(err.Error(), "follows") {
		t.Errorf("with a byte more: %v", err)
	}
}

// A flipped bit is seen, or it is one of the few in a compressed stream that mean nothing: then what is read is what was written. (Under encryption
// every bit is covered.)
func TestFlippedBit(t *testing.T) {
	w, p := small(t)
	b := w.archive(p)
	want, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1 << (i % 8)
		got, err := read(bad)
		if err == nil && got != want {
			t.Fatalf("a flipped bit at %d of %d is not seen", i, len(b))
		}
		if err != nil {
			seen++
		}
	}
	if seen < len(b)*98/100 {
		t.Errorf("%d of %d seen", seen, len(b))
	}
}

// Without the outer layers, the digests alone find each flipped bit.
func TestFlippedBitInTheFrames(t *testing.T) {
	w, p := small(t)
	zip, err := gzip.NewReader(bytes.NewReader(w.archive(p)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(plain); i += 3 {
		bad := bytes.Clone(plain)
		bad[i] ^= 1 << (i % 8)
		var b bytes.Buffer
		again, _ := gzip.NewWriterLevel(&b, gzip.NoCompression)
		again.Write(bad)
		again.Close()
		if _, err := read(b.Bytes()); api.KindOf(err) != api.Invalid {
			t.Fatalf("a flipped bit at %d of %d: %v", i, len(plain), err)
		}
	}
}

// What a valid frame may hold and a good archive may not.
func TestVerifyFindsTheFirstBadThing(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(w *world)
		want string
	}{
		{"another's signature", func(w *world) {
			e := w.sign("ann", "x", nil)
			e, err := record.Seal(e.Record, e.Signed, bytes.Repeat([]byte{1}, 64))
			if err != nil {
				t.Fatal(err)
			}
			w.all = append(w.all, e)
		}, "did not sign"},
		{"a gap", func(w *world) { w.sign("ann", "lost", nil); w.write("ann", "x", nil) }, "is missing before it"},
		{"a feed from its middle", func(w *world) { w.sign("cleo", "lost", nil); w.write("cleo", "x", nil) }, "does not begin at 1"},
		{"a dep that comes later", func(w *world) {
			e := w.sign("cleo", "late", nil)
			w.write("ann", "x", nil, e)
			w.all = append(w.all, e)
		}, "does not come before it"},
		{"twice", func(w *world) { w.all = append(w.all, w.all[len(w.all)-1]) }, "there twice"},
		{"no record", func(w *world) { w.all = append(w.all, &record.Envelope{Raw: []byte("no")}) }, "malformed"},
		{"a branch from nowhere", func(w *world) {
			lost := w.sign("ann", "lost", w.all[1])
			w.write("ann", "x", lost)
		}, "goes back to record 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, p := small(t)
			tc.make(w)
			if _, err := verify(w.archive(p)); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// Forks are honest content: both branches are there, and each goes back to where it left.
func TestForks(t *testing.T) {
	w, p := small(t)
	deep := w.write("ann", "left early", w.all[1]) // far below the tip
	deep = w.write("ann", "and went on", deep)
	w.write("ann", "further", deep)
	tip := w.heads["ben"]
	w.write("ben", "new tip", nil)
	w.write("ben", "beside the tip", tip)
	w.write("ann", "on the first branch", nil)
	b := w.archive(p)
	if got, err := verify(b); err != nil || got.Records != 47 {
		t.Errorf("%+v, %v", got, err)
	}
	// With a store behind it, the walk asks at once.
	r, err := snapshot.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	taken := map[api.Position]bool{}
	open, err := snapshot.Walk(t.Context(), r, snapshot.Visitor{
		Record: func(e *record.Envelope) error { taken[e.Position()] = true; return nil },
		Has:    func(p api.Position) (bool, error) { return taken[p], nil },
	})
	if err != nil || len(open) > 0 || len(taken) != 47 {
		t.Errorf("%d taken, %v left open, %v", len(taken), open, err)
	}
}

// failing is a disk that is full after n bytes.
type failing struct{ left int }

var errFull = errors.New("no space left on device")

func (f *failing) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestFullDisk(t *testing.T) {
	w, p := small(t)
	size := len(w.archive(p))
	for n := 0; n < size; n += 53 {
		if _, err := w.writeTo(&failing{n}, p); !errors.Is(err, errFull) || api.KindOf(err) != api.Unavailable {
			t.Fatalf("%d bytes of space for %d: %v", n, size, err)
		}
	}
	if _, err := w.writeTo(&failing{size}, p); err != nil {
		t.Errorf("just enough space: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	w := newWorld(t)
	aw, err := snapshot.NewWriter(io.Discard, w.header())
	if err != nil {
		t.Fatal(err)
	}
	if err := aw.Meta("x", make([]byte, 1<<20)); api.KindOf(err) != api.TooLarge {
		t.Errorf("%v", err)
	}
}

func FuzzRead(f *testing.F) {
	w, p := small(f)
	zip, err := gzip.NewReader(bytes.NewReader(w.archive(p)))
	if err != nil {
		f.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte("H\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var packed bytes.Buffer
		zw, _ := gzip.NewWriterLevel(&packed, gzip.NoCompression)
		zw.Write(b)
		zw.Close()
		if _, err := verify(packed.Bytes()); err != nil {
			if k := api.KindOf(err); k != api.Invalid && k != api.Unsupported && k != api.TooLarge {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
		}
	})
}
