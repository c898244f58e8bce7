package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// queueSize is how many items wait for a slow client. When they are as many, the stream waits for it, and after slowAfter it is dropped.
const queueSize = 256

// The fields by which a stream is resumed: an item that has a cursor can be named in the input's after.
const (
	fieldCursor = "cursor"
	fieldAfter  = "after"
)

// The reasons for which a stream ends before its operation does.
var (
	errSlow = api.Errorf("gateway", api.Unavailable, "slow client: it did not take what was sent; connect again and resume after the last item")
	errLong = api.Errorf("gateway", api.Unavailable, "the stream was open for as long as one may be; connect again and resume after the last item")
	errGone = errors.New("the client is gone")
)

// item is one item of a stream as it is sent.
type item struct {
	cursor string // "" when it has none
	data   []byte
}

// sink is a client of a stream.
type sink interface {
	send(item) error
	beat() error           // says that the stream lives
	end(err error)         // says why it ends; nil when nothing more is to come
	gone() <-chan struct{} // closed when the client leaves
}

// serveStream answers with the items of a stream, as a WebSocket when the client asks for an upgrade, else as server-sent events.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, rt *route) {
	open, err := s.transport(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" && rt.input.inQuery && rt.input.fields[fieldAfter] != nil {
		q := r.URL.Query()
		q.Set(fieldAfter, last) // newer than what the address says: a browser that connects again keeps the address
		r.URL.RawQuery = q.Encode()
	}
	call, raw, leave, err := s.enterStream(w, r, rt)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer leave()

	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(s.stopped, func() { cancel(context.Cause(s.stopped)) })()
	f := &feed{s: s, rt: rt, cancel: cancel, items: make(chan *item, queueSize), done: make(chan error, 1)}
	go f.run(ctx, call, raw)

	// What is refused at once is an ordinary answer.
	first := time.NewTimer(s.times.settle)
	defer first.Stop()
	select {
	case it := <-f.items:
		f.held = it
	case err := <-f.done:
		if err != nil && len(f.items) == 0 {
			s.fail(w, r, err)
			return
		}
		f.done <- err
	case <-first.C:
	}
	x := exchangeOf(w)
	to, name, err := open(w, r)
	if err != nil {
		cancel(errGone)
		f.wait()
		return
	}
	x.stream = true
	<-s.requests // a stream takes no place of a request any more
	s.metrics.streams.With(name).Inc()
	defer s.metrics.streams.With(name).Dec()
	f.pump(ctx, r, to)
}

// enterStream says who asks for a stream and for what, and gives it one of the caller's places until leave.
func (s *Server) enterStream(w http.ResponseWriter, r *http.Request, rt *route) (call *api.Call, raw json.RawMessage, leave func(), err error) {
	if call, err = s.caller(w, r, rt.Scope); err != nil {
		return nil, nil, nil, err
	}
	if raw, err = s.input(w, r, rt, call); err != nil {
		return nil, nil, nil, api.Wrap(rt.Name, err)
	}
	leave, err = s.streams.enter(s.callerKey(r, call), s.opt.MaxStreams, s.opt.MaxCallerStreams)
	return call, raw, leave, err
}

// transport chooses how to serve a stream.
func (s *Server) transport(r *http.Request) (func(http.ResponseWriter, *http.Request) (sink, string, error), error) {
	switch {
	case upgrades(r) && !s.mayConnect(r):
		return nil, api.Errorf("gateway", api.Refused, "Origin %q: its pages may not connect here; name it in gateway.cors_origins", clip(r.Header.Get("Origin"), 128))
	case upgrades(r):
		return s.openSocket, checkSubprotocols(r)
	case r.Header.Get("Accept") != "" && accepts(r, "text/event-stream"):
		return s.openEvents, nil
	}
	return nil, &protocolError{http.StatusNotAcceptable, "not-acceptable", "this operation is a stream: ask for Accept: text/event-stream, or for an upgrade to WebSocket"}
}

// callerKey is whose streams are counted together.
func (s *Server) callerKey(r *http.Request, call *api.Call) string {
	if call.Actor != "" {
		return string(call.Actor)
	}
	return s.address(r).String()
}

// enter counts a stream, and returns how to count it out again.
func (t *streams) enter(who string, most, mostOf int) (leave func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.open >= most:
		return nil, &lateError{api.Errorf("gateway", api.Unavailable, "%d streams are open, which is the limit here", most), 10 * time.Second}
	case t.of[who] >= mostOf:
		return nil, &lateError{api.Errorf("gateway", api.RateLimited, "%d of your streams are open, which is the limit here: close one", mostOf), 10 * time.Second}
	}
	t.open++
	t.of[who]++
	t.running.Add(1)
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.open--
		if t.of[who]--; t.of[who] == 0 {
			delete(t.of, who)
		}
		t.running.Done()
	}, nil
}

// feed carries the items of one stream from its operation to its client.
type feed struct {
	s      *Server
	rt     *route
	cancel context.CancelCauseFunc
	items  chan *item // its room is paid for by each that idles
	held   *item      // taken from items before the client was there
	done   chan error // how the operation ended; room for one
}

// run runs the operation.
func (f *feed) run(ctx context.Context, call *api.Call, raw json.RawMessage) {
	var err error
	defer func() {
		if p := recover(); p != nil {
			f.s.log.Error("gateway: a stream panicked", "operation", f.rt.Name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = api.Errorf(f.rt.Name, api.Internal, "panic: %v", p)
		}
		f.done <- err
	}()
	_, err = f.s.calls.Call(ctx, call, f.rt.Name, raw, func(v any) error { return f.emit(ctx, v) })
}

// emit queues an item. While the queue is full it waits, which slows the operation down; a client for which that takes too long is dropped.
func (f *feed) emit(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	it := &item{cursor: f.cursor(data), data: data}
	select {
	case f.items <- it:
		return nil
	default:
	}
	slow := time.NewTimer(f.s.times.slow)
	defer slow.Stop()
	select {
	case f.items <- it:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-slow.C:
		f.cancel(errSlow)
		return errSlow
	}
}

// cursor returns the name of an item by which the stream is resumed, when its type has one.
func (f *feed) cursor(data []byte) string {
	if !hasField(f.rt.Out, fieldCursor) {
		return ""
	}
	var named struct {
		Cursor string `json:"cursor"`
	}
	if json.Unmarshal(data, &named) != nil || strings.ContainsAny(named.Cursor, "\r\n\x00") {
		return ""
	}
	return named.Cursor
}

func hasField(t reflect.Type, name string) bool {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return false
	}
	for _, f := range reflect.VisibleFields(t) {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return true
		}
	}
	return false
}

// pump sends until the operation ends, the client is gone, or something ends the stream. When it returns the operation has ended.
func (f *feed) pump(ctx context.Context, r *http.Request, to sink) {
	t := &f.s.times
	beat, life := time.NewTicker(t.heartbeat), time.NewTimer(t.life)
	defer beat.Stop()
	defer life.Stop()
	why, operation := error(nil), false // why it ends, and whether the operation itself did
	send := func(it *item) {
		if to.send(*it) != nil {
			why = errGone
		}
	}
	if f.held != nil {
		send(f.held)
	}
	for why == nil && !operation {
		select {
		case it := <-f.items:
			send(it)
		case why = <-f.done:
			operation = true
		case <-to.gone():
			why = errGone
		case <-ctx.Done():
			why = context.Cause(ctx)
		case <-life.C:
			why = errLong
		case <-beat.C:
			if why = f.still(r); why == nil && to.beat() != nil {
				why = errGone
			}
		}
	}
	if cause := context.Cause(ctx); operation && cause != nil { // it ended since it was told to
		why = cause
	} else if operation { // what it said last comes before how it ended
		for len(f.items) > 0 && !errors.Is(why, errGone) {
			send(<-f.items)
		}
	}
	f.cancel(why)
	f.ended(why)
	if errors.Is(why, errGone) || errors.Is(why, context.Canceled) {
		to.end(errGone)
	} else {
		to.end(why)
	}
	if !operation {
		f.wait()
	}
}

// wait waits for an operation that was told to end. What it says then is no answer to anybody.
func (f *feed) wait() {
	if err := <-f.done; err != nil {
		f.s.log.Debug("gateway: a stream was ended", "operation", f.rt.Name, "error", err)
	}
}

// still asks anew who the client is: a token may have expired or been revoked since the stream began.
func (f *feed) still(r *http.Request) error {
	bearer, err := bearerOf(r)
	if err == nil && bearer != "" {
		_, err = f.s.authenticate(r, bearer)
	}
	return err
}

// ended counts a stream that the gateway, and neither its client nor its operation, ended.
func (f *feed) ended(why error) {
	for _, c := range []struct {
		err  error
		name string
	}{{errSlow, "slow"}, {errLong, "age"}, {errStopping, "stop"}} {
		if errors.Is(why, c.err) {
			f.s.metrics.dropped.With(c.name).Inc()
		}
	}
}
