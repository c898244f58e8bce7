package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/intercooperative/icn/edge/rpc"
	"github.com/intercooperative/icn/kernel/api"
)

// serveRPC answers one JSON-RPC message: a request, or a batch of them. A request that fails is an error within status 200; problems are what is wrong
// with the HTTP request.
func (s *Server) serveRPC(w http.ResponseWriter, r *http.Request) {
	if !accepts(r, "application/json") {
		s.fail(w, r, &protocolError{http.StatusNotAcceptable, "not-acceptable", "Accept: JSON-RPC answers with application/json"})
		return
	}
	// A token that is no good fails the message; each request is limited by itself, below.
	known := &api.Call{Scopes: []string{api.ScopePublic}}
	bearer, err := bearerOf(r)
	if err == nil && bearer != "" {
		known, err = s.authenticate(r, bearer)
	}
	if err != nil {
		s.fail(w, r, s.stranger(r, err))
		return
	}
	if x := exchangeOf(w); x != nil {
		x.actor = known.Actor
	}
	body, err := s.body(w, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	addr := s.address(r)
	caller := func(op *api.Operation) (*api.Call, error) {
		if err := s.admit(known.Actor, addr); err != nil {
			return nil, err
		}
		if op != nil && known.Actor == "" && op.Scope != api.ScopePublic {
			return nil, api.Errorf(op.Name, api.Unauthenticated, "this needs a token: log in, and send it as Authorization: Bearer TOKEN")
		}
		call := *known
		return &call, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.opt.RequestTimeout)
	defer cancel()
	answer := s.runner.Answer(ctx, body, caller)
	w.Header().Set("Cache-Control", "no-store")
	if answer == nil { // notifications
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	s.write(w, r, http.StatusOK, answer)
}

// discreet is a dispatcher that tells nobody but the log what went wrong inside.
type discreet struct {
	rpc.Dispatcher
	log *slog.Logger
}

// Call implements rpc.Dispatcher.
func (d discreet) Call(ctx context.Context, call *api.Call, name string, raw json.RawMessage, emit func(item any) error) (any, error) {
	out, err := d.Dispatcher.Call(ctx, call, name, raw, emit)
	if err != nil && internal(api.KindOf(err)) {
		d.log.Error("gateway: an operation failed", "operation", name, "error", err)
		err = api.Errorf(name, api.Internal, unexplained)
	}
	return out, err
}
