package sim

import (
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// workload is what members do. That an operation is refused, or its node is down, is no fault.
func (w *World) workload() []kerneltest.Action {
	by := func(do func(n *kerneltest.Node) error) func(*kerneltest.Cluster) error {
		return func(c *kerneltest.Cluster) error {
			if n := c.PickUp(); n != nil {
				return do(n)
			}
			return nil
		}
	}
	return []kerneltest.Action{
		{Name: "pay", Weight: 24, Do: by(w.pay)},
		{Name: "burst", Weight: 2, Do: by(func(n *kerneltest.Node) error {
			for range 2 + w.Rand.IntN(12) {
				if err := w.pay(n); err != nil {
					return err
				}
			}
			return nil
		})},
		{Name: "allot", Weight: 2, Do: by(func(n *kerneltest.Node) error {
			_ = w.Allot(n, 1+w.Rand.Int64N(1500))
			return nil
		})},
		{Name: "tab", Weight: 14, Do: func(*kerneltest.Cluster) error { return w.tab() }},
		{Name: "elsewhere", Weight: 16, Do: by(func(n *kerneltest.Node) error { return w.ivy.act(n) })},
		{Name: "trade", Weight: 8, Do: by(w.trade)},
		{Name: "attest", Weight: 4, Do: by(w.attest)},
		{Name: "market", Weight: 8, Do: by(w.advertise)},
		{Name: "grant", Weight: 2, Do: func(*kerneltest.Cluster) error { return w.grant() }},
		{Name: "freeze", Weight: 2, Do: func(*kerneltest.Cluster) error {
			_ = w.Freeze(w.other(w.members[0]), w.Rand.IntN(2) == 0)
			return nil
		}},
		{Name: "policy", Weight: 1, Do: func(*kerneltest.Cluster) error { return w.policy() }},
		{Name: "treasury", Weight: 6, Do: by(w.treasury)},
		{Name: "escrow", Weight: 8, Do: by(w.escrow)},
		{Name: "dispute", Weight: 12, Do: by(w.dispute)},
		{Name: "import", Weight: 3, Do: func(*kerneltest.Cluster) error { return w.comeIn() }},
		{Name: "dues", Weight: 1, Do: func(*kerneltest.Cluster) error { return w.dues() }},
		{Name: "retry", Weight: 4, Do: by(w.retry)},
		{Name: "cut", Weight: 2, Do: func(*kerneltest.Cluster) error { return w.cut() }},
		{Name: "checkpoint", Weight: 2, Do: func(*kerneltest.Cluster) error {
			_ = w.Checkpoint()
			return nil
		}},
		{Name: "close", Weight: 2, Do: func(*kerneltest.Cluster) error { return w.closeFeed() }},
		{Name: "device", Weight: 6, Do: func(*kerneltest.Cluster) error { return w.device() }},
		{Name: "swap", Weight: 2, Do: func(*kerneltest.Cluster) error { return w.swap() }},
		{Name: "hand", Weight: 1, Do: func(*kerneltest.Cluster) error { return w.hand() }},
		{Name: "join", Weight: 3, Do: func(*kerneltest.Cluster) error { return w.join() }},
		{Name: "audit", Weight: 1, Do: by(w.audit)},
		{Name: "receipt", Weight: 2, Do: by(w.receipt)},
		{Name: "verify", Weight: 1, Do: by(verify)},
		{Name: "rebuild", Weight: 1, Do: by(Rebuild)},
	}
}

// other draws a member that is not n's.
func (w *World) other(n *kerneltest.Node) *kerneltest.Node {
	for {
		if o := w.members[w.Rand.IntN(len(w.members))]; o != n {
			return o
		}
	}
}

func (w *World) pay(n *kerneltest.Node) error {
	_ = w.Pay(n, w.other(n), 1+w.Rand.Int64N(2000))
	return nil
}

// Pay lets the members of two nodes settle something; the error is the refusal.
func (w *World) Pay(from, to *kerneltest.Node, amount int64) error {
	_, err := call(from, "ledger.transfer", ledger.TransferIn{Space: w.Space, To: to.Member().DID(), Currency: Currency, Amount: amount})
	return err
}

func (w *World) attest(n *kerneltest.Node) error {
	_ = w.Attest(n, w.other(n), float64(w.Rand.IntN(21)-10)/10)
	return nil
}

// Attest lets one member say what it thinks of another, -1 to 1.
func (w *World) Attest(from, to *kerneltest.Node, score float64) error {
	_, err := call(from, "trust.add", trust.AddIn{Space: w.Space, To: to.Member().DID(), Score: &score})
	return err
}

func (w *World) grant() error {
	_ = w.Grant(w.other(w.members[0]), w.Rand.Int64N(2*limit))
	return nil
}

// Grant lets the clerk set the limit of a member's account; a lower one is followed by a cut.
func (w *World) Grant(to *kerneltest.Node, most int64) error {
	w.granted[to] = max(w.granted[to], most)
	_, err := call(w.clerk, "ledger.grant", ledger.GrantIn{Space: w.Space, To: to.Member().DID(), Currency: Currency, Limit: most})
	return err
}

// Freeze lets the clerk stop a member's account from spending, or go on.
func (w *World) Freeze(to *kerneltest.Node, lift bool) error {
	_, err := call(w.clerk, "ledger.freeze", ledger.FreezeIn{Space: w.Space, To: to.Member().DID(), Currency: Currency, Lift: lift})
	return err
}

// join lets one more member come, in several steps, in whatever state the network is.
func (w *World) join() error {
	if w.guest != nil {
		_ = w.knock()
		return nil
	}
	if len(w.members) == len(names) || !w.members[0].Up() || w.Rand.IntN(4) > 0 {
		return nil
	}
	if in, err := w.invitation(); err == nil { // else the founder's disk is broken
		n, err := w.Add(names[len(w.members)])
		if err != nil {
			return err
		}
		w.guest = &guest{n, in}
	}
	return nil
}
