//go:build linux

package identity_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/creack/pty"

	"github.com/intercooperative/icn/kernel/identity"
)

// The stock tool opens a stream, whichever way it is encrypted.
func TestStockAgeOpensStream(t *testing.T) {
	tool, err := exec.LookPath("age")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("the age tool is missing: apt-get install age")
		}
		t.Skip("the age tool is not installed: apt-get install age")
	}
	public, file := newKey(t)
	dir := t.TempDir()
	key, byKey, byWord, plain := filepath.Join(dir, "key"), filepath.Join(dir, "a.age"), filepath.Join(dir, "b.age"), filepath.Join(dir, "plain")
	if err := errors.Join(os.WriteFile(key, file, 0o600),
		os.WriteFile(byKey, sealed(t, identity.Seal{Recipients: []string{public}}), 0o600),
		os.WriteFile(byWord, sealed(t, identity.Seal{Passphrase: []byte(passphrase), WorkFactor: quick}), 0o600)); err != nil {
		t.Fatal(err)
	}
	if got, err := exec.CommandContext(t.Context(), tool, "-d", "-i", key, byKey).Output(); err != nil || !bytes.Equal(got, longText) {
		t.Errorf("to a recipient: %d bytes, %v", len(got), err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "-d", "-o", plain, byWord)
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	shown := answer(t, tty, "passphrase", func() bool { return true }, passphrase)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("age -d: %v\n%s", err, shown())
	}
	if got, err := os.ReadFile(plain); err != nil || !bytes.Equal(got, longText) {
		t.Errorf("to a passphrase: %d bytes, %v", len(got), err)
	}
}
