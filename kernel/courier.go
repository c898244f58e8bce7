package kernel

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"log/slog"
	"maps"
	chance "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/crypto/seal"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// featureLetters is what a node says in its Hello that takes letters: to another one they would be frames that break the protocol.
const featureLetters = "letters"

// Bounds of what nodes ask each other, beside those of courier.Options.
const (
	lettersQueue = 64              // letters and events waiting; a letter has up to half a megabyte
	serveAtOnce  = 64              // requests with the apps
	maxAsk       = 2 * time.Minute // for an answer
)

const (
	metaReplay = "replay/" // replay/<row> -> nonces that were taken
	// metaDoubt says that rows of replay/ may be missing: since when, Unix milliseconds in 8 bytes; empty: since the next start.
	metaDoubt = "doubt"
)

// Sealer seals messages to other nodes, and opens those that were sealed to Public.
type Sealer interface {
	Public() []byte
	Seal(recipient, info, plaintext []byte) (enc, ciphertext []byte, err error)
	Open(info, enc, ciphertext []byte) ([]byte, error)
}

// hybridSealer is the Sealer of real nodes.
type hybridSealer struct{ *seal.Key }

func (hybridSealer) Seal(recipient, info, plaintext []byte) (enc, ciphertext []byte, err error) {
	return seal.Seal(recipient, info, nil, plaintext)
}

func (s hybridSealer) Open(info, enc, ciphertext []byte) ([]byte, error) {
	return s.Key.Open(info, nil, enc, ciphertext)
}

// nodeSigner signs as the node: its DID is its key.
type nodeSigner struct{ key ed25519.PrivateKey }

func (s nodeSigner) Device() api.Key               { return api.Key(s.key.Public().(ed25519.PublicKey)) }
func (s nodeSigner) DID() api.DID                  { return record.DIDOf(s.Device()) }
func (s nodeSigner) Auth() []byte                  { return nil }
func (s nodeSigner) Sign(m []byte) ([]byte, error) { return ed25519.Sign(s.key, m), nil }

// letters joins transport, the courier and the apps that answer. Its loop owns the courier's core, beside that of gossip, since signing and sealing
// take time; Serve is the loop, step one turn of it for an inline kernel.
type letters struct {
	k      *Kernel
	n      *network
	log    *slog.Logger
	sealer Sealer // nil: nothing is sealed
	random io.Reader
	in     chan func(now time.Time)
	todo   []func(now time.Time) // instead of in, inline
	slots  chan struct{}         // as many as requests may be with the apps

	// Owned by the loop.
	core    *courier.Core
	peers   map[api.DID]*correspondent
	waiting map[uint64]func(courier.Answer) // they must not block
	copies  *copies
	checked time.Time
	dropped uint64
	ticked  time.Time // inline
}

// correspondent is a peer with a session.
type correspondent struct {
	*transport.Peer
	refused error // why it may not ask, as it is told; nil when it may
	denied  error // the same in the words of who denies it
}

func newLetters(n *network) (*letters, error) {
	k := n.k
	l := &letters{
		k: k, n: n, log: k.log.With("part", "letters"), random: rand.Reader, in: make(chan func(time.Time), lettersQueue), slots: make(chan struct{}, serveAtOnce),
		peers: map[api.DID]*correspondent{}, waiting: map[uint64]func(courier.Answer){},
	}
	l.copies = newCopies(l)
	if in := k.opt.Inline; in != nil {
		l.sealer, l.random = in.Sealer, chance.NewChaCha8(sha256.Sum256(binary.BigEndian.AppendUint64([]byte("letters"), in.Seed)))
		return l, nil
	}
	key, err := seal.NewKey(k.opt.Identity.NodeKey().Seed())
	l.sealer = hybridSealer{key}
	return l, err
}

func (l *letters) String() string { return "letters" }

// Serve implements suture.Service: the loop.
func (l *letters) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var atWork sync.WaitGroup
	defer atWork.Wait() // the store must not close under them
	defer cancel()
	if err := l.begin(l.k.opt.Now()); err != nil {
		return err
	}
	tick := time.NewTicker(netTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.abandon()
			return nil
		case fn := <-l.in:
			now := l.k.opt.Now()
			fn(now)
			for range len(l.in) { // whatever has gathered, before one sync of the disk
				(<-l.in)(now)
			}
		case <-tick.C:
			l.tick(l.k.opt.Now())
		}
		if err := l.drain(ctx, &atWork); err != nil {
			return err
		}
	}
}

// begin makes the core anew, from what the disk remembers.
func (l *letters) begin(now time.Time) error {
	l.abandon()
	clear(l.peers)
	l.dropped = 0
	o := courier.Options{
		Self: nodeSigner{l.k.opt.Identity.NodeKey()}, Random: l.random, Domain: "kernel", Window: min(max(l.k.opt.Skew, time.Second), 10*time.Minute),
		May: l.may, Serving: serveAtOnce, MaxTimeout: maxAsk,
	}
	if l.sealer != nil {
		o.Key, o.Seal, o.Open = l.sealer.Public(), l.sealer.Seal, l.sealer.Open
	}
	l.core = courier.New(o)
	l.core.Handle(kindPing, courier.Handler{MaxRequest: 1, Serve: l.k.pong})
	l.core.Handle(kindRefusals, courier.Handler{Rate: strangerRate, MaxRequest: 1, Serve: l.k.answerRefusals})
	for kind, r := range l.k.responders {
		l.core.Handle(kind, courier.Handler{Rate: r.spec.Rate, MaxRequest: r.spec.MaxRequest, Sealed: r.spec.Sealed})
	}
	if err := l.load(now); err != nil {
		return api.Wrap("letters", err)
	}
	for _, p := range l.n.t.Peers() { // after a restart of this part sessions are up already
		l.up(now, &p)
	}
	return nil
}

// load tells the core what it has taken before. Rows that cannot be read, and a store that was restored, leave a doubt: then what may have been taken
// is refused.
func (l *letters) load(now time.Time) error {
	var rows []gate.Row
	err := fold.Metas(l.k.st, metaReplay, func(name string, value []byte) bool {
		rows = append(rows, gate.Row{Name: name[len(metaReplay):], Value: value})
		return true
	})
	if err != nil {
		return err
	}
	since, doubt, err := fold.Meta(l.k.st, metaDoubt)
	if err != nil {
		return err
	}
	b := l.k.st.NewBatch()
	defer b.Close()
	if err := l.core.Load(now, rows); err != nil {
		l.log.Error("what was received before cannot be read; messages are refused for a while", "err", err)
		for _, r := range rows {
			fold.DeleteMeta(b, metaReplay+r.Name)
		}
		since, doubt = nil, true
	}
	if !doubt {
		return nil
	}
	at := now
	if len(since) == 8 {
		if t := time.UnixMilli(int64(binary.BigEndian.Uint64(since))); t.Before(now) { // else the clock was set back
			at = t
		}
	}
	l.core.RefuseOld(at)
	fold.PutMeta(b, metaDoubt, api.Seq8(uint64(max(at.UnixMilli(), 0))))
	return l.k.st.Commit(b, true)
}

// abandon tells those who wait that no answer will come.
func (l *letters) abandon() {
	for _, id := range slices.Sorted(maps.Keys(l.waiting)) {
		l.waiting[id](courier.Answer{ID: id, Err: api.Errorf("ask", api.Unavailable, "the node stops, or this part of it starts anew")})
	}
	clear(l.waiting)
}

// tick does what is due.
func (l *letters) tick(now time.Time) {
	l.core.Tick(now)
	l.copies.tick(now)
	if now.Sub(l.checked) >= accessEvery {
		l.checked = now
		for _, node := range slices.Sorted(maps.Keys(l.peers)) {
			l.judge(l.peers[node])
		}
	}
	if d := l.core.Status().Dropped; d > l.dropped {
		l.k.metrics.lettersDropped.Add(float64(d - l.dropped))
		l.dropped = d
	}
}

// step takes one turn of the loop, inline, and reports whether there is more to do at once.
func (l *letters) step(ctx context.Context, now time.Time) (more bool, err error) {
	todo := l.todo
	l.todo = nil
	for _, fn := range todo {
		fn(now)
	}
	if now.Sub(l.ticked) >= netTick {
		l.ticked = now
		l.tick(now)
	}
	err = l.drain(ctx, nil)
	return len(l.todo) > 0, err
}

// drain does what the core has ready, the disk first.
func (l *letters) drain(ctx context.Context, atWork *sync.WaitGroup) error {
	for {
		out := l.core.Ready()
		if len(out.Save)+len(out.Send)+len(out.Requests)+len(out.Answers)+len(out.Bad) == 0 {
			return nil
		}
		if err := l.save(out.Save); err != nil {
			return api.Wrap("letters", err)
		}
		for _, s := range out.Send {
			if err := l.n.t.Send(s.To, &wire.Letter{Envelope: s.Envelope}); err != nil {
				l.core.SendFailed(s)
			}
		}
		for i := range out.Requests {
			l.serve(ctx, &out.Requests[i], atWork)
		}
		for _, a := range out.Answers {
			l.k.metrics.asked(a.Err)
			if done := l.waiting[a.ID]; done != nil {
				delete(l.waiting, a.ID)
				done(a)
			}
		}
		for _, b := range out.Bad {
			l.n.bad(b.Kind, b.Node, 1, b.Reason)
		}
	}
}

// save makes rows durable, in one batch.
func (l *letters) save(rows []gate.Row) error {
	if len(rows) == 0 {
		return nil
	}
	b := l.k.st.NewBatch()
	defer b.Close()
	for _, r := range rows {
		if r.Value == nil {
			fold.DeleteMeta(b, metaReplay+r.Name)
		} else {
			fold.PutMeta(b, metaReplay+r.Name, r.Value)
		}
	}
	return l.k.st.Commit(b, true)
}

// post queues work for the loop and waits for room, unless ctx ends or the node stops; it reports whether the work was queued.
func (l *letters) post(ctx context.Context, fn func(now time.Time)) bool {
	if l.k.inline != nil {
		l.todo = append(l.todo, fn) // bounded by the sessions' queues
		return true
	}
	select {
	case l.in <- fn:
		return true
	case <-ctx.Done():
	case <-l.k.stopping:
	}
	return false
}

// try queues work for the loop unless it is full: for what may be left out.
func (l *letters) try(fn func(now time.Time)) {
	if l.k.inline != nil {
		l.todo = append(l.todo, fn)
		return
	}
	select {
	case l.in <- fn:
	default:
	}
}

// up takes in that a session is up, or was refreshed.
func (l *letters) up(now time.Time, p *transport.Peer) {
	if !slices.Contains(p.Features, featureLetters) {
		l.down(p.Node)
		return
	}
	c := &correspondent{Peer: p}
	l.peers[p.Node] = c
	l.judge(c)
	l.copies.wake(now)
}

func (l *letters) down(node api.DID) {
	delete(l.peers, node)
	l.core.Down(node)
}

// ask asks and waits. It is not for an inline kernel.
func (l *letters) ask(ctx context.Context, q courier.Question) courier.Answer {
	fail := func(err error) courier.Answer { return courier.Answer{Err: api.Wrap("ask", err)} }
	if l.k.inline != nil {
		return fail(api.Errorf("ask", api.Unsupported, "nothing may wait here: use AskThen"))
	}
	if end, ok := ctx.Deadline(); ok && q.Timeout == 0 {
		q.Timeout = min(max(time.Until(end), time.Millisecond), maxAsk)
	}
	came := make(chan courier.Answer, 1)
	if l.post(ctx, func(now time.Time) { l.put(now, q, func(a courier.Answer) { came <- a }) }) {
		select {
		case a := <-came:
			return a
		case <-ctx.Done():
		case <-l.k.stopping:
		}
	}
	if ctx.Err() != nil {
		return fail(ctx.Err())
	}
	return fail(api.Errorf("ask", api.Unavailable, "the node stops"))
}

// put puts a question to the core; done is called once and must not block.
func (l *letters) put(now time.Time, q courier.Question, done func(courier.Answer)) {
	id, err := l.core.Ask(now, q)
	if api.KindOf(err) == api.Unavailable && l.n.mute(q.To) {
		err = api.Errorf("ask", api.Unsupported, "the software of %s takes no questions", q.To)
	}
	if err != nil {
		l.k.metrics.asked(err)
		done(courier.Answer{Err: err})
		return
	}
	l.waiting[id] = done
}
