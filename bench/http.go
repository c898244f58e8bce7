package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// connections is how many clients ask at once, each a member with a key, a login and a connection of its own.
const connections = 64

// visitor is a member with a connection to a server.
type visitor struct {
	*payer
	*wire
	token string
	space api.Hash
	to    api.DID // whom it pays
	begun bool    // its feed has a record
}

// first is the key event that goes with a member's first record only.
func (v *visitor) first() []byte {
	if v.begun {
		return nil
	}
	v.begun = true
	return v.Auth()
}

// visit has members log in at the gateway, each over a connection of its own.
func visit(s *server, ps []*payer) (vs []*visitor, err error) {
	for i, p := range ps {
		v := &visitor{payer: p, space: p.topic.Space, to: ps[(i+1)%len(ps)].DID()}
		if v.wire, err = dialWire(s.Gateway, 4096); err != nil {
			return vs, err
		}
		vs = append(vs, v)
		if v.token, err = v.login(p); err != nil {
			return vs, err
		}
	}
	return vs, nil
}

func leave(vs []*visitor) {
	for _, v := range vs {
		_ = v.Close() // the server is going to end
	}
}

// load is what came of asking a server for a while.
type load struct {
	rate      float64 // a second
	p50, p99  float64 // milliseconds
	allocated float64 // bytes of the server, each
	mallocs   float64
	cpu       float64 // microseconds of the server's processors, each
}

// drive has so many clients do something again and again, one after the other, each until it says that it is done.
func drive(s *server, clients int, do func(client int) (more bool, err error)) (l load, err error) {
	before, err := s.used()
	if err != nil {
		return l, err
	}
	took := make([][]time.Duration, clients)
	errs := make([]error, clients)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range clients {
		wg.Go(func() {
			for more := true; more && errs[i] == nil; {
				at := time.Now()
				if more, errs[i] = do(i); errs[i] == nil {
					took[i] = append(took[i], time.Since(at))
				}
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	after, err := s.used()
	if err := cmp.Or(append(errs, err)...); err != nil { // the others say the same
		return l, err
	}
	all := slices.Concat(took...)
	n := float64(len(all))
	l = load{rate: n / elapsed.Seconds(), allocated: float64(after.Allocated-before.Allocated) / n, mallocs: float64(after.Mallocs-before.Mallocs) / n, cpu: float64(after.CPU-before.CPU) / 1e3 / n}
	l.p50, l.p99 = quantiles(all)
	return l, nil
}

// quantiles returns the 50th and 99th percentile in milliseconds; it sorts.
func quantiles(ds []time.Duration) (p50, p99 float64) {
	slices.Sort(ds)
	ms := func(q int) float64 { return float64(ds[len(ds)*q/100]) / float64(time.Millisecond) }
	return ms(50), ms(99)
}

func each(ls []load, of func(load) float64) (vs []float64) {
	for _, l := range ls {
		vs = append(vs, of(l))
	}
	return vs
}

// rows are what is told of a load, each the median of its runs.
func rows(name, unit, peer string, ours, theirs []load, note string) []result {
	var ratio []float64
	for i := range ours {
		ratio = append(ratio, ours[i].rate/theirs[i].rate)
	}
	row := func(suffix, unit string, of func(load) float64) result {
		return result{Name: name + suffix, Value: median(each(ours, of)), Unit: unit, Peer: peer, PeerValue: median(each(theirs, of))}
	}
	first := row("", unit, func(l load) float64 { return l.rate })
	first.Ratio, first.note = median(ratio), fmt.Sprintf("%s; ratios %.2f", note, ratio)
	out := []result{
		first,
		row("-p50", "ms", func(l load) float64 { return l.p50 }),
		row("-p99", "ms", func(l load) float64 { return l.p99 }),
		row("-cpu", "us", func(l load) float64 { return l.cpu }),
		row("-bytes", "B", func(l load) float64 { return l.allocated }),
		row("-allocations", "", func(l load) float64 { return l.mallocs }),
	}
	for i := range out[1:] {
		if r := &out[i+1]; r.PeerValue > 0 && r.Value > 0 { // smaller is better
			r.Ratio = r.PeerValue / r.Value
		}
	}
	return out
}

// httpRead: members ask for their balance through the gateway of a whole node, logged in. The peer is a handler of net/http that makes the same look-up in
// the same node and writes the same JSON, for anybody. Both answer in one process; all clients are another.
func httpRead(ctx context.Context, b *bench) (_ []result, err error) {
	const runs, each = 3, 3 * time.Second
	dir, err := b.temp()
	if err != nil {
		return nil, err
	}
	_, payers, err := foundBank(ctx, dir, connections)
	if err != nil {
		return nil, err
	}
	s, err := serving(b, dir)
	if err != nil {
		return nil, err
	}
	defer s.end(&err)
	vs, err := visit(s, payers)
	defer leave(vs)
	if err != nil {
		return nil, err
	}
	bare := make([]*wire, len(vs))
	for i := range bare {
		if bare[i], err = dialWire(s.Bare, 4096); err != nil {
			return nil, err
		}
		defer bare[i].Close()
	}
	ask := func(of func(i int) (*wire, []byte), d time.Duration) (load, error) {
		reqs := make([][]byte, len(vs))
		for i := range vs {
			_, reqs[i] = of(i)
		}
		end := time.Now().Add(d)
		return drive(s, len(vs), func(i int) (bool, error) {
			w, _ := of(i)
			_, err := w.do(reqs[i])
			return time.Now().Before(end), err
		})
	}
	ours := func(i int) (*wire, []byte) {
		return vs[i].wire, request("GET", gatewayPrefix+"/ledger/balance/"+string(vs[i].DID())+"?space="+vs[i].space.String(), vs[i].token, nil)
	}
	theirs := func(i int) (*wire, []byte) { return bare[i], request("GET", "/balance/"+string(vs[i].DID()), "", nil) }
	for _, of := range []func(int) (*wire, []byte){ours, theirs} { // warm, and the same answer
		if _, err := ask(of, time.Second/2); err != nil {
			return nil, err
		}
	}
	if a, b := string(vs[0].body), string(bare[0].body); a != b {
		return nil, fmt.Errorf("the gateway answers %s, the bare handler %s", a, b)
	}
	var gate, peer []load
	for range runs {
		g, err := ask(ours, each)
		if err != nil {
			return nil, err
		}
		p, err := ask(theirs, each)
		if err != nil {
			return nil, err
		}
		gate, peer = append(gate, g), append(peer, p)
	}
	rss, err := s.memory("VmRSS")
	if err != nil {
		return nil, err
	}
	return append(rows("http-read", "requests/s", "bare handler", gate, peer, "64 connections; target 0.5"),
		result{Name: "http-read-rss", Value: rss, Unit: "MB", note: "of the server, which is both"}), nil
}

// httpWrite: members pay each other through the gateway, one payment in flight each; each is answered when it is on disk. -submit has records that clients
// made and signed beforehand, as ingest-64; http-write itself asks record.prepare for each what to sign, signs it, and submits it; -keyed is -submit with a
// header Idempotency-Key. The peer is ingest-64 of the same run, whose clients are in the node's process.
func httpWrite(ctx context.Context, b *bench) ([]result, error) {
	const runs, submitted, prepared = 3, 300, 100
	var whole, plain, keyed, road []load
	var rss float64
	for range runs {
		in, _, err := ingestRoad(ctx, b, connections, 20_000, false)
		if err != nil {
			return nil, err
		}
		road = append(road, in)
		for _, way := range []struct {
			to   *[]load
			each int
			pay  func(s *server, vs []*visitor) (load, error)
		}{
			{&plain, submitted, func(s *server, vs []*visitor) (load, error) { return paySigned(s, vs, submitted, "") }},
			{&keyed, submitted, func(s *server, vs []*visitor) (load, error) {
				return paySigned(s, vs, submitted, "Idempotency-Key: %d-%d")
			}},
			{&whole, prepared, func(s *server, vs []*visitor) (load, error) { return payPrepared(s, vs, prepared) }},
		} {
			l, mb, err := writeRun(ctx, b, way.each, way.pay)
			if err != nil {
				return nil, err
			}
			*way.to, rss = append(*way.to, l), max(rss, mb)
		}
	}
	const peer = "ingest-64"
	out := rows("http-write", "transfers/s", peer, whole, road, "prepared, signed, submitted; target 0.5")
	out = append(out, rows("http-write-submit", "transfers/s", peer, plain, road, "made and signed beforehand; target 0.5")...)
	out = append(out, rows("http-write-keyed", "transfers/s", peer, keyed, road, "the same with Idempotency-Key")...)
	return append(out, result{Name: "http-write-rss", Value: rss, Unit: "MB", note: "of the server"}), nil
}

// writeRun has members of a new space pay each other, each so many times, and looks whether that counted, or it would measure something else.
func writeRun(ctx context.Context, b *bench, each int, pay func(*server, []*visitor) (load, error)) (l load, rss float64, err error) {
	dir, err := b.temp()
	if err != nil {
		return l, 0, err
	}
	_, payers, err := foundBank(ctx, dir, connections)
	if err != nil {
		return l, 0, err
	}
	s, err := serving(b, dir)
	if err != nil {
		return l, 0, err
	}
	defer s.end(&err)
	vs, err := visit(s, payers)
	defer leave(vs)
	if err != nil {
		return l, 0, err
	}
	if l, err = pay(s, vs); err != nil {
		return l, 0, err
	}
	if rss, err = s.memory("VmRSS"); err != nil {
		return l, 0, err
	}
	h, err := vs[0].do(request("GET", gatewayPrefix+"/ledger/history?limit=500&space="+vs[0].space.String(), vs[0].token, nil))
	if err != nil {
		return l, 0, err
	}
	var out ledger.HistoryOut
	if err := json.Unmarshal(h, &out); err != nil || len(out.Entries) != min(2*each, 500) {
		return l, 0, fmt.Errorf("after %d payments each way there are %d: %w", each, len(out.Entries), err)
	}
	return l, rss, nil
}

// paySigned has members send payments that they have made and signed beforehand, with a header of that form for each unless it is empty.
func paySigned(s *server, vs []*visitor, each int, key string) (load, error) {
	reqs := make([][][]byte, len(vs))
	for i, v := range vs {
		for j := range each {
			raw, err := v.pay(v.to)
			if err != nil {
				return load{}, err
			}
			body, err := json.Marshal(&kernel.SubmitIn{Records: []string{text(raw)}})
			if err != nil {
				return load{}, err
			}
			var headers []string
			if key != "" {
				headers = []string{fmt.Sprintf(key, i, j)}
			}
			reqs[i] = append(reqs[i], request("POST", gatewayPrefix+"/records/submit", v.token, body, headers...))
		}
	}
	return drive(s, len(vs), func(i int) (bool, error) {
		req := reqs[i][0]
		reqs[i] = reqs[i][1:]
		_, err := vs[i].do(req)
		return len(reqs[i]) > 0, err
	})
}

// payPrepared has members pay as their clients do.
func payPrepared(s *server, vs []*visitor, each int) (load, error) {
	left := slices.Repeat([]int{each}, len(vs))
	return drive(s, len(vs), func(i int) (bool, error) {
		left[i]--
		return left[i] > 0, vs[i].payPrepared()
	})
}

// payPrepared pays a hundredth: it asks what to sign, signs it, and sends it.
func (v *visitor) payPrepared() error {
	in, err := json.Marshal(&ledger.TransferIn{Space: v.space, To: v.to, Currency: "hours", Amount: 1})
	if err != nil {
		return err
	}
	p, err := post[kernel.PrepareOut](v.wire, "/records/prepare", v.token, &kernel.PrepareIn{Operation: "ledger.transfer", Input: in, Auth: v.first()})
	if err != nil {
		return err
	}
	sig, err := v.Sign(p.Bytes)
	if err != nil {
		return err
	}
	e, err := record.Seal(nil, p.Bytes, sig)
	if err != nil {
		return err
	}
	out, err := post[kernel.SubmitOut](v.wire, "/records/submit", v.token, &kernel.SubmitIn{Records: []string{text(e.Raw)}})
	if err == nil && (len(out.Results) != 1 || out.Results[0].Outcome != "committed") {
		err = fmt.Errorf("record.submit: %+v", out.Results)
	}
	return err
}
