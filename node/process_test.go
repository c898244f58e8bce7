package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
)

const (
	passphrase = "only for these tests"
	patience   = 30 * time.Second // for what nodes do in their own time; nothing is measured by it
)

// icnd is the daemon's binary, built once for all tests of the package.
var icnd string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "icnd")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	defer database.Stop()
	icnd = filepath.Join(dir, "icnd")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", icnd, "../cmd/icnd").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a real daemon that a test starts, kills and starts again on one data directory and port.
type process struct {
	t    *testing.T
	name string
	dir  string
	addr string // host:port of other nodes' sessions
	args []string
	did  api.DID
	key  api.Key

	cmd    *exec.Cmd
	log    *output
	exited chan struct{}
	rpc    *client.Client
}

// output is what a daemon writes; it can be read while that goes on.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newProcess makes keys. Args are flags on top.
func newProcess(t *testing.T, name string, args ...string) *process {
	t.Helper()
	if testing.Short() {
		t.Skip("starts daemons")
	}
	dir, err := os.MkdirTemp("", "icn") // a socket's path may have about a hundred bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	made, err := config.Init(dir, []byte(passphrase), 2)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: name, dir: dir, addr: freeUDP(t), args: args, did: made.DID, key: made.Device}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && p.log != nil {
			s := p.log.String()
			t.Logf("the end of %s's log:\n%s", name, s[max(0, len(s)-3000):])
		}
	})
	return p
}

// startProcess is newProcess, running.
func startProcess(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := newProcess(t, name, args...)
	p.start()
	return p
}

func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// start runs the daemon and waits until it serves.
func (p *process) start() {
	p.t.Helper()
	p.launch()
	p.serves()
}

// launch runs the daemon.
func (p *process) launch() {
	p.t.Helper()
	args := append([]string{"--data-dir", p.dir, "--listen", p.addr, "--metrics-bind", "off", "--log-format", "text", "--mdns=false"}, p.args...)
	p.cmd = exec.Command(icnd, args...)
	p.cmd.Env = append(os.Environ(), "ICN_KEYSTORE_PASSPHRASE="+passphrase)
	p.log = &output{}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		_ = cmd.Wait() // how it ended stands in ProcessState
	}(p.cmd, p.exited)
}

// serves waits until the daemon serves.
func (p *process) serves() {
	p.t.Helper()
	until(p.t, func() error {
		select {
		case <-p.exited:
			p.t.Fatalf("%s ended by itself: %s\n%s", p.name, p.cmd.ProcessState, p.log)
		default:
		}
		c, err := client.Dial(p.t.Context(), "unix:"+filepath.Join(p.dir, config.SocketFile))
		if err != nil {
			return err
		}
		s, err := c.NodeStatus(p.t.Context())
		if err != nil || s.Phase != "running" {
			c.Close()
			return errors.Join(err, errors.New("not running yet"))
		}
		p.rpc = c
		return nil
	})
}

// kill is kill -9 and waits for the end.
func (p *process) kill() {
	if p.rpc != nil {
		p.rpc.Close()
	}
	if p.cmd == nil || p.cmd.Process == nil || p.exited == nil {
		return
	}
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.exited
}

// term is SIGTERM; it returns the exit code.
func (p *process) term() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("%s did not end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// until repeats check until it holds.
func until(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", patience, err)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
			t.Fatal(err)
		}
	}
}

// found makes a space on p in which everybody may owe up to limit, minor units.
func found(t *testing.T, p *process, limit int64, test bool) api.Hash {
	t.Helper()
	out, err := p.rpc.SpaceCreate(t.Context(), client.SpaceCreateIn{Name: "Mill Lane", DefaultLimit: &limit, Test: test})
	if err != nil {
		t.Fatal(err)
	}
	return out.Space
}

// join brings others into the only space of p.
func join(t *testing.T, p *process, others ...*process) {
	t.Helper()
	inv, err := p.rpc.SpaceInvite(t.Context(), client.SpaceInviteIn{Uses: uint32(len(others))})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range others {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := o.rpc.SpaceJoin(ctx, client.SpaceJoinIn{Invitation: inv.Invitation})
		cancel()
		if err != nil || !out.Member {
			t.Fatalf("%s does not get in: %+v %v", o.name, out, err)
		}
	}
}

func pay(t *testing.T, from, to *process, amount int64) error {
	t.Helper()
	_, err := from.rpc.LedgerTransfer(t.Context(), client.LedgerTransferIn{To: to.did, Currency: "hours", Amount: amount})
	return err
}

func balance(t *testing.T, on, of *process) int64 {
	t.Helper()
	out, err := on.rpc.LedgerBalance(t.Context(), client.LedgerBalanceIn{DID: of.did})
	if err != nil {
		t.Fatal(err)
	}
	return out.Balances[0].Balance
}

// agree waits until all have the same state and returns its digest.
func agree(t *testing.T, all ...*process) api.Hash {
	t.Helper()
	var digest api.Hash
	until(t, func() error {
		var lines []string
		equal := true
		for i, p := range all {
			out, err := p.rpc.StateDigest(t.Context())
			if err != nil {
				return err
			}
			if i == 0 {
				digest = out.Digest
			}
			equal = equal && out.Digest == digest
			lines = append(lines, fmt.Sprintf("%s: %v", p.name, out.Apps))
		}
		if !equal {
			return fmt.Errorf("the states differ:\n%s", strings.Join(lines, "\n"))
		}
		return nil
	})
	return digest
}

// sound wants the books to sum to zero and the state to be what the records give.
func sound(t *testing.T, all ...*process) {
	t.Helper()
	for _, p := range all {
		books, err := p.rpc.LedgerVerify(t.Context(), client.LedgerVerifyIn{})
		if err != nil || !books.OK {
			t.Errorf("%s: ledger.verify: %+v %v", p.name, books, err)
			continue
		}
		for _, c := range books.Currencies {
			if c.Sum != 0 {
				t.Errorf("%s: %s sums to %d", p.name, c.Currency, c.Sum)
			}
		}
		if state, err := p.rpc.StateVerify(t.Context()); err != nil || !state.OK {
			t.Errorf("%s: state.verify: %+v %v", p.name, state, err)
		}
	}
}
