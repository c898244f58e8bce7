package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// retried is a payment that had no effect, and the one that took its place.
type retried struct{ of, by api.Hash }

// retry lets a member make a payment again that has no effect, as far as its node knows.
func (w *World) retry(n *kerneltest.Node) error {
	out, err := call(n, "ledger.void", ledger.VoidsIn{Space: w.Space, Own: true})
	if err != nil || n.Liar() {
		return nil //nolint:nilerr // the node is not that far
	}
	all := out.(*ledger.VoidsOut).Entries
	if len(all) == 0 {
		return nil
	}
	_ = w.Retry(n, all[w.Rand.IntN(len(all))].ID)
	return nil
}

// Retry lets a member make a payment again; the error is the refusal.
func (w *World) Retry(n *kerneltest.Node, id api.Hash) error {
	out, err := call(n, "ledger.retry", ledger.RetryIn{Space: w.Space, ID: id})
	if err != nil {
		return err
	}
	rc := out.(*ledger.RetryOut).Receipt
	if !rc.Repeated {
		w.retries = append(w.retries, retried{id, rc.Position.ID})
		w.Count("retry", "%s by %s", id.Short(), n.Name)
	}
	return nil
}

// retriedOnce checks that no payment counts beside its retry, and none has two retries that count, as a node has them.
func (w *World) retriedOnce(n *kerneltest.Node) error {
	r := n.Read("ledger")
	defer r.Close()
	counts := func(id api.Hash) bool {
		_, v, ok := r.Lookup(id)
		return ok && v.Accepted && !v.Held
	}
	by := map[api.Hash]api.Hash{}
	for _, x := range w.retries {
		if !counts(x.by) {
			continue
		}
		if counts(x.of) {
			return fmt.Errorf("%s: payment %s counts beside its retry %s", n.Name, x.of.Short(), x.by.Short())
		}
		if one, twice := by[x.of]; twice {
			return fmt.Errorf("%s: payment %s was retried by %s and by %s, and both count", n.Name, x.of.Short(), one.Short(), x.by.Short())
		}
		by[x.of] = x.by
	}
	return nil
}
