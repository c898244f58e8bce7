package finality

import (
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// An epoch ends in three steps, none of which anybody can take alone:
//
//   - the registrar names the next witnesses, in one numbered place of its feed. That is final when enough of the witnesses in force hold it, and since
//     they lock one record per place, of two rivals at most one is;
//   - each witness in force that knows it final seals: it says nothing more in its epoch. Once enough have sealed, the epoch is over;
//   - each new witness starts by citing enough seals, and with them all that those witnesses had read. It locks nothing beside what they show certified,
//     and says all anew, so that nobody need ask the old witnesses again.
//
// docs/adr/0016 has the argument.

// sealed reports whether the witness has ended its epoch.
func (w standing) sealed(tx api.Tx) bool {
	return get[fact.Seal](tx.Own(rowSeal)).Number > w.Epoch
}

// naming finds the record that names an epoch among what a record cites.
func naming(tx api.Tx, rec *api.Record, number uint64) (e fact.Epoch, at fact.Cause, ok bool) {
	for _, d := range rec.Deps {
		h, accepted := tx.Dep(d)
		if !accepted || h.Topic.Name != fact.CutTopic || h.Kind != kindEpoch {
			continue
		}
		if e, ok = fact.EpochAt(tx, d, number); ok {
			return e, fact.Cause{Feed: d.Feed, Seq: d.Seq, ID: d.ID}, true
		}
	}
	return e, at, false
}

func applyEpoch(tx api.Tx, rec *api.Record) api.Outcome {
	var e epoch
	if err := read(rec.Body, &e); err != nil {
		return malformed(err)
	}
	if _, ok := registrar(tx, rec); !ok {
		return notRegistrar
	}
	if last := fact.Number(tx.Own(rowEpoch)); e.Number <= last {
		return withInputs(api.Voided(Domain, "out-of-order", "an epoch is named once"), rec.Feed, e.Number, last)
	}
	if e.Number > 1 {
		voices := 0
		enough := false
		for _, d := range rec.Deps {
			if h, _ := tx.Dep(d); h.Topic.Name != fact.FinalityTopic {
				continue
			}
			if s := fact.StandingAt(tx, d); s.Epoch == e.Number-1 {
				voices++
				enough = voices >= int(s.Need)
			}
		}
		if !enough {
			return withInputs(api.Voided(Domain, "not-started", "who names an epoch cites enough witnesses that have started in the one before"), rec.Feed, e.Number, e.Number-1)
		}
	}
	tx.Put(rowEpoch, api.Seq8(e.Number))
	fact.PutEpoch(tx, fact.Epoch{Number: e.Number, Witnesses: e.Witnesses, Threshold: e.Threshold, Faulty: e.Faulty})
	return api.Accepted
}

func applySeal(tx api.Tx, rec *api.Record) api.Outcome {
	var t turn
	if err := read(rec.Body, &t); err != nil {
		return malformed(err)
	}
	w, out := speaker(tx, rec)
	if out.Void != nil {
		return out
	}
	if t.Number != w.Epoch+1 {
		return withInputs(api.Voided(Domain, "out-of-order", "a witness makes room for the epoch after its own"), rec.Feed, t.Number, w.Epoch)
	}
	_, at, ok := naming(tx, rec, t.Number)
	if !ok {
		return api.Voided(Domain, "not-named", "a seal cites the record that names the epoch")
	}
	s := fact.Seal{Number: t.Number, Next: at, Need: w.Need}
	tx.Put(rowSeal, codec.MustMarshal(&s))
	fact.PutSeal(tx, s)
	return api.Accepted
}

// applyStart lets a witness speak in an epoch. The seals that it cites end the feeds of those before: what they state on another branch, with keys that
// have leaked since, counts for nothing once enough new witnesses have cited them. So a witness starts again, to cite seals that came late.
func applyStart(tx api.Tx, rec *api.Record) api.Outcome {
	var t turn
	if err := read(rec.Body, &t); err != nil {
		return malformed(err)
	}
	e, at, ok := naming(tx, rec, t.Number)
	if !ok || !slices.Contains(e.Witnesses, rec.Device) {
		return notWitness
	}
	was := get[standing](tx.Own(rowWitness))
	if was.Epoch > t.Number {
		return withInputs(api.Voided(Domain, "out-of-order", "the witness speaks in a later epoch"), rec.Feed, t.Number, was.Epoch)
	}
	w := standing{Epoch: t.Number, Need: e.Threshold}
	voices := 0
	enough := false
	count := func(s fact.Seal) {
		voices++
		enough = voices >= int(s.Need)
	}
	if own := get[fact.Seal](tx.Own(rowSeal)); own.Number == t.Number && own.Next == at {
		count(own)
	}
	var fresh []api.Position
	for _, d := range rec.Deps {
		h, accepted := tx.Dep(d)
		if !accepted || h.Topic.Name != fact.FinalityTopic || h.Kind != kindSeal {
			continue
		}
		if s, ok := fact.SealAt(tx, d, t.Number); ok && s.Next == at {
			count(s)
			if _, cited := tx.Own(rowSealed(d.Feed, t.Number)); !cited {
				fresh = append(fresh, d)
			}
		}
	}
	switch {
	case !enough:
		return withInputs(api.Voided(Domain, "too-few-seals", "a witness starts by citing the seals of enough of those before it"), rec.Feed, t.Number, uint64(voices))
	case was.Epoch == t.Number && len(fresh) == 0:
		return withInputs(api.Voided(Domain, "started", "the witness has started and cites no further seal"), rec.Feed, t.Number, was.Epoch)
	}
	for _, d := range fresh {
		tx.Put(rowSealed(d.Feed, t.Number), nil)
		tx.Final(d, api.Support{Epoch: w.Epoch, Need: w.Need, Seal: true})
	}
	tx.Put(rowWitness, codec.MustMarshal(&w))
	fact.PutStanding(tx, fact.Standing{Epoch: w.Epoch, Need: w.Need})
	return api.Accepted
}
