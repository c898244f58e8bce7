package gateway

import (
	"crypto/tls"
	"net"
	"os"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// certEvery is how often a handshake looks whether the certificate's file has changed.
const certEvery = time.Minute

// listen opens the port, with TLS when the options name a certificate.
func listen(o Options) (net.Listener, error) {
	const op = "gateway.listen"
	var conf *tls.Config
	if o.TLSCert != "" {
		c := &certificate{cert: o.TLSCert, key: o.TLSKey}
		if _, err := c.load(time.Now()); err != nil {
			return nil, api.Errorf(op, api.Invalid, "gateway.tls_cert and gateway.tls_key: %w", err)
		}
		conf = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.load(time.Now()) }}
		conf.NextProtos = []string{"h2", "http/1.1"}
	}
	l, err := net.Listen("tcp", o.Bind)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "gateway.bind = %q: %w; stop what has the port, or choose another with --gateway-bind HOST:PORT", o.Bind, err)
	}
	if conf == nil {
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			o.Log.Warn("the gateway is open to the network without TLS: whoever listens there reads tokens; name a certificate, or bind it to 127.0.0.1 behind a proxy", "addr", l.Addr().String())
		}
		return l, nil
	}
	return tls.NewListener(l, conf), nil
}

// certificate is read from its files again once they have changed, so that a renewal needs no restart.
type certificate struct {
	cert, key string

	mu      sync.Mutex
	looked  time.Time
	changed time.Time
	loaded  *tls.Certificate
}

// load returns the certificate. One that was good stays in force when the files cannot be read, which they cannot while they are being written.
func (c *certificate) load(now time.Time) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && now.Sub(c.looked) < certEvery {
		return c.loaded, nil
	}
	c.looked = now
	info, err := os.Stat(c.cert)
	if err == nil && c.loaded != nil && info.ModTime().Equal(c.changed) {
		return c.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.cert, c.key)
	}
	if err == nil {
		c.loaded, c.changed = &pair, info.ModTime()
	}
	if c.loaded != nil {
		return c.loaded, nil
	}
	return nil, err
}
