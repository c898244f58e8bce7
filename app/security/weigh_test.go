package security

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func incident(kind string, n uint64, at time.Time) *api.Incident {
	return &api.Incident{Kind: kind, Node: "n", Count: n, At: at, Over: time.Second}
}

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		i    api.Incident
		want int64
	}{
		{api.Incident{Kind: api.BadSignature, Count: 1}, 10 * point},
		{api.Incident{Kind: api.Replay, Count: 3}, 6 * point},
		{api.Incident{Kind: api.BadSignature, Count: 3}, burst},
		{api.Incident{Kind: api.BadSignature, Count: 1 << 63}, burst},
		{api.Incident{Kind: api.BadFrame, Count: 1}, 8 * point},
		{api.Incident{Kind: api.BadHandshake, Count: 1}, 8 * point},
		{api.Incident{Kind: api.Malformed, Count: 1}, 4 * point},
		{api.Incident{Kind: api.Oversized, Count: 1}, 4 * point},
		{api.Incident{Kind: api.Excess, Count: 1}, point / 2},
		{api.Incident{Kind: api.Unasked, Count: 2}, point},
		{api.Incident{Kind: api.Unshared, Count: 1 << 40}, 0},
		{api.Incident{Kind: "of-a-later-build", Count: 1 << 40}, 0},
		{api.Incident{Kind: api.ForkEvidence, Count: 9}, 30 * point},
		// A throttled peer whose honest pushes are left out has done nothing; one that pushes twice the normal rate has.
		{api.Incident{Kind: api.Flood, Count: 30_000, Over: time.Second}, 0},
		{api.Incident{Kind: api.Flood, Count: 30_000}, 0},
		{api.Incident{Kind: api.Flood, Count: 300_000, Over: 10 * time.Second}, 0},
		{api.Incident{Kind: api.Flood, Count: 59_800, Over: time.Second}, 10 * point},
		{api.Incident{Kind: api.Flood, Count: 1 << 63, Over: time.Second}, burst},
		{api.Incident{Kind: api.Flood, Count: 1 << 63, Over: 1 << 62}, burst},
	} {
		if got := weight(&c.i); got != c.want {
			t.Errorf("%s x %d over %s: %d, want %d", c.i.Kind, c.i.Count, c.i.Over, got, c.want)
		}
	}
}

// The ladder: one report raises nobody by two levels at once, each level ends by itself, and a ban leaves no trace but that the next is longer.
func TestLadder(t *testing.T) {
	var s subject
	now := epoch
	step := func(want Level) {
		t.Helper()
		now = now.Add(time.Second)
		s.add(now, incident(api.BadSignature, 1000, now))
		if got := s.level(now); got != want {
			t.Fatalf("%d points: %s, want %s", s.points(now), got, want)
		}
	}
	step(Warn)
	step(Throttle)
	step(Quarantine)
	step(Quarantine)
	step(Quarantine) // not quite 100: some have decayed
	step(Ban)
	for _, want := range []Level{Quarantine, Throttle, Warn, None} {
		at := s.expires(now)
		if !at.After(now) {
			t.Fatalf("%s expires at %s, now %s", s.level(now), at, now)
		}
		if before := at.Add(-10 * time.Millisecond); s.level(before) != s.level(now) {
			t.Errorf("%s has become %s before it expires", s.level(now), s.level(before))
		}
		now = at
		if got := s.level(now); got != want {
			t.Fatalf("at %s: %s, want %s", now, got, want)
		}
	}
	if !s.expires(now).IsZero() {
		t.Error("no level expires")
	}
	if since := now.Sub(epoch); since < 3*time.Hour || since > 5*time.Hour {
		t.Errorf("all is forgotten after %s, want about 3 to 5 hours", since)
	}
	for s.level(now) != Ban {
		now = now.Add(time.Second)
		s.add(now, incident(api.BadSignature, 1000, now))
	}
	if got := time.Duration(s.Until-now.UnixMilli()) * time.Millisecond; got != 2*time.Hour || s.Bans != 2 {
		t.Errorf("ban %d stands for %s, want 2h", s.Bans, got)
	}
	for range 100 {
		now = s.expires(now).Add(24 * time.Hour)
		for s.level(now) != Ban {
			s.add(now, incident(api.BadSignature, 1000, now))
		}
		if d := time.Duration(s.Until-now.UnixMilli()) * time.Millisecond; d > 128*time.Hour {
			t.Fatalf("ban %d stands for %s", s.Bans, d)
		}
	}
	now = now.Add(100 * 24 * time.Hour)
	if s.stale(now.Add(-80*24*time.Hour)) || !s.stale(now) {
		t.Error("a banned node is forgotten after 30 days, not earlier")
	}
}

// Noise never adds up to a level that costs anything.
func TestNoiseIsNoOffence(t *testing.T) {
	var s subject
	now := epoch
	for range 24 * 60 {
		now = now.Add(time.Minute)
		s.add(now, incident(api.Unshared, 100, now))
		if now.Minute()%4 == 0 {
			s.add(now, incident(api.Unasked, 2, now))
		}
		if l := s.level(now); l >= Throttle {
			t.Fatalf("%s after %s", l, now.Sub(epoch))
		}
	}
}

func drawIncident(t *rapid.T, now time.Time) *api.Incident {
	kinds := []string{
		api.BadSignature, api.Malformed, api.BadFrame, api.BadHandshake, api.Flood, api.Excess, api.Unasked, api.Unshared, api.ForkEvidence, "new",
	}
	return &api.Incident{
		Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Count: rapid.Uint64().Draw(t, "count"), Feed: api.Hash{rapid.Byte().Draw(t, "feed")},
		At: now.Add(-time.Duration(rapid.Int64Range(-1e9, 1e13).Draw(t, "age"))), Over: time.Duration(rapid.Int64().Draw(t, "over")), Proven: true,
	}
}

// Points are never negative nor above the bound, and decay only; a level never rises by itself; all ends.
func TestPropertyDecay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s subject
		now := epoch
		for range rapid.IntRange(1, 40).Draw(t, "incidents") {
			now = now.Add(time.Duration(rapid.Int64Range(-1e9, 3e12).Draw(t, "pause")))
			s.add(now, drawIncident(t, now))
			if p := s.points(now); p < 0 || p > most {
				t.Fatalf("%d points", p)
			}
			if rapid.IntRange(0, 9).Draw(t, "pardon") == 0 {
				s.pardon(now)
				if s.level(now) != None {
					t.Fatalf("pardoned, and %s", s.level(now))
				}
			}
		}
		points, level := s.points(now), s.level(now)
		for range 20 {
			now = now.Add(time.Duration(rapid.Int64Range(0, 1e13).Draw(t, "wait")))
			if p, l := s.points(now), s.level(now); p < 0 || p > points || l > level {
				t.Fatalf("%d points and %s after %d and %s", p, l, points, level)
			} else {
				points, level = p, l
			}
			if end := s.expires(now); level > None && (!end.After(now) || s.level(end) >= level) {
				t.Fatalf("%s is to expire at %s and is %s then; now %s", level, end, s.level(end), now)
			}
		}
		if l := s.level(now.Add(8 * 24 * time.Hour)); l != None {
			t.Fatalf("%s after eight days of peace", l)
		}
	})
}

// Incidents of one instant lead to the same whatever their order.
func TestPropertyOrderWithinAnInstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var base subject
		now := epoch
		for range rapid.IntRange(0, 5).Draw(t, "before") {
			base.add(now, drawIncident(t, now))
			now = now.Add(time.Duration(rapid.Int64Range(0, 3e12).Draw(t, "pause")))
		}
		var all []*api.Incident
		for i := range rapid.IntRange(0, 10).Draw(t, "incidents") {
			x := drawIncident(t, now)
			x.Feed = api.Hash{1, byte(i)} // of two evidences of one feed the first counts, and they may differ in age
			all = append(all, x)
		}
		a, b := base, base
		a.Kinds, b.Kinds = append([]tally(nil), base.Kinds...), append([]tally(nil), base.Kinds...)
		a.Forks, b.Forks = append([]fork(nil), base.Forks...), append([]fork(nil), base.Forks...)
		for _, i := range all {
			a.add(now, i)
		}
		for _, at := range rapid.Permutation(indices(len(all))).Draw(t, "order") {
			b.add(now, all[at])
		}
		if a.Points != b.Points || a.Level != b.Level || a.Until != b.Until || a.Since != b.Since || a.Bans != b.Bans || a.summary() != b.summary() {
			t.Fatalf("%+v\n%+v", a, b)
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// A pardon counts once, not for what was done after it, and not in a stream.
func TestPardon(t *testing.T) {
	var s subject
	s.add(epoch, incident(api.BadSignature, 9, epoch))
	if !s.pardonAt(epoch.Add(time.Second), epoch.Add(2*time.Second)) || s.points(epoch.Add(2*time.Second)) != 0 {
		t.Fatal("the pardon is not followed")
	}
	later := epoch.Add(3 * time.Hour)
	s.add(later, incident(api.BadSignature, 9, later))
	for _, at := range []time.Time{epoch.Add(time.Second), epoch.Add(time.Minute), later.Add(-2 * time.Minute)} {
		if s.pardonAt(at, later) {
			t.Errorf("a pardon of %s takes back what was done at %s", at, later)
		}
	}
	if !s.pardonAt(later.Add(-time.Second), later) {
		t.Error("a pardon written while its subject went on is not followed")
	}
	s.add(later, incident(api.BadSignature, 9, later))
	if s.pardonAt(later.Add(time.Minute), later.Add(time.Minute)) {
		t.Error("a second pardon within the hour is followed")
	}
	f := &api.Incident{Kind: api.ForkEvidence, Feed: api.Hash{1}, Count: 1, At: later, Proven: true}
	if !s.add(later, f) {
		t.Error("a fork is not weighed")
	}
	s.pardon(later)
	if s.add(later, f) || s.points(later) != 0 {
		t.Error("the same fork is weighed again after its pardon")
	}
}
