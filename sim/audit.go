package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Envelope is what a member gives an auditor. The error is the refusal.
func (w *World) Envelope(n *kerneltest.Node) ([]byte, error) {
	if !n.Up() {
		return nil, api.Errorf("ledger.audit", api.Unavailable, "node %s is down", n.Name)
	}
	raw, err := json.Marshal(ledger.AuditIn{Space: w.Space, To: "2999-12-31"})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	call := &api.Call{Actor: n.Member().DID(), Signer: n.Member(), Scopes: []string{"*"}}
	_, err = n.Kernel().Call(context.Background(), call, "ledger.audit", raw, func(item any) error {
		_, _, data := item.(api.Part).FilePart()
		_, err := b.Write(data)
		return err
	})
	return b.Bytes(), err
}

// VerifyEnvelope is what the auditor does.
func VerifyEnvelope(src io.Reader) (*app.Audited, error) {
	return app.VerifyAudit(context.Background(), src, func(ctx context.Context, space api.Hash, next func() ([]byte, error)) (api.Reader, func() error, error) {
		r, err := kernel.Replay(ctx, app.Standard(app.Options{}), "", space, next)
		if err != nil {
			return nil, nil, err
		}
		return r.Reader("ledger"), r.Close, nil
	})
}

// audit has what a member gives an auditor checked: whatever has happened, what comes out of the records is what the node said.
func (w *World) audit(n *kerneltest.Node) error {
	if n.Liar() {
		return nil
	}
	if err := w.statements(n); err != nil {
		return fmt.Errorf("the statements of %s: %w", n.Name, err)
	}
	b, err := w.Envelope(n)
	if err != nil {
		return nil //nolint:nilerr // a broken disk, or no member any more
	}
	if _, err := VerifyEnvelope(bytes.NewReader(b)); err != nil {
		return fmt.Errorf("what %s gives an auditor is not sound: %w", n.Name, err)
	}
	w.Count("audit", "%d bytes of %s", len(b), n.Name)
	return nil
}

// statements checks that what all accounts come to by their rows is what they have, and that it is nothing together.
func (w *World) statements(n *kerneltest.Node) error {
	if !n.Up() {
		return nil
	}
	out, err := n.Ask("ledger.statement", ledger.StatementIn{Space: w.Space, All: true, To: "2999-12-31", Limit: 500})
	if err != nil {
		return nil //nolint:nilerr // a broken disk
	}
	sum := int64(0)
	for _, a := range out.(*ledger.StatementOut).Accounts {
		sum += a.Closing
		b, err := n.Ask("ledger.balance", ledger.BalanceIn{Space: w.Space, DID: a.DID})
		if err != nil {
			continue // of one of whom this node knows no membership
		}
		for _, have := range b.(*ledger.BalanceOut).Balances {
			if have.Currency == a.Currency && have.Balance != a.Closing {
				return fmt.Errorf("%s has %d %s, its rows come to %d", a.DID, have.Balance, a.Currency, a.Closing)
			}
		}
	}
	if sum != 0 {
		return fmt.Errorf("all accounts come to %d together", sum)
	}
	return nil
}

// Members lists the nodes of the members, in the order in which they joined.
func (w *World) Members() []*kerneltest.Node { return slices.Clone(w.members) }
