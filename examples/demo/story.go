package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

const ratings = "app/trust/testdata/otc-sample.csv"

// demo is the play and its cast.
type demo struct {
	ctx    context.Context
	screen *screen
	ci     bool
	nodes  nodes
	space  api.Hash
	dora   *guest
}

func (d *demo) play() error {
	ann, ben, cleo := &node{name: "Ann", dir: filepath.Join(home, "a")}, &node{name: "Ben", dir: filepath.Join(home, "b"), serves: true}, &node{name: "Cleo", dir: filepath.Join(home, "c")}
	d.nodes = nodes{ann, ben, cleo}
	type step struct {
		title string
		do    func() error
	}
	steps := []step{
		{"The programs are built, and nothing of an earlier demo runs", d.prepare},
		{"Ann, Ben and Cleo make keys, each on a node of their own", func() error { return d.each(d.keys) }},
		{"Three nodes start", func() error { return d.each(d.start) }},
		{"Ann founds Riverside Food Co-op: it counts hours, and anybody may owe 100", func() error { return d.found(ann) }},
		{"Ben and Cleo join by Ann's invitation", func() error { return d.join(ann, ben, cleo) }},
		{"500 ratings between made-up people are imported on Ann's node", func() error { return d.ratings(ann) }},
		{"Hours move: Ann pays Ben for deliveries, Ben pays Cleo for repairs", func() error {
			return errors.Join(d.pay(ann, ben, "12.50", "deliveries"), d.await(ben, 1250), d.pay(ben, cleo, "4.25", "bicycle repair"), d.await(cleo, 425))
		}},
		{"More than the limit is refused, and the refusal says the way out", func() error { return d.refused(ben, cleo) }},
		{"The same request twice is one transfer", func() error { return d.twice(cleo, ann) }},
		{"Cleo's node is cut off", func() error { return d.cut(cleo) }},
		{"Both sides go on paying, and neither hears of the other", func() error { return d.apart(ann, ben, cleo) }},
		{"Cleo's node comes back, and all nodes have the same state", func() error { return d.mend(cleo) }},
		{"The books of every node sum to zero, with the same balances", func() error { return d.books(map[*node]int64{ann: -1150, ben: 1325, cleo: -175}) }},
		{"Ben pays Ann and waits until it is final; Cleo's node knows it is", func() error { return d.final(ben, ann, cleo) }},
		{"Dora has no node: she makes a key, and joins through the web gateway of Ben's", func() error { return d.signUp(ann, ben) }},
		{"Dora pays Cleo through it: the node says what to sign, her key signs, all nodes know", func() error { return d.payElsewhere(cleo) }},
	}
	if d.ci {
		steps = append(steps, step{"The nodes stop in good order", func() error { return d.each((*node).stop) }})
	}
	for _, s := range steps {
		err := d.screen.step(s.title, s.do)
		if d.ctx.Err() != nil {
			return errors.New("interrupted; the nodes are stopped")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// farewell says how to look around.
func (d *demo) farewell() {
	fmt.Fprintf(d.screen.w, `
The nodes go on running. Look around, with %[1]s for Ann, %[2]s for Ben, %[3]s for Cleo:

    bin/icnctl --data-dir %[1]s status
    bin/icnctl --data-dir %[2]s ledger balance
    bin/icnctl --data-dir %[2]s ledger history
    bin/icnctl --data-dir %[3]s peer list
    bin/icnctl --data-dir %[3]s state digest
    bin/icnctl --data-dir %[1]s --help

    %[4]s/docs        what programs can ask of Ben's node, as Dora's did

    make demo-stop        ends them
`, d.nodes[0].dir, d.nodes[1].dir, d.nodes[2].dir, d.nodes[1].url)
}

// each does something on all nodes at once.
func (d *demo) each(do func(*node) error) error {
	errs := make([]error, len(d.nodes))
	var wg sync.WaitGroup
	for i, n := range d.nodes {
		wg.Go(func() { errs[i] = do(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// until repeats check until it holds; what it last complained of is the error. Nodes tell each other in their own time.
func (d *demo) until(check func() error) error {
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", patience, err)
		}
	}
}

func (d *demo) prepare() error {
	for _, program := range []string{daemon, control} {
		if _, err := os.Stat(program); err != nil {
			return fmt.Errorf("%w: `make demo` builds it, and runs this from the top of the repository", err)
		}
	}
	if _, err := stopLeftovers(); err != nil {
		return err
	}
	return os.RemoveAll(home)
}

func (d *demo) keys(n *node) error {
	if err := n.configure(); err != nil {
		return err
	}
	out, err := n.ctl(d.ctx, "init", "--passphrase-file", filepath.Join(n.dir, "passphrase"))
	n.member = api.DID(strings.TrimSpace(string(out)))
	return err
}

func (d *demo) start(n *node) error {
	if err := n.start(); err != nil {
		return err
	}
	var ended error
	err := d.until(func() error {
		select {
		case <-n.exited:
			ended = fmt.Errorf("%s's node ended: %s", n.name, n.proc.ProcessState)
			return nil // waiting will not help
		default:
		}
		s, err := ask[client.NodeStatusOut](d.ctx, n, "status")
		if err == nil && s.Phase != "running" {
			err = fmt.Errorf("%s's node is %s", n.name, s.Phase)
		}
		return err
	})
	return cmp.Or(ended, err)
}

func (d *demo) found(ann *node) error {
	// A test space, for ratings between people who do not exist have no place in another.
	out, err := ann.ctl(d.ctx, "space", "create", "Riverside Food Co-op", "--currency", "hours", "--scale", "2", "--default-limit", "100", "--test")
	if err != nil {
		return err
	}
	d.screen.note("space %s", strings.TrimSpace(string(out)))
	return d.space.UnmarshalText(bytes.TrimSpace(out))
}

func (d *demo) join(ann *node, others ...*node) error {
	out, err := ann.ctl(d.ctx, "space", "invite", "--uses", "2", "--expires-hours", "1")
	if err != nil {
		return err
	}
	for _, n := range others {
		if _, err := n.ctl(d.ctx, "space", "join", strings.TrimSpace(string(out))); err != nil {
			return err
		}
		d.screen.note("%s is %s", n.name, n.member)
	}
	return d.each(func(n *node) error {
		return d.until(func() error {
			s, err := ask[client.SpaceShowOut](d.ctx, n, "space", "show")
			if err == nil && s.Members != int64(len(d.nodes)) {
				err = fmt.Errorf("%s's node knows %d members", n.name, s.Members)
			}
			return err
		})
	})
}

func (d *demo) ratings(n *node) error {
	out, err := ask[struct{ Rows, Accepted int }](d.ctx, n, "trust", "import", ratings, "--derive-keys", "demo")
	if err == nil && (out.Accepted == 0 || out.Accepted != out.Rows) {
		err = fmt.Errorf("%d of %d rows were accepted", out.Accepted, out.Rows)
	}
	return err
}

// pay transfers hours.
func (d *demo) pay(from, to *node, hours, memo string) error {
	out, err := ask[client.LedgerTransferOut](d.ctx, from, "ledger", "transfer", string(to.member), hours, "--memo", memo)
	if err == nil {
		d.screen.note("%s → %s %s for %s; %s now has %s", from.name, to.name, hours, memo, from.name, amount(out.Balance))
	}
	return err
}

// amount writes hundredths.
func amount(minor int64) string {
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	return fmt.Sprintf("%s%d.%02d", sign, minor/100, minor%100)
}

func (d *demo) balance(n *node) (int64, error) {
	out, err := ask[client.LedgerBalanceOut](d.ctx, n, "ledger", "balance")
	if err != nil || len(out.Balances) != 1 {
		return 0, cmp.Or(err, fmt.Errorf("%s's node counts more than hours", n.name))
	}
	return out.Balances[0].Balance, nil
}

// await waits until somebody's own node says what they have.
func (d *demo) await(n *node, want int64) error {
	return d.until(func() error {
		got, err := d.balance(n)
		if err == nil && got != want {
			err = fmt.Errorf("%s has %s, not %s", n.name, amount(got), amount(want))
		}
		return err
	})
}

func (d *demo) refused(from, to *node) error {
	_, err := from.ctl(d.ctx, "ledger", "transfer", string(to.member), "500", "--memo", "too much")
	var r *refusal
	switch {
	case !errors.As(err, &r):
		return cmp.Or(err, errors.New("it was not refused"))
	case r.code != 1 || !strings.Contains(r.text, "rule ") || !strings.Contains(r.text, "next "):
		return fmt.Errorf("the refusal lacks its rule or its way out: %w", r)
	}
	d.screen.note("%s", r.text)
	return nil
}

func (d *demo) twice(from, to *node) error {
	var ids [2]api.Hash
	for i := range ids {
		out, err := ask[client.LedgerTransferOut](d.ctx, from, "ledger", "transfer", string(to.member), "2", "--memo", "bread", "--idempotency-key", "bread-monday")
		if err != nil {
			return err
		}
		if ids[i] = out.Receipt.Position.ID; out.Receipt.Repeated != (i == 1) {
			return fmt.Errorf("call %d: repeated is %t", i+1, out.Receipt.Repeated)
		}
	}
	if ids[0] != ids[1] {
		return fmt.Errorf("two records, %s and %s", ids[0], ids[1])
	}
	d.screen.note("record %s, both times", ids[0])
	return errors.Join(d.await(from, 225), d.await(to, -1050))
}

func (d *demo) cut(n *node) error {
	if _, err := n.ctl(d.ctx, "peer", "cut"); err != nil {
		return err
	}
	return d.until(func() error {
		s, err := ask[client.NodeStatusOut](d.ctx, n, "status")
		if err == nil && s.Peers != 0 {
			err = fmt.Errorf("%s's node still has %d peers", n.name, s.Peers)
		}
		return err
	})
}

func (d *demo) apart(ann, ben, cleo *node) error {
	return errors.Join(
		d.pay(ann, ben, "5", "flour"), d.await(ben, 1325),
		d.pay(cleo, ann, "4", "vegetables"),
		d.await(cleo, -175), d.await(ann, -1550), // Ann's node cannot know of the vegetables
		d.differ(ann, cleo),
	)
}

func (d *demo) digest(n *node) (api.Hash, error) {
	out, err := ask[client.StateDigestOut](d.ctx, n, "state", "digest")
	if err != nil {
		return api.Hash{}, err
	}
	return out.Digest, nil
}

func (d *demo) differ(a, b *node) error {
	x, err := d.digest(a)
	y, err2 := d.digest(b)
	if x == y {
		return errors.Join(err, err2, errors.New("the states are equal although the nodes are apart"))
	}
	return errors.Join(err, err2)
}

func (d *demo) mend(n *node) error {
	if _, err := n.ctl(d.ctx, "peer", "mend"); err != nil {
		return err
	}
	return d.agree()
}

// agree waits until all nodes have the same state.
func (d *demo) agree() error {
	return d.until(func() error {
		digests := make([]string, len(d.nodes))
		for i, n := range d.nodes {
			h, err := d.digest(n)
			if err != nil {
				return err
			}
			digests[i] = h.String()
		}
		for _, other := range digests[1:] {
			if other != digests[0] {
				return fmt.Errorf("the states differ: %s", strings.Join(digests, " "))
			}
		}
		d.screen.note("state digest %s, three times", digests[0])
		return nil
	})
}

// books wants each node sound and of one opinion about what everybody has.
func (d *demo) books(want map[*node]int64) error {
	for _, n := range d.nodes {
		if err := d.await(n, want[n]); err != nil {
			return err
		}
		d.screen.note("%s has %s", n.name, amount(want[n]))
	}
	return d.each(func(n *node) error {
		v, err := ask[client.LedgerVerifyOut](d.ctx, n, "ledger", "verify")
		if err != nil {
			return err
		}
		if !v.OK || len(v.Currencies) != 1 || v.Currencies[0].Sum != 0 {
			return fmt.Errorf("%s's node: %+v", n.name, *v)
		}
		return nil
	})
}

func (d *demo) final(from, to, third *node) error {
	out, err := ask[client.LedgerTransferOut](d.ctx, from, "ledger", "transfer", string(to.member), "1.25", "--memo", "a jar of honey", "--wait", "final")
	if err != nil {
		return err
	}
	if !out.Receipt.Final {
		return errors.New("the receipt does not say final")
	}
	err = d.until(func() error {
		r, err := ask[client.RecordExplainOut](d.ctx, third, "explain", out.Receipt.Position.ID.String())
		if err == nil && !r.Final {
			err = fmt.Errorf("%s's node does not know it is final", third.name)
		}
		return err
	})
	if err != nil {
		return err
	}
	d.screen.note("record %s is final", out.Receipt.Position.ID)
	return d.agree()
}
