package record

import (
	"strings"

	"github.com/mr-tron/base58"

	"github.com/intercooperative/icn/crypto/ed"
	"github.com/intercooperative/icn/kernel/api"
)

const didPrefix = "did:icn:"

// maxDIDText bounds what ParseDID looks at: the prefix and at most 64 characters of base58.
const maxDIDText = len(didPrefix) + 64

// DIDOf returns the one spelling of the DID of a root key.
func DIDOf(k api.Key) api.DID { return api.DID(didPrefix + base58.Encode(k[:])) }

// ParseDID reads a DID and returns its root key. Anything but the one spelling of a usable key is refused: wrong prefix, other alphabet,
// leading or missing zeroes, a key that CheckKey refuses.
func ParseDID(s string) (api.Key, error) {
	k, err := SpellDID(s)
	if err != nil {
		return api.Key{}, err
	}
	if err := CheckKey(k); err != nil {
		return api.Key{}, api.Errorf("did.parse", api.Invalid, "DID %q: %w", s, err)
	}
	return k, nil
}

// SpellDID is ParseDID without CheckKey, which costs more than a look-up: for a question about a DID, which is then found to be nobody's.
func SpellDID(s string) (api.Key, error) {
	var k api.Key
	bad := func(why string) (api.Key, error) {
		if len(s) > maxDIDText {
			s = s[:maxDIDText] + "..."
		}
		return api.Key{}, api.Errorf("did.parse", api.Invalid, "DID %q: %s", s, why)
	}
	text, ok := strings.CutPrefix(s, didPrefix)
	if !ok {
		return bad("want did:icn:<base58btc key>")
	}
	if len(s) > maxDIDText {
		return bad("too long")
	}
	b, err := base58.Decode(text)
	if err != nil || len(b) != len(k) {
		return bad("want 32 bytes in base58btc after did:icn:")
	}
	copy(k[:], b)
	if string(DIDOf(k)) != s {
		return bad("not the canonical spelling of its key")
	}
	return k, nil
}

// Multikey returns k as the W3C's documents write an Ed25519 key: z, and the base58btc form of 0xed01 and the key.
func Multikey(k api.Key) string { return "z" + base58.Encode(append([]byte{0xed, 0x01}, k[:]...)) }

// ParseMultikey is the inverse of Multikey.
func ParseMultikey(s string) (api.Key, error) {
	var k api.Key
	b, err := base58.Decode(strings.TrimPrefix(s[:min(len(s), maxDIDText)], "z"))
	if err == nil && len(b) == 2+len(k) {
		copy(k[:], b[2:])
	}
	if k == (api.Key{}) || Multikey(k) != s {
		return api.Key{}, api.Errorf("multikey.parse", api.Invalid, "key %q: want z6Mk..., an Ed25519 key", clip(s))
	}
	return k, CheckKey(k)
}

// CheckKey refuses keys that could have two spellings or sign for two: non-canonical point encodings, points off the curve,
// and points of small or mixed order (records.md, signature).
func CheckKey(k api.Key) error {
	if err := ed.CheckKey(k[:]); err != nil {
		return api.Errorf("key.check", api.Invalid, "key %s: %w", k, err)
	}
	return nil
}
