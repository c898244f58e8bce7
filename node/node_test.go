package node

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

const secret = "only for these tests"

func with(passphrase string) identity.PassphraseSource {
	return identity.PassphraseSource{LookupEnv: func(string) (string, bool) { return passphrase, true }}
}

// testConfig makes a data directory whose path is short enough for a socket.
func testConfig(t *testing.T) *config.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "icn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if _, err := config.Init(dir, []byte(secret), 2); err != nil {
		t.Fatal(err)
	}
	c := config.Defaults()
	c.DataDir = dir
	c.Network.BindAddr = ""
	c.Network.EnableMDNS = false
	c.Observability.MetricsPort = 0
	return &c
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func start(t *testing.T, cfg *config.Config) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- Run(ctx, cfg, Options{Version: "test", Passphrase: with(secret), Ready: func() { close(ready) }})
	}()
	select {
	case <-ready:
	case err := <-done:
		cancel()
		t.Fatalf("the node did not start: %v", err)
	}
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return stop
}

func TestRun(t *testing.T) {
	cfg := testConfig(t)
	cfg.Observability.MetricsPort = freePort(t)
	stop := start(t, cfg)

	c, err := client.Dial(t.Context(), cfg.RPCAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	status, err := c.NodeStatus(t.Context())
	if err != nil || status.Phase != "running" || !strings.HasPrefix(status.Version, "test ") {
		t.Errorf("%+v %v", status, err)
	}
	shown, err := c.NodeConfig(t.Context())
	if err != nil || fmt.Sprint(shown.Values["network"].(map[string]any)["max_peers"]) != "100" {
		t.Errorf("%v %v", shown, err)
	}
	for path, want := range map[string]string{"/readyz": "ready", "/healthz": "ok", "/metrics": `icn_node_info{version="test"} 1`} {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", cfg.Observability.MetricsPort, path))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(b), want) {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}

	// A second daemon is told who has the directory, and leaves the first alone.
	err = Run(t.Context(), cfg, Options{Passphrase: with(secret)})
	if api.KindOf(err) != api.Conflict || !strings.Contains(err.Error(), cfg.DataDir) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("a second daemon: %v", err)
	}
	if _, err := c.NodeStatus(t.Context()); err != nil {
		t.Errorf("after the second daemon: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(cfg.DataDir, config.SocketFile)); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	start(t, cfg) // the directory and the ports are free again
}

func TestRunRefuses(t *testing.T) {
	good := testConfig(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name       string
		change     func(*config.Config)
		passphrase string
		text       string
	}{
		{"wrong passphrase", func(*config.Config) {}, "another one entirely", "wrong passphrase"},
		{"no keystore", func(c *config.Config) { c.DataDir = "/nowhere" }, secret, "icnd init --data-dir /nowhere"},
		{"bad value", func(c *config.Config) { c.Network.MaxPeers = 0 }, secret, "network.max_peers"},
		{"metrics port taken", func(c *config.Config) { c.Observability.MetricsPort = taken.Addr().(*net.TCPAddr).Port }, secret, "observability.metrics_port"},
		{"socket path too long", func(c *config.Config) { c.RPC.Bind = "unix:/" + strings.Repeat("x", 200) }, secret, "--rpc-bind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := *good
			c.change(&cfg)
			err := Run(t.Context(), &cfg, Options{Passphrase: with(c.passphrase)})
			if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v", err)
			}
		})
	}
	start(t, good) // none of them left the store or the lock behind
}

// Every level and format that a configuration may name, the logger knows.
func TestLogSettingsAgree(t *testing.T) {
	cfg := testConfig(t)
	cfg.DataDir = "/nowhere"
	for _, level := range []string{"debug", "info", "warn", "error"} {
		for _, format := range []string{"json", "text"} {
			cfg.Observability.LogLevel, cfg.Observability.LogFormat = level, format
			if err := Run(t.Context(), cfg, Options{}); err == nil || !strings.Contains(err.Error(), "no keystore") {
				t.Errorf("%s %s: %v", level, format, err)
			}
		}
	}
}

func TestOperations(t *testing.T) {
	ops, err := Operations()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(ops, func(a, b api.Operation) int { return strings.Compare(a.Name, b.Name) }) || len(ops) < 30 {
		t.Errorf("%d operations, or not in order", len(ops))
	}
	seen := map[string]bool{}
	for _, op := range ops {
		app, verb, ok := strings.Cut(op.Name, ".")
		if !ok || app == "" || verb == "" || op.Summary == "" || op.Scope == "" || strings.HasSuffix(op.Summary, ".") {
			t.Errorf("%s: %+v", op.Name, op)
		}
		if op.CLI != "" && seen[op.CLI] {
			t.Errorf("%s: the words %q are taken", op.Name, op.CLI)
		}
		seen[op.CLI] = true
	}
	again, err := Operations()
	if err != nil || len(again) != len(ops) {
		t.Errorf("a second table: %d, %v", len(again), err)
	}
}
