// Package ingest is the one way in: every record, local or remote, takes this road. Bounds and form, signature, gates, chain, causality,
// fold, and then one atomic commit, after which it is announced, pushed and answered (docs/protocol.md section 4).
//
// Engine is the road itself, driven inline by one goroutine. Service is the shell around it: it verifies signatures in parallel, groups
// commits, and refuses when its queue is full. Ingest knows no app, reads no body, and decides nothing: gates delay or decline service,
// verdicts come from fold.
package ingest

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/clock"
	"github.com/intercooperative/icn/kernel/internal/feed"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// Outcome says what became of a submitted record.
type Outcome uint8

// The outcomes. A Held or Deferred record is in the room and will be looked at again; if the room drops it, anti-entropy brings it back.
const (
	Committed Outcome = iota
	Duplicate         // stored already
	Held              // waits for its predecessor or a dep
	Deferred          // waits for a rate or for its time
	Void              // stored, and without effect for good: what Take says where Submit says Committed; see Err
	Refused           // see Err
)

// String returns the lower-case name.
func (o Outcome) String() string {
	return [...]string{"committed", "duplicate", "held", "deferred", "void", "refused"}[min(o, Refused)]
}

// Result is the answer for one record.
type Result struct {
	ID      api.Hash
	Outcome Outcome
	Err     error
}

// Why counts a refusal or delay; the names appear in metrics and are stable.
type Why string

// Why a record was not committed at once.
const (
	Malformed    Why = "malformed"
	Oversized    Why = "oversized"
	BadSignature Why = "bad-signature"
	Foreign      Why = "foreign"
	ForkFlood    Why = "fork-flood"
	RoomFull     Why = "room-full"
	Busy         Why = "busy"
	RateLimit    Why = "rate-limit"
	Future       Why = "future"
	Gap          Why = "gap"
)

// Origin is where a record came from.
type Origin struct {
	Peer      api.DID // empty for this node itself and its clients
	Solicited bool    // asked for: rates do not apply, the asker paces itself
}

// Item is a decoded record on the road. Done is called once, after the commit that settles it; nil for nobody.
type Item struct {
	*record.Envelope
	Origin Origin
	Done   func(Result)
	needed bool   // another record cites it: no gate may delay it
	draft  *Draft // that it is the record of, for Append; nil of a record like any other
}

// Event is one committed record for those who push, announce and react.
type Event struct {
	api.Commit
	Raw  []byte
	From api.DID
	Head fold.Advertised // of the feed, after the whole commit
}

// Options configure an Engine. Relations: Store is State's.
type Options struct {
	Store      store.Store
	State      *fold.State
	Clock      *clock.Clock
	Now        func() time.Time
	Oracles    api.OracleRegistry
	RateDomain api.Domain // whose oracle sets an author's rate; empty: no rates
	Room       feed.Limits
	Patience   time.Duration // how long the room keeps a record that waits for positions; default 10 min
	Log        *slog.Logger
	// Follows reports whether this node replicates a space.
	Follows func(space api.Hash) bool
	// Committed is called once a commit is on disk, in order, by one goroutine, with the records and the positions that became final. It must not
	// use the State.
	Committed func(events []Event, finals []api.Position)
	// Conflicting is called once a commit is on disk, by the same goroutine, when two branches of feeds have become final.
	Conflicting func([]fold.Rival)
	// Founded is called when a draft founds a space, before its commit, which makes this node follow it.
	Founded func(space api.Hash)
	// Count is called for each Why, from any goroutine.
	Count func(Why, int)
}

// maxBranches is how many records at one place of a feed are kept unless something stored needs more: two prove the fork.
const maxBranches = 2

// Engine is the road, driven inline: not safe for concurrent use.
type Engine struct {
	Options
	room    *feed.Room[Item]
	limiter *gate.Limiter
	pending []settled
	taken   int    // records of Process that pending answers
	put     []Item // what the State has put since the last commit, in order
	last    api.Timestamp
	swept   time.Time
	later   chan<- flushed // where commits wait for the disk; nil: Flush waits itself

	uncommitted map[idemKey]idemValue // idempotency keys used since the last commit
}

type settled struct {
	done func(Result)
	res  Result
}

// NewEngine returns an Engine over options whose functions are set.
func NewEngine(o Options) *Engine {
	if o.Patience == 0 {
		o.Patience = 10 * time.Minute
	}
	if o.Count == nil {
		o.Count = func(Why, int) {}
	}
	return &Engine{Options: o, room: feed.NewRoom[Item](o.Room), limiter: gate.NewLimiter(64 << 10), uncommitted: map[idemKey]idemValue{}}
}

// Room reports how many records wait and their bytes.
func (e *Engine) Room() (records, bytes int) { return e.room.Len(), e.room.Bytes() }

// Missing lists up to n positions that records in the room wait for and that nobody has brought.
func (e *Engine) Missing(n int) []api.Position { return e.room.Missing(n) }

// Wanted lists the spaces of the records that wait for p.
func (e *Engine) Wanted(p api.Position) []api.Hash {
	var spaces []api.Hash
	for _, w := range e.room.Waiters(p) {
		if !slices.Contains(spaces, w.Topic.Space) {
			spaces = append(spaces, w.Topic.Space)
		}
	}
	return spaces
}

// Process takes verified records along the road and commits. An error is the store's: the engine must not be used again.
func (e *Engine) Process(items []Item) error {
	now := e.Now()
	e.taken += len(items)
	for _, it := range items {
		var err error
		if it.draft != nil {
			err = e.Append(*it.draft)
		} else {
			err = e.accept(now, it)
		}
		if err != nil {
			return err
		}
	}
	for _, w := range e.room.TakeDue(now) {
		if err := e.accept(now, w.Tag); err != nil {
			return err
		}
	}
	if now.Sub(e.swept) > time.Minute {
		if n := e.room.Sweep(now.Add(-e.Patience)); n > 0 {
			e.Log.Info("dropped records that waited too long for what they cite", "records", n)
		}
		e.swept = now
	}
	return e.Flush()
}

// NextDue is when Process wants to be called even without items, zero for never.
func (e *Engine) NextDue() time.Time { return e.room.NextDue() }

func (e *Engine) settle(it Item, o Outcome, why Why, err error) {
	if why != "" {
		e.Count(why, 1)
	}
	if it.Done != nil {
		e.pending = append(e.pending, settled{it.Done, Result{ID: it.ID, Outcome: o, Err: err}})
	}
}

// accept takes one record, and whatever waited for it, as far as it goes.
func (e *Engine) accept(now time.Time, first Item) error {
	stack := []Item{first}
	for len(stack) > 0 {
		it := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		stored, err := e.one(now, it)
		if err != nil {
			return err
		}
		if stored {
			released := e.room.Arrived(it.Position())
			for i := len(released) - 1; i >= 0; i-- {
				stack = append(stack, released[i].Tag)
			}
		}
	}
	return nil
}

// one decides about one record; stored says that it is in the state now.
func (e *Engine) one(now time.Time, it Item) (stored bool, err error) {
	p := it.Position()
	if !e.Follows(it.Topic.Space) {
		e.settle(it, Refused, Foreign, errForeign(it.Topic.Space))
		return false, nil
	}
	has, err := e.State.Has(p)
	if err != nil {
		return false, err
	}
	if has {
		e.settle(it, Duplicate, "", nil)
		return false, nil
	}
	missing, err := e.missing(now, it)
	if err != nil {
		return false, err
	}
	// Letting what it cites through may have let a copy of this very record through that waited for it.
	if has, err = e.State.Has(p); err != nil {
		return false, err
	}
	if has {
		e.settle(it, Duplicate, "", nil)
		return false, nil
	}
	if len(missing) > 0 {
		if !e.room.Add(now, it.Envelope, e.quiet(it), missing, time.Time{}) {
			e.settle(it, Refused, RoomFull, api.Errorf("record.submit", api.Unavailable, "too many records wait for others; send it again later"))
			return false, nil
		}
		e.settle(it, Held, Gap, nil)
		return false, nil
	}
	f, err := e.State.Feed(p.Feed)
	if err != nil {
		return false, err
	}
	needed := it.needed || e.room.Needed(p)
	if f != nil && p.Seq <= f.Tip.Seq && !it.Origin.Solicited && !needed {
		n, err := e.State.Siblings(p.Feed, p.Seq, maxBranches)
		if err != nil {
			return false, err
		}
		if n >= maxBranches {
			e.settle(it, Refused, ForkFlood, errForked(p))
			return false, nil
		}
	}
	if due, why := e.delay(now, it, f, needed); why != "" {
		if !e.room.Add(now, it.Envelope, e.quiet(it), nil, due) {
			e.settle(it, Refused, RoomFull, errRoomFull(due.Sub(now)))
			return false, nil
		}
		e.settle(it, Deferred, why, nil)
		return false, nil
	}
	if err := e.State.Put(it.Envelope); err != nil {
		return false, err
	}
	e.Clock.Observe(it.Time)
	e.put = append(e.put, it)
	e.settle(it, Committed, "", nil)
	return true, nil
}

// quiet is the item as the room keeps it: its submitter has been answered.
func (e *Engine) quiet(it Item) Item {
	it.Done = nil
	return it
}

// missing lists what a record stands on and is not stored. A dep that waits for a rate or a time only is needed now, so it is let through.
func (e *Engine) missing(now time.Time, it Item) ([]api.Position, error) {
	var out []api.Position
	want := func(p api.Position, cited bool) error {
		has, err := e.State.Has(p)
		if err != nil || has {
			return err
		}
		if cited || it.needed {
			if err := e.need(now, p); err != nil {
				return err
			}
			if has, err = e.State.Has(p); err != nil || has {
				return err
			}
		}
		out = append(out, p)
		return nil
	}
	if it.Seq > 1 {
		if err := want(api.Position{Feed: it.Feed, Seq: it.Seq - 1, ID: it.Prev}, false); err != nil {
			return nil, err
		}
	}
	for _, d := range it.Deps {
		if err := want(d, true); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// need lets a record in the room through because another record cites it: nothing may delay it any more, nor those before it.
func (e *Engine) need(now time.Time, p api.Position) error {
	for todo := []api.Position{p}; len(todo) > 0; {
		w := e.room.Get(todo[len(todo)-1])
		todo = todo[:len(todo)-1]
		if w == nil || w.Tag.needed {
			continue
		}
		w.Tag.needed = true
		todo = append(todo, w.Missing...)
		if w = e.room.Take(w.Position()); w != nil {
			if err := e.accept(now, w.Tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// delay asks the gates that may make a record wait: its time and its author's rate.
func (e *Engine) delay(now time.Time, it Item, f *fold.Feed, needed bool) (time.Time, Why) {
	if needed {
		return time.Time{}, ""
	}
	if due, ahead := e.Clock.Ahead(it.Time); ahead {
		return due, Future
	}
	if it.Origin.Solicited {
		return time.Time{}, ""
	}
	author := it.Author
	if f != nil {
		author = f.Author
	}
	if after := e.rate(now, author); after > 0 {
		return now.Add(after), RateLimit
	}
	return time.Time{}, ""
}

// rate takes a token for one record by author, or says how long to wait. An oracle that denies gives no rate at all: the record waits a while
// and is looked at again, since gates never decide.
func (e *Engine) rate(now time.Time, author api.DID) time.Duration {
	if e.RateDomain == "" {
		return 0
	}
	d := e.Oracles.Evaluate(api.Request{Domain: e.RateDomain, Actor: author, Action: "append"})
	if d.Effect != api.Allow {
		return 10 * time.Second
	}
	if d.Constraints.RateLimit == nil {
		return 0
	}
	ok, after := e.limiter.Take(now, author, *d.Constraints.RateLimit, 1)
	if ok {
		return 0
	}
	return max(after, time.Millisecond)
}

// errRate carries how long an author must wait; Service waits and tries again.
type errRate struct{ after time.Duration }

func (e errRate) Error() string { return fmt.Sprintf("rate limit: try again in %s", e.after) }

// RestoreClock moves the clock past everything this node has stamped or seen.
func RestoreClock(st store.Store, c *clock.Clock) error {
	b, ok, err := fold.Meta(st, metaClock)
	if err != nil || !ok || len(b) != 8 {
		return err
	}
	c.Restore(api.Timestamp(binary.BigEndian.Uint64(b)))
	return nil
}
