// Package gateway serves a node's operations over HTTP: REST below /api/v1, JSON-RPC at /rpc, streams as server-sent events and as WebSockets.
//
// Routes, decoding, errors and streams are made from the operation table; the package knows no operation by name, and a new one needs nothing here.
// It holds nobody's key: a call over HTTP has no signer. Who calls is told by a bearer token, never by a cookie, so that another site's page can do
// nothing in a member's name. Whoever has no token can call what has the scope "public", and nothing else.
//
// Everything is bounded: requests at once, streams at once and of one caller, sizes of bodies and headers, the time of a request, the queue of a slow
// client, the answers kept for idempotency keys. What is over a bound is refused with a problem (RFC 9457) that says so.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/intercooperative/icn/edge/rpc"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// Prefix is where the operations' paths begin.
const Prefix = "/api/v1"

const (
	headerTimeout = 10 * time.Second       // for the headers of a request
	readTimeout   = 30 * time.Second       // for the whole of a request
	writeGrace    = 15 * time.Second       // to take the answer, beyond RequestTimeout
	idleTimeout   = 2 * time.Minute        // of a connection between requests
	drainGrace    = 4 * time.Second        // for requests in flight when the server stops
	maxHeader     = 32 << 10               // bytes; more is answered by net/http with 431
	heartbeat     = 20 * time.Second       // of a stream; proxies close what says nothing for a minute
	slowAfter     = 5 * time.Second        // with its queue full, a stream's client is too slow
	writeTimeout  = 10 * time.Second       // of one item of a stream; longer than slowAfter, so that the reason can still be told
	streamLife    = time.Hour              // then a client has to resume, and is asked anew who it is
	settle        = 200 * time.Millisecond // before a stream that says nothing is opened: a refusal that comes at once is an ordinary answer
)

// Options configure a Server. Bounds that are zero take their default.
type Options struct {
	Bind             string // host:port
	TLSCert, TLSKey  string // PEM files, both or none; read again when they change
	CORSOrigins      []string
	TrustedProxies   []netip.Prefix // whose X-Forwarded-For is believed
	MaxRequests      int            // at once; default 256. More are answered 503
	MaxStreams       int            // at once; default 1000
	MaxCallerStreams int            // at once, of one actor, or of one address without a token; default 32
	MaxBody          int64          // bytes; default 2 MiB
	RequestTimeout   time.Duration  // default 60 s

	Dispatcher rpc.Dispatcher
	// Authenticate tells whose a bearer token is: actor, device and scopes. Nil: nobody can log in.
	Authenticate func(ctx context.Context, bearer string) (*api.Call, error)
	// Limit takes one request from what actor may ask, or addr when actor is "". It returns after what time to come back, and why; 0 with a reason
	// means that waiting does not help. Nil: no limits.
	Limit func(actor api.DID, addr netip.Addr) (after time.Duration, reason *api.Reason)
	Ready func() error // nil when the node serves, else why not; may be nil
	Kept  api.Local    // answers of writes by idempotency key, across restarts; nil keeps none
	Docs  http.Handler // serves /docs, /docs/... and /openapi.json; nil: there are none

	Log     *slog.Logger  // nil discards
	Metrics *obs.Registry // nil counts for nobody
}

// EnsureDefaults replaces what is zero.
func (o *Options) EnsureDefaults() {
	if o.MaxRequests == 0 {
		o.MaxRequests = 256
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 1000
	}
	if o.MaxCallerStreams == 0 {
		o.MaxCallerStreams = 32
	}
	if o.MaxBody == 0 {
		o.MaxBody = 2 << 20
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Server is the gateway of one node.
type Server struct {
	opt      Options
	log      *slog.Logger
	calls    rpc.Dispatcher // opt.Dispatcher, with answers kept
	runner   *rpc.Runner
	mux      *http.ServeMux
	methods  []string // that some operation has
	handler  http.Handler
	listener net.Listener
	metrics  metrics
	pool     pool // of gzip writers

	requests chan struct{} // one for each running
	streams  streams
	stopping atomic.Bool
	stop     context.CancelCauseFunc // ends streams
	stopped  context.Context         //nolint:containedctx // what ends streams, which outlive no Serve
	times    times
}

// times are the constants that tests shorten.
type times struct {
	heartbeat, slow, write, life, settle, drain, read time.Duration
}

// New makes the routes. An operation table that cannot be served over HTTP, since two operations have one route, is an Internal error.
func New(opt Options) (*Server, error) {
	opt.EnsureDefaults()
	s := &Server{
		opt: opt, log: opt.Log, calls: opt.Dispatcher, requests: make(chan struct{}, opt.MaxRequests),
		streams: streams{of: map[string]int{}}, metrics: newMetrics(opt.Metrics),
		times: times{heartbeat, slowAfter, writeTimeout, streamLife, settle, drainGrace, readTimeout},
	}
	s.stopped, s.stop = context.WithCancelCause(context.Background())
	if opt.Kept != nil {
		s.calls = newKeeper(opt.Dispatcher, opt.Kept, opt.Log)
	}
	s.runner = rpc.NewRunner(discreet{s.calls, opt.Log}, opt.Log)
	if err := s.routes(); err != nil {
		return nil, err
	}
	s.handler = s.observe(s.headers(s.cors(http.HandlerFunc(s.route))))
	return s, nil
}

// Listen is New on opt.Bind. A port that is taken and a certificate that does not load are Invalid: the operator's to put right.
func Listen(opt Options) (*Server, error) {
	s, err := New(opt)
	if err != nil {
		return nil, err
	}
	if s.listener, err = listen(s.opt); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr returns where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening, for a server that Serve does not run.
func (s *Server) Close() error { return s.listener.Close() }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers until ctx ends. Then streams end with a reason, new requests are refused, and those that run get four seconds. It returns nil, or the
// error that made listening impossible.
func (s *Server) Serve(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx)) // requests outlive ctx by the drain grace
	defer cancel()
	srv := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: s.times.read, WriteTimeout: s.opt.RequestTimeout + writeGrace,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, BaseContext: func(net.Listener) context.Context { return hard },
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what strangers send to an open port is no event of the node's
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(s.listener) }()
	s.log.Info("the gateway answers", "addr", s.listener.Addr().String(), "tls", s.opt.TLSCert != "")
	select {
	case err := <-failed:
		s.drain()
		return api.Errorf("gateway.serve", api.Unavailable, "%s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	s.drain()
	grace, cancelGrace := context.WithTimeout(hard, s.times.drain)
	defer cancelGrace()
	err := srv.Shutdown(grace)
	ended := make(chan struct{})
	go func() { s.streams.running.Wait(); close(ended) }() // a WebSocket is no connection of srv's any more
	select {
	case <-ended:
	case <-grace.Done():
	}
	if err != nil {
		cancel()
		err = srv.Close()
	}
	if e := <-failed; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// drain refuses what is new and ends the streams.
func (s *Server) drain() {
	s.stopping.Store(true)
	s.stop(errStopping)
}

// streams counts those that are open.
type streams struct {
	mu      sync.Mutex
	of      map[string]int // by caller
	open    int
	running sync.WaitGroup
}
