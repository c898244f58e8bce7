package kerneltest

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// tapHandler stands between the network and a node's kernel: a liar listens here, and planted faults lose what the kernel would take.
type tapHandler struct {
	transport.Handler
	n *Node
}

// Frame implements transport.Handler.
func (t *tapHandler) Frame(from api.DID, f wire.Frame) {
	if t.n.liar != nil {
		t.n.liar.hear(from, f)
	}
	t.Handler.Frame(from, t.n.filter.pass(f))
}

// tapTransport stands between a node's kernel and the network: a liar holds back or changes here what its kernel says.
type tapTransport struct {
	*SimTransport
	n *Node
}

// Send implements transport.Transport.
func (t *tapTransport) Send(to api.DID, f wire.Frame) error {
	if t.n.liar != nil {
		if f = t.n.liar.say(f); f == nil {
			return nil
		}
	}
	return t.SimTransport.Send(to, f)
}

// filter is the planted fault of a node, if it has one.
type filter struct {
	byID, drops bool
	verifier    *record.Verifier
	refused     map[api.Hash]bool
}

func newFilter(n *Node) *filter {
	p := n.c.opt.Plant
	return &filter{byID: p.RefusalByID == n.Name, drops: p.GateDrops == n.Name, verifier: record.NewVerifier(64), refused: map[api.Hash]bool{}}
}

// pass returns what a planted fault leaves of a frame.
func (x *filter) pass(f wire.Frame) wire.Frame {
	if !x.byID && !x.drops {
		return f
	}
	switch f := f.(type) {
	case *wire.Push:
		c := *f
		if c.Envelopes = x.keep(f.Envelopes); len(c.Envelopes) == 0 {
			return &wire.Graft{Space: f.Space} // a frame without consequence
		}
		return &c
	case *wire.Records:
		c := *f
		c.Envelopes = x.keep(f.Envelopes)
		return &c
	}
	return f
}

func (x *filter) keep(raws [][]byte) (kept [][]byte) {
	for _, raw := range raws {
		e, err := record.Decode(raw)
		if err != nil {
			kept = append(kept, raw)
			continue
		}
		if x.byID && !x.verifier.Verify([]*record.Envelope{e})[0] {
			x.refused[e.ID] = true
		}
		if x.refused[e.ID] || x.drops && e.ID[0]%8 == 0 {
			continue
		}
		kept = append(kept, raw)
	}
	return kept
}
