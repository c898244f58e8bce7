// Package transport is the node's peer-to-peer side: it finds other nodes, opens one authenticated session to each, and carries frames
// over it. It is the only code with peer sockets and the only one that knows libp2p.
//
// It is not gossip: what a frame says is none of its business, save the frames that make and keep a session (Hello, Members, Ping, Pong,
// AskPeers, Peers, Bye). It is not policy: whether a node may stay is asked through Handler.Admit. It may know node keys, member devices
// and space ids, never what they mean.
//
// Call New, then Serve in a goroutine of its own; every other method may be called concurrently, before Serve too (Dial waits for it).
//
// Invariants: at most one session per node; the peer's DID is the key that the QUIC handshake proved; Up, Frame and Down of one node never
// overlap and come as Up, Frame (and Up again after each refresh)..., Down. Queues, frames, sessions and handshakes are bounded.
//
// docs/protocol.md section 5 is normative.
package transport

import (
	"context"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Member is a device of a member that a node serves, proven by the device key's signature over the session.
type Member struct {
	DID    api.DID
	Device api.Key
}

// Peer is a node on the other end of a session. Handlers and Peers get copies whose slices must not be modified.
type Peer struct {
	Node      api.DID
	Members   []Member
	Spaces    []api.Hash // those of our spaces that the peer follows too, ascending
	Proof     []byte     // opaque evidence that the peer showed, nil for none
	Addresses []string   // where the peer says it listens, `icn://<its node did>@host:port`
	Build     string     // the peer's software, for people
	Features  []string   // capabilities, opaque names
	Version   uint16     // protocol version of the session
	Inbound   bool       // the peer opened the session
	Since     time.Time  // when the session came up
	RTT       time.Duration
	// Sent and Received count frames of this session, its own keeping included.
	Sent, Received uint64
}

// Local is what this node tells its peers. It is asked for anew at each handshake.
type Local struct {
	Spaces   []api.Hash   // followed spaces; at most wire.MaxSpaces are told
	Members  []api.Signer // devices served; at most wire.MaxMembers are told
	Features []string
}

// Handler is what transport needs of the node. Calls for different nodes come concurrently.
type Handler interface {
	// Local returns what to tell a peer.
	Local() Local
	// Proof returns opaque evidence to show that peer, at most wire.MaxProof bytes, or nil.
	Proof(peer api.DID) []byte
	// Admit decides whether a peer whose Hello and members have been verified may stay; an error's text goes to the peer in a Bye.
	// It is asked again when the peer refreshes. A session that was admitted may still not come up (a duplicate, a full table), and Admit
	// of a new session may come while an older one of the same node goes down.
	Admit(p *Peer) error
	// Up says that the session is usable, or that an open one was refreshed.
	Up(p *Peer)
	// Frame hands over a frame, in the order sent. It may block briefly: the peer is then slowed down. It owns the frame.
	Frame(node api.DID, f wire.Frame)
	// Down says that a session that was up has ended, and why; err is never nil.
	Down(node api.DID, err error)
	// Bad reports a peer that broke the protocol; its session is closed. It may come for a session that never was up.
	Bad(node api.DID, reason string)
}

// Transport is a node's place in the mesh.
type Transport interface {
	// Serve accepts, keeps and finds peers until ctx ends, then closes everything and returns nil. It runs once.
	Serve(ctx context.Context) error
	// Self returns the node's DID.
	Self() api.DID
	// Addresses returns where the node can be reached, best first, as `icn://<node did>@host:port`.
	Addresses() []string
	// Dial opens a session with the node at address, and keeps it: a lost session is dialled again until Close. It returns when the session is
	// up, at once if it is already. It fails with Invalid for a bad address or the node itself, Refused for a banned or cut node and when the
	// peer says no, Unsupported when the versions do not meet, Unavailable or Timeout when the node cannot be reached.
	Dial(ctx context.Context, address string) (api.DID, error)
	// Send queues a frame and never blocks. It fails with Unavailable when there is no session or the queue is full, Invalid for a frame
	// that only transport may send, and TooLarge. The frame must not be modified afterwards.
	Send(node api.DID, f wire.Frame) error
	// Close ends a session with a reason for people; the node is not dialled again until Dial. NotFound without a session.
	Close(node api.DID, reason string) error
	// Peers returns the sessions that are up, in order of DID.
	Peers() []Peer
	// Ban closes the session and refuses connections both ways until Unban. Bans do not outlive the process; of more than 65,536 the
	// oldest give way.
	Ban(node api.DID, reason string)
	Unban(node api.DID)
	// Bans returns the banned nodes with their reasons.
	Bans() map[api.DID]string
	// Cut closes the session and refuses connections both ways until the given time; the zero time means until Mend. The empty DID means
	// every node. A later Cut of the same node replaces the earlier one.
	Cut(node api.DID, until time.Time)
	// Mend ends a cut of the same DID at once, and dials the kept peers it held back.
	Mend(node api.DID)
	// Cuts returns the cuts in force and when they end, the zero time for none.
	Cuts() map[api.DID]time.Time
	// Refresh tells all peers what Local says now.
	Refresh()
	// Stats returns the counters since New.
	Stats() Stats
}

// Stats counts what happened since New. Sessions and Handshakes are current values, the rest only grows.
type Stats struct {
	Sessions, Handshakes         int
	FramesSent, FramesReceived   uint64
	BytesSent, BytesReceived     uint64 // on the streams, length prefixes included
	QueueFull                    uint64 // Sends refused for lack of room
	Dials, DialFailures          uint64
	Refused, Malformed, Replaced uint64 // handshakes refused by us; protocol breaks; sessions replaced by a newer one
}
