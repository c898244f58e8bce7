package kerneltest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Model is the reference for the kernel's fold: everything in memory, hardly anything cached, one goroutine, rules written the obvious way.
// It holds records and what the apps made of them. App tests run on it without store, network or wall clock; differential tests compare the
// real fold with it, digest by digest. It is stricter than the kernel: an app that breaks a rule of api.Tx panics.
//
// It is single-threaded, and safe for an operation that waits on another goroutine: a lock guards the records, never a call of an app's code
// other than Apply. React is called by one goroutine at a time.
type Model struct {
	Clock  time.Time                                // what Host.Now says; advance it at will
	OnDial func(address string, proof []byte) error // what Host.Dial does; nil: nothing, successfully

	mu       sync.Mutex // guards what follows
	self     api.Signer
	signers  map[string]api.Signer
	apps     []api.App
	names    []string // sorted
	owners   map[string]*owner
	oracles  map[api.Domain]api.PolicyOracle
	services api.Services

	nodes   map[api.Hash]*node
	raws    map[api.Hash][]byte
	feeds   map[api.Hash]*feed
	log     []*node // in the order of arrival
	seen    []int   // per app: how much of the log React has shown it
	follows map[api.Hash]bool
	idem    map[string]used
	last    api.Timestamp

	index  map[string]map[string]indexRow // app -> key
	count  map[string]map[string]int64    // app -> key
	forked bool                           // some feed is, or is cut
	busy   bool                           // more records come: what has effect is worked out after the last
	users  map[string]api.Position        // app and index key -> the one place in a feed that may write it
}

type owner struct {
	app      api.Applier
	name     string
	topic    api.TopicSpec
	founding string
}

type node struct {
	rec     *api.Record
	parent  *node
	number  int
	owner   *owner
	out     api.Outcome
	effects effects
	rebases []rebase // cuts of its feed that it is the first to cite
}

// rebase says that a node stands on an earlier one, of its own feed or of another.
type rebase struct {
	by   api.Hash // feed of the cut
	seq  uint64   // and its place there
	from api.Hash
	at   *node // nil: on nothing
}

func (rb *rebase) seqAt() uint64 {
	if rb.at == nil {
		return 0
	}
	return rb.at.rec.Seq
}

type effects struct {
	rows   map[string][]byte // rowName -> value
	index  map[string][]byte
	count  map[string]int64
	finals []statement
	cuts   []api.Cut
}

type feed struct {
	topic  api.Topic
	device api.Key
	author api.DID
	tip    *node // newest of the branch met first
	nodes  []*node
	fork   uint64
	final  *node          // highest final record, nil for none
	rival  *node          // as final, on another branch; nil for none
	active *node          // last record that may have effect, nil for none
	stand  map[*node]bool // in a space with forks or cuts: the records that have their place up to there
}

type indexRow struct {
	val []byte
	by  *node
}

type used struct {
	content api.Hash
	receipt api.Receipt
}

// NewModel returns an empty node with the given apps, whose own member is Signer("self"). Apps that are Starters are started.
func NewModel(apps ...api.App) *Model {
	m := &Model{
		Clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), self: Signer("self"), signers: map[string]api.Signer{}, apps: apps, owners: map[string]*owner{},
		oracles: map[api.Domain]api.PolicyOracle{}, nodes: map[api.Hash]*node{}, raws: map[api.Hash][]byte{}, feeds: map[api.Hash]*feed{}, seen: make([]int, len(apps)),
		follows: map[api.Hash]bool{}, idem: map[string]used{}, index: map[string]map[string]indexRow{}, count: map[string]map[string]int64{},
		users: map[string]api.Position{},
	}
	for _, a := range apps {
		info := a.Info()
		m.names = append(m.names, info.Name)
		m.index[info.Name], m.count[info.Name] = map[string]indexRow{}, map[string]int64{}
		for _, t := range info.Topics {
			if m.owners[t.Name] != nil {
				panic(fmt.Sprintf("topic %q has two owners", t.Name))
			}
			m.owners[t.Name] = &owner{app: a.(api.Applier), name: info.Name, topic: t, founding: t.Founding}
		}
		if p, ok := a.(api.OracleProvider); ok {
			m.oracles[p.Oracle().Domain()] = p.Oracle()
		}
	}
	slices.Sort(m.names)
	for _, a := range apps {
		if s, ok := a.(api.Starter); ok {
			if err := s.Start(context.Background(), m.Host(a.Info().Name)); err != nil {
				panic(err)
			}
		}
	}
	return m
}

// SetSelf says which member this node serves.
func (m *Model) SetSelf(s api.Signer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.self = s
}

// Signer returns Signer(name) and remembers it: making one takes a while.
func (m *Model) Signer(name string) api.Signer {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.signers[name]
	if !ok {
		s = Signer(name)
		m.signers[name] = s
	}
	return s
}

// Append makes d the next record of s's feed, as api.Host's Append does.
func (m *Model) Append(s api.Signer, d api.Draft) (api.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const op = "model.append"
	if len(d.Idempotency) > 64 {
		return api.Receipt{}, api.Errorf(op, api.Invalid, "idempotency key of %d characters: at most 64", len(d.Idempotency))
	}
	key := string(s.DID()) + "\x00" + d.Idempotency
	content := contentOf(d)
	if u, ok := m.idem[key]; ok && d.Idempotency != "" {
		if u.content != content {
			return api.Receipt{}, api.Errorf(op, api.Conflict, "idempotency key %q was used for something else", d.Idempotency)
		}
		u.receipt.Repeated = true
		u.receipt.Final = m.final(m.nodes[u.receipt.Position.ID])
		return u.receipt, nil
	}
	var prev api.Position
	if f := m.feeds[record.FeedID(d.Topic, s.Device())]; f != nil && !d.Topic.Space.IsZero() {
		if f.fork != 0 {
			return api.Receipt{}, api.Refusal(op, &api.Reason{Domain: "kernel", Rule: "forked-feed", Text: "this device's feed is forked and held"})
		}
		prev = f.tip.rec.Position()
	}
	r, err := m.make(s, d, prev)
	if err != nil {
		return api.Receipt{}, err
	}
	n, err := m.fold(r)
	if err != nil {
		return api.Receipt{}, err
	}
	if n.out.Void != nil {
		return api.Receipt{}, api.Refusal(op, n.out.Void)
	}
	m.put(n)
	rc := api.Receipt{Position: r.Position(), Topic: r.Topic, Time: r.Time}
	if d.Idempotency != "" {
		m.idem[key] = used{content, rc}
	}
	if d.Topic.Space.IsZero() {
		m.follows[r.Topic.Space] = true
	}
	return rc, nil
}

// contentOf hashes what a request asks for: deps are how, not what.
func contentOf(d api.Draft) api.Hash {
	return sha256.Sum256(fmt.Appendf(nil, "%s %s %q", d.Topic, d.Kind, d.Body))
}

// Make signs a record that follows prev (zero: the first of its feed) and stores nothing: for forks and for records of the other side.
func (m *Model) Make(s api.Signer, d api.Draft, prev api.Position) (*api.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.make(s, d, prev)
}

func (m *Model) make(s api.Signer, d api.Draft, prev api.Position) (*api.Record, error) {
	m.last = max(m.last+1, api.MakeTimestamp(m.Clock.UnixMilli(), 0))
	r := &api.Record{Version: record.Version, Topic: d.Topic, Seq: prev.Seq + 1, Prev: prev.ID, Time: m.last, Deps: d.Deps, Kind: d.Kind, Body: d.Body}
	if r.Seq == 1 {
		r.Auth = s.Auth()
	}
	e, err := record.Sign(r, s)
	if err != nil {
		return nil, err
	}
	// What others get is what the bytes say.
	got, err := record.Decode(e.Raw)
	if err != nil {
		return nil, err
	}
	got.Author = s.DID()
	m.raws[got.ID] = e.Raw
	return got.Record, nil
}

// Deliver applies a record made elsewhere. A record whose predecessor or deps are missing is NotFound and leaves no trace; one that is
// stored already changes nothing.
func (m *Model) Deliver(r *api.Record) (api.Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.nodes[r.ID]; n != nil {
		return n.out, nil
	}
	// The id is computed, never believed.
	c := *r
	if c.Seq == 1 && c.ID == c.Topic.Space {
		c.Topic.Space = api.Hash{}
	}
	if _, err := record.Unsigned(&c); err != nil {
		return api.Outcome{}, err
	}
	if c.ID != r.ID || c.Feed != r.Feed {
		return api.Outcome{}, api.Errorf("model.deliver", api.Invalid, "record %s claims an id or feed that is not its own", r.ID.Short())
	}
	n, err := m.fold(&c)
	if err != nil {
		return api.Outcome{}, err
	}
	m.put(n)
	m.last = max(m.last, r.Time)
	return n.out, nil
}

// DeliverAll delivers records in their order, and works out only at the end what has effect: no verdict depends on that.
func (m *Model) DeliverAll(rs []*api.Record) error {
	m.setBusy(true)
	defer m.setBusy(false)
	for _, r := range rs {
		if _, err := m.Deliver(r); err != nil {
			return api.Wrap("record "+r.ID.Short(), err)
		}
	}
	return nil
}

func (m *Model) setBusy(busy bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy = busy; !busy && m.forked {
		m.settle()
	}
}

// Records returns all records in the order of their arrival, which is a causal order.
func (m *Model) Records() []*api.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	rs := make([]*api.Record, len(m.log))
	for i, n := range m.log {
		rs[i] = n.rec
	}
	return rs
}

// Raw returns the signed envelope of a record that was made here, by Append or Make; nil for others.
func (m *Model) Raw(id api.Hash) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.raws[id]
}

// React shows each reactor the commits it has not seen, app by app, until there are none.
func (m *Model) React() error {
	for range math.MaxInt16 {
		quiet := true
		for i, a := range m.apps {
			r, ok := a.(api.Reactor)
			if !ok {
				continue
			}
			cs := m.unseen(i, a.Info().Name, r.Watch())
			if len(cs) == 0 {
				continue
			}
			quiet = false
			if err := r.React(context.Background(), m.Host(a.Info().Name), cs); err != nil {
				return fmt.Errorf("react %s: %w", a.Info().Name, err)
			}
		}
		if quiet {
			return nil
		}
	}
	return api.Errorf("model.react", api.Internal, "the reactors do not come to rest")
}

// unseen returns the commits of its own topics and of those it watches that app i has not been shown.
func (m *Model) unseen(i int, name string, watch []string) (cs []api.Commit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.log[m.seen[i]:] {
		if n.owner.name == name || slices.Contains(watch, "*") || slices.Contains(watch, n.rec.Topic.Name) {
			cs = append(cs, api.Commit{Record: n.rec, Accepted: n.out.Void == nil, Active: m.effective(n)})
		}
	}
	m.seen[i] = len(m.log)
	return cs
}

// Digest hashes one app's state exactly as the kernel does: counters, index rows, and the feed rows and facts with effect.
func (m *Model) Digest(app string) api.Hash {
	m.mu.Lock()
	defer m.mu.Unlock()
	var leaves []api.Hash
	add := func(parts ...[]byte) {
		leaf := append([]byte{0}, parts[0]...)
		for _, p := range parts[1:] {
			leaf = append(append(leaf, api.Seq8(uint64(len(p)))...), p...)
		}
		leaves = append(leaves, sha256.Sum256(leaf))
	}
	for _, k := range sortedKeys(m.count[app]) {
		add([]byte{'C'}, []byte(k), api.Seq8(uint64(m.count[app][k])))
	}
	for _, k := range sortedKeys(m.index[app]) {
		add([]byte{'X'}, []byte(k), m.index[app][k].val)
	}
	type row struct{ feed, name, seq, val []byte }
	var rows []row
	for _, n := range m.log {
		if n.owner.name == app && m.effective(n) {
			for k, v := range n.effects.rows {
				rows = append(rows, row{n.rec.Feed[:], []byte(k), api.Seq8(n.rec.Seq), v})
			}
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return slices.Compare([]string{string(a.feed), string(a.name) + string(a.seq)}, []string{string(b.feed), string(b.name) + string(b.seq)})
	})
	for _, r := range rows {
		add([]byte{'A'}, r.feed, r.name, r.seq, r.val)
	}
	var root api.Hash
	if len(leaves) > 0 {
		root = treeOf(leaves)
	}
	return sha256.Sum256(append(api.Seq8(uint64(len(leaves))), root[:]...))
}

// treeOf is the root of a Merkle tree as RFC 9162, 2.1.1, defines it.
func treeOf(leaves []api.Hash) api.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	l, r := treeOf(leaves[:k]), treeOf(leaves[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}
