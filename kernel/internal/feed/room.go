// Package feed holds the rules for records that cannot be applied yet: which positions each one waits for, and until when. It is pure:
// the caller says what is stored and what time it is. It does not decide whether a record is good and keeps nothing on disk: what is
// dropped here is asked for again (docs/protocol.md section 4).
package feed

import (
	"container/heap"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Limits bound the room.
type Limits struct {
	PerFeed int // records of one feed; default 1024
	Records int // records in all; default 16384
	Bytes   int // envelope bytes in all; default 64 MiB
}

// EnsureDefaults fills in zero fields.
func (l *Limits) EnsureDefaults() {
	if l.PerFeed == 0 {
		l.PerFeed = 1024
	}
	if l.Records == 0 {
		l.Records = 16 << 10
	}
	if l.Bytes == 0 {
		l.Bytes = 64 << 20
	}
}

// Waiting is a verified record in the room. Tag is the caller's.
type Waiting[T any] struct {
	*record.Envelope
	Tag     T
	Missing []api.Position // what it waited for when it came in
	Due     time.Time      // zero when it waits for positions only
	since   time.Time
	missing int
	index   int // in the heap, -1 when it is not there
}

// Room is the causal holding area. It is not safe for concurrent use.
type Room[T any] struct {
	limits Limits
	all    map[api.Position]*Waiting[T]
	by     map[api.Position][]*Waiting[T] // who waits for a position
	feeds  map[api.Hash]int
	bytes  int
	due    dueHeap[T]
}

// NewRoom returns an empty room.
func NewRoom[T any](l Limits) *Room[T] {
	l.EnsureDefaults()
	return &Room[T]{limits: l, all: map[api.Position]*Waiting[T]{}, by: map[api.Position][]*Waiting[T]{}, feeds: map[api.Hash]int{}}
}

// Len returns how many records wait.
func (r *Room[T]) Len() int { return len(r.all) }

// Bytes returns the size of their envelopes.
func (r *Room[T]) Bytes() int { return r.bytes }

// Get returns the record at p if it is in the room, or nil. It stays there.
func (r *Room[T]) Get(p api.Position) *Waiting[T] { return r.all[p] }

// Find returns the record with an id if it is in the room, or nil, by looking at all of them. It stays there.
func (r *Room[T]) Find(id api.Hash) *Waiting[T] {
	for p, w := range r.all {
		if p.ID == id {
			return w
		}
	}
	return nil
}

// Needed reports whether a record of another feed waits for p. That p's own successor waits is no need: a feed cannot hurry itself.
func (r *Room[T]) Needed(p api.Position) bool {
	return slices.ContainsFunc(r.by[p], func(w *Waiting[T]) bool { return w.Feed != p.Feed })
}

// Waiters returns the records that wait for p; the slice is the room's own.
func (r *Room[T]) Waiters(p api.Position) []*Waiting[T] { return r.by[p] }

// Add puts a record in the room until all missing positions have arrived, or, with none missing, until due. It reports false, and keeps nothing,
// when the room is full for this feed or altogether. A record that is there already stays as it is.
func (r *Room[T]) Add(now time.Time, e *record.Envelope, tag T, missing []api.Position, due time.Time) bool {
	p := e.Position()
	if _, dup := r.all[p]; dup {
		return true
	}
	if r.feeds[p.Feed] >= r.limits.PerFeed || len(r.all) >= r.limits.Records || r.bytes+len(e.Raw) > r.limits.Bytes {
		return false
	}
	w := &Waiting[T]{Envelope: e, Tag: tag, Missing: missing, Due: due, since: now, missing: len(missing), index: -1}
	r.all[p] = w
	r.feeds[p.Feed]++
	r.bytes += len(e.Raw)
	for _, m := range missing {
		r.by[m] = append(r.by[m], w)
	}
	if len(missing) == 0 {
		heap.Push(&r.due, w)
	}
	return true
}

// Arrived says that p is stored now and takes out the records for which it was the last missing position, in the order they came.
func (r *Room[T]) Arrived(p api.Position) []*Waiting[T] {
	ws := r.by[p]
	if len(ws) == 0 {
		return nil
	}
	delete(r.by, p)
	var out []*Waiting[T]
	for _, w := range ws {
		if r.all[w.Position()] != w {
			continue // swept
		}
		if w.missing--; w.missing == 0 {
			r.remove(w)
			out = append(out, w)
		}
	}
	return out
}

// TakeDue takes out the records whose time has come, earliest first.
func (r *Room[T]) TakeDue(now time.Time) []*Waiting[T] {
	var out []*Waiting[T]
	for len(r.due) > 0 && !r.due[0].Due.After(now) {
		w := r.due[0]
		r.remove(w)
		out = append(out, w)
	}
	return out
}

// NextDue returns when TakeDue will have something, zero for never.
func (r *Room[T]) NextDue() time.Time {
	if len(r.due) == 0 {
		return time.Time{}
	}
	return r.due[0].Due
}

// Take takes out a record that waits for a time only, because another record needs it now. It returns nil when there is none.
func (r *Room[T]) Take(p api.Position) *Waiting[T] {
	w, ok := r.all[p]
	if !ok || w.missing > 0 {
		return nil
	}
	r.remove(w)
	return w
}

// Sweep drops records that have waited for positions since before the given time, so that records which cite what does not exist cannot keep
// others out, and returns how many.
func (r *Room[T]) Sweep(before time.Time) (n int) {
	for p, ws := range r.by {
		keep := ws[:0]
		for _, w := range ws {
			if _, in := r.all[w.Position()]; in && !w.since.Before(before) {
				keep = append(keep, w)
			} else if in {
				r.remove(w)
				n++
			}
		}
		if clear(ws[len(keep):]); len(keep) == 0 {
			delete(r.by, p)
		} else {
			r.by[p] = keep
		}
	}
	return n
}

// Missing lists the positions that records wait for and that are not in the room themselves, at most n, in no particular order.
func (r *Room[T]) Missing(n int) []api.Position {
	var ps []api.Position
	for p := range r.by {
		if _, here := r.all[p]; !here {
			if ps = append(ps, p); len(ps) == n {
				break
			}
		}
	}
	return ps
}

func (r *Room[T]) remove(w *Waiting[T]) {
	p := w.Position()
	delete(r.all, p)
	if r.feeds[p.Feed]--; r.feeds[p.Feed] == 0 {
		delete(r.feeds, p.Feed)
	}
	r.bytes -= len(w.Raw)
	if w.index >= 0 {
		heap.Remove(&r.due, w.index)
	}
}

type dueHeap[T any] []*Waiting[T]

func (h dueHeap[T]) Len() int           { return len(h) }
func (h dueHeap[T]) Less(i, j int) bool { return h[i].Due.Before(h[j].Due) }
func (h dueHeap[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap[T]) Push(x any) {
	w := x.(*Waiting[T])
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *dueHeap[T]) Pop() any {
	w := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	w.index = -1
	return w
}
