package ingest

import (
	"context"
	"errors"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Inline is the shell without goroutines: the same steps as a Service's, taken by whoever calls, so that a simulation of many nodes has one
// order of events. What is offered waits for Step; what is submitted or appended is on disk when the call returns. What Step has written may
// wait for Sync, as behind a Service: a crash between the two loses it, and nobody has been told of it.
//
// An Inline belongs to one goroutine and is not called from within the engine's callbacks.
type Inline struct {
	s       *Service
	offered []Item
	units   int // in which they came
	later   chan flushed
	err     error // of the store: nothing is acknowledged any more
}

// NewInline returns an Inline around e.
func NewInline(e *Engine) *Inline {
	r := &Inline{s: NewService(e), later: make(chan flushed, syncAhead)}
	e.later = r.later
	return r
}

// Offered returns how many units of records wait for Step.
func (r *Inline) Offered() int { return r.units }

// Step takes what was offered along the road. With sync set, all of it is on disk when it returns; without, the newest commits may wait for the
// next Sync. An error is the store's, and the last: the node has to stop.
func (r *Inline) Step(sync bool) error {
	items := r.offered
	r.offered, r.units = nil, 0
	if err := r.process(items); err != nil || !sync {
		return err
	}
	return r.Sync()
}

// Sync brings to disk what has been written and answers those who wait for it.
func (r *Inline) Sync() error {
	for r.err == nil && len(r.later) > 0 {
		b := r.s.e.Store.NewBatch()
		r.err = r.s.e.Store.Commit(b, true) // an empty synced commit waits for all before it
		b.Close()
		for range len(r.later) {
			if f := <-r.later; r.err != nil {
				f.fail(r.err)
			} else {
				r.s.e.finish(f)
			}
		}
	}
	return r.err
}

// process takes items along the road, as verifyLoop and commitLoop do.
func (r *Inline) process(items []Item) error {
	for len(items) > 0 || r.due() {
		if len(r.later) == cap(r.later) {
			if err := r.Sync(); err != nil {
				return err
			}
		}
		n := min(len(items), verifyBatch)
		good := r.s.verified(items[:n])
		items = items[n:]
		if err := r.fatal(r.s.e.Process(good)); err != nil {
			return err
		}
	}
	return r.err
}

// due reports whether a record in the room has waited long enough.
func (r *Inline) due() bool {
	due := r.s.e.NextDue()
	return !due.IsZero() && !due.After(r.s.e.Now())
}

func (r *Inline) fatal(err error) error {
	if r.err == nil {
		r.err = err
	}
	return err
}

// Offer is Service.Offer. The queue is as long as a Service's, in units: counted in records, it would be too short for what several peers answer at once, and what is
// refused for that may be what the rest waits for, again and again.
func (r *Inline) Offer(raws [][]byte, origin Origin, done func(i int, r Result)) bool {
	items := r.s.decode(raws, origin, done)
	if r.err == nil && r.units < queueUnits {
		r.offered = append(r.offered, items...)
		r.units++
		return true
	}
	r.s.e.Count(Busy, len(items))
	for _, it := range items {
		it.Done(Result{ID: it.ID, Outcome: Refused, Err: errBusy})
	}
	return len(items) == 0
}

// Submit is Service.Submit: every envelope is settled when it returns.
func (r *Inline) Submit(_ context.Context, raws [][]byte, origin Origin) []Result {
	results := make([]Result, len(raws))
	for i := range results {
		results[i] = Result{Outcome: Refused, Err: errBusy}
	}
	items := r.s.decode(raws, origin, func(i int, res Result) { results[i] = res })
	if r.process(items) == nil {
		_ = r.Sync() // its failure is in the results
	}
	return results
}

var errBusy = api.Errorf("record.submit", api.Unavailable, "the node is busy or has stopped; nothing was acknowledged")

// Append is Service.Append, but for an author's rate: it does not wait, it says how long to wait.
func (r *Inline) Append(_ context.Context, signer api.Signer, draft api.Draft) (api.Receipt, error) {
	return r.append(Draft{Draft: draft, Signer: signer})
}

// Take is Service.Take, with the same difference.
func (r *Inline) Take(_ context.Context, signer api.Signer, env *record.Envelope, idempotency string, keep bool) (api.Receipt, error) {
	if len(r.s.verified([]Item{{Envelope: env}})) == 0 {
		return api.Receipt{}, errBadSignature
	}
	return r.append(Draft{Draft: api.Draft{Idempotency: idempotency}, Signer: signer, Signed: env, Keep: keep})
}

func (r *Inline) append(d Draft) (receipt api.Receipt, err error) {
	if r.err != nil {
		return receipt, r.err
	}
	answered := false
	d.Done = func(rc api.Receipt, e error) { receipt, err, answered = rc, e, true }
	if e := r.fatal(r.s.e.Append(d)); e != nil {
		return api.Receipt{}, e
	}
	if !answered {
		if len(r.later) == cap(r.later) {
			if e := r.Sync(); e != nil {
				return api.Receipt{}, e
			}
		}
		if e := r.fatal(r.s.e.Flush()); e != nil {
			return api.Receipt{}, e
		}
		if e := r.Sync(); e != nil {
			return api.Receipt{}, e
		}
	}
	var slow errRate
	if errors.As(err, &slow) {
		r.s.e.Count(RateLimit, 1)
		return receipt, errSlow(d.Signer.DID(), slow.after)
	}
	return receipt, err
}

// Do is Service.Do.
func (r *Inline) Do(_ context.Context, fn func(*Engine) error) error {
	if r.err != nil {
		return r.err
	}
	return fn(r.s.e)
}

// verified returns the items whose signature fits, in a slice of its own, and answers the others.
func (s *Service) verified(items []Item) []Item {
	envs := make([]*record.Envelope, len(items))
	for i := range items {
		envs[i] = items[i].Envelope
	}
	good := make([]Item, 0, len(items))
	for i, ok := range s.verifier.Verify(envs) {
		if ok {
			good = append(good, items[i])
		} else {
			s.refuseBad(items[i])
		}
	}
	return good
}

// refuseBad answers for an envelope whose signature does not fit, and remembers it.
func (s *Service) refuseBad(it Item) {
	s.e.Count(BadSignature, 1)
	s.remember(it.Raw)
	if it.Done != nil {
		it.Done(Result{ID: it.ID, Outcome: Refused, Err: errBadSignature})
	}
}
