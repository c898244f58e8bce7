package finality

import (
	"fmt"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// A registrar that has fallen silent is replaced without its help, in two steps that are those of every record: enough witnesses agree, and what they have
// agreed on becomes final.
//
//   - a witness votes for who is to be the next registrar, and with that promises, like in answer to a draft, to hold nothing of the silent one's two
//     feeds beyond what it knows certified;
//   - who is named by enough votes of one ballot writes so, and cuts both feeds at the highest place promised: from there its own go on;
//   - that record takes effect when it is final. A witness that has locked it votes for nobody else, unless a later ballot has shown that it cannot be
//     final; and one that has voted in a later ballot does not lock it any more. So of several rivals one is final at most, and a hung vote is
//     called again.
//
// docs/adr/0021 has the argument.

// vote is a witness's word on the Number-th registrar. It cites the record that gives the office to the one before, and what shows the places certified.
type vote struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Ballot uint64 // from 1
	DID    api.DID
	Device api.Key
	Cuts   fact.Place // of the silent one's feed of cuts
	Space  fact.Place // and of that of admissions
}

// replace is the first record of its feed, by the Number-th registrar. It cites the votes that make it so, and the places.
type replace struct {
	_      struct{} `cbor:",toarray"`
	Number uint64
	Epoch  uint64 // of the witnesses whose votes it cites
	Ballot uint64
	DID    api.DID
	Before api.Key // the device that has fallen silent
	Cuts   fact.Place
	Space  fact.Place
}

func (b *vote) check() error {
	if err := checkSlot(b.Number, b.Ballot, b.DID, b.Cuts, b.Space); err != nil {
		return err
	}
	return record.CheckKey(b.Device)
}

func (b *replace) check() error {
	if err := checkSlot(b.Number, b.Ballot, b.DID, b.Cuts, b.Space); err != nil {
		return err
	}
	return record.CheckKey(b.Before)
}

func checkSlot(number, ballot uint64, did api.DID, cuts, space fact.Place) error {
	switch {
	case number < 2:
		return fmt.Errorf("number %d: the genesis names the first registrar, want 2 or more", number)
	case ballot == 0:
		return fmt.Errorf("ballot 0: want 1 or more")
	}
	if err := checkPlace("cuts", cuts); err != nil {
		return err
	}
	if err := checkPlace("space", space); err != nil {
		return err
	}
	_, err := record.ParseDID(string(did))
	return err
}

// officeFeeds are the feeds that a registrar's device writes for the office: of cuts and of admissions.
func officeFeeds(space api.Hash, device api.Key) [2]api.Hash {
	return [2]api.Hash{
		record.FeedID(api.Topic{Space: space, Name: fact.CutTopic}, device),
		record.FeedID(api.Topic{Space: space, Name: fact.SpaceTopic}, device),
	}
}

func (b *replace) feeds(space api.Hash) [2]api.Hash { return officeFeeds(space, b.Before) }

// registrarBefore finds who was the registrar before the number-th among what a record cites.
func registrarBefore(tx api.Tx, rec *api.Record, number uint64) (o fact.Office, by api.Position, ok bool) {
	for _, d := range rec.Deps {
		if o, ok := fact.OfficeAt(tx, d, fact.Registrar); ok && max(o.Number, 1)+1 == number {
			return o, d, true
		}
	}
	return o, by, false
}

func applyVote(tx api.Tx, rec *api.Record) api.Outcome {
	var b vote
	if err := read(rec.Body, &b); err != nil {
		return malformed(err)
	}
	w, out := speaker(tx, rec)
	if out.Void != nil {
		return out
	}
	before, by, ok := registrarBefore(tx, rec, b.Number)
	if !ok {
		return api.Voided(Domain, "no-such-office", "a vote cites the record that made the registrar before the one it is for")
	}
	if b.Device == before.Device {
		return api.Voided(Domain, "same-device", "a registrar is replaced by another device")
	}
	last := get[fact.Vote](tx.Own(rowVote(b.Number)))
	if b.Ballot <= last.Ballot {
		return withInputs(api.Voided(Domain, "voted", "a witness has one vote in each ballot, and none in an earlier one"), rec.Feed, b.Ballot, last.Ballot)
	}
	feeds := officeFeeds(rec.Topic.Space, before.Device)
	if b.Space.Seq == 0 && by.Feed == feeds[1] {
		return api.Voided(Domain, "not-the-highest", "what founds the space, or gave it this registrar, stands")
	}
	for i, at := range [...]fact.Place{b.Cuts, b.Space} {
		if out := w.promised(tx, rec, &b, feeds[i], at, [...]fact.Place{last.Cuts, last.Space}[i], last.Ballot > 0 && last.Epoch == w.Epoch); out.Void != nil {
			return out
		}
	}
	v := fact.Vote{
		Number: b.Number, Ballot: b.Ballot, DID: b.DID, Device: b.Device, Before: before.Device, Cuts: b.Cuts, Space: b.Space, Epoch: w.Epoch, Need: w.Need,
	}
	tx.Put(rowVote(b.Number), codec.MustMarshal(&v))
	fact.PutVote(tx, v)
	return api.Accepted
}

// promised takes the promise that a vote gives for one of the silent registrar's feeds: the first of an epoch, what is certified; the same again in each
// further ballot. A place at which the office has passed by a hand binds: the vote is for who has it from there.
func (w standing) promised(tx api.Tx, rec *api.Record, b *vote, feed api.Hash, at, last fact.Place, again bool) api.Outcome {
	if at.Seq > 0 && !tx.Within(at.Position(feed)) {
		return withInputs(api.Voided(Domain, "not-cited", "a vote cites the places at which it would end the registrar's feeds"), feed, at.Seq, 0)
	}
	if again {
		if at != last {
			return withInputs(api.Voided(Domain, "vowed", "a witness promises one place in all ballots"), feed, at.Seq, last.Seq)
		}
	} else {
		if out := w.certified(tx, feed, 1, at, fact.Place{}, views(tx, rec)); out.Void != nil {
			return out
		}
		tx.Put(rowVow(feed, w.Epoch), codec.MustMarshal([]vow{{Number: 1, Seq: at.Seq}}))
	}
	if at.Seq == 0 {
		return api.Accepted
	}
	if o, ok := fact.OfficeAt(tx, at.Position(feed), fact.Registrar); ok && o.Number >= b.Number && (o.Device != b.Device || o.DID != b.DID) {
		return withInputs(api.Voided(Domain, "handed-over", "the registrar has handed the office to another"), feed, at.Seq, o.Number)
	}
	return api.Accepted
}

func applyReplace(tx api.Tx, rec *api.Record) api.Outcome {
	var b replace
	if err := read(rec.Body, &b); err != nil {
		return malformed(err)
	}
	if rec.Seq != 1 || b.DID != rec.Author {
		return api.Voided(Domain, "device-used", "who takes an office says so for itself, once with a device")
	}
	voices := 0
	enough := false
	var cuts, space fact.Place
	for _, d := range rec.Deps {
		if h, accepted := tx.Dep(d); !accepted || h.Topic.Name != fact.FinalityTopic {
			continue
		}
		v, ok := fact.VoteAt(tx, d, b.Number)
		if !ok || v.Epoch != b.Epoch || v.Ballot != b.Ballot || v.Device != rec.Device || v.DID != rec.Author || v.Before != b.Before {
			continue
		}
		voices++
		enough = voices >= int(v.Need)
		if v.Cuts.Seq > cuts.Seq {
			cuts = v.Cuts
		}
		if v.Space.Seq > space.Seq {
			space = v.Space
		}
	}
	if !enough {
		return withInputs(api.Voided(Domain, "too-few-votes", "who takes an office cites the votes of enough witnesses, of one ballot"), rec.Feed, b.Number, uint64(voices))
	}
	o := fact.Office{DID: rec.Author, Device: rec.Device, Number: b.Number}
	for i, at := range [...][2]fact.Place{{b.Cuts, cuts}, {b.Space, space}} {
		feed := b.feeds(rec.Topic.Space)[i]
		if at[0] != at[1] {
			return withInputs(api.Voided(Domain, "not-the-highest", "the feeds of the registrar before end at the highest place that is promised"), feed, at[0].Seq, at[1].Seq)
		}
		if at[0].Seq > 0 && !tx.Within(at[0].Position(feed)) {
			return withInputs(api.Voided(Domain, "not-cited", "who takes an office cites the places at which the feeds before end"), feed, at[0].Seq, 0)
		}
		tx.Cut(api.Cut{Feed: feed, At: at[0].Position(feed), Next: rec.Device})
	}
	fact.PutOffice(tx, fact.Registrar, o)
	return api.Accepted
}

// slotOf reads which office a record takes, nil for none.
func slotOf(rec *api.Record) *replace {
	var b replace
	if rec.Topic.Name != fact.OfficeTopic || rec.Kind != kindReplace || read(rec.Body, &b) != nil {
		return nil
	}
	return &b
}

// mayReplace reports whether this witness may sign for who takes an office: it has not voted in a later ballot, and the votes are of its own epoch.
func (v *view) mayReplace(b *replace) bool {
	return b == nil || b.Epoch == v.stand.Epoch && get[fact.Vote](v.mark(rowVote(b.Number))).Ballot <= b.Ballot
}

// passedOver reports whether a record is of a line of registrars beside one for whom this witness has voted.
func (v *view) passedOver(rec *api.Record) bool {
	if rec.Topic.Name != fact.CutTopic && rec.Topic.Name != fact.SpaceTopic {
		return false
	}
	for _, b := range v.Rows(v.own, rowsVote) {
		mine := get[fact.Vote](b, true)
		if o, ok := v.Passed(rec.Feed, mine.Number); ok && o.Device != mine.Device {
			return true
		}
	}
	return false
}

// bound returns who else this witness must vote for as the number-th registrar, after the device before: the one whom it has locked in the highest
// ballot, or one who may have become final in an earlier epoch.
func (v *view) bound(before, device api.Key) (did api.DID, is bool) {
	var top uint64
	for _, c := range v.Cuts(v.Feed(fact.CutTopic, before)) {
		rec, _, ok := v.Record(c.By)
		if !ok {
			continue
		}
		b := slotOf(rec)
		if b == nil {
			continue
		}
		after := func(p api.Position) bool { return !v.Before(c.By, p) }
		if rec.Device != device && !v.past(c.By.Feed, 0, after) {
			return rec.Author, true
		}
		if l, ok := v.Locked(v.own, v.stand.Epoch, c.By.Feed); ok && !after(l.Position(c.By.Feed)) && b.Ballot > top {
			top, did, is = b.Ballot, rec.Author, rec.Device != device
		}
	}
	return did, is
}
