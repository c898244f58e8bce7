package finality

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// A checkpoint says to what state the records come that are final by what the witnesses have stated up to some places of their feeds. The registrar
// writes it; each witness folds those records anew and checks it in its own feed, with the digest that it has found itself. Enough that have found
// the same make it stand: what is below is final already, and from then on its outcome is signed, too.
//
// The view is named by the places of the witnesses' feeds alone, so its size does not grow with the space, and it brings the statements along that
// make it final. docs/adr/0022 has the argument.

// Bounds of a checkpoint's record.
const (
	maxBy      = 16 * fact.MaxWitnesses // feeds of witnesses: those of so many epochs
	maxApps    = 64
	maxAppName = 64 // bytes
)

// checkpoint is the registrar's: what the records come to that are final by the feeds in By up to there.
type checkpoint struct {
	_       struct{}     `cbor:",toarray"`
	Number  uint64       // from 1, without gaps
	By      []fact.Cause // places of witnesses' feeds, ascending by feed
	Records uint64
	Digest  api.Hash
	Apps    []appDigest
}

// appDigest is the digest of one app's state; of several they are in order of name.
type appDigest struct {
	_      struct{} `cbor:",toarray"`
	App    string
	Digest api.Hash
}

// check is a witness's word on a checkpoint, which it cites.
type check struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Digest api.Hash    // that it has found
	Apps   []appDigest // if it is another one than the checkpoint has; else none
}

// checked is a witness's row about a checkpoint.
type checked struct {
	_      struct{} `cbor:",toarray"`
	Epoch  uint64
	Need   uint16
	Digest api.Hash
	Apps   []appDigest
}

var rowLast = []byte("checkpoint")

func rowCheckpoint(number uint64) []byte { return append([]byte("checkpoint/"), api.Seq8(number)...) }
func rowCheck(id api.Hash) []byte        { return append([]byte("check/"), id[:]...) }

func (c *checkpoint) check() error {
	if c.Number == 0 {
		return fmt.Errorf("number 0: want 1 or more")
	}
	if n := len(c.By); n == 0 || n > maxBy {
		return fmt.Errorf("by %d feeds: want 1 to %d", n, maxBy)
	}
	for i, p := range c.By {
		switch {
		case i > 0 && c.By[i-1].Feed.Compare(p.Feed) >= 0:
			return fmt.Errorf("by %d: want strictly ascending order of feed", i)
		case p.Seq == 0 || p.ID.IsZero():
			return fmt.Errorf("by %d: want a seq from 1 and an id", i)
		}
	}
	if len(c.Apps) == 0 {
		return fmt.Errorf("no apps: want the digest of each")
	}
	return checkApps(c.Apps)
}

func (c *check) check() error {
	if c.Number == 0 {
		return fmt.Errorf("number 0: want 1 or more")
	}
	return checkApps(c.Apps)
}

func checkApps(apps []appDigest) error {
	if len(apps) > maxApps {
		return fmt.Errorf("%d apps: at most %d", len(apps), maxApps)
	}
	for i, a := range apps {
		switch {
		case a.App == "" || len(a.App) > maxAppName:
			return fmt.Errorf("app %d: a name of %d bytes: want 1 to %d", i, len(a.App), maxAppName)
		case i > 0 && apps[i-1].App >= a.App:
			return fmt.Errorf("app %d: want strictly ascending order of name", i)
		}
	}
	return nil
}

func applyCheckpoint(tx api.Tx, rec *api.Record) api.Outcome {
	var c checkpoint
	if err := read(rec.Body, &c); err != nil {
		return malformed(err)
	}
	if _, ok := registrar(tx, rec); !ok {
		return notRegistrar
	}
	if last := fact.Number(tx.Own(rowLast)); c.Number != last+1 {
		return withInputs(api.Voided(Domain, "out-of-order", "checkpoints are numbered without gaps"), rec.Feed, c.Number, last)
	}
	tx.Put(rowLast, api.Seq8(c.Number))
	tx.Put(rowCheckpoint(c.Number), rec.Body)
	return api.Accepted
}

// applyCheck takes a witness's word on a checkpoint. A later one replaces it: a witness that was repaired may find what the others have found.
func applyCheck(tx api.Tx, rec *api.Record) api.Outcome {
	var c check
	if err := read(rec.Body, &c); err != nil {
		return malformed(err)
	}
	w, out := speaker(tx, rec)
	if out.Void != nil {
		return out
	}
	for _, d := range rec.Deps {
		h, accepted := tx.Dep(d)
		if !accepted || h.Topic.Name != fact.CutTopic || h.Kind != kindCheckpoint || fact.Number(tx.At(d, rowLast)) != c.Number {
			continue
		}
		proposed := get[checkpoint](tx.At(d, rowCheckpoint(c.Number)))
		if (proposed.Digest == c.Digest) != (len(c.Apps) == 0) {
			return api.Voided(Domain, "no-digests", "who finds another digest says which of each app, and nobody else does")
		}
		row := codec.MustMarshal(&checked{Epoch: w.Epoch, Need: w.Need, Digest: c.Digest, Apps: c.Apps})
		if b, ok := tx.Own(rowCheck(d.ID)); ok && string(b) == string(row) {
			return withInputs(api.Voided(Domain, "checked", "the witness has said so already"), rec.Feed, c.Number, c.Number)
		}
		tx.Put(rowCheck(d.ID), row)
		return api.Accepted
	}
	return api.Voided(Domain, "no-checkpoint", "a check cites the checkpoint")
}

// differing names the apps whose digests are not those of the checkpoint.
func (c *checkpoint) differing(apps []appDigest) (names []string) {
	have := map[string]api.Hash{}
	for _, a := range apps {
		have[a.App] = a.Digest
	}
	for _, a := range c.Apps {
		if d, ok := have[a.App]; !ok || d != a.Digest {
			names = append(names, a.App)
		}
		delete(have, a.App)
	}
	for _, a := range apps {
		if _, ok := have[a.App]; ok {
			names = append(names, a.App)
		}
	}
	return names
}

// word is what a witness has found.
type word struct {
	checked
	device api.Key
	at     api.Position
}

// standing counts those of one epoch who have found the digest of the checkpoint, of the epoch with most of them, how many of it are needed, and whether
// those of some epoch are enough. Without any, need is 0.
func (c *checkpoint) standing(words []word) (voices, need int, stands bool) {
	count := map[uint64]int{}
	for _, w := range words {
		if w.Digest != c.Digest || w.Need == 0 {
			continue
		}
		count[w.Epoch]++
		n := count[w.Epoch]
		stands = stands || n >= int(w.Need)
		if n > voices {
			voices, need = n, int(w.Need)
		}
	}
	return voices, need, stands
}
