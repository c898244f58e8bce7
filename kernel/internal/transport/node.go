package transport

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// Node is the Transport over libp2p.
type Node struct {
	opts    Options
	handler Handler
	log     *slog.Logger
	self    api.DID
	key     api.Key
	host    host.Host
	start   time.Time
	stats   counters
	bars    *Bars
	serving chan struct{} // closed when Serve runs
	stop    context.CancelFunc
	ctx     context.Context // ends with Serve
	group   sync.WaitGroup  // every goroutine of sessions and dials
	wake    chan struct{}   // the keeper has something to look at
	local   atomic.Uint64   // how often Refresh was called

	mu       sync.Mutex
	rand     *rand.Rand // jitter; seeded by the node's key, so that nodes differ and a node's runs do not
	served   bool
	stopping bool
	seq      uint64
	incoming int // inbound handshakes under way
	live     map[*session]struct{}
	sessions map[api.DID]*session // claimed: coming up, up, or going down
	attempts map[api.DID]*attempt
	targets  map[api.DID]*target
	dialling int           // attempts of the keeper
	changed  chan struct{} // closed and replaced when a session comes up or goes
}

type counters struct {
	framesSent, framesReceived, bytesSent, bytesReceived         atomic.Uint64
	queueFull, dials, dialFailures, refused, malformed, replaced atomic.Uint64
}

var _ Transport = (*Node)(nil)

// New starts listening and returns the transport; Serve makes it work. A transport that is not wanted after all is closed by Serve with a
// context that has ended.
func New(o Options, h Handler) (*Node, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	public := api.Key(o.Key.Public().(ed25519.PublicKey))
	n := &Node{
		opts: o, handler: h, log: o.Logger, self: record.DIDOf(public), key: public, start: o.Now(),
		serving: make(chan struct{}), wake: make(chan struct{}, 1), changed: make(chan struct{}),
		rand: rand.New(rand.NewPCG(binary.BigEndian.Uint64(public[:8]), binary.BigEndian.Uint64(public[8:16]))),
		live: map[*session]struct{}{}, sessions: map[api.DID]*session{}, attempts: map[api.DID]*attempt{}, targets: map[api.DID]*target{},
		bars: NewBars(o.Now),
	}
	for _, b := range o.Bootstrap {
		if a, err := ParseAddress(b); err == nil && a.Node != n.self { // a list shared by all nodes names this one too
			n.addTarget(a.Node, kept, b)
		}
	}
	n.ctx, n.stop = context.WithCancel(context.Background())
	var err error
	if n.host, err = newHost(&n.opts, gate{n}); err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

// Self implements Transport.
func (n *Node) Self() api.DID { return n.self }

// Addresses implements Transport.
func (n *Node) Addresses() []string {
	var out []string
	for _, a := range n.opts.Announce {
		if s, err := FormatAddress(n.self, a); err == nil {
			out = append(out, s)
		}
	}
	ms, err := n.host.Network().InterfaceListenAddresses()
	if err != nil {
		n.log.Warn("interface addresses cannot be read", "err", err)
	}
	var aps []netip.AddrPort
	for _, m := range ms {
		if ap, ok := ipPort(m); ok {
			aps = append(aps, ap)
		}
	}
	for _, ap := range bestFirst(aps) {
		out = append(out, Address{Node: n.self, Host: ap.Addr().String(), Port: ap.Port()}.String())
	}
	return out
}

// elapsed is a clock that does not jump: the time since New.
func (n *Node) elapsed() time.Duration { return n.opts.Now().Sub(n.start) }

// Serve implements Transport.
func (n *Node) Serve(ctx context.Context) error {
	n.mu.Lock()
	if n.served {
		n.mu.Unlock()
		return api.Errorf("transport.serve", api.Unsupported, "a transport serves once")
	}
	n.served = true
	n.mu.Unlock()
	if ctx.Err() == nil {
		n.host.Network().Notify(&network.NotifyBundle{ConnectedF: n.watch})
		n.host.SetStreamHandler(protocolID, n.accept)
		close(n.serving)
		stopMDNS := n.startMDNS()
		n.keep(ctx)
		stopMDNS()
	}
	n.shutdown()
	return nil
}

func (n *Node) shutdown() {
	n.mu.Lock()
	n.stopping = true
	live := slices.Collect(maps.Keys(n.live))
	n.mu.Unlock()
	n.stop()
	n.host.RemoveStreamHandler(protocolID)
	for _, s := range live {
		if n.isUp(s) {
			s.end(byeStopping, api.Errorf("transport.serve", api.Unavailable, "the node stops"))
		} else {
			s.stream.Reset()
		}
	}
	n.group.Wait()
	if err := n.host.Close(); err != nil {
		n.log.Warn("libp2p host did not close cleanly", "err", err)
	}
}

// begin counts a goroutine in, unless the node stops.
func (n *Node) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stopping {
		n.group.Add(1)
	}
	return !n.stopping
}

func (n *Node) broadcastLocked() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *Node) isUp(s *session) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return s.upAt != 0
}

// session returns the session with node if it is up.
func (n *Node) session(node api.DID) *session {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s := n.sessions[node]; s != nil && s.upAt != 0 && !s.ended() {
		return s
	}
	return nil
}

// has reports whether a session with node is up, claimed whether one is or comes up.
func (n *Node) has(node api.DID) bool { return n.session(node) != nil }

func (n *Node) claimed(node api.DID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.sessions[node]
	return s != nil && !s.ended()
}

// Send implements Transport.
func (n *Node) Send(node api.DID, f wire.Frame) error {
	if err := Sendable(f); err != nil {
		return err
	}
	s := n.session(node)
	if s == nil {
		return api.Errorf("transport.send", api.Unavailable, "no session with %s", node)
	}
	b, err := encodeFrame(f)
	if err != nil {
		return api.Wrap("transport.send", err)
	}
	if !s.out.push(b) {
		n.stats.queueFull.Add(1)
		return api.Errorf("transport.send", api.Unavailable, "queue to %s is full", node)
	}
	return nil
}

// Sendable refuses the frames that only transport itself may send.
func Sendable(f wire.Frame) error {
	switch f.(type) {
	case nil, *wire.Hello, *wire.Members, *wire.Ping, *wire.Pong, *wire.AskPeers, *wire.Peers, *wire.Bye:
		return api.Errorf("transport.send", api.Invalid, "%T: only transport sends it", f)
	}
	return nil
}

// Close implements Transport.
func (n *Node) Close(node api.DID, reason string) error {
	n.mu.Lock()
	s := n.sessions[node]
	up := s != nil && s.upAt != 0 && !s.ended()
	if up && n.targets[node] == nil {
		n.addTarget(node, learned)
	}
	if t := n.targets[node]; t != nil {
		t.stopped = true
	}
	n.mu.Unlock()
	if !up {
		return api.Errorf("transport.close", api.NotFound, "no session with %s", node)
	}
	s.end(byeClosed, api.Errorf("transport.close", api.Unavailable, "closed: %s", reason))
	return nil
}

// Peers implements Transport.
func (n *Node) Peers() []Peer {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]Peer, 0, len(n.sessions))
	for _, s := range n.sessions {
		if s.upAt != 0 && !s.ended() {
			out = append(out, *s.copyPeer(s.peer.Load()))
		}
	}
	slices.SortFunc(out, func(a, b Peer) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// Refresh implements Transport.
func (n *Node) Refresh() {
	n.local.Add(1)
	n.mu.Lock()
	var up []*session
	for _, s := range n.sessions {
		if s.upAt != 0 && !s.ended() {
			up = append(up, s)
		}
	}
	n.mu.Unlock()
	for _, s := range up {
		s.startTell()
	}
}

// Stats implements Transport.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	up, shaking := 0, 0
	for s := range n.live {
		if s.upAt == 0 {
			shaking++
		} else if !s.ended() {
			up++
		}
	}
	n.mu.Unlock()
	c := &n.stats
	return Stats{
		Sessions: up, Handshakes: shaking,
		FramesSent: c.framesSent.Load(), FramesReceived: c.framesReceived.Load(),
		BytesSent: c.bytesSent.Load(), BytesReceived: c.bytesReceived.Load(),
		QueueFull: c.queueFull.Load(), Dials: c.dials.Load(), DialFailures: c.dialFailures.Load(),
		Refused: c.refused.Load(), Malformed: c.malformed.Load(), Replaced: c.replaced.Load(),
	}
}
