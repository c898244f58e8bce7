package session

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// The purposes of messages that devices sign here. No record and no other message of ICN begins like one: those are arrays that begin with another text
// or with a number.
const (
	purposeLogin = "ICN/1/login"
	purposePair  = "ICN/1/login-pair"
)

// nonce makes a message one of a kind.
type nonce [16]byte

// words are what a device signs to log in: the canonical encoding of this array. It names the node and for whom the token will be, so that a signature given
// to one site is of no use at another; who signs has to look at the audience.
type words struct {
	_        struct{} `cbor:",toarray"`
	Purpose  string
	Node     api.DID
	Audience string
	DID      api.DID // "" in a pairing: whoever approves it says whose the device is
	Device   api.Key
	Nonce    nonce
	Expires  int64 // Unix milliseconds
}

func (a *App) words(purpose string, did api.DID, device api.Key, n nonce, expires int64) []byte {
	return codec.MustMarshal(&words{
		Purpose: purpose, Node: a.opt.Node, Audience: a.opt.Audience, DID: did, Device: device, Nonce: n, Expires: expires,
	})
}

// ticket is a challenge as its holder keeps it for this node: what the request does not repeat, and the node's mark over the message.
type ticket struct {
	nonce   nonce
	expires int64
	mark    []byte
}

const ticketSize = 16 + 8 + 32

// seal returns the challenge for a message.
func seal(k *keys, n nonce, expires int64, message []byte) string {
	b := make([]byte, 0, ticketSize)
	b = binary.BigEndian.AppendUint64(append(b, n[:]...), uint64(expires))
	return base64.RawURLEncoding.EncodeToString(append(b, mac(k.process, []byte("challenge\x00"), message)...))
}

// parseTicket reads a challenge; whether it is this node's shows unseal.
func parseTicket(s string) (t ticket, ok bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(ticketSize) {
		return t, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != ticketSize || base64.RawURLEncoding.EncodeToString(b) != s { // the decoder skips line ends
		return t, false
	}
	t = ticket{nonce: nonce(b[:16]), expires: int64(binary.BigEndian.Uint64(b[16:24])), mark: b[24:]}
	return t, t.expires > 0
}

// unseal reports whether this process has made the challenge for the message.
func (t *ticket) unseal(k *keys, message []byte) bool {
	return hmac.Equal(t.mark, mac(k.process, []byte("challenge\x00"), message))
}

// over reports whether the time of expiry, in Unix milliseconds, has come.
func over(expires int64, now time.Time) bool { return now.UnixMilli() >= expires }
