package app

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/keys"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// entropy makes the same keys in every run.
type entropy struct{ *rand.ChaCha8 }

func newEntropy(name string) entropy {
	var seed [32]byte
	copy(seed[:], name)
	return entropy{rand.NewChaCha8(seed)}
}

// person is somebody with a key event log, and what they keep of it.
type person struct {
	*identity.Identity
	phrase *identity.Phrase
}

func newPerson(t *testing.T, name string) person {
	t.Helper()
	id, err := identity.Generate(newEntropy(name))
	if err != nil {
		t.Fatal(err)
	}
	return person{id, id.TakePhrase()}
}

// back is the person on a new device by the recovery phrase, the old device removed; l is the log that they know.
func (p person) back(t *testing.T, l *record.Log, device string) person {
	t.Helper()
	id, err := identity.Restore(newEntropy(device), l, p.phrase, identity.Rotation{Remove: []api.Key{p.Device()}})
	if err != nil {
		t.Fatal(err)
	}
	return person{id, p.phrase}
}

// guarded is a log in which two of three guardians can recover p after some hours, and their cards.
func (p person) guarded(t *testing.T, hours int) (l *record.Log, cards map[api.DID]*identity.GuardianCard) {
	t.Helper()
	plan := &identity.GuardianPlan{Threshold: 2, DelayHours: hours}
	for _, g := range guardians() {
		plan.DIDs = append(plan.DIDs, g.DID())
	}
	l, err := p.Rotate(p.phrase, identity.Rotation{Guardians: plan})
	if err == nil {
		cards, err = identity.Cards(p.phrase, l, plan.DIDs)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l, cards
}

func guardians() []api.Signer {
	return []api.Signer{kerneltest.Signer("gil"), kerneltest.Signer("gul"), kerneltest.Signer("gol")}
}

// recovered is p on a new device by guardians; it also returns the event's id.
func (p person) recovered(t *testing.T, l *record.Log, cards map[api.DID]*identity.GuardianCard, device string) (person, api.Hash) {
	t.Helper()
	id, req, err := identity.AskGuardians(newEntropy(device), l, identity.Rotation{Remove: []api.Key{p.Device()}})
	if err != nil {
		t.Fatal(err)
	}
	var approvals [][]byte
	for _, g := range guardians()[:2] {
		a, err := req.Approve(cards[g.DID()].Salt, g)
		if err != nil {
			t.Fatal(err)
		}
		if approvals = append(approvals, a); len(approvals) == 1 {
			if _, err := req.Complete(approvals...); api.KindOf(err) != api.Refused { // guardians vouch too low
				t.Fatalf("one guardian of two that are needed: %v", err)
			}
		}
	}
	longer, err := req.Complete(approvals...)
	if err == nil {
		err = id.Join(longer)
	}
	if err != nil {
		t.Fatal(err)
	}
	return person{id, id.TakePhrase()}, req.Event.ID
}

// shows publishes what p's device has as its log. body is for a further one in the same feed.
func (n *node) shows(p person, body []byte) error {
	n.t.Helper()
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	_, err := n.m.Append(p.Signer(), api.Draft{Topic: api.Topic{Space: show.Space, Name: fact.KeysTopic}, Kind: "log", Body: body})
	if rerr := n.m.React(); rerr != nil {
		n.t.Fatal(rerr)
	}
	return err
}

// actsWith returns the device that acts for a member.
func (n *node) actsWith(did api.DID) api.Key {
	n.t.Helper()
	for _, m := range do[membership.MembersOut](n, "member.list", membership.MembersIn{}).Members {
		if m.DID == did {
			return m.Device
		}
	}
	n.t.Fatalf("%s is no member", did)
	return api.Key{}
}

func (n *node) recovery(event api.Hash) keys.Recovery {
	n.t.Helper()
	for _, r := range do[keys.RecoveriesOut](n, "key.recoveries", keys.RecoveriesIn{}).Recoveries {
		if r.Event == event {
			return r
		}
	}
	n.t.Fatalf("no recovery %s is known", event.Short())
	return keys.Recovery{}
}

// savings is a bank with dora, who has a key event log and has paid carol.
func savings(t *testing.T) (n *node, dora person, carol api.Signer) {
	n, _, carol = bank(t)
	dora = newPerson(t, "dora")
	do[membership.AddOut](n, "member.add", membership.AddIn{DID: dora.DID(), Device: dora.Device()})
	if err := n.pays(dora.Signer(), carol, 4000); err != nil {
		t.Fatal(err)
	}
	return n, dora, carol
}

// I4, I10: nobody copies a device key. The new phone shows the rotated log, and membership, debts and credits are there; the old one writes nothing
// more that counts.
func TestSpaceFollowsRotation(t *testing.T) {
	n, dora, carol := savings(t)
	old := dora.Signer()
	if err := n.shows(dora, nil); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "not-rotated" {
		t.Errorf("a log with nothing in it that could be followed: %v", err)
	}
	phone := dora.back(t, dora.Log(), "dora's phone")
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Fatalf("%s acts for dora, want the new phone", got)
	}
	n.withoutLooking(old, carol, 500)
	if err := n.pays(old, carol, 1); api.KindOf(err) != api.Refused {
		t.Errorf("the old phone pays: %v", err)
	}
	if got := n.balanceOf(phone.Signer()); got != -4000 {
		t.Errorf("dora has %d, want -4000", got)
	}
	n.wantRule(n.pays(phone.Signer(), carol, 6001), "over-limit")
	if err := n.pays(phone.Signer(), carol, 6000); err != nil {
		t.Errorf("the new phone pays: %v", err)
	}
	n.sound()
}

// Scenario 13, the thief's part: who has stolen device and key in charge comes first, spends, and makes a device of his own the primary one. None of
// that moves dora away; her rotation, which comes later and knows nothing of it, does, and what was final stands.
func TestScenario13_ThiefComesFirst(t *testing.T) {
	n, dora, carol := savings(t)
	known := dora.Log()
	hers, err := identity.NewDevice(newEntropy("thief"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dora.AddDevice(dora.Device(), record.Secondary); err != nil { // by the key in charge, which is stolen
		t.Fatal(err)
	}
	stolen, err := dora.AddDevice(hers.Device(), record.Primary)
	if err == nil {
		err = hers.Join(stolen)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.wantRule(n.shows(person{hers, nil}, nil), "not-rotated")
	if _, err := dora.Rotate(newPerson(t, "thief").phrase, identity.Rotation{}); err == nil {
		t.Error("the thief rotates with a key that nobody committed to")
	}
	if err := n.pays(dora.Signer(), carol, 6000); err != nil { // all there is
		t.Fatal(err)
	}
	n.wantRule(n.pays(dora.Signer(), carol, 1), "over-limit")

	phone := dora.back(t, known, "dora's phone")
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Fatalf("%s acts for dora, want her new phone", got)
	}
	if err := n.pays(dora.Signer(), carol, 1); api.KindOf(err) != api.Refused {
		t.Errorf("the thief goes on paying: %v", err)
	}
	n.wantRule(n.shows(person{hers, nil}, nil), "not-rotated")
	if got := n.balanceOf(phone.Signer()); got != -10000 {
		t.Errorf("dora has %d: want what was final, and no more lost than her limit", got)
	}
	n.sound()
}

// Whose lost device fills an office is moved once that is handed over: nobody has to show the log again.
func TestMovedOnceTheOfficeIsHandedOver(t *testing.T) {
	n, dora, _ := savings(t)
	n.hand(fact.Clerk, dora.Signer())
	phone := dora.back(t, dora.Log(), "dora's phone")
	if err := n.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	if got := n.actsWith(dora.DID()); got != dora.Device() {
		t.Fatalf("%s acts for dora, whose old phone is the clerk's", got)
	}
	n.hand(fact.Clerk, phone.Signer())
	if got := n.actsWith(dora.DID()); got != phone.Device() {
		t.Errorf("%s acts for dora, want the new phone", got)
	}
	n.sound()
}

// Only the registrar says what the space follows, and only of what it cites.
func TestOthersDoNotRule(t *testing.T) {
	n, dora, carol := savings(t)
	phone := dora.back(t, dora.Log(), "dora's phone")
	show := do[membership.ShowOut](n, "space.show", membership.ShowIn{})
	for _, kind := range []string{"follow", "start", "stop"} {
		body := codec.MustMarshal(&struct {
			_    struct{} `cbor:",toarray"`
			DID  api.DID
			Head api.Hash
		}{DID: dora.DID(), Head: phone.Log().Head().ID})
		for who, rule := range map[api.Signer]string{carol: "not-registrar", n.self: map[string]string{"follow": "not-final", "start": "not-final", "stop": "no-veto"}[kind]} {
			d := api.Draft{Topic: api.Topic{Space: show.Space, Name: fact.KeysTopic}, Kind: kind, Body: body}
			if r := n.m.Read("keys"); true {
				s, _ := fact.Open(r, show.Space)
				d.Deps = []api.Position{s.Founded}
				r.Close()
			}
			_, err := n.m.Append(who, d)
			if why := api.ReasonOf(err); why == nil || why.Rule != rule {
				t.Errorf("%s by %s: %v, want %s", kind, fmt.Sprint(who.DID())[:16], err, rule)
			}
		}
	}
}

// Scenario 13 with three witnesses, of whom two suffice: the old phone spends in a partition with one of them while the new one is followed with the
// other two. What it spent there has no effect anywhere; what was final stands; all nodes agree.
func TestScenario13_ThreeWitnesses(t *testing.T) {
	ann, ben, cas := newNode(t, "ann"), newNode(t, "ben"), newNode(t, "cas")
	nodes := []*node{ann, ben, cas}
	do[membership.CreateOut](ann, "space.create", membership.CreateIn{Name: "Bank", Witnesses: []api.Key{ben.self.Device(), cas.self.Device()}})
	dora, carol := newPerson(t, "dora"), kerneltest.Signer("carol")
	for did, device := range map[api.DID]api.Key{
		dora.DID(): dora.Device(), carol.DID(): carol.Device(), ben.self.DID(): ben.self.Device(), cas.self.DID(): cas.self.Device(),
	} {
		do[membership.AddOut](ann, "member.add", membership.AddIn{DID: did, Device: device})
	}
	for _, n := range nodes[1:] {
		if err := n.m.Host("membership").Follow(ann.m.Host("membership").Follows()[0]); err != nil {
			t.Fatal(err)
		}
	}
	exchange(t, nodes...)
	if err := ben.pays(dora.Signer(), carol, 4000); err != nil {
		t.Fatal(err)
	}
	exchange(t, nodes...)

	// The old phone, with cas.
	if err := cas.pays(dora.Signer(), carol, 6000); err != nil {
		t.Fatal(err)
	}
	// The new one, with ann and ben.
	phone := dora.back(t, dora.Log(), "dora's phone")
	if err := ben.shows(phone, nil); err != nil {
		t.Fatal(err)
	}
	exchange(t, ann, ben)
	if got := ben.actsWith(dora.DID()); got != phone.Device() {
		t.Fatalf("%s acts for dora, want the new phone", got)
	}
	if err := ben.pays(phone.Signer(), carol, 1000); err != nil {
		t.Fatalf("the new phone pays: %v", err)
	}
	exchange(t, ann, ben)
	exchange(t, nodes...)
	for _, n := range nodes {
		if got := n.balanceOf(phone.Signer()); got != -5000 {
			t.Errorf("dora has %d by %s, want -5000", got, n.self.DID())
		}
		if err := n.pays(dora.Signer(), carol, 1); api.KindOf(err) != api.Refused {
			t.Errorf("the old phone pays: %v", err)
		}
		for _, app := range []string{"keys", "ledger", "membership", "finality"} {
			if n.m.Digest(app) != ann.m.Digest(app) {
				t.Errorf("app %s: two nodes disagree", app)
			}
		}
		n.sound()
	}
}
