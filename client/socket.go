package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
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

// socket is a connection over which calls go and are answered in any order.
type socket struct {
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

// newSocket returns a connection over nc, which it owns.
func newSocket(nc net.Conn) *socket {
	c := &socket{nc: nc, pending: map[string]*pending{}, broken: make(chan struct{})}
	go c.read()
	return c
}

func (c *socket) close(context.Context) error {
	c.fail(api.Errorf("client", api.Unavailable, "the client is closed"))
	return nil
}

func (c *socket) call(ctx context.Context, name string, in json.RawMessage, o callOptions) (json.RawMessage, error) {
	id, p, err := c.send(name, in, o)
	if err != nil {
		return nil, err
	}
	defer c.drop(id, p)
	r, err := c.await(ctx, id, p)
	if ctx.Err() != nil && err != nil {
		r, err = c.lastWord(p, err)
	}
	switch {
	case err != nil:
		return nil, api.Wrap(name, err)
	case r.Error != nil:
		return nil, r.Error.Err()
	}
	return r.Result, nil
}

func (c *socket) stream(ctx context.Context, name string, in json.RawMessage, each func(item json.RawMessage) error) error {
	id, p, err := c.send(name, in, callOptions{})
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

// send writes a request and registers who waits for its answer.
func (c *socket) send(name string, in json.RawMessage, o callOptions) (string, *pending, error) {
	params, err := params(in, o)
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

// await returns the next message for a call. When ctx ends first it asks the node to end the call.
func (c *socket) await(ctx context.Context, id string, p *pending) (jsonrpc.Reply, error) {
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
func (c *socket) lastWord(p *pending, err error) (jsonrpc.Reply, error) {
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
func (c *socket) cancel(id string) {
	// A write that fails has broken the connection, which ended the call as well.
	_ = c.write(jsonrpc.Request{Version: jsonrpc.Version, Method: jsonrpc.MethodCancel, Params: fmt.Appendf(nil, `{"id":%s}`, id)})
}

func (c *socket) drop(id string, p *pending) {
	close(p.gone)
	c.mu.Lock()
	delete(c.pending, id)
	c.mu.Unlock()
}

func (c *socket) write(v any) error {
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
func (c *socket) read() {
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
func (c *socket) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	close(c.broken)
	c.nc.Close() // nothing is lost by a failed close of a connection that nobody uses any more
}
