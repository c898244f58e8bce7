package membership

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	invitationPrefix = "icn-invite:"
	maxInvitation    = 4096 // characters
	checksumSize     = 4
	maxAddresses     = 16
	maxAddress       = 256
)

// invitation is what a person passes on to invite somebody. It is a secret: whoever has the text may join. It prints as nothing.
type invitation struct {
	_         struct{} `cbor:",toarray"`
	Version   uint16
	Space     api.Hash
	Feed      api.Hash // with Seq and ID: the invite record
	Seq       uint64
	ID        api.Hash
	Seed      []byte // of the invitation's key
	Addresses []string
	Name      string // of the space, for people
	Expires   int64  // Unix milliseconds
}

// String and LogValue keep the secret out of logs and errors.
func (invitation) String() string       { return "(invitation)" }
func (invitation) GoString() string     { return "(invitation)" }
func (invitation) LogValue() slog.Value { return slog.StringValue("(invitation)") }

func (i *invitation) position() api.Position { return api.Position{Feed: i.Feed, Seq: i.Seq, ID: i.ID} }

func (i *invitation) key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(i.Seed) }

// text returns the form that people pass on: the prefix, then base64url of the canonical encoding and a checksum.
func (i *invitation) text() string {
	b := codec.MustMarshal(i)
	sum := sha256.Sum256(b)
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(append(b, sum[:checksumSize]...))
}

// parseInvitation reads the text form. Errors do not repeat the text.
func parseInvitation(s string) (*invitation, error) {
	bad := func(format string, args ...any) (*invitation, error) {
		return nil, api.Errorf("invitation.parse", api.Invalid, "invitation: "+format, args...)
	}
	s = strings.TrimSpace(s)
	rest, ok := strings.CutPrefix(s, invitationPrefix)
	switch {
	case !ok:
		return bad("want a text that starts with %s", invitationPrefix)
	case len(s) > maxInvitation:
		return bad("%d characters: at most %d", len(s), maxInvitation)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) <= checksumSize || base64.RawURLEncoding.EncodeToString(b) != rest {
		return bad("it is cut off or changed; copy it again, all of it")
	}
	b, sum := b[:len(b)-checksumSize], b[len(b)-checksumSize:]
	if want := sha256.Sum256(b); !bytes.Equal(sum, want[:checksumSize]) {
		return bad("it is cut off or changed; copy it again, all of it")
	}
	var i invitation
	if err := codec.Unmarshal(b, &i); err != nil {
		return bad("it is made by another version of the software")
	}
	if err := i.check(); err != nil {
		return bad("%w", err)
	}
	return &i, nil
}

func (i *invitation) check() error {
	switch {
	case i.Version != 1:
		return fmt.Errorf("version %d: this build knows 1; upgrade", i.Version)
	case len(i.Seed) != ed25519.SeedSize:
		return fmt.Errorf("key of %d bytes: want %d", len(i.Seed), ed25519.SeedSize)
	case i.Seq == 0 || i.Space.IsZero():
		return fmt.Errorf("it names no space or no record")
	case !text(i.Name, maxName):
		return fmt.Errorf("name: want 1 to %d bytes of printable text", maxName)
	case i.Expires <= 0:
		return fmt.Errorf("expires %d: want Unix milliseconds", i.Expires)
	case len(i.Addresses) > maxAddresses:
		return fmt.Errorf("%d addresses: at most %d", len(i.Addresses), maxAddresses)
	}
	for _, a := range i.Addresses {
		if !text(a, maxAddress) {
			return fmt.Errorf("address: want 1 to %d bytes of printable text", maxAddress)
		}
	}
	return nil
}
