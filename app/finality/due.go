package finality

import (
	"context"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// dueEvery is how often a witness looks whether a record dated ahead has become due when nothing else happens.
const dueEvery = time.Second

// Tick implements api.Ticker: it states what has become due, and what is noted and was not stated, and looks at checkpoints.
func (a *App) Tick(ctx context.Context, host api.Host, now time.Time) error {
	a.noteDue(now)
	a.mu.Lock()
	waits := len(a.pending) > 0
	a.mu.Unlock()
	if waits {
		if err := a.state(ctx, host); err != nil {
			return err
		}
	}
	return a.inspect(ctx, host, now)
}

// noteDue notes the spaces where a record that was dated ahead is due by now, and reports whether there is one: nobody says so, as somebody
// does of all else that a witness waits for.
func (a *App) noteDue(now time.Time) (due bool) {
	a.stating.Lock()
	defer a.stating.Unlock()
	for space, d := range a.desks {
		if d.due.IsZero() || now.Before(d.due) {
			continue
		}
		d.due, due = time.Time{}, true
		a.mu.Lock()
		if a.pending[space] == nil {
			a.pending[space] = map[api.Hash]bool{} // a round looks at all that is open, whatever else is noted
		}
		a.mu.Unlock()
	}
	return due
}

// nextDue is when the first record that waits for its time only is due, zero for never.
func (d *desk) nextDue(now time.Time) (next time.Time) {
	for _, q := range d.open {
		if len(q) > 0 && now.Before(q[0].due) && (next.IsZero() || q[0].due.Before(next)) {
			next = q[0].due
		}
	}
	return next
}

// resume notes what was committed in a space before a stop and not answered: feeds that a witness has not stated to their end, and feeds with a
// draft that waits for promises or for its cut.
func (a *App) resume(host api.Host, r api.Reader, s *fact.Space) {
	witness := isWitness(s, host.Self())
	if witness {
		a.note(s.ID, s.Cutter()) // an epoch may have to follow on another
		a.noteCheckpoint(s.ID)
		for _, h := range host.Heads(api.Topic{Space: s.ID}) {
			if fin, _ := r.Final(h.Tip.Feed); h.Topic.Name != fact.FinalityTopic && fin.Seq < h.Tip.Seq {
				a.note(s.ID, h.Tip.Feed)
			}
		}
	}
	if !witness && !s.Holds(host.Self(), fact.Registrar) {
		return
	}
	for _, feed := range openDrafts(r, s) {
		a.note(s.ID, feed)
	}
}

// openDrafts lists the feeds of which a cut is announced and not made.
func openDrafts(r api.Reader, s *fact.Space) (feeds []api.Hash) {
	for k, b := range r.Rows(s.Cutter(), rowsDraft) {
		feed := api.Hash(k[len(rowsDraft):])
		if d := get[draft](b, true); cutNumber(r, s, feed) < d.Number {
			feeds = append(feeds, feed)
		}
	}
	return feeds
}
