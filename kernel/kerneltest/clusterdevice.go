package kerneltest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// device returns the signer of a member with one of its devices, from 1.
func (c *Cluster) device(member string, number int) api.Signer {
	seed := fmt.Sprintf("cluster-%d", c.opt.Seed)
	if number == 1 {
		return identity.Derive(seed, member)
	}
	return identity.DeriveDevice(seed, member, strconv.Itoa(number))
}

// NextDevice returns a device of the node's member that nobody has used yet, always the same until Switch takes it into use.
func (n *Node) NextDevice() api.Signer {
	return n.c.device(n.Name, len(n.former)+2)
}

// Tab returns a further device of the node's member, which is never its primary one and may act on any node.
func (n *Node) Tab() api.Signer {
	return identity.DeriveDevice(fmt.Sprintf("cluster-%d", n.c.opt.Seed), n.Name, "tab")
}

// Switch takes the member's next device into use: the node stops and serves it from now on. The one before is the member's no more, but its key is
// still there: see Haunt.
func (n *Node) Switch() error {
	next := n.NextDevice()
	up := n.k != nil
	n.Stop()
	n.c.fault("device", "%s", n.Name)
	n.former = append(n.former, n.member)
	n.member = next
	if !up {
		return nil
	}
	return n.Start()
}

// Haunt lets who has the key of a device that the dishonest node's member used before sign a record after the last of that device which the node
// knows, of a kind and with the body of the newest one, and show it to some. It reports whether there was such a device.
func (n *Node) Haunt(kind string) bool {
	if len(n.former) == 0 {
		return false
	}
	s := n.former[n.c.Rand.IntN(len(n.former))]
	var last *api.Record
	for _, r := range n.Records() {
		if r.Device == s.Device() && r.Kind == kind && (last == nil || r.Seq > last.Seq) {
			last = r
		}
	}
	if last == nil {
		return false
	}
	after := follow(last)
	for _, h := range n.Heads(last.Topic) { // perhaps it has taken the cut into account
		if at := h.Tip; at.Feed != last.Feed && n.c.Rand.IntN(8) == 0 {
			after.Deps = []api.Position{at}
		}
	}
	raws := chain(after, s, 1+n.c.Rand.IntN(3))
	n.c.fault("lie-device", "%s, %d records of a device before", n.Name, len(raws))
	n.liar.push(last.Topic.Space, raws, nil)
	return true
}

// follow is the record that says the same as r once more, right after it.
func follow(r *api.Record) api.Record {
	next := *r
	next.Seq, next.Prev, next.Time, next.Auth = r.Seq+1, r.ID, r.Time+1, nil
	return next
}

// chain signs r and records after it with the same body, so many in all.
func chain(r api.Record, by api.Signer, length int) (raws [][]byte) {
	for range length {
		e, err := record.Sign(&r, by)
		if err != nil {
			panic(err) // a copy of a record that was signed before
		}
		raws = append(raws, e.Raw)
		r = follow(&r)
	}
	return raws
}

// Twisted is a pretended proof that a member has signed two records for one place.
type Twisted struct {
	Auth []byte // certifies the feed's device
	A, B []byte // envelopes, by id
}

// Twist makes a pretended proof against whom the dishonest node has heard records of: of one record and one that it has signed itself, or whose
// signature is another's, or of another place, or twice of the same. It is false when the node has heard nothing of others.
func (n *Node) Twist() (t Twisted, ok bool) {
	var seen []*record.Envelope
	for _, e := range n.liar.seen {
		if e.Device != n.member.Device() && !n.c.lies(e.Device) {
			seen = append(seen, e)
		}
	}
	if len(seen) == 0 {
		return t, false
	}
	rng := n.c.Rand
	a := seen[rng.IntN(len(seen))]
	b := a
	twin := *a.Record
	twin.Time++
	switch rng.IntN(4) {
	case 0: // the same place, with a signature of the liar's
		if e, err := record.Sign(&twin, stolen{n.member, a.Device}); err == nil {
			b = e
		}
	case 1: // the same place, with the signature of the first
		if e, err := record.Sign(&twin, stolen{n.member, a.Device}); err == nil {
			b, _ = record.Seal(e.Record, e.Signed, a.Signature)
		}
	case 2: // another place
		b = seen[rng.IntN(len(seen))]
	}
	es := []*record.Envelope{a, b}
	slices.SortFunc(es, func(a, b *record.Envelope) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	t = Twisted{A: es[0].Raw, B: es[1].Raw}
	for _, r := range n.Records() {
		if r.Feed == a.Feed && r.Seq == 1 {
			t.Auth = r.Auth
		}
	}
	return t, true
}

// lies reports whether a device is, or was, a dishonest node's member's.
func (c *Cluster) lies(device api.Key) bool {
	return slices.ContainsFunc(c.nodes, func(n *Node) bool { return n.liar != nil && n.Owns(device) })
}

// Device returns the public key of one of the devices of the node's member, from 1; 0 is the one in use.
func (n *Node) Device(number int) api.Key {
	if number == 0 || number > len(n.former) {
		return n.member.Device()
	}
	return n.former[number-1].Device()
}

// Owns reports whether a device is, or was, that of the node's member.
func (n *Node) Owns(device api.Key) bool {
	return n.member.Device() == device || slices.ContainsFunc(n.former, func(s api.Signer) bool { return s.Device() == device })
}

// stolen pretends to be another device than the one that signs.
type stolen struct {
	api.Signer
	device api.Key
}

func (s stolen) Device() api.Key { return s.device }

// claimFork makes of a head one that says the feed is forked.
func (l *liar) claimFork(h *wire.Head) {
	h.Fork = 1 + l.n.c.Rand.Uint64N(max(h.Seq, 1))
	h.Alt = [][]byte{l.bytes(32), l.bytes(32)}
	slices.SortFunc(h.Alt, bytes.Compare)
	l.n.c.faults["lie-fork-claim"]++
}
