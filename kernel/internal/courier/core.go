// Package courier lets two nodes ask each other questions beside the records: a request, and one answer or an error, signed, if wished sealed,
// each taken at most once.
//
// It is not a transport, and nothing it carries is stored or becomes state: what must last is a record. It knows peers by the DID of their
// node, kinds by their name, and never looks into a payload but those of the kind "keys". It is pure: time comes as an argument, randomness
// and sealing from Options, and equal inputs give equal outputs.
//
// A message is taken when it is addressed to this node, within the peer's rate, signed by its sender, allowed by Options.May, dated within Options.Window, and new. An
// answer is new while its question waits; a request is new when the replay guard has not seen its nonce, before a restart included: the rows in
// Output.Save must be on disk before the Requests and Send beside them are acted on.
//
// To seal a question the asker needs the peer's key. It asks the peer itself, by a question of the kind "keys" whose answer the peer's node key
// signs, and remembers the key for Options.KeyAge. The answer is sealed to a key inside the question. A peer that cannot open a question says
// so; then its key is asked for anew, once.
//
// First call: New, Load with the rows kept, Handle for each kind, then Up; after each input take Ready and do what it says, and call Tick every
// 100 ms or so. A Core belongs to one goroutine. Everything in it is bounded by Options. docs/protocol.md is normative for envelopes.
package courier

import (
	"crypto/sha256"
	"io"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Send is an encoded envelope to send to a peer. Ask is the question in it, 0 for an answer: tell SendFailed when it is lost.
type Send struct {
	To       api.DID
	Envelope []byte
	Ask      uint64
}

// Request is a question of a peer to serve. Answer it by ID.
type Request struct {
	ID      uint64
	Peer    api.DID // the node whose session it came by
	From    api.DID // who asks: that node, another, or somebody whose device signed
	Kind    string
	Payload []byte
	Sealed  bool
	Until   time.Time // an answer after that is dropped
}

// Answer is what became of a question: a Body or an Err, whose kind is the peer's, or api.Timeout or api.Unavailable when no answer came.
type Answer struct {
	ID   uint64
	Body []byte
	Err  error
	Sent time.Time // by the peer's wall clock, when an answer came; whatever it says, and however far off
}

// Incident is misbehaviour of a peer that does no harm by itself.
type Incident struct {
	Kind   string // of api's incidents
	Node   api.DID
	Reason string
}

// Output is what the shell is to do, in order of the fields.
type Output struct {
	Save     []gate.Row // make durable first, in one batch
	Send     []Send
	Requests []Request
	Answers  []Answer
	Bad      []Incident
}

// Core is the state of one node's courier.
type Core struct {
	opt      Options
	journal  *gate.Journal
	rates    *gate.Limiter // of peers
	told     *gate.Limiter // how often peers were told that they are over their rate
	handlers map[string]*handler
	peers    map[api.DID]*peer

	lastID  uint64
	asks    []*ask // ascending by id
	byNonce map[wire.Nonce]*ask
	held    int // bytes of payloads in asks
	keys    keyring
	serving []*serving // ascending by id
	dropped uint64
	out     Output

	recipient api.Hash // SHA-256 of Options.Key: what is sealed to this node names it
}

type handler struct {
	Handler
	rates *gate.Limiter // of askers
}

// peer is a node with a session.
type peer struct {
	rate    api.RateLimit
	asking  int
	serving int
}

// maxActors bounds the askers whose rate a handler remembers.
const maxActors = 4096

// New returns a Core that knows nobody and answers only for its key. It panics when o is not valid.
func New(o Options) *Core {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		panic(err)
	}
	c := &Core{
		opt: o, journal: gate.NewJournal(o.Replay), rates: gate.NewLimiter(maxActors), told: gate.NewLimiter(maxActors), handlers: map[string]*handler{},
		peers: map[api.DID]*peer{}, byNonce: map[wire.Nonce]*ask{}, keys: newKeyring(o.MaxKeys, o.KeyAge),
	}
	if o.Key != nil {
		c.recipient = sha256.Sum256(o.Key)
		answer, err := (&wire.Keys{Suite: wire.SuiteXWing, Key: o.Key}).Encode()
		if err != nil {
			panic(err)
		}
		c.handlers[wire.KindKeys] = &handler{
			Handler: Handler{MaxRequest: 1, Serve: func(time.Time, *Request) ([]byte, error) { return answer, nil }},
			rates:   gate.NewLimiter(1),
		}
	}
	return c
}

// Load takes up the rows that Output.Save had written before a restart. After an error, and when the store was set back to an older state,
// messages dated within the last Window are refused.
func (c *Core) Load(now time.Time, rows []gate.Row) error {
	err := c.journal.Load(rows)
	if err != nil {
		c.RefuseOld(now)
	}
	return err
}

// RefuseOld refuses whatever is dated up to now plus the Window: for a store that may lack rows that were written.
func (c *Core) RefuseOld(now time.Time) { c.journal.RefuseUntil(now.Add(c.opt.Window)) }

// Handle says how requests of a kind are taken. It panics when the kind is no name, is taken, or asks for more than fits: a wiring mistake.
func (c *Core) Handle(kind string, h Handler) {
	if h.MaxRequest == 0 {
		h.MaxRequest = defaultRequest
	}
	if !wire.ValidKind(kind) || kind == KindSealed || c.handlers[kind] != nil || h.MaxRequest < 0 || h.MaxRequest > wire.MaxPayload || h.Sealed && c.opt.Key == nil {
		panic("courier: kind " + kind + " cannot be handled so")
	}
	c.handlers[kind] = &handler{Handler: h, rates: gate.NewLimiter(maxActors)}
}

// Up says that there is a session with node, and how many messages a second are taken from it; the zero RateLimit means Options.Rate. Again
// when the rate changes.
func (c *Core) Up(node api.DID, rate api.RateLimit) {
	if rate == (api.RateLimit{}) {
		rate = c.opt.Rate
	}
	if p := c.peers[node]; p != nil {
		p.rate = rate
		return
	}
	c.peers[node] = &peer{rate: rate}
}

// Down says that the session with node ended. Questions to it fail as api.Unavailable; what is being served for it needs no answer any more.
func (c *Core) Down(node api.DID) {
	if c.peers[node] == nil {
		return
	}
	for _, a := range slices.Clone(c.asks) {
		if a.to == node {
			c.settle(a, nil, api.Errorf("ask", api.Unavailable, "the session with %s ended", node))
		}
	}
	c.serving = slices.DeleteFunc(c.serving, func(s *serving) bool { return s.peer == node })
	delete(c.peers, node)
}

// SendFailed says that a message was not sent.
func (c *Core) SendFailed(s Send) {
	if a := c.ask(s.Ask); a != nil {
		c.settle(a, nil, api.Errorf("ask", api.Unavailable, "%s cannot be reached now", s.To))
	}
}

// Tick ends what has taken too long.
func (c *Core) Tick(now time.Time) {
	for _, a := range slices.Clone(c.asks) {
		if !now.Before(a.deadline) {
			c.settle(a, nil, api.Errorf("ask", api.Timeout, "no answer from %s", a.to))
		}
	}
	for _, s := range slices.Clone(c.serving) {
		if !now.Before(s.until) {
			c.finish(now, s, nil, api.Errorf("serve", api.Timeout, "it took too long"))
		}
	}
}

// Ready returns what there is to do and forgets it.
func (c *Core) Ready() Output {
	o := c.out
	o.Save = c.journal.Rows()
	c.out = Output{}
	return o
}

// Status is how much a Core has under way and remembers, for metrics.
type Status struct {
	Asking, Serving, Nonces, Keys int
	Dropped                       uint64 // messages over their peer's rate, so far
}

// Status returns the present Status.
func (c *Core) Status() Status {
	return Status{Asking: len(c.asks), Serving: len(c.serving), Nonces: c.journal.Len(), Keys: len(c.keys.byNode), Dropped: c.dropped}
}

func (c *Core) incident(kind string, node api.DID, reason string) {
	c.out.Bad = append(c.out.Bad, Incident{Kind: kind, Node: node, Reason: reason})
}

// unverified notes an envelope that is not signed by who it says.
func (c *Core) unverified(node api.DID, err error) { c.incident(api.BadSignature, node, err.Error()) }

// header returns the header of a new message; the signer fills in the sender.
func (c *Core) header(now time.Time, to api.DID, re wire.Nonce) (wire.Header, error) {
	h := wire.Header{To: to, Time: uint64(max(now.UnixMilli(), 0)), Re: re}
	if _, err := io.ReadFull(c.opt.Random, h.Nonce[:]); err != nil {
		return h, api.Errorf("courier", api.Internal, "randomness: %w", err)
	}
	return h, nil
}
