package kerneltest

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// maxStep bounds the events of one Step, so that two nodes which answer each other for ever over links without delay do not hang a test.
const maxStep = 1 << 20

// Network is a mesh in memory. Time passes, and handlers other than Local, Proof and Admit are called, only within Step: a test that drives
// everything from one goroutine gives the same trace for the same seed. Handshakes are the production code and frames travel encoded, but
// a handshake takes no time.
//
// A link delays frames and may lose, repeat or reorder some, which a real session does not: it stands for full queues, for sessions that
// follow each other fast, and for what a hostile peer may do anyhow. A partition ends the sessions across it at once; a blocked direction ends
// them when the deaf side has heard nothing for three heartbeats.
type Network struct {
	// Tap sees every frame that arrives, encoded, before its receiver does; nil for nobody. It must not modify the frame.
	Tap func(at time.Time, from, to api.DID, frame []byte)

	mu     sync.Mutex
	rand   *rand.Rand
	now    time.Time
	seq    uint64
	events eventQueue
	nodes  map[api.DID]*SimTransport
	hosts  map[string]api.DID // who listens at host:port
	joined int
	link   Link
	links  map[[2]api.DID]Link
	island map[api.DID]int // nil without a partition
	walls  map[[2]api.DID]bool
	counts NetCounts
}

// Link is one direction between two nodes. A frame takes Delay plus up to Jitter, plus its length at Rate behind the frames before it.
type Link struct {
	Delay, Jitter time.Duration
	Rate          int     // bytes a second, 0 for no limit
	Loss          float64 // probability that a frame is lost
	Repeat        float64 // probability that it arrives twice, the second time on its own
	Reorder       float64 // probability that it does not wait for the frames before it
}

// NetCounts counts what became of frames.
type NetCounts struct {
	Arrived, Lost, Repeated, Reordered, Walled uint64
	Late, Slow                                 uint64 // took more than lateBy; waited for a link with a Rate
}

// lateBy is what a frame takes that counts as late.
const lateBy = 100 * time.Millisecond

// Counts returns the counters since NewNetwork.
func (n *Network) Counts() NetCounts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts
}

// NewNetwork returns an empty network whose time is now and whose links are perfect.
func NewNetwork(seed uint64, now time.Time) *Network {
	return &Network{
		rand: rand.New(rand.NewPCG(seed, 0x6e6574)), now: now,
		nodes: map[api.DID]*SimTransport{}, hosts: map[string]api.DID{}, links: map[[2]api.DID]Link{}, walls: map[[2]api.DID]bool{},
	}
}

// Join adds a node. It listens at the first of o.Announce, or at a made-up name. A node that joins again, without having left, has crashed
// in between: its peers hold sessions that are dead until it dials them or three heartbeats pass.
func (n *Network) Join(o transport.Options, h transport.Handler) (*SimTransport, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	t := &SimTransport{
		net: n, opts: o, handler: h, self: NodeDID(o.Key), bars: transport.NewBars(n.Now),
		sessions: map[api.DID]*simSide{}, targets: map[api.DID]*simTarget{}, gone: make(chan struct{}),
	}
	if old := n.node(t.self); old != nil {
		old.Crash()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.joined++
	t.host = fmt.Sprintf("n%d.sim:7100", n.joined)
	if len(o.Announce) > 0 {
		t.host = o.Announce[0]
	}
	n.nodes[t.self], n.hosts[t.host] = t, t.self
	for _, b := range o.Bootstrap {
		if a, err := transport.ParseAddress(b); err == nil && a.Node != t.self {
			t.keep(a.Node, b)
			t.redialAfter(a.Node, 0)
		}
	}
	return t, nil
}

// Now returns the network's time.
func (n *Network) Now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

// Next returns when the next event is due, and false when there is none.
func (n *Network) Next() (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.events) == 0 {
		return time.Time{}, false
	}
	return n.events[0].due, true
}

// Step moves time to now, which must not go back, runs what is due in order of time, and returns how many events there were. Only one
// goroutine may step, and not from within a handler.
func (n *Network) Step(now time.Time) int {
	for count := 0; ; count++ {
		n.mu.Lock()
		if count == maxStep || len(n.events) == 0 || n.events[0].due.After(now) {
			if now.After(n.now) && count < maxStep {
				n.now = now
			}
			n.mu.Unlock()
			return count
		}
		e := heap.Pop(&n.events).(event)
		if e.due.After(n.now) {
			n.now = e.due
		}
		n.mu.Unlock()
		e.run()
	}
}

// SetLink sets the link in both directions between a and b, or between all that have none of their own when both are empty.
func (n *Network) SetLink(a, b api.DID, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a == "" && b == "" {
		n.link = l
		return
	}
	n.links[[2]api.DID{a, b}], n.links[[2]api.DID{b, a}] = l, l
}

// SetOneWay sets the link of one direction.
func (n *Network) SetOneWay(from, to api.DID, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[[2]api.DID{from, to}] = l
}

// Block loses every frame of one direction until Heal. A session of the two ends when to has heard nothing for three heartbeats, and they
// make no new one.
func (n *Network) Block(from, to api.DID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	way := [2]api.DID{from, to}
	n.walls[way] = true
	deaf := n.nodes[to]
	if deaf == nil || deaf.sessions[from] == nil {
		return
	}
	p := deaf.sessions[from].pipe
	n.at(n.now.Add(3*deaf.opts.Heartbeat), func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.walls[way] {
			n.end(p, "nothing heard")
		}
	})
}

// Partition splits the network into the given islands; nodes in none of them form one more. It replaces an earlier partition.
func (n *Network) Partition(islands ...[]api.DID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.island = map[api.DID]int{}
	for i, nodes := range islands {
		for _, d := range nodes {
			n.island[d] = i + 1
		}
	}
	for _, d := range slices.Sorted(maps.Keys(n.nodes)) {
		t := n.nodes[d]
		for _, peer := range slices.Sorted(maps.Keys(t.sessions)) {
			if n.island[d] != n.island[peer] {
				n.end(t.sessions[peer].pipe, "the network is cut")
			}
		}
	}
}

// Heal ends a partition and all blocks. Kept peers find each other again by their retries.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.island = nil
	clear(n.walls)
}

func (n *Network) node(d api.DID) *SimTransport {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.nodes[d]
}

// at plans an event. The caller holds mu.
func (n *Network) at(due time.Time, run func()) {
	n.seq++
	heap.Push(&n.events, event{due: due, seq: n.seq, run: run})
}

// event is something that happens at a time; events of one time happen in the order in which they were planned.
type event struct {
	due time.Time
	seq uint64
	run func()
}

type eventQueue []event

func (q eventQueue) Len() int      { return len(q) }
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q eventQueue) Less(i, j int) bool {
	return cmp.Or(q[i].due.Compare(q[j].due), cmp.Compare(q[i].seq, q[j].seq)) < 0
}
func (q *eventQueue) Push(x any) { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

// simPipe is a session of two nodes.
type simPipe struct {
	sides [2]*simSide // the dialling one first
	ended bool
}

// simSide is one node's end of a session.
type simSide struct {
	t              *SimTransport
	pipe           *simPipe
	other          *simSide
	greet          *transport.Greeting
	peer           *transport.Peer
	up             bool      // the handler was told
	last           time.Time // when the newest frame on its way arrives
	frames, bytes  int       // on their way
	sent, received uint64
}

// open registers a session whose handshake is done. The caller holds mu.
func (n *Network) open(p *simPipe) {
	for _, s := range p.sides {
		if old := s.t.sessions[s.other.t.self]; old != nil {
			s.t.stats.Replaced++
			n.end(old.pipe, "replaced by a newer session")
		}
	}
	for _, s := range p.sides {
		s.peer.Since = n.now
		s.t.sessions[s.other.t.self] = s
		n.at(n.now, func() { s.tell() })
	}
}

// tell calls Up unless the session has ended.
func (s *simSide) tell() {
	n := s.t.net
	n.mu.Lock()
	ok := !s.pipe.ended && !s.t.left
	s.up = s.up || ok
	p := s.snapshot()
	n.mu.Unlock()
	if ok {
		s.t.handler.Up(&p)
	}
}

// snapshot returns the peer with the counters of now. The caller holds mu.
func (s *simSide) snapshot() transport.Peer {
	p := *s.peer
	p.Sent, p.Received = s.sent, s.received
	p.RTT = s.t.net.linkOf(s.t.self, s.other.t.self).Delay + s.t.net.linkOf(s.other.t.self, s.t.self).Delay
	return p
}

func (n *Network) linkOf(from, to api.DID) Link {
	if l, ok := n.links[[2]api.DID{from, to}]; ok {
		return l
	}
	return n.link
}

// end ends a session on both sides. The caller holds mu.
func (n *Network) end(p *simPipe, why string) {
	if p.ended {
		return
	}
	p.ended = true
	for _, s := range p.sides {
		peer := s.other.t.self
		if s.t.sessions[peer] == s {
			delete(s.t.sessions, peer)
		}
		if s.t.left {
			continue
		}
		n.at(n.now, func() { s.down(why) })
		s.t.lost(peer)
	}
}

func (s *simSide) down(why string) {
	n := s.t.net
	n.mu.Lock()
	up := s.up && !s.t.left
	n.mu.Unlock()
	if up {
		s.t.handler.Down(s.other.t.self, api.Errorf("transport.session", api.Unavailable, "%s", why))
	}
}

// travel encodes and decodes a frame, as a network does.
func travel[F wire.Frame](f F) (F, error) {
	var none F
	b, err := wire.Encode(f)
	if err != nil {
		return none, err
	}
	got, err := wire.Decode(b)
	if err != nil {
		return none, err
	}
	return got.(F), nil
}
