package membership

import (
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// R10: what a federation holds, its members among them, changes by the authority that its genesis names and by nobody else's record. Ties between
// spaces (linked co-ops, caps, netting) do not exist yet; their state needs tests of its own when they do.
func TestR10_FederationStateNeedsAuthority(t *testing.T) {
	n := newNode(t, "office")
	ann, bob, eve := kerneltest.Signer("ann"), kerneltest.Signer("bob"), kerneltest.Signer("eve")
	space := must[CreateOut](t)(n.call(ann, "space.create", CreateIn{Name: "Co-ops", Kind: "federation"}, "")).Space
	topic := api.Topic{Space: space, Name: fact.SpaceTopic}
	genesis, ok := n.app.Genesis(space)
	if !ok {
		t.Fatal("no genesis")
	}
	if _, err := n.call(n.self, "member.add", AddIn{DID: bob.DID(), Device: bob.Device()}, ""); err != nil {
		t.Fatal(err)
	}
	admission, ok := n.app.MemberDep(space, bob.DID())
	if !ok {
		t.Fatal("no admission")
	}
	admitting := &admit{DID: eve.DID(), Device: eve.Device(), Number: 3}
	inviting := &invite{Key: eve.Device(), Uses: 9, Expires: 1 << 50}
	for name, tc := range map[string]struct {
		by   api.Signer
		prev api.Position
		deps []api.Position
	}{
		"a stranger":                       {by: eve},
		"a stranger who cites the genesis": {by: eve, deps: []api.Position{genesis}},
		"a member":                         {by: bob, deps: []api.Position{admission}},
		"the founder":                      {by: ann, prev: genesis},
		"the registrar's other device":     {by: kerneltest.Signer("office/phone"), deps: []api.Position{genesis}},
	} {
		for kind, body := range map[string]any{kindAdmit: admitting, kindInvite: inviting} {
			rec, err := n.m.Make(tc.by, api.Draft{Topic: topic, Kind: kind, Body: codec.MustMarshal(body), Deps: tc.deps}, tc.prev)
			if err != nil {
				t.Fatal(err)
			}
			// Not a draft, which an honest node would refuse, but a record that somebody else's node has made.
			if out, err := n.m.Deliver(rec); err != nil || out.Void == nil || out.Void.Rule != "not-registrar" {
				t.Errorf("%s, %s: %+v %v, want void as not the registrar's", name, kind, out.Void, err)
			}
		}
	}
	if got := n.members(); len(got) != 2 {
		t.Errorf("members %v, want ann and bob only", got)
	}
}
