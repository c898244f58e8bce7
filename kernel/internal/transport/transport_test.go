package transport_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// realWorld runs nodes on the loopback interface.
type realWorld struct{}

func (realWorld) Start(t testing.TB, o transport.Options, h transport.Handler) (transport.Transport, func()) {
	t.Helper()
	if o.Listen == nil {
		o.Listen = []string{"127.0.0.1:0"}
	}
	n, err := transport.New(o, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx) }()
	stopped := false
	stop := func() {
		if cancel(); !stopped {
			stopped = true
			if err := <-done; err != nil {
				t.Errorf("serve: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	return n, stop
}

func (realWorld) Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for range 4_000 {
		if cond() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: not within 20 s", what)
}

func (realWorld) Now() time.Time { return time.Now() }

func TestTransport(t *testing.T) {
	kerneltest.TestTransport(t, func(*testing.T) kerneltest.TransportWorld { return realWorld{} })
}

func options(name string) transport.Options {
	return transport.Options{Key: kerneltest.NodeKey(name), RetryMin: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond}
}

// start runs a node with its log.
func start(t testing.TB, o transport.Options) (*transport.Node, *kerneltest.PeerLog) {
	t.Helper()
	log := kerneltest.NewPeerLog(nil)
	tr, _ := realWorld{}.Start(t, o, log)
	return tr.(*transport.Node), log
}

func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	realWorld{}.Until(t, what, cond)
}

func isUp(log *kerneltest.PeerLog, node api.DID) bool { _, up := log.Peer(node); return up }
