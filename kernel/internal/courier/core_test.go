package courier_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/intercooperative/icn/crypto/seal"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/record"
)

var epoch = time.UnixMilli(1_800_000_000_000)

// nodeSigner signs as a node: its DID is its own key.
type nodeSigner struct{ key ed25519.PrivateKey }

func (s nodeSigner) Device() api.Key               { return api.Key(s.key.Public().(ed25519.PublicKey)) }
func (s nodeSigner) DID() api.DID                  { return record.DIDOf(s.Device()) }
func (s nodeSigner) Auth() []byte                  { return nil }
func (s nodeSigner) Sign(m []byte) ([]byte, error) { return ed25519.Sign(s.key, m), nil }

// member signs with a device that a root key certified.
type member struct{ root, device ed25519.PrivateKey }

func (s member) Device() api.Key               { return nodeSigner{s.device}.Device() }
func (s member) DID() api.DID                  { return nodeSigner{s.root}.DID() }
func (s member) Sign(m []byte) ([]byte, error) { return ed25519.Sign(s.device, m), nil }
func (s member) Auth() []byte {
	b, err := record.SignKeyEvent(s.root, s.Device())
	if err != nil {
		panic(err)
	}
	return b
}

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

// node is a Core with its disk and what it has brought forth.
type node struct {
	*courier.Core
	t       testing.TB
	name    string
	self    nodeSigner
	disk    map[string][]byte
	sent    []courier.Send // all that was ever sent
	answers map[uint64]courier.Answer
	open    []courier.Request
	bad     []courier.Incident
}

// newNode makes or restarts a node: change may be nil.
func newNode(t testing.TB, name, sealSeed string, disk map[string][]byte, change func(*courier.Options)) *node {
	t.Helper()
	seed := sha256.Sum256([]byte(sealSeed))
	k, err := seal.NewKey(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, name: name, self: nodeSigner{key(name)}, disk: disk, answers: map[uint64]courier.Answer{}}
	if n.disk == nil {
		n.disk = map[string][]byte{}
	}
	o := courier.Options{
		Self: n.self, Random: rand.NewChaCha8(sha256.Sum256([]byte(fmt.Sprint(name, sealSeed, len(n.disk))))), Domain: "d",
		Key: k.Public(),
		Seal: func(to, info, plain []byte) ([]byte, []byte, error) {
			return seal.Seal(to, info, nil, plain)
		},
		Open: func(info, enc, ciphertext []byte) ([]byte, error) { return k.Open(info, nil, enc, ciphertext) },
	}
	if change != nil {
		change(&o)
	}
	n.Core = courier.New(o)
	var rows []gate.Row
	for name, v := range n.disk {
		rows = append(rows, gate.Row{Name: name, Value: v})
	}
	if err := n.Load(epoch, rows); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) did() api.DID { return n.self.DID() }

// take does what the node has ready, but for sending, and returns what is to be sent.
func (n *node) take() []courier.Send {
	o := n.Ready()
	for _, row := range o.Save {
		if row.Value == nil {
			delete(n.disk, row.Name)
		} else {
			n.disk[row.Name] = row.Value
		}
	}
	n.sent = append(n.sent, o.Send...)
	n.open = append(n.open, o.Requests...)
	for _, a := range o.Answers {
		if _, twice := n.answers[a.ID]; twice {
			n.t.Errorf("question %d is answered twice", a.ID)
		}
		n.answers[a.ID] = a
	}
	n.bad = append(n.bad, o.Bad...)
	return o.Send
}

// deliver hands over what from has ready, once, to whom of the nodes it is for.
func deliver(now time.Time, from *node, nodes ...*node) (any bool) {
	for _, s := range from.take() {
		any = true
		for _, to := range nodes {
			if to.did() == s.To {
				to.Receive(now, from.did(), s.Envelope)
			}
		}
	}
	return any
}

// pump delivers until the nodes have nothing more, all at one instant.
func pump(now time.Time, nodes ...*node) {
	for busy := true; busy; {
		busy = false
		for _, n := range nodes {
			busy = deliver(now, n, nodes...) || busy
		}
	}
}

func join(nodes ...*node) {
	for _, a := range nodes {
		for _, b := range nodes {
			if a != b {
				a.Up(b.did(), api.RateLimit{})
			}
		}
	}
}

// pair returns two nodes with a session; b echoes.
func pair(t testing.TB, change func(*courier.Options)) (a, b *node) {
	a, b = newNode(t, "a", "a", nil, change), newNode(t, "b", "b", nil, change)
	join(a, b)
	b.Handle("echo", courier.Handler{Serve: echo})
	return a, b
}

func echo(_ time.Time, r *courier.Request) ([]byte, error) {
	return append([]byte("you said "), r.Payload...), nil
}

func (n *node) ask(now time.Time, q courier.Question) uint64 {
	n.t.Helper()
	id, err := n.Ask(now, q)
	if err != nil {
		n.t.Fatal(err)
	}
	return id
}

// want checks what became of a question: a body, or an error of a kind.
func (n *node) want(id uint64, body string, kind api.Kind) {
	n.t.Helper()
	a, ok := n.answers[id]
	if !ok {
		n.t.Fatalf("question %d has no answer", id)
	}
	if string(a.Body) != body || api.KindOf(a.Err) != kind {
		n.t.Errorf("answer %q, %v; want %q, %s", a.Body, a.Err, body, kind.Code())
	}
}

func (n *node) wantBad(count int) {
	n.t.Helper()
	if len(n.bad) != count {
		n.t.Errorf("%s: %d incidents, want %d: %v", n.name, len(n.bad), count, n.bad[:min(len(n.bad), 3)])
	}
}

func TestAskAndAnswer(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprint("sealed ", sealed), func(t *testing.T) {
			a, b := pair(t, nil)
			id := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Payload: []byte("hello"), Sealed: sealed})
			pump(epoch, a, b)
			a.want(id, "you said hello", api.Other)
			a.wantBad(0)
			b.wantBad(0)
			if got := a.Status(); got.Asking != 0 {
				t.Errorf("%+v: still asking", got)
			}
			for _, s := range append(a.sent, b.sent...) {
				if bytes.Contains(s.Envelope, []byte("hello")) == sealed {
					t.Errorf("the words are in the open: %t", !sealed)
				}
			}
			again := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: sealed})
			before := len(a.sent)
			pump(epoch, a, b)
			a.want(again, "you said ", api.Other)
			if len(a.sent) != before+1 {
				t.Errorf("%d messages for a second question: the key is known", len(a.sent)-before)
			}
		})
	}
}

// One question for the key serves all that wait for it, and its loss ends them all.
func TestSealedQuestionsShareOneKey(t *testing.T) {
	a, b := pair(t, nil)
	var ids []uint64
	for i := range 5 {
		ids = append(ids, a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Payload: []byte{byte('0' + i)}, Sealed: true}))
	}
	pump(epoch, a, b)
	for i, id := range ids {
		a.want(id, fmt.Sprint("you said ", i), api.Other)
	}
	if len(a.sent) != 6 {
		t.Errorf("%d messages, want one for the key and 5", len(a.sent))
	}

	a, b = pair(t, nil)
	ids = nil
	for range 3 {
		ids = append(ids, a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: true, Timeout: time.Minute}))
	}
	o := a.Ready()
	if len(o.Send) != 1 {
		t.Fatalf("%d messages", len(o.Send))
	}
	a.SendFailed(o.Send[0])
	pump(epoch, a)
	for _, id := range ids {
		a.want(id, "", api.Unavailable)
	}
	if s := a.Status(); s.Asking != 0 {
		t.Errorf("%+v", s)
	}
}

// A peer with another key than it had says so, and is asked again under the new one, once.
func TestStaleKeyIsAskedForAnew(t *testing.T) {
	a, b := pair(t, nil)
	a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: true})
	pump(epoch, a, b)

	b = newNode(t, "b", "another seed", b.disk, nil)
	join(a, b)
	b.Handle("echo", courier.Handler{Serve: echo})
	id := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Payload: []byte("x"), Sealed: true})
	pump(epoch, a, b)
	a.want(id, "you said x", api.Other)

	// One that changes its key faster than it can be asked is given up on.
	id = a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Payload: []byte("x"), Sealed: true})
	for i := range 4 { // the question, the key, the question again, nothing
		b = newNode(t, "b", fmt.Sprint("seed ", i), b.disk, nil)
		join(a, b)
		deliver(epoch, a, b)
		deliver(epoch, b, a)
	}
	pump(epoch, a, b)
	a.want(id, "", api.Conflict)
	if s := a.Status(); s.Asking != 0 {
		t.Errorf("%+v", s)
	}

	// One that opens nothing has no key to tell.
	deaf := newNode(t, "deaf", "", nil, func(o *courier.Options) { o.Key, o.Seal, o.Open = nil, nil, nil })
	join(a, deaf)
	id = a.ask(epoch, courier.Question{To: deaf.did(), Kind: "echo", Sealed: true})
	pump(epoch, a, deaf)
	a.want(id, "", api.Unsupported)
	if _, err := deaf.Ask(epoch, courier.Question{To: a.did(), Kind: "echo", Sealed: true}); api.KindOf(err) != api.Unsupported {
		t.Error(err)
	}
}

func TestAnswersByAMembersDevice(t *testing.T) {
	a, b := pair(t, nil)
	who := member{key("root"), key("device")}
	b.Handle("who", courier.Handler{Serve: func(_ time.Time, r *courier.Request) ([]byte, error) {
		return []byte(string(r.From) + " by " + string(r.Peer)), nil
	}})
	for _, sealed := range []bool{false, true} {
		id := a.ask(epoch, courier.Question{To: b.did(), As: who, Kind: "who", Sealed: sealed})
		pump(epoch, a, b)
		a.want(id, string(who.DID())+" by "+string(a.did()), api.Other)
	}
	b.wantBad(0)

	// One whose clock is off is told so, though the message came by a node that is not the sender.
	id := a.ask(epoch.Add(time.Minute), courier.Question{To: b.did(), As: who, Kind: "who", Timeout: time.Minute})
	pump(epoch, a, b)
	a.want(id, "", api.Refused)
}

func TestServedLater(t *testing.T) {
	a, b := pair(t, nil)
	b.Handle("slow", courier.Handler{})
	id := a.ask(epoch, courier.Question{To: b.did(), Kind: "slow", Payload: []byte("p"), Sealed: true, Timeout: time.Minute})
	late := a.ask(epoch, courier.Question{To: b.did(), Kind: "slow", Timeout: time.Minute})
	pump(epoch, a, b)
	if len(b.open) != 2 || len(a.answers) != 0 {
		t.Fatalf("%v, %v", b.open, a.answers)
	}
	for _, r := range b.open {
		if r.Sealed {
			b.Answer(epoch, r.ID, []byte("done"), nil)
			b.Answer(epoch, r.ID, []byte("twice"), nil)
		}
	}
	pump(epoch, a, b)
	a.want(id, "done", api.Other)
	now := epoch.Add(11 * time.Second)
	b.Tick(now)
	pump(now, a, b)
	a.want(late, "", api.Timeout)
	if s := b.Status(); s.Serving != 0 {
		t.Errorf("%+v", s)
	}
	a.wantBad(0)
}

func TestErrorsTravelAsKinds(t *testing.T) {
	a, b := pair(t, nil)
	for _, k := range []api.Kind{api.Invalid, api.Refused, api.NotFound, api.Conflict, api.RateLimited, api.Internal} {
		b.Handle("fail-"+k.Code(), courier.Handler{Serve: func(time.Time, *courier.Request) ([]byte, error) {
			return nil, api.Errorf("x", k, "the secret path")
		}})
		for _, sealed := range []bool{false, true} {
			id := a.ask(epoch, courier.Question{To: b.did(), Kind: "fail-" + k.Code(), Sealed: sealed})
			pump(epoch, a, b)
			a.want(id, "", k)
			if leaks := bytes.Contains([]byte(a.answers[id].Err.Error()), []byte("secret path")); leaks == (k == api.Internal) {
				t.Errorf("%s: %v", k.Code(), a.answers[id].Err)
			}
		}
	}
	b.Handle("big", courier.Handler{Serve: func(time.Time, *courier.Request) ([]byte, error) { return make([]byte, 1<<20), nil }})
	b.Handle("sealed-only", courier.Handler{Sealed: true, Serve: echo})
	b.Handle("small", courier.Handler{MaxRequest: 3, Serve: echo})
	for kind, want := range map[string]api.Kind{"big": api.TooLarge, "sealed-only": api.Refused, "small": api.TooLarge, "none": api.Unsupported} {
		id := a.ask(epoch, courier.Question{To: b.did(), Kind: kind, Payload: []byte("1234")})
		pump(epoch, a, b)
		a.want(id, "", want)
	}
	a.wantBad(0)
	b.wantBad(0)
}

func TestTimeoutsAndLostSessions(t *testing.T) {
	a, b := pair(t, nil)
	lost := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Timeout: time.Second})
	a.Ready() // the network eats it
	a.Tick(epoch.Add(time.Second - 1))
	if a.Status().Asking != 1 {
		t.Error("given up too early")
	}
	a.Tick(epoch.Add(time.Second))
	down := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo"})
	waits := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: true})
	a.Down(b.did())
	pump(epoch, a)
	a.want(lost, "", api.Timeout)
	a.want(down, "", api.Unavailable)
	a.want(waits, "", api.Unavailable)
	if _, err := a.Ask(epoch, courier.Question{To: b.did(), Kind: "echo"}); api.KindOf(err) != api.Unavailable {
		t.Errorf("without a session: %v", err)
	}
	b.Handle("slow", courier.Handler{})
	a.Up(b.did(), api.RateLimit{})
	a.ask(epoch, courier.Question{To: b.did(), Kind: "slow"})
	pump(epoch, a, b)
	b.Down(a.did())
	b.Answer(epoch, b.open[0].ID, nil, nil)
	b.Tick(epoch.Add(time.Hour))
	if o := b.Ready(); len(o.Send) != 0 || b.Status().Serving != 0 {
		t.Errorf("%+v", o)
	}
}
