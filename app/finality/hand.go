package finality

import (
	"context"
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// hand is the last record of a registrar in the topic of cuts: it closes the feed, and the Number-th registrar's goes on from there, with the drafts
// that are open and the numbers of the cuts. So there is one line of cuts, whoever writes it, and no draft is left behind by who goes.
type hand struct {
	_      struct{} `cbor:",toarray"`
	DID    api.DID
	Device api.Key
	Number uint64
}

func (h *hand) check() error {
	if h.Number < 2 {
		return fmt.Errorf("number %d: the genesis names the first registrar, want 2 or more", h.Number)
	}
	if _, err := record.ParseDID(string(h.DID)); err != nil {
		return err
	}
	return record.CheckKey(h.Device)
}

// registrar reports whether rec is by the registrar's device, and the how-manieth registrar that is.
func registrar(tx api.Tx, rec *api.Record) (number uint64, ok bool) {
	if o, ok := fact.ReplacesAt(tx, rec); ok {
		tx.Put(rowRegistrar, codec.MustMarshal(&o))
		fact.PutOffice(tx, fact.Registrar, o)
		return o.Number, true
	}
	if b, ok := tx.Own(rowRegistrar); ok {
		if len(b) == 0 {
			return 1, true // the first has the feed from its beginning
		}
		o := get[fact.Office](b, true)
		return o.Number, o.Device == rec.Device && o.DID == rec.Author
	}
	for _, d := range rec.Deps {
		// A later one has the office only by going on from the feed of the one before.
		if o, ok := fact.OfficeAt(tx, d, fact.Registrar); ok && o.Number <= 1 && o.Device == rec.Device && o.DID == rec.Author {
			tx.Put(rowRegistrar, nil)
			return 1, true
		}
	}
	return 0, false
}

func applyHand(tx api.Tx, rec *api.Record) api.Outcome {
	var h hand
	if err := read(rec.Body, &h); err != nil {
		return malformed(err)
	}
	last, ok := registrar(tx, rec)
	if !ok {
		return notRegistrar
	}
	if h.Number != last+1 || h.Device == rec.Device {
		return withInputs(api.Voided(Domain, "out-of-order", "registrars are numbered without gaps, and hand over to another device"), rec.Feed, h.Number, last)
	}
	o := fact.Office{DID: h.DID, Device: h.Device, Number: h.Number}
	tx.Put(rowRegistrar, codec.MustMarshal(&o))
	fact.PutOffice(tx, fact.Registrar, o)
	tx.Cut(api.Cut{Feed: rec.Feed, At: rec.Position(), Next: h.Device})
	return api.Accepted
}

// Hand implements fact.Cutter.
func (a *App) Hand(ctx context.Context, signer api.Signer, space api.Hash, next fact.Office) (api.Position, error) {
	const op = "office.hand"
	host, _, err := a.at(op, space)
	if err != nil {
		return api.Position{}, err
	}
	a.cutting.Lock() // no draft may fall between
	defer a.cutting.Unlock()
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return api.Position{}, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", space)
	}
	deps := s.Entries(fact.CutTopic)
	b, at, known := r.Own(s.Cutter(), rowRegistrar)
	if len(b) > 0 {
		switch o := get[fact.Office](b, true); {
		case o == next:
			return at, nil
		case o.Number >= next.Number:
			return at, api.Errorf(op, api.Conflict, "the cuts are handed to %s already, by record %v; hand over the rest to the same", o.DID, at)
		}
	}
	if !known {
		deps = append(deps, s.Founded)
	}
	d := api.Draft{
		Topic: api.Topic{Space: space, Name: fact.CutTopic}, Deps: fact.Deps(deps), Kind: kindHand,
		Body: codec.MustMarshal(&hand{DID: next.DID, Device: next.Device, Number: next.Number}),
	}
	rc, err := host.Append(ctx, signer, d, api.WaitLocal)
	return rc.Position, api.Wrap(op, err)
}

// inherit has a new registrar's node look after the drafts that the one before left open.
func (a *App) inherit(rec *api.Record) {
	var h hand
	a.mu.Lock()
	host := a.host
	a.mu.Unlock()
	if host == nil || host.Self() == nil || read(rec.Body, &h) != nil || h.Device != host.Self().Device() {
		return
	}
	r := host.Read()
	defer r.Close()
	for k := range r.Rows(rec.Feed, rowsDraft) {
		if len(k) == len(rowsDraft)+len(api.Hash{}) {
			a.note(rec.Topic.Space, api.Hash(k[len(rowsDraft):]))
		}
	}
}

// passing lists those of a record's deps by which an office may have passed to its author. One who has the office by a hand that never becomes final,
// since another takes the place of who gave it, must not have a line of records beside: each waits until that is final.
func (v *view) passing(rec *api.Record) (deps []api.Position) {
	if rec.Topic.Name != fact.CutTopic && rec.Topic.Name != fact.SpaceTopic {
		return nil
	}
	for _, d := range rec.Deps {
		if r, _, ok := v.Record(d); ok && (r.Topic.Name == fact.CutTopic || r.Topic.Name == fact.SpaceTopic && rec.Topic.Name == fact.SpaceTopic || r.Topic.Name == fact.OfficeTopic) {
			deps = append(deps, d)
		}
	}
	return deps
}
