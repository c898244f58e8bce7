package record

import (
	"crypto/ed25519"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/crypto/ed"
	"github.com/intercooperative/icn/kernel/api"
)

const keyEventTag = "icn-key-event"

// KeyEvent is an event of version 1, which stands alone: a root key lets a device key sign for its DID, and commits to no next key. Log has the
// events of version 2.
type KeyEvent struct {
	DID    api.DID
	Device api.Key
	Seq    uint64
}

type keyEvent struct {
	_       struct{} `cbor:",toarray"`
	Tag     string
	Version uint16
	Root    []byte
	Seq     uint64
	Device  []byte
}

type signedKeyEvent struct {
	_         struct{} `cbor:",toarray"`
	Event     []byte
	Signature []byte
}

// SignKeyEvent certifies device under the DID of root, by an event of version 1. A person's DID starts with Incept.
func SignKeyEvent(root ed25519.PrivateKey, device api.Key) ([]byte, error) {
	b := codec.MustMarshal(&keyEvent{Tag: keyEventTag, Version: 1, Root: root.Public().(ed25519.PublicKey), Device: device[:]})
	return codec.Marshal(&signedKeyEvent{Event: b, Signature: ed25519.Sign(root, b)})
}

// ParseKeyEvent reads and fully verifies a key event of version 1: form, keys and the root key's signature. What may be either is ParseAuth's.
func ParseKeyEvent(b []byte) (KeyEvent, error) {
	bad := func(format string, args ...any) (KeyEvent, error) {
		return KeyEvent{}, api.Errorf("keyevent.parse", api.Invalid, format, args...)
	}
	if len(b) > MaxKeyEvent {
		return bad("key event of %d bytes: at most %d", len(b), MaxKeyEvent)
	}
	var s signedKeyEvent
	if err := codec.Unmarshal(b, &s); err != nil {
		return bad("%w", err)
	}
	var e keyEvent
	if err := codec.Unmarshal(s.Event, &e); err != nil {
		return bad("%w", err)
	}
	switch {
	case e.Tag != keyEventTag:
		return bad("tag %q: want %q", clip(e.Tag), keyEventTag)
	case e.Version != 1:
		return bad("version %d: want 1", e.Version)
	case e.Seq != 0:
		return bad("seq %d: this build knows the inception event, 0, only", e.Seq)
	case len(e.Root) != 32 || len(e.Device) != 32:
		return bad("keys of %d and %d bytes: want 32", len(e.Root), len(e.Device))
	}
	root, device := api.Key(e.Root), api.Key(e.Device)
	if err := CheckKey(root); err != nil {
		return KeyEvent{}, err
	}
	if err := CheckKey(device); err != nil {
		return KeyEvent{}, err
	}
	if !verify(root, s.Event, s.Signature) {
		return bad("the root key's signature does not fit")
	}
	return KeyEvent{DID: DIDOf(root), Device: device, Seq: e.Seq}, nil
}

func verify(k api.Key, message, signature []byte) bool { return ed.Verify(k[:], message, signature) }

// Verify reports whether signature is k's over message by the ZIP-215 rule.
func Verify(k api.Key, message, signature []byte) bool { return verify(k, message, signature) }

// Verifier checks signatures many at a time and remembers decoded keys. It is safe for concurrent use.
type Verifier struct {
	ed *ed.Verifier
}

// NewVerifier returns a Verifier that remembers up to n keys (about 1.3 KiB each).
func NewVerifier(n int) *Verifier { return &Verifier{ed: ed.NewVerifier(n)} }

// Verify returns, for each envelope, whether its device key signed it. A batch with a bad signature is looked at singly.
func (v *Verifier) Verify(es []*Envelope) []bool {
	ms := make([]ed.Signed, len(es))
	for i, e := range es {
		ms[i] = ed.Signed{Key: e.Device[:], Message: e.Signed, Signature: e.Signature}
	}
	return v.ed.Verify(ms)
}
