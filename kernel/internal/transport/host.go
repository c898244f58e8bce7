package transport

import (
	"net/netip"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/x/rate"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/intercooperative/icn/kernel/api"
)

// protocolID names the stream of a session. Versions within it are negotiated by Hello.
const protocolID = "/icn/1"

// newHost starts a libp2p host that listens on QUIC only. What libp2p would decide by itself (trimming connections, refusing addresses that
// failed, connections per address) is switched off or stated. QUIC wants large UDP buffers: net.core.rmem_max and wmem_max of 7.5 MB.
func newHost(o *Options, gater connmgr.ConnectionGater) (host.Host, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(o.Key)
	if err != nil {
		return nil, api.Errorf("transport.new", api.Invalid, "key: %w", err)
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
	h, err := libp2p.New(
		libp2p.Identity(key),
		libp2p.Transport(libp2pquic.NewTransport),
		listenOn(listen),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(&connmgr.NullConnMgr{}),
		libp2p.ConnectionGater(gater),
		libp2p.UserAgent(o.Build),
		libp2p.WithDialTimeout(o.HandshakeTimeout),
		libp2p.UDPBlackHoleSuccessCounter(nil),
		libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.DisableIdentifyAddressDiscovery(),
		libp2p.DisableMetrics(),
		libp2p.DisableRelay(),
		libp2p.Ping(false),
	)
	if err != nil {
		return nil, api.Errorf("transport.new", api.Unavailable, "listen on %q: %w", o.Listen, err)
	}
	// libp2p is content when one of several addresses can be had; an operator who lists two wants two.
	if got := len(h.Network().ListenAddresses()); got < len(listen) {
		h.Close()
		return nil, api.Errorf("transport.new", api.Unavailable, "listen on %q: only %d of %d addresses can be had", o.Listen, got, len(listen))
	}
	return h, nil
}

func listenOn(ms []ma.Multiaddr) libp2p.Option {
	if len(ms) == 0 {
		return libp2p.NoListenAddrs
	}
	return libp2p.ListenAddrs(ms...)
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
