package api

import (
	"context"
	"iter"
	"log/slog"
	"time"
)

// App is the one interface every app implements: who it is and which topics it owns. What else it can do the kernel
// finds by asking for the optional interfaces below.
type App interface {
	Info() AppInfo
}

// AppInfo describes an app. Name is one lower-case word and owns the app's rows in the store.
type AppInfo struct {
	Name   string
	Topics []TopicSpec
}

// TopicSpec declares a topic name that the app owns in every space, and the record kinds it understands there.
type TopicSpec struct {
	Name      string
	Retention Retention
	Kinds     []string
	Founding  string // kind that founds a space in this topic, at most one over all apps; "" for none
}

// Applier folds records into state. Apply must be pure: its outcome may depend only on rec, on what tx returns and on
// constants of the build. It must not read a clock, do I/O, start goroutines or depend on map order.
type Applier interface {
	App
	Apply(tx Tx, rec *Record) Outcome
}

// OracleProvider is an app with policy.
type OracleProvider interface {
	App
	Oracle() PolicyOracle
}

// OperationProvider is an app with an API.
type OperationProvider interface {
	App
	Operations() []Operation
}

// Reactor is an app with side effects after commit. React is called with the records of its own topics (and of those named by Watch)
// that committed, in commit order and at least once after a crash: it must be idempotent. It runs on its own goroutine and may call Host.
type Reactor interface {
	App
	Watch() []string // further topic names to see; nil for none, "*" for all
	React(ctx context.Context, host Host, commits []Commit) error
}

// Adviser is an app that knows what to do about its noes. Remedies returns, by rule, what a person can do about a record that Apply made void or an
// operation that was refused by it, best with the command to type: one short sentence, lower case, no full stop. With it the kernel completes each reason
// whose Domain is the app's name and which has no Remedy of its own, when somebody reads it: it is not stored with the record. The kernel has remedies for
// the rules malformed and unknown-kind itself. Called once, before the kernel runs.
type Adviser interface {
	App
	Remedies() map[string]string
}

// Starter is an app that needs its Host before it serves: to rebuild a cache, to publish a service. It must not block.
type Starter interface {
	App
	Start(ctx context.Context, host Host) error
}

// Runner is an app with a long-running part. Serve returns when ctx ends; the supervisor restarts it with back-off when
// it fails, without touching its siblings.
type Runner interface {
	App
	Serve(ctx context.Context, host Host) error
}

// Ticker is a Runner whose work can be done in turns. Where nothing may run by itself, in a simulation, the kernel calls Tick again and again in
// place of Serve; Serve of such an app does the same work by the same code. Tick must neither block nor start a goroutine, and takes the time from
// its argument. An error is logged and the next Tick tries again.
type Ticker interface {
	Runner
	Tick(ctx context.Context, host Host, now time.Time) error
}

// Outcome is Apply's verdict: accepted, or void with a reason. The effects of a void record are dropped; the record keeps its place.
type Outcome struct {
	Void *Reason
}

// Accepted is the outcome of a record that counts.
var Accepted = Outcome{}

// Voided is the outcome of a record that keeps its place and has no effect.
func Voided(domain Domain, rule, text string) Outcome {
	return Outcome{Void: &Reason{Domain: domain, Rule: rule, Text: text}}
}

// Tx is what Apply sees. Every read is relative to a position that the record's own past contains, so that a verdict is a
// function of the record's causal past whatever else the node knows; every write belongs to the record, so that the
// kernel can undo it exactly.
//
// There are three kinds of writes. Feed rows (Put) and facts (Publish) are versioned by the record's position and are what later Apply
// calls may read. Index rows and counters exist for queries only: Apply cannot read them, since they hold more than the causal past. Keys and
// values are copied.
type Tx interface {
	// Own returns the newest row that this record's feed Put under key before this record.
	Own(key []byte) ([]byte, bool)
	// At returns the newest row of this app that dep's feed had Put under key at dep. It panics if dep is not Within what the record cites.
	At(dep Position, key []byte) ([]byte, bool)
	// Fact returns the newest fact that any app Published under (name, key) from dep's feed at dep. It panics if dep is not Within what the
	// record cites.
	Fact(dep Position, name string, key []byte) ([]byte, bool)
	// Dep returns the header of a record that this record cites (Body and Auth are not set) and whether it was accepted.
	Dep(dep Position) (rec *Record, accepted bool)

	// Put writes a feed row.
	Put(key, value []byte)
	// Publish writes a fact.
	Publish(name string, key, value []byte)
	// Index writes a query row. The key must be unique to this record, e.g. end in its feed and seq: two records must not write one key.
	Index(key, value []byte)
	// Add adds delta to a query counter. A counter that returns to zero is as if never touched.
	Add(counter []byte, delta int64)
	// Within reports whether pos is a position that this record cites or one before it on the same branch. At and Fact read at such a position, too.
	Within(pos Position) bool
	// Final states that this record's feed holds a position of another feed to be final; what is before it is stated with it. It counts while
	// this record counts, and makes the position final as by says.
	Final(pos Position, by Support)
	// Cut says where another feed ends. It counts for that feed from its first record that cites this one or a later cut by this feed, and for
	// everybody once this record is final: what lies beyond has no effect, but what cites it goes on from where the feed was cut. With this
	// record's own feed and position it closes its feed: no later record of it is accepted, and a Next goes on from here.
	Cut(c Cut)
}

// Cut says that a feed ends at a position, and who goes on from there. The position must be Within what the record cites, or the record's own.
type Cut struct {
	Feed Hash
	At   Position // of Feed; a zero Seq: nothing of it stands
	Next Key      // the device whose feed in the same topic goes on from At; zero: Feed itself; Feed's own device: nobody, until a later cut says otherwise
}

// Support says when statements make a position final: when Need feeds have stated it, or later positions of its branch, alike in Epoch and
// Variant. Those that are alike must have one Need. A statement with a Need of 0 counts for nothing.
type Support struct {
	Epoch   uint64 // which set of feeds states: statements of two sets never add up
	Variant uint64 // what they hold the verdicts to be, as far as that may differ: statements of two opinions never add up
	Need    uint16
	// Seal says that the position is of a feed that states itself, and that it goes on from there: once that is final so, what it states on other
	// branches counts for nothing. Seals add up among themselves only, and count on whatever branch they stand.
	Seal bool
}

// Alone is the support of a feed whose word is enough.
var Alone = Support{Need: 1}

// CutState is a cut as a node knows it.
type CutState struct {
	By    Position // the record that cuts
	At    Position // the last position that stands
	Final bool     // the cut is final
	Cited bool     // the feed's newest record stands on it
}

// Verdict is what a node knows of a stored record.
type Verdict struct {
	Accepted bool    `json:"accepted"`
	Held     bool    `json:"held"`  // the feed is forked at or before this position: no effect until that is resolved
	Final    bool    `json:"final"` // nothing will change it
	Reason   *Reason `json:"reason,omitempty"`
}

// RuleUnknownKind is the rule of the reason why a stored record has no verdict.
const RuleUnknownKind = "unknown-kind"

// Unfolded reports whether this build does not know what a record says, or what it stands on: it is stored, and has no verdict.
func (v *Verdict) Unfolded() bool {
	return !v.Accepted && v.Reason != nil && v.Reason.Domain == "kernel" && v.Reason.Rule == RuleUnknownKind
}

// Void reports whether a record keeps its place and has no effect.
func (v *Verdict) Void() bool { return !v.Accepted && v.Reason != nil && !v.Unfolded() }

// MaxBranches bounds how many branches of a feed a Reader lists.
const MaxBranches = 64

// Reader reads one consistent snapshot of an app's query side, for one goroutine at a time. Close it.
type Reader interface {
	// Counter returns a counter's value; an untouched counter is zero.
	Counter(key []byte) int64
	// Counters iterates the counters whose key starts with prefix, in key order.
	Counters(prefix []byte) iter.Seq2[[]byte, int64]
	// Index iterates the index rows whose key starts with prefix, in key order, or backwards when reverse is set. Iteration starts at
	// the first key after (before, when reverse) prefix+after; a nil after starts at the beginning (end).
	Index(prefix, after []byte, reverse bool) iter.Seq2[[]byte, []byte]
	// Own returns the newest feed row under key of the app on the given feed, and the record that wrote it.
	Own(feed Hash, key []byte) ([]byte, Position, bool)
	// Rows iterates the newest value of every feed row of the app on feed whose key starts with prefix, in key order.
	Rows(feed Hash, prefix []byte) iter.Seq2[[]byte, []byte]
	// Fact returns the newest fact of any app under (name, key) from feed.
	Fact(feed Hash, name string, key []byte) ([]byte, Position, bool)
	// Head returns the newest applied position of a feed.
	Head(feed Hash) (Position, bool)
	// Has reports whether a record is stored and has its place in the feed: not on a branch that is held.
	Has(pos Position) bool
	// Before reports whether a is b or comes before it on its branch, held or not, as far as both are stored.
	Before(a, b Position) bool
	// Final returns the highest final position of a feed.
	Final(feed Hash) (Position, bool)
	// Cuts lists the cuts of a feed that count or will.
	Cuts(feed Hash) []CutState
	// Base returns where another feed ends on which feed goes on, by what the record at a position has cut: what the first record of feed that cites
	// it stands on. It answers also while feed, or the one between, has not begun.
	Base(feed Hash, by Position) (Position, bool)
	// Branches lists where the branches of a forked feed end, as far as they are stored here, which says nothing of what others have: in order of place
	// and id, MaxBranches at most, and none of a feed that is not forked. Nothing may be decided by it that all nodes must decide alike.
	Branches(feed Hash) []Position
	// Record returns a stored record and its verdict.
	Record(pos Position) (*Record, Verdict, bool)
	// Voids iterates the void records of a topic, feed by feed, oldest first, starting after the given position (zero: the start).
	Voids(topic Topic, after Position) iter.Seq2[*Record, *Reason]
	// Lookup finds a stored record by id alone.
	Lookup(id Hash) (*Record, Verdict, bool)
	Close()
}

// MaxIdempotency is the longest name of a request, in bytes.
const MaxIdempotency = 64

// Draft is a record before the kernel gives it a place: what to write, not where.
type Draft struct {
	Topic Topic // a zero Space founds a new space
	Deps  []Position
	Kind  string
	Body  []byte
	// Idempotency names the request, at most MaxIdempotency bytes, "" for none: the same name and content by the same author answers with the first
	// receipt, another content is a Conflict. It survives restarts.
	Idempotency string
}

// Signer signs for a device of a DID. Auth is the key event that certifies the device.
type Signer interface {
	DID() DID
	Device() Key
	Auth() []byte
	Sign(message []byte) ([]byte, error)
}

// Commit is one record as it was committed, for reactors and subscribers.
type Commit struct {
	Record   *Record
	Accepted bool
	Active   bool // accepted and not held
}

// Head is a feed as this node holds it.
type Head struct {
	Topic  Topic    `json:"topic"`
	Device Key      `json:"device"`
	Author DID      `json:"author"`
	Tip    Position `json:"tip"`
	Fork   uint64   `json:"fork,omitempty"` // lowest forked seq, 0 for none
	Rival  Position `json:"rival,omitzero"` // enough have stated this final as well, though it does not continue what is final; zero for none
}

// Host is what the kernel offers to one app: its own rows, the road for new records, and the services beside it.
type Host interface {
	// Read opens a snapshot of the app's rows.
	Read() Reader
	// Append makes a draft the next record of the signer's feed in its topic, applies it, and commits it durably. A draft that Apply would
	// make void is refused with the reason and nothing is written. It returns once the wait level is reached; on a Timeout the record stands.
	Append(ctx context.Context, signer Signer, draft Draft, wait Wait) (Receipt, error)
	// Self returns the signer of this node's own member.
	Self() Signer
	// Feed returns the id of the feed of device in topic.
	Feed(topic Topic, device Key) Hash
	// Heads lists the feeds of a topic in feed order; with an empty topic name, of all topics of the space.
	Heads(topic Topic) []Head
	// Follow makes the node replicate a space (idempotent, durable); Follows lists the spaces.
	Follow(space Hash) error
	Follows() []Hash
	// Dial connects to a peer address `icn://<node did>@host:port` now and after each restart. Introduce gives the opaque proof to show to that
	// peer in the handshake; nil for none.
	Dial(ctx context.Context, address string, proof []byte) error
	// Addresses returns this node's own peer addresses.
	Addresses() []string
	Oracles() OracleRegistry
	Services() *Services
	Now() time.Time
	Log() *slog.Logger
}
