// Package hybrid is signatures that hold as long as either of two schemes does: Ed25519, and ML-DSA (FIPS 204), which a quantum computer is
// not known to break. Both halves sign, and both must verify.
//
// It is for what must hold for decades and is signed rarely (key events, certificates, checkpoints): a signature of Level65 takes 3,374 bytes
// and about 0.3 ms to verify. It is not a key store and no protocol: it knows bytes, and the caller's context says what they are. It is pure;
// signatures are deterministic. A PrivateKey and a PublicKey are safe for concurrent use.
//
// First call: NewKey with a seed of 32 random bytes, or Extend when the Ed25519 key exists already; then Sign, and ParsePublicKey and Verify
// on the other side.
//
// # Encoding
//
// A public key is the level (one byte), 32 bytes of Ed25519, and the ML-DSA key; a signature is the level, 64 bytes of Ed25519, and the ML-DSA
// signature. The level's byte selects scheme and sizes; a byte that is not listed is refused. Each key has one encoding.
//
// Both halves sign the same bytes:
//
//	"hybrid-ed25519-mldsa" | level | SHA-256 of the encoded public key | length of context, 1 byte | context | message
//
// and ML-DSA has, besides, the context string "hybrid-ed25519-mldsa" of FIPS 204. So neither half is a signature of the message alone, nor
// one under another pair of keys.
//
// # Seeds
//
// Each half has a seed of its own, HKDF-SHA-256 (RFC 5869) of the given one, without salt, with the info "hybrid-ed25519-mldsa seed ed25519" or
// "hybrid-ed25519-mldsa seed ML-DSA-65" (44, 87). Extend keeps an Ed25519 key and derives the other half from that key's seed in the same way.
// So whoever restores the one seed, from a backup phrase, has both halves again.
package hybrid

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"filippo.io/mldsa"

	"github.com/intercooperative/icn/crypto/ed"
)

// Level is the parameter set of the ML-DSA half. Its number is the first byte of keys and signatures and is never reused.
type Level uint8

// The levels: NIST's security categories 2, 3 and 5. Level65 is the choice when nothing speaks for another.
const (
	Level44 Level = 44
	Level65 Level = 65
	Level87 Level = 87
)

// Sizes, in bytes.
const (
	SeedSize         = 32
	MaxPublicKeySize = 1 + ed.KeySize + mldsa.MLDSA87PublicKeySize
	MaxSignatureSize = 1 + ed.SignatureSize + mldsa.MLDSA87SignatureSize
	MaxContext       = 255
)

// The errors of this package; errors.Is finds them.
var (
	ErrLevel   = errors.New("hybrid: level not known")
	ErrKey     = errors.New("hybrid: malformed public key")
	ErrSeed    = errors.New("hybrid: want a seed of 32 bytes")
	ErrContext = errors.New("hybrid: context over 255 bytes")
)

const label = "hybrid-ed25519-mldsa"

func (l Level) parameters() (p mldsa.Parameters, ok bool) {
	switch l {
	case Level44:
		return mldsa.MLDSA44(), true
	case Level65:
		return mldsa.MLDSA65(), true
	case Level87:
		return mldsa.MLDSA87(), true
	}
	return p, false
}

// PublicKeySize returns the size of an encoded public key in bytes, 0 for a level that is not known.
func (l Level) PublicKeySize() int {
	if p, ok := l.parameters(); ok {
		return 1 + ed.KeySize + p.PublicKeySize()
	}
	return 0
}

// SignatureSize returns the size of a signature in bytes, 0 for a level that is not known.
func (l Level) SignatureSize() int {
	if p, ok := l.parameters(); ok {
		return 1 + ed.SignatureSize + p.SignatureSize()
	}
	return 0
}

// PrivateKey signs with both halves.
type PrivateKey struct {
	ed     ed25519.PrivateKey
	ml     *mldsa.PrivateKey
	public *PublicKey
}

// NewKey returns the key of a seed, always the same for the same seed and level. Errors: ErrLevel, ErrSeed.
func NewKey(l Level, seed []byte) (*PrivateKey, error) {
	if len(seed) != SeedSize {
		return nil, ErrSeed
	}
	half, err := derive(seed, "ed25519")
	if err != nil {
		return nil, err
	}
	defer clear(half)
	return newKey(l, ed25519.NewKeyFromSeed(half), seed)
}

// Extend returns the key whose Ed25519 half is k, and whose ML-DSA half belongs to k's seed: for a key that people know already. The standard
// Ed25519 signatures of k stay what they were and are no part of a hybrid one. Errors: ErrLevel, ErrSeed when k is no private key.
func Extend(l Level, k ed25519.PrivateKey) (*PrivateKey, error) {
	if len(k) != ed25519.PrivateKeySize {
		return nil, ErrSeed
	}
	seed := k.Seed()
	defer clear(seed)
	return newKey(l, ed25519.NewKeyFromSeed(seed), seed)
}

func newKey(l Level, k ed25519.PrivateKey, seed []byte) (*PrivateKey, error) {
	params, ok := l.parameters()
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrLevel, l)
	}
	half, err := derive(seed, params.String())
	if err != nil {
		return nil, err
	}
	defer clear(half)
	ml, err := mldsa.NewPrivateKey(params, half)
	if err != nil {
		return nil, fmt.Errorf("hybrid: %w", err)
	}
	encoded := append(append([]byte{byte(l)}, k.Public().(ed25519.PublicKey)...), ml.PublicKey().Bytes()...)
	return &PrivateKey{ed: k, ml: ml, public: newPublicKey(l, encoded, ml.PublicKey())}, nil
}

func derive(seed []byte, half string) ([]byte, error) {
	b, err := hkdf.Key(sha256.New, seed, nil, label+" seed "+half, SeedSize)
	if err != nil {
		return nil, fmt.Errorf("hybrid: derive: %w", err)
	}
	return b, nil
}

// Public returns the public key.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// Sign signs message in a context: what the message is, different for everything that the key signs, at most MaxContext bytes. Error:
// ErrContext.
func (k *PrivateKey) Sign(context string, message []byte) ([]byte, error) {
	m, err := k.public.bind(context, message)
	if err != nil {
		return nil, err
	}
	ml, err := k.ml.SignDeterministic(m, &mldsa.Options{Context: label})
	if err != nil {
		return nil, fmt.Errorf("hybrid: sign: %w", err)
	}
	sig := make([]byte, 0, k.public.level.SignatureSize())
	sig = append(sig, byte(k.public.level))
	sig = append(sig, ed25519.Sign(k.ed, m)...)
	return append(sig, ml...), nil
}

// PublicKey verifies.
type PublicKey struct {
	level   Level
	encoded []byte
	print   [sha256.Size]byte
	ml      *mldsa.PublicKey
}

func newPublicKey(l Level, encoded []byte, ml *mldsa.PublicKey) *PublicKey {
	return &PublicKey{level: l, encoded: encoded, print: sha256.Sum256(encoded), ml: ml}
}

// ParsePublicKey reads an encoded public key. It refuses, with ErrLevel or ErrKey, what is not the one encoding of a key whose Ed25519 half
// ed.CheckKey takes. The result does not alias b.
func ParsePublicKey(b []byte) (*PublicKey, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: no bytes", ErrKey)
	}
	l := Level(b[0])
	params, ok := l.parameters()
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrLevel, l)
	}
	if len(b) != l.PublicKeySize() {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(b), l.PublicKeySize())
	}
	if err := ed.CheckKey(b[1 : 1+ed.KeySize]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	ml, err := mldsa.NewPublicKey(params, b[1+ed.KeySize:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if string(ml.Bytes()) != string(b[1+ed.KeySize:]) {
		return nil, fmt.Errorf("%w: non-canonical encoding", ErrKey)
	}
	return newPublicKey(l, append([]byte(nil), b...), ml), nil
}

// Bytes returns the encoded key. The caller owns the result.
func (p *PublicKey) Bytes() []byte { return append([]byte(nil), p.encoded...) }

// Fingerprint returns the SHA-256 of the encoded key.
func (p *PublicKey) Fingerprint() [sha256.Size]byte { return p.print }

// Level returns the parameter set of the ML-DSA half.
func (p *PublicKey) Level() Level { return p.level }

// Ed25519 returns the Ed25519 half.
func (p *PublicKey) Ed25519() [ed.KeySize]byte {
	return [ed.KeySize]byte(p.encoded[1:])
}

// Verify reports whether signature is the key's over message in context. Both halves must verify, the Ed25519 half by the ZIP-215 rule.
func (p *PublicKey) Verify(context string, message, signature []byte) bool {
	if len(signature) != p.level.SignatureSize() || Level(signature[0]) != p.level {
		return false
	}
	m, err := p.bind(context, message)
	if err != nil {
		return false
	}
	const split = 1 + ed.SignatureSize
	return ed.Verify(p.encoded[1:1+ed.KeySize], m, signature[1:split]) &&
		mldsa.Verify(p.ml, m, signature[split:], &mldsa.Options{Context: label}) == nil
}

// bind returns what both halves sign.
func (p *PublicKey) bind(context string, message []byte) ([]byte, error) {
	if len(context) > MaxContext {
		return nil, ErrContext
	}
	m := make([]byte, 0, len(label)+1+len(p.print)+1+len(context)+len(message))
	m = append(m, label...)
	m = append(m, byte(p.level))
	m = append(m, p.print[:]...)
	m = append(m, byte(len(context)))
	m = append(m, context...)
	return append(m, message...), nil
}
