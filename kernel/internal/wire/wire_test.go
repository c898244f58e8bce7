package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Commit a change of the golden file only if you understand it: it is a change of what old nodes can read.
var rewrite = flag.Bool("rewrite", false, "rewrite testdata/frames.txt")

const goldenFile = "testdata/frames.txt"

func fill(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

var (
	space = fill(32, 0xaa)
	feed  = fill(32, 0xbb)
	id    = fill(32, 0xcc)
)

// examples has one full frame of each type.
func examples() []Frame {
	at := Position{Feed: feed, Seq: 300, ID: id}
	sums := make([][]byte, 256)
	sums[1], sums[255] = fill(SumSize, 1), fill(SumSize, 2)
	return []Frame{
		&Hello{Min: 1, Max: 2, Build: "icnd 0.1", Nonce: fill(32, 1), Spaces: [][]byte{space}, Features: []string{"x"}, Addresses: []string{"icn://did@127.0.0.1:7100"}},
		&Ping{Sent: 1},
		&Pong{Sent: 1 << 40},
		&AskPeers{},
		&Peers{Addresses: []string{"icn://did@[::1]:7100"}},
		&Push{Space: space, Envelopes: [][]byte{{1}, {2, 3}}},
		&Digest{Space: space, Salt: fill(8, 1), Sum: fill(16, 2), Count: 3},
		&Buckets{Space: space, Salt: fill(8, 1), Prefix: []byte{7}, Sums: sums},
		&Heads{Space: space, More: true, Heads: []Head{
			{Feed: feed, Seq: 5, ID: id},
			{Feed: feed, Seq: 5, ID: id, Fork: 4, Alt: [][]byte{fill(32, 3), fill(32, 4)}},
		}},
		&Wants{Space: space, Ask: 1, Items: []Want{{From: 1, At: at}, {From: 300, At: Position{Feed: feed, Seq: 300}}}},
		&Records{Space: space, Ask: 1, Envelopes: [][]byte{{1}}, More: true},
		&Have{Space: space, At: []Position{at}},
		&Graft{Space: space},
		&Prune{Space: space},
		&Bye{Code: "shutdown", Reason: "the node stops"},
		&Members{Served: []Served{{Auth: []byte{1}, Signature: fill(64, 5)}}, Proof: []byte{6}},
		&Sketch{Space: space, Salt: fill(8, 1), Parts: []Part{{Prefix: []byte{1, 2, 3}, Prints: fill(2*PrintSize, 9)}}},
		&Probe{Space: space, Salt: fill(8, 1), Parts: []Part{{}}},
		&Letter{Envelope: []byte{7, 8, 9}},
	}
}

func name(f Frame) string { return strings.ToLower(reflect.TypeOf(f).Elem().Name()) }

func encode(t testing.TB, f Frame) []byte {
	t.Helper()
	b, err := Encode(f)
	if err != nil {
		t.Fatalf("%s: %v", name(f), err)
	}
	return b
}

// The bytes of each frame type are fixed: docs/protocol.md section 5.
func TestGoldenFrames(t *testing.T) {
	var out strings.Builder
	for _, f := range examples() {
		fmt.Fprintf(&out, "%d %s %x\n", f.frameType(), name(f), encode(t, f))
	}
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(goldenFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(out.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Errorf("line %d of %s differs; look at the change with -rewrite and git diff\nfile %s", i+1, goldenFile, line)
		}
	}
	// And what stands in the file can be read.
	for line := range strings.Lines(string(want)) {
		fields := strings.Fields(line)
		b, err := hex.DecodeString(fields[2])
		if err != nil {
			t.Fatal(err)
		}
		f, err := Decode(b)
		if err != nil || name(f) != fields[1] || fmt.Sprint(f.frameType()) != fields[0] {
			t.Errorf("%s: read as %T, %v", fields[1], f, err)
		}
	}
}

// Every type that can be decoded has an example, so that a new one cannot miss the golden file, and each type's number is its own.
func TestEveryTypeHasAnExample(t *testing.T) {
	seen := map[Type]bool{}
	for _, f := range examples() {
		if seen[f.frameType()] {
			t.Errorf("%s: the number %d is another's", name(f), f.frameType())
		}
		seen[f.frameType()] = true
	}
	for n := range 256 {
		f := newFrame(Type(n))
		if (f != nil) != seen[Type(n)] {
			t.Errorf("type %d: %T, example %t", n, f, seen[Type(n)])
		}
		if f != nil && f.frameType() != Type(n) {
			t.Errorf("type %d makes a %s", n, name(f))
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, f := range examples() {
		got, err := Decode(encode(t, f))
		if err != nil {
			t.Errorf("%s: %v", name(f), err)
		} else if again := encode(t, got); !bytes.Equal(again, encode(t, f)) {
			t.Errorf("%s: became %x", name(f), again)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	hello := encode(t, examples()[0])
	for name, tc := range map[string]struct {
		b    []byte
		kind api.Kind
	}{
		"nothing":       {nil, api.Invalid},
		"type 0":        {[]byte{0, 0x80}, api.Unsupported},
		"type 255":      {[]byte{255, 0x80}, api.Unsupported},
		"type only":     {[]byte{byte(TypePing)}, api.Invalid},
		"cut":           {hello[:len(hello)-1], api.Invalid},
		"more":          {append(bytes.Clone(hello), 0), api.Invalid},
		"not canonical": {[]byte{byte(TypePing), 0x81, 0x18, 0x01}, api.Invalid},
		"other body":    {append([]byte{byte(TypePing)}, hello[1:]...), api.Invalid},
		"too long":      {make([]byte, MaxFrame+1), api.Invalid},
	} {
		if f, err := Decode(tc.b); api.KindOf(err) != tc.kind {
			t.Errorf("%s: %v, %v; want %s", name, f, err, tc.kind.Code())
		}
	}
}

// Each limit holds in both directions: what may not be sent is not taken either.
func TestLimits(t *testing.T) {
	texts := func(n, size int) []string {
		ss := make([]string, n)
		for i := range ss {
			ss[i] = strings.Repeat("x", size)
		}
		return ss
	}
	blobs := func(n, size int) [][]byte {
		bs := make([][]byte, n)
		for i := range bs {
			bs[i] = make([]byte, size)
		}
		return bs
	}
	at := Position{Feed: feed, Seq: 1, ID: id}
	head := Head{Feed: feed, Seq: 1, ID: id}
	hello := func(change func(*Hello)) Frame {
		f := examples()[0].(*Hello)
		change(f)
		return f
	}
	many := func(n int) []Want {
		ws := make([]Want, n)
		for i := range ws {
			ws[i] = Want{From: 1, At: at}
		}
		return ws
	}
	for name, tc := range map[string]struct {
		f  Frame
		ok bool
	}{
		"hello, nonce of 31":          {hello(func(f *Hello) { f.Nonce = f.Nonce[1:] }), false},
		"hello, long build":           {hello(func(f *Hello) { f.Build = strings.Repeat("x", MaxText+1) }), false},
		"hello, most spaces":          {hello(func(f *Hello) { f.Spaces = blobs(MaxSpaces, 32) }), true},
		"hello, too many spaces":      {hello(func(f *Hello) { f.Spaces = blobs(MaxSpaces+1, 32) }), false},
		"hello, space of 31":          {hello(func(f *Hello) { f.Spaces = blobs(1, 31) }), false},
		"hello, 65 features":          {hello(func(f *Hello) { f.Features = texts(65, 1) }), false},
		"hello, 17 addresses":         {hello(func(f *Hello) { f.Addresses = texts(17, 1) }), false},
		"hello, long address":         {hello(func(f *Hello) { f.Addresses = texts(1, MaxText+1) }), false},
		"hello, versions upside down": {hello(func(f *Hello) { f.Min, f.Max = 2, 1 }), false},
		"members, most":               {&Members{Served: serve(MaxMembers, 64), Proof: make([]byte, MaxProof)}, true},
		"members, too many":           {&Members{Served: serve(MaxMembers+1, 64)}, false},
		"members, signature of 63":    {&Members{Served: serve(1, 63)}, false},
		"members, long proof":         {&Members{Proof: make([]byte, MaxProof+1)}, false},
		"peers, most":                 {&Peers{Addresses: texts(MaxPeers, MaxText)}, true},
		"peers, too many":             {&Peers{Addresses: texts(MaxPeers+1, 1)}, false},
		"push, most":                  {&Push{Space: space, Envelopes: blobs(MaxRecords, 1000)}, true},
		"push, too many":              {&Push{Space: space, Envelopes: blobs(MaxRecords+1, 1)}, false},
		"push, too long":              {&Push{Space: space, Envelopes: blobs(MaxRecords, MaxFrame/MaxRecords)}, false},
		"push, no space":              {&Push{Envelopes: blobs(1, 1)}, false},
		"records, too many":           {&Records{Space: space, Envelopes: blobs(MaxRecords+1, 1)}, false},
		"digest, salt of 7":           {&Digest{Space: space, Salt: make([]byte, 7), Sum: make([]byte, 16)}, false},
		"digest, no salt":             {&Digest{Space: space, Sum: make([]byte, 16)}, true},
		"digest, sum of 15":           {&Digest{Space: space, Sum: make([]byte, 15)}, false},
		"buckets, no salt":            {&Buckets{Space: space, Sums: make([][]byte, 256)}, false},
		"buckets, 255 sums":           {&Buckets{Space: space, Salt: fill(8, 1), Sums: make([][]byte, 255)}, false},
		"buckets, sum of 7":           {&Buckets{Space: space, Salt: fill(8, 1), Sums: append(make([][]byte, 255), make([]byte, 7))}, false},
		"buckets, prefix of 3":        {&Buckets{Space: space, Salt: fill(8, 1), Prefix: make([]byte, 3), Sums: make([][]byte, 256)}, false},
		"heads, most":                 {&Heads{Space: space, Heads: repeat(head, MaxHeads)}, true},
		"heads, too many":             {&Heads{Space: space, Heads: repeat(head, MaxHeads+1)}, false},
		"heads, seq 0":                {&Heads{Space: space, Heads: []Head{{Feed: feed, ID: id}}}, false},
		"heads, forked at 1":          {&Heads{Space: space, Heads: []Head{{Feed: feed, ID: id, Fork: 1, Alt: blobs(2, 32)}}}, true},
		"heads, fork without ids":     {&Heads{Space: space, Heads: []Head{{Feed: feed, Seq: 1, ID: id, Fork: 1}}}, false},
		"heads, ids without a fork":   {&Heads{Space: space, Heads: []Head{{Feed: feed, Seq: 1, ID: id, Alt: blobs(1, 32)}}}, false},
		"heads, three branches":       {&Heads{Space: space, Heads: []Head{{Feed: feed, Seq: 1, ID: id, Fork: 1, Alt: blobs(3, 32)}}}, false},
		"heads, branch of 31":         {&Heads{Space: space, Heads: []Head{{Feed: feed, Seq: 1, ID: id, Fork: 1, Alt: blobs(1, 31)}}}, false},
		"heads, no id":                {&Heads{Space: space, Heads: []Head{{Feed: feed, Seq: 1}}}, true},
		"wants, most":                 {&Wants{Space: space, Ask: 1, Items: many(MaxWants)}, true},
		"wants, too many":             {&Wants{Space: space, Ask: 1, Items: many(MaxWants + 1)}, false},
		"wants, no number":            {&Wants{Space: space, Items: many(1)}, false},
		"wants, from 0":               {&Wants{Space: space, Ask: 1, Items: []Want{{At: at}}}, false},
		"wants, upside down":          {&Wants{Space: space, Ask: 1, Items: []Want{{From: 2, At: at}}}, false},
		"wants, id of 31":             {&Wants{Space: space, Ask: 1, Items: []Want{{From: 1, At: Position{Feed: feed, Seq: 1, ID: id[1:]}}}}, false},
		"have, no id":                 {&Have{Space: space, At: []Position{{Feed: feed, Seq: 1}}}, false},
		"have, feed of 31":            {&Have{Space: space, At: []Position{{Feed: feed[1:], Seq: 1, ID: id}}}, false},
		"graft, no space":             {&Graft{}, false},
		"prune, space of 33":          {&Prune{Space: make([]byte, 33)}, false},
		"bye, long code":              {&Bye{Code: strings.Repeat("x", MaxText+1)}, false},
		"bye, long reason":            {&Bye{Reason: strings.Repeat("x", 1025)}, false},
		"sketch, part of a print":     {&Sketch{Space: space, Salt: make([]byte, 8), Parts: []Part{{Prints: make([]byte, PrintSize+1)}}}, false},
		"sketch, too many prints":     {&Sketch{Space: space, Salt: make([]byte, 8), Parts: []Part{{Prints: make([]byte, PrintSize*(MaxPrints+1))}}}, false},
		"sketch, too many parts":      {&Sketch{Space: space, Salt: make([]byte, 8), Parts: make([]Part, MaxParts+1)}, false},
		"probe, salt of 7":            {&Probe{Space: space, Salt: make([]byte, 7)}, false},
		"probe, prefix of 4":          {&Probe{Space: space, Salt: make([]byte, 8), Parts: []Part{{Prefix: make([]byte, 4)}}}, false},
		"letter, empty":               {&Letter{}, false},
		"letter, most":                {&Letter{Envelope: make([]byte, MaxEnvelope)}, true},
		"letter, too long":            {&Letter{Envelope: make([]byte, MaxEnvelope+1)}, false},
	} {
		b, err := Encode(tc.f)
		if (err == nil) != tc.ok {
			t.Errorf("%s: Encode %v", name, err)
		}
		if err != nil { // a sender that does not check
			b = append([]byte{byte(tc.f.frameType())}, codec.MustMarshal(tc.f)...)
		}
		if _, err := Decode(b); (err == nil) != tc.ok {
			t.Errorf("%s: Decode %v", name, err)
		}
	}
}

func serve(n, signature int) []Served {
	return repeat(Served{Auth: make([]byte, 200), Signature: make([]byte, signature)}, n)
}

func repeat[T any](v T, n int) []T {
	vs := make([]T, n)
	for i := range vs {
		vs[i] = v
	}
	return vs
}

func TestPositions(t *testing.T) {
	p := api.Position{Feed: api.Hash{1}, Seq: 2, ID: api.Hash{3}}
	if got := FromPosition(p).API(); got != p {
		t.Errorf("%v became %v", p, got)
	}
	p.ID = api.Hash{}
	if w := FromPosition(p); len(w.ID) != 0 || w.API() != p {
		t.Errorf("without an id: %+v", w)
	}
}

// FuzzFrame: what is taken has this one encoding.
func FuzzFrame(f *testing.F) {
	for _, e := range examples() {
		b, err := Encode(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := Decode(b)
		if err != nil {
			if k := api.KindOf(err); k != api.Invalid && k != api.Unsupported {
				t.Fatalf("kind %s: %v", k.Code(), err)
			}
			return
		}
		again, err := Encode(frame)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
	})
}
