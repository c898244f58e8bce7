// Package fold keeps state: it runs the apps' Apply over records in causal order, keeps what they wrote where later records and
// queries find it, and takes effects back exactly when a feed turns out to be forked.
//
// State is a function of the set of stored records, whatever the order of their arrival:
//   - each record gets its verdict on its own branch, from rows and facts of its causal past only (api.Tx);
//   - the records with effect form, per feed, one chain that ends at its active position: the tip, or below the lowest fork, or a
//     final position beyond it. When that position moves, effects are undone or done by running Apply again, which is pure.
//
// It is not the road (package ingest decides what gets here) and it knows no app by name. State is driven by one goroutine; readers
// use snapshots (NewReader) and never touch it. docs/protocol.md section 4.
package fold

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// Sizes of the caches, in entries; a full cache is emptied, so memory is bounded and the policy is trivial.
const (
	maxFeeds    = 16 << 10
	maxRows     = 32 << 10
	maxCounters = 32 << 10
)

// owner is who folds a topic.
type owner struct {
	name     string
	apply    api.Applier
	kinds    map[string]bool
	founding string
}

// Apps finds the app of a topic.
type Apps struct {
	topics   map[string]*owner
	names    []string
	remedies map[string]map[string]string // by domain and rule; of all domains under ""
}

// NewApps builds the table; two owners of one topic are a wiring mistake.
func NewApps(apps []api.App) (*Apps, error) {
	a := &Apps{topics: map[string]*owner{}, remedies: map[string]map[string]string{}}
	a.remedies["kernel"], a.remedies[""] = remedies()
	for _, app := range apps {
		info := app.Info()
		if slices.Contains(a.names, info.Name) {
			return nil, api.Errorf("fold.apps", api.Internal, "two apps are called %q", info.Name)
		}
		a.names = append(a.names, info.Name)
		if ad, ok := app.(api.Adviser); ok {
			a.remedies[info.Name] = ad.Remedies()
		}
		ap, _ := app.(api.Applier)
		for _, t := range info.Topics {
			if o, dup := a.topics[t.Name]; dup {
				return nil, api.Errorf("fold.apps", api.Internal, "topic %q belongs to %q and %q", t.Name, o.name, info.Name)
			}
			if ap == nil {
				return nil, api.Errorf("fold.apps", api.Internal, "app %q owns topic %q and cannot apply records", info.Name, t.Name)
			}
			o := &owner{name: info.Name, apply: ap, kinds: map[string]bool{}, founding: t.Founding}
			for _, k := range t.Kinds {
				o.kinds[k] = true
			}
			a.topics[t.Name] = o
		}
	}
	slices.Sort(a.names)
	return a, nil
}

// Names lists the apps in order.
func (a *Apps) Names() []string { return a.names }

// State is the single writer of the store.
type State struct {
	st   store.Store
	apps *Apps
	log  *slog.Logger
	view

	// What the store does not hold yet.
	batch   store.Batch
	recs    map[api.Position]*Stored
	over    map[string][]row               // rows written since the last commit, by feed and name
	finals  map[api.Hash]map[string][]byte // statements since the last commit by key
	dirty   map[api.Hash]*Feed
	counted []*counter // counters changed since the last commit
	commits []api.Commit
	next    uint64                // next local log number
	logged  []api.Position        // those that got the last numbers since the last commit
	work    []work                // feeds whose final mark may move, or how they stand
	cutsOf  map[api.Hash][]change // cuts that came or went since the last commit, by feed that is cut
	cutting map[string]bool       // the same by store key of who cuts; false: withdrawn
	touched map[api.Hash]standing // how feeds stood before the work that waits for them

	// Caches of what it holds.
	feeds    map[api.Hash]*Feed
	rows     map[string]row      // newest row by feed and name, of unforked feeds
	counters map[string]*counter // by store key
	scratch  []byte
	name     []byte // of rowName
	key, val []byte // of a row on its way into the batch
	spare    *tx    // whose memory the next one may have

	finalMoved []api.Position
	changes    []Change // since the last commit
	late       []uint64 // local numbers of the records since the last commit that are accepted and had no effect when they came
	began      bool     // the first record of all came since the last commit
	rivals     []Rival
	drafted    struct { // the last draft that would be accepted, so that Put need not fold it again
		id api.Hash
		tx *tx
	}
	replayed uint64 // while rebuilding: records with a higher local number are not there yet; 0 otherwise
}

type work struct {
	feed api.Hash
	cut  bool // how the feed stands may have changed: see touch
	anew bool // what made positions final may count no longer
}

type row struct {
	by  Mark
	val []byte
	ok  bool // false: there is none
}

type counter struct {
	key     []byte // of the store
	n       int64
	changed bool // since the last commit
}

// Open builds the state over a store.
func Open(st store.Store, apps *Apps, log *slog.Logger) (*State, error) {
	s := &State{
		st: st, apps: apps, log: log, batch: st.NewBatch(),
		recs: map[api.Position]*Stored{}, over: map[string][]row{}, finals: map[api.Hash]map[string][]byte{},
		dirty: map[api.Hash]*Feed{}, cutsOf: map[api.Hash][]change{}, cutting: map[string]bool{}, touched: map[api.Hash]standing{},
		feeds: map[api.Hash]*Feed{}, rows: map[string]row{}, counters: map[string]*counter{},
	}
	s.view = view{r: st, s: s}
	last, err := LastLocal(st)
	s.next = last + 1
	return s, err
}

// Feed returns a feed, or nil when no record of it is stored.
func (s *State) Feed(id api.Hash) (*Feed, error) {
	if f, ok := s.feeds[id]; ok {
		return f, nil
	}
	f, err := loadFeed(s.st, id, nil)
	if err != nil || f == nil {
		return nil, err
	}
	s.feeds[id] = f
	return f, nil
}

// Has reports whether a record is stored, on whichever branch.
func (s *State) Has(p api.Position) (bool, error) {
	if f, err := s.Feed(p.Feed); err != nil || f == nil {
		return false, err
	} else if f.Tip.Seq == p.Seq && f.Tip.ID == p.ID {
		return true, nil
	} else if f.Fork == 0 && p.Seq > f.Tip.Seq {
		return false, nil
	}
	return s.has(p)
}

// Advertise returns what to tell peers of a feed.
func (s *State) Advertise(id api.Hash) (Advertised, error) {
	f, err := s.Feed(id)
	if err != nil || f == nil {
		return Advertised{Feed: id}, err
	}
	return s.advertise(f)
}

// Siblings counts the stored records at a position's seq, up to most.
func (s *State) Siblings(feed api.Hash, seq uint64, most int) (int, error) {
	n := 0
	for p := range s.recs {
		if p.Feed == feed && p.Seq == seq {
			n++
		}
	}
	err := each(s.st, key(nsRecord, feed[:], be(seq)), func(_, _ []byte) (bool, error) {
		n++
		return n < most, nil
	})
	return n, err
}

// Draft says what Apply would make of a record that is not stored yet: no reason when it would be accepted; void when it would be void, and so for good.
// Nothing changes.
func (s *State) Draft(r *api.Record) (reason *api.Reason, isVoid bool, err error) {
	f, err := s.Feed(r.Feed)
	if err != nil {
		return nil, false, err
	}
	if f != nil {
		r.Author = f.Author
		if f.Fork != 0 {
			return &api.Reason{
				Domain: "kernel", Rule: "forked-feed", Text: "this device's feed is forked and held",
				Inputs: map[string]string{"feed": f.ID.String(), "fork": fmt.Sprint(f.Fork)},
				Remedy: "the office of the space can resolve it with a cut; another device can go on",
			}, false, nil
		}
	}
	t, out, reason, err := s.fold(r)
	s.drafted.id, s.drafted.tx = api.Hash{}, nil
	switch {
	case err != nil:
	case out == accepted:
		s.drafted.id, s.drafted.tx = r.ID, t
	case out == unfolded:
		reason = &api.Reason{Domain: "kernel", Rule: api.RuleUnknownKind, Text: "this build does not know the topic or kind", Remedy: "upgrade this node"}
	}
	return reason, out == void, err
}

// Put stores a record whose signature, chain and deps have been checked, and applies it. It changes memory and the batch; Commit makes it durable.
func (s *State) Put(e *record.Envelope) error {
	p := e.Position()
	f, err := s.Feed(p.Feed)
	if err != nil {
		return err
	}
	fresh := f == nil
	if fresh {
		f = &Feed{ID: p.Feed, Topic: e.Topic, Device: e.Device, Author: e.Author}
		s.feeds[f.ID] = f
		s.batch.Set(key(nsStatic, f.ID[:]), f.static())
		s.batch.Set(append(topicPrefix(nsTopic, f.Topic), f.ID[:]...), nil)
		if err := s.greet(f); err != nil {
			return err
		}
	}
	e.Author = f.Author
	tx, out, reason := s.drafted.tx, accepted, (*api.Reason)(nil)
	if tx == nil || s.drafted.id != p.ID {
		if tx, out, reason, err = s.fold(e.Record); err != nil {
			return err
		}
	}
	s.drafted.tx = nil // it holds for the state it was made on only
	st := &Stored{Envelope: e, outcome: out, reason: reason, local: s.next}
	if s.replayed != 0 {
		st.local = s.replayed
	} else {
		s.logged = append(s.logged, p)
		s.next++
	}
	s.began = s.began || st.local == 1
	s.recs[p] = st
	s.key, s.val = appendKey(s.key[:0], nsID, p.ID[:]), binary.BigEndian.AppendUint64(s.val[:0], st.local)
	s.batch.Set(s.key, s.val)
	s.key, s.val = appendPos(append(s.key[:0], nsRecord), p), appendStored(s.val[:0], st)
	s.batch.Set(s.key, s.val)
	if out == void {
		s.batch.Set(append(topicPrefix(nsVoid, f.Topic), posValue(p)...), nil)
	}
	if out == accepted {
		for i := range tx.rows {
			s.putRow(f, tx.rows[i].name, Mark{p.Seq, p.ID}, tx.rows[i].val)
		}
	}
	s.dirty[f.ID] = f
	if out == accepted { // what is void takes no cut into account
		if err := s.addRebases(f, tx.rebases); err != nil {
			return err
		}
		f.Cutter = f.Cutter || len(tx.cuts) > 0 || tx.closes
	}

	// Where the feed stands now. Fast: it grew by one and nothing is forked.
	fast, changed := false, len(s.changes)
	extends := f.Tip.Seq+1 == p.Seq && (p.Seq == 1 || f.Tip.ID == e.Prev)
	if extends && f.Fork == 0 && len(f.cuts)+len(f.rebases) == 0 {
		fast = true
		f.Tip, f.Waits = Mark{p.Seq, p.ID}, out == unfolded
		if out == accepted {
			if err := s.do(p, tx, +1); err != nil {
				return err
			}
		}
	} else {
		if err := s.touch(f); err != nil {
			return err
		}
		if extends {
			f.Tip, f.Waits = Mark{p.Seq, p.ID}, out == unfolded
		} else if f.Fork == 0 || p.Seq < f.Fork {
			other, err := s.ancestor(f.ID, f.Tip, p.Seq)
			if err != nil {
				return err
			}
			f.Fork, f.Alt = p.Seq, [2]api.Hash{other.ID, p.ID}
			f.Pending = true // what was stated of this branch was passed over while the other one was all there is
			s.changes = append(s.changes, Change{Kind: Forked, At: p})
			s.forget(f.ID)
			s.log.Warn("feed is forked", "feed", f.ID.Short(), "author", f.Author, "seq", p.Seq, "ids", []string{other.ID.Short(), p.ID.Short()})
		}
	}
	if out == accepted {
		for _, st := range tx.finals { // a fork is known by now
			if err := s.state(st, p); err != nil {
				return err
			}
		}
	}
	if fresh {
		f.Pending, err = s.statedFrom(f.ID, 1)
		if err != nil {
			return err
		}
	}
	if f.Pending {
		s.work = append(s.work, work{feed: f.ID})
	}
	if err := s.settle(); err != nil {
		return err
	}
	if out == accepted && !fast {
		s.arrived(p, st.local, changed)
	}
	active := false
	if out == accepted {
		st, err := s.stands(f)
		if err != nil {
			return err
		}
		if active, err = s.hasEffect(f, st, Mark{p.Seq, p.ID}); err != nil {
			return err
		}
	}
	s.commits = append(s.commits, api.Commit{Record: e.Record, Accepted: out == accepted, Active: active})
	s.spare = tx
	return nil
}

// fold runs the rules over r as the successor of r.Prev and returns the effects, the outcome and the reason.
func (s *State) fold(r *api.Record) (*tx, outcome, *api.Reason, error) {
	o := s.apps.topics[r.Topic.Name]
	if o == nil || r.Version != record.Version || !o.kinds[r.Kind] {
		return nil, unfolded, nil, nil
	}
	t := s.newTx(r, o)
	if r.Seq > 1 {
		waits, err := s.waits(r)
		if err != nil || waits {
			return nil, unfolded, nil, err
		}
	}
	for _, d := range r.Deps {
		f, err := s.Feed(d.Feed)
		if err != nil {
			return nil, 0, nil, err
		}
		if f == nil {
			return nil, 0, nil, api.Errorf("fold.apply", api.Internal, "dep %v is not stored", d)
		}
		if f.Topic.Space != r.Topic.Space {
			return t, void, kernelReason("foreign-dep", "the record cites a record of another space"), nil
		}
		out, err := s.verdict(d)
		if err != nil || out == unfolded {
			return nil, unfolded, nil, err
		}
	}
	if record.Founds(r) != (o.founding != "" && r.Kind == o.founding) {
		return t, void, kernelReason("founding", "only the founding kind of its topic founds a space, and it founds one"), nil
	}
	rebases, why, err := s.rebase(r)
	if err != nil {
		return nil, 0, nil, err
	}
	if why != nil {
		return t, void, why, nil
	}
	t.rebases = rebases
	if closed, err := s.closed(r, t.gaps()); err != nil || closed {
		return t, void, feedEnded(), err
	}
	out, err := t.run()
	switch {
	case err != nil:
		return nil, 0, nil, err
	case out.Void != nil:
		return t, void, out.Void, nil
	}
	return t, accepted, nil, nil
}

// waits reports whether the record before r is unfolded. Mostly that is the feed's tip, of which the header knows.
func (s *State) waits(r *api.Record) (bool, error) {
	f, err := s.Feed(r.Feed)
	if err != nil {
		return false, err
	}
	if f != nil && f.Tip.ID == r.Prev {
		return f.Waits, nil
	}
	prev, err := s.verdict(api.Position{Feed: r.Feed, Seq: r.Seq - 1, ID: r.Prev})
	return prev == unfolded, err
}

func kernelReason(rule, text string) *api.Reason {
	return &api.Reason{Domain: "kernel", Rule: rule, Text: text}
}

// verdict returns the outcome of a stored record without decoding it.
func (s *State) verdict(p api.Position) (outcome, error) {
	if st, ok := s.recs[p]; ok {
		return st.outcome, nil
	}
	b, ok, err := s.st.Get(recordKey(p))
	if err != nil {
		return 0, err
	}
	if !ok || len(b) == 0 {
		return 0, api.Errorf("fold.verdict", api.Internal, "record %v is not stored", p)
	}
	return outcome(b[0]), nil
}

// Commit makes everything since the last Commit durable at once and returns what was committed, in order. After an error the State must not be used.
func (s *State) Commit(sync bool) ([]api.Commit, []api.Position, error) {
	for _, f := range s.dirty {
		s.key, s.val = appendKey(s.key[:0], nsHead, f.ID[:]), f.appendHead(s.val[:0])
		s.batch.Set(s.key, s.val)
	}
	for _, c := range s.counted {
		if c.changed = false; c.n == 0 {
			s.batch.Delete(c.key)
		} else {
			s.val = binary.BigEndian.AppendUint64(s.val[:0], uint64(c.n))
			s.batch.Set(c.key, s.val)
		}
	}
	s.putLog()
	s.putJournal()
	if s.batch.Len() > 0 {
		if err := s.st.Commit(s.batch, sync); err != nil {
			return nil, nil, err
		}
		s.batch.Reset()
	}
	commits, finals := s.commits, s.finalMoved
	s.commits, s.finalMoved = nil, nil
	clear(s.recs)
	clear(s.over)
	clear(s.finals)
	clear(s.cutsOf)
	clear(s.cutting)
	clear(s.dirty)
	s.counted = s.counted[:0]
	if len(s.feeds) > maxFeeds {
		clear(s.feeds)
	}
	if len(s.rows) > maxRows {
		clear(s.rows)
	}
	if len(s.counters) > maxCounters {
		clear(s.counters)
	}
	return commits, finals, nil
}

// Uncommitted counts the records since the last Commit.
func (s *State) Uncommitted() int { return len(s.recs) }

// SetMeta writes a small named value with the next Commit.
func (s *State) SetMeta(name string, val []byte) { s.batch.Set(key(nsMeta, []byte(name)), val) }

// SetIdempotent remembers, with the next Commit, that device used a request name for the record at p with the given content.
func (s *State) SetIdempotent(device api.Key, name, content api.Hash, p api.Position) {
	s.batch.Set(key(nsIdem, device[:], name[:]), append(content[:], posValue(p)...))
}

// Idempotent returns what device's request name was used for.
func Idempotent(r store.Reader, device api.Key, name api.Hash) (content api.Hash, p api.Position, ok bool, err error) {
	b, ok, err := r.Get(key(nsIdem, device[:], name[:]))
	if err != nil || !ok || len(b) != 104 {
		return content, p, false, err
	}
	p, ok = parsePos(b[32:])
	return api.Hash(b[:32]), p, ok, nil
}

// IdempotencyName is the stored form of a request's name.
func IdempotencyName(s string) api.Hash { return sha256.Sum256([]byte(s)) }
