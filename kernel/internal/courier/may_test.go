package courier_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Whoever may not ask is told so and nothing is remembered of it; what another than the peer has signed is not even answered.
func TestWhoMayAsk(t *testing.T) {
	var b *node
	friends := map[api.DID]bool{}
	b = newNode(t, "b", "b", nil, func(o *courier.Options) {
		o.May = func(peer, from api.DID) error {
			switch {
			case from != peer:
				return api.Errorf("may", api.Unauthenticated, "not the peer's")
			case !friends[peer]:
				return api.Errorf("may", api.Refused, "strangers are not answered")
			}
			return nil
		}
	})
	a, m := newNode(t, "a", "a", nil, nil), newNode(t, "m", "m", nil, nil)
	join(a, b, m)
	friends[a.did()] = true
	b.Handle("echo", courier.Handler{Serve: echo})
	for _, sealed := range []bool{false, true} {
		ok := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: sealed})
		not := m.ask(epoch, courier.Question{To: b.did(), Kind: "echo", Sealed: sealed})
		pump(epoch, a, b)
		pump(epoch, m, b)
		a.want(ok, "you said ", api.Other)
		m.want(not, "", api.Refused)
	}
	if b.Status().Nonces != 3 { // a's two questions and the one for the key
		t.Errorf("%+v", b.Status())
	}
	b.wantBad(0)
	before := len(b.sent)
	b.Receive(epoch, m.did(), a.sent[0].Envelope)
	pump(epoch, b)
	if b.wantBad(1); b.bad[0].Kind != api.Replay || b.bad[0].Node != m.did() || len(b.sent) != before {
		t.Errorf("%+v, %d answers", b.bad, len(b.sent)-before)
	}
}

// Each wrong is called by its name, and an answer tells what time it is at the peer's, also when it is far off.
func TestIncidentKindsAndTimes(t *testing.T) {
	a, b := pair(t, func(o *courier.Options) { o.Rate = api.RateLimit{PerSecond: 1, Burst: 3} })
	raw := forge(t, a.self, wire.Header{To: b.did()}, "echo", nil)
	bad := bytes.Clone(raw)
	bad[len(bad)-1] ^= 1
	for _, e := range append([][]byte{bad, raw, raw, {1}}, slices.Repeat([][]byte{raw}, 10)...) { // the rate allows three, and 8 more are told so
		b.Receive(epoch, a.did(), e)
	}
	pump(epoch, b)
	if len(b.sent) != 1+8 {
		t.Errorf("%d answers", len(b.sent))
	}
	want := []string{api.BadSignature, api.Replay, api.Flood, api.Flood}
	for i, in := range b.bad {
		if i >= len(want) || in.Kind != want[i] {
			t.Errorf("%d: %+v", i, in)
		}
	}
	b.wantBad(len(want))

	later := epoch.Add(time.Hour)
	id := a.ask(epoch, courier.Question{To: b.did(), Kind: "echo"})
	deliver(epoch, a, b)
	b.Receive(later, a.did(), a.sent[len(a.sent)-1].Envelope)
	pump(later, a, b)
	if ans := a.answers[id]; api.KindOf(ans.Err) != api.Refused || !ans.Sent.Equal(later) {
		t.Errorf("%+v, want a refusal of %v", ans, later)
	}
}
