package blob

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Quota == 0 {
		o.Quota, o.Each = 10<<20, 10<<20
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, text string, owner api.DID, at time.Time) api.Hash {
	t.Helper()
	h, err := s.Put([]byte(text), owner, at)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// What is put can be got, also after a restart; hashes are those of BLAKE3's own test vector.
func TestPutGet(t *testing.T) {
	if got := Sum(nil).String(); got != "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262" {
		t.Errorf("the empty blob is %s", got)
	}
	for _, dir := range []string{"", t.TempDir()} {
		s := open(t, Options{Dir: dir})
		h := put(t, s, "a picture", "did:icn:a", noon)
		if again := put(t, s, "a picture", "did:icn:b", noon.Add(time.Hour)); again != h {
			t.Error("another hash")
		}
		if dir != "" {
			s = open(t, Options{Dir: dir})
		}
		b, err := s.Get(h)
		if i, ok := s.Stat(h); err != nil || string(b) != "a picture" || !ok || i.Size != 9 || i.Owner != "did:icn:a" || !i.Added.Equal(noon) {
			t.Errorf("%q %+v %v", b, i, err)
		}
		if n, size := s.Usage(); n != 1 || size != 9 {
			t.Errorf("%d blobs of %d bytes", n, size)
		}
		if _, err := s.Get(api.Hash{1}); api.KindOf(err) != api.NotFound {
			t.Error(err)
		}
	}
}

// No blob, no owner and no node has more than there is room for.
func TestQuotas(t *testing.T) {
	s := open(t, Options{Quota: 25, Each: 12})
	put(t, s, "0123456789", "did:icn:a", noon)
	for _, c := range []struct {
		body  string
		owner api.DID
	}{{"", "did:icn:b"}, {strings.Repeat("x", MaxSize+1), "did:icn:b"}, {"abc", "did:icn:a"}} {
		if _, err := s.Put([]byte(c.body), c.owner, noon); api.KindOf(err) != api.TooLarge {
			t.Errorf("%d bytes of %s: %v", len(c.body), c.owner, err)
		}
	}
	put(t, s, "abcdefghij", "did:icn:b", noon)
	if _, err := s.Put([]byte("klmnopqrst"), "did:icn:c", noon); api.KindOf(err) != api.TooLarge || s.Room("did:icn:c") != 5 {
		t.Errorf("%v, room for %d", err, s.Room("did:icn:c"))
	}
}

// What nothing names goes once it is old; its room is free again.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	used, unused, young := put(t, s, "used", "did:icn:a", noon), put(t, s, "unused", "did:icn:a", noon), put(t, s, "young", "did:icn:a", noon.Add(time.Hour))
	n, err := s.Sweep(noon.Add(time.Minute), func(h api.Hash) bool { return h == used })
	if n != 1 || err != nil {
		t.Error(n, err)
	}
	for h, want := range map[api.Hash]bool{used: true, unused: false, young: true} {
		if _, err := s.Get(h); (err == nil) != want {
			t.Errorf("%s: %v", h, err)
		}
	}
	if n, size := open(t, Options{Dir: dir}).Usage(); n != 2 || size != 9 {
		t.Errorf("%d blobs of %d bytes after a restart", n, size)
	}
}

// R2: a crash while writing leaves nothing, a damaged file is noticed and taken away.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	h, short := put(t, s, "a picture", "did:icn:a", noon), put(t, s, "another one", "did:icn:a", noon)
	half := filepath.Join(filepath.Dir(s.path(h)), temporary+"123")
	if err := os.WriteFile(half, []byte(magic), 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadFile(s.path(h))
	if err != nil {
		t.Fatal(err)
	}
	all[len(all)-1] ^= 1
	if err := os.WriteFile(s.path(h), all, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(s.path(short), 20); err != nil {
		t.Fatal(err)
	}
	s = open(t, Options{Dir: dir})
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Error("the half file is there")
	}
	if _, ok := s.Stat(short); ok {
		t.Error("the short file counts")
	}
	if _, err := s.Get(h); api.KindOf(err) != api.NotFound || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
	if got := put(t, s, "a picture", "did:icn:a", noon); got != h {
		t.Error("it cannot be put again")
	}
	if b, err := s.Get(h); err != nil || string(b) != "a picture" {
		t.Error(err)
	}
}

// picture is a small image that is not the same everywhere.
func picture() image.Image {
	m := image.NewRGBA(image.Rect(0, 0, 24, 16))
	for x := range 24 {
		for y := range 16 {
			m.Set(x, y, color.RGBA{uint8(x * 10), uint8(y * 15), 99, 255})
		}
	}
	return m
}

const secret = "GPS 53.480100 -2.240100"

// photo is a JPEG as a camera writes it: EXIF with which side is up and a place, XMP, a comment, and something behind the end.
func photo(t testing.TB) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture(), nil); err != nil {
		t.Fatal(err)
	}
	seg := func(m byte, body string) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{0xff, m}, uint16(len(body)+2)), body...)
	}
	exif := "Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00" + secret
	out := append([]byte{0xff, soi}, seg(app0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")...)
	out = append(append(append(out, seg(app0+1, exif)...), seg(app0+1, "http://ns.adobe.com/xap/1.0/\x00"+secret)...), seg(com, secret)...)
	return append(append(out, b.Bytes()[2:]...), "a film with "+secret...)
}

func chunk(kind, body string) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), kind+body...), 0, 0, 0, 0)
}

// Of a photo the picture stays, pixel by pixel, and which side is up; the place is gone.
func TestCleanJPEG(t *testing.T) {
	raw := photo(t)
	got, err := Clean(raw)
	if err != nil || bytes.Contains(got, []byte("GPS")) || bytes.Contains(got, []byte("adobe")) || !bytes.Contains(raw, []byte("GPS")) {
		t.Fatalf("%v: %q", err, got)
	}
	before, err := jpeg.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	after, err := jpeg.Decode(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	same(t, before, after)
	i := bytes.Index(got, []byte("Exif\x00\x00"))
	if i < 0 || orientation(got[i+6:]) != 6 {
		t.Error("which side is up was lost")
	}
	if again, err := Clean(got); err != nil || !bytes.Equal(again, got) {
		t.Errorf("cleaned twice it is another: %v", err)
	}
}

func same(t *testing.T, a, b image.Image) {
	t.Helper()
	for x := range a.Bounds().Dx() {
		for y := range a.Bounds().Dy() {
			if a.At(x, y) != b.At(x, y) {
				t.Fatalf("pixel %d,%d differs", x, y)
			}
		}
	}
}

func TestCleanPNG(t *testing.T) {
	var b bytes.Buffer
	if err := png.Encode(&b, picture()); err != nil {
		t.Fatal(err)
	}
	end := bytes.Index(b.Bytes(), []byte("IEND")) - 4
	raw := append(bytes.Clone(b.Bytes()[:end]), append(append(chunk("tEXt", secret), chunk("eXIf", secret)...), b.Bytes()[end:]...)...)
	got, err := Clean(append(raw, secret...))
	if err != nil || !bytes.Equal(got, b.Bytes()) {
		t.Errorf("%v: %d bytes, want %d", err, len(got), b.Len())
	}
}

func TestCleanWebP(t *testing.T) {
	riff := func(chunks ...string) []byte {
		body := "WEBP" + strings.Join(chunks, "")
		return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
	}
	part := func(kind, body string) string {
		s := kind + string(binary.LittleEndian.AppendUint32(nil, uint32(len(body)))) + body
		return s + strings.Repeat("\x00", len(body)%2)
	}
	raw := riff(part("VP8X", "\x2c\x00\x00\x00\x01\x00\x00\x01\x00\x00"), part("ICCP", "abc"), part("VP8 ", "picture"), part("EXIF", secret), part("XMP ", secret))
	want := riff(part("VP8X", "\x20\x00\x00\x00\x01\x00\x00\x01\x00\x00"), part("ICCP", "abc"), part("VP8 ", "picture"))
	if got, err := Clean(append(raw, "behind"...)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v %q", err, got)
	}
}

// Whatever is sent as an image, Clean ends, does not fail otherwise than by an error, and what it returns is no larger than it may be.
func TestCleanAnything(t *testing.T) {
	seeds := [][]byte{photo(t), []byte("\x89PNG\r\n\x1a\n" + string(chunk("IHDR", "x")) + string(chunk("IEND", ""))), []byte("RIFF\x10\x00\x00\x00WEBPVP8 \x04\x00\x00\x00abcd")}
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Clone(rapid.SampledFrom(seeds).Draw(t, "seed"))
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		b = b[:rapid.IntRange(0, len(b)).Draw(t, "end")]
		got, err := Clean(b)
		if err == nil && len(got) > len(b)+36 || err != nil && api.KindOf(err) != api.Invalid {
			t.Fatalf("%d bytes of %d: %v", len(got), len(b), err)
		}
	})
	if Type([]byte("<svg onload=x>")) != octets || Type(nil) != octets {
		t.Error("a type of what has none")
	}
}
