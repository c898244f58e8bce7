package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"io"
	"net/netip"
	"slices"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/quic-go/quic-go"

	"github.com/intercooperative/icn/kernel/api"
)

// protocolID names the stream of a session. Versions within it are negotiated by Hello.
const protocolID = "/icn/1"

// quicHost is a libp2p host put together from its parts, with QUIC as its only way to others.
type quicHost struct {
	*basichost.BasicHost
	quic *quicreuse.ConnManager
}

// Close implements host.Host. The connections end before the sockets.
func (h quicHost) Close() error {
	err := h.BasicHost.Close()
	return errors.Join(err, h.quic.Close())
}

// newHost starts a libp2p host that listens on QUIC only. libp2p's own constructor is not used: with it come all its transports (TCP, WebSocket,
// WebTransport, WebRTC), which nothing here listens on and which were a fifth of the program. What libp2p would decide by itself (trimming
// connections, refusing addresses that failed, connections per address) is left out or stated. QUIC wants large UDP buffers: net.core.rmem_max and
// wmem_max of 7.5 MB.
func newHost(o *Options, gater connmgr.ConnectionGater) (host.Host, error) {
	const op = "transport.new"
	key, err := crypto.UnmarshalEd25519PrivateKey(o.Key)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "key: %w", err)
	}
	var listen []ma.Multiaddr
	for _, l := range o.Listen {
		hostText, port, _ := parseHostPort(l)
		m, err := multiaddr(hostText, port)
		if err != nil {
			return nil, err
		}
		listen = append(listen, m)
	}
	limits, err := limiter(o)
	if err != nil {
		return nil, err
	}
	h, err := assemble(o, key, gater, limits)
	if err != nil {
		return nil, api.Errorf(op, api.Internal, "QUIC: %w", err)
	}
	for i, m := range listen { // all of them: an operator who lists two addresses wants two
		if err := h.Network().(*swarm.Swarm).AddListenAddr(m); err != nil {
			h.Close()
			return nil, api.Errorf(op, api.Unavailable, "listen on %q: %w", o.Listen[i], err)
		}
	}
	h.Start()
	return h, nil
}

// assemble makes the host's parts, which own limits from then on.
func assemble(o *Options, key crypto.PrivKey, gater connmgr.ConnectionGater, limits network.ResourceManager) (h quicHost, err error) {
	made := []io.Closer{limits}
	defer func() {
		if err != nil {
			for _, m := range slices.Backward(made) {
				m.Close()
			}
		}
	}()
	h.quic, err = newQUIC(o.Key, limits)
	if err != nil {
		return h, err
	}
	made = append(made, h.quic)
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return h, err
	}
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		return h, err
	}
	made = append(made, peers)
	if err := errors.Join(peers.AddPrivKey(id, key), peers.AddPubKey(id, key.GetPublic())); err != nil {
		return h, err
	}
	bus := eventbus.NewBus()
	sw, err := swarm.NewSwarm(id, peers, bus,
		swarm.WithConnectionGater(gater),
		swarm.WithResourceManager(limits),
		swarm.WithDialTimeout(o.HandshakeTimeout),
		swarm.WithUDPBlackHoleSuccessCounter(nil),
		swarm.WithIPv6BlackHoleSuccessCounter(nil),
	)
	if err != nil {
		return h, err
	}
	made = append(made, sw)
	over, err := libp2pquic.NewTransport(key, h.quic, nil, gater, limits)
	if err != nil {
		return h, err
	}
	if err := sw.AddTransport(over); err != nil {
		return h, err
	}
	h.BasicHost, err = basichost.NewHost(sw, &basichost.HostOpts{EventBus: bus, ConnManager: &connmgr.NullConnMgr{}, UserAgent: o.Build})
	return h, err
}

// newQUIC opens the sockets' manager. Its keys, for stateless resets (RFC 9000, section 10.3) and address tokens (section 8.1), come from the node's, so
// that peers understand them after a restart. limits counts a connection from its first packet.
func newQUIC(node ed25519.PrivateKey, limits network.ResourceManager) (*quicreuse.ConnManager, error) {
	var reset quic.StatelessResetKey
	var token quic.TokenGeneratorKey
	for info, key := range map[string][]byte{"icn quic stateless reset": reset[:], "icn quic address token": token[:]} {
		derived, err := hkdf.Key(sha256.New, node.Seed(), nil, info, len(key))
		if err != nil {
			return nil, err
		}
		copy(key, derived)
	}
	return quicreuse.NewConnManager(reset, token,
		quicreuse.VerifySourceAddress(limits.VerifySourceAddress),
		quicreuse.ConnContext(func(ctx context.Context, c *quic.ClientInfo) (context.Context, error) {
			from, err := quicreuse.ToQuicMultiaddr(c.RemoteAddr, quic.Version1)
			if err != nil {
				from = nil // limits judges without
			}
			scope, err := limits.OpenConnection(network.DirInbound, false, from)
			if err != nil {
				return ctx, err
			}
			ctx = network.WithConnManagementScope(ctx, scope)
			context.AfterFunc(ctx, scope.Done)
			return ctx, nil
		}))
}

// limiter states the host's resource limits. A whole co-op may sit behind one address, so connections per address are bounded by the
// same number as connections at all; what bounds a stranger is MaxPeers and MaxHandshakes.
func limiter(o *Options) (network.ResourceManager, error) {
	conns := 2*o.MaxPeers + 2*o.MaxHandshakes + 32 // a session, its replacement, handshakes, dials
	limit := func(conns, streams int, memory int64) rcmgr.ResourceLimits {
		return rcmgr.ResourceLimits{
			Streams: rcmgr.LimitVal(streams), StreamsInbound: rcmgr.LimitVal(streams), StreamsOutbound: rcmgr.LimitVal(streams),
			Conns: rcmgr.LimitVal(conns), ConnsInbound: rcmgr.LimitVal(conns), ConnsOutbound: rcmgr.LimitVal(conns),
			FD: rcmgr.Unlimited, Memory: rcmgr.LimitVal64(memory),
		}
	}
	const perConn = 16 << 20 // QUIC's receive window per connection is 15 MiB
	transient := 2*o.MaxHandshakes + 32
	config := rcmgr.PartialLimitConfig{
		System:      limit(conns, 8*conns, int64(conns)*perConn),
		Transient:   limit(transient, 4*transient, int64(transient)*perConn),
		PeerDefault: limit(8, 32, 4*perConn),
		Conn:        limit(1, 32, perConn),
		Stream:      limit(1, 1, perConn),
	}
	v4 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: conns}}
	v6 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: conns}}
	burst := rate.Limit{RPS: float64(o.MaxHandshakes), Burst: conns}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(config.Build(rcmgr.InfiniteLimits)),
		rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet(v4, v6),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{
				{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")},
			},
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: burst}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: burst}},
			},
		}))
	if err != nil {
		return nil, api.Errorf("transport.new", api.Internal, "resource limits: %w", err)
	}
	return m, nil
}

// gate is the connection gate: it refuses barred nodes before any frame is read. Everything else is refused with a Bye.
type gate struct{ n *Node }

var _ connmgr.ConnectionGater = gate{}

func (g gate) allow(p peer.ID) bool {
	node, err := didOf(p)
	return err == nil && g.n.bars.Allowed(node) == nil
}

// InterceptPeerDial implements connmgr.ConnectionGater.
func (g gate) InterceptPeerDial(p peer.ID) bool { return g.allow(p) }

// InterceptAddrDial implements connmgr.ConnectionGater.
func (g gate) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }

// InterceptAccept implements connmgr.ConnectionGater. Nobody is known by an address, so only a cut of everybody counts here.
func (g gate) InterceptAccept(network.ConnMultiaddrs) bool { return g.n.bars.Allowed("") == nil }

// InterceptSecured implements connmgr.ConnectionGater; the peer has proven its key.
func (g gate) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return g.allow(p)
}

// InterceptUpgraded implements connmgr.ConnectionGater.
func (g gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
