package gossip_test

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"fmt"
	"hash"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// toy is a record reduced to what gossip depends on.
type toy struct {
	_    struct{} `cbor:",toarray"`
	Feed []byte
	Seq  uint64
	Prev []byte
	Deps []wire.Position
	Body []byte
}

type entry struct {
	pos    api.Position
	prev   api.Hash
	deps   []api.Position
	env    []byte
	states api.Position // what it states final, zero for nothing
}

// stating is the body of a record that states p final, on its own word.
func stating(p api.Position) string { return fmt.Sprintf("final %s %d %s", p.Feed, p.Seq, p.ID) }

func stated(body []byte) (p api.Position) {
	var feed, id string
	if n, _ := fmt.Sscanf(string(body), "final %s %d %s", &feed, &p.Seq, &id); n < 3 {
		return api.Position{}
	}
	p.Feed, _ = api.ParseHash(feed)
	p.ID, _ = api.ParseHash(id)
	return p
}

func makeEntry(feed api.Hash, seq uint64, prev api.Hash, deps []api.Position, body string) entry {
	t := toy{Feed: feed[:], Seq: seq, Prev: prev[:], Body: []byte(body)}
	for _, d := range deps {
		t.Deps = append(t.Deps, wire.FromPosition(d))
	}
	env := codec.MustMarshal(&t)
	return entry{api.Position{Feed: feed, Seq: seq, ID: sha256.Sum256(env)}, prev, deps, env, stated(t.Body)}
}

func readEntry(env []byte) (entry, bool) {
	var t toy
	if codec.Unmarshal(env, &t) != nil || len(t.Feed) != 32 || len(t.Prev) != 32 || t.Seq == 0 {
		return entry{}, false
	}
	e := entry{api.Position{Feed: api.Hash(t.Feed), Seq: t.Seq, ID: sha256.Sum256(env)}, api.Hash(t.Prev), nil, env, stated(t.Body)}
	for _, d := range t.Deps {
		e.deps = append(e.deps, d.API())
	}
	return e, true
}

// toyFeed holds one feed: all stored records by seq.
type toyFeed struct {
	space api.Hash
	at    map[uint64][]entry // in order of arrival
	tip   api.Position
	fork  uint64
	final api.Position // the highest that is stored and stated final
	proof api.Position // by this record
}

// toyLog is ingest and store reduced to chains, deps and forks. It follows the same rules: a record is stored after its predecessor and its
// deps, a forked feed advertises the record before the fork and two records that prove it.
type toyLog struct {
	feeds   map[api.Hash]*toyFeed
	held    map[api.Hash]entry
	order   []api.Hash              // of held, oldest first
	waiters map[api.Hash][]api.Hash // held records by what they wait for
	from    map[api.Hash]api.DID
	stated  map[api.Position]api.Position // what is stated final, and by which record
	limit   int                           // of held
	count   int
	open    bool // the space is founded
}

func newToyLog() *toyLog {
	return &toyLog{feeds: map[api.Hash]*toyFeed{}, held: map[api.Hash]entry{}, from: map[api.Hash]api.DID{}, waiters: map[api.Hash][]api.Hash{}, stated: map[api.Position]api.Position{}, limit: 4096, open: true}
}

func (l *toyLog) get(p api.Position) (entry, bool) {
	if f := l.feeds[p.Feed]; f != nil {
		for _, e := range f.at[p.Seq] {
			if e.pos.ID == p.ID {
				return e, true
			}
		}
	}
	return entry{}, false
}

func (l *toyLog) Has(p api.Position) bool { _, ok := l.get(p); return ok }

func (l *toyLog) Heads(space api.Hash) []gossip.Head {
	var hs []gossip.Head
	for feed, f := range l.feeds {
		if f.space == space {
			hs = append(hs, l.head(feed))
		}
	}
	return hs
}

func (l *toyLog) head(feed api.Hash) gossip.Head {
	f := l.feeds[feed]
	h := gossip.Head{Feed: feed, Seq: f.tip.Seq, ID: f.tip.ID, Final: f.final.Seq}
	if f.fork != 0 {
		h.Fork, h.Seq, h.ID = f.fork, f.fork-1, api.Hash{}
		if h.Seq > 0 {
			h.ID = f.at[h.Seq][0].pos.ID
		}
		for _, e := range f.at[f.fork][:2] {
			h.Alt = append(h.Alt, e.pos.ID)
		}
		if f.final.Seq >= f.fork {
			h.Seq, h.ID = f.final.Seq, f.final.ID
		}
	}
	return h
}

func (l *toyLog) Range(feed api.Hash, from uint64, at api.Position, maxRecords, maxBytes int) ([][]byte, bool) {
	f := l.feeds[feed]
	if f == nil || from == 0 {
		return nil, false
	}
	end := at
	if at.ID.IsZero() {
		h := l.head(feed)
		end = api.Position{Feed: feed, Seq: h.Seq, ID: h.ID}
		for end.Seq > at.Seq {
			e, _ := l.get(end)
			end = api.Position{Feed: feed, Seq: end.Seq - 1, ID: e.prev}
		}
	}
	var chain []entry
	for end.Seq >= from && end.Seq > 0 {
		e, ok := l.get(end)
		if !ok {
			return nil, false
		}
		chain = append(chain, e)
		end = api.Position{Feed: feed, Seq: end.Seq - 1, ID: e.prev}
	}
	slices.Reverse(chain)
	var out [][]byte
	size := 0
	for _, e := range chain {
		if len(out) > 0 && (len(out) >= maxRecords || size+len(e.env) > maxBytes) {
			return out, true
		}
		out, size = append(out, e.env), size+len(e.env)
	}
	return out, false
}

func (l *toyLog) Proof(feed api.Hash) []api.Position {
	if f := l.feeds[feed]; f != nil && f.proof.Seq != 0 {
		return []api.Position{f.proof}
	}
	return nil
}

func (l *toyLog) Founded(api.Hash) bool { return l.open }

// lacks returns what must be stored before e.
func (l *toyLog) lacks(e entry) []api.Position {
	var ps []api.Position
	if e.pos.Seq > 1 {
		ps = append(ps, api.Position{Feed: e.pos.Feed, Seq: e.pos.Seq - 1, ID: e.prev})
	}
	ps = append(ps, e.deps...)
	return slices.DeleteFunc(ps, l.Has)
}

// apply stores e and whatever waited for it, and returns what was stored.
func (l *toyLog) apply(space api.Hash, e entry, from api.DID) []gossip.Item {
	if l.Has(e.pos) {
		return nil
	}
	if len(l.lacks(e)) > 0 {
		if _, dup := l.held[e.pos.ID]; !dup && len(l.held) < l.limit {
			l.held[e.pos.ID], l.from[e.pos.ID] = e, from
			l.order = append(l.order, e.pos.ID)
			for _, p := range l.lacks(e) {
				l.waiters[p.ID] = append(l.waiters[p.ID], e.pos.ID)
			}
		}
		return nil
	}
	items := []gossip.Item{l.store(space, e, from)}
	for i := 0; i < len(items); i++ {
		id := items[i].Position.ID
		for _, w := range l.waiters[id] {
			if h, ok := l.held[w]; ok && len(l.lacks(h)) == 0 {
				who := l.from[w]
				l.drop(w)
				items = append(items, l.store(space, h, who))
			}
		}
		delete(l.waiters, id)
	}
	return items
}

func (l *toyLog) drop(id api.Hash) {
	delete(l.held, id)
	delete(l.from, id)
	l.order = slices.DeleteFunc(l.order, func(x api.Hash) bool { return x == id })
}

func (l *toyLog) store(space api.Hash, e entry, from api.DID) gossip.Item {
	f := l.feeds[e.pos.Feed]
	if f == nil {
		f = &toyFeed{space: space, at: map[uint64][]entry{}}
		l.feeds[e.pos.Feed] = f
	}
	f.at[e.pos.Seq] = append(f.at[e.pos.Seq], e)
	l.count++
	if len(f.at[e.pos.Seq]) > 1 && (f.fork == 0 || e.pos.Seq < f.fork) {
		f.fork = e.pos.Seq
	}
	if e.prev == f.tip.ID || e.pos.Seq == 1 && f.tip.Seq == 0 {
		f.tip = e.pos
	}
	if !e.states.IsZero() {
		l.stated[e.states] = e.pos
	}
	for p, by := range l.stated {
		if f := l.feeds[p.Feed]; f != nil && l.Has(p) && p.Seq > f.final.Seq {
			f.final, f.proof = p, by
		}
	}
	return gossip.Item{Space: space, Position: e.pos, Head: l.head(e.pos.Feed), Envelope: e.env, From: from}
}

// missing lists what held records wait for, as ingest does.
func (l *toyLog) missing(n int) []wire.Want {
	var ws []wire.Want
	had := map[api.Position]bool{}
	for _, id := range l.order {
		for _, p := range l.lacks(l.held[id]) {
			if had[p] || l.held[p.ID].env != nil {
				continue
			}
			had[p] = true
			w := wire.Want{From: 1, At: wire.FromPosition(p)}
			if f := l.feeds[p.Feed]; f != nil && f.tip.Seq < p.Seq {
				w.From = f.tip.Seq + 1
			} else if f != nil {
				w.From = p.Seq
			}
			if ws = append(ws, w); len(ws) == n {
				return ws
			}
		}
	}
	return ws
}

// state is what two nodes must agree on.
func (l *toyLog) state() string {
	var lines []string
	for feed := range l.feeds {
		h := l.head(feed)
		lines = append(lines, fmt.Sprintf("%s %d %s %d %d", feed, h.Seq, h.ID, h.Fork, h.Final))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// node is a Core with its log, and the shell around them.
type node struct {
	did      api.DID
	core     *gossip.Core
	log      *toyLog
	opt      gossip.Options
	spaces   []api.Hash
	received map[seqKey]int // envelopes by push, for redundancy
	refuse   int            // deliveries to refuse
	solicit  int            // envelopes that came by asking
	missing  bool
	bad      []string
}

type seqKey [32]byte

// event is a frame under way.
type event struct {
	at       time.Time
	n        int
	from, to api.DID
	bytes    []byte
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return cmp.Or(q[i].at.Compare(q[j].at), cmp.Compare(q[i].n, q[j].n)) < 0
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// cluster is nodes and a network in virtual time.
type cluster struct {
	t       testing.TB
	now     time.Time
	latency time.Duration
	nodes   []*node
	q       events
	n       int
	cut     map[[2]api.DID]bool
	lose    func(from, to api.DID, f wire.Frame) bool
	trace   hash.Hash
	bytes   map[string]int // by frame type
	frames  map[string]int
	log     func(at time.Duration, from, to api.DID, f wire.Frame)
	begin   time.Time
	under   map[api.DID]int // bytes under way to each
	most    int             // the most there ever were to one
}

var testSpace = api.Hash(sha256.Sum256([]byte("space")))

func newCluster(t testing.TB, n int, opt gossip.Options) *cluster {
	c := &cluster{
		t: t, now: time.Unix(1_700_000_000, 0), latency: 20 * time.Millisecond, cut: map[[2]api.DID]bool{}, trace: sha256.New(),
		bytes: map[string]int{}, frames: map[string]int{}, under: map[api.DID]int{},
	}
	c.begin = c.now
	for i := range n {
		o := opt
		o.Seed = opt.Seed*1000 + uint64(i)
		x := &node{did: api.DID(fmt.Sprintf("n%02d", i)), log: newToyLog(), opt: o, spaces: []api.Hash{testSpace}, received: map[seqKey]int{}}
		c.nodes = append(c.nodes, x)
		c.restart(x)
	}
	return c
}

// restart gives x a new Core over its log.
func (c *cluster) restart(x *node) {
	x.core = gossip.New(x.opt, x.log)
	for _, s := range x.spaces {
		x.core.Follow(s)
	}
}

func (c *cluster) node(did api.DID) *node {
	for _, x := range c.nodes {
		if x.did == did {
			return x
		}
	}
	c.t.Fatalf("no node %q", did)
	return nil
}

func pair(a, b api.DID) [2]api.DID {
	if a > b {
		a, b = b, a
	}
	return [2]api.DID{a, b}
}

// connect brings the session of a and b up.
func (c *cluster) connect(a, b *node) {
	delete(c.cut, pair(a.did, b.did))
	var shared []api.Hash
	for _, s := range a.spaces {
		if slices.Contains(b.spaces, s) {
			shared = append(shared, s)
		}
	}
	a.core.PeerUp(c.now, b.did, shared, 0)
	b.core.PeerUp(c.now, a.did, shared, 0)
	c.drain(a)
	c.drain(b)
}

// disconnect takes the session down with all that is under way.
func (c *cluster) disconnect(a, b *node) {
	c.cut[pair(a.did, b.did)] = true
	c.q = slices.DeleteFunc(c.q, func(e event) bool {
		gone := pair(e.from, e.to) == pair(a.did, b.did)
		if gone {
			c.under[e.to] -= len(e.bytes)
		}
		return gone
	})
	heap.Init(&c.q)
	a.core.PeerDown(c.now, b.did)
	b.core.PeerDown(c.now, a.did)
	c.drain(a)
	c.drain(b)
}

func (c *cluster) mesh() {
	for i, a := range c.nodes {
		for _, b := range c.nodes[:i] {
			c.connect(a, b)
		}
	}
}

// drain does what a node's core has ready.
func (c *cluster) drain(x *node) {
	for {
		out := x.core.Ready()
		if len(out.Send)+len(out.Deliver)+len(out.Bad) == 0 {
			return
		}
		for _, b := range out.Bad {
			x.bad = append(x.bad, string(b.Node)+": "+b.Reason)
		}
		for _, s := range out.Send {
			c.send(x, s)
		}
		for _, d := range out.Deliver {
			c.deliver(x, d)
		}
	}
}

func typeName(f wire.Frame) string { return strings.TrimPrefix(fmt.Sprintf("%T", f), "*wire.") }

func (c *cluster) send(x *node, s gossip.Send) {
	b, err := wire.Encode(s.Frame)
	if err != nil {
		c.t.Fatalf("%s sends %T: %v", x.did, s.Frame, err)
	}
	fmt.Fprintf(c.trace, "%d %s>%s ", c.now.Sub(c.begin), x.did, s.To)
	c.trace.Write(b)
	if c.log != nil {
		c.log(c.now.Sub(c.begin), x.did, s.To, s.Frame)
	}
	known := slices.ContainsFunc(c.nodes, func(y *node) bool { return y.did == s.To }) // else a peer that the test plays
	if !known || c.cut[pair(x.did, s.To)] || c.lose != nil && c.lose(x.did, s.To, s.Frame) {
		return
	}
	c.bytes[typeName(s.Frame)] += len(b)
	c.frames[typeName(s.Frame)]++
	c.n++
	c.under[s.To] += len(b)
	c.most = max(c.most, c.under[s.To])
	heap.Push(&c.q, event{c.now.Add(c.latency), c.n, x.did, s.To, b})
}

func (c *cluster) deliver(x *node, d gossip.Delivery) {
	if x.refuse > 0 {
		x.refuse--
		x.core.Refused(c.now, d.From, d.Space)
		return
	}
	var items []gossip.Item
	for _, env := range d.Envelopes {
		e, ok := readEntry(env)
		if !ok {
			continue
		}
		if d.Solicited {
			x.solicit++
		}
		items = append(items, x.log.apply(d.Space, e, d.From)...)
	}
	if len(items) > 0 {
		c.commit(x, items)
	}
	x.missing = x.missing || len(x.log.held) > 0
}

// publish appends to the node's feed of a name and returns where.
func (c *cluster) publish(x *node, feed api.Hash, body string, deps ...api.Position) api.Position {
	var tip api.Position
	if f := x.log.feeds[feed]; f != nil {
		tip = f.tip
	}
	return c.publishAt(x, feed, tip.Seq+1, tip.ID, body, deps...)
}

func (c *cluster) publishAt(x *node, feed api.Hash, seq uint64, prev api.Hash, body string, deps ...api.Position) api.Position {
	e := makeEntry(feed, seq, prev, deps, body)
	c.commit(x, x.log.apply(testSpace, e, ""))
	c.drain(x)
	return e.pos
}

// commit tells a node's core what its log has taken and what is final by it.
func (c *cluster) commit(x *node, items []gossip.Item) {
	for _, f := range x.log.feeds {
		if f.final.Seq > 0 {
			x.core.Final([]api.Position{f.final})
		}
	}
	for i := range items {
		items[i].Head = x.log.head(items[i].Position.Feed) // after the whole commit
	}
	x.core.Committed(c.now, items)
}

// run lets time pass.
func (c *cluster) run(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); {
		next := c.now.Add(100 * time.Millisecond)
		for len(c.q) > 0 && !c.q[0].at.After(next) {
			e := heap.Pop(&c.q).(event)
			c.now = e.at
			x := c.node(e.to)
			c.under[e.to] -= len(e.bytes)
			f, err := wire.Decode(e.bytes)
			if err != nil {
				c.t.Fatalf("%s to %s: %v", e.from, e.to, err)
			}
			if p, ok := f.(*wire.Push); ok {
				for _, env := range p.Envelopes {
					x.received[sha256.Sum256(env)]++
				}
			}
			x.core.Frame(c.now, e.from, f)
			c.drain(x)
		}
		c.now = next
		for _, x := range c.nodes {
			x.core.Tick(c.now)
			if x.missing {
				x.missing = len(x.log.held) > 0
				x.core.Missing(c.now, testSpace, x.log.missing(256), "")
			}
			c.drain(x)
		}
	}
}

// settle runs until all nodes agree and hold nothing back, at most d.
func (c *cluster) settle(d time.Duration) bool {
	for end := c.now.Add(d); c.now.Before(end); {
		c.run(time.Second)
		if c.equal() {
			return true
		}
	}
	return false
}

func (c *cluster) equal() bool {
	want := c.nodes[0].log.state()
	for _, x := range c.nodes {
		if x.log.state() != want || len(x.log.held) > 0 {
			return false
		}
	}
	return true
}

func (c *cluster) describe() string {
	var b strings.Builder
	for _, x := range c.nodes {
		s, _ := x.core.Status(testSpace)
		fmt.Fprintf(&b, "%s: %d records, %d feeds, %d held, wanted %d asked %d bad %v\n", x.did, x.log.count, len(x.log.feeds), len(x.log.held), s.Wanted, s.Asked, x.bad)
		if x.log.count < 100 {
			fmt.Fprintln(&b, x.log.state())
		}
	}
	return b.String()
}

func feedOf(name string) api.Hash { return sha256.Sum256([]byte("feed " + name)) }

// losing returns a loss of so many frames in a thousand, the same for the same seed.
func losing(seed, permille uint64) func(api.DID, api.DID, wire.Frame) bool {
	x := seed
	return func(api.DID, api.DID, wire.Frame) bool {
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return (z^z>>31)%1000 < permille
	}
}
