package node_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// database is shared by the tests of the package; TestMain stops it.
var database kerneltest.PostgresServer

// twin makes a second process with the keys and the flags of p.
func twin(t *testing.T, p *process, name string) *process {
	t.Helper()
	q := newProcess(t, name, p.args...)
	key, err := os.ReadFile(filepath.Join(p.dir, identity.KeystoreFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(q.dir, identity.KeystoreFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	q.did, q.key = p.did, p.key
	return q
}

// logged waits until the log of p, which runs, has a text.
func logged(t *testing.T, p *process, text string) {
	t.Helper()
	until(t, func() error {
		select {
		case <-p.exited:
			t.Fatalf("%s ended by itself: %s\n%s", p.name, p.cmd.ProcessState, p.log)
		default:
		}
		if !strings.Contains(p.log.String(), text) {
			return fmt.Errorf("the log of %s has no %q", p.name, text)
		}
		return nil
	})
}

// TestPostgresStandby: of two nodes on one database the second waits. It takes over when the first is killed, and when the first hangs and its
// session is ended; the one that hung writes nothing when it wakes up, says why, and ends. What was acknowledged is there each time.
func TestPostgresStandby(t *testing.T) {
	t.Parallel()
	url := database.URL(t)
	ann := newProcess(t, "ann", "--store", url+"&application_name=ann")
	ben := twin(t, ann, "ben")
	ben.args = []string{"--store", url + "&application_name=ben"}
	ann.start()
	space := found(t, ann, 1_000_000_000, false)
	friend := identity.Derive("e2e", "friend")
	if _, err := ann.rpc.MemberAdd(t.Context(), client.MemberAddIn{DID: friend.DID(), Device: friend.Device()}); err != nil {
		t.Fatal(err)
	}
	in := client.LedgerTransferIn{Space: space, To: friend.DID(), Currency: "hours", Amount: 1}
	s := &submitter{open: map[string]bool{}}
	load := func(p *process, prefix string, end func()) {
		t.Helper()
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() { s.run(p.rpc, in, fmt.Sprint(prefix, w), t) })
		}
		before := s.count()
		until(t, func() error {
			if s.count() < before+20 {
				return fmt.Errorf("%d acknowledged", s.count()-before)
			}
			return nil
		})
		end()
		wg.Wait()
	}
	check := func(p *process) {
		t.Helper()
		p.serves()
		for key := range s.open {
			out, err := p.rpc.LedgerTransfer(t.Context(), in, client.Idempotency(key))
			if err != nil {
				t.Fatalf("%s again: %v", key, err)
			}
			s.acked = append(s.acked, out.Receipt.Position.ID)
			delete(s.open, key)
		}
		if got := balance(t, p, p); got != -int64(len(s.acked)) {
			t.Fatalf("%d acknowledged, but the balance is %d", len(s.acked), got)
		}
		sound(t, p)
		cfg, err := p.rpc.NodeConfig(t.Context())
		if err != nil || strings.Contains(fmt.Sprint(cfg), "search_path") || !strings.Contains(fmt.Sprint(cfg), "postgres://") {
			t.Errorf("node.config shows more than it should: %v %v", cfg, err)
		}
	}

	ben.launch()
	logged(t, ben, "waiting to take over")
	load(ann, "killed", ann.kill)
	check(ben)

	// The other way round: the one that serves hangs, and whoever looks after the database ends its sessions.
	ann.launch()
	logged(t, ann, "waiting to take over")
	load(ben, "hangs", func() {
		if err := ben.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		database.Exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ben'")
		ann.serves()
		if err := ben.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ben.exited:
		case <-time.After(patience):
			t.Fatal("the deposed node goes on")
		}
	})
	if code := ben.cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(ben.log.String(), "another node has taken over this database") {
		t.Errorf("the deposed node ended with %d and said\n%s", code, ben.log)
	}
	check(ann)

	// A standby ends in order while it waits; a node that stops in order leaves its place.
	ben.launch()
	logged(t, ben, "waiting to take over")
	if code := ben.term(); code != 0 {
		t.Errorf("a waiting node ended with %d:\n%s", code, ben.log)
	}
	ben.launch()
	logged(t, ben, "waiting to take over")
	if code := ann.term(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	check(ben)
}

// TestPostgresSecrets: a daemon that cannot open its database says why, and keeps the password to itself.
func TestPostgresSecrets(t *testing.T) {
	t.Parallel()
	database.URL(t)
	const secret = "hunter2"
	for _, at := range []string{
		"postgres://icn:" + secret + "@" + database.Address() + "/postgres?sslmode=disable",
		"postgres://icn:" + secret + "/slash@" + database.Address() + "/postgres",
	} {
		p := newProcess(t, "ann", "--store", at)
		p.launch()
		select {
		case <-p.exited:
		case <-time.After(patience):
			t.Fatal("the daemon goes on")
		}
		if code := p.cmd.ProcessState.ExitCode(); code != api.Invalid.ExitCode() || !strings.Contains(p.log.String(), "PGPASSWORD") {
			t.Errorf("exit code %d, and\n%s", code, p.log)
		}
		if strings.Contains(p.log.String(), secret) {
			t.Errorf("the log tells the password:\n%s", p.log)
		}
	}
}

// A copy of a keystore on another database, which knows nothing of its device, would fork its feeds.
func TestPostgresForeignDatabase(t *testing.T) {
	t.Parallel()
	ann := newProcess(t, "ann", "--store", database.URL(t))
	ann.start()
	ann.kill()
	ben := twin(t, ann, "ben")
	ben.args = []string{"--store", database.URL(t)}
	ben.launch()
	<-ben.exited
	if code := ben.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(ben.log.String(), ann.key.String()) {
		t.Errorf("exit code %d\n%s", code, ben.log)
	}
	ben.args = ann.args
	ben.start()
}
