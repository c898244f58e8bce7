package ingest

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
)

// flushed is a commit that is written and may not be on disk yet, with those who wait for that.
type flushed struct {
	events  []Event
	finals  []api.Position
	rivals  []fold.Rival
	pending []settled
	taken   int // how many records of Process it answers
}

// Flush commits what has been put and answers those who wait, once it is on disk: at once, or behind a Service, which syncs several commits
// together while the engine goes on.
func (e *Engine) Flush() error {
	if last := e.Clock.Last(); e.State.Uncommitted() > 0 && last != e.last {
		e.State.SetMeta(metaClock, api.Seq8(uint64(last)))
		e.last = last
	}
	commits, finals, err := e.State.Commit(e.later == nil)
	f := flushed{finals: finals, rivals: e.State.Rivals(), pending: e.pending, taken: e.taken}
	e.pending, e.taken = nil, 0
	if err != nil {
		f.fail(err)
		return err
	}
	f.events = make([]Event, len(commits))
	for i, c := range commits {
		f.events[i] = Event{Commit: c, Raw: e.put[i].Raw, From: e.put[i].Origin.Peer}
		if f.events[i].Head, err = e.State.Advertise(c.Record.Feed); err != nil {
			f.fail(err)
			return err
		}
	}
	clear(e.put)
	e.put = e.put[:0]
	clear(e.uncommitted)
	switch {
	case len(f.events)+len(f.pending)+f.taken == 0:
	case e.later == nil:
		e.finish(f)
	default:
		e.later <- f
	}
	return nil
}

// finish announces a commit that is on disk.
func (e *Engine) finish(f flushed) {
	if len(f.events) > 0 && e.Committed != nil {
		e.Committed(f.events, f.finals)
	}
	if len(f.rivals) > 0 && e.Conflicting != nil {
		e.Conflicting(f.rivals)
	}
	for _, s := range f.pending {
		s.done(s.res)
	}
}

// fail tells everybody who waits that nothing is acknowledged.
func (f flushed) fail(err error) {
	for _, s := range f.pending {
		s.done(Result{ID: s.res.ID, Outcome: Refused, Err: api.Errorf("record.submit", api.Internal, "the store failed; nothing was acknowledged: %w", err)})
	}
}

const metaClock = "clock"

// MetaFollow starts the names of the values that say which spaces this node replicates.
const MetaFollow = "follow/"
