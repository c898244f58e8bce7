package courier

import (
	"io"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Options configures a Core.
type Options struct {
	Self   wire.Signer   // signs as this node; its DID is what others address
	Random io.Reader     // of nonces; cryptographically secure
	Domain api.Domain    // named in reasons
	Window time.Duration // how far a sender's clock may be off; default 30 s, 1 s to 10 min
	// May says whether what from has signed is taken by the session with peer. An error goes back as the answer, but for one of the kind
	// api.Unauthenticated: then from is nobody who speaks by that session, and nothing is said. Nil takes all that is signed.
	May func(peer, from api.DID) error

	// Sealing; all three, or none for a node that neither seals nor opens.
	Key  []byte        // the public key that others seal to
	Seal wire.SealFunc //
	Open wire.OpenFunc //

	Timeout    time.Duration // of a question that states none, and of serving a request; default 10 s
	MaxTimeout time.Duration // of any question; default 2 min
	Asking     int           // questions under way in all; default 1024
	AskingPeer int           // questions under way to one peer; default 64
	Serving    int           // requests being served in all; default 256
	ServePeer  int           // requests being served for one peer; default 16
	MaxHeld    int           // bytes of questions that may have to be sealed again; default 32 MiB
	MaxKeys    int           // peers whose key is remembered; default 1024
	KeyAge     time.Duration // after which a peer's key is asked for anew; default 1 h
	Rate       api.RateLimit // messages taken from a peer for which Up gave no limit; default 50/s, burst 200
	Replay     gate.ReplayOptions
}

// EnsureDefaults fills the fields that are zero. The replay guard's window is the Window.
func (o *Options) EnsureDefaults() {
	setDefault(&o.Window, 30*time.Second)
	setDefault(&o.Timeout, 10*time.Second)
	setDefault(&o.MaxTimeout, 2*time.Minute)
	setDefault(&o.Asking, 1024)
	setDefault(&o.AskingPeer, 64)
	setDefault(&o.Serving, 256)
	setDefault(&o.ServePeer, 16)
	setDefault(&o.MaxHeld, 32<<20)
	setDefault(&o.MaxKeys, 1024)
	setDefault(&o.KeyAge, time.Hour)
	setDefault(&o.Rate, api.RateLimit{PerSecond: 50, Burst: 200})
	o.Replay.MaxAge, o.Replay.MaxAhead = o.Window, o.Window
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate reports the first field that is missing or out of range.
func (o *Options) Validate() error {
	bad := func(format string, args ...any) error {
		return api.Errorf("courier.options", api.Invalid, format, args...)
	}
	switch {
	case o.Self == nil || o.Random == nil:
		return bad("no signer or no randomness")
	case o.Window < time.Second || o.Window > 10*time.Minute:
		return bad("window %s: want 1 s to 10 min", o.Window)
	case (o.Key == nil) != (o.Seal == nil) || (o.Key == nil) != (o.Open == nil):
		return bad("key, seal and open go together")
	case o.Timeout < 0 || o.MaxTimeout < o.Timeout:
		return bad("timeout %s, at most %s: want more than 0, and the first not above the second", o.Timeout, o.MaxTimeout)
	case o.KeyAge < 0:
		return bad("key age %s: want more than 0", o.KeyAge)
	}
	for _, n := range []struct {
		name string
		n    int
	}{
		{"questions", o.Asking},
		{"questions to a peer", o.AskingPeer},
		{"requests", o.Serving},
		{"requests of a peer", o.ServePeer},
		{"bytes held", o.MaxHeld},
		{"keys", o.MaxKeys},
	} {
		if n.n < 1 {
			return bad("%s %d: want at least 1", n.name, n.n)
		}
	}
	return nil
}

// Handler says how requests of one kind are taken.
type Handler struct {
	Rate       api.RateLimit // of one asker; the zero RateLimit leaves it to the peer's
	MaxRequest int           // bytes of a payload; 0 means 64 KiB, at most wire.MaxPayload
	Sealed     bool          // take it sealed only
	// Serve answers at once, without I/O and without waiting. When it is nil the request goes to Output.Requests, and the shell calls Answer.
	Serve func(now time.Time, r *Request) ([]byte, error)
}

const defaultRequest = 64 << 10
