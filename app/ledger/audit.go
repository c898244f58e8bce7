package ledger

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/books"
	"github.com/intercooperative/icn/kernel/api"
)

// AuditIn is the input of audit.export.
type AuditIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	From  string   `json:"from,omitempty" doc:"First day, YYYY-MM-DD; default: from the beginning" example:"2026-11-01"`
	To    string   `json:"to,omitempty" doc:"Last day, YYYY-MM-DD; default: today" example:"2026-11-30"`
	Zone  string   `json:"zone,omitempty" doc:"Time zone in which days begin and end, as the IANA names it; default UTC" example:"Europe/Madrid"`
}

// Validate implements api.Validator.
func (in *AuditIn) Validate() error { return in.period().check() }

func (in *AuditIn) period() *Period { return &Period{From: in.From, To: in.To, Zone: in.Zone} }

// audit writes an envelope. Everything in it is read twice from one snapshot, once for the sizes and hashes and once to be written, so nothing but a
// part of it is ever held.
func (a *App) audit(ctx context.Context, call *api.Call, in *AuditIn, emit func(*FilePart) error) error {
	const op = "ledger.audit"
	signer, err := call.SignerFor(op)
	if err != nil {
		return err
	}
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := in.period().span(host.Now())
	if err != nil {
		return api.Errorf(op, api.Invalid, "%w", err)
	}
	rr, ok := r.(api.RecordReader)
	if !ok {
		return api.Errorf(op, api.Unsupported, "this host does not give records")
	}
	if _, ok := acts(s, signer.DID(), signer.Device()); !ok {
		return api.Refusal(op, stranger(s, signer.DID()))
	}
	e := &sealer{k: newKeeper(ctx, r, s, p), records: rr}
	m := &Manifest{
		Format: envelopeFormat, Space: s.ID, Name: s.Genesis.Name, From: p.from.UTC(), To: p.to.UTC(), Zone: p.zone.String(), Created: host.Now().UTC().Truncate(time.Second),
		DID: signer.DID(), Device: signer.Device(),
	}
	if err := e.measure(m); err != nil {
		return api.Wrap(op, err)
	}
	text := m.encode()
	if len(text) > maxManifest {
		return api.Errorf(op, api.TooLarge, "the manifest has %d bytes, at most %d", len(text), maxManifest)
	}
	sig, err := signer.Sign(auditMessage(text))
	if err != nil {
		return api.Wrap(op, err)
	}
	out := newParts(fmt.Sprintf("icn-audit-%.8s-%s.tar", s.ID, p.to.Add(-time.Nanosecond).In(p.zone).Format(time.DateOnly)), "application/x-tar", emit)
	if err := e.write(out, m, text, sig); err != nil {
		return api.Wrap(op, err)
	}
	return out.flush()
}

// acts reports as what a device acts for a DID in the space: as a member, or in an office.
func acts(s *fact.Space, did api.DID, device api.Key) (string, bool) {
	for _, name := range s.Genesis.Offices {
		if o, ok := s.Office(name); ok && o.DID == did && o.Device == device {
			return name, true
		}
	}
	m, _, ok := s.Member(did)
	return "member", ok && m.Device == device
}

// sealer writes the files of an envelope.
type sealer struct {
	k       *keeper
	records api.RecordReader
	count   uint64
	totals  *books.Totals
}

// file is a file of an envelope and how it is written.
type file struct {
	name  string
	write func(io.Writer) error
}

// files lists the files behind the manifest, in their order. The PDF is there when it has room for all rows.
func (e *sealer) files() []file {
	fs := []file{{fileRecords, e.writeRecords}}
	for _, format := range books.Formats() {
		fs = append(fs, file{bookName(format), func(w io.Writer) error {
			t, err := books.Write(w, e.k.book(""), format)
			e.totals = t
			return err
		}})
	}
	return fs
}

func bookName(format string) string { return "books." + books.Extension(format) }

// writeRecords writes all records of the space.
func (e *sealer) writeRecords(w io.Writer) error {
	e.count = 0
	buf := bufio.NewWriterSize(w, partSize)
	err := e.records.Envelopes(e.k.s.ID, func(raw []byte) error {
		if err := e.k.ctx.Err(); err != nil {
			return err
		}
		e.count++
		if _, err := buf.Write(binary.AppendUvarint(nil, uint64(len(raw)))); err != nil {
			return err
		}
		_, err := buf.Write(raw)
		return err
	})
	return errors.Join(err, buf.Flush())
}

// measure fills in what the manifest says of the files.
func (e *sealer) measure(m *Manifest) error {
	for _, f := range e.files() {
		h := &hashed{h: sha256.New()}
		err := f.write(h)
		if errors.Is(err, books.ErrTooLong) {
			continue
		}
		if err != nil {
			return err
		}
		m.Files = append(m.Files, ManifestFile{Name: f.name, Size: h.n, SHA256: h.sum()})
		if f.name == bookName(books.CSV) {
			m.Totals = manifestTotals(e.k.book(""), e.totals)
		}
	}
	m.Records = e.count
	return nil
}

func manifestTotals(b *books.Book, t *books.Totals) []ManifestTotal {
	out := make([]ManifestTotal, len(b.Currencies))
	for i, c := range b.Currencies {
		out[i] = ManifestTotal{Currency: c.Code, Scale: c.Scale, Rows: t.Sums[i].Count, In: t.Sums[i].In, Out: t.Sums[i].Out}
	}
	return out
}

func (e *sealer) write(w io.Writer, m *Manifest, text, sig []byte) error {
	plain := func(b []byte) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(b); return err }
	}
	line := append([]byte(hex.EncodeToString(sig)), '\n')
	if err := addFile(w, fileManifest, int64(len(text)), plain(text)); err != nil {
		return err
	}
	if err := addFile(w, fileSignature, int64(len(line)), plain(line)); err != nil {
		return err
	}
	for _, f := range e.files() {
		i := slices.IndexFunc(m.Files, func(mf ManifestFile) bool { return mf.Name == f.name })
		if i < 0 {
			continue
		}
		if err := addFile(w, f.name, m.Files[i].Size, f.write); err != nil {
			return err
		}
	}
	_, err := w.Write(make([]byte, 2*tarBlock))
	return err
}

// hashed hashes and counts what is written.
type hashed struct {
	h hash.Hash
	n int64
}

func (h *hashed) Write(b []byte) (int, error) {
	h.n += int64(len(b))
	return h.h.Write(b)
}

func (h *hashed) sum() api.Hash { return api.Hash(h.h.Sum(nil)) }
