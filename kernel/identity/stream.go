package identity

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/intercooperative/icn/kernel/api"
)

// maxRecipients bounds the public keys that one stream is encrypted to.
const maxRecipients = 20

// Seal says who will be able to read an encrypted stream: whoever knows the passphrase, or whoever holds the secret key of a recipient. One of
// the two, not both.
type Seal struct {
	Passphrase []byte
	WorkFactor int      // of scrypt, as for Create; 0 is the default
	Recipients []string // public keys as age writes them, age1...
}

// Unseal is what opens an encrypted stream: a passphrase, or the text of an age key file (AGE-SECRET-KEY-1...). Both may be given.
type Unseal struct {
	Passphrase []byte
	Keys       []byte
}

// NewSealKey makes a key pair for streams: the recipient that Encrypt takes, and the text of a key file that Decrypt and `age -i` take. The secret is
// in the file only; the caller wipes it.
func NewSealKey() (recipient string, file []byte, err error) {
	k, err := age.GenerateX25519Identity()
	if err != nil {
		return "", nil, api.Errorf("identity.sealkey", api.Internal, "%w", err)
	}
	recipient = k.Recipient().String()
	return recipient, fmt.Appendf(nil, "# public key: %s\n%s\n", recipient, k), nil
}

// Encrypt returns a writer that encrypts to w, in the binary format of age: `age -d` reads what comes out. Close ends the stream and not w; a
// stream without its end is refused by Decrypt. Memory does not grow with the stream. Errors in the Seal are api.Invalid.
func Encrypt(w io.Writer, to Seal) (io.WriteCloser, error) {
	const op = "identity.encrypt"
	var rs []age.Recipient
	switch {
	case len(to.Passphrase) > 0 && len(to.Recipients) > 0:
		return nil, api.Errorf(op, api.Invalid, "a passphrase and recipients: the format takes one or the other")
	case len(to.Recipients) > maxRecipients:
		return nil, api.Errorf(op, api.Invalid, "%d recipients: at most %d", len(to.Recipients), maxRecipients)
	case len(to.Recipients) > 0:
		for i, s := range to.Recipients {
			parsed, err := age.ParseRecipients(strings.NewReader(s))
			if err != nil || len(parsed) != 1 { // not quoted: it could be a secret key by mistake
				return nil, api.Errorf(op, api.Invalid, "recipient %d: want one public key of age, age1...", i+1)
			}
			rs = append(rs, parsed...)
		}
	default:
		if to.WorkFactor == 0 {
			to.WorkFactor = DefaultWorkFactor
		}
		if to.WorkFactor < 1 || to.WorkFactor > MaxWorkFactor {
			return nil, api.Errorf(op, api.Invalid, "work factor %d: want 1 to %d", to.WorkFactor, MaxWorkFactor)
		}
		if err := CheckPassphrase(to.Passphrase); err != nil {
			return nil, api.Wrap(op, err)
		}
		r, err := age.NewScryptRecipient(string(to.Passphrase))
		if err != nil {
			return nil, api.Errorf(op, api.Invalid, "%w", err)
		}
		r.SetWorkFactor(to.WorkFactor)
		rs = append(rs, r)
	}
	out, err := age.Encrypt(w, rs...)
	if err != nil {
		return nil, api.Errorf(op, api.Unavailable, "%w", err)
	}
	return out, nil
}

// Decrypt returns a reader of the plain text of r, armored or not. A wrong passphrase is ErrPassphrase; a key that does not open it, a stream that
// is no age file and one that asks for more work than MaxWorkFactor are api.Invalid. Damage further on is an error of the reader, which hands over
// nothing that has not been authenticated; the end of the stream is io.EOF only when nothing is missing.
func Decrypt(r io.Reader, by Unseal) (io.Reader, error) {
	const op = "identity.decrypt"
	var ids []age.Identity
	if len(by.Passphrase) > 0 {
		id, err := age.NewScryptIdentity(string(by.Passphrase))
		if err != nil {
			return nil, api.Errorf(op, api.Invalid, "%w", err)
		}
		id.SetMaxWorkFactor(MaxWorkFactor)
		ids = append(ids, id)
	}
	if len(by.Keys) > 0 {
		parsed, err := age.ParseIdentities(bytes.NewReader(by.Keys))
		if err != nil { // its text could quote the key
			return nil, api.Errorf(op, api.Invalid, "the key file is not one of age: want lines with AGE-SECRET-KEY-1...")
		}
		ids = append(ids, parsed...)
	}
	if len(ids) == 0 {
		return nil, api.Errorf(op, api.Invalid, "a passphrase or a key is wanted")
	}
	src := bufio.NewReader(r)
	var in io.Reader = src
	if head, _ := src.Peek(len(armor.Header)); string(head) == armor.Header { // too short a stream is age's to report
		in = armor.NewReader(src)
	}
	out, err := age.Decrypt(in, ids...)
	if err == nil {
		return out, nil
	}
	var no *age.NoIdentityMatchError
	if !errors.As(err, &no) {
		return nil, api.Errorf(op, api.Invalid, "not readable: %w", err)
	}
	byPassphrase := len(no.StanzaTypes) == 1 && no.StanzaTypes[0] == "scrypt"
	switch {
	case byPassphrase && len(by.Passphrase) > 0:
		return nil, api.Wrap(op, ErrPassphrase)
	case byPassphrase:
		return nil, api.Errorf(op, api.Invalid, "encrypted to a passphrase, and none was given")
	case len(by.Keys) > 0:
		return nil, api.Errorf(op, api.Invalid, "encrypted to other keys than the given one")
	}
	return nil, api.Errorf(op, api.Invalid, "encrypted to keys: name the file of one of them")
}
