package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

const (
	daemon   = "bin/icnd"
	control  = "bin/icnctl"
	logFile  = "icnd.log"
	pidFile  = "icnd.pid"
	graceful = 15 * time.Second // a daemon ends itself within ten
)

// node is one daemon and who speaks through it.
type node struct {
	name   string // of the person
	dir    string
	serves bool   // members without a node, by HTTP
	url    string // of its gateway, when it serves
	member api.DID
	proc   *exec.Cmd
	exited chan struct{} // closed when proc has ended; proc.ProcessState is set then
}

type nodes []*node

// start runs the daemon in a session of its own: it outlives the demo, and the terminal's Ctrl-C ends the demo first.
func (n *node) start() error {
	log, err := os.OpenFile(filepath.Join(n.dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the daemon has its own
	cmd := exec.Command(daemon, "run", "--data-dir", n.dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.proc, n.exited = cmd, make(chan struct{})
	go func() {
		defer close(n.exited)
		_ = cmd.Wait() // how it ended stands in ProcessState
	}()
	return os.WriteFile(filepath.Join(n.dir, pidFile), fmt.Appendf(nil, "%d\n", cmd.Process.Pid), 0o600)
}

// stop ends the daemon in good order and wants exit code 0.
func (n *node) stop() error {
	if err := n.proc.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%s's node: %w", n.name, err)
	}
	select {
	case <-n.exited:
	case <-time.After(graceful):
		return fmt.Errorf("%s's node did not stop within %s", n.name, graceful)
	}
	if code := n.proc.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s's node exited with %d", n.name, code)
	}
	return os.Remove(filepath.Join(n.dir, pidFile))
}

// kill ends what runs, after a step that did not hold.
func (ns nodes) kill() {
	for _, n := range ns {
		if n.proc == nil {
			continue
		}
		if err := n.stop(); err != nil {
			_ = n.proc.Process.Kill() // it may have ended by itself, which is as well
			<-n.exited
			os.Remove(filepath.Join(n.dir, pidFile))
		}
	}
}

// printLogs prints the end of what the daemons logged.
func (ns nodes) printLogs(w io.Writer) {
	const last = 20
	for _, n := range ns {
		path := filepath.Join(n.dir, logFile)
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		fmt.Fprintf(w, "\n%s, its end:\n%s\n", path, strings.Join(lines[max(0, len(lines)-last):], "\n"))
	}
}

// refusal is an icnctl that did not exit with 0.
type refusal struct {
	args []string
	code int
	text string // what it wrote to standard error
}

func (r *refusal) Error() string {
	return fmt.Sprintf("icnctl %s exited with %d:\n%s", strings.Join(r.args, " "), r.code, r.text)
}

// ctl runs icnctl on the node and returns its standard output.
func (n *node) ctl(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, control, append([]string{"--data-dir", n.dir, "--timeout", "30s"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, &refusal{args: args, code: exit.ExitCode(), text: strings.TrimSpace(errs.String())}
	}
	return out.Bytes(), err
}

// ask is ctl with --json, decoded.
func ask[Out any](ctx context.Context, n *node, args ...string) (*Out, error) {
	raw, err := n.ctl(ctx, append([]string{"--json"}, args...)...)
	if err != nil {
		return nil, err
	}
	out := new(Out)
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("icnctl %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// configure writes the configuration of a node that listens on a free port of this machine only.
func (n *node) configure() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	passphrase, err := filepath.Abs(filepath.Join(n.dir, "passphrase"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(passphrase, fmt.Appendf(nil, "the demo of %s\n", n.name), 0o600); err != nil {
		return err
	}
	gateway := ""
	if n.serves {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		n.url = "http://" + address
		gateway = fmt.Sprintf("\n[gateway]\nenable = true\nbind = %q\n\n[auth]\naudience = %q\n", address, n.url)
	}
	return os.WriteFile(filepath.Join(n.dir, "icn.toml"), fmt.Appendf(nil, `# Written by the demo.
[identity]
passphrase_file = %q

[network]
bind_addr = %q
enable_mdns = false

[observability]
metrics_port = 0
log_format = "text"
%s`, passphrase, port, gateway), 0o600)
}

func freePort() (string, error) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.LocalAddr().String(), nil
}

// freeAddress is one of this machine on which nobody listens by TCP.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// stopLeftovers ends the daemons whose process ids an earlier demo wrote down, and returns how many there were.
func stopLeftovers() (int, error) {
	files, err := filepath.Glob(filepath.Join(home, "*", pidFile))
	if err != nil {
		return 0, err
	}
	stopped := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return stopped, err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil || pid <= 1 {
			return stopped, fmt.Errorf("%s does not hold a process id", file)
		}
		if runs(pid, filepath.Dir(file)) {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return stopped, fmt.Errorf("process %d: %w", pid, err)
			}
			for deadline := time.Now().Add(graceful); runs(pid, filepath.Dir(file)); time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					return stopped, fmt.Errorf("the node of process %d did not stop within %s", pid, graceful)
				}
			}
			stopped++
		}
		if err := os.Remove(file); err != nil {
			return stopped, err
		}
	}
	return stopped, nil
}

// runs reports whether pid is a daemon on dir. Process ids are used again: that a process lives says nothing.
func runs(pid int, dir string) bool {
	var args []string
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		args = strings.Split(string(b), "\x00")
	} else if b, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output(); err == nil {
		args = strings.Fields(string(b))
	}
	return len(args) > 0 && filepath.Base(args[0]) == filepath.Base(daemon) && slices.Contains(args, dir)
}
