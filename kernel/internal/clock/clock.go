// Package clock is the hybrid logical clock that stamps a node's records (Kulkarni et al. 2014): the wall clock where that
// moves on, a counter where it does not, and never behind what the node has seen. It is not a source of time: the wall
// clock is given to it. It knows timestamps only, nothing of records or of those who send them. Beside it stands an Alarm, which holds the wall
// clock against time servers and tells people, not the hybrid clock, when they differ.
//
// The clock moves past its own wall clock only for what others show it, and never by more than the skew. So a stranger
// whose clock runs years ahead moves nobody, and what he dates is for the caller to hold until it is due (Ahead).
package clock

import (
	"math"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// maxMillis is the last wall reading that a Timestamp can hold (in the year 10889).
const maxMillis = math.MaxUint64 >> 16

// Clock is a hybrid logical clock. It is safe for concurrent use.
type Clock struct {
	wall func() time.Time
	skew time.Duration

	mu      sync.Mutex
	last    api.Timestamp // greatest reading given or merged
	dropped api.Timestamp // what Restore did not follow
}

// New returns a clock over the wall clock; wall must be safe for concurrent use. Skew is how far behind the clocks of honest
// peers this one may be; a negative skew is none.
func New(wall func() time.Time, skew time.Duration) *Clock {
	return &Clock{wall: wall, skew: max(skew, 0)}
}

// Now returns the next reading, greater than every reading before. While the wall clock stands still or steps back, the
// counter goes on: 65,536 readings to the millisecond.
func (c *Clock) Now() api.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last+1, api.MakeTimestamp(millis(c.wall()), 0))
	return c.last
}

// Last returns the greatest reading given or merged so far.
func (c *Clock) Last() api.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// Observe takes a reading of another node into account, so that later readings are greater, and reports whether it was
// ahead of wall clock + skew. A reading that is ahead, or exactly at that bound, is not merged: the counter thus has a full
// millisecond of readings left below the bound, whatever the counter of the other node.
func (c *Clock) Observe(remote api.Timestamp) (ahead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.limit()
	if remote.Millis() < limit {
		c.last = max(c.last, remote)
	}
	return remote.Millis() > limit
}

// Restore sets the clock, before it is first used, to the last reading that this node is known to have given, so that
// readings grow across restarts. A reading ahead of wall clock + skew is dropped and reported: it was made by a wall clock
// that has been put right since, and to follow it would keep the node ahead of all others.
func (c *Clock) Restore(last api.Timestamp) (ahead bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last.Millis() > c.limit() {
		c.dropped = last
		return true
	}
	c.last = max(c.last, last)
	return false
}

// Dropped returns the reading that Restore did not follow because it was ahead of wall clock + skew, and whether there was one.
func (c *Clock) Dropped() (last api.Timestamp, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dropped, c.dropped != 0
}

// Ahead reports whether ts is ahead of wall clock + skew, and if so the wall time at which it will no longer be.
func (c *Clock) Ahead(ts api.Timestamp) (due time.Time, ahead bool) {
	if ts.Millis() <= c.limit() {
		return time.Time{}, false
	}
	return ts.Time().Add(-c.skew), true
}

// limit returns wall clock + skew in Unix milliseconds. It takes no lock: wall and skew never change.
func (c *Clock) limit() int64 { return millis(c.wall().Add(c.skew)) }

// millis clamps a wall reading to what a Timestamp can hold: a machine that boots in 1969 must not wrap to the far future.
func millis(t time.Time) int64 { return min(max(t.UnixMilli(), 0), maxMillis) }
