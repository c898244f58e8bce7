package trust

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Spaces is what this app needs to know of spaces, from whoever owns them.
type Spaces interface {
	// Default returns the only space this node follows, or an error that says to name one.
	Default() (api.Hash, error)
	// Test reports whether the space is for tests: anybody may attest there, and made-up people may be imported.
	Test(space api.Hash) bool
	// Genesis returns the newest position of the space's genesis feed, to cite.
	Genesis(space api.Hash) (api.Position, bool)
	// MemberDep returns a position to cite that shows did to be a member.
	MemberDep(space api.Hash, did api.DID) (api.Position, bool)
}

// Options are the settings of the app. The zero Options are usable.
type Options struct {
	// MinConnect is the least score of a member whose node may connect, in basis points; 0 lets everybody in.
	MinConnect Score
	// RefreshEvery is how old this node's own scores may get while attestations keep coming in; 0 means 100 ms.
	RefreshEvery time.Duration
	// RefreshChanges is after how many changed attestations scores are computed anew even before RefreshEvery is over; 0 means 10,000.
	RefreshChanges uint64
}

func (o *Options) ensureDefaults() {
	if o.RefreshEvery == 0 {
		o.RefreshEvery = 100 * time.Millisecond
	}
	if o.RefreshChanges == 0 {
		o.RefreshChanges = 10_000
	}
}

// App is the trust app of one node.
type App struct {
	spaces Spaces
	opt    Options
	host   api.Host // set by Start, before anything else runs

	spelling spelling
	people   people // made up for trust.import

	mu     sync.Mutex             // guards changes of loaded
	loaded atomic.Pointer[loaded] // copied on change, so that look-ups take no lock
	forgot atomic.Int64           // when the oracle's cached answers were last forgotten, Unix nanoseconds
}

// loaded are the spaces whose graph is in memory. It is immutable.
type loaded struct {
	byID map[api.Hash]*space
	all  []*space
}

var (
	_ api.Applier           = (*App)(nil)
	_ api.Adviser           = (*App)(nil)
	_ api.OracleProvider    = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
	_ api.Ranker            = (*App)(nil)
)

// New returns the app. It is usable once Start has been called.
func New(spaces Spaces, opt Options) *App {
	opt.ensureDefaults()
	a := &App{spaces: spaces, opt: opt}
	a.loaded.Store(&loaded{})
	return a
}

// Info implements api.App.
func (a *App) Info() api.AppInfo {
	return api.AppInfo{Name: "trust", Topics: []api.TopicSpec{{Name: Topic, Retention: api.Log, Kinds: []string{Kind, fact.KindClose}}}}
}

// Start builds the graphs of the followed spaces and offers scores as ranks.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.host = host
	for _, id := range host.Follows() {
		a.space(id)
	}
	api.Provide[api.Ranker](host.Services(), a)
	api.Provide[fact.Esteem](host.Services(), a)
	return nil
}

// Watch implements api.Reactor. What the witnesses state may end the hold on a forked feed.
func (a *App) Watch() []string { return []string{fact.FinalityTopic} }

// React keeps the graphs up with what has been committed.
func (a *App) React(_ context.Context, host api.Host, commits []api.Commit) error {
	own, stated := map[api.Hash][]*api.Commit{}, map[api.Hash]bool{}
	for i := range commits {
		switch t := commits[i].Record.Topic; t.Name {
		case Topic:
			own[t.Space] = append(own[t.Space], &commits[i])
		case fact.FinalityTopic:
			stated[t.Space] = true
		}
	}
	changed := false
	for id, cs := range own {
		changed = a.space(id).commit(host, cs) || changed
	}
	for id := range stated {
		changed = a.space(id).settle(host) || changed
	}
	if changed {
		a.forget()
	}
	return nil
}

// forget drops the oracle's cached answers, at most once per RefreshEvery: a stream of attestations must not leave the cache always empty. What is
// forgotten too little is answered anew after the registry's own TTL.
func (a *App) forget() {
	now := a.host.Now().UnixNano()
	if last := a.forgot.Load(); now-last >= int64(a.opt.RefreshEvery) && a.forgot.CompareAndSwap(last, now) {
		a.host.Oracles().Invalidate(Domain)
	}
}

// space returns a space, loading it first if need be.
func (a *App) space(id api.Hash) *space {
	if s, ok := a.loaded.Load().byID[id]; ok {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.loaded.Load()
	if s, ok := old.byID[id]; ok {
		return s
	}
	s := newSpace(id)
	s.load(a.host)
	next := &loaded{byID: make(map[api.Hash]*space, len(old.all)+1), all: append(slices.Clone(old.all), s)}
	for _, s := range next.all {
		next.byID[s.topic.Space] = s
	}
	a.loaded.Store(next)
	return s
}

// Score returns what did has as seen by this node's own member: the best over the spaces this node follows, Full for the member itself. It may lag
// behind the newest attestations as Options says.
func (a *App) Score(did api.DID) Score {
	best := Score(0)
	for _, s := range a.loaded.Load().all {
		best = max(best, s.standing(a.self, a.host.Now, &a.opt).scores[did])
	}
	if best < Full && did == a.self() {
		return Full
	}
	return best
}

func (a *App) self() api.DID { return a.host.Self().DID() }

// Rank implements api.Ranker: the score as 0 to 1.
func (a *App) Rank(did api.DID) float64 { return a.Score(did).Float() }
