package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

// finality measures how long a payment waits until enough of n witnesses, each a node with a store on disk and a link over loopback, have made it
// final: p50, p99 in the note. One witness is its peer: what several cost.
func finality(ctx context.Context, b *bench) ([]result, error) {
	var rows []result
	var alone float64
	for _, n := range []int{1, 3, 4, 7} {
		took, need, err := finalAmong(ctx, b, n, 200)
		if err != nil {
			return nil, fmt.Errorf("%d witnesses: %w", n, err)
		}
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		if n == 1 {
			alone = p50
		}
		rows = append(rows, result{
			Name: "finality-" + strconv.Itoa(n), Value: p50, Unit: "ms", Peer: "one witness", PeerValue: alone, Ratio: alone / p50,
			note: fmt.Sprintf("p50 of %d payments one after the other; p99 %.1f ms; %d of %d witnesses", len(took), p99, need, n),
		})
	}
	return rows, nil
}

// finalAmong returns the waits in ascending order, in milliseconds.
func finalAmong(ctx context.Context, b *bench, witnesses, payments int) (took []float64, need int, err error) {
	dir, err := b.temp()
	if err != nil {
		return nil, 0, err
	}
	var nodes []*node
	defer func() { stopAll(&err, nodes...) }()
	for i := range witnesses {
		_, o := standard(filepath.Join(dir, strconv.Itoa(i)))
		o.Listen = []string{"127.0.0.1:0"}
		n, err := start(o, nil)
		if err != nil {
			return nil, 0, err
		}
		nodes = append(nodes, n)
	}
	in := newSpace(1<<40, false)
	for _, n := range nodes[1:] {
		in.Witnesses = append(in.Witnesses, n.id.Signer().Device())
	}
	in.Faulty, in.Threshold = nil, nil
	if err := in.Validate(); err != nil {
		return nil, 0, err
	}
	space, err := do[membership.CreateOut](ctx, nodes[0], "space.create", in)
	if err != nil {
		return nil, 0, err
	}
	invitation, err := do[membership.InviteOut](ctx, nodes[0], "space.invite", &membership.InviteIn{Uses: uint32(witnesses), ExpiresHours: 1})
	if err != nil {
		return nil, 0, err
	}
	for _, n := range nodes[1:] {
		if _, err := do[membership.JoinOut](ctx, n, "space.join", &membership.JoinIn{Invitation: invitation.Invitation}); err != nil {
			return nil, 0, err
		}
	}
	payee := identity.Derive("bench", "payee")
	if _, err := do[membership.AddOut](ctx, nodes[0], "member.add", &membership.AddIn{DID: payee.DID(), Device: payee.Device()}); err != nil {
		return nil, 0, err
	}
	pay := ledger.TransferIn{Space: space.Space, To: payee.DID(), Currency: "hours", Amount: 1}
	s := nodes[0].id.Signer()
	for i := range payments + 10 {
		begin := time.Now()
		if _, err := nodes[0].ops["ledger.transfer"].Do(ctx, &api.Call{Actor: s.DID(), Signer: s, Scopes: []string{"*"}, Wait: api.WaitFinal}, &pay, nil); err != nil {
			return nil, 0, err
		}
		if i >= 10 { // the first ones warm up
			took = append(took, float64(time.Since(begin).Microseconds())/1000)
		}
	}
	slices.Sort(took)
	return took, *in.Threshold, nil
}
