package kernel_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"github.com/intercooperative/icn/crypto/seal"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// talker is a node that says what the test wants it to say, in letters.
type talker struct {
	t    *testing.T
	tr   transport.Transport
	log  *kerneltest.PeerLog
	self nodeKey
}

type nodeKey struct{ ed25519.PrivateKey }

func (k nodeKey) Device() api.Key               { return api.Key(k.Public().(ed25519.PublicKey)) }
func (k nodeKey) DID() api.DID                  { return kerneltest.NodeDID(k.PrivateKey) }
func (nodeKey) Auth() []byte                    { return nil }
func (k nodeKey) Sign(m []byte) ([]byte, error) { return ed25519.Sign(k.PrivateKey, m), nil }

func newTalker(t *testing.T, name string, space api.Hash) *talker {
	t.Helper()
	tr, log, _ := rawPeer(t, name, space)
	log.Set(func(l *kerneltest.PeerLog) { l.Tell.Features = []string{"letters"} })
	return &talker{t: t, tr: tr, log: log, self: nodeKey{kerneltest.NodeKey(name)}}
}

func (k *talker) dial(s *speaker) api.DID {
	k.t.Helper()
	node, err := k.tr.Dial(k.t.Context(), s.address(k.t))
	if err != nil {
		k.t.Fatal(err)
	}
	return node
}

// letter returns a new question, signed.
func (k *talker) letter(to api.DID, kind string, at time.Time) []byte {
	k.t.Helper()
	h := wire.Header{To: to, Time: uint64(at.UnixMilli())}
	if _, err := rand.Read(h.Nonce[:]); err != nil {
		k.t.Fatal(err)
	}
	raw, err := (&wire.SignedEnvelope{Header: h, Kind: kind, Payload: []byte("raw")}).Sign(k.self)
	if err != nil {
		k.t.Fatal(err)
	}
	return raw
}

// send sends envelopes, waiting where the queue is full.
func (k *talker) send(to api.DID, envelopes ...[]byte) {
	k.t.Helper()
	for _, e := range envelopes {
		eventually(k.t, "room", func() bool { return k.tr.Send(to, &wire.Letter{Envelope: e}) == nil })
	}
}

// answers returns what came back in letters.
func (k *talker) answers(from api.DID) (as []*wire.Answer) {
	for _, f := range k.log.Frames(from) {
		if l, ok := f.(*wire.Letter); ok {
			e, err := wire.DecodeEnvelope(l.Envelope)
			if err != nil || e.Verify() != nil {
				k.t.Fatal(err, e.Verify())
			}
			if e.Head().Re.IsZero() {
				continue // a question of the node's own: what this peer holds
			}
			a, err := wire.DecodeAnswer(e.(*wire.SignedEnvelope).Payload)
			if err != nil {
				k.t.Fatal(err)
			}
			as = append(as, a)
		}
	}
	return as
}

// Scenario R2: what was captured on the way is refused, after a restart of who took it too, and told of; so is what somebody else brings, or changed.
func TestR2_CapturedLetterIsRefusedAfterARestart(t *testing.T) {
	dir := t.TempDir()
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	disk := func(o *kernel.Options) { onDisk(dir)(o); o.Identity = id }
	s := newSpeaker(t, disk).found(t)
	a, m := newTalker(t, "a", s.space), newTalker(t, "m", s.space)
	to := a.dial(s)
	captured := a.letter(to, "parrot.echo", time.Now())
	a.send(to, captured)
	eventually(t, "an answer", func() bool { return len(a.answers(to)) == 1 })
	if got := a.answers(to)[0]; string(got.Body) != "you said raw" {
		t.Fatalf("%+v", got)
	}
	space := s.space
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}

	s = newSpeaker(t, disk)
	s.space = space
	a.dial(s)
	m.dial(s)
	changed := a.letter(to, "parrot.echo", time.Now())
	changed[len(changed)-1] ^= 1
	foreign := a.letter(to, "parrot.echo", time.Now()) // never taken, and brought by another than who signed it
	a.send(to, captured, changed)
	m.send(to, captured, changed, foreign)
	a.send(to, a.letter(to, "parrot.echo", time.Now()))
	eventually(t, "the new one", func() bool { return len(a.answers(to)) == 2 })
	eventually(t, "all incidents", func() bool {
		k := s.warden.kinds()
		return k[api.Replay] == 3 && k[api.BadSignature] == 2
	})
	if s.parrot.count() != 1 || len(m.answers(to)) != 0 {
		t.Errorf("served %d, %d answers to m", s.parrot.count(), len(m.answers(to)))
	}
	s.warden.mu.Lock()
	defer s.warden.mu.Unlock()
	for _, i := range s.warden.seen {
		if i.Node != a.self.DID() && i.Node != m.self.DID() {
			t.Errorf("%+v", i)
		}
	}
}

// A restored store does not know what was taken since its archive was made, so that is refused; what is new is taken after a while.
func TestR2_RestoredNodeRefusesWhatItMayHaveTaken(t *testing.T) {
	v, again := newVault(t), t.TempDir()
	s := newSpeaker(t, onDisk(t.TempDir())).found(t)
	path, _ := v.snapshot(t, s.run)
	space := s.space
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.restore(t, path, again, func(o *kernel.RestoreOptions) { o.Apps = append(o.Apps, newParrot(), oracleApp{name: "warden"}) }); err != nil {
		t.Fatal(err)
	}
	clock := newFakeClock()
	clock.ns.Store(time.Now().UnixNano())
	a := newTalker(t, "a", space)
	for life, want := range []string{"refused", "refused", ""} { // the doubt outlives a restart, and not its time
		s = newSpeaker(t, func(o *kernel.Options) { onDisk(again)(o); o.Now = clock.now })
		to := a.dial(s)
		a.send(to, a.letter(to, "parrot.echo", clock.now()))
		eventually(t, "an answer", func() bool { return len(a.answers(to)) == 1 })
		if got := a.answers(to)[0]; got.Code != want {
			t.Errorf("life %d: %+v, want %q", life, got, want)
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		if life == 1 {
			clock.advance(time.Minute)
		}
	}
}

// What is sealed can be read by its addressee only: not by who sees the frames, nor by another node.
func TestSealedLettersAreSealed(t *testing.T) {
	s := newSpeaker(t, nil).found(t)
	b := newTalker(t, "b", s.space)
	key, err := seal.NewKey(b.self.Seed())
	if err != nil {
		t.Fatal(err)
	}
	other, err := seal.NewKey(bytes.Repeat([]byte{1}, seal.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	node := b.dial(s)
	secret := []byte("the secret of the bees")
	// What came from the node: questions for the key, which it may repeat, and what is sealed. It asks other things of its own, too.
	letters := func() (asked []wire.Nonce, sealed [][]byte) {
		for _, f := range b.log.Frames(node) {
			l, ok := f.(*wire.Letter)
			if !ok {
				continue
			}
			e, err := wire.DecodeEnvelope(l.Envelope)
			if err != nil {
				t.Fatal(err)
			}
			switch e := e.(type) {
			case *wire.SignedEnvelope:
				if e.Kind == wire.KindKeys && e.Re.IsZero() {
					asked = append(asked, e.Nonce)
				}
			case *wire.EncryptedEnvelope:
				sealed = append(sealed, l.Envelope)
			}
		}
		return asked, sealed
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil { // it may not know of the session yet, or find the answer slow in coming
			_, _ = s.parrot.host.(api.Asker).Ask(t.Context(), b.self.DID(), "bees.secret", secret, true) // nobody answers that
			select {
			case <-t.Context().Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { <-done })
	keys, _ := (&wire.Keys{Suite: wire.SuiteXWing, Key: key.Public()}).Encode()
	ans, _ := (&wire.Answer{Body: keys}).Encode()
	answered := 0
	var got []byte
	eventually(t, "the sealed question", func() bool {
		asked, sealed := letters()
		for ; answered < len(asked); answered++ {
			h := wire.Header{To: node, Time: uint64(time.Now().UnixMilli()), Nonce: wire.Nonce{byte(1 + answered)}, Re: asked[answered]}
			raw, err := (&wire.SignedEnvelope{Header: h, Kind: wire.KindKeys, Payload: ans}).Sign(b.self)
			if err != nil {
				t.Fatal(err)
			}
			b.send(node, raw)
		}
		if len(sealed) > 0 {
			got = sealed[0]
		}
		return got != nil
	})
	if bytes.Contains(got, secret) || bytes.Contains(got, []byte("bees")) {
		t.Error("the payload or its kind is in the open")
	}
	e, err := wire.DecodeEnvelope(got)
	if err != nil || e.Verify() != nil {
		t.Fatal(err)
	}
	open := func(k *seal.Key) wire.OpenFunc {
		return func(info, enc, ciphertext []byte) ([]byte, error) { return k.Open(info, nil, enc, ciphertext) }
	}
	if _, err := e.(*wire.EncryptedEnvelope).Open(open(other)); err == nil {
		t.Error("another key opens it")
	}
	if c, err := e.(*wire.EncryptedEnvelope).Open(open(key)); err != nil || !bytes.Equal(c.Payload, secret) || c.Kind != "bees.secret" {
		t.Errorf("%+v %v", c, err)
	}
}

// A peer that floods is served as much as the rate allows, is told of, and others are answered all the while.
func TestFloodOfLettersIsLimited(t *testing.T) {
	s := newSpeaker(t, func(o *kernel.Options) {
		o.Apps[2] = oracleApp{"rate", kerneltest.FixedRateOracle("rate", api.RateLimit{PerSecond: 1, Burst: 20})}
	}).found(t)
	flooder, honest := newTalker(t, "flooder", s.space), newTalker(t, "honest", s.space)
	to := flooder.dial(s)
	honest.dial(s)
	const many = 300
	start := time.Now()
	for range many {
		flooder.send(to, flooder.letter(to, "parrot.echo", time.Now()))
	}
	honest.send(to, honest.letter(to, "parrot.echo", time.Now()))
	eventually(t, "the honest one's answer", func() bool { return len(honest.answers(to)) == 1 })
	eventually(t, "the incidents", func() bool { return s.warden.kinds()[api.Flood] > 0 })
	most := 22 + int(time.Since(start).Seconds())
	if n := s.parrot.count(); n > most || n < 2 {
		t.Errorf("%d of %d served, want at most %d", n, many+1, most)
	}
	s.warden.mu.Lock()
	defer s.warden.mu.Unlock()
	for _, i := range s.warden.seen {
		if i.Node != flooder.self.DID() {
			t.Errorf("%+v", i)
		}
	}
}

// A node whose software takes no letters gets none: it would take them for a breach of the protocol.
func TestOldSoftwareGetsNoLetters(t *testing.T) {
	s := newSpeaker(t, nil).found(t)
	old, log, node := rawPeer(t, "old", s.space)
	to, err := old.Dial(t.Context(), s.address(t))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the session", func() bool { return s.peers(t) == 1 })
	if _, err := s.ask(t, node, "parrot.echo", "", false); api.KindOf(err) != api.Unsupported {
		t.Errorf("%v", err)
	}
	for _, f := range log.Frames(to) {
		if _, ok := f.(*wire.Letter); ok {
			t.Error("got a letter")
		}
	}
}
