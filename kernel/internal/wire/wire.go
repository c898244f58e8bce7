// Package wire is what two nodes say to each other: frames, their versions and their limits. It encodes and decodes and does nothing
// else; what a frame means to a node is in gossip, who may send it in transport.
//
// A frame is one type byte and a canonical CBOR body; transport puts a length in front. A frame over MaxFrame, of an unknown type,
// or with a body that is not canonical is malformed. docs/protocol.md section 5 is normative.
package wire

import (
	"fmt"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Version is the protocol version this build speaks; MinVersion is the oldest it talks to.
const (
	Version    = 1
	MinVersion = 1
)

// Limits of frames. Counts are elements, sizes bytes.
const (
	MaxFrame   = 1 << 20
	MaxRecords = 64   // records in one Push or Records
	MaxHeads   = 4096 // heads in one Heads
	MaxWants   = 256  // wants in one Wants
	MaxSpaces  = 1024 // spaces in one Hello
	MaxMembers = 16   // members served in one Hello
	MaxPeers   = 64   // peers in one Peers
	MaxProof   = 4096
	MaxText    = 256 // any short text
)

// Type is the first byte of a frame. Numbers are never reused.
type Type byte

// The frame types.
const (
	TypeHello   Type = 1
	TypePing    Type = 2
	TypePong    Type = 3
	TypeAskPeer Type = 4
	TypePeers   Type = 5
	TypePush    Type = 6
	TypeDigest  Type = 7
	TypeBuckets Type = 8
	TypeHeads   Type = 9
	TypeWants   Type = 10
	TypeRecords Type = 11
	TypeHave    Type = 12
	TypeGraft   Type = 13
	TypePrune   Type = 14
	TypeBye     Type = 15
)

// Frame is one message.
type Frame interface {
	frameType() Type
	check() error
}

// Hello is the first frame each side sends on a session. Nonce is fresh; the other side's members sign it.
type Hello struct {
	_        struct{} `cbor:",toarray"`
	Min, Max uint16   // protocol versions spoken
	Build    string   // name and version of the software, for people
	Nonce    []byte   // 32 random bytes
	// Spaces are the spaces this node follows, each as SHA-256("icn-space" | both node keys in order | space): who does not know a space
	// does not learn that it exists.
	Spaces    [][]byte
	Features  []string // capabilities, opaque names
	Addresses []string // where this node listens, `icn://<node did>@host:port`
}

// Members proves which members' devices a node serves: each device key signs both nonces. It follows Hello and is the second frame each side sends.
type Members struct {
	_      struct{} `cbor:",toarray"`
	Served []Served
	Proof  []byte // opaque evidence for the admitting oracle, e.g. an invitation
}

// Served is one member device with its certificate and its signature over the session.
type Served struct {
	_         struct{} `cbor:",toarray"`
	Auth      []byte
	Signature []byte
}

// TypeMembers carries Members.
const TypeMembers Type = 16

// Ping and Pong keep a session alive and measure its round trip. Sent is the sender's clock in microseconds, echoed.
type Ping struct {
	_    struct{} `cbor:",toarray"`
	Sent uint64
}

// Pong answers a Ping.
type Pong struct {
	_    struct{} `cbor:",toarray"`
	Sent uint64
}

// AskPeers asks for addresses of other nodes.
type AskPeers struct {
	_ struct{} `cbor:",toarray"`
}

// Peers lists addresses of nodes that the sender has a session with.
type Peers struct {
	_         struct{} `cbor:",toarray"`
	Addresses []string
}

// Push carries new records at once, unasked: signed envelopes of one space, deps before dependents.
type Push struct {
	_         struct{} `cbor:",toarray"`
	Space     []byte
	Envelopes [][]byte
}

// Have announces records without sending them (a lazy link): the receiver asks for what it lacks after a while.
type Have struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
	At    []Position
}

// Graft asks the peer to push eagerly again; Prune asks it to announce only.
type Graft struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
}

// Prune asks the peer to announce only, since its pushes are duplicates.
type Prune struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
}

// Digest is the sum over all applied heads of a space; equal digests mean nothing to do. Count is the number of feeds. Salt is empty for the
// standing sum; with a salt the sum is over salted heads, so that sets built to collide are found out.
type Digest struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
	Salt  []byte // 0 or 8 bytes
	Sum   []byte // 16 bytes
	Count uint64
}

// Buckets refines a Digest: the salted sums of the heads of the feeds whose id starts with Prefix, by the next byte. Empty buckets have an
// empty sum. Two sums that are equal by chance hide a difference until the next exchange, under another salt.
type Buckets struct {
	_      struct{} `cbor:",toarray"`
	Space  []byte
	Salt   []byte // 8 bytes, fresh
	Prefix []byte // 0 to 2 bytes
	Sums   [][]byte
}

// Heads lists applied heads: the answer to a Probe, or heads that the receiver was found to lack. More is set while further Heads of the
// same answer follow.
type Heads struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
	Heads []Head
	More  bool
}

// Head is one feed's applied tip. ID may be left out where the seq alone tells the receiver what to do, but not of a forked feed. Fork and Alt show the fork evidence at the lowest forked seq: 0 and empty when there is none.
type Head struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	ID   []byte
	Fork uint64
	Alt  [][]byte // two ids held at Fork
}

// Wants asks for records: for each item the records From..Position.Seq of the branch that ends in Position.ID (an empty ID: the sender's own
// branch). The answer may be cut; the asker asks again.
//
// Ask numbers the question, from 1 upwards within a session; the Records that answer it repeat the number.
type Wants struct {
	_     struct{} `cbor:",toarray"`
	Space []byte
	Ask   uint64
	Items []Want
}

// Want is one range of one feed.
type Want struct {
	_    struct{} `cbor:",toarray"`
	From uint64
	At   Position
}

// Records answers Wants. More is set while further Records follow for the same Wants. An answer without any record means that the sender
// holds none of them.
type Records struct {
	_         struct{} `cbor:",toarray"`
	Space     []byte
	Ask       uint64
	Envelopes [][]byte
	More      bool
}

// Bye ends a session with a reason for people.
type Bye struct {
	_      struct{} `cbor:",toarray"`
	Code   string
	Reason string
}

// Position is a feed, a seq and an id on the wire.
type Position struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	ID   []byte
}

// FromPosition and API convert between wire and api positions.
func FromPosition(p api.Position) Position {
	w := Position{Feed: p.Feed[:], Seq: p.Seq}
	if !p.ID.IsZero() {
		w.ID = p.ID[:]
	}
	return w
}

// API returns the api form of a checked position.
func (p Position) API() api.Position {
	a := api.Position{Feed: api.Hash(p.Feed), Seq: p.Seq}
	if len(p.ID) == 32 {
		a.ID = api.Hash(p.ID)
	}
	return a
}

func (*Hello) frameType() Type    { return TypeHello }
func (*Members) frameType() Type  { return TypeMembers }
func (*Ping) frameType() Type     { return TypePing }
func (*Pong) frameType() Type     { return TypePong }
func (*AskPeers) frameType() Type { return TypeAskPeer }
func (*Peers) frameType() Type    { return TypePeers }
func (*Push) frameType() Type     { return TypePush }
func (*Have) frameType() Type     { return TypeHave }
func (*Graft) frameType() Type    { return TypeGraft }
func (*Prune) frameType() Type    { return TypePrune }
func (*Digest) frameType() Type   { return TypeDigest }
func (*Buckets) frameType() Type  { return TypeBuckets }
func (*Heads) frameType() Type    { return TypeHeads }
func (*Wants) frameType() Type    { return TypeWants }
func (*Records) frameType() Type  { return TypeRecords }
func (*Bye) frameType() Type      { return TypeBye }

func newFrame(t Type) Frame {
	switch t {
	case TypeHello:
		return &Hello{}
	case TypeMembers:
		return &Members{}
	case TypePing:
		return &Ping{}
	case TypePong:
		return &Pong{}
	case TypeAskPeer:
		return &AskPeers{}
	case TypePeers:
		return &Peers{}
	case TypePush:
		return &Push{}
	case TypeHave:
		return &Have{}
	case TypeGraft:
		return &Graft{}
	case TypePrune:
		return &Prune{}
	case TypeDigest:
		return &Digest{}
	case TypeBuckets:
		return &Buckets{}
	case TypeHeads:
		return &Heads{}
	case TypeWants:
		return &Wants{}
	case TypeRecords:
		return &Records{}
	case TypeBye:
		return &Bye{}
	case TypeSketch:
		return &Sketch{}
	case TypeProbe:
		return &Probe{}
	case TypeLetter:
		return &Letter{}
	}
	return nil
}

// Encode returns the frame's bytes. A frame over a limit is a programming error of the sender and is reported as such.
func Encode(f Frame) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, api.Wrap("wire.encode", err)
	}
	body, err := codec.Marshal(f)
	if err != nil {
		return nil, api.Wrap("wire.encode", err)
	}
	if len(body)+1 > MaxFrame {
		return nil, api.Errorf("wire.encode", api.TooLarge, "frame of %d bytes: at most %d", len(body)+1, MaxFrame)
	}
	return append([]byte{byte(f.frameType())}, body...), nil
}

// Decode reads one frame. The result aliases b.
func Decode(b []byte) (Frame, error) {
	if len(b) == 0 || len(b) > MaxFrame {
		return nil, api.Errorf("wire.decode", api.Invalid, "frame of %d bytes: want 1 to %d", len(b), MaxFrame)
	}
	f := newFrame(Type(b[0]))
	if f == nil {
		return nil, api.Errorf("wire.decode", api.Unsupported, "frame type %d: not known to this version", b[0])
	}
	if err := codec.Unmarshal(b[1:], f); err != nil {
		return nil, api.Errorf("wire.decode", api.Invalid, "%w", err)
	}
	if err := f.check(); err != nil {
		return nil, api.Wrap("wire.decode", err)
	}
	return f, nil
}

func bad(format string, args ...any) error {
	return &api.Error{Kind: api.Invalid, Err: fmt.Errorf(format, args...)}
}

func checkLen(what string, n, most int) error {
	if n > most {
		return bad("%s: %d, at most %d", what, n, most)
	}
	return nil
}

func checkHash(what string, b []byte) error {
	if len(b) != 32 {
		return bad("%s of %d bytes: want 32", what, len(b))
	}
	return nil
}

func checkTexts(what string, ts []string, most int) error {
	if err := checkLen(what, len(ts), most); err != nil {
		return err
	}
	for _, t := range ts {
		if len(t) > MaxText {
			return bad("%s: text of %d bytes, at most %d", what, len(t), MaxText)
		}
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *Hello) check() error {
	err := first(checkLen("spaces", len(f.Spaces), MaxSpaces), checkHash("nonce", f.Nonce), checkLen("build", len(f.Build), MaxText),
		checkTexts("features", f.Features, 64), checkTexts("addresses", f.Addresses, 16))
	for _, s := range f.Spaces {
		err = first(err, checkHash("space", s))
	}
	if err == nil && f.Min > f.Max {
		err = bad("versions %d to %d: the first is above the last", f.Min, f.Max)
	}
	return err
}

func (f *Members) check() error {
	err := first(checkLen("members", len(f.Served), MaxMembers), checkLen("proof", len(f.Proof), MaxProof))
	for _, s := range f.Served {
		err = first(err, checkLen("auth", len(s.Auth), record.MaxAuth))
		if len(s.Signature) != 64 {
			err = first(err, bad("signature of %d bytes: want 64", len(s.Signature)))
		}
	}
	return err
}

func (*Ping) check() error     { return nil }
func (*Pong) check() error     { return nil }
func (*AskPeers) check() error { return nil }
func (f *Peers) check() error  { return checkTexts("peers", f.Addresses, MaxPeers) }
func (f *Push) check() error   { return checkRecords(f.Space, f.Envelopes) }
func (f *Graft) check() error  { return checkHash("space", f.Space) }
func (f *Prune) check() error  { return checkHash("space", f.Space) }
func (f *Bye) check() error {
	return first(checkLen("code", len(f.Code), MaxText), checkLen("reason", len(f.Reason), 1024))
}

func checkRecords(space []byte, es [][]byte) error {
	return first(checkHash("space", space), checkLen("records", len(es), MaxRecords))
}

func (f *Have) check() error {
	err := first(checkHash("space", f.Space), checkLen("positions", len(f.At), MaxWants))
	for _, p := range f.At {
		err = first(err, p.check(true))
	}
	return err
}

func (p *Position) check(id bool) error {
	if len(p.ID) == 0 && !id {
		return checkHash("feed", p.Feed)
	}
	return first(checkHash("feed", p.Feed), checkHash("id", p.ID))
}

func (f *Buckets) check() error {
	err := first(checkHash("space", f.Space), checkSalt(f.Salt), checkLen("prefix", len(f.Prefix), 2))
	if len(f.Sums) != 256 {
		err = first(err, bad("%d sums: want 256", len(f.Sums)))
	}
	for _, s := range f.Sums {
		if len(s) != 0 && len(s) != SumSize {
			err = first(err, bad("sum of %d bytes: want 0 or %d", len(s), SumSize))
		}
	}
	return err
}

func (f *Heads) check() error {
	err := first(checkHash("space", f.Space), checkLen("heads", len(f.Heads), MaxHeads))
	for i := range f.Heads {
		h := &f.Heads[i]
		err = first(err, checkHash("feed", h.Feed), checkLen("alt", len(h.Alt), 2))
		for _, a := range h.Alt {
			err = first(err, checkHash("alt", a))
		}
		if len(h.ID) != 0 || h.Fork != 0 || h.Seq == 0 {
			err = first(err, checkHash("id", h.ID))
		}
		if (h.Fork == 0) != (len(h.Alt) == 0) || h.Seq == 0 && h.Fork != 1 {
			err = first(err, bad("head at seq %d with fork %d and %d ids: want ids with a fork only, and seq 0 only when seq 1 is forked", h.Seq, h.Fork, len(h.Alt)))
		}
	}
	return err
}

func (f *Wants) check() error {
	err := first(checkHash("space", f.Space), checkLen("wants", len(f.Items), MaxWants))
	if f.Ask == 0 {
		err = first(err, bad("ask 0: asks are numbered from 1"))
	}
	for _, w := range f.Items {
		err = first(err, w.At.check(false))
		if w.From == 0 || w.At.Seq < w.From {
			err = first(err, bad("want %d to %d: want a range from 1 upwards", w.From, w.At.Seq))
		}
	}
	return err
}

func (f *Records) check() error { return checkRecords(f.Space, f.Envelopes) }
