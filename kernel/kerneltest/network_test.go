package kerneltest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// simWorld drives a Network for the conformance suite.
type simWorld struct{ *Network }

func (w simWorld) Start(t testing.TB, o transport.Options, h transport.Handler) (transport.Transport, func()) {
	tr, err := w.Join(o, h)
	if err != nil {
		t.Fatal(err)
	}
	return tr, tr.Stop
}

func (w simWorld) Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for range 10_000 {
		w.Step(w.Now()) // what is due
		if cond() {
			return
		}
		w.Step(w.Now().Add(10 * time.Millisecond))
	}
	t.Fatalf("%s: not within %v", what, w.Now().Sub(epoch))
}

func TestNetwork(t *testing.T) {
	TestTransport(t, func(*testing.T) TransportWorld { return simWorld{NewNetwork(1, epoch)} })
}

// trace runs a little mesh with delays and losses and returns everything that was heard, in order.
func trace(t *testing.T, seed uint64) (out []string) {
	net := NewNetwork(seed, epoch)
	net.SetLink("", "", Link{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.2})
	var nodes []*SimTransport
	for i := range 4 {
		log := NewPeerLog(nil)
		tr, err := net.Join(transport.Options{Key: NodeKey(fmt.Sprint(i))}, log)
		if err != nil {
			t.Fatal(err)
		}
		log.OnFrame = func(from api.DID, f wire.Frame) {
			p := f.(*wire.Push)
			out = append(out, fmt.Sprintf("%v %d<-%s %s", net.Now().Sub(epoch), i, from, p.Envelopes[0]))
			if len(p.Envelopes[0]) < 4 { // pass it on, a little longer
				for _, o := range nodes {
					if o != tr {
						tr.Send(o.Self(), &wire.Push{Space: p.Space, Envelopes: [][]byte{append(p.Envelopes[0], 'x')}})
					}
				}
			}
		}
		for _, o := range nodes {
			if _, err := tr.Dial(t.Context(), o.Addresses()[0]); err != nil {
				t.Fatal(err)
			}
		}
		nodes = append(nodes, tr)
	}
	if err := nodes[0].Send(nodes[1].Self(), &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{{'m'}}}); err != nil {
		t.Fatal(err)
	}
	net.Step(epoch.Add(time.Second))
	return out
}

func TestNetworkIsDeterministic(t *testing.T) {
	one, same, other := trace(t, 7), trace(t, 7), trace(t, 8)
	if len(one) == 0 || fmt.Sprint(one) != fmt.Sprint(same) {
		t.Errorf("one seed, two traces:\n%v\n%v", one, same)
	}
	if fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("two seeds, one trace")
	}
}

func TestNetworkPartition(t *testing.T) {
	m := mesh{t, simWorld{NewNetwork(3, epoch)}}
	net := m.world.(simWorld).Network
	a, b, c := m.join("a"), m.join("b"), m.join("c")
	m.dial(a, b)
	m.dial(b, c)
	m.up(a, b)
	m.up(b, c)
	net.Partition([]api.DID{a.Self()})
	m.apart(a, b)
	m.refused(api.Unavailable, "cannot be reached", a, b.Addresses()[0])
	if !linked(b, c) {
		t.Error("a session within an island is gone")
	}
	net.Heal()
	m.up(a, b)
}

func TestNetworkKeepsOrderAndLoses(t *testing.T) {
	m := mesh{t, simWorld{NewNetwork(4, epoch)}}
	net := m.world.(simWorld).Network
	a, b := m.join("a"), m.join("b")
	m.dial(a, b)
	m.up(a, b)
	net.SetLink(a.Self(), b.Self(), Link{Delay: time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.3})
	for i := range 200 {
		if err := a.Send(b.Self(), &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{api.Seq8(uint64(i))}}); err != nil {
			t.Fatal(err)
		}
	}
	if net.Step(net.Now()); len(b.log.Frames(a.Self())) != 0 {
		t.Error("a frame came before its time")
	}
	net.Step(net.Now().Add(time.Second))
	frames := b.log.Frames(a.Self())
	if len(frames) < 100 || len(frames) > 180 {
		t.Errorf("%d of 200 frames came over a link that loses 0.3", len(frames))
	}
	last := ""
	for _, f := range frames {
		if e := string(f.(*wire.Push).Envelopes[0]); e <= last && last != "" {
			t.Fatal("out of order")
		} else {
			last = e
		}
	}
}

// TestNetworkCrash checks that the peers of a crashed node notice after three heartbeats.
func TestNetworkCrash(t *testing.T) {
	m := mesh{t, simWorld{NewNetwork(5, epoch)}}
	net := m.world.(simWorld).Network
	a, b := m.join("a"), m.join("b")
	m.dial(a, b)
	m.up(a, b)
	b.Transport.(*SimTransport).Crash()
	net.Step(net.Now().Add(89 * time.Second))
	if _, up := a.log.Peer(b.Self()); !up {
		t.Error("noticed too early")
	}
	net.Step(net.Now().Add(2 * time.Second))
	if _, up := a.log.Peer(b.Self()); up {
		t.Error("not noticed")
	}
	if _, downs, _ := b.log.Counts(a.Self()); downs != 0 {
		t.Error("a dead node was told")
	}
}

// TestLinks: a link repeats, reorders and slows frames down as it says, in one direction; a wall lets nothing through and ends the session.
func TestLinks(t *testing.T) {
	type pair struct {
		net  *Network
		a, b *SimTransport
		got  []byte
		at   []time.Duration
	}
	meet := func() *pair {
		p := &pair{net: NewNetwork(1, epoch)}
		log := NewPeerLog(nil)
		log.OnFrame = func(_ api.DID, f wire.Frame) {
			p.got, p.at = append(p.got, f.(*wire.Push).Envelopes[0][0]), append(p.at, p.net.Now().Sub(epoch))
		}
		for i, h := range []transport.Handler{NewPeerLog(nil), log} {
			tr, err := p.net.Join(transport.Options{Key: NodeKey(fmt.Sprint(i)), Heartbeat: time.Second}, h)
			if err != nil {
				t.Fatal(err)
			}
			p.a, p.b = p.b, tr
		}
		if _, err := p.a.Dial(t.Context(), p.b.Addresses()[0]); err != nil {
			t.Fatal(err)
		}
		p.net.Step(epoch)
		return p
	}
	send := func(p *pair, n, size int) {
		for i := range n {
			body := make([]byte, size)
			body[0] = byte(i)
			if err := p.a.Send(p.b.Self(), &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{body}}); err != nil {
				t.Fatal(err)
			}
		}
		p.net.Step(p.net.Now().Add(time.Minute))
	}
	jitter := Link{Delay: 10 * time.Millisecond, Jitter: 50 * time.Millisecond}

	p := meet()
	p.net.SetOneWay(p.a.Self(), p.b.Self(), jitter)
	if send(p, 50, 1); len(p.got) != 50 || !slices.IsSorted(p.got) {
		t.Errorf("jitter alone: %v", p.got)
	}
	p = meet()
	l := jitter
	l.Repeat = 1
	p.net.SetOneWay(p.a.Self(), p.b.Self(), l)
	if send(p, 50, 1); len(p.got) != 100 || p.net.Counts().Repeated != 50 {
		t.Errorf("repeated: %d", len(p.got))
	}
	p = meet()
	l = jitter
	l.Reorder = 0.5
	p.net.SetOneWay(p.a.Self(), p.b.Self(), l)
	if send(p, 50, 1); len(p.got) != 50 || slices.IsSorted(p.got) {
		t.Errorf("reordered: %v", p.got)
	}
	p = meet()
	p.net.SetOneWay(p.b.Self(), p.a.Self(), Link{Loss: 1})
	p.net.SetOneWay(p.a.Self(), p.b.Self(), Link{Rate: 1000})
	if send(p, 3, 1000); len(p.at) != 3 || p.at[2] < 3*time.Second || p.at[2] > 4*time.Second {
		t.Errorf("a slow link: %v", p.at)
	}
	p = meet()
	p.net.Block(p.a.Self(), p.b.Self())
	if send(p, 3, 1); len(p.got) != 0 || p.net.Counts().Walled != 3 || len(p.a.Peers()) != 0 {
		t.Errorf("walled: %v, %+v, %v", p.got, p.net.Counts(), p.a.Peers())
	}
	if _, err := p.b.Dial(t.Context(), p.a.Addresses()[0]); api.KindOf(err) != api.Unavailable {
		t.Errorf("through the wall: %v", err)
	}
	p.net.Heal()
	if _, err := p.b.Dial(t.Context(), p.a.Addresses()[0]); err != nil {
		t.Error(err)
	}
}
