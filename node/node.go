package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/edge/gateway"
	"github.com/intercooperative/icn/edge/rpc"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
	"github.com/intercooperative/icn/obs"
)

// stopWithin is how long an ordered stop may take; operators and service managers are promised ten seconds.
const stopWithin = 9 * time.Second

// Options are what Run needs beside the configuration.
type Options struct {
	Version    string                    // of the software, for people; "" is "dev"
	Passphrase identity.PassphraseSource // its File counts unless the configuration names one
	AnyStore   bool                      // start a device key that may have been used on a store that does not know it
	Log        io.Writer                 // where log lines go, usually os.Stderr; nil discards
	Ready      func()                    // called once when the node serves; may be nil
}

// Run runs the node until ctx ends, then drains and stops it: calls in flight first, then peers and apps, then the store. It returns nil after an
// ordered stop. The data directory is locked meanwhile. Errors of kind Invalid are the operator's: configuration, keystore, passphrase.
func Run(ctx context.Context, cfg *config.Config, opt Options) (err error) {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if opt.Log == nil {
		opt.Log = io.Discard
	}
	log, err := obs.NewLogger(opt.Log, cfg.Observability.LogLevel, cfg.Observability.LogFormat)
	if err != nil {
		return api.Errorf("config", api.Invalid, "%w", err)
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, identity.KeystoreFile)); err != nil {
		return api.Errorf("node.run", api.Invalid, "no keystore in %s: make one with `icnd init --data-dir %s`", cfg.DataDir, cfg.DataDir)
	}
	release, err := lockDir(cfg.DataDir)
	if err != nil {
		return err
	}
	defer release()
	id, err := openKeystore(cfg, opt.Passphrase)
	if err != nil {
		return err
	}
	defer id.Close()

	n, err := assemble(ctx, cfg, opt, id, log)
	if err != nil {
		if ctx.Err() != nil && api.KindOf(err) == api.Unavailable {
			log.Info("the node stops; it was waiting for its database")
			return nil
		}
		return err
	}
	return n.run(ctx, opt.Ready)
}

func openKeystore(cfg *config.Config, src identity.PassphraseSource) (*identity.Identity, error) {
	src.File = cmp.Or(cfg.Identity.PassphraseFile, src.File)
	passphrase, err := src.Read(false)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	// scrypt takes 256 MiB on purpose; give them back before the node settles down.
	defer debug.FreeOSMemory()
	return identity.Open(cfg.DataDir, passphrase)
}

// running is a node whose doors are open but which does not yet serve. Only metrics and health are answered from the beginning: a node may
// wait long for a database that another one writes.
type running struct {
	kernel *kernel.Kernel
	opened atomic.Bool // kernel is set
	rpc    *rpc.Server
	gate   *gateway.Server // nil when it is not enabled
	reg    *obs.Registry
	log    *slog.Logger

	stopHealth context.CancelFunc
	healthDone chan error
}

// assemble opens the store and the doors. What it has opened it closes again when it fails.
func assemble(ctx context.Context, cfg *config.Config, opt Options, id *identity.Identity, log *slog.Logger) (_ *running, err error) {
	n := &running{reg: obs.NewRegistry(), log: log}
	n.reg.GaugeVec("icn_node_info", "Always 1; the labels say what runs.", "version").With(cmp.Or(opt.Version, "dev")).Set(1)
	metrics, err := listenMetrics(cfg)
	if err != nil {
		return nil, err
	}
	n.serveHealth(ctx, metrics)
	defer func() {
		if err != nil {
			n.stopHealth()
			err = errors.Join(err, <-n.healthDone)
		}
	}()
	logins, err := sessions(cfg, id)
	if err != nil {
		return nil, err
	}
	ko := kernelOptions(cfg, opt, id, logins, n.reg, log)
	if n.kernel, err = kernel.NewContext(ctx, ko); err != nil {
		return nil, err
	}
	if err := identity.MarkUsed(cfg.DataDir); err != nil { // from here on; the store knows the key
		return nil, errors.Join(err, n.kernel.Close())
	}
	n.opened.Store(true)
	signer := id.Signer()
	n.rpc, err = rpc.Listen(rpc.Options{
		Path: strings.TrimPrefix(cfg.RPCAddress(), "unix:"), Dispatcher: n.kernel, Log: log, Metrics: n.reg,
		Caller: func() *api.Call { return &api.Call{Actor: signer.DID(), Signer: signer, Scopes: []string{"*"}} },
	})
	if err == nil {
		n.gate, err = listenGateway(cfg, n, authenticator(ko.Apps))
		if err != nil {
			n.rpc.Close()
		}
	}
	if err != nil {
		return nil, errors.Join(err, n.kernel.Close())
	}
	return n, nil
}

// serveHealth answers on l until stopHealth is called; it outlives ctx.
func (n *running) serveHealth(ctx context.Context, l net.Listener) {
	ctx, n.stopHealth = context.WithCancel(context.WithoutCancel(ctx))
	n.healthDone = make(chan error, 1)
	go func() {
		if l == nil {
			<-ctx.Done()
			n.healthDone <- nil
			return
		}
		n.healthDone <- obs.Serve(ctx, l, obs.Handler(n.reg, n.ready), n.log)
	}()
}

func kernelOptions(cfg *config.Config, opt Options, id *identity.Identity, sessions app.Sessions, reg *obs.Registry, log *slog.Logger) kernel.Options {
	o := kernel.Options{
		DataDir: cfg.DataDir, Store: cfg.Store.Engine, Identity: id, AnyStore: opt.AnyStore, Apps: measuredApps(cfg, reg, sessions), Config: cfg.Effective(),
		Bootstrap: cfg.Network.BootstrapPeers, MDNS: cfg.Network.EnableMDNS, MaxPeers: cfg.Network.MaxPeers,
		AccessDomain: accessDomain, RateDomain: rateDomain, GuardDomains: guardDomains[:], Care: care(cfg, opt),
		BlobQuota: int64(cfg.Store.Blobs) << 20, BlobEach: int64(cfg.Store.BlobsEach) << 20,
		StrangerRate: api.RateLimit{PerSecond: uint32(cfg.Gateway.StrangerRate), Burst: uint32(cfg.Gateway.StrangerBurst)},
		Version:      cmp.Or(opt.Version, "dev"), Logger: log, Metrics: reg,
	}
	if cfg.Network.BindAddr != "" {
		o.Listen = []string{cfg.Network.BindAddr}
	}
	return o
}

func listenMetrics(cfg *config.Config) (net.Listener, error) {
	if cfg.Observability.MetricsPort == 0 {
		return nil, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(cfg.Observability.MetricsBind, strconv.Itoa(cfg.Observability.MetricsPort)))
	if err != nil {
		return nil, api.Errorf("node.run", api.Invalid, "metrics: %w; choose another observability.metrics_port (--metrics-bind), 0 switches it off", err)
	}
	return l, nil
}

// run serves until ctx ends or a part fails.
func (n *running) run(ctx context.Context, ready func()) error {
	outlive := context.WithoutCancel(ctx) // each part is stopped in its turn, not by ctx
	edgeCtx, stopEdge := context.WithCancel(outlive)
	defer stopEdge()
	kernelCtx, stopKernel := context.WithCancel(outlive)
	defer stopKernel()
	defer n.stopHealth()

	kernelDone, edgeDone := make(chan error, 1), make(chan error, 1)
	go func() { kernelDone <- n.kernel.Run(kernelCtx) }()
	go func() { edgeDone <- n.serveEdges(edgeCtx, stopEdge) }()
	go n.announce(edgeCtx, ready)

	// Until something ends. A part's result is taken from its channel once, here or below.
	var errs [3]error
	var ended [3]bool
	select {
	case <-ctx.Done():
		n.log.Info("the node stops")
	case errs[0] = <-kernelDone:
		ended[0] = true
	case errs[1] = <-edgeDone:
		ended[1] = true
	case errs[2] = <-n.healthDone:
		ended[2] = true
	}
	late := time.NewTimer(stopWithin)
	defer late.Stop()
	for _, part := range []struct {
		i    int
		name string
		stop func()
		done <-chan error
	}{
		{1, "calls in flight", stopEdge, edgeDone}, // while the store is still open
		{0, "peers, apps and the store", stopKernel, kernelDone},
		{2, "the metrics server", n.stopHealth, n.healthDone},
	} {
		part.stop()
		if ended[part.i] {
			continue
		}
		select {
		case errs[part.i] = <-part.done:
		case <-late.C:
			return errors.Join(append(errs[:], api.Errorf("node.run", api.Timeout, "%s did not stop within %s; what was acknowledged is on disk", part.name, stopWithin))...)
		}
	}
	return errors.Join(errs[:]...)
}

func (n *running) ready() error {
	if !n.opened.Load() {
		return errors.New("the node opens its store, or waits for another node that writes it")
	}
	if !n.kernel.Ready() {
		return errors.New("the node is starting or stopping")
	}
	return nil
}

// announce calls ready once the kernel serves. The kernel offers a flag and no channel, hence the ticker.
func (n *running) announce(ctx context.Context, ready func()) {
	if ready == nil {
		return
	}
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for !n.kernel.Ready() {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	ready()
}

// Operations returns the operation table of a node of this build, sorted by name. It runs nothing; the handlers of the table serve nobody.
func Operations() ([]api.Operation, error) {
	var table []api.Operation
	err := built(func(k *kernel.Kernel) { table = k.Operations() })
	return table, err
}

// EventTypes returns the types of events that a node of this build tells, in order of name, as Operations does.
func EventTypes() ([]api.EventType, error) {
	var types []api.EventType
	err := built(func(k *kernel.Kernel) { types = k.EventTypes() })
	return types, err
}

// built shows f the kernel of a node of this build that never runs.
func built(f func(*kernel.Kernel)) error {
	id, err := identity.Generate(fixedEntropy{})
	if err != nil {
		return err
	}
	defer id.Close()
	cfg := config.Defaults()
	k, err := kernel.New(kernel.Options{Store: "mem", Identity: id, Apps: apps(&cfg)})
	if err != nil {
		return err
	}
	f(k)
	if err := k.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// fixedEntropy makes the keys of a node that never runs.
type fixedEntropy struct{}

func (fixedEntropy) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}
