// Package ed is Ed25519 by one rule for everybody: which keys are taken, and which signatures fit.
//
// Implementations of Ed25519 disagree about crafted signatures, and nodes that disagree about one signature part for ever. So there is this one
// place: keys by CheckKey, signatures by ZIP-215, which gives the same answer singly and in batches. Signing is the standard library's
// (crypto/ed25519): all rules take what an honest signer makes.
//
// It is pure and knows nothing but bytes. docs/protocol.md sections 2.1 and 3.4 are normative.
package ed

import (
	"crypto/ed25519"
	"errors"

	"filippo.io/edwards25519"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519/extra/cache"
)

// Sizes, in bytes.
const (
	KeySize       = ed25519.PublicKeySize
	SignatureSize = ed25519.SignatureSize
)

// The errors of CheckKey.
var (
	ErrNotAPoint    = errors.New("not a point of the curve")
	ErrNotCanonical = errors.New("non-canonical encoding")
	ErrOrder        = errors.New("small or mixed order")
)

// CheckKey refuses keys that could have two spellings or sign for two: what is not KeySize bytes, points off the curve, non-canonical
// encodings, and points of small or mixed order. The same keys are asked about again and again (a payee's with each payment), so what was found good is
// remembered, of some thousand keys.
func CheckKey(key []byte) error {
	if good.has(key) {
		return nil
	}
	if err := checkKey(key); err != nil {
		return err
	}
	good.add(key)
	return nil
}

func checkKey(key []byte) error {
	p, err := new(edwards25519.Point).SetBytes(key)
	if err != nil {
		return ErrNotAPoint
	}
	if string(p.Bytes()) != string(key) {
		return ErrNotCanonical
	}
	// p is in the prime-order subgroup, and is not the identity, iff l*p = 0 and p != 0. edwards25519 scalars are reduced mod l,
	// so compute (l-1)*p and compare with -p. Keys are public: the faster multiplication whose time varies will do.
	q := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(lMinusOne, p, edwards25519.NewScalar())
	if q.Equal(new(edwards25519.Point).Negate(p)) != 1 || p.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return ErrOrder
	}
	return nil
}

var lMinusOne = func() *edwards25519.Scalar {
	one := make([]byte, 32)
	one[0] = 1
	s, err := edwards25519.NewScalar().SetCanonicalBytes(one)
	if err != nil {
		panic(err)
	}
	return edwards25519.NewScalar().Negate(s)
}()

// zip215 is the one verification rule: cofactored, S < l (voi checks that always), and points in any encoding that CheckKey let through.
var zip215 = &voi.Options{Verify: voi.VerifyOptionsZIP_215}

// Verify reports whether signature is key's over message by the ZIP-215 rule. It does not look at what CheckKey looks at: check a key once, when
// it becomes known.
func Verify(key, message, signature []byte) bool {
	return len(key) == KeySize && len(signature) == SignatureSize && voi.VerifyWithOptions(voi.PublicKey(key), message, signature, zip215)
}

// Signed is a message with the key that should have signed it.
type Signed struct {
	Key       []byte // KeySize bytes, which CheckKey has let through
	Message   []byte
	Signature []byte
}

// Verifier checks signatures many at a time and remembers decoded keys. It is safe for concurrent use.
type Verifier struct {
	keys *cache.Verifier
}

// NewVerifier returns a Verifier that remembers up to n keys (about 1.3 KiB each).
func NewVerifier(n int) *Verifier {
	return &Verifier{keys: cache.NewVerifier(cache.NewLRUCache(n))}
}

// maxBatch is the batch size beyond which verification gains nothing.
const maxBatch = 128

// Verify returns for each message what the function Verify says of it. A batch with a bad signature is looked at singly.
func (v *Verifier) Verify(ms []Signed) []bool {
	ok := make([]bool, len(ms))
	for lo := 0; lo < len(ms); lo += maxBatch {
		part := ms[lo:min(lo+maxBatch, len(ms))]
		if len(part) == 1 {
			ok[lo] = v.keys.VerifyWithOptions(voi.PublicKey(part[0].Key), part[0].Message, part[0].Signature, zip215)
			continue
		}
		b := voi.NewBatchVerifierWithCapacity(len(part))
		for i := range part {
			v.keys.AddWithOptions(b, voi.PublicKey(part[i].Key), part[i].Message, part[i].Signature, zip215)
		}
		if all, each := b.Verify(nil); all {
			for i := range part {
				ok[lo+i] = true
			}
		} else {
			copy(ok[lo:], each)
		}
	}
	return ok
}
