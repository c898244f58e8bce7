package client

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// What a login message says first, and for how long one may hold (docs/protocol.md, 11).
const (
	purposeLogin = "ICN/1/login"
	longestLogin = 15 * time.Minute
	early        = 30 * time.Second // before its end that a token is renewed
)

// loginWords are what a device signs to log in.
type loginWords struct {
	_        struct{} `cbor:",toarray"`
	Purpose  string
	Node     api.DID
	Audience string
	DID      api.DID
	Device   api.Key
	Nonce    [16]byte
	Expires  int64 // Unix milliseconds
}

// scopesOfGuests are what somebody asks for who has an invitation and belongs to nothing yet.
func scopesOfGuests() []string { return []string{"record:write", "space:join"} }

// Session is a login in force, without its secrets.
type Session struct {
	DID     api.DID   `json:"did"`
	Device  api.Key   `json:"device"`
	Scopes  []string  `json:"scopes"`
	Session string    `json:"session,omitempty"` // as auth.sessions lists it; none for who is to join yet
	Until   time.Time `json:"until"`             // when its token ends, before which it is renewed
}

// login is the login of a client: made when it is first needed, renewed before it ends, once for all calls that wait for it.
type login struct {
	ask      func(ctx context.Context, name string, in json.RawMessage, o callOptions) (json.RawMessage, error)
	post     func(ctx context.Context, name string, in json.RawMessage, token string) (json.RawMessage, time.Duration, error)
	base     string
	signer   api.Signer
	node     api.DID
	audience string
	want     AuthVerifyIn
	now      func() time.Time

	turn   chan struct{} // held by who reads or changes what follows
	tokens AuthVerifyOut
	until  time.Time
	guest  error // why the login is a guest's only; nil for a member's
}

func newLogin(g *gateway, o *options) *login {
	return &login{
		ask: g.ask, post: g.post, base: g.base, signer: o.signer, node: o.node, audience: o.audience, now: time.Now, turn: make(chan struct{}, 1),
		want: AuthVerifyIn{Scopes: o.scopes, Within: o.within, Label: o.label},
	}
}

// enter waits for this caller's turn.
func (l *login) enter(ctx context.Context) (leave func(), err error) {
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// token returns an access token that holds for a while yet.
func (l *login) token(ctx context.Context) (string, error) {
	leave, err := l.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	if l.tokens.AccessToken == "" || l.now().After(l.until.Add(-early)) {
		if err := l.renew(ctx); err != nil {
			return "", err
		}
	}
	return l.tokens.AccessToken, nil
}

// refused says that the node did not take a token.
func (l *login) refused(token string) {
	l.turn <- struct{}{}
	if l.tokens.AccessToken == token {
		l.until = time.Time{}
	}
	<-l.turn
}

// explain is err, or where a guest asks for what only members may, that the caller is none.
func (l *login) explain(err error) error {
	why := api.ReasonOf(err)
	if why == nil || why.Rule != "scope" {
		return err
	}
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.guest != nil {
		return l.guest
	}
	return err
}

// joined is called when a record stands: a guest may be a member by now, and logs in anew.
func (l *login) joined() {
	l.turn <- struct{}{}
	if l.tokens.Session == "" {
		l.tokens = AuthVerifyOut{}
	}
	<-l.turn
}

// renew makes the tokens new: by the refresh token, else by the device's key. Callers have the turn.
func (l *login) renew(ctx context.Context) error {
	if l.tokens.RefreshToken != "" {
		err := l.refresh(ctx)
		if err == nil || transient(err) || ctx.Err() != nil {
			return err
		}
		l.tokens = AuthVerifyOut{} // the session is over: the device logs in anew
	}
	l.guest = nil
	err := l.begin(ctx, l.want.Scopes)
	if why := api.ReasonOf(err); why != nil && why.Rule == "not-a-member" && len(l.want.Scopes) == 0 && l.want.Within.IsZero() {
		if l.begin(ctx, scopesOfGuests()) == nil {
			l.guest = err
			return nil
		}
	}
	return err
}

// refresh gets tokens for the refresh token. One whose answer was lost is good again for a moment, for the same answer.
func (l *login) refresh(ctx context.Context) error {
	in, err := json.Marshal(AuthRefreshIn{RefreshToken: l.tokens.RefreshToken})
	if err != nil {
		return err
	}
	raw, err := l.ask(ctx, "auth.refresh", in, callOptions{})
	if transient(err) {
		raw, err = l.ask(ctx, "auth.refresh", in, callOptions{})
	}
	if err != nil {
		return err
	}
	return l.keep(raw)
}

// begin logs in with the device's key. A challenge is good once, so a lost answer costs another.
func (l *login) begin(ctx context.Context, scopes []string) (err error) {
	for range 3 {
		if err = l.once(ctx, scopes); !transient(err) {
			return err
		}
	}
	return err
}

func (l *login) once(ctx context.Context, scopes []string) error {
	const op = "login"
	in, err := json.Marshal(AuthChallengeIn{DID: l.signer.DID(), Device: l.signer.Device()})
	if err != nil {
		return err
	}
	raw, err := l.ask(ctx, "auth.challenge", in, callOptions{})
	if err != nil {
		return err
	}
	var c AuthChallengeOut
	if err := json.Unmarshal(raw, &c); err != nil {
		return api.Errorf(op, api.Unsupported, "the challenge does not fit: %w", err)
	}
	if err := l.check(c.Message); err != nil {
		return err
	}
	signature, err := l.signer.Sign(c.Message)
	if err != nil {
		return api.Wrap(op, err)
	}
	v := l.want
	v.DID, v.Device, v.Auth, v.Challenge, v.Signature, v.Scopes = l.signer.DID(), l.signer.Device(), l.signer.Auth(), c.Challenge, signature, scopes
	if in, err = json.Marshal(v); err != nil {
		return err
	}
	if raw, err = l.ask(ctx, "auth.verify", in, callOptions{}); err != nil {
		return err
	}
	return l.keep(raw)
}

func (l *login) keep(raw json.RawMessage) error {
	var t AuthVerifyOut
	if err := json.Unmarshal(raw, &t); err != nil {
		return api.Errorf("login", api.Unsupported, "the tokens do not fit: %w", err)
	}
	if t.DID != l.signer.DID() || t.AccessToken == "" {
		return mismatch("login", "the token is for %q", t.DID)
	}
	l.tokens, l.until = t, l.now().Add(time.Duration(t.ExpiresIn)*time.Second)
	return nil
}

// check refuses a message to sign that is not a login here, now, of this device: what somebody signs for one site would let another in at the next.
func (l *login) check(message []byte) error {
	const op = "login"
	var w loginWords
	if err := codec.Unmarshal(message, &w); err != nil {
		return mismatch(op, "the message to sign has another form")
	}
	now := l.now()
	u, err := url.Parse(l.base)
	if err != nil {
		return api.Wrap(op, err)
	}
	wanted := []string{l.audience}
	if l.audience == "" {
		wanted = []string{l.base, string(l.node)}
		if loopback(u.Hostname()) {
			// A node that was not told its address says its DID, which says nothing to who does not know it. On this very machine nobody stands between.
			wanted = append(wanted, string(w.Node))
		}
	}
	switch {
	case w.Purpose != purposeLogin:
		return mismatch(op, "the message to sign is for something else than a login")
	case w.DID != l.signer.DID():
		return mismatch(op, "the message to sign is for %q", w.DID)
	case w.Device != l.signer.Device():
		return mismatch(op, "the message to sign is for another device")
	case w.Nonce == [16]byte{}:
		return mismatch(op, "the message to sign is not one of a kind")
	case w.Expires <= now.UnixMilli():
		return mismatch(op, "the message to sign has expired, or this machine's clock is ahead")
	case w.Expires > now.Add(longestLogin).UnixMilli():
		return mismatch(op, "the message to sign holds too long, or this machine's clock is behind")
	case l.node != "" && w.Node != l.node:
		return mismatch(op, "the message to sign is for the node %q, not %s", w.Node, l.node)
	case w.Audience == "" || !slices.Contains(wanted, w.Audience):
		return mismatch(op, "the message to sign is for %q, not for %s; if that is right, say which node it is by its DID", clip(w.Audience), l.base)
	}
	if w.Node != "" {
		if _, err := record.ParseDID(string(w.Node)); err != nil {
			return mismatch(op, "the message to sign names no node: %v", err)
		}
	}
	return nil
}

// mismatch is the error of a node that asks for a signature under something else than what was asked of it.
func mismatch(op, format string, args ...any) error {
	inner := api.Errorf("", api.Refused, format, args...)
	return api.Refusal(op, &api.Reason{
		Domain: "client", Rule: "mismatch", Text: inner.Error() + ": nothing was signed",
		Remedy: "do not use this node before it is clear why it asks for that, or ask it through a newer version of this program",
	})
}

func clip(s string) string {
	if len(s) > 128 {
		return s[:128] + "..."
	}
	return s
}

// session returns the login in force, which it begins if there is none.
func (l *login) session(ctx context.Context) (*Session, error) {
	if _, err := l.token(ctx); err != nil {
		return nil, err
	}
	leave, err := l.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	t := &l.tokens
	return &Session{DID: t.DID, Device: t.Device, Scopes: slices.Clone(t.Scopes), Session: t.Session, Until: l.until}, nil
}

// end ends the session at the node, if there is one and the node answers.
func (l *login) end(ctx context.Context) error {
	leave, err := l.enter(ctx)
	if err != nil {
		return err
	}
	t := l.tokens
	l.tokens, l.until = AuthVerifyOut{}, time.Time{}
	leave()
	if t.Session == "" {
		return nil
	}
	in, err := json.Marshal(AuthRevokeIn{Session: t.Session})
	if err != nil {
		return err
	}
	_, _, err = l.post(ctx, "auth.revoke", in, t.AccessToken)
	return err
}

// loopback reports whether a host is this very machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
