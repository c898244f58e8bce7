// Package seal encrypts a message to the holder of one key, so that it stays secret even from who records it today and has a quantum computer
// later: HPKE (RFC 9180) in base mode with the KEM MLKEM768-X25519 (X-Wing, 0x647a), HKDF-SHA256 (0x0001) and ChaCha20-Poly1305 (0x0003), by
// the standard library's crypto/hpke.
//
// It says nothing about who sealed a message: base mode authenticates no sender. Sign over info, what Seal returned and the recipient.
// There is no forward secrecy against who steals the recipient's key, and the ciphertext tells the length of the message. Seal draws
// randomness of its own; everything else is pure. All of it is safe for concurrent use.
//
// First call: NewKey with a seed of 32 random bytes; its Public goes to those who Seal, Open reads what they sealed.
package seal

import (
	"crypto/hkdf"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"fmt"
)

// Sizes, in bytes. A sealed message is longer than the message by Overhead.
const (
	SeedSize  = 32
	KeySize   = 1216 // an encoded public key: 1,184 of ML-KEM-768 and 32 of X25519
	EncSize   = 1120 // an encapsulated key: 1,088 of ML-KEM-768 and 32 of X25519
	TagSize   = 16   // what a ciphertext is longer than its plaintext
	Overhead  = EncSize + TagSize
	MaxInfo   = 4 << 10 // of info, and of aad
	MaxLength = 1 << 20 // of a plaintext: it is held in memory whole
)

// The errors of this package; errors.Is finds them.
var (
	ErrSeed   = errors.New("seal: want a seed of 32 bytes")
	ErrKey    = errors.New("seal: malformed public key")
	ErrTooBig = errors.New("seal: over a size limit")
	ErrOpen   = errors.New("seal: not sealed to this key, or changed on the way") // which of the two nobody can tell
)

// Key opens what was sealed to it.
type Key struct {
	private hpke.PrivateKey
	public  []byte
}

// NewKey returns the key of a seed, always the same for the same seed: its X-Wing secret is HKDF-SHA-256 (RFC 5869) of the seed, without salt,
// with the info "seal mlkem768-x25519 seed". The seed may be one that other keys are derived from under other words. Error: ErrSeed.
func NewKey(seed []byte) (*Key, error) {
	if len(seed) != SeedSize {
		return nil, ErrSeed
	}
	secret, err := hkdf.Key(sha256.New, seed, nil, "seal mlkem768-x25519 seed", SeedSize)
	if err != nil {
		return nil, fmt.Errorf("seal: derive: %w", err)
	}
	defer clear(secret)
	k, err := hpke.MLKEM768X25519().NewPrivateKey(secret)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return &Key{private: k, public: k.PublicKey().Bytes()}, nil
}

// Public returns the encoded public key, KeySize bytes. The caller owns the result.
func (k *Key) Public() []byte { return append([]byte(nil), k.public...) }

// CheckKey reports, as ErrKey, why nothing can be sealed to an encoded public key.
func CheckKey(recipient []byte) error {
	_, err := parse(recipient)
	return err
}

func parse(recipient []byte) (hpke.PublicKey, error) {
	if len(recipient) != KeySize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrKey, len(recipient), KeySize)
	}
	p, err := hpke.MLKEM768X25519().NewPublicKey(recipient)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if string(p.Bytes()) != string(recipient) {
		return nil, fmt.Errorf("%w: non-canonical encoding", ErrKey)
	}
	return p, nil
}

// Seal encrypts plaintext to the holder of recipient, a public key. Info says what the message is and who exchanges it; aad is further data that
// must not be changed; both are needed to open it and are not contained in it. Enc has EncSize bytes, ciphertext those of plaintext and
// TagSize. Errors: ErrKey, ErrTooBig.
func Seal(recipient, info, aad, plaintext []byte) (enc, ciphertext []byte, err error) {
	if len(info) > MaxInfo || len(aad) > MaxInfo || len(plaintext) > MaxLength {
		return nil, nil, ErrTooBig
	}
	p, err := parse(recipient)
	if err != nil {
		return nil, nil, err
	}
	enc, s, err := hpke.NewSender(p, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrKey, err) // X25519 with a point of small order
	}
	ciphertext, err = s.Seal(aad, plaintext)
	if err != nil {
		return nil, nil, fmt.Errorf("seal: %w", err)
	}
	return enc, ciphertext, nil
}

// Open returns the plaintext of what was sealed to the key with the same info and aad. Errors: ErrTooBig, else ErrOpen.
func (k *Key) Open(info, aad, enc, ciphertext []byte) ([]byte, error) {
	if len(info) > MaxInfo || len(aad) > MaxInfo || len(ciphertext) > MaxLength+TagSize {
		return nil, ErrTooBig
	}
	if len(enc) != EncSize {
		return nil, ErrOpen
	}
	r, err := hpke.NewRecipient(enc, k.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info)
	if err != nil {
		return nil, ErrOpen
	}
	plaintext, err := r.Open(aad, ciphertext)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}
