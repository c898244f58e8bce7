package wire

import (
	"crypto/sha256"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Limits of envelopes, in bytes. An envelope within MaxPayload always fits a frame.
const (
	MaxPayload  = 512 << 10       // what a message carries
	MaxBody     = MaxPayload - 64 // what an answer carries
	MaxKind     = 64              // a kind's name
	maxEnc      = 2 << 10         // an encapsulated key
	maxSealKey  = 2 << 10         // a public key to seal to
	maxOverhead = 64 << 10        // everything else, generously: an Auth is the most of it
	MaxEnvelope = MaxPayload + maxOverhead
	maxCipher   = MaxPayload + maxSealKey + MaxKind + 64
)

// The tags of what is signed here, and the version of its rules. Nothing else that a key signs starts so.
const (
	tagSigned       = "icn-message"
	tagEncrypted    = "icn-sealed"
	envelopeVersion = 1
)

// Nonce makes a message one of a kind. It is random; the zero Nonce names no message.
type Nonce [16]byte

// IsZero reports whether n names no message.
func (n Nonce) IsZero() bool { return n == Nonce{} }

// Header says who speaks, to whom, and when. All of it is signed.
type Header struct {
	From  api.DID // whom Key speaks for
	Key   api.Key // signs
	Auth  []byte  // the key event that lets Key speak for From; empty when Key is From's own, as a node's is
	To    api.DID // for whom it is
	Time  uint64  // of the sender's wall clock, Unix milliseconds
	Nonce Nonce   // random
	Re    Nonce   // the message that this one answers; zero for none
}

// Envelope is a SignedEnvelope or an EncryptedEnvelope.
type Envelope interface {
	// Head returns the header. Before Verify it is what somebody claims.
	Head() *Header
	// Verify reports, as api.Unauthenticated, why the message is not From's: a key that may not speak for From, or a signature that does not fit.
	Verify() error
}

// SignedEnvelope is a message that everybody can read and nobody can change.
type SignedEnvelope struct {
	Header
	Kind    string // what Payload is, 1 to MaxKind of a-z 0-9 - _ . :
	Payload []byte // at most MaxPayload
	proof
}

// EncryptedEnvelope is a message that only the holder of one key can read. Who speaks to whom, and when, is not hidden.
type EncryptedEnvelope struct {
	Header
	Recipient  api.Hash // SHA-256 of the public key that it is sealed to
	Enc        []byte   // the encapsulated key
	Ciphertext []byte   // of a Content
	proof
}

// proof is the signed bytes and the signature.
type proof struct {
	signed    []byte
	signature []byte
}

// Content is what an EncryptedEnvelope hides.
type Content struct {
	Kind    string
	Reply   []byte // the public key to seal the answer to; empty when none is expected
	Payload []byte
}

// Signer signs for Header.From with Header.Key; every api.Signer is one.
type Signer interface {
	DID() api.DID
	Device() api.Key
	Auth() []byte
	Sign(message []byte) ([]byte, error)
}

// SealFunc encrypts plaintext to the holder of recipient. It brings the randomness; crypto/seal has the one that nodes use, with no aad.
type SealFunc func(recipient, info, plaintext []byte) (enc, ciphertext []byte, err error)

// OpenFunc is the inverse of a SealFunc for the key of this node.
type OpenFunc func(info, enc, ciphertext []byte) ([]byte, error)

// TypeLetter carries a Letter.
const TypeLetter Type = 19

// Letter carries one encoded Envelope between the two nodes of a session. It is sent only to a node that says in its Hello that it takes letters.
type Letter struct {
	_        struct{} `cbor:",toarray"`
	Envelope []byte   // 1 to MaxEnvelope bytes; DecodeEnvelope reads it
}

func (*Letter) frameType() Type { return TypeLetter }

func (f *Letter) check() error {
	if len(f.Envelope) == 0 {
		return bad("no envelope")
	}
	return checkLen("envelope", len(f.Envelope), MaxEnvelope)
}

// The wire forms.
type (
	headerForm struct {
		_     struct{} `cbor:",toarray"`
		From  string
		Key   []byte
		Auth  []byte
		To    string
		Time  uint64
		Nonce []byte
		Re    []byte // empty for none
	}
	signedForm struct {
		_       struct{} `cbor:",toarray"`
		Tag     string
		Version uint16
		Header  headerForm
		Kind    string
		Payload []byte
	}
	encryptedForm struct {
		_          struct{} `cbor:",toarray"`
		Tag        string
		Version    uint16
		Header     headerForm
		Recipient  []byte
		Enc        []byte
		Ciphertext []byte
	}
	// infoForm is what HPKE binds a ciphertext to: all that is signed but what comes of it.
	infoForm struct {
		_         struct{} `cbor:",toarray"`
		Tag       string
		Version   uint16
		Header    headerForm
		Recipient []byte
	}
	contentForm struct {
		_       struct{} `cbor:",toarray"`
		Kind    string
		Reply   []byte
		Payload []byte
	}
	envelopeForm struct {
		_         struct{} `cbor:",toarray"`
		Signed    []byte
		Signature []byte
	}
)

// Head implements Envelope for both.
func (h *Header) Head() *Header { return h }

// Sign fills the sender's part of the header from s, signs, and returns the encoded envelope.
func (e *SignedEnvelope) Sign(s Signer) ([]byte, error) {
	e.by(s)
	f := e.form()
	if err := f.check(); err != nil {
		return nil, api.Wrap("envelope.sign", err)
	}
	return e.seal(s, f)
}

func (e *SignedEnvelope) form() *signedForm {
	return &signedForm{Tag: tagSigned, Version: envelopeVersion, Header: e.Header.form(), Kind: e.Kind, Payload: e.Payload}
}

// Encrypt makes the envelope of a content that is sealed to the key recipient and signed by s, and returns it encoded. The signature covers
// the header, the recipient, and all that the seal made.
func Encrypt(h Header, c Content, recipient []byte, seal SealFunc, s Signer) ([]byte, error) {
	const op = "envelope.encrypt"
	cf := contentForm{Kind: c.Kind, Reply: c.Reply, Payload: c.Payload}
	if err := cf.check(); err != nil {
		return nil, api.Wrap(op, err)
	}
	e := EncryptedEnvelope{Header: h, Recipient: sha256.Sum256(recipient)}
	e.by(s)
	f := e.form()
	if err := f.Header.check(); err != nil {
		return nil, api.Wrap(op, err)
	}
	var err error
	if f.Enc, f.Ciphertext, err = seal(recipient, f.info(), codec.MustMarshal(&cf)); err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	if err := f.check(); err != nil {
		return nil, api.Wrap(op, err)
	}
	return e.seal(s, f)
}

func (e *EncryptedEnvelope) form() *encryptedForm {
	return &encryptedForm{
		Tag: tagEncrypted, Version: envelopeVersion, Header: e.Header.form(),
		Recipient: e.Recipient[:], Enc: e.Enc, Ciphertext: e.Ciphertext,
	}
}

func (f *encryptedForm) info() []byte {
	return codec.MustMarshal(&infoForm{Tag: f.Tag, Version: f.Version, Header: f.Header, Recipient: f.Recipient})
}

// Open decrypts. Verify first: what opens was meant for this key, but who meant it only the signature says. Errors: api.Unauthenticated when it
// does not open, api.Invalid when what comes out is no Content.
func (e *EncryptedEnvelope) Open(open OpenFunc) (*Content, error) {
	plain, err := open(e.form().info(), e.Enc, e.Ciphertext)
	if err != nil {
		return nil, api.Errorf("envelope.open", api.Unauthenticated, "%w", err)
	}
	var f contentForm
	if err := codec.Unmarshal(plain, &f); err != nil {
		return nil, api.Errorf("envelope.open", api.Invalid, "content: %w", err)
	}
	if err := f.check(); err != nil {
		return nil, api.Wrap("envelope.open", err)
	}
	return &Content{Kind: f.Kind, Reply: f.Reply, Payload: f.Payload}, nil
}

func (p *proof) seal(s Signer, form any) ([]byte, error) {
	const op = "envelope.sign"
	b, err := codec.Marshal(form)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	sig, err := s.Sign(b)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	if len(sig) != signatureSize {
		return nil, api.Errorf(op, api.Internal, "signature of %d bytes: want %d", len(sig), signatureSize)
	}
	raw, err := codec.Marshal(&envelopeForm{Signed: b, Signature: sig})
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	p.signed, p.signature = b, sig
	return raw, nil
}

// DecodeEnvelope reads an envelope and checks its form; Verify and Fresh check the rest. Errors: api.TooLarge, api.Unsupported for the rules of
// another version, else api.Invalid.
func DecodeEnvelope(raw []byte) (Envelope, error) {
	const op = "envelope.decode"
	if len(raw) > MaxEnvelope {
		return nil, api.Errorf(op, api.TooLarge, "envelope of %d bytes: at most %d", len(raw), MaxEnvelope)
	}
	r := codec.NewReader(raw)
	r.Array(2)
	p := proof{signed: r.Bytes(), signature: r.Bytes()}
	if err := r.End(); err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	if len(p.signature) != signatureSize {
		return nil, api.Errorf(op, api.Invalid, "signature of %d bytes: want %d", len(p.signature), signatureSize)
	}
	// The first elements say how to read the rest.
	elements, tag, version, err := peek(p.signed)
	switch {
	case err != nil:
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	case tag != tagSigned && tag != tagEncrypted:
		return nil, api.Errorf(op, api.Invalid, "neither %q nor %q", tagSigned, tagEncrypted)
	case version != envelopeVersion:
		return nil, api.Errorf(op, api.Unsupported, "version %d: this build reads %d", version, envelopeVersion)
	}
	var e Envelope
	if tag == tagSigned && elements == 5 {
		e, err = decodeSigned(p)
	} else if tag == tagEncrypted && elements == 6 {
		e, err = decodeEncrypted(p)
	} else {
		err = bad("%d elements in what is signed", elements)
	}
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	return e, nil
}

// peek reads the length, the tag and the version of what is signed.
func peek(signed []byte) (elements int, tag string, version uint64, err error) {
	r := codec.NewReader(signed)
	elements = r.ArrayLen(16)
	tag, version = r.Text(), r.Uint(1<<16-1)
	if r.Failed() {
		err = r.End()
	}
	return elements, tag, version, err
}

func decodeSigned(p proof) (Envelope, error) {
	var f signedForm
	if err := codec.Unmarshal(p.signed, &f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return &SignedEnvelope{Header: f.Header.api(), Kind: f.Kind, Payload: f.Payload, proof: p}, nil
}

func decodeEncrypted(p proof) (Envelope, error) {
	var f encryptedForm
	if err := codec.Unmarshal(p.signed, &f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	return &EncryptedEnvelope{Header: f.Header.api(), Recipient: api.Hash(f.Recipient), Enc: f.Enc, Ciphertext: f.Ciphertext, proof: p}, nil
}

// Verify implements Envelope.
func (e *SignedEnvelope) Verify() error { return e.verify(&e.proof) }

// Verify implements Envelope.
func (e *EncryptedEnvelope) Verify() error { return e.verify(&e.proof) }

func (h *Header) verify(p *proof) error {
	no := func(format string, args ...any) error {
		return api.Errorf("envelope.verify", api.Unauthenticated, format, args...)
	}
	root, err := record.ParseDID(string(h.From))
	if err != nil {
		return no("sender: %w", err)
	}
	if len(h.Auth) == 0 {
		if h.Key != root {
			return no("the key %s is not %s, and no key event lets it speak for that", h.Key, h.From)
		}
	} else {
		ke, err := record.ParseAuth(h.Auth)
		if err != nil {
			return no("sender: %w", err)
		}
		if ke.DID != h.From || ke.Device != h.Key {
			return no("the key event lets %s speak for %s, the message is by %s for %s", ke.Device, ke.DID, h.Key, h.From)
		}
	}
	if !record.Verify(h.Key, p.signed, p.signature) {
		return no("the signature does not fit")
	}
	return nil
}

// Fresh reports, as api.Refused with a Reason, that the message is dated further than skew from now, to either side. It is no replay guard: one
// has to remember the nonces of that window.
func (h *Header) Fresh(now time.Time, skew time.Duration) error {
	sent := int64(min(h.Time, 1<<62))
	off := now.UnixMilli() - sent
	if most := skew.Milliseconds(); off >= -most && off <= most {
		return nil
	}
	return api.Refusal("envelope", &api.Reason{
		Rule: "not-fresh", Text: "the message is dated too far from this node's clock",
		Inputs: map[string]string{"off_ms": itoa(off), "most_ms": itoa(skew.Milliseconds())},
		Remedy: "check both clocks, and send it anew",
	})
}
