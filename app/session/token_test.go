package session

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// parts takes a token apart.
func parts(t testing.TB, token string) (header, payload map[string]any) {
	t.Helper()
	three := strings.Split(token, ".")
	if len(three) != 3 {
		t.Fatalf("%q is no token", token)
	}
	for i, v := range []*map[string]any{&header, &payload} {
		b, err := base64.RawURLEncoding.DecodeString(three[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return header, payload
}

// forge writes a token without any library.
func forge(t testing.TB, header, payload map[string]any, signer func(message []byte) []byte) string {
	t.Helper()
	var out []string
	for _, v := range []map[string]any{header, payload} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, base64.RawURLEncoding.EncodeToString(b))
	}
	message := strings.Join(out, ".")
	return message + "." + base64.RawURLEncoding.EncodeToString(signer([]byte(message)))
}

func TestAccessTokenClaims(t *testing.T) {
	w := newWorld(t)
	out := w.login(w.bob)
	header, payload := parts(t, out.AccessToken)
	now := w.host().Now().Unix()
	for name, want := range map[string]any{
		"iss": string(w.opt.Node), "sub": string(w.bob.DID()), "exp": float64(now + 900), "nbf": float64(now), "iat": float64(now),
		"device": w.bob.Device().String(), "sid": out.Session, "scope": strings.Join(out.Scopes, " "),
	} {
		if payload[name] != want {
			t.Errorf("%s: %v, want %v", name, payload[name], want)
		}
	}
	if jti, _ := payload["jti"].(string); len(jti) != 32 || header["alg"] != "EdDSA" || header["typ"] != "at+jwt" || header["kid"] == "" {
		t.Errorf("%v, %v", header, payload)
	}
	if aud, _ := json.Marshal(payload["aud"]); !strings.Contains(string(aud), "https://mill.example") {
		t.Errorf("aud %s", aud)
	}
}

// No token counts that this node has not signed as it signs, for whom it is, and now.
func TestForgedTokens(t *testing.T) {
	w := newWorld(t)
	out := w.login(w.bob)
	k, err := w.app.keys()
	if err != nil {
		t.Fatal(err)
	}
	public := k.token.Public().(ed25519.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	eddsa := func(m []byte) []byte { return ed25519.Sign(k.token, m) }
	with := func(secret []byte) func([]byte) []byte {
		return func(m []byte) []byte { h := hmac.New(sha256.New, secret); h.Write(m); return h.Sum(nil) }
	}
	again := func(change func(h, p map[string]any), by func([]byte) []byte) string {
		h, p := parts(t, out.AccessToken)
		change(h, p)
		return forge(t, h, p, by)
	}
	if w.caller(again(func(map[string]any, map[string]any) {}, eddsa)) == nil {
		t.Fatal("a copy does not hold: the forger is no good")
	}
	set := func(name string, v any) func(h, p map[string]any) { return func(_, p map[string]any) { p[name] = v } }
	alg := func(name string) func(h, p map[string]any) { return func(h, _ map[string]any) { h["alg"] = name } }
	now := float64(w.host().Now().Unix())
	other := w.login(w.ann)
	for name, token := range map[string]string{
		"none":                      again(alg("none"), func([]byte) []byte { return nil }),
		"None":                      again(alg("None"), func([]byte) []byte { return nil }),
		"no algorithm":              again(func(h, _ map[string]any) { delete(h, "alg") }, eddsa),
		"HMAC by the public key":    again(alg("HS256"), with(public)),
		"HMAC by its DER":           again(alg("HS256"), with(der)),
		"HMAC named EdDSA":          again(alg("EdDSA"), with(public)),
		"RS256 where none is taken": again(alg("RS256"), eddsa),
		"its own key in the header": func() string {
			pub, priv, _ := ed25519.GenerateKey(rand.Reader)
			jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(pub)}
			return again(func(h, _ map[string]any) { h["jwk"] = jwk }, func(m []byte) []byte { return ed25519.Sign(priv, m) })
		}(),
		"another's key":      again(set("scope", "*"), func(m []byte) []byte { return ed25519.Sign(seedKey("thief"), m) }),
		"another type":       again(func(h, _ map[string]any) { h["typ"] = "JWT" }, eddsa),
		"critical header":    again(func(h, _ map[string]any) { h["crit"], h["x"] = []string{"x"}, 1 }, eddsa),
		"another audience":   again(set("aud", []string{"https://evil.example"}), eddsa),
		"no audience":        again(func(_, p map[string]any) { delete(p, "aud") }, eddsa),
		"another issuer":     again(set("iss", "did:icn:other"), eddsa),
		"no issuer":          again(func(_, p map[string]any) { delete(p, "iss") }, eddsa),
		"no expiry":          again(func(_, p map[string]any) { delete(p, "exp") }, eddsa),
		"over":               again(set("exp", now), eddsa),
		"not yet":            again(set("nbf", now+60), eddsa),
		"of the future":      again(set("iat", now+60), eddsa),
		"another's session":  again(set("sid", other.Session), eddsa),
		"no session":         again(func(_, p map[string]any) { delete(p, "sid") }, eddsa),
		"a short session":    again(set("sid", "00"), eddsa),
		"a session of words": again(set("sid", strings.Repeat("zz", 16)), eddsa),
		"another subject":    again(set("sub", string(w.ann.DID())), eddsa),
		"another device":     again(set("device", w.ann.Device().String()), eddsa),
		"nothing":            "",
		"dots":               "..",
		"the refresh token":  out.RefreshToken,
		"too long":           strings.Repeat("a", maxBearer+1),
		"two signatures":     out.AccessToken + "." + out.AccessToken,
		"changed":            out.AccessToken[:len(out.AccessToken)-4] + "AAAA",
	} {
		if call := w.caller(token); call != nil {
			t.Errorf("%s: %+v", name, call)
		}
	}
	// What this node signs is not what it would sign with another secret.
	w.opt.Secret = []byte("another secret of thirty-two bytes.")
	w.boot()
	if w.caller(out.AccessToken) != nil {
		t.Error("it holds under another secret")
	}
}

// Tokens of another issuer are taken when the operator says so: RS256 by its keys only, for members only, with members' scopes only.
func TestExternalIssuer(t *testing.T) {
	w := newWorld(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	thief, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w.opt.External = &External{Issuer: "https://id.example", Keys: []*rsa.PublicKey{&other.PublicKey, &key.PublicKey}}
	w.boot()
	by := func(key *rsa.PrivateKey) func([]byte) []byte {
		return func(m []byte) []byte {
			sum := sha256.Sum256(m)
			sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return sig
		}
	}
	now := w.host().Now().Unix()
	claims := func(change func(p map[string]any)) map[string]any {
		p := map[string]any{
			"iss": "https://id.example", "sub": string(w.bob.DID()), "aud": "https://mill.example", "iat": now, "exp": now + 600,
			"scope": "chat:read node:read * chat:* session:write public",
		}
		change(p)
		return p
	}
	rs256 := map[string]any{"alg": "RS256", "typ": "JWT"}
	good := forge(t, rs256, claims(func(map[string]any) {}), by(key))
	if call := w.caller(good); call == nil || call.Actor != w.bob.DID() || call.Device != (api.Key{}) || !slices.Equal(call.Scopes, []string{"chat:read"}) {
		t.Fatalf("%+v", call)
	}
	k, err := w.app.keys()
	if err != nil {
		t.Fatal(err)
	}
	der := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	for name, token := range map[string]string{
		"another's key":         forge(t, rs256, claims(func(map[string]any) {}), by(thief)),
		"another issuer":        forge(t, rs256, claims(func(p map[string]any) { p["iss"] = "https://evil.example" }), by(key)),
		"this node as issuer":   forge(t, rs256, claims(func(p map[string]any) { p["iss"] = w.opt.Node }), by(key)),
		"another audience":      forge(t, rs256, claims(func(p map[string]any) { p["aud"] = "https://evil.example" }), by(key)),
		"a stranger":            forge(t, rs256, claims(func(p map[string]any) { p["sub"] = kerneltest.Signer("stranger").DID() }), by(key)),
		"no DID":                forge(t, rs256, claims(func(p map[string]any) { p["sub"] = "bob" }), by(key)),
		"no expiry":             forge(t, rs256, claims(func(p map[string]any) { delete(p, "exp") }), by(key)),
		"no time of issue":      forge(t, rs256, claims(func(p map[string]any) { delete(p, "iat") }), by(key)),
		"over":                  forge(t, rs256, claims(func(p map[string]any) { p["exp"] = now }), by(key)),
		"for days":              forge(t, rs256, claims(func(p map[string]any) { p["exp"] = now + 86400 }), by(key)),
		"HMAC by its key":       forge(t, map[string]any{"alg": "HS256"}, claims(func(map[string]any) {}), func(m []byte) []byte { return mac(der, m) }),
		"EdDSA of the external": forge(t, map[string]any{"alg": "EdDSA", "typ": tokenType}, claims(func(map[string]any) {}), func(m []byte) []byte { return ed25519.Sign(k.token, m) }),
		"RS384":                 forge(t, map[string]any{"alg": "RS384"}, claims(func(map[string]any) {}), by(key)),
	} {
		if call := w.caller(token); call != nil {
			t.Errorf("%s: %+v", name, call)
		}
	}
	own := w.login(w.bob)
	h, p := parts(t, own.AccessToken)
	h["alg"] = "RS256"
	if call := w.caller(forge(t, h, p, by(key))); call != nil {
		t.Errorf("the external issuer speaks for this node: %+v", call)
	}
	w.opt.External = nil
	w.boot()
	if w.caller(good) != nil {
		t.Error("it counts where no other issuer is taken")
	}
}

func TestRevoke(t *testing.T) {
	w := newWorld(t)
	first, second := w.login(w.bob), w.login(w.bob)
	ann := w.login(w.ann)
	call := w.caller(first.AccessToken)
	_, err := do[RevokeOut](w, call, "auth.revoke", &RevokeIn{Session: ann.Session})
	wants(t, err, api.NotFound, "")
	if _, err := do[RevokeOut](w, call, "auth.revoke", &RevokeIn{Session: second.Session}); err != nil {
		t.Fatal(err)
	}
	if w.caller(second.AccessToken) != nil || w.caller(first.AccessToken) == nil || w.caller(ann.AccessToken) == nil {
		t.Error("another session than the one named has ended, or none")
	}
	_, err = w.refresh(second.RefreshToken)
	wants(t, err, api.Unauthenticated, "session-over")
	if out, err := do[RevokeOut](w, call, "auth.revoke", &RevokeIn{}); err != nil || out.Ended != 1 || w.caller(first.AccessToken) != nil {
		t.Errorf("%+v, %v", out, err)
	}
	w.login(w.bob)
	w.login(w.bob)
	if out, err := do[RevokeOut](w, &api.Call{Actor: w.bob.DID(), Scopes: []string{"*"}}, "auth.revoke", &RevokeIn{All: true}); err != nil || out.Ended != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	_, err = do[RevokeOut](w, &api.Call{Actor: w.bob.DID(), Scopes: []string{"*"}}, "auth.revoke", &RevokeIn{})
	wants(t, err, api.Invalid, "")
	w.boot()
	if w.caller(ann.AccessToken) == nil || w.caller(second.AccessToken) != nil || len(w.app.all()) != 1 {
		t.Error("a restart brings back what was revoked, or forgets what was not")
	}
}

// A session of every member and device is kept within bounds, the one unused for longest goes.
func TestSessionsAreBounded(t *testing.T) {
	w := newWorld(t)
	first := w.login(w.bob)
	w.pass(time.Second)
	second := w.login(w.bob)
	w.pass(time.Second)
	if w.caller(first.AccessToken) == nil { // it is used, so the second one is older
		t.Fatal("it does not hold")
	}
	for range maxSessionsEach - 1 {
		w.pass(time.Second)
		w.login(w.bob)
	}
	if n := len(w.app.all()); n != maxSessionsEach || len(w.disk.rows) != n {
		t.Errorf("%d sessions, %d on disk", n, len(w.disk.rows))
	}
	if w.caller(first.AccessToken) == nil || w.caller(second.AccessToken) != nil {
		t.Error("another one had to go than the one unused for longest")
	}
	// Of all, whoever has most loses one.
	for i := range maxSessions - maxSessionsEach {
		s := &session{kept: kept{ID: id(append(api.Seq8(uint64(i)), make([]byte, 8)...)), Proof: proof{DID: api.DID("did " + string(rune('a'+i%500)))}}}
		s.Expires = w.host().Now().Add(time.Hour).UnixMilli()
		w.app.sessions.add(s)
	}
	w.login(w.ann)
	if n := len(w.app.sessions.byID); n != maxSessions {
		t.Errorf("%d sessions", n)
	}
	if n := len(w.app.sessions.by[w.bob.DID()]); n != maxSessionsEach-1 {
		t.Errorf("who has most kept %d", n)
	}
}

// Nothing at rest lets anybody in.
func TestAtRest(t *testing.T) {
	w := newWorld(t)
	out := w.login(w.bob)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(out.RefreshToken, refreshPrefix))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range w.disk.rows {
		for _, secret := range []string{string(raw[24:56]), out.RefreshToken, out.AccessToken, string(secret)} {
			if strings.Contains(string(value), secret) || strings.Contains(key, secret) {
				t.Error("a secret is on disk")
			}
		}
	}
	for key := range w.disk.rows {
		w.disk.rows[key] = append(w.disk.rows[key], 0)
	}
	w.boot()
	if len(w.app.all()) != 0 || len(w.disk.rows) != 0 {
		t.Error("what cannot be read is kept")
	}
}

func TestBeforeStart(t *testing.T) {
	a := New(&knownLogs{}, nil, Options{Secret: secret})
	if _, err := a.Authenticate(context.Background(), "x"); api.KindOf(err) != api.Unavailable {
		t.Error(err)
	}
	for _, op := range a.Operations() {
		if _, err := op.Do(context.Background(), &api.Call{}, newIn(op), nil); api.KindOf(err) != api.Unavailable {
			t.Errorf("%s: %v", op.Name, err)
		}
	}
	short := New(&knownLogs{}, nil, Options{Secret: secret[:31]})
	if _, err := short.keys(); api.KindOf(err) != api.Invalid {
		t.Errorf("a short secret: %v", err)
	}
	if strings.Contains((&keys{refresh: secret}).String(), "secret") {
		t.Error("keys print")
	}
}
