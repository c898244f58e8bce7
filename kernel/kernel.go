// Package kernel is the node's engine room: it opens the store, starts the apps in phases, runs the road of a record, replicates with
// peers, and serves the operation table. It enforces the constraints that the apps' oracles give and knows none of their meaning.
//
// Call New, then Run once. Call and Operations serve the edges meanwhile. The kernel's own operations (node, peer, record, state, topic)
// are in operations.go; what apps are given is in host.go; peers are in net.go, what nodes ask each other in courier.go. A simulation drives the same parts from one goroutine
// instead: inline.go.
package kernel

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thejerf/suture/v4"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/authz"
	"github.com/intercooperative/icn/kernel/internal/clock"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/obs"
)

// Identity is who the node is: the device that signs for its own member, and the key of the node itself.
type Identity interface {
	Signer() api.Signer
	NodeKey() ed25519.PrivateKey
}

// Options say where a node keeps its things and whom it talks to.
type Options struct {
	DataDir  string // the store lies in its folder "store"; required unless Store is "mem"
	Store    string // "pebble" (default), "mem", which forgets everything at the end, or the URL of a PostgreSQL database; never logged
	Identity Identity
	AnyStore bool // start a device key that may have been used on a store that does not know it (see writer.go)
	Apps     []api.App
	Config   map[string]any // effective configuration, without secrets, for node.config

	Listen    []string // peer addresses host:port, UDP; empty: no peers at all
	Bootstrap []string // icn://<node did>@host:port, dialled and kept
	MDNS      bool     // find and be found on the local network
	MaxPeers  int      // default 100
	Heartbeat time.Duration

	AccessDomain api.Domain    // whose oracle says who may follow a space; empty: nobody but this node
	RateDomain   api.Domain    // whose oracle sets rates and admits connections; empty: no limits
	GuardDomains []api.Domain  // whose oracles may tighten both, and say what a peer may do: any refusal refuses, the strictest limit holds
	Skew         time.Duration // how far ahead of the wall clock a record may be; default 30 s
	DecisionTTL  time.Duration // how long an oracle's answer is kept; default 1 s
	StrangerRate api.RateLimit // requests of an address that has not logged in, for Admit; default 10 a second, 40 at once
	BlobQuota    int64         // bytes of the blobs on this node; default 1 GiB
	BlobEach     int64         // and of those of one member; default 32 MiB
	Care         CareOptions   // time servers, and what node.doctor looks at beside the kernel

	Version string // of the software, for people
	Logger  *slog.Logger
	Metrics *obs.Registry
	Now     func() time.Time // wall clock; default time.Now

	// Inline gives the node surroundings and leaves it to be driven by Begin and Step; nil for a node that Run drives. DataDir, Store, Listen and
	// MDNS are not used then.
	Inline *Inline
}

// EnsureDefaults fills in zero fields.
func (o *Options) EnsureDefaults() {
	if o.Store == "" {
		o.Store = "pebble"
	}
	if o.MaxPeers == 0 {
		o.MaxPeers = 100
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 30 * time.Second
	}
	if o.Skew == 0 {
		o.Skew = 30 * time.Second
	}
	if o.DecisionTTL == 0 {
		o.DecisionTTL = time.Second
	}
	if o.StrangerRate == (api.RateLimit{}) {
		o.StrangerRate = api.RateLimit{PerSecond: 10, Burst: 40}
	}
	if o.BlobQuota == 0 {
		o.BlobQuota = defaultBlobQuota
	}
	if o.BlobEach == 0 {
		o.BlobEach = defaultBlobEach
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Version == "" {
		o.Version = "dev"
	}
}

// Kernel is one node.
type Kernel struct {
	opt        Options
	log        *slog.Logger
	st         store.Store
	apps       *fold.Apps
	state      *fold.State
	clock      *clock.Clock
	oracles    *authz.Registry
	services   api.Services
	engine     *ingest.Engine
	road       road
	service    *ingest.Service // the road of a node that Run drives
	inline     *inline         // of a node that Step drives
	net        *network        // nil without peers
	guard      *guard
	requests   requests
	wrongs     *incidents
	refusals   *refusals
	hosts      map[string]*host
	responders map[string]*responder // by kind of request
	table      []api.Operation
	byName     map[string]*entry
	kindList   []api.KindSpec // what the apps say of their records, by topic and kind
	kinds      record.Kinds   // the same, to find one
	follows    follows
	foundings  foundings
	memory     atomic.Pointer[fold.Memory] // of readers; nil while the state is made anew
	events     *hub
	blobs      *blobs
	watchers   watchers
	recent     recent
	metrics    metrics
	care       care // the clock alarm, snapshots: doctor.go
	started    time.Time
	ready      atomic.Bool
	stopping   chan struct{} // closed when the peers and apps are told to stop

	storeFailed chan error  // has room for the one error that a store fails with
	unreadable  atomic.Bool // the store may not answer reads any more
}

// road is the way in, as the parts of the kernel use it. ingest.Service and ingest.Inline say what the methods do.
type road interface {
	Offer(raws [][]byte, origin ingest.Origin, done func(int, ingest.Result)) bool
	Submit(ctx context.Context, raws [][]byte, origin ingest.Origin) []ingest.Result
	Append(ctx context.Context, signer api.Signer, draft api.Draft) (api.Receipt, error)
	Take(ctx context.Context, signer api.Signer, env *record.Envelope, idempotency string, keep bool) (api.Receipt, error)
	Do(ctx context.Context, fn func(*ingest.Engine) error) error
}

// New opens the store and wires the parts. The caller must Run the kernel or Close it.
func New(o Options) (*Kernel, error) { return NewContext(context.Background(), o) }

// NewContext is New that gives up, with api.Unavailable, when ctx ends while another node has the store, which is a database.
func NewContext(ctx context.Context, o Options) (*Kernel, error) {
	o.EnsureDefaults()
	if o.Identity == nil {
		return nil, api.Errorf("kernel.new", api.Invalid, "identity: a node needs one")
	}
	k := &Kernel{opt: o, log: o.Logger, hosts: map[string]*host{}, byName: map[string]*entry{}, started: o.Now(), stopping: make(chan struct{}), storeFailed: make(chan error, 1)}
	var err error
	if k.apps, err = fold.NewApps(o.Apps); err != nil {
		return nil, err
	}
	if k.st, err = k.openStore(ctx); err != nil {
		return nil, err
	}
	if err := k.wire(); err != nil {
		return nil, errors.Join(err, k.st.Close())
	}
	return k, nil
}

// lostStore is called once when the store fails. What is read from then on may be missing, so nothing is answered any more.
func (k *Kernel) lostStore(err error) {
	k.unreadable.Store(true)
	k.storeFailed <- err
}

func (k *Kernel) openStore(ctx context.Context) (store.Store, error) {
	o := k.opt
	if o.Inline != nil {
		return o.Inline.Store, nil
	}
	switch {
	case store.IsPostgresURL(o.Store):
		return store.OpenPostgres(ctx, store.PostgresOptions{
			URL: o.Store, Owner: string(o.Identity.Signer().DID()), Logger: o.Logger, OnFail: k.lostStore,
		})
	case o.Store == "mem":
		return store.OpenVolatile()
	case o.Store == "pebble":
		if o.DataDir == "" {
			return nil, api.Errorf("kernel.new", api.Invalid, "data directory: name one")
		}
		return store.Open(store.Options{Dir: filepath.Join(o.DataDir, "store"), Logger: o.Logger, OnFail: k.lostStore})
	}
	return nil, api.Errorf("kernel.new", api.Invalid, "store %q: want pebble, mem or postgres://...", o.Store)
}

func (k *Kernel) wire() error {
	var err error
	if k.state, err = fold.Open(k.st, k.apps, k.log); err != nil {
		return err
	}
	if err := k.state.Resume(context.Background()); err != nil {
		return err
	}
	k.memory.Store(fold.NewMemory())
	k.clock = clock.New(k.opt.Now, k.opt.Skew)
	if err := ingest.RestoreClock(k.st, k.clock); err != nil {
		return err
	}
	if err := k.follows.load(k.st); err != nil {
		return err
	}
	r := k.reader("", k.log)
	k.recent.last = r.LogEnd()
	r.Close()
	if k.events, err = newHub(k, k.opt.Apps); err != nil {
		return err
	}
	if k.blobs, err = newBlobs(k); err != nil {
		return err
	}
	k.refusals = newRefusals(k.opt.Now, k.opt.Inline)
	k.metrics.init(k)
	if err := k.initCare(); err != nil {
		return err
	}
	k.oracles = authz.New(authz.Options{TTL: k.opt.DecisionTTL, Now: k.opt.Now})
	k.requests = newRequests()
	k.guard, k.wrongs = newGuard(k.oracles, k.opt.GuardDomains), newIncidents(k)
	rates, rateDomain := guardedRates(k.oracles, k.opt.RateDomain, k.opt.GuardDomains)
	k.engine = ingest.NewEngine(ingest.Options{
		Store: k.st, State: k.state, Clock: k.clock, Now: k.opt.Now, Oracles: rates, RateDomain: rateDomain, Log: k.log,
		Follows: k.follows.has, Founded: func(s api.Hash) {
			k.follows.add(s)
			if k.net != nil {
				k.net.follow(s)
			}
		},
		Committed: k.committed, Conflicting: k.wrongs.conflicting, Count: k.metrics.count,
	})
	if k.opt.Inline != nil {
		k.inline = newInline(k)
		k.road = k.inline.road
	} else {
		k.service = ingest.NewService(k.engine)
		k.road = k.service
	}
	for _, app := range k.opt.Apps {
		k.hosts[app.Info().Name] = &host{k: k, app: app, log: k.log.With("app", app.Info().Name), local: newLocal(k, app.Info().Name)}
	}
	if err := k.buildResponders(); err != nil {
		return err
	}
	if len(k.opt.Listen) > 0 || k.opt.Inline != nil && k.opt.Inline.Join != nil {
		if k.net, err = newNetwork(k); err != nil {
			return err
		}
	}
	return k.buildTable()
}

// Close releases a kernel that Run does not drive.
func (k *Kernel) Close() error {
	k.ready.Store(false)
	return k.st.Close()
}

// Ready reports whether the node is running and has opened its doors.
func (k *Kernel) Ready() bool { return k.ready.Load() }

// Run takes the node through its phases and serves until ctx ends, then stops in order: peers and apps first, then the road, then the
// store. It returns nil after an ordered stop, and the cause when the store failed or an app could not start.
func (k *Kernel) Run(ctx context.Context) (err error) {
	if k.service == nil {
		return api.Errorf("kernel.run", api.Invalid, "an inline kernel is driven by Step")
	}
	defer func() {
		k.unreadable.Store(true)
		err = errors.Join(err, k.st.Close())
	}()

	// The road stops last: what apps and peers have in hand can still be settled.
	roadCtx, stopRoad := context.WithCancel(context.WithoutCancel(ctx))
	runCtx, stopRun := context.WithCancelCause(ctx)
	defer stopRun(nil)
	context.AfterFunc(runCtx, func() { close(k.stopping) })
	go func() { // a store that learns that it has failed before anybody commits
		select {
		case err := <-k.storeFailed:
			stopRun(api.Wrap("kernel.run", err))
		case <-runCtx.Done():
		}
	}()
	roadDone := make(chan error, 1)
	go func() {
		err := k.service.Serve(roadCtx)
		if err != nil && !errors.Is(err, context.Canceled) {
			k.log.Error("the store failed; the node stops so that nothing is acknowledged that is not on disk", "err", err)
			stopRun(api.Wrap("kernel.run", err))
		}
		roadDone <- err
	}()
	defer func() {
		stopRoad()
		if e := <-roadDone; e != nil && !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
	}()

	if err := k.start(runCtx); err != nil {
		return err
	}
	tree := k.supervisor()
	served := tree.ServeBackground(runCtx)
	k.ready.Store(true)
	k.log.Info("node is running", "node", k.nodeDID(), "member", k.opt.Identity.Signer().DID(), "spaces", len(k.follows.list()))
	<-runCtx.Done()
	k.ready.Store(false)
	if e := <-served; e != nil && !errors.Is(e, context.Canceled) {
		err = e
	}
	if cause := context.Cause(runCtx); !errors.Is(cause, context.Cause(ctx)) { // also when ctx has ended since
		return cause
	}
	return err
}

// start takes the node through its phases: oracles, apps, running.
func (k *Kernel) start(ctx context.Context) error {
	for _, app := range k.opt.Apps {
		if p, ok := app.(api.OracleProvider); ok {
			k.oracles.Register(p.Oracle())
		}
	}
	if err := k.oracles.Advance(api.CoreApps); err != nil {
		return err
	}
	for _, app := range k.opt.Apps {
		if s, ok := app.(api.Starter); ok {
			if err := s.Start(ctx, k.hosts[app.Info().Name]); err != nil {
				return api.Wrap("kernel.run: start app "+app.Info().Name, err)
			}
		}
	}
	return k.oracles.Advance(api.Running)
}

// supervisor builds the tree of services: a part that fails is restarted with back-off, and its siblings go on.
func (k *Kernel) supervisor() *suture.Supervisor {
	spec := suture.Spec{
		EventHook: func(e suture.Event) {
			k.metrics.restarts.Inc()
			k.log.Warn("a part of the node failed and is restarted", "event", e.String())
		},
		FailureBackoff: 5 * time.Second, FailureThreshold: 5, Timeout: 8 * time.Second,
	}
	root := suture.New("icn", spec)
	if k.net != nil {
		peers := suture.New("peers", spec)
		peers.Add(k.net.listener())
		peers.Add(k.net)
		peers.Add(k.net.letters)
		root.Add(peers)
	}
	apps := suture.New("apps", spec)
	for _, app := range k.opt.Apps {
		h := k.hosts[app.Info().Name]
		if r, ok := app.(api.Reactor); ok {
			apps.Add(newReaction(k, h, r))
		}
		if r, ok := app.(api.Runner); ok {
			apps.Add(service{"run " + app.Info().Name, func(ctx context.Context) error { return r.Serve(ctx, h) }})
		}
	}
	root.Add(apps)
	root.Add(service{"trim", k.trim})
	root.Add(k.wrongs)
	root.Add(k.events)
	root.Add(k.blobs)
	k.superviseCare(root)
	return root
}

// trimEvery is how long a node must have been quiet before it gives memory back.
const trimEvery = 15 * time.Second

// trim returns memory to the system once after a burst: the collector alone would keep what an import or a catch-up needed for minutes, and a
// co-op's small server has other things to do with it.
func (k *Kernel) trim(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	seen, trimmed := int64(0), int64(-1)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		n := k.metrics.total.Load()
		if n == seen && n != trimmed {
			debug.FreeOSMemory()
			trimmed = n
		}
		seen = n
	}
}

// service names a Serve function for the supervisor.
type service struct {
	name  string
	serve func(ctx context.Context) error
}

func (s service) Serve(ctx context.Context) error { return s.serve(ctx) }
func (s service) String() string                  { return s.name }

func (k *Kernel) nodeDID() api.DID {
	if k.net == nil {
		return ""
	}
	return k.net.t.Self()
}

// committed runs once a commit is on disk, in order.
func (k *Kernel) committed(events []ingest.Event, finals []api.Position) {
	k.metrics.committed(events)
	k.recent.add(events)
	k.wrongs.committed(events)
	if k.net != nil {
		k.net.committed(events, finals)
	}
	k.watchers.wake(finals)
	if in := k.opt.Inline; in != nil && in.Committed != nil {
		commits := make([]api.Commit, len(events))
		for i := range events {
			commits[i] = events[i].Commit
		}
		in.Committed(commits, finals)
	}
}

// follows is the set of spaces this node replicates.
type follows struct {
	mu  sync.RWMutex
	set map[api.Hash]struct{}
}

func (f *follows) load(r store.Reader) error {
	f.set = map[api.Hash]struct{}{}
	var bad error
	err := fold.Metas(r, ingest.MetaFollow, func(name string, _ []byte) bool {
		var h api.Hash
		if h, bad = api.ParseHash(name[len(ingest.MetaFollow):]); bad != nil {
			return false
		}
		f.set[h] = struct{}{}
		return true
	})
	return errors.Join(err, bad)
}

func (f *follows) has(s api.Hash) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, ok := f.set[s]
	return ok
}

func (f *follows) add(s api.Hash) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set[s] = struct{}{}
}

func (f *follows) list() []api.Hash {
	f.mu.RLock()
	defer f.mu.RUnlock()
	hs := make([]api.Hash, 0, len(f.set))
	for h := range f.set {
		hs = append(hs, h)
	}
	sortHashes(hs)
	return hs
}

// watchers are those who wait for commits: reactors, tails, and writers who wait for a position to become final.
type watchers struct {
	mu    sync.Mutex
	kicks map[chan struct{}]struct{}
	final map[api.Hash]map[*finalWait]struct{}
}

type finalWait struct {
	at   api.Position
	done chan struct{}
}

// subscribe returns a channel that is readable after commits; unsubscribe with the function.
func (w *watchers) subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kicks == nil {
		w.kicks = map[chan struct{}]struct{}{}
	}
	w.kicks[ch] = struct{}{}
	return ch, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.kicks, ch)
	}
}

func (w *watchers) waitFinal(p api.Position) (*finalWait, func()) {
	f := &finalWait{at: p, done: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.final == nil {
		w.final = map[api.Hash]map[*finalWait]struct{}{}
	}
	if w.final[p.Feed] == nil {
		w.final[p.Feed] = map[*finalWait]struct{}{}
	}
	w.final[p.Feed][f] = struct{}{}
	return f, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.final[p.Feed], f); len(w.final[p.Feed]) == 0 {
			delete(w.final, p.Feed)
		}
	}
}

func (w *watchers) wake(finals []api.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.kicks {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
	for _, p := range finals {
		for f := range w.final[p.Feed] {
			if f.at.Seq <= p.Seq {
				close(f.done)
				delete(w.final[p.Feed], f)
			}
		}
	}
}
