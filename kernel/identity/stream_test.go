package identity_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"filippo.io/age/armor"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

// longText is longer than a chunk of age's.
var longText = bytes.Repeat([]byte("0123456789abcdef"), 20_000)

func sealed(t *testing.T, to identity.Seal) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := identity.Encrypt(&b, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(longText); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unsealed(b []byte, by identity.Unseal) ([]byte, error) {
	r, err := identity.Decrypt(bytes.NewReader(b), by)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func newKey(t *testing.T) (public string, file []byte) {
	t.Helper()
	public, file, err := identity.NewSealKey()
	if err != nil {
		t.Fatal(err)
	}
	return public, file
}

func TestStreamRoundTrip(t *testing.T) {
	public, file := newKey(t)
	other, otherFile := newKey(t)
	withPassphrase := identity.Seal{Passphrase: []byte(passphrase), WorkFactor: quick}
	for _, tc := range []struct {
		name string
		to   identity.Seal
		by   identity.Unseal
	}{
		{"passphrase", withPassphrase, identity.Unseal{Passphrase: []byte(passphrase)}},
		{"passphrase, a key beside it", withPassphrase, identity.Unseal{Passphrase: []byte(passphrase), Keys: file}},
		{"recipient", identity.Seal{Recipients: []string{public}}, identity.Unseal{Keys: file}},
		{"two recipients, the second", identity.Seal{Recipients: []string{other, public}}, identity.Unseal{Keys: file}},
	} {
		b := sealed(t, tc.to)
		if got, err := unsealed(b, tc.by); err != nil || !bytes.Equal(got, longText) {
			t.Errorf("%s: %d bytes, %v", tc.name, len(got), err)
		}
		var armored bytes.Buffer
		w := armor.NewWriter(&armored)
		w.Write(b)
		w.Close()
		if got, err := unsealed(armored.Bytes(), tc.by); err != nil || !bytes.Equal(got, longText) {
			t.Errorf("%s, armored: %d bytes, %v", tc.name, len(got), err)
		}
		if _, err := unsealed(b[:len(b)-1], tc.by); err == nil {
			t.Errorf("%s: torn at the end, and read", tc.name)
		}
		b[len(b)-100_000] ^= 1
		if got, err := unsealed(b, tc.by); err == nil || !bytes.HasPrefix(longText, got) {
			t.Errorf("%s: a flipped bit: %d bytes, %v", tc.name, len(got), err)
		}
	}
	for name, tc := range map[string]struct {
		to   identity.Seal
		by   identity.Unseal
		text string
	}{
		"no key for it":           {identity.Seal{Recipients: []string{public}}, identity.Unseal{Keys: otherFile}, "other keys"},
		"passphrase for a key":    {identity.Seal{Recipients: []string{public}}, identity.Unseal{Passphrase: []byte(passphrase)}, "name the file"},
		"key for a passphrase":    {withPassphrase, identity.Unseal{Keys: file}, "encrypted to a passphrase"},
		"nothing":                 {withPassphrase, identity.Unseal{}, "is wanted"},
		"a key file that is none": {withPassphrase, identity.Unseal{Keys: []byte("AGE-SECRET-KEY-1NO")}, "not one of age"},
	} {
		if _, err := unsealed(sealed(t, tc.to), tc.by); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%s: %v, want %q", name, err, tc.text)
		}
	}
	if _, err := unsealed(sealed(t, withPassphrase), identity.Unseal{Passphrase: []byte("not this one")}); !errors.Is(err, identity.ErrPassphrase) {
		t.Errorf("wrong passphrase: %v", err)
	}
	if _, err := unsealed([]byte("a photograph of a cat"), identity.Unseal{Passphrase: []byte(passphrase)}); api.KindOf(err) != api.Invalid {
		t.Errorf("no age file: %v", err)
	}
}

func TestEncryptRefuses(t *testing.T) {
	public, _ := newKey(t)
	for name, to := range map[string]identity.Seal{
		"nothing":          {},
		"short passphrase": {Passphrase: []byte("seven77")},
		"work factor":      {Passphrase: []byte(passphrase), WorkFactor: 23},
		"both":             {Passphrase: []byte(passphrase), Recipients: []string{public}},
		"no key":           {Recipients: []string{"age1nonsense"}},
		"two in one":       {Recipients: []string{public + "\n" + public}},
		"a secret key":     {Recipients: []string{"AGE-SECRET-KEY-1QQQ"}},
		"too many":         {Recipients: make([]string, 21)},
	} {
		_, err := identity.Encrypt(io.Discard, to)
		if api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "SECRET-KEY-1QQQ") {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}
