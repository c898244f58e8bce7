package transport

import (
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Options configures a transport. EnsureDefaults fills what is zero, Validate checks the rest.
type Options struct {
	// Key is the node's own Ed25519 key, not a member's. Required.
	Key ed25519.PrivateKey
	// Listen lists host:port to listen on: IP addresses only, port 0 for any free one. Empty: the node dials out only.
	Listen []string
	// Announce lists further host:port under which peers reach this node, e.g. a DNS name or a forwarded port. They come first in Addresses.
	Announce []string
	// MDNS finds nodes in the local network and is found by them. Failure to start it is logged, not fatal.
	MDNS bool
	// Bootstrap lists addresses that are dialled from the start and kept.
	Bootstrap []string
	// MaxPeers bounds sessions. Default 100, at most 10,000.
	MaxPeers int
	// TargetPeers is how many sessions peer exchange aims at: below it learned addresses are dialled. Default the lesser of 8 and half of
	// MaxPeers; negative switches peer exchange off.
	TargetPeers int
	// Heartbeat is the time between Pings; a peer silent for three of them is gone. Default 30 s, at least 10 ms.
	Heartbeat time.Duration
	// HandshakeTimeout bounds a dial and a handshake. Default 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes bounds handshakes that others opened and that are not finished. Default 64.
	MaxHandshakes int
	// RetryMin and RetryMax bound the time between attempts at a kept peer, which doubles and is jittered. Default 1 s and 30 s.
	RetryMin, RetryMax time.Duration
	// QueueFrames and QueueBytes bound what waits for one peer. Default 512 frames and 16 MiB; QueueBytes is at least wire.MaxFrame.
	QueueFrames, QueueBytes int
	// Build is the software's name and version as peers see it. Default "icn".
	Build string
	// Logger takes what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time

	// Versions spoken, for tests of negotiation.
	minVersion, maxVersion uint16
	// service is the mDNS service name, for tests that must not meet other nodes of the machine.
	service string
}

// EnsureDefaults fills zero fields.
func (o *Options) EnsureDefaults() {
	def := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	defTime := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	def(&o.MaxPeers, 100)
	def(&o.TargetPeers, max(1, min(8, o.MaxPeers/2)))
	def(&o.MaxHandshakes, 64)
	def(&o.QueueFrames, 512)
	def(&o.QueueBytes, 16*wire.MaxFrame)
	defTime(&o.Heartbeat, 30*time.Second)
	defTime(&o.HandshakeTimeout, 10*time.Second)
	defTime(&o.RetryMin, time.Second)
	defTime(&o.RetryMax, 30*time.Second)
	if o.Build == "" {
		o.Build = "icn"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.maxVersion == 0 {
		o.minVersion, o.maxVersion = wire.MinVersion, wire.Version
	}
	if o.service == "" {
		o.service = "_icn-node._udp"
	}
}

// Validate reports the first field that cannot be used. It expects defaults to be filled in.
func (o *Options) Validate() error {
	bad := func(format string, args ...any) error {
		return api.Errorf("transport.options", api.Invalid, format, args...)
	}
	switch {
	case len(o.Key) != ed25519.PrivateKeySize:
		return bad("key of %d bytes: want an Ed25519 private key of %d", len(o.Key), ed25519.PrivateKeySize)
	case o.MaxPeers < 1 || o.MaxPeers > 10_000:
		return bad("max peers %d: want 1 to 10000", o.MaxPeers)
	case o.Heartbeat < 10*time.Millisecond:
		return bad("heartbeat %v: want 10ms or more", o.Heartbeat)
	case o.HandshakeTimeout < 10*time.Millisecond:
		return bad("handshake timeout %v: want 10ms or more", o.HandshakeTimeout)
	case o.MaxHandshakes < 1:
		return bad("max handshakes %d: want 1 or more", o.MaxHandshakes)
	case o.RetryMin < time.Millisecond || o.RetryMax < o.RetryMin:
		return bad("retry %v to %v: want a range from 1ms upwards", o.RetryMin, o.RetryMax)
	case o.QueueFrames < 1:
		return bad("queue of %d frames: want 1 or more", o.QueueFrames)
	case o.QueueBytes < wire.MaxFrame:
		return bad("queue of %d bytes: want %d or more", o.QueueBytes, wire.MaxFrame)
	case len(o.Build) > wire.MaxText:
		return bad("build of %d bytes: at most %d", len(o.Build), wire.MaxText)
	case len(o.Listen) > 16 || len(o.Announce) > 16:
		return bad("%d listen and %d announced addresses: at most 16 each", len(o.Listen), len(o.Announce))
	case len(o.Bootstrap) > maxTargets:
		return bad("%d bootstrap peers: at most %d", len(o.Bootstrap), maxTargets)
	}
	for _, l := range o.Listen {
		if host, _, why := parseHostPort(l); why != "" {
			return bad("listen %q: %s", clip(l), why)
		} else if hostName(host) {
			return bad("listen %q: want an IP address, not a name", clip(l))
		}
	}
	for _, l := range o.Announce {
		host, port, why := parseHostPort(l)
		if why == "" {
			why = undialable(host, port)
		}
		if why != "" {
			return bad("announce %q: %s", clip(l), why)
		}
	}
	for _, b := range o.Bootstrap {
		if _, err := ParseAddress(b); err != nil {
			return bad("bootstrap: %w", err)
		}
	}
	return nil
}
