// Package client is the Go client of a running node: every operation of the node as a typed method, over the node's unix socket.
//
// It is not a node: it holds no key and keeps no state. Begin with Dial; call the methods of operations_gen.go, which `go generate
// ./client` makes from the node's operation table, or Call and Stream for operations by name. Errors are *api.Error values as the node had them:
// ask api.KindOf and api.ReasonOf.
//
// A Client is safe for concurrent use; calls share one connection and are answered in any order.
package client

//go:generate go run ../node/gen ..

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// pendingItems is how many items of a stream may wait for a caller that is slow to take them; then the connection is not read any further,
// other calls on it wait too, and in the end the node slows down.
const pendingItems = 64

// patience is how long a cancelled call waits for the node's last word.
const patience = 500 * time.Millisecond

// Client is a connection to a node.
type Client struct {
	nc      net.Conn
	writeMu sync.Mutex // one message at a time

	mu      sync.Mutex
	next    uint64
	pending map[string]*pending
	err     error         // why the connection is of no use any more
	broken  chan struct{} // closed when err is set
}

// pending is a call that waits for its answer. Items and the answer travel by one channel, so that their order is kept.
type pending struct {
	replies chan jsonrpc.Reply
	gone    chan struct{} // closed when the caller has left: the reader need not wait for it
}

// Dial connects to the node at address, "unix:" and the path of its socket. Nothing that answers there is Unavailable.
func Dial(ctx context.Context, address string) (*Client, error) {
	const op = "client.dial"
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok || path == "" {
		return nil, api.Errorf(op, api.Invalid, "address %q: want unix:PATH", address)
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, api.Errorf(op, api.Unavailable, "no daemon answers: %w", err)
	}
	return New(nc), nil
}

// New returns a client that speaks over nc, which it owns.
func New(nc net.Conn) *Client {
	c := &Client{nc: nc, pending: map[string]*pending{}, broken: make(chan struct{})}
	go c.read()
	return c
}

// Close ends the connection; calls in flight fail.
func (c *Client) Close() error {
	c.fail(api.Errorf("client", api.Unavailable, "the client is closed"))
	return nil
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
	id, p, err := c.send(name, in, opts)
	if err != nil {
		return err
	}
	defer c.drop(id, p)
	r, err := c.await(ctx, id, p)
	if ctx.Err() != nil && err != nil {
		r, err = c.lastWord(p, err)
	}
	switch {
	case err != nil:
		return api.Wrap(name, err)
	case r.Error != nil:
		return r.Error.Err()
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(r.Result, out); err != nil {
		return api.Errorf(name, api.Internal, "the answer does not fit: %w", err)
	}
	return nil
}

// Stream runs the named stream and gives each item to each, in order, until the stream ends, ctx ends (then the error is ctx's) or each
// returns an error, which Stream returns. Each should not be slow: other calls of this client wait while too many items do.
func (c *Client) Stream(ctx context.Context, name string, in any, each func(item json.RawMessage) error) error {
	id, p, err := c.send(name, in, nil)
	if err != nil {
		return err
	}
	defer c.drop(id, p)
	for {
		r, err := c.await(ctx, id, p)
		switch {
		case err != nil:
			return api.Wrap(name, err)
		case r.Error != nil:
			return r.Error.Err()
		case r.Method == "":
			return nil
		}
		var item jsonrpc.Item
		if err := json.Unmarshal(r.Params, &item); err != nil {
			return api.Errorf(name, api.Internal, "the item does not fit: %w", err)
		}
		if err := each(item.Item); err != nil {
			c.cancel(id)
			return err
		}
	}
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

// send writes a request and registers who waits for its answer.
func (c *Client) send(name string, in any, opts []CallOption) (string, *pending, error) {
	params, err := params(in, opts)
	if err != nil {
		return "", nil, api.Errorf(name, api.Invalid, "%w", err)
	}
	p := &pending{replies: make(chan jsonrpc.Reply, pendingItems), gone: make(chan struct{})}
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return "", nil, api.Wrap(name, c.err)
	}
	c.next++
	id := strconv.FormatUint(c.next, 10)
	c.pending[id] = p
	c.mu.Unlock()
	if err := c.write(jsonrpc.Request{Version: jsonrpc.Version, ID: json.RawMessage(id), Method: name, Params: params}); err != nil {
		c.drop(id, p)
		return "", nil, api.Wrap(name, err)
	}
	return id, p, nil
}

// params makes the input and the reserved members one object.
func params(in any, opts []CallOption) (json.RawMessage, error) {
	var o callOptions
	for _, f := range opts {
		f(&o)
	}
	raw := json.RawMessage("{}")
	if in != nil {
		var err error
		if raw, err = json.Marshal(in); err != nil {
			return nil, err
		}
	}
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

// await returns the next message for a call. When ctx ends first it asks the node to end the call.
func (c *Client) await(ctx context.Context, id string, p *pending) (jsonrpc.Reply, error) {
	select {
	case r := <-p.replies:
		return r, nil
	case <-ctx.Done():
		c.cancel(id)
		return jsonrpc.Reply{}, ctx.Err()
	case <-c.broken:
	}
	// An answer that came before the end of the connection still counts.
	select {
	case r := <-p.replies:
		return r, nil
	default:
		return jsonrpc.Reply{}, c.err
	}
}

// lastWord waits a moment for what the node has to say about a call that was cancelled: it may have been done after all, or the node may know what it was
// waiting for. An answer that says no more than that the call was cancelled leaves err as it is.
func (c *Client) lastWord(p *pending, err error) (jsonrpc.Reply, error) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case r := <-p.replies:
		if r.Error == nil || api.KindOf(r.Error.Err()) != api.Unavailable {
			return r, nil
		}
	case <-t.C:
	case <-c.broken:
	}
	return jsonrpc.Reply{}, err
}

// cancel asks the node to end a call. The answer, if any, finds nobody and is dropped.
func (c *Client) cancel(id string) {
	// A write that fails has broken the connection, which ended the call as well.
	_ = c.write(jsonrpc.Request{Version: jsonrpc.Version, Method: jsonrpc.MethodCancel, Params: fmt.Appendf(nil, `{"id":%s}`, id)})
}

func (c *Client) drop(id string, p *pending) {
	close(p.gone)
	c.mu.Lock()
	delete(c.pending, id)
	c.mu.Unlock()
}

func (c *Client) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > jsonrpc.MaxMessage {
		return api.Errorf("client", api.TooLarge, "the request has %d bytes, a message may have %d", len(b), jsonrpc.MaxMessage)
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if _, err := c.nc.Write(append(b, '\n')); err != nil {
		c.fail(api.Errorf("client", api.Unavailable, "the daemon is gone: %w", err))
		return c.err
	}
	return nil
}

// read takes messages from the node to those who wait for them.
func (c *Client) read() {
	r := jsonrpc.NewReader(c.nc, jsonrpc.MaxMessage)
	for {
		msg, err := r.Next()
		var reply jsonrpc.Reply
		if err == nil {
			reply, err = jsonrpc.ParseReply(msg)
		}
		if err != nil {
			c.fail(api.Errorf("client", api.Unavailable, "the connection to the daemon ended: %w", err))
			return
		}
		id := string(reply.ID)
		if reply.Method == jsonrpc.MethodStream {
			var item jsonrpc.Item
			if json.Unmarshal(reply.Params, &item) == nil {
				id = string(item.ID)
			}
		} else if reply.ID == nil && reply.Error != nil {
			// The node could not make out what it was sent, or will not serve us at all.
			c.fail(reply.Error.Err())
			return
		}
		c.mu.Lock()
		p := c.pending[id]
		c.mu.Unlock()
		if p == nil {
			continue
		}
		select {
		case p.replies <- reply:
		case <-p.gone:
		case <-c.broken:
			return
		}
	}
}

// fail ends the connection with its first error.
func (c *Client) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.broken)
	c.nc.Close() // nothing is lost by a failed close of a connection that nobody uses any more
}
