package gate_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
)

var epoch = time.UnixMilli(1_800_000_000_000)

const ann, ben = api.DID("did:icn:ann"), api.DID("did:icn:ben")

func TestLimiterTakesUpToTheBurstThenByTheSecond(t *testing.T) {
	l := gate.NewLimiter(10)
	lim := api.RateLimit{PerSecond: 10, Burst: 5}
	take := func(at time.Duration, n int, wantOK bool, wantRetry time.Duration) {
		t.Helper()
		if ok, retry := l.Take(epoch.Add(at), ann, lim, n); ok != wantOK || retry != wantRetry {
			t.Fatalf("at %v take %d: %t, retry after %v; want %t, %v", at, n, ok, retry, wantOK, wantRetry)
		}
	}
	take(0, 5, true, 0)
	take(0, 1, false, 100*time.Millisecond)
	take(0, 3, false, 300*time.Millisecond)
	take(99*time.Millisecond, 1, false, time.Millisecond)
	take(100*time.Millisecond, 1, true, 0)
	take(time.Hour, 5, true, 0) // no more than the burst has accrued
	take(time.Hour, 1, false, 100*time.Millisecond)
	take(0, 1, false, 100*time.Millisecond) // a clock that steps back adds nothing ...
	take(100*time.Millisecond, 1, true, 0)  // ... and counts on from there
	take(0, 0, true, 0)
	take(0, 6, false, gate.Never)
	if ok, _ := l.Take(epoch, ben, lim, 5); !ok {
		t.Error("another actor has no bucket of its own")
	}
}

func TestLimiterAdaptsToTheLimitOfTheCall(t *testing.T) {
	l := gate.NewLimiter(10)
	wide, narrow := api.RateLimit{PerSecond: 100, Burst: 100}, api.RateLimit{PerSecond: 1, Burst: 2}
	l.Take(epoch, ann, wide, 10) // 90 left
	if ok, _ := l.Take(epoch, ann, narrow, 2); !ok {
		t.Fatal("2 of 90 tokens refused under a burst of 2")
	}
	if ok, retry := l.Take(epoch, ann, narrow, 1); ok || retry != time.Second {
		t.Fatalf("a lower burst did not spill the rest: %t, %v", ok, retry)
	}
	if ok, retry := l.Take(epoch, ann, wide, 1); ok || retry != 10*time.Millisecond {
		t.Fatalf("a higher limit: %t, %v; want 10ms at the new rate", ok, retry)
	}
}

func TestLimiterZeroRates(t *testing.T) {
	l := gate.NewLimiter(10)
	if ok, retry := l.Take(epoch, ann, api.RateLimit{}, 1); ok || retry != gate.Never {
		t.Errorf("no burst: %t, %v", ok, retry)
	}
	once := api.RateLimit{Burst: 1}
	if ok, _ := l.Take(epoch, ann, once, 1); !ok {
		t.Error("the one token of a bucket that does not refill is refused")
	}
	if ok, retry := l.Take(epoch.Add(time.Hour), ann, once, 1); ok || retry != gate.Never {
		t.Errorf("no rate: %t, %v", ok, retry)
	}
}

func TestLimiterForgetsFullBucketsFirst(t *testing.T) {
	l := gate.NewLimiter(100)
	lim := api.RateLimit{PerSecond: 1, Burst: 1}
	for i := range 60 {
		l.Take(epoch, api.DID(fmt.Sprint(i)), lim, 1)
	}
	if l.Len() != 60 {
		t.Fatalf("%d buckets, want 60", l.Len())
	}
	for i := range 50 { // all 60 are full by now, and two go for each that comes
		l.Take(epoch.Add(time.Minute), api.DID(fmt.Sprint("late", i)), lim, 1)
	}
	if l.Len() != 50 {
		t.Fatalf("%d buckets, want the 50 late ones", l.Len())
	}
}

func TestLimiterIsBounded(t *testing.T) {
	l := gate.NewLimiter(3)
	lim := api.RateLimit{PerSecond: 1, Burst: 1}
	for _, who := range []api.DID{"a", "b", "c"} {
		l.Take(epoch, who, lim, 1)
	}
	l.Take(epoch, "a", lim, 1) // refused, and used: b is the oldest now
	l.Take(epoch, "d", lim, 1)
	if l.Len() != 3 {
		t.Fatalf("%d buckets, want 3", l.Len())
	}
	if ok, _ := l.Take(epoch, "a", lim, 1); ok {
		t.Error("the bucket in use was forgotten")
	}
	if ok, _ := l.Take(epoch, "b", lim, 1); !ok {
		t.Error("the oldest bucket was not forgotten")
	}
}

// Whatever is asked when, no window lets more through than the burst and what accrues in it, and a delay that was answered suffices.
func TestLimiterNeverExceedsItsLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lim := api.RateLimit{
			PerSecond: rapid.OneOf(rapid.Uint32Range(1, 50), rapid.Uint32Range(1, math.MaxUint32)).Draw(t, "rate"),
			Burst:     rapid.OneOf(rapid.Uint32Range(1, 50), rapid.Uint32Range(1, math.MaxUint32)).Draw(t, "burst"),
		}
		l := gate.NewLimiter(1)
		now, taken := epoch, 0.0
		for range rapid.IntRange(1, 60).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 2e9).Draw(t, "pass")))
			n := rapid.IntRange(1, int(min(lim.Burst, 1<<20))).Draw(t, "n")
			ok, retry := l.Take(now, ann, lim, n)
			if !ok {
				if retry <= 0 || retry == gate.Never {
					t.Fatalf("refused with a delay of %v", retry)
				}
				now = now.Add(retry)
				if ok, retry = l.Take(now, ann, lim, n); !ok {
					t.Fatalf("refused after the delay, now %v more", retry)
				}
			}
			taken += float64(n)
			most := float64(lim.Burst) + now.Sub(epoch).Seconds()*float64(lim.PerSecond)
			if taken > most*(1+1e-9) {
				t.Fatalf("%v tokens taken after %v, at most %v", taken, now.Sub(epoch), most)
			}
		}
	})
}

func TestRateReason(t *testing.T) {
	r := gate.RateReason("net", api.RateLimit{PerSecond: 20, Burst: 40}, 1500*time.Microsecond)
	if r.Domain != "net" || r.Rule != "rate-limit" || r.Inputs["retry_after_ms"] != "2" || r.Remedy == "" {
		t.Errorf("%+v", r)
	}
	if r := gate.RateReason("net", api.RateLimit{}, gate.Never); r.Inputs["retry_after_ms"] != "" || r.Remedy == "" {
		t.Errorf("never: %+v", r)
	}
}

func BenchmarkTake(b *testing.B) {
	l := gate.NewLimiter(1000)
	lim := api.RateLimit{PerSecond: math.MaxUint32, Burst: math.MaxUint32}
	for b.Loop() {
		l.Take(epoch, ann, lim, 1)
	}
}
