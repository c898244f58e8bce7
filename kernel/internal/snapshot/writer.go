package snapshot

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Writer writes an archive. The first error ends it. It is not safe for concurrent use.
type Writer struct {
	zip   *gzip.Writer
	sum   api.Hash
	kind  byte // of the frame in buf
	buf   []byte
	total Totals
	err   error
}

// NewWriter begins an archive on w with its header.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	// The fastest level: records are mostly keys, hashes and signatures, which no level makes smaller.
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return nil, api.Errorf("snapshot.write", api.Internal, "%w", err)
	}
	aw := &Writer{zip: zip, sum: start()}
	aw.frame(frameHeader, h.encode())
	return aw, aw.err
}

// Record adds a signed envelope. Records come in an order in which each follows its predecessor and what it cites.
func (w *Writer) Record(raw []byte) error {
	w.item(frameRecords, raw)
	w.total.Records++
	return w.err
}

// Meta adds a named value.
func (w *Writer) Meta(name string, value []byte) error {
	if n := len(name) + len(value); n > maxMeta-16 {
		return api.Errorf("snapshot.write", api.TooLarge, "the value %q has %d bytes: an archive takes %d", name, n, maxMeta-16)
	}
	w.item(frameMetas, []byte(name), value)
	w.total.Metas++
	return w.err
}

// Served adds a request that has been done.
func (w *Writer) Served(s Served) error {
	w.room(frameServed)
	w.buf = s.append(w.buf)
	w.total.Served++
	return w.err
}

// Close writes the end and returns what the archive holds. It does not close the underlying writer.
func (w *Writer) Close() (Totals, error) {
	w.flush()
	w.frame(frameEnd, codec.MustMarshal(&totalsWire{Records: w.total.Records, Metas: w.total.Metas, Served: w.total.Served}))
	if w.err == nil {
		w.err = w.zip.Close()
	}
	if w.err != nil {
		return Totals{}, w.fail()
	}
	w.err = api.Errorf("snapshot.write", api.Internal, "the archive is closed")
	w.total.Sum = w.sum
	return w.total, nil
}

// fail classifies what the underlying writer said: a full disk is nobody's fault.
func (w *Writer) fail() error {
	var known *api.Error
	if !errors.As(w.err, &known) {
		w.err = api.Errorf("snapshot.write", api.Unavailable, "%w", w.err)
	}
	return w.err
}

// item adds parts with their lengths.
func (w *Writer) item(kind byte, parts ...[]byte) {
	w.room(kind)
	for _, p := range parts {
		w.buf = binary.AppendUvarint(w.buf, uint64(len(p)))
		w.buf = append(w.buf, p...)
	}
}

// room makes room for one more item of a kind.
func (w *Writer) room(kind byte) {
	if kind != w.kind || len(w.buf) >= frameTarget {
		w.flush()
	}
	w.kind = kind
}

func (w *Writer) flush() {
	if len(w.buf) > 0 {
		w.frame(w.kind, w.buf)
		w.buf = w.buf[:0]
	}
}

func (w *Writer) frame(kind byte, payload []byte) {
	if w.err != nil {
		return
	}
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	w.sum = next(w.sum, head, payload)
	for _, b := range [][]byte{head, payload, w.sum[:]} {
		if _, w.err = w.zip.Write(b); w.err != nil {
			w.err = w.fail()
			return
		}
	}
}
