package config

import (
	"net/netip"
	"net/url"
	"time"
)

// maxOrigins bounds the lists that are looked through for each request.
const maxOrigins = 64

func (g *Gateway) validate(bad func(key string, value any, want string)) {
	if checkHostPort(g.Bind) != nil {
		bad("gateway.bind", g.Bind, `want host:port with a port from 0 to 65535, such as "127.0.0.1:8080"`)
	}
	if (g.TLSCert == "") != (g.TLSKey == "") {
		bad("gateway.tls_cert", g.TLSCert, "want a certificate and gateway.tls_key, or neither")
	}
	if len(g.CORSOrigins) > maxOrigins {
		bad("gateway.cors_origins", len(g.CORSOrigins), "want at most 64 origins")
	}
	for _, o := range g.CORSOrigins {
		u, err := url.Parse(o)
		if o != "*" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || o != u.Scheme+"://"+u.Host) {
			bad("gateway.cors_origins", o, "want an origin, such as https://app.example.org, without a path; or * for every page")
		}
	}
	if _, err := g.Proxies(); err != nil || len(g.TrustedProxies) > maxOrigins {
		bad("gateway.trusted_proxies", g.TrustedProxies, "want at most 64 addresses or networks, such as 127.0.0.1 or 10.0.0.0/8")
	}
	for _, n := range []struct {
		key                string
		value, least, most int
		want               string
	}{
		{"max_requests", g.MaxRequests, 1, 10_000, "want 1 to 10000"},
		{"max_streams", g.MaxStreams, 1, 100_000, "want 1 to 100000"},
		{"max_body", g.MaxBody, 1 << 10, 64 << 20, "want 1024 to 67108864 bytes"},
		{"stranger_rate", g.StrangerRate, 1, 100_000, "want 1 to 100000"},
		{"stranger_burst", g.StrangerBurst, 1, 100_000, "want 1 to 100000"},
	} {
		if n.value < n.least || n.value > n.most {
			bad("gateway."+n.key, n.value, n.want)
		}
	}
	if d := time.Duration(g.RequestTimeout); d < time.Second || d > 10*time.Minute {
		bad("gateway.request_timeout", g.RequestTimeout, "want 1s to 10m")
	}
}

// Proxies returns TrustedProxies as networks; a lone address is one of its own.
func (g *Gateway) Proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range g.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(s); err != nil {
				return nil, err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}
