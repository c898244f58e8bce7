package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

// economy: what a treasurer and a member ask of a node, and what it asks of itself, with so many transfers among so many members, and with twice as many.
func economy(members, each int) func(context.Context, *bench) ([]result, error) {
	return func(ctx context.Context, b *bench) ([]result, error) {
		var rows []result
		for _, each := range [...]int{each, 2 * each} {
			more, err := economyOf(ctx, b, members, each)
			if err != nil {
				return rows, err
			}
			rows = append(rows, more...)
		}
		return rows, nil
	}
}

// mostRehearsed is how many payments ledger.rehearse replays at most.
const mostRehearsed = 500_000

func economyOf(ctx context.Context, b *bench, members, each int) (rows []result, err error) {
	dir, err := b.temp()
	if err != nil {
		return nil, err
	}
	founder, err := fill(ctx, dir, members, each)
	if err != nil {
		return nil, err
	}
	entries := members * each
	suffix := fmt.Sprintf("-%dk", entries/1000)
	note := fmt.Sprintf("%d transfers among %d members", entries, members)
	add := func(name string, value float64, unit string) {
		rows = append(rows, result{Name: name + suffix, Value: value, Unit: unit, note: note})
	}
	disk, err := sizeOf(dir)
	if err != nil {
		return nil, err
	}
	add("economy-disk", float64(disk)/float64(entries), "B/transfer")

	before := heap()
	u, o := standard(dir)
	n, err := start(o, nil)
	if err != nil {
		return nil, err
	}
	defer stopAll(&err, n)
	payer := newAuthor("member 1", api.Topic{}).DID()
	timed := func(name string, times int, op string, in any) error {
		took := make([]float64, times)
		for i := range took {
			begin := time.Now()
			if _, err := doAny(ctx, n, n.id.Signer(), op, in); err != nil {
				return err
			}
			took[i] = float64(time.Since(begin).Microseconds())
		}
		add(name, median(took), "µs")
		return nil
	}
	whole := func(name, op string, in any, units int, unit string) error {
		begin := time.Now()
		if _, err := doAny(ctx, n, founder.Signer(), op, in); err != nil {
			return err
		}
		add(name, float64(units)/time.Since(begin).Seconds(), unit)
		return nil
	}
	err = errors.Join(
		timed("economy-balance", 200, "ledger.balance", &ledger.BalanceIn{DID: payer}),
		timed("economy-history", 100, "ledger.history", &ledger.HistoryIn{DID: payer, Limit: 50}),
		timed("economy-statement", 100, "ledger.statement", &ledger.StatementIn{DID: payer, Limit: 50}),
		timed("economy-search", 20, "ledger.history", &ledger.HistoryIn{DID: payer, Text: "nowhere"}),
		whole("economy-verify", "ledger.verify", &ledger.VerifyIn{}, 2*entries, "rows/s"),
		whole("economy-export", "ledger.export", &ledger.ExportIn{All: true, Format: "csv"}, 2*entries, "rows/s"),
		whole("economy-replay", "state.verify", &kernel.None{}, entries, "records/s"),
		whole("economy-limits", "ledger.policy.set", &ledger.SetPolicyIn{Currency: "hours", Preset: "conservative", DryRun: true}, members, "members/s"),
	)
	if err != nil {
		return rows, err
	}
	if entries <= mostRehearsed {
		in := &ledger.RehearseIn{Currency: "hours", Policy: &ledger.ProposedPolicy{Currency: "hours", Preset: "conservative"}}
		if err := whole("economy-rehearse", "ledger.rehearse", in, entries, "transfers/s"); err != nil {
			return rows, err
		}
	}
	h, ok := u.host.(api.RecheckHost)
	if !ok {
		return rows, errors.New("the host does not apply records again")
	}
	var part api.Rechecked
	begin, done := time.Now(), 0
	for {
		if part, err = h.Recheck(ctx, part.Last, 300); err != nil || len(part.Problems) > 0 {
			return rows, fmt.Errorf("%v %w", part.Problems, err)
		}
		if done += part.Records; part.Records == 0 {
			break
		}
	}
	add("economy-recheck", float64(done)/time.Since(begin).Seconds(), "records/s")
	add("economy-heap", float64(heap()-before)/(1<<20), "MB")
	return rows, nil
}

// fill makes a store with the transfers, closes it, and returns who has founded the space. Another node opens it, which states nothing meanwhile.
func fill(ctx context.Context, dir string, members, each int) (founder *identity.Identity, err error) {
	_, o := standard(dir)
	n, err := start(o, nil)
	if err != nil {
		return nil, err
	}
	defer stopAll(&err, n)
	return n.id, transfers(ctx, n, members, each)
}

// doAny calls an operation and drops what it answers in parts.
func doAny(ctx context.Context, n *node, s api.Signer, name string, in any) (any, error) {
	out, err := n.ops[name].Do(ctx, &api.Call{Actor: s.DID(), Signer: s, Scopes: []string{"*"}}, in, func(any) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// heap is what is live in this process.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// sizeOf adds up the files of a directory.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
