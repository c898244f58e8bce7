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

// Draft is a record to be made on this node, or one that was made here and signed elsewhere.
type Draft struct {
	api.Draft
	Signer api.Signer // of Signed: who must have signed, by DID and Device
	// Signed is a record whose signature has been checked. It is taken only as what Append would make next, so that no second record comes to stand
	// at its place; of the draft only Idempotency counts.
	Signed *record.Envelope
	// Keep is set when Signed is to be stored even if it is void: its place is used up by its signature, and the next record has to follow it.
	Keep bool
	Done func(api.Receipt, error)
}

// Append makes a draft the next record of its signer's feed. The rules are asked before anything is signed: what they would void is refused and
// leaves no trace, unless it is to be kept. The receipt goes to Done after the next Flush, with an error for which IsVoid holds when the record is stored
// and void; any other error at once.
func (e *Engine) Append(d Draft) error {
	receipt, why, err := e.append(d)
	var fatal storeError
	if errors.As(err, &fatal) {
		return fatal.error
	}
	if err != nil {
		d.Done(api.Receipt{}, err)
		return nil
	}
	e.pending = append(e.pending, settled{done: func(r Result) {
		if r.Err == nil && why != nil {
			r.Err = Voided(why)
		}
		d.Done(receipt, r.Err)
	}})
	return nil
}

type storeError struct{ error }

// append returns why the record is void, when it is kept all the same.
func (e *Engine) append(d Draft) (receipt api.Receipt, why *api.Reason, err error) {
	now := e.Now()
	if d.Signed != nil {
		d.Draft = api.Draft{Topic: d.Signed.Topic, Kind: d.Signed.Kind, Body: d.Signed.Body, Deps: d.Signed.Deps, Idempotency: d.Idempotency}
	}
	if !d.Topic.Space.IsZero() && !e.Follows(d.Topic.Space) {
		if d.Signed != nil {
			return api.Receipt{}, nil, errForeign(d.Topic.Space)
		}
		return api.Receipt{}, nil, api.Errorf("record.append", api.NotFound, "space %s: this node does not follow it", d.Topic.Space)
	}
	var name, content api.Hash
	if d.Idempotency != "" {
		if len(d.Idempotency) > api.MaxIdempotency {
			return api.Receipt{}, nil, api.Errorf("record.append", api.Invalid, "idempotency key of %d bytes: at most %d", len(d.Idempotency), api.MaxIdempotency)
		}
		name = fold.IdempotencyName(d.Idempotency)
		content = contentHash(&d.Draft)
		had, p, ok, err := e.idempotent(d.Signer.Device(), name)
		switch {
		case err != nil:
			return api.Receipt{}, nil, storeError{err}
		case ok && had != content:
			return api.Receipt{}, nil, api.Errorf("record.append", api.Conflict, "idempotency key %q was used for another request", d.Idempotency)
		case ok:
			receipt, err = e.receipt(p, true)
			return receipt, nil, err
		}
	}
	if d.Signed != nil {
		switch has, err := e.State.Has(d.Signed.Position()); {
		case err != nil:
			return api.Receipt{}, nil, storeError{err}
		case has && d.Idempotency == "":
			receipt, err = e.receipt(d.Signed.Position(), true)
			return receipt, nil, err
		case has: // it was named on another node, and whoever asks again by that name may do so here
			if after := e.rate(now, d.Signer.DID()); after > 0 {
				return api.Receipt{}, nil, errRate{after}
			}
			e.remember(d.Signer.Device(), name, content, d.Signed.Position())
			receipt, err = e.receipt(d.Signed.Position(), true)
			return receipt, nil, err
		}
	}
	if after := e.rate(now, d.Signer.DID()); after > 0 {
		return api.Receipt{}, nil, errRate{after}
	}
	var f *fold.Feed
	if !d.Topic.Space.IsZero() {
		if f, err = e.State.Feed(record.FeedID(d.Topic, d.Signer.Device())); err != nil {
			return api.Receipt{}, nil, storeError{err}
		}
	}
	if f != nil && f.Author != d.Signer.DID() {
		return api.Receipt{}, nil, errAuthor(f.ID, f.Author)
	}
	env, why, err := e.form(d, f)
	if err != nil {
		return api.Receipt{}, nil, err
	}
	if err := e.State.Put(env); err != nil {
		return api.Receipt{}, nil, storeError{err}
	}
	r, p := env.Record, env.Position()
	if d.Signed != nil {
		e.Clock.Observe(r.Time)
		if why == nil { // the feed may have been cut since it was prepared
			if why, err = e.State.CutOff(p); err != nil {
				return api.Receipt{}, nil, storeError{err}
			}
		}
	}
	e.put = append(e.put, Item{Envelope: env})
	if record.Founds(r) {
		e.State.SetMeta(MetaFollow+r.Topic.Space.String(), nil)
		if e.Founded != nil {
			e.Founded(r.Topic.Space)
		}
	}
	if d.Idempotency != "" {
		e.remember(r.Device, name, content, p)
	}
	for _, w := range e.room.Arrived(p) {
		if err := e.accept(now, w.Tag); err != nil {
			return api.Receipt{}, nil, storeError{err}
		}
	}
	return api.Receipt{Position: p, Topic: r.Topic, Time: r.Time}, why, nil
}

// form makes a draft the next record of its feed f, nil for a new one, which the rules accept, and has it signed. A record that is signed already must
// be such a one, or one to be kept: then why says what makes it void.
func (e *Engine) form(d Draft, f *fold.Feed) (env *record.Envelope, why *api.Reason, err error) {
	env = d.Signed
	if env != nil {
		if err := e.next(env, f); err != nil {
			return nil, nil, err
		}
	} else {
		r := &api.Record{
			Version: record.Version, Topic: d.Topic, Device: d.Signer.Device(), Author: d.Signer.DID(), Seq: 1,
			Time: e.Clock.Now(), Deps: d.Deps, Kind: d.Kind, Body: d.Body,
		}
		if f != nil {
			r.Seq, r.Prev = f.Tip.Seq+1, f.Tip.ID
			if r.Deps, err = e.citeCuts(f, r.Deps); err != nil {
				return nil, nil, storeError{err}
			}
		}
		if r.Seq == 1 {
			r.Auth = d.Signer.Auth()
		}
		env = &record.Envelope{Record: r}
	}
	for _, dep := range env.Deps {
		has, err := e.State.Has(dep)
		if err != nil {
			return nil, nil, storeError{err}
		}
		switch {
		case has:
		case d.Signed != nil:
			return nil, nil, errLacks(env, dep)
		default:
			return nil, nil, api.Errorf("record.append", api.Conflict, "the record cites %v, which this node does not hold", dep)
		}
	}
	var unsigned []byte
	if d.Signed == nil {
		if unsigned, err = record.Unsigned(env.Record); err != nil {
			return nil, nil, err
		}
	}
	why, isVoid, err := e.State.Draft(env.Record)
	if err != nil {
		return nil, nil, storeError{err}
	}
	if why != nil && (d.Signed == nil || !d.Keep || !isVoid) {
		return nil, nil, api.Refusal("record.append", why)
	}
	if d.Signed != nil {
		return env, why, nil
	}
	sig, err := d.Signer.Sign(unsigned)
	if err != nil {
		return nil, nil, api.Wrap("record.append", err)
	}
	env, err = record.Seal(env.Record, unsigned, sig)
	return env, nil, err
}

// next refuses a signed record that is not the next of its feed f, nil for a new one. A second record at one place would be a fork, and hold the feed.
func (e *Engine) next(env *record.Envelope, f *fold.Feed) error {
	if due, ahead := e.Clock.Ahead(env.Time); ahead {
		return errAhead(env.Time, due)
	}
	if f == nil && env.Seq == 1 {
		return nil
	}
	switch {
	case f == nil || env.Seq > f.Tip.Seq+1:
		return errBehind(env, f)
	case env.Seq <= f.Tip.Seq || env.Prev != f.Tip.ID:
		return errTaken(env, f)
	}
	env.Author = f.Author
	return nil
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

// remember notes, with the next Flush, that a device has asked for the record at p by a name.
func (e *Engine) remember(device api.Key, name, content api.Hash, p api.Position) {
	e.State.SetIdempotent(device, name, content, p)
	e.uncommitted[idemKey{device, name}] = idemValue{content, p}
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
