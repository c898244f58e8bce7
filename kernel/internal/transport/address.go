package transport

import (
	"cmp"
	"crypto/ed25519"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

const scheme = "icn://"

// Address says where a node listens: `icn://<node did>@host:port`. Host is an IPv4 or IPv6 address without brackets, or a DNS name.
type Address struct {
	Node api.DID
	Host string
	Port uint16
}

// ParseAddress reads the one spelling of an address. It refuses what nobody can dial (port 0, unspecified and multicast addresses), IPv6
// zones, names that are not lower-case host names, and anything longer than a frame may carry.
func ParseAddress(s string) (Address, error) {
	a, why := parts(s)
	if why != "" {
		return Address{}, api.Errorf("address.parse", api.Invalid, "address %q: %s", clip(s), why)
	}
	if _, err := record.ParseDID(string(a.Node)); err != nil {
		return Address{}, api.Wrap("address.parse", err)
	}
	return a, nil
}

// parts is ParseAddress without the check of the node's key, which costs as much as a signature: for where the key has been checked or may not
// matter. why says what is wrong and is empty when nothing is.
func parts(s string) (a Address, why string) {
	if len(s) > wire.MaxText {
		return a, "longer than " + strconv.Itoa(wire.MaxText) + " bytes"
	}
	rest, isICN := strings.CutPrefix(s, scheme)
	did, hostport, ok := strings.Cut(rest, "@")
	if !isICN || !ok {
		return a, "want icn://<node did>@host:port"
	}
	host, port, why := parseHostPort(hostport)
	if why == "" {
		why = undialable(host, port)
	}
	return Address{Node: api.DID(did), Host: host, Port: port}, why
}

// String returns the spelling that ParseAddress reads.
func (a Address) String() string {
	host := a.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + string(a.Node) + "@" + host + ":" + strconv.Itoa(int(a.Port))
}

// FormatAddress returns the address of node at hostport, e.g. "192.0.2.7:7100", "[::1]:7100" or "node.example:7100".
func FormatAddress(node api.DID, hostport string) (string, error) {
	host, port, why := parseHostPort(hostport)
	if why != "" {
		return "", api.Errorf("address.format", api.Invalid, "host and port %q: %s", clip(hostport), why)
	}
	s := Address{Node: node, Host: host, Port: port}.String()
	_, err := ParseAddress(s)
	return s, err
}

// parseHostPort reads host:port in its one spelling; why says what is wrong and is empty when nothing is.
func parseHostPort(s string) (host string, port uint16, why string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, "want host:port"
	}
	host, digits := s[:i], s[i+1:]
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != digits {
		return "", 0, "port: want 0 to 65535 without leading zeroes"
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		ip, err := netip.ParseAddr(inner)
		if !ok || err != nil || !ip.Is6() || ip.Is4In6() || ip.Zone() != "" || ip.String() != inner {
			return "", 0, "want a plain IPv6 address in its shortest form between the brackets"
		}
		return inner, uint16(n), ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if !ip.Is4() {
			return "", 0, "an IPv6 address stands in brackets"
		}
		return host, uint16(n), ""
	}
	if !hostName(host) {
		return "", 0, "host: want an IP address or a lower-case host name"
	}
	return host, uint16(n), ""
}

// hostName reports whether s is a lower-case DNS host name whose last label cannot be taken for part of an IPv4 address.
func hostName(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	digits := false
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		digits = true
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
			digits = digits && '0' <= c && c <= '9'
		}
	}
	return !digits
}

func undialable(host string, port uint16) string {
	if port == 0 {
		return "port 0 cannot be dialled"
	}
	if ip, err := netip.ParseAddr(host); err == nil && (ip.IsUnspecified() || ip.IsMulticast()) {
		return "an unspecified or multicast address cannot be dialled"
	}
	return ""
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}

// multiaddr returns the libp2p form of host and port.
func multiaddr(host string, port uint16) (ma.Multiaddr, error) {
	proto := "dns"
	if ip, err := netip.ParseAddr(host); err == nil {
		proto = "ip6"
		if ip.Is4() {
			proto = "ip4"
		}
	}
	m, err := ma.NewMultiaddr("/" + proto + "/" + host + "/udp/" + strconv.Itoa(int(port)) + "/quic-v1")
	if err != nil {
		return nil, api.Errorf("address", api.Invalid, "host %q: %w", clip(host), err)
	}
	return m, nil
}

// ipPort returns the IP address and port of a QUIC multiaddr, and whether it is one.
func ipPort(m ma.Multiaddr) (netip.AddrPort, bool) {
	var ap netip.AddrPort
	if len(m) != 3 || m[2].Protocol().Code != ma.P_QUIC_V1 || m[1].Protocol().Code != ma.P_UDP {
		return ap, false
	}
	ip, err := netip.ParseAddr(m[0].Value())
	port, perr := strconv.ParseUint(m[1].Value(), 10, 16)
	if err != nil || perr != nil {
		return ap, false
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), true
}

// bestFirst sorts addresses by how far they are likely to carry: global and private ones, link-local, loopback, each IPv4 first. Loopback
// is dropped when there is anything else: it means another machine to everybody but ourselves.
func bestFirst(aps []netip.AddrPort) []netip.AddrPort {
	rank := func(ap netip.AddrPort) int {
		r := 0
		switch ip := ap.Addr(); {
		case ip.IsLoopback():
			r = 4
		case ip.IsLinkLocalUnicast():
			r = 2
		}
		if ap.Addr().Is6() {
			r++
		}
		return r
	}
	slices.SortFunc(aps, func(a, b netip.AddrPort) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Compare(b))
	})
	aps = slices.Compact(aps)
	if i := slices.IndexFunc(aps, func(ap netip.AddrPort) bool { return ap.Addr().IsLoopback() }); i > 0 {
		aps = aps[:i]
	}
	return aps
}

// peerID returns the libp2p name of a node. The two are the same key in two spellings.
func peerID(node api.DID) (peer.ID, error) {
	k, err := record.ParseDID(string(node))
	if err != nil {
		return "", err
	}
	pub, err := crypto.UnmarshalEd25519PublicKey(k[:])
	if err != nil {
		return "", api.Errorf("address", api.Invalid, "node %s: %w", node, err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		return "", api.Errorf("address", api.Invalid, "node %s: %w", node, err)
	}
	return id, nil
}

// keyOf returns the key of a libp2p peer, unchecked, if it is an Ed25519 key.
func keyOf(id peer.ID) (api.Key, error) {
	pub, err := id.ExtractPublicKey()
	if err != nil {
		return api.Key{}, api.Errorf("address", api.Invalid, "peer %s: %w", id, err)
	}
	raw, err := pub.Raw()
	if err != nil || pub.Type() != crypto.Ed25519 || len(raw) != ed25519.PublicKeySize {
		return api.Key{}, api.Errorf("address", api.Invalid, "peer %s: not an Ed25519 key", id)
	}
	return api.Key(raw), nil
}

// didOf returns the DID of a libp2p peer. Peers with a key that is not Ed25519, or not fit for a DID, have none.
func didOf(id peer.ID) (api.DID, error) {
	k, err := keyOf(id)
	if err != nil {
		return "", err
	}
	if err := record.CheckKey(k); err != nil {
		return "", api.Wrap("address", err)
	}
	return record.DIDOf(k), nil
}
