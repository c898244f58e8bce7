package gate

import (
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Never is the delay that Take answers when waiting does not help: the limit does not hold that many tokens.
const Never = time.Duration(math.MaxInt64)

// second is the number of parts a token is counted in: with PerSecond in tokens, parts accrue in whole numbers per
// nanosecond. The fullest bucket, 2^32-1 tokens, is 4.3e18 parts and fits an int64.
const second = int64(time.Second)

// Limiter is a set of token buckets, one for each actor. The limit comes with each call, so it may differ between actors and
// change at any time. It is safe for concurrent use and deterministic.
type Limiter struct {
	mu      sync.Mutex
	max     int
	buckets *lru[api.DID, bucket]
}

type bucket struct {
	parts int64     // tokens in it, in 1/second
	at    time.Time // when that was so
	full  time.Time // when it will be full, by the limit of the last call
}

// NewLimiter returns a Limiter of at most limit buckets (at least 1), about 200 bytes each. Beyond that the bucket that was
// not used for the longest is forgotten: its actor starts anew with a full one.
func NewLimiter(limit int) *Limiter {
	return &Limiter{max: max(limit, 1), buckets: newLRU[api.DID, bucket]()}
}

// Take takes n tokens out of who's bucket if it holds that many, else none, and then returns after what delay it will; Never
// if it cannot. A new bucket is full. When the limit has changed, what accrued since the last call accrues by the new one,
// and a lower burst spills what is above it. Less than one token is taken as nothing and always allowed.
func (l *Limiter) Take(now time.Time, who api.DID, limit api.RateLimit, n int) (ok bool, retryAfter time.Duration) {
	if n <= 0 {
		return true, 0
	}
	if int64(n) > int64(limit.Burst) {
		return false, Never
	}
	size := int64(limit.Burst) * second
	want := int64(n) * second

	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets.get(who)
	if b == nil {
		b = l.add(who, now, size)
	}
	b.refill(now, limit, size)
	missing := want - b.parts
	if missing <= 0 {
		b.parts -= want
	}
	b.full = later(now, size-b.parts, limit)
	switch {
	case missing <= 0:
		return true, 0
	case limit.PerSecond == 0:
		return false, Never
	}
	return false, time.Duration(ceilDiv(missing, int64(limit.PerSecond)))
}

// Len returns the number of buckets kept.
func (l *Limiter) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buckets.len()
}

// add makes a full bucket. It first forgets up to two old buckets that are full by now, which nobody can tell from new ones: so the
// set shrinks again after a rush, at no more than constant cost per call.
func (l *Limiter) add(who api.DID, now time.Time, size int64) *bucket {
	for range 2 {
		if b := l.buckets.oldest(); b == nil || now.Before(b.full) {
			break
		}
		l.buckets.drop()
	}
	if l.buckets.len() >= l.max {
		l.buckets.drop()
	}
	return l.buckets.put(who, bucket{parts: size, at: now})
}

func (b *bucket) refill(now time.Time, limit api.RateLimit, size int64) {
	// A clock that steps back adds nothing, and time counts on from there.
	if since := int64(now.Sub(b.at)); since > 0 && limit.PerSecond > 0 {
		if room := size - b.parts; since >= ceilDiv(max(room, 0), int64(limit.PerSecond)) {
			b.parts = size
		} else {
			b.parts += since * int64(limit.PerSecond)
		}
	}
	b.parts = min(b.parts, size)
	b.at = now
}

// later returns when missing parts will have accrued.
func later(now time.Time, missing int64, limit api.RateLimit) time.Time {
	if limit.PerSecond == 0 {
		return now.Add(Never)
	}
	return now.Add(time.Duration(ceilDiv(missing, int64(limit.PerSecond))))
}

func ceilDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 {
		q++
	}
	return q
}

// RateReason says that a Limiter refused: by which limit, and when to come back.
func RateReason(domain api.Domain, limit api.RateLimit, retryAfter time.Duration) *api.Reason {
	r := &api.Reason{
		Domain: domain, Rule: "rate-limit", Text: "too many requests in too short a time",
		Inputs: map[string]string{
			"per_second": strconv.FormatUint(uint64(limit.PerSecond), 10),
			"burst":      strconv.FormatUint(uint64(limit.Burst), 10),
		},
	}
	if retryAfter == Never {
		r.Text = "the rate limit never allows so many at once"
		r.Remedy = "send fewer at once, or ask for a higher limit"
		return r
	}
	r.Inputs["retry_after_ms"] = strconv.FormatInt(ceilDiv(int64(retryAfter), int64(time.Millisecond)), 10)
	r.Remedy = "try again after " + retryAfter.String()
	return r
}
