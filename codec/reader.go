package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
)

// Reader reads canonical items one after another, without reflection and without copying: for formats on a hot path. It accepts of each item
// what Unmarshal accepts, the shortest form with a definite length, and nothing else.
//
// The first error stays: later reads return zero values, and End reports it. So a format is read straight through and checked once.
type Reader struct {
	b    []byte
	at   int
	fail error
}

// ErrMalformed is returned by Reader for input that is cut short, of another type or followed by more.
var ErrMalformed = errors.New("malformed")

// The major types of RFC 8949, section 3.1.
const (
	majorUint   = 0
	majorNeg    = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorSimple = 7
)

// The simple values of RFC 8949, section 3.3.
const (
	simpleFalse = 20
	simpleTrue  = 21
)

// NewReader returns a Reader of b. What it returns aliases b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Uint reads an unsigned integer of at most limit.
func (r *Reader) Uint(limit uint64) uint64 {
	n := r.head(majorUint)
	if n > limit {
		return r.stop(ErrMalformed, "integer out of range")
	}
	return n
}

// Int reads an integer of either sign.
func (r *Reader) Int() int64 {
	if r.fail == nil && r.at < len(r.b) && r.b[r.at]>>5 == majorNeg {
		return ^r.int(majorNeg)
	}
	return r.int(majorUint)
}

func (r *Reader) int(major byte) int64 {
	n := r.head(major)
	if n > math.MaxInt64 {
		n = r.stop(ErrMalformed, "integer out of range")
	}
	return int64(n)
}

// Bool reads a truth value.
func (r *Reader) Bool() bool {
	n := r.head(majorSimple)
	if r.fail == nil && n != simpleFalse && n != simpleTrue {
		r.stop(ErrMalformed, "neither true nor false")
	}
	return n == simpleTrue
}

// Bytes reads a byte string. The result aliases the input and cannot grow into it.
func (r *Reader) Bytes() []byte { return r.take(r.head(majorBytes)) }

// Text reads a text string; the result is a copy.
func (r *Reader) Text() string {
	b := r.take(r.head(majorText))
	if !utf8.Valid(b) {
		r.stop(ErrMalformed, "text that is not UTF-8")
		return ""
	}
	return string(b)
}

// Array reads the head of an array of exactly n elements; the elements follow.
func (r *Reader) Array(n int) {
	if got := r.head(majorArray); r.fail == nil && got != uint64(n) {
		r.stop(ErrMalformed, "array of another length")
	}
}

// ArrayLen reads the head of an array of at most limit elements and returns their number.
func (r *Reader) ArrayLen(limit int) int {
	n := r.head(majorArray)
	if n > uint64(limit) {
		r.stop(ErrMalformed, "array too long")
		return 0
	}
	return int(n)
}

// Failed reports whether an error occurred: to leave a long loop early.
func (r *Reader) Failed() bool { return r.fail != nil }

// End returns the first error, ErrMalformed or ErrNotCanonical with the place where it occurred; input left over is one.
func (r *Reader) End() error {
	if r.fail == nil && r.at != len(r.b) {
		r.stop(ErrMalformed, "bytes after the end")
	}
	return r.fail
}

func (r *Reader) stop(err error, what string) uint64 {
	if r.fail == nil {
		r.fail = fmt.Errorf("byte %d: %s: %w", r.at, what, err)
	}
	return 0
}

func (r *Reader) take(n uint64) []byte {
	if r.fail != nil {
		return nil
	}
	if n > uint64(len(r.b)-r.at) {
		r.stop(ErrMalformed, "string longer than the input")
		return nil
	}
	from := r.at
	r.at += int(n)
	return r.b[from:r.at:r.at]
}

// head reads the head of an item of the major type and returns its argument.
func (r *Reader) head(major byte) uint64 {
	if r.fail != nil {
		return 0
	}
	b := r.b[r.at:]
	if len(b) == 0 {
		return r.stop(ErrMalformed, "input ends")
	}
	if b[0]>>5 != major {
		return r.stop(ErrMalformed, "item of another type")
	}
	info := b[0] & 0x1f
	if info < 24 {
		r.at++
		return uint64(info)
	}
	if info > 27 {
		return r.stop(ErrNotCanonical, "indefinite length or reserved form")
	}
	size := 1 << (info - 24)
	if len(b) < 1+size {
		return r.stop(ErrMalformed, "input ends")
	}
	var n, least uint64
	switch size {
	case 1:
		n, least = uint64(b[1]), 24
	case 2:
		n, least = uint64(binary.BigEndian.Uint16(b[1:])), 1<<8
	case 4:
		n, least = uint64(binary.BigEndian.Uint32(b[1:])), 1<<16
	case 8:
		n, least = binary.BigEndian.Uint64(b[1:]), 1<<32
	}
	if n < least {
		return r.stop(ErrNotCanonical, "longer form than needed")
	}
	r.at += 1 + size
	return n
}
