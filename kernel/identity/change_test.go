package identity_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// from is randomness that starts at a byte.
func from(b byte) *counting { c := counting(b); return &c }

func reopen(t *testing.T, dir string) *identity.Identity {
	t.Helper()
	id, err := identity.OpenWaiting(dir, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestPhraseGolden(t *testing.T) {
	// BIP-39's own vector for 32 bytes of 0x7f, which any tool with its list reads.
	p := must(identity.NewPhrase(bytes.NewReader(bytes.Repeat([]byte{0x7f}, 32))))
	const words = "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth title"
	if got := string(p.Words()); got != words {
		t.Errorf("%s", got)
	}
	if got := fmt.Sprintf("%v %s", p, p); strings.Contains(got, "legal") {
		t.Errorf("prints itself: %s", got)
	}
	again := must(identity.ParsePhrase([]byte("\n Legal " + strings.ReplaceAll(words[6:], " ", "  \n") + "\n")))
	if !bytes.Equal(again.Words(), p.Words()) {
		t.Error("read otherwise than written")
	}
	for _, bad := range []string{
		"", "legal", words + " legal", strings.Replace(words, "winner", "looser", 1), strings.Replace(words, "winner thank", "thank winner", 1), strings.Replace(words, "title", "worth", 1),
	} {
		if _, err := identity.ParsePhrase([]byte(bad)); api.KindOf(err) != api.Invalid || strings.Contains(err.Error(), "winner") || strings.Contains(err.Error(), "looser") {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func TestPhraseIsGivenOnceAndKeptNowhere(t *testing.T) {
	dir, id := create(t)
	p := id.TakePhrase()
	if p == nil || id.TakePhrase() != nil || reopen(t, dir).TakePhrase() != nil {
		t.Fatal("want the phrase once")
	}
	// Nothing in the keystore's plain text leads to the next key.
	plain, _ := plainText(t)
	var m map[string]any
	if err := json.Unmarshal([]byte(plain), &m); err != nil {
		t.Fatal(err)
	}
	for k := range m {
		if !slices.Contains([]string{"version", "did", "log", "control_seed", "device_seed", "node_seed"}, k) {
			t.Errorf("the keystore has %q", k)
		}
	}
}

func TestDevicesAndRotation(t *testing.T) {
	dir, id := create(t)
	phrase := id.TakePhrase()
	second := must(identity.NewDevice(from(1)))
	if _, err := second.Signer().Sign([]byte("m")); !second.Waiting() || second.DID() != "" || second.Signer().Auth() != nil || api.KindOf(err) != api.Unavailable {
		t.Errorf("a device that waits: %v", err)
	}
	if err := second.Join(id.Log()); api.KindOf(err) != api.Refused {
		t.Errorf("joined a log without it: %v", err)
	}
	before := id.Log()
	l := must(id.AddDevice(second.Device(), record.Secondary))
	if r, _ := record.Compare(l, before); r != record.Ahead {
		t.Errorf("%s", r)
	}
	if err := second.Join(l); err != nil || second.DID() != id.DID() || second.InCharge() {
		t.Fatalf("%v", err)
	}
	a := must(record.ParseAuth(second.Signer().Auth()))
	if a.DID != id.DID() || a.Device != second.Device() || a.Role != record.Secondary {
		t.Errorf("%+v", a)
	}
	if sig, err := second.Signer().Sign([]byte("m")); err != nil || !record.Verify(second.Device(), []byte("m"), sig) {
		t.Error(err)
	}
	if _, err := second.AddDevice(api.Key{1}, record.Secondary); api.KindOf(err) != api.Refused {
		t.Errorf("a device without the key in charge adds one: %v", err)
	}
	if _, err := id.RemoveDevice(id.Device()); api.KindOf(err) != api.Refused {
		t.Errorf("%v", err)
	}

	// The keystore follows; a file of the same work factor, still the one file.
	if err := identity.Save(dir, []byte(passphrase), id); err != nil {
		t.Fatal(err)
	}
	if err := identity.Save(dir, []byte("another passphrase"), id); err == nil {
		t.Error("saved under another passphrase")
	}
	id = reopen(t, dir)
	if r, _ := record.Compare(id.Log(), l); r != record.Same {
		t.Errorf("%s", r)
	}
	if es := must(os.ReadDir(dir)); len(es) != 2 { // and the mark that nothing was signed
		t.Errorf("%v", es)
	}

	// The phrase rotates, on either device; the old key is worth nothing then.
	l = must(second.Rotate(phrase, identity.Rotation{}))
	if err := id.Join(l); err != nil || id.InCharge() || !second.InCharge() {
		t.Errorf("%v", err)
	}
	if _, err := id.RemoveDevice(second.Device()); api.KindOf(err) != api.Refused {
		t.Errorf("%v", err)
	}
	l = must(second.RemoveDevice(id.Device()))
	if err := id.Join(l); api.KindOf(err) != api.Refused {
		t.Errorf("joined a log that removes it: %v", err)
	}
	if _, err := second.Rotate(must(identity.NewPhrase(from(9))), identity.Rotation{}); api.KindOf(err) != api.Refused {
		t.Errorf("another phrase rotates: %v", err)
	}
	for range 3 {
		must(second.Rotate(phrase, identity.Rotation{Hybrid: true}))
	}
	if len(second.Log().Control().Hybrid) == 0 {
		t.Error("not hybrid")
	}
	if _, err := second.AddDevice(must(identity.NewDevice(from(77))).Device(), record.Secondary); err != nil {
		t.Errorf("a hybrid key changes devices: %v", err)
	}
	second.Close()
	if _, err := second.Rotate(phrase, identity.Rotation{}); api.KindOf(err) != api.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

// Scenario: the phone with everything on it is stolen, and the thief is quicker. He loses: what he can write, the phrase's rotation goes before.
func TestThiefOfTheKeystoreLoses(t *testing.T) {
	dir, id := create(t)
	phrase := id.TakePhrase()
	thief := reopen(t, dir)
	theirs := must(thief.AddDevice(must(identity.NewDevice(from(1))).Device(), record.Secondary))
	fresh, err := identity.Restore(from(50), id.Log(), phrase, identity.Rotation{Remove: []api.Key{id.Device()}})
	if err != nil {
		t.Fatal(err)
	}
	if r, _ := record.Compare(fresh.Log(), theirs); r != record.Forked || !record.Outranks(fresh.Log(), theirs) {
		t.Errorf("%s", r)
	}
	if role, found := fresh.Log().Role(fresh.Device()); !found || role != record.Primary || fresh.DID() != id.DID() || !fresh.InCharge() {
		t.Errorf("%s, %t", role, found)
	}
	if err := fresh.Join(theirs); err == nil {
		t.Error("the owner takes the thief's log")
	}
	// A device of the owner that met the thief's log first takes the owner's.
	other := must(identity.NewDevice(from(120)))
	both := must(must(identity.OpenWaiting(dir, []byte(passphrase))).AddDevice(other.Device(), record.Secondary))
	if err := other.Join(both); err != nil {
		t.Fatal(err)
	}
	withOther, err := identity.Restore(from(160), id.Log(), phrase, identity.Rotation{Add: []record.Device{{Key: other.Device(), Role: record.Secondary}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Join(withOther.Log()); err != nil {
		t.Errorf("%v", err)
	}
	if role, _ := withOther.Log().Role(id.Device()); role != record.Secondary {
		t.Errorf("the lost primary that was not removed is %s", role)
	}
	if err := other.Join(both); api.KindOf(err) != api.Conflict {
		t.Errorf("back to the thief's: %v", err)
	}
}

func TestGuardiansRecoverWhoHasNothing(t *testing.T) {
	_, id := create(t)
	phrase := id.TakePhrase()
	gil, hal, ida := identity.Derive("g", "gil"), identity.Derive("g", "hal"), identity.Derive("g", "ida")
	who := []api.DID{gil.DID(), hal.DID(), ida.DID()}
	l := must(id.Rotate(phrase, identity.Rotation{Guardians: &identity.GuardianPlan{Threshold: 2, DelayHours: 48, DIDs: who}, Homes: []api.Hash{{7}}}))
	if g := l.Terms().Guardians; g.Threshold != 2 || g.Delay != 48 || len(g.Commitments) != 3 || strings.Contains(string(l.Bytes()), string(gil.DID())) {
		t.Errorf("%+v", g)
	}
	cards := must(identity.Cards(phrase, l, who))
	if _, err := identity.Cards(phrase, l, []api.DID{id.DID()}); api.KindOf(err) != api.NotFound {
		t.Errorf("%v", err)
	}
	card := func(s api.Signer) *identity.GuardianCard { return must(identity.ParseCard(cards[s.DID()].Text())) }

	// A new phone, no phrase: the log is on any guardian's card.
	dir := filepath.Join(t.TempDir(), "new")
	var request *record.RecoveryRequest
	fresh, err := identity.CreateWith(dir, []byte(passphrase), quick, func() (*identity.Identity, error) {
		id, r, err := identity.AskGuardians(from(3), must(identity.ParseLogText(cards[gil.DID()].Text())), identity.Rotation{Remove: []api.Key{id.Device()}})
		request = r
		return id, err
	})
	if err != nil {
		t.Fatal(err)
	}
	newPhrase := fresh.TakePhrase()
	if !fresh.Waiting() || newPhrase == nil {
		t.Error("want a new phrase, and an identity that waits")
	}
	if _, err := identity.Open(dir, []byte(passphrase)); api.KindOf(err) != api.Unavailable {
		t.Errorf("a node opens an identity that waits: %v", err)
	}
	sent := must(identity.ParseRequest(identity.EncodeText(identity.RequestText, request.Bytes())))
	var approvals [][]byte
	for _, s := range []api.Signer{hal, ida} {
		a := must(sent.Approve(card(s).Salt, s))
		approvals = append(approvals, must(identity.ParseApproval(identity.EncodeText(identity.ApprovalText, a))))
	}
	l = must(sent.Complete(approvals...))
	fresh = reopen(t, dir)
	if err := fresh.Join(l); err != nil || fresh.DID() != id.DID() || !fresh.InCharge() || fresh.Waiting() {
		t.Fatalf("%v", err)
	}
	if err := identity.Save(dir, []byte(passphrase), fresh); err != nil {
		t.Fatal(err)
	}
	fresh = must(identity.Open(dir, []byte(passphrase)))
	if got := l.Terms(); got.Guardians.Threshold != 2 || len(got.Homes) != 1 {
		t.Errorf("guardians and homes are lost: %+v", got)
	}
	// The old phrase is out, the new one in.
	if _, err := fresh.Rotate(phrase, identity.Rotation{}); api.KindOf(err) != api.Refused {
		t.Errorf("%v", err)
	}
	if _, err := fresh.Rotate(newPhrase, identity.Rotation{}); err != nil {
		t.Error(err)
	}
}

func TestGuardianPlanIsChecked(t *testing.T) {
	id := generate(t)
	p := id.TakePhrase()
	gil := identity.Derive("g", "gil").DID()
	for name, g := range map[string]identity.GuardianPlan{
		"more than all": {Threshold: 2, DIDs: []api.DID{gil}}, "none needed": {DIDs: []api.DID{gil}}, "negative": {Threshold: -1},
		"self": {Threshold: 1, DIDs: []api.DID{id.DID()}}, "no DID": {Threshold: 1, DIDs: []api.DID{"gil"}}, "twice": {Threshold: 1, DIDs: []api.DID{gil, gil}},
		"a delay of years": {Threshold: 1, DelayHours: record.MaxDelay + 1, DIDs: []api.DID{gil}}, "too many": {Threshold: 1, DIDs: make([]api.DID, 17)},
	} {
		if _, err := id.Rotate(p, identity.Rotation{Guardians: &g}); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l := id.Log(); len(l.Events()) != 1 {
		t.Error("a rotation that failed is in the log")
	}
}

// A keystore of the first version opens as ever, signs with the same event, and becomes one of today when it is saved.
func TestKeystoreOfVersion1(t *testing.T) {
	s := func(b byte) string { return hex.EncodeToString(bytes.Repeat([]byte{b}, 32)) }
	const did = "did:icn:AKnL4NNf3DGWZJS6cPknBuEGnVsV4A4m5tgebLHaRSZ9" // of the seed 01 01 01 ...
	plain := fmt.Sprintf(`{"version":1,"did":%q,"root_seed":%q,"device_seed":%q,"node_seed":%q}`, did, s(1), s(2), s(3))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, identity.KeystoreFile), []byte(seal(t, plain, quick, true)), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(dir, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	if ke, err := record.ParseKeyEvent(id.Signer().Auth()); err != nil || ke.DID != did || ke.Device != id.Device() {
		t.Errorf("%+v, %v", ke, err)
	}
	if _, err := id.Rotate(must(identity.NewPhrase(from(0))), identity.Rotation{}); api.KindOf(err) != api.Refused {
		t.Errorf("a log that commits to nothing is rotated: %v", err)
	}
	second := must(identity.NewDevice(from(9)))
	must(id.AddDevice(second.Device(), record.Secondary))
	if err := identity.Save(dir, []byte(passphrase), id); err != nil {
		t.Fatal(err)
	}
	id = reopen(t, dir)
	if ds := id.Log().Devices(); id.DID() != did || len(ds) != 2 || !id.InCharge() {
		t.Errorf("%s, %v", id.DID(), ds)
	}
}

func TestTextBlocks(t *testing.T) {
	l := generate(t).Log()
	text := append([]byte("Here is my log:\n"), identity.EncodeText(identity.LogText, l.Bytes())...)
	if got := must(identity.ParseLogText(text)); !bytes.Equal(got.Bytes(), l.Bytes()) {
		t.Error("read otherwise than written")
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "words": []byte("hello"), "two": append(text, text...), "another kind": identity.EncodeText(identity.ApprovalText, []byte("x")),
		"kind of others": identity.EncodeText("PRIVATE KEY", []byte("x")), "huge": bytes.Repeat([]byte("x"), 1<<19), "rubbish": identity.EncodeText(identity.LogText, []byte("x")),
		"rubbish card": identity.EncodeText(identity.CardText, []byte("x")),
	} {
		if _, err := identity.ParseLogText(bad); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := identity.ParseRequest(text); api.KindOf(err) != api.Invalid {
		t.Errorf("%v", err)
	}
}
