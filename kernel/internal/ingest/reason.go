package ingest

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/record"
)

// refusal is the error of a gate of this road: no verdict, and no opinion of another node.
func refusal(op string, kind api.Kind, rule, text, remedy string, inputs map[string]string) error {
	r := &api.Reason{Domain: "kernel", Rule: rule, Text: text, Inputs: inputs, Remedy: remedy}
	return &api.Error{Op: op, Kind: kind, Reason: r, Err: r}
}

func errForeign(space api.Hash) error {
	return refusal("record.submit", api.Refused, "space-not-followed", "this node does not follow the record's space", "send it to a node that does, or have this one join the space",
		map[string]string{"space": space.String()})
}

func errForked(p api.Position) error {
	return refusal("record.submit", api.Refused, "forked-feed", "the feed is forked here already; two records prove it, and a third is not kept unless one that is cites it",
		"the registrar of the space ends the feed with a cut", map[string]string{"feed": p.Feed.String(), "seq": strconv.FormatUint(p.Seq, 10)})
}

func errRoomFull(after time.Duration) error {
	return refusal("record.submit", api.RateLimited, "room-full", "too many records wait already", fmt.Sprintf("send it again after %s", after), nil)
}

// errSlow says that an author has to wait; nothing was written.
func errSlow(author api.DID, after time.Duration) error {
	return refusal("record.append", api.RateLimited, "author-rate", fmt.Sprintf("this author's rate allows the next record in %s", after),
		"wait and repeat it: nothing was written", map[string]string{"author": string(author), "retry_after_ms": strconv.FormatInt(after.Milliseconds(), 10)})
}

// errTaken says that a signed record cannot be the next of its feed.
func errTaken(env *record.Envelope, f *fold.Feed) error {
	return refusal("record.submit", api.Conflict, "place-taken", "the record is not the next of its feed any more: another one of the same device has come first",
		"prepare it again, and sign what that answers; what was signed for the old place is not used", tipOf(env, f))
}

// errBehind says that a signed record is not the next of its feed yet, as far as this node has it: its place is free, and nothing else is to be signed for it.
func errBehind(env *record.Envelope, f *fold.Feed) error {
	return refusal("record.submit", api.Unavailable, "records-missing", "this node does not have the records of the device before this one yet",
		"send it again in a moment, or to the node that has them", tipOf(env, f))
}

// errLacks says that a signed record cites what this node does not have: its place is free, and nothing else is to be signed for it.
func errLacks(env *record.Envelope, dep api.Position) error {
	return refusal("record.submit", api.Unavailable, "records-missing", "this node does not have a record that this one cites yet",
		"send it again in a moment, or to the node that prepared it", map[string]string{"feed": env.Feed.String(), "seq": strconv.FormatUint(env.Seq, 10), "missing": dep.ID.String()})
}

// errVoid is why a record is void that has been stored.
type errVoid struct{ why *api.Reason }

func (e errVoid) Error() string { return e.why.Error() }

// Unwrap gives errors.As what it wants to know of a refusal.
func (e errVoid) Unwrap() error { return api.Refusal("record.submit", e.why) }

// Voided is the error of a signed record that is stored and has no effect, because of why.
func Voided(why *api.Reason) error { return errVoid{why} }

// IsVoid reports whether err is of a signed record that is stored, and has no effect: its place is used.
func IsVoid(err error) bool {
	_, ok := errors.AsType[errVoid](err)
	return ok
}

func tipOf(env *record.Envelope, f *fold.Feed) map[string]string {
	in := map[string]string{"feed": env.Feed.String(), "seq": strconv.FormatUint(env.Seq, 10), "next": "1"}
	if f != nil {
		in["next"], in["tip"] = strconv.FormatUint(f.Tip.Seq+1, 10), f.Tip.ID.String()
	}
	return in
}

func errAuthor(feed api.Hash, author api.DID) error {
	return refusal("record.append", api.Refused, "other-author", "the feed of this device is another author's", "sign with a device of your own",
		map[string]string{"feed": feed.String(), "author": string(author)})
}

func errAhead(at api.Timestamp, due time.Time) error {
	return refusal("record.submit", api.Refused, "dated-ahead", "the record's time lies ahead of this node's clock", "leave the time as it was prepared, or set the clock right",
		map[string]string{"time": at.Time().Format(time.RFC3339), "until": due.UTC().Format(time.RFC3339)})
}

// Waiting returns a record that is in the room, and what it waits for; nil when it is not there. Without a Feed it is looked for by its ID, among all.
func (e *Engine) Waiting(p api.Position) (*api.Record, *api.Reason) {
	w := e.room.Get(p)
	if p.Feed.IsZero() {
		w = e.room.Find(p.ID)
	}
	if w == nil {
		return nil, nil
	}
	r := &api.Reason{Domain: "kernel", Inputs: map[string]string{}}
	if _, ahead := e.Clock.Ahead(w.Time); len(w.Missing) > 0 {
		r.Rule, r.Text, r.Remedy = "not-complete", "the record waits for others that it stands on", "nothing is to be done here: peers are asked for them; if none has them, ask the author's node"
		r.Inputs["missing"] = strconv.Itoa(len(w.Missing))
		r.Inputs["first"] = w.Missing[0].ID.String()
		return w.Record, r
	} else if ahead {
		r.Rule, r.Text, r.Remedy = "dated-ahead", "the record waits, since its time lies ahead of this node's clock", "set the clock of the author's machine right, and look at this one's: icnctl doctor"
		r.Inputs["time"] = w.Time.Time().Format(time.RFC3339)
	} else {
		r.Domain, r.Rule, r.Text, r.Remedy = e.RateDomain, "author-rate", "the record waits, since its author's come faster than this node takes them", "wait: nothing is lost, and nothing is to be sent again"
	}
	r.Inputs["until"] = w.Due.UTC().Format(time.RFC3339)
	return w.Record, r
}
