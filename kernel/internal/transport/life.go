package transport

import (
	"errors"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/intercooperative/icn/kernel/api"
)

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
		if s.prev != nil {
			<-s.prev.done // whoever claims the place next must not overtake its Down
		}
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
	_, _ = io.Copy(io.Discard, s.r) // until the peer has read our Bye, or linger is over
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

// up makes s usable, unless it has been barred while the handshake ran.
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
	if barred != nil {
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
