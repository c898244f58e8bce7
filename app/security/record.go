package security

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Topic is the name of the topic that holds reports, appeals and pardons, in every space.
const Topic = fact.SecurityTopic

// Record kinds.
const (
	kindReport = "report" // of a fork, with its proof
	kindAppeal = "appeal" // asks for a pardon
	kindPardon = "pardon" // by the clerk or the registrar
)

const (
	// maxEvidence bounds the two envelopes of a report, in bytes, so that the record stays below its own limit. A fork of larger records is held
	// and weighed like any other; only its report cannot be written.
	maxEvidence = 44 << 10
	maxText     = 500 // bytes of what people write
)

// report proves that the author of a feed signed two records for one place.
type report struct {
	_    struct{} `cbor:",toarray"`
	Auth []byte   // the key event that certifies the feed's device
	A, B []byte   // two whole envelopes, ascending by record id
}

// appeal asks to look again at what a node or a person is blamed for.
type appeal struct {
	_       struct{} `cbor:",toarray"`
	Subject api.DID
	Text    string
}

// pardon takes back what a node or a person is blamed for, up to the record's time.
type pardon struct {
	_       struct{} `cbor:",toarray"`
	Subject api.DID
	Text    string // may be empty
}

func decode[T interface{ check() error }](b []byte, v T) error {
	if err := codec.Unmarshal(b, v); err != nil {
		return err
	}
	return v.check()
}

func (r *report) check() error {
	if n := len(r.A) + len(r.B); n > maxEvidence {
		return fmt.Errorf("evidence of %d bytes: at most %d", n, maxEvidence)
	}
	return nil
}

func (a *appeal) check() error {
	if !text(a.Text, maxText) {
		return fmt.Errorf("text: want 1 to %d bytes that print on one line", maxText)
	}
	_, err := record.ParseDID(string(a.Subject))
	return err
}

func (p *pardon) check() error {
	if p.Text != "" && !text(p.Text, maxText) {
		return fmt.Errorf("text: want at most %d bytes that print on one line", maxText)
	}
	_, err := record.ParseDID(string(p.Subject))
	return err
}

// proof is what a report proves.
type proof struct {
	Author api.DID
	Feed   api.Hash
	Topic  api.Topic
	Seq    uint64
	IDs    [2]api.Hash // ascending
}

// verify checks that two records of one feed in space, both signed by its device, claim one place, and that the key event lets that device sign for
// the author. Nothing else in the report is believed; what it convicts is what the signatures say.
func (r *report) verify(space api.Hash) (*proof, error) {
	a, err := record.Decode(r.A)
	if err != nil {
		return nil, fmt.Errorf("first record: %w", err)
	}
	b, err := record.Decode(r.B)
	if err != nil {
		return nil, fmt.Errorf("second record: %w", err)
	}
	switch {
	case a.Topic.Space != space:
		return nil, fmt.Errorf("the records are of another space")
	case a.Feed != b.Feed:
		return nil, fmt.Errorf("the records are of two feeds")
	case a.Seq != b.Seq:
		return nil, fmt.Errorf("the records stand at two places, %d and %d", a.Seq, b.Seq)
	case a.ID.Compare(b.ID) >= 0:
		return nil, fmt.Errorf("want two records, in ascending order of id")
	}
	key, err := record.ParseAuth(r.Auth)
	if err != nil {
		return nil, err
	}
	if key.Device != a.Device {
		return nil, fmt.Errorf("the key event certifies another device")
	}
	if !record.Verify(a.Device, a.Signed, a.Signature) || !record.Verify(b.Device, b.Signed, b.Signature) {
		return nil, fmt.Errorf("the feed's device has not signed both")
	}
	return &proof{Author: key.DID, Feed: a.Feed, Topic: a.Topic, Seq: a.Seq, IDs: [2]api.Hash{a.ID, b.ID}}, nil
}

// prove is verify for two records in any order and of any space; it puts them in order.
func (r *report) prove() (*proof, error) {
	a, err := record.Decode(r.A)
	if err != nil {
		return nil, fmt.Errorf("first record: %w", err)
	}
	b, err := record.Decode(r.B)
	if err != nil {
		return nil, fmt.Errorf("second record: %w", err)
	}
	if a.ID.Compare(b.ID) > 0 {
		r.A, r.B = r.B, r.A
	}
	return r.verify(a.Topic.Space)
}

// text reports whether s is 1 to most bytes that print on one line and do not begin or end in space.
func text(s string, most int) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= most && strings.TrimSpace(s) == s
}
