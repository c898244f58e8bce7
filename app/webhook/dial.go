package webhook

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// closed are networks that are no place on the public internet, beside those that netip knows by name. Those of IPv6 that carry an IPv4 address in
// them are closed as a whole: behind them anything may lie.
var closed = func() (ps [18]netip.Prefix) {
	for i, s := range [18]string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10",
	} {
		ps[i] = netip.MustParsePrefix(s)
	}
	return ps
}()

// public reports whether an address is a place on the public internet: not this machine, not its network, not a cloud's metadata service.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// refused is the error of an address that may not be dialled.
type refused struct{ address string }

func (r refused) Error() string { return r.address + " is not a public address" }

// guard is asked with the address that is about to be dialled, after names were resolved: what a name resolved to earlier says nothing.
func guard(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || !public(ap.Addr()) {
		return refused{address}
	}
	return nil
}

// transport dials what is public, or all; resolver is nil but in tests.
func transport(private bool, resolver *net.Resolver) *http.Transport {
	d := &net.Dialer{Timeout: timeout, Resolver: resolver}
	if !private {
		d.Control = guard
	}
	return &http.Transport{ // no proxy: it would dial in our place
		DialContext: d.DialContext, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout, MaxResponseHeaderBytes: maxAnswer,
		MaxIdleConns: 64, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true,
	}
}

// checkHost refuses at once what would be refused when it is dialled.
func checkHost(host string, private bool) error {
	if a, err := netip.ParseAddr(host); err == nil && !private && !public(a) {
		return fmt.Errorf("%w", refused{host})
	}
	return nil
}
