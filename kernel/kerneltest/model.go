package kerneltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Model is the reference for the kernel's fold: everything in memory, hardly anything cached, one goroutine, rules written the obvious way.
// It holds records and what the apps made of them. App tests run on it without store, network or wall clock; differential tests compare the
// real fold with it, digest by digest. It is stricter than the kernel: an app that breaks a rule of api.Tx panics. It is not safe for
// concurrent use.
type Model struct {
	Clock  time.Time                                // what Host.Now says; advance it at will
	OnDial func(address string, proof []byte) error // what Host.Dial does; nil: nothing, successfully

	self     api.Signer
	apps     []api.App
	names    []string // sorted
	owners   map[string]*owner
	oracles  map[api.Domain]api.PolicyOracle
	services api.Services

	nodes   map[api.Hash]*node
	feeds   map[api.Hash]*feed
	log     []*node // in the order of arrival
	seen    []int   // per app: how much of the log React has shown it
	follows map[api.Hash]bool
	idem    map[string]used
	last    api.Timestamp

	index  map[string]map[string]indexRow // app -> key
	count  map[string]map[string]int64    // app -> key
	forked bool                           // some feed is
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
	raw     []byte
	parent  *node
	number  int
	owner   *owner
	out     api.Outcome
	effects effects
}

type effects struct {
	rows   map[string][]byte // rowName -> value
	index  map[string][]byte
	count  map[string]int64
	finals []api.Position
}

type feed struct {
	topic  api.Topic
	device api.Key
	author api.DID
	tip    *node // newest of the branch met first
	nodes  []*node
	fork   uint64
	final  *node // highest final record, nil for none
	active *node // last record with effect, nil for none
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
		Clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), self: Signer("self"), apps: apps, owners: map[string]*owner{},
		oracles: map[api.Domain]api.PolicyOracle{}, nodes: map[api.Hash]*node{}, feeds: map[api.Hash]*feed{}, seen: make([]int, len(apps)),
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
func (m *Model) SetSelf(s api.Signer) { m.self = s }

// Signer is Signer; a method for brevity.
func (m *Model) Signer(name string) api.Signer { return Signer(name) }

// Append makes d the next record of s's feed, as api.Host's Append does.
func (m *Model) Append(s api.Signer, d api.Draft) (api.Receipt, error) {
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
	r, raw, err := m.make(s, d, prev)
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
	n.raw = raw
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
	r, _, err := m.make(s, d, prev)
	return r, err
}

func (m *Model) make(s api.Signer, d api.Draft, prev api.Position) (*api.Record, []byte, error) {
	m.last = max(m.last+1, api.MakeTimestamp(m.Clock.UnixMilli(), 0))
	r := &api.Record{Version: record.Version, Topic: d.Topic, Seq: prev.Seq + 1, Prev: prev.ID, Time: m.last, Deps: d.Deps, Kind: d.Kind, Body: d.Body}
	if r.Seq == 1 {
		r.Auth = s.Auth()
	}
	e, err := record.Sign(r, s)
	if err != nil {
		return nil, nil, err
	}
	// What others get is what the bytes say.
	got, err := record.Decode(e.Raw)
	if err != nil {
		return nil, nil, err
	}
	got.Author = s.DID()
	return got.Record, e.Raw, nil
}

// Deliver applies a record made elsewhere. A record whose predecessor or deps are missing is NotFound and leaves no trace; one that is
// stored already changes nothing.
func (m *Model) Deliver(r *api.Record) (api.Outcome, error) {
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

// fold runs the rules over r and gives its node, not yet stored.
func (m *Model) fold(r *api.Record) (*node, error) {
	const op = "model.fold"
	o := m.owners[r.Topic.Name]
	if o == nil {
		return nil, api.Errorf(op, api.Unsupported, "topic %q belongs to no app", r.Topic.Name)
	}
	n := &node{rec: r, owner: o}
	if r.Seq > 1 {
		if n.parent = m.nodes[r.Prev]; n.parent == nil || n.parent.rec.Feed != r.Feed || n.parent.rec.Seq != r.Seq-1 {
			return nil, api.Errorf(op, api.NotFound, "the predecessor of %v is not here", r.Position())
		}
		r.Author = n.parent.rec.Author
	} else {
		ke, err := record.ParseKeyEvent(r.Auth)
		if err != nil {
			return nil, err
		}
		if ke.Device != r.Device {
			return nil, api.Errorf(op, api.Invalid, "the key event certifies another device")
		}
		r.Author = ke.DID
	}
	for _, d := range r.Deps {
		dn := m.nodes[d.ID]
		switch {
		case dn == nil || dn.rec.Position() != d:
			return nil, api.Errorf(op, api.NotFound, "dep %v is not here", d)
		case dn.rec.Topic.Space != r.Topic.Space:
			n.out = kernelVoid("foreign-dep", "the record cites a record of another space")
			return n, nil
		}
	}
	if founds := r.Seq == 1 && r.ID == r.Topic.Space; founds != (o.founding != "" && r.Kind == o.founding) {
		n.out = kernelVoid("founding", "only the founding kind of its topic founds a space, and it founds one")
		return n, nil
	}
	n.out, n.effects = m.apply(n)
	// Pure means: the same again, from the same.
	out, again := m.apply(n)
	if !reflect.DeepEqual(out, n.out) || !reflect.DeepEqual(again, n.effects) {
		panic(fmt.Sprintf("%s: Apply of %v is not pure:\n%+v %+v\n%+v %+v", o.name, r.Position(), n.out, n.effects, out, again))
	}
	if n.out.Void != nil {
		n.effects = effects{}
	}
	return n, nil
}

func kernelVoid(rule, text string) api.Outcome { return api.Voided("kernel", rule, text) }

func (m *Model) apply(n *node) (api.Outcome, effects) {
	rec := *n.rec
	rec.Body, rec.Auth, rec.Deps = bytes.Clone(rec.Body), bytes.Clone(rec.Auth), slices.Clone(rec.Deps)
	t := &tx{m: m, n: n, effects: effects{rows: map[string][]byte{}, index: map[string][]byte{}, count: map[string]int64{}}}
	out := n.owner.app.Apply(t, &rec)
	if !bytes.Equal(rec.Body, n.rec.Body) || !slices.Equal(rec.Deps, n.rec.Deps) {
		panic(n.owner.name + ": Apply changed the record")
	}
	t.done = true
	return out, t.effects
}

// put stores a folded node and works out anew what has effect.
func (m *Model) put(n *node) {
	r := n.rec
	n.number = len(m.log)
	m.log = append(m.log, n)
	m.nodes[r.ID] = n
	f := m.feeds[r.Feed]
	if f == nil {
		f = &feed{topic: r.Topic, device: r.Device, author: r.Author}
		m.feeds[r.Feed] = f
	}
	for _, o := range f.nodes {
		if o.rec.Seq == r.Seq && (f.fork == 0 || r.Seq < f.fork) {
			f.fork = r.Seq
		}
	}
	f.nodes = append(f.nodes, n)
	for k := range n.effects.index {
		k = n.owner.name + "\x00" + k
		place := api.Position{Feed: r.Feed, Seq: r.Seq}
		if by, ok := m.users[k]; ok && by != place {
			panic(fmt.Sprintf("index key %q is written by %v and %v", k, by, place))
		}
		m.users[k] = place
	}
	if f.tip == n.parent {
		f.tip = n
	}
	m.forked = m.forked || f.fork != 0
	if m.forked {
		m.settle()
		return
	}
	// The one short cut: without forks everything accepted has effect, and only final marks can move.
	f.active = n
	if n.out.Void == nil {
		m.do(n)
	}
	m.mark(r.Feed, f)
	for _, p := range n.effects.finals {
		if f := m.feeds[p.Feed]; f != nil {
			m.mark(p.Feed, f)
		}
	}
}

// settle computes which records have effect, from nothing: first no position is final, then those that effective records state, and so on
// until nothing moves. Then it does the effects.
func (m *Model) settle() {
	for _, f := range m.feeds {
		f.final, f.active = nil, f.end(nil)
	}
	for round := 0; ; round++ {
		if round > len(m.log) {
			panic("final positions do not come to rest")
		}
		moved := false
		for id, f := range m.feeds {
			if m.mark(id, f) {
				moved = true
			}
		}
		if !moved {
			break
		}
		for _, f := range m.feeds {
			f.active = f.end(f.final)
		}
	}
	for app := range m.index {
		clear(m.index[app])
		clear(m.count[app])
	}
	for _, n := range m.log {
		if m.effective(n) {
			m.do(n)
		}
	}
}

// mark sets f's final record: of the positions that effective records of other feeds state, in order, each that continues the one before.
func (m *Model) mark(id api.Hash, f *feed) bool {
	var stated []api.Position
	for _, n := range m.log {
		if n.rec.Feed == id || len(n.effects.finals) == 0 || !m.effective(n) {
			continue
		}
		for _, p := range n.effects.finals {
			if p.Feed == id {
				stated = append(stated, p)
			}
		}
	}
	slices.SortFunc(stated, func(a, b api.Position) int {
		if a.Seq != b.Seq {
			return int(min(max(int64(a.Seq)-int64(b.Seq), -1), 1))
		}
		return bytes.Compare(a.ID[:], b.ID[:])
	})
	var fin *node
	for _, p := range stated {
		if n := m.nodes[p.ID]; n != nil && n.rec.Position() == p && (fin == nil || n.on(fin.rec.Seq) == fin) {
			fin = n
		}
	}
	moved := fin != f.final
	f.final = fin
	return moved
}

// end is the last record with effect when fin is the final one.
func (f *feed) end(fin *node) *node {
	switch {
	case f.fork == 0:
		return f.tip
	case fin != nil && fin.rec.Seq >= f.fork:
		return fin
	}
	return f.tip.on(f.fork - 1)
}

// on returns n's ancestor at seq, n itself when it is there, nil when there is none.
func (n *node) on(seq uint64) *node {
	for n != nil && n.rec.Seq > seq {
		n = n.parent
	}
	if n == nil || n.rec.Seq != seq {
		return nil
	}
	return n
}

// onBranch reports whether n is end or below it.
func (n *node) onBranch(end *node) bool { return end != nil && end.on(n.rec.Seq) == n }

// held reports whether n waits for a fork to be resolved.
func (m *Model) held(n *node) bool { return !n.onBranch(m.feeds[n.rec.Feed].active) }

func (m *Model) effective(n *node) bool { return n.out.Void == nil && !m.held(n) }

func (m *Model) final(n *node) bool { return n.onBranch(m.feeds[n.rec.Feed].final) }

func (m *Model) do(n *node) {
	app := n.owner.name
	for k, v := range n.effects.index {
		m.index[app][k] = indexRow{v, n}
	}
	for k, d := range n.effects.count {
		c := m.count[app]
		if c[k] += d; c[k] == 0 {
			delete(c, k)
		}
	}
}

// Records returns all records in the order of their arrival, which is a causal order.
func (m *Model) Records() []*api.Record {
	rs := make([]*api.Record, len(m.log))
	for i, n := range m.log {
		rs[i] = n.rec
	}
	return rs
}

// Raw returns the signed envelope of a record that was appended here.
func (m *Model) Raw(id api.Hash) []byte {
	if n := m.nodes[id]; n != nil {
		return n.raw
	}
	return nil
}

// React shows each reactor the commits it has not seen, app by app, until there are none.
func (m *Model) React() error {
	for range math.MaxInt16 {
		quiet := true
		for i, a := range m.apps {
			r, ok := a.(api.Reactor)
			from := m.seen[i]
			m.seen[i] = len(m.log)
			if !ok {
				continue
			}
			info, watch := a.Info(), r.Watch()
			var cs []api.Commit
			for _, n := range m.log[from:] {
				if n.owner.name == info.Name || slices.Contains(watch, "*") || slices.Contains(watch, n.rec.Topic.Name) {
					cs = append(cs, api.Commit{Record: n.rec, Accepted: n.out.Void == nil, Active: m.effective(n)})
				}
			}
			if len(cs) == 0 {
				continue
			}
			quiet = false
			if err := r.React(context.Background(), m.Host(info.Name), cs); err != nil {
				return fmt.Errorf("react %s: %w", info.Name, err)
			}
		}
		if quiet {
			return nil
		}
	}
	return api.Errorf("model.react", api.Internal, "the reactors do not come to rest")
}

// Digest hashes one app's state exactly as the kernel does: counters, index rows, and the feed rows and facts with effect.
func (m *Model) Digest(app string) api.Hash {
	h := sha256.New()
	add := func(parts ...[]byte) {
		for _, p := range parts {
			h.Write(api.Seq8(uint64(len(p))))
			h.Write(p)
		}
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
	return api.Hash(h.Sum(nil))
}
