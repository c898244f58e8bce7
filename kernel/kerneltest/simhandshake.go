package kerneltest

import (
	"maps"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// shake runs the handshake of the two nodes and registers the session.
func (t *SimTransport) shake(other *SimTransport, nonces [2][]byte) error {
	p := &simPipe{}
	a, b := &simSide{t: t, pipe: p}, &simSide{t: other, pipe: p}
	a.other, b.other, p.sides = b, a, [2]*simSide{a, b}
	for i, s := range p.sides {
		g, err := transport.NewGreeting(s.t.self, s.other.t.self, s.t.opts.Build, nonces[i], s.t.opts.Logger)
		if err != nil {
			return err
		}
		s.greet = g
	}
	locals := [2]transport.Local{t.handler.Local(), other.handler.Local()}
	for i, s := range p.sides {
		hello, err := travel(s.greet.Hello(locals[i], s.t.Addresses()))
		if err == nil {
			err = s.other.greet.Meet(hello)
		}
		if err != nil {
			return err
		}
	}
	for i, s := range p.sides {
		members, err := travel(s.greet.Members(locals[i], s.t.handler.Proof(s.other.t.self)))
		if err == nil {
			s.other.peer, err = s.other.greet.Verify(members)
		}
		if err != nil {
			return err
		}
	}
	b.peer.Inbound = true
	for _, s := range p.sides {
		if err := t.net.room(s.t, s.other.t.self); err != nil {
			return err
		}
		seen := *s.peer
		if err := s.t.handler.Admit(&seen); err != nil {
			t.net.mu.Lock()
			s.t.stats.Refused++
			t.net.mu.Unlock()
			return api.Errorf("transport.dial", api.Refused, "%w", err)
		}
	}
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	if t.sessions[other.self] == nil { // else two dialled at once
		t.net.open(p)
	}
	return nil
}

// Refresh implements transport.Transport: the peers hear of it at the next Step.
func (t *SimTransport) Refresh() {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for _, d := range slices.Sorted(maps.Keys(t.sessions)) {
		s := t.sessions[d]
		t.net.at(t.net.now, s.refresh)
	}
}

// refresh tells the other side what Local says now.
func (s *simSide) refresh() {
	n, t, o := s.t.net, s.t, s.other
	n.mu.Lock()
	idle := s.pipe.ended || t.isGone() || o.t.isGone()
	n.mu.Unlock()
	if idle {
		return
	}
	local := t.handler.Local()
	hello, err := travel(s.greet.Hello(local, t.Addresses()))
	if err == nil {
		err = o.greet.Meet(hello)
	}
	var p *transport.Peer
	if err == nil {
		var members *wire.Members
		if members, err = travel(s.greet.Members(local, t.handler.Proof(o.t.self))); err == nil {
			p, err = o.greet.Verify(members)
		}
	}
	if err == nil {
		p.Inbound, p.Since = o.peer.Inbound, o.peer.Since
		seen := *p
		err = o.t.handler.Admit(&seen)
	}
	if err != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.end(s.pipe, err.Error())
		return
	}
	n.mu.Lock()
	o.peer = p
	shared := s.greet.Shared()
	changed := !slices.Equal(shared, s.peer.Spaces)
	if changed {
		mine := *s.peer
		mine.Spaces = shared
		s.peer = &mine
	}
	n.mu.Unlock()
	o.tell()
	if changed {
		s.tell()
	}
}
