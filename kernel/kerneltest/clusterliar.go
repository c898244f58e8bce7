package kerneltest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/internal/wire"
	"github.com/intercooperative/icn/kernel/record"
)

// liar is what makes a node dishonest: its kernel is the production one, and beside it, with the same keys and sessions, it says what no honest
// node says. Everything is built of real records and frames.
type liar struct {
	n      *Node
	modes  modes
	frames []wire.Frame       // heard lately
	seen   []*record.Envelope // heard lately
	made   int                // strangers made up
}

// modes are lies that go on until they are ended.
type modes struct {
	withhold bool   // pass on hardly anything
	poison   bool   // hurry ahead of honest records with copies that have a bad signature
	boast    bool   // claim to have what nobody has
	mute     string // keep to itself what its own member writes in this topic, "" for none, or "*": all records
}

// heardMost bounds what a liar remembers, of frames and of records.
const heardMost = 256

// Corrupt makes the node dishonest. What it does then are its Lies.
func (n *Node) Corrupt() { n.liar = &liar{n: n} }

func (l *liar) begin() { l.frames, l.seen = nil, nil }

// hear remembers what comes in.
func (l *liar) hear(from api.DID, f wire.Frame) {
	l.frames = remember(l.frames, f)
	p, ok := f.(*wire.Push)
	if !ok {
		return
	}
	for _, raw := range p.Envelopes {
		e, err := record.Decode(raw)
		if err != nil {
			continue
		}
		l.seen = remember(l.seen, e)
		if l.modes.poison {
			l.poison(e, from)
		}
	}
}

func remember[T any](list []T, x T) []T {
	if len(list) == heardMost {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, x)
}

// say returns what becomes of a frame that the kernel sends, nil for nothing.
func (l *liar) say(f wire.Frame) wire.Frame {
	r := l.n.c.Rand
	if l.modes.withhold && r.IntN(8) > 0 {
		switch f.(type) {
		case *wire.Push, *wire.Records, *wire.Have, *wire.Heads:
			l.n.c.faults["lie-withheld"]++
			return nil
		}
	}
	if l.modes.mute != "" {
		var left bool
		if f, left = l.muted(f); !left {
			return nil
		}
	}
	if !l.modes.boast {
		return f
	}
	switch f := f.(type) {
	case *wire.Heads:
		c := *f
		c.Heads = slices.Clone(f.Heads)
		for i := range c.Heads {
			if r.IntN(2) == 0 {
				c.Heads[i].Seq += 1 + r.Uint64N(1000)
				c.Heads[i].ID = l.bytes(32)
			}
			if r.IntN(4) == 0 {
				l.claimFork(&c.Heads[i])
			}
		}
		l.n.c.faults["lie-heads"]++
		return &c
	case *wire.Digest:
		c := *f
		c.Sum = l.bytes(16)
		l.n.c.faults["lie-digest"]++
		return &c
	}
	return f
}

func (l *liar) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(l.n.c.Rand.Uint32())
	}
	return b
}

// push sends envelopes of a space to some of the peers, at least one if there is one.
func (l *liar) push(space api.Hash, raws [][]byte, fit func(api.DID) bool) {
	if len(raws) == 0 {
		return
	}
	peers := slices.DeleteFunc(l.peers(), func(d api.DID) bool { return fit != nil && !fit(d) })
	r := l.n.c.Rand
	r.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	for _, p := range peers[:min(len(peers), 1+r.IntN(max(len(peers), 1)))] {
		_ = l.n.net.Send(p, &wire.Push{Space: space[:], Envelopes: raws}) // a full queue is as good as a lost frame
	}
}

// peers are those whom the liar lies to. It leaks nothing to outsiders: no gate of others could prevent that.
func (l *liar) peers() (ds []api.DID) {
	for _, p := range l.n.net.Peers() {
		if !l.n.c.outsider(p.Node) {
			ds = append(ds, p.Node)
		}
	}
	return ds
}

// poison sends copies of a record with a bad signature to others than whom it came from.
func (l *liar) poison(e *record.Envelope, from api.DID) {
	sig := slices.Clone(e.Signature)
	sig[l.n.c.Rand.IntN(32)] ^= 1 << l.n.c.Rand.IntN(8)
	bad, err := record.Seal(e.Record, e.Signed, sig)
	if err != nil {
		return
	}
	l.n.c.faults["lie-poison"]++
	l.push(e.Topic.Space, [][]byte{bad.Raw}, func(d api.DID) bool { return d != from })
}

// own returns the records of the liar's own member.
func (l *liar) own() []*api.Record {
	return slices.DeleteFunc(slices.Clone(l.n.Records()), func(r *api.Record) bool { return r.Device != l.n.member.Device() || record.Founds(r) })
}

// Equivocate signs another record for a place of the node's own feeds that is taken, and up to two that follow it, and shows them to some.
// Topic names where, "" anywhere. It reports whether there was such a place.
func (n *Node) Equivocate(topic string) bool {
	l := n.liar
	own := slices.DeleteFunc(l.own(), func(r *api.Record) bool { return topic != "" && r.Topic.Name != topic })
	if len(own) == 0 {
		return false
	}
	at := own[n.c.Rand.IntN(len(own))]
	twin := *at
	twin.Time++
	for _, r := range own { // the body of another record of its kind, if there is one
		if r.Feed == at.Feed && r.Kind == at.Kind && r.ID != at.ID && n.c.Rand.IntN(2) == 0 {
			twin.Body = r.Body
		}
	}
	raws := chain(twin, n.member, 1+n.c.Rand.IntN(3))
	n.c.fault("lie-equivocate", "%s at %d of %s, %d records", n.Name, at.Seq, at.Topic.Name, len(raws))
	l.push(at.Topic.Space, raws, nil)
	return true
}

// Fork signs other records for a place of the node's own feed in a topic, each with the body of the record at seq like, and shows them to the given
// nodes only, as far as there are sessions with them.
func (n *Node) Fork(topic string, seq, like uint64, branches int, to ...*Node) error {
	var at, body *api.Record
	for _, r := range n.liar.own() {
		if r.Topic.Name == topic && r.Seq == seq && at == nil {
			at = r
		}
		if r.Topic.Name == topic && r.Seq == like && body == nil {
			body = r
		}
	}
	if at == nil || body == nil {
		return fmt.Errorf("%s has no records %d and %d in %s", n.Name, seq, like, topic)
	}
	var raws [][]byte
	for i := range branches {
		twin := *at
		twin.Body = body.Body
		twin.Time += api.Timestamp(i + 1)
		raws = append(raws, chain(twin, n.member, 1)...)
	}
	n.c.fault("lie-fork", "%s at %d of %s, %d branches", n.Name, seq, topic, branches)
	for some := range slices.Chunk(raws, 64) {
		for _, t := range to {
			if err := n.net.Send(t.DID(), &wire.Push{Space: at.Topic.Space[:], Envelopes: some}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Repeat makes the body of the node's newest record of a kind the next record of its feed, so many times, and submits it: what no operation would
// do once the rules forbid it.
func (n *Node) Repeat(kind string, times int) bool {
	own := slices.DeleteFunc(n.liar.own(), func(r *api.Record) bool { return r.Kind != kind })
	if len(own) == 0 {
		return false
	}
	r := follow(own[len(own)-1])
	var in struct {
		Records []string `json:"records"`
	}
	for _, raw := range chain(r, n.member, times) {
		in.Records = append(in.Records, base64.StdEncoding.EncodeToString(raw))
	}
	n.c.fault("lie-repeat", "%s %s %d times", n.Name, kind, times)
	_, err := n.Call(context.Background(), "record.submit", in)
	return err == nil
}

// Replay sends frames heard lately to anybody.
func (n *Node) Replay() {
	l := n.liar
	peers := l.peers()
	if len(peers) == 0 || len(l.frames) == 0 {
		return
	}
	n.c.fault("lie-replay", "%s", n.Name)
	for range 8 {
		_ = n.net.Send(peers[n.c.Rand.IntN(len(peers))], l.frames[n.c.Rand.IntN(len(l.frames))])
	}
}

// Flood pushes records by strangers, records that wait for what does not exist, and bytes that are no records.
func (n *Node) Flood(topic api.Topic, kind string) {
	l := n.liar
	n.c.fault("lie-flood", "%s", n.Name)
	var raws [][]byte
	now := api.MakeTimestamp(n.Now().UnixMilli(), 0)
	for range 8 {
		l.made++
		stranger := identity.Derive(fmt.Sprintf("flood-%d-%s", n.c.opt.Seed, n.Name), fmt.Sprint(l.made))
		first := &api.Record{Version: record.Version, Topic: topic, Seq: 1, Time: now, Kind: kind, Auth: stranger.Auth(), Body: l.bytes(40)}
		gap := &api.Record{Version: record.Version, Topic: topic, Seq: 2 + n.c.Rand.Uint64N(9), Prev: api.Hash(l.bytes(32)), Time: now, Kind: kind, Body: l.bytes(40)}
		cites := &api.Record{
			Version: record.Version, Topic: topic, Seq: 1, Time: now, Kind: kind, Auth: stranger.Auth(), Body: l.bytes(40),
			Deps: []api.Position{{Feed: api.Hash(l.bytes(32)), Seq: 1, ID: api.Hash(l.bytes(32))}},
		}
		for _, r := range []*api.Record{first, gap, cites} {
			if e, err := record.Sign(r, stranger); err == nil {
				raws = append(raws, e.Raw)
			}
		}
	}
	raws = append(raws, l.bytes(1+n.c.Rand.IntN(200)))
	l.push(topic.Space, raws, nil)
}

// badKeys are device keys that no record may have: points of small order and a spelling that is not canonical.
func badKeys() [][]byte {
	neutral := make([]byte, 32)
	neutral[0] = 1
	order4 := make([]byte, 32)
	loose := bytes.Repeat([]byte{0xff}, 32)
	loose[0], loose[31] = 0xee, 0x7f // p + 1: the neutral element, spelled otherwise
	return [][]byte{neutral, order4, loose}
}

// SpellKeys pushes copies of records whose device key is spelled in a way that no key may be, or has small order.
func (n *Node) SpellKeys() {
	l := n.liar
	if len(l.seen) == 0 {
		return
	}
	n.c.fault("lie-keys", "%s", n.Name)
	e := l.seen[n.c.Rand.IntN(len(l.seen))]
	var raws [][]byte
	for _, k := range badKeys() {
		raws = append(raws, bytes.Replace(bytes.Clone(e.Raw), e.Device[:], k, 1))
	}
	l.push(e.Topic.Space, raws, nil)
}

// Poison sends copies with a bad signature of records heard lately, and with always set, of all that are heard from now on.
func (n *Node) Poison(always bool) {
	l := n.liar
	l.modes.poison = always
	n.c.fault("lie-poisoning", "%s %t", n.Name, always)
	for range min(4, len(l.seen)) {
		l.poison(l.seen[n.c.Rand.IntN(len(l.seen))], "")
	}
}

// Postdate submits a record of the node's own that is dated ahead.
func (n *Node) Postdate(ahead time.Duration) bool {
	own := n.liar.own()
	if len(own) == 0 {
		return false
	}
	r := *own[len(own)-1]
	r.Seq, r.Prev, r.Auth = r.Seq+1, r.ID, nil
	r.Time = api.MakeTimestamp(n.Now().Add(ahead).UnixMilli(), 0)
	n.c.sees(n.Now().Add(ahead))
	n.c.fault("lie-postdate", "%s by %v", n.Name, ahead)
	n.liar.push(r.Topic.Space, chain(r, n.member, 1), nil)
	return true
}

// Withhold makes the node pass on hardly anything, or ends that.
func (n *Node) Withhold(on bool) {
	n.liar.modes.withhold = on
	n.c.fault("lie-withhold", "%s %t", n.Name, on)
}

// Boast makes the node claim what nobody has, or ends that.
func (n *Node) Boast(on bool) {
	n.liar.modes.boast = on
	n.c.fault("lie-boast", "%s %t", n.Name, on)
}

// Lies are the actions of dishonest nodes in a space and topic with records of a kind.
func Lies(topic func() api.Topic, kind string) []Action {
	on := func(do func(r *rand.Rand, n *Node)) func(*Cluster) error {
		return func(c *Cluster) error {
			if n := c.pick(func(n *Node) bool { return n.k != nil && n.liar != nil }); n != nil {
				do(c.Rand, n)
			}
			return nil
		}
	}
	flip := func(r *rand.Rand) bool { return r.IntN(2) == 0 }
	return []Action{
		{"equivocate", 4, on(func(_ *rand.Rand, n *Node) { n.Equivocate("") })},
		{"repeat", 6, on(func(r *rand.Rand, n *Node) { n.Repeat(kind, 1+r.IntN(8)) })},
		{"replay", 4, on(func(_ *rand.Rand, n *Node) { n.Replay() })},
		{"flood", 4, on(func(_ *rand.Rand, n *Node) { n.Flood(topic(), kind) })},
		{"keys", 4, on(func(_ *rand.Rand, n *Node) { n.SpellKeys() })},
		{"poison", 3, on(func(r *rand.Rand, n *Node) { n.Poison(flip(r)) })},
		{"postdate", 4, on(func(r *rand.Rand, n *Node) { n.Postdate(time.Duration(r.Int64N(int64(2 * time.Minute)))) })},
		{"withhold", 2, on(func(r *rand.Rand, n *Node) { n.Withhold(flip(r)) })},
		{"boast", 4, on(func(r *rand.Rand, n *Node) { n.Boast(r.IntN(3) > 0) })},
		{"haunt", 20, on(func(_ *rand.Rand, n *Node) { n.Haunt(kind) })},
	}
}
