package kerneltest

import (
	"fmt"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// Forge signs a record for the place after prev of the dishonest node's own feed in d's topic, taken or not, zero for the first, and shows it to the
// given nodes, as far as there are sessions with them. Nothing is checked, and the node's own kernel does not hear of it.
func (n *Node) Forge(d api.Draft, prev api.Position, to ...*Node) (api.Position, error) {
	at := api.MakeTimestamp(n.Now().UnixMilli(), 0)
	for _, r := range n.liar.own() {
		if r.Position() == prev {
			at = max(at, r.Time+1)
		}
	}
	r := &api.Record{Version: record.Version, Topic: d.Topic, Seq: prev.Seq + 1, Prev: prev.ID, Time: at, Deps: d.Deps, Kind: d.Kind, Body: d.Body}
	if r.Seq == 1 {
		r.Auth = n.member.Auth()
	}
	e, err := record.Sign(r, n.member)
	if err != nil {
		return api.Position{}, fmt.Errorf("%s forges: %w", n.Name, err)
	}
	n.c.fault("lie-forge", "%s %s %d of %s to %s", n.Name, d.Kind, r.Seq, d.Topic.Name, nodeNames(to))
	for _, t := range to {
		_ = n.net.Send(t.DID(), &wire.Push{Space: d.Topic.Space[:], Envelopes: [][]byte{e.Raw}}) // no session is as good as a lost frame
	}
	return r.Position(), nil
}

func nodeNames(ns []*Node) (names []string) {
	for _, n := range ns {
		names = append(names, n.Name)
	}
	return names
}

// Mute makes the node keep from its peers what its own member writes in a topic, or with "*" all records whoever wrote them; "" ends that.
func (n *Node) Mute(topic string) {
	n.liar.modes.mute = topic
	n.c.fault("lie-mute", "%s %q", n.Name, topic)
}

// muted leaves out of a frame what the node keeps to itself, and reports whether something is left.
func (l *liar) muted(f wire.Frame) (wire.Frame, bool) {
	keep := func(raws [][]byte) [][]byte {
		return slices.DeleteFunc(slices.Clone(raws), func(raw []byte) bool {
			e, err := record.Decode(raw)
			own := l.modes.mute == "*" || err == nil && e.Device == l.n.member.Device() && e.Topic.Name == l.modes.mute
			if own {
				l.n.c.faults["lie-muted"]++
			}
			return own
		})
	}
	switch f := f.(type) {
	case *wire.Push:
		c := *f
		c.Envelopes = keep(f.Envelopes)
		return &c, len(c.Envelopes) > 0
	case *wire.Records:
		c := *f
		c.Envelopes = keep(f.Envelopes)
		return &c, true
	}
	return f, true
}
