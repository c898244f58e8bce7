package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/node/config"
)

// desk is where somebody types commands: a folder with a passphrase, and data directories in it.
type desk struct {
	*testing.T
	dir string
}

func newDesk(t *testing.T) *desk {
	t.Setenv(identity.PassphraseEnv, "")
	d := &desk{t, t.TempDir()}
	d.write("passphrase", passphrase+"\n")
	return d
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) write(name, text string) string {
	d.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
	return d.path(name)
}

// try runs a command line on somebody's data directory.
func (d *desk) try(who string, args ...string) (stdout, stderr string, err error) {
	var out, note bytes.Buffer
	c := &ctl{out: &out, err: &note}
	root := c.root()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(append(args, "--data-dir", d.path(who)))
	err = root.Execute()
	return out.String(), note.String(), err
}

func (d *desk) id(who string, args ...string) string {
	d.Helper()
	args = append([]string{"id"}, args...)
	if cmd := strings.Join(args[:2], " "); cmd != "id combine" && cmd != "id backup" && (cmd != "id show" || args[2] != "--log") {
		args = append(args, "--passphrase-file", d.path("passphrase"))
	}
	out, note, err := d.try(who, args...)
	if err != nil {
		d.Fatalf("icnctl %s: %v\n%s", strings.Join(args, " "), err, note)
	}
	return out
}

// init makes somebody, and a file with their phrase.
func (d *desk) init(who string) api.DID {
	d.Helper()
	made, err := config.Init(d.path(who), []byte(passphrase), 2)
	if err != nil {
		d.Fatal(err)
	}
	d.write(who+".phrase", made.Phrase)
	return made.DID
}

func TestDevicesOnTheCommandLine(t *testing.T) {
	d := newDesk(t)
	ann := d.init("ann")
	phone := strings.TrimSpace(d.id("phone", "device", "request", "--work-factor", "2"))
	if out := d.id("phone", "device", "list"); !strings.Contains(out, "waits") {
		t.Errorf("%s", out)
	}
	log := d.write("log", d.id("ann", "device", "add", phone))
	if out := d.id("phone", "device", "join", log); !strings.Contains(out, string(ann)) || !strings.Contains(out, "secondary  yes") {
		t.Errorf("%s", out)
	}
	var v logView
	if err := json.Unmarshal([]byte(d.id("phone", "show", "--keystore", "--json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.DID != ann || v.Events != 2 || v.Here || !v.Committed || len(v.Devices) != 2 {
		t.Errorf("%+v", v)
	}
	if _, _, err := d.try("phone", "id", "device", "add", phone, "--passphrase-file", d.path("passphrase")); api.KindOf(err) != api.Refused {
		t.Errorf("the phone adds a device: %v", err)
	}

	// Rotated on the phone with the phrase, the laptop is out.
	laptop := v.Devices[0].Key
	if laptop.String() == phone {
		laptop = v.Devices[1].Key
	}
	log = d.write("log2", d.id("phone", "rotate", "--phrase-file", d.path("ann.phrase"), "--remove", laptop.String()))
	out := d.id("phone", "show", "--log", log)
	if _, list, ok := strings.Cut(out, "DEVICE"); !ok || strings.Contains(list, laptop.String()) || !strings.Contains(out, laptop.String()) || !strings.Contains(out, "rotation") {
		t.Errorf("%s", out)
	}
	if _, _, err := d.try("ann", "id", "device", "join", log, "--passphrase-file", d.path("passphrase")); api.KindOf(err) != api.Refused {
		t.Errorf("%v", err)
	}

	// All lost but the phrase and the log.
	out = d.id("tablet", "restore", "--log", log, "--phrase-file", d.path("ann.phrase"), "--remove", phone, "--work-factor", "2")
	l, err := identity.ParseLogText([]byte(out))
	if err != nil || l.DID() != ann || len(l.Devices()) != 1 || len(l.Removed()) != 2 {
		t.Errorf("%v", err)
	}
	if _, err := identity.Open(d.path("tablet"), []byte(passphrase)); err != nil {
		t.Error(err)
	}

	for name, args := range map[string][]string{
		"a phrase on the command line": {"id", "rotate", "legal winner thank"},
		"no phrase":                    {"id", "rotate"},
		"not a key":                    {"id", "device", "add", "phone"},
		"not a role":                   {"id", "device", "add", phone, "--role", "owner"},
		"nobody":                       {"id", "rotate", "--threshold", "2"},
		"not a space":                  {"id", "rotate", "--home", "x"},
		"nothing to export":            {"id", "export"},
	} {
		if _, _, err := d.try("tablet", append(args, "--passphrase-file", d.path("passphrase"))...); err == nil || exitCode(err) != 2 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecoveryOnTheCommandLine(t *testing.T) {
	d := newDesk(t)
	ann := d.init("ann")
	rotate := []string{"rotate", "--phrase-file", d.path("ann.phrase"), "--threshold", "2"}
	cards := []string{"recover", "cards", "--phrase-file", d.path("ann.phrase"), "--out", d.dir, "--json"}
	who := map[string]api.DID{}
	for _, g := range []string{"gil", "hal", "ida"} {
		who[g] = d.init(g)
		rotate = append(rotate, "--guardian", string(who[g]))
		cards = append(cards, "--guardian", string(who[g]))
	}
	d.id("ann", rotate...)
	files := map[string]string{}
	if err := json.Unmarshal([]byte(d.id("ann", cards...)), &files); err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	card := func(g string) string { return files[string(who[g])] }

	args := []string{"id", "recover", "request", "--log", card("gil"), "--work-factor", "2", "--passphrase-file", d.path("passphrase")}
	out, note, err := d.try("new", args...)
	if err != nil || !strings.Contains(note, "Recovery phrase") {
		t.Fatalf("%v\n%s", err, note)
	}
	request := d.write("request", out)
	if out := d.id("gil", "recover", "approve", request, "--card", card("gil")); strings.Contains(out, "BEGIN") || !strings.Contains(out, string(ann)) {
		t.Errorf("approved without --yes: %s", out)
	}
	byGil := d.write("by-gil", d.id("gil", "recover", "approve", request, "--card", card("gil"), "--yes"))
	byIda := d.write("by-ida", d.id("ida", "recover", "approve", request, "--card", card("ida"), "--yes"))
	pass := []string{"--passphrase-file", d.path("passphrase")}
	if _, _, err := d.try("hal", append([]string{"id", "recover", "approve", request, "--card", card("gil"), "--yes"}, pass...)...); api.KindOf(err) != api.Refused {
		t.Errorf("with another's card: %v", err)
	}
	if _, _, err := d.try("new", append([]string{"id", "recover", "apply", request, byGil}, pass...)...); api.KindOf(err) != api.Refused {
		t.Errorf("with one approval: %v", err)
	}
	l, err := identity.ParseLogText([]byte(d.id("new", "recover", "apply", request, byGil, byIda)))
	if err != nil || l.DID() != ann || l.Head().Kind != record.Recovery {
		t.Errorf("%v", err)
	}
	if id, err := identity.Open(d.path("new"), []byte(passphrase)); err != nil || id.DID() != ann || !id.InCharge() {
		t.Error(err)
	}
}

func TestBackupOnTheCommandLine(t *testing.T) {
	d := newDesk(t)
	d.init("ann")
	d.id("ann", "backup", "--phrase-file", d.path("ann.phrase"), "--threshold", "2", "--holder", "Gil", "--holder", "Hal", "--holder", "Ida", "--out", d.dir)
	share := func(n int) string { return d.path(fmt.Sprintf("share-%d.txt", n)) }
	want, err := os.ReadFile(d.path("ann.phrase"))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.id("x", "combine", share(3), share(1)); strings.TrimSpace(got) != string(want) {
		t.Error("another phrase")
	}
	d.init("ben")
	other := d.path("other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	d.id("ben", "backup", "--phrase-file", d.path("ben.phrase"), "--shares", "2", "--out", other)
	_, note, err := d.try("x", "id", "combine", share(1), filepath.Join(other, "share-2.txt"))
	if api.KindOf(err) != api.Refused || !strings.Contains(note, "holder-2") {
		t.Errorf("%v\n%s", err, note)
	}
	if _, note, err = d.try("x", "id", "combine", share(1), filepath.Join(other, "share-2.txt"), share(2)); err != nil || !strings.Contains(note, "holder-2") {
		t.Errorf("%v\n%s", err, note)
	}
	if info, err := os.Stat(share(1)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, _, err := d.try("ann", "id", "backup", "--phrase-file", d.path("ann.phrase"), "--shares", "3", "--out", d.dir); api.KindOf(err) != api.Conflict {
		t.Errorf("over shares that are there: %v", err)
	}
}

// The credential is read and verified by a library that knows nothing of this project, with the key that the DID document has.
func TestCredentialVerifiesElsewhere(t *testing.T) {
	d := newDesk(t)
	coop, ann := d.init("coop"), d.init("ann")
	space := strings.Repeat("ab", 32)
	token := strings.TrimSpace(d.id("coop", "export", "--credential", "--subject", string(ann), "--space", space, "--days", "30"))
	var doc identity.Document
	if err := json.Unmarshal([]byte(d.id("coop", "export", "--did-document")), &doc); err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	header := jws.Signatures[0].Header
	var key ed25519.PublicKey
	for _, m := range doc.VerificationMethod {
		if m.ID == header.KeyID && slices.Contains(doc.AssertionMethod, m.ID) {
			k, err := record.ParseMultikey(m.PublicKeyMultibase)
			if err != nil {
				t.Fatal(err)
			}
			key = k[:]
		}
	}
	if key == nil || header.ExtraHeaders[jose.HeaderType] != "vc+jwt" {
		t.Fatalf("kid %s does not assert in %+v", header.KeyID, doc)
	}
	body, err := jws.Verify(key)
	if err != nil {
		t.Fatal(err)
	}
	var vc struct {
		Context           []any `json:"@context"`
		Type              []string
		Issuer            api.DID
		ValidFrom         time.Time
		ValidUntil        time.Time
		CredentialSubject struct {
			ID       api.DID
			MemberOf string
		}
	}
	if err := json.Unmarshal(body, &vc); err != nil {
		t.Fatal(err)
	}
	if vc.Context[0] != "https://www.w3.org/ns/credentials/v2" || vc.Type[0] != "VerifiableCredential" || vc.Issuer != coop || vc.CredentialSubject.ID != ann ||
		vc.CredentialSubject.MemberOf != "urn:icn:space:"+space || vc.ValidUntil.Sub(vc.ValidFrom) != 30*24*time.Hour {
		t.Errorf("%s", body)
	}
	forged := strings.Split(token, ".")
	forged[1] = forged[1][:20] + "A" + forged[1][21:]
	if jws, err := jose.ParseSignedCompact(strings.Join(forged, "."), []jose.SignatureAlgorithm{jose.EdDSA}); err == nil {
		if _, err := jws.Verify(key); err == nil {
			t.Error("a changed credential verifies")
		}
	}
	pass := []string{"--passphrase-file", d.path("passphrase")}
	for name, args := range map[string][]string{
		"no subject": {"--space", space}, "no space": {"--subject", string(ann)}, "no time": {"--subject", string(ann), "--space", space, "--days", "0"},
	} {
		if _, _, err := d.try("coop", append(append([]string{"id", "export", "--credential"}, args...), pass...)...); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
