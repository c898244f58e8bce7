package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/intercooperative/icn/kernel/api"
)

// PassphraseEnv is the environment variable that may hold the passphrase.
const PassphraseEnv = "ICN_KEYSTORE_PASSPHRASE"

// MinPassphrase is the least length of a new passphrase, in characters; maxPassphrase bounds what is read, in bytes.
const (
	MinPassphrase = 8
	maxPassphrase = 1024
)

// CheckPassphrase tells whether a new passphrase will do: MinPassphrase characters or more. The error is api.Invalid.
func CheckPassphrase(p []byte) error {
	if n := utf8.RuneCount(p); n < MinPassphrase || len(p) > maxPassphrase {
		return api.Errorf("passphrase", api.Invalid, "a passphrase has at least %d characters and at most %d bytes", MinPassphrase, maxPassphrase)
	}
	return nil
}

// PassphraseSource says where a passphrase may come from. The first that is there counts: the file, the environment, a terminal. The zero
// value has no source.
type PassphraseSource struct {
	// File is the path of a file with the passphrase in it and nothing else; one line end after it is left out. Others must not be able to
	// read it: the mode of a mounted secret may be 0440 or less. A pipe will do. "" for none.
	File string
	// LookupEnv finds PassphraseEnv, usually os.LookupEnv; nil for none. An empty variable counts as not set.
	LookupEnv func(string) (string, bool)
	// In is asked when it is a terminal, without echo, and Prompt shows what for: usually os.Stdin and os.Stderr. nil for none.
	In     *os.File
	Prompt io.Writer
}

// Read returns the passphrase. With confirm, for a new keystore, a terminal is asked twice, and CheckPassphrase must pass. When no source has
// one, the error says which there are; its kind, as that of all its errors, is api.Invalid. The caller wipes the result.
func (s PassphraseSource) Read(confirm bool) ([]byte, error) {
	p, err := s.read(confirm)
	if err == nil && confirm {
		err = CheckPassphrase(p)
	}
	if err == nil && len(p) == 0 {
		err = api.Errorf("passphrase", api.Invalid, "the passphrase is empty")
	}
	if err != nil {
		clear(p)
		return nil, err
	}
	return p, nil
}

func (s PassphraseSource) read(confirm bool) ([]byte, error) {
	if s.File != "" {
		return readPassphraseFile(s.File)
	}
	if s.LookupEnv != nil {
		if v, ok := s.LookupEnv(PassphraseEnv); ok && v != "" {
			return []byte(v), nil
		}
	}
	if !terminal(s.In) {
		return nil, api.Errorf("passphrase", api.Invalid, "no passphrase: set %s, name a file with --passphrase-file, or run this on a terminal", PassphraseEnv)
	}
	p, err := s.ask("Passphrase: ")
	if err != nil || !confirm {
		return p, err
	}
	again, err := s.ask("The same again: ")
	defer clear(again)
	if err == nil && !bytes.Equal(p, again) {
		err = api.Errorf("passphrase", api.Invalid, "the two passphrases differ")
	}
	return p, err
}

func terminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

func (s PassphraseSource) ask(prompt string) ([]byte, error) {
	out := s.Prompt
	if out == nil {
		out = io.Discard
	}
	fmt.Fprint(out, prompt)
	p, err := term.ReadPassword(int(s.In.Fd()))
	fmt.Fprintln(out)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the input ended")
		}
		return p, api.Errorf("passphrase", api.Invalid, "read from the terminal: %w", err)
	}
	return p, nil
}

func readPassphraseFile(path string) ([]byte, error) {
	bad := func(format string, args ...any) ([]byte, error) {
		return nil, api.Errorf("passphrase", api.Invalid, format, args...)
	}
	f, err := os.Open(path)
	if err != nil {
		return bad("%w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return bad("%w", err)
	}
	if perm := info.Mode().Perm(); checkModes && info.Mode().IsRegular() && perm&0o007 != 0 {
		return bad("%s can be read by everybody (mode %04o): chmod 600 %s", path, perm, path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPassphrase+3)) // room for a line end, and for one byte too many
	if err != nil {
		return bad("%w", err)
	}
	p := bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(p) > maxPassphrase {
		clear(b)
		return bad("%s: a passphrase has at most %d bytes", path, maxPassphrase)
	}
	return p, nil
}
