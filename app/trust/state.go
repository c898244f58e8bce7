package trust

import (
	"encoding/binary"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// maxEdges bounds the standing attestations of one feed, and so the memory that one author can take on every node: 1.1 MB. The busiest of the 5,881
// people in the Bitcoin OTC set made 763.
const maxEdges = 10_000

// feedKey is the row that a feed has from its first accepted record on: how many of its attestations stand (8 bytes, big-endian).
var feedKey = []byte("feed")

// Apply implements api.Applier. It is pure: see the rules in the package comment.
func (a *App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	if rec.Kind == fact.KindClose {
		return fact.Close(tx, rec, Domain)
	}
	if rec.Kind != Kind {
		return api.Voided(Domain, "unknown-kind", "This build knows attestations only.")
	}
	b, err := decode(rec.Body)
	if err != nil {
		return api.Voided(Domain, "malformed", err.Error())
	}
	if err := a.spelling.check(b.To); err != nil {
		return api.Voided(Domain, "malformed", err.Error())
	}
	if b.To == rec.Author {
		return api.Voided(Domain, "self-attestation", "Nobody can attest to themselves.")
	}
	count := uint64(0)
	v, started := tx.Own(feedKey)
	if started {
		count = binary.BigEndian.Uint64(v)
	} else if reason := admit(tx, rec); reason != nil {
		return api.Outcome{Void: reason}
	}
	key := edgeKey(b.Context, b.To)
	var before row
	if v, ok := tx.Own(key); ok {
		if err := codec.Unmarshal(v, &before); err != nil {
			return api.Voided(Domain, "corrupt-row", err.Error())
		}
	}
	after := count
	switch {
	case before.Score == 0 && b.Score != 0:
		after++
	case before.Score != 0 && b.Score == 0:
		after--
	}
	if after > count && after > maxEdges {
		return api.Voided(Domain, "too-many", "This author has as many standing attestations as a feed may hold; revoke one first.")
	}
	if after != count || !started {
		tx.Put(feedKey, api.Seq8(after))
	}
	tx.Put(key, codec.MustMarshal(&row{Score: b.Score, At: b.At, Stamp: uint64(rec.Time)}))
	return api.Accepted
}

// admit decides whether a feed may start: what it cites must show its author to be a member of the space by this device, or the space to be a
// test space. Only records of the space's own topic count; what they may publish is membership's rule.
func admit(tx api.Tx, rec *api.Record) *api.Reason {
	cited := false
	for _, dep := range rec.Deps {
		if r, _ := tx.Dep(dep); r.Topic != (api.Topic{Space: rec.Topic.Space, Name: fact.SpaceTopic}) {
			continue
		}
		cited = true
		if g, ok := fact.GenesisAt(tx, dep); ok && g.Test {
			return nil
		}
		if m, ok := fact.MemberAt(tx, dep, rec.Author); ok && m.Device == rec.Device {
			return nil
		}
	}
	if !cited {
		return &api.Reason{
			Domain: Domain, Rule: "no-genesis", Text: "The first attestation of a feed must cite its space.",
			Remedy: "cite the record that founded the space or admitted the author",
		}
	}
	return &api.Reason{
		Domain: Domain, Rule: "not-a-member", Text: "Only members of the space attest in it.",
		Inputs: map[string]string{"author": string(rec.Author), "device": rec.Device.String()},
		Remedy: "join the space first, and attest from the device that the membership names",
	}
}
