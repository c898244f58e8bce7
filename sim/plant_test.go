package sim_test

import (
	"context"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/finality"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// A planted fault is a rule of an app that is broken from outside: by what its Apply is told and tells, or by what its reactor reads. The apps
// themselves have no switch.

// badFinality is app finality with a fault.
type badFinality struct {
	*finality.App
	tx    func(api.Tx, *api.Record) api.Tx                       // nil: as it is
	apply func(api.Tx, *api.Record) (out api.Outcome, done bool) // nil: never
	read  func(r api.Reader, nth int) api.Reader                 // the nth reader of a round, from 1; nil: as it is
}

func (a *badFinality) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	if a.apply != nil {
		if out, done := a.apply(tx, rec); done {
			return out
		}
	}
	if a.tx != nil {
		tx = a.tx(tx, rec)
	}
	return a.App.Apply(tx, rec)
}

func (a *badFinality) React(ctx context.Context, host api.Host, commits []api.Commit) error {
	return a.App.React(ctx, &badHost{Host: host, read: a.read}, commits)
}

// badHost counts the readers of one round.
type badHost struct {
	api.Host
	read func(api.Reader, int) api.Reader
	n    int
}

func (h *badHost) Read() api.Reader {
	h.n++
	r := h.Host.Read()
	if h.read != nil {
		r = h.read(r, h.n)
	}
	return r
}

// wrapFinality plants f in all nodes.
func wrapFinality(f badFinality) func(string, []api.App) []api.App {
	return func(_ string, apps []api.App) []api.App {
		for i, a := range apps {
			if x, ok := a.(*finality.App); ok {
				c := f
				c.App = x
				apps[i] = &c
			}
		}
		return apps
	}
}

// onePhase: what enough witnesses have locked is final.
var onePhase = wrapFinality(badFinality{tx: func(tx api.Tx, _ *api.Record) api.Tx { return locksAreFinal{tx} }})

type locksAreFinal struct{ api.Tx }

func (t locksAreFinal) Publish(name string, key, value []byte) {
	t.Tx.Publish(name, key, value)
	var f fact.Final
	if name == "lock" && codec.Unmarshal(value, &f) == nil {
		t.Final(f.Position(api.Hash(key)), f.Support())
	}
}

// beforeDeps: a witness locks what its own records say, whatever it stands on.
var beforeDeps = wrapFinality(badFinality{read: func(r api.Reader, _ int) api.Reader { return noDeps{r} }})

type noDeps struct{ api.Reader }

func (r noDeps) Record(p api.Position) (*api.Record, api.Verdict, bool) {
	rec, v, ok := r.Reader.Record(p)
	if ok {
		c := *rec
		c.Deps, rec = nil, &c
	}
	return rec, v, ok
}

// vowsEndEarly: a witness takes a cut for final as soon as it knows the record.
var vowsEndEarly = wrapFinality(badFinality{read: func(r api.Reader, _ int) api.Reader { return allCutsFinal{r} }})

type allCutsFinal struct{ api.Reader }

func (r allCutsFinal) Cuts(feed api.Hash) []api.CutState {
	cs := r.Reader.Cuts(feed)
	for i := range cs {
		cs[i].Final = true
	}
	return cs
}

// anyVariant: statements add up whatever number of cuts they take into account, so a position is held while its predecessor's verdict is open.
var anyVariant = wrapFinality(badFinality{tx: func(tx api.Tx, _ *api.Record) api.Tx { return oneVariant{tx} }})

type oneVariant struct{ api.Tx }

func (t oneVariant) Final(p api.Position, by api.Support) {
	by.Variant = 0
	t.Tx.Final(p, by)
}

// highestSigned: a witness promises the highest position that anybody has signed, and that is taken.
var highestSigned = wrapFinality(badFinality{
	read: func(r api.Reader, nth int) api.Reader {
		if nth == 2 { // the one from which it answers drafts
			return oneLockIsEnough{r}
		}
		return r
	},
	apply: func(tx api.Tx, rec *api.Record) (api.Outcome, bool) {
		var p struct {
			_      struct{} `cbor:",toarray"`
			Feed   api.Hash
			Number uint64
			At     fact.Place
		}
		var w struct {
			_     struct{} `cbor:",toarray"`
			Epoch uint64
			Need  uint16
		}
		type vow struct {
			_           struct{} `cbor:",toarray"`
			Number, Seq uint64
		}
		b, ok := tx.Own([]byte("witness"))
		if !ok || rec.Kind != "promise" || codec.Unmarshal(b, &w) != nil || codec.Unmarshal(rec.Body, &p) != nil {
			return api.Outcome{}, false
		}
		tx.Put(append(append([]byte("vow/"), p.Feed[:]...), api.Seq8(w.Epoch)...), codec.MustMarshal([]vow{{Number: p.Number, Seq: p.At.Seq}}))
		fact.PutPromise(tx, p.Feed, fact.Promise{Number: p.Number, At: p.At, Epoch: w.Epoch, Need: w.Need})
		return api.Accepted, true
	},
})

type oneLockIsEnough struct{ api.Reader }

func (r oneLockIsEnough) Fact(feed api.Hash, name string, key []byte) ([]byte, api.Position, bool) {
	b, by, ok := r.Reader.Fact(feed, name, key)
	var f fact.Final
	if name == "lock" && ok && codec.Unmarshal(b, &f) == nil {
		f.Need = 1
		b = codec.MustMarshal(&f)
	}
	return b, by, ok
}

// ackBySeq: what is final on one branch of a payer's feed counts for credits on another.
func ackBySeq(_ string, apps []api.App) []api.App {
	for i, a := range apps {
		if x, ok := a.(*ledger.App); ok {
			apps[i] = &badLedger{x}
		}
	}
	return apps
}

type badLedger struct{ *ledger.App }

func (a *badLedger) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	return a.App.Apply(withinBySeq{tx, rec}, rec)
}

type withinBySeq struct {
	api.Tx
	rec *api.Record
}

// At reads where the record cites the feed.
func (t withinBySeq) At(p api.Position, key []byte) ([]byte, bool) {
	for _, d := range t.rec.Deps {
		if d.Feed == p.Feed {
			return t.Tx.At(d, key)
		}
	}
	return t.Tx.At(p, key)
}

func (t withinBySeq) Within(p api.Position) bool {
	for _, d := range t.rec.Deps {
		if d.Feed == p.Feed && p.Seq > 0 && p.Seq <= d.Seq {
			return true
		}
	}
	return false
}

// oldBuild are the apps of a build from before there were grants.
func oldBuild(apps []api.App) []api.App {
	for i, a := range apps {
		if x, ok := a.(*ledger.App); ok {
			apps[i] = &oldLedger{x}
		}
	}
	return apps
}

type oldLedger struct{ *ledger.App }

func (a *oldLedger) Events() []api.EventType {
	return slices.DeleteFunc(a.App.Events(), func(e api.EventType) bool { return slices.Contains(e.Kinds, "grant") })
}

func (a *oldLedger) Info() api.AppInfo {
	info := a.App.Info()
	info.Topics = slices.Clone(info.Topics)
	for i := range info.Topics {
		info.Topics[i].Kinds = slices.DeleteFunc(slices.Clone(info.Topics[i].Kinds), func(k string) bool { return k == "grant" })
	}
	return info
}
