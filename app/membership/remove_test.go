package membership

import (
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Without the app that cuts feeds the membership ends all the same, and the caller is told that the rest is to come.
func TestRemoveEndsAccess(t *testing.T) {
	n, bob := newNode(t, "ann"), kerneltest.Signer("bob")
	space := n.found("Bakers")
	if _, err := n.call(n.self, "member.add", AddIn{DID: bob.DID(), Device: bob.Device()}, ""); err != nil {
		t.Fatal(err)
	}
	ask := func() api.Effect {
		return n.m.Evaluate(api.Request{Domain: Domain, Actor: bob.DID(), Action: "follow", Topic: api.Topic{Space: space}}).Effect
	}
	if ask() != api.Allow {
		t.Fatal("a member may not follow")
	}
	if _, err := n.call(n.self, "member.remove", RemoveIn{DID: bob.DID(), Reason: "moved"}, ""); api.KindOf(err) != api.Unavailable {
		t.Errorf("without an app that cuts: %v, want unavailable", err)
	}
	if ask() != api.Deny {
		t.Error("a removed member may follow")
	}
	if err := n.m.React(); err != nil {
		t.Errorf("the reactor: %v", err)
	}
	// An invitation does not bring back who was removed, neither by the registrar's node nor by a registrar who would have it so.
	inv, err := parseInvitation(n.invitation(1))
	if err != nil {
		t.Fatal(err)
	}
	d := api.Draft{Topic: api.Topic{Space: space, Name: fact.JoinTopic}, Deps: []api.Position{inv.position()}, Kind: kindJoin, Body: joinBody(inv, bob)}
	join, err := n.m.Append(bob, d)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.m.React(); err != nil {
		t.Fatal(err)
	}
	if ask() != api.Deny {
		t.Error("an invitation brings back who was removed")
	}
	r := n.m.Read("membership")
	s, _ := fact.Open(r, space)
	draft := admission(r, s, bob.DID(), bob.Device(), join.Position)
	r.Close()
	if _, err := n.m.Append(n.self, draft); rule(err) != "was-removed" {
		t.Errorf("an admission by the join: %v", err)
	}
}

func TestRemoveIsRefused(t *testing.T) {
	n, bob, eve := newNode(t, "ann"), kerneltest.Signer("bob"), kerneltest.Signer("eve")
	space := n.found("Bakers")
	if _, err := n.call(n.self, "member.add", AddIn{DID: bob.DID(), Device: bob.Device()}, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := n.call(bob, "member.remove", RemoveIn{DID: n.self.DID(), Reason: "x"}, ""); rule(err) != "not-registrar" {
		t.Errorf("by a member: %v", err)
	}
	if _, err := n.call(n.self, "member.remove", RemoveIn{DID: n.self.DID(), Reason: "x"}, ""); rule(err) != "holds-office" {
		t.Errorf("of the registrar: %v", err)
	}
	if _, err := n.call(n.self, "member.remove", RemoveIn{DID: eve.DID(), Reason: "x"}, ""); api.KindOf(err) != api.NotFound {
		t.Errorf("of a stranger: %v", err)
	}
	for _, reason := range []string{"", " x", "x\ny", strings.Repeat("x", maxReason+1)} {
		if _, err := n.call(n.self, "member.remove", RemoveIn{DID: bob.DID(), Reason: reason}, ""); api.KindOf(err) != api.Invalid {
			t.Errorf("reason %q: %v", reason, err)
		}
	}
	// Whoever leaves the operation aside meets the same rules.
	topic := api.Topic{Space: space, Name: fact.SpaceTopic}
	for _, tc := range []struct {
		who api.DID
		by  api.Signer
		why string
	}{{n.self.DID(), n.self, "holds-office"}, {eve.DID(), n.self, "not-a-member"}, {n.self.DID(), bob, "not-registrar"}} {
		_, err := n.m.Append(tc.by, api.Draft{Topic: topic, Kind: kindRemove, Body: codec.MustMarshal(&remove{DID: tc.who, Reason: "x"})})
		if rule(err) != tc.why {
			t.Errorf("%s removed by %s: %v, want %s", tc.who, tc.by.DID(), err, tc.why)
		}
	}
}
