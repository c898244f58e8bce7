package transport

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

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

// attempt is an outbound dial under way; several callers may wait for it.
type attempt struct {
	done chan struct{}
	err  error
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
		opts: o, handler: h, log: o.Logger, self: record.DIDOf(public), start: o.Now(),
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

// watch closes a connection on which no session is begun: strangers get no free place.
func (n *Node) watch(_ network.Network, c network.Conn) {
	time.AfterFunc(2*n.opts.HandshakeTimeout, func() { n.release(c) })
}

// release closes a connection that carries no session.
func (n *Node) release(c network.Conn) {
	n.mu.Lock()
	for s := range n.live {
		if s.stream.Conn() == c {
			n.mu.Unlock()
			return
		}
	}
	n.mu.Unlock()
	c.Close()
}

// accept takes a stream that a peer opened.
func (n *Node) accept(stream network.Stream) {
	node, err := didOf(stream.Conn().RemotePeer())
	if err != nil || !n.begin() {
		stream.Reset()
		return
	}
	n.mu.Lock()
	full := n.incoming >= n.opts.MaxHandshakes
	if !full {
		n.incoming++
	}
	n.mu.Unlock()
	if full {
		stream.Reset()
		n.group.Done()
		return
	}
	s, err := n.newSession(node, stream, true)
	if err != nil {
		n.log.Error("session cannot be made", "node", node, "err", err)
		stream.Reset()
		n.mu.Lock()
		n.incoming--
		n.mu.Unlock()
		n.group.Done()
		return
	}
	n.run(s)
}

// run is a session's life. The caller has counted it into group and, when inbound, into incoming.
func (n *Node) run(s *session) {
	defer n.group.Done()
	n.mu.Lock()
	n.seq++
	s.opened = n.seq
	n.live[s] = struct{}{}
	if n.stopping { // after shutdown looked at live
		s.stream.Reset()
	}
	n.mu.Unlock()

	timer := time.AfterFunc(n.opts.HandshakeTimeout, func() { s.stream.Reset() })
	err := s.handshake()
	timer.Stop()
	if s.inbound {
		n.mu.Lock()
		n.incoming--
		n.mu.Unlock()
	}
	if err != nil {
		n.note(s, err)
		s.refuse(err)
		n.drop(s)
		s.fail = err
		close(s.ready)
		close(s.done)
		return
	}
	if s.prev != nil {
		<-s.prev.done // its Down comes before our Up
		s.prev = nil
	}
	n.up(s)
	written := make(chan struct{})
	go func() { s.writeLoop(); close(written) }()
	s.calls.Lock()
	told := !s.ended()
	if told {
		n.handler.Up(s.copyPeer(s.peer.Load()))
	} else {
		s.fail = s.err
	}
	s.calls.Unlock()
	close(s.ready)

	err = s.readLoop()
	n.note(s, err)
	if e := (*ending)(nil); errors.As(err, &e) {
		s.end(e.code, e.err)
	}
	s.end("", err)
	<-written
	io.Copy(io.Discard, s.r) // until the peer has read our Bye, or linger is over
	s.stream.Reset()
	if told {
		s.calls.Lock()
		n.handler.Down(s.node, s.err)
		s.calls.Unlock()
	}
	n.drop(s)
	close(s.done)
}

// note counts why a session failed or ended, and reports a peer that broke the protocol.
func (n *Node) note(s *session, err error) {
	var e *ending
	if !errors.As(err, &e) || s.ended() {
		return
	}
	switch e.code {
	case byeMalformed:
		n.stats.malformed.Add(1)
		n.log.Warn("peer broke the protocol", "node", s.node, "err", e.err)
		n.handler.Bad(s.node, e.Error())
	case byeRefused, byeFull, byeBarred, byeUpgrade:
		n.stats.refused.Add(1)
	}
}

// room refuses early a session that claim would refuse.
func (n *Node) room(node api.DID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.roomLocked(node)
}

func (n *Node) roomLocked(node api.DID) error {
	if err := n.bars.Allowed(node); err != nil {
		return &ending{byeBarred, err}
	}
	if n.stopping {
		return &ending{byeStopping, api.Errorf("transport.accept", api.Unavailable, "the node stops")}
	}
	if n.sessions[node] == nil && len(n.sessions) >= n.opts.MaxPeers {
		return &ending{byeFull, api.Errorf("transport.accept", api.Unavailable, "node %s has all its %d sessions in use", n.self, n.opts.MaxPeers)}
	}
	return nil
}

// claim gives s the node's place in the table. On the lower node this is the decision which of two sessions counts: a living one gives
// way only to one that the peer opened after the living one came up, since then the peer has lost it, by a restart for example. The higher
// node follows.
func (n *Node) claim(s *session) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.roomLocked(s.node); err != nil {
		return err
	}
	if old := n.sessions[s.node]; old != nil {
		if !old.ended() {
			if n.self < s.node && (old.upAt == 0 || !s.inbound || s.opened < old.upAt) {
				return &ending{byeDuplicate, errDuplicate}
			}
			n.stats.replaced.Add(1)
			old.end("", api.Errorf("transport.session", api.Unavailable, "replaced by a newer session"))
		}
		s.prev = old
	}
	n.sessions[s.node] = s
	return nil
}

func (n *Node) up(s *session) {
	n.mu.Lock()
	n.seq++
	s.upAt = n.seq
	ask := n.opts.TargetPeers > 0 && len(n.sessions) < n.opts.TargetPeers
	barred := n.bars.Allowed(s.node)
	if n.stopping {
		barred = api.Errorf("transport.serve", api.Unavailable, "the node stops")
	}
	n.broadcastLocked()
	n.mu.Unlock()
	if barred != nil { // while the handshake ran
		s.end(byeBarred, barred)
		return
	}
	if s.rtt.Load() == 0 {
		s.ping()
	}
	if ask {
		s.ask()
	}
	if n.local.Load() != s.local { // Refresh came during the handshake
		s.startTell()
	}
}

// drop takes s out of the tables and closes its connection if nothing else uses it.
func (n *Node) drop(s *session) {
	n.mu.Lock()
	delete(n.live, s)
	if n.sessions[s.node] == s {
		delete(n.sessions, s.node)
		n.lostLocked(s)
	}
	n.broadcastLocked()
	n.mu.Unlock()
	n.release(s.stream.Conn())
	n.poke()
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

func (n *Node) has(node api.DID) bool { return n.session(node) != nil }

// Dial implements Transport.
func (n *Node) Dial(ctx context.Context, address string) (api.DID, error) {
	a, err := ParseAddress(address)
	if err != nil {
		return "", err
	}
	if a.Node == n.self {
		return "", api.Errorf("transport.dial", api.Invalid, "address %s is this node itself", address)
	}
	select {
	case <-n.serving:
	case <-n.ctx.Done():
		return "", api.Errorf("transport.dial", api.Unavailable, "the node stops")
	case <-ctx.Done():
		return "", api.Wrap("transport.dial", context.Cause(ctx))
	}
	if err := n.bars.Allowed(a.Node); err != nil {
		return "", err
	}
	if err := n.connect(ctx, a.Node, []string{address}); err != nil {
		return "", err
	}
	n.mu.Lock()
	n.addTarget(a.Node, kept, address)
	n.mu.Unlock()
	return a.Node, nil
}

// connect returns when a session with node is up. One attempt per node runs at a time; others wait for it and try their own addresses if it fails.
func (n *Node) connect(ctx context.Context, node api.DID, addresses []string) error {
	for {
		n.mu.Lock()
		other := n.attempts[node]
		var mine *attempt
		if other == nil {
			mine = &attempt{done: make(chan struct{})}
			n.attempts[node] = mine
		}
		n.mu.Unlock()
		if mine != nil {
			mine.err = n.attempt(ctx, node, addresses)
			n.mu.Lock()
			delete(n.attempts, node)
			n.mu.Unlock()
			close(mine.done)
			return mine.err
		}
		select {
		case <-other.done:
			if other.err == nil {
				return nil
			}
		case <-ctx.Done():
			return api.Wrap("transport.dial", context.Cause(ctx))
		}
	}
}

func (n *Node) attempt(ctx context.Context, node api.DID, addresses []string) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.HandshakeTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if n.has(node) {
		return nil
	}
	if err := n.room(node); err != nil {
		return api.Wrap("transport.dial", errors.Unwrap(err))
	}
	n.stats.dials.Add(1)
	err := n.open(ctx, node, addresses)
	if errors.Is(err, errDuplicate) {
		err = n.await(ctx, node) // the session that lives may need a moment to come up
	}
	if err == nil {
		return nil
	}
	n.stats.dialFailures.Add(1)
	kind := cmp.Or(api.KindOf(err), api.Unavailable)
	if ctx.Err() != nil && kind != api.Refused {
		kind = api.KindOf(ctx.Err())
	}
	return api.Errorf("transport.dial", kind, "node %s: %w", node, err)
}

// open connects and shakes hands.
func (n *Node) open(ctx context.Context, node api.DID, addresses []string) error {
	info, err := addrInfo(node, addresses)
	if err != nil {
		return err
	}
	if sw, ok := n.host.Network().(*swarm.Swarm); ok {
		sw.Backoff().Clear(info.ID) // the keeper has its own
	}
	n.host.Peerstore().ClearAddrs(info.ID) // only those we were given
	if err := n.host.Connect(ctx, info); err != nil {
		return api.Errorf("transport.dial", api.Unavailable, "%s", strings.Join(strings.Fields(err.Error()), " "))
	}
	stream, err := n.host.NewStream(network.WithNoDial(ctx, "connected above"), info.ID, protocolID)
	if err != nil {
		return api.Errorf("transport.dial", api.Unavailable, "connected, but the node takes no session: %w", err)
	}
	s, err := n.newSession(node, stream, false)
	if err != nil || !n.begin() {
		stream.Reset()
		return cmp.Or(err, api.Errorf("transport.dial", api.Unavailable, "the node stops"))
	}
	go n.run(s)
	select {
	case <-s.ready:
		return s.fail
	case <-ctx.Done():
		select {
		case <-s.ready:
			return s.fail
		default:
			s.stream.Reset()
			return context.Cause(ctx)
		}
	}
}

// await waits until a session with node is up.
func (n *Node) await(ctx context.Context, node api.DID) error {
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		if n.has(node) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func addrInfo(node api.DID, addresses []string) (peer.AddrInfo, error) {
	id, err := peerID(node)
	if err != nil {
		return peer.AddrInfo{}, err
	}
	info := peer.AddrInfo{ID: id}
	for _, s := range addresses {
		a, err := ParseAddress(s)
		if err != nil {
			return info, err
		}
		m, err := multiaddr(a.Host, a.Port)
		if err != nil {
			return info, err
		}
		info.Addrs = append(info.Addrs, m)
	}
	return info, nil
}

// loopback reports whether the other end of a connection is on this machine.
func loopback(m ma.Multiaddr) bool {
	ap, ok := ipPort(m)
	return ok && ap.Addr().IsLoopback()
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
