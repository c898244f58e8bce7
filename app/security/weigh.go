package security

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Level is what follows from the points that somebody has.
type Level uint8

// The levels, rising.
const (
	None Level = iota
	Warn
	Throttle
	Quarantine
	Ban
)

// String returns the lower-case name.
func (l Level) String() string {
	return [...]string{"none", "warn", "throttle", "quarantine", "ban"}[min(l, Ban)]
}

// Points are counted in thousandths.
const (
	point = 1000
	// most keeps the past from weighing for ever: from here a ban's threshold is one half-life away.
	most = 200 * point
	// burst is the most that one report counts, so that nobody falls through two levels at once.
	burst = 20 * point
	// halfLife is how long points take to halve. Noise of one point every four minutes stays below the threshold of a throttle for ever.
	halfLife = time.Hour

	banFirst  = time.Hour           // the first ban; each later one lasts twice as long
	banMost   = 7                   // doublings: the longest ban is five days
	banForget = 30 * 24 * time.Hour // then the next ban is a first one again

	maxForks  = 32  // proven forks remembered of one author
	maxKinds  = 16  // kinds of incidents counted of one subject
	maxDetail = 200 // bytes
)

// thresholds are the points from which a level holds, in thousandths.
var thresholds = [...]int64{None: 0, Warn: 10 * point, Throttle: 25 * point, Quarantine: 50 * point, Ban: 100 * point}

// holds is how long a level stands at least once it is entered: long enough that the points' decay does not lift it between two reports.
func (l Level) holds(bans int) time.Duration {
	switch l {
	case Throttle:
		return 10 * time.Minute
	case Quarantine:
		return 30 * time.Minute
	case Ban:
		return banFirst << min(max(bans-1, 0), banMost)
	}
	return 0
}

// pushes is how many records a node may push to this one. A healthy node takes in about 25,000 a second at most, so the normal limit is above
// what an honest peer can keep up; a burst must hold the largest frame, of 64 records.
func (l Level) pushes() api.RateLimit {
	if l >= Throttle {
		return api.RateLimit{PerSecond: 200, Burst: 512}
	}
	return api.RateLimit{PerSecond: 40_000, Burst: 80_000}
}

// appends is how many records a second are taken from an author, nil for no limit of ours.
func (l Level) appends() *api.RateLimit {
	switch l {
	case Throttle:
		return &api.RateLimit{PerSecond: 5, Burst: 5}
	case Quarantine, Ban:
		return &api.RateLimit{PerSecond: 1, Burst: 1}
	}
	return nil
}

// weight is what an incident counts, in thousandths of a point. Honest nodes verify before they pass on, so what does not verify is the sender's
// doing. What happens to the honest while access changes or a session ends counts nothing or next to it.
func weight(i *api.Incident) int64 {
	each := int64(0)
	switch i.Kind {
	case api.BadSignature:
		each = 10 * point
	case api.BadHandshake, api.BadFrame:
		each = 8 * point
	case api.Malformed, api.Oversized: // perhaps a form that this build does not know yet
		each = 4 * point
	case api.Replay: // a link may deliver twice, an honest node never says another's words
		each = 2 * point
	case api.Excess, api.Unasked:
		each = point / 2
	case api.ForkEvidence:
		return 30 * point // once for each forked feed, whoever says so and how often
	case api.Flood:
		return floodWeight(i)
	}
	return min(each*int64(min(max(i.Count, 1), burst)), burst)
}

// floodWeight is 20 points for each second's worth of records above the normal limit. What a throttled node pushed and would have been taken at
// the normal limit is no offence: it is our throttle that left it out. The level at the time is not asked, in favour of the peer.
func floodWeight(i *api.Incident) int64 {
	normal, slow := int64(None.pushes().PerSecond), int64(Throttle.pushes().PerSecond)
	over := min(max(i.Over, time.Second), time.Hour).Milliseconds()
	excess := int64(min(i.Count, 1<<40)) - (normal-slow)*over/1000
	return min(max(excess, 0)*(burst/point)*point/normal, burst)
}

// fork names a forked feed and its lowest forked place.
type fork struct {
	_    struct{} `cbor:",toarray"`
	Feed api.Hash
	Seq  uint64
}

// tally counts incidents of one kind.
type tally struct {
	_     struct{} `cbor:",toarray"`
	Kind  string
	Count uint64
	Last  int64 // Unix milliseconds
}

// subject is all that is kept of one node or author. It is a row of the local store; times are Unix milliseconds. The zero subject is innocent.
type subject struct {
	_        struct{} `cbor:",toarray"`
	Points   int64    // at At, in thousandths, 0 to most
	At       int64
	Level    Level // entered at Since, stands at least until Until
	Since    int64
	Until    int64
	Bans     int
	Banned   int64   // when the last ban was entered
	Kinds    []tally // in order of kind
	Forks    []fork  // in the order in which they became known
	Pardoned int64   // by a record or on this node; what is older has no effect
	Detail   string  // of the last incident
}

// points returns what is left at now. A clock that steps back takes nothing away.
func (s *subject) points(now time.Time) int64 { return decayed(s.Points, now.UnixMilli()-s.At) }

// decayed returns what is left of points after so many milliseconds, rounded down.
func decayed(points, past int64) int64 {
	if past <= 0 || points == 0 {
		return points
	}
	return int64(float64(points) * math.Exp2(-float64(past)/float64(halfLife.Milliseconds())))
}

// level returns what holds at now: what the points say, or the level entered last while it stands, whichever is more.
func (s *subject) level(now time.Time) Level {
	l := byPoints(s.points(now))
	if now.UnixMilli() < s.Until {
		l = max(l, s.Level)
	}
	return l
}

func byPoints(p int64) Level {
	l := None
	for l < Ban && p >= thresholds[l+1] {
		l++
	}
	return l
}

// expires returns when the level of now gives way to a lower one if nothing more happens; the zero time without a level.
func (s *subject) expires(now time.Time) time.Time {
	l := s.level(now)
	if l == None {
		return time.Time{}
	}
	at := now
	if s.points(now) >= thresholds[l] {
		// Two milliseconds more than it takes: times are rounded down to one.
		takes := time.Duration(math.Log2(float64(s.Points)/float64(thresholds[l])) * float64(halfLife))
		at = time.UnixMilli(s.At).Add(takes + 2*time.Millisecond)
	}
	if until := time.UnixMilli(s.Until); l <= s.Level && until.After(at) {
		at = until
	}
	return at
}

// add weighs an incident and reports whether it changed anything. What is learned late (a report in a space that this node joins) counts as much
// as is left of it by now. Incidents of one instant may be added in any order.
func (s *subject) add(now time.Time, i *api.Incident) bool {
	if i.Kind == api.ForkEvidence && !s.learn(fork{Feed: i.Feed, Seq: i.Seq}) {
		return false
	}
	s.count(now, i)
	if len(i.Detail) > 0 {
		s.Detail = strings.ToValidUTF8(i.Detail[:min(len(i.Detail), maxDetail)], "") // of the peer's making: an odd byte must not make the row unreadable
	}
	left := decayed(weight(i), now.UnixMilli()-i.At.UnixMilli())
	s.Points, s.At = min(s.points(now)+left, most), max(now.UnixMilli(), s.At)
	s.enter(now, byPoints(s.Points))
	return true
}

// enter notes a level that the points have reached.
func (s *subject) enter(now time.Time, l Level) {
	ms := now.UnixMilli()
	stands := ms < s.Until
	if l < Throttle || stands && l < s.Level {
		return
	}
	if !stands || l > s.Level {
		s.Since = ms
		if l == Ban {
			if ms-s.Banned > banForget.Milliseconds() {
				s.Bans = 0
			}
			s.Bans, s.Banned = s.Bans+1, ms
		}
	}
	s.Level = l
	s.Until = max(s.Until, now.Add(l.holds(s.Bans)).UnixMilli())
}

// learn remembers a proven fork and reports whether it was new. Of more than maxForks the author is known well enough.
func (s *subject) learn(f fork) bool {
	for _, known := range s.Forks {
		if known.Feed == f.Feed {
			return false
		}
	}
	if len(s.Forks) >= maxForks {
		return false
	}
	s.Forks = append(s.Forks, f)
	return true
}

func (s *subject) count(now time.Time, i *api.Incident) {
	n := max(i.Count, 1)
	at, ok := slices.BinarySearchFunc(s.Kinds, i.Kind, func(t tally, k string) int {
		switch {
		case t.Kind < k:
			return -1
		case t.Kind > k:
			return 1
		}
		return 0
	})
	if !ok {
		if len(s.Kinds) >= maxKinds {
			return
		}
		s.Kinds = slices.Insert(s.Kinds, at, tally{Kind: i.Kind})
	}
	s.Kinds[at].Count += n
	s.Kinds[at].Last = now.UnixMilli()
}

const (
	// pardonEvery is the least time between two pardons by records that count, so that nobody is kept above all rules by a stream of them.
	pardonEvery = time.Hour
	// pardonLag is how much newer the last incident may be than a pardon that takes it back: clocks differ and records travel.
	pardonLag = time.Minute
)

// pardonAt follows a record's pardon, which states its time, and reports whether it did. A pardon seen again has no effect, nor has one for what
// was done after it.
func (s *subject) pardonAt(at, now time.Time) bool {
	ms := at.UnixMilli()
	if ms < s.Pardoned+pardonEvery.Milliseconds() || s.Points > 0 && ms+pardonLag.Milliseconds() < s.At {
		return false
	}
	s.pardon(now)
	s.Pardoned = ms
	return true
}

// pardon takes all points and levels back. Forks stay known, so that a report of one that comes later weighs nothing; bans stay counted.
func (s *subject) pardon(now time.Time) {
	s.Pardoned = now.UnixMilli()
	s.Points, s.At = 0, now.UnixMilli()
	s.Level, s.Since, s.Until = None, 0, 0
}

// stale reports whether nothing would be lost by forgetting the subject.
func (s *subject) stale(now time.Time) bool {
	ms := now.UnixMilli()
	return s.points(now) < point && ms >= s.Until && len(s.Forks) == 0 && ms-s.Banned > banForget.Milliseconds() && ms-s.Pardoned > banForget.Milliseconds()
}
