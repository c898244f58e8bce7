package node

import (
	"context"
	"errors"
	"time"

	"github.com/intercooperative/icn/edge/gateway"
	"github.com/intercooperative/icn/edge/openapi"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
)

// listenGateway opens the gateway's port; nil when it is not enabled.
func listenGateway(cfg *config.Config, n *running, authenticate func(context.Context, string) (*api.Call, error)) (*gateway.Server, error) {
	g := &cfg.Gateway
	if !g.Enable {
		return nil, nil
	}
	proxies, err := g.Proxies()
	if err != nil {
		return nil, err
	}
	doc, err := openapi.Document(n.kernel.Operations(), openapi.About(), n.kernel.EventTypes()...)
	if err != nil {
		return nil, err
	}
	return gateway.Listen(gateway.Options{
		Bind: g.Bind, TLSCert: g.TLSCert, TLSKey: g.TLSKey, CORSOrigins: g.CORSOrigins, TrustedProxies: proxies,
		MaxRequests: g.MaxRequests, MaxStreams: g.MaxStreams, MaxBody: int64(g.MaxBody), RequestTimeout: time.Duration(g.RequestTimeout),
		Dispatcher: n.kernel, Authenticate: authenticate, Limit: n.kernel.Admit, Ready: n.ready, Kept: n.kernel.EdgeLocal("gateway"), Docs: openapi.Handler(doc),
		Log: n.log, Metrics: n.reg,
	})
}

// serveEdges serves until ctx ends; one that fails ends the others by stop.
func (n *running) serveEdges(ctx context.Context, stop func()) error {
	if n.gate == nil {
		return n.rpc.Serve(ctx)
	}
	done := make(chan error, 1)
	go func() {
		defer stop()
		done <- n.gate.Serve(ctx)
	}()
	err := n.rpc.Serve(ctx)
	stop()
	return errors.Join(err, <-done)
}
