package finality

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// crew is the apps of a council at work.
type crew struct {
	*council
	apps  []*App
	hosts []api.Host
	heard []int // how many of all records each has heard of
}

// crew lets the council's own apps work on.
func (c *council) crew() *crew {
	w := &crew{council: c, apps: c.apps, heard: make([]int, len(c.apps))}
	for i, m := range c.nodes {
		w.hosts, w.heard[i] = append(w.hosts, m.Host("finality")), len(c.all)
	}
	return w
}

// restart gives each node a new app, as after a stop, on the records that all have.
func (c *council) restart() *crew {
	c.t.Helper()
	w := &crew{council: c, heard: make([]int, len(c.nodes))}
	for i, m := range c.nodes {
		c.deliver(m, true)
		host := &anew{Host: m.Host("finality")}
		if err := host.Follow(c.space); err != nil {
			c.t.Fatal(err)
		}
		w.apps, w.hosts, w.heard[i] = append(w.apps, New(nil)), append(w.hosts, host), len(c.all)
		if err := w.apps[i].Start(c.t.Context(), host); err != nil {
			c.t.Fatal(err)
		}
	}
	return w
}

// turns lets the apps take turns. Each hears once of what is new.
func (w *crew) turns() {
	w.t.Helper()
	for range 8 {
		for i, a := range w.apps {
			var commits []api.Commit
			for _, r := range w.all[w.heard[i]:] {
				commits = append(commits, api.Commit{Record: r, Accepted: true, Active: true})
			}
			w.heard[i] = len(w.all)
			w.deliver(w.nodes[i], true)
			if len(commits) > 0 {
				if err := a.React(w.t.Context(), w.hosts[i], commits); err != nil {
					w.t.Fatal(err)
				}
			}
			if err := a.Tick(w.t.Context(), w.hosts[i], w.nodes[i].Clock); err != nil {
				w.t.Fatal(err)
			}
			w.gather(w.nodes[i])
		}
	}
}

func (c *council) advance(d time.Duration) {
	for _, m := range c.nodes {
		m.Clock = m.Clock.Add(d)
	}
}

// A record that is dated ahead becomes final once it is due, also when nothing else happens and after a restart.
func TestDatedAhead(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		c := newCouncil(t, 4, 3, 1)
		c.gather(c.nodes[0])
		c.run(0, 1, 2, 3)
		c.nodes[1].Clock = c.nodes[1].Clock.Add(time.Hour)
		p := c.say(1, "bob", "say")
		c.nodes[1].Clock = c.nodes[0].Clock
		c.run(0, 1, 2, 3)
		w := c.crew()
		if restarted {
			w = c.restart()
		}
		w.turns()
		c.advance(time.Hour - lockAhead - time.Second)
		w.turns()
		c.wantFinal(p, false, 0, 1, 2, 3)
		c.advance(2 * time.Second)
		w.turns()
		c.wantFinal(p, true, 0, 1, 2, 3)
	}
}

// A draft is answered, and its cut made, after a restart, although the feed is final to its end and does not grow.
func TestDraftAfterRestart(t *testing.T) {
	c := newCouncil(t, 4, 3, 1)
	c.gather(c.nodes[0])
	c.run(0, 1, 2, 3)
	p := c.say(1, "bob", "say")
	c.run(0, 1, 2, 3)
	c.wantFinal(p, true, 0, 1, 2, 3)
	feed := c.cutFeed("bob", fact.CutRequest{})
	c.restart().turns()
	if _, at, n := c.cutAt(2, feed); n != 1 || at != p {
		t.Errorf("%d final cuts, at %v; want one at %v", n, at, p)
	}
}

// Served, what is dated ahead is stated when it is due.
func TestServeDatedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCouncil(t, 2, 2, 1)
		c.gather(c.nodes[0])
		c.run(0, 1)
		c.nodes[1].Clock = c.nodes[1].Clock.Add(time.Minute)
		p := c.say(1, "bob", "say")
		c.nodes[1].Clock = c.nodes[0].Clock
		c.run(0, 1)
		host := &clocked{Host: c.nodes[0].Host("finality"), begin: c.nodes[0].Clock, at: time.Now()}
		done := make(chan error)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { done <- c.apps[0].Serve(ctx, host) }()
		locked := func() (ok bool) {
			host.mu.Lock() // what Serve writes next comes after this
			defer host.mu.Unlock()
			c.open(0, func(s *fact.Space) {
				f, found := s.Locked(s.Finality()[0], 0, p.Feed)
				ok = found && f.ID == p.ID
			})
			return ok
		}
		time.Sleep(time.Minute - lockAhead - 2*dueEvery)
		synctest.Wait()
		if locked() {
			t.Error("locked before it is due")
		}
		time.Sleep(4 * dueEvery)
		synctest.Wait()
		if !locked() {
			t.Error("not locked when it is due")
		}
		cancel()
		<-done
	})
}

// clocked is a host whose clock goes on.
type clocked struct {
	api.Host
	begin, at time.Time
	mu        sync.Mutex // a Model is for one goroutine at a time
}

func (h *clocked) Append(ctx context.Context, by api.Signer, d api.Draft, wait api.Wait) (api.Receipt, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Host.Append(ctx, by, d, wait)
}

func (h *clocked) Now() time.Time { return h.begin.Add(time.Since(h.at)) }
