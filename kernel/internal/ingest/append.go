package ingest

import (
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/record"
)

// Draft is a record to be made on this node.
type Draft struct {
	api.Draft
	Signer api.Signer
	Done   func(api.Receipt, error)
}

// Append makes a draft the next record of its signer's feed. The rules are asked before anything is signed: what they would void is refused and
// leaves no trace. The receipt goes to Done after the next Flush; an error at once.
func (e *Engine) Append(d Draft) error {
	receipt, err := e.append(d)
	var fatal storeError
	if errors.As(err, &fatal) {
		return fatal.error
	}
	if err != nil {
		d.Done(api.Receipt{}, err)
		return nil
	}
	e.pending = append(e.pending, settled{done: func(r Result) { d.Done(receipt, r.Err) }})
	return nil
}

type storeError struct{ error }

func (e *Engine) append(d Draft) (api.Receipt, error) {
	now := e.Now()
	if !d.Topic.Space.IsZero() && !e.Follows(d.Topic.Space) {
		return api.Receipt{}, api.Errorf("record.append", api.NotFound, "space %s: this node does not follow it", d.Topic.Space)
	}
	var name, content api.Hash
	if d.Idempotency != "" {
		if len(d.Idempotency) > 64 {
			return api.Receipt{}, api.Errorf("record.append", api.Invalid, "idempotency key of %d bytes: at most 64", len(d.Idempotency))
		}
		name = fold.IdempotencyName(d.Idempotency)
		content = contentHash(&d.Draft)
		had, p, ok, err := e.idempotent(d.Signer.Device(), name)
		switch {
		case err != nil:
			return api.Receipt{}, storeError{err}
		case ok && had != content:
			return api.Receipt{}, api.Errorf("record.append", api.Conflict, "idempotency key %q was used for another request", d.Idempotency)
		case ok:
			return e.receipt(p, true)
		}
	}
	if after := e.rate(now, d.Signer.DID()); after > 0 {
		return api.Receipt{}, errRate{after}
	}
	r := &api.Record{
		Version: record.Version, Topic: d.Topic, Device: d.Signer.Device(), Author: d.Signer.DID(), Seq: 1,
		Time: e.Clock.Now(), Deps: d.Deps, Kind: d.Kind, Body: d.Body,
	}
	if !d.Topic.Space.IsZero() {
		f, err := e.State.Feed(record.FeedID(d.Topic, r.Device))
		if err != nil {
			return api.Receipt{}, storeError{err}
		}
		if f != nil {
			r.Seq, r.Prev = f.Tip.Seq+1, f.Tip.ID
			if r.Deps, err = e.citeCuts(f, r.Deps); err != nil {
				return api.Receipt{}, storeError{err}
			}
		}
	}
	if r.Seq == 1 {
		r.Auth = d.Signer.Auth()
	}
	for _, dep := range r.Deps {
		has, err := e.State.Has(dep)
		if err != nil {
			return api.Receipt{}, storeError{err}
		}
		if !has {
			return api.Receipt{}, api.Errorf("record.append", api.Conflict, "the record cites %v, which this node does not hold", dep)
		}
	}
	unsigned, err := record.Unsigned(r)
	if err != nil {
		return api.Receipt{}, err
	}
	reason, err := e.State.Draft(r)
	if err != nil {
		return api.Receipt{}, storeError{err}
	}
	if reason != nil {
		return api.Receipt{}, api.Refusal("record.append", reason)
	}
	sig, err := d.Signer.Sign(unsigned)
	if err != nil {
		return api.Receipt{}, api.Wrap("record.append", err)
	}
	env, err := record.Seal(r, unsigned, sig)
	if err != nil {
		return api.Receipt{}, err
	}
	if err := e.State.Put(env); err != nil {
		return api.Receipt{}, storeError{err}
	}
	p := r.Position()
	e.put = append(e.put, Item{Envelope: env})
	if record.Founds(r) {
		e.State.SetMeta(MetaFollow+r.Topic.Space.String(), nil)
		if e.Founded != nil {
			e.Founded(r.Topic.Space)
		}
	}
	if d.Idempotency != "" {
		e.State.SetIdempotent(r.Device, name, content, p)
		e.uncommitted[idemKey{r.Device, name}] = idemValue{content, p}
	}
	for _, w := range e.room.Arrived(p) {
		if err := e.accept(now, w.Tag); err != nil {
			return api.Receipt{}, storeError{err}
		}
	}
	return api.Receipt{Position: p, Topic: r.Topic, Time: r.Time}, nil
}

// citeCuts adds the cuts of a feed that it has not cited to what its next record cites: without that the record would have no effect.
func (e *Engine) citeCuts(f *fold.Feed, deps []api.Position) ([]api.Position, error) {
	cuts, err := e.State.Uncited(f.ID)
	if err != nil || len(cuts) == 0 {
		return deps, err
	}
	for _, c := range cuts {
		i := slices.IndexFunc(deps, func(d api.Position) bool { return d.Feed == c.Feed })
		switch {
		case i < 0:
			deps = append(slices.Clip(deps), c)
		case deps[i].Seq < c.Seq:
			deps = slices.Clone(deps)
			deps[i] = c
		}
	}
	slices.SortFunc(deps, func(a, b api.Position) int { return a.Feed.Compare(b.Feed) })
	return deps, nil
}

func (e *Engine) idempotent(device api.Key, name api.Hash) (content api.Hash, p api.Position, ok bool, err error) {
	if v, ok := e.uncommitted[idemKey{device, name}]; ok {
		return v.content, v.at, true, nil
	}
	return fold.Idempotent(e.Store, device, name)
}

func (e *Engine) receipt(p api.Position, repeated bool) (api.Receipt, error) {
	rd := fold.NewReader(e.Store, "", e.Log)
	defer rd.Close()
	r, v, ok := rd.Record(p)
	if !ok { // it is in this very batch
		return api.Receipt{Position: p, Repeated: repeated}, nil
	}
	return api.Receipt{Position: p, Topic: r.Topic, Time: r.Time, Final: v.Final, Repeated: repeated}, nil
}

func contentHash(d *api.Draft) api.Hash {
	return sha256.Sum256(codec.MustMarshal([]any{d.Topic.Space[:], d.Topic.Name, d.Kind, d.Body}))
}

type idemKey struct {
	device api.Key
	name   api.Hash
}

type idemValue struct {
	content api.Hash
	at      api.Position
}
