package session

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// chat owns the space topic, whose genesis names members and ann as registrar. A record of kind "member" says what somebody is from now on.
type chat struct{ founders []api.Signer }

// change is the body of a "member" record; a zero Device removes.
type change struct {
	_              struct{} `cbor:",toarray"`
	DID            api.DID
	Device, Before api.Key
}

func (chat) Info() api.AppInfo {
	return api.AppInfo{Name: "chat", Topics: []api.TopicSpec{{Name: fact.SpaceTopic, Founding: "genesis"}}}
}

func (c chat) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case "genesis":
		fact.PutGenesis(tx, fact.Genesis{Name: "Mill Lane", Offices: []string{fact.Registrar}})
		fact.PutOffice(tx, fact.Registrar, fact.Office{DID: c.founders[0].DID(), Device: c.founders[0].Device(), Number: 1})
		for i, s := range c.founders {
			fact.PutMember(tx, s.DID(), fact.Member{Device: s.Device(), Number: uint64(i) + 1, Founder: true})
		}
	case "member":
		var ch change
		if codec.Unmarshal(rec.Body, &ch) != nil {
			return api.Voided("chat", "malformed", "malformed")
		}
		fact.PutMember(tx, ch.DID, fact.Member{Device: ch.Device, Before: ch.Before, Number: 7})
	}
	return api.Accepted
}

// Operations lets scopes be derived from something.
func (chat) Operations() []api.Operation {
	var ops []api.Operation
	for _, scope := range strings.Fields("chat:read chat:write chat:grant space:read space:write node:read state:read security:pardon public") {
		ops = append(ops, api.Operation{Name: "chat." + scope, Scope: scope})
	}
	return ops
}

// disk is an api.Local in memory.
type disk struct {
	mu   sync.Mutex
	rows map[string][]byte
}

func (d *disk) Put(key string, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rows[key] = bytes.Clone(value)
	return nil
}

func (d *disk) Delete(key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.rows, key)
	return nil
}

func (d *disk) Each(prefix string, fn func(string, []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(d.rows)) {
		if strings.HasPrefix(k, prefix) && !fn(k, bytes.Clone(d.rows[k])) {
			return nil
		}
	}
	return nil
}

type withDisk struct {
	api.Host
	disk *disk
}

func (h withDisk) Local() api.Local { return h.disk }

// knownLogs are the key event logs that the node knows.
type knownLogs struct {
	followed map[api.DID]*record.Log
	shown    map[api.DID][]*record.Log
}

func (k *knownLogs) Followed(_ api.Hash, did api.DID) *record.Log { return k.followed[did] }
func (k *knownLogs) Shown(_ api.Hash, did api.DID) []*record.Log  { return k.shown[did] }

// entropy is an endless stream that is the same in each test; safe for concurrent use.
type entropy struct {
	mu sync.Mutex
	n  uint64
}

func (e *entropy) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := 0; i < len(p); i += 32 {
		e.n++
		sum := sha256.Sum256(api.Seq8(e.n))
		copy(p[i:], sum[:])
	}
	return len(p), nil
}

// secret is what the tests' keys are derived from.
var secret = []byte("a secret of at least thirty-two bytes")

// world is one node, whose own member is carol, and a space of ann and bob.
type world struct {
	t    testing.TB
	m    *kerneltest.Model
	app  *App
	opt  Options
	disk *disk
	logs *knownLogs

	space           api.Hash
	ann, bob, carol api.Signer
}

func newWorld(t testing.TB, more ...api.Signer) *world {
	w := &world{
		t: t, disk: &disk{rows: map[string][]byte{}}, logs: &knownLogs{followed: map[api.DID]*record.Log{}, shown: map[api.DID][]*record.Log{}},
		ann: kerneltest.Signer("ann"), bob: kerneltest.Signer("bob"), carol: kerneltest.Signer("carol"),
		opt: Options{Node: kerneltest.Signer("node").DID(), Audience: "https://mill.example", Secret: secret, Random: &entropy{}},
	}
	w.m = kerneltest.NewModel(chat{append([]api.Signer{w.ann, w.bob}, more...)})
	w.m.SetSelf(w.carol)
	rc, err := w.m.Append(w.ann, api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: "genesis"})
	if err != nil {
		t.Fatal(err)
	}
	w.space = rc.Topic.Space
	if err := w.host().Follow(w.space); err != nil {
		t.Fatal(err)
	}
	w.boot()
	return w
}

func (w *world) host() api.Host { return withDisk{w.m.Host("chat"), w.disk} }

// boot starts the app anew, as after a restart of the node.
func (w *world) boot() {
	w.t.Helper()
	w.app = New(w.logs, []api.App{chat{}}, w.opt)
	if err := w.app.Start(context.Background(), w.host()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pass(d time.Duration) { w.m.Clock = w.m.Clock.Add(d) }

// say lets the registrar say what somebody is, and the app react to it.
func (w *world) say(did api.DID, device, before api.Key) {
	w.t.Helper()
	_, err := w.m.Append(w.ann, api.Draft{
		Topic: api.Topic{Space: w.space, Name: fact.SpaceTopic}, Kind: "member", Body: codec.MustMarshal(&change{DID: did, Device: device, Before: before}),
	})
	if err == nil {
		err = w.app.React(context.Background(), w.host(), nil)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// do calls an operation the way an edge does, scope and all.
func do[Out any](w *world, call *api.Call, name string, in any) (*Out, error) {
	w.t.Helper()
	for _, op := range w.app.Operations() {
		if op.Name != name {
			continue
		}
		if call == nil {
			call = &api.Call{}
		}
		if !call.Can(op.Scope) {
			return nil, api.Errorf(name, api.Refused, "no scope %s", op.Scope)
		}
		raw, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
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
	w.t.Fatalf("no operation %s", name)
	return nil, nil
}

func sign(t testing.TB, s api.Signer, message []byte) []byte {
	t.Helper()
	sig, err := s.Sign(message)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// attempt is a login that is whole; a test spoils it.
func (w *world) attempt(s api.Signer) *VerifyIn {
	w.t.Helper()
	c, err := do[ChallengeOut](w, nil, "auth.challenge", &ChallengeIn{DID: s.DID(), Device: s.Device()})
	if err != nil {
		w.t.Fatal(err)
	}
	return &VerifyIn{DID: s.DID(), Device: s.Device(), Auth: s.Auth(), Challenge: c.Challenge, Signature: sign(w.t, s, c.Message)}
}

func (w *world) verify(in *VerifyIn) (*TokenOut, error) {
	w.t.Helper()
	return do[TokenOut](w, nil, "auth.verify", in)
}

func (w *world) login(s api.Signer) *TokenOut {
	w.t.Helper()
	out, err := w.verify(w.attempt(s))
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) refresh(token string) (*TokenOut, error) {
	w.t.Helper()
	return do[TokenOut](w, nil, "auth.refresh", &RefreshIn{RefreshToken: token})
}

// caller is who an access token makes of a request; nil when it does not hold.
func (w *world) caller(token string) *api.Call {
	w.t.Helper()
	call, err := w.app.Authenticate(context.Background(), token)
	if err != nil && (api.KindOf(err) != api.Unauthenticated || rule(err) != "bad-token") {
		w.t.Fatal(err)
	}
	return call
}

func rule(err error) string {
	if r := api.ReasonOf(err); r != nil {
		return r.Rule
	}
	return ""
}

// wants checks that an error is of a kind and by a rule.
func wants(t testing.TB, err error, kind api.Kind, by string) {
	t.Helper()
	if api.KindOf(err) != kind || rule(err) != by {
		t.Errorf("%v (%v by %q): want %v by %q", err, api.KindOf(err), rule(err), kind, by)
	}
}

// person has a key event log that changes.
type person struct {
	t       testing.TB
	control []record.ControlKey // each committed to by the one before
	log     *record.Log
	device  ed25519.PrivateKey // that signs
}

func seedKey(word string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("session test: " + word))
	return ed25519.NewKeyFromSeed(seed[:])
}

func keyOf(k ed25519.PrivateKey) api.Key { return api.Key(k.Public().(ed25519.PublicKey)) }

// newPerson returns a person whose log names a phone.
func newPerson(t testing.TB, name string) *person {
	t.Helper()
	p := &person{t: t, device: seedKey(name + " phone")}
	for _, word := range []string{" root", " next", " third"} {
		k, err := record.NewControlKey(seedKey(name+word), false)
		if err != nil {
			t.Fatal(err)
		}
		p.control = append(p.control, k)
	}
	var err error
	p.log, err = record.Incept(p.control[0], record.Terms{Next: p.control[1].Public().Commitment()}, record.Device{Key: keyOf(p.device), Role: record.Primary})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// with returns the person on another device, by a log.
func (p *person) with(device ed25519.PrivateKey, l *record.Log, err error) *person {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	return &person{t: p.t, control: p.control, log: l, device: device}
}

func (p *person) DID() api.DID                  { return p.log.DID() }
func (p *person) Device() api.Key               { return keyOf(p.device) }
func (p *person) Sign(m []byte) ([]byte, error) { return ed25519.Sign(p.device, m), nil }
func (p *person) Auth() []byte {
	b, err := p.log.Auth(p.Device())
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}
