package market

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Spaces is what this app asks of whoever knows spaces.
type Spaces interface {
	// Default returns the only space this node follows, or an error that says to name one.
	Default() (api.Hash, error)
}

// App is the market app of one node. Make one with New.
type App struct {
	spaces Spaces

	mu      sync.Mutex
	host    api.Host
	shelves map[api.Hash]*shelf
}

var (
	_ api.Applier           = (*App)(nil)
	_ api.Adviser           = (*App)(nil)
	_ api.OracleProvider    = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
)

// New returns the app. It is usable once Start has been called.
func New(spaces Spaces) *App { return &App{spaces: spaces, shelves: map[api.Hash]*shelf{}} }

// Info implements api.App.
func (*App) Info() api.AppInfo {
	return api.AppInfo{Name: "market", Topics: []api.TopicSpec{{
		Name: Topic, Retention: api.Log, Kinds: []string{kindPost, kindEdit, kindWithdraw, kindReport, kindHide, kindUnhide, fact.KindClose},
	}}}
}

// Start implements api.Starter: it reads the markets of the spaces that the node follows.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.mu.Lock()
	a.host = host
	a.mu.Unlock()
	for _, space := range host.Follows() {
		a.shelf(host, space)
	}
	return nil
}

// with returns the host, or an error before Start.
func (a *App) with(op string) (api.Host, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.host == nil {
		return nil, api.Errorf(op, api.Unavailable, "the node is still starting")
	}
	return a.host, nil
}

// shelf returns a space's market, read first if need be.
func (a *App) shelf(host api.Host, space api.Hash) *shelf {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.shelves[space]
	if s == nil {
		s = newShelf(space)
		s.load(host)
		a.shelves[space] = s
	}
	return s
}

// Watch implements api.Reactor: cuts and what the witnesses state may change where a feed's effect ends.
func (*App) Watch() []string { return []string{fact.CutTopic, fact.FinalityTopic} }

// React implements api.Reactor: it keeps the markets up with what has been committed.
func (a *App) React(_ context.Context, host api.Host, commits []api.Commit) error {
	told, settled := map[api.Hash]map[api.Hash]api.DID{}, map[api.Hash]bool{}
	for _, c := range commits {
		t := c.Record.Topic
		if t.Name != Topic {
			settled[t.Space] = true
			continue
		}
		if told[t.Space] == nil {
			told[t.Space] = map[api.Hash]api.DID{}
		}
		told[t.Space][c.Record.Feed] = c.Record.Author
	}
	for space, authors := range told {
		a.shelf(host, space).follow(host, authors)
	}
	for space := range settled {
		a.shelf(host, space).settle(host)
	}
	return nil
}

// see opens a snapshot, a space over it and its market; a zero id is the default space. The caller closes the Reader.
func (a *App) see(op string, id api.Hash) (*view, error) {
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	if id.IsZero() {
		if id, err = a.spaces.Default(); err != nil {
			return nil, err
		}
	}
	r := host.Read()
	s, ok := fact.Open(r, id)
	if !ok {
		r.Close()
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", id)
	}
	return &view{Reader: r, host: host, space: s, shelf: a.shelf(host, id)}, nil
}

// view is what an operation works on.
type view struct {
	api.Reader
	host  api.Host
	space *fact.Space
	shelf *shelf
}

// moderates reports whether somebody holds an office that hides ads.
func (v *view) moderates(who api.DID) bool {
	return who != "" && slices.ContainsFunc(moderators(), func(name string) bool {
		o, ok := v.space.Office(name)
		return ok && o.DID == who
	})
}

// Oracle implements api.OracleProvider.
func (a *App) Oracle() api.PolicyOracle { return oracle{} }

// oracle lets everybody call this app's operations who holds their scope: what else they need their handlers and Apply check.
type oracle struct{}

// Domain implements api.PolicyOracle.
func (oracle) Domain() api.Domain { return Domain }

// Evaluate implements api.PolicyOracle.
func (oracle) Evaluate(q api.Request) api.Decision {
	if strings.HasPrefix(q.Action, "market.") {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Decision{}
}
