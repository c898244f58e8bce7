package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/tyler-smith/go-bip39"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// PhraseWords is the number of words of a recovery phrase.
const PhraseWords = 24

// Phrase is a recovery phrase: 32 bytes of randomness as 24 words of BIP-39's English list, the last of which holds a checksum. It is on paper and in no
// keystore. All keys that will ever be in charge of a DID derive from it, so it rotates, and a thief of the keystore does not.
//
// Key n is the Ed25519 key whose seed is HKDF-SHA-256 of the 32 bytes, without salt, with the info "icn-control-key n", n in decimal digits; key 0 is the
// root key of a DID that starts with the phrase. (BIP-39's own way from words to keys, with a second passphrase, is not used.)
type Phrase struct{ seed [32]byte }

func newPhrase(seed []byte) *Phrase { return &Phrase{seed: [32]byte(seed)} }

// NewPhrase makes a phrase from 32 bytes of randomness.
func NewPhrase(rand io.Reader) (*Phrase, error) {
	p := new(Phrase)
	if _, err := io.ReadFull(rand, p.seed[:]); err != nil {
		return nil, api.Errorf("phrase.new", api.Internal, "read randomness: %w", err)
	}
	return p, nil
}

// ParsePhrase reads a phrase as people write it: words with any space between them, in any case. A wrong word, a wrong number of words and words that
// do not belong together are api.Invalid; the error quotes no word.
func ParsePhrase(text []byte) (*Phrase, error) {
	const op = "phrase.parse"
	words := strings.Fields(strings.ToLower(string(text)))
	if len(words) != PhraseWords {
		return nil, api.Errorf(op, api.Invalid, "%d words: a recovery phrase has %d", len(words), PhraseWords)
	}
	for i, w := range words {
		if _, known := bip39.GetWordIndex(w); !known {
			return nil, api.Errorf(op, api.Invalid, "word %d is not in the list", i+1)
		}
	}
	seed, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if err != nil || len(seed) != 32 {
		return nil, api.Errorf(op, api.Invalid, "the words do not belong together: one is wrong, or two are exchanged")
	}
	defer clear(seed)
	return newPhrase(seed), nil
}

// Words returns the 24 words with a space between them. The caller wipes them.
func (p *Phrase) Words() []byte {
	s, err := bip39.NewMnemonic(p.seed[:])
	if err != nil {
		panic(err) // 32 bytes always have words
	}
	return []byte(s)
}

// String says nothing, so that no log does.
func (p *Phrase) String() string { return "[recovery phrase]" }

// Wipe forgets the phrase, best effort.
func (p *Phrase) Wipe() { clear(p.seed[:]) }

func (p *Phrase) derive(info string, n int) []byte {
	b, err := hkdf.Key(sha256.New, p.seed[:], nil, info, n)
	if err != nil {
		panic(err) // at most 32 bytes
	}
	return b
}

// control returns key n.
func (p *Phrase) control(n int) ed25519.PrivateKey {
	seed := p.derive("icn-control-key "+strconv.Itoa(n), ed25519.SeedSize)
	defer clear(seed)
	return ed25519.NewKeyFromSeed(seed)
}

// public returns the public part of key n.
func (p *Phrase) public(n int, hybrid bool) (record.ControlPublic, error) {
	k := p.control(n)
	defer clear(k)
	c, err := record.NewControlKey(k, hybrid)
	if err != nil {
		return record.ControlPublic{}, err
	}
	return c.Public(), nil
}

// next finds the key that a log commits to: its number and whether it is hybrid. Another phrase's log is api.Refused.
func (p *Phrase) next(l *record.Log) (n int, hybrid bool, err error) {
	want := l.Terms().Next
	if want.IsZero() {
		return 0, false, api.Errorf("phrase.next", api.Refused, "%s commits to no next key: it cannot be rotated", l.DID())
	}
	for n := range record.MaxEvents + 1 {
		for _, hybrid := range []bool{false, true} {
			k, err := p.public(n, hybrid)
			if err != nil {
				return 0, false, err
			}
			if k.Commitment() == want {
				return n, hybrid, nil
			}
		}
	}
	return 0, false, api.Errorf("phrase.next", api.Refused, "this is not the recovery phrase of %s, or its log is not up to date", l.DID())
}

// salt returns the salt of a guardian, always the same.
func (p *Phrase) salt(owner, guardian api.DID) record.Salt {
	return record.Salt(p.derive("icn-guardian-salt "+string(owner)+" "+string(guardian), len(record.Salt{})))
}

// PhraseSource says where a recovery phrase may come from: a file, else a terminal. It never comes from the command line or the environment, where
// others see it.
type PhraseSource struct {
	File   string // with the words in it and nothing else, readable by its owner alone; "" for none
	In     *os.File
	Prompt io.Writer
}

// Read returns the phrase. All its errors are api.Invalid. The caller wipes the result.
func (s PhraseSource) Read() (*Phrase, error) {
	var text []byte
	var err error
	switch {
	case s.File != "":
		text, err = readPassphraseFile(s.File)
	case !terminal(s.In):
		err = api.Errorf("phrase", api.Invalid, "no recovery phrase: name a file with --phrase-file, or run this on a terminal")
	default:
		text, err = PassphraseSource{In: s.In, Prompt: s.Prompt}.ask("Recovery phrase, 24 words (not shown): ")
	}
	defer clear(text)
	if err != nil {
		return nil, err
	}
	return ParsePhrase(bytes.TrimSpace(text))
}
