package transport_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

func encode(t testing.TB, f wire.Frame) []byte {
	t.Helper()
	b, err := transport.EncodeFrame(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadFrame(t *testing.T) {
	push := encode(t, &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{[]byte("one")}})
	graft := encode(t, &wire.Graft{Space: make([]byte, 32)})
	for _, c := range []struct {
		name      string
		in        []byte
		frames    int
		malformed bool
		err       error
	}{
		{"none", nil, 0, false, io.EOF},
		{"two", append(bytes.Clone(push), graft...), 2, false, io.EOF},
		{"cut in the length", push[:3], 0, false, io.ErrUnexpectedEOF},
		{"cut after the length", push[:4], 0, false, io.ErrUnexpectedEOF},
		{"cut in the body", push[:20], 0, false, io.ErrUnexpectedEOF},
		{"empty", make([]byte, 4), 0, true, nil},
		{"over the limit, announced only", []byte{0, 0, 1, 1}, 0, true, nil},
		{"four gigabytes", []byte{0xff, 0xff, 0xff, 0xff}, 0, true, nil},
		{"unknown type", []byte{0, 0, 0, 2, 200, 0x80}, 0, true, nil},
		{"not canonical", []byte{0, 0, 0, 4, byte(wire.TypePing), 0x81, 0x18, 0x01}, 0, true, nil},
		{"good, then bad", append(bytes.Clone(graft), 0, 0, 0, 0), 1, true, nil},
	} {
		r := bufio.NewReader(bytes.NewReader(c.in))
		var err error
		frames := 0
		for ; ; frames++ {
			var f wire.Frame
			var size int
			if f, size, err = transport.ReadFrame(r, 256); err != nil {
				break
			}
			if again := encode(t, f); len(again) != size {
				t.Errorf("%s: size %d, want %d", c.name, size, len(again))
			}
		}
		if frames != c.frames || transport.IsMalformed(err) != c.malformed || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %d frames, %v", c.name, frames, err)
		}
	}
	// What is announced is not allocated before the announcement was checked.
	head := binary.BigEndian.AppendUint32(nil, 1<<30)
	if n := testing.AllocsPerRun(10, func() {
		transport.ReadFrame(bufio.NewReaderSize(bytes.NewReader(head), 16), wire.MaxFrame)
	}); n > 12 {
		t.Errorf("%v allocations for a frame that is refused", n)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(encode(f, &wire.Ping{Sent: 7}))
	f.Add(encode(f, &wire.Bye{Code: "full", Reason: "no room"}))
	f.Add(encode(f, &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{{1}, {2}}}))
	f.Add([]byte{0, 0, 0, 1, 99})
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(bytes.NewReader(in))
		rest := in
		for {
			frame, n, err := transport.ReadFrame(r, 1<<12)
			if err != nil {
				return
			}
			if got := encode(t, frame); !bytes.Equal(got, rest[:n]) {
				t.Fatalf("read %x, which is written %x", rest[:n], got)
			}
			rest = rest[n:]
		}
	})
}

// TestQueue checks order, bounds and the two ways of closing against a plain slice.
func TestQueue(t *testing.T) {
	q := transport.NewQueue(4, 100)
	b := func(n int) []byte { return make([]byte, n) }
	for i, c := range []struct {
		n  int
		ok bool
	}{{10, true}, {80, true}, {11, false}, {10, true}, {0, true}, {0, false}} {
		if ok := q.Push(b(c.n)); ok != c.ok {
			t.Errorf("push %d of %d bytes: %v", i, c.n, ok)
		}
	}
	if !q.PushControl([]byte("c1"), []byte("c2")) {
		t.Error("control has room of its own")
	}
	for i := range transport.MaxControl - 2 {
		if !q.PushControl(b(1)) {
			t.Errorf("control %d refused", i)
		}
	}
	if q.PushControl(b(1)) {
		t.Error("control has no end")
	}
	for _, want := range []string{"c1", "c2"} {
		if got, ok := q.Next(false); !ok || string(got) != want {
			t.Errorf("got %q, want %q first", got, want)
		}
	}
	for range transport.MaxControl - 2 {
		q.Next(false)
	}
	for _, want := range []int{10, 80} {
		if got, ok := q.Next(true); !ok || len(got) != want {
			t.Errorf("got %d bytes, want %d", len(got), want)
		}
	}
	if !q.Push(b(85)) {
		t.Error("taken frames leave room")
	}
	q.Close([]byte("bye"))
	q.Close(nil) // too late
	if q.Push(b(1)) || q.PushControl(b(1)) {
		t.Error("a closed queue takes frames")
	}
	for _, want := range []int{10, 0, 85, 3} {
		if got, ok := q.Next(true); !ok || len(got) != want {
			t.Errorf("drain: got %d bytes, want %d", len(got), want)
		}
	}
	if _, ok := q.Next(true); ok {
		t.Error("a drained queue has more")
	}
	dropped := transport.NewQueue(4, 100)
	dropped.Push(b(1))
	woken := make(chan bool)
	dropped.Next(false)
	go func() { _, ok := dropped.Next(true); woken <- ok }()
	dropped.Close(nil)
	if <-woken {
		t.Error("a closed queue has more")
	}

	// Long use does not grow it: frames move up.
	long := transport.NewQueue(8, 1<<20)
	next, want := byte(0), byte(0)
	for round := range 1000 {
		for range 1 + round%7 {
			if long.Push([]byte{next}) {
				next++
			}
		}
		for range 1 + round%5 {
			if got, ok := long.Next(false); ok {
				if got[0] != want {
					t.Fatalf("round %d: got %d, want %d", round, got[0], want)
				}
				want++
			}
		}
	}
	if c := long.Cap(); c > 32 {
		t.Errorf("capacity %d for 8 frames", c)
	}
}
