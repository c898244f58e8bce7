package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Bounds and forms of what goes into a QR code.
const (
	linkPrefix   = "icn-login:"
	maxLink      = 1024 // characters
	checksumSize = 4
	codeDigits   = 6
	pairMark     = 16
)

// request is what a new device asks for. It is kept by the device and whoever it shows it to, sealed, and not by the node.
type request struct {
	_       struct{} `cbor:",toarray"`
	Nonce   nonce
	Device  api.Key
	Label   string
	Expires int64 // Unix milliseconds
}

// sealPairing returns the request as the device keeps it.
func sealPairing(k *keys, q *request) []byte {
	b := codec.MustMarshal(q)
	return append(b, mac(k.process, []byte("pairing\x00"), b)[:pairMark]...)
}

// openPairing returns a request that this process has sealed.
func openPairing(k *keys, b []byte) (q request, ok bool) {
	if len(b) <= pairMark {
		return q, false
	}
	b, mark := b[:len(b)-pairMark], b[len(b)-pairMark:]
	if !hmac.Equal(mark, mac(k.process, []byte("pairing\x00"), b)[:pairMark]) {
		return q, false
	}
	return q, codec.Unmarshal(b, &q) == nil
}

// secret is what the device shows to claim, and code what its owner reads from its screen. Both follow from the pairing for this process alone.
func (q *request) secret(k *keys) string {
	return base64.RawURLEncoding.EncodeToString(mac(k.process, []byte("secret\x00"), codec.MustMarshal(q)))
}

func (q *request) code(k *keys) string {
	n := binary.BigEndian.Uint64(mac(k.process, []byte("code\x00"), codec.MustMarshal(q)))
	return fmt.Sprintf("%0*d", codeDigits, n%1_000_000)
}

// Link is what the QR code of a new device says: at which node it wants to log in, and its pairing. It is no secret: the code that is not in it has to be read
// from the device's screen, and only a key event lets the device in.
type Link struct {
	_        struct{} `cbor:",toarray"`
	Version  uint16   // 1
	Node     api.DID
	Audience string
	Pairing  []byte // for auth.pairing and auth.approve
}

// Text returns the link as people and cameras pass it on: the prefix, then base64url of the canonical encoding and a checksum.
func (l *Link) Text() string {
	b := codec.MustMarshal(l)
	sum := sha256.Sum256(b)
	return linkPrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:checksumSize]...))
}

// ParseLink reads the text of a link. Whether the node has made it only the node knows.
func ParseLink(s string) (*Link, error) {
	bad := func(format string, args ...any) (*Link, error) {
		return nil, api.Errorf("link.parse", api.Invalid, "pairing: "+format, args...)
	}
	s = strings.TrimSpace(s)
	rest, ok := strings.CutPrefix(s, linkPrefix)
	switch {
	case !ok:
		return bad("want a text that starts with %s", linkPrefix)
	case len(s) > maxLink:
		return bad("%d characters: at most %d", len(s), maxLink)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) <= checksumSize || base64.RawURLEncoding.EncodeToString(b) != rest {
		return bad("it is cut off or changed; scan it again, all of it")
	}
	b, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if want := sha256.Sum256(b); !bytes.Equal(sum, want[:checksumSize]) {
		return bad("it is cut off or changed; scan it again, all of it")
	}
	var l Link
	if err := codec.Unmarshal(b, &l); err != nil || l.Version != 1 {
		return bad("it is made by another version of the software")
	}
	if _, err := record.ParseDID(string(l.Node)); err != nil {
		return bad("node: %w", err)
	}
	return &l, nil
}
