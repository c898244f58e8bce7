package api

import (
	"context"
	"time"
)

// Asker is a Host that can ask other nodes. Every Host of the kernel is one; a test's may not be.
//
// A question goes to a node with a session, signed with this node's key; sealed, nobody but that node can read it, nor the answer. It is served at
// most once, across restarts of the node too, and nothing of it is stored: what must last is a record.
type Asker interface {
	Host
	// Ask asks and waits for the answer, until ctx ends and for 10 seconds when it has no deadline; 2 minutes at most. An error has the kind that
	// the node answered with. Unavailable: no session with the node, or one that ended, or too many questions under way; Unsupported: the node
	// takes no questions, or none of this kind; Timeout: no answer, and the question may have been served all the same; TooLarge: a payload over
	// 512 KiB. Where nothing may wait, in a simulation, it is Unsupported: use AskThen.
	Ask(ctx context.Context, node DID, kind string, payload []byte, sealed bool) ([]byte, error)
	// AskThen asks without waiting: then is called once with what came of it within the given time (0: 10 seconds, 2 minutes at most), on a goroutine
	// of its own; in a simulation from within a step. When the node stops it may not be called. The payload must not be changed before.
	AskThen(within time.Duration, node DID, kind string, payload []byte, sealed bool, then func(answer []byte, err error))
}

// Responder is an app that answers questions of other nodes.
//
// Only a node is heard that has a session, serves a member who may follow a space that both nodes follow, and may ask by this node's policy; the
// rate at which it may is the oracles' too (the action "ask"). Whether it gets what it asks for is Respond's to decide.
type Responder interface {
	App
	// Requests says what can be asked. It is called once, before the node starts.
	Requests() []RequestSpec
	// Respond answers a question. Several are served at once; ctx ends when nobody waits any more, 10 seconds after the question came. The kind of an
	// error and its text go to whoever asks, but of this node's own failures, Internal and Other, the kind only.
	Respond(ctx context.Context, host Host, r *PeerRequest) ([]byte, error)
}

// RequestSpec is one kind of question that an app answers.
type RequestSpec struct {
	Kind       string    // the app's name, a dot and a word: at most 64 of a-z 0-9 - _ . :
	Rate       RateLimit // of one asker; the zero RateLimit leaves it to what the oracles allow
	MaxRequest int       // bytes of a payload; 0 means 64 KiB, at most 512 KiB
	Sealed     bool      // take it sealed only
}

// PeerRequest is a question of another node.
type PeerRequest struct {
	From    DID   // who signed it: the node, or one of its Members
	Node    DID   // whose session it came by, proved by the handshake
	Members []DID // whom that node serves, proved by the handshake; read only
	Kind    string
	Payload []byte
	Sealed  bool
}
