package app

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/keys"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// A device without a node shows its log itself: once, and only one that can move somebody.
func TestPublishOwnLog(t *testing.T) {
	n, dora, carol := savings(t)
	publish := func(s api.Signer) (*keys.PublishOut, error) {
		t.Helper()
		out, err := as[keys.PublishOut](n, s, "key.publish", keys.PublishIn{})
		if rerr := n.m.React(); rerr != nil {
			t.Fatal(rerr)
		}
		return out, err
	}
	_, err := publish(dora.Signer())
	n.wantRule(err, "not-rotated")

	phone := dora.back(t, dora.Log(), "dora's phone")
	first, err := publish(phone.Signer())
	if err != nil {
		t.Fatal(err)
	}
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Fatalf("%s acts for dora, want the new phone", got)
	}
	if again, err := publish(phone.Signer()); err != nil || again.Receipt.Position != first.Receipt.Position || !again.Receipt.Repeated {
		t.Errorf("%+v, %v; want the first, %+v", again, err, first)
	}
	if err := n.pays(phone.Signer(), carol, 6000); err != nil {
		t.Errorf("the new phone pays: %v", err)
	}
	// The key after the next one, on the same device: the feed is begun, so the log stands in the body.
	if _, err := phone.Rotate(phone.phrase, identity.Rotation{}); err != nil {
		t.Fatal(err)
	}
	if next, err := publish(phone.Signer()); err != nil || next.Receipt.Position.Seq != 2 {
		t.Errorf("%+v, %v", next, err)
	}
	// Another branch, by who has an older phrase's log.
	thief := dora.back(t, dora.Log(), "a thief's")
	_, err = publish(thief.Signer())
	n.wantRule(err, "other-branch")
	n.sound()
}

// Only the root key's signature, of now, is given a log before anybody is logged in.
func TestLogOfOwnRootKey(t *testing.T) {
	n := newNode(t, "ann")
	pub, root, err := ed25519.GenerateKey(newEntropy("root"))
	if err != nil {
		t.Fatal(err)
	}
	did, now := record.DIDOf(api.Key(pub)), n.m.Clock
	ask := func(did api.DID, at time.Time, message []byte) error {
		_, err := as[keys.LogOut](n, n.self, "key.own", keys.OwnIn{DID: did, Time: at.UnixMilli(), Signature: ed25519.Sign(root, message)})
		return err
	}
	if err := ask(did, now, keys.AskMessage(did, now.UnixMilli())); api.KindOf(err) != api.NotFound {
		t.Errorf("a DID that has written nothing here: %v", err)
	}
	other := newPerson(t, "dora").DID()
	n.wantRule(ask(other, now, keys.AskMessage(other, now.UnixMilli())), "not-root")
	n.wantRule(ask(did, now, keys.AskMessage(did, now.UnixMilli()+1)), "not-root")
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		at := now.Add(off)
		n.wantRule(ask(did, at, keys.AskMessage(did, at.UnixMilli())), "not-root")
	}
}
