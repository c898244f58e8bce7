package session

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	maxLabel     = 64      // bytes
	maxToken     = 256     // characters of what this node has made: a challenge, a refresh token, a secret
	maxUsed      = 1 << 16 // challenges that are remembered as used; only members use one
	signatureLen = 64
)

// Operations implements api.OperationProvider. None of them is a Write: an edge keeps the answers of writes, and these hold secrets.
func (a *App) Operations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "auth.challenge", Method: http.MethodPost, Path: "/auth/challenge", Scope: api.ScopePublic,
			Summary: "Begin a login: give the message that the device's key has to sign",
		}, a.challenge),
		api.Handle(api.Operation{
			Name: "auth.verify", Method: http.MethodPost, Path: "/auth/verify", Scope: api.ScopePublic,
			Summary: "Log in with the signed message: give an access token and a refresh token",
		}, a.verify),
		api.Handle(api.Operation{
			Name: "auth.refresh", Method: http.MethodPost, Path: "/auth/refresh", Scope: api.ScopePublic,
			Summary: "Give new tokens for a refresh token, which is good once",
		}, a.refresh),
		api.Handle(api.Operation{
			Name: "auth.sessions", Method: http.MethodGet, Path: "/auth/sessions", Scope: scopeRead, Access: api.AccessOwn,
			Summary: "List your own sessions",
		}, a.list),
		api.Handle(api.Operation{
			Name: "auth.revoke", Method: http.MethodPost, Path: "/auth/revoke", Scope: scopeWrite, Access: api.AccessOwn,
			Summary: "Log out: end the sessions of this device, one of yours, or all",
		}, a.revoke),
		api.Handle(api.Operation{
			Name: "auth.pair", Method: http.MethodPost, Path: "/auth/pair", Scope: api.ScopePublic,
			Summary: "On a new device: ask to be let in by one that is logged in",
		}, a.pair),
		api.Handle(api.Operation{
			Name: "auth.pairing", Method: http.MethodPost, Path: "/auth/pairing", Scope: scopeRead, Access: api.AccessOwn,
			Summary: "Show what a new device asks for, before it is approved",
		}, a.pairing),
		api.Handle(api.Operation{
			Name: "auth.approve", Method: http.MethodPost, Path: "/auth/approve", Scope: scopeWrite, Access: api.AccessOwn,
			Summary: "Let a new device of yours in, or turn it away",
		}, a.approve),
		api.Handle(api.Operation{
			Name: "auth.claim", Method: http.MethodPost, Path: "/auth/claim", Scope: api.ScopePublic,
			Summary: "On a new device: take the tokens once it is approved",
		}, a.claim),
	}
}

// ChallengeIn is the input of auth.challenge.
type ChallengeIn struct {
	DID    api.DID `json:"did" doc:"Who logs in"`
	Device api.Key `json:"device" doc:"Public key of the device that will sign, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *ChallengeIn) Validate() error {
	if _, err := record.ParseDID(string(in.DID)); err != nil {
		return err
	}
	return record.CheckKey(in.Device)
}

// ChallengeOut is the output of auth.challenge.
type ChallengeOut struct {
	Challenge string    `json:"challenge" doc:"to be handed back to auth.verify; good once"`
	Message   []byte    `json:"message" doc:"exactly the bytes to sign, base64; whoever signs checks the audience in it (docs/protocol.md, 11)"`
	Audience  string    `json:"audience" doc:"whom the token will be for, as it stands in the message"`
	Node      api.DID   `json:"node" doc:"the node, as it stands in the message"`
	Expires   time.Time `json:"expires"`
}

func (a *App) challenge(_ context.Context, _ *api.Call, in *ChallengeIn) (*ChallengeOut, error) {
	host, k, err := a.ready("auth.challenge")
	if err != nil {
		return nil, err
	}
	var n nonce
	if _, err := io.ReadFull(a.opt.Random, n[:]); err != nil {
		return nil, api.Wrap("auth.challenge", err)
	}
	expires := host.Now().Add(challengeTTL).UnixMilli()
	message := a.words(purposeLogin, in.DID, in.Device, n, expires)
	return &ChallengeOut{
		Challenge: seal(k, n, expires, message), Message: message, Audience: a.opt.Audience, Node: a.opt.Node, Expires: time.UnixMilli(expires).UTC(),
	}, nil
}

// ready returns the host and the keys, or an error before Start.
func (a *App) ready(op string) (api.Host, *keys, error) {
	host, err := a.with(op)
	if err != nil {
		return nil, nil, err
	}
	k, err := a.keys()
	return host, k, api.Wrap(op, err)
}

// VerifyIn is the input of auth.verify.
type VerifyIn struct {
	DID       api.DID  `json:"did" doc:"Who logs in, as for the challenge"`
	Device    api.Key  `json:"device" doc:"Public key of the device, as for the challenge"`
	Auth      []byte   `json:"auth" doc:"Key event that certifies the device for the DID, as the first record of its feeds carries it (docs/protocol.md, 2.3 and 2.5), base64"`
	Challenge string   `json:"challenge" doc:"As auth.challenge gave it"`
	Signature []byte   `json:"signature" doc:"Ed25519 by the device over the challenge's message, base64" example:"\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\""`
	Scopes    []string `json:"scopes,omitempty" doc:"What the token is to be good for, at most 32; default: what members usually need"`
	Within    api.Hash `json:"within,omitzero" doc:"Id of a space: what the token is good for holds in it only; default: every space"`
	Label     string   `json:"label,omitempty" doc:"What the device is called in your list of sessions, at most 64 bytes"`
}

// Validate implements api.Validator.
func (in *VerifyIn) Validate() error {
	c := ChallengeIn{DID: in.DID, Device: in.Device}
	switch {
	case len(in.Auth) == 0 || len(in.Auth) > record.MaxAuth:
		return fmt.Errorf("auth: %d bytes, want 1 to %d", len(in.Auth), record.MaxAuth)
	case len(in.Signature) != signatureLen:
		return fmt.Errorf("signature: %d bytes, want %d", len(in.Signature), signatureLen)
	case len(in.Challenge) > maxToken:
		return fmt.Errorf("challenge: %d characters, want at most %d", len(in.Challenge), maxToken)
	}
	if err := wanted(in.Scopes, in.Within, in.Label); err != nil {
		return err
	}
	return c.Validate()
}

// wanted checks what a session is to be.
func wanted(scopes []string, within api.Hash, label string) error {
	if !within.IsZero() && slices.Contains(scopes, everything) {
		return fmt.Errorf("scope %q: it cannot be bound to a space; leave out within, or name what is wanted", everything)
	}
	if !printable(label) {
		return fmt.Errorf("label: want at most %d bytes that print on one line", maxLabel)
	}
	return checkScopes(scopes)
}

func printable(s string) bool {
	return len(s) <= maxLabel && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// TokenOut is a login. Both tokens are secrets.
type TokenOut struct {
	AccessToken  string   `json:"access_token" doc:"a secret: goes into the header Authorization, after Bearer"`
	TokenType    string   `json:"token_type" doc:"Bearer"`
	ExpiresIn    int64    `json:"expires_in" doc:"seconds that the access token holds"`
	RefreshToken string   `json:"refresh_token,omitempty" doc:"a secret: good for auth.refresh, once; none for who is no member yet: log in again"`
	Scopes       []string `json:"scopes" doc:"what the token is good for"`
	DID          api.DID  `json:"did"`
	Device       api.Key  `json:"device"`
	Session      string   `json:"session,omitempty" doc:"id of the session, as auth.sessions lists it; none for who is no member yet"`
}

// issue answers with the tokens of a session.
func (a *App) issue(k *keys, now time.Time, s *kept, refresh string) (*TokenOut, error) {
	access, ttl, err := a.mint(k, now, s)
	if err != nil {
		return nil, err
	}
	return &TokenOut{
		AccessToken: access, TokenType: "Bearer", ExpiresIn: int64(ttl / time.Second), RefreshToken: refresh, Scopes: s.Scopes, DID: s.Proof.DID,
		Device: s.Proof.Device, Session: s.ID.String(),
	}, nil
}

// welcome answers who belongs to nothing here with a token to join by. Nothing is kept for strangers: there is no session, and a challenge answered twice
// gives two such tokens, which are good for nothing that the device has not signed.
func (a *App) welcome(k *keys, now time.Time, p *proof) (*TokenOut, error) {
	access, ttl, err := a.mint(k, now, &kept{Proof: *p, Scopes: ofGuests})
	if err != nil {
		return nil, err
	}
	return &TokenOut{AccessToken: access, TokenType: "Bearer", ExpiresIn: int64(ttl / time.Second), Scopes: ofGuests, DID: p.DID, Device: p.Device}, nil
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func (a *App) verify(_ context.Context, _ *api.Call, in *VerifyIn) (*TokenOut, error) {
	const op = "auth.verify"
	host, k, err := a.ready(op)
	if err != nil {
		return nil, err
	}
	now := host.Now()
	t, ok := parseTicket(in.Challenge)
	message := a.words(purposeLogin, in.DID, in.Device, t.nonce, t.expires)
	if !ok || over(t.expires, now) || !t.unseal(k, message) {
		return nil, stale(op)
	}
	r := host.Read()
	defer r.Close()
	p, err := a.prove(op, host, r, now, in, message)
	if err != nil {
		return nil, err
	}
	if why := a.standing(host, r, p, in.Within, true); why != nil {
		if why.Rule == "not-a-member" && in.Within.IsZero() && len(in.Scopes) > 0 && subset(in.Scopes, ofGuests) {
			return a.welcome(k, now, p)
		}
		return nil, api.Refusal(op, why)
	}
	granted, err := a.scopes.grant(op, in.Scopes, own(host, in.DID), in.Within, nil)
	if err != nil {
		return nil, err
	}
	s := &session{kept: kept{Proof: *p, Scopes: granted, Within: in.Within, Label: in.Label}}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, used := a.used[t.nonce]; used {
		return nil, stale(op)
	}
	if len(a.used) >= maxUsed {
		return nil, denied(op, api.RateLimited, "too-many", "too many logins in the last minutes")
	}
	a.used[t.nonce] = time.UnixMilli(t.expires)
	refresh, err := a.begin(k, now, s)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return a.issue(k, now, &s.kept, refresh)
}

// prove checks the signature and the key event. The cheap half comes first; failing at either counts against the DID, and the costly one against all.
func (a *App) prove(op string, host api.Host, r api.Reader, now time.Time, in *VerifyIn, message []byte) (*proof, error) {
	bad := denied(op, api.Unauthenticated, "bad-proof", "the signature or the key event does not prove that the device signs for the DID")
	busy := denied(op, api.RateLimited, "too-many", "too many logins have failed")
	if !record.Verify(in.Device, message, in.Signature) {
		tired := a.limits.spent(now, in.DID)
		a.limits.failed(now, in.DID, false)
		if tired {
			return nil, busy
		}
		return nil, bad
	}
	if a.limits.spent(now, in.DID) && !a.familiar(host, r, in.DID, in.Device) {
		return nil, busy
	}
	p, err := proofOf(in.Auth)
	if err != nil || p.DID != in.DID || p.Device != in.Device {
		a.limits.failed(now, in.DID, true)
		return nil, bad
	}
	return p, nil
}

func stale(op string) error {
	return denied(op, api.Unauthenticated, "stale-challenge", "the challenge was used, has expired, or was not made for this DID and device since this node started")
}

// own reports whether did is this node's own member.
func own(host api.Host, did api.DID) bool {
	self := host.Self()
	return self != nil && self.DID() == did
}

// RefreshIn is the input of auth.refresh.
type RefreshIn struct {
	RefreshToken string `json:"refresh_token" doc:"The newest one of the session"`
}

// Validate implements api.Validator.
func (in *RefreshIn) Validate() error {
	if in.RefreshToken == "" || len(in.RefreshToken) > maxToken {
		return fmt.Errorf("refresh_token: %d characters, want 1 to %d", len(in.RefreshToken), maxToken)
	}
	return nil
}

func (a *App) refresh(_ context.Context, _ *api.Call, in *RefreshIn) (*TokenOut, error) {
	const op = "auth.refresh"
	host, k, err := a.ready(op)
	if err != nil {
		return nil, err
	}
	s, refresh, err := a.rotate(op, k, host, in.RefreshToken)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return a.issue(k, host.Now(), &s, refresh)
}

// ListIn is the input of auth.sessions.
type ListIn struct{}

// ListOut is the output of auth.sessions.
type ListOut struct {
	Sessions []Login `json:"sessions" doc:"the one used last first"`
}

// Login is one session.
type Login struct {
	Session string    `json:"session"`
	Label   string    `json:"label,omitempty"`
	Device  api.Key   `json:"device"`
	Here    bool      `json:"here,omitempty" doc:"it is of the device that asks"`
	Scopes  []string  `json:"scopes"`
	Within  api.Hash  `json:"within,omitzero" doc:"the space that it is bound to"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
	Expires time.Time `json:"expires" doc:"unless it is refreshed before"`
}

func (a *App) list(_ context.Context, call *api.Call, _ *ListIn) (*ListOut, error) {
	host, err := a.with("auth.sessions")
	if err != nil {
		return nil, err
	}
	now := host.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &ListOut{Sessions: []Login{}}
	for _, s := range a.sessions.by[call.Actor] {
		if over(s.Expires, now) {
			continue
		}
		at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
		out.Sessions = append(out.Sessions, Login{
			Session: s.ID.String(), Label: s.Label, Device: s.Proof.Device, Here: s.Proof.Device == call.Device, Scopes: s.Scopes, Within: s.Within,
			Created: at(s.Created), Used: at(s.Used), Expires: at(s.Expires),
		})
	}
	slices.SortFunc(out.Sessions, func(x, y Login) int {
		if c := y.Used.Compare(x.Used); c != 0 {
			return c
		}
		return strings.Compare(x.Session, y.Session)
	})
	return out, nil
}

// RevokeIn is the input of auth.revoke.
type RevokeIn struct {
	Session string `json:"session,omitempty" doc:"One of your sessions; default: all of the device that asks"`
	All     bool   `json:"all,omitempty" doc:"All of yours, on every device"`
}

// Validate implements api.Validator.
func (in *RevokeIn) Validate() error {
	if b, err := hex.DecodeString(in.Session); in.Session != "" && (err != nil || len(b) != len(id{})) {
		return fmt.Errorf("session %q: want 32 hexadecimal digits, as auth.sessions lists it", clip(in.Session))
	}
	if in.Session != "" && in.All {
		return fmt.Errorf("session and all: want one of them")
	}
	return nil
}

// RevokeOut is the output of auth.revoke.
type RevokeOut struct {
	Ended int `json:"ended" doc:"how many sessions"`
}

func (a *App) revoke(_ context.Context, call *api.Call, in *RevokeIn) (*RevokeOut, error) {
	const op = "auth.revoke"
	if _, err := a.with(op); err != nil {
		return nil, err
	}
	if in.Session == "" && !in.All && call.Device == (api.Key{}) {
		return nil, api.Errorf(op, api.Invalid, "session: this call comes from no session; name one, or all")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &RevokeOut{}
	for _, s := range slices.Clone(a.sessions.by[call.Actor]) {
		if in.All || in.Session == s.ID.String() || in.Session == "" && s.Proof.Device == call.Device {
			if err := a.drop(s); err != nil {
				return nil, api.Wrap(op, err)
			}
			out.Ended++
		}
	}
	if in.Session != "" && out.Ended == 0 {
		return nil, api.Errorf(op, api.NotFound, "session %s: none of yours", in.Session)
	}
	return out, nil
}
