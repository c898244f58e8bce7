package transport

import (
	"bytes"
	"crypto/sha256"
	"log/slog"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// Greeting is one side's part of a handshake: it builds what this node says and checks what the other says. It does no I/O; sessions and the
// simulated network drive it in the same way:
//
//	send Hello; Meet(their Hello); send Members; Verify(their Members)
//
// Which node's Members comes first, and what that decides, is in session.go. A refresh repeats Hello and Members on the open session with
// the nonces of its start, so both sides may refresh at once.
//
// Signatures cover "icn-session", signer's nonce, verifier's nonce, signer's node key, verifier's node key: fresh on both sides, of no use
// with any other pair of nodes, and not to be reflected.
type Greeting struct {
	self, peer       api.DID
	selfKey, peerKey api.Key
	min, max         uint16
	build            string
	nonce, theirs    []byte
	log              *slog.Logger
	hello            *wire.Hello // the other side's last
	spaces           map[api.Hash]api.Hash
}

// NewGreeting starts a handshake between the nodes self and peer. nonce is 32 fresh random bytes.
func NewGreeting(self, peer api.DID, build string, nonce []byte, log *slog.Logger) (*Greeting, error) {
	sk, err := record.ParseDID(string(self))
	if err != nil {
		return nil, err
	}
	pk, err := record.ParseDID(string(peer))
	if err != nil {
		return nil, err
	}
	if self == peer {
		return nil, api.Errorf("transport.handshake", api.Invalid, "node %s is this node itself", peer)
	}
	return newGreeting(self, peer, sk, pk, build, nonce, log), nil
}

// newGreeting is NewGreeting for two nodes that are known to differ and whose keys have been checked.
func newGreeting(self, peer api.DID, selfKey, peerKey api.Key, build string, nonce []byte, log *slog.Logger) *Greeting {
	return &Greeting{
		self: self, peer: peer, selfKey: selfKey, peerKey: peerKey, min: wire.MinVersion, max: wire.Version, build: build, nonce: nonce, log: log,
	}
}

// Hello returns this side's Hello and remembers which spaces it speaks of.
func (g *Greeting) Hello(local Local, addresses []string) *wire.Hello {
	h := &wire.Hello{
		Min: g.min, Max: g.max, Build: g.build, Nonce: g.nonce,
		Features: local.Features, Addresses: addresses[:min(len(addresses), 16)],
	}
	if len(local.Spaces) > wire.MaxSpaces {
		g.log.Warn("more spaces than a hello can carry", "spaces", len(local.Spaces), "told", wire.MaxSpaces)
	}
	g.spaces = make(map[api.Hash]api.Hash, len(local.Spaces))
	for _, s := range local.Spaces[:min(len(local.Spaces), wire.MaxSpaces)] {
		salted := SaltSpace(g.selfKey, g.peerKey, s)
		g.spaces[salted] = s
		h.Spaces = append(h.Spaces, salted[:])
	}
	// In order of hash, which says nothing about the order in which the spaces were joined.
	slices.SortFunc(h.Spaces, bytes.Compare)
	return h
}

// Meet checks the other side's Hello. Unsupported: the versions do not meet. Invalid: the peer broke the protocol.
func (g *Greeting) Meet(h *wire.Hello) error {
	if g.theirs != nil && !bytes.Equal(g.theirs, h.Nonce) {
		return api.Errorf("transport.handshake", api.Invalid, "the nonce changed within the session")
	}
	if bytes.Equal(g.nonce, h.Nonce) {
		return api.Errorf("transport.handshake", api.Invalid, "our own nonce came back")
	}
	if h.Max < g.min || g.max < h.Min {
		return api.Errorf("transport.handshake", api.Unsupported,
			"no common protocol version: %s (%q) speaks %d to %d, %s (%q) speaks %d to %d; upgrade the older one",
			g.peer, h.Build, h.Min, h.Max, g.self, g.build, g.min, g.max)
	}
	g.theirs, g.hello = h.Nonce, h
	return nil
}

// Version returns the highest protocol version that both sides speak. Call it after Meet.
func (g *Greeting) Version() uint16 { return min(g.max, g.hello.Max) }

// Members returns this side's proof of the devices it serves. Call it after Meet. A device that cannot sign now (a locked key) is left out.
func (g *Greeting) Members(local Local, proof []byte) *wire.Members {
	m := &wire.Members{Proof: proof}
	if len(proof) > wire.MaxProof {
		g.log.Warn("proof is too long to be shown", "bytes", len(proof), "max", wire.MaxProof)
		m.Proof = nil
	}
	said := signedWords(g.nonce, g.theirs, g.selfKey, g.peerKey)
	for _, s := range local.Members {
		if len(m.Served) == wire.MaxMembers {
			g.log.Warn("more devices than a handshake can carry", "devices", len(local.Members), "told", wire.MaxMembers)
			break
		}
		sig, err := s.Sign(said)
		if err != nil {
			g.log.Warn("device cannot sign the session", "member", s.DID(), "device", s.Device(), "err", err)
			continue
		}
		m.Served = append(m.Served, wire.Served{Auth: s.Auth(), Signature: sig})
	}
	return m
}

// Verify checks the other side's Members and returns the peer as its Hello and Members show it. Call it after Meet and Hello.
func (g *Greeting) Verify(m *wire.Members) (*Peer, error) {
	p := &Peer{
		Node: g.peer, Proof: m.Proof, Build: printable(g.hello.Build), Features: g.hello.Features, Version: g.Version(),
		Spaces: g.Shared(), Addresses: g.addresses(),
	}
	said := signedWords(g.theirs, g.nonce, g.peerKey, g.selfKey)
	for i, s := range m.Served {
		ke, err := record.ParseAuth(s.Auth)
		if err != nil {
			return nil, api.Errorf("transport.handshake", api.Invalid, "served device %d: %w", i, err)
		}
		if !record.Verify(ke.Device, said, s.Signature) {
			return nil, api.Errorf("transport.handshake", api.Invalid, "served device %d: signature over the session does not fit", i)
		}
		member := Member{DID: ke.DID, Device: ke.Device}
		if slices.Contains(p.Members, member) {
			return nil, api.Errorf("transport.handshake", api.Invalid, "served device %d: listed twice", i)
		}
		p.Members = append(p.Members, member)
	}
	return p, nil
}

// Shared returns which of this side's spaces the peer's last Hello named, ascending.
func (g *Greeting) Shared() []api.Hash {
	var shared []api.Hash
	for _, h := range g.hello.Spaces {
		if s, ok := g.spaces[api.Hash(h)]; ok {
			shared = append(shared, s)
		}
	}
	slices.SortFunc(shared, api.Hash.Compare)
	return slices.Compact(shared)
}

// addresses returns those of the peer's addresses that are its own and well formed.
func (g *Greeting) addresses() []string {
	var as []string
	for _, s := range g.hello.Addresses {
		if a, why := parts(s); why == "" && a.Node == g.peer {
			as = append(as, s)
		}
	}
	return as
}

// SaltSpace hides a space id for one pair of nodes: SHA-256("icn-space" | lower node key | higher node key | space).
func SaltSpace(a, b api.Key, space api.Hash) api.Hash {
	if bytes.Compare(a[:], b[:]) > 0 {
		a, b = b, a
	}
	buf := append([]byte("icn-space"), a[:]...)
	buf = append(buf, b[:]...)
	return sha256.Sum256(append(buf, space[:]...))
}

// signedWords is what a served device signs.
func signedWords(signerNonce, verifierNonce []byte, signer, verifier api.Key) []byte {
	return slices.Concat([]byte("icn-session"), signerNonce, verifierNonce, signer[:], verifier[:])
}
