package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// audience is an icnd as a co-op runs it, and members who listen to its events over HTTP, each with no more streams than one may have.
type audience struct {
	*process
	addr   string
	space  api.Hash
	to     api.DID
	tokens []string
}

// streamsEach is how many streams each member opens: fewer than the burst of a new member's rate.
const streamsEach = 16

// gather starts an icnd whose space has members enough for so many streams, and logs them in.
func gather(ctx context.Context, b *bench, streams int) (a *audience, err error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < uint64(streams+500) {
		return nil, errors.Join(err, fmt.Errorf("%d open files are allowed and %d needed: raise the limit (ulimit -n)", limit.Cur, streams+500))
	}
	bin, err := icnd(ctx, b)
	if err != nil {
		return nil, err
	}
	dir, err := dataDir(b)
	if err != nil {
		return nil, err
	}
	var ps []*payer
	if err := importInto(ctx, dir, func(ctx context.Context, n *node) (err error) {
		ps, err = found(ctx, n, streams/streamsEach)
		return err
	}); err != nil {
		return nil, err
	}
	a = &audience{space: ps[0].topic.Space, to: ps[0].DID(), addr: "127.0.0.1:0"}
	if a.addr, err = freePort(); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{
		"ICN_GATEWAY_MAX_STREAMS": "20000", "ICN_GATEWAY_MAX_REQUESTS": "1000", "ICN_GATEWAY_STRANGER_RATE": "100000", "ICN_GATEWAY_STRANGER_BURST": "100000",
	} {
		if err := os.Setenv(name, value); err != nil {
			return nil, err
		}
		defer func() { _ = os.Unsetenv(name) }() // it was not set before
	}
	if a.process, err = daemon(ctx, bin, dir, "--gateway-enable", "--gateway-bind", a.addr); err != nil {
		return nil, err
	}
	w, err := dialWire(a.addr, 4096)
	if err == nil {
		defer w.Close()
		for _, p := range ps {
			var token string
			if token, err = w.login(p); err != nil {
				break
			}
			a.tokens = append(a.tokens, token)
		}
	}
	if err != nil {
		a.stop(&err)
		return nil, err
	}
	return a, nil
}

// listener is one stream at the gateway.
type listener struct {
	*wire
	socket bool
}

// next reads an item and reports whether it contains what.
func (l *listener) next(what string) (bool, error) {
	if l.socket {
		return l.frame(what)
	}
	return l.event(what)
}

// listen opens so many streams, 32 at a time, and reads each until it is up to now.
func (a *audience) listen(streams int, socket bool, types string, buffer int) (ls []*listener, err error) {
	ls = make([]*listener, streams)
	errs := make([]error, 32)
	var next atomic.Int64
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < streams && errs[w] == nil; i = int(next.Add(1)) - 1 {
				ls[i], errs[w] = a.open(a.tokens[i%len(a.tokens)], socket, types, buffer)
			}
		})
	}
	wg.Wait()
	return ls, cmp.Or(errs...)
}

func (a *audience) open(token string, socket bool, types string, buffer int) (*listener, error) {
	w, err := dialWire(a.addr, buffer)
	if err != nil {
		return nil, err
	}
	l := &listener{w, socket}
	if err := w.listen(gatewayPrefix+"/events?space="+a.space.String()+"&types="+types, token, socket); err != nil {
		return l, err
	}
	for {
		if live, err := l.next(`"live":true`); live || err != nil {
			return l, err
		}
	}
}

func hangUp(ls []*listener) {
	for _, l := range ls {
		if l != nil {
			_ = l.Close() // the server is told or is going to end
		}
	}
}

// fanout: a payment is made by a call on the node's socket, and a thousand members' streams wait for its event: from the call until the last client has it.
// Each kind of stream is measured by itself, on one icnd; clients are another process.
func fanout(ctx context.Context, b *bench) (rows []result, err error) {
	const streams, rounds = 1000, 60
	a, err := gather(ctx, b, streams+streamsEach)
	if err != nil {
		return nil, err
	}
	defer a.stop(&err)
	times := map[bool][]time.Duration{}
	for _, socket := range []bool{true, false} {
		ls, err := a.listen(streams, socket, "ledger.transferred", 2048)
		if err == nil {
			times[socket], err = a.rounds(ctx, ls, rounds)
		}
		hangUp(ls)
		if err != nil {
			return nil, err
		}
	}
	ws50, ws99 := quantiles(times[true])
	sse50, sse99 := quantiles(times[false])
	const peer = "as server-sent events"
	return []result{
		{"ws-fanout", ws50, "ms", peer, sse50, sse50 / ws50, fmt.Sprintf("%d clients, median of %d events", streams, rounds)},
		{"ws-fanout-p99", ws99, "ms", peer, sse99, sse99 / ws99, ""},
	}, nil
}

// rounds makes payments and returns from each call to the last listener's having its event.
func (a *audience) rounds(ctx context.Context, ls []*listener, rounds int) (took []time.Duration, err error) {
	const sought = `"type":"ledger.transferred"`
	errs := make(chan error, len(ls))
	var have atomic.Int64
	all := make(chan time.Time, 1)
	for _, l := range ls {
		go func() {
			for {
				has, err := l.next(sought)
				if err != nil {
					errs <- err // also when it is hung up
					return
				}
				if has && have.Add(1) == int64(len(ls)) {
					all <- time.Now()
				}
			}
		}()
	}
	for range rounds {
		have.Store(0)
		begin := time.Now()
		if _, err := a.LedgerTransfer(ctx, client.LedgerTransferIn{To: a.to, Currency: "hours", Amount: 1}); err != nil {
			return nil, err
		}
		select {
		case end := <-all:
			took = append(took, end.Sub(begin))
		case err := <-errs:
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d have it: %w", have.Load(), len(ls), ctx.Err())
		}
		if err := sleep(ctx, 250*time.Millisecond); err != nil { // the founder has a rate, too
			return nil, err
		}
	}
	return took, nil
}

// idleSubscribers: what ten thousand WebSockets to which nothing happens take of an icnd, above what it takes without; clients are another process. The
// peer is the same as server-sent events.
func idleSubscribers(ctx context.Context, b *bench) (_ []result, err error) {
	const streams = 10_000
	var bytes, rss [2]float64
	for i, socket := range []bool{true, false} {
		if bytes[i], rss[i], err = idleRun(ctx, b, streams, socket); err != nil {
			return nil, err
		}
	}
	const peer = "as server-sent events"
	return []result{
		{"idle-subscribers", bytes[0], "B", peer, bytes[1], bytes[1] / bytes[0], fmt.Sprintf("resident, each of %d, above a node with none", streams)},
		{"idle-subscribers-rss", rss[0], "MB", peer, rss[1], rss[1] / rss[0], ""},
	}, nil
}

func idleRun(ctx context.Context, b *bench, streams int, socket bool) (each, rss float64, err error) {
	a, err := gather(ctx, b, streams)
	if err != nil {
		return 0, 0, err
	}
	defer a.stop(&err)
	if err := sleep(ctx, b.idle/12); err != nil {
		return 0, 0, err
	}
	before, err := a.memory("VmRSS")
	if err != nil {
		return 0, 0, err
	}
	ls, err := a.listen(streams, socket, "ledger.transferred", 512)
	defer hangUp(ls)
	if err != nil {
		return 0, 0, err
	}
	gone := make(chan error, streams)
	for _, l := range ls { // pings are to be answered
		go func() {
			for {
				if _, err := l.next(""); err != nil {
					gone <- err
					return
				}
			}
		}()
	}
	if err := sleep(ctx, b.idle/2); err != nil { // a heartbeat lies in it
		return 0, 0, err
	}
	if rss, err = a.memory("VmRSS"); err != nil {
		return 0, 0, err
	}
	select {
	case err := <-gone:
		return 0, 0, fmt.Errorf("a stream ended: %w", err)
	default:
	}
	return (rss - before) * 1e6 / float64(streams), rss, nil
}

// freePort is an address of this machine where nobody listens now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
