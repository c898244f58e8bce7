package gossip

import (
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Bounds that are part of the protocol's shape rather than of an operator's choice.
const (
	pushBytes     = 256 << 10              // envelopes in one Push
	answerBytes   = 512 << 10              // envelopes in one Records
	maxEnvelope   = 64 << 10               // record.MaxSize: what one more envelope may add
	askRecords    = 1024                   // records in the answer to one Wants: the asker's window and the server's limit
	askBytes      = 8 << 20                // bytes in the answer to one Wants
	maxJobs       = 16                     // Wants of one peer waiting to be served
	maxClaims     = 4                      // peers remembered as having the tip of a feed
	maxOffer      = 2 * wire.MaxHeads      // heads told in one reconciliation; the rest are found in the next
	maxDirect     = 256                    // heads sketched without buckets first: their prints are smaller than the sums of the buckets
	maxProofs     = 32                     // feeds looked up in one reconciliation for what makes them final
	maxBucket     = 1024                   // heads sketched in one bucket; larger ones are divided
	saltedEvery   = 16                     // each such digest to a peer is salted, so that sets built to collide are found out
	newsFor       = 5 * time.Second        // how long what came by push is pushed on
	reconcileGap  = time.Second            // between two reconciliations with one peer in one space
	behindDelay   = 250 * time.Millisecond // before reconciling with a peer that lost a frame
	backoffLeast  = 4 * time.Second        // before asking again for what came but did not land: ingest may hold it
	backoffMost   = time.Minute            //
	forkDelay     = 2 * time.Second        // before asking for the branches of a fork whose common part is being fetched
	refusedLeast  = 500 * time.Millisecond // pause of a peer whose delivery had no room here
	refusedMost   = 8 * time.Second        //
	settleMost    = 10                     // times SettleAfter, however much else is being committed
	maxTries      = 6                      // answers of one claimant that bring nothing before its claim is forgotten
	fillScan      = 2048                   // wants looked at in one distribution to peers
	onePass       = 1 << 24                // what one pass over all heads of a space costs a peer
	spendBurst    = 8 * onePass            // reconciling once costs each side two
	spendRate     = 4 * onePass            // a second
	urgentReserve = 2                      // Wants in flight kept for what ingest misses
)

// Options configures a Core.
type Options struct {
	Seed             uint64        // of all choices; unpredictable to peers, since salts come from it
	Fanout           int           // eager peers of a space to begin with; default 6, 1 to 64
	TickEvery        time.Duration // how often the shell calls Tick; default 100 ms
	AntiEntropyEvery time.Duration // between two digests to one peer; default 10 s
	HaveDelay        time.Duration // how long an announced record may still arrive by push before it is asked for; default 500 ms
	AskTimeout       time.Duration // silence after which an unanswered Wants is taken elsewhere; default 10 s
	SettleAfter      time.Duration // how long commits may pause while those of an answer are awaited, before others are asked for; default 300 ms
	MaxInFlightWants int           // unanswered Wants for each peer; default 4, 1 to 12
	MaxWanted        int           // ranges wanted in one space, the oldest gives way; default 16384, at least 64
	ServeRecords     int           // records served in one Ready, all peers together; default 512, at least 1
}

// EnsureDefaults fills the fields that are zero.
func (o *Options) EnsureDefaults() {
	setDefault(&o.Fanout, 6)
	setDefault(&o.TickEvery, 100*time.Millisecond)
	setDefault(&o.AntiEntropyEvery, 10*time.Second)
	setDefault(&o.HaveDelay, 500*time.Millisecond)
	setDefault(&o.AskTimeout, 10*time.Second)
	setDefault(&o.SettleAfter, 300*time.Millisecond)
	setDefault(&o.MaxInFlightWants, 4)
	setDefault(&o.MaxWanted, 16384)
	setDefault(&o.ServeRecords, 512)
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// Validate reports the first field out of range.
func (o *Options) Validate() error {
	bad := func(format string, args ...any) error {
		return api.Errorf("gossip.options", api.Invalid, format, args...)
	}
	switch {
	case o.Fanout < 1 || o.Fanout > 64:
		return bad("fanout %d: want 1 to 64", o.Fanout)
	case o.MaxInFlightWants < 1 || o.MaxInFlightWants > 12:
		return bad("wants in flight %d: want 1 to 12", o.MaxInFlightWants)
	case o.MaxWanted < 64:
		return bad("ranges wanted %d: want at least 64", o.MaxWanted)
	case o.ServeRecords < 1:
		return bad("records served %d: want at least 1", o.ServeRecords)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"tick", o.TickEvery},
		{"anti-entropy interval", o.AntiEntropyEvery},
		{"have delay", o.HaveDelay},
		{"ask timeout", o.AskTimeout},
		{"settle time", o.SettleAfter},
	} {
		if d.d <= 0 {
			return bad("%s %s: want more than 0", d.name, d.d)
		}
	}
	return nil
}
