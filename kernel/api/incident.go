package api

import "time"

// Kinds of incidents that the kernel reports. The list may grow: an observer treats a kind that it does not know as one it has no opinion on.
const (
	BadSignature = "bad-signature" // a record, or a message between nodes, that was not signed by who it names
	Malformed    = "malformed"     // bytes sent as a record that are none
	Oversized    = "oversized"     // a record over the limit of its format
	BadFrame     = "bad-frame"     // a frame that breaks the protocol of sessions, of reconciliation or of messages
	BadHandshake = "bad-handshake" // a handshake whose proofs do not hold
	Flood        = "flood"         // records pushed, or messages sent, far above the rate that this node takes them at, and not taken
	Replay       = "replay"        // a message that was taken before, or that its signer did not send by this session
	Excess       = "excess"        // more at once, asked or answered, than the protocol allows
	Unasked      = "unasked"       // an answer to no question
	Unshared     = "unshared"      // a frame about a space that is not shared: happens to the honest while access changes
	ForkEvidence = "fork-evidence" // two signed records at one place of a feed
	Conflicting  = "conflicting"   // enough have stated two positions of a feed final of which neither continues the other: some of them lie
	Divergence   = "divergence"    // the same records come to another state here than elsewhere; an app reports it, see IncidentHost
)

// Incident is something that went wrong as this node saw it, without an opinion on whose fault it is or what should follow.
//
// Node is never taken from what was sent: it is the peer that proved its key in the session's handshake. Who brings a fork's evidence has done
// no wrong, so Node is empty there.
type Incident struct {
	Kind   string
	Node   DID           // whose session brought it; empty when that does not matter
	Author DID           // of the feed concerned; empty for none
	Feed   Hash          // concerned; zero for none
	Seq    uint64        // place in Feed; 0 for none
	Count  uint64        // how often since At, at least 1
	At     time.Time     // the first of these
	Over   time.Duration // from the first to the report
	Detail string        // of the first, for people, at most 200 bytes; may quote what the peer sent

	// Evidence convinces whoever was not there, when Proven is set. For a fork: the key event that certifies the feed's device, then two whole
	// signed envelopes. It may be missing when it could not be read.
	Evidence [][]byte
	Proven   bool
}

// IncidentObserver is an app that wants to know what went wrong. Observe is called by one goroutine, in order; it must not block. Incidents
// of one kind and peer that come in quick succession arrive as one with a count, and in a storm some kinds of some peers are not reported at all.
type IncidentObserver interface {
	App
	Observe(Incident)
}

// IncidentHost is a Host that passes incidents on to the observers and counts them. Every Host of the kernel is one; a test's may not be.
type IncidentHost interface {
	Host
	// Report passes on an incident that only an app can see. The time is set.
	Report(Incident)
}
