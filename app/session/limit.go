package session

import (
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Failing proofs are limited, by DID and overall: verifying a key event log takes up to 128 signatures. A device that this node knows is not held up by
// either, or anybody could lock anybody out by failing in their name.
const (
	failuresEach   = 10 // of a DID, at once
	eachPerSecond  = 0.2
	failuresAll    = 100 // of all, at once
	allPerSecond   = 20
	maxLimited     = 4096 // DIDs; beyond that the limit overall has to do
	fullAgainAfter = time.Duration(failuresEach / eachPerSecond * float64(time.Second))
)

// limits counts failures. It is safe for concurrent use.
type limits struct {
	mu  sync.Mutex
	all bucket
	by  map[api.DID]*bucket
}

// bucket is a token bucket: what is left, and when that was so.
type bucket struct {
	left float64
	at   time.Time
}

func (b *bucket) refill(now time.Time, most, perSecond float64) {
	if d := now.Sub(b.at); d > 0 {
		b.left, b.at = min(most, b.left+d.Seconds()*perSecond), now
	}
}

func newLimits() limits {
	return limits{all: bucket{left: failuresAll}, by: map[api.DID]*bucket{}}
}

// spent reports whether another failure of a DID, or of anybody, would be too many.
func (l *limits) spent(now time.Time, did api.DID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.refill(now, failuresAll, allPerSecond)
	b := l.by[did]
	if b != nil {
		b.refill(now, failuresEach, eachPerSecond)
	}
	return l.all.left < 1 || b != nil && b.left < 1
}

// failed counts a failure of a DID; one that was costly counts for all as well.
func (l *limits) failed(now time.Time, did api.DID, costly bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if costly {
		l.all.refill(now, failuresAll, allPerSecond)
		l.all.left = max(0, l.all.left-1)
	}
	b := l.by[did]
	if b == nil {
		if len(l.by) >= maxLimited {
			return
		}
		b = &bucket{left: failuresEach, at: now}
		l.by[did] = b
	}
	b.refill(now, failuresEach, eachPerSecond)
	b.left = max(0, b.left-1)
}

// forget drops who has not failed for so long that nothing is left of it.
func (l *limits) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for did, b := range l.by {
		if now.Sub(b.at) >= fullAgainAfter {
			delete(l.by, did)
		}
	}
}
