package clock

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/beevik/ntp"

	"github.com/intercooperative/icn/kernel/api"
)

// Bounds of the alarm.
const (
	MinServers  = 3 // fewer cannot overrule one that is wrong
	MaxServers  = 16
	MinInterval = time.Minute     // what public servers bear
	queryWithin = 5 * time.Second // patience with one server
	backOff     = 8               // intervals for which a server that asks for less is left alone
)

// AlarmOptions configure an Alarm.
type AlarmOptions struct {
	Servers  []string      // host or host:port, MinServers to MaxServers
	Interval time.Duration // between two rounds; 0 means 15 minutes, at least MinInterval
	MaxSkew  time.Duration // how far the wall clock may be from the median; 0 means 10 s
	Within   time.Duration // patience with one server; 0 means 5 s
	Wall     func() time.Time
	Log      *slog.Logger
}

// EnsureDefaults fills in what is zero.
func (o *AlarmOptions) EnsureDefaults() {
	if o.Interval == 0 {
		o.Interval = 15 * time.Minute
	}
	if o.MaxSkew == 0 {
		o.MaxSkew = 10 * time.Second
	}
	if o.Within == 0 {
		o.Within = queryWithin
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Validate says which value is out of its range; the error is api.Invalid.
func (o *AlarmOptions) Validate() error {
	const op = "clock.alarm"
	switch {
	case len(o.Servers) < MinServers || len(o.Servers) > MaxServers:
		return api.Errorf(op, api.Invalid, "%d time servers: want %d to %d, so that one that is wrong does not count", len(o.Servers), MinServers, MaxServers)
	case o.Interval < MinInterval:
		return api.Errorf(op, api.Invalid, "interval %s: want %s or more", o.Interval, MinInterval)
	case o.MaxSkew < 0:
		return api.Errorf(op, api.Invalid, "greatest skew %s: want more than 0", o.MaxSkew)
	}
	return nil
}

// Reading is the outcome of one round of questions.
type Reading struct {
	At     time.Time     // by the wall clock that was held against the servers
	Offset time.Duration // what the wall clock lacks, by the median; positive: it is behind. Only when Known
	Known  bool          // MinServers or more gave a good answer
	Far    bool          // the offset is more than the greatest skew
	Good   int           // servers with a good answer
	Asked  int
	Errs   []error // one for each server without
}

// Alarm holds the wall clock against time servers and says when they differ. It sets no clock, and nothing is valid or invalid because of it.
// It is safe for concurrent use.
type Alarm struct {
	o AlarmOptions

	mu    sync.Mutex
	last  Reading
	rests map[string]time.Duration // how much longer a server is left alone, in the alarm's own time; never: it asked for good
}

// never is how long a server rests that does not want to be asked at all.
const never = time.Duration(1<<63 - 1)

// NewAlarm returns an alarm over valid options.
func NewAlarm(o AlarmOptions) (*Alarm, error) {
	o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Alarm{o: o, rests: map[string]time.Duration{}}, nil
}

// Last returns the newest reading, and whether there is one.
func (a *Alarm) Last() (Reading, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last, !a.last.At.IsZero()
}

// MaxSkew returns how far the wall clock may be from the median.
func (a *Alarm) MaxSkew() time.Duration { return a.o.MaxSkew }

// String names the service.
func (a *Alarm) String() string { return "clock alarm" }

// Serve asks at once and then at each interval until ctx ends, and returns nil. A change is logged once, not at each round.
func (a *Alarm) Serve(ctx context.Context) error {
	tick := time.NewTicker(a.o.Interval)
	defer tick.Stop()
	var before Reading
	for first := true; ; first = false {
		r := a.Check(ctx)
		if ctx.Err() != nil {
			return nil
		}
		switch {
		case r.Far && (first || !before.Far):
			a.o.Log.Warn("the wall clock is far from the time servers'; records of this node may have to wait at others", "offset", r.Offset, "most", a.o.MaxSkew, "servers", r.Good)
		case r.Known && !r.Far && before.Far:
			a.o.Log.Info("the wall clock is right again", "offset", r.Offset)
		case !r.Known && (first || before.Known):
			a.o.Log.Warn("too few time servers answer to tell whether the wall clock is right", "servers", r.Good, "want", MinServers, "err", errors.Join(r.Errs...))
		}
		before = r
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Check asks all servers, each for itself, and keeps what came out. It returns within the patience for one server.
func (a *Alarm) Check(ctx context.Context) Reading {
	ask := a.rested()
	type answer struct {
		server string
		offset time.Duration
		err    error
	}
	answers := make(chan answer, len(ask))
	for _, s := range ask {
		go func() {
			offset, err := a.query(ctx, s)
			answers <- answer{s, offset, err}
		}()
	}
	r := Reading{At: a.o.Wall(), Asked: len(ask)}
	var offsets []time.Duration
	for range ask {
		if got := <-answers; got.err != nil {
			r.Errs = append(r.Errs, got.err)
		} else {
			offsets = append(offsets, got.offset)
		}
	}
	if r.Good = len(offsets); r.Good >= MinServers {
		r.Known, r.Offset = true, median(offsets)
		r.Far = r.Offset.Abs() > a.o.MaxSkew
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() == nil {
		a.last = r
	}
	return r
}

// rested returns the servers that may be asked in this round.
func (a *Alarm) rested() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ask []string
	for _, s := range a.o.Servers {
		switch rest := a.rests[s]; {
		case rest == never:
		case rest > 0:
			a.rests[s] = rest - a.o.Interval
		default:
			ask = append(ask, s)
		}
	}
	return ask
}

// rest leaves a server alone, as it asked to be (RFC 5905 section 7.4).
func (a *Alarm) rest(server, code string) {
	pause := time.Duration(backOff) * a.o.Interval
	if code == "DENY" || code == "RSTR" {
		pause = never
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rests[server] = pause
}

// query asks one server what the wall clock lacks.
func (a *Alarm) query(ctx context.Context, server string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, a.o.Within)
	defer cancel()
	var d net.Dialer
	// The library's own time-out does not cover the name's look-up; ctx does, and ends the wait for the answer too.
	dial := func(_, remote string) (net.Conn, error) {
		c, err := d.DialContext(ctx, "udp", remote)
		if err == nil {
			context.AfterFunc(ctx, func() { c.Close() })
		}
		return c, err
	}
	r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{Timeout: a.o.Within, Dialer: dial, GetSystemTime: a.o.Wall})
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		if errors.Is(err, ntp.ErrKissOfDeath) {
			a.rest(server, r.KissCode)
			return 0, api.Errorf("clock.query", api.RateLimited, "%s does not want to be asked (%s)", server, r.KissCode)
		}
		return 0, api.Errorf("clock.query", api.Unavailable, "%s: %w", server, err)
	}
	return r.ClockOffset, nil
}

// median is the middle of the offsets, the mean of the two middle ones when their number is even. Fewer than half of them, wherever they lie,
// cannot move it outside the range of the others.
func median(offsets []time.Duration) time.Duration {
	slices.Sort(offsets)
	n := len(offsets)
	if n%2 == 1 {
		return offsets[n/2]
	}
	lo, hi := offsets[n/2-1], offsets[n/2]
	return lo + (hi-lo)/2
}
