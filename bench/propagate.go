package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// propagate: records signed in advance enter one of n nodes; how many a second until all nodes hold all.
func propagate(n, records int) func(context.Context, *bench) ([]result, error) {
	return func(ctx context.Context, _ *bench) ([]result, error) {
		var ours, theirs, ratio []float64
		lost := 0
		for range 3 {
			a, err := propagateICN(ctx, n, records)
			if err != nil {
				return nil, err
			}
			b, l, err := propagateGossipSub(ctx, n, records)
			if err != nil {
				return nil, err
			}
			lost += l
			ours, theirs, ratio = append(ours, a), append(theirs, b), append(ratio, a/b)
		}
		return []result{{
			fmt.Sprintf("propagate-%d", n), median(ours), "records/s", "GossipSub", median(theirs), median(ratio),
			fmt.Sprintf("%d records of %d B; target 2; %s; it lost %d of %d; runs %.0f and its %.0f",
				records, payload, gossipSubOptions, lost, 3*records*(n-1), ours, theirs),
		}}, nil
	}
}

func propagateICN(ctx context.Context, n, records int) (rate float64, err error) {
	s, err := newSwarm(ctx, n, nil, nil)
	if err != nil {
		return 0, err
	}
	defer s.stop(&err)
	rs, err := s.sign(s.authors(), 0, records)
	if err != nil {
		return 0, err
	}
	took, err := s.flood(ctx, rs)
	return float64(records) / took.Seconds(), err
}

func propagateGossipSub(ctx context.Context, n, records int) (rate float64, lost int, err error) {
	g, err := newGossipSub(ctx, n)
	if err != nil {
		return 0, 0, err
	}
	defer g.stop()
	got := make([]atomic.Int64, n)
	for i := 1; i < n; i++ {
		go g.receive(i, func([]byte) { got[i].Add(1) })
	}
	least := func() int64 {
		low := got[1].Load()
		for i := 2; i < n; i++ {
			low = min(low, got[i].Load())
		}
		return low
	}
	// Nothing in it slows a publisher down, it drops; so at most half a queue is under way.
	var sent atomic.Int64
	errs := make(chan error, 2)
	begin := time.Now()
	for range 2 {
		go func() {
			for {
				i := sent.Add(1)
				if i > int64(records) {
					errs <- nil
					return
				}
				for wait := time.Now(); i-least() > queue/2 && time.Since(wait) < 5*time.Second; {
					time.Sleep(50 * time.Microsecond)
				}
				if err := g.topics[0].Publish(ctx, blob(int(i))); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			return 0, 0, err
		}
	}
	last, changed := least(), time.Now()
	for last < int64(records) && time.Since(changed) < 2*time.Second && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
		if now := least(); now != last {
			last, changed = now, time.Now()
		}
	}
	took := time.Since(begin)
	for i := 1; i < n; i++ {
		lost += records - int(got[i].Load())
	}
	return float64(records) / took.Seconds(), lost, ctx.Err()
}

// latencies of n numbered messages, from before they were handed over until the receiver has them.
type latencies struct {
	sent []time.Time
	mu   sync.Mutex
	took []time.Duration
}

func (l *latencies) seen(body []byte) {
	i := binary.BigEndian.Uint64(body)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, now.Sub(l.sent[i]))
}

func (l *latencies) wait(ctx context.Context) error {
	for ctx.Err() == nil {
		l.mu.Lock()
		n := len(l.took)
		l.mu.Unlock()
		if n >= len(l.sent) {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%d of %d have come: %w", len(l.took), len(l.sent), ctx.Err())
}

func (l *latencies) percentile(p int) float64 {
	median(l.took) // sorts
	return float64(l.took[(len(l.took)-1)*p/100].Microseconds()) / 1000
}

// pace calls send with 0 to n-1 at a thousand a second, each in a goroutine of its own.
func (l *latencies) pace(n int, send func(i int) error) error {
	errs := make(chan error, n)
	begin := time.Now()
	for i := range n {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Millisecond)))
		l.mu.Lock()
		l.sent[i] = time.Now()
		l.mu.Unlock()
		go func() { errs <- send(i) }()
	}
	for range n {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

const paced = 4000 // messages, four seconds

// latency: from handing a record over to its commit on the other of two nodes.
func latency(ctx context.Context, b *bench) (rows []result, err error) {
	peer, err := latencyGossipSub(ctx)
	if err != nil {
		return nil, err
	}
	mem, err := latencyICN(ctx, nil)
	if err != nil {
		return nil, err
	}
	durable, err := latencyICN(ctx, b.temp)
	if err != nil {
		return nil, err
	}
	row := func(name string, l *latencies) result {
		return result{
			name, l.percentile(50), "ms", "GossipSub", peer.percentile(50), peer.percentile(50) / l.percentile(50),
			fmt.Sprintf("p99 %s ms, GossipSub's %s ms", number(l.percentile(99)), number(peer.percentile(99))),
		}
	}
	return []result{row("latency-1000", mem), row("latency-1000-durable", durable)}, nil
}

func latencyICN(ctx context.Context, dir func() (string, error)) (l *latencies, err error) {
	l = &latencies{sent: make([]time.Time, paced)}
	s, err := newSwarm(ctx, 2, dir, l.seen)
	if err != nil {
		return nil, err
	}
	defer s.stop(&err)
	as := s.authors()
	rs, err := s.sign(as, 0, paced)
	if err != nil {
		return nil, err
	}
	if err := l.pace(paced, func(i int) error { return submitLoose(ctx, s.nodes[0], rs[i]) }); err != nil {
		return nil, err
	}
	return l, l.wait(ctx)
}

func latencyGossipSub(ctx context.Context) (*latencies, error) {
	l := &latencies{sent: make([]time.Time, paced)}
	g, err := newGossipSub(ctx, 2)
	if err != nil {
		return nil, err
	}
	defer g.stop()
	go g.receive(1, l.seen)
	if err := l.pace(paced, func(i int) error { return g.topics[0].Publish(ctx, blob(i)) }); err != nil {
		return nil, err
	}
	return l, l.wait(ctx)
}
