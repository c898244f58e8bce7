package membership

import (
	"context"
	"io"
	"sync"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the domain that this app's oracle answers for.
const Domain api.Domain = "membership"

// App is the membership app. Make one with New.
type App struct {
	entropy io.Reader
	admit   sync.Mutex // one admission at a time: they are numbered
	owed    fact.Owed  // cuts, on the registrar's node

	mu      sync.Mutex
	host    api.Host
	changed chan struct{} // closed and replaced when records of this app's topics have been committed
}

var (
	_ api.Applier           = (*App)(nil)
	_ api.Adviser           = (*App)(nil)
	_ api.OracleProvider    = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
	_ fact.Mover            = (*App)(nil)
	_ fact.Roll             = (*App)(nil)
)

// New returns the app. Invitation keys and the nonces of new spaces are read from entropy, which must be safe for concurrent use; crypto/rand's
// Reader in production.
func New(entropy io.Reader) *App { return &App{entropy: entropy, changed: make(chan struct{})} }

// Info implements api.App.
func (*App) Info() api.AppInfo {
	return api.AppInfo{Name: "membership", Topics: []api.TopicSpec{
		{Name: fact.SpaceTopic, Retention: api.Log, Kinds: []string{kindGenesis, kindInvite, kindAdmit, kindDevice, kindRemove, kindOffice}, Founding: kindGenesis},
		{Name: fact.JoinTopic, Retention: api.Log, Kinds: []string{kindJoin, kindProfile}},
	}}
}

// Start implements api.Starter.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.mu.Lock()
	a.host = host
	a.mu.Unlock()
	api.Provide[fact.Mover](host.Services(), a)
	api.Provide[fact.Roll](host.Services(), a)
	a.findOwed(host)
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

// next returns a channel that is closed at the next commit of this app's topics.
func (a *App) next() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}
