package kernel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/transport"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Local implements transport.Handler.
func (n *network) Local() transport.Local {
	return transport.Local{Spaces: n.k.follows.list(), Members: []api.Signer{n.k.opt.Identity.Signer()}, Features: []string{featureLetters}}
}

// Proof implements transport.Handler.
func (n *network) Proof(peer api.DID) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proofs[peer]
}

// Admit implements transport.Handler: the rate domain's oracle says whether any member that the peer serves, or the node itself, may connect.
func (n *network) Admit(p *transport.Peer) error { return n.told(p, "connect", n.admit(p)) }

// told remembers what was refused to a peer, and gives it the name by which it can ask, or have asked, why.
func (n *network) told(p *transport.Peer, action string, err error) error {
	err = n.k.refused(nodeFirst(p), true, action, n.k.opt.RateDomain, err)
	if id := api.RefusalOf(err); id != "" {
		return &api.Error{Op: action, Kind: api.Refused, Reason: api.ReasonOf(err), Refusal: id, Err: fmt.Errorf("%w [%s]", errors.Unwrap(err), id)}
	}
	return err
}

func (n *network) admit(p *transport.Peer) error {
	if err := n.k.guard.connect(p.Node); err != nil {
		return err
	}
	if n.k.opt.RateDomain == "" {
		return nil
	}
	why := &api.Reason{Domain: n.k.opt.RateDomain, Rule: "denied", Text: "no oracle admits this peer"}
	for _, who := range actors(p) {
		d := n.k.oracles.Evaluate(api.Request{Domain: n.k.opt.RateDomain, Actor: who, Action: "connect"})
		if d.Effect == api.Allow {
			return nil
		}
		why = cmp.Or(d.Reason, why)
	}
	return api.Refusal("connect", why)
}

func actors(p *transport.Peer) []api.DID {
	var ds []api.DID
	for _, m := range p.Members {
		ds = append(ds, m.DID)
	}
	return append(ds, p.Node)
}

// nodeFirst lists a peer and whom it speaks for, the node first.
func nodeFirst(p *transport.Peer) []api.DID {
	ds := actors(p)
	return append(ds[len(ds)-1:], ds[:len(ds)-1]...)
}

// Up implements transport.Handler.
func (n *network) Up(p *transport.Peer) {
	n.post(func(now time.Time) { n.up(now, p) })
	n.letters.post(context.Background(), func(now time.Time) { n.letters.up(now, p) })
}

// mute reports whether there is a session with a node whose software takes no letters.
func (n *network) mute(node api.DID) bool {
	return slices.ContainsFunc(n.t.Peers(), func(p transport.Peer) bool { return p.Node == node && !slices.Contains(p.Features, featureLetters) })
}

func (n *network) up(now time.Time, p *transport.Peer) {
	if n.peers[p.Node] == nil { // it is told again when the spaces change
		n.log.Info("peer is up", "peer", p.Node, "inbound", p.Inbound, "build", p.Build)
		n.k.events.tell(peerUp, api.Hash{}, "", &PeerData{Node: p.Node})
	}
	n.peers[p.Node] = p
	delete(n.shared, p.Node)
	n.share(now, p)
}

// share tells gossip which spaces a peer may have: those both follow and the access domain's oracle allows to a member it serves.
func (n *network) share(now time.Time, p *transport.Peer) {
	var spaces []api.Hash
	closed := map[api.Hash]*api.Reason{}
	for _, s := range p.Spaces {
		if !n.k.follows.has(s) {
			continue
		}
		if closed[s] = n.barred(p, s); closed[s] == nil {
			spaces = append(spaces, s)
		}
	}
	had, known := n.shared[p.Node]
	if known && slices.Equal(had, spaces) {
		return
	}
	n.shared[p.Node] = spaces
	for _, s := range p.Spaces {
		if why := closed[s]; why != nil {
			_ = n.k.refused(nodeFirst(p), true, "follow", n.k.opt.AccessDomain, api.Refusal("follow", why)) // a peer learns it by asking
		}
	}
	rank := 0.0
	if r, ok := api.Lookup[api.Ranker](&n.k.services); ok {
		for _, m := range p.Members {
			rank = max(rank, r.Rank(m.DID))
		}
	}
	n.core.PeerUp(now, p.Node, spaces, rank)
}

func (n *network) allowed(p *transport.Peer, space api.Hash) bool { return n.barred(p, space) == nil }

// barred says why a peer may not have a space; nil when it may.
func (n *network) barred(p *transport.Peer, space api.Hash) *api.Reason {
	why := &api.Reason{
		Domain: "kernel", Rule: "no-member", Text: "the peer serves nobody who could be asked about", Inputs: map[string]string{"space": space.String()},
		Remedy: "connect a node that serves a member of the space",
	}
	if n.k.opt.AccessDomain == "" {
		why.Rule, why.Text, why.Remedy = "closed", "this node shares no space with anybody", "ask another node that follows the space"
		return why
	}
	if d := n.k.guard.follow(p.Node, space); d.Effect != api.Allow {
		return about(d.Reason, space)
	}
	for _, m := range p.Members {
		d := n.k.oracles.Evaluate(api.Request{Domain: n.k.opt.AccessDomain, Actor: m.DID, Action: "follow", Topic: api.Topic{Space: space}, Proofs: p.Proof})
		if d.Effect == api.Allow {
			return nil
		}
		why = about(d.Reason, space)
	}
	return why
}

// about adds the space to a reason that may be shared.
func about(r *api.Reason, space api.Hash) *api.Reason {
	out := *r
	if out.Inputs = maps.Clone(r.Inputs); out.Inputs == nil {
		out.Inputs = map[string]string{}
	}
	out.Inputs["space"] = space.String()
	return &out
}

// Frame implements transport.Handler.
func (n *network) Frame(node api.DID, f wire.Frame) {
	if l, ok := f.(*wire.Letter); ok {
		n.letters.post(context.Background(), func(now time.Time) { n.letters.core.Receive(now, node, l.Envelope) })
		return
	}
	if !n.mayPush(node, f) {
		return
	}
	n.post(func(now time.Time) { n.core.Frame(now, node, f) })
}

// Down implements transport.Handler.
func (n *network) Down(node api.DID, err error) {
	n.log.Info("peer is down", "peer", node, "why", err)
	n.k.events.tell(peerDown, api.Hash{}, "", &PeerData{Node: node, Why: clipText(fmt.Sprint(err))})
	n.post(func(now time.Time) {
		delete(n.peers, node)
		delete(n.shared, node)
		n.core.PeerDown(now, node)
	})
	n.letters.post(context.Background(), func(time.Time) { n.letters.down(node) })
}

// Bad implements transport.Handler.
func (n *network) Bad(node api.DID, reason string) { n.bad(transportKind(reason), node, 1, reason) }
