package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// Runner runs the requests of JSON-RPC messages, whatever they came by: this package's socket, or HTTP.
type Runner struct {
	d   Dispatcher
	log *slog.Logger
	ops map[string]api.Operation
}

// NewRunner returns a Runner of d's operations.
func NewRunner(d Dispatcher, log *slog.Logger) *Runner {
	r := &Runner{d: d, log: log, ops: map[string]api.Operation{}}
	for _, op := range d.Operations() {
		r.ops[op.Name] = op
	}
	return r
}

// Caller returns a fresh Call for a request of op, nil for one that only asks which operations there are; or why the request is not served.
type Caller func(op *api.Operation) (*api.Call, error)

// Answer runs the requests of one message that came by itself, one after another, and returns what is due for them as JSON: nil for notifications
// alone. There are no streams in such a message, and nothing to cancel.
func (r *Runner) Answer(ctx context.Context, msg []byte, caller Caller) []byte {
	parts, batch := jsonrpc.ParseRequests(msg)
	var out []jsonrpc.Response
	for _, p := range parts {
		resp := jsonrpc.Response{ID: p.Request.ID, Error: p.Err}
		if resp.Error == nil {
			resp.Error = r.check(p.Request)
		}
		if op := r.ops[p.Request.Method]; resp.Error == nil && op.Kind == api.Stream {
			resp.Error = &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf("%s is a stream: it is served at its own path, %s %s", op.Name, op.Method, op.Path)}
		}
		if resp.Error == nil {
			resp = r.call(ctx, p.Request, caller, nil)
		}
		if answered(p.Request, resp.Error) {
			out = append(out, resp)
		}
	}
	var v any = out
	switch {
	case len(out) == 0:
		return nil
	case !batch:
		v = out[0]
	}
	b, err := json.Marshal(v)
	if err != nil { // every result is JSON that was marshalled here
		r.log.Error("rpc: an answer that does not marshal", "error", err)
		return nil
	}
	return b
}

// answered reports whether a request is due an answer. A notification is not, but what is no request at all is: the standard says both.
func answered(q jsonrpc.Request, err *jsonrpc.Error) bool {
	return q.ID != nil || err != nil && err.Code == jsonrpc.CodeInvalidRequest || err != nil && err.Code == jsonrpc.CodeParse
}

// check says whether there is such a method.
func (r *Runner) check(q jsonrpc.Request) *jsonrpc.Error {
	if _, ok := r.ops[q.Method]; ok || q.Method == jsonrpc.MethodDiscover {
		return nil
	}
	return &jsonrpc.Error{Code: jsonrpc.CodeNoMethod, Message: clip(q.Method) + ": no such operation; rpc.discover lists them"}
}

// call runs one request that check let pass. A panic of an operation is its own failure, not the daemon's.
func (r *Runner) call(ctx context.Context, q jsonrpc.Request, caller Caller, emit func(item any) error) (resp jsonrpc.Response) {
	resp.ID = q.ID
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("rpc: operation panicked", "operation", q.Method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			resp = jsonrpc.Response{ID: q.ID, Error: jsonrpc.ErrorOf(api.Errorf(q.Method, api.Internal, "the operation failed inside; the daemon's log says where"))}
		}
	}()
	out, err := r.dispatch(ctx, q, caller, emit)
	if err == nil {
		resp.Result, err = json.Marshal(out)
	}
	if err != nil {
		resp.Error = jsonrpc.ErrorOf(err)
	}
	return resp
}

func (r *Runner) dispatch(ctx context.Context, q jsonrpc.Request, caller Caller, emit func(item any) error) (any, error) {
	if q.Method == jsonrpc.MethodDiscover {
		if _, err := caller(nil); err != nil {
			return nil, err
		}
		return discover(r.d.Operations())
	}
	op := r.ops[q.Method]
	call, err := caller(&op)
	if err != nil {
		return nil, err
	}
	input, err := unwrap(q.Params, &op, call)
	if err != nil {
		return nil, err
	}
	return r.d.Call(ctx, call, q.Method, input, emit)
}
