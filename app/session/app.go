package session

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"io"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Domain is the domain of this app's reasons. It has no oracle: who holds the scope of its operations may ask.
const Domain api.Domain = "session"

// How long things hold.
const (
	DefaultTokenTTL   = 15 * time.Minute    // an access token
	DefaultSessionTTL = 30 * 24 * time.Hour // a session that is not refreshed
	challengeTTL      = 5 * time.Minute     // a challenge, and a pairing
	tickEvery         = time.Minute         // how soon what has expired is dropped
)

// Options are the settings of the app. The zero Options are usable: a node of nobody, whose tokens end with the process.
type Options struct {
	Node     api.DID       // this node's own DID: issuer of tokens, and named in what is signed
	Audience string        // whom tokens are for, such as https://coop.example; "": the node's DID
	TokenTTL time.Duration // of access tokens; 0: DefaultTokenTTL
	TTL      time.Duration // of sessions, from the last refresh; 0: DefaultSessionTTL
	Secret   []byte        // whatever is secret and lasts, at least 32 bytes: keys are derived from it; nil: new ones in each process
	External *External     // another issuer whose tokens are taken, too; nil: none
	Random   io.Reader     // safe for concurrent use; nil: crypto/rand
}

// External is an issuer outside ICN whose RS256 tokens count as logins of the DID in their subject, bound to no device and to no session: they hold until
// they expire, an hour at most after they were issued.
type External struct {
	Issuer string
	Keys   []*rsa.PublicKey // 1 to 8, of at least 2048 bits
}

// Logs is what this app needs to know of key event logs, from whoever keeps them. Both are nil where nothing is known.
type Logs interface {
	// Followed returns the log of a DID that a space follows.
	Followed(space api.Hash, did api.DID) *record.Log
	// Shown returns the logs of a DID that records of a space show; it may take some milliseconds.
	Shown(space api.Hash, did api.DID) []*record.Log
}

// App is the session app of one node. Make one with New.
type App struct {
	opt    Options
	logs   Logs
	scopes scopes
	keys   func() (*keys, error)
	limits limits
	known  known // tokens

	mu       sync.Mutex
	host     api.Host
	disk     api.Local // nil where there is none
	sessions table
	used     map[nonce]time.Time // challenges that have been used, and until when they would hold
	pairs    map[nonce]*pairing  // that somebody has tried to approve
}

var (
	_ api.Adviser           = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
	_ api.Ticker            = (*App)(nil)
)

// New returns the app. What members may do is derived from the operations of apps, which are those beside it.
func New(logs Logs, apps []api.App, opt Options) *App {
	if opt.Random == nil {
		opt.Random = rand.Reader
	}
	if opt.Audience == "" {
		opt.Audience = string(opt.Node)
	}
	if opt.TokenTTL == 0 {
		opt.TokenTTL = DefaultTokenTTL
	}
	if opt.TTL == 0 {
		opt.TTL = DefaultSessionTTL
	}
	a := &App{opt: opt, logs: logs, limits: newLimits(), used: map[nonce]time.Time{}, pairs: map[nonce]*pairing{}, sessions: newTable()}
	a.scopes = scopesOf(append(apps[:len(apps):len(apps)], a))
	a.keys = sync.OnceValues(func() (*keys, error) { return derive(opt.Secret, opt.Random) })
	return a
}

// Info implements api.App.
func (*App) Info() api.AppInfo { return api.AppInfo{Name: "session"} }

// Start implements api.Starter: it remembers the sessions that there were. A Host without a local store forgets them.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.host = host
	if h, ok := host.(api.LocalHost); ok {
		a.disk = h.Local()
	}
	return a.load(host.Now())
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

// Watch implements api.Reactor: who was removed, and whose device, shows in these topics.
func (*App) Watch() []string { return []string{fact.SpaceTopic, fact.KeysTopic} }

// React implements api.Reactor: sessions end that nobody would be given any more.
func (a *App) React(_ context.Context, host api.Host, _ []api.Commit) error {
	all := a.all()
	if len(all) == 0 {
		return nil
	}
	r := host.Read()
	defer r.Close()
	for _, s := range all {
		why := a.standing(host, r, &s.Proof, s.Within, false)
		if why == nil {
			continue
		}
		host.Log().Info("a session ends", "did", s.Proof.DID, "device", s.Proof.Device, "reason", why.Text)
		if err := a.end(s.ID); err != nil {
			return err
		}
	}
	return nil
}

// Serve implements api.Runner.
func (a *App) Serve(ctx context.Context, host api.Host) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		if err := a.Tick(ctx, host, host.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Tick implements api.Ticker: what has expired is dropped.
func (a *App) Tick(_ context.Context, _ api.Host, now time.Time) error {
	a.limits.forget(now)
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, until := range a.used {
		if !now.Before(until) {
			delete(a.used, n)
		}
	}
	for n, p := range a.pairs {
		if !now.Before(p.expires) {
			delete(a.pairs, n)
		}
	}
	for _, s := range a.sessions.expired(now) {
		if err := a.drop(s); err != nil {
			return err
		}
	}
	return nil
}

// denied is an error whose rule has a remedy. Its text helps an honest person and says no more: which part of a proof is wrong helps the other kind.
func denied(op string, kind api.Kind, rule, text string) error {
	why := advised(rule, text)
	return &api.Error{Op: op, Kind: kind, Reason: why, Err: why}
}

// advised is a reason with its remedy, which the kernel completes in refusals only: not in answers to who is not known yet.
func advised(rule, text string) *api.Reason {
	return &api.Reason{Domain: Domain, Rule: rule, Text: text, Remedy: (*App)(nil).Remedies()[rule]}
}
