package kerneltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// Backup keeps a snapshot of what the running node holds, for Restore.
func (n *Node) Backup() error {
	var b bytes.Buffer
	if err := n.k.Archive(&b); err != nil {
		return err
	}
	n.c.Note("%s makes a backup", n.Name)
	n.backup = b.Bytes()
	return nil
}

// Restore loses the node's disk and boots the node on what the last backup holds. The backup marks the device that was in use: with that one the
// kernel must not start, so the node takes its member's next device into use, unless same is set, and then the error is the kernel's refusal and
// the node stays down.
func (n *Node) Restore(same bool) error {
	if n.backup == nil {
		return errors.New(n.Name + " has no backup")
	}
	n.Crash(PowerLoss)
	n.c.fault("restore", "%s", n.Name)
	_ = n.disk.Close()
	n.disk = store.OpenMem(store.Faults{LoseUnsynced: true})
	if _, err := kernel.RestoreInto(context.Background(), n.disk, bytes.NewReader(n.backup), n.c.opt.Apps(n.Name, bytes.NewReader(nil))); err != nil {
		return fmt.Errorf("restore of %s: %w", n.Name, err)
	}
	n.kept, n.marks = nil, map[api.Hash]api.Position{} // what the disk had beyond the backup it has no more
	if !same {
		if err := n.Switch(); err != nil {
			return err
		}
	}
	return n.Start()
}
