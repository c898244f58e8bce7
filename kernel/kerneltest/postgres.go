package kerneltest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresPassword is that of the role "icn" on a [PostgresServer].
const PostgresPassword = "only for+these/tests"

// PostgresServer is a real PostgreSQL server that the tests of a package share. The zero value starts when it is first asked for; whoever
// has a TestMain calls Stop at its end. It listens on a port of the loopback interface, with passwords, and syncs what it commits.
type PostgresServer struct {
	once    sync.Once
	err     error
	bin     string // directory of the programs
	dir     string
	port    int
	cred    *syscall.Credential // who runs it, if not we: the server refuses root
	cmd     *exec.Cmd
	log     *os.File
	schemas atomic.Int64
}

// errNoPostgres is what a machine without the server says.
var errNoPostgres = errors.New("no PostgreSQL server on this machine: on Debian or Ubuntu, sudo apt-get install postgresql")

// postgresBin finds the newest server: where Debian puts it, or in the path.
func postgresBin() string {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	return ""
}

// URL returns the URL of an empty place for a store: a schema of its own, made by this call. It starts the server if need be. Without one
// the test is skipped, or fails when it runs as root, for then scripts/deps.sh would have installed it.
func (s *PostgresServer) URL(t testing.TB) string {
	t.Helper()
	s.once.Do(func() { s.err = s.init() })
	if errors.Is(s.err, errNoPostgres) && os.Getuid() != 0 {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatalf("%v (scripts/deps.sh installs what tests need)", s.err)
	}
	name := fmt.Sprintf("test%d", s.schemas.Add(1))
	s.Exec(t, "CREATE SCHEMA "+name)
	return s.url(name)
}

func (s *PostgresServer) url(schema string) string {
	return fmt.Sprintf("postgres://icn@/postgres?host=%s&port=%d&search_path=%s", url.QueryEscape(s.dir), s.port, schema)
}

// Address is host:port where passwords are asked for. The server has been started by URL.
func (s *PostgresServer) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Exec runs statements as the role that owns everything.
func (s *PostgresServer) Exec(t testing.TB, sql string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), s.url("public"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	if _, err := c.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (s *PostgresServer) init() (err error) {
	if s.bin = postgresBin(); s.bin == "" {
		return errNoPostgres
	}
	if s.dir, err = os.MkdirTemp("", "icnpg"); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if s.cred, err = unprivileged(); err != nil {
			return err
		}
		if err := os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	// The log outlives the server's restarts; a file needs no goroutine that copies.
	if s.log, err = os.CreateTemp("", "icnpg-log"); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	pw, err := os.CreateTemp("", "icnpg-pw")
	if err != nil {
		return err
	}
	defer os.Remove(pw.Name())
	if _, err := pw.WriteString(PostgresPassword + "\n"); err != nil {
		return err
	}
	if s.cred != nil {
		if err := pw.Chown(int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return err
		}
	}
	if err := pw.Close(); err != nil {
		return err
	}
	cmd := s.command("initdb", "-D", s.data(), "-U", "icn", "--auth-host=scram-sha-256", "--pwfile", pw.Name(), "-N", "-E", "UTF8", "--locale=C")
	cmd.Stdout = s.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, s.logged())
	}
	return s.start()
}

func (s *PostgresServer) data() string { return filepath.Join(s.dir, "data") }

func (s *PostgresServer) logged() []byte {
	b, _ := os.ReadFile(s.log.Name()) // what can be had, for people
	return b[max(0, len(b)-4000):]
}

// unprivileged finds somebody whom the server does not refuse.
func unprivileged() (*syscall.Credential, error) {
	var err error
	for _, name := range []string{"postgres", "nobody"} {
		var u *user.User
		if u, err = user.Lookup(name); err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32) // numbers, where there are credentials at all
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, err
}

func (s *PostgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir, cmd.Stderr = s.dir, s.log
	// Not stopped by an interrupt at the terminal that is meant for the tests; they stop it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.cred}
	return cmd
}

// run starts the server's process.
func (s *PostgresServer) run() error {
	s.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port), "-c", "fsync=on", "-c", "shared_buffers=64MB")
	return s.cmd.Start()
}

// start runs the server and waits until it answers. One that ends by itself, as when the memory of a killed one is not free yet, is run again.
func (s *PostgresServer) start() error {
	if err := s.run(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		c, err := pgx.Connect(ctx, s.url("public"))
		if err == nil {
			return c.Close(ctx)
		}
		if pid, _ := syscall.Wait4(s.cmd.Process.Pid, nil, syscall.WNOHANG, nil); pid > 0 {
			if err := s.run(); err != nil {
				return err
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the PostgreSQL server does not answer: %w\n%s", err, bytes.TrimSpace(s.logged()))
		}
	}
}

// Kill is kill -9 of the server and all its processes at once. Start brings it back.
func (s *PostgresServer) Kill(t testing.TB) {
	t.Helper()
	pid := s.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil { // it makes no more processes
		t.Fatal(err)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		if child, err := strconv.Atoi(c); err == nil {
			_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended already
		}
	}
	_ = s.cmd.Wait() // it was killed
}

// Start runs a killed server again and waits until it answers.
func (s *PostgresServer) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop ends the server, if it was ever started, and removes what it kept.
func (s *PostgresServer) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // without ceremony: it may have ended already
		_ = s.cmd.Wait()
	}
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
	if s.log != nil {
		s.log.Close()
		os.Remove(s.log.Name())
	}
}
