package transport

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	maxTargets         = 1024 // nodes the keeper knows
	maxTargetAddresses = 8    // per node
	maxDialling        = 8    // attempts of the keeper at once
	maxLearnedFailures = 3    // then a learned node is forgotten
)

// class says where the keeper has a node from, weakest first.
type class uint8

const (
	learned class = iota // peer exchange: dialled while peers are few
	found                // mDNS: dialled while there is room
	kept                 // bootstrap, or dialled by somebody: dialled for ever
)

// target is a node that the keeper dials when there is no session with it.
type target struct {
	node      api.DID
	class     class
	addresses []string
	stopped   bool // closed by somebody: left alone until dialled by somebody
	busy      bool
	fails     int
	next      time.Time
}

// addTarget makes node a target, or adds an address to it. The caller holds mu.
func (n *Node) addTarget(node api.DID, c class, addresses ...string) {
	t := n.targets[node]
	if t == nil {
		if len(n.targets) >= maxTargets && !n.evictLocked(c) {
			if c == kept {
				n.log.Warn("too many kept nodes: this one will not be dialled again", "node", node)
			}
			return
		}
		t = &target{node: node, class: c}
		n.targets[node] = t
	}
	t.class = max(t.class, c)
	if c == kept {
		t.stopped, t.fails, t.next = false, 0, time.Time{}
	}
	for _, a := range addresses {
		if slices.Contains(t.addresses, a) {
			continue
		}
		if len(t.addresses) >= maxTargetAddresses {
			t.addresses = t.addresses[1:]
		}
		t.addresses = append(t.addresses, a)
	}
}

// evictLocked makes room for a target of class c by dropping one of a weaker class.
func (n *Node) evictLocked(c class) bool {
	for d, t := range n.targets {
		if t.class < c && !t.busy {
			delete(n.targets, d)
			return true
		}
	}
	return false
}

// lostLocked plans the next attempt after a session ended.
func (n *Node) lostLocked(s *session) {
	t := n.targets[s.node]
	if t == nil {
		return
	}
	// A session that came up and went at once counts as a failed attempt, else two nodes that do not get along would dial without pause.
	if s.upAt != 0 && n.opts.Now().Sub(s.peer.Load().Since) >= n.opts.RetryMax {
		t.fails = 0
	}
	n.delayLocked(t, s.err)
}

// delayLocked sets when t is tried next: RetryMin doubled per failure up to RetryMax, less up to half by jitter. A peer that said why it
// does not want us is given RetryMax at once.
func (n *Node) delayLocked(t *target, err error) {
	if bye := (*goodbye)(nil); errors.As(err, &bye) && bye.code != byeStopping && bye.code != byeSilent {
		t.fails = max(t.fails, 16)
	}
	d := n.opts.RetryMax
	if t.fails < 16 {
		d = min(d, n.opts.RetryMin<<t.fails)
	}
	t.fails++
	t.next = n.opts.Now().Add(d - time.Duration(n.rand.Int64N(int64(d)/2+1)))
}

// retry makes held-back targets due at once: node, or all for the empty DID.
func (n *Node) retry(node api.DID) {
	n.mu.Lock()
	for d, t := range n.targets {
		if node == "" || d == node {
			t.fails, t.next = 0, time.Time{}
		}
	}
	n.mu.Unlock()
	n.poke()
}

// poke makes the keeper look again.
func (n *Node) poke() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// keep dials targets and sends heartbeats until ctx ends.
func (n *Node) keep(ctx context.Context) {
	beat := time.NewTicker(n.opts.Heartbeat)
	defer beat.Stop()
	for {
		due, wait := n.due()
		for _, t := range due {
			go n.pursue(t)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-beat.C:
			n.beat()
		case <-n.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due picks the targets to dial now, marks them busy and counts them in, and returns how long to wait for the next.
func (n *Node) due() (due []*target, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	wait = time.Minute
	now := n.opts.Now()
	sessions := len(n.sessions)
	for _, t := range n.targets {
		if t.busy || t.stopped || n.sessions[t.node] != nil || sessions+len(due) >= n.opts.MaxPeers {
			continue
		}
		// Those being dialled count, due ones among them; else each of many nodes that meet at once dials twice as many as it wants.
		if t.class == learned && sessions+n.dialling >= n.opts.TargetPeers {
			continue
		}
		if until, err := n.bars.Until(t.node); err != nil {
			if !until.IsZero() {
				wait = min(wait, until.Sub(now))
			}
			continue
		}
		if d := t.next.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		if n.dialling >= maxDialling {
			break // the next that ends pokes
		}
		t.busy = true
		n.dialling++
		n.group.Add(1)
		due = append(due, t)
	}
	return due, max(wait, time.Millisecond)
}

// pursue makes one attempt at a target.
func (n *Node) pursue(t *target) {
	defer n.group.Done()
	n.mu.Lock()
	addresses := slices.Clone(t.addresses)
	n.mu.Unlock()
	err := n.connect(n.ctx, t.node, addresses)
	n.mu.Lock()
	n.dialling--
	t.busy = false
	if err != nil {
		n.delayLocked(t, err)
		if t.class == learned && t.fails >= maxLearnedFailures {
			delete(n.targets, t.node)
		}
	}
	n.mu.Unlock()
	if err != nil {
		n.log.Debug("node not reached", "node", t.node, "err", err)
	}
	n.poke()
}

// beat pings every peer, ends the sessions of silent ones, and asks for more peers when they are few.
func (n *Node) beat() {
	n.mu.Lock()
	few := n.opts.TargetPeers > 0 && len(n.sessions) < n.opts.TargetPeers
	var up []*session
	for _, s := range n.sessions {
		if s.upAt != 0 && !s.ended() {
			up = append(up, s)
		}
	}
	n.mu.Unlock()
	now := n.elapsed()
	for _, s := range up {
		if silence := now - time.Duration(s.heard.Load()); silence > 3*n.opts.Heartbeat && !s.busy.Load() {
			s.end(byeSilent, api.Errorf("transport.session", api.Timeout, "nothing heard for %v", silence.Round(time.Millisecond)))
			continue
		}
		s.ping()
		if few {
			s.ask()
		}
	}
}

// ask asks the peer for addresses of others.
func (s *session) ask() {
	s.asked.Store(true)
	s.control(&wire.AskPeers{})
}

// answerPeers tells the peer where others listen, at most once per half heartbeat.
func (s *session) answerPeers() {
	now := s.n.opts.Now()
	if now.Sub(s.answered) < s.n.opts.Heartbeat/2 {
		return
	}
	s.answered = now
	var out []string
	for _, p := range s.n.Peers() {
		if p.Node == s.node || len(p.Addresses) == 0 {
			continue
		}
		out = append(out, p.Addresses[:min(2, len(p.Addresses))]...)
		if len(out) >= wire.MaxPeers-1 {
			break
		}
	}
	s.control(&wire.Peers{Addresses: out})
}

// learn takes addresses that a peer told us.
func (n *Node) learn(s *session, addresses []string) {
	here := loopback(s.stream.Conn().RemoteMultiaddr())
	for _, text := range addresses {
		a, why := parts(text)
		if why != "" || a.Node == n.self || n.targeted(a.Node) {
			continue // as most are; what follows is costly
		}
		// "This machine" means another machine to a peer elsewhere.
		if !here && (a.Host == "localhost" || isLoopback(a.Host)) {
			continue
		}
		if _, err := record.ParseDID(string(a.Node)); err != nil {
			continue
		}
		n.mu.Lock()
		if n.targets[a.Node] == nil {
			n.addTarget(a.Node, learned, text)
		}
		n.mu.Unlock()
	}
	n.poke()
}

// targeted reports whether the keeper knows a node.
func (n *Node) targeted(node api.DID) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.targets[node] != nil
}
