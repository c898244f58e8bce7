package kerneltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// TransportWorld is what TestTransport needs of an implementation: nodes that can reach each other, and a way to let time pass.
type TransportWorld interface {
	// Start returns a running transport and what stops it as a shutdown does. Options lack only where to listen.
	Start(t testing.TB, o transport.Options, h transport.Handler) (tr transport.Transport, stop func())
	// Until lets the world run until cond holds, and fails the test when that does not come about.
	Until(t testing.TB, what string, cond func() bool)
	// Now returns the world's time.
	Now() time.Time
}

// meshNode is a node of a conformance test.
type meshNode struct {
	transport.Transport
	log  *PeerLog
	stop func()
}

// mesh runs nodes of a world.
type mesh struct {
	*testing.T
	world TransportWorld
}

func (m mesh) options(name string) transport.Options {
	return transport.Options{
		Key: NodeKey(name), Build: "build of " + name, RetryMin: 20 * time.Millisecond, RetryMax: 80 * time.Millisecond,
		HandshakeTimeout: 5 * time.Second,
	}
}

func (m mesh) start(o transport.Options, log *PeerLog) meshNode {
	m.Helper()
	tr, stop := m.world.Start(m, o, log)
	m.Cleanup(func() {
		if b := log.Broken(); len(b) > 0 {
			m.Errorf("calls out of order: %v", b)
		}
	})
	return meshNode{tr, log, stop}
}

func (m mesh) join(name string) meshNode {
	m.Helper()
	return m.start(m.options(name), NewPeerLog(nil))
}

func (m mesh) dial(a, b meshNode) {
	m.Helper()
	got, err := a.Dial(m.Context(), b.Addresses()[0])
	if err != nil || got != b.Self() {
		m.Fatalf("dial: got %s, %v; want %s", got, err, b.Self())
	}
}

func (m mesh) refused(kind api.Kind, text string, a meshNode, address string) {
	m.Helper()
	_, err := a.Dial(m.Context(), address)
	if api.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), text) {
		m.Fatalf("dial %s: got %v (%s); want %s with %q", address, err, api.KindOf(err).Code(), kind.Code(), text)
	}
}

func (m mesh) until(what string, cond func() bool) {
	m.Helper()
	m.world.Until(m, what, cond)
}

// up waits until a and b have a session.
func (m mesh) up(a, b meshNode) {
	m.Helper()
	m.until("session up on both sides", func() bool { return linked(a, b) })
}

func linked(a, b meshNode) bool {
	_, ab := a.log.Peer(b.Self())
	_, ba := b.log.Peer(a.Self())
	return ab && ba && len(sessionsWith(a, b)) == 1 && len(sessionsWith(b, a)) == 1
}

func sessionsWith(a, b meshNode) []transport.Peer {
	return slices.DeleteFunc(a.Peers(), func(p transport.Peer) bool { return p.Node != b.Self() })
}

func (m mesh) apart(a, b meshNode) {
	m.Helper()
	m.until("no session on either side", func() bool {
		_, ab := a.log.Peer(b.Self())
		_, ba := b.log.Peer(a.Self())
		return !ab && !ba && len(sessionsWith(a, b)) == 0 && len(sessionsWith(b, a)) == 0
	})
}

// TestTransport checks an implementation of transport.Transport against what the interface promises. world returns a fresh one per test.
func TestTransport(t *testing.T, world func(t *testing.T) TransportWorld) {
	for _, c := range []struct {
		name string
		run  func(mesh)
	}{
		{"Frames", meshFrames},
		{"Introduction", meshIntroduction},
		{"Refused", meshRefused},
		{"Admit", meshAdmit},
		{"Close", meshClose},
		{"Ban", meshBan},
		{"Cut", meshCut},
		{"CutEverybody", meshCutEverybody},
		{"MaxPeers", meshMaxPeers},
		{"FullQueue", meshFullQueue},
		{"SimultaneousDial", meshSimultaneousDial},
		{"Restart", meshRestart},
		{"Reconnect", meshReconnect},
		{"Bootstrap", meshBootstrap},
		{"Refresh", meshRefresh},
		{"RefreshRefused", meshRefreshRefused},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(mesh{t, world(t)}) })
	}
}

func meshFrames(m mesh) {
	a, b := m.join("a"), m.join("b")
	m.dial(a, b)
	m.up(a, b)
	m.dial(a, b) // at once: there is a session
	const n = 300
	for i := range n {
		for _, dir := range [][2]meshNode{{a, b}, {b, a}} {
			f := &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{[]byte(fmt.Sprint(i))}}
			if err := dir[0].Send(dir[1].Self(), f); err != nil {
				m.Fatalf("send %d: %v", i, err)
			}
		}
	}
	for _, dir := range [][2]meshNode{{a, b}, {b, a}} {
		m.until("all frames arrive", func() bool { return len(dir[1].log.Frames(dir[0].Self())) >= n })
		for i, f := range dir[1].log.Frames(dir[0].Self()) {
			if p, ok := f.(*wire.Push); !ok || string(p.Envelopes[0]) != fmt.Sprint(i) {
				m.Fatalf("frame %d: got %v", i, f)
			}
		}
	}
	for _, dir := range [][2]meshNode{{a, b}, {b, a}} {
		if p := sessionsWith(dir[0], dir[1])[0]; p.Sent < n || p.Received < n {
			m.Errorf("counted %d sent, %d received: want at least %d each", p.Sent, p.Received, n)
		}
	}
	if s := a.Stats(); s.Sessions != 1 || s.FramesSent < n || s.FramesReceived < n || s.Dials != 1 || s.DialFailures != 0 {
		m.Errorf("stats: %+v", s)
	}
	for _, f := range []wire.Frame{nil, &wire.Bye{}, &wire.Ping{}, &wire.Hello{}, &wire.Members{}} {
		if err := a.Send(b.Self(), f); api.KindOf(err) != api.Invalid {
			m.Errorf("send %T: got %v, want invalid", f, err)
		}
	}
	if err := a.Send(b.Self(), &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{make([]byte, wire.MaxFrame)}}); api.KindOf(err) != api.TooLarge {
		m.Errorf("send of more than a frame holds: got %v", err)
	}
	if err := a.Send(NodeDID(NodeKey("stranger")), &wire.Graft{Space: make([]byte, 32)}); api.KindOf(err) != api.Unavailable {
		m.Errorf("send to a stranger: got %v", err)
	}
}

func space(s string) api.Hash { return api.Hash([]byte(fmt.Sprintf("%-32s", s))) }

func meshIntroduction(m mesh) {
	ann, ben, phone := Signer("ann"), Signer("ben"), Signer("ann/phone")
	la := NewPeerLog([]api.Hash{space("common"), space("only a"), space("also common")}, ann, phone)
	la.Shown = []byte("invited")
	la.Tell.Features = []string{"f1"}
	lb := NewPeerLog([]api.Hash{space("also common"), space("common"), space("only b")}, ben)
	a, b := m.start(m.options("a"), la), m.start(m.options("b"), lb)
	m.dial(a, b)
	m.up(a, b)
	check := func(at meshNode, of meshNode, inbound bool, proof string, features []string, served ...api.Signer) {
		m.Helper()
		p, _ := at.log.Peer(of.Self())
		var want []transport.Member
		for _, s := range served {
			want = append(want, transport.Member{DID: s.DID(), Device: s.Device()})
		}
		if !slices.Equal(p.Members, want) {
			m.Errorf("members: got %v, want %v", p.Members, want)
		}
		if !slices.Equal(p.Spaces, []api.Hash{space("also common"), space("common")}) {
			m.Errorf("spaces: got %v", p.Spaces)
		}
		if p.Node != of.Self() || p.Inbound != inbound || string(p.Proof) != proof || !slices.Equal(p.Features, features) || p.Version != wire.Version ||
			!slices.Equal(p.Addresses, of.Addresses()) || !strings.HasPrefix(p.Build, "build of ") || p.Since.IsZero() {
			m.Errorf("peer: got %+v", p)
		}
	}
	check(b, a, true, "invited", []string{"f1"}, ann, phone)
	check(a, b, false, "", nil, ben)
}

func meshRefused(m mesh) {
	a, b := m.join("a"), m.join("b")
	stranger := NodeDID(NodeKey("stranger"))
	m.refused(api.Invalid, "itself", a, a.Addresses()[0])
	m.refused(api.Invalid, "", a, "icn://nobody")
	m.refused(api.Unavailable, string(stranger), a, strings.Replace(b.Addresses()[0], string(b.Self()), string(stranger), 1))
	if len(a.Bans()) != 0 || len(a.Peers())+len(b.Peers()) != 0 {
		m.Errorf("left over: bans %v, peers %v %v", a.Bans(), a.Peers(), b.Peers())
	}
	if err := a.Close(b.Self(), "none"); api.KindOf(err) != api.NotFound {
		m.Errorf("close without a session: got %v", err)
	}
}

func meshAdmit(m mesh) {
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} { // either may be the node with the lower DID
		log := NewPeerLog(nil)
		log.Check = func(p *transport.Peer) error { return errors.New("nobody knows " + string(p.Node)) }
		dialler, strict := m.join(names[0]), m.start(m.options(names[1]), log)
		m.refused(api.Refused, "nobody knows "+string(dialler.Self()), dialler, strict.Addresses()[0])
		if _, err := strict.Dial(m.Context(), dialler.Addresses()[0]); api.KindOf(err) != api.Refused {
			m.Errorf("dial of a node that our own handler refuses: got %v", err)
		}
		for _, p := range [][2]meshNode{{dialler, strict}, {strict, dialler}} {
			if ups, downs, bads := p[0].log.Counts(p[1].Self()); ups+downs+bads != 0 {
				m.Errorf("refused session: %d up, %d down, %d bad", ups, downs, bads)
			}
		}
		if strict.Stats().Refused == 0 {
			m.Error("the refusal is not counted")
		}
		dialler.stop()
		strict.stop()
	}
}

func meshClose(m mesh) {
	a, b := m.join("a"), m.join("b")
	m.dial(a, b)
	m.up(a, b)
	if err := a.Close(b.Self(), "for a test"); err != nil {
		m.Fatal(err)
	}
	m.apart(a, b)
	if got := fmt.Sprint(b.log.Err(a.Self())); !strings.Contains(got, "for a test") {
		m.Errorf("the peer hears %q", got)
	}
	if err := a.Send(b.Self(), &wire.Graft{Space: make([]byte, 32)}); api.KindOf(err) != api.Unavailable {
		m.Errorf("send after close: got %v", err)
	}
	// A third node that comes and goes gives a retry, if there were one, its time.
	c := m.join("c")
	for range 3 {
		m.dial(a, c)
		m.up(a, c)
		if err := a.Close(c.Self(), "again"); err != nil {
			m.Fatal(err)
		}
		m.apart(a, c)
	}
	if ups, _, _ := a.log.Counts(b.Self()); ups != 1 {
		m.Errorf("up %d times: a closed session is not dialled again", ups)
	}
	m.dial(a, b)
	m.up(a, b)
}

func meshBan(m mesh) {
	a, b := m.join("a"), m.join("b")
	m.dial(b, a)
	m.up(a, b)
	a.Ban(b.Self(), "sends rubbish")
	m.apart(a, b)
	if got := a.Bans(); len(got) != 1 || got[b.Self()] != "sends rubbish" {
		m.Errorf("bans: %v", got)
	}
	m.refused(api.Refused, "sends rubbish", a, b.Addresses()[0])
	if _, err := b.Dial(m.Context(), a.Addresses()[0]); err == nil {
		m.Error("a banned node got a session")
	}
	if _, up := a.log.Peer(b.Self()); up {
		m.Error("a banned node is up")
	}
	a.Unban(b.Self())
	if len(a.Bans()) != 0 {
		m.Errorf("bans after unban: %v", a.Bans())
	}
	m.up(a, b) // b keeps a
}

func meshCut(m mesh) {
	a, b, c := m.join("a"), m.join("b"), m.join("c")
	m.dial(a, b)
	m.dial(a, c)
	m.up(a, b)
	m.up(a, c)
	a.Cut(b.Self(), time.Time{})
	m.apart(a, b)
	m.refused(api.Refused, "mended", a, b.Addresses()[0])
	if _, err := b.Dial(m.Context(), a.Addresses()[0]); err == nil {
		m.Error("a cut node got a session")
	}
	if until, ok := a.Cuts()[b.Self()]; !ok || !until.IsZero() {
		m.Errorf("cuts: %v", a.Cuts())
	}
	if !linked(a, c) {
		m.Error("the cut of one node reached another")
	}
	a.Mend(b.Self())
	m.up(a, b) // a keeps b
	a.Cut(b.Self(), m.world.Now().Add(150*time.Millisecond))
	m.apart(a, b)
	m.up(a, b) // by itself
	if len(a.Cuts()) != 0 {
		m.Errorf("cuts after their end: %v", a.Cuts())
	}
}

func meshCutEverybody(m mesh) {
	a, b, c := m.join("a"), m.join("b"), m.join("c")
	m.dial(a, b)
	m.dial(c, a)
	m.up(a, b)
	m.up(a, c)
	a.Cut("", time.Time{})
	m.apart(a, b)
	m.apart(a, c)
	m.refused(api.Refused, "cut off", a, b.Addresses()[0])
	a.Mend("")
	m.up(a, b)
	m.up(a, c)
}

func meshMaxPeers(m mesh) {
	o := m.options("small")
	o.MaxPeers = 1
	small := m.start(o, NewPeerLog(nil))
	a, b := m.join("a"), m.join("b")
	m.dial(a, small)
	m.up(a, small)
	m.refused(api.Unavailable, "sessions in use", b, small.Addresses()[0])
	m.refused(api.Unavailable, "sessions in use", small, b.Addresses()[0])
	if !linked(a, small) {
		m.Error("the session that was there is gone")
	}
	if err := a.Close(small.Self(), "make room"); err != nil {
		m.Fatal(err)
	}
	m.apart(a, small)
	m.until("room for another", func() bool {
		_, err := b.Dial(m.Context(), small.Addresses()[0])
		return err == nil
	})
	m.up(b, small)
}

func meshFullQueue(m mesh) {
	o := m.options("a")
	o.QueueFrames = 4
	log, open := NewPeerLog(nil), make(chan struct{})
	opened := sync.OnceFunc(func() { close(open) })
	m.Cleanup(opened)
	log.OnFrame = func(api.DID, wire.Frame) { <-open }
	a, b := m.start(o, NewPeerLog(nil)), m.start(m.options("b"), log)
	m.dial(a, b)
	m.up(a, b)
	// The receiver blocks (or time stands still): buffers on the way fill, then the queue, and Send says so without blocking.
	big := &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{make([]byte, 512<<10)}}
	sent := 0
	for ; ; sent++ {
		if err := a.Send(b.Self(), big); err != nil {
			if api.KindOf(err) != api.Unavailable {
				m.Fatalf("full queue: got %v", err)
			}
			break
		}
		if sent > 1_000 {
			m.Fatal("the queue has no end")
		}
	}
	if sent < o.QueueFrames || a.Stats().QueueFull == 0 {
		m.Errorf("%d frames taken, %d refused", sent, a.Stats().QueueFull)
	}
	opened()
	m.until("what was taken arrives", func() bool { return len(b.log.Frames(a.Self())) == sent })
}

func meshSimultaneousDial(m mesh) {
	a, b := m.join("a"), m.join("b")
	for range 8 {
		var wg sync.WaitGroup
		for _, d := range [][2]meshNode{{a, b}, {b, a}, {a, b}, {b, a}} {
			wg.Go(func() {
				if _, err := d[0].Dial(context.Background(), d[1].Addresses()[0]); err != nil {
					m.Errorf("simultaneous dial: %v", err)
				}
			})
		}
		wg.Wait()
		m.up(a, b)
		if err := a.Send(b.Self(), &wire.Graft{Space: make([]byte, 32)}); err != nil {
			m.Errorf("send: %v", err)
		}
		m.until("the frame arrives on the session that counts", func() bool { return len(b.log.Frames(a.Self())) > 0 })
		b.log.Set(func(l *PeerLog) { clear(l.frames) })
		if err := a.Close(b.Self(), "next round"); err != nil {
			m.Fatalf("close: %v", err)
		}
		m.apart(a, b)
	}
	ua, da, ba := a.log.Counts(b.Self())
	ub, db, bb := b.log.Counts(a.Self())
	if ua != 8 || da != 8 || ba != 0 || ub != 8 || db != 8 || bb != 0 {
		m.Errorf("8 rounds: a saw %d up %d down %d bad, b saw %d %d %d: no session may come and go", ua, da, ba, ub, db, bb)
	}
}

// meshRestart is R2: a node that restarts with its key is taken back at once, though its old session still seems to live.
func meshRestart(m mesh) {
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		stay, old := m.join(names[0]), m.join(names[1])
		m.dial(old, stay)
		m.up(stay, old)
		again := m.join(names[1]) // the old one has not left
		m.dial(again, stay)
		m.up(stay, again)
		ups, downs, bads := stay.log.Counts(again.Self())
		if ups != 2 || downs != 1 || bads != 0 || len(stay.Bans()) != 0 {
			m.Errorf("restart: %d up, %d down, %d bad, bans %v", ups, downs, bads, stay.Bans())
		}
		if err := stay.Send(again.Self(), &wire.Graft{Space: make([]byte, 32)}); err != nil {
			m.Error(err)
		}
		m.until("the new process hears", func() bool { return len(again.log.Frames(stay.Self())) == 1 })
		for _, n := range []meshNode{old, again, stay} {
			n.stop()
		}
	}
}

func meshReconnect(m mesh) {
	a, b := m.join("a"), m.join("b")
	m.dial(a, b)
	m.up(a, b)
	if err := b.Close(a.Self(), "not now"); err != nil { // the other side's will
		m.Fatal(err)
	}
	m.apart(a, b)
	m.up(a, b)
	if ups, downs, _ := a.log.Counts(b.Self()); ups != 2 || downs != 1 {
		m.Errorf("%d up, %d down", ups, downs)
	}
}

func meshBootstrap(m mesh) {
	b := m.join("b")
	o := m.options("a")
	self := strings.Replace(b.Addresses()[0], string(b.Self()), string(NodeDID(o.Key)), 1)
	o.Bootstrap = []string{self, b.Addresses()[0]} // a list for all nodes names each itself
	a := m.start(o, NewPeerLog(nil))
	m.up(a, b)
	if len(a.Peers()) != 1 || len(a.Bans()) != 0 {
		m.Errorf("peers %v, bans %v", a.Peers(), a.Bans())
	}
}

func meshRefresh(m mesh) {
	s1, s2 := space("one"), space("two")
	a := m.start(m.options("a"), NewPeerLog([]api.Hash{s1, s2}))
	b := m.start(m.options("b"), NewPeerLog([]api.Hash{s1}))
	m.dial(a, b)
	m.up(a, b)
	shared := func(at, of meshNode, want ...api.Hash) bool {
		p, ok := at.log.Peer(of.Self())
		return ok && slices.Equal(p.Spaces, want)
	}
	if !shared(a, b, s1) || !shared(b, a, s1) {
		m.Fatal("before: one space is shared")
	}
	ben := Signer("ben")
	b.log.Set(func(l *PeerLog) {
		l.Tell = transport.Local{Spaces: []api.Hash{s1, s2}, Members: []api.Signer{ben}}
		l.Shown = []byte("now invited")
	})
	b.Refresh()
	m.until("both know of the second space", func() bool { return shared(a, b, s1, s2) && shared(b, a, s1, s2) })
	p, _ := a.log.Peer(b.Self())
	if len(p.Members) != 1 || p.Members[0].DID != ben.DID() || string(p.Proof) != "now invited" || p.Inbound {
		m.Errorf("peer after refresh: %+v", p)
	}
	// Both at once.
	for _, n := range []meshNode{a, b} {
		n.log.Set(func(l *PeerLog) { l.Tell.Spaces = []api.Hash{s2} })
	}
	a.Refresh()
	b.Refresh()
	m.until("both have left the first space", func() bool { return shared(a, b, s2) && shared(b, a, s2) })
	for _, d := range [][2]meshNode{{a, b}, {b, a}} {
		if _, downs, bads := d[0].log.Counts(d[1].Self()); downs+bads != 0 {
			m.Errorf("refresh: %d down, %d bad", downs, bads)
		}
	}
}

func meshRefreshRefused(m mesh) {
	log := NewPeerLog(nil)
	log.Check = func(p *transport.Peer) error {
		if len(p.Members) > 0 {
			return errors.New("devices are not welcome")
		}
		return nil
	}
	a, b := m.join("a"), m.start(m.options("b"), log)
	m.dial(a, b)
	m.up(a, b)
	a.log.Set(func(l *PeerLog) { l.Tell.Members = []api.Signer{Signer("ann")} })
	a.Refresh()
	m.until("the session ends", func() bool { _, downs, _ := a.log.Counts(b.Self()); return downs > 0 })
	if got := fmt.Sprint(a.log.Err(b.Self())); !strings.Contains(got, "not welcome") {
		m.Errorf("the peer hears %q", got)
	}
}
