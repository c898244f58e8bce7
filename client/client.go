// Package client is the Go client of a running node: every operation of the node as a typed method, over the node's unix socket, or from elsewhere
// over its HTTP gateway.
//
// Dial connects to either. Call the methods that `go generate ./client` makes from the node's operation table, or Call and Stream for operations by name.
// Errors are *api.Error values as the node had them: ask api.KindOf and api.ReasonOf.
//
// Over the socket the node signs for its own member. From elsewhere a member's own device signs: give Dial its key and its journal (Member). Then the
// client logs in by itself, and whatever a node asks to have signed it reads first: it signs nothing that was not asked for, and nothing twice for one
// place, whatever crashes in between (docs/adr/0039).
//
// A Client is safe for concurrent use.
package client

//go:generate go run ../node/gen ..

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// Client is a connection to a node.
type Client struct{ t transport }

// transport carries calls to a node.
type transport interface {
	call(ctx context.Context, name string, in json.RawMessage, o callOptions) (json.RawMessage, error)
	stream(ctx context.Context, name string, in json.RawMessage, each func(item json.RawMessage) error) error
	close(ctx context.Context) error
}

// Dial connects to the node at address: "unix:" and the path of its socket, or the http(s) address of its gateway, such as https://coop.example. Nothing
// that answers on a socket is Unavailable at once; a gateway is first asked by the first call. Over plain http only this very machine is spoken to, unless
// PlainHTTP says otherwise.
func Dial(ctx context.Context, address string, opts ...Option) (*Client, error) {
	const op = "client.dial"
	var o options
	for _, f := range opts {
		f(&o)
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok && path != "" {
		if len(opts) > 0 {
			return nil, api.Errorf(op, api.Invalid, "address %q: options are for a gateway; over its socket a node signs itself", address)
		}
		var d net.Dialer
		nc, err := d.DialContext(ctx, "unix", path)
		if err != nil {
			return nil, api.Errorf(op, api.Unavailable, "no daemon answers: %w", err)
		}
		return New(nc), nil
	}
	if !IsGateway(address) {
		return nil, api.Errorf(op, api.Invalid, "address %q: want unix:PATH, https://HOST or http://HOST", address)
	}
	g, err := newGateway(address, &o)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return &Client{g}, nil
}

// IsGateway reports whether an address is one of a gateway.
func IsGateway(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// New returns a client that speaks over nc, which it owns.
func New(nc net.Conn) *Client { return &Client{newSocket(nc)} }

// Close ends the connection; calls in flight fail. At a gateway it ends the session, for which it waits five seconds at most; the error says that the
// session may go on until it ends by itself.
func (c *Client) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return c.t.close(ctx)
}

// Session returns the login in force at a gateway, which it begins if there is none. Over a socket nobody logs in, which is Unsupported.
func (c *Client) Session(ctx context.Context) (*Session, error) {
	g, ok := c.t.(*gateway)
	if !ok || g.login == nil {
		return nil, api.Errorf("login", api.Unsupported, "nobody logs in here: give Dial the address of a gateway, and a member's key")
	}
	return g.login.session(ctx)
}

// A CallOption changes one call.
type CallOption func(*callOptions)

type callOptions struct {
	idempotency string
	wait        api.Wait
}

// Idempotency names a write, in 1 to 64 characters: repeated with the same input, it is answered with the first receipt.
func Idempotency(key string) CallOption { return func(o *callOptions) { o.idempotency = key } }

// Wait says how far a write must have got before it is answered.
func Wait(w api.Wait) CallOption { return func(o *callOptions) { o.wait = w } }

// Call runs the named operation with in, a struct or map or nil, and decodes the answer into the pointer out, which may be nil or a
// *json.RawMessage. When ctx ends first the node is asked to end the call, and what it answers within a moment is returned; what it has committed by then
// stands.
func (c *Client) Call(ctx context.Context, name string, in, out any, opts ...CallOption) error {
	raw, err := inputOf(name, in)
	if err != nil {
		return err
	}
	var o callOptions
	for _, f := range opts {
		f(&o)
	}
	answer, err := c.t.call(ctx, name, raw, o)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return api.Errorf(name, api.Internal, "the answer does not fit: %w", err)
	}
	return nil
}

// Stream runs the named stream and gives each item to each, in order, until the stream ends, ctx ends (then the error is ctx's) or each
// returns an error, which Stream returns. Each should not be slow: over a socket other calls of this client wait while too many items do.
//
// Over a gateway, a stream whose items have a cursor goes on behind the last one when the connection is lost.
func (c *Client) Stream(ctx context.Context, name string, in any, each func(item json.RawMessage) error) error {
	raw, err := inputOf(name, in)
	if err != nil {
		return err
	}
	return c.t.stream(ctx, name, raw, each)
}

func inputOf(name string, in any) (json.RawMessage, error) {
	if in == nil {
		return json.RawMessage("{}"), nil
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, api.Errorf(name, api.Invalid, "%w", err)
	}
	return raw, nil
}

// stream is Stream with decoded items, for the generated methods.
func stream[Item any](ctx context.Context, c *Client, name string, in any, each func(*Item) error) error {
	return c.Stream(ctx, name, in, func(raw json.RawMessage) error {
		it := new(Item)
		if err := json.Unmarshal(raw, it); err != nil {
			return api.Errorf(name, api.Internal, "the item does not fit: %w", err)
		}
		return each(it)
	})
}

// call is Call with the answer allocated, for the generated methods.
func call[Out any](ctx context.Context, c *Client, name string, in any, opts []CallOption) (*Out, error) {
	out := new(Out)
	if err := c.Call(ctx, name, in, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}

// params makes the input and the reserved members one object.
func params(raw json.RawMessage, o callOptions) (json.RawMessage, error) {
	if o == (callOptions{}) {
		return raw, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("the input is not an object: %w", err)
	}
	if members == nil {
		members = map[string]json.RawMessage{}
	}
	for name, value := range map[string]string{jsonrpc.MemberIdempotency: o.idempotency, jsonrpc.MemberWait: string(o.wait)} {
		if value == "" {
			continue
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		members[name] = text
	}
	return json.Marshal(members)
}
