package membership

import (
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func (n *node) named() map[api.DID]string {
	n.t.Helper()
	names := map[api.DID]string{}
	for _, m := range must[MembersOut](n.t)(n.call(n.self, "member.list", MembersIn{}, "")).Members {
		names[m.DID] = m.Name
	}
	return names
}

func TestProfile(t *testing.T) {
	ann := newNode(t, "ann")
	space := ann.found("Food co-op")
	ben := kerneltest.Signer("ben")
	must[AddOut](t)(ann.call(ann.self, "member.add", AddIn{DID: ben.DID(), Device: ben.Device()}, ""))
	for _, name := range []string{"Ann", "Ána Souza б", "José 日本"} {
		must[ProfileOut](t)(ann.call(ann.self, "member.profile", ProfileIn{Name: name, Area: "Vale"}, ""))
		if got := ann.named(); got[ann.self.DID()] != name || got[ben.DID()] != "" {
			t.Errorf("%q: %v", name, got)
		}
	}
	must[ProfileOut](t)(ann.call(ben, "member.profile", ProfileIn{Name: "José 日本"}, ""))
	if got := ann.named(); got[ben.DID()] != "José 日本" {
		t.Errorf("two members of one name: %v", got)
	}

	// Who has another device keeps the name; the device before gives none any more.
	next := kerneltest.Signer("phone")
	if _, err := ann.m.Append(ann.self, api.Draft{
		Topic: api.Topic{Space: space, Name: fact.SpaceTopic}, Kind: kindDevice, Body: codec.MustMarshal(&device{DID: ben.DID(), Device: next.Device()}),
	}); err != nil {
		t.Fatal(err)
	}
	if got := ann.named(); got[ben.DID()] != "José 日本" {
		t.Errorf("after a change of devices: %v", got)
	}
	if _, err := ann.call(ben, "member.profile", ProfileIn{Name: "B"}, ""); rule(err) != "not-own-profile" {
		t.Errorf("by the device before: %v", err)
	}
	if _, err := ann.call(kerneltest.Signer("eve"), "member.profile", ProfileIn{Name: "Ann"}, ""); rule(err) != "not-a-member" {
		t.Errorf("by a stranger: %v", err)
	}
	for _, in := range []ProfileIn{{}, {Name: " a"}, {Name: "a\nb"}, {Name: strings.Repeat("a", 65)}, {Name: "a", About: strings.Repeat("a", 1025)}, {Name: "a", Area: "\u202e"}} {
		if _, err := ann.call(ann.self, "member.profile", in, ""); api.KindOf(err) != api.Invalid {
			t.Errorf("%+v: %v", in, err)
		}
	}
}

// A stranger's record of this kind counts for nothing, whatever it cites.
func TestProfileIsTheMembersOwn(t *testing.T) {
	ann := newNode(t, "ann")
	space := ann.found("Food co-op")
	r := ann.m.Read("membership")
	s, _ := fact.Open(r, space)
	_, pos, _ := s.Member(ann.self.DID())
	r.Close()
	body := codec.MustMarshal(&profile{Name: "Ann"})
	topic := api.Topic{Space: space, Name: fact.JoinTopic}
	for name, d := range map[string]struct {
		by   api.Signer
		deps []api.Position
		rule string
	}{
		"a stranger":        {kerneltest.Signer("eve"), []api.Position{pos}, "not-own-profile"},
		"who cites nothing": {ann.self, nil, "not-own-profile"},
		"the member":        {ann.self, []api.Position{pos}, ""},
	} {
		_, err := ann.m.Append(d.by, api.Draft{Topic: topic, Deps: d.deps, Kind: kindProfile, Body: body})
		if got := rule(err); got != d.rule && (err != nil || d.rule != "") {
			t.Errorf("%s: %q, want %q", name, got, d.rule)
		}
	}
}
