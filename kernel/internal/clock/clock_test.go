package clock_test

import (
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/clock"
)

const skew = 30 * time.Second

// wall is a wall clock that tests set by hand.
type wall struct{ t time.Time }

func newWall() *wall                 { return &wall{time.UnixMilli(1_800_000_000_000)} }
func (w *wall) now() time.Time       { return w.t }
func (w *wall) add(d time.Duration)  { w.t = w.t.Add(d) }
func (w *wall) stamp() api.Timestamp { return api.MakeTimestamp(w.t.UnixMilli(), 0) }
func after(w *wall, d time.Duration) api.Timestamp {
	return api.MakeTimestamp(w.t.Add(d).UnixMilli(), 0)
}

func TestNowFollowsTheWall(t *testing.T) {
	w := newWall()
	c := clock.New(w.now, skew)
	if got := c.Now(); got != w.stamp() {
		t.Fatalf("first reading %x, want the wall's %x", got, w.stamp())
	}
	if got := c.Now(); got != w.stamp()+1 {
		t.Fatalf("second reading in one millisecond %x, want the counter to go on: %x", got, w.stamp()+1)
	}
	w.add(time.Millisecond)
	if got := c.Now(); got != w.stamp() {
		t.Fatalf("reading %x after the wall moved, want %x", got, w.stamp())
	}
	before := c.Now()
	w.add(-time.Hour)
	if got := c.Now(); got != before+1 {
		t.Fatalf("reading %x after the wall stepped back, want %x", got, before+1)
	}
}

func TestObserve(t *testing.T) {
	for _, tc := range []struct {
		name   string
		offset time.Duration
		ahead  bool
		merged bool
	}{
		{"past", -time.Hour, false, false},
		{"a little ahead", time.Second, false, true},
		{"last below the bound", skew - time.Millisecond, false, true},
		{"at the bound", skew, false, false},
		{"past the bound", skew + time.Millisecond, true, false},
		{"in 2099", 80 * 365 * 24 * time.Hour, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWall()
			c := clock.New(w.now, skew)
			remote := after(w, tc.offset) + 7
			if got := c.Observe(remote); got != tc.ahead {
				t.Errorf("Observe reports ahead %t, want %t", got, tc.ahead)
			}
			if _, got := c.Ahead(remote); got != tc.ahead {
				t.Errorf("Ahead reports %t, want %t", got, tc.ahead)
			}
			if got := c.Now() > remote; tc.merged != (got && remote > w.stamp()) {
				t.Errorf("merged %t, want %t", got, tc.merged)
			}
		})
	}
}

func TestAheadSaysWhenItIsDue(t *testing.T) {
	w := newWall()
	c := clock.New(w.now, skew)
	ts := after(w, skew+5*time.Second)
	due, ahead := c.Ahead(ts)
	if want := w.t.Add(5 * time.Second).UTC(); !ahead || !due.Equal(want) {
		t.Fatalf("due %v, ahead %t; want %v", due, ahead, want)
	}
	w.t = due.Add(-time.Millisecond)
	if _, ahead := c.Ahead(ts); !ahead {
		t.Error("not ahead a millisecond before it is due")
	}
	w.t = due
	if _, ahead := c.Ahead(ts); ahead {
		t.Error("still ahead when it is due")
	}
}

func TestRestore(t *testing.T) {
	w := newWall()
	last := after(w, skew) + 9
	c := clock.New(w.now, skew)
	if c.Restore(last) {
		t.Error("a reading at the bound is reported as ahead")
	}
	if got := c.Now(); got != last+1 {
		t.Errorf("reading %x after a restart, want %x", got, last+1)
	}

	c = clock.New(w.now, skew)
	if _, ok := c.Dropped(); ok {
		t.Error("something is dropped before anything is restored")
	}
	far := after(w, 80*365*24*time.Hour)
	if !c.Restore(far) {
		t.Error("a reading of a clock 80 years ahead is not reported")
	}
	if got, ok := c.Dropped(); !ok || got != far {
		t.Errorf("dropped %x %t, want %x", got, ok, far)
	}
	if got := c.Now(); got != w.stamp() {
		t.Errorf("reading %x, want the wall's %x: the wrong past is dropped", got, w.stamp())
	}
}

func TestWallBeforeTheEpoch(t *testing.T) {
	c := clock.New(func() time.Time { return time.Unix(-1000, 0) }, 0)
	if got := c.Now(); got.Millis() != 0 {
		t.Errorf("reading %d ms of a wall in 1969, want 0", got.Millis())
	}
}

// Scenario 10, future-clock: no honest clock moves past wall + skew, whatever it is shown, and its readings grow.
func TestScenario10_HonestClockStaysWithinSkew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWall()
		c := clock.New(w.now, skew)
		var last api.Timestamp
		t.Repeat(map[string]func(*rapid.T){
			"read": func(t *rapid.T) {
				got := c.Now()
				if got <= last {
					t.Fatalf("reading %x after %x", got, last)
				}
				if limit := w.t.Add(skew).UnixMilli(); got.Millis() > limit {
					t.Fatalf("reading at %d ms, wall + skew is %d ms", got.Millis(), limit)
				}
				last = got
			},
			"observe anything": func(t *rapid.T) {
				c.Observe(api.Timestamp(rapid.Uint64().Draw(t, "remote")))
			},
			"observe near the bound": func(t *rapid.T) {
				ms := rapid.Int64Range(-3, 3).Draw(t, "ms")
				c.Observe(api.MakeTimestamp(w.t.Add(skew).UnixMilli()+ms, rapid.Uint16().Draw(t, "logical")))
			},
			"restore": func(t *rapid.T) {
				ms := rapid.Int64Range(-1000, 1000).Draw(t, "ms")
				c.Restore(api.MakeTimestamp(w.t.Add(skew).UnixMilli()-1000+ms, 0))
			},
			"pass": func(t *rapid.T) {
				w.add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "ns")))
			},
		})
	})
}

func TestConcurrentReadingsDiffer(t *testing.T) {
	const readers, each = 8, 500
	c := clock.New(time.Now, skew)
	out := make([][]api.Timestamp, readers)
	var wg sync.WaitGroup
	for i := range readers {
		wg.Go(func() {
			for range each {
				c.Observe(c.Now() + 3)
				out[i] = append(out[i], c.Now())
			}
		})
	}
	wg.Wait()
	seen := map[api.Timestamp]bool{}
	for _, ts := range out {
		for _, t0 := range ts {
			if seen[t0] {
				t.Fatalf("reading %x given twice", t0)
			}
			seen[t0] = true
		}
	}
}
