package finality

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// interval is the least time between two rounds of statements: what a payment waits for finality at most, under load.
const interval = 15 * time.Millisecond

// App is the finality app. Make one with New.
type App struct {
	kick chan struct{} // holds one token while something waits to be stated

	mu      sync.Mutex
	pending map[api.Hash]map[api.Hash]bool // space -> feeds that have grown
	serving bool                           // Serve runs and will state it
	stating sync.Mutex                     // one round at a time
}

var (
	_ api.Applier = (*App)(nil)
	_ api.Reactor = (*App)(nil)
	_ api.Starter = (*App)(nil)
	_ api.Runner  = (*App)(nil)
)

// New returns the app.
func New() *App {
	return &App{kick: make(chan struct{}, 1), pending: map[api.Hash]map[api.Hash]bool{}}
}

// Info implements api.App.
func (*App) Info() api.AppInfo {
	return api.AppInfo{Name: "finality", Topics: []api.TopicSpec{{Name: fact.FinalityTopic, Retention: api.Log, Kinds: []string{kindStatement}}}}
}

// Watch implements api.Reactor: everything may become final.
func (*App) Watch() []string { return []string{"*"} }

// Start implements api.Starter: it finds what was committed before a crash and not stated.
func (a *App) Start(_ context.Context, host api.Host) error {
	r := host.Read()
	defer r.Close()
	for _, id := range host.Follows() {
		if s, ok := fact.Open(r, id); !ok || !isWitness(s, host.Self()) {
			continue
		}
		for _, h := range host.Heads(api.Topic{Space: id}) {
			if fin, _ := r.Final(h.Tip.Feed); h.Topic.Name != fact.FinalityTopic && fin.Seq < h.Tip.Seq {
				a.note(id, h.Tip.Feed)
			}
		}
	}
	return nil
}

// React implements api.Reactor: it notes which feeds have grown and lets Serve state them, or does it here when Serve does not run.
func (a *App) React(ctx context.Context, host api.Host, commits []api.Commit) error {
	for _, c := range commits {
		if c.Record.Topic.Name != fact.FinalityTopic {
			a.note(c.Record.Topic.Space, c.Record.Feed)
		}
	}
	a.mu.Lock()
	serving := a.serving
	a.mu.Unlock()
	if !serving {
		return a.state(ctx, host)
	}
	a.wake()
	return nil
}

// Serve implements api.Runner: it states what is noted, at once and then once per interval.
func (a *App) Serve(ctx context.Context, host api.Host) error {
	a.setServing(true)
	defer a.setServing(false)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		if err := a.state(ctx, host); err != nil {
			return err
		}
		pause.Reset(interval)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.kick:
		}
	}
}

func (a *App) setServing(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.serving = on
}

func (a *App) note(space, feed api.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[space] == nil {
		a.pending[space] = map[api.Hash]bool{}
	}
	a.pending[space][feed] = true
}

func (a *App) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// state states all that is noted. What it could not state it notes again.
func (a *App) state(ctx context.Context, host api.Host) error {
	a.stating.Lock()
	defer a.stating.Unlock()
	a.mu.Lock()
	pending := a.pending
	a.pending = map[api.Hash]map[api.Hash]bool{}
	a.mu.Unlock()
	for _, space := range slices.SortedFunc(maps.Keys(pending), compare) {
		feeds := slices.SortedFunc(maps.Keys(pending[space]), compare)
		if err := a.stateSpace(ctx, host, space, feeds); err != nil {
			for space, feeds := range pending {
				for feed := range feeds {
					a.note(space, feed)
				}
			}
			a.wake()
			return err
		}
	}
	return nil
}

func compare(a, b api.Hash) int { return bytes.Compare(a[:], b[:]) }

// stateSpace states where the feeds of one space stand, if this node's member is its witness.
func (a *App) stateSpace(ctx context.Context, host api.Host, space api.Hash, feeds []api.Hash) error {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok || !isWitness(s, host.Self()) {
		return nil
	}
	var deps []api.Position
	if _, _, ok := r.Own(s.Finality(), rowWitness); !ok {
		deps = []api.Position{s.Founded}
	}
	var items []item
	flush := func() error {
		if len(items) == 0 {
			return nil
		}
		d := api.Draft{Topic: api.Topic{Space: space, Name: fact.FinalityTopic}, Deps: deps, Kind: kindStatement, Body: codec.MustMarshal(&statement{Items: items})}
		_, err := host.Append(ctx, host.Self(), d, api.WaitLocal)
		items, deps = nil, nil
		if api.KindOf(err) == api.Refused {
			// This feed is forked, or another program holds the key: no statement of ours counts until people have looked at it.
			host.Log().Error("the witness's statement is refused", "space", space.Short(), "err", err)
			return nil
		}
		return err
	}
	for _, feed := range feeds {
		it, ok := newest(r, s, feed)
		if !ok {
			continue
		}
		if items = append(items, it); len(items) == maxItems {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// newest returns the newest position of feed that has effect, if it is ahead of what has been stated.
func newest(r api.Reader, s *fact.Space, feed api.Hash) (item, bool) {
	head, ok := r.Head(feed)
	if !ok {
		return item{}, false
	}
	if f, ok := s.Final(feed); ok && head.Seq <= f.Seq {
		return item{}, false
	}
	rec, v, ok := r.Record(head)
	if !ok || v.Held || rec.Topic.Name == fact.FinalityTopic || rec.Topic.Space != s.ID {
		return item{}, false
	}
	return item{Feed: feed, Seq: head.Seq, ID: head.ID, Accepted: v.Accepted}, true
}

// isWitness reports whether self is the space's witness.
func isWitness(s *fact.Space, self api.Signer) bool {
	return self != nil && slices.Contains(s.Genesis.Witnesses, self.Device())
}
