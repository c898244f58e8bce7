package session

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

func TestLogin(t *testing.T) {
	w := newWorld(t)
	in := w.attempt(w.bob)
	in.Label = "Bob's phone"
	out, err := w.verify(in)
	if err != nil {
		t.Fatal(err)
	}
	if out.TokenType != "Bearer" || out.ExpiresIn != 900 || out.DID != w.bob.DID() || out.Device != w.bob.Device() {
		t.Errorf("%+v", out)
	}
	want := strings.Fields("blob:read blob:write chat:read chat:write event:read record:read record:write refusal:read session:read session:write space:read topic:read")
	if !slices.Equal(out.Scopes, want) {
		t.Errorf("scopes %q: want %q", out.Scopes, want)
	}
	call := w.caller(out.AccessToken)
	if call == nil || call.Actor != w.bob.DID() || call.Device != w.bob.Device() || call.Signer != nil || !slices.Equal(call.Scopes, want) {
		t.Errorf("%+v", call)
	}
	list, err := do[ListOut](w, call, "auth.sessions", &ListIn{})
	if err != nil || len(list.Sessions) != 1 || list.Sessions[0].Session != out.Session || list.Sessions[0].Label != "Bob's phone" || !list.Sessions[0].Here {
		t.Errorf("%+v, %v", list, err)
	}
	w.pass(DefaultTokenTTL - time.Second)
	if w.caller(out.AccessToken) == nil {
		t.Error("the token ends before its time")
	}
	w.pass(time.Second)
	if w.caller(out.AccessToken) != nil {
		t.Error("the token holds beyond its time")
	}
}

// What is wrong with a proof is not told, and none of it logs anybody in.
func TestLoginRefused(t *testing.T) {
	stranger := kerneltest.Signer("stranger")
	for name, c := range map[string]struct {
		spoil func(w *world, in *VerifyIn)
		kind  api.Kind
		rule  string
	}{
		"another's signature": {func(w *world, in *VerifyIn) { in.Signature = make([]byte, 64) }, api.Unauthenticated, "bad-proof"},
		"signed by another device": {func(w *world, in *VerifyIn) {
			c, _ := w.app.challenge(context.Background(), nil, &ChallengeIn{DID: in.DID, Device: in.Device})
			in.Challenge, in.Signature = c.Challenge, sign(w.t, w.ann, c.Message)
		}, api.Unauthenticated, "bad-proof"},
		"another's key event": {func(w *world, in *VerifyIn) { in.Auth = w.ann.Auth() }, api.Unauthenticated, "bad-proof"},
		"no key event":        {func(w *world, in *VerifyIn) { in.Auth = []byte("key event") }, api.Unauthenticated, "bad-proof"},
		"another's challenge": {func(w *world, in *VerifyIn) { in.Challenge = w.attempt(w.ann).Challenge }, api.Unauthenticated, "stale-challenge"},
		"another device":      {func(w *world, in *VerifyIn) { in.Device = w.ann.Device() }, api.Unauthenticated, "stale-challenge"},
		"another DID":         {func(w *world, in *VerifyIn) { in.DID = w.ann.DID() }, api.Unauthenticated, "stale-challenge"},
		"garbage":             {func(w *world, in *VerifyIn) { in.Challenge = "challenge" }, api.Unauthenticated, "stale-challenge"},
		"a bit of the challenge": {func(w *world, in *VerifyIn) {
			in.Challenge = "A" + in.Challenge[1:]
			if in.Challenge == w.attempt(w.bob).Challenge {
				w.t.Fatal("two challenges alike")
			}
		}, api.Unauthenticated, "stale-challenge"},
		"too late":           {func(w *world, _ *VerifyIn) { w.pass(challengeTTL) }, api.Unauthenticated, "stale-challenge"},
		"after a restart":    {func(w *world, _ *VerifyIn) { w.boot() }, api.Unauthenticated, "stale-challenge"},
		"at another site":    {func(w *world, _ *VerifyIn) { w.app.opt.Audience = "https://evil.example" }, api.Unauthenticated, "stale-challenge"},
		"a stranger":         {func(w *world, in *VerifyIn) { *in = *w.attempt(stranger) }, api.Refused, "not-a-member"},
		"an unknown space":   {func(w *world, in *VerifyIn) { in.Within = api.Hash{1} }, api.Refused, "not-a-member"},
		"all scopes":         {func(w *world, in *VerifyIn) { in.Scopes = []string{"*"} }, api.Refused, "scope"},
		"the operator's":     {func(w *world, in *VerifyIn) { in.Scopes = []string{"chat:read", "node:read"} }, api.Refused, "scope"},
		"all the operator's": {func(w *world, in *VerifyIn) { in.Scopes = []string{"node:*"} }, api.Refused, "scope"},
		"the node's spaces":  {func(w *world, in *VerifyIn) { in.Scopes = []string{"space:write"} }, api.Refused, "scope"},
		"pardons":            {func(w *world, in *VerifyIn) { in.Scopes = []string{"security:pardon"} }, api.Refused, "scope"},
		"the state":          {func(w *world, in *VerifyIn) { in.Scopes = []string{"state:read"} }, api.Refused, "scope"},
		"no such scope":      {func(w *world, in *VerifyIn) { in.Scopes = []string{"chat:rule"} }, api.Refused, "scope"},
		"no form of a scope": {func(w *world, in *VerifyIn) { in.Scopes = []string{"c*"} }, api.Invalid, ""},
		"a scope with space": {func(w *world, in *VerifyIn) { in.Scopes = []string{"chat:read node:read"} }, api.Invalid, ""},
		"a bound scope":      {func(w *world, in *VerifyIn) { in.Scopes = []string{"chat:read@x"} }, api.Invalid, ""},
		"a label of lines":   {func(w *world, in *VerifyIn) { in.Label = "a\nb" }, api.Invalid, ""},
		"a short signature":  {func(w *world, in *VerifyIn) { in.Signature = in.Signature[:63] }, api.Invalid, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			in := w.attempt(w.bob)
			c.spoil(w, in)
			out, err := w.verify(in)
			if out != nil {
				t.Fatalf("logged in: %+v", out)
			}
			wants(t, err, c.kind, c.rule)
			if r := api.ReasonOf(err); c.kind == api.Unauthenticated && r.Remedy == "" {
				t.Error("it does not say what to do")
			}
			if len(w.app.all()) > 0 || len(w.disk.rows) > 0 || len(w.app.used) > 0 {
				t.Error("something is kept of it")
			}
		})
	}
}

func TestChallengeIsGoodOnce(t *testing.T) {
	w := newWorld(t)
	in := w.attempt(w.bob)
	if _, err := w.verify(in); err != nil {
		t.Fatal(err)
	}
	_, err := w.verify(in)
	wants(t, err, api.Unauthenticated, "stale-challenge")
	w.pass(challengeTTL - time.Second)
	if err := w.app.Tick(context.Background(), w.host(), w.host().Now()); err != nil {
		t.Fatal(err)
	}
	_, err = w.verify(in)
	wants(t, err, api.Unauthenticated, "stale-challenge")
	w.pass(time.Second)
	if err := w.app.Tick(context.Background(), w.host(), w.host().Now()); err != nil || len(w.app.used) != 0 {
		t.Errorf("%d used challenges are remembered beyond their time, %v", len(w.app.used), err)
	}
	if n := len(w.app.all()); n != 1 {
		t.Errorf("%d sessions", n)
	}
}

func TestScopes(t *testing.T) {
	w := newWorld(t)
	at := "@" + w.space.String()
	for _, c := range []struct {
		who    api.Signer
		asked  string
		within bool
		want   string
	}{
		{w.bob, "chat:*", false, "chat:grant chat:read chat:write"},
		{w.bob, "record:* chat:read chat:read", false, "chat:read record:read record:write"},
		{w.bob, "space:*", false, "space:read"},
		{w.bob, "chat:grant", false, "chat:grant"},
		{w.bob, "chat:read session:write", true, "chat:read" + at + " session:write"},
		{w.carol, "*", false, "*"},
		{w.carol, "node:read space:write", false, "node:read space:write"},
	} {
		in := w.attempt(c.who)
		if in.Scopes = strings.Fields(c.asked); c.within {
			in.Within = w.space
		}
		out, err := w.verify(in)
		if err != nil || !slices.Equal(out.Scopes, strings.Fields(c.want)) {
			t.Errorf("%s: %+v, %v: want %s", c.asked, out, err, c.want)
			continue
		}
		if call := w.caller(out.AccessToken); call == nil || !slices.Equal(call.Scopes, out.Scopes) {
			t.Errorf("%s: the token is good for %+v", c.asked, call)
		}
	}
	in := w.attempt(w.carol)
	in.Scopes, in.Within = []string{"*"}, w.space
	_, err := w.verify(in)
	wants(t, err, api.Invalid, "")
}

// Whoever a space or a key event log has put out cannot log in, and is out at once.
func TestRemovedDevice(t *testing.T) {
	tablet := seedKey("dora tablet")
	secondary := []record.Device{{Key: keyOf(tablet), Role: record.Secondary}}
	primary := []record.Device{{Key: keyOf(tablet), Role: record.Primary}}
	for name, c := range map[string]struct {
		change func(w *world, dora *person) api.Signer // who tries afterwards
		rule   string                                  // "": logged in
		holds  bool                                    // the session that was there goes on
	}{
		"nothing happens": {func(_ *world, dora *person) api.Signer { return dora }, "", true},
		"the member is removed": {func(w *world, dora *person) api.Signer {
			w.say(dora.DID(), api.Key{}, dora.Device())
			return dora
		}, "not-a-member", false},
		"the registrar gives another device": {func(w *world, dora *person) api.Signer {
			w.say(dora.DID(), keyOf(tablet), dora.Device())
			return dora
		}, "device-removed", false},
		"the log removes it, and the space follows": {func(w *world, dora *person) api.Signer {
			l, err := dora.log.Rotate(dora.control[1], record.Terms{}, primary, []api.Key{dora.Device()})
			w.logs.followed[dora.DID()] = dora.with(tablet, l, err).log
			w.say(w.bob.DID(), w.bob.Device(), api.Key{})
			return dora
		}, "device-removed", false},
		"the log removes it, which shows": {func(w *world, dora *person) api.Signer {
			l, err := dora.log.ChangeDevices(dora.control[0], secondary, []api.Key{dora.Device()})
			w.logs.shown[dora.DID()] = []*record.Log{dora.with(tablet, l, err).log}
			return dora
		}, "device-removed", true}, // until it is refreshed
		"a second device": {func(_ *world, dora *person) api.Signer {
			l, err := dora.log.ChangeDevices(dora.control[0], secondary, nil)
			return dora.with(tablet, l, err)
		}, "", true},
		"another primary one, by who has the key in charge": {func(_ *world, dora *person) api.Signer {
			l, err := dora.log.ChangeDevices(dora.control[0], primary, []api.Key{dora.Device()})
			return dora.with(tablet, l, err)
		}, "other-device", true},
		"a rotation that the space does not follow yet": {func(_ *world, dora *person) api.Signer {
			l, err := dora.log.Rotate(dora.control[1], record.Terms{}, primary, []api.Key{dora.Device()})
			return dora.with(tablet, l, err)
		}, "", true},
		"another branch than the space follows": {func(w *world, dora *person) api.Signer {
			both := append([]record.Device{{Key: dora.Device(), Role: record.Secondary}}, primary...)
			slices.SortFunc(both, func(a, b record.Device) int { return bytes.Compare(a.Key[:], b.Key[:]) })
			l, err := dora.log.Rotate(dora.control[1], record.Terms{}, both, nil)
			w.logs.followed[dora.DID()] = dora.with(tablet, l, err).log
			laptop := seedKey("dora laptop")
			l, err = dora.log.ChangeDevices(dora.control[0], []record.Device{{Key: keyOf(laptop), Role: record.Secondary}}, nil)
			return dora.with(laptop, l, err)
		}, "device-removed", true},
	} {
		t.Run(name, func(t *testing.T) {
			dora := newPerson(t, "dora")
			w := newWorld(t, dora)
			before := w.login(dora)
			who := c.change(w, dora)
			if holds := w.caller(before.AccessToken) != nil; holds != c.holds {
				t.Errorf("the session that was there holds: %v", holds)
			}
			out, err := w.verify(w.attempt(who))
			if c.rule == "" {
				if err != nil || w.caller(out.AccessToken) == nil {
					t.Error(err)
				}
			} else {
				wants(t, err, api.Refused, c.rule)
			}
			if c.rule == "" || who.Device() != dora.Device() {
				return
			}
			if _, err := w.refresh(before.RefreshToken); err == nil {
				t.Error("refreshed all the same")
			}
			if w.caller(before.AccessToken) != nil || len(w.disk.rows) > 0 {
				t.Error("the session goes on")
			}
		})
	}
}

// This node's own member needs no space; another device of theirs needs their log.
func TestOwnMember(t *testing.T) {
	w := newWorld(t)
	w.login(w.carol)
	_, err := w.verify(w.attempt(kerneltest.Signer("carol/stolen")))
	wants(t, err, api.Refused, "other-device")
}

// Failing is limited by DID and overall, and locks nobody out whose device is known.
func TestFailuresAreLimited(t *testing.T) {
	w := newWorld(t)
	thief := kerneltest.Signer("thief")
	bad := w.attempt(w.bob)
	bad.Signature = sign(t, thief, []byte("something else"))
	for range failuresEach {
		_, err := w.verify(bad)
		wants(t, err, api.Unauthenticated, "bad-proof")
	}
	_, err := w.verify(bad)
	wants(t, err, api.RateLimited, "too-many")
	w.login(w.bob)

	// With keys of their own thieves get further, and are stopped there.
	c, err := do[ChallengeOut](w, nil, "auth.challenge", &ChallengeIn{DID: w.bob.DID(), Device: thief.Device()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.verify(&VerifyIn{DID: w.bob.DID(), Device: thief.Device(), Auth: thief.Auth(), Challenge: c.Challenge, Signature: sign(t, thief, c.Message)})
	wants(t, err, api.RateLimited, "too-many")

	for i := range failuresAll {
		s := kerneltest.Signer(fmt.Sprint("nobody ", i))
		in := w.attempt(s)
		in.Auth = thief.Auth()
		_, err := w.verify(in)
		wants(t, err, api.Unauthenticated, "bad-proof")
	}
	_, err = w.verify(w.attempt(thief))
	wants(t, err, api.RateLimited, "too-many")
	w.login(w.ann)
	w.pass(time.Second)
	_, err = w.verify(w.attempt(thief))
	wants(t, err, api.Refused, "not-a-member")
	w.pass(fullAgainAfter)
	if w.app.limits.forget(w.host().Now()); len(w.app.limits.by) != 0 {
		t.Errorf("%d DIDs are remembered for nothing", len(w.app.limits.by))
	}
}

// A message says what it is for: a signature over one is none over another, and none over a record.
func TestMessagesAreApart(t *testing.T) {
	w := newWorld(t)
	c, err := do[ChallengeOut](w, nil, "auth.challenge", &ChallengeIn{DID: w.bob.DID(), Device: w.bob.Device()})
	if err != nil {
		t.Fatal(err)
	}
	var m words
	if err := codec.Unmarshal(c.Message, &m); err != nil {
		t.Fatal(err)
	}
	want := words{
		Purpose: "ICN/1/login", Node: w.opt.Node, Audience: "https://mill.example", DID: w.bob.DID(), Device: w.bob.Device(), Nonce: m.Nonce,
		Expires: w.host().Now().Add(5 * time.Minute).UnixMilli(),
	}
	if m != want || m.Nonce == (nonce{}) {
		t.Errorf("%+v: want %+v", m, want)
	}
	if _, err := record.ParseKeyEvent(c.Message); err == nil {
		t.Error("it is a key event")
	}
	seen := map[string]bool{}
	for _, parts := range []words{
		want, {Purpose: purposePair, Node: w.opt.Node}, {Purpose: purposeLogin, Node: w.opt.Node}, {Purpose: purposeLogin, Audience: string(w.opt.Node)},
	} {
		seen[string(codec.MustMarshal(&parts))] = true
	}
	if len(seen) != 4 {
		t.Error("two messages alike")
	}
	if !bytes.HasPrefix(c.Message, append([]byte{0x87, 0x6b}, "ICN/1/login"...)) {
		t.Errorf("%x", c.Message[:16])
	}
	if device := w.bob.Device(); !ed25519.Verify(device[:], c.Message, sign(t, w.bob, c.Message)) {
		t.Error("an ordinary Ed25519 does not take it")
	}
}

// Who belongs to nothing here yet gets a token to join by, if that is what they ask for, and nothing is kept of it.
func TestGuest(t *testing.T) {
	w := newWorld(t)
	stranger := kerneltest.Signer("stranger")
	for _, asked := range [][]string{nil, {"chat:read"}, {"record:write", "space:join", "chat:read"}, {"*"}} {
		in := w.attempt(stranger)
		in.Scopes = asked
		_, err := w.verify(in)
		wants(t, err, api.Refused, "not-a-member")
	}
	in := w.attempt(stranger)
	in.Scopes = []string{"space:join", "record:write"}
	out, err := w.verify(in)
	if err != nil {
		t.Fatal(err)
	}
	if out.RefreshToken != "" || out.Session != "" || len(w.app.all()) > 0 || len(w.disk.rows) > 0 || len(w.app.used) > 0 {
		t.Errorf("something is kept of a guest: %+v", out)
	}
	call := w.caller(out.AccessToken)
	if call == nil || call.Actor != stranger.DID() || call.Device != stranger.Device() || !slices.Equal(call.Scopes, ofGuests) {
		t.Fatalf("the guest is %+v", call)
	}
	w.pass(DefaultTokenTTL)
	if w.caller(out.AccessToken) != nil {
		t.Error("a guest's token holds for longer than others")
	}
	in = w.attempt(w.bob)
	in.Scopes = []string{"record:write"}
	if out, err := w.verify(in); err != nil || out.RefreshToken == "" {
		t.Errorf("a member who asks for as little has a session like others: %v", err)
	}
}
