package identity

import (
	"bytes"
	"encoding/pem"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// TextKind is what a text block holds: the label between its dashes.
type TextKind string

// The kinds of text blocks that people hand to one another.
const (
	LogText      TextKind = "ICN KEY LOG"
	CardText     TextKind = "ICN GUARDIAN CARD"
	RequestText  TextKind = "ICN RECOVERY REQUEST"
	ApprovalText TextKind = "ICN RECOVERY APPROVAL"
	ShareText    TextKind = "ICN BACKUP SHARE"
)

const maxText = 256 << 10 // bytes of a block

// EncodeText writes b as a block of text (PEM, RFC 7468) that survives mail and messengers.
func EncodeText(k TextKind, b []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: string(k), Bytes: b})
}

// DecodeText reads the one block in text, which may have words around it, and what kind it is. All its errors are api.Invalid.
func DecodeText(text []byte) (TextKind, []byte, error) {
	const op = "text.decode"
	if len(text) > maxText {
		return "", nil, api.Errorf(op, api.Invalid, "text of %d bytes: at most %d", len(text), maxText)
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return "", nil, api.Errorf(op, api.Invalid, "no block of text that starts with -----BEGIN ICN")
	}
	if again, _ := pem.Decode(rest); again != nil {
		return "", nil, api.Errorf(op, api.Invalid, "more than one block of text: one at a time")
	}
	switch k := TextKind(block.Type); k {
	case LogText, CardText, RequestText, ApprovalText, ShareText:
		return k, block.Bytes, nil
	}
	return "", nil, api.Errorf(op, api.Invalid, "a block of another kind")
}

// decodeAs is DecodeText of a kind that is known.
func decodeAs(want TextKind, text []byte) ([]byte, error) {
	k, b, err := DecodeText(text)
	if err == nil && k != want {
		err = api.Errorf("text.decode", api.Invalid, "the text is an %s, not an %s", k, want)
	}
	return b, err
}

// ParseLogText reads and verifies a log from a block of text: a log's own, or the one on a guardian's card.
func ParseLogText(text []byte) (*record.Log, error) {
	k, b, err := DecodeText(text)
	if err != nil {
		return nil, err
	}
	if k == CardText {
		c, err := ParseCard(text)
		if err != nil {
			return nil, err
		}
		return c.Log, nil
	}
	if k != LogText {
		return nil, api.Errorf("text.decode", api.Invalid, "the text is an %s, not an %s", k, LogText)
	}
	return record.ParseLog(b)
}

// GuardianCard is what a guardian keeps: the salt by which its approval is known, and the log that names it. It is no secret key; but who has all cards
// knows who the guardians are.
type GuardianCard struct {
	Salt record.Salt
	Log  *record.Log
}

type cardForm struct {
	_    struct{} `cbor:",toarray"`
	Tag  string
	Salt []byte
	Log  []byte
}

const cardTag = "icn-guardian-card"

// Text returns the card as a block of text.
func (c *GuardianCard) Text() []byte {
	return EncodeText(CardText, codec.MustMarshal(&cardForm{Tag: cardTag, Salt: c.Salt[:], Log: c.Log.Bytes()}))
}

// ParseCard reads a card from a block of text, and verifies its log.
func ParseCard(text []byte) (*GuardianCard, error) {
	b, err := decodeAs(CardText, text)
	if err != nil {
		return nil, err
	}
	var f cardForm
	if err := codec.Unmarshal(b, &f); err != nil {
		return nil, api.Errorf("card.parse", api.Invalid, "%w", err)
	}
	if f.Tag != cardTag || len(f.Salt) != len(record.Salt{}) {
		return nil, api.Errorf("card.parse", api.Invalid, "not a guardian's card")
	}
	l, err := record.ParseLog(f.Log)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(l.Bytes(), f.Log) {
		return nil, api.Errorf("card.parse", api.Invalid, "the log on a card names no device")
	}
	return &GuardianCard{Salt: record.Salt(f.Salt), Log: l}, nil
}

// ParseRequest reads and verifies a recovery request from a block of text.
func ParseRequest(text []byte) (*record.RecoveryRequest, error) {
	b, err := decodeAs(RequestText, text)
	if err != nil {
		return nil, err
	}
	return record.ParseRecovery(b)
}

// ParseApproval reads a guardian's answer from a block of text; record.RecoveryRequest.Complete verifies it.
func ParseApproval(text []byte) ([]byte, error) { return decodeAs(ApprovalText, text) }
