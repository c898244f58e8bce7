package session

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func newIn(op api.Operation) any { return reflect.New(op.In).Interface() }

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	out := w.login(w.bob)
	w.pass(10 * time.Minute)
	next, err := w.refresh(out.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	if next.RefreshToken == out.RefreshToken || next.AccessToken == out.AccessToken || next.Session != out.Session || !slices.Equal(next.Scopes, out.Scopes) {
		t.Errorf("%+v", next)
	}
	if w.caller(next.AccessToken) == nil || w.caller(out.AccessToken) == nil {
		t.Error("refreshing ends what holds")
	}
	w.boot()
	if next, err = w.refresh(next.RefreshToken); err != nil {
		t.Fatalf("after a restart: %v", err)
	}
	// It slides: thirty days after the last refresh, not after the login.
	w.pass(DefaultSessionTTL - time.Second)
	if next, err = w.refresh(next.RefreshToken); err != nil {
		t.Fatal(err)
	}
	w.pass(DefaultSessionTTL)
	_, err = w.refresh(next.RefreshToken)
	wants(t, err, api.Unauthenticated, "session-over")
	if err := w.app.Tick(context.Background(), w.host(), w.host().Now()); err != nil || len(w.disk.rows) != 0 || len(w.app.all()) != 0 {
		t.Errorf("an expired session is kept, %v", err)
	}
}

// A refresh token that comes a second time ends its session, whoever brings it; for a moment it is answered as it was.
func TestRefreshReuse(t *testing.T) {
	for name, wait := range map[string]time.Duration{"after the grace": refreshGrace, "much later": 20 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			out, other := w.login(w.bob), w.login(w.bob)
			next, err := w.refresh(out.RefreshToken)
			if err != nil {
				t.Fatal(err)
			}
			w.pass(refreshGrace - time.Millisecond)
			lost, err := w.refresh(out.RefreshToken)
			if err != nil || lost.RefreshToken != next.RefreshToken {
				t.Fatalf("a lost answer: %+v, %v", lost, err)
			}
			w.pass(wait)
			_, err = w.refresh(out.RefreshToken)
			wants(t, err, api.Unauthenticated, "session-over")
			_, err = w.refresh(next.RefreshToken)
			wants(t, err, api.Unauthenticated, "session-over")
			if w.caller(next.AccessToken) != nil || len(w.disk.rows) != 1 {
				t.Error("the session goes on")
			}
			if _, err := w.refresh(other.RefreshToken); err != nil {
				t.Errorf("another session ended, too: %v", err)
			}
		})
	}
	t.Run("once the next one was used", func(t *testing.T) {
		w := newWorld(t)
		out := w.login(w.bob)
		next, err := w.refresh(out.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.refresh(next.RefreshToken); err != nil {
			t.Fatal(err)
		}
		_, err = w.refresh(out.RefreshToken)
		wants(t, err, api.Unauthenticated, "session-over")
		if len(w.app.all()) != 0 {
			t.Error("the session goes on")
		}
	})
}

// Who knows a session's id cannot end it by making a token up.
func TestRefreshInvented(t *testing.T) {
	w := newWorld(t)
	out := w.login(w.bob)
	k, err := w.app.keys()
	if err != nil {
		t.Fatal(err)
	}
	tok, ok := parseRefresh(k, out.RefreshToken)
	if !ok {
		t.Fatal("it is not read")
	}
	tok.secret[0]++
	thieves := &keys{refresh: []byte("another key")}
	for _, text := range []string{tok.text(thieves), out.RefreshToken[:len(out.RefreshToken)-1], out.RefreshToken + "A", "icnr_", "x", out.AccessToken[:200]} {
		_, err := w.refresh(text)
		wants(t, err, api.Unauthenticated, "session-over")
	}
	if _, err := w.refresh(out.RefreshToken); err != nil {
		t.Errorf("the session has ended: %v", err)
	}
}

// However refreshes, repetitions, pauses and restarts follow on each other: the newest token works as long as no old one was shown beyond the moment in
// which that is forgiven, and after that nothing does.
func TestRefreshRotation(t *testing.T) {
	bob := kerneltest.Signer("bob")
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		out := w.login(bob)
		tokens := []string{out.RefreshToken}
		rotated := w.m.Clock.Add(-time.Hour) // when the newest came into force
		var access []string
		over := false
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				w.pass(rapid.SampledFrom([]time.Duration{time.Second, refreshGrace, time.Hour}).Draw(rt, "pause"))
			case 1:
				w.boot()
				rotated = rotated.Add(-time.Hour) // a restart forgives nothing
			case 2: // an old one
				i := rapid.IntRange(0, len(tokens)-1).Draw(rt, "which")
				if i == len(tokens)-1 {
					continue
				}
				got, err := w.refresh(tokens[i])
				forgiven := !over && i == len(tokens)-2 && w.m.Clock.Before(rotated.Add(refreshGrace))
				if forgiven != (err == nil) {
					rt.Fatalf("token %d of %d: %v, want forgiven %v", i+1, len(tokens), err, forgiven)
				}
				if forgiven && got.RefreshToken != tokens[len(tokens)-1] {
					rt.Fatal("two tokens in force")
				}
				over = over || !forgiven
			default:
				got, err := w.refresh(tokens[len(tokens)-1])
				if (err == nil) == over {
					rt.Fatalf("the newest token: %v, the session is over: %v", err, over)
				}
				if err == nil {
					if slices.Contains(tokens, got.RefreshToken) {
						rt.Fatal("a token comes twice")
					}
					tokens, rotated, access = append(tokens, got.RefreshToken), w.m.Clock, append(access, got.AccessToken)
				}
			}
			if n := len(w.disk.rows); (n == 1) == over {
				rt.Fatalf("%d sessions on disk, over: %v", n, over)
			}
			if n := len(access); n > 0 && over && w.caller(access[n-1]) != nil {
				rt.Fatal("an access token outlives its session")
			}
		}
	})
}

// slow is a host whose clock is the bubble's.
type slow struct{ api.Host }

func (slow) Now() time.Time { return time.Now() }

// Left to itself the app drops what has expired, a minute later at most, and stops when it is told to.
func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.m.Clock = time.Now()
		w.login(w.bob)
		used := len(w.app.used)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- w.app.Serve(ctx, slow{w.host()}) }()
		time.Sleep(challengeTTL + tickEvery)
		synctest.Wait()
		w.app.mu.Lock()
		if used != 1 || len(w.app.used) != 0 || len(w.app.sessions.byID) != 1 {
			t.Errorf("%d, then %d used challenges, %d sessions", used, len(w.app.used), len(w.app.sessions.byID))
		}
		w.app.mu.Unlock()
		time.Sleep(DefaultSessionTTL)
		synctest.Wait()
		if n := len(w.app.all()); n != 0 {
			t.Errorf("%d sessions", n)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
