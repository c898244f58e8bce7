package kerneltest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// PeerLog is a transport.Handler that answers from its fields and remembers what it is told. Set fields before the transport starts, or
// with Set.
type PeerLog struct {
	mu      sync.Mutex
	Tell    transport.Local
	Shown   []byte                      // Proof
	Check   func(*transport.Peer) error // Admit; nil admits everybody
	OnFrame func(node api.DID, f wire.Frame)

	ups, downs, bads map[api.DID]int
	peers            map[api.DID]transport.Peer
	frames           map[api.DID][]wire.Frame
	errs             map[api.DID]error
	broken           []string // calls out of order
}

var _ transport.Handler = (*PeerLog)(nil)

// NewPeerLog returns a log of a node that follows the spaces and serves the devices of the signers.
func NewPeerLog(spaces []api.Hash, served ...api.Signer) *PeerLog {
	return &PeerLog{
		Tell: transport.Local{Spaces: spaces, Members: served}, ups: map[api.DID]int{}, downs: map[api.DID]int{}, bads: map[api.DID]int{},
		peers: map[api.DID]transport.Peer{}, frames: map[api.DID][]wire.Frame{}, errs: map[api.DID]error{},
	}
}

// Set changes fields while the transport runs.
func (l *PeerLog) Set(f func(*PeerLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// Local implements transport.Handler.
func (l *PeerLog) Local() transport.Local {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Tell
}

// Proof implements transport.Handler.
func (l *PeerLog) Proof(api.DID) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Shown
}

// Admit implements transport.Handler.
func (l *PeerLog) Admit(p *transport.Peer) error {
	l.mu.Lock()
	check := l.Check
	l.mu.Unlock()
	if check == nil {
		return nil
	}
	return check(p)
}

// Up implements transport.Handler.
func (l *PeerLog) Up(p *transport.Peer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ups[p.Node]++
	l.peers[p.Node] = *p
}

// Frame implements transport.Handler.
func (l *PeerLog) Frame(node api.DID, f wire.Frame) {
	l.mu.Lock()
	on := l.OnFrame
	if _, up := l.peers[node]; !up {
		l.broken = append(l.broken, "a frame of a peer that is not up")
	}
	l.frames[node] = append(l.frames[node], f)
	l.mu.Unlock()
	if on != nil {
		on(node, f)
	}
}

// Down implements transport.Handler.
func (l *PeerLog) Down(node api.DID, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.downs[node]++
	l.errs[node] = err
	if _, up := l.peers[node]; !up || err == nil {
		l.broken = append(l.broken, fmt.Sprintf("down (%v) of a peer that is up: %v", err, up))
	}
	delete(l.peers, node)
}

// Bad implements transport.Handler.
func (l *PeerLog) Bad(node api.DID, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bads[node]++
	if reason == "" {
		l.broken = append(l.broken, "bad without a reason")
	}
}

// Peer returns the peer as Up last showed it, while it is up.
func (l *PeerLog) Peer(node api.DID) (transport.Peer, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.peers[node]
	return p, ok
}

// Counts returns how often Up, Down and Bad were called for node.
func (l *PeerLog) Counts(node api.DID) (ups, downs, bads int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ups[node], l.downs[node], l.bads[node]
}

// Frames returns what came from node.
func (l *PeerLog) Frames(node api.DID) []wire.Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.frames[node])
}

// Err returns the last Down's error of node.
func (l *PeerLog) Err(node api.DID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs[node]
}

// Broken returns the calls that came out of order.
func (l *PeerLog) Broken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.broken)
}
