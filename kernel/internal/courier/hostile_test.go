package courier_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Scenario R2: a captured message is refused after a restart, a clean one or a crash, whoever sends it; what the node has not seen is taken.
func TestR2_ReplayAfterRestartIsRefused(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprint("sealed ", sealed), func(t *testing.T) {
			a, b := pair(t, nil)
			served := 0
			count := func(time.Time, *courier.Request) ([]byte, error) { served++; return nil, nil }
			b.Handle("pay", courier.Handler{Serve: count})
			id := a.ask(epoch, courier.Question{To: b.did(), Kind: "pay", Sealed: sealed})
			pump(epoch, a, b)
			a.want(id, "", api.Other)
			captured := a.sent[len(a.sent)-1].Envelope
			pending := a.ask(epoch, courier.Question{To: b.did(), Kind: "pay", Sealed: sealed, Timeout: time.Minute})
			underWay := a.Ready().Send[0].Envelope // sent before the restart, arrives after it

			// A crash: nothing is left but what was on disk before the request was acted on.
			b = newNode(t, "b", "b", b.disk, nil)
			join(a, b)
			b.Handle("pay", courier.Handler{Serve: count})
			mallory := newNode(t, "m", "m", nil, nil)
			b.Up(mallory.did(), api.RateLimit{})
			now := epoch.Add(5 * time.Second)
			for _, via := range []*node{a, mallory, b} {
				b.Receive(now, via.did(), captured)
			}
			pump(now, a, b)
			if served != 1 {
				t.Fatalf("served %d times", served)
			}
			b.wantBad(2) // b has no session with itself
			b.Receive(now, a.did(), underWay)
			pump(now, a, b)
			a.want(pending, "", api.Other)
			if served != 2 {
				t.Error("the restarted node refuses what it has not seen")
			}

			// And when its nonce has been forgotten it is too old.
			now = epoch.Add(time.Hour)
			before := len(b.sent)
			b.Receive(now, a.did(), captured)
			if pump(now, b); served != 2 || len(b.sent) != before+1 { // told that it is too old
				t.Error("served an hour later, or not told why not")
			}
		})
	}
}

// A node whose store was set back cannot know what it took, and refuses what it may have taken.
func TestR2_WithoutItsRowsANodeRefusesWhatItMayHaveTaken(t *testing.T) {
	a, b := pair(t, nil)
	id := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo"})
	pump(epoch, a, b)
	a.want(id, "you said ", api.Other)

	b = newNode(t, "b", "b", nil, nil)
	b.RefuseOld(epoch)
	join(a, b)
	b.Handle("echo", courier.Handler{Serve: echo})
	b.Receive(epoch, a.did(), a.sent[0].Envelope)
	if o := b.Ready(); len(o.Send) != 1 || len(o.Requests) != 0 { // it is told to send anew
		t.Errorf("%+v", o)
	}
	now := epoch.Add(31 * time.Second)
	id = a.ask(now, courier.Question{To: b.did(), Kind: "echo"})
	pump(now, a, b)
	a.want(id, "you said ", api.Other)

	if err := b.Load(now, []gate.Row{{Name: "0000000000000000", Value: []byte("rot")}}); err == nil {
		t.Error("a damaged row is taken")
	}
	id = a.ask(now, courier.Question{To: b.did(), Kind: "echo"})
	pump(now, a, b)
	a.want(id, "", api.Refused)
}

func TestClocksThatAreOff(t *testing.T) {
	a, b := pair(t, nil)
	for off, want := range map[time.Duration]api.Kind{
		0: api.Other, 30 * time.Second: api.Other, -30 * time.Second: api.Other, 31 * time.Second: api.Refused, -31 * time.Second: api.Refused,
	} {
		id := a.ask(epoch.Add(off), courier.Question{To: b.did(), Kind: "echo", Sealed: off > 0})
		for range 3 {
			deliver(epoch, a, b)
			deliver(epoch, b, a)
		}
		pump(epoch, a)
		if got := api.KindOf(a.answers[id].Err); got != want {
			t.Errorf("clock off by %v: %v, want %s", off, a.answers[id].Err, want.Code())
		}
	}
}

// No byte of an envelope can be changed.
func TestTamperedEnvelopesAreNotServed(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		a, b := pair(t, func(o *courier.Options) { o.Rate = api.RateLimit{PerSecond: 1 << 20, Burst: 1 << 20} })
		b.Handle("open", courier.Handler{})
		a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: sealed})
		pump(epoch, a, b)
		a.ask(epoch, courier.Question{To: b.did(), Kind: "open", Payload: []byte("payload"), Sealed: sealed})
		raw := a.Ready().Send[0].Envelope
		tampered := 0
		for i := 0; i < len(raw); i += 1 + len(raw)/200 {
			bad := bytes.Clone(raw)
			bad[i] ^= 1
			b.Receive(epoch, a.did(), bad)
			if _, err := wire.DecodeEnvelope(bad); api.KindOf(err) != api.Unsupported { // which an honest peer of tomorrow sends
				tampered++
			}
		}
		pump(epoch, b)
		if len(b.open) != 0 || len(b.sent) > 2 {
			t.Errorf("sealed %t: served %v", sealed, b.open)
		}
		b.wantBad(tampered)
		b.Receive(epoch, a.did(), raw)
		if pump(epoch, b); len(b.open) != 1 {
			t.Error("the real one is not taken any more")
		}
	}
}

// forge returns an envelope by s that nobody asked for.
func forge(t *testing.T, s wire.Signer, h wire.Header, kind string, payload []byte) []byte {
	t.Helper()
	h.Time = uint64(epoch.UnixMilli())
	h.Nonce[0]++
	raw, err := (&wire.SignedEnvelope{Header: h, Kind: kind, Payload: payload}).Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func body(t *testing.T, text string) []byte {
	t.Helper()
	b, err := (&wire.Answer{Body: []byte(text)}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestForgedAnswers(t *testing.T) {
	a, b := pair(t, nil)
	m := newNode(t, "m", "m", nil, nil)
	join(a, b, m)
	a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: true})
	pump(epoch, a, b) // the key is known from here on

	// ask returns a question of a's and the nonce it went out with.
	ask := func(sealed bool) (uint64, wire.Nonce) {
		id := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: sealed, Timeout: time.Minute})
		e, err := wire.DecodeEnvelope(a.Ready().Send[0].Envelope)
		if err != nil {
			t.Fatal(err)
		}
		return id, e.Head().Nonce
	}
	to := a.did()

	// From somebody else, by whichever session, an answer is nothing: the question still waits.
	id, re := ask(false)
	a.Receive(epoch, m.did(), forge(t, m.self, wire.Header{To: to, Re: re}, "echo", body(t, "forged")))
	a.Receive(epoch, b.did(), forge(t, m.self, wire.Header{To: to, Re: re}, "echo", body(t, "forged")))
	a.Receive(epoch, m.did(), forge(t, b.self, wire.Header{To: to, Re: re}, "echo", body(t, "the peer's, by another road")))
	a.Receive(epoch, b.did(), forge(t, b.self, wire.Header{To: to, Re: wire.Nonce{9}}, "echo", body(t, "to no question")))
	pump(epoch, a)
	if len(a.answers) != 1 {
		t.Fatalf("%v", a.answers)
	}
	a.wantBad(0)
	a.Receive(epoch, b.did(), forge(t, b.self, wire.Header{To: to, Re: re}, "echo", body(t, "real")))
	pump(epoch, a)
	a.want(id, "real", api.Other)

	// What the peer itself sends wrongly ends the question.
	for name, make := range map[string]func(re wire.Nonce) []byte{
		"another kind": func(re wire.Nonce) []byte { return forge(t, b.self, wire.Header{To: to, Re: re}, "keys", body(t, "")) },
		"to another": func(re wire.Nonce) []byte {
			return forge(t, b.self, wire.Header{To: m.did(), Re: re}, "echo", body(t, ""))
		},
		"no answer form": func(re wire.Nonce) []byte { return forge(t, b.self, wire.Header{To: to, Re: re}, "echo", []byte("?")) },
	} {
		a.bad = nil
		id, re := ask(false)
		a.Receive(epoch, b.did(), make(re))
		pump(epoch, a)
		if a.want(id, "", api.Invalid); len(a.bad) != 1 {
			t.Errorf("%s: %v", name, a.bad)
		}
	}

	// A body in the open does not answer a sealed question, under whatever kind.
	for _, kind := range []string{"echo", "sealed"} {
		id, re = ask(true)
		a.Receive(epoch, b.did(), forge(t, b.self, wire.Header{To: to, Re: re}, kind, body(t, "in the open")))
		pump(epoch, a)
		a.want(id, "", api.Invalid)
	}
}

func TestMessagesForOthers(t *testing.T) {
	a, b := pair(t, nil)
	c := newNode(t, "c", "c", nil, nil)
	b.Receive(epoch, a.did(), forge(t, a.self, wire.Header{To: c.did()}, "echo", nil))
	b.Receive(epoch, a.did(), []byte("?"))
	b.Receive(epoch, c.did(), forge(t, c.self, wire.Header{To: b.did()}, "echo", nil)) // no session
	pump(epoch, b)
	if len(b.sent) != 0 {
		t.Errorf("answered %v", b.sent)
	}
	b.wantBad(2)
}

func TestBounds(t *testing.T) {
	a, b := pair(t, func(o *courier.Options) {
		o.Asking, o.AskingPeer, o.Serving, o.ServePeer, o.MaxHeld = 4, 3, 3, 2, 100
	})
	c := newNode(t, "c", "c", nil, nil)
	join(a, b, c)
	b.Handle("slow", courier.Handler{})
	q := courier.Question{To: b.did(), Kind: "slow"}
	big := courier.Question{To: b.did(), Kind: "slow", Payload: make([]byte, 101), Sealed: true}
	for name, tc := range map[string]struct {
		q    courier.Question
		kind api.Kind
	}{
		"held":    {big, api.Unavailable},
		"kind":    {courier.Question{To: b.did(), Kind: "No"}, api.Invalid},
		"payload": {courier.Question{To: b.did(), Kind: "slow", Payload: make([]byte, wire.MaxPayload+1)}, api.TooLarge},
		"timeout": {courier.Question{To: b.did(), Kind: "slow", Timeout: time.Hour}, api.Invalid},
	} {
		if _, err := a.Ask(epoch, tc.q); api.KindOf(err) != tc.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	ids := []uint64{a.ask(epoch, q), a.ask(epoch, q), a.ask(epoch, q)}
	if _, err := a.Ask(epoch, q); api.KindOf(err) != api.Unavailable {
		t.Errorf("a fourth question to one peer: %v", err)
	}
	a.ask(epoch, courier.Question{To: c.did(), Kind: "slow"})
	if _, err := a.Ask(epoch, courier.Question{To: c.did(), Kind: "slow"}); api.KindOf(err) != api.Unavailable {
		t.Errorf("a fifth question: %v", err)
	}
	pump(epoch, a, b)
	a.want(ids[2], "", api.Unavailable) // two are served for one peer
	if len(b.open) != 2 {
		t.Errorf("%d are served", len(b.open))
	}
	// Whatever one peer leaves open, there is room for the next.
	c.ask(epoch, q)
	pump(epoch, c, b)
	if len(b.open) != 3 {
		t.Errorf("%d are served", len(b.open))
	}
}

func TestRates(t *testing.T) {
	a, b := pair(t, nil)
	b.Handle("rare", courier.Handler{Rate: api.RateLimit{PerSecond: 1, Burst: 2}, Serve: echo})
	for i := range 3 {
		id := a.ask(epoch, courier.Question{To: b.did(), Kind: "rare"})
		pump(epoch, a, b)
		if i < 2 {
			a.want(id, "you said ", api.Other)
		} else {
			a.want(id, "", api.RateLimited)
		}
	}
	b.Up(a.did(), api.RateLimit{PerSecond: 1, Burst: 4}) // the three above count
	var last uint64
	for range 5 {
		last = a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Timeout: time.Second})
	}
	pump(epoch, a, b)
	a.want(last, "", api.RateLimited) // it is told, a few times
	b.wantBad(0)
	if s := b.Status(); s.Dropped == 0 || s.Dropped >= 5 {
		t.Errorf("%d of 5 messages dropped", s.Dropped)
	}
	now := epoch.Add(10 * time.Second)
	id := a.ask(now, courier.Question{To: b.did(), Kind: "rare"})
	pump(now, a, b)
	a.want(id, "you said ", api.Other)
}

// Whatever the network loses, doubles, delays and reorders, and however often nodes restart: a question is served at most once and gets exactly
// one answer, which is the one that belongs to it.
func TestAtMostOnceOverABadNetwork(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := pair(t, nil)
		served := map[string]int{}
		handle := func() {
			b.Handle("count", courier.Handler{Serve: func(_ time.Time, r *courier.Request) ([]byte, error) {
				served[string(r.Payload)]++
				return r.Payload, nil
			}})
		}
		handle()
		type letter struct {
			from, to api.DID
			raw      []byte
		}
		var wires []letter
		asked := map[uint64]string{}
		now := epoch
		ready := func() {
			for _, n := range []*node{a, b} {
				for _, s := range n.take() {
					wires = append(wires, letter{n.did(), s.To, s.Envelope})
				}
			}
		}
		for step := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"ask", "deliver", "deliver", "deliver", "lose", "double", "wait", "restart"}).Draw(rt, "what") {
			case "ask":
				text := fmt.Sprint("question ", step)
				id, err := a.Ask(now, courier.Question{To: b.did(), Kind: "count", Payload: []byte(text), Sealed: rapid.Bool().Draw(rt, "sealed")})
				if err != nil {
					rt.Fatal(err)
				}
				asked[id] = text
			case "wait":
				now = now.Add(time.Duration(rapid.IntRange(0, 12).Draw(rt, "seconds")) * time.Second)
				a.Tick(now)
				b.Tick(now)
			case "restart":
				old := b
				b = newNode(t, "b", "b", old.disk, nil)
				b.Up(a.did(), api.RateLimit{})
				handle()
			default:
				if len(wires) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(wires)-1).Draw(rt, "which")
				w := wires[i]
				switch rapid.SampledFrom([]string{"take", "lose", "keep"}).Draw(rt, "how") {
				case "take":
					wires = slices.Delete(wires, i, i+1)
				case "lose":
					wires = slices.Delete(wires, i, i+1)
					continue
				}
				for _, n := range []*node{a, b} {
					if n.did() == w.to {
						n.Receive(now, w.from, w.raw)
					}
				}
			}
			ready()
		}
		a.Tick(now.Add(time.Hour))
		ready()
		for text, n := range served {
			if n > 1 {
				rt.Fatalf("%s is served %d times", text, n)
			}
		}
		for id, text := range asked {
			x, ok := a.answers[id]
			if !ok {
				rt.Fatalf("%s has no answer", text)
			}
			if x.Err == nil && (string(x.Body) != text || served[text] != 1) {
				rt.Fatalf("%s: answer %q, served %d times", text, x.Body, served[text])
			}
		}
		if s := a.Status(); s.Asking != 0 {
			rt.Fatalf("%+v", s)
		}
	})
}

func FuzzReceive(f *testing.F) {
	a, b := pair(f, nil)
	for _, sealed := range []bool{false, true} {
		a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: sealed})
		pump(epoch, a, b)
	}
	for _, s := range append(a.sent, b.sent...) {
		f.Add(s.Envelope)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, b := pair(t, nil)
		b.Handle("open", courier.Handler{})
		b.Receive(epoch, a.did(), raw)
		if o := b.Ready(); len(o.Send)+len(o.Requests) > 1 || len(o.Answers) != 0 {
			t.Errorf("%+v", o)
		}
	})
}
