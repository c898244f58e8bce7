// Package api is the boundary between the kernel and the apps: the vocabulary both sides speak and nothing else.
//
// It holds data types (Hash, DID, Topic, Record, ConstraintSet, ...), the interfaces an app may implement (App and its
// optional companions Applier, OracleProvider, OperationProvider, Reactor, Starter) and the interfaces the kernel offers
// to apps (Tx, Reader, Host). It is not an implementation of any of them, and it imports the standard library only.
//
// Apps translate meaning into constraints; the kernel enforces constraints without knowing what they mean. So nothing
// here names a domain: a Domain is an opaque string, a ceiling is a number, a rank is a number.
//
// Aliasing: values passed across the boundary are owned by the receiver unless a comment says otherwise; byte slices
// returned by Tx and Reader are valid until the call (Tx) or the Reader's Close, and must not be modified.
//
// Concurrency: Applier.Apply is called by one goroutine at a time and must be pure; everything else may be called
// concurrently.
package api

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Hash is a SHA-256 digest: the id of a record, a space or a feed. Its text form is 64 lower-case hexadecimal digits.
type Hash [32]byte

// String returns the 64-digit text form.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short returns the first 12 digits, for logs and tables; never parse it.
func (h Hash) Short() string { return hex.EncodeToString(h[:6]) }

// IsZero reports whether h is all zeroes, which is no digest of anything.
func (h Hash) IsZero() bool { return h == Hash{} }

// Compare orders hashes by their bytes, as bytes.Compare does.
func (h Hash) Compare(o Hash) int { return bytes.Compare(h[:], o[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; the empty text is the zero hash.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*h = Hash{}
		return nil
	}
	v, err := ParseHash(string(b))
	if err == nil {
		*h = v
	}
	return err
}

// ParseHash reads the text form of a hash.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*len(h) || strings.ToLower(s) != s {
		return h, Errorf("hash.parse", Invalid, "id %q: want 64 lower-case hexadecimal digits", clip(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, Errorf("hash.parse", Invalid, "id %q: want 64 lower-case hexadecimal digits", clip(s))
	}
	return h, nil
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// Key is an Ed25519 public key: a device's, a node's or a DID's root key.
type Key [32]byte

// String returns the key as 64 lower-case hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Key) UnmarshalText(b []byte) error {
	var h Hash
	if err := h.UnmarshalText(b); err != nil {
		return err
	}
	*k = Key(h)
	return nil
}

// DID is a decentralised identifier, `did:icn:<base58btc of a 32-byte Ed25519 key>`. One key has exactly one spelling;
// record.ParseDID checks it. The kernel and the apps treat it as an opaque, comparable string.
type DID string

// Topic is the unit of replication and access: a name within a space. The space is the id of its genesis record.
type Topic struct {
	Space Hash   `json:"space"`
	Name  string `json:"name"`
}

// String returns `<space>/<name>`.
func (t Topic) String() string { return t.Space.String() + "/" + t.Name }

// ParseTopic reads `<space>/<name>`.
func ParseTopic(s string) (Topic, error) {
	sp, name, ok := strings.Cut(s, "/")
	if !ok || name == "" {
		return Topic{}, Errorf("topic.parse", Invalid, "topic %q: want <space>/<name>", clip(s))
	}
	h, err := ParseHash(sp)
	if err != nil {
		return Topic{}, err
	}
	return Topic{Space: h, Name: name}, nil
}

// Position names one record by its place and its content: the feed, the sequence number in it (from 1) and the id.
type Position struct {
	Feed Hash   `json:"feed"`
	Seq  uint64 `json:"seq"`
	ID   Hash   `json:"id"`
}

// IsZero reports whether p names nothing.
func (p Position) IsZero() bool { return p == Position{} }

// String returns `<feed>:<seq>:<id>` in short forms, for logs.
func (p Position) String() string {
	return fmt.Sprintf("%s:%d:%s", p.Feed.Short(), p.Seq, p.ID.Short())
}

// Timestamp is a hybrid logical clock reading: 48 bits of Unix milliseconds and 16 bits of logical counter (Kulkarni et
// al. 2014). It orders displays; it never decides whether a record is valid.
type Timestamp uint64

// MakeTimestamp builds a Timestamp from Unix milliseconds and a counter.
func MakeTimestamp(ms int64, logical uint16) Timestamp {
	return Timestamp(uint64(ms)<<16 | uint64(logical))
}

// Millis returns the wall part in Unix milliseconds.
func (t Timestamp) Millis() int64 { return int64(t >> 16) }

// Time returns the wall part as a time.Time in UTC.
func (t Timestamp) Time() time.Time { return time.UnixMilli(t.Millis()).UTC() }

// Record is one signed entry of a feed, decoded. All fields but Author, ID and Feed stand in the signed bytes; those three are
// derived and checked by kernel/record.
type Record struct {
	ID      Hash       // SHA-256 of the signed bytes
	Feed    Hash       // FeedID(Topic, Device)
	Author  DID        // who the device key acts for; set by the kernel from the feed's first record
	Version uint16     // selects the rules; currently 1
	Topic   Topic      // Space is the record's own id when it founds a space
	Device  Key        // the key that signed
	Seq     uint64     // from 1, without gaps
	Prev    Hash       // id at Seq-1; zero at Seq 1
	Time    Timestamp  // the author's hybrid logical clock
	Deps    []Position // records of other feeds that must be applied first
	Kind    string     // what the body is, in the owning app's words
	Auth    []byte     // at Seq 1 the key event that certifies Device for Author; empty later
	Body    []byte     // the app's bytes; the kernel never looks inside
}

// Position returns where the record stands.
func (r *Record) Position() Position { return Position{Feed: r.Feed, Seq: r.Seq, ID: r.ID} }

// Retention says how long records of a topic are kept.
type Retention uint8

// The retention classes. Only Log records may be cited.
const (
	Log       Retention = iota // kept
	Latest                     // newest per author and key; headers of the chain are kept
	Ephemeral                  // never stored
)

// String returns the lower-case name.
func (r Retention) String() string {
	switch r {
	case Log:
		return "log"
	case Latest:
		return "latest"
	case Ephemeral:
		return "ephemeral"
	}
	return fmt.Sprintf("retention(%d)", uint8(r))
}

// Seq8 returns n as 8 big-endian bytes, so that byte order is number order; for row keys.
func Seq8(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
