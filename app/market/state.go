package market

import (
	"encoding/binary"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the domain that this app's oracle answers for.
const Domain api.Domain = "market"

// Feed rows:
//
//	member          nothing: the author has shown to be a member, by this device
//	ads             ads of this feed that stand, 8 bytes
//	said            reports of this feed, 8 bytes
//	ad/<id>         standing: an ad of this feed's author
//	report/<ad>     said: this author's report of an ad
//	act/<id>        done: a hide or an unhide by this author
//	acted/<ad><act> nothing: this author has acted on the ad, after that act
var (
	rowMember = []byte("member")
	rowAds    = []byte("ads")
	rowSaid   = []byte("said")
	rowsAd    = []byte("ad/")
	rowsRep   = []byte("report/")
	rowsAct   = []byte("act/")
)

func rowAd(id api.Hash) []byte     { return append([]byte("ad/"), id[:]...) }
func rowReport(ad api.Hash) []byte { return append([]byte("report/"), ad[:]...) }
func rowAct(id api.Hash) []byte    { return append([]byte("act/"), id[:]...) }
func rowActed(ad, after api.Hash) []byte {
	return append(append([]byte("acted/"), ad[:]...), after[:]...)
}

// standing is an ad as its author last said it.
type standing struct {
	_       struct{} `cbor:",toarray"`
	Posted  int64    // Unix milliseconds, by the author's clock
	Changed int64
	Edits   uint64
	Gone    bool   // withdrawn: the ad is empty
	Why     string // it was withdrawn
	Ad      ad
}

// said is a report.
type said struct {
	_      struct{} `cbor:",toarray"`
	ID     api.Hash // of the record
	Time   int64    // Unix milliseconds, by the author's clock
	Author api.DID  // of the ad
	Reason string
}

// done is an act of a moderator.
type done struct {
	_      struct{} `cbor:",toarray"`
	Ad     api.Hash
	After  api.Hash
	Hide   bool
	Time   int64 // Unix milliseconds, by the moderator's clock
	Office string
	Author api.DID // of the ad
	Reason string
}

// Bounds of one feed, and so of what one member can make every node keep in memory and show.
const (
	maxAds     = 100 // standing
	maxReports = 256
)

// Apply implements api.Applier.
func (*App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case kindPost:
		return applyPost(tx, rec)
	case kindEdit:
		return applyEdit(tx, rec)
	case kindWithdraw:
		return applyWithdraw(tx, rec)
	case kindReport:
		return applyReport(tx, rec)
	case kindHide, kindUnhide:
		return applyAct(tx, rec)
	case fact.KindClose:
		return fact.Close(tx, rec, Domain)
	}
	return api.Voided(Domain, "unknown-kind", "no record of kind "+rec.Kind+" belongs in topic "+rec.Topic.Name)
}

func malformed(err error) api.Outcome { return api.Voided(Domain, "malformed", err.Error()) }

var (
	notMember = api.Voided(Domain, "not-a-member", "only members of the space write in its market, and the first record of a feed cites what shows it")
	notOffice = api.Voided(Domain, "not-a-moderator", "only the registrar's or the clerk's device hides ads and shows them again, and cites what shows the office")
	noSuchAd  = api.Voided(Domain, "no-such-ad", "no such ad stands in what this record cites")
	notOwnAd  = api.Voided(Domain, "not-own-ad", "only the author edits or withdraws an ad, and only while it stands")
	tooMany   = api.Voided(Domain, "too-many", "this author has as many ads as may stand, or has reported as often as one may")
)

// shows reports whether a cited record may show who is a member or holds an office.
func shows(tx api.Tx, d api.Position) bool {
	r, _ := tx.Dep(d)
	return r.Topic.Name == fact.SpaceTopic || r.Topic.Name == fact.OfficeTopic
}

// isMember reports whether the author has shown to be a member by this device, by this record's citations or by an earlier one's.
func isMember(tx api.Tx, rec *api.Record) bool {
	if v, ok := tx.Own(rowMember); ok && len(v) == len(rec.Device) && api.Key(v) == rec.Device {
		return true
	}
	for _, d := range rec.Deps {
		if !shows(tx, d) {
			continue
		}
		if m, ok := fact.MemberAt(tx, d, rec.Author); ok && m.Device == rec.Device {
			tx.Put(rowMember, rec.Device[:])
			return true
		}
	}
	return false
}

// office returns the moderating office that a citation shows the author to hold. Every act shows it anew.
func office(tx api.Tx, rec *api.Record) string {
	for _, d := range rec.Deps {
		if !shows(tx, d) {
			continue
		}
		for _, name := range moderators() {
			if o, ok := fact.OfficeAt(tx, d, name); ok && o.DID == rec.Author && o.Device == rec.Device {
				return name
			}
		}
	}
	return ""
}

// moderators lists the offices that hide ads.
func moderators() []string { return []string{fact.Registrar, fact.Clerk} }

func count(tx api.Tx, row []byte) uint64 {
	if b, ok := tx.Own(row); ok && len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func applyPost(tx api.Tx, rec *api.Record) api.Outcome {
	var a ad
	if err := decode(rec.Body, &a); err != nil {
		return malformed(err)
	}
	if !isMember(tx, rec) {
		return notMember
	}
	n := count(tx, rowAds)
	if n >= maxAds {
		return tooMany
	}
	tx.Put(rowAds, api.Seq8(n+1))
	now := rec.Time.Millis()
	tx.Put(rowAd(rec.ID), codec.MustMarshal(&standing{Posted: now, Changed: now, Ad: a}))
	return api.Accepted
}

// ownAd returns an ad of the author that stands.
func ownAd(tx api.Tx, id api.Hash) (s standing, ok bool) {
	b, ok := tx.Own(rowAd(id))
	return s, ok && codec.Unmarshal(b, &s) == nil && !s.Gone
}

func applyEdit(tx api.Tx, rec *api.Record) api.Outcome {
	var e edit
	if err := decode(rec.Body, &e); err != nil {
		return malformed(err)
	}
	if !isMember(tx, rec) {
		return notMember
	}
	s, ok := ownAd(tx, e.Ad)
	if !ok {
		return notOwnAd
	}
	s.Ad, s.Changed = e.New, rec.Time.Millis()
	s.Edits++
	tx.Put(rowAd(e.Ad), codec.MustMarshal(&s))
	return api.Accepted
}

func applyWithdraw(tx api.Tx, rec *api.Record) api.Outcome {
	var w withdraw
	if err := decode(rec.Body, &w); err != nil {
		return malformed(err)
	}
	if !isMember(tx, rec) {
		return notMember
	}
	s, ok := ownAd(tx, w.Ad)
	if !ok {
		return notOwnAd
	}
	s = standing{Posted: s.Posted, Changed: rec.Time.Millis(), Edits: s.Edits, Gone: true, Why: w.Reason, Ad: ad{Side: s.Ad.Side, Images: []api.Hash{}}}
	tx.Put(rowAd(w.Ad), codec.MustMarshal(&s))
	tx.Put(rowAds, api.Seq8(max(count(tx, rowAds), 1)-1))
	return api.Accepted
}

// citedAd returns the author of an ad that stands at a record of this topic that rec cites, or in rec's own feed.
func citedAd(tx api.Tx, rec *api.Record, id api.Hash) (api.DID, bool) {
	if _, ok := ownAd(tx, id); ok {
		return rec.Author, true
	}
	for _, d := range rec.Deps {
		r, _ := tx.Dep(d)
		if r.Topic != rec.Topic {
			continue
		}
		var s standing
		if b, ok := tx.At(d, rowAd(id)); ok && codec.Unmarshal(b, &s) == nil && !s.Gone {
			return r.Author, true
		}
	}
	return "", false
}

func applyReport(tx api.Tx, rec *api.Record) api.Outcome {
	var r report
	if err := decode(rec.Body, &r); err != nil {
		return malformed(err)
	}
	if !isMember(tx, rec) {
		return notMember
	}
	author, ok := citedAd(tx, rec, r.Ad)
	switch {
	case !ok:
		return noSuchAd
	case author == rec.Author:
		return api.Voided(Domain, "own-ad", "nobody reports an ad of one's own: withdraw it")
	}
	if _, ok := tx.Own(rowReport(r.Ad)); ok {
		return api.Voided(Domain, "reported-before", "this author has reported this ad before")
	}
	n := count(tx, rowSaid)
	if n >= maxReports {
		return tooMany
	}
	tx.Put(rowSaid, api.Seq8(n+1))
	tx.Put(rowReport(r.Ad), codec.MustMarshal(&said{ID: rec.ID, Time: rec.Time.Millis(), Author: author, Reason: r.Reason}))
	return api.Accepted
}

// citedAct returns an act that rec cites, or one of its own feed.
func citedAct(tx api.Tx, rec *api.Record, id api.Hash) (x done, ok bool) {
	b, ok := tx.Own(rowAct(id))
	for i := 0; !ok && i < len(rec.Deps); i++ {
		if r, _ := tx.Dep(rec.Deps[i]); r.Topic == rec.Topic {
			b, ok = tx.At(rec.Deps[i], rowAct(id))
		}
	}
	return x, ok && codec.Unmarshal(b, &x) == nil
}

func applyAct(tx api.Tx, rec *api.Record) api.Outcome {
	var a act
	if err := decode(rec.Body, &a); err != nil {
		return malformed(err)
	}
	in := office(tx, rec)
	if in == "" {
		return notOffice
	}
	x := done{Ad: a.Ad, After: a.After, Hide: rec.Kind == kindHide, Time: rec.Time.Millis(), Office: in, Reason: a.Reason}
	if a.After.IsZero() {
		author, ok := citedAd(tx, rec, a.Ad)
		if !ok {
			return noSuchAd
		}
		x.Author = author
	} else {
		before, ok := citedAct(tx, rec, a.After)
		if !ok || before.Ad != a.Ad {
			return api.Voided(Domain, "no-such-act", "an act cites the one on the same ad that it follows on")
		}
		x.Author = before.Author
		if before.Hide == x.Hide {
			return nothingToDo
		}
	}
	if a.After.IsZero() && !x.Hide {
		return nothingToDo
	}
	if _, ok := tx.Own(rowActed(a.Ad, a.After)); ok {
		return api.Voided(Domain, "acted-before", "this moderator has acted on the ad at this point before")
	}
	tx.Put(rowActed(a.Ad, a.After), nil)
	tx.Put(rowAct(rec.ID), codec.MustMarshal(&x))
	return api.Accepted
}

var nothingToDo = api.Voided(Domain, "nothing-to-do", "a hidden ad is not hidden again, and one that is shown is not shown again")
