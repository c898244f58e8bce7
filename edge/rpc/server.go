// Package rpc serves a node's operations as JSON-RPC 2.0 on a unix socket, for the people and programs of the node's own machine.
//
// It knows operations, not what they mean: a method is an operation's name, params are its input object, and the dispatcher decodes,
// authorises and runs. It is not open to the network: who can open the socket (mode 0600) acts as the node's own member. For the wire
// format see package client/jsonrpc; for clients see package client.
//
// Params may hold two members beside the input's own, `_idempotency` and `_wait`, for operations that write. Calls of one connection run
// concurrently and may be answered in any order; those of a batch run one after another, in order. A stream cannot stand in a batch.
//
// Everything is bounded: connections, calls in flight on a connection (more are refused, not queued), the size of a message, and how long
// a client may take to read an answer. When a client closes its side, what it had asked still gets a time to finish.
package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/obs"
)

// Limits of a server.
const (
	MaxConnections = 64 // open at once; the next is told so and closed
	MaxInFlight    = 64 // calls in flight on one connection, a batch counting as one
)

const (
	writeTimeout = 30 * time.Second       // a client that reads nothing for so long is cut off
	finishGrace  = 30 * time.Second       // for calls whose client has closed its side
	drainGrace   = 3 * time.Second        // for calls in flight when the server stops
	acceptPause  = 100 * time.Millisecond // after a failed accept (out of file descriptors), before the next
)

// Dispatcher runs operations: the kernel, or a fake in tests. Call decodes raw into the operation's input, checks the call's scopes and
// runs it; for a stream it calls emit for each item and returns when the stream or ctx ends.
type Dispatcher interface {
	Operations() []api.Operation
	Call(ctx context.Context, call *api.Call, name string, raw json.RawMessage, emit func(item any) error) (any, error)
}

// Options configure a Server.
type Options struct {
	Path       string           // of the socket; at most about 100 bytes, a limit of the operating system
	Dispatcher Dispatcher       //
	Caller     func() *api.Call // a fresh Call for each request: actor, signer and scopes of the local operator
	Log        *slog.Logger     // nil discards
	Metrics    *obs.Registry    // nil counts for nobody
}

// Server answers on one socket.
type Server struct {
	opts        Options
	log         *slog.Logger
	runner      *Runner
	listener    *net.UnixListener
	connections obs.Gauge
	drain       time.Duration // drainGrace, shorter in tests
	closeOnce   sync.Once
}

// Listen takes the socket at opts.Path. What a dead process left there is replaced; a socket that somebody answers on is a Conflict.
func Listen(opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l, err := takeSocket(opts.Path)
	if err != nil {
		return nil, err
	}
	return &Server{
		opts: opts, log: opts.Log, runner: NewRunner(opts.Dispatcher, opts.Log), listener: l, drain: drainGrace,
		connections: opts.Metrics.Gauge("icn_rpc_connections", "Open connections to the local RPC socket."),
	}, nil
}

// caller is the local operator, whatever is asked.
func (s *Server) caller(*api.Operation) (*api.Call, error) { return s.opts.Caller(), nil }

// Serve answers until ctx ends; then streams end at once and other calls in flight get three seconds. It removes the socket and
// returns nil, or the error that made listening impossible.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	// Calls outlive ctx by the drain grace.
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var conns sync.WaitGroup
	slots := make(chan struct{}, MaxConnections)
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				s.log.Warn("rpc: accept", "error", err)
				select {
				case <-time.After(acceptPause):
				case <-ctx.Done():
				}
				continue
			}
			break
		}
		c := newConn(s, nc)
		select {
		case slots <- struct{}{}:
		default:
			c.refuse(api.Errorf("rpc", api.Unavailable, "%d connections are open, which is the limit: close one", MaxConnections))
			continue
		}
		s.connections.Inc()
		conns.Go(func() {
			defer func() { s.connections.Dec(); <-slots }()
			c.serve(ctx, hard)
		})
	}
	drained := make(chan struct{})
	go func() { conns.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(s.drain):
		cancel()
		<-drained
	}
	return nil
}

// Close stops listening and removes the socket. Serve then drains. It may be called more than once.
func (s *Server) Close() {
	s.closeOnce.Do(func() { releaseSocket(s.listener, s.opts.Path) })
}
