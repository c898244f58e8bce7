package kernel

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// responder is one kind of question and what answers it, beside the letters' loop.
type responder struct {
	spec   api.RequestSpec
	answer func(ctx context.Context, peer *transport.Peer, r *api.PeerRequest) ([]byte, error)
}

// buildResponders collects what the apps and the kernel answer. A name that is not an app's own is a wiring error.
func (k *Kernel) buildResponders() error {
	k.responders = map[string]*responder{
		kindHolds: {
			spec: api.RequestSpec{Kind: kindHolds, Rate: holdsRate, MaxRequest: holdsMax},
			answer: func(ctx context.Context, peer *transport.Peer, r *api.PeerRequest) ([]byte, error) {
				return k.answerHolds(ctx, peer, r.Payload)
			},
		},
		kindBlob: {
			spec: api.RequestSpec{Kind: kindBlob, Rate: blobRate, MaxRequest: 256},
			answer: func(_ context.Context, peer *transport.Peer, r *api.PeerRequest) ([]byte, error) {
				return k.blobs.answerBlob(peer, r.Payload)
			},
		},
	}
	for _, app := range k.opt.Apps {
		r, ok := app.(api.Responder)
		if !ok {
			continue
		}
		name := app.Info().Name
		for _, s := range r.Requests() {
			own, word := strings.CutPrefix(s.Kind, name+".")
			switch {
			case !word || own == "" || !wire.ValidKind(s.Kind) || reservedKind(s.Kind):
				return api.Errorf("kernel.new", api.Internal, "app %s: kind %q of a request: want %s. and a word, together at most %d of a-z 0-9 - _ . :", name, clip(s.Kind), name, wire.MaxKind)
			case k.responders[s.Kind] != nil:
				return api.Errorf("kernel.new", api.Internal, "app %s: kind %q of a request exists twice", name, s.Kind)
			case s.MaxRequest < 0 || s.MaxRequest > wire.MaxPayload:
				return api.Errorf("kernel.new", api.Internal, "app %s: requests %q of %d bytes: want 0 to %d", name, s.Kind, s.MaxRequest, wire.MaxPayload)
			case s.Sealed && k.opt.Inline != nil && k.opt.Inline.Sealer == nil:
				return api.Errorf("kernel.new", api.Internal, "app %s: requests %q are to be sealed, and this node has no Sealer", name, s.Kind)
			}
			h := k.hosts[name]
			k.responders[s.Kind] = &responder{spec: s, answer: func(ctx context.Context, _ *transport.Peer, q *api.PeerRequest) ([]byte, error) {
				return r.Respond(ctx, h, q)
			}}
		}
	}
	return nil
}

// reservedKind reports whether a kind is the kernel's own.
func reservedKind(kind string) bool {
	return kind == wire.KindKeys || kind == courier.KindSealed || strings.HasPrefix(kind, "kernel.")
}

// strangerRate is how many letters a second are looked at that come from a node which may not ask: enough to tell it so.
var strangerRate = api.RateLimit{PerSecond: 1, Burst: 10}

// judge asks anew whether a peer may ask, and how much.
func (l *letters) judge(c *correspondent) {
	rate, err := l.allowance(c.Peer)
	if err != nil && fmt.Sprint(c.denied) != err.Error() { // it is asked every other second
		c.refused = l.n.told(c.Peer, "ask", err)
	} else if err == nil {
		c.refused = nil
	}
	if c.denied = err; err != nil {
		rate = strangerRate
	}
	l.core.Up(c.Node, rate)
}

// allowance returns how much a peer may ask, zero for the courier's own limit, or why it may not: it has to serve a member who may follow a space that
// both follow, the rate domain's oracle has to allow it to one of those it speaks for, and every guard to the node.
func (l *letters) allowance(p *transport.Peer) (api.RateLimit, error) {
	common := func(s api.Hash) bool { return l.k.follows.has(s) && l.n.allowed(p, s) }
	if !slices.ContainsFunc(p.Spaces, common) {
		return api.RateLimit{}, api.Refusal("ask", &api.Reason{
			Domain: "kernel", Rule: "no-common-space", Text: "this node answers only those who serve a member of a space that it follows",
			Remedy: "follow a space that this node follows, as somebody who may",
		})
	}
	d := api.Allowed(api.ConstraintSet{})
	if l.k.opt.RateDomain != "" {
		d = api.Decision{}
		for _, who := range actors(p) {
			e := l.k.oracles.Evaluate(api.Request{Domain: l.k.opt.RateDomain, Actor: who, Action: "ask"})
			if e.Effect == api.Allow && (d.Effect != api.Allow || more(e.Constraints.RateLimit, d.Constraints.RateLimit)) || d.Effect == api.Abstain {
				d = e
			}
		}
	}
	if d.Effect == api.Allow {
		d = strictest(l.k.oracles, d, api.Request{Actor: p.Node, Action: "ask"}, l.k.opt.GuardDomains)
	}
	if d.Effect != api.Allow {
		return api.RateLimit{}, api.Refusal("ask", cmp.Or(d.Reason, &api.Reason{Domain: l.k.opt.RateDomain, Rule: "denied", Text: "no oracle lets this peer ask"}))
	}
	if d.Constraints.RateLimit == nil {
		return api.RateLimit{}, nil
	}
	return *d.Constraints.RateLimit, nil
}

// more reports whether a allows more than b; nil is no limit.
func more(a, b *api.RateLimit) bool {
	return b != nil && (a == nil || a.PerSecond > b.PerSecond)
}

// may is courier.Options.May.
func (l *letters) may(node, from api.DID) error {
	c := l.peers[node]
	if c == nil {
		return api.Errorf("ask", api.Unavailable, "no session")
	}
	if from != node && !slices.ContainsFunc(c.Members, func(m transport.Member) bool { return m.DID == from }) {
		return api.Errorf("ask", api.Unauthenticated, "a message of somebody whom this peer does not serve")
	}
	return c.refused
}

// serve hands a request to who answers it: beside the loop, or inline.
func (l *letters) serve(ctx context.Context, r *courier.Request, atWork *sync.WaitGroup) {
	now, core, to := l.k.opt.Now(), l.core, l.k.responders[r.Kind]
	q := &api.PeerRequest{From: r.From, Node: r.Peer, Kind: r.Kind, Payload: r.Payload, Sealed: r.Sealed}
	peer := &transport.Peer{Node: r.Peer} // gone meanwhile
	if c := l.peers[r.Peer]; c != nil {
		peer = c.Peer
	}
	for _, m := range peer.Members {
		q.Members = append(q.Members, m.DID)
	}
	if l.k.inline != nil {
		body, err := to.answer(ctx, peer, q)
		l.k.metrics.answered(r.Kind, err)
		core.Answer(now, r.ID, body, err)
		return
	}
	select {
	case l.slots <- struct{}{}:
	default: // those that took too long are still at it
		core.Answer(now, r.ID, nil, api.Errorf("serve", api.Unavailable, "too many requests are being served; come back later"))
		return
	}
	id, within := r.ID, r.Until.Sub(now)
	atWork.Go(func() {
		defer func() { <-l.slots }()
		body, err := l.respond(ctx, within, to, peer, q)
		l.k.metrics.answered(q.Kind, err)
		l.post(ctx, func(now time.Time) {
			if l.core == core { // else nobody remembers the question
				core.Answer(now, id, body, err)
			}
		})
	})
}

// respond has a request answered. A panic ends the request and nothing else.
func (l *letters) respond(ctx context.Context, within time.Duration, to *responder, peer *transport.Peer, q *api.PeerRequest) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			l.k.metrics.restarts.Inc()
			l.log.Error("an app failed to answer a request", "kind", q.Kind, "panic", p, "stack", string(debug.Stack()))
			body, err = nil, api.Errorf("serve", api.Internal, "the app failed")
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return to.answer(ctx, peer, q)
}

var _ api.Asker = (*host)(nil)

// Ask implements api.Asker.
func (h *host) Ask(ctx context.Context, node api.DID, kind string, payload []byte, sealed bool) ([]byte, error) {
	if h.k.net == nil {
		return nil, api.Wrap("ask", errNoPeers)
	}
	// The caller has its bytes back when ctx ends; the question may not have gone out by then.
	a := h.k.net.letters.ask(ctx, courier.Question{To: node, Kind: kind, Payload: bytes.Clone(payload), Sealed: sealed})
	return a.Body, a.Err
}

// AskThen implements api.Asker.
func (h *host) AskThen(within time.Duration, node api.DID, kind string, payload []byte, sealed bool, then func([]byte, error)) {
	if h.k.net == nil {
		if err := api.Wrap("ask", errNoPeers); h.k.inline != nil {
			then(nil, err)
		} else {
			go then(nil, err)
		}
		return
	}
	h.k.net.letters.askThen(courier.Question{To: node, Kind: kind, Payload: payload, Sealed: sealed, Timeout: within}, then)
}

// askThen asks and returns at once; then is called later.
func (l *letters) askThen(q courier.Question, then func([]byte, error)) {
	put := func(done func(courier.Answer)) func(time.Time) {
		return func(now time.Time) { l.put(now, q, done) }
	}
	if l.k.inline != nil {
		l.post(context.Background(), put(func(a courier.Answer) { then(a.Body, a.Err) }))
		return
	}
	select {
	case l.in <- put(func(a courier.Answer) { go then(a.Body, a.Err) }):
	default:
		go then(nil, api.Errorf("ask", api.Unavailable, "too many questions are under way"))
	}
}
