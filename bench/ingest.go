package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// standard are the options of a node as icnd runs it, but for rates that would bind.
func standard(dir string) (*unlimited, kernel.Options) {
	u, apps := without(app.Standard(app.Options{}))
	return u, kernel.Options{DataDir: dir, Apps: apps, AccessDomain: membership.Domain, RateDomain: trust.Domain}
}

// ingest: members pay each other, one transfer in flight each, signed beforehand; each is answered when it is on disk. The node holds no office,
// as most nodes of a space; the row -witness is the node that also states what is final. The peer does nothing but what cannot be left out.
func ingest(members, transfers int) func(context.Context, *bench) ([]result, error) {
	return func(ctx context.Context, b *bench) ([]result, error) {
		name := fmt.Sprintf("ingest-%d", members)
		var road, bare, witness, ratio, witnessRatio []float64
		for range 3 {
			l, lists, err := ingestRoad(ctx, b, members, transfers, false)
			if err != nil {
				return nil, err
			}
			dir, err := b.temp()
			if err != nil {
				return nil, err
			}
			took, err := kerneltest.BareIngest(dir, lists)
			if err != nil {
				return nil, err
			}
			floor := float64(transfers) / took.Seconds()
			w, _, err := ingestRoad(ctx, b, members, transfers, true)
			if err != nil {
				return nil, err
			}
			road, bare, witness = append(road, l.rate), append(bare, floor), append(witness, w.rate)
			ratio, witnessRatio = append(ratio, l.rate/floor), append(witnessRatio, w.rate/floor)
		}
		const peer = "bare loop"
		return []result{
			{name, median(road), "records/s", peer, median(bare), median(ratio), fmt.Sprintf("%d transfers, durable; target 0.6; runs %.0f, bare %.0f", transfers, road, bare)},
			{name + "-witness", median(witness), "records/s", peer, median(bare), median(witnessRatio), "the node states finality too"},
		}, nil
	}
}

// ingestRoad returns what came of transfers through a whole node, their senders' time in its processor time, and the transfers it was given.
func ingestRoad(ctx context.Context, b *bench, members, transfers int, asWitness bool) (l load, lists [][][]byte, err error) {
	dir, err := b.temp()
	if err != nil {
		return l, nil, err
	}
	founder, authors, err := foundBank(ctx, dir, members)
	if err != nil {
		return l, nil, err
	}
	if !asWitness {
		founder = nil // somebody else opens the same store
	}
	lists = make([][][]byte, members)
	texts := make([][]string, members)
	for i, a := range authors {
		for range transfers / members {
			raw, err := a.pay(authors[(i+1)%members].DID())
			if err != nil {
				return l, nil, err
			}
			lists[i], texts[i] = append(lists[i], raw), append(texts[i], text(raw))
		}
	}
	_, o := standard(dir)
	n, err := start(o, founder)
	if err != nil {
		return l, nil, err
	}
	defer stopAll(&err, n)
	errs := make([]error, members)
	var wg sync.WaitGroup
	before, err := spent()
	if err != nil {
		return l, nil, err
	}
	begin := time.Now()
	for i := range texts {
		wg.Go(func() {
			for _, t := range texts[i] {
				if errs[i] = submit(ctx, n, t); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	after, err := spent()
	if err := errors.Join(append(errs, err)...); err != nil {
		return l, nil, err
	}
	done := transfers / members * members
	// The transfers must have counted, or this measures something else.
	for _, a := range authors[:2] {
		out, err := do[ledger.HistoryOut](ctx, n, "ledger.history", &ledger.HistoryIn{DID: a.DID(), Limit: 1})
		if err != nil || len(out.Entries) != 1 {
			return l, nil, fmt.Errorf("a payer without history: %+v %w", out, err)
		}
	}
	return load{rate: float64(done) / took.Seconds(), cpu: float64((after - before).Microseconds()) / float64(done)}, lists, nil
}

// payer is a member who pays in advance.
type payer struct {
	*author
	first []api.Position // what the first record has to cite
}

// pay signs a transfer of one hundredth.
func (p *payer) pay(to api.DID) ([]byte, error) {
	deps := p.first
	p.first = nil
	body, err := ledger.TransferBody(to, "hours", 1)
	if err != nil {
		return nil, err
	}
	return p.sign("transfer", body, deps...)
}

// foundBank founds a space with so many members in dir and returns its founder and the members.
func foundBank(ctx context.Context, dir string, members int) (founder *identity.Identity, ps []*payer, err error) {
	_, o := standard(dir)
	n, err := start(o, nil)
	if err != nil {
		return nil, nil, err
	}
	defer stopAll(&err, n)
	ps, err = found(ctx, n, members)
	return n.id, ps, err
}

// found founds a space with so many members on a node.
func found(ctx context.Context, n *node, members int) (ps []*payer, err error) {
	limit := int64(1) << 40
	space, err := do[membership.CreateOut](ctx, n, "space.create", newSpace(limit, false))
	if err != nil {
		return nil, err
	}
	topic := api.Topic{Space: space.Space, Name: "ledger"}
	for i := range members {
		p := &payer{author: newAuthor(fmt.Sprint("member ", i), topic)}
		added, err := do[membership.AddOut](ctx, n, "member.add", &membership.AddIn{DID: p.DID(), Device: p.Device()})
		if err != nil {
			return nil, err
		}
		p.first = []api.Position{added.Receipt.Position} // the registrar founded the space: its feed shows the genesis too
		ps = append(ps, p)
	}
	return ps, nil
}

func newSpace(limit int64, test bool) *membership.CreateIn {
	in := &membership.CreateIn{Name: "Bench", DefaultLimit: &limit, Test: test}
	if err := in.Validate(); err != nil {
		panic(err) // a constant
	}
	return in
}
