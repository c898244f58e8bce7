package app

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/session"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// asks calls an operation as somebody from elsewhere does, who has logged in or not.
func asks[Out any](n *node, call *api.Call, name string, in any) (*Out, error) {
	n.t.Helper()
	op := n.operations()[name]
	if !call.Can(op.Scope) {
		n.t.Fatalf("%s needs the scope %s", name, op.Scope)
	}
	raw, err := json.Marshal(in)
	if err != nil {
		n.t.Fatal(err)
	}
	v, err := op.Decode(raw)
	if err != nil {
		return nil, err
	}
	out, err := op.Do(context.Background(), call, v, nil)
	if err != nil {
		return nil, err
	}
	return out.(*Out), nil
}

func (n *node) login(s api.Signer) (*session.TokenOut, error) {
	n.t.Helper()
	c, err := asks[session.ChallengeOut](n, &api.Call{}, "auth.challenge", session.ChallengeIn{DID: s.DID(), Device: s.Device()})
	if err != nil {
		n.t.Fatal(err)
	}
	sig, err := s.Sign(c.Message)
	if err != nil {
		n.t.Fatal(err)
	}
	return asks[session.TokenOut](n, &api.Call{}, "auth.verify", session.VerifyIn{
		DID: s.DID(), Device: s.Device(), Auth: s.Auth(), Challenge: c.Challenge, Signature: sig,
	})
}

// caller returns who a token makes of a request, nil when it does not hold.
func (n *node) caller(token string) *api.Call {
	for _, a := range n.apps {
		if s, ok := a.(*session.App); ok {
			call, err := s.Authenticate(context.Background(), token)
			if err == nil {
				return call
			}
		}
	}
	return nil
}

// A login follows the DID: from the device that the space knows to the one that the owner's log names, and to nobody else's.
func TestLoginFollowsTheKeyLog(t *testing.T) {
	n, dora, carol := savings(t)
	before, err := n.login(dora.Signer())
	if err != nil {
		t.Fatal(err)
	}
	call := n.caller(before.AccessToken)
	if call == nil || call.Actor != dora.DID() || call.Device != dora.Device() {
		t.Fatalf("%+v", call)
	}
	for _, scope := range []string{"ledger:read", "ledger:write", "member:read", "record:write", "session:write", "trust:write"} {
		if !call.Can(scope) {
			t.Errorf("a member lacks %s", scope)
		}
	}
	for _, scope := range []string{"*", "node:read", "state:read", "state:write", "peer:read", "snapshot:write", "space:write", "security:pardon", "refusal:all", "ledger:grant"} {
		if call.Can(scope) {
			t.Errorf("a member has %s unasked", scope)
		}
	}
	_, err = n.login(kerneltest.Signer("stranger"))
	n.wantRule(err, "not-a-member")

	// Who has stolen the key in charge names a device of their own.
	known := dora.Log()
	hers, err := identity.NewDevice(newEntropy("thief"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dora.AddDevice(dora.Device(), record.Secondary); err != nil {
		t.Fatal(err)
	}
	stolen, err := dora.AddDevice(hers.Device(), record.Primary)
	if err == nil {
		err = hers.Join(stolen)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.login(hers.Signer())
	n.wantRule(err, "other-device")

	// The owner rotates. The new phone can log in before the space follows, to show it; the old one is out once it does.
	phone := dora.back(t, known, "dora's phone")
	if _, err := n.login(phone.Signer()); err != nil {
		t.Fatalf("before the space follows: %v", err)
	}
	if n.caller(before.AccessToken) == nil {
		t.Error("the old phone is out before anybody knows why")
	}
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Fatalf("%s acts for dora", got)
	}
	if n.caller(before.AccessToken) != nil {
		t.Error("the old phone goes on")
	}
	_, err = asks[session.TokenOut](n, &api.Call{}, "auth.refresh", session.RefreshIn{RefreshToken: before.RefreshToken})
	n.wantRule(err, "session-over")
	_, err = n.login(dora.Signer())
	n.wantRule(err, "device-removed")
	_, err = n.login(hers.Signer())
	n.wantRule(err, "device-removed")
	now, err := n.login(phone.Signer())
	if err != nil {
		t.Fatal(err)
	}

	// A member who is removed is out at once.
	do[membership.RemoveOut](n, "member.remove", membership.RemoveIn{DID: dora.DID(), Reason: "moved away"})
	if n.caller(now.AccessToken) != nil {
		t.Error("who was removed goes on")
	}
	_, err = n.login(phone.Signer())
	n.wantRule(err, "not-a-member")
	if _, err := n.login(carol); err != nil {
		t.Error(err)
	}
}

// Guardians who bring a new key in charge wait like everybody: until the space follows them the new device is not let in.
func TestLoginWaitsForRecovery(t *testing.T) {
	n, dora, _ := savings(t)
	l, cards := dora.guarded(t, 48)
	if _, err := n.login(dora.Signer()); err != nil {
		t.Fatal(err)
	}
	tablet, _ := dora.recovered(t, l, cards, "dora's tablet")
	_, err := n.login(tablet.Signer())
	n.wantRule(err, "other-device")
	if err := n.shows(tablet, nil); err != nil {
		t.Fatal(err)
	}
	_, err = n.login(tablet.Signer())
	n.wantRule(err, "other-device")
	if _, err := n.login(dora.Signer()); err != nil {
		t.Errorf("she who can object: %v", err)
	}
}
