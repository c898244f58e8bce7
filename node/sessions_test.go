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
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
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

// A login at a running node outlives a restart of it, and its challenges do not.
func TestLoginOutlivesRestart(t *testing.T) {
	cfg := testConfig(t)
	stop := start(t, cfg)
	id, err := identity.Open(cfg.DataDir, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	defer id.Close()
	me := id.Signer()
	dial := func() *client.Client {
		c, err := client.Dial(t.Context(), cfg.RPCAddress())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	attempt := func(c *client.Client) client.AuthVerifyIn {
		ch, err := c.AuthChallenge(t.Context(), client.AuthChallengeIn{DID: me.DID(), Device: me.Device()})
		if err != nil {
			t.Fatal(err)
		}
		if ch.Node != record.DIDOf(id.Node()) || ch.Audience != string(ch.Node) {
			t.Errorf("%+v", ch)
		}
		sig, err := me.Sign(ch.Message)
		if err != nil {
			t.Fatal(err)
		}
		return client.AuthVerifyIn{DID: me.DID(), Device: me.Device(), Auth: me.Auth(), Challenge: ch.Challenge, Signature: sig, Scopes: []string{"*"}}
	}
	c := dial()
	out, err := c.AuthVerify(t.Context(), attempt(c))
	if err != nil {
		t.Fatal(err)
	}
	stale := attempt(c)
	if err := errors.Join(c.Close(), stop()); err != nil {
		t.Fatal(err)
	}

	start(t, cfg)
	c = dial()
	defer c.Close()
	if _, err := c.AuthVerify(t.Context(), stale); api.KindOf(err) != api.Unauthenticated || api.ReasonOf(err).Remedy == "" {
		t.Errorf("a challenge from before: %v", err)
	}
	next, err := c.AuthRefresh(t.Context(), client.AuthRefreshIn{RefreshToken: out.RefreshToken})
	if err != nil || next.Session != out.Session || !slices.Equal(next.Scopes, []string{"*"}) {
		t.Fatalf("%+v, %v", next, err)
	}
	if list, err := c.AuthSessions(t.Context()); err != nil || len(list.Sessions) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if ended, err := c.AuthRevoke(t.Context(), client.AuthRevokeIn{All: true}); err != nil || ended.Ended != 1 {
		t.Errorf("%+v, %v", ended, err)
	}
	_, err = c.AuthRefresh(t.Context(), client.AuthRefreshIn{RefreshToken: next.RefreshToken})
	if api.KindOf(err) != api.Unauthenticated {
		t.Error(err)
	}
}
