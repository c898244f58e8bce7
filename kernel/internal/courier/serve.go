package courier

import (
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// serving is a request from its arrival until it is answered.
type serving struct {
	id    uint64
	peer  api.DID // whose session it came by, and where the answer goes
	from  api.DID // who asks
	nonce wire.Nonce
	kind  string
	reply []byte // the key to seal the answer to; nil for a plain one
	until time.Time
}

// codeStaleKey is the code of the plain answer to a question that was sealed to a key this node does not have.
var codeStaleKey = api.Conflict.Code()

// Receive takes an envelope that came by the session with the node via.
func (c *Core) Receive(now time.Time, via api.DID, raw []byte) {
	p := c.peers[via]
	if p == nil {
		return
	}
	e, err := wire.DecodeEnvelope(raw)
	if err != nil {
		// One that costs nothing to make still costs the peer: of a newer version it may honestly be.
		if ok, _ := c.rates.Take(now, via, p.rate, 1); !ok || api.KindOf(err) == api.Unsupported {
			c.dropped++
			return
		}
		c.incident(api.BadFrame, via, err.Error())
		return
	}
	h := e.Head()
	// An answer that is waited for is no burden that the peer chose; everything else counts.
	if a := c.byNonce[h.Re]; a != nil && !h.Re.IsZero() && a.to == via && h.From == via {
		c.receiveAnswer(now, a, e)
		return
	}
	var over error
	if ok, after := c.rates.Take(now, via, p.rate, 1); !ok {
		c.dropped++
		if ok, _ := c.told.Take(now, via, courtesy, 1); !ok {
			c.incident(api.Flood, via, "more messages than this node takes from it")
			return
		}
		over = &api.Error{Op: "serve", Kind: api.RateLimited, Reason: gate.RateReason(c.opt.Domain, p.rate, after)}
	}
	if !h.Re.IsZero() {
		return // too late, or never asked
	}
	c.receiveRequest(now, via, e, over)
}

// courtesy is how many messages over its rate a peer is told of, rather than that they go unanswered. Who sends more than that does not listen.
var courtesy = api.RateLimit{PerSecond: 2, Burst: 8}

func (c *Core) receiveAnswer(now time.Time, a *ask, e wire.Envelope) {
	fail := func(err error) {
		c.incident(api.BadFrame, a.to, err.Error())
		c.settle(a, nil, api.Wrap("ask", err))
	}
	if e.Head().To != a.as.DID() {
		fail(api.Errorf("ask", api.Invalid, "an answer that is for somebody else"))
		return
	}
	if err := e.Verify(); err != nil {
		c.unverified(a.to, err)
		c.settle(a, nil, api.Wrap("ask", err))
		return
	}
	a.heard = time.UnixMilli(int64(min(e.Head().Time, 1<<53)))
	kind, payload, plain := "", []byte(nil), true
	switch e := e.(type) {
	case *wire.SignedEnvelope:
		kind, payload = e.Kind, e.Payload
	case *wire.EncryptedEnvelope:
		if !a.sealed || e.Recipient != c.recipient {
			fail(api.Errorf("ask", api.Invalid, "an answer that is sealed to another key"))
			return
		}
		content, err := e.Open(c.opt.Open)
		if err != nil {
			fail(err)
			return
		}
		kind, payload, plain = content.Kind, content.Payload, false
	}
	want := a.kind
	if a.sealed && plain {
		want = KindSealed
	}
	if kind != want {
		fail(api.Errorf("ask", api.Invalid, "an answer of another kind"))
		return
	}
	c.answered(now, a, payload, plain)
}

// receiveRequest takes a request; with over set it only tells its sender so.
func (c *Core) receiveRequest(now time.Time, via api.DID, e wire.Envelope, over error) {
	h := e.Head()
	if h.To != c.opt.Self.DID() {
		c.incident(api.BadFrame, via, "a message that is for somebody else")
		return
	}
	s := &serving{peer: via, from: h.From, nonce: h.Nonce, kind: KindSealed, until: now.Add(c.opt.Timeout)}
	if signed, ok := e.(*wire.SignedEnvelope); ok {
		s.kind = signed.Kind
	}
	if err := e.Verify(); err != nil { // what is not signed by who it says is told nothing
		c.unverified(via, err)
		return
	}
	if c.opt.May != nil {
		if err := c.opt.May(via, h.From); api.KindOf(err) == api.Unauthenticated {
			c.incident(api.Replay, via, err.Error())
			return
		} else if err != nil {
			c.reply(now, s, nil, err)
			return
		}
	}
	if over != nil {
		c.reply(now, s, nil, over)
		return
	}
	if err := h.Fresh(now, c.opt.Window); err != nil {
		c.reply(now, s, nil, err)
		return
	}
	if why := c.journal.Check(c.opt.Domain, now, h.From, gate.Nonce(h.Nonce), int64(h.Time)); why != nil {
		if why.Rule == "replayed" {
			c.incident(api.Replay, via, why.Text)
			return
		}
		c.reply(now, s, nil, api.Refusal("serve", why))
		return
	}
	r, err := c.open(s, e)
	if err != nil {
		c.reply(now, s, nil, err)
		return
	}
	hd := c.handlers[s.kind]
	if err := c.mayServe(now, s, hd, r); err != nil {
		c.reply(now, s, nil, err)
		return
	}
	if hd.Serve != nil {
		body, err := hd.Serve(now, r)
		c.reply(now, s, body, err)
		return
	}
	c.lastID++
	s.id, r.ID = c.lastID, c.lastID
	c.serving = append(c.serving, s)
	c.peers[via].serving++
	c.out.Requests = append(c.out.Requests, *r)
}

// open returns what is asked, and completes s from what was sealed.
func (c *Core) open(s *serving, e wire.Envelope) (*Request, error) {
	r := &Request{Peer: s.peer, From: s.from, Until: s.until}
	switch e := e.(type) {
	case *wire.SignedEnvelope:
		r.Kind, r.Payload = e.Kind, e.Payload
	case *wire.EncryptedEnvelope:
		if c.opt.Key == nil {
			return nil, api.Errorf("serve", api.Unsupported, "this node opens nothing")
		}
		if e.Recipient != c.recipient {
			return nil, api.Errorf("serve", api.Conflict, "sealed to a key that this node does not have")
		}
		content, err := e.Open(c.opt.Open)
		if err != nil {
			c.incident(api.BadFrame, s.peer, err.Error())
			return nil, api.Errorf("serve", api.Invalid, "it does not open")
		}
		if len(content.Reply) == 0 {
			return nil, api.Errorf("serve", api.Invalid, "a sealed question must bring a key to seal the answer to")
		}
		s.kind, s.reply = content.Kind, content.Reply
		r.Kind, r.Payload, r.Sealed = content.Kind, content.Payload, true
	}
	return r, nil
}

// KindSealed is the kind of a plain answer to a sealed question, an error always: the question's own kind is not for everybody.
const KindSealed = "sealed"

func (c *Core) mayServe(now time.Time, s *serving, hd *handler, r *Request) error {
	const op = "serve"
	switch {
	case hd == nil:
		return api.Errorf(op, api.Unsupported, "this node takes no requests of the kind %q", s.kind)
	case hd.Sealed && !r.Sealed:
		return api.Errorf(op, api.Refused, "requests of the kind %q are taken sealed only", s.kind)
	case len(r.Payload) > hd.MaxRequest:
		return api.Errorf(op, api.TooLarge, "request of %d bytes: at most %d", len(r.Payload), hd.MaxRequest)
	case hd.Serve == nil && (len(c.serving) >= c.opt.Serving || c.peers[s.peer].serving >= c.opt.ServePeer):
		return api.Errorf(op, api.Unavailable, "too many requests are being served; come back later")
	}
	if hd.Rate != (api.RateLimit{}) {
		if ok, after := hd.rates.Take(now, s.from, hd.Rate, 1); !ok {
			return &api.Error{Op: op, Kind: api.RateLimited, Reason: gate.RateReason(c.opt.Domain, hd.Rate, after)}
		}
	}
	return nil
}

// Answer answers a Request. One that is not being served any more is ignored: it took too long, or its asker is gone.
func (c *Core) Answer(now time.Time, id uint64, body []byte, err error) {
	if i := slices.IndexFunc(c.serving, func(s *serving) bool { return s.id == id }); i >= 0 {
		c.finish(now, c.serving[i], body, err)
	}
}

func (c *Core) finish(now time.Time, s *serving, body []byte, err error) {
	c.serving = slices.DeleteFunc(c.serving, func(x *serving) bool { return x == s })
	c.peers[s.peer].serving--
	c.reply(now, s, body, err)
}

// reply sends an answer; sealed, when the question said to which key.
func (c *Core) reply(now time.Time, s *serving, body []byte, failed error) {
	if failed == nil && len(body) > wire.MaxBody {
		body, failed = nil, api.Errorf("serve", api.TooLarge, "answer of %d bytes: at most %d", len(body), wire.MaxBody)
	}
	if err := c.sendAnswer(now, s, wire.AnswerOf(body, failed)); err != nil && api.KindOf(err) != api.Internal { // else this node has failed
		c.incident(api.BadFrame, s.peer, "cannot be answered: "+err.Error())
	}
}

func (c *Core) sendAnswer(now time.Time, s *serving, ans *wire.Answer) error {
	payload, err := ans.Encode()
	if err != nil {
		return err
	}
	h, err := c.header(now, s.from, s.nonce)
	if err != nil {
		return err
	}
	var raw []byte
	if len(s.reply) > 0 {
		raw, err = wire.Encrypt(h, wire.Content{Kind: s.kind, Payload: payload}, s.reply, c.opt.Seal, c.opt.Self)
	} else {
		raw, err = (&wire.SignedEnvelope{Header: h, Kind: s.kind, Payload: payload}).Sign(c.opt.Self)
	}
	if err != nil {
		return err
	}
	c.out.Send = append(c.out.Send, Send{To: s.peer, Envelope: raw})
	return nil
}
