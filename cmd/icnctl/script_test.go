package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node"
	"github.com/intercooperative/icn/node/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"icnctl": func() { os.Exit(run()) }})
}

const passphrase = "only for these tests"

// Scripts that need no node.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, Cmds: commands(nil)})
}

// Scripts with nodes, which run in this process: `node NAME [bootstrap address...]` makes and starts one whose data directory is NAME, with its recovery
// phrase in the file phrase there; `stop NAME` ends it in good order.
func TestEndToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nodes")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/e2e", RequireExplicitExec: true, Cmds: commands(&nodes{running: map[string]*running{}}),
		Setup: func(e *testscript.Env) error {
			// A socket's path may have about a hundred bytes; the directory of a script is often longer.
			dir, err := os.MkdirTemp("", "icn")
			e.Setenv("N", dir)
			e.Defer(func() { os.RemoveAll(dir) })
			return err
		},
	})
}

type running struct {
	stop context.CancelFunc
	done chan error
}

// nodes are the nodes of all scripts, which run in parallel.
type nodes struct {
	mu      sync.Mutex
	running map[string]*running // by data directory
}

func commands(n *nodes) map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){
		// exits CODE COMMAND...: like exec, but for one exit code. Output is compared with stdout and stderr as usual.
		"exits": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < 2 {
				ts.Fatalf("usage: exits CODE COMMAND...")
			}
			err := ts.Exec(args[1], args[2:]...)
			got := 0
			var status interface{ ExitCode() int }
			if errors.As(err, &status) {
				got = status.ExitCode()
			} else if err != nil {
				ts.Fatalf("%v", err)
			}
			if fmt.Sprint(got) != args[0] {
				ts.Fatalf("%s exited with %d, want %s", strings.Join(args[1:], " "), got, args[0])
			}
		},
		// set NAME: keeps what the last command printed, trimmed, in an environment variable.
		"set": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: set NAME")
			}
			ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
		},
		// field NAME WORD: keeps the second column of the line of the last output that begins with WORD, of JSON without what is around it.
		"field": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 2 {
				ts.Fatalf("usage: field NAME WORD")
			}
			for line := range strings.Lines(ts.ReadFile("stdout")) {
				if f := strings.Fields(line); len(f) > 1 && f[0] == args[1] {
					ts.Setenv(args[0], strings.Trim(f[1], `",`))
					return
				}
			}
			ts.Fatalf("no line begins with %q", args[1])
		},
	}
	if n != nil {
		cmds["node"], cmds["stop"], cmds["until"] = n.start, n.stop, until
		cmds["halt"] = n.stop // testscript has a command `stop` of its own, which ends the script
	}
	return cmds
}

func (n *nodes) start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: node NAME [bootstrap address...]")
	}
	dir := filepath.Join(ts.Getenv("N"), args[0])
	if _, err := os.Stat(filepath.Join(dir, identity.KeystoreFile)); err != nil {
		made, err := config.Init(dir, []byte(passphrase), 2)
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(dir, "phrase"), []byte(made.Phrase), 0o600)) // as its owner has it on paper
	}
	cfg := config.Defaults()
	cfg.DataDir = dir
	// A port of the system's choice: scripts run in parallel. It stays the node's for later starts, since peers know it.
	port := filepath.Join(dir, "port")
	if b, err := os.ReadFile(port); err == nil {
		cfg.Network.BindAddr = string(b)
	} else {
		cfg.Network.BindAddr = freePort(ts)
		ts.Check(os.WriteFile(port, []byte(cfg.Network.BindAddr), 0o600))
	}
	cfg.Network.EnableMDNS = false
	cfg.Network.BootstrapPeers = args[1:]
	cfg.Observability.MetricsPort = 0
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, done: make(chan error, 1)}
	ready := make(chan struct{})
	go func() {
		r.done <- node.Run(ctx, &cfg, node.Options{
			Version: "test", Log: io.Discard, Ready: func() { close(ready) },
			Passphrase: identity.PassphraseSource{LookupEnv: func(string) (string, bool) { return passphrase, true }},
		})
	}()
	select {
	case <-ready:
	case err := <-r.done:
		ts.Fatalf("the node did not start: %v", err)
	}
	n.mu.Lock()
	n.running[dir] = r
	n.mu.Unlock()
	ts.Defer(func() { n.end(ts, dir) })
}

func freePort(ts *testscript.TestScript) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	defer c.Close()
	return c.LocalAddr().String()
}

func (n *nodes) stop(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: stop NAME")
	}
	n.end(ts, filepath.Join(ts.Getenv("N"), args[0]))
}

func (n *nodes) end(ts *testscript.TestScript, dir string) {
	n.mu.Lock()
	r := n.running[dir]
	delete(n.running, dir)
	n.mu.Unlock()
	if r == nil {
		return
	}
	r.stop()
	if err := <-r.done; err != nil {
		ts.Logf("the node in %s stopped with %v", dir, err)
		ts.Fatalf("%v", err)
	}
}
