package kernel

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
)

// happened is an event with its place. It is made once for all who listen, and not changed.
type happened struct {
	api.Event
	typ   *api.EventType
	at    place // where it stands; its cursor is the place after it
	fleet bool  // not in the journal: whoever comes later does not see it
}

// pager makes events from the log and the journal.
type pager struct {
	*eventTable
	journal string
	log     *slog.Logger
}

// Bounds of a page.
const (
	pageRecords = 256
	pageChanges = 1024
)

// page returns the events from a place on, none of records after the local number end, and the place to go on from; that is afterRecord(end) when all
// is told. It reads so much at most that it takes milliseconds, so a page may be empty and not the last.
func (pg *pager) page(r *fold.Reader, from place, end uint64) (evs []*happened, next place) {
	if from.number > end {
		return nil, from
	}
	ps, last := r.Log(from.number-1, pageRecords)
	if last > end {
		ps, last = ps[:uint64(len(ps))-(last-end)], end
	}
	if len(ps) == 0 {
		return nil, from
	}
	changes, late, more := r.Changes(from.number, uint32(from.index/perRecord), last, pageChanges)
	next = afterRecord(last)
	if more { // what follows the last change that was read waits for the next page
		c := changes[len(changes)-1]
		next = place{c.Number, uint64(c.Index+1) * perRecord}
		ps = ps[:c.Number-from.number+1]
	}
	b := book{pager: pg, r: r, past: map[string]*fold.Reader{}}
	for i, p := range ps {
		n := from.number + uint64(i)
		b.at, b.first = place{number: n}, place{}
		if n == from.number {
			b.first = from
		}
		b.when = time.Time{}
		if b.first.index < perRecord {
			b.record(p, late[n])
		}
		for len(changes) > 0 && changes[0].Number == n {
			if b.when.IsZero() {
				if rec, _, _, ok := r.Told(p); ok {
					b.when = rec.Time.Time()
				}
			}
			b.at = place{n, uint64(changes[0].Index) * perRecord}
			b.change(&changes[0])
			changes = changes[1:]
		}
	}
	return b.evs, next
}

// book is one page while it is written.
type book struct {
	*pager
	r     *fold.Reader
	past  map[string]*fold.Reader // by app
	evs   []*happened
	at    place // of the next event
	first place // what lies before is not wanted
	when  time.Time
}

// add writes an event. Its data was made by an app of this build, so that it cannot be marshalled is a mistake which a log entry has to tell.
func (b *book) add(typ *api.EventType, space api.Hash, at *api.Position, author api.DID, when time.Time, data any) {
	here := b.at
	b.at.index++
	if b.first.number == here.number && here.index < b.first.index {
		return
	}
	raw, err := json.Marshal(data)
	if err != nil {
		b.log.Error("an event cannot be told", "type", typ.Name, "err", err)
		return
	}
	b.evs = append(b.evs, &happened{typ: typ, at: here, Event: api.Event{
		Cursor: cursor(b.journal, b.at), Type: typ.Name, Space: space, Time: when, Record: at, Author: author, Data: raw,
	}})
}

// record tells of a record at its own place in the log: what it means, if it had effect when it came.
func (b *book) record(p api.Position, late bool) {
	rec, accepted, why, ok := b.r.Told(p)
	switch {
	case !ok:
	case !accepted:
		b.add(b.byName[recordVoid], rec.Topic.Space, &p, rec.Author, rec.Time.Time(), &VoidData{Topic: rec.Topic.Name, Kind: rec.Kind, Reason: why})
	case !late:
		b.means(p, rec)
	}
}

// means tells what a record with effect means.
func (b *book) means(p api.Position, rec *api.Record) {
	for _, t := range b.of[kindOf(rec.Topic.Name, rec.Kind)] {
		app := b.owner[t.Name]
		if b.past[app] == nil {
			b.past[app] = b.r.As(app)
		}
		if data := t.Of(b.past[app], rec); data != nil {
			b.add(t, rec.Topic.Space, &p, rec.Author, rec.Time.Time(), data)
		} else {
			b.at.index++
		}
	}
}

// change tells of a change that a commit made beside its records.
func (b *book) change(c *fold.Change) {
	if c.Kind == fold.Cut { // at a record that is not here, or before the first
		if t, known := b.r.Topic(c.At.Feed); known {
			b.add(b.byName[feedCut], t.Space, &c.At, "", b.when, &FeedData{Topic: t.Name})
		}
		return
	}
	rec, _, _, ok := b.r.Told(c.At)
	if !ok {
		return
	}
	at, space, topic := &c.At, rec.Topic.Space, rec.Topic.Name
	switch c.Kind {
	case fold.Final:
		b.add(b.byName[recordFinal], space, at, rec.Author, b.when, &FinalData{Topic: topic, From: c.From})
	case fold.Undone:
		b.add(b.byName[recordUndone], space, at, rec.Author, b.when, &RecordData{Topic: topic, Kind: rec.Kind})
	case fold.Done:
		b.means(c.At, rec)
	case fold.Forked:
		b.add(b.byName[feedForked], space, at, rec.Author, b.when, &FeedData{Topic: topic})
	case fold.Rivalled:
		b.add(b.byName[feedContested], space, at, rec.Author, b.when, &FeedData{Topic: topic})
	}
}
