package kernel

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// Bounds of the loop between peers and the road.
const (
	netQueue     = 1024                   // frames and events waiting
	netTick      = 100 * time.Millisecond // gossip's clock
	accessEvery  = 2 * time.Second        // how soon a change of access takes effect on open sessions
	missingBatch = 256
)

// network joins transport, gossip and the road. Its loop owns the gossip core; nothing it does waits for the road, so the road may wait for it.
// Serve is the loop; step is one turn of it for an inline kernel.
type network struct {
	k    *Kernel
	log  *slog.Logger
	t    transport.Transport
	core *gossip.Core
	in   chan func(now time.Time)
	todo []func(now time.Time) // instead of in, inline

	letters *letters // what nodes ask each other

	mu     sync.Mutex
	proofs map[api.DID][]byte // what to show a peer, from invitations

	// Owned by the loop.
	peers   map[api.DID]*transport.Peer
	shared  map[api.DID][]api.Hash // spaces a peer may have, as gossip was told
	missing bool                   // the road waits for records
	checked time.Time
	ticked  time.Time // inline
}

const (
	metaPeer = "peer/" // peer/<address> -> proof
	metaBan  = "ban/"  // ban/<node> -> reason
)

func newNetwork(k *Kernel) (*network, error) {
	n := &network{
		k: k, log: k.log.With("part", "network"), in: make(chan func(time.Time), netQueue), proofs: map[api.DID][]byte{},
		peers: map[api.DID]*transport.Peer{}, shared: map[api.DID][]api.Hash{},
	}
	var err error
	if n.letters, err = newLetters(n); err != nil {
		return nil, err
	}
	bootstrap := slices.Clone(k.opt.Bootstrap)
	err = fold.Metas(k.st, metaPeer, func(name string, proof []byte) bool {
		address := name[len(metaPeer):]
		bootstrap = append(bootstrap, address)
		if a, err := transport.ParseAddress(address); err == nil && len(proof) > 0 {
			n.proofs[a.Node] = proof
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(bootstrap)
	o := transport.Options{
		Key: k.opt.Identity.NodeKey(), Listen: k.opt.Listen, MDNS: k.opt.MDNS, Bootstrap: slices.Compact(bootstrap), MaxPeers: k.opt.MaxPeers,
		Heartbeat: k.opt.Heartbeat, Logger: n.log, Now: k.opt.Now, Build: k.build(),
	}
	if k.inline != nil {
		o.Listen, o.MDNS = nil, false
		n.t, err = k.opt.Inline.Join(o, n)
	} else {
		n.t, err = transport.New(o, n)
	}
	if err != nil {
		return nil, err
	}
	err = fold.Metas(k.st, metaBan, func(name string, reason []byte) bool {
		n.t.Ban(api.DID(name[len(metaBan):]), string(reason))
		return true
	})
	return n, err
}

// listener is the transport's own service.
func (n *network) listener() service { return service{"transport", n.t.Serve} }

func (n *network) String() string { return "gossip" }

// Serve implements suture.Service: the loop.
func (n *network) Serve(ctx context.Context) error {
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return api.Wrap("gossip", err)
	}
	n.begin(n.k.opt.Now(), binary.BigEndian.Uint64(seed[:]))
	tick := time.NewTicker(netTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case fn := <-n.in:
			now := n.k.opt.Now()
			fn(now)
			for range len(n.in) { // whatever has gathered, before one round of sending
				(<-n.in)(now)
			}
		case <-tick.C:
			n.tick(n.k.opt.Now())
		}
		for n.drain() && len(n.in) == 0 {
		}
	}
}

// begin makes the gossip core anew, from what the node holds.
func (n *network) begin(now time.Time, seed uint64) {
	n.core = gossip.New(gossip.Options{Seed: seed}, logView{n.k})
	n.k.wrongs.settle(now)
	clear(n.peers)
	clear(n.shared)
	for _, s := range n.k.follows.list() {
		n.core.Follow(s)
	}
	for _, p := range n.t.Peers() { // after a restart of this part sessions are up already
		n.up(now, &p)
	}
}

// tick does what is due.
func (n *network) tick(now time.Time) {
	n.core.Tick(now)
	n.ask(now)
	if now.Sub(n.checked) >= accessEvery {
		n.checked = now
		n.reshare(now)
	}
}

// reshare asks anew who may have what.
func (n *network) reshare(now time.Time) {
	for _, node := range slices.Sorted(maps.Keys(n.peers)) {
		n.keepOut(now, node)
		n.share(now, n.peers[node])
	}
}

// step takes one turn of the loop, inline, and reports whether there is more to do at once.
func (n *network) step(now time.Time) (more bool) {
	todo := n.todo
	n.todo = nil
	for _, fn := range todo {
		fn(now)
	}
	if now.Sub(n.ticked) >= netTick {
		n.ticked = now
		n.tick(now)
	}
	more = n.drain()
	return more || len(n.todo) > 0
}

// drain sends and delivers what gossip has ready, one round, and reports whether it is worth calling again at once. Serving a peer that catches
// up takes many rounds; between them the loop looks at what has come in.
func (n *network) drain() (again bool) {
	for {
		out := n.core.Ready()
		if len(out.Send)+len(out.Deliver)+len(out.Bad) == 0 {
			return out.More
		}
		now := n.k.opt.Now()
		for _, b := range out.Bad {
			n.bad(gossipKind(b.Reason), b.Node, 1, b.Reason)
		}
		for _, s := range out.Send {
			if err := n.t.Send(s.To, s.Frame); err != nil {
				n.core.SendFailed(now, s.To)
			}
		}
		for _, d := range out.Deliver {
			n.deliver(now, d)
		}
		if out.More {
			return true
		}
	}
}

// deliver puts what a peer sent on the road.
func (n *network) deliver(now time.Time, d gossip.Delivery) {
	ok := n.k.road.Offer(d.Envelopes, ingest.Origin{Peer: d.From, Solicited: d.Solicited}, func(_ int, r ingest.Result) {
		if r.Outcome == ingest.Held {
			n.try(func(time.Time) { n.missing = true })
		} else if kind := recordKind(r.Err); kind != "" {
			n.bad(kind, d.From, 1, r.Err.Error())
		}
	})
	if !ok {
		n.core.Refused(now, d.From, d.Space)
	}
}

// ask tells gossip what the road is waiting for.
func (n *network) ask(now time.Time) {
	if !n.missing {
		return
	}
	n.missing = false
	if n.k.inline != nil {
		n.look(context.Background(), math.MaxInt)
		return
	}
	go func() {
		// Beside the loop: the road may be waiting for us.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		n.look(ctx, missingBatch)
	}()
}

// look asks the road which records it waits for, up to most, and hands them to gossip.
func (n *network) look(ctx context.Context, most int) {
	bySpace := map[api.Hash][]wire.Want{}
	var rest int
	err := n.k.road.Do(ctx, func(e *ingest.Engine) error {
		ps := e.Missing(most)
		slices.SortFunc(ps, comparePositions)
		for _, p := range ps {
			f, err := e.State.Feed(p.Feed)
			if err != nil {
				return err
			}
			w := wire.Want{From: 1, At: wire.FromPosition(p)}
			if f != nil && f.Tip.Seq < p.Seq {
				w.From = f.Tip.Seq + 1
			} else if f != nil {
				w.From = p.Seq
			}
			for _, s := range e.Wanted(p) {
				bySpace[s] = append(bySpace[s], w)
			}
		}
		rest, _ = e.Room()
		return nil
	})
	if err != nil {
		return
	}
	n.try(func(now time.Time) {
		for _, s := range slices.SortedFunc(maps.Keys(bySpace), api.Hash.Compare) {
			n.core.Missing(now, s, bySpace[s], "")
		}
		n.missing = n.missing || rest > 0 && len(bySpace) > 0
	})
}

// bad notes what a peer did wrong, count times.
func (n *network) bad(kind string, node api.DID, count int, reason string) {
	n.k.metrics.bad.Inc()
	if !n.k.wrongs.note(kind, node, count, reason) {
		return // a storm is logged once per report
	}
	n.log.Warn("a peer sent what it should not have", "peer", node, "reason", reason)
}

// post queues work for the loop and waits for room: callers are slowed down, nothing is lost.
func (n *network) post(fn func(now time.Time)) {
	if n.k.inline != nil {
		n.todo = append(n.todo, fn) // bounded by the sessions' queues
		return
	}
	select {
	case n.in <- fn:
	case <-n.k.stopping:
	}
}

// try queues work for the loop unless it is full: for hints that come again.
func (n *network) try(fn func(now time.Time)) {
	if n.k.inline != nil {
		n.todo = append(n.todo, fn)
		return
	}
	select {
	case n.in <- fn:
	default:
	}
}

// committed hands commits to gossip, and what has become final.
func (n *network) committed(events []ingest.Event, finals []api.Position) {
	items := make([]gossip.Item, 0, len(events))
	for i := range events {
		e := &events[i]
		items = append(items, gossip.Item{Space: e.Record.Topic.Space, Position: e.Record.Position(), Head: head(e.Head), Envelope: e.Raw, From: e.From})
	}
	var founded []api.Hash
	for i := range events {
		if e := &events[i]; e.Accepted && record.Founds(e.Record) {
			founded = append(founded, e.Record.Topic.Space)
		}
	}
	n.post(func(now time.Time) {
		if len(founded) > 0 {
			// Until now this node could not know who may have the space, and gave it to nobody.
			n.k.oracles.Invalidate(n.k.opt.AccessDomain)
			n.reshare(now)
		}
		for _, space := range founded {
			n.core.Founded(now, space)
		}
		n.core.Final(finals)
		n.core.Committed(now, items)
	})
}

func (n *network) follow(space api.Hash) {
	n.post(func(time.Time) { n.core.Follow(space) })
	n.refresh()
}

func (n *network) refresh() {
	if n.k.inline != nil {
		n.t.Refresh()
		return
	}
	go n.t.Refresh()
}

// dial connects to a peer, keeps it across restarts, and shows it the proof.
func (n *network) dial(ctx context.Context, address string, proof []byte) (api.DID, error) {
	a, err := transport.ParseAddress(address)
	if err != nil {
		return "", err
	}
	node := a.Node
	if len(proof) > wire.MaxProof {
		return "", api.Errorf("peer.dial", api.TooLarge, "proof of %d bytes: at most %d", len(proof), wire.MaxProof)
	}
	n.mu.Lock()
	had := proof == nil || slices.Equal(n.proofs[node], proof)
	if proof != nil {
		n.proofs[node] = proof
	} else {
		proof = n.proofs[node]
	}
	n.mu.Unlock()
	if err := n.k.setMeta(metaPeer+address, proof, true); err != nil {
		return "", err
	}
	got, err := n.t.Dial(ctx, address)
	if err == nil && !had && proof != nil {
		n.t.Refresh() // the session may have been up without it
	}
	return got, err
}
