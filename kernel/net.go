package kernel

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
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
		for _, s := range slices.SortedFunc(maps.Keys(bySpace), compareHashes) {
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

// committed hands commits to gossip.
func (n *network) committed(events []ingest.Event) {
	items := make([]gossip.Item, 0, len(events))
	for i := range events {
		e := &events[i]
		items = append(items, gossip.Item{Space: e.Record.Topic.Space, Position: e.Record.Position(), Head: head(e.Head), Envelope: e.Raw, From: e.From})
	}
	founded := slices.ContainsFunc(events, func(e ingest.Event) bool { return record.Founds(e.Record) })
	n.post(func(now time.Time) {
		if founded {
			// Until now this node could not know who may have the space, and everybody might.
			n.k.oracles.Invalidate(n.k.opt.AccessDomain)
			n.reshare(now)
		}
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

// Local implements transport.Handler.
func (n *network) Local() transport.Local {
	return transport.Local{Spaces: n.k.follows.list(), Members: []api.Signer{n.k.opt.Identity.Signer()}, Features: []string{featureLetters}}
}

// Proof implements transport.Handler.
func (n *network) Proof(peer api.DID) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proofs[peer]
}

// Admit implements transport.Handler: the rate domain's oracle says whether any member that the peer serves, or the node itself, may connect.
func (n *network) Admit(p *transport.Peer) error {
	if err := n.k.guard.connect(p.Node); err != nil {
		return err
	}
	if n.k.opt.RateDomain == "" {
		return nil
	}
	var why *api.Reason
	for _, who := range actors(p) {
		d := n.k.oracles.Evaluate(api.Request{Domain: n.k.opt.RateDomain, Actor: who, Action: "connect"})
		if d.Effect == api.Allow {
			return nil
		}
		why = d.Reason
	}
	if why == nil {
		return api.Errorf("connect", api.Refused, "no oracle admits this peer")
	}
	return api.Refusal("connect", why)
}

func actors(p *transport.Peer) []api.DID {
	var ds []api.DID
	for _, m := range p.Members {
		ds = append(ds, m.DID)
	}
	return append(ds, p.Node)
}

// Up implements transport.Handler.
func (n *network) Up(p *transport.Peer) {
	n.post(func(now time.Time) { n.up(now, p) })
	n.letters.post(context.Background(), func(now time.Time) { n.letters.up(now, p) })
}

// mute reports whether there is a session with a node whose software takes no letters.
func (n *network) mute(node api.DID) bool {
	return slices.ContainsFunc(n.t.Peers(), func(p transport.Peer) bool { return p.Node == node && !slices.Contains(p.Features, featureLetters) })
}

func (n *network) up(now time.Time, p *transport.Peer) {
	if n.peers[p.Node] == nil { // it is told again when the spaces change
		n.log.Info("peer is up", "peer", p.Node, "inbound", p.Inbound, "build", p.Build)
	}
	n.peers[p.Node] = p
	delete(n.shared, p.Node)
	n.share(now, p)
}

// share tells gossip which spaces a peer may have: those both follow and the access domain's oracle allows to a member it serves.
func (n *network) share(now time.Time, p *transport.Peer) {
	var spaces []api.Hash
	for _, s := range p.Spaces {
		if n.k.follows.has(s) && n.allowed(p, s) {
			spaces = append(spaces, s)
		}
	}
	had, known := n.shared[p.Node]
	if known && slices.Equal(had, spaces) {
		return
	}
	n.shared[p.Node] = spaces
	rank := 0.0
	if r, ok := api.Lookup[api.Ranker](&n.k.services); ok {
		for _, m := range p.Members {
			rank = max(rank, r.Rank(m.DID))
		}
	}
	n.core.PeerUp(now, p.Node, spaces, rank)
}

func (n *network) allowed(p *transport.Peer, space api.Hash) bool {
	if n.k.opt.AccessDomain == "" || !n.k.guard.follow(p.Node, space) {
		return false
	}
	for _, m := range p.Members {
		d := n.k.oracles.Evaluate(api.Request{Domain: n.k.opt.AccessDomain, Actor: m.DID, Action: "follow", Topic: api.Topic{Space: space}, Proofs: p.Proof})
		if d.Effect == api.Allow {
			return true
		}
	}
	return false
}

// Frame implements transport.Handler.
func (n *network) Frame(node api.DID, f wire.Frame) {
	if l, ok := f.(*wire.Letter); ok {
		n.letters.post(context.Background(), func(now time.Time) { n.letters.core.Receive(now, node, l.Envelope) })
		return
	}
	if !n.mayPush(node, f) {
		return
	}
	n.post(func(now time.Time) { n.core.Frame(now, node, f) })
}

// Down implements transport.Handler.
func (n *network) Down(node api.DID, err error) {
	n.log.Info("peer is down", "peer", node, "why", err)
	n.post(func(now time.Time) {
		delete(n.peers, node)
		delete(n.shared, node)
		n.core.PeerDown(now, node)
	})
	n.letters.post(context.Background(), func(time.Time) { n.letters.down(node) })
}

// Bad implements transport.Handler.
func (n *network) Bad(node api.DID, reason string) { n.bad(transportKind(reason), node, 1, reason) }

// logView is what gossip reads of this node's records.
type logView struct{ k *Kernel }

func (v logView) reader() *fold.Reader { return fold.NewReader(v.k.st, "", v.k.log) }

// Heads implements gossip.Log.
func (v logView) Heads(space api.Hash) []gossip.Head {
	r := v.reader()
	defer r.Close()
	var hs []gossip.Head
	for _, a := range r.Advertise(space) {
		hs = append(hs, head(a))
	}
	return hs
}

func head(a fold.Advertised) gossip.Head {
	h := gossip.Head{Feed: a.Feed, Seq: a.Seq, ID: a.ID, Fork: a.Fork}
	if a.Fork != 0 {
		h.Alt = a.Alt[:]
	}
	return h
}

// Has implements gossip.Log.
func (v logView) Has(p api.Position) bool {
	r := v.reader()
	defer r.Close()
	return r.Stored(p)
}

// Range implements gossip.Log.
func (v logView) Range(feed api.Hash, from uint64, at api.Position, maxRecords, maxBytes int) ([][]byte, bool) {
	r := v.reader()
	defer r.Close()
	return r.Range(feed, from, at, maxRecords, maxBytes)
}

// PeerOut is one peer of peer.list.
type PeerOut struct {
	Node      api.DID   `json:"node"`
	Addresses []string  `json:"addresses"`
	Members   []api.DID `json:"members"`
	State     string    `json:"state" doc:"up, banned or cut"`
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero" doc:"end of a cut; none: until peer mend"`
	Reason    string    `json:"reason,omitempty"`
	RTT       float64   `json:"rtt_ms"`
	Sent      uint64    `json:"sent"`
	Received  uint64    `json:"received"`
	Spaces    int       `json:"spaces"`
	Inbound   bool      `json:"inbound"`
	Build     string    `json:"build,omitempty"`
}

// PeerList is the answer of peer.list.
type PeerList struct {
	Peers []PeerOut `json:"peers"`
}

// DialIn names a peer by address.
type DialIn struct {
	Address string `json:"address" doc:"icn://<node did>@host:port"`
}

// NodeIn names a peer, for a ban with a reason, for a cut with a duration.
type NodeIn struct {
	Node    api.DID `json:"node,omitempty" doc:"node DID; for cut and mend empty means all"`
	Reason  string  `json:"reason,omitempty"`
	Seconds int     `json:"seconds,omitempty" doc:"how long a cut lasts, 0 until mended, at most 30 days"`
}

// Validate implements api.Validator.
func (in *NodeIn) Validate() error {
	if in.Node != "" {
		if _, err := record.ParseDID(string(in.Node)); err != nil {
			return err
		}
	}
	if in.Seconds < 0 || in.Seconds > 30*24*3600 {
		return api.Errorf("peer", api.Invalid, "seconds %d: want 0 to 2592000", in.Seconds)
	}
	if len(in.Reason) > 200 {
		return api.Errorf("peer", api.Invalid, "reason of %d bytes: at most 200", len(in.Reason))
	}
	return nil
}

// DialOut names the node that answered.
type DialOut struct {
	Node api.DID `json:"node"`
}

func (k *Kernel) peerOperations() []api.Operation {
	op := func(verb, method, scope, summary string) api.Operation {
		return api.Operation{Name: "peer." + verb, Method: method, Path: "/peers/" + verb, CLI: "peer " + verb, Scope: scope, Summary: summary, Write: method == "POST"}
	}
	list := op("list", "GET", "peer:read", "List peers, bans and cuts")
	list.Path = "/peers"
	act := func(fn func(ctx context.Context, in *NodeIn) error) func(context.Context, *api.Call, *NodeIn) (*None, error) {
		return func(ctx context.Context, _ *api.Call, in *NodeIn) (*None, error) {
			if k.net == nil {
				return nil, errNoPeers
			}
			return &None{}, fn(ctx, in)
		}
	}
	return []api.Operation{
		api.Handle(list, k.opPeers),
		k.pingOperation(),
		api.Handle(op("dial", "POST", "peer:write", "Connect to a peer and keep it"), func(ctx context.Context, _ *api.Call, in *DialIn) (*DialOut, error) {
			if k.net == nil {
				return nil, errNoPeers
			}
			node, err := k.net.dial(ctx, strings.TrimSpace(in.Address), nil)
			return &DialOut{node}, err
		}),
		api.Handle(op("ban", "POST", "peer:write", "Refuse a node until it is unbanned"), act(func(_ context.Context, in *NodeIn) error {
			if in.Node == "" {
				return api.Errorf("peer.ban", api.Invalid, "node: name one")
			}
			if err := k.setMeta(metaBan+string(in.Node), []byte(in.Reason), true); err != nil {
				return err
			}
			k.net.t.Ban(in.Node, in.Reason)
			return nil
		})),
		api.Handle(op("unban", "POST", "peer:write", "Take a ban back"), act(func(_ context.Context, in *NodeIn) error {
			b := k.st.NewBatch()
			defer b.Close()
			fold.DeleteMeta(b, metaBan+string(in.Node))
			if err := k.st.Commit(b, true); err != nil {
				return err
			}
			k.net.t.Unban(in.Node)
			return nil
		})),
		api.Handle(op("cut", "POST", "peer:write", "Stay away from a node, or from all, for a while"), act(func(_ context.Context, in *NodeIn) error {
			var until time.Time
			if in.Seconds > 0 {
				until = k.opt.Now().Add(time.Duration(in.Seconds) * time.Second)
			}
			k.net.t.Cut(in.Node, until)
			return nil
		})),
		api.Handle(op("mend", "POST", "peer:write", "End a cut and connect again"), act(func(_ context.Context, in *NodeIn) error {
			k.net.t.Mend(in.Node)
			return nil
		})),
	}
}

func (k *Kernel) opPeers(context.Context, *api.Call, *None) (*PeerList, error) {
	out := &PeerList{Peers: []PeerOut{}}
	if k.net == nil {
		return out, nil
	}
	for _, p := range k.net.t.Peers() {
		o := PeerOut{
			Node: p.Node, Addresses: p.Addresses, Members: []api.DID{}, State: "up", Since: p.Since.UTC(), RTT: float64(p.RTT.Microseconds()) / 1000,
			Sent: p.Sent, Received: p.Received, Spaces: len(p.Spaces), Inbound: p.Inbound, Build: p.Build,
		}
		for _, m := range p.Members {
			o.Members = append(o.Members, m.DID)
		}
		out.Peers = append(out.Peers, o)
	}
	for node, reason := range k.net.t.Bans() {
		out.Peers = append(out.Peers, PeerOut{Node: node, State: "banned", Reason: reason})
	}
	for node, until := range k.net.t.Cuts() {
		out.Peers = append(out.Peers, PeerOut{Node: node, State: "cut", Until: until})
	}
	slices.SortStableFunc(out.Peers, func(a, b PeerOut) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return out, nil
}
