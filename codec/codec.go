// Package codec turns values into canonical bytes and back: CBOR in the deterministic form of RFC 8949 section 4.2.1,
// structs tagged `cbor:",toarray"` as arrays. What is not canonical is refused on decoding, so a value has exactly one
// encoding and a hash of the bytes is a hash of the value. It knows nothing of ICN.
package codec

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// Limits of one decoded value, against hostile input.
const (
	MaxArray = 65536 // elements of one array
	MaxMap   = 1024  // pairs of one map
	MaxDepth = 16    // nesting
)

var (
	enc = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		ShortestFloat: cbor.ShortestFloat16,
		NaNConvert:    cbor.NaNConvertReject,
		InfConvert:    cbor.InfConvertReject,
		IndefLength:   cbor.IndefLengthForbidden,
		TagsMd:        cbor.TagsForbidden,
		NilContainers: cbor.NilContainerAsEmpty,
	}.EncMode())
	dec = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxArrayElements:  MaxArray,
		MaxMapPairs:       MaxMap,
		MaxNestedLevels:   MaxDepth,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		IntDec:            cbor.IntDecConvertNone,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// ErrNotCanonical is returned for input that decodes but is not the one encoding of its value.
var ErrNotCanonical = errors.New("not in canonical form")

// Marshal returns the canonical encoding of v.
func Marshal(v any) ([]byte, error) { return enc.Marshal(v) }

// MustMarshal is Marshal for values whose types cannot fail to encode; it panics otherwise.
func MustMarshal(v any) []byte { return must(enc.Marshal(v)) }

// Unmarshal decodes b into the pointer v and refuses trailing bytes and non-canonical input. v may be partly filled on error.
func Unmarshal(b []byte, v any) error {
	if err := dec.Unmarshal(b, v); err != nil {
		return fmt.Errorf("decode %s: %w", reflect.TypeOf(v).Elem(), err)
	}
	again, err := enc.Marshal(v)
	if err != nil {
		return fmt.Errorf("decode %s: %w", reflect.TypeOf(v).Elem(), err)
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("decode %s: %w", reflect.TypeOf(v).Elem(), ErrNotCanonical)
	}
	return nil
}
