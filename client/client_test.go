package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/edge/rpc"
	"github.com/intercooperative/icn/kernel/api"
)

type echoIn struct {
	Text string `json:"text,omitempty"`
}

type echoOut struct {
	Text string   `json:"text"`
	Key  string   `json:"key"`
	Wait api.Wait `json:"wait"`
}

type item struct {
	N int `json:"n"`
}

var reason = &api.Reason{Domain: "d", Rule: "over-limit", Text: "Too much.", Inputs: map[string]string{"have": "1"}, Remedy: "ask for less"}

// dispatcher is a node of a few operations.
type dispatcher struct {
	ops     []api.Operation
	waiting chan struct{}
	ended   chan error
}

func newDispatcher() *dispatcher {
	d := &dispatcher{waiting: make(chan struct{}, 1), ended: make(chan error, 1)}
	d.ops = []api.Operation{
		api.Handle(api.Operation{Name: "t.echo", Write: true}, func(_ context.Context, c *api.Call, in *echoIn) (*echoOut, error) {
			return &echoOut{in.Text, c.Idempotency, c.Wait}, nil
		}),
		api.Handle(api.Operation{Name: "t.fail"}, func(_ context.Context, _ *api.Call, in *echoIn) (*echoOut, error) {
			if in.Text == "rule" {
				return nil, api.Refusal("t.fail", reason)
			}
			return nil, api.Errorf("t.fail", api.KindOfCode(in.Text), "because of %s", in.Text)
		}),
		api.Handle(api.Operation{Name: "t.wait"}, func(ctx context.Context, _ *api.Call, _ *struct{}) (*echoOut, error) {
			d.waiting <- struct{}{}
			<-ctx.Done()
			d.ended <- ctx.Err()
			return nil, ctx.Err()
		}),
		api.Handle(api.Operation{Name: "t.ask"}, func(ctx context.Context, _ *api.Call, in *echoIn) (*echoOut, error) {
			d.waiting <- struct{}{}
			<-ctx.Done()
			if in.Text == "done" {
				return &echoOut{Text: "done"}, nil
			}
			return nil, api.Errorf("t.ask", api.Timeout, "the registrar has not answered")
		}),
		api.HandleStream(api.Operation{Name: "t.count"}, func(ctx context.Context, _ *api.Call, in *item, emit func(*item) error) error {
			for n := range in.N {
				if err := emit(&item{n}); err != nil {
					return err
				}
			}
			if in.N == 1 { // follow
				<-ctx.Done()
				d.ended <- ctx.Err()
			}
			return nil
		}),
	}
	return d
}

func (d *dispatcher) Operations() []api.Operation { return d.ops }

func (d *dispatcher) Call(ctx context.Context, call *api.Call, name string, raw json.RawMessage, emit func(any) error) (any, error) {
	for _, op := range d.ops {
		if op.Name == name {
			in, err := op.Decode(raw)
			if err != nil {
				return nil, err
			}
			return op.Do(ctx, call, in, emit)
		}
	}
	return nil, api.Errorf(name, api.NotFound, "no such operation")
}

// serve starts a server and returns its address, its dispatcher and what stops it.
func serve(t *testing.T) (string, *dispatcher, func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "icn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := newDispatcher()
	path := filepath.Join(dir, "s")
	s, err := rpc.Listen(rpc.Options{Path: path, Dispatcher: d, Caller: func() *api.Call { return &api.Call{Scopes: []string{"*"}} }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return "unix:" + path, d, stop
}

func dial(t *testing.T, address string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCall(t *testing.T) {
	address, _, _ := serve(t)
	c := dial(t, address)
	var out echoOut
	if err := c.Call(t.Context(), "t.echo", echoIn{"hé"}, &out, client.Idempotency("k"), client.Wait(api.WaitFinal)); err != nil || out != (echoOut{"hé", "k", "final"}) {
		t.Error(out, err)
	}
	var raw json.RawMessage
	if err := c.Call(t.Context(), "t.echo", nil, &raw, client.Idempotency("k")); err != nil || string(raw) != `{"text":"","key":"k","wait":""}` {
		t.Errorf("%s %v", raw, err)
	}
	if err := c.Call(t.Context(), "t.echo", echoIn{}, nil); err != nil {
		t.Error(err)
	}
	var wrong []int
	if err := c.Call(t.Context(), "t.echo", nil, &wrong); api.KindOf(err) != api.Internal {
		t.Errorf("an answer that does not fit: %v", err)
	}
	if err := c.Call(t.Context(), "t.echo", 5, nil, client.Idempotency("k")); api.KindOf(err) != api.Invalid {
		t.Errorf("an input that is no object: %v", err)
	}
	var all sync.WaitGroup
	for i := range 200 { // more than the server takes at once: some may be refused, none mixed up
		all.Go(func() {
			var out echoOut
			text := fmt.Sprint(i)
			if err := c.Call(t.Context(), "t.echo", echoIn{text}, &out); api.KindOf(err) != api.RateLimited && (err != nil || out.Text != text) {
				t.Error(out, err)
			}
		})
	}
	all.Wait()
}

func TestErrorsComeAsTheyWere(t *testing.T) {
	address, _, _ := serve(t)
	c := dial(t, address)
	for k := api.Invalid; k <= api.Internal; k++ {
		err := c.Call(t.Context(), "t.fail", echoIn{k.Code()}, nil)
		var e *api.Error
		if !errors.As(err, &e) || e.Kind != k || e.Op != "t.fail" || err.Error() != "t.fail: because of "+k.Code() {
			t.Errorf("%s: %v", k.Code(), err)
		}
	}
	err := c.Call(t.Context(), "t.fail", echoIn{"rule"}, nil)
	if api.KindOf(err) != api.Refused || !reflect.DeepEqual(api.ReasonOf(err), reason) {
		t.Errorf("%v %+v", err, api.ReasonOf(err))
	}
	if err := c.Call(t.Context(), "t.nothing", nil, nil); api.KindOf(err) != api.Unsupported || !strings.Contains(err.Error(), "t.nothing") {
		t.Error(err)
	}
}

func TestContextEndsTheCall(t *testing.T) {
	address, d, _ := serve(t)
	c := dial(t, address)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-d.waiting; cancel() }()
	err := c.Call(ctx, "t.wait", nil, nil)
	if !errors.Is(err, context.Canceled) || api.KindOf(err) != api.Unavailable {
		t.Errorf("%v", err)
	}
	if err := <-d.ended; !errors.Is(err, context.Canceled) { // the node was told
		t.Error(err)
	}
	if err := c.Call(t.Context(), "t.echo", echoIn{"still"}, nil); err != nil {
		t.Errorf("after a cancelled call: %v", err)
	}
}

func TestCancelledCallHearsTheLastWord(t *testing.T) {
	address, d, _ := serve(t)
	c := dial(t, address)
	for _, text := range []string{"done", "why"} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-d.waiting; cancel() }()
		var out echoOut
		err := c.Call(ctx, "t.ask", echoIn{text}, &out)
		if text == "done" && (err != nil || out.Text != "done") {
			t.Errorf("done: %v %v", out, err)
		}
		if text == "why" && (api.KindOf(err) != api.Timeout || !strings.Contains(err.Error(), "registrar")) {
			t.Errorf("why: %v", err)
		}
	}
}

func TestStream(t *testing.T) {
	address, d, _ := serve(t)
	c := dial(t, address)
	const many = 5000
	next := 0
	err := c.Stream(t.Context(), "t.count", item{many}, func(raw json.RawMessage) error {
		if want := fmt.Sprintf(`{"n":%d}`, next); string(raw) != want {
			return fmt.Errorf("item %d is %s", next, raw)
		}
		next++
		return nil
	})
	if err != nil || next != many {
		t.Errorf("%d items, %v", next, err)
	}
	enough := errors.New("enough")
	if err := c.Stream(t.Context(), "t.count", item{1}, func(json.RawMessage) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	if err := <-d.ended; err == nil {
		t.Error("the stream went on")
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := c.Stream(ctx, "t.count", item{1}, func(json.RawMessage) error { cancel(); return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-d.ended
	if err := c.Stream(t.Context(), "t.count", map[string]string{"n": "x"}, nil); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
	// A caller that leaves while many items are under way does not stop the others.
	if err := c.Stream(t.Context(), "t.count", item{many}, func(json.RawMessage) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	if err := c.Call(t.Context(), "t.echo", nil, nil); err != nil {
		t.Error(err)
	}
}

func TestDaemonGoesAway(t *testing.T) {
	address, d, stop := serve(t)
	c := dial(t, address)
	go func() { <-d.waiting; stop() }()
	if err := c.Call(t.Context(), "t.wait", nil, nil); api.KindOf(err) != api.Unavailable {
		t.Errorf("%v", err)
	}
	if err := c.Call(t.Context(), "t.echo", nil, nil); api.KindOf(err) != api.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := client.Dial(t.Context(), address); api.KindOf(err) != api.Unavailable {
		t.Errorf("%v", err)
	}
	if _, err := client.Dial(t.Context(), "127.0.0.1:1"); api.KindOf(err) != api.Invalid {
		t.Errorf("%v", err)
	}
	c.Close()
	c.Close()
}
