package identity_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	quick      = 10 // work factor of tests
	passphrase = "correct horse battery"
)

func create(t *testing.T) (dir string, id *identity.Identity) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	id, err := identity.Create(dir, []byte(passphrase), quick)
	if err != nil {
		t.Fatal(err)
	}
	return dir, id
}

func TestKeystoreRoundTrip(t *testing.T) {
	dir, id := create(t)
	back, err := identity.Open(dir, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	if back.DID() != id.DID() || back.Device() != id.Device() || back.Node() != id.Node() {
		t.Errorf("opened %s %s %s, created %s %s %s", back.DID(), back.Device(), back.Node(), id.DID(), id.Device(), id.Node())
	}
	sig, err := back.Signer().Sign([]byte("m"))
	if err != nil || !record.Verify(id.Device(), []byte("m"), sig) {
		t.Errorf("the opened device key does not sign: %v", err)
	}
	if !bytes.Equal(back.NodeKey(), id.NodeKey()) {
		t.Error("the opened node key is another")
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, identity.KeystoreFile): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, mode %v, want %v", path, err, info.Mode(), want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	b, err := os.ReadFile(filepath.Join(dir, identity.KeystoreFile))
	if err != nil || bytes.Contains(b, []byte("did:icn:")) || bytes.Contains(b, []byte("seed")) {
		t.Errorf("plain text in the keystore: %v\n%s", err, b)
	}
}

func TestKeystoreIsNeverOverwritten(t *testing.T) {
	dir, id := create(t)
	_, err := identity.Create(dir, []byte("another passphrase"), quick)
	if api.KindOf(err) != api.Conflict {
		t.Fatalf("second Create: %v", err)
	}
	if back, err := identity.Open(dir, []byte(passphrase)); err != nil || back.DID() != id.DID() {
		t.Errorf("after the second Create: %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(open, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		dir, passphrase string
		factor          int
		want            string
	}{
		"short passphrase": {t.TempDir(), "seven77", quick, "at least 8 characters"},
		"characters count": {t.TempDir(), "éééééé7", quick, "at least 8 characters"},
		"huge passphrase":  {t.TempDir(), strings.Repeat("x", 1025), quick, "at most 1024"},
		"work factor":      {t.TempDir(), passphrase, 23, "work factor 23"},
		"negative factor":  {t.TempDir(), passphrase, -1, "work factor -1"},
		"others may write": {open, passphrase, quick, "chmod 700"},
		"no directory":     {file, passphrase, quick, "not a directory"},
	} {
		_, err := identity.Create(tc.dir, []byte(tc.passphrase), tc.factor)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), tc.passphrase) {
			t.Errorf("%s: the error shows the passphrase", name)
		}
		if _, err := os.Lstat(filepath.Join(tc.dir, identity.KeystoreFile)); err == nil {
			t.Errorf("%s: a keystore was written", name)
		}
	}
}

// seal makes a keystore of any content, as an attacker or another build would.
func seal(t *testing.T, plain string, factor int, armored bool) string {
	t.Helper()
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(factor)
	return encrypt(t, plain, to, armored)
}

func encrypt(t *testing.T, plain string, to age.Recipient, armored bool) string {
	t.Helper()
	var out bytes.Buffer
	wrapped := armor.NewWriter(&out)
	dst := (interface{ Write([]byte) (int, error) })(&out)
	if armored {
		dst = wrapped
	}
	w, err := age.Encrypt(dst, to)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(plain))
	w.Close()
	if armored {
		wrapped.Close()
	}
	return out.String()
}

// plainText returns the content of a good keystore.
func plainText(t *testing.T) (string, *identity.Identity) {
	t.Helper()
	dir, id := create(t)
	f, err := os.Open(filepath.Join(dir, identity.KeystoreFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	by, _ := age.NewScryptIdentity(passphrase)
	r, err := age.Decrypt(armor.NewReader(f), by)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	return b.String(), id
}

func TestKeystoreContent(t *testing.T) {
	plain, id := plainText(t)
	var got map[string]any
	if err := json.Unmarshal([]byte(plain), &got); err != nil {
		t.Fatal(err)
	}
	if got["version"] != 2.0 || got["did"] != string(id.DID()) || len(got) != 6 {
		t.Errorf("content %v", got)
	}
}

func TestOpen(t *testing.T) {
	plain, id := plainText(t)
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	good := seal(t, plain, quick, true)
	var p map[string]any
	if err := json.Unmarshal([]byte(plain), &p); err != nil {
		t.Fatal(err)
	}
	with := func(k string, v any) string {
		q := map[string]any{}
		for k, v := range p {
			q[k] = v
		}
		q[k] = v
		b, _ := json.Marshal(q)
		return seal(t, string(b), quick, true)
	}
	for name, tc := range map[string]struct {
		content    string
		passphrase string
		mode       fs.FileMode
		kind       api.Kind
		want       string
	}{
		"good":            {good, passphrase, 0o600, api.Other, ""},
		"read-only":       {good, passphrase, 0o400, api.Other, ""},
		"binary":          {seal(t, plain, quick, false), passphrase, 0o600, api.Other, ""},
		"wrong":           {good, "incorrect horse", 0o600, api.Invalid, "wrong passphrase"},
		"empty":           {good, "", 0o600, api.Invalid, "passphrase can't be empty"},
		"group reads":     {good, passphrase, 0o640, api.Invalid, "chmod 600"},
		"world reads":     {good, passphrase, 0o604, api.Invalid, "can be read by others"},
		"other recipient": {encrypt(t, plain, x25519.Recipient(), true), passphrase, 0o600, api.Invalid, "not encrypted to a passphrase"},
		"not age":         {"hello", passphrase, 0o600, api.Invalid, "header"},
		"nothing":         {"", passphrase, 0o600, api.Invalid, "header"},
		"cut":             {good[:len(good)-60], passphrase, 0o600, api.Invalid, ""},
		"huge":            {strings.Repeat("x", 1<<18), passphrase, 0o600, api.Invalid, "at most"},
		"not JSON":        {seal(t, "secret", quick, true), passphrase, 0o600, api.Invalid, "damaged"},
		"version":         {with("version", 3), passphrase, 0o600, api.Unsupported, "version 3"},
		"old version":     {with("version", 1), passphrase, 0o600, api.Invalid, "fields of another version"},
		"a root seed":     {with("root_seed", p["node_seed"]), passphrase, 0o600, api.Invalid, "fields of another version"},
		"no log":          {with("log", ""), passphrase, 0o600, api.Invalid, "damaged"},
		"rubbish log":     {with("log", "aGVsbG8="), passphrase, 0o600, api.Invalid, "damaged"},
		"unknown field":   {with("x", 2), passphrase, 0o600, api.Invalid, "damaged"},
		"other DID":       {with("did", string(identity.Derive("a", "b").DID())), passphrase, 0o600, api.Invalid, "damaged"},
		"short seed":      {with("control_seed", "abcd"), passphrase, 0o600, api.Invalid, "damaged"},
		"equal seeds":     {with("node_seed", p["device_seed"]), passphrase, 0o600, api.Invalid, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, identity.KeystoreFile)
			if err := errors.Join(os.WriteFile(path, []byte(tc.content), 0o600), os.Chmod(path, tc.mode)); err != nil {
				t.Fatal(err)
			}
			got, err := identity.Open(dir, []byte(tc.passphrase))
			if tc.kind == api.Other {
				if err != nil || got.DID() != id.DID() {
					t.Fatalf("%v", err)
				}
				return
			}
			if api.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v (%s), want %q (%s)", err, api.KindOf(err).Code(), tc.want, tc.kind.Code())
			}
			if is := errors.Is(err, identity.ErrPassphrase); is != (name == "wrong") {
				t.Errorf("errors.Is ErrPassphrase %t", is)
			}
			for _, secret := range []string{passphrase, fmt.Sprint(p["control_seed"]), "secret"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows a secret: %v", err)
				}
			}
		})
	}
}

// A keystore that asks for more work than MaxWorkFactor would stop the machine: it is refused before any work is done. The factor stands in
// the header in clear, so no work is needed to forge one.
func TestOpenCapsTheWorkFactor(t *testing.T) {
	plain, _ := plainText(t)
	forged := strings.Replace(seal(t, plain, quick, false), fmt.Sprintf(" %d\n", quick), " 23\n", 1)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, identity.KeystoreFile), []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Open(dir, []byte(passphrase)); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "work factor too large") {
		t.Errorf("%v", err)
	}
}

func TestOpenWithoutKeystore(t *testing.T) {
	if _, err := identity.Open(t.TempDir(), []byte(passphrase)); api.KindOf(err) != api.NotFound || !strings.Contains(err.Error(), "icnd init") {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, identity.KeystoreFile), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Open(dir, []byte(passphrase)); api.KindOf(err) != api.Invalid {
		t.Errorf("a directory in its place: %v", err)
	}
}

func ExampleCreate() {
	dir, err := os.MkdirTemp("", "icn-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	id, err := identity.Create(dir, []byte("correct horse battery"), 10) // 0 outside of examples: the default work factor
	if err != nil {
		panic(err)
	}
	defer id.Close()
	_, err = identity.Open(dir, []byte("another passphrase"))
	fmt.Println(errors.Is(err, identity.ErrPassphrase), err)
	again, err := identity.Open(dir, []byte("correct horse battery"))
	fmt.Println(again.DID() == id.DID(), err)
	// Output:
	// true keystore.open: wrong passphrase
	// true <nil>
}

// A keystore says whether its device key may have been used: not while the mark of a new one lies beside it and names the key, else yes.
func TestKeystoreSaysWhetherItWasUsed(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	create := func(dir string) *identity.Identity {
		id, err := identity.Create(dir, []byte(passphrase), 2)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if create(dir).Used() || create(other).Used() || reopen(t, dir).Used() {
		t.Error("a new keystore was used")
	}
	// A copy of the keystore, in a directory with the mark of another one.
	b, err := os.ReadFile(filepath.Join(dir, identity.KeystoreFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, identity.KeystoreFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if !reopen(t, other).Used() {
		t.Error("a copy of a keystore passes for a new one")
	}
	for range 2 {
		if err := identity.MarkUsed(dir); err != nil {
			t.Fatal(err)
		}
	}
	if !reopen(t, dir).Used() {
		t.Error("not used after all")
	}
}
