package security

import (
	"context"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// Spaces is what this app needs to know of spaces, from whoever owns them.
type Spaces interface {
	// Default returns the only space this node follows, or an error that says to name one.
	Default() (api.Hash, error)
}

// Options are the settings of the app. The zero Options are usable.
type Options struct {
	Metrics *obs.Registry // nil: nobody counts
}

// tickEvery is how soon what is not urgent is done: rows that say nothing any more are dropped.
const tickEvery = time.Minute

// maxUnwritten bounds the forks that wait to be reported.
const maxUnwritten = 64

// App is the security app of one node. Make one with New.
type App struct {
	spaces  Spaces
	table   table
	metrics metrics
	kick    chan struct{} // holds one token while something waits to be written

	mu        sync.Mutex
	host      api.Host
	unwritten []*report // of forks that this node's kernel has found
}

var (
	_ api.Applier           = (*App)(nil)
	_ api.Adviser           = (*App)(nil)
	_ api.OracleProvider    = (*App)(nil)
	_ api.OperationProvider = (*App)(nil)
	_ api.Reactor           = (*App)(nil)
	_ api.Starter           = (*App)(nil)
	_ api.Ticker            = (*App)(nil)
	_ api.IncidentObserver  = (*App)(nil)
)

// New returns the app. It is usable once Start has been called.
func New(spaces Spaces, opt Options) *App {
	a := &App{spaces: spaces, kick: make(chan struct{}, 1)}
	a.metrics.init(opt.Metrics, a)
	return a
}

// Info implements api.App.
func (*App) Info() api.AppInfo {
	return api.AppInfo{Name: "security", Topics: []api.TopicSpec{{Name: Topic, Retention: api.Log, Kinds: []string{kindReport, kindAppeal, kindPardon, fact.KindClose}}}}
}

// Start implements api.Starter: it remembers what was known before the node stopped. A Host without a local store forgets.
func (a *App) Start(_ context.Context, host api.Host) error {
	a.mu.Lock()
	a.host = host
	a.mu.Unlock()
	if h, ok := host.(api.LocalHost); ok {
		return a.table.load(h.Local())
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

// Observe implements api.IncidentObserver. A fork is weighed for its author, all else for the node that brought it.
func (a *App) Observe(i api.Incident) {
	host, err := a.with("security.observe")
	if err != nil {
		return // only before Start, and then there are no peers
	}
	who := i.Node
	if i.Kind == api.ForkEvidence {
		who = ""
		if i.Proven {
			who = i.Author
		}
		a.keep(&i)
	}
	a.blame(host, who, &i)
}

// keep notes a fork that may have to be reported.
func (a *App) keep(i *api.Incident) {
	if len(i.Evidence) != 3 {
		return
	}
	r := &report{Auth: i.Evidence[0], A: i.Evidence[1], B: i.Evidence[2]}
	a.mu.Lock()
	if len(a.unwritten) < maxUnwritten {
		a.unwritten = append(a.unwritten, r)
	}
	a.mu.Unlock()
	a.wake()
}

// blame adds an incident to what somebody answers for. This node and its own member are never blamed here: they would lock themselves out.
func (a *App) blame(host api.Host, who api.DID, i *api.Incident) {
	if who == "" || isOwn(host, who) {
		return
	}
	now := host.Now()
	before, after, changed := a.table.add(now, who, i)
	if !changed {
		return
	}
	a.metrics.incidents.With(known(i.Kind)).Add(float64(max(i.Count, 1)))
	if after != before {
		host.Oracles().Invalidate(Domain)
	}
	if after > before {
		a.metrics.raised.With(after.String()).Inc()
		host.Log().Warn("a level is raised", "subject", who, "level", after, "kind", i.Kind, "count", i.Count, "detail", i.Detail)
	}
	a.wake()
}

// isOwn reports whether who is this node's own member or the node itself, as its addresses name it.
func isOwn(host api.Host, who api.DID) bool {
	if self := host.Self(); self != nil && self.DID() == who {
		return true
	}
	for _, address := range host.Addresses() {
		if len(address) > len("icn://")+len(who) && address[len("icn://"):][:len(who)] == string(who) && address[len("icn://")+len(who)] == '@' {
			return true
		}
	}
	return false
}

func (a *App) wake() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// Watch implements api.Reactor.
func (*App) Watch() []string { return nil }

// React implements api.Reactor: it weighs what reports prove and follows pardons. What is void or held has no effect.
func (a *App) React(_ context.Context, host api.Host, commits []api.Commit) error {
	for _, c := range commits {
		if !c.Active {
			continue
		}
		switch c.Record.Kind {
		case kindReport:
			var r report
			if decode(c.Record.Body, &r) != nil {
				continue
			}
			if p, err := r.verify(c.Record.Topic.Space); err == nil {
				a.blame(host, p.Author, &api.Incident{
					Kind: api.ForkEvidence, Author: p.Author, Feed: p.Feed, Seq: p.Seq, Count: 1, At: c.Record.Time.Time(), Proven: true,
					Detail: "two records at one place of a feed in topic " + p.Topic.Name,
				})
			}
		case kindPardon:
			var p pardon
			if decode(c.Record.Body, &p) == nil && a.table.pardonAt(host.Now(), p.Subject, c.Record.Time.Time()) {
				a.pardoned(host, p.Subject)
			}
		}
	}
	return nil
}

func (a *App) pardoned(host api.Host, who api.DID) {
	a.metrics.pardons.Inc()
	host.Oracles().Invalidate(Domain)
	host.Log().Info("a pardon is followed", "subject", who)
	a.wake()
}

// Serve implements api.Runner: it writes what has changed, and drops what says nothing any more.
func (a *App) Serve(ctx context.Context, host api.Host) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		if err := a.Tick(ctx, host, host.Now()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return a.save(host, host.Now())
		case <-a.kick:
		case <-tick.C:
		}
	}
}

// Tick implements api.Ticker.
func (a *App) Tick(ctx context.Context, host api.Host, now time.Time) error {
	if err := a.save(host, now); err != nil {
		return err
	}
	a.mu.Lock()
	reports := a.unwritten
	a.unwritten = nil
	a.mu.Unlock()
	for _, r := range reports {
		a.write(ctx, host, r)
	}
	return nil
}

func (a *App) save(host api.Host, now time.Time) error {
	if h, ok := host.(api.LocalHost); ok {
		return a.table.save(h.Local(), now)
	}
	a.table.forget(now)
	return nil
}

// write reports a fork, if this node's member is the space's registrar: one report is enough, and everybody checks it. Without it the fork is held
// and weighed all the same on every node that has both records.
func (a *App) write(ctx context.Context, host api.Host, rep *report) {
	if rep.check() != nil {
		return
	}
	p, err := rep.prove()
	if err != nil {
		host.Log().Error("a fork's evidence does not hold", "err", err)
		return
	}
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, p.Topic.Space)
	if !ok || !s.Holds(host.Self(), fact.Registrar) {
		return
	}
	if _, _, ok := r.Own(s.Feed(Topic, host.Self().Device()), rowFork(p.Feed)); ok {
		return
	}
	draft := api.Draft{
		Topic: api.Topic{Space: s.ID, Name: Topic}, Deps: cites(r, s, host.Self(), officer), Kind: kindReport, Body: codec.MustMarshal(rep),
		Idempotency: "fork-" + p.Feed.String()[:32],
	}
	if _, err := host.Append(ctx, host.Self(), draft, api.WaitLocal); err != nil {
		host.Log().Warn("a fork is not reported", "feed", p.Feed.Short(), "err", err)
	}
}

// cites returns what the next record of signer's feed must cite to show standing of the kind wanted: nothing when an earlier one has shown it.
func cites(r api.Reader, s *fact.Space, signer api.Signer, want byte) []api.Position {
	if b, _, ok := r.Own(s.Feed(Topic, signer.Device()), rowStanding); ok && len(b) == 1 && b[0]&want != 0 {
		return nil
	}
	for _, name := range [...]string{fact.Clerk, fact.Registrar} {
		if _, pos, ok := s.Holder(name); ok && s.Holds(signer, name) {
			return []api.Position{pos}
		}
	}
	if want == officer {
		return []api.Position{s.Founded}
	}
	if _, pos, ok := s.Member(signer.DID()); ok {
		return []api.Position{pos}
	}
	return nil
}
