package transport

import (
	"bufio"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// What tests of the package's own parts need.
var (
	EncodeFrame = encodeFrame
	PeerID      = peerID
	DIDOf       = didOf
)

const MaxControl = maxControl

func ReadFrame(r *bufio.Reader, limit int) (wire.Frame, int, error) { return readFrame(r, limit) }

func (o *Options) SetVersions(min, max uint16) { o.minVersion, o.maxVersion = min, max }
func (o *Options) SetService(name string)      { o.service = name }

func (n *Node) Found(info peer.AddrInfo) { (*discovery)(n).HandlePeerFound(info) }

func MultiAddr(a Address) (ma.Multiaddr, error) { return multiaddr(a.Host, a.Port) }

// Targets returns the nodes that the keeper knows.
func (n *Node) Targets() map[api.DID]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := map[api.DID]bool{}
	for d := range n.targets {
		out[d] = true
	}
	return out
}

// Raw dials node and returns a stream on which the test speaks for itself.
func (n *Node) Raw(address string) (*RawStream, error) {
	a, err := ParseAddress(address)
	if err != nil {
		return nil, err
	}
	info, err := addrInfo(a.Node, []string{address})
	if err != nil {
		return nil, err
	}
	if err := n.host.Connect(n.ctx, info); err != nil {
		return nil, err
	}
	s, err := n.host.NewStream(n.ctx, info.ID, protocolID)
	if err != nil {
		return nil, err
	}
	return &RawStream{Write: s.Write, Close: s.Reset, R: bufio.NewReader(s)}, nil
}

// RawStream is one end of a stream without a session.
type RawStream struct {
	Write func([]byte) (int, error)
	Close func() error
	R     *bufio.Reader
}

func IsMalformed(err error) bool { return errors.Is(err, errMalformed) }

// Queue is a queue with its methods exported.
type Queue struct{ *queue }

func NewQueue(frames, bytes int) Queue               { return Queue{newQueue(frames, bytes)} }
func (q Queue) Push(b []byte) bool                   { return q.push(b) }
func (q Queue) PushControl(bs ...[]byte) bool        { return q.pushControl(bs...) }
func (q Queue) Next(wait bool) (b []byte, more bool) { return q.next(wait) }
func (q Queue) Close(last []byte)                    { q.close(last) }
func (q Queue) Cap() int                             { return cap(q.frames) }
