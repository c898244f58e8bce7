package sim_test

import (
	"context"

	"github.com/intercooperative/icn/app/finality"
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
