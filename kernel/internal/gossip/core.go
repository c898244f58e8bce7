// Package gossip decides what a node says to its peers so that all nodes that follow a space come to hold the same records: whom to push new
// records to, whom to ask for missing ones, and how to find out which are missing.
//
// It is not a transport, it checks no signature and it never looks into an envelope. It knows peers by the DID of their node, spaces and
// feeds by their hash, and the node's own records through Log. It is pure: time comes as an argument, choices come from Options.Seed, and
// equal inputs give equal outputs.
//
// Three mechanisms work together. New records travel at once along a tree that grows by itself (Plumtree: Leitao, Pereira and Rodrigues,
// "Epidemic Broadcast Trees", 2007): eager peers get the records, lazy peers get announcements; who pushes duplicates is pruned, whose
// announcement turns out to be news is grafted. Anti-entropy compares digests when peers meet, on a timer and after trouble, and reconciles
// heads exactly: digest, buckets, prints, heads (see reconcile.go). Wants fetch what is known to be missing, again and elsewhere until it is
// here (see want.go). Push may lose anything; anti-entropy finds it.
//
// First call: New, then Follow and PeerUp; after each batch of inputs take Ready and do what it says, and call Tick every
// Options.TickEvery. A Core belongs to one goroutine. Everything in it is bounded, by Options and by the constants of this file; only heads
// (about 140 bytes for each feed) grow with the spaces followed. docs/protocol.md section 5 is normative for the frames.
package gossip

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Log is what a Core reads of the node's own records.
type Log interface {
	// Heads returns the applied heads of all feeds of a space. It is called once when the space is followed.
	Heads(space api.Hash) []Head
	// Has reports whether a record is stored, on whatever branch.
	Has(p api.Position) bool
	// Range returns what is held of the records from..at.Seq of the branch that ends in at.ID (zero: the node's own branch), in order and
	// without gaps from `from`, and whether more of them follow. It returns at least one record when it holds one; beyond that at most
	// maxRecords and maxBytes. When it does not know at.ID, or does not hold `from`, it returns none.
	Range(feed api.Hash, from uint64, at api.Position, maxRecords, maxBytes int) (envelopes [][]byte, more bool)
	// Proof returns the records that make what is final of a feed final, as few as are enough, on whatever branches they lie.
	Proof(feed api.Hash) []api.Position
	// Founded reports whether the record that founds a space is held and counts. It is called once when the space is followed.
	Founded(space api.Hash) bool
}

// Head is one feed's applied tip. Feed, Seq, ID, Fork and Final must be a function of the records held, in whatever order they came, else two nodes
// that hold the same records would reconcile for ever (in vain, and no more often than Options.AntiEntropyEvery).
type Head struct {
	Feed  api.Hash
	Seq   uint64
	ID    api.Hash
	Fork  uint64     // lowest forked seq, 0 for none
	Alt   []api.Hash // two ids held at Fork: any two will do
	Final uint64     // highest final seq, 0 for none; of a forked feed whose Seq is not below Fork, that Seq
}

// Item is a record that the node has just committed.
type Item struct {
	Space    api.Hash
	Position api.Position
	Head     Head    // the feed's head after the commit
	Envelope []byte  // must not change any more
	From     api.DID // the peer it came from, empty for the node's own
}

// Send is a frame to send. Its slices may be shared with other frames and must not be modified.
type Send struct {
	To    api.DID
	Frame wire.Frame
}

// Delivery is envelopes for ingest, unchecked. Solicited ones answer a Wants of ours.
type Delivery struct {
	From      api.DID
	Space     api.Hash
	Envelopes [][]byte
	Solicited bool
}

// Incident is misbehaviour of a peer that does no harm by itself.
type Incident struct {
	Node   api.DID
	Reason string
}

// Output is what the shell is to do, in order of the slices.
type Output struct {
	Send    []Send
	Deliver []Delivery
	Bad     []Incident
	More    bool // records wait to be served: call Ready again once these are under way
}

// Core is the state of one node's gossip.
type Core struct {
	opt    Options
	log    Log
	spaces map[api.Hash]*space
	peers  map[api.DID]*peer
	// The maps are for looking up; whatever is done for all is done in the order of these, so that runs are reproducible.
	spaceList []*space // ascending by id
	peerList  []*peer  // ascending by node
	seen      seen
	rnd       uint64    // how many random values were drawn
	slot      int       // last peer slot given
	turn      int       // whom to serve first
	order     uint64    // last number given to a want
	now       time.Time // of the last input that told it
	flush     []*link   // scratch
	out       Output
}

// New returns a Core that follows nothing and knows nobody. It panics when o is not valid.
func New(o Options, log Log) *Core {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		panic(err)
	}
	return &Core{opt: o, log: log, spaces: map[api.Hash]*space{}, peers: map[api.DID]*peer{}, seen: newSeen()}
}

// Follow starts replicating a space with the peers that share it. It loads the heads. Until the space is founded here the node takes its records and
// gives none of them away: it cannot know yet who may have them.
func (c *Core) Follow(id api.Hash) {
	if c.spaces[id] != nil {
		return
	}
	sp := newSpace(id)
	sp.heads.load(c.log.Heads(id))
	sp.founded = c.log.Founded(id)
	c.spaces[id] = sp
	i, _ := slices.BinarySearchFunc(c.spaceList, id, func(s *space, id api.Hash) int { return compareHash(&s.id, &id) })
	c.spaceList = slices.Insert(c.spaceList, i, sp)
	for _, p := range c.peerList {
		if _, ok := p.shared[id]; ok {
			c.join(p, sp)
		}
	}
}

// Founded says that the record that founds a space has been committed and counts, and that PeerUp tells who may have the space.
func (c *Core) Founded(now time.Time, id api.Hash) {
	c.now = now
	sp := c.spaces[id]
	if sp == nil || sp.founded {
		return
	}
	sp.founded = true
	for _, l := range sp.links {
		l.soon(now)
	}
}

// Unfollow stops replicating a space and forgets what it knew of it.
func (c *Core) Unfollow(id api.Hash) {
	sp := c.spaces[id]
	if sp == nil {
		return
	}
	for _, l := range slices.Clone(sp.links) {
		c.part(l)
	}
	delete(c.spaces, id)
	c.spaceList = slices.DeleteFunc(c.spaceList, func(s *space) bool { return s == sp })
}

// PeerUp says that there is a session with node and which spaces it shares; again when these or the rank change. Higher ranks are preferred.
func (c *Core) PeerUp(now time.Time, node api.DID, spaces []api.Hash, rank float64) {
	c.now = now
	p := c.peers[node]
	if p == nil {
		p = &peer{node: node, slot: c.freeSlot(), links: map[api.Hash]*link{}}
		c.peers[node] = p
		i, _ := slices.BinarySearchFunc(c.peerList, node, func(p *peer, n api.DID) int { return strings.Compare(string(p.node), string(n)) })
		c.peerList = slices.Insert(c.peerList, i, p)
	}
	p.rank = rank
	p.shared = make(map[api.Hash]struct{}, len(spaces))
	for _, id := range spaces {
		p.shared[id] = struct{}{}
	}
	for _, sp := range c.spaceList {
		_, want := p.shared[sp.id]
		l := p.links[sp.id]
		switch {
		case want && l == nil:
			c.sayDigest(now, c.join(p, sp))
		case !want && l != nil:
			c.part(l)
			c.ensureEager(sp, nil)
		}
	}
	c.fill(now)
}

// PeerDown says that the session with node ended. What was asked of it is asked of others.
func (c *Core) PeerDown(now time.Time, node api.DID) {
	c.now = now
	p := c.peers[node]
	if p == nil {
		return
	}
	delete(c.peers, node)
	c.peerList = slices.DeleteFunc(c.peerList, func(q *peer) bool { return q == p })
	for _, sp := range c.spaceList {
		if l := p.links[sp.id]; l != nil {
			c.part(l)
			c.ensureEager(sp, nil)
		}
	}
	c.fill(now)
}

// SendFailed says that a frame to node was lost. Whatever it was, anti-entropy makes up for it.
func (c *Core) SendFailed(now time.Time, node api.DID) {
	c.now = now
	if p := c.peers[node]; p != nil {
		for _, l := range p.links {
			l.soon(now.Add(behindDelay))
		}
	}
}

// Refused says that ingest had no room for a delivery from node. The peer is asked for nothing for a while, longer each time, and
// reconciled with afterwards.
func (c *Core) Refused(now time.Time, node api.DID, space api.Hash) {
	c.now = now
	p := c.peers[node]
	if p == nil {
		return
	}
	p.pause = min(max(2*p.pause, refusedLeast), refusedMost)
	p.paused = now.Add(p.pause)
	if l := p.links[space]; l != nil {
		l.soon(p.paused)
	}
}

// Frame takes a frame that node sent. Frames that are none of gossip's are ignored.
func (c *Core) Frame(now time.Time, node api.DID, f wire.Frame) {
	c.now = now
	p := c.peers[node]
	if p == nil {
		return // the session ended while the frame was on its way here
	}
	var id []byte
	switch f := f.(type) {
	case *wire.Push:
		id = f.Space
	case *wire.Have:
		id = f.Space
	case *wire.Graft:
		id = f.Space
	case *wire.Prune:
		id = f.Space
	case *wire.Digest:
		id = f.Space
	case *wire.Buckets:
		id = f.Space
	case *wire.Sketch:
		id = f.Space
	case *wire.Probe:
		id = f.Space
	case *wire.Heads:
		id = f.Space
	case *wire.Wants:
		id = f.Space
	case *wire.Records:
		id = f.Space
	default:
		return
	}
	if len(id) != len(api.Hash{}) {
		c.incident(p, "space of a wrong length")
		return
	}
	l := p.links[api.Hash(id)]
	if l == nil {
		// A peer may be ahead of our own Follow or behind our Unfollow, or let in by a record that is not here yet; a space that it never shared
		// and that is not followed here is another matter.
		if _, ok := p.shared[api.Hash(id)]; !ok && c.spaces[api.Hash(id)] == nil {
			c.incident(p, "frame in a space that is not shared")
		}
		return
	}
	switch f := f.(type) {
	case *wire.Push:
		c.push(now, l, f)
	case *wire.Have:
		c.announced(now, l, f)
	case *wire.Graft:
		c.graft(l)
	case *wire.Prune:
		c.pruned(l)
	case *wire.Digest:
		c.digest(now, l, f)
	case *wire.Buckets:
		c.buckets(now, l, f)
	case *wire.Sketch:
		c.sketch(now, l, f)
	case *wire.Probe:
		c.probe(now, l, f)
	case *wire.Heads:
		c.headsFrom(now, l, f)
	case *wire.Wants:
		c.enqueue(l, f)
	case *wire.Records:
		c.records(now, l, f)
	}
}

// Tick does what is due: announcements, digests, time-outs, wants.
func (c *Core) Tick(now time.Time) {
	c.now = now
	for _, p := range c.peerList {
		for _, a := range slices.Clone(p.asks) {
			if c.expired(now, a) {
				c.settle(now, a, !a.ended)
			}
		}
	}
	for _, sp := range c.spaceList {
		c.spread(now, sp)
		c.flushHaves(sp)
		for _, l := range sp.links {
			if !now.Before(l.due) {
				c.sayDigest(now, l)
			}
		}
	}
	c.fill(now)
}

// Ready returns what there is to do, including a bounded number of records served, and forgets it.
func (c *Core) Ready() Output {
	more := c.serve(c.opt.ServeRecords)
	o := c.out
	o.More = more
	c.out = Output{}
	return o
}

func (c *Core) send(p *peer, f wire.Frame) {
	c.out.Send = append(c.out.Send, Send{To: p.node, Frame: f})
}

func (c *Core) incident(p *peer, reason string) {
	c.out.Bad = append(c.out.Bad, Incident{Node: p.node, Reason: reason})
}

// random draws the next value of the stream that Seed determines.
func (c *Core) random() uint64 {
	c.rnd++
	h := sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64([]byte("icn-gossip"), c.opt.Seed), c.rnd))
	return binary.BigEndian.Uint64(h[:])
}
