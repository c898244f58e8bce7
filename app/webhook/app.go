// Package webhook is the app that tells the events of a space to a URL: a request for each event, signed, in order, at least once.
//
// It writes no records. A hook belongs to one node and one owner, and what is kept of it (where it has got to, its secret, the last attempts) lies in
// the node's local store: the outbox of a hook is a cursor into the node's own journal of events, so nothing is queued twice and a restart loses
// nothing. A hook whose receiver fails is tried again, ever more slowly, and switched off after three days.
//
// A request is signed as standardwebhooks.com says: HMAC-SHA256 with the hook's secret over the request's id, its time and its body.
//
// A node that posts to URLs which others give it could be made to reach into its own network. So only https to public addresses is allowed, unless the
// operator says otherwise, and what counts is the address that is dialled in the end (see dial.go); redirects are not followed.
package webhook

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Domain is the domain that this app's oracle answers for.
const Domain api.Domain = "webhook"

// Bounds.
const (
	maxURL      = 2048             // bytes
	maxTypes    = 64               // of a hook's filter
	maxScopes   = 64               // of its owner
	atOnce      = 8                // requests under way
	timeout     = 10 * time.Second // of a request
	maxAnswer   = 16 << 10         // bytes that are read of an answer, and of its header
	keptTries   = 20               // attempts that are remembered of a hook
	perTurn     = 32               // events that a hook gets before it is others' turn
	testPause   = 5 * time.Second  // between two tests of a hook
	maxTry      = 120              // bytes of what is kept of an error
	firstRetry  = 5 * time.Second
	longestWait = time.Hour
	giveUpAfter = 72 * time.Hour // of nothing but failure
)

// Options are what an operator may set.
type Options struct {
	AllowPrivate bool // addresses of private networks, of this machine too
	AllowHTTP    bool // http, not only https
	MaxHooks     int  // on this node; default 1024
	MaxOwn       int  // of one owner; default 16
	Random       io.Reader
	Access       api.Domain // whose oracle says who may follow a space; empty: nobody may but the node's own member

	// Transport sends the requests; nil: one that dials what the options allow and nothing else.
	Transport http.RoundTripper
}

// Spaces is what this app asks of whoever knows spaces.
type Spaces interface {
	// Default returns the space that is meant when none is named.
	Default() (api.Hash, error)
}

// App is the webhook app. Make one with New.
type App struct {
	opt    Options
	spaces Spaces
	client *http.Client
	kick   chan struct{}

	mu    sync.Mutex
	host  api.EventHost
	local api.Local
	hooks map[string]*hook
}

var (
	_ api.Adviser           = (*App)(nil)
	_ api.EventSource       = (*App)(nil)
	_ api.OracleProvider    = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
	_ api.Runner            = (*App)(nil)
)

// New returns the app.
func New(spaces Spaces, o Options) *App {
	if o.MaxHooks == 0 {
		o.MaxHooks = 1024
	}
	if o.MaxOwn == 0 {
		o.MaxOwn = 16
	}
	if o.Transport == nil {
		o.Transport = transport(o.AllowPrivate, nil)
	}
	return &App{
		opt: o, spaces: spaces, kick: make(chan struct{}, 1), hooks: map[string]*hook{},
		client: &http.Client{Transport: o.Transport, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Info implements api.App: no topics, no records.
func (*App) Info() api.AppInfo { return api.AppInfo{Name: "webhook"} }

// Start implements api.Starter: it remembers the hooks. A Host without events or a local store serves none.
func (a *App) Start(_ context.Context, host api.Host) error {
	events, ok := host.(api.EventHost)
	store, ok2 := host.(api.LocalHost)
	if !ok || !ok2 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.host, a.local = events, store.Local()
	return a.load()
}

// Watch implements api.Reactor: anything may be an event.
func (*App) Watch() []string { return []string{"*"} }

// React implements api.Reactor: there may be something to deliver.
func (a *App) React(context.Context, api.Host, []api.Commit) error {
	a.mu.Lock()
	for _, h := range a.hooks {
		h.news = true
	}
	a.mu.Unlock()
	a.wake()
	return nil
}

func (a *App) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// Oracle implements api.OracleProvider: holding the scope is enough, and whose a hook is the handlers check.
func (*App) Oracle() api.PolicyOracle { return oracle{} }

type oracle struct{}

func (oracle) Domain() api.Domain { return Domain }

func (oracle) Evaluate(q api.Request) api.Decision {
	switch q.Action {
	case opAdd, opList, opRemove, opTest, opDeliveries:
		return api.Allowed(api.ConstraintSet{})
	}
	return api.Decision{}
}

// may reports whether somebody may follow a space now.
func (a *App) may(host api.Host, who api.DID, space api.Hash) bool {
	if a.opt.Access == "" {
		return who == host.Self().DID()
	}
	return host.Oracles().Evaluate(api.Request{Domain: a.opt.Access, Actor: who, Action: "follow", Topic: api.Topic{Space: space}}).Effect == api.Allow
}

// Switched is the data of webhook.disabled.
type Switched struct {
	Hook string `json:"hook" doc:"its id"`
	Why  string `json:"why"`
}

const evDisabled, evReset, evTest = "webhook.disabled", "webhook.reset", "webhook.test"

// Events implements api.EventSource.
func (*App) Events() []api.EventType {
	return []api.EventType{api.Notice[Switched](evDisabled, scopeRead, "A hook was switched off: its receiver has failed for long or is gone, or its owner may not follow the space any more")}
}
