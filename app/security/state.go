package security

import (
	"encoding/binary"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the domain that this app's oracle answers for.
const Domain api.Domain = "security"

// Feed rows:
//
//	standing        what the author has shown to be: bits member and officer
//	fork/<feed>     nothing: reported by this feed
//	count           reports and appeals of this feed, 8 bytes
//	appeal/<seq>    whom the appeal at seq is about
var (
	rowStanding = []byte("standing")
	rowCount    = []byte("count")
)

func rowFork(feed api.Hash) []byte { return append([]byte("fork/"), feed[:]...) }
func rowAppeal(seq uint64) []byte  { return append([]byte("appeal/"), api.Seq8(seq)...) }
func indexCase(s api.Hash) []byte  { return append([]byte("case/"), s[:]...) }

// Query rows: case/<space><time><feed><seq> -> case, newest last.
func caseKey(rec *api.Record) []byte {
	k := append(indexCase(rec.Topic.Space), api.Seq8(uint64(rec.Time))...)
	return append(append(k, rec.Feed[:]...), api.Seq8(rec.Seq)...)
}

// entry is a row of the list of cases.
type entry struct {
	_       struct{} `cbor:",toarray"`
	Kind    string
	By      api.DID
	Subject api.DID
	Text    string
	Time    int64      // Unix milliseconds, by the author's clock
	At      api.Hash   // id of the record
	Feed    api.Hash   // of a report: the forked feed
	Topic   string     // of a report
	Seq     uint64     // of a report: the forked place
	IDs     []api.Hash // of a report: the two records
	Appeal  api.Hash   // of a pardon: the appeal that it answers; zero for none
}

// maxCases bounds the reports and appeals of one feed, and so what one member can make every other keep.
const maxCases = 256

const (
	member  byte = 1
	officer byte = 2
)

// Apply implements api.Applier.
func (*App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case kindReport:
		return applyReport(tx, rec)
	case kindAppeal:
		return applyAppeal(tx, rec)
	case kindPardon:
		return applyPardon(tx, rec)
	case fact.KindClose:
		return fact.Close(tx, rec, Domain)
	}
	return api.Voided(Domain, "unknown-kind", "no record of kind "+rec.Kind+" belongs in topic "+rec.Topic.Name)
}

// standing returns what the author has shown to be, by this record's citations or an earlier one's. Only records of the topics of members and of offices show it.
func standing(tx api.Tx, rec *api.Record) byte {
	var had byte
	if b, ok := tx.Own(rowStanding); ok && len(b) == 1 {
		had = b[0]
	}
	now := had
	for _, d := range rec.Deps {
		if r, _ := tx.Dep(d); r.Topic.Name != fact.SpaceTopic && r.Topic.Name != fact.OfficeTopic {
			continue
		}
		if m, ok := fact.MemberAt(tx, d, rec.Author); ok && m.Device == rec.Device {
			now |= member
		}
		for _, name := range [...]string{fact.Clerk, fact.Registrar} {
			if o, ok := fact.OfficeAt(tx, d, name); ok && o.DID == rec.Author && o.Device == rec.Device {
				now |= officer
			}
		}
	}
	if now != had {
		tx.Put(rowStanding, []byte{now})
	}
	return now
}

var (
	notMember = api.Outcome{Void: &api.Reason{
		Domain: Domain, Rule: "not-a-member", Text: "only members of the space report and appeal in it, and the first record of a feed cites what shows it",
		Remedy: "write from the device that the membership names",
	}}
	notOfficer = api.Outcome{Void: &api.Reason{
		Domain: Domain, Rule: "not-an-officer", Text: "only the clerk's or the registrar's device pardons, and its first record cites the genesis",
		Remedy: "appeal, and ask them",
	}}
	tooMany = api.Voided(Domain, "too-many", "this feed holds as many reports and appeals as a feed may")
)

func malformed(err error) api.Outcome { return api.Voided(Domain, "malformed", err.Error()) }

// another counts a report or an appeal and reports whether there is room for it.
func another(tx api.Tx) bool {
	n := uint64(0)
	if b, ok := tx.Own(rowCount); ok && len(b) == 8 {
		n = binary.BigEndian.Uint64(b)
	}
	tx.Put(rowCount, api.Seq8(n+1))
	return n < maxCases
}

func applyReport(tx api.Tx, rec *api.Record) api.Outcome {
	var r report
	if err := decode(rec.Body, &r); err != nil {
		return malformed(err)
	}
	if standing(tx, rec) == 0 {
		return notMember
	}
	if !another(tx) {
		return tooMany
	}
	p, err := r.verify(rec.Topic.Space)
	if err != nil {
		return api.Voided(Domain, "no-proof", "what is reported proves nothing: "+err.Error())
	}
	if _, ok := tx.Own(rowFork(p.Feed)); ok {
		return api.Voided(Domain, "reported-before", "this author has reported this feed before")
	}
	tx.Put(rowFork(p.Feed), nil)
	tx.Index(caseKey(rec), codec.MustMarshal(&entry{
		Kind: kindReport, By: rec.Author, Subject: p.Author, Time: rec.Time.Millis(), At: rec.ID, Feed: p.Feed, Topic: p.Topic.Name, Seq: p.Seq, IDs: p.IDs[:],
	}))
	return api.Accepted
}

func applyAppeal(tx api.Tx, rec *api.Record) api.Outcome {
	var a appeal
	if err := decode(rec.Body, &a); err != nil {
		return malformed(err)
	}
	if standing(tx, rec) == 0 {
		return notMember
	}
	if !another(tx) {
		return tooMany
	}
	tx.Put(rowAppeal(rec.Seq), []byte(a.Subject))
	tx.Index(caseKey(rec), codec.MustMarshal(&entry{
		Kind: kindAppeal, By: rec.Author, Subject: a.Subject, Text: a.Text, Time: rec.Time.Millis(), At: rec.ID, IDs: []api.Hash{},
	}))
	return api.Accepted
}

func applyPardon(tx api.Tx, rec *api.Record) api.Outcome {
	var p pardon
	if err := decode(rec.Body, &p); err != nil {
		return malformed(err)
	}
	if standing(tx, rec)&officer == 0 {
		return notOfficer
	}
	e := entry{Kind: kindPardon, By: rec.Author, Subject: p.Subject, Text: p.Text, Time: rec.Time.Millis(), At: rec.ID, IDs: []api.Hash{}}
	for _, d := range rec.Deps {
		r, ok := tx.Dep(d)
		if r.Topic != rec.Topic {
			continue
		}
		about, found := tx.At(d, rowAppeal(d.Seq))
		if !ok || !found || !slices.Equal(about, []byte(p.Subject)) || !e.Appeal.IsZero() {
			return api.Voided(Domain, "no-such-appeal", "a pardon cites at most one record of this topic: an appeal about the same node or person")
		}
		e.Appeal = d.ID
	}
	tx.Index(caseKey(rec), codec.MustMarshal(&e))
	return api.Accepted
}
