package transport

import (
	"net/netip"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// startMDNS announces the node in the local network and listens for others. It returns what stops it.
func (n *Node) startMDNS() (stop func()) {
	if !n.opts.MDNS {
		return func() {}
	}
	service := mdns.NewMdnsService(n.host, n.opts.service, (*discovery)(n))
	if err := service.Start(); err != nil {
		n.log.Warn("no discovery in the local network", "err", err)
		service.Close()
		return func() {}
	}
	return func() { service.Close() }
}

// discovery takes what mDNS finds.
type discovery Node

var _ mdns.Notifee = (*discovery)(nil)

// HandlePeerFound implements mdns.Notifee. A node sees its own announcements too: they are nobody's fault and mean nothing.
func (d *discovery) HandlePeerFound(info peer.AddrInfo) {
	n := (*Node)(d)
	node, err := didOf(info.ID)
	if err != nil || node == n.self {
		return
	}
	var addresses []string
	for _, m := range info.Addrs {
		ap, ok := ipPort(m)
		if !ok || ap.Addr().IsUnspecified() || ap.Addr().IsMulticast() || len(addresses) == maxTargetAddresses {
			continue
		}
		addresses = append(addresses, Address{Node: node, Host: ap.Addr().String(), Port: ap.Port()}.String())
	}
	if len(addresses) == 0 {
		return
	}
	n.mu.Lock()
	n.addTarget(node, found, addresses...)
	n.mu.Unlock()
	n.poke()
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
