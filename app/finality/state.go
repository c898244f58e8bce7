package finality

import (
	"encoding/binary"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the domain of this app's verdicts.
const Domain api.Domain = "finality"

// Feed rows of a witness's feed: "witness" (nothing: the genesis names this device) and "seq/<feed>" (last stated, 8 bytes).
var rowWitness = []byte("witness")

func rowSeq(feed api.Hash) []byte { return append([]byte("seq/"), feed[:]...) }

// Apply implements api.Applier.
func (*App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	if rec.Kind != kindStatement {
		return api.Voided(Domain, "unknown-kind", "no record of kind "+rec.Kind+" belongs in topic "+rec.Topic.Name)
	}
	s, err := decode(rec.Body)
	if err != nil {
		return api.Voided(Domain, "malformed", err.Error())
	}
	if !witness(tx, rec) {
		return api.Voided(Domain, "not-a-witness", "only the space's witness states what is final, and its first record cites the genesis")
	}
	for i := range s.Items {
		it := &s.Items[i]
		if it.Feed == rec.Feed {
			return api.Voided(Domain, "own-feed", "a witness does not state its own feed final")
		}
		if b, ok := tx.Own(rowSeq(it.Feed)); ok && it.Seq <= binary.BigEndian.Uint64(b) {
			out := api.Voided(Domain, "not-ahead", "a statement goes beyond what was stated before, for each of its feeds")
			out.Void.Inputs = map[string]string{"feed": it.Feed.String(), "seq": strconv.FormatUint(it.Seq, 10)}
			return out
		}
		tx.Put(rowSeq(it.Feed), api.Seq8(it.Seq))
		f := fact.Final{Seq: it.Seq, ID: it.ID, Accepted: it.Accepted}
		fact.PutFinal(tx, it.Feed, f)
		tx.Final(f.Position(it.Feed))
	}
	return api.Accepted
}

// witness reports whether the genesis names rec's device.
func witness(tx api.Tx, rec *api.Record) bool {
	if _, ok := tx.Own(rowWitness); ok {
		return true
	}
	for _, d := range rec.Deps {
		if _, ok := fact.WitnessAt(tx, d, rec.Device); ok {
			tx.Put(rowWitness, nil)
			return true
		}
	}
	return false
}
