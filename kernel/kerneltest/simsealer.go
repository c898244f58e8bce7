package kerneltest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"

	"github.com/intercooperative/icn/kernel"
)

// simSealer seals with chance from a seed, which the hybrid one of real nodes cannot: X25519, HKDF-SHA-256 and AES-256-GCM. What is sealed stays
// sealed, but for who knows the seed.
type simSealer struct {
	random  io.Reader
	private *ecdh.PrivateKey
}

// newSimSealer returns the Sealer of a node's life.
func newSimSealer(key ed25519.PrivateKey, seed [32]byte) kernel.Sealer {
	secret := sha256.Sum256(append([]byte("sim seal key"), key.Seed()...))
	private, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		panic(err) // 32 bytes are always a key
	}
	return &simSealer{rand.NewChaCha8(sha256.Sum256(append([]byte("sim seal"), seed[:]...))), private}
}

// Public implements kernel.Sealer.
func (s *simSealer) Public() []byte { return s.private.PublicKey().Bytes() }

// Seal implements kernel.Sealer.
func (s *simSealer) Seal(recipient, info, plaintext []byte) (enc, ciphertext []byte, err error) {
	to, err := ecdh.X25519().NewPublicKey(recipient)
	if err != nil {
		return nil, nil, err
	}
	var secret [32]byte
	if _, err := io.ReadFull(s.random, secret[:]); err != nil {
		return nil, nil, err
	}
	once, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		return nil, nil, err
	}
	enc = once.PublicKey().Bytes()
	aead, err := agree(once, to, enc, recipient)
	if err != nil {
		return nil, nil, err
	}
	return enc, aead.Seal(nil, make([]byte, aead.NonceSize()), plaintext, info), nil // the key is used once
}

// Open implements kernel.Sealer.
func (s *simSealer) Open(info, enc, ciphertext []byte) ([]byte, error) {
	from, err := ecdh.X25519().NewPublicKey(enc)
	if err != nil {
		return nil, errors.New("sealed to no key")
	}
	aead, err := agree(s.private, from, enc, s.Public())
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, make([]byte, aead.NonceSize()), ciphertext, info)
}

func agree(own *ecdh.PrivateKey, other *ecdh.PublicKey, enc, recipient []byte) (cipher.AEAD, error) {
	shared, err := own.ECDH(other)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, shared, append(enc[:len(enc):len(enc)], recipient...), "sim seal", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
