package courier

import (
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Question is something to ask a peer.
type Question struct {
	To      api.DID     // a node with a session
	As      wire.Signer // who asks; nil for this node
	Kind    string
	Payload []byte // at most wire.MaxPayload; must not change until the answer
	Sealed  bool
	Timeout time.Duration // 0 means Options.Timeout; at most Options.MaxTimeout
}

// ask is a Question under way.
type ask struct {
	id       uint64
	to       api.DID
	as       wire.Signer
	kind     string
	payload  []byte // kept while it may have to be sealed
	sealed   bool
	retried  bool       // with a key asked for anew
	waiting  bool       // for the peer's key
	fetches  bool       // is itself the question for a key
	nonce    wire.Nonce // of the message sent, zero before
	deadline time.Time
	heard    time.Time // the peer's wall clock, as its answer says
}

// Ask asks a question; its Answer comes with a later Ready under the id returned. Errors, which leave nothing under way: api.Unavailable without
// a session or when too many questions are under way, api.Invalid, api.TooLarge, and api.Unsupported to seal where nothing can be opened.
func (c *Core) Ask(now time.Time, q Question) (id uint64, err error) {
	const op = "ask"
	p := c.peers[q.To]
	switch {
	case !wire.ValidKind(q.Kind):
		return 0, api.Errorf(op, api.Invalid, "kind of %d bytes: want 1 to %d of a-z 0-9 - _ . :", len(q.Kind), wire.MaxKind)
	case len(q.Payload) > wire.MaxPayload:
		return 0, api.Errorf(op, api.TooLarge, "question of %d bytes: at most %d", len(q.Payload), wire.MaxPayload)
	case q.Timeout < 0 || q.Timeout > c.opt.MaxTimeout:
		return 0, api.Errorf(op, api.Invalid, "timeout %s: at most %s", q.Timeout, c.opt.MaxTimeout)
	case q.Sealed && c.opt.Key == nil:
		return 0, api.Errorf(op, api.Unsupported, "this node has no key to seal with")
	case p == nil:
		return 0, api.Errorf(op, api.Unavailable, "no session with %s", q.To)
	case len(c.asks) >= c.opt.Asking || p.asking >= c.opt.AskingPeer || q.Sealed && c.held+len(q.Payload) > c.opt.MaxHeld:
		return 0, api.Errorf(op, api.Unavailable, "too many questions are under way")
	}
	a := &ask{to: q.To, as: q.As, kind: q.Kind, payload: q.Payload, sealed: q.Sealed, deadline: now.Add(q.Timeout)}
	if a.as == nil {
		a.as = c.opt.Self
	}
	if q.Timeout == 0 {
		a.deadline = now.Add(c.opt.Timeout)
	}
	if err := c.start(now, a); err != nil {
		return 0, api.Wrap(op, err)
	}
	return a.id, nil
}

// start sends a new question, or makes it wait for the key it needs.
func (c *Core) start(now time.Time, a *ask) error {
	if a.sealed && c.keys.get(now, a.to) == nil {
		a.waiting = true
		if !c.fetching(a.to) {
			if err := c.fetch(now, a.to); err != nil {
				return err
			}
		}
		c.enter(a)
		return nil
	}
	if err := c.send(now, c.enter(a)); err != nil {
		c.leave(a)
		return err
	}
	return nil
}

// fetch asks node for its key.
func (c *Core) fetch(now time.Time, node api.DID) error {
	f := &ask{to: node, as: c.opt.Self, kind: wire.KindKeys, fetches: true, deadline: now.Add(c.opt.Timeout)}
	if err := c.send(now, c.enter(f)); err != nil {
		c.leave(f)
		return err
	}
	return nil
}

func (c *Core) fetching(node api.DID) bool {
	return slices.ContainsFunc(c.asks, func(a *ask) bool { return a.fetches && a.to == node })
}

// enter makes a question known; one for a key comes beyond the bounds, but there is at most one for each peer.
func (c *Core) enter(a *ask) *ask {
	c.lastID++
	a.id = c.lastID
	c.asks = append(c.asks, a)
	if !a.fetches {
		c.peers[a.to].asking++
	}
	if a.sealed {
		c.held += len(a.payload)
	}
	return a
}

// leave forgets a question.
func (c *Core) leave(a *ask) {
	i := slices.Index(c.asks, a)
	c.asks = slices.Delete(c.asks, i, i+1)
	delete(c.byNonce, a.nonce)
	if p := c.peers[a.to]; p != nil && !a.fetches {
		p.asking--
	}
	if a.sealed {
		c.held -= len(a.payload)
	}
}

// send sends a question, sealed when it is to be: then the key is known.
func (c *Core) send(now time.Time, a *ask) error {
	h, err := c.header(now, a.to, wire.Nonce{})
	if err != nil {
		return err
	}
	var raw []byte
	if a.sealed {
		content := wire.Content{Kind: a.kind, Reply: c.opt.Key, Payload: a.payload}
		raw, err = wire.Encrypt(h, content, c.keys.get(now, a.to), c.opt.Seal, a.as)
	} else {
		raw, err = (&wire.SignedEnvelope{Header: h, Kind: a.kind, Payload: a.payload}).Sign(a.as)
		a.payload = nil
	}
	if err != nil {
		return err
	}
	delete(c.byNonce, a.nonce)
	a.nonce, a.waiting = h.Nonce, false
	c.byNonce[a.nonce] = a
	c.out.Send = append(c.out.Send, Send{To: a.to, Envelope: raw, Ask: a.id})
	return nil
}

func (c *Core) ask(id uint64) *ask {
	for _, a := range c.asks {
		if a.id == id && id != 0 {
			return a
		}
	}
	return nil
}

// settle ends a question. What a question for a key brings, those that wait for it get.
func (c *Core) settle(a *ask, body []byte, err error) {
	if slices.Index(c.asks, a) < 0 {
		return // another of its kind has ended it meanwhile
	}
	c.leave(a)
	if !a.fetches {
		c.out.Answers = append(c.out.Answers, Answer{ID: a.id, Body: body, Err: err, Sent: a.heard})
		return
	}
	for _, w := range slices.Clone(c.asks) {
		if w.waiting && w.to == a.to && err != nil {
			c.settle(w, nil, api.Wrap("ask", err))
		}
	}
}

// gotKey sends what has waited for a peer's key.
func (c *Core) gotKey(now time.Time, a *ask, body []byte) {
	k, err := wire.DecodeKeys(body)
	if err != nil {
		c.settle(a, nil, err)
		return
	}
	c.keys.put(now, a.to, k.Key)
	c.settle(a, nil, nil)
	for _, w := range slices.Clone(c.asks) {
		if w.waiting && w.to == a.to {
			if err := c.send(now, w); err != nil {
				c.keys.drop(a.to)
				c.settle(w, nil, api.Wrap("ask", err))
			}
		}
	}
}

// answered takes a verified message that answers a question of ours. Plain says that it was not sealed.
func (c *Core) answered(now time.Time, a *ask, payload []byte, plain bool) {
	ans, err := wire.DecodeAnswer(payload)
	if err != nil {
		c.incident(api.BadFrame, a.to, "an answer that cannot be read")
		c.settle(a, nil, err)
		return
	}
	body, err := ans.Result()
	switch {
	case err == nil && a.fetches:
		c.gotKey(now, a, body)
	case a.sealed && plain && ans.Code == codeStaleKey && !a.retried && c.again(now, a):
	case a.sealed && plain && err == nil:
		c.incident(api.BadFrame, a.to, "a plain answer to a sealed question")
		c.settle(a, nil, api.Errorf("ask", api.Invalid, "%s answered a sealed question in the open", a.to))
	default:
		c.settle(a, body, err)
	}
}

// again asks a sealed question once more, under a key asked for anew, and reports whether that is under way.
func (c *Core) again(now time.Time, a *ask) bool {
	c.keys.drop(a.to)
	if !c.fetching(a.to) {
		if c.fetch(now, a.to) != nil {
			return false
		}
	}
	delete(c.byNonce, a.nonce)
	a.nonce, a.waiting, a.retried = wire.Nonce{}, true, true
	return true
}
