package wire

import (
	"crypto/ed25519"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// The shapes of what envelopes carry: how they are checked, and the two payloads that the kernel itself reads.

const (
	signatureSize = ed25519.SignatureSize
	maxDID        = 128 // bytes; the one spelling of a DID has at most 72
	maxReason     = 1 << 10
)

// KindKeys asks a node for the key to seal messages to: an empty payload, answered by Keys.
const KindKeys = "keys"

// Keys answers KindKeys. The envelope around it is signed by the node's own key and answers a fresh nonce, which is what makes the key the node's.
type Keys struct {
	_     struct{} `cbor:",toarray"`
	Suite uint16   // how to seal; SuiteXWing
	Key   []byte   // public
}

// SuiteXWing is HPKE with MLKEM768-X25519, HKDF-SHA256 and ChaCha20-Poly1305.
const SuiteXWing = 1

// Answer is the payload of a message that answers another: an error when Code is set, else a Body.
type Answer struct {
	_      struct{} `cbor:",toarray"`
	Code   string   // of an api.Kind; "" for none
	Reason string   // for people; at most 1,024 bytes
	Body   []byte
}

func (h *Header) by(s Signer) { h.From, h.Key, h.Auth = s.DID(), s.Device(), s.Auth() }

func (h *Header) form() headerForm {
	f := headerForm{From: string(h.From), Key: h.Key[:], Auth: h.Auth, To: string(h.To), Time: h.Time, Nonce: h.Nonce[:]}
	if !h.Re.IsZero() {
		f.Re = h.Re[:]
	}
	return f
}

func (f *headerForm) api() Header {
	h := Header{
		From: api.DID(f.From), Key: api.Key(f.Key), Auth: f.Auth, To: api.DID(f.To), Time: f.Time, Nonce: Nonce(f.Nonce),
	}
	if len(f.Re) > 0 {
		h.Re = Nonce(f.Re)
	}
	return h
}

func (f *headerForm) check() error {
	switch {
	case f.From == "" || len(f.From) > maxDID:
		return bad("sender of %d bytes: want 1 to %d", len(f.From), maxDID)
	case f.To == "" || len(f.To) > maxDID:
		return bad("addressee of %d bytes: want 1 to %d", len(f.To), maxDID)
	case len(f.Auth) > record.MaxAuth:
		return bad("key event of %d bytes: at most %d", len(f.Auth), record.MaxAuth)
	case len(f.Nonce) != len(Nonce{}) || Nonce(f.Nonce).IsZero():
		return bad("nonce of %d bytes: want %d, not all zero", len(f.Nonce), len(Nonce{}))
	case len(f.Re) != 0 && (len(f.Re) != len(Nonce{}) || Nonce(f.Re).IsZero()):
		return bad("answer to a nonce of %d bytes: want %d, not all zero", len(f.Re), len(Nonce{}))
	}
	return checkHash("key", f.Key)
}

func (f *signedForm) check() error {
	return first(f.Header.check(), checkKind(f.Kind), checkLen("payload", len(f.Payload), MaxPayload))
}

func (f *encryptedForm) check() error {
	err := first(f.Header.check(), checkHash("recipient", f.Recipient), checkLen("enc", len(f.Enc), maxEnc), checkLen("ciphertext", len(f.Ciphertext), maxCipher))
	if err == nil && (len(f.Enc) == 0 || len(f.Ciphertext) == 0) {
		err = bad("nothing is sealed")
	}
	return err
}

func (f *contentForm) check() error {
	return first(checkKind(f.Kind), checkLen("reply key", len(f.Reply), maxSealKey), checkLen("payload", len(f.Payload), MaxPayload))
}

func checkKind(k string) error {
	if !ValidKind(k) {
		return bad("kind of %d bytes: want 1 to %d of a-z 0-9 - _ . :", len(k), MaxKind)
	}
	return nil
}

// ValidKind reports whether k can name a kind of message.
func ValidKind(k string) bool {
	return len(k) > 0 && len(k) <= MaxKind && !strings.ContainsFunc(k, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-_.:", c)
	})
}

// Encode returns the payload.
func (k *Keys) Encode() ([]byte, error) {
	if err := k.check(); err != nil {
		return nil, api.Wrap("keys.encode", err)
	}
	return codec.Marshal(k)
}

// DecodeKeys reads the answer to KindKeys. Errors: api.Unsupported for a suite that this build does not have, else api.Invalid.
func DecodeKeys(b []byte) (*Keys, error) {
	var k Keys
	if err := codec.Unmarshal(b, &k); err != nil {
		return nil, api.Errorf("keys.decode", api.Invalid, "%w", err)
	}
	if err := k.check(); err != nil {
		return nil, api.Wrap("keys.decode", err)
	}
	return &k, nil
}

func (k *Keys) check() error {
	if k.Suite != SuiteXWing {
		return api.Errorf("keys", api.Unsupported, "suite %d: this build has %d", k.Suite, SuiteXWing)
	}
	if len(k.Key) == 0 {
		return bad("no key")
	}
	return checkLen("key", len(k.Key), maxSealKey)
}

// AnswerOf turns what a handler returned into an Answer. An error travels as its kind and its text, cut at a limit; of this node's own failures
// a peer learns the kind only.
func AnswerOf(body []byte, err error) *Answer {
	if err == nil {
		return &Answer{Body: body}
	}
	text := err.Error()
	if k := api.KindOf(err); k == api.Internal || k == api.Other {
		text = "the node failed to answer"
	}
	if len(text) > maxReason {
		text = text[:maxReason]
	}
	return &Answer{Code: api.KindOf(err).Code(), Reason: strings.ToValidUTF8(text, "")}
}

// Result is the inverse of AnswerOf.
func (a *Answer) Result() ([]byte, error) {
	if a.Code == "" {
		return a.Body, nil
	}
	return nil, api.Errorf("ask", api.KindOfCode(a.Code), "%s", a.Reason)
}

// Encode returns the payload.
func (a *Answer) Encode() ([]byte, error) {
	if err := a.check(); err != nil {
		return nil, api.Wrap("answer.encode", err)
	}
	return codec.Marshal(a)
}

// DecodeAnswer reads the payload of an answer; errors are api.Invalid.
func DecodeAnswer(b []byte) (*Answer, error) {
	var a Answer
	if err := codec.Unmarshal(b, &a); err != nil {
		return nil, api.Errorf("answer.decode", api.Invalid, "%w", err)
	}
	if err := a.check(); err != nil {
		return nil, api.Wrap("answer.decode", err)
	}
	return &a, nil
}

func (a *Answer) check() error {
	err := first(checkLen("code", len(a.Code), MaxKind), checkLen("reason", len(a.Reason), maxReason), checkLen("body", len(a.Body), MaxBody))
	if a.Code == "" && a.Reason != "" || a.Code != "" && len(a.Body) > 0 {
		err = first(err, bad("an answer is an error or a body"))
	}
	return err
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
