package transport

import (
	"bufio"
	"crypto/rand"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// The codes of a Bye. They travel: never change one.
const (
	byeUpgrade   = "upgrade"   // no common version
	byeRefused   = "refused"   // Handler.Admit said no
	byeFull      = "full"      // MaxPeers
	byeDuplicate = "duplicate" // another session of the two nodes lives
	byeMalformed = "malformed" // the protocol was broken
	byeClosed    = "closed"    // somebody asked for it
	byeBarred    = "barred"    // banned or cut
	byeSilent    = "silent"    // heartbeats missed
	byeStopping  = "stopping"  // the node stops
)

// linger is how long a session that ended with a Bye waits for the peer to read it.
const linger = 500 * time.Millisecond

// refreshEvery is the least time between a peer's refreshes that are looked at at once; faster ones slow the peer down.
const refreshEvery = 250 * time.Millisecond

var (
	errDuplicate = errors.New("another session of the two nodes lives")
	errLost      = errors.New("session lost")
)

// ending is an error together with what to tell the peer about it.
type ending struct {
	code string
	err  error
}

func (e *ending) Error() string { return e.err.Error() }
func (e *ending) Unwrap() error { return e.err }

// goodbye is the peer's Bye.
type goodbye struct {
	code string
	err  error
}

func (e *goodbye) Error() string { return e.err.Error() }
func (e *goodbye) Unwrap() error { return e.err }

// session is one stream to one peer, from its opening to its end. Its own goroutine (Node.run) shakes hands and then reads; a second one
// writes. Handler calls other than Admit are made under calls.
//
// Who decides. Two nodes may dial each other at the same time, and a node may come back while its old session still seems to live. So that
// both sides keep the same session, the node with the lower DID decides: it sends its Members last, as its word that this session counts.
//
//	both:   Hello
//	higher: Members               (not when it dialled and has a session meanwhile)
//	lower:  Members, or Bye       (its decision: Node.claim)
//	higher: Ping, or Bye          (up; the lower one is up when it has the Ping)
type session struct {
	n       *Node
	node    api.DID
	inbound bool
	stream  network.Stream
	r       *bufio.Reader
	w       *bufio.Writer
	out     *queue
	opened  uint64 // Node.seq when the session began
	upAt    uint64 // Node.seq when it came up, 0 before; guarded by Node.mu
	prev    *session
	local   uint64 // Node.local when Local was asked

	ready chan struct{} // closed when up or failed
	fail  error         // why it failed, set before ready is closed
	quit  chan struct{} // closed when ended
	done  chan struct{} // closed when nothing of it is left
	once  sync.Once
	err   error // why it ended, set before quit is closed
	code  string

	calls     sync.Mutex // serialises handler calls, guards greet and refreshed
	greet     *Greeting
	refreshed time.Time
	hello     *wire.Hello // a refreshing peer's Hello whose Members are to come; the reader's own

	refresh  atomic.Int32 // 0 idle, 1 running, 2 running and wanted again
	peer     atomic.Pointer[Peer]
	rtt      atomic.Int64 // nanoseconds
	heard    atomic.Int64 // when a frame last came, as Node.elapsed
	busy     atomic.Bool  // the handler has a frame: silence is ours
	asked    atomic.Bool  // an AskPeers is out
	answered time.Time    // when Peers was last sent; the reader's own

	sent, received atomic.Uint64
}

// newSession begins a session with node, whose key is checked and is that of the stream's other end.
func (n *Node) newSession(node api.DID, stream network.Stream, inbound bool) (*session, error) {
	if node == n.self {
		return nil, api.Errorf("transport.session", api.Invalid, "node %s is this node itself", node)
	}
	nonce := make([]byte, 32)
	if _, err := rand.Read(nonce); err != nil {
		return nil, api.Errorf("transport.session", api.Internal, "nonce: %w", err)
	}
	key, err := keyOf(stream.Conn().RemotePeer())
	if err != nil {
		return nil, err
	}
	g := newGreeting(n.self, node, n.key, key, n.opts.Build, nonce, n.log)
	g.min, g.max = n.opts.minVersion, n.opts.maxVersion
	return &session{
		n: n, node: node, inbound: inbound, stream: stream, greet: g,
		r: bufio.NewReaderSize(stream, bufferSize), w: bufio.NewWriterSize(stream, bufferSize),
		out:   newQueue(n.opts.QueueFrames, n.opts.QueueBytes),
		ready: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// end ends the session once, for err; with a code the peer is told.
func (s *session) end(code string, err error) {
	s.once.Do(func() {
		s.code, s.err = code, err
		close(s.quit)
		if code == "" {
			s.out.close(nil)
			s.stream.Reset()
			return
		}
		s.out.close(farewell(code, err.Error()))
		time.AfterFunc(linger, func() { s.stream.Reset() })
	})
}

func (s *session) ended() bool {
	select {
	case <-s.quit:
		return true
	default:
		return false
	}
}

// writeLoop writes queued frames until the queue is closed and drained, many in one go: it flushes only when nothing waits.
func (s *session) writeLoop() {
	for {
		b, ok := s.out.next(false)
		if !ok {
			if err := s.w.Flush(); err != nil {
				s.end("", lost(err))
				return
			}
			if b, ok = s.out.next(true); !ok {
				_ = s.stream.CloseWrite() // the session is ending; a peer that is gone has heard enough
				return
			}
		}
		if err := s.put(b); err != nil {
			s.end("", err)
			return
		}
	}
}

// readLoop handles frames until the session ends and returns why.
func (s *session) readLoop() error {
	for {
		f, err := s.get(wire.MaxFrame)
		if err != nil {
			return err
		}
		if s.ended() {
			return s.err
		}
		if err := s.handle(f); err != nil {
			return err
		}
	}
}

func (s *session) handle(f wire.Frame) error {
	switch f := f.(type) {
	case *wire.Ping:
		s.control(&wire.Pong{Sent: f.Sent})
	case *wire.Pong:
		s.pong(f)
	case *wire.AskPeers:
		s.answerPeers()
	case *wire.Peers:
		if s.asked.Swap(false) {
			s.n.learn(s, f.Addresses)
		}
	case *wire.Bye:
		return byeError(f)
	case *wire.Hello:
		s.hello = f
		return nil
	case *wire.Members:
		return s.refreshedBy(f)
	default:
		s.busy.Store(true)
		s.calls.Lock()
		s.n.handler.Frame(s.node, f)
		s.calls.Unlock()
		s.heard.Store(int64(s.n.elapsed()))
		s.busy.Store(false)
	}
	return nil
}

// control queues a frame of the session's own keeping; without room it is dropped, which the heartbeat makes good.
func (s *session) control(f wire.Frame) bool {
	b, err := encodeFrame(f)
	return err == nil && s.out.pushControl(b)
}

func (s *session) ping() { s.control(&wire.Ping{Sent: uint64(s.n.elapsed().Microseconds())}) }

func (s *session) pong(f *wire.Pong) {
	now := s.n.elapsed()
	rtt := now - time.Duration(min(f.Sent, uint64(now.Microseconds())))*time.Microsecond
	if rtt > time.Hour {
		return // the peer made the number up
	}
	if old := time.Duration(s.rtt.Load()); old > 0 {
		rtt = old + (rtt-old)/8 // as TCP smooths it
	}
	s.rtt.Store(int64(rtt))
}

// tell sends Local as it is now, and asks the handler to look at the peer again: what the two share may have changed. It runs in a goroutine
// of its own, since Refresh may be called from within a handler.
func (s *session) tell() {
	defer s.n.group.Done()
	for {
		s.calls.Lock()
		if s.ended() {
			s.calls.Unlock()
			return
		}
		local := s.n.handler.Local()
		hello, herr := encodeFrame(s.greet.Hello(local, s.n.Addresses()))
		members, merr := encodeFrame(s.greet.Members(local, s.n.handler.Proof(s.node)))
		if err := errors.Join(herr, merr); err != nil {
			s.n.log.Error("refresh cannot be told", "node", s.node, "err", err)
		} else if !s.out.pushControl(hello, members) {
			s.end(byeSilent, api.Errorf("transport.session", api.Unavailable, "the peer does not read"))
		}
		p := *s.peer.Load()
		if shared := s.greet.Shared(); !slices.Equal(shared, p.Spaces) {
			p.Spaces = shared
			s.peer.Store(&p)
			s.n.handler.Up(s.copyPeer(&p))
		}
		s.calls.Unlock()
		if s.refresh.CompareAndSwap(1, 0) {
			return
		}
		s.refresh.Store(1)
	}
}

// startTell starts tell unless it runs already; then it runs once more.
func (s *session) startTell() {
	for {
		switch {
		case s.refresh.CompareAndSwap(0, 1):
			if s.n.begin() {
				go s.tell()
			}
			return
		case s.refresh.CompareAndSwap(1, 2), s.refresh.Load() == 2:
			return
		}
	}
}

// refreshedBy takes a peer's new Hello and Members.
func (s *session) refreshedBy(m *wire.Members) error {
	s.calls.Lock()
	defer s.calls.Unlock()
	hello := s.hello
	if s.hello = nil; hello == nil {
		return &ending{byeMalformed, api.Errorf("transport.session", api.Invalid, "members without a hello")}
	}
	// Each refresh costs up to MaxMembers signature checks, so a peer that refreshes all the time has to wait for it.
	if wait := refreshEvery - s.n.opts.Now().Sub(s.refreshed); wait > 0 {
		select {
		case <-time.After(min(wait, refreshEvery)):
		case <-s.quit:
			return s.err
		}
	}
	s.refreshed = s.n.opts.Now()
	if err := s.greet.Meet(hello); err != nil {
		return &ending{byeMalformed, err}
	}
	p, err := s.greet.Verify(m)
	if err != nil {
		return &ending{byeMalformed, err}
	}
	p.Inbound, p.Since = s.inbound, s.peer.Load().Since
	s.peer.Store(p)
	if err := s.admit(p); err != nil {
		return err
	}
	s.n.handler.Up(s.copyPeer(p))
	return nil
}

// copyPeer returns p with the session's counters of this moment.
func (s *session) copyPeer(p *Peer) *Peer {
	c := *p
	c.RTT = time.Duration(s.rtt.Load())
	c.Sent, c.Received = s.sent.Load(), s.received.Load()
	return &c
}
