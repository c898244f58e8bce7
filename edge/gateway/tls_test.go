package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// writeCert makes a certificate for 127.0.0.1 and returns its files.
func writeCert(t *testing.T, dir string, serial int64) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "node"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	return cert, key, pool
}

func TestTLS(t *testing.T) {
	cert, key, pool := writeCert(t, t.TempDir(), 1)
	s, err := Listen(Options{Bind: "127.0.0.1:0", TLSCert: cert, TLSKey: key, Dispatcher: &fake{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://" + s.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" || resp.TLS.Version < tls.VersionTLS13 {
		t.Error(resp.StatusCode, resp.Header, resp.TLS.Version)
	}
	old := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	if c, err := tls.Dial("tcp", s.Addr().String(), old); err == nil {
		c.Close()
		t.Error("TLS 1.1 is served")
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCertificateIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := writeCert(t, dir, 1)
	c := &certificate{cert: cert, key: key}
	now := time.Now()
	serial := func(at time.Time) int64 {
		t.Helper()
		pair, err := c.load(at)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.Int64()
	}
	if n := serial(now); n != 1 {
		t.Fatal(n)
	}
	writeCert(t, dir, 2)
	later := now.Add(time.Hour)
	if err := os.Chtimes(cert, later, later); err != nil {
		t.Fatal(err)
	}
	if n := serial(now.Add(certEvery)); n != 2 {
		t.Errorf("serial %d: the new certificate is not in force", n)
	}
	if err := os.WriteFile(cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := serial(now.Add(2 * certEvery)); n != 2 {
		t.Errorf("serial %d: a file that is being written put the good one out of force", n)
	}
}

func TestListenRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cert, key, _ := writeCert(t, t.TempDir(), 1)
	_, otherKey, _ := writeCert(t, t.TempDir(), 2)
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"a taken port":              {Options{Bind: l.Addr().String()}, "--gateway-bind"},
		"no such certificate":       {Options{Bind: "127.0.0.1:0", TLSCert: "no.pem", TLSKey: key}, "no.pem"},
		"no certificate":            {Options{Bind: "127.0.0.1:0", TLSCert: key, TLSKey: key}, "gateway.tls_cert"},
		"another certificate's key": {Options{Bind: "127.0.0.1:0", TLSCert: cert, TLSKey: otherKey}, "gateway.tls_key"},
	} {
		c.o.Dispatcher = &fake{}
		if _, err := Listen(c.o); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
