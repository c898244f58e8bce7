package app

import (
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/keys"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// I5: guardians bring dora back, not at once but when the witnesses' clocks say that the delay is over.
func TestGuardiansWaitForObjections(t *testing.T) {
	n, dora, carol := savings(t)
	l, cards := dora.guarded(t, 48)
	phone, event := dora.recovered(t, l, cards, "dora's phone")
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	start := n.m.Clock
	v := n.recovery(event)
	if v.State != "waits" || v.Due.Sub(v.Since) != 48*time.Hour || v.Since.Before(start) {
		t.Fatalf("%+v, want it to wait 48 hours from %s on", v, start)
	}
	look := func() {
		t.Helper()
		n.tick()
		if err := n.shows(phone, phone.Log().Bytes()); err != nil { // as its node does once the delay is over by its clock
			t.Fatal(err)
		}
	}
	n.m.Clock = start.Add(47 * time.Hour)
	look()
	if n.actsWith(dora.DID()) != dora.Device() {
		t.Fatal("followed before the delay was over")
	}
	n.wantRule(n.follow(phone), "too-early")

	n.m.Clock = start.Add(48*time.Hour + time.Minute)
	n.tick()
	if n.actsWith(dora.DID()) != dora.Device() {
		t.Fatal("followed by the registrar's clock alone: no witness has said what time it is")
	}
	look()
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Fatalf("%s acts for dora, want the new phone; %+v", got, n.recovery(event))
	}
	if v := n.recovery(event); v.State != "in effect" {
		t.Errorf("%+v", v)
	}
	if err := n.pays(phone.Signer(), carol, 6000); err != nil {
		t.Error(err)
	}
	n.sound()
}

// In a space for trying things out hours are seconds.
func TestRecoveryInATestSpace(t *testing.T) {
	n, dora := newNode(t, "ann"), newPerson(t, "dora")
	do[membership.CreateOut](n, "space.create", membership.CreateIn{Name: "Trial", Test: true})
	do[membership.AddOut](n, "member.add", membership.AddIn{DID: dora.DID(), Device: dora.Device()})
	l, cards := dora.guarded(t, 48)
	phone, event := dora.recovered(t, l, cards, "dora's phone")
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	v := n.recovery(event)
	if v.State != "waits" || v.Due.Sub(v.Since) != 48*time.Second {
		t.Fatalf("%+v, want it to wait 48 seconds", v)
	}
	n.wantRule(n.follow(phone), "too-early")
	n.m.Clock = n.m.Clock.Add(time.Minute)
	if err := n.shows(phone, phone.Log().Bytes()); err != nil {
		t.Fatal(err)
	}
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Errorf("%s acts for dora, want the new phone; %+v", got, n.recovery(event))
	}
}

// follow says by hand, as the registrar, that the space follows what p's device has published.
func (n *node) follow(p person) error {
	n.t.Helper()
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	r := n.m.Read("keys")
	defer r.Close()
	s, _ := fact.Open(r, show.Space)
	_, cite, _ := s.Final(s.Feed(fact.KeysTopic, p.Device()))
	body := codec.MustMarshal(&struct {
		_    struct{} `cbor:",toarray"`
		DID  api.DID
		Head api.Hash
	}{DID: p.DID(), Head: p.Log().Head().ID})
	_, err := n.m.Append(n.self, api.Draft{
		Topic: api.Topic{Space: show.Space, Name: fact.KeysTopic}, Kind: "follow", Body: body, Deps: fact.Deps(append(s.Views(), cite)),
	})
	return err
}

func (n *node) tick() {
	n.t.Helper()
	for _, a := range n.apps {
		if k, ok := a.(*keys.App); ok {
			if err := k.Tick(n.t.Context(), n.m.Host("keys"), n.m.Clock); err != nil {
				n.t.Fatal(err)
			}
		}
	}
	if err := n.m.React(); err != nil {
		n.t.Fatal(err)
	}
}

// The key in charge objects in time: the recovery never takes effect, whatever the clocks say after that.
func TestOwnerVetoesRecovery(t *testing.T) {
	n, dora, carol := savings(t)
	l, cards := dora.guarded(t, 1)
	other, event := dora.recovered(t, l, cards, "somebody's phone")
	if err := n.shows(other, nil); err != nil {
		t.Fatal(err)
	}
	sig, err := dora.Veto(event)
	if err != nil {
		t.Fatal(err)
	}
	veto := func(sig []byte) error {
		_, err := as[keys.VetoOut](n, dora.Signer(), "key.veto", keys.VetoIn{Event: event, Signature: sig})
		return err
	}
	bad := append([]byte{}, sig...)
	bad[5] ^= 1
	if err := veto(bad); api.KindOf(err) != api.Invalid {
		t.Errorf("a veto with a bad signature: %v", err)
	}
	if _, err := other.Veto(event); err != nil {
		t.Fatal(err)
	} else if sig, _ := other.Veto(event); veto(sig) == nil {
		t.Error("the key that the recovery puts in charge vetoes it")
	}
	if err := veto(sig); err != nil {
		t.Fatal(err)
	}
	if v := n.recovery(event); v.State != "vetoed" {
		t.Errorf("%+v", v)
	}
	n.m.Clock = n.m.Clock.Add(5 * time.Hour)
	if err := n.shows(other, other.Log().Bytes()); err != nil {
		t.Fatal(err)
	}
	n.tick()
	n.wantRule(n.follow(other), "vetoed")
	if n.actsWith(dora.DID()) != dora.Device() {
		t.Error("a recovery takes effect that was vetoed")
	}
	if err := n.pays(dora.Signer(), carol, 1); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

// The recovery phrase outdoes guardians: a rotation that is followed while a recovery waits leaves it behind.
func TestRotationLeavesRecoveryBehind(t *testing.T) {
	n, dora, _ := savings(t)
	l, cards := dora.guarded(t, 1)
	other, event := dora.recovered(t, l, cards, "somebody's phone")
	if err := n.shows(other, nil); err != nil {
		t.Fatal(err)
	}
	phone := dora.back(t, l, "dora's phone")
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	n.m.Clock = n.m.Clock.Add(5 * time.Hour)
	if err := n.shows(other, other.Log().Bytes()); err != nil {
		t.Fatal(err)
	}
	n.tick()
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Errorf("%s acts for dora, want the phone with the phrase; %+v", got, n.recovery(event))
	}
	longer := do[keys.LogOut](n, "key.log", keys.LogIn{DID: dora.DID()}).Log
	if l, err := record.ParseLog(longer); err != nil || l.Head().ID != phone.Log().Head().ID {
		t.Errorf("key.log: %v", err)
	}
}
