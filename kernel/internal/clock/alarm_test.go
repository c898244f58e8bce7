package clock_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/clock"
)

// responder is a time server on loopback (RFC 4330) whose clock is off by a fixed amount.
type responder struct {
	addr    string
	off     atomic.Int64 // nanoseconds
	kiss    string       // when set, all it ever says
	silent  bool         // never answers
	garbage bool         // answers what is no answer
	asked   atomic.Int32 // requests seen
	wall    func() time.Time
}

func respond(t *testing.T, off time.Duration, change func(*responder)) *responder {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &responder{addr: c.LocalAddr().String(), wall: time.Now}
	r.off.Store(int64(off))
	if change != nil {
		change(r)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			r.asked.Add(1)
			if b := r.answer(buf[:n]); b != nil {
				c.WriteTo(b, from)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return r
}

func (r *responder) answer(q []byte) []byte {
	switch {
	case r.silent || len(q) < 48:
		return nil
	case r.garbage:
		return []byte("good morning")
	}
	b := make([]byte, 48)
	b[0] = q[0]&0x38 | 4 // the asker's version, mode server
	b[1], b[2], b[3] = 2, 6, 0xec
	copy(b[24:32], q[40:48]) // originate: the request's transmit time
	if r.kiss != "" {
		b[0], b[1] = b[0]|0xc0, 0
		copy(b[12:16], r.kiss)
	}
	now := r.wall().Add(time.Duration(r.off.Load()))
	stamp(b[16:], now.Add(-time.Second))
	stamp(b[32:], now)
	stamp(b[40:], now)
	return b
}

// stamp writes seconds since 1900 and their fraction.
func stamp(b []byte, t time.Time) {
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+2_208_988_800))
	binary.BigEndian.PutUint32(b[4:], uint32((int64(t.Nanosecond())<<32)/int64(time.Second)))
}

func alarm(t *testing.T, o clock.AlarmOptions, rs ...*responder) *clock.Alarm {
	t.Helper()
	for _, r := range rs {
		o.Servers = append(o.Servers, r.addr)
	}
	if o.Within == 0 {
		o.Within = 2 * time.Second
	}
	a, err := clock.NewAlarm(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// near allows for what a busy machine adds to an answer's way.
func near(got, want time.Duration) bool { return (got - want).Abs() < time.Second }

func TestAlarmMedian(t *testing.T) {
	const year = 365 * 24 * time.Hour
	good := func(rs ...*responder) []*responder { return rs }
	for _, tc := range []struct {
		name    string
		servers []*responder
		want    time.Duration
		known   bool
		far     bool
		good    int
	}{
		{"all agree", good(respond(t, 0, nil), respond(t, 0, nil), respond(t, 0, nil)), 0, true, false, 3},
		{"all are ahead: this clock is behind", good(respond(t, time.Hour, nil), respond(t, time.Hour, nil), respond(t, time.Hour, nil)), time.Hour, true, true, 3},
		{"all are behind", good(respond(t, -time.Minute, nil), respond(t, -time.Minute, nil), respond(t, -time.Minute, nil)), -time.Minute, true, true, 3},
		{"one of three lies forward", good(respond(t, 0, nil), respond(t, 10*year, nil), respond(t, 0, nil)), 0, true, false, 3},
		{"one of three lies backward", good(respond(t, -10*year, nil), respond(t, 0, nil), respond(t, 0, nil)), 0, true, false, 3},
		{"one of three hides that this clock is wrong", good(respond(t, 0, nil), respond(t, time.Hour, nil), respond(t, time.Hour, nil)), time.Hour, true, true, 3},
		{"one of four lies", good(respond(t, 0, nil), respond(t, year, nil), respond(t, 0, nil), respond(t, 0, nil)), 0, true, false, 4},
		{"one of four is silent", good(respond(t, 0, nil), respond(t, 0, func(r *responder) { r.silent = true }), respond(t, 0, nil), respond(t, 0, nil)), 0, true, false, 3},
		{"two of three remain", good(respond(t, time.Hour, nil), respond(t, time.Hour, nil), respond(t, 0, func(r *responder) { r.garbage = true })), 0, false, false, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := alarm(t, clock.AlarmOptions{Within: 300 * time.Millisecond}, tc.servers...)
			if _, ok := a.Last(); ok {
				t.Error("a reading before the first round")
			}
			r := a.Check(t.Context())
			if r.Known != tc.known || r.Far != tc.far || r.Good != tc.good || r.Asked != len(tc.servers) || len(r.Errs) != r.Asked-r.Good || !near(r.Offset, tc.want) {
				t.Errorf("%+v, want offset %s, known %t, far %t, %d good", r, tc.want, tc.known, tc.far, tc.good)
			}
			if last, ok := a.Last(); !ok || last.Offset != r.Offset {
				t.Errorf("last is %+v %t", last, ok)
			}
		})
	}
}

// The offset is that of the clock which is given, not of the machine's.
func TestAlarmOfAnotherWall(t *testing.T) {
	wrong := func() time.Time { return time.Now().Add(-20 * time.Minute) }
	a := alarm(t, clock.AlarmOptions{Wall: wrong}, respond(t, 0, nil), respond(t, 0, nil), respond(t, 0, nil))
	if r := a.Check(t.Context()); !r.Far || !near(r.Offset, 20*time.Minute) {
		t.Errorf("%+v, want 20 minutes", r)
	}
}

// A server that asks for less is left alone for some rounds, one that asks for nothing for good.
func TestKissOfDeath(t *testing.T) {
	rate := respond(t, 0, func(r *responder) { r.kiss = "RATE" })
	deny := respond(t, 0, func(r *responder) { r.kiss = "DENY" })
	fine := []*responder{respond(t, 0, nil), respond(t, 0, nil), respond(t, 0, nil)}
	a := alarm(t, clock.AlarmOptions{}, append(fine, rate, deny)...)
	r := a.Check(t.Context())
	if !r.Known || r.Good != 3 || r.Asked != 5 || len(r.Errs) != 2 || !slices.ContainsFunc(r.Errs, func(err error) bool {
		return api.KindOf(err) == api.RateLimited && strings.Contains(err.Error(), "DENY")
	}) {
		t.Fatalf("%+v", r)
	}
	for range 10 {
		a.Check(t.Context())
	}
	if got := rate.asked.Load(); got != 2 {
		t.Errorf("the one that asks for less was asked %d times in 11 rounds, want 2", got)
	}
	if got := deny.asked.Load(); got != 1 {
		t.Errorf("the one that says no was asked %d times, want once", got)
	}
	if got := fine[0].asked.Load(); got != 11 {
		t.Errorf("the others were asked %d times, want 11", got)
	}
}

// An end of the context ends a round at once, and leaves no reading behind.
func TestCheckEndsWithItsContext(t *testing.T) {
	quiet := func(r *responder) { r.silent = true }
	a := alarm(t, clock.AlarmOptions{Within: time.Hour}, respond(t, 0, quiet), respond(t, 0, quiet), respond(t, 0, quiet))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if r := a.Check(ctx); r.Known || len(r.Errs) != 3 {
		t.Errorf("%+v", r)
	}
	if _, ok := a.Last(); ok {
		t.Error("what was cut off counts")
	}
}

func TestServeWarns(t *testing.T) {
	for _, tc := range []struct {
		name   string
		off    time.Duration
		silent bool
		want   string
	}{
		{"far", time.Hour, false, "the wall clock is far"},
		{"silence", 0, true, "too few time servers answer"},
		{"right", 0, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := make(lineWriter, 8)
			change := func(r *responder) { r.silent = tc.silent }
			a := alarm(t, clock.AlarmOptions{Within: 100 * time.Millisecond, Log: slog.New(slog.NewTextHandler(lines, nil))},
				respond(t, tc.off, change), respond(t, tc.off, change), respond(t, tc.off, change))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- a.Serve(ctx) }()
			if tc.want != "" {
				if got := <-lines; !strings.Contains(got, tc.want) {
					t.Errorf("logged %q, want %q", got, tc.want)
				}
			}
			for {
				if _, ok := a.Last(); ok {
					break
				}
				time.Sleep(time.Millisecond)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if len(lines) > 0 {
				t.Errorf("logged too: %q", <-lines)
			}
		})
	}
}

// lineWriter hands over what is logged.
type lineWriter chan string

func (w lineWriter) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestAlarmOptions(t *testing.T) {
	three := []string{"a", "b", "c"}
	for _, o := range []clock.AlarmOptions{
		{}, {Servers: three[:2]}, {Servers: make([]string, clock.MaxServers+1)}, {Servers: three, Interval: time.Second}, {Servers: three, MaxSkew: -1},
	} {
		if _, err := clock.NewAlarm(o); api.KindOf(err) != api.Invalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if a, err := clock.NewAlarm(clock.AlarmOptions{Servers: three}); err != nil || a.MaxSkew() != 10*time.Second {
		t.Errorf("%v %v", a, err)
	}
}

// Liars in the minority do not move the median out of the range of the honest.
func TestMedianIsRobust(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		honest := rapid.SliceOfN(rapid.Int64Range(-1e9, 1e9), 2, 8).Draw(t, "honest")
		liars := rapid.SliceOfN(rapid.Int64Range(-1<<61, 1<<61), 0, len(honest)-1).Draw(t, "liars")
		var all []time.Duration
		for _, n := range append(slices.Clone(honest), liars...) {
			all = append(all, time.Duration(n))
		}
		if m := clock.Median(all); m < time.Duration(slices.Min(honest)) || m > time.Duration(slices.Max(honest)) {
			t.Fatalf("median %s of honest %v and liars %v", m, honest, liars)
		}
	})
}
