package transport_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// TestR2_RestartedNodeRejoins: the same key in a new process is taken back at once, whoever had dialled, and is not taken for an attacker.
func TestR2_RestartedNodeRejoins(t *testing.T) {
	stay, log := start(t, options("stay"))
	o := options("restarts")
	o.Listen = []string{"127.0.0.1:0"}
	self := nodeDID("restarts")
	var first string
	for run := range 3 {
		again := kerneltest.NewPeerLog(nil)
		tr, stop := realWorld{}.Start(t, o, again)
		if run == 0 {
			first = tr.Addresses()[0]
			if _, err := stay.Dial(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			a, err := transport.ParseAddress(first)
			if err != nil {
				t.Fatal(err)
			}
			o.Listen = []string{fmt.Sprintf("127.0.0.1:%d", a.Port)} // the next runs have the old address
		}
		if run == 2 { // and one dials by itself
			if _, err := tr.Dial(t.Context(), stay.Addresses()[0]); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the node is back", func() bool { return isUp(log, self) && isUp(again, stay.Self()) })
		if err := stay.Send(self, &wire.Graft{Space: make([]byte, 32)}); err != nil {
			t.Error(err)
		}
		until(t, "the node hears", func() bool { return len(again.Frames(stay.Self())) == 1 })
		stop()
		until(t, "the node is gone", func() bool { return !isUp(log, self) })
		if got := fmt.Sprint(log.Err(self)); !strings.Contains(got, "stop") {
			t.Errorf("run %d: a node that stops says so: %q", run, got)
		}
	}
	if _, _, bads := log.Counts(self); bads != 0 || len(stay.Bans()) != 0 {
		t.Errorf("%d times bad, bans %v", bads, stay.Bans())
	}
}

// TestR3_SelfByMDNS: a node that finds itself in the local network neither dials nor bans itself.
func TestR3_SelfByMDNS(t *testing.T) {
	o := options("a")
	o.MDNS = true // for real too, where the machine has multicast; without it this is a warning
	o.SetService("_icn-test-r3._udp")
	n, log := start(t, o)
	n.Found(infoOf(t, n))
	if len(n.Targets()) != 0 || n.Stats().Dials != 0 || len(n.Bans()) != 0 || len(n.Cuts()) != 0 {
		t.Errorf("targets %v, %d dials, bans %v, cuts %v", n.Targets(), n.Stats().Dials, n.Bans(), n.Cuts())
	}
	if ups, downs, bads := log.Counts(n.Self()); ups+downs+bads != 0 {
		t.Errorf("%d up, %d down, %d bad", ups, downs, bads)
	}
	// What is found and is another is dialled, and what cannot be used is not.
	b, _ := start(t, options("b"))
	n.Found(peer.AddrInfo{ID: infoOf(t, b).ID, Addrs: []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/1"), ma.StringCast("/ip4/0.0.0.0/udp/1/quic-v1")}})
	if len(n.Targets()) != 0 {
		t.Error("a node without a usable address is kept")
	}
	n.Found(infoOf(t, b))
	until(t, "the found node is up", func() bool { return isUp(log, b.Self()) })
	if isUp(log, n.Self()) || len(n.Peers()) != 1 {
		t.Errorf("peers %v", n.Peers())
	}
}

// infoOf returns what mDNS tells of a node.
func infoOf(t testing.TB, n *transport.Node) peer.AddrInfo {
	t.Helper()
	id, err := transport.PeerID(n.Self())
	if err != nil {
		t.Fatal(err)
	}
	info := peer.AddrInfo{ID: id}
	for _, s := range n.Addresses() {
		a, err := transport.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		m, err := transport.MultiAddr(a)
		if err != nil {
			t.Fatal(err)
		}
		info.Addrs = append(info.Addrs, m)
	}
	return info
}

func TestVersionsThatDoNotMeet(t *testing.T) {
	for _, names := range [][2]string{{"a", "b"}, {"b", "a"}} {
		old, oldLog := start(t, options(names[0]))
		o := options(names[1])
		o.SetVersions(wire.Version+1, wire.Version+2)
		newer, _ := start(t, o)
		for _, d := range [][2]*transport.Node{{old, newer}, {newer, old}} {
			_, err := d[0].Dial(t.Context(), d[1].Addresses()[0])
			if api.KindOf(err) != api.Unsupported || !strings.Contains(err.Error(), "upgrade") || !strings.Contains(err.Error(), "speaks 2 to 3") {
				t.Errorf("dial: got %v", err)
			}
		}
		if ups, _, bads := oldLog.Counts(newer.Self()); ups+bads != 0 {
			t.Errorf("%d up, %d bad: another version is nobody's fault", ups, bads)
		}
	}
}

// TestMalformed checks that a peer which breaks the protocol is reported, told, and cut off, and no more than that.
func TestMalformed(t *testing.T) {
	prefixed := func(b ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }
	hello := func(n byte) []byte { return encode(t, &wire.Hello{Min: 1, Max: 1, Nonce: nonce(n)}) }
	ping := encode(t, &wire.Ping{Sent: 1})
	for _, c := range []struct {
		name string
		up   bool
		send []byte
	}{
		{"no frame", false, []byte{0, 0, 0, 0}},
		{"a frame before admission that only an admitted peer may send", false, []byte{0, 1, 0, 1, 1}},
		{"rubbish", false, []byte("GET / HTTP/1.1\r\n\r\n")},
		{"unknown type", false, prefixed(200, 0x80)},
		{"ping before hello", false, ping},
		{"hello with a short nonce", false, prefixed(append([]byte{byte(wire.TypeHello)}, 0x87, 1, 1, 0x60, 0x41, 1, 0x80, 0x80, 0x80)...)},
		{"members not proven", false, append(hello(9), encode(t, &wire.Members{Served: []wire.Served{{Auth: kerneltest.Signer("ann").Auth(), Signature: make([]byte, 64)}}})...)},
		{"two hellos", false, append(hello(9), hello(9)...)},
		{"too long a frame", true, []byte{0, 16, 0, 1, 1}},
		{"unknown type later", true, prefixed(200, 0x80)},
		{"members without hello", true, encode(t, &wire.Members{})},
		{"another nonce", true, append(hello(8), encode(t, &wire.Members{})...)},
		{"not canonical", true, prefixed(byte(wire.TypePing), 0x81, 0x18, 0x01)},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, log := start(t, options("a"))
			bad, badLog := start(t, options("bad"))
			raw, err := bad.Raw(n.Addresses()[0])
			if err != nil {
				t.Fatal(err)
			}
			if c.up {
				greet(t, raw, n.Self(), bad.Self())
				until(t, "the peer is up", func() bool { return isUp(log, bad.Self()) })
			}
			raw.Write(c.send)
			bye := waitBye(t, raw)
			if bye.Code != "malformed" || bye.Reason == "" {
				t.Errorf("the peer is told %+v", bye)
			}
			until(t, "reported", func() bool { _, _, bads := log.Counts(bad.Self()); return bads == 1 })
			until(t, "closed", func() bool { return !isUp(log, bad.Self()) && n.Stats().Sessions+n.Stats().Handshakes == 0 })
			if n.Stats().Malformed != 1 || len(n.Bans()) != 0 {
				t.Errorf("%d malformed, bans %v", n.Stats().Malformed, n.Bans())
			}
			if _, err := bad.Dial(t.Context(), n.Addresses()[0]); err != nil { // policy is not ours
				t.Errorf("dial afterwards: %v", err)
			}
			until(t, "up", func() bool { return isUp(badLog, n.Self()) })
		})
	}
}

// greet shakes hands by hand: everything at once, which fits either side's part.
func greet(t testing.TB, raw *transport.RawStream, node, self api.DID) {
	t.Helper()
	g := greeting(t, self, node, 9)
	raw.Write(encode(t, g.Hello(transport.Local{}, nil)))
	raw.Write(encode(t, &wire.Members{}))
	for range 2 {
		f, _, err := transport.ReadFrame(raw.R, wire.MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.(*wire.Members); ok {
			break
		}
	}
	raw.Write(encode(t, &wire.Ping{}))
}

func waitBye(t testing.TB, raw *transport.RawStream) *wire.Bye {
	t.Helper()
	for {
		f, _, err := transport.ReadFrame(raw.R, wire.MaxFrame)
		if err != nil {
			t.Fatalf("no bye: %v", err)
		}
		if bye, ok := f.(*wire.Bye); ok {
			raw.Close()
			return bye
		}
	}
}

// TestCutOffFrame checks that a stream which ends within a frame is a lost session and nobody's fault.
func TestCutOffFrame(t *testing.T) {
	n, log := start(t, options("a"))
	o := options("b")
	tr, stop := realWorld{}.Start(t, o, kerneltest.NewPeerLog(nil))
	raw, err := tr.(*transport.Node).Raw(n.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	greet(t, raw, n.Self(), tr.Self())
	until(t, "up", func() bool { return isUp(log, tr.Self()) })
	raw.Write([]byte{0, 0, 1, 0, byte(wire.TypePush), 1, 2, 3})
	stop()
	until(t, "down", func() bool { return !isUp(log, tr.Self()) })
	if _, downs, bads := log.Counts(tr.Self()); downs != 1 || bads != 0 || !strings.Contains(fmt.Sprint(log.Err(tr.Self())), "lost") {
		t.Errorf("%d down, %d bad: %v", downs, bads, log.Err(tr.Self()))
	}
}

// TestHeartbeat checks that a silent peer goes down after three beats and a living one stays and gets its round trip measured.
func TestHeartbeat(t *testing.T) {
	o := options("a")
	o.Heartbeat = 40 * time.Millisecond
	n, log := start(t, o)
	silent, _ := start(t, options("silent"))
	ob := options("b")
	ob.Heartbeat = time.Hour // it only answers
	b, blog := start(t, ob)
	if _, err := n.Dial(t.Context(), b.Addresses()[0]); err != nil {
		t.Fatal(err)
	}
	raw, err := silent.Raw(n.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	greet(t, raw, n.Self(), silent.Self())
	until(t, "the silent peer is up", func() bool { ups, _, _ := log.Counts(silent.Self()); return ups == 1 })
	if bye := waitBye(t, raw); bye.Code != "silent" {
		t.Errorf("the silent peer is told %+v", bye)
	}
	until(t, "the silent peer is down", func() bool { return !isUp(log, silent.Self()) })
	if err := log.Err(silent.Self()); api.KindOf(err) != api.Timeout {
		t.Errorf("down: %v", err)
	}
	until(t, "round trips are known", func() bool {
		return len(n.Peers()) == 1 && n.Peers()[0].RTT > 0 && b.Peers()[0].RTT > 0
	})
	if _, downs, _ := log.Counts(b.Self()); downs != 0 || !isUp(blog, n.Self()) {
		t.Error("a living peer went down")
	}
}

// TestHandshakeTimeout checks that a peer which says nothing does not stay.
func TestHandshakeTimeout(t *testing.T) {
	o := options("a")
	o.HandshakeTimeout = 50 * time.Millisecond
	n, _ := start(t, o)
	mute, _ := start(t, options("mute"))
	raw, err := mute.Raw(n.Addresses()[0])
	if err != nil {
		t.Fatal(err)
	}
	raw.Write([]byte{0, 0}) // half a length, so that the stream exists
	for err == nil {
		_, _, err = transport.ReadFrame(raw.R, wire.MaxFrame) // our hello, then the end
	}
	until(t, "gone", func() bool { return n.Stats().Handshakes == 0 })
}

// TestPeerExchange checks that a newcomer who knows one node gets to know the others.
func TestPeerExchange(t *testing.T) {
	hub, _ := start(t, options("hub"))
	a, _ := start(t, options("a"))
	if _, err := a.Dial(t.Context(), hub.Addresses()[0]); err != nil {
		t.Fatal(err)
	}
	off := options("off")
	off.TargetPeers = -1
	alone, aloneLog := start(t, off)
	if _, err := alone.Dial(t.Context(), hub.Addresses()[0]); err != nil {
		t.Fatal(err)
	}
	b, blog := start(t, options("b"))
	b.Ban(a.Self(), "not this one")
	if _, err := b.Dial(t.Context(), hub.Addresses()[0]); err != nil {
		t.Fatal(err)
	}
	until(t, "b has found the third", func() bool { return isUp(blog, alone.Self()) })
	if isUp(blog, a.Self()) {
		t.Error("a banned node was dialled because somebody told of it")
	}
	if isUp(aloneLog, a.Self()) {
		t.Error("peer exchange is off, and yet")
	}
}

func TestServeEndsAndRefusesMore(t *testing.T) {
	n, err := transport.New(options("a"), kerneltest.NewPeerLog(nil))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := start(t, options("b"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Dial(ctx, b.Addresses()[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("dial before serve waits for it: %v", err)
	}
	if err := n.Serve(ctx); err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := n.Serve(t.Context()); api.KindOf(err) != api.Unsupported {
		t.Errorf("serve again: %v", err)
	}
	if _, err := n.Dial(t.Context(), b.Addresses()[0]); api.KindOf(err) != api.Unavailable {
		t.Errorf("dial after the end: %v", err)
	}
}

func TestOptions(t *testing.T) {
	good := func() transport.Options { o := options("a"); o.EnsureDefaults(); return o }
	o := good()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if o.MaxPeers != 100 || o.TargetPeers != 8 || o.Heartbeat != 30*time.Second {
		t.Errorf("defaults: %+v", o)
	}
	for name, break_ := range map[string]func(*transport.Options){
		"no key": func(o *transport.Options) { o.Key = nil }, "peers": func(o *transport.Options) { o.MaxPeers = -1 },
		"heartbeat": func(o *transport.Options) { o.Heartbeat = 1 }, "handshake": func(o *transport.Options) { o.HandshakeTimeout = -1 },
		"handshakes": func(o *transport.Options) { o.MaxHandshakes = -1 }, "retry": func(o *transport.Options) { o.RetryMax = o.RetryMin / 2 },
		"queue": func(o *transport.Options) { o.QueueFrames = -1 }, "queue bytes": func(o *transport.Options) { o.QueueBytes = 1 },
		"build":         func(o *transport.Options) { o.Build = strings.Repeat("x", 300) },
		"listen a name": func(o *transport.Options) { o.Listen = []string{"node.example:7100"} },
		"listen":        func(o *transport.Options) { o.Listen = []string{"127.0.0.1"} },
		"announce":      func(o *transport.Options) { o.Announce = []string{"0.0.0.0:7100"} },
		"bootstrap":     func(o *transport.Options) { o.Bootstrap = []string{"node.example:7100"} },
		"many listens":  func(o *transport.Options) { o.Listen = make([]string, 17) },
	} {
		o := good()
		break_(&o)
		if err := o.Validate(); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One of two addresses is taken: that is an error, not half a node.
	taken, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o = options("a")
	o.Listen = []string{"127.0.0.1:0", taken.LocalAddr().String()}
	if n, err := transport.New(o, kerneltest.NewPeerLog(nil)); api.KindOf(err) != api.Unavailable {
		t.Errorf("listen on a taken port: %v, %v", n, err)
	}
}

// TestBars checks ends and bounds of bans and cuts.
func TestBars(t *testing.T) {
	now := time.Unix(1000, 0)
	b := transport.NewBars(func() time.Time { return now })
	b.Ban("", "everybody")
	if err := b.Allowed("x"); err != nil || len(b.Bans()) != 0 {
		t.Errorf("everybody cannot be banned: %v", err)
	}
	b.Cut("x", now.Add(time.Minute))
	b.Cut("", now.Add(time.Second))
	for _, c := range []struct {
		after       time.Duration
		x, y, every bool
	}{{0, false, false, false}, {999 * time.Millisecond, false, false, false}, {time.Second, false, true, true}, {time.Minute, true, true, true}} {
		now = time.Unix(1000, 0).Add(c.after)
		for node, ok := range map[api.DID]bool{"x": c.x, "y": c.y, "": c.every} {
			if err := b.Allowed(node); (err == nil) != ok || err != nil && api.KindOf(err) != api.Refused {
				t.Errorf("after %v: %q: %v", c.after, node, err)
			}
		}
	}
	if len(b.Cuts()) != 0 {
		t.Errorf("cuts that are over: %v", b.Cuts())
	}
	for i := range 1<<16 + 2 {
		now = now.Add(time.Second)
		b.Ban(api.DID(fmt.Sprint(i)), "")
	}
	bans := b.Bans()
	_, first := bans["0"]
	_, third := bans["2"]
	if len(bans) != 1<<16 || first || !third {
		t.Errorf("%d bans; the oldest: %v, the third: %v", len(bans), first, third)
	}
}

// BenchmarkFrames sends frames with one record of 256 bytes from one node to another.
func BenchmarkFrames(b *testing.B) {
	log := kerneltest.NewPeerLog(nil)
	counter := &counting{PeerLog: log, got: make(chan struct{}, 1)}
	o := options("a")
	o.Listen = []string{"127.0.0.1:0"}
	from, _ := start(b, options("b"))
	to, _ := realWorld{}.Start(b, o, counter)
	node, err := from.Dial(b.Context(), to.Addresses()[0])
	if err != nil {
		b.Fatal(err)
	}
	f := &wire.Push{Space: make([]byte, 32), Envelopes: [][]byte{bytes.Repeat([]byte{7}, 256)}}
	counter.want = b.N
	b.SetBytes(256)
	b.ResetTimer()
	for range b.N {
		for from.Send(node, f) != nil {
			time.Sleep(50 * time.Microsecond) // the queue is full
		}
	}
	<-counter.got
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}

// counting counts frames instead of keeping them.
type counting struct {
	*kerneltest.PeerLog
	n, want int
	got     chan struct{}
}

func (c *counting) Frame(api.DID, wire.Frame) {
	if c.n++; c.n == c.want {
		c.got <- struct{}{}
	}
}
