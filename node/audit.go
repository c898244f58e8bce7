package node

import (
	"context"
	"io"
	"os"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
)

// VerifyAudit checks an auditor's envelope from end to end, without a node and without keys. The records are folded in a folder of dir, empty for the
// system's folder for such things, which takes about three times the size of the records for as long as it runs.
func VerifyAudit(ctx context.Context, path, dir string) (*app.Audited, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, api.Errorf("audit.verify", api.Invalid, "%w", err)
	}
	defer f.Close()
	return verifyAudit(ctx, f, dir)
}

// VerifyReceipt checks a receipt from end to end, without a node and without keys.
func VerifyReceipt(ctx context.Context, path string) (*app.Proven, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, api.Errorf("receipt.verify", api.Invalid, "%w", err)
	}
	defer f.Close()
	return app.VerifyReceipt(ctx, f, replayIn(""))
}

func verifyAudit(ctx context.Context, src io.Reader, dir string) (*app.Audited, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	return app.VerifyAudit(ctx, src, replayIn(dir))
}

// replayIn folds records for the ledger in a folder of dir, or without a dir in memory.
func replayIn(dir string) func(context.Context, api.Hash, func() ([]byte, error)) (api.Reader, func() error, error) {
	return func(ctx context.Context, space api.Hash, next func() ([]byte, error)) (api.Reader, func() error, error) {
		defaults := config.Defaults()
		r, err := kernel.Replay(ctx, apps(&defaults), dir, space, next)
		if err != nil {
			return nil, nil, err
		}
		return r.Reader("ledger"), r.Close, nil
	}
}
