package ledger

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// An auditor's envelope is a tar archive (ustar) of plain files, in this order:
//
//	manifest.json    what it is, and size and SHA-256 of each further file
//	manifest.sig     the signature of who made it over the manifest, 128 hexadecimal digits and a line feed
//	records.icn      all records of the space, each a length (unsigned varint) and a signed envelope, in an order in which each follows what it cites
//	books.<format>   the exports, of all accounts
//
// There is one way to write it: the names, their order, and each byte of the tar headers are fixed by the sizes. So nothing can hide in it.
const (
	fileManifest  = "manifest.json"
	fileSignature = "manifest.sig"
	fileRecords   = "records.icn"

	envelopeFormat = 1
	tarBlock       = 512
	maxManifest    = 64 << 10
	maxEnvelope    = 1 << 40 // bytes of a file in it
)

// Manifest says what an envelope holds. Its bytes are what is signed.
type Manifest struct {
	Format  int             `json:"format"`
	Space   api.Hash        `json:"space"`
	Name    string          `json:"name"`
	From    time.Time       `json:"from,omitzero"`
	To      time.Time       `json:"to"`
	Zone    string          `json:"zone"`
	Created time.Time       `json:"created"`
	DID     api.DID         `json:"did"`
	Device  api.Key         `json:"device"`
	Records uint64          `json:"records"`
	Totals  []ManifestTotal `json:"totals"`
	Files   []ManifestFile  `json:"files"`
}

// ManifestTotal is what the rows of all accounts add up to in one currency, minor units.
type ManifestTotal struct {
	Currency string `json:"currency"`
	Scale    int    `json:"scale"`
	Rows     uint64 `json:"rows"`
	In       int64  `json:"in"`
	Out      int64  `json:"out"`
}

// ManifestFile is a file of an envelope.
type ManifestFile struct {
	Name   string   `json:"name"`
	Size   int64    `json:"size"`
	SHA256 api.Hash `json:"sha256"`
}

func (m *Manifest) encode() []byte {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic(err) // strings, numbers and times of the years that check lets pass
	}
	return append(b, '\n')
}

// decodeManifest reads a manifest in the one form in which encode writes it.
func decodeManifest(b []byte) (*Manifest, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var m Manifest
	if err := d.Decode(&m); err != nil {
		return nil, badEnvelope(fileManifest, "%w", err)
	}
	if m.Format != envelopeFormat {
		return nil, api.Errorf("audit.verify", api.Unsupported, "%s: format %d, this build reads %d", fileManifest, m.Format, envelopeFormat)
	}
	for _, t := range []time.Time{m.From, m.To, m.Created} {
		if !t.IsZero() && (t.Year() < firstYear || t.Year() > lastYear+1) {
			return nil, badEnvelope(fileManifest, "a time in the year %d", t.Year())
		}
	}
	if !bytes.Equal(m.encode(), b) {
		return nil, badEnvelope(fileManifest, "it is not written as this program writes it")
	}
	return &m, nil
}

// auditMessage is what is signed. The tag keeps it apart from all else that a device signs.
func auditMessage(manifest []byte) []byte {
	return codec.MustMarshal(&struct {
		_        struct{} `cbor:",toarray"`
		Tag      string
		Version  uint16
		Manifest []byte
	}{Tag: "icn-audit", Version: envelopeFormat, Manifest: manifest})
}

// badEnvelope says where an envelope is not what it should be.
func badEnvelope(file, format string, args ...any) error {
	return api.Errorf("audit.verify", api.Invalid, "%s: %w", file, fmt.Errorf(format, args...))
}

// tarHeader is the one header of a file of that name and size.
func tarHeader(name string, size int64) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	return b.Bytes(), err
}

// addFile writes a file with its header and padding to w. What write writes must have that size.
func addFile(w io.Writer, name string, size int64, write func(io.Writer) error) error {
	head, err := tarHeader(name, size)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	n := &counted{w: w}
	if err := write(n); err != nil {
		return err
	}
	if n.n != size {
		return api.Errorf("audit.export", api.Internal, "%s has %d bytes when it is written again, %d the first time", name, n.n, size)
	}
	_, err = w.Write(make([]byte, padding(size)))
	return err
}

func padding(size int64) int64 { return (tarBlock - size%tarBlock) % tarBlock }

// counted counts what is written.
type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// openFile reads the header of the next file, which has to be that one, and returns its content and its size. A negative size is any up to most.
func openFile(r io.Reader, name string, size, most int64) (*io.LimitedReader, error) {
	head := make([]byte, tarBlock)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, badEnvelope(name, "the archive ends before it: %w", err)
	}
	if size < 0 {
		h, err := tar.NewReader(bytes.NewReader(head)).Next()
		if err != nil {
			return nil, badEnvelope(name, "header: %w", err)
		}
		size = h.Size
	}
	if size < 0 || size > most {
		return nil, badEnvelope(name, "%d bytes, want at most %d", size, most)
	}
	want, err := tarHeader(name, size)
	if err != nil {
		return nil, badEnvelope(name, "%w", err)
	}
	if i := differs(head, want); i >= 0 {
		return nil, badEnvelope(name, "byte %d of its header is %#02x, want %#02x for a file of this name and of %d bytes", i, head[i], want[i], size)
	}
	return &io.LimitedReader{R: r, N: size}, nil
}

func differs(a, b []byte) int {
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			return min(i, len(a)-1)
		}
	}
	return -1
}

// closeFile reads the padding behind a file of that size.
func closeFile(r io.Reader, name string, size int64) error {
	pad := make([]byte, padding(size))
	if _, err := io.ReadFull(r, pad); err != nil {
		return badEnvelope(name, "the archive ends in it: %w", err)
	}
	if i := differs(pad, make([]byte, len(pad))); i >= 0 {
		return badEnvelope(name, "byte %d behind it is %#02x, want 0", i, pad[i])
	}
	return nil
}

// endArchive reads the end of an archive: two empty blocks, and nothing more.
func endArchive(r io.Reader) error {
	end := make([]byte, 2*tarBlock+1)
	n, err := io.ReadFull(r, end)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && n == 2*tarBlock:
	case err == nil || n > 2*tarBlock:
		return badEnvelope("archive", "something follows its end")
	default:
		return badEnvelope("archive", "it ends after %d bytes of its end, want %d", n, 2*tarBlock)
	}
	if i := differs(end[:n], make([]byte, n)); i >= 0 {
		return badEnvelope("archive", "byte %d of its end is %#02x, want 0", i, end[i])
	}
	return nil
}
