package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

// passphrase is that of all keystores that start makes. Daemons are told it as users tell it.
const passphrase = "only for these tests"

// daemons are the nodes of all scripts, which run in parallel: processes of the real daemon.
type daemons struct {
	t    *testing.T
	icnd string // the program

	mu      sync.Mutex
	running map[string]*daemon // by data directory
}

type daemon struct {
	cmd   *exec.Cmd
	log   bytes.Buffer // read it when the process has ended
	ended chan struct{}
}

// build makes the daemon's program.
func build(t *testing.T) string {
	t.Helper()
	icnd := filepath.Join(t.TempDir(), "icnd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", icnd, "../icnd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return icnd
}

// start is `node NAME [flag|address...]`: it starts the node whose data directory is NAME and waits until it serves. If there is no keystore yet it makes
// one, with the recovery phrase in the file phrase beside it, as the owner has it on paper. What begins with -- is a flag for the daemon, all else the
// address of a peer to keep. The passphrase comes from the script's ICN_KEYSTORE_PASSPHRASE, unless a flag names a file.
func (d *daemons) start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: node NAME [--flag|bootstrap address...]")
	}
	dir := d.dir(ts, args)
	if _, err := os.Stat(filepath.Join(dir, identity.KeystoreFile)); err != nil {
		made, err := config.Init(dir, []byte(passphrase), 2)
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(dir, "phrase"), []byte(made.Phrase), 0o600))
	}
	// A port of the system's choice: scripts run in parallel. It stays the node's for later starts, since peers know it.
	port := filepath.Join(dir, "port")
	listen, err := os.ReadFile(port)
	if err != nil {
		listen = []byte(freePort(ts))
		ts.Check(os.WriteFile(port, listen, 0o600))
	}
	flags := []string{"run", "--data-dir", dir, "--listen", string(listen), "--mdns=false", "--metrics-bind", "off", "--log-format", "text"}
	for _, a := range args[1:] {
		if !strings.HasPrefix(a, "--") {
			a = "--bootstrap=" + a
		}
		flags = append(flags, a)
	}
	p := &daemon{cmd: exec.Command(d.icnd, flags...), ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stderr = ts.Getenv("WORK"), &p.log
	p.cmd.Env = append(os.Environ(), "ICN_KEYSTORE_PASSPHRASE="+ts.Getenv("ICN_KEYSTORE_PASSPHRASE"))
	socket := filepath.Join(dir, config.SocketFile)
	_ = os.Remove(socket) // what a killed daemon has left would look as if this one served
	ts.Check(p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // how it ended stands in ProcessState
		close(p.ended)
	}()
	d.mu.Lock()
	d.running[dir] = p
	d.mu.Unlock()
	ts.Defer(func() { d.end(dir, syscall.SIGTERM) })
	for {
		if c, err := net.Dial("unix", socket); err == nil {
			c.Close()
			return
		}
		select {
		case <-p.ended:
			ts.Fatalf("the node %s did not start: %s\n%s", args[0], p.cmd.ProcessState, p.log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freePort(ts *testscript.TestScript) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	defer c.Close()
	return c.LocalAddr().String()
}

// freeAddress is one on which nobody listens by TCP now.
func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ""
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *daemons) dir(ts *testscript.TestScript, args []string) string {
	return filepath.Join(ts.Getenv("N"), args[0])
}

// term is `term NAME`: it ends a node in good order. (`stop` and `kill` are commands of testscript itself, and would win.)
func (d *daemons) term(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: term NAME")
	}
	d.end(d.dir(ts, args), syscall.SIGTERM)
}

// crash is `crash NAME`: kill -9.
func (d *daemons) crash(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: crash NAME")
	}
	d.end(d.dir(ts, args), syscall.SIGKILL)
}

// end sends a signal to the node of a data directory, if one runs, and waits for its end, which is to be in good order if it was asked for.
func (d *daemons) end(dir string, sig syscall.Signal) {
	d.mu.Lock()
	p := d.running[dir]
	delete(d.running, dir)
	d.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(sig) // it may have ended already, which the next lines tell
	<-p.ended
	if sig == syscall.SIGTERM && p.cmd.ProcessState.ExitCode() != 0 {
		d.t.Errorf("the node in %s ended with %s:\n%s", dir, p.cmd.ProcessState, p.log.String())
	}
}
