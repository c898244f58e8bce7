package snapshot

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Item is one thing in an archive: exactly one of its fields is set. What it refers to is valid until the next item.
type Item struct {
	Record []byte // a signed envelope; nobody has looked inside
	Meta   *Meta
	Served *Served
}

// Meta is a named value.
type Meta struct {
	Name  string
	Value []byte
}

// Reader reads an archive from front to end. It is not safe for concurrent use.
type Reader struct {
	Header Header

	src   io.Reader
	zip   *gzip.Reader
	sum   api.Hash
	kind  byte
	buf   []byte // the frame
	rest  []byte // of its payload
	total Totals
	err   error
}

// NewReader reads the header. What is no archive is api.Invalid, one of a newer format api.Unsupported.
func NewReader(src io.Reader) (*Reader, error) {
	zip, err := gzip.NewReader(src)
	if err != nil {
		return nil, broken(err)
	}
	zip.Multistream(false)
	r := &Reader{src: src, zip: zip, sum: start()}
	if err := r.frame(); err != nil {
		return nil, err
	}
	if r.kind != frameHeader {
		return nil, errDamaged("it does not begin with a header")
	}
	if r.Header, err = decodeHeader(r.rest); err != nil {
		return nil, err
	}
	r.rest = nil
	return r, nil
}

// Next returns the next item. The error is io.EOF once everything has been read and every digest and count is right; nothing else is an end.
func (r *Reader) Next() (Item, error) {
	if r.err != nil {
		return Item{}, r.err
	}
	it, err := r.next()
	r.err = err
	return it, err
}

func (r *Reader) next() (Item, error) {
	for len(r.rest) == 0 {
		if err := r.frame(); err != nil {
			return Item{}, err
		}
		switch r.kind {
		case frameRecords, frameMetas, frameServed:
		case frameEnd:
			return Item{}, r.end()
		default:
			return Item{}, errDamaged("a frame of kind %q where none may stand", r.kind)
		}
	}
	switch r.kind {
	case frameRecords:
		b, err := r.part()
		r.total.Records++
		return Item{Record: b}, err
	case frameMetas:
		name, err := r.part()
		if err != nil {
			return Item{}, err
		}
		value, err := r.part()
		r.total.Metas++
		return Item{Meta: &Meta{Name: string(name), Value: value}}, err
	}
	if len(r.rest) < servedSize {
		return Item{}, errDamaged("a served request is cut off")
	}
	s := parseServed(r.rest)
	r.rest = r.rest[servedSize:]
	r.total.Served++
	return Item{Served: &s}, nil
}

// part takes one length and what it counts from the frame.
func (r *Reader) part() ([]byte, error) {
	n, w := binary.Uvarint(r.rest)
	if w <= 0 || n > uint64(maxItem(r.kind)) || uint64(len(r.rest)-w) < n {
		return nil, errDamaged("an item is longer than its frame")
	}
	b := r.rest[w : w+int(n) : w+int(n)]
	r.rest = r.rest[w+int(n):]
	return b, nil
}

// Totals returns what has been read so far; Sum is set at the end.
func (r *Reader) Totals() Totals { return r.total }

func (r *Reader) end() error {
	var w totalsWire
	if err := codec.Unmarshal(r.rest, &w); err != nil {
		return errDamaged("totals: %w", err)
	}
	if w.Records != r.total.Records || w.Metas != r.total.Metas || w.Served != r.total.Served || w.Records != r.Header.Records {
		return errDamaged("its end counts %d records, %d values and %d requests; %d, %d and %d are in it, and its header says %d records",
			w.Records, w.Metas, w.Served, r.total.Records, r.total.Metas, r.total.Served, r.Header.Records)
	}
	// The compressed stream has a checksum, and the encrypted one an end: both show only when one reads on.
	var one [1]byte
	if n, err := io.ReadFull(r.zip, one[:]); n > 0 {
		return errDamaged("something follows its end")
	} else if !errors.Is(err, io.EOF) {
		return broken(err)
	}
	if n, err := io.ReadFull(r.src, one[:]); n > 0 {
		return errDamaged("something follows its end")
	} else if !errors.Is(err, io.EOF) {
		return broken(err)
	}
	r.total.Sum = r.sum
	return io.EOF
}

// frame reads the next frame whole and checks its digest before anybody looks at it.
func (r *Reader) frame() error {
	var head [frameHead]byte
	if _, err := io.ReadFull(r.zip, head[:]); err != nil {
		return broken(err)
	}
	n := int(binary.BigEndian.Uint32(head[1:]))
	if n > maxFrame {
		return errDamaged("a frame of %d bytes: at most %d", n, maxFrame)
	}
	if cap(r.buf) < n+len(r.sum) {
		r.buf = make([]byte, n+len(r.sum))
	}
	r.buf = r.buf[:n+len(r.sum)]
	if _, err := io.ReadFull(r.zip, r.buf); err != nil {
		return broken(err)
	}
	r.kind, r.rest = head[0], r.buf[:n]
	if r.sum = next(r.sum, head[:], r.rest); r.sum != api.Hash(r.buf[n:]) {
		return errDamaged("the digest of frame %q after %d records does not fit", r.kind, r.total.Records)
	}
	return nil
}

// broken says what it means that the stream could not be read on.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errDamaged("it is cut off")
	}
	return errDamaged("%w", err)
}
