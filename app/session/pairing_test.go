package session

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// pairing scene: dora has a phone, which is logged in, and a tablet that asks. Her log names both.
type scene struct {
	*world
	phone, tablet *person
	call          *api.Call // of the phone
	asked         *PairOut
}

func newScene(t testing.TB) *scene {
	t.Helper()
	phone := newPerson(t, "dora")
	key := seedKey("dora tablet")
	l, err := phone.log.ChangeDevices(phone.control[0], []record.Device{{Key: keyOf(key), Role: record.Secondary}}, nil)
	s := &scene{world: newWorld(t, phone), phone: phone, tablet: phone.with(key, l, err)}
	if s.call = s.caller(s.login(phone).AccessToken); s.call == nil {
		t.Fatal("the phone is not logged in")
	}
	if s.asked, err = do[PairOut](s.world, nil, "auth.pair", &PairIn{Device: s.tablet.Device(), Label: "Tablet"}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *scene) approval() *ApproveIn {
	s.t.Helper()
	l, err := ParseLink(s.asked.URI)
	if err != nil {
		s.t.Fatal(err)
	}
	return &ApproveIn{Pairing: l.Pairing, Code: s.asked.Code, Auth: s.tablet.Auth()}
}

func (s *scene) approve(in *ApproveIn) (*ApproveOut, error) {
	s.t.Helper()
	return do[ApproveOut](s.world, s.call, "auth.approve", in)
}

func (s *scene) claim() (*ClaimOut, error) {
	s.t.Helper()
	return do[ClaimOut](s.world, nil, "auth.claim", &ClaimIn{Pairing: s.asked.Pairing, Secret: s.asked.Secret, Signature: sign(s.t, s.tablet, s.asked.Message)})
}

func TestPairing(t *testing.T) {
	s := newScene(t)
	if out, err := s.claim(); err != nil || out.State != stateWaits || out.Token != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	l, err := ParseLink(s.asked.URI)
	if err != nil || l.Node != s.opt.Node || l.Audience != "https://mill.example" {
		t.Fatalf("%+v, %v", l, err)
	}
	shown, err := do[PairingOut](s.world, s.call, "auth.pairing", &PairingIn{Pairing: l.Pairing})
	if err != nil || shown.Label != "Tablet" || shown.Device != s.tablet.Device() || !shown.Asked.Equal(s.m.Clock) {
		t.Errorf("%+v, %v", shown, err)
	}
	granted, err := s.approve(s.approval())
	if err != nil || granted.State != stateGranted || !slices.Contains(granted.Scopes, "chat:write") {
		t.Fatalf("%+v, %v", granted, err)
	}
	out, err := s.claim()
	if err != nil || out.State != stateGranted {
		t.Fatal(err)
	}
	call := s.caller(out.Token.AccessToken)
	if call == nil || call.Actor != s.phone.DID() || call.Device != s.tablet.Device() || !slices.Equal(call.Scopes, granted.Scopes) {
		t.Errorf("%+v", call)
	}
	if _, err := s.refresh(out.Token.RefreshToken); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(out.Auth, s.tablet.Auth()) {
		t.Errorf("the device is given %x, not what certifies it", out.Auth)
	}
	// Answers get lost: the key event comes again, the login does not.
	if out, err := s.claim(); err != nil || out.State != stateGranted || out.Token != nil || !bytes.Equal(out.Auth, s.tablet.Auth()) {
		t.Errorf("%+v, %v", out, err)
	}
	if again, err := s.approve(s.approval()); err != nil || !slices.Equal(again.Scopes, granted.Scopes) {
		t.Errorf("%+v, %v", again, err)
	}
	_, err = s.approve(&ApproveIn{Pairing: s.asked.Pairing, Deny: true})
	wants(t, err, api.Refused, "no-pairing")
	s.call = &api.Call{Actor: s.bob.DID(), Scopes: []string{"*"}}
	_, err = s.approve(s.approval())
	wants(t, err, api.Refused, "no-pairing")
	if list, err := do[ListOut](s.world, call, "auth.sessions", &ListIn{}); err != nil || len(list.Sessions) != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

// The code is nowhere but on the screen of the new device, and the secret nowhere but in it.
func TestLinkHoldsNoSecret(t *testing.T) {
	s := newScene(t)
	l, err := ParseLink(s.asked.URI)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{s.asked.Code, s.asked.Secret} {
		if strings.Contains(string(codec.MustMarshal(l)), secret) || strings.Contains(s.asked.URI, secret) || strings.Contains(string(s.asked.Message), secret) {
			t.Errorf("%s is in the link or the message", secret)
		}
	}
	if len(s.asked.URI) > 400 {
		t.Errorf("a link of %d characters makes a dense picture", len(s.asked.URI))
	}
	for _, spoilt := range []string{
		"", "icn-login:", s.asked.URI[1:], s.asked.URI[:len(s.asked.URI)-1], strings.Replace(s.asked.URI, "icn-login", "icn-invite", 1),
		s.asked.URI[:20] + "_" + s.asked.URI[21:], linkPrefix + strings.Repeat("A", maxLink),
	} {
		if _, err := ParseLink(spoilt); api.KindOf(err) != api.Invalid {
			t.Errorf("%q: %v", spoilt, err)
		}
	}
}

func TestApproveRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *scene, in *ApproveIn)
		kind  api.Kind
		rule  string
	}{
		"another code": {func(s *scene, in *ApproveIn) {
			if in.Code = "000000"; s.asked.Code == in.Code {
				in.Code = "000001"
			}
		}, api.Refused, "wrong-code"},
		"no code":              {func(_ *scene, in *ApproveIn) { in.Code = "" }, api.Invalid, ""},
		"not certified":        {func(s *scene, in *ApproveIn) { in.Auth = s.phone.Auth() }, api.Refused, "bad-proof"},
		"another's device":     {func(s *scene, in *ApproveIn) { in.Auth = s.bob.Auth() }, api.Refused, "bad-proof"},
		"garbage for an event": {func(_ *scene, in *ApproveIn) { in.Auth = []byte("event") }, api.Refused, "bad-proof"},
		"by another member":    {func(s *scene, _ *ApproveIn) { s.call = &api.Call{Actor: s.bob.DID(), Scopes: []string{"*"}} }, api.Refused, "bad-proof"},
		"too late":             {func(s *scene, _ *ApproveIn) { s.pass(challengeTTL) }, api.Refused, "no-pairing"},
		"after a restart":      {func(s *scene, _ *ApproveIn) { s.boot() }, api.Refused, "no-pairing"},
		"another pairing":      {func(_ *scene, in *ApproveIn) { in.Pairing[20]++ }, api.Refused, "no-pairing"},
		"more than one holds": {func(s *scene, in *ApproveIn) {
			s.call.Scopes = []string{"session:write", "chat:read"}
			in.Scopes = []string{"chat:read", "chat:write"}
		}, api.Refused, "scope"},
		"the operator's": {func(_ *scene, in *ApproveIn) { in.Scopes = []string{"node:read"} }, api.Refused, "scope"},
		"beyond one's space": {func(s *scene, in *ApproveIn) {
			s.call.Scopes = []string{"session:write", "chat:read@" + s.space.String()}
			in.Scopes = []string{"chat:read"}
		}, api.Refused, "scope"},
		"a removed device": {func(s *scene, _ *ApproveIn) {
			l, err := s.tablet.log.ChangeDevices(s.phone.control[0], nil, []api.Key{s.tablet.Device()})
			s.logs.shown[s.phone.DID()] = []*record.Log{s.phone.with(s.phone.device, l, err).log}
		}, api.Refused, "device-removed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			in := s.approval()
			c.spoil(s, in)
			out, err := s.approve(in)
			if out != nil {
				t.Fatalf("%+v", out)
			}
			wants(t, err, c.kind, c.rule)
			if got, err := s.claim(); err == nil && got.State != stateWaits {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Who holds little passes on no more than that.
func TestApproveGivesWhatOneHolds(t *testing.T) {
	s := newScene(t)
	at := "@" + s.space.String()
	s.call.Scopes = []string{"session:write", "chat:read" + at}
	in := s.approval()
	in.Within = s.space
	if out, err := s.approve(in); err != nil || !slices.Equal(out.Scopes, []string{"chat:read" + at, "session:write"}) {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestWrongCodes(t *testing.T) {
	s := newScene(t)
	for range maxTries {
		in := s.approval()
		in.Code = "x" + in.Code[1:]
		_, err := s.approve(in)
		wants(t, err, api.Refused, "wrong-code")
	}
	_, err := s.approve(s.approval())
	wants(t, err, api.Refused, "no-pairing")
	if out, err := s.claim(); err != nil || out.State != stateRefused {
		t.Errorf("%+v, %v", out, err)
	}
}

// The code can be had checked before anything is certified, and that is no way to try more of them.
func TestCodeIsCheckedBefore(t *testing.T) {
	s := newScene(t)
	ask := func(code string) error {
		_, err := do[PairingOut](s.world, s.call, "auth.pairing", &PairingIn{Pairing: s.asked.Pairing, Code: code})
		return err
	}
	if err := ask(s.asked.Code); err != nil {
		t.Fatal(err)
	}
	wants(t, ask("12345"), api.Invalid, "")
	for range maxTries {
		wants(t, ask("x"+s.asked.Code[1:]), api.Refused, "wrong-code")
	}
	wants(t, ask(s.asked.Code), api.Refused, "no-pairing")
	_, err := s.approve(s.approval())
	wants(t, err, api.Refused, "no-pairing")
}

// What is kept for devices that may never come has a bound of its own: key events are large.
func TestHandedIsBounded(t *testing.T) {
	s := newScene(t)
	s.app.pairs[nonce{1}] = &pairing{state: stateGranted, auth: make([]byte, maxHanded-len(s.tablet.Auth())+1), expires: s.m.Clock.Add(time.Minute)}
	_, err := s.approve(s.approval())
	wants(t, err, api.RateLimited, "too-many-pairs")
	s.pass(2 * time.Minute)
	if err := s.app.Tick(t.Context(), s.host(), s.m.Clock); err != nil {
		t.Fatal(err)
	}
	if _, err := s.approve(s.approval()); err != nil {
		t.Error(err)
	}
}

func TestDeny(t *testing.T) {
	s := newScene(t)
	if out, err := s.approve(&ApproveIn{Pairing: s.asked.Pairing, Deny: true}); err != nil || out.State != stateRefused {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err := s.claim(); err != nil || out.State != stateRefused || out.Token != nil {
		t.Errorf("%+v, %v", out, err)
	}
}

// Only the device that asked can claim, and only as long as it may.
func TestClaimRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(s *scene, in *ClaimIn)
		kind  api.Kind
		rule  string
	}{
		"another secret":    {func(_ *scene, in *ClaimIn) { in.Secret = strings.Repeat("A", len(in.Secret)) }, api.Unauthenticated, "bad-proof"},
		"no secret":         {func(_ *scene, in *ClaimIn) { in.Secret = "" }, api.Unauthenticated, "bad-proof"},
		"another device":    {func(s *scene, in *ClaimIn) { in.Signature = sign(s.t, s.phone, s.asked.Message) }, api.Unauthenticated, "bad-proof"},
		"a login's message": {func(s *scene, in *ClaimIn) { in.Signature = s.attempt(s.tablet).Signature }, api.Unauthenticated, "bad-proof"},
		"too late":          {func(s *scene, _ *ClaimIn) { s.pass(challengeTTL) }, api.Refused, "no-pairing"},
		"removed since": {func(s *scene, _ *ClaimIn) {
			l, err := s.tablet.log.ChangeDevices(s.phone.control[0], nil, []api.Key{s.tablet.Device()})
			s.logs.shown[s.phone.DID()] = []*record.Log{s.phone.with(s.phone.device, l, err).log}
		}, api.Refused, "device-removed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if _, err := s.approve(s.approval()); err != nil {
				t.Fatal(err)
			}
			in := &ClaimIn{Pairing: s.asked.Pairing, Secret: s.asked.Secret, Signature: sign(t, s.tablet, s.asked.Message)}
			c.spoil(s, in)
			out, err := do[ClaimOut](s.world, nil, "auth.claim", in)
			if out != nil {
				t.Fatalf("%+v", out)
			}
			wants(t, err, c.kind, c.rule)
			if n := len(s.app.all()); n != 1 {
				t.Errorf("%d sessions", n)
			}
		})
	}
}

func TestPairingsAreBounded(t *testing.T) {
	s := newScene(t)
	for i := range maxPairsEach + 1 {
		asked, err := do[PairOut](s.world, nil, "auth.pair", &PairIn{Device: s.tablet.Device()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.approve(&ApproveIn{Pairing: asked.Pairing, Deny: true})
		if i < maxPairsEach {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		wants(t, err, api.RateLimited, "too-many-pairs")
	}
	if n := len(s.app.pairs); n != maxPairsEach {
		t.Errorf("%d", n)
	}
	s.pass(challengeTTL + time.Second)
	if err := s.app.Tick(t.Context(), s.host(), s.m.Clock); err != nil || len(s.app.pairs) != 0 {
		t.Errorf("%d pairings are remembered beyond their time, %v", len(s.app.pairs), err)
	}
}
