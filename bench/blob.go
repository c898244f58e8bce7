package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	payload = 256  // bytes of a record's body, and of the peer's messages
	queue   = 1024 // the kernel's queues; the peer gets the same
	feeds   = 64   // authors
)

// blobs is an app whose records mean nothing: what is left is the kernel. Whoever asks may follow its spaces.
type blobs struct {
	host api.Host
	seen func(body []byte) // called after commit; nil: nobody listens
}

func (*blobs) Info() api.AppInfo {
	return api.AppInfo{Name: "blobs", Topics: []api.TopicSpec{{Name: "blobs", Kinds: []string{"found", "blob"}, Founding: "found"}}}
}

func (*blobs) Apply(api.Tx, *api.Record) api.Outcome { return api.Accepted }

func (b *blobs) Start(_ context.Context, h api.Host) error {
	b.host = h
	return nil
}

func (*blobs) Oracle() api.PolicyOracle { return everybody{} }

type everybody struct{}

func (everybody) Domain() api.Domain                { return "blobs" }
func (everybody) Evaluate(api.Request) api.Decision { return api.Allowed(api.ConstraintSet{}) }

// reacting is blobs that listen.
type reacting struct{ *blobs }

func (reacting) Watch() []string { return nil }

func (r reacting) React(_ context.Context, _ api.Host, commits []api.Commit) error {
	for _, c := range commits {
		if c.Record.Kind == "blob" {
			r.seen(c.Record.Body)
		}
	}
	return nil
}

// swarm is kernels that all have sessions with each other and follow one space.
type swarm struct {
	nodes []*node
	apps  []*blobs
	topic api.Topic
}

// newBlobNode starts a kernel with the blobs app, listening on the loopback interface. With no dir it keeps nothing.
func newBlobNode(dir string, seen func([]byte)) (*node, *blobs, error) {
	b := &blobs{seen: seen}
	o := kernel.Options{Store: "mem", DataDir: dir, Apps: []api.App{b}, Listen: []string{"127.0.0.1:0"}, AccessDomain: "blobs"}
	if seen != nil {
		o.Apps = []api.App{reacting{b}}
	}
	if dir != "" {
		o.Store = "pebble"
	}
	n, err := start(o, nil)
	return n, b, err
}

// newSwarm starts n nodes; dir names the directory of each, nil for none; seen listens on the last node.
func newSwarm(ctx context.Context, n int, dir func() (string, error), seen func([]byte)) (s *swarm, err error) {
	s = &swarm{}
	defer func() {
		if err != nil {
			s.stop(&err)
		}
	}()
	for i := range n {
		at := ""
		if dir != nil {
			if at, err = dir(); err != nil {
				return s, err
			}
		}
		listener := seen
		if i != n-1 {
			listener = nil
		}
		x, b, err := newBlobNode(at, listener)
		if err != nil {
			return s, err
		}
		s.nodes, s.apps = append(s.nodes, x), append(s.apps, b)
	}
	rc, err := s.apps[0].host.Append(ctx, s.nodes[0].id.Signer(), api.Draft{Topic: api.Topic{Name: "blobs"}, Kind: "found"}, api.WaitLocal)
	if err != nil {
		return s, err
	}
	s.topic = rc.Topic
	for i, b := range s.apps {
		if err := b.host.Follow(s.topic.Space); err != nil {
			return s, err
		}
		for _, other := range s.apps[:i] {
			if err := b.host.Dial(ctx, other.host.Addresses()[0], nil); err != nil {
				return s, err
			}
		}
	}
	return s, waitRecords(ctx, 1, s.nodes...) // all have the genesis: all sessions that matter share the space
}

func (s *swarm) stop(err *error) { stopAll(err, s.nodes...) }

// sign makes n records of so many bytes, numbered from first in their first 8 bytes, by feed in turn.
func (s *swarm) sign(as []*author, first, n int) ([]string, error) {
	out := make([]string, n)
	for i := range out {
		raw, err := as[i%len(as)].sign("blob", blob(first+i))
		if err != nil {
			return nil, err
		}
		out[i] = text(raw)
	}
	return out, nil
}

func blob(i int) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(i)), make([]byte, payload-8)...)
}

func (s *swarm) authors() []*author {
	as := make([]*author, feeds)
	for i := range as {
		as[i] = newAuthor(fmt.Sprint("author ", i), s.topic)
	}
	return as
}

// load submits records in order, 64 at a time, by the first node.
func (s *swarm) load(ctx context.Context, records []string) error {
	for len(records) > 0 {
		n := min(64, len(records))
		if err := submit(ctx, s.nodes[0], records[:n]...); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// flood has eight submitters, of whom each sends the records of its own feeds, and returns when all nodes hold all.
func (s *swarm) flood(ctx context.Context, records []string) (time.Duration, error) {
	const submitters = queue / 2 / 64 // as much under way as with the peer; divides feeds: records of a feed stay with one, in order
	parts := make([][]string, submitters)
	for i, r := range records {
		parts[i%submitters] = append(parts[i%submitters], r)
	}
	errs := make(chan error, submitters)
	begin := time.Now()
	for _, p := range parts {
		go func() { errs <- s.load(ctx, p) }()
	}
	for range parts {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	err := waitRecords(ctx, uint64(len(records))+1, s.nodes...)
	return time.Since(begin), err
}

// connect: nodes dial one node, eight at a time, until they are admitted.
func connect(ctx context.Context, _ *bench) (rows []result, err error) {
	const dialers, parallel = 64, 8
	to, at, err := newBlobNode("", nil)
	if err != nil {
		return nil, err
	}
	nodes := []*node{to}
	defer func() { stopAll(&err, nodes...) }()
	var hosts []api.Host
	for range dialers {
		n, b, err := newBlobNode("", nil)
		if err != nil {
			return nil, err
		}
		nodes, hosts = append(nodes, n), append(hosts, b.host)
	}
	todo, errs := make(chan api.Host, dialers), make(chan error, dialers)
	for _, h := range hosts {
		todo <- h
	}
	close(todo)
	begin := time.Now()
	for range parallel {
		go func() {
			for h := range todo {
				errs <- h.Dial(ctx, at.host.Addresses()[0], nil)
			}
		}()
	}
	for range dialers {
		if err := <-errs; err != nil {
			return nil, err
		}
	}
	took := time.Since(begin)
	return []result{{"connect", dialers / took.Seconds(), "sessions/s", "", 0, 0, fmt.Sprintf("%d nodes dial one, %d at a time; both ends in this process", dialers, parallel)}}, nil
}

// catchUp: an empty node meets one that holds 100,000 records.
func catchUp(ctx context.Context, _ *bench) (rows []result, err error) {
	const records = 100_000
	s, err := newSwarm(ctx, 1, nil, nil)
	if err != nil {
		return nil, err
	}
	defer s.stop(&err)
	rs, err := s.sign(s.authors(), 0, records)
	if err != nil {
		return nil, err
	}
	if _, err := s.flood(ctx, rs); err != nil {
		return nil, err
	}
	n, b, err := newBlobNode("", nil)
	if err != nil {
		return nil, err
	}
	defer stopAll(&err, n)
	if err := b.host.Follow(s.topic.Space); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := b.host.Dial(ctx, s.apps[0].host.Addresses()[0], nil); err != nil {
		return nil, err
	}
	if err := waitRecords(ctx, records+1, n); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	return []result{{"catch-up", records / took.Seconds(), "records/s", "", 0, 0, "an empty node meets one with 100,000 records of 256 B, mem store"}}, nil
}
