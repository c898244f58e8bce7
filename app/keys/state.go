package keys

import (
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Feed rows. On a feed that publishes a log:
//
//	log              record.Log.Bytes, the newest
//	veto/<event>     nothing: the event's recovery was objected to
//
// and on the registrar's feed:
//
//	registrar        charter
//	base/<did>       base: what the space follows
//	start/<event>    started
//	stop/<event>     nothing: the recovery was vetoed
var (
	rowLog       = []byte("log")
	rowRegistrar = []byte("registrar")
	rowStarts    = []byte("start/")
	rowVetoes    = []byte("veto/")
)

func rowVeto(event api.Hash) []byte  { return slices.Concat(rowVetoes, event[:]) }
func rowStart(event api.Hash) []byte { return slices.Concat(rowStarts, event[:]) }
func rowStop(event api.Hash) []byte  { return append([]byte("stop/"), event[:]...) }
func rowBase(did api.DID) []byte     { return append([]byte("base/"), did...) }

// Query rows: log/<space><feed><seq> -> the author, of each published log and veto.
func indexLogs(space api.Hash) []byte { return append([]byte("log/"), space[:]...) }

func indexLog(rec *api.Record) []byte {
	return slices.Concat(indexLogs(rec.Topic.Space), rec.Feed[:], api.Seq8(rec.Seq))
}

// charter is what the registrar's feed remembers of the genesis.
type charter struct {
	_      struct{} `cbor:",toarray"`
	Faulty uint16
	Test   bool
}

// wait is how long a recovery waits that was given so many hours. In a space for trying things out an hour counts as a second.
func (c *charter) wait(hours uint16) time.Duration {
	if c.Test {
		return time.Duration(hours) * time.Second
	}
	return time.Duration(hours) * time.Hour
}

// base is what a space follows of a member.
type base struct {
	_      struct{} `cbor:",toarray"`
	Log    []byte   // up to its newest rotation or recovery
	Device api.Key  // the primary one there; zero: none
}

// started is a recovery that waits. Times are Unix milliseconds by witnesses' clocks.
type started struct {
	_     struct{} `cbor:",toarray"`
	DID   api.DID
	Since int64
	Due   int64
}

// Apply implements api.Applier.
func (*App) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case kindLog:
		return applyLog(tx, rec)
	case kindVeto:
		return applyVeto(tx, rec)
	case kindStart:
		return applyStart(tx, rec)
	case kindStop:
		return applyStop(tx, rec)
	case kindFollow:
		return applyFollow(tx, rec)
	}
	return api.Voided(Domain, "unknown-kind", "no record of kind "+rec.Kind+" belongs in topic "+rec.Topic.Name)
}

func malformed(err error) api.Outcome { return api.Voided(Domain, "malformed", err.Error()) }

func voided(why *api.Reason) api.Outcome { return api.Outcome{Void: why} }

func reason(rule, text string) *api.Reason {
	return &api.Reason{Domain: Domain, Rule: rule, Text: text}
}

func applyLog(tx api.Tx, rec *api.Record) api.Outcome {
	var l *record.Log
	if rec.Seq == 1 && len(rec.Body) == 0 {
		a, err := record.ParseAuth(rec.Auth)
		if err != nil {
			return malformed(err)
		}
		l = a.Log
	} else {
		var err error
		if l, err = record.ParseLog(rec.Body); err != nil {
			return malformed(err)
		}
	}
	if l.DID() != rec.Author {
		return api.Voided(Domain, "not-own-log", "a device publishes the key event log of its own DID")
	}
	if l.Settled() == nil {
		return voided(notRotated())
	}
	tx.Put(rowLog, l.Bytes())
	tx.Index(indexLog(rec), []byte(rec.Author))
	return api.Accepted
}

func notRotated() *api.Reason {
	return reason("not-rotated", "the key event log has no rotation and no recovery: a change of devices alone moves nobody, for a thief of the key in charge could write it")
}

// applyVeto takes an objection to a recovery. Whoever has the signature may bring it.
func applyVeto(tx api.Tx, rec *api.Record) api.Outcome {
	var v veto
	if err := decode(rec.Body, &v); err != nil {
		return malformed(err)
	}
	shown := []*record.Log{publishedLog(tx.Own(rowLog))}
	for _, d := range rec.Deps {
		shown = append(shown, publishedLog(tx.At(d, rowLog)))
	}
	for _, l := range shown {
		if l != nil && l.CheckVeto(v.Event, v.Signature) == nil {
			tx.Put(rowVeto(v.Event), nil)
			tx.Index(indexLog(rec), []byte(rec.Author))
			return api.Accepted
		}
	}
	return api.Voided(Domain, "bad-veto", "a veto cites the log with the recovery, and is signed by the key that was in charge before it")
}

// registrar returns the charter if rec is by the registrar's device, which cites once the genesis and what gives it the office.
func registrar(tx api.Tx, rec *api.Record) (c charter, ok bool) {
	if b, ok := tx.Own(rowRegistrar); ok {
		return c, codec.Unmarshal(b, &c) == nil
	}
	founded, holds := false, false
	for _, d := range rec.Deps {
		if g, ok := fact.GenesisAt(tx, d); ok {
			c.Faulty, c.Test, founded = g.Faulty, g.Test, true
		}
		o, ok := fact.OfficeAt(tx, d, fact.Registrar)
		holds = holds || ok && o.Device == rec.Device && o.DID == rec.Author
	}
	if founded && holds {
		tx.Put(rowRegistrar, codec.MustMarshal(&c))
	}
	return c, founded && holds
}

// followedBefore returns what the registrar has followed of did, or who held the office before and is cited; nil for nothing.
func followedBefore(tx api.Tx, rec *api.Record, did api.DID) *record.Log {
	best, _ := followed(tx.Own(rowBase(did)))
	for _, d := range rec.Deps {
		if l, _ := followed(tx.At(d, rowBase(did))); further(l, best) {
			best = l
		}
	}
	return best
}

// further reports whether l is a log that goes beyond another, which may be nil.
func further(l, than *record.Log) bool {
	if l == nil || than == nil {
		return l != nil
	}
	r, _ := record.Compare(l, than)
	return r == record.Ahead
}

var (
	notRegistrar = api.Voided(Domain, "not-registrar", "only the registrar's device says what the space follows, and its first record here cites the genesis")
	notFinal     = api.Voided(Domain, "not-final", "a log counts when the witnesses hold it final, which the record cites")
)

// certified is a log that the witnesses hold final, and when those said so who are cited.
type certified struct {
	log   *record.Log
	need  int     // witnesses that make something final
	times []int64 // Unix milliseconds, latest first
}

// since returns a time by which the witnesses held the log final: none of the faulty ones can make it earlier than an honest one's word, nor later.
func (c *certified) since(faulty int) int64 { return c.times[min(faulty, len(c.times)-1)] }

// now returns a time that has come: so many witnesses say so that an honest one is among them.
func (c *certified) now() int64 { return c.times[min(c.need, len(c.times))-1] }

// order completes a certificate, false where too few speak.
func (c *certified) order() bool {
	slices.Sort(c.times)
	slices.Reverse(c.times)
	return c.need > 0 && len(c.times) >= c.need
}

// certify finds the log of did that rec cites.
func certify(tx api.Tx, rec *api.Record, did api.DID) (c certified, ok bool) {
	var views, logs []api.Position
	at := map[api.Hash]int64{}
	for _, d := range rec.Deps {
		switch h, accepted := tx.Dep(d); {
		case h.Topic.Name == fact.FinalityTopic && accepted:
			views = append(views, d)
			at[d.Feed] = h.Time.Millis()
		case h.Topic.Name == fact.KeysTopic && h.Author == did:
			logs = append(logs, d)
		}
	}
	for _, d := range logs {
		f, final := fact.FinalWithin(tx, views, d)
		if !final {
			continue
		}
		if c = (certified{log: publishedLog(tx.At(f.Position(d.Feed), rowLog)), need: int(f.Need)}); c.log == nil {
			continue
		}
		for _, v := range views {
			if g, ok := fact.FinalAt(tx, v, f.Epoch, d.Feed); ok && g.Support() == f.Support() && g.Seq >= f.Seq {
				c.times = append(c.times, at[v.Feed])
			}
		}
		return c, c.order()
	}
	return c, false
}

// waiting is a recovery that has to wait before it is followed.
type waiting struct {
	event api.Hash
	hours uint16
}

// beyond returns the recoveries by which l goes beyond what is followed, or why it does not. followed may be nil. Both end with a rotation or recovery.
func beyond(followed, l *record.Log) ([]waiting, *api.Reason) {
	from := 1
	if followed != nil {
		switch r, common := record.Compare(l, followed); r {
		case record.Ahead:
			from = common
		case record.Same, record.Behind:
			return nil, reason("known", "the space follows this log, or a longer one of it, already")
		default:
			return nil, reason("other-branch", "the space follows another branch of this key event log: somebody has written two")
		}
	}
	var ws []waiting
	for i, e := range l.Events() {
		if i < from || e.Kind != record.Recovery {
			continue
		}
		before, err := l.Prefix(i)
		if err != nil {
			return nil, reason("malformed", err.Error())
		}
		ws = append(ws, waiting{event: e.ID, hours: before.Terms().Guardians.Delay})
	}
	return ws, nil
}

// followed reads what a base row says; nil for none.
func followed(b []byte, ok bool) (*record.Log, api.Key) {
	var s base
	if !ok || codec.Unmarshal(b, &s) != nil {
		return nil, api.Key{}
	}
	return publishedLog(s.Log, true), s.Device
}

func applyStart(tx api.Tx, rec *api.Record) api.Outcome {
	var r ruling
	if err := decode(rec.Body, &r); err != nil {
		return malformed(err)
	}
	ch, ok := registrar(tx, rec)
	if !ok {
		return notRegistrar
	}
	c, ok := certify(tx, rec, r.DID)
	if !ok {
		return notFinal
	}
	if _, ok := tx.Own(rowStop(r.Event)); ok {
		return voided(vetoed())
	}
	if _, ok := tx.Own(rowStart(r.Event)); ok {
		return api.Voided(Domain, "started", "the recovery waits already")
	}
	ws, why := beyond(followedBefore(tx, rec, r.DID), c.log.Settled())
	if why != nil {
		return voided(why)
	}
	for _, w := range ws {
		if w.event == r.Event {
			since := c.since(int(ch.Faulty))
			tx.Put(rowStart(r.Event), codec.MustMarshal(&started{DID: r.DID, Since: since, Due: since + ch.wait(w.hours).Milliseconds()}))
			return api.Accepted
		}
	}
	return api.Voided(Domain, "no-recovery", "the log has no such recovery beyond what the space follows")
}

func vetoed() *api.Reason {
	return reason("vetoed", "the key that was in charge has objected to this recovery")
}

func applyStop(tx api.Tx, rec *api.Record) api.Outcome {
	var r ruling
	if err := decode(rec.Body, &r); err != nil {
		return malformed(err)
	}
	if _, ok := registrar(tx, rec); !ok {
		return notRegistrar
	}
	_, brought := tx.Own(rowVeto(r.Event))
	for _, d := range rec.Deps {
		_, ok := tx.At(d, rowVeto(r.Event))
		brought = brought || ok
	}
	if !brought {
		return api.Voided(Domain, "no-veto", "a stop cites the veto")
	}
	tx.Put(rowStop(r.Event), nil)
	return api.Accepted
}

func applyFollow(tx api.Tx, rec *api.Record) api.Outcome {
	var f follow
	if err := decode(rec.Body, &f); err != nil {
		return malformed(err)
	}
	if _, ok := registrar(tx, rec); !ok {
		return notRegistrar
	}
	c, ok := certify(tx, rec, f.DID)
	if !ok {
		return notFinal
	}
	l := c.log.Settled()
	if l.Head().ID != f.Head {
		return api.Voided(Domain, "other-head", "the log that is cited ends with another rotation or recovery")
	}
	ws, why := beyond(followedBefore(tx, rec, f.DID), l)
	if why != nil {
		return voided(why)
	}
	for _, w := range ws {
		if _, ok := tx.Own(rowStop(w.event)); ok {
			return voided(vetoed())
		}
		var s started
		b, ok := tx.Own(rowStart(w.event))
		if !ok || codec.Unmarshal(b, &s) != nil {
			return api.Voided(Domain, "not-started", "a recovery is followed after it was announced and has waited")
		}
		if c.now() < s.Due {
			why := reason("too-early", "the recovery waits for objections")
			why.Inputs = map[string]string{"due": stamp(s.Due), "witnessed": stamp(c.now())}
			return voided(why)
		}
	}
	tx.Put(rowBase(f.DID), codec.MustMarshal(&base{Log: l.Bytes(), Device: l.Primary()}))
	return api.Accepted
}

func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// publishedLog reads a log out of a row, nil for none.
func publishedLog(b []byte, ok bool) *record.Log {
	if !ok {
		return nil
	}
	l, err := record.ParseLog(b)
	if err != nil {
		return nil
	}
	return l
}
