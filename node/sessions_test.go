package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
)

// The secret is made once, for nobody else to read, and is not written over.
func TestTokenSecret(t *testing.T) {
	dir := t.TempDir()
	first, err := tokenSecret(dir)
	if err != nil || len(first) != secretLen || bytes.Equal(first, make([]byte, secretLen)) {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	path := filepath.Join(dir, tokenFile)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if again, err := tokenSecret(dir); err != nil || !bytes.Equal(again, first) {
		t.Errorf("another one after a restart, %v", err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("%d files, %v", len(all), err)
	}
	for _, broken := range []string{"", "no secret\n", strings.Repeat("z", 64) + "\n", strings.Repeat("0", 64), strings.Repeat("0", 66) + "\n"} {
		if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := tokenSecret(dir); api.KindOf(err) != api.Invalid || broken != "" && strings.Contains(err.Error(), strings.TrimSpace(broken)) {
			t.Errorf("%q: %v", broken, err)
		}
	}
}

func TestIssuerKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "issuer.pem")
	key := func(bits int) *rsa.PublicKey {
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	}
	pkix := func(k any) string {
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := key(2048)
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(good)}))
	for _, c := range []struct {
		text string
		want int // 0: refused
	}{
		{pkix(good), 1},
		{pkcs1 + pkix(good), 2},
		{"", 0},
		{"no PEM", 0},
		{pkix(key(1024)), 0},
		{pkix(&curve.PublicKey), 0},
		{strings.Repeat(pkcs1, maxIssuerKeys+1), 0},
		{strings.Repeat("x", maxKeyFile+1), 0},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := issuerKeys(path)
		if c.want == 0 && api.KindOf(err) != api.Invalid || c.want > 0 && (err != nil || len(keys) != c.want || !keys[0].Equal(good)) {
			t.Errorf("%.30q: %d keys, %v", c.text, len(keys), err)
		}
	}
	if _, err := issuerKeys(path + "x"); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
}

// The apps of a node have one that knows who calls by a token.
func TestAuthenticator(t *testing.T) {
	cfg := config.Defaults()
	who := authenticator(measuredApps(&cfg, nil, app.Sessions{}))
	if who == nil {
		t.Fatal("nobody knows")
	}
	if _, err := who(context.Background(), "token"); api.KindOf(err) != api.Unavailable {
		t.Errorf("before the start: %v", err)
	}
	if authenticator(nil) != nil {
		t.Error("somebody knows where there is no app")
	}
}
