package kernel

import (
	"context"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/record"
)

// take is record.submit for who holds the key elsewhere: the actor's own records, each the next of its feed, as if they were appended here. One that is
// not taken fails the call when it is the only one, so that an edge answers with its kind; but where the answer says what to sign instead, that is in
// the result. One that is void, as after a cut that came between, is kept: a signature uses its place up, and whoever signed may sign nothing else for it.
func (k *Kernel) take(ctx context.Context, call *api.Call, in *SubmitIn, raws [][]byte) (*SubmitOut, error) {
	name := in.Idempotency
	if name == "" && len(raws) == 1 {
		name = call.Idempotency
	}
	out := &SubmitOut{Results: make([]SubmitResult, len(raws))}
	for i, raw := range raws {
		res := &out.Results[i]
		receipt, id, err := k.takeOne(ctx, call, raw, name)
		res.ID = id
		if err == nil {
			res.Outcome = ingest.Committed.String()
			if receipt.Repeated {
				res.Outcome = ingest.Duplicate.String()
			}
			if err := k.reach(ctx, &receipt, receipt.Topic.Space, call.Actor, call.Wait); err != nil {
				res.Error, res.Code, res.Reason = err.Error(), api.KindOf(err).Code(), api.ReasonOf(err)
			}
			res.Level, res.Receipt = receipt.Level, &receipt
			continue
		}
		if ingest.IsVoid(err) {
			res.Outcome = ingest.Void.String()
			receipt.Level, receipt.Holders = k.level(receipt.Position)
			res.Level, res.Receipt = receipt.Level, &receipt
			_ = k.notTaken(call, res, err) // the result says it
			continue
		}
		res.Outcome = ingest.Refused.String()
		err = k.notTaken(call, res, err)
		if in.Operation != "" && api.KindOf(err) == api.Conflict {
			p := &PrepareIn{Operation: in.Operation, Input: in.Input, Auth: in.Auth, Idempotency: name}
			if res.Prepared, err = k.prepare(ctx, call, p); err == nil {
				continue
			}
		}
		if len(raws) == 1 {
			return nil, err
		}
	}
	return out, nil
}

// takeOne takes one signed record of the actor's own device.
func (k *Kernel) takeOne(ctx context.Context, call *api.Call, raw []byte, name string) (api.Receipt, api.Hash, error) {
	const op = "record.submit"
	env, err := record.Decode(raw)
	if err != nil {
		return api.Receipt{}, api.Hash{}, api.Wrap(op, err)
	}
	space := env.Topic.Space
	switch {
	case call.Device == (api.Key{}):
		return api.Receipt{}, env.ID, api.Refusal(op, &api.Reason{
			Domain: "kernel", Rule: "no-device", Text: "the token is no device's, so no record can be taken by it", Remedy: "log in with the device that signs",
		})
	case env.Device != call.Device:
		return api.Receipt{}, env.ID, otherDevice(op, env.Device, call.Device)
	case env.Seq == 1 && env.Author != call.Actor:
		return api.Receipt{}, env.ID, api.Refusal(op, &api.Reason{
			Domain: "kernel", Rule: "other-author", Text: "the record is another author's",
			Inputs: map[string]string{"author": string(env.Author), "actor": string(call.Actor)}, Remedy: "log in as who has signed it",
		})
	case !call.CanIn("record:write", space):
		return api.Receipt{}, env.ID, lacks(op, "record:write@"+space.String(), call)
	}
	// Who is not let in yet may be by what the record says: it asks to be. But nothing without effect is kept of them.
	why := k.closed(call.Actor, space, nil)
	if why != nil && k.closed(call.Actor, space, env.Body) != nil {
		return api.Receipt{}, env.ID, api.Refusal(op, why)
	}
	receipt, err := k.road.Take(ctx, taken{call}, env, name, why == nil)
	switch {
	case ingest.IsBadSignature(err):
		return receipt, env.ID, api.Errorf(op, api.Invalid, "records: the device's signature does not fit the record: sign the very bytes that were prepared")
	case err != nil:
		return receipt, env.ID, api.Wrap(op, err)
	}
	receipt.Topic, receipt.Time = env.Topic, env.Time
	if !receipt.Repeated {
		return receipt, env.ID, nil
	}
	rec, v, ok := k.stored(receipt.Position)
	if v.Unfolded() {
		return receipt, env.ID, api.Refusal(op, v.Reason)
	}
	if ok {
		receipt.Time, receipt.Final = rec.Time, v.Final
	}
	if v.Void() { // it came by another way, or has lost its effect since
		err = ingest.Voided(v.Reason)
	}
	return receipt, receipt.Position.ID, err
}

// stored reads a record and its verdict, whose reason says what to do.
func (k *Kernel) stored(p api.Position) (*api.Record, api.Verdict, bool) {
	r := k.reader("", k.log).Advised(k.apps)
	defer r.Close()
	return r.Record(p)
}

// taken is who must have signed a record that comes signed. It signs nothing.
type taken struct{ call *api.Call }

func (t taken) DID() api.DID    { return t.call.Actor }
func (t taken) Device() api.Key { return t.call.Device }
func (taken) Auth() []byte      { return nil }

func (t taken) Sign([]byte) ([]byte, error) { return nil, api.NoKey("record.submit", t.call.Actor) }
