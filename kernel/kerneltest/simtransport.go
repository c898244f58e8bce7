package kerneltest

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// NodeKey returns the node key of that name, the same in every process.
func NodeKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("node " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// NodeDID returns the DID of a node key.
func NodeDID(key ed25519.PrivateKey) api.DID {
	return record.DIDOf(api.Key(key.Public().(ed25519.PublicKey)))
}

// SimTransport is a node's place in a Network. It exchanges no peers and runs no mDNS.
type SimTransport struct {
	net     *Network
	opts    transport.Options
	handler transport.Handler
	self    api.DID
	host    string
	bars    *transport.Bars
	gone    chan struct{} // closed when left

	// Network.mu guards what follows.
	left     bool
	sessions map[api.DID]*simSide
	targets  map[api.DID]*simTarget
	stats    transport.Stats
}

var _ transport.Transport = (*SimTransport)(nil)

// simTarget is a kept peer.
type simTarget struct {
	address string
	stopped bool
	fails   int
	plan    uint64 // only the newest planned attempt counts
}

// Serve implements transport.Transport: it waits for ctx, then leaves. A test that drives everything itself need not call it.
func (t *SimTransport) Serve(ctx context.Context) error {
	select {
	case <-ctx.Done():
		t.Stop()
	case <-t.gone:
	}
	return nil
}

// Stop leaves the network; the peers are told.
func (t *SimTransport) Stop() { t.leave("the node stops") }

// Crash leaves the network without a word: the peers' sessions are dead, which they notice after three heartbeats, or when the node joins
// again and opens a new one. The handler hears nothing more.
func (t *SimTransport) Crash() { t.leave("") }

func (t *SimTransport) leave(why string) {
	n := t.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if t.isGone() {
		return
	}
	if n.nodes[t.self] == t {
		delete(n.nodes, t.self)
		delete(n.hosts, t.host)
	}
	for _, d := range slices.Sorted(maps.Keys(t.sessions)) {
		p := t.sessions[d].pipe
		if why != "" {
			n.end(p, why)
			continue
		}
		n.at(n.now.Add(3*t.opts.Heartbeat), func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.end(p, "nothing heard")
		})
	}
	close(t.gone)
	if why == "" {
		t.left = true
		return
	}
	// Downs are planned already and still come; nothing else does.
	n.at(n.now, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		t.left = true
	})
}

// Self implements transport.Transport.
func (t *SimTransport) Self() api.DID { return t.self }

// Addresses implements transport.Transport.
func (t *SimTransport) Addresses() []string {
	s, err := transport.FormatAddress(t.self, t.host)
	if err != nil {
		panic(err) // Validate has checked Announce
	}
	return []string{s}
}

// Dial implements transport.Transport. It takes no time.
func (t *SimTransport) Dial(_ context.Context, address string) (api.DID, error) {
	a, err := transport.ParseAddress(address)
	if err != nil {
		return "", err
	}
	if a.Node == t.self {
		return "", api.Errorf("transport.dial", api.Invalid, "address %s is this node itself", address)
	}
	if err := t.connect(a); err != nil {
		return "", err
	}
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	t.keep(a.Node, address)
	return a.Node, nil
}

// connect returns when there is a session.
func (t *SimTransport) connect(a transport.Address) error {
	n := t.net
	if err := t.bars.Allowed(a.Node); err != nil {
		return err
	}
	n.mu.Lock()
	other := n.nodes[a.Node]
	reachable := other != nil && n.hosts[hostPort(a)] == a.Node && n.island[t.self] == n.island[a.Node] && !t.isGone() && !other.isGone() &&
		!n.walls[[2]api.DID{t.self, a.Node}] && !n.walls[[2]api.DID{a.Node, t.self}]
	if t.sessions[a.Node] != nil {
		n.mu.Unlock()
		return nil
	}
	t.stats.Dials++
	nonces := [2][]byte{n.nonce(), n.nonce()}
	n.mu.Unlock()
	err := api.Errorf("transport.dial", api.Unavailable, "node %s cannot be reached", a.Node)
	if reachable && other.bars.Allowed(t.self) == nil {
		err = t.shake(other, nonces)
	}
	if err != nil {
		n.mu.Lock()
		t.stats.DialFailures++
		n.mu.Unlock()
	}
	return err
}

func hostPort(a transport.Address) string {
	_, s, _ := strings.Cut(a.String(), "@")
	return s
}

func (t *SimTransport) isGone() bool {
	select {
	case <-t.gone:
		return true
	default:
		return false
	}
}

func (n *Network) nonce() []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(n.rand.Uint32())
	}
	return b
}

// room refuses a session beyond MaxPeers.
func (n *Network) room(t *SimTransport, peer api.DID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if t.sessions[peer] == nil && len(t.sessions) >= t.opts.MaxPeers {
		t.stats.Refused++
		return api.Errorf("transport.dial", api.Unavailable, "node %s has all its %d sessions in use", t.self, t.opts.MaxPeers)
	}
	return nil
}

// keep makes a node a kept peer. The caller holds mu.
func (t *SimTransport) keep(node api.DID, address string) {
	if t.targets[node] == nil {
		t.targets[node] = &simTarget{}
	}
	k := t.targets[node]
	k.address, k.stopped, k.fails = address, false, 0
}

// lost plans to dial a kept peer again. The caller holds mu.
func (t *SimTransport) lost(node api.DID) {
	k := t.targets[node]
	if k == nil || k.stopped {
		return
	}
	d := t.opts.RetryMax
	if k.fails < 16 {
		d = min(d, t.opts.RetryMin<<k.fails)
	}
	k.fails++
	t.redialAfter(node, d-time.Duration(t.net.rand.Int64N(int64(d)/2+1)))
}

// redialAfter plans an attempt. The caller holds mu.
func (t *SimTransport) redialAfter(node api.DID, d time.Duration) {
	k := t.targets[node]
	k.plan++
	plan := k.plan
	t.net.at(t.net.now.Add(d), func() { t.redial(node, plan) })
}

func (t *SimTransport) redial(node api.DID, plan uint64) {
	n := t.net
	n.mu.Lock()
	k := t.targets[node]
	idle := t.isGone() || k.stopped || k.plan != plan || t.sessions[node] != nil
	n.mu.Unlock()
	if idle {
		return
	}
	a, err := transport.ParseAddress(k.address)
	if err == nil {
		err = t.connect(a)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		k.fails = 0
	} else {
		t.lost(node)
	}
}

// Send implements transport.Transport.
func (t *SimTransport) Send(node api.DID, f wire.Frame) error {
	if err := transport.Sendable(f); err != nil {
		return err
	}
	n := t.net
	n.mu.Lock()
	defer n.mu.Unlock()
	s := t.sessions[node]
	if s == nil || t.isGone() {
		return api.Errorf("transport.send", api.Unavailable, "no session with %s", node)
	}
	b, err := wire.Encode(f)
	if err != nil {
		return api.Wrap("transport.send", err)
	}
	if s.frames >= t.opts.QueueFrames || s.bytes+len(b) > t.opts.QueueBytes {
		t.stats.QueueFull++
		return api.Errorf("transport.send", api.Unavailable, "queue to %s is full", node)
	}
	s.sent++
	t.stats.FramesSent++
	t.stats.BytesSent += uint64(len(b))
	l := n.linkOf(t.self, node)
	switch {
	case n.walls[[2]api.DID{t.self, node}]:
		n.counts.Walled++
		return nil
	case n.chance(l.Loss):
		n.counts.Lost++
		return nil
	}
	due := n.arrival(l)
	if due.Sub(n.now) > lateBy {
		n.counts.Late++
	}
	if l.Rate > 0 {
		n.counts.Slow++
		due = latest(due, s.last).Add(time.Duration(len(b)) * time.Second / time.Duration(l.Rate))
	}
	if n.chance(l.Reorder) {
		n.counts.Reordered++
	} else {
		due = latest(due, s.last)
		s.last = due
	}
	s.travel(due, b)
	if n.chance(l.Repeat) {
		n.counts.Repeated++
		s.travel(latest(n.arrival(l), due), b)
	}
	return nil
}

// chance draws, unless it is certain. The caller holds mu.
func (n *Network) chance(p float64) bool { return p > 0 && n.rand.Float64() < p }

// arrival draws when a frame sent now arrives. The caller holds mu.
func (n *Network) arrival(l Link) time.Time {
	due := n.now.Add(l.Delay)
	if l.Jitter > 0 {
		due = due.Add(time.Duration(n.rand.Int64N(int64(l.Jitter))))
	}
	return due
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// travel plans the arrival of a frame. The caller holds mu.
func (s *simSide) travel(due time.Time, b []byte) {
	s.frames++
	s.bytes += len(b)
	s.t.net.at(due, func() { s.other.deliver(b) })
}

// deliver hands over a frame that the other side sent.
func (s *simSide) deliver(b []byte) {
	n := s.t.net
	n.mu.Lock()
	s.other.frames--
	s.other.bytes -= len(b)
	ok := !s.pipe.ended && !s.t.isGone()
	if ok {
		s.received++
		s.t.stats.FramesReceived++
		s.t.stats.BytesReceived += uint64(len(b))
		n.counts.Arrived++
	}
	now := n.now
	n.mu.Unlock()
	if !ok {
		return
	}
	if n.Tap != nil {
		n.Tap(now, s.other.t.self, s.t.self, b)
	}
	f, err := wire.Decode(b)
	if err != nil {
		panic(err) // it was encoded by Send
	}
	s.t.handler.Frame(s.other.t.self, f)
}

// Close implements transport.Transport.
func (t *SimTransport) Close(node api.DID, reason string) error {
	n := t.net
	n.mu.Lock()
	defer n.mu.Unlock()
	s := t.sessions[node]
	if k := t.targets[node]; k != nil {
		k.stopped = true
	}
	if s == nil {
		return api.Errorf("transport.close", api.NotFound, "no session with %s", node)
	}
	if k := s.other.t.targets[t.self]; k != nil {
		k.fails = max(k.fails, 16)
	}
	n.end(s.pipe, "closed: "+reason)
	return nil
}

// Peers implements transport.Transport.
func (t *SimTransport) Peers() []transport.Peer {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	var out []transport.Peer
	for _, s := range t.sessions {
		if s.up {
			out = append(out, s.snapshot())
		}
	}
	slices.SortFunc(out, func(a, b transport.Peer) int { return cmp.Compare(a.Node, b.Node) })
	return out
}

// endBarred ends the sessions that the bars forbid now.
func (t *SimTransport) endBarred() {
	n := t.net
	n.mu.Lock()
	peers := slices.Sorted(maps.Keys(t.sessions))
	n.mu.Unlock()
	for _, d := range peers {
		err := t.bars.Allowed(d) // asks the network for the time
		n.mu.Lock()
		if s := t.sessions[d]; s != nil && err != nil {
			n.end(s.pipe, err.Error())
		}
		n.mu.Unlock()
	}
}

// retry dials the kept peers that a bar held back: node, or all for the empty DID.
func (t *SimTransport) retry(node api.DID) {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for _, d := range slices.Sorted(maps.Keys(t.targets)) {
		if node == "" || d == node {
			t.targets[d].fails = 0
			t.redialAfter(d, 0)
		}
	}
}

// Ban implements transport.Transport.
func (t *SimTransport) Ban(node api.DID, reason string) {
	t.bars.Ban(node, reason)
	t.endBarred()
}

// Unban implements transport.Transport.
func (t *SimTransport) Unban(node api.DID) {
	t.bars.Unban(node)
	t.retry(node)
}

// Bans implements transport.Transport.
func (t *SimTransport) Bans() map[api.DID]string { return t.bars.Bans() }

// Cut implements transport.Transport.
func (t *SimTransport) Cut(node api.DID, until time.Time) {
	t.bars.Cut(node, until)
	t.endBarred()
}

// Mend implements transport.Transport.
func (t *SimTransport) Mend(node api.DID) {
	t.bars.Mend(node)
	t.retry(node)
}

// Cuts implements transport.Transport.
func (t *SimTransport) Cuts() map[api.DID]time.Time { return t.bars.Cuts() }

// Stats implements transport.Transport.
func (t *SimTransport) Stats() transport.Stats {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	st := t.stats
	st.Sessions = len(t.sessions)
	return st
}
