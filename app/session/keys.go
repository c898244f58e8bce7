package session

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/intercooperative/icn/kernel/api"
)

// MinSecret is the least size of Options.Secret, in bytes.
const MinSecret = 32

// keys are the secrets of the app. They print as nothing.
type keys struct {
	token   ed25519.PrivateKey // signs access tokens
	refresh []byte             // marks refresh tokens as this node's, so that a used one is told from an invented one
	process []byte             // seals challenges and pairings, which end with the process
}

// String keeps the secrets out of logs and errors.
func (*keys) String() string   { return "(keys)" }
func (*keys) GoString() string { return "(keys)" }

// derive makes the keys, each by HKDF-SHA256 under a name of its own (RFC 5869).
func derive(secret []byte, random io.Reader) (*keys, error) {
	k := &keys{process: make([]byte, 32)}
	if _, err := io.ReadFull(random, k.process); err != nil {
		return nil, api.Wrap("session.keys", err)
	}
	if secret == nil {
		secret = make([]byte, MinSecret)
		if _, err := io.ReadFull(random, secret); err != nil {
			return nil, api.Wrap("session.keys", err)
		}
	}
	if len(secret) < MinSecret {
		return nil, api.Errorf("session.keys", api.Invalid, "secret of %d bytes: want at least %d", len(secret), MinSecret)
	}
	seed, err := hkdf.Key(sha256.New, secret, nil, "ICN/1/token", ed25519.SeedSize)
	if err != nil {
		return nil, api.Wrap("session.keys", err)
	}
	k.token = ed25519.NewKeyFromSeed(seed)
	k.refresh, err = hkdf.Key(sha256.New, secret, nil, "ICN/1/refresh", 32)
	return k, api.Wrap("session.keys", err)
}

// name is the `kid` of tokens.
func (k *keys) name() string {
	sum := sha256.Sum256(k.token.Public().(ed25519.PublicKey))
	return hex.EncodeToString(sum[:8])
}

// mac is HMAC-SHA256 over parts whose lengths are fixed, but for the last one.
func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}
