package gate_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
)

func nonce(n uint64) (out gate.Nonce) {
	binary.BigEndian.PutUint64(out[8:], n)
	return out
}

// ms is a time in Unix milliseconds, relative to the epoch of the tests.
func ms(d time.Duration) int64 { return epoch.Add(d).UnixMilli() }

func TestReplayWindow(t *testing.T) {
	r := gate.NewReplay(gate.ReplayOptions{MaxAge: time.Minute, MaxAhead: time.Second})
	check := func(at time.Duration, who api.DID, n uint64, sent int64, want string) {
		t.Helper()
		if got := rule(t, r.Check("d", epoch.Add(at), who, nonce(n), sent)); got != want {
			t.Errorf("at %v, %s %d sent %d: %q, want %q", at, who, n, sent-ms(0), got, want)
		}
	}
	check(0, ann, 1, ms(0), "")
	check(0, ann, 1, ms(0), "replayed")
	check(0, ann, 1, ms(0)+5, "replayed") // another date makes it no other message
	check(0, ben, 1, ms(0), "")           // another sender does
	check(0, ann, 2, ms(-time.Minute), "")
	check(0, ann, 3, ms(-time.Minute)-1, "too-old")
	check(0, ann, 4, ms(time.Second), "")
	check(0, ann, 5, ms(time.Second)+1, "too-far-ahead")
	check(0, ann, 6, math.MinInt64, "too-old")
	check(0, ann, 7, math.MaxInt64, "too-far-ahead")
	check(time.Second, ann, 5, ms(time.Second)+1, "") // a refused one is not remembered
	check(time.Minute, ann, 1, ms(0), "replayed")
	check(time.Minute+time.Millisecond, ann, 1, ms(0), "too-old")
	if r.Len() != 2 {
		t.Errorf("%d nonces, want the 2 of ann that are not expired", r.Len())
	}
	check(0, ann, 1, ms(0), "too-old") // a clock that steps back does not open the window again
	check(0, ben, 9, ms(0)+1, "")
}

func TestReplayUnderOverload(t *testing.T) {
	r := gate.NewReplay(gate.ReplayOptions{Entries: 4, PerSender: 2})
	check := func(who api.DID, n uint64, sent int64, want string) {
		t.Helper()
		if got := rule(t, r.Check("d", epoch, who, nonce(n), sent)); got != want {
			t.Errorf("%s %d sent %d: %q, want %q", who, n, sent-ms(0), got, want)
		}
	}
	const t0 = -1000
	check("a", 1, ms(0)+t0, "")
	check("a", 2, ms(0)+t0+1, "")
	check("a", 3, ms(0)+t0+2, "too-many")
	check("b", 1, ms(0)+t0+3, "")
	check("b", 2, ms(0)+t0+4, "")
	check("c", 1, ms(0)+t0, "too-old") // full: not younger than all that is remembered
	check("c", 1, ms(0)+t0+5, "")      // full: a's first goes, and with it all that is as old
	check("a", 1, ms(0)+t0, "too-old")
	check("d", 1, ms(0)+t0, "too-old")
	check("b", 1, ms(0)+t0+3, "replayed")
	if r.Len() != 4 || r.Floor() != ms(0)+t0 {
		t.Errorf("%d nonces, floor %d; want 4, %d", r.Len(), r.Floor(), ms(0)+t0)
	}
}

// Scenario R2: a node that restarts takes nothing twice and refuses nothing that it has not seen.
func TestR2_ReplaySurvivesRestart(t *testing.T) {
	r := gate.NewReplay(gate.ReplayOptions{})
	for n := range uint64(100) {
		if o := r.Check("d", epoch, []api.DID{ann, ben}[n%2], nonce(n), ms(0)+int64(n)); o != nil {
			t.Fatal(o)
		}
	}
	state := r.Export()

	back := gate.NewReplay(gate.ReplayOptions{})
	if err := back.Import(state); err != nil {
		t.Fatal(err)
	}
	if again := back.Export(); !bytes.Equal(again, state) {
		t.Error("the imported state exports to other bytes")
	}
	now := epoch.Add(time.Second)
	for n := range uint64(100) {
		if got := rule(t, back.Check("d", now, []api.DID{ann, ben}[n%2], nonce(n), ms(0)+int64(n))); got != "replayed" {
			t.Fatalf("message %d after the restart: %q", n, got)
		}
	}
	if o := back.Check("d", now, ann, nonce(1000), ms(0)); o != nil {
		t.Errorf("a message sent before the restart and not seen yet: %v", o)
	}

	empty := gate.NewReplay(gate.ReplayOptions{})
	empty.RefuseUntil(now)
	if got := rule(t, empty.Check("d", now, ann, nonce(1), ms(time.Second))); got != "too-old" {
		t.Errorf("without its state: %q", got)
	}
	if o := empty.Check("d", now, ann, nonce(1), ms(time.Second)+1); o != nil {
		t.Errorf("without its state, a new message: %v", o)
	}
}

func TestReplayImportForgetsTheOldest(t *testing.T) {
	r := gate.NewReplay(gate.ReplayOptions{})
	for n := range uint64(10) {
		r.Check("d", epoch, ann, nonce(n), ms(0)+int64(n))
	}
	small := gate.NewReplay(gate.ReplayOptions{Entries: 4, PerSender: 4})
	if err := small.Import(r.Export()); err != nil {
		t.Fatal(err)
	}
	if small.Len() != 4 || small.Floor() != ms(0)+5 {
		t.Errorf("%d nonces above %d; want 4 above 5", small.Len(), small.Floor()-ms(0))
	}
}

func TestReplayImportRefuses(t *testing.T) {
	seen := func(n uint64, at int64) []byte {
		k := nonce(n)
		return binary.BigEndian.AppendUint64(k[:], uint64(at))
	}
	type sender struct {
		_    struct{} `cbor:",toarray"`
		DID  string
		Seen []byte
	}
	type state struct {
		_       struct{} `cbor:",toarray"`
		Version uint16
		Floor   int64
		Senders []sender
	}
	one := seen(1, 10)
	for name, tc := range map[string]struct {
		st   state
		kind api.Kind
	}{
		"good":            {state{Version: 1, Floor: 5, Senders: []sender{{DID: "a", Seen: one}}}, api.Other},
		"version":         {state{Version: 2}, api.Unsupported},
		"no name":         {state{Version: 1, Senders: []sender{{Seen: one}}}, api.Invalid},
		"long name":       {state{Version: 1, Senders: []sender{{DID: string(make([]byte, 129)), Seen: one}}}, api.Invalid},
		"no nonces":       {state{Version: 1, Senders: []sender{{DID: "a"}}}, api.Invalid},
		"part of a nonce": {state{Version: 1, Senders: []sender{{DID: "a", Seen: one[:23]}}}, api.Invalid},
		"senders order":   {state{Version: 1, Senders: []sender{{DID: "b", Seen: one}, {DID: "a", Seen: one}}}, api.Invalid},
		"sender twice":    {state{Version: 1, Senders: []sender{{DID: "a", Seen: one}, {DID: "a", Seen: one}}}, api.Invalid},
		"nonces order":    {state{Version: 1, Senders: []sender{{DID: "a", Seen: append(seen(2, 10), one...)}}}, api.Invalid},
		"nonce twice":     {state{Version: 1, Senders: []sender{{DID: "a", Seen: append(seen(1, 10), seen(1, 11)...)}}}, api.Invalid},
		"below the floor": {state{Version: 1, Floor: 10, Senders: []sender{{DID: "a", Seen: one}}}, api.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			r := gate.NewReplay(gate.ReplayOptions{})
			if o := r.Check("d", epoch, ann, nonce(9), ms(0)); o != nil {
				t.Fatal(o)
			}
			err := r.Import(codec.MustMarshal(&tc.st))
			if api.KindOf(err) != tc.kind {
				t.Fatalf("error %v, want kind %s", err, tc.kind.Code())
			}
			if got := r.Check("d", epoch, ann, nonce(9), ms(0)) != nil; got != (err != nil) {
				t.Errorf("still remembers what it saw before: %t, after the error %v", got, err)
			}
		})
	}
}

// Replay against the plain rule on an unbounded set.
func TestReplayIsExact(t *testing.T) {
	const age, ahead = 1000, 100
	rapid.Check(t, func(t *rapid.T) {
		r := gate.NewReplay(gate.ReplayOptions{MaxAge: age * time.Millisecond, MaxAhead: ahead * time.Millisecond})
		seen := map[gate.Nonce]bool{}
		now := ms(0)
		for range rapid.IntRange(1, 100).Draw(t, "messages") {
			now += rapid.Int64Range(0, 200).Draw(t, "pass")
			n := nonce(rapid.Uint64Range(0, 20).Draw(t, "nonce"))
			sent := now + rapid.Int64Range(-age-50, ahead+50).Draw(t, "sent")
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				state := r.Export()
				r = gate.NewReplay(gate.ReplayOptions{MaxAge: age * time.Millisecond, MaxAhead: ahead * time.Millisecond})
				if err := r.Import(state); err != nil {
					t.Fatal(err)
				}
			}
			got := r.Check("d", time.UnixMilli(now), ann, n, sent)
			inWindow := sent >= now-age && sent <= now+ahead
			switch {
			case got == nil && !inWindow:
				t.Fatalf("taken out of the window: %d at %d", sent, now)
			case got == nil:
				seen[n] = true
			case inWindow && !seen[n]:
				t.Fatalf("a fresh message is refused: %v", got)
			case inWindow && got.Rule != "replayed" && got.Rule != "too-old":
				t.Fatalf("%v", got)
			}
		}
	})
}

// No message passes twice, also in overload, over restarts and when the clock jumps.
func TestReplayNeverTakesAMessageTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := gate.ReplayOptions{MaxAge: time.Second, MaxAhead: time.Second, Entries: 5, PerSender: 4}
		r := gate.NewReplay(opt)
		type message struct {
			who  api.DID
			n    uint64
			sent int64
		}
		taken := map[message]bool{}
		now := ms(0)
		for range rapid.IntRange(1, 200).Draw(t, "messages") {
			now += rapid.Int64Range(-200, 300).Draw(t, "pass")
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				state := r.Export()
				r = gate.NewReplay(opt)
				if err := r.Import(state); err != nil {
					t.Fatal(err)
				}
			}
			m := message{
				rapid.SampledFrom([]api.DID{"a", "b", "c"}).Draw(t, "who"),
				rapid.Uint64Range(0, 10).Draw(t, "nonce"), ms(0) + 100*rapid.Int64Range(-3, 30).Draw(t, "sent"),
			}
			if r.Check("d", time.UnixMilli(now), m.who, nonce(m.n), m.sent) == nil {
				if taken[m] {
					t.Fatalf("%+v passed twice", m)
				}
				taken[m] = true
			}
			if r.Len() > 5 {
				t.Fatalf("%d nonces, at most 5", r.Len())
			}
		}
	})
}

func FuzzReplayImport(f *testing.F) {
	r := gate.NewReplay(gate.ReplayOptions{})
	f.Add(r.Export())
	for n := range uint64(5) {
		r.Check("d", epoch, []api.DID{ann, ben}[n%2], nonce(n), ms(0))
	}
	f.Add(r.Export())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := gate.NewReplay(gate.ReplayOptions{})
		if r.Import(b) != nil || len(b) > 1<<20 {
			return
		}
		if again := r.Export(); !bytes.Equal(again, b) {
			t.Errorf("imported %x, exported %x", b, again)
		}
	})
}
