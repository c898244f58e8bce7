package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// node is a whole kernel in this process.
type node struct {
	*kernel.Kernel
	id   *identity.Identity
	ops  map[string]api.Operation
	stop func() error
}

// start runs a kernel until stop is called. A nil identity is a new one.
func start(o kernel.Options, id *identity.Identity) (*node, error) {
	if id == nil {
		var err error
		if id, err = identity.Generate(rand.Reader); err != nil {
			return nil, err
		}
	}
	o.Identity = id
	k, err := kernel.New(o)
	if err != nil {
		return nil, err
	}
	n := &node{Kernel: k, id: id, ops: map[string]api.Operation{}}
	for _, op := range k.Operations() {
		n.ops[op.Name] = op
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	n.stop = func() error { cancel(); return <-done }
	for !k.Ready() {
		select {
		case err := <-done:
			cancel()
			return nil, fmt.Errorf("the node did not start: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
	return n, nil
}

// stopAll stops nodes and adds what goes wrong to err.
func stopAll(err *error, nodes ...*node) {
	for _, n := range nodes {
		if n != nil {
			*err = errors.Join(*err, n.stop())
		}
	}
}

// do calls an operation as its handler, without the edge's JSON.
func do[Out any](ctx context.Context, n *node, name string, in any) (*Out, error) {
	s := n.id.Signer()
	v, err := n.ops[name].Do(ctx, &api.Call{Actor: s.DID(), Signer: s, Scopes: []string{"*"}}, in, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v.(*Out), nil
}

// submit puts signed envelopes (in base64, at most 256) on a node's road; each must be committed.
func submit(ctx context.Context, n *node, records ...string) error {
	out, err := do[kernel.SubmitOut](ctx, n, "record.submit", &kernel.SubmitIn{Records: records})
	if err != nil {
		return err
	}
	for _, r := range out.Results {
		if r.Outcome != "committed" {
			return fmt.Errorf("record.submit: %s %s", r.Outcome, r.Error)
		}
	}
	return nil
}

func status(ctx context.Context, n *node) (*kernel.Status, error) {
	return do[kernel.Status](ctx, n, "node.status", &kernel.None{})
}

// waitRecords waits until nodes hold so many records each.
func waitRecords(ctx context.Context, want uint64, nodes ...*node) error {
	for _, n := range nodes {
		for {
			s, err := status(ctx, n)
			if err != nil {
				return err
			}
			if s.Records >= want {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("a node holds %d of %d records: %w", s.Records, want, ctx.Err())
			case <-time.After(2 * time.Millisecond):
			}
		}
	}
	return nil
}

// author signs records of one feed in advance.
type author struct {
	api.Signer
	topic api.Topic
	tip   api.Position
	time  api.Timestamp
}

func newAuthor(label string, topic api.Topic) *author {
	return &author{Signer: identity.Derive("bench", label), topic: topic, time: api.MakeTimestamp(time.Now().UnixMilli(), 0)}
}

func (a *author) sign(kind string, body []byte, deps ...api.Position) (raw []byte, err error) {
	a.time++
	r := &api.Record{Version: record.Version, Topic: a.topic, Seq: a.tip.Seq + 1, Prev: a.tip.ID, Time: a.time, Kind: kind, Body: body, Deps: deps}
	if r.Seq == 1 {
		r.Auth = a.Auth()
	}
	e, err := record.Sign(r, a)
	if err != nil {
		return nil, err
	}
	a.tip = e.Position()
	return e.Raw, nil
}

func text(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

// unlimited is the trust app whose oracle is asked as always, and whose rates are then too high to matter.
type unlimited struct {
	*trust.App
	host api.Host
}

// Start implements api.Starter.
func (u *unlimited) Start(ctx context.Context, h api.Host) error {
	u.host = h
	return u.App.Start(ctx, h)
}

// Oracle implements api.OracleProvider.
func (u *unlimited) Oracle() api.PolicyOracle { return unlimitedOracle{u.App.Oracle()} }

type unlimitedOracle struct{ api.PolicyOracle }

func (o unlimitedOracle) Evaluate(q api.Request) api.Decision {
	d := o.PolicyOracle.Evaluate(q)
	if d.Constraints.RateLimit != nil {
		d.Constraints.RateLimit = &api.RateLimit{PerSecond: 1 << 30, Burst: 1 << 30}
	}
	return d
}

// without returns apps with the trust app made unlimited.
func without(apps []api.App) (*unlimited, []api.App) {
	var u *unlimited
	for i, a := range apps {
		if t, ok := a.(*trust.App); ok {
			u = &unlimited{App: t}
			apps[i] = u
		}
	}
	return u, apps
}

// submitLoose is submit for records that may overtake each other: one whose predecessor is still on its way waits in the node's room.
func submitLoose(ctx context.Context, n *node, record string) error {
	out, err := do[kernel.SubmitOut](ctx, n, "record.submit", &kernel.SubmitIn{Records: []string{record}})
	if err == nil && out.Results[0].Outcome != "committed" && out.Results[0].Outcome != "held" {
		err = fmt.Errorf("record.submit: %s %s", out.Results[0].Outcome, out.Results[0].Error)
	}
	return err
}
