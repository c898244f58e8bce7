package finality

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Record kinds: of topic finality, by witnesses, of topic cuts, by the registrar, and of topic offices, by who takes the place of a silent one.
const (
	kindStatement = "statement" // what a witness locks and what it holds final
	kindPromise   = "promise"   // up to where a witness has seen a feed certified, and that it holds nothing beyond until that is cut
	kindSeal      = "seal"      // a witness says nothing more in its epoch
	kindStart     = "start"     // a witness speaks in an epoch for which enough of those before have sealed
	kindVote      = "vote"      // a witness agrees that somebody takes the place of a silent registrar
	kindReplace   = "replace"   // somebody does
	kindDraft     = "draft"     // a cut is on its way
	kindCut       = "cut"       // where a feed ends
	kindHand      = "hand"      // the next registrar goes on from here
	kindEpoch     = "epoch"     // who the next witnesses are to be

	kindCheckpoint = "checkpoint" // to what state records come that are final: by the registrar
	kindCheck      = "check"      // to what state a witness has found them to come
)

// maxCauses bounds what a cut names as its reasons.
const maxCauses = 16

// maxItems bounds a statement, so that its record stays below 24 KiB.
const maxItems = 256

// statement is a record's body: 1 to maxItems items, in each list ascending by feed.
type statement struct {
	_     struct{} `cbor:",toarray"`
	Final []item   // up to here the witness holds the feed final; a lone witness's word is enough
	Locks []item   // up to here the witness signs for no other branch; several witnesses lock before they hold
}

// item names a position of a feed, and with it all before it.
type item struct {
	_        struct{} `cbor:",toarray"`
	Feed     api.Hash
	Seq      uint64
	ID       api.Hash
	Accepted bool   // the verdict there
	Cut      uint64 // how many cuts of the feed are final for the witness: it fixes the verdicts on the way
}

func (it *item) position() api.Position {
	return api.Position{Feed: it.Feed, Seq: it.Seq, ID: it.ID}
}

func decode(b []byte) (*statement, error) {
	var s statement
	if err := codec.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	if n := len(s.Final) + len(s.Locks); n == 0 || n > maxItems {
		return nil, fmt.Errorf("%d items: want 1 to %d", n, maxItems)
	}
	for _, items := range [...][]item{s.Final, s.Locks} {
		for i := range items {
			it := &items[i]
			switch {
			case i > 0 && items[i-1].Feed.Compare(it.Feed) >= 0:
				return nil, fmt.Errorf("item %d: want strictly ascending order of feed", i)
			case it.Seq == 0 || it.ID.IsZero():
				return nil, fmt.Errorf("item %d: want a seq from 1 and an id", i)
			}
		}
	}
	return &s, nil
}

// promise is a witness's answer to a draft, which it cites, with the position if there is one and the locks that certify it.
type promise struct {
	_      struct{} `cbor:",toarray"`
	Feed   api.Hash
	Number uint64
	At     fact.Place
}

// target is a feed by what it is made of, since it may not be here.
type target struct {
	_      struct{} `cbor:",toarray"`
	Topic  string
	Device api.Key
}

func (t *target) feed(space api.Hash) api.Hash {
	return record.FeedID(api.Topic{Space: space, Name: t.Topic}, t.Device)
}

// draft announces the Number-th cut of a feed: which branch of a fork it is to choose, which device goes on, and why. It cites the causes.
type draft struct {
	_      struct{} `cbor:",toarray"`
	Target target
	Number uint64
	Adopt  fact.Place // zero: none
	Next   api.Key    // zero: the feed itself
	Causes []fact.Cause
}

// cut ends a feed as its draft has announced. It cites enough promises, and the position.
type cut struct {
	_      struct{} `cbor:",toarray"`
	Target target
	Number uint64
	At     fact.Place
}

// epoch names the witnesses of the Number-th epoch; the genesis names those of epoch 0. From the second on it cites the starts of enough witnesses of
// the epoch before.
type epoch struct {
	_         struct{} `cbor:",toarray"`
	Number    uint64
	Witnesses []api.Key // ascending
	Threshold uint16
	Faulty    uint16
}

// turn is the body of a seal and of a start. A seal cites the record that names epoch Number, and where its witness has read the others; a start cites
// the same record and enough seals.
type turn struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
}

// newEpoch builds an epoch of witnesses in any order.
func newEpoch(number uint64, witnesses []api.Key, threshold, faulty int) *epoch {
	ws := slices.SortedFunc(slices.Values(witnesses), func(a, b api.Key) int { return bytes.Compare(a[:], b[:]) })
	return &epoch{Number: number, Witnesses: ws, Threshold: uint16(threshold), Faulty: uint16(faulty)}
}

func (e *epoch) check() error {
	if e.Number == 0 {
		return fmt.Errorf("number 0: want 1 or more")
	}
	if err := fact.CheckQuorum(len(e.Witnesses), int(e.Threshold), int(e.Faulty)); err != nil {
		return err
	}
	return fact.CheckWitnesses(e.Witnesses)
}

func (t *turn) check() error {
	if t.Number == 0 {
		return fmt.Errorf("number 0: want 1 or more")
	}
	return nil
}

func (t *target) check() error {
	if t.Topic == fact.FinalityTopic || t.Topic == fact.CutTopic || t.Topic == fact.SpaceTopic || t.Topic == fact.OfficeTopic {
		// A witness's word decides when a cut counts: a cut of it could undo itself. And an office does not end by its own word.
		return fmt.Errorf("topic %q: its feeds are not cut", t.Topic)
	}
	if t.Topic == "" || len(t.Topic) > record.MaxName {
		return fmt.Errorf("topic of %d bytes: want 1 to %d", len(t.Topic), record.MaxName)
	}
	return record.CheckKey(t.Device)
}

func checkPlace(what string, p fact.Place) error {
	if (p.Seq == 0) != p.ID.IsZero() {
		return fmt.Errorf("%s: want a seq from 1 with an id, or neither", what)
	}
	return nil
}

func (p *promise) check() error {
	if p.Number == 0 {
		return fmt.Errorf("number 0: want 1 or more")
	}
	return checkPlace("at", p.At)
}

// passesOn reports whether another device goes on from the feed. For good: unlike where nobody does, no later cut says otherwise.
func (d *draft) passesOn() bool { return d.Next != (api.Key{}) && d.Next != d.Target.Device }

func (d *draft) check() error {
	switch {
	case d.Number == 0:
		return fmt.Errorf("number 0: want 1 or more")
	case len(d.Causes) > maxCauses:
		return fmt.Errorf("%d causes: at most %d", len(d.Causes), maxCauses)
	case d.Next != (api.Key{}):
		if err := record.CheckKey(d.Next); err != nil {
			return fmt.Errorf("next: %w", err)
		}
	}
	if err := checkPlace("adopt", d.Adopt); err != nil {
		return err
	}
	return d.Target.check()
}

func (c *cut) check() error {
	if c.Number == 0 {
		return fmt.Errorf("number 0: want 1 or more")
	}
	if err := checkPlace("at", c.At); err != nil {
		return err
	}
	return c.Target.check()
}

// read decodes and checks a body.
func read[T interface{ check() error }](b []byte, v T) error {
	if err := codec.Unmarshal(b, v); err != nil {
		return err
	}
	return v.check()
}
