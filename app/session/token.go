package session

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	maxBearer   = 8 << 10         // bytes of an access token
	tokenType   = "at+jwt"        // RFC 9068
	clockSlack  = 5 * time.Second // that this node's clock may have been put back since it issued a token
	maxExternal = time.Hour       // that another issuer's token may hold

	guestSession = "guest" // in place of the id of a session that there is not
)

// claims are those of an access token beside the registered ones.
type claims struct {
	Scope   string `json:"scope"`
	Device  string `json:"device,omitempty"`
	Session string `json:"sid,omitempty"`
}

// mint issues an access token of a session, and says for how long.
func (a *App) mint(k *keys, now time.Time, s *kept) (string, time.Duration, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: k.token},
		(&jose.SignerOptions{}).WithType(tokenType).WithHeader(jose.HeaderKey("kid"), k.name()))
	if err != nil {
		return "", 0, api.Wrap("session.token", err)
	}
	var once nonce
	if _, err := io.ReadFull(a.opt.Random, once[:]); err != nil {
		return "", 0, api.Wrap("session.token", err)
	}
	now = now.Truncate(time.Second) // as it is written
	std := jwt.Claims{
		Issuer: string(a.opt.Node), Subject: string(s.Proof.DID), Audience: jwt.Audience{a.opt.Audience}, ID: hex.EncodeToString(once[:]),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(a.opt.TokenTTL)),
	}
	own := claims{Scope: strings.Join(s.Scopes, " "), Device: s.Proof.Device.String(), Session: s.ID.String()}
	if s.ID == (id{}) {
		own.Session = guestSession
	}
	text, err := jwt.Signed(signer).Claims(std).Claims(own).Serialize()
	if err == nil && len(text) > maxBearer {
		err = api.Errorf("session.token", api.TooLarge, "token of %d bytes: at most %d; ask for fewer scopes", len(text), maxBearer)
	}
	return text, a.opt.TokenTTL, api.Wrap("session.token", err)
}

// Authenticate returns who calls by an access token: the actor, the device and the scopes. A token holds as long as its session: one that was revoked, or
// whose device was removed, is Unauthenticated at once. The error never says what is wrong with a token.
func (a *App) Authenticate(_ context.Context, bearer string) (*api.Call, error) {
	const op = "session.authenticate"
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	k, err := a.keys()
	if err != nil {
		return nil, err
	}
	if call := a.check(k, host, bearer); call != nil {
		return call, nil
	}
	return nil, denied(op, api.Unauthenticated, "bad-token", "the access token does not hold (any more)")
}

// check returns who calls, or nil. That the token was issued is found out once; whether it holds, each time.
func (a *App) check(k *keys, host api.Host, bearer string) *api.Call {
	if len(bearer) > maxBearer {
		return nil
	}
	var room [1024]byte // for all but odd ones
	sum := sha256.Sum256(append(room[:0], bearer...))
	t := a.known.get(sum)
	if t == nil {
		if t = a.verified(k, bearer); t == nil {
			return nil
		}
		t.scopes = strings.Fields(t.own.Scope)
		if len(bearer) <= maxKnown {
			a.known.put(sum, t)
		}
	}
	if t.external {
		return a.external(host, t)
	}
	return a.internal(host, t)
}

// verified returns what a token says when its issuer has signed it, or nil. What signs decides which key verifies, never the token alone: an algorithm goes
// with one issuer and one type of key.
func (a *App) verified(k *keys, bearer string) *token {
	algorithms := []jose.SignatureAlgorithm{jose.EdDSA}
	if a.opt.External != nil {
		algorithms = append(algorithms, jose.RS256)
	}
	t, err := jwt.ParseSigned(bearer, algorithms)
	if err != nil || len(t.Headers) != 1 {
		return nil
	}
	out := &token{}
	if t.Headers[0].Algorithm == string(jose.RS256) {
		out.external = true
		for _, key := range a.opt.External.Keys {
			if t.Claims(key, &out.std, &out.own) == nil {
				return out
			}
		}
		return nil
	}
	if t.Headers[0].ExtraHeaders[jose.HeaderType] != tokenType || t.Claims(k.token.Public().(ed25519.PublicKey), &out.std, &out.own) != nil {
		return nil
	}
	return out
}

// timely reports whether a token is for this node's audience, by the issuer, and of now.
func (a *App) timely(now time.Time, issuer string, c *jwt.Claims) bool {
	return c.Issuer == issuer && c.Audience.Contains(a.opt.Audience) && c.Expiry != nil && now.Before(c.Expiry.Time()) &&
		(c.NotBefore == nil || !now.Add(clockSlack).Before(c.NotBefore.Time())) && c.IssuedAt != nil && !now.Add(clockSlack).Before(c.IssuedAt.Time())
}

func (a *App) internal(host api.Host, t *token) *api.Call {
	std, own, now := &t.std, &t.own, host.Now()
	if std.NotBefore == nil || !a.timely(now, string(a.opt.Node), std) {
		return nil
	}
	if own.Session == guestSession {
		return guest(std, own)
	}
	var i id
	if len(own.Session) != hex.EncodedLen(len(i)) {
		return nil
	}
	if _, err := hex.Decode(i[:], append(make([]byte, 0, 2*len(i)), own.Session...)); err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.sessions.byID[i]
	if s == nil || over(s.Expires, now) || string(s.Proof.DID) != std.Subject || s.Proof.Device.String() != own.Device {
		return nil
	}
	s.Used = max(s.Used, now.UnixMilli())
	return &api.Call{Actor: s.Proof.DID, Device: s.Proof.Device, Scopes: slices.Clone(t.scopes)}
}

// guest returns who calls by a token that belongs to no session: somebody who is to join, and may do nothing else whatever the token says.
func guest(std *jwt.Claims, own *claims) *api.Call {
	var device api.Key
	if err := device.UnmarshalText([]byte(own.Device)); err != nil || device == (api.Key{}) {
		return nil
	}
	return &api.Call{Actor: api.DID(std.Subject), Device: device, Scopes: slices.Clone(ofGuests)}
}

// external returns who calls by another issuer's token: a member, with what members may be given of what it says.
func (a *App) external(host api.Host, t *token) *api.Call {
	std, now := &t.std, host.Now()
	if !a.timely(now, a.opt.External.Issuer, std) || std.Expiry.Time().Sub(std.IssuedAt.Time()) > maxExternal {
		return nil
	}
	did := api.DID(std.Subject)
	if _, err := record.ParseDID(std.Subject); err != nil || !a.belongs(host, did) {
		return nil
	}
	call := &api.Call{Actor: did, Scopes: []string{}}
	for _, asked := range t.scopes {
		for _, have := range a.scopes.all {
			if asked == have && have != scopeRead && have != scopeWrite {
				call.Scopes = append(call.Scopes, asked)
			}
		}
	}
	return call
}
