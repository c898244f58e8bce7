package finality

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the domain of this app's verdicts.
const Domain api.Domain = "finality"

// Feed rows of a witness's feed:
//
//	witness              standing: what the genesis or the record that names its epoch says of this device
//	final/<feed><epoch>  mark: last held final
//	lock/<feed><epoch>   mark: last locked
//	vow/<feed><epoch>    []vow: promises that may bind still
//	seal                 fact.Seal: its last one
//	vote/<number>        fact.Vote: its newest on that registrar
//	sealed/<feed><epoch> nothing: it has cited the seal of the witness who states in that feed, in its epoch
//	check/<id>           checked: to what state it has found the records of the checkpoint with that id to come
//
// and of the registrar's feed:
//
//	registrar      nothing: this device is; or fact.Office: who is after a handover
//	epoch          number of the newest epoch it has named, 8 bytes
//	draft/<feed>   draft body: the cut that is on its way
//	cut/<feed>     number of the newest cut, 8 bytes
//	checkpoint     number of the newest checkpoint, 8 bytes
//	checkpoint/<number> checkpoint body
var (
	rowWitness   = []byte("witness")
	rowRegistrar = []byte("registrar")
	rowsDraft    = []byte("draft/")
	rowsVow      = []byte("vow/")
	rowsVote     = []byte("vote/")
	rowSeal      = []byte("seal")
	rowEpoch     = []byte("epoch")
)

func rowFinal(feed api.Hash, epoch uint64) []byte { return inEpoch([]byte("final/"), feed, epoch) }
func rowLock(feed api.Hash, epoch uint64) []byte  { return inEpoch([]byte("lock/"), feed, epoch) }
func rowVow(feed api.Hash, epoch uint64) []byte   { return inEpoch(rowsVow, feed, epoch) }
func rowVote(number uint64) []byte                { return append(bytes.Clone(rowsVote), api.Seq8(number)...) }

func inEpoch(row []byte, feed api.Hash, epoch uint64) []byte {
	return append(append(bytes.Clone(row), feed[:]...), api.Seq8(epoch)...)
}

// splitEpoch takes a row of inEpoch apart.
func splitEpoch(row, k []byte) (feed api.Hash, epoch uint64, ok bool) {
	if len(k) != len(row)+len(feed)+8 {
		return feed, 0, false
	}
	rest := k[len(row):]
	return api.Hash(rest[:len(feed)]), binary.BigEndian.Uint64(rest[len(feed):]), true
}

func rowSealed(feed api.Hash, epoch uint64) []byte { return inEpoch([]byte("sealed/"), feed, epoch) }

func rowDraft(feed api.Hash) []byte { return append(bytes.Clone(rowsDraft), feed[:]...) }
func rowCut(feed api.Hash) []byte   { return append([]byte("cut/"), feed[:]...) }

type standing struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64
	Need  uint16
}

type mark struct {
	_        struct{} `cbor:",toarray"`
	Seq      uint64
	ID       api.Hash
	Accepted bool
	Cut      uint64
	Need     uint16 // witnesses of that epoch that must say so
}

func (m mark) fact(epoch uint64) fact.Final {
	return fact.Final{Seq: m.Seq, ID: m.ID, Accepted: m.Accepted, Cut: m.Cut, Epoch: epoch, Need: m.Need}
}

type vow struct {
	_      struct{} `cbor:",toarray"`
	Number uint64   // of the cut that ends it
	Seq    uint64   // nothing beyond is held final
}

// forbids returns the vow, if any, that keeps a witness from holding it.
func forbids(vows []vow, it *item) (vow, bool) {
	for _, v := range vows {
		if it.Cut < v.Number && it.Seq > v.Seq {
			return v, true
		}
	}
	return vow{}, false
}

// ahead reports whether it goes beyond m: further along, or with more cuts in account, which may go back.
func (it *item) ahead(m mark) bool {
	return it.Cut > m.Cut || it.Cut == m.Cut && it.Seq > m.Seq
}

// Apply implements api.Applier.
func (*App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Topic.Name + " " + rec.Kind {
	case fact.FinalityTopic + " " + kindStatement:
		return applyStatement(tx, rec)
	case fact.FinalityTopic + " " + kindPromise:
		return applyPromise(tx, rec)
	case fact.FinalityTopic + " " + kindSeal:
		return applySeal(tx, rec)
	case fact.FinalityTopic + " " + kindStart:
		return applyStart(tx, rec)
	case fact.FinalityTopic + " " + kindCheck:
		return applyCheck(tx, rec)
	case fact.CutTopic + " " + kindCheckpoint:
		return applyCheckpoint(tx, rec)
	case fact.FinalityTopic + " " + kindVote:
		return applyVote(tx, rec)
	case fact.OfficeTopic + " " + kindReplace:
		return applyReplace(tx, rec)
	case fact.CutTopic + " " + kindEpoch:
		return applyEpoch(tx, rec)
	case fact.CutTopic + " " + kindDraft:
		return applyDraft(tx, rec)
	case fact.CutTopic + " " + kindCut:
		return applyCut(tx, rec)
	case fact.CutTopic + " " + kindHand:
		return applyHand(tx, rec)
	}
	return api.Voided(Domain, "unknown-kind", "no record of kind "+rec.Kind+" belongs in topic "+rec.Topic.Name)
}

func malformed(err error) api.Outcome { return api.Voided(Domain, "malformed", err.Error()) }

var (
	notWitness   = api.Voided(Domain, "not-a-witness", "only the space's witnesses speak here, and a witness's first record cites the genesis or the record that names it")
	sealed       = api.Voided(Domain, "sealed", "the witness has made room for those who follow, and says nothing more in its epoch")
	notRegistrar = api.Voided(Domain, "not-registrar", "only the registrar's device cuts feeds, and its first record here cites the genesis")
)

func applyStatement(tx api.Tx, rec *api.Record) api.Outcome {
	s, err := decode(rec.Body)
	if err != nil {
		return malformed(err)
	}
	w, out := speaker(tx, rec)
	if out.Void != nil {
		return out
	}
	for i := range s.Final {
		it := &s.Final[i]
		if v, ok := forbids(get[[]vow](tx.Own(rowVow(it.Feed, w.Epoch))), it); ok {
			return withInputs(api.Voided(Domain, "vowed", "the witness has promised to hold nothing beyond until the feed is cut"), it.Feed, it.Seq, v.Seq)
		}
		if out := w.advance(tx, rec, it, rowFinal(it.Feed, w.Epoch)); out.Void != nil {
			return out
		}
		f := w.fact(it)
		fact.PutFinal(tx, it.Feed, f)
		tx.Final(it.position(), f.Support())
	}
	for i := range s.Locks {
		it := &s.Locks[i]
		if out := w.advance(tx, rec, it, rowLock(it.Feed, w.Epoch)); out.Void != nil {
			return out
		}
		fact.PutLock(tx, it.Feed, w.fact(it))
	}
	return api.Accepted
}

func withInputs(out api.Outcome, feed api.Hash, seq, last uint64) api.Outcome {
	v := *out.Void
	v.Inputs = map[string]string{"feed": feed.String(), "seq": strconv.FormatUint(seq, 10), "last": strconv.FormatUint(last, 10)}
	return api.Outcome{Void: &v}
}

func (w standing) fact(it *item) fact.Final {
	return fact.Final{Seq: it.Seq, ID: it.ID, Accepted: it.Accepted, Cut: it.Cut, Epoch: w.Epoch, Need: w.Need}
}

// advance notes an item under row if it goes beyond what was said there before.
func (w standing) advance(tx api.Tx, rec *api.Record, it *item, row []byte) api.Outcome {
	if it.Feed == rec.Feed {
		return api.Voided(Domain, "own-feed", "a witness does not state its own feed final")
	}
	last := get[mark](tx.Own(row))
	if !it.ahead(last) {
		return withInputs(api.Voided(Domain, "not-ahead", "a statement goes beyond what was stated before, for each of its feeds"), it.Feed, it.Seq, last.Seq)
	}
	tx.Put(row, codec.MustMarshal(&mark{Seq: it.Seq, ID: it.ID, Accepted: it.Accepted, Cut: it.Cut, Need: w.Need}))
	return api.Accepted
}

// witness returns in which epoch rec's device speaks: that of the genesis until it has started in a later one.
func witness(tx api.Tx, rec *api.Record) (w standing, ok bool) {
	if b, ok := tx.Own(rowWitness); ok {
		return get[standing](b, true), true
	}
	for _, d := range rec.Deps {
		g, ok := fact.GenesisAt(tx, d)
		if !ok {
			continue
		}
		if f, ok := fact.WitnessAt(tx, d, rec.Device); ok {
			w = standing{Epoch: f.Epoch, Need: max(1, g.Threshold)}
			tx.Put(rowWitness, codec.MustMarshal(&w))
			return w, true
		}
	}
	return w, false
}

// speaker is witness for what only those say who have not sealed. Its outcome is void when rec's device has no say, or none any more.
func speaker(tx api.Tx, rec *api.Record) (standing, api.Outcome) {
	w, ok := witness(tx, rec)
	switch {
	case !ok:
		return w, notWitness
	case w.sealed(tx):
		return w, sealed
	}
	return w, api.Accepted
}

// views lists the witnesses' records that rec cites.
func views(tx api.Tx, rec *api.Record) (ps []api.Position) {
	for _, d := range rec.Deps {
		if h, accepted := tx.Dep(d); accepted && h.Topic.Name == fact.FinalityTopic {
			ps = append(ps, d)
		}
	}
	return ps
}

// get decodes a row that this app wrote; what is absent is the zero value.
func get[T any](b []byte, ok bool) (v T) {
	if ok && codec.Unmarshal(b, &v) != nil {
		panic("finality: a row does not decode: the store is damaged")
	}
	return v
}

// applyPromise takes a witness's answer to a draft. What it promises is the highest position that it knows certified: for a lone witness what it
// has stated, for several what enough have locked, as the cited statements show. Only so can a liar among them not push the cut up.
func applyPromise(tx api.Tx, rec *api.Record) api.Outcome {
	var p promise
	if err := read(rec.Body, &p); err != nil {
		return malformed(err)
	}
	w, out := speaker(tx, rec)
	if out.Void != nil {
		return out
	}
	vows := get[[]vow](tx.Own(rowVow(p.Feed, w.Epoch)))
	if n := len(vows); n > 0 && p.Number <= vows[n-1].Number {
		return withInputs(api.Voided(Domain, "promised", "the witness has answered this draft or a later one"), p.Feed, p.Number, vows[n-1].Number)
	}
	var last fact.Cut // the cut before
	drafted := false
	for _, d := range rec.Deps {
		if a, ok := fact.DraftAt(tx, d, p.Feed); ok && a.Number == p.Number {
			drafted = true
			last, _ = fact.CutAt(tx, d, p.Feed)
		}
	}
	if !drafted {
		return api.Voided(Domain, "no-draft", "a promise cites the draft that it answers")
	}
	if out := w.certified(tx, p.Feed, p.Number, p.At, last.At, views(tx, rec)); out.Void != nil {
		return out
	}
	held, locked := get[mark](tx.Own(rowFinal(p.Feed, w.Epoch))), get[mark](tx.Own(rowLock(p.Feed, w.Epoch)))
	known := max(held.Cut, locked.Cut) // a vow ends with the cut that it was made for
	vows = slices.DeleteFunc(vows, func(v vow) bool { return v.Number <= known })
	if len(vows) >= maxVows {
		return withInputs(api.Voided(Domain, "too-many-vows", "so many cuts of the feed are under way already"), p.Feed, p.Number, known)
	}
	tx.Put(rowVow(p.Feed, w.Epoch), codec.MustMarshal(append(vows, vow{Number: p.Number, Seq: p.At.Seq})))
	fact.PutPromise(tx, p.Feed, fact.Promise{Number: p.Number, At: p.At, Epoch: w.Epoch, Need: w.Need})
	return api.Accepted
}

// certified checks that at is what the witness has to promise of a feed for the number-th cut of it, where the cut before has left it at last: the highest
// place that its own words and those cited at views show certified.
func (w standing) certified(tx api.Tx, feed api.Hash, number uint64, at, last fact.Place, views []api.Position) api.Outcome {
	held := get[mark](tx.Own(rowFinal(feed, w.Epoch)))
	switch {
	case at.Seq < held.Seq:
		return withInputs(api.Voided(Domain, "not-the-highest", "the witness has held more than this final"), feed, at.Seq, held.Seq)
	case at.Seq < last.Seq:
		return withInputs(api.Voided(Domain, "not-the-highest", "an earlier cut left more than this"), feed, at.Seq, last.Seq)
	case at == last: // nothing beyond is certified, and so much stands for certain
	case w.Need == 1:
		if at != (fact.Place{Seq: held.Seq, ID: held.ID}) {
			return withInputs(api.Voided(Domain, "not-the-highest", "a lone witness promises what it has stated"), feed, at.Seq, held.Seq)
		}
	default:
		var said []fact.Final
		shows := func(f fact.Final) bool { return f.Seq > 0 && f.Cut+1 == number && tx.Within(f.Position(feed)) }
		for e := range w.Epoch + 1 { // what an earlier epoch has certified binds still
			if f, ok := voice(shows, get[mark](tx.Own(rowLock(feed, e))).fact(e), get[mark](tx.Own(rowFinal(feed, e))).fact(e)); ok {
				said = append(said, f)
			}
			for _, v := range views {
				lock, _ := fact.LockAt(tx, v, e, feed)
				held, _ := fact.FinalAt(tx, v, e, feed)
				if f, ok := voice(shows, lock, held); ok {
					said = append(said, f)
				}
			}
		}
		if f, ok := fact.Supported(said); !ok || f.Seq != at.Seq || f.ID != at.ID {
			return withInputs(api.Voided(Domain, "not-certified", "the cited statements do not show that enough witnesses have locked this position"), feed, at.Seq, f.Seq)
		}
	}
	return api.Accepted
}

// voice returns what a witness says for one branch: the further of what it has locked and what it has held, as far as that shows. Whoever holds has
// seen enough locks, so to hold counts like a lock; and of those who have locked several branches of a fork, it is all that can be cited beside one.
func voice(shows func(fact.Final) bool, lock, held fact.Final) (f fact.Final, ok bool) {
	if shows(lock) {
		f, ok = lock, true
	}
	if shows(held) && held.Seq > f.Seq {
		f, ok = held, true
	}
	return f, ok
}

// maxVows bounds how many cuts of one feed may wait to become final.
const maxVows = 16

func applyDraft(tx api.Tx, rec *api.Record) api.Outcome {
	var d draft
	if err := read(rec.Body, &d); err != nil {
		return malformed(err)
	}
	if _, ok := registrar(tx, rec); !ok {
		return notRegistrar
	}
	feed := d.Target.feed(rec.Topic.Space)
	if last := fact.Number(tx.Own(rowCut(feed))); d.Number != last+1 {
		return withInputs(api.Voided(Domain, "out-of-order", "the cuts of a feed are numbered without gaps"), feed, d.Number, last)
	}
	newest := get[draft](tx.Own(rowDraft(feed)))
	if newest.Number == d.Number {
		return withInputs(api.Voided(Domain, "draft-exists", "this cut has been announced"), feed, d.Number, newest.Number)
	}
	if newest.passesOn() { // a later cut would leave two who go on, or nobody
		return withInputs(api.Voided(Domain, "feed-ended", "the feed has ended for good: another device goes on"), feed, d.Number, newest.Number)
	}
	for _, why := range d.Causes {
		if !tx.Within(why.Position()) {
			return withInputs(api.Voided(Domain, "not-cited", "a draft cites the causes of the cut"), why.Feed, why.Seq, 0)
		}
	}
	tx.Put(rowDraft(feed), rec.Body)
	fact.PutDraft(tx, feed, fact.Draft{Number: d.Number, Adopt: d.Adopt})
	return api.Accepted
}

// applyCut takes a cut: at the highest position that enough witnesses promise, or on the branch that its draft adopts, if that lies beyond.
func applyCut(tx api.Tx, rec *api.Record) api.Outcome {
	var c cut
	if err := read(rec.Body, &c); err != nil {
		return malformed(err)
	}
	if _, ok := registrar(tx, rec); !ok {
		return notRegistrar
	}
	feed := c.Target.feed(rec.Topic.Space)
	open := get[draft](tx.Own(rowDraft(feed)))
	if open.Number != c.Number || fact.Number(tx.Own(rowCut(feed))) >= c.Number {
		return withInputs(api.Voided(Domain, "no-draft", "a cut is announced by a draft of its number"), feed, c.Number, open.Number)
	}
	voices := map[uint64]int{}
	var most fact.Place
	enough := false
	named := fact.Number(tx.Own(rowEpoch))
	for _, d := range rec.Deps {
		p, ok := fact.PromiseAt(tx, d, feed)
		if !ok || p.Number != c.Number || p.Epoch < named { // a vow does not bind those who follow
			continue
		}
		voices[p.Epoch]++
		enough = enough || voices[p.Epoch] >= int(p.Need)
		if p.At.Seq > most.Seq {
			most = p.At
		}
	}
	if !enough {
		return withInputs(api.Voided(Domain, "too-few-promises", "a cut cites the promises of enough witnesses"), feed, c.Number, open.Number)
	}
	at := c.At.Position(feed)
	if c.At.Seq > 0 && !tx.Within(at) {
		return withInputs(api.Voided(Domain, "not-cited", "a cut cites the position at which it ends the feed"), feed, c.At.Seq, most.Seq)
	}
	switch {
	case c.At == most:
	case c.At != open.Adopt || c.At.Seq < most.Seq || most.Seq > 0 && !tx.Within(most.Position(feed)):
		return withInputs(api.Voided(Domain, "not-the-highest", "a cut ends a feed at the highest position that is promised, or on the branch that its draft adopts"), feed, c.At.Seq, most.Seq)
	}
	tx.Put(rowCut(feed), api.Seq8(c.Number))
	tx.Cut(api.Cut{Feed: feed, At: at, Next: open.Next})
	fact.PutCut(tx, feed, fact.Cut{Number: c.Number, At: c.At, Next: open.Next, Causes: open.Causes})
	return api.Accepted
}
