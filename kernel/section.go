package kernel

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/store"
)

var (
	_ api.SectionProver = (*host)(nil)
	_ api.IncidentHost  = (*host)(nil)
	_ api.RecheckHost   = (*host)(nil)
)

// Report implements api.IncidentHost.
func (h *host) Report(i api.Incident) { h.k.wrongs.report(i) }

// FoldSection implements api.SectionHost.
func (h *host) FoldSection(ctx context.Context, space api.Hash, by []api.Position) (*api.Section, error) {
	sec, _, err := h.ProveSection(ctx, space, by, nil, nil)
	return sec, err
}

// ProveSection implements api.SectionProver.
func (h *host) ProveSection(ctx context.Context, space api.Hash, by []api.Position, rows []api.StateRow, first func([]byte) bool) (*api.Section, []api.RowProof, error) {
	const op = "section.fold"
	k := h.k
	if !k.care.section.TryLock() {
		return nil, nil, api.Errorf(op, api.Unavailable, "another section is being folded")
	}
	defer k.care.section.Unlock()
	snap := k.st.Snapshot()
	defer snap.Close()
	sec, proofs, err := fold.Section(ctx, snap, k.scratch, k.apps, k.log, space, by, rows, first)
	return sec, proofs, api.Wrap(op, err)
}

// Recheck implements api.RecheckHost.
func (h *host) Recheck(ctx context.Context, after uint64, n int) (api.Rechecked, error) {
	snap := h.k.st.Snapshot()
	defer snap.Close()
	last, records, problems, err := fold.Recheck(ctx, h.k.st, snap, h.k.apps, after, n)
	return api.Rechecked{Last: last, Records: records, Problems: problems}, api.Wrap("state.recheck", err)
}

// scratch opens an empty store for a while: on disk, where the node has a directory of its own.
func (k *Kernel) scratch() (store.Store, error) {
	if k.opt.Inline != nil || k.opt.DataDir == "" {
		return store.OpenVolatile()
	}
	return store.OpenScratch(k.opt.DataDir)
}

// sweep removes what a crash has left of scratch stores. The caller holds the data directory.
func (k *Kernel) sweep() error {
	if k.opt.Inline != nil || k.opt.DataDir == "" {
		return nil
	}
	left, err := filepath.Glob(filepath.Join(k.opt.DataDir, "scratch-*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
