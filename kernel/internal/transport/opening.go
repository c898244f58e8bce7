package transport

import (
	"errors"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// handshake runs until the session counts on both sides, or returns why it does not.
func (s *session) handshake() error {
	n := s.n
	s.local = n.local.Load()
	local := n.handler.Local()
	if err := s.write(s.greet.Hello(local, n.Addresses())); err != nil {
		return err
	}
	hello, err := expect[*wire.Hello](s)
	if err != nil {
		return err
	}
	if err := s.greet.Meet(hello); err != nil {
		if api.KindOf(err) == api.Unsupported {
			return &ending{byeUpgrade, err}
		}
		return &ending{byeMalformed, err}
	}
	if err := n.room(s.node); err != nil {
		return err
	}
	members := s.greet.Members(local, n.handler.Proof(s.node))
	if n.self < s.node {
		if err := s.verify(); err != nil {
			return err
		}
		if err := n.claim(s); err != nil {
			return err
		}
		if err := s.write(members); err != nil {
			return err
		}
		ping, err := expect[*wire.Ping](s)
		if err == nil {
			err = s.write(&wire.Pong{Sent: ping.Sent})
		}
		return err
	}
	if !s.inbound && n.claimed(s.node) {
		return &ending{byeDuplicate, errDuplicate}
	}
	if err := s.write(members); err != nil {
		return err
	}
	if err := s.verify(); err != nil {
		return err
	}
	if err := n.claim(s); err != nil {
		return err
	}
	return s.write(&wire.Ping{Sent: uint64(n.elapsed().Microseconds())})
}

// verify reads the peer's Members, checks them and asks the handler.
func (s *session) verify() error {
	m, err := expect[*wire.Members](s)
	if err != nil {
		return err
	}
	p, err := s.greet.Verify(m)
	if err != nil {
		return &ending{byeMalformed, err}
	}
	p.Inbound, p.Since = s.inbound, s.n.opts.Now()
	s.peer.Store(p)
	return s.admit(p)
}

func (s *session) admit(p *Peer) error {
	err := s.n.handler.Admit(s.copyPeer(p))
	if err == nil {
		return nil
	}
	if api.KindOf(err) == api.Other {
		err = api.Errorf("transport.admit", api.Refused, "%w", err)
	}
	return &ending{byeRefused, err}
}

// write sends one frame of the handshake.
func (s *session) write(f wire.Frame) error {
	b, err := encodeFrame(f)
	if err != nil {
		return api.Wrap("transport.handshake", err)
	}
	if err := s.put(b); err != nil {
		return err
	}
	return lost(s.w.Flush())
}

func (s *session) put(b []byte) error {
	if _, err := s.w.Write(b); err != nil {
		return lost(err)
	}
	s.sent.Add(1)
	s.n.stats.framesSent.Add(1)
	s.n.stats.bytesSent.Add(uint64(len(b)))
	return nil
}

func (s *session) get(limit int) (wire.Frame, error) {
	f, n, err := readFrame(s.r, limit)
	if errors.Is(err, errMalformed) {
		return nil, &ending{byeMalformed, err}
	}
	if err != nil {
		return nil, lost(err)
	}
	s.received.Add(1)
	s.n.stats.framesReceived.Add(1)
	s.n.stats.bytesReceived.Add(uint64(n))
	s.heard.Store(int64(s.n.elapsed()))
	return f, nil
}

// expect reads one frame of the handshake; a Bye in its place is the peer's refusal.
func expect[F wire.Frame](s *session) (F, error) {
	var none F
	f, err := s.get(maxGreeting)
	if err != nil {
		return none, err
	}
	if want, ok := f.(F); ok {
		return want, nil
	}
	if bye, ok := f.(*wire.Bye); ok {
		return none, byeError(bye)
	}
	return none, &ending{byeMalformed, api.Errorf("transport.handshake", api.Invalid, "%T: want %T", f, none)}
}

func lost(err error) error {
	if err == nil {
		return nil
	}
	return api.Errorf("transport.session", api.Unavailable, "%w: %w", errLost, err)
}

// byeError turns the peer's words into an error.
func byeError(b *wire.Bye) error {
	kind := api.Unavailable
	switch b.Code {
	case byeDuplicate:
		return errDuplicate
	case byeUpgrade:
		kind = api.Unsupported
	case byeRefused, byeBarred:
		kind = api.Refused
	case byeMalformed:
		kind = api.Invalid
	}
	return &goodbye{b.Code, api.Errorf("transport.session", kind, "peer says %s: %s", printable(clip(b.Code)), printable(b.Reason))}
}

// printable drops what a peer's words could do to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// farewell returns the encoded Bye.
func farewell(code, reason string) []byte {
	if len(reason) > 512 {
		reason = reason[:512]
	}
	b, err := encodeFrame(&wire.Bye{Code: code, Reason: strings.ToValidUTF8(reason, "")})
	if err != nil {
		panic(err) // a Bye within its limits always encodes
	}
	return b
}

// refuse ends a session that did not come up.
func (s *session) refuse(err error) {
	var e *ending
	if !errors.As(err, &e) {
		s.stream.Reset()
		return
	}
	t := time.AfterFunc(linger, func() { s.stream.Reset() })
	defer t.Stop()
	if s.put(farewell(e.code, e.Error())) == nil && s.w.Flush() == nil && s.stream.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, s.r) // lets the peer read our Bye
	}
	s.stream.Reset()
}
