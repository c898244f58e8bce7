package transport

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/intercooperative/icn/kernel/api"
)

// attempt is an outbound dial under way; several callers may wait for it.
type attempt struct {
	done chan struct{}
	err  error
}

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
	n.poke() // should the session be gone already
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

// attempt dials node once, or waits for the session that another way is coming up.
func (n *Node) attempt(ctx context.Context, node api.DID, addresses []string) error {
	ctx, cancel := context.WithTimeout(ctx, n.opts.HandshakeTimeout)
	defer cancel()
	defer context.AfterFunc(n.ctx, cancel)()
	if n.claimed(node) { // up, or about to be
		if err := n.await(ctx, node, true); !errors.Is(err, errLost) {
			return err
		}
	}
	if err := n.room(node); err != nil {
		return api.Wrap("transport.dial", errors.Unwrap(err))
	}
	n.stats.dials.Add(1)
	err := n.open(ctx, node, addresses)
	if errors.Is(err, errDuplicate) {
		err = n.await(ctx, node, false) // the session that lives may need a moment to come up
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
	book := n.host.Peerstore()
	book.ClearAddrs(info.ID) // only those we were given
	// Not temporary, as Connect would have it: those go when a connection to the node ends, which one may just now.
	book.AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	defer book.ClearAddrs(info.ID)
	left := n.host.Network().ConnsToPeer(info.ID)
	err = n.openOnce(ctx, node, info)
	if len(left) > 0 && errors.Is(err, errLost) && ctx.Err() == nil {
		// A connection that was left of an earlier session, and is just being closed by the peer, was used again. One that the peer has
		// closed goes even if a session of ours has not noticed yet: as long as it is listed, libp2p opens no other.
		dead := errors.As(err, new(*network.ConnError))
		for _, c := range left {
			if dead {
				c.Close()
			} else {
				n.release(c)
			}
		}
		err = n.openOnce(ctx, node, info)
	}
	return err
}

func (n *Node) openOnce(ctx context.Context, node api.DID, info peer.AddrInfo) error {
	if err := n.host.Connect(ctx, info); err != nil {
		return api.Errorf("transport.connect", api.Unavailable, "%s", strings.Join(strings.Fields(err.Error()), " "))
	}
	stream, err := n.host.NewStream(network.WithNoDial(ctx, "connected above"), info.ID, protocolID)
	if err != nil {
		return api.Errorf("transport.connect", api.Unavailable, "connected, but the node takes no session: %w: %w", errLost, err)
	}
	s, err := n.newSession(node, stream, false)
	if err != nil {
		stream.Reset()
		return err
	}
	if !n.begin() {
		stream.Reset()
		return api.Errorf("transport.connect", api.Unavailable, "the node stops")
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

// await waits until a session with node is up. With known set it gives up, with errLost, when none is coming up any more; without, the
// peer has only said that there is one.
func (n *Node) await(ctx context.Context, node api.DID, known bool) error {
	for {
		n.mu.Lock()
		changed := n.changed
		n.mu.Unlock()
		switch {
		case n.has(node):
			return nil
		case known && !n.claimed(node):
			return errLost
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return api.Wrap("transport.dial", context.Cause(ctx))
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
		a, why := parts(s)
		if why != "" {
			return info, api.Errorf("address.parse", api.Invalid, "address %q: %s", clip(s), why)
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
