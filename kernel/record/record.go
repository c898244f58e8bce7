// Package record is the canonical form of what travels and is stored: records, key events, DIDs, and how they are signed and verified.
// It is public because clients that hold their own key sign too. It is pure: no store, no clock, no network.
//
// A record's id is the SHA-256 of its signed bytes; the signature is Ed25519 over those bytes, verified by the ZIP-215 rule everywhere
// (docs/protocol.md sections 2 and 3). Verification of many at once is in Verifier.
package record

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"math"
	"unicode/utf8"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Sizes, in bytes unless said otherwise. An encoding over a limit is malformed.
const (
	MaxSize     = 64 << 10 // a signed envelope
	MaxBody     = 48 << 10
	MaxDeps     = 128     // count
	MaxName     = 64      // a topic name or kind
	MaxKeyEvent = 1 << 10 // a single key event of version 1; a log has up to MaxAuth

	// Version selects the rules of record.
	Version = 1
	// tag separates records from everything else a device key signs.
	tag = "icn-record"
)

// signed is the wire form of the signed bytes.
type signed struct {
	_       struct{} `cbor:",toarray"`
	Tag     string
	Version uint16
	Space   []byte // 32 bytes, or empty when the record founds its own space
	Topic   string
	Device  []byte
	Seq     uint64
	Prev    []byte // 32 bytes, empty at seq 1
	Time    uint64
	Deps    []dep
	Kind    string
	Auth    []byte
	Body    []byte
}

type dep struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	ID   []byte
}

// envelope is what is stored and sent: the signed bytes and the signature over them.
type envelope struct {
	_         struct{} `cbor:",toarray"`
	Signed    []byte
	Signature []byte
}

// Envelope is a decoded record together with the bytes it came from.
type Envelope struct {
	*api.Record
	Raw       []byte // the whole envelope, canonical
	Signed    []byte // the part that is hashed and signed; aliases Raw or stands alone
	Signature []byte // 64 bytes
}

// FeedID names the chain of one device key in one topic.
func FeedID(t api.Topic, device api.Key) api.Hash {
	b := make([]byte, 0, 9+32+32+MaxName) // on the stack
	b = append(b, "icn-feed\x00"...)
	b = append(b, t.Space[:]...)
	b = append(b, device[:]...)
	b = append(b, t.Name...)
	return sha256.Sum256(b)
}

// Unsigned encodes r's signed bytes and fills r.ID, r.Feed and, when r founds a space, r.Topic.Space.
func Unsigned(r *api.Record) ([]byte, error) {
	s := signed{
		Tag: tag, Version: r.Version, Topic: r.Topic.Name, Device: r.Device[:], Seq: r.Seq,
		Time: uint64(r.Time), Kind: r.Kind, Auth: r.Auth, Body: r.Body, Deps: make([]dep, len(r.Deps)),
	}
	founds := r.Topic.Space.IsZero()
	if !founds {
		s.Space = r.Topic.Space[:]
	}
	if r.Seq > 1 {
		s.Prev = r.Prev[:]
	}
	for i := range r.Deps {
		s.Deps[i] = dep{Feed: r.Deps[i].Feed[:], Seq: r.Deps[i].Seq, ID: r.Deps[i].ID[:]}
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	b, err := codec.Marshal(&s)
	if err != nil {
		return nil, api.Wrap("record.encode", err)
	}
	if len(b)+80 > MaxSize {
		return nil, api.Errorf("record.encode", api.TooLarge, "record of %d bytes: at most %d", len(b), MaxSize-80)
	}
	r.ID = sha256.Sum256(b)
	if founds {
		r.Topic.Space = r.ID
	}
	r.Feed = FeedID(r.Topic, r.Device)
	return b, nil
}

// Seal signs bytes made by Unsigned and returns the envelope.
func Seal(r *api.Record, unsigned []byte, signature []byte) (*Envelope, error) {
	if len(signature) != ed25519.SignatureSize {
		return nil, api.Errorf("record.seal", api.Invalid, "signature of %d bytes: want %d", len(signature), ed25519.SignatureSize)
	}
	raw, err := codec.Marshal(&envelope{Signed: unsigned, Signature: signature})
	if err != nil {
		return nil, api.Wrap("record.seal", err)
	}
	return &Envelope{Record: r, Raw: raw, Signed: unsigned, Signature: signature}, nil
}

// Sign encodes and signs r. r.Device must be s.Device.
func Sign(r *api.Record, s api.Signer) (*Envelope, error) {
	r.Device = s.Device()
	b, err := Unsigned(r)
	if err != nil {
		return nil, err
	}
	sig, err := s.Sign(b)
	if err != nil {
		return nil, api.Wrap("record.sign", err)
	}
	return Seal(r, b, sig)
}

// Decode reads an envelope. It checks bounds, canonical form and structure, and at seq 1 the whole Auth; not the signature and not the chain:
// Verifier and the feed do. The result aliases raw. Author is set only at seq 1, where Auth names it.
func Decode(raw []byte) (*Envelope, error) {
	return decode(raw, whole)
}

// whole reads an Auth and verifies all of it.
func whole(auth []byte) (api.DID, api.Key, error) {
	a, err := ParseAuth(auth)
	return a.DID, a.Device, err
}

// DecodeVerified is Decode of an envelope that this node has decoded, verified and stored before: it believes the Auth, whose signatures cost more
// than all the rest. Never call it on bytes from outside.
func DecodeVerified(raw []byte) (*Envelope, error) { return decode(raw, claimed) }

func decode(raw []byte, author func(auth []byte) (api.DID, api.Key, error)) (*Envelope, error) {
	if len(raw) > MaxSize {
		return nil, api.Errorf("record.decode", api.TooLarge, "envelope of %d bytes: at most %d", len(raw), MaxSize)
	}
	var e envelope
	rd := codec.NewReader(raw)
	rd.Array(2)
	e.Signed, e.Signature = rd.Bytes(), rd.Bytes()
	if err := rd.End(); err != nil {
		return nil, api.Errorf("record.decode", api.Invalid, "envelope: %w", err)
	}
	if len(e.Signature) != ed25519.SignatureSize {
		return nil, api.Errorf("record.decode", api.Invalid, "signature of %d bytes: want %d", len(e.Signature), ed25519.SignatureSize)
	}
	r, err := parse(e.Signed, author)
	if err != nil {
		return nil, err
	}
	return &Envelope{Record: r, Raw: raw, Signed: e.Signed, Signature: e.Signature}, nil
}

// Parse reads a record's signed bytes before anybody has signed them, with the checks of Decode: what they say, for whoever is asked to sign.
func Parse(unsigned []byte) (*api.Record, error) {
	if len(unsigned)+80 > MaxSize {
		return nil, api.Errorf("record.decode", api.TooLarge, "record of %d bytes: at most %d", len(unsigned), MaxSize-80)
	}
	return parse(unsigned, whole)
}

// parse reads signed bytes; author reads the Auth of a first record.
func parse(b []byte, author func(auth []byte) (api.DID, api.Key, error)) (*api.Record, error) {
	var s signed
	if err := s.read(b); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	r := &api.Record{
		ID: sha256.Sum256(b), Version: s.Version, Topic: api.Topic{Name: s.Topic}, Device: api.Key(s.Device), Seq: s.Seq,
		Time: api.Timestamp(s.Time), Kind: s.Kind, Auth: s.Auth, Body: s.Body, Deps: make([]api.Position, len(s.Deps)),
	}
	if len(s.Space) == 0 {
		r.Topic.Space = r.ID
	} else {
		r.Topic.Space = api.Hash(s.Space)
	}
	if r.Seq > 1 {
		r.Prev = api.Hash(s.Prev)
	}
	for i, d := range s.Deps {
		r.Deps[i] = api.Position{Feed: api.Hash(d.Feed), Seq: d.Seq, ID: api.Hash(d.ID)}
	}
	r.Feed = FeedID(r.Topic, r.Device)
	if r.Seq == 1 {
		did, device, err := author(r.Auth)
		if err != nil {
			return nil, err
		}
		if device != r.Device {
			return nil, api.Errorf("record.decode", api.Invalid, "auth: key event certifies device %s, record is by %s", device, r.Device)
		}
		r.Author = did
	}
	return r, nil
}

// Founds reports whether the record is the genesis of its space.
func Founds(r *api.Record) bool { return r.Topic.Space == r.ID }

// read is the inverse of codec.Marshal for signed. It is written out, where codec.Unmarshal would do, since every record that comes in passes
// here: it takes a third of the time and copies nothing but the names. A fuzz test compares the two.
func (s *signed) read(b []byte) error {
	r := codec.NewReader(b)
	r.Array(12)
	s.Tag = r.Text()
	s.Version = uint16(r.Uint(math.MaxUint16))
	s.Space = r.Bytes()
	s.Topic = r.Text()
	s.Device = r.Bytes()
	s.Seq = r.Uint(math.MaxUint64)
	s.Prev = r.Bytes()
	s.Time = r.Uint(math.MaxUint64)
	n := r.ArrayLen(codec.MaxArray)
	if n > MaxDeps {
		return errDeps(n)
	}
	s.Deps = make([]dep, n)
	for i := range s.Deps {
		r.Array(3)
		s.Deps[i] = dep{Feed: r.Bytes(), Seq: r.Uint(math.MaxUint64), ID: r.Bytes()}
	}
	s.Kind = r.Text()
	s.Auth = r.Bytes()
	s.Body = r.Bytes()
	if err := r.End(); err != nil {
		return api.Errorf("record.decode", api.Invalid, "record: %w", err)
	}
	return nil
}

func errDeps(n int) error {
	return api.Errorf("record.check", api.TooLarge, "%d deps: at most %d", n, MaxDeps)
}

func (s *signed) check() error {
	bad := func(format string, args ...any) error {
		return api.Errorf("record.check", api.Invalid, format, args...)
	}
	switch {
	case s.Tag != tag:
		return bad("tag %q: want %q", clip(s.Tag), tag)
	case s.Version == 0:
		return bad("version 0: versions start at 1")
	case len(s.Space) != 0 && len(s.Space) != 32:
		return bad("space of %d bytes: want 32", len(s.Space))
	case len(s.Space) == 0 && s.Seq != 1:
		return bad("seq %d: a record that founds a space has seq 1", s.Seq)
	case !name(s.Topic):
		return bad("topic %q: want 1 to %d of a-z 0-9 - _ . :", clip(s.Topic), MaxName)
	case !name(s.Kind):
		return bad("kind %q: want 1 to %d of a-z 0-9 - _ . :", clip(s.Kind), MaxName)
	case len(s.Device) != 32:
		return bad("device key of %d bytes: want 32", len(s.Device))
	case s.Seq == 0:
		return bad("seq 0: sequence numbers start at 1")
	case s.Seq == 1 && len(s.Prev) != 0:
		return bad("prev at seq 1: want none")
	case s.Seq > 1 && len(s.Prev) != 32:
		return bad("prev of %d bytes: want 32", len(s.Prev))
	case s.Seq == 1 && (len(s.Auth) == 0 || len(s.Auth) > MaxAuth):
		return bad("auth of %d bytes at seq 1: want a key event log of at most %d", len(s.Auth), MaxAuth)
	case s.Seq > 1 && len(s.Auth) != 0:
		return bad("auth at seq %d: only the first record of a feed carries it", s.Seq)
	case len(s.Body) > MaxBody:
		return api.Errorf("record.check", api.TooLarge, "body of %d bytes: at most %d", len(s.Body), MaxBody)
	case len(s.Deps) > MaxDeps:
		return errDeps(len(s.Deps))
	}
	for i, d := range s.Deps {
		if len(d.Feed) != 32 || len(d.ID) != 32 || d.Seq == 0 {
			return bad("dep %d: want a feed of 32 bytes, a seq from 1 and an id of 32 bytes", i)
		}
		// Strictly ascending order gives a set of deps one encoding, and one position per feed.
		if i > 0 && bytes.Compare(s.Deps[i-1].Feed, d.Feed) >= 0 {
			return bad("dep %d: deps must be in strictly ascending order of feed", i)
		}
	}
	return nil
}

func name(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' && c != ':' {
			return false
		}
	}
	return true
}

func clip(s string) string {
	if len(s) > MaxName {
		s = s[:MaxName] + "..."
	}
	if !utf8.ValidString(s) {
		return "(not text)"
	}
	return s
}
