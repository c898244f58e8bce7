package keys

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Domain is the domain that this app's oracle answers for.
const Domain api.Domain = "keys"

// tickEvery is how soon a node looks whether a delay is over.
const tickEvery = time.Second

// Spaces knows which space is meant when none is named.
type Spaces interface {
	Default() (api.Hash, error)
}

// App is the keys app of one node. Make one with New.
type App struct {
	spaces Spaces

	mu      sync.Mutex
	host    api.Host
	pending map[api.Hash]map[api.Hash]bool // space -> feeds with logs and vetoes that the registrar has not settled
	held    map[api.Hash]bool              // spaces whose registrar this node's member was at the last look
	seen    bool                           // there was a look
	auth    []byte                         // whose log own is
	own     *record.Log                    // this node's member's, nil while it has no rotation

	working sync.Mutex // one round at a time
}

var (
	_ api.Applier           = (*App)(nil)
	_ api.Adviser           = (*App)(nil)
	_ api.OracleProvider    = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
	_ api.Ticker            = (*App)(nil)
)

// New returns the app.
func New(spaces Spaces) *App {
	return &App{spaces: spaces, pending: map[api.Hash]map[api.Hash]bool{}, held: map[api.Hash]bool{}}
}

// Info implements api.App.
func (*App) Info() api.AppInfo {
	return api.AppInfo{Name: "keys", Topics: []api.TopicSpec{
		{Name: fact.KeysTopic, Retention: api.Log, Kinds: []string{kindLog, kindVeto, kindStart, kindStop, kindFollow}},
	}}
}

// Start implements api.Starter.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.host = host
	return nil
}

// takeOffice notes whether this node's member is a space's registrar, and returns it. Who has become it, or has started again, finds what was published
// before.
func (a *App) takeOffice(r api.Reader, space api.Hash, holds bool) bool {
	a.mu.Lock()
	before := a.held[space]
	a.held[space] = holds
	if !holds {
		delete(a.pending, space)
	}
	a.mu.Unlock()
	if !holds || before {
		return holds
	}
	prefix := indexLogs(space)
	for k := range r.Index(prefix, nil, false) {
		if k = k[len(prefix):]; len(k) == len(api.Hash{})+8 {
			a.note(space, api.Hash(k[:32]))
		}
	}
	return holds
}

// lookAnew lets the registrar's node look at all logs of a space again.
func (a *App) lookAnew(space api.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, space)
}

// Watch implements api.Reactor: who was admitted publishes, and what is final is followed.
func (*App) Watch() []string { return []string{fact.SpaceTopic, fact.FinalityTopic} }

// React implements api.Reactor.
func (a *App) React(ctx context.Context, host api.Host, commits []api.Commit) error {
	look := false
	for _, c := range commits {
		switch c.Record.Topic.Name {
		case fact.SpaceTopic: // somebody was admitted, or has another office: a log that could not be followed may be one now
			a.lookAnew(c.Record.Topic.Space)
			look = true
			continue
		case fact.FinalityTopic:
			continue
		}
		switch c.Record.Kind {
		case kindLog, kindVeto:
			a.note(c.Record.Topic.Space, c.Record.Feed)
		case kindStart:
			var s ruling
			if self := host.Self(); c.Active && self != nil && decode(c.Record.Body, &s) == nil && s.DID == self.DID() {
				host.Log().Warn("guardians put another key in charge of this member; whoever has the key in charge can object: icnctl id recover status", "recovery", s.Event)
			}
		}
	}
	a.mu.Lock()
	look = look || len(a.pending) > 0
	a.mu.Unlock()
	if !look {
		return nil
	}
	return a.round(ctx, host, host.Now())
}

// Serve implements api.Runner.
func (a *App) Serve(ctx context.Context, host api.Host) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		if err := a.Tick(ctx, host, host.Now()); err != nil {
			host.Log().Warn("key event logs could not be looked at", "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Tick implements api.Ticker.
func (a *App) Tick(ctx context.Context, host api.Host, now time.Time) error {
	own := a.mine(host)
	a.mu.Lock()
	idle := a.seen && own == nil && len(a.pending) == 0
	a.seen = true
	a.mu.Unlock()
	if idle {
		return nil
	}
	return a.round(ctx, host, now)
}

func (a *App) note(space, feed api.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pending[space] == nil {
		a.pending[space] = map[api.Hash]bool{}
	}
	a.pending[space][feed] = true
}

func (a *App) done(space, feed api.Hash) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if delete(a.pending[space], feed); len(a.pending[space]) == 0 {
		delete(a.pending, space)
	}
}

// noted returns the feeds of a space that wait, in order.
func (a *App) noted(space api.Hash) []api.Hash {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(maps.Keys(a.pending[space]), api.Hash.Compare)
}

// mine returns the log of this node's member, nil when nothing of it can be followed.
func (a *App) mine(host api.Host) *record.Log {
	self := host.Self()
	if self == nil {
		return nil
	}
	auth := self.Auth()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !bytes.Equal(auth, a.auth) {
		a.auth, a.own = auth, nil
		if p, err := record.ParseAuth(auth); err == nil && p.Log.Settled() != nil {
			a.own = p.Log
		}
	}
	return a.own
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

// Oracle implements api.OracleProvider.
func (a *App) Oracle() api.PolicyOracle { return oracle{} }

// oracle lets whoever holds the scope ask for this app's operations: what else they need their handlers and Apply check.
type oracle struct{}

// Domain implements api.PolicyOracle.
func (oracle) Domain() api.Domain { return Domain }

// Evaluate implements api.PolicyOracle.
func (oracle) Evaluate(q api.Request) api.Decision {
	if strings.HasPrefix(q.Action, "key.") {
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Decision{}
}
