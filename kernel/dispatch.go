package kernel

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/record"
)

// entry is one operation with the domain whose oracle is asked about it; the kernel's own have none and need the operator's scope.
type entry struct {
	api.Operation
	domain api.Domain
	at     concern // how its inputs name a space
}

// buildTable collects the operations of the kernel and the apps.
func (k *Kernel) buildTable() error {
	add := func(op api.Operation, d api.Domain) error {
		if op.Do == nil || op.In == nil || op.Scope == "" {
			return api.Errorf("kernel.new", api.Internal, "operation %q is incomplete", op.Name)
		}
		if k.byName[op.Name] != nil {
			return api.Errorf("kernel.new", api.Internal, "operation %q exists twice", op.Name)
		}
		k.byName[op.Name] = &entry{op, d, concernOf(op.In)}
		k.table = append(k.table, op)
		return nil
	}
	for _, op := range k.operations() {
		if err := add(op, ""); err != nil {
			return err
		}
	}
	for _, app := range k.opt.Apps {
		p, ok := app.(api.OperationProvider)
		if !ok {
			continue
		}
		var d api.Domain
		if o, ok := app.(api.OracleProvider); ok {
			d = o.Oracle().Domain()
		}
		for _, op := range p.Operations() {
			if err := add(op, d); err != nil {
				return err
			}
		}
	}
	for _, app := range k.opt.Apps {
		if d, ok := app.(api.Describer); ok {
			k.kindList = append(k.kindList, d.Describe()...)
		}
	}
	slices.SortFunc(k.kindList, func(a, b api.KindSpec) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Kind, b.Kind)) })
	k.kinds = record.NewKinds(k.kindList)
	slices.SortFunc(k.table, func(a, b api.Operation) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// Operations returns the operation table in order of name.
func (k *Kernel) Operations() []api.Operation { return k.table }

// Call serves one operation for an edge: decode and validate, check the scope, ask the oracle, pass the gates, do it. For a stream emit is called
// once for each item. Every refusal is an *api.Error with a reason that says who says so, by which rule, and what would change it; the node remembers it by
// the name in Refusal.
func (k *Kernel) Call(ctx context.Context, call *api.Call, name string, raw json.RawMessage, emit func(item any) error) (out any, err error) {
	e := k.byName[name]
	if e == nil {
		return nil, api.Errorf("call", api.NotFound, "operation %q does not exist", clip(name))
	}
	done, actor := k.metrics.call(name), call.Actor
	defer func() {
		err = k.refused([]api.DID{actor}, false, name, e.domain, err)
		if k.unreadable.Load() { // a reader that finds nothing may have found no store
			out, err = nil, api.Errorf(name, api.Unavailable, "the node is stopping, since its store is; whether this was done shows when it runs again")
		}
		done(err)
	}()
	if !k.Ready() {
		return nil, api.Errorf(name, api.Unavailable, "the node is starting or stopping")
	}
	return k.serve(ctx, e, call, raw, emit)
}

// serve does what Call does once the operation is found: for record.prepare, too, which calls another one.
func (k *Kernel) serve(ctx context.Context, e *entry, call *api.Call, raw json.RawMessage, emit func(item any) error) (any, error) {
	if err := k.enter(e, call); err != nil {
		return nil, err
	}
	in, err := e.Decode(raw)
	if err != nil {
		return nil, err
	}
	if call, err = k.admit(e, call, in); err != nil {
		return nil, err
	}
	if e.keyless(call) {
		return nil, api.NoKey(e.Name, call.Actor)
	}
	if call, err = k.constrain(e, call, in); err != nil {
		return nil, err
	}
	return e.Do(ctx, call, in, emit)
}

// constrain asks the operation's oracle and passes what it imposes through the gates.
func (k *Kernel) constrain(e *entry, call *api.Call, in any) (*api.Call, error) {
	if e.domain == "" {
		return call, nil
	}
	req := api.Request{Domain: e.domain, Actor: call.Actor, Action: e.Name}
	if m, ok := in.(api.Measured); ok {
		req.Topic, req.Unit, req.Amount = m.Measure()
		if k.repeats(call) { // what was asked has been done: nothing more is wanted
			req.Amount = 0
		}
		if req.Topic.Space.IsZero() {
			if fs := k.follows.list(); len(fs) == 1 {
				req.Topic.Space = fs[0]
			}
		}
	}
	d := k.oracles.Evaluate(req)
	if d.Effect != api.Allow {
		return nil, api.Refusal(e.Name, d.Reason)
	}
	if r := gate.Ceiling(e.domain, req.Amount, &d.Constraints); r != nil {
		if d.Reason != nil { // the oracle knows better words for its own ceiling
			r = d.Reason
		}
		return nil, api.Refusal(e.Name, r)
	}
	if r := gate.Capability(e.domain, e.Scope, &d.Constraints); r != nil {
		return nil, api.Refusal(e.Name, r)
	}
	if req.Topic.Name != "" {
		if r := gate.Topic(e.domain, req.Topic.Name, &d.Constraints); r != nil {
			return nil, api.Refusal(e.Name, r)
		}
	}
	c := *call
	c.Constraints = d.Constraints
	return &c, nil
}

// repeats reports whether the call's idempotency key has been used: then the first answer is due again, whatever the gates would say now.
func (k *Kernel) repeats(call *api.Call) bool {
	if call.Idempotency == "" || call.Signer == nil {
		return false
	}
	_, _, ok, err := fold.Idempotent(k.st, call.Signer.Device(), fold.IdempotencyName(call.Idempotency))
	return err == nil && ok
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
