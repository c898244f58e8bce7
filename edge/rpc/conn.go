package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// conn is one client. Its reader is the only goroutine that starts calls; any goroutine may write.
type conn struct {
	s  *Server
	nc net.Conn

	writeMu sync.Mutex // one message at a time; guards nc's writing side

	mu       sync.Mutex
	inflight map[string]context.CancelFunc // by request id as written
	running  int                           // calls, at most MaxInFlight

	// answers has one entry for each call whose answer is not written yet. When it is full the reader waits, for at most writeTimeout: a client
	// that asks and does not read is slowed down.
	answers chan struct{}
}

func newConn(s *Server, nc net.Conn) *conn {
	return &conn{s: s, nc: nc, inflight: map[string]context.CancelFunc{}, answers: make(chan struct{}, 2*MaxInFlight)}
}

// refuse tells the client why it is not served, and closes.
func (c *conn) refuse(err error) {
	c.say(jsonrpc.Response{Error: jsonrpc.ErrorOf(err)})
	c.nc.Close()
}

// serve reads until the client closes its side, sends something hopeless, or soft ends; then it waits for what is in flight. Streams end
// with soft, other calls with hard.
func (c *conn) serve(soft, hard context.Context) {
	hard, cancel := context.WithCancel(hard)
	defer cancel()
	soft, cancelSoft := context.WithCancel(soft)
	defer cancelSoft()
	defer c.nc.Close()
	// The reader has no other way to learn that the server stops.
	stopRead := context.AfterFunc(soft, func() {
		if err := c.nc.SetReadDeadline(time.Unix(1, 0)); err != nil {
			c.nc.Close()
		}
	})
	defer stopRead()
	stopWrite := context.AfterFunc(hard, func() { c.nc.Close() })
	defer stopWrite()

	var calls sync.WaitGroup
	r := jsonrpc.NewReader(c.nc, jsonrpc.MaxMessage)
	var err error
	for {
		var msg []byte
		if msg, err = r.Next(); err != nil {
			break
		}
		parts, batch := jsonrpc.ParseRequests(msg)
		// Answered by the reader itself: it must work while every slot is taken.
		if !batch && parts[0].Err == nil && parts[0].Request.Method == jsonrpc.MethodCancel {
			c.reply(parts[0].Request, c.cancel(parts[0].Request))
			continue
		}
		if !c.enter() {
			c.overload(parts, batch)
			continue
		}
		// Ids are taken here, not in the goroutine, so that a cancel that follows at once finds its call.
		work := make([]work, len(parts))
		for i, p := range parts {
			work[i] = c.prepare(soft, hard, p, batch)
		}
		c.answers <- struct{}{}
		calls.Go(func() {
			defer func() { <-c.answers }()
			out := c.run(work)
			c.leave() // before the answer: who has it may call again at once
			c.writeAll(out, batch)
		})
	}
	if errors.Is(err, jsonrpc.ErrTooLarge) {
		// Where the next message begins is not known any more.
		c.say(jsonrpc.Response{Error: jsonrpc.ErrorOf(api.Errorf("rpc", api.TooLarge, "a message may have %d bytes", jsonrpc.MaxMessage))})
		cancelSoft()
	} else if !errors.Is(err, io.EOF) {
		cancelSoft()
	}
	done := make(chan struct{})
	go func() { calls.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(finishGrace):
		cancel()
		<-done
	}
}

func (c *conn) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == MaxInFlight {
		return false
	}
	c.running++
	return true
}

func (c *conn) leave() {
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
}

// overload answers requests that found every slot taken.
func (c *conn) overload(parts []jsonrpc.Part, batch bool) {
	err := jsonrpc.ErrorOf(api.Errorf("rpc", api.RateLimited, "%d calls are in flight on this connection, which is the limit: wait for an answer", MaxInFlight))
	var out []jsonrpc.Response
	for _, p := range parts {
		if p.Request.ID != nil || p.Err != nil {
			out = append(out, jsonrpc.Response{ID: p.Request.ID, Error: err})
		}
	}
	c.writeAll(out, batch)
}

// work is one request that is ready to run, or its error.
type work struct {
	req    jsonrpc.Request
	err    *jsonrpc.Error
	stream bool
	ctx    context.Context
	finish func() // frees the id
}

func (c *conn) prepare(soft, hard context.Context, p jsonrpc.Part, batch bool) work {
	w := work{req: p.Request, err: p.Err, finish: func() {}}
	if w.err != nil {
		return w
	}
	if w.err = c.s.runner.check(w.req); w.err != nil {
		return w
	}
	op := c.s.runner.ops[w.req.Method]
	w.stream = op.Kind == api.Stream
	if op.Kind == api.Stream {
		switch {
		case batch:
			w.err = &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf("%s is a stream: it cannot stand in a batch", op.Name)}
		case w.req.ID == nil:
			w.err = &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf("%s is a stream: it needs an id", op.Name)}
		}
		if w.err != nil {
			return w
		}
		w.ctx = soft
	} else {
		w.ctx = hard
	}
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithCancel(w.ctx)
	w.finish = cancel
	if w.req.ID == nil {
		return w
	}
	id := string(w.req.ID)
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, dup := c.inflight[id]; dup {
		cancel()
		w.err = &jsonrpc.Error{Code: jsonrpc.CodeInvalidRequest, Message: fmt.Sprintf("invalid request: id %s is in use by a call in flight", clip(id))}
		return w
	}
	c.inflight[id] = cancel
	w.finish = func() {
		cancel()
		c.mu.Lock()
		delete(c.inflight, id)
		c.mu.Unlock()
	}
	return w
}

// run runs the requests of one message in order and returns their answers.
func (c *conn) run(todo []work) []jsonrpc.Response {
	var out []jsonrpc.Response
	for _, w := range todo {
		resp := jsonrpc.Response{ID: w.req.ID, Error: w.err}
		if w.err == nil {
			var emit func(any) error
			if w.stream {
				emit = func(item any) error { return c.emit(w.req.ID, item) }
			}
			resp = c.s.runner.call(w.ctx, w.req, c.s.caller, emit)
		}
		w.finish()
		if answered(w.req, w.err) {
			out = append(out, resp)
		}
	}
	return out
}

// emit writes one item of a stream. It blocks while the client does not read, which slows the stream down and nothing else.
func (c *conn) emit(id json.RawMessage, item any) error {
	raw, err := json.Marshal(item)
	if err != nil {
		return err
	}
	params, err := json.Marshal(jsonrpc.Item{ID: id, Item: raw})
	if err != nil {
		return err
	}
	return c.write(jsonrpc.Request{Version: jsonrpc.Version, Method: jsonrpc.MethodStream, Params: params})
}

// cancel serves rpc.cancel.
func (c *conn) cancel(req jsonrpc.Request) jsonrpc.Response {
	resp := jsonrpc.Response{ID: req.ID}
	var p struct {
		ID json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(req.Params, &p); err != nil || p.ID == nil {
		resp.Error = jsonrpc.ErrorOf(api.Errorf(jsonrpc.MethodCancel, api.Invalid, "params: want {\"id\": the id of a call in flight}"))
		return resp
	}
	c.mu.Lock()
	end, ok := c.inflight[string(p.ID)]
	c.mu.Unlock()
	if ok {
		end()
	}
	resp.Result = fmt.Appendf(nil, `{"canceled":%t}`, ok)
	return resp
}

func (c *conn) reply(req jsonrpc.Request, resp jsonrpc.Response) {
	if req.ID != nil {
		c.say(resp)
	}
}

// writeAll writes the answers to one message: none for notifications alone, an array for a batch.
func (c *conn) writeAll(out []jsonrpc.Response, batch bool) {
	switch {
	case len(out) == 0:
	case batch:
		if err := c.write(out); api.KindOf(err) == api.TooLarge {
			c.say([]jsonrpc.Response{{ID: out[0].ID, Error: jsonrpc.ErrorOf(err)}})
		}
	default:
		if err := c.write(out[0]); api.KindOf(err) == api.TooLarge {
			c.say(jsonrpc.Response{ID: out[0].ID, Error: jsonrpc.ErrorOf(err)})
		}
	}
}

// say is write for a last word: when it fails the connection has been closed, and there is nobody to tell.
func (c *conn) say(v any) { _ = c.write(v) }

// write sends one message. After a failed write the connection is of no use and is closed, which ends the reader.
func (c *conn) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > jsonrpc.MaxMessage {
		return api.Errorf("rpc", api.TooLarge, "the answer has %d bytes, a message may have %d: ask for less with limit", len(b), jsonrpc.MaxMessage)
	}
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	err = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = c.nc.Write(append(b, '\n'))
	}
	if err != nil {
		c.nc.Close()
		return api.Errorf("rpc", api.Unavailable, "the client is gone: %w", err)
	}
	return nil
}

func clip(s string) string { return s[:min(len(s), 80)] }
