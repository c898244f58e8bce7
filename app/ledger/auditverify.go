package ledger

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/books"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Replay folds the records of a space that next gives, and io.EOF behind the last, and returns what the ledger then reads, and how to end it.
type Replay func(ctx context.Context, space api.Hash, next func() ([]byte, error)) (r api.Reader, end func() error, err error)

// Audited is what an envelope was found to be.
type Audited struct {
	Manifest Manifest `json:"manifest"`
	As       string   `json:"as" doc:"what its signer is in the space: member, or the name of an office"`
}

// VerifyAudit reads an envelope to its end and checks all of it: the signature of the manifest, every record's signature and place, and each byte of each
// export against what it writes itself from what the records come to. The first thing that is wrong ends it, with an error that names the file and,
// for an export, the line and what was expected there. It needs no node and no key, and memory that does not grow with the file.
func VerifyAudit(ctx context.Context, src io.Reader, replay Replay) (_ *Audited, err error) {
	in := bufio.NewReaderSize(src, 256<<10)
	text, err := small(in, fileManifest, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifest(text)
	if err != nil {
		return nil, err
	}
	sig, err := small(in, fileSignature, 1024)
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(strings.TrimSuffix(string(sig), "\n"))
	if err != nil || string(sig) != hex.EncodeToString(raw)+"\n" || !record.Verify(m.Device, auditMessage(text), raw) {
		return nil, badEnvelope(fileSignature, "the device %s did not sign this manifest", m.Device)
	}
	zone, err := loadZone(m.Zone)
	if err != nil {
		return nil, badEnvelope(fileManifest, "%w", err)
	}
	if len(m.Files) == 0 || m.Files[0].Name != fileRecords {
		return nil, badEnvelope(fileManifest, "files: want %s first", fileRecords)
	}

	r, end, n, err := replayFile(ctx, in, m, replay)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	defer r.Close()
	s, ok := fact.Open(r, m.Space)
	switch {
	case !ok:
		return nil, badEnvelope(fileRecords, "the record that founds %s is not among them", m.Space)
	case n != m.Records:
		return nil, badEnvelope(fileManifest, "%d records, there are %d", m.Records, n)
	case m.Name != s.Genesis.Name:
		return nil, badEnvelope(fileManifest, "the space is called %q, the records say %q", clip(m.Name), s.Genesis.Name)
	}
	out := &Audited{Manifest: *m}
	if out.As, ok = acts(s, m.DID, m.Device); !ok {
		return nil, badEnvelope(fileManifest, "it is signed by %s, for whom this device does not act in the space", m.DID)
	}
	k := newKeeper(ctx, r, s, span{from: m.From.In(zone), to: m.To.In(zone), zone: zone})
	if m.From.IsZero() {
		k.span.from = time.Time{}
	}
	if err := k.compare(in, m); err != nil {
		return nil, err
	}
	return out, endArchive(in)
}

// small reads a file of an envelope into memory.
func small(in io.Reader, name string, most int64) ([]byte, error) {
	f, err := openFile(in, name, -1, most)
	if err != nil {
		return nil, err
	}
	size := f.N
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, badEnvelope(name, "%w", err)
	}
	if int64(len(b)) != size {
		return nil, badEnvelope(name, "the archive ends in it")
	}
	return b, closeFile(in, name, size)
}

// replayFile folds the records and checks their file.
func replayFile(ctx context.Context, in io.Reader, m *Manifest, replay Replay) (_ api.Reader, end func() error, n uint64, err error) {
	mf := m.Files[0]
	f, err := openFile(in, fileRecords, mf.Size, maxEnvelope)
	if err != nil {
		return nil, nil, 0, err
	}
	h := sha256.New()
	content := bufio.NewReaderSize(io.TeeReader(f, h), 128<<10)
	var buf []byte
	r, end, err := replay(ctx, m.Space, func() ([]byte, error) {
		size, err := binary.ReadUvarint(content)
		switch {
		case errors.Is(err, io.EOF) && f.N == 0:
			return nil, io.EOF
		case err != nil:
			return nil, badEnvelope(fileRecords, "the length of record %d: %w", n+1, noEOF(err))
		case size > record.MaxSize:
			return nil, badEnvelope(fileRecords, "record %d has %d bytes, at most %d", n+1, size, record.MaxSize)
		}
		n++
		buf = slices.Grow(buf[:0], int(size))[:size]
		if _, err := io.ReadFull(content, buf); err != nil {
			return nil, badEnvelope(fileRecords, "record %d: %w", n, noEOF(err))
		}
		return buf, nil
	})
	if err != nil {
		return nil, nil, 0, api.Errorf("audit.verify", api.KindOf(err), "%s: %w", fileRecords, err)
	}
	if got := api.Hash(h.Sum(nil)); got != mf.SHA256 {
		err = badEnvelope(fileRecords, "its SHA-256 is %s, the manifest says %s", got, mf.SHA256)
	} else {
		err = closeFile(in, fileRecords, mf.Size)
	}
	if err != nil {
		r.Close()
		return nil, nil, 0, errors.Join(err, end())
	}
	return r, end, n, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// compare holds each export against what is written here. All have to be there, but for a PDF of more rows than one has room for.
func (k *keeper) compare(in io.Reader, m *Manifest) error {
	left := m.Files[1:]
	for _, format := range books.Formats() {
		name := bookName(format)
		if len(left) == 0 || left[0].Name != name {
			if _, err := books.Write(io.Discard, k.book(""), format); format == books.PDF && errors.Is(err, books.ErrTooLong) {
				continue
			}
			return badEnvelope(fileManifest, "files: %s is missing, or not in its place", name)
		}
		mf := left[0]
		left = left[1:]
		f, err := openFile(in, name, mf.Size, maxEnvelope)
		if err != nil {
			return err
		}
		h := sha256.New()
		c := &comparer{file: name, in: bufio.NewReaderSize(io.TeeReader(f, h), 64<<10), line: 1}
		t, err := books.Write(c, k.book(""), format)
		if err != nil {
			return err
		}
		if err := c.end(); err != nil {
			return err
		}
		if got := api.Hash(h.Sum(nil)); got != mf.SHA256 {
			return badEnvelope(fileManifest, "%s: SHA-256 %s, it is %s", name, mf.SHA256, got)
		}
		if err := closeFile(in, name, mf.Size); err != nil {
			return err
		}
		if format == books.CSV && !slices.Equal(m.Totals, manifestTotals(k.book(""), t)) {
			return badEnvelope(fileManifest, "totals: they are not what the rows add up to")
		}
	}
	if len(left) > 0 {
		return badEnvelope(fileManifest, "files: %q is none of an envelope's", clip(left[0].Name))
	}
	return nil
}

// comparer holds what is written against a file.
type comparer struct {
	file string
	in   *bufio.Reader
	line int
	head []byte // what this line has been so far
}

// maxShown bounds how much of a line is shown.
const maxShown = 512

// Write implements io.Writer.
func (c *comparer) Write(want []byte) (int, error) {
	for i, w := range want {
		got, err := c.in.ReadByte()
		if err != nil || got != w {
			return i, c.wrong(want[i:], got, err)
		}
		if c.head = append(c.head, got); w == '\n' {
			c.line++
			c.head = c.head[:0]
		} else if len(c.head) > maxShown {
			c.head = append(c.head[:0], c.head[1:]...)
		}
	}
	return len(want), nil
}

func (c *comparer) wrong(want []byte, got byte, err error) error {
	rest, _, _ := bytes.Cut(want[:min(len(want), maxShown)], []byte{'\n'})
	expected := string(c.head) + string(rest)
	if errors.Is(err, io.EOF) {
		return badEnvelope(c.file, "line %d: the file ends, want %q", c.line, expected)
	}
	if err != nil {
		return badEnvelope(c.file, "line %d: %w", c.line, err)
	}
	after, _ := c.in.Peek(min(c.in.Buffered(), maxShown))
	found, _, _ := bytes.Cut(after, []byte{'\n'})
	return badEnvelope(c.file, "line %d: found %q, want %q", c.line, string(c.head)+string(got)+string(found), expected)
}

// end makes sure that nothing more is in the file.
func (c *comparer) end() error {
	if b, err := c.in.ReadByte(); err == nil {
		return badEnvelope(c.file, "line %d: found %q, want the end of the file", c.line, string(b))
	} else if !errors.Is(err, io.EOF) {
		return badEnvelope(c.file, "line %d: %w", c.line, err)
	}
	return nil
}
