//go:build linux

package identity_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/creack/pty"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

// The keystore outlives this program: the stock age tool opens it, asking for the passphrase on its terminal.
func TestStockAgeOpensTheKeystore(t *testing.T) {
	tool, err := exec.LookPath("age")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("the age tool is missing: apt-get install age")
		}
		t.Skip("the age tool is not installed: apt-get install age")
	}
	dir, id := create(t)
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), tool, "-d", filepath.Join(dir, identity.KeystoreFile))
	cmd.Stdout = &out
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	shown := answer(t, tty, "passphrase", func() bool { return true }, passphrase)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("age -d: %v\n%s", err, shown())
	}
	var got struct{ DID api.DID }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.DID != id.DID() {
		t.Errorf("age -d shows %s, %v; want %s\n%s", got.DID, err, id.DID(), out.String())
	}
}

// answer waits until the other side of the terminal shows a prompt that contains want, case aside, and is ready, and types a line; so for each
// of lines. The function that it returns waits for the other side to end and returns all that was shown.
func answer(t *testing.T, tty io.ReadWriter, want string, ready func() bool, lines ...string) func() string {
	t.Helper()
	var all []byte
	buf := make([]byte, 256)
	for _, line := range lines {
		from := len(all)
		for !strings.Contains(strings.ToLower(string(all[from:])), want) {
			n, err := tty.Read(buf)
			all = append(all, buf[:n]...)
			if err != nil {
				t.Fatalf("terminal: %v, after %q", err, all)
			}
		}
		for !ready() {
			time.Sleep(time.Millisecond)
		}
		if _, err := io.WriteString(tty, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	rest := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(tty) // ends with EIO once the other side is closed
		rest <- b
	}()
	return func() string { return string(append(all, <-rest...)) }
}

func TestPromptOnATerminal(t *testing.T) {
	for name, tc := range map[string]struct {
		confirm bool
		typed   []string
		want    string
		fails   string
	}{
		"open":           {false, []string{"short"}, "short", ""},
		"open, empty":    {false, []string{""}, "", "empty"},
		"new":            {true, []string{passphrase, passphrase}, passphrase, ""},
		"new, differ":    {true, []string{passphrase, passphrase + "x"}, "", "differ"},
		"new, too short": {true, []string{"short", "short"}, "", "at least 8"},
	} {
		t.Run(name, func(t *testing.T) {
			master, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			defer master.Close()
			type result struct {
				p   []byte
				err error
			}
			done := make(chan result, 1)
			go func() {
				p, err := identity.PassphraseSource{In: tty, Prompt: tty}.Read(tc.confirm)
				tty.Close()
				done <- result{p, err}
			}()
			// The echo goes off just after the prompt is shown: a person is never that fast, a test is.
			shown := answer(t, master, ": ", func() bool {
				var st syscall.Termios
				_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&st)))
				return errno == 0 && st.Lflag&syscall.ECHO == 0
			}, tc.typed...)
			got := <-done
			if tc.fails != "" {
				if api.KindOf(got.err) != api.Invalid || !strings.Contains(got.err.Error(), tc.fails) {
					t.Errorf("%v, want %q", got.err, tc.fails)
				}
			} else if got.err != nil || string(got.p) != tc.want {
				t.Errorf("%q, %v; want %q", got.p, got.err, tc.want)
			}
			if s := shown(); len(tc.want) > 0 && strings.Contains(s, tc.want) {
				t.Errorf("the terminal showed the passphrase: %q", s)
			}
		})
	}
}

func TestPassphraseFromAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o666); err != nil {
		t.Skipf("no named pipes here: %v", err)
	}
	go os.WriteFile(path, []byte(passphrase+"\n"), 0)
	if p, err := (identity.PassphraseSource{File: path}).Read(false); err != nil || string(p) != passphrase {
		t.Errorf("%q, %v", p, err)
	}
}
