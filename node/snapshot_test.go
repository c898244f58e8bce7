package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node"
	"github.com/intercooperative/icn/node/config"
)

// The whole drill with real daemons: an archive made under load, the machine lost, the archive restored. A daemon with the old keystore does not start
// over it. One with a new keystore does, has what was there, and its peer and it find together again by what the archive remembers.
func TestRestoreDrill(t *testing.T) {
	t.Parallel()
	ann, ben := startProcess(t, "ann"), startProcess(t, "ben")
	space := found(t, ann, 1_000_000_000, false)
	join(t, ann, ben)
	public, keys, err := identity.NewSealKey()
	if err != nil {
		t.Fatal(err)
	}
	s := &submitter{open: map[string]bool{}}
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			s.run(ben.rpc, client.LedgerTransferIn{Space: space, To: ann.did, Currency: "hours", Amount: 1}, fmt.Sprint("w", w), t)
		})
	}
	until(t, func() error {
		if s.count() < 50 {
			return fmt.Errorf("%d acknowledged", s.count())
		}
		return nil
	})
	before := s.count()
	path := filepath.Join(t.TempDir(), "ben.age")
	var done *client.SnapshotCreateItem
	err = ben.rpc.SnapshotCreate(t.Context(), client.SnapshotCreateIn{Path: path, Recipients: []string{public}}, func(it *client.SnapshotCreateItem) error {
		done = it
		return nil
	})
	if err != nil || done == nil || done.Done == nil || done.Done.Records < uint64(before) {
		t.Fatalf("%+v %v, want %d records or more", done, err, before)
	}
	ben.kill()
	wg.Wait()

	by := identity.Unseal{Keys: keys}
	if _, err := node.VerifySnapshot(t.Context(), path, by, nil); err != nil {
		t.Fatal(err)
	}
	// Not over what is there, running or not.
	if _, err := node.RestoreSnapshot(t.Context(), path, by, node.RestoreOptions{DataDir: ben.dir}); api.KindOf(err) != api.Conflict {
		t.Fatalf("over the old directory: %v", err)
	}
	dir, err := os.MkdirTemp("", "icn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	out, err := node.RestoreSnapshot(t.Context(), path, by, node.RestoreOptions{DataDir: dir})
	if err != nil || out.State != done.Done.Digest || out.Device != ben.key {
		t.Fatalf("%+v %v, want state %s", out, err, done.Done.Digest)
	}

	old, err := os.ReadFile(filepath.Join(ben.dir, identity.KeystoreFile))
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, identity.KeystoreFile), old, 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(icnd, "--data-dir", dir, "--listen", ben.addr, "--metrics-bind", "off", "--mdns=false")
	cmd.Env = append(os.Environ(), "ICN_KEYSTORE_PASSPHRASE="+passphrase)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 2 || !strings.Contains(log.String(), ben.key.String()) {
		t.Fatalf("with the old keystore: %v\n%s", err, log.String())
	}

	if err := os.Remove(filepath.Join(dir, identity.KeystoreFile)); err != nil {
		t.Fatal(err)
	}
	made, err := config.Init(dir, []byte(passphrase), 2)
	if err != nil {
		t.Fatal(err)
	}
	if made.DID == ben.did {
		t.Fatal("a new keystore is the old one")
	}
	ben.dir, ben.did, ben.key = dir, made.DID, made.Device
	ben.start()
	sound(t, ben)
	d, err := ben.rpc.StateDigest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Ann has all that Ben ever wrote; she gives it to him again once he has joined as who he is now.
	join(t, ann, ben)
	agree(t, ann, ben)
	if again, err := ben.rpc.StateDigest(t.Context()); err != nil || again.Digest == d.Digest {
		t.Errorf("%v %v: nothing came back that was written after the archive", again, err)
	}
	if err := pay(t, ben, ann, 5); err != nil {
		t.Error(err)
	}
	agree(t, ann, ben)
	sound(t, ann, ben)
	for _, id := range s.acked {
		// What Ben's old device wrote in its last moments may have been lost with the machine, unless Ann had it; what was in the archive is here.
		if _, err := ann.rpc.RecordExplain(t.Context(), client.RecordExplainIn{ID: id}); err != nil {
			if _, err := ben.rpc.RecordExplain(t.Context(), client.RecordExplainIn{ID: id}); err == nil {
				t.Errorf("record %s is with Ben and not with Ann", id)
			}
		}
	}
}
