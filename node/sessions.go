package node

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/node/config"
)

const (
	// tokenFile holds the secret that the keys of tokens are derived from, in hexadecimal digits. It lies beside the store and not in it: who reads a
	// database, or a backup of it, must not be able to log in as anybody. Without it nothing is lost but logins.
	tokenFile = "token.key"
	secretLen = 32

	maxKeyFile    = 64 << 10 // bytes
	maxIssuerKeys = 8
	minModulus    = 2048 // bits of an RSA key
)

// sessions returns what logins need.
func sessions(cfg *config.Config, id *identity.Identity) (app.Sessions, error) {
	s := app.Sessions{
		Node: record.DIDOf(id.Node()), Audience: cfg.Auth.Audience, TokenTTL: time.Duration(cfg.Auth.TokenTTL), TTL: time.Duration(cfg.Auth.SessionTTL),
		Secret: []byte(cfg.TokenSecret),
	}
	var err error
	if len(s.Secret) == 0 {
		if s.Secret, err = tokenSecret(cfg.DataDir); err != nil {
			return s, err
		}
	}
	if cfg.Auth.Issuer != "" {
		s.External = &app.Issuer{Issuer: cfg.Auth.Issuer}
		s.External.Keys, err = issuerKeys(cfg.Auth.IssuerKey)
	}
	return s, err
}

// tokenSecret reads the secret in a data directory that this process has locked, or makes one.
func tokenSecret(dir string) ([]byte, error) {
	const op = "node.sessions"
	path := filepath.Join(dir, tokenFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newTokenSecret(path)
	}
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	secret := make([]byte, secretLen)
	if len(text) != hex.EncodedLen(secretLen)+1 || text[len(text)-1] != '\n' {
		return nil, badSecret(path)
	}
	if _, err := hex.Decode(secret, text[:len(text)-1]); err != nil {
		return nil, badSecret(path)
	}
	return secret, nil
}

func badSecret(path string) error {
	return api.Errorf("node.sessions", api.Invalid, "%s is not as this software writes it: restore it, or remove it, and everybody logs in again", path)
}

// newTokenSecret makes the file whole or not at all.
func newTokenSecret(path string) ([]byte, error) {
	secret := make([]byte, secretLen)
	_, _ = rand.Read(secret)                                    // it never fails, says its documentation
	f, err := os.CreateTemp(filepath.Dir(path), tokenFile+".*") // with the permissions 0600
	if err != nil {
		return nil, api.Wrap("node.sessions", err)
	}
	_, err = io.WriteString(f, hex.EncodeToString(secret)+"\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return nil, api.Wrap("node.sessions", errors.Join(err, os.Remove(f.Name())))
	}
	return secret, nil
}

// issuerKeys reads public RSA keys.
func issuerKeys(path string) (keys []*rsa.PublicKey, err error) {
	bad := func(format string, args ...any) ([]*rsa.PublicKey, error) {
		return nil, api.Errorf("node.sessions", api.Invalid, "auth.issuer_key_file: "+format, args...)
	}
	f, err := os.Open(path)
	if err != nil {
		return bad("%w", err)
	}
	defer f.Close()
	rest, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil || len(rest) > maxKeyFile {
		return bad("%s: cannot be read, or has over %d bytes", path, maxKeyFile)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		any, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			any, err = x509.ParsePKCS1PublicKey(block.Bytes)
		}
		key, ok := any.(*rsa.PublicKey)
		if err != nil || !ok || key.N.BitLen() < minModulus {
			return bad("%s: a %s is no public RSA key of at least %d bits", path, block.Type, minModulus)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > maxIssuerKeys {
		return bad("%s: %d keys, want 1 to %d, PEM", path, len(keys), maxIssuerKeys)
	}
	return keys, nil
}

// authenticator returns how an edge learns who calls by an access token, from the app that knows; nil when there is none.
func authenticator(apps []api.App) func(context.Context, string) (*api.Call, error) {
	for _, a := range apps {
		if x, ok := a.(interface {
			Authenticate(ctx context.Context, bearer string) (*api.Call, error)
		}); ok {
			return x.Authenticate
		}
	}
	return nil
}
