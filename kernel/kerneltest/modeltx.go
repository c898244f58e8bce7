package kerneltest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// tx is the strict api.Tx.
type tx struct {
	m    *Model
	n    *node
	done bool
	effects
}

var _ api.Tx = (*tx)(nil)

func (t *tx) dep(p api.Position) *node {
	if !t.Within(p) {
		panic(fmt.Sprintf("%s: read at %v, which the record does not cite", t.n.owner.name, p))
	}
	return t.m.nodes[p.ID]
}

func (t *tx) Within(p api.Position) bool {
	t.open()
	for _, d := range t.n.rec.Deps {
		if n := t.m.nodes[d.ID].on(p.Seq); d.Feed == p.Feed && n != nil && n.rec.ID == p.ID {
			return true
		}
	}
	return false
}

func (t *tx) open() {
	if t.done {
		panic(t.n.owner.name + ": Tx is used after Apply returned")
	}
}

// newest finds the newest row of that name that a successor of n sees, which makes some rebases of its own.
func (n *node) newest(name string, own ...rebase) ([]byte, *node, bool) {
	for k := n; k != nil; k = k.parent {
		if v, ok := k.effects.rows[name]; ok && !n.hides(k, own) {
			return bytes.Clone(v), k, true
		}
	}
	for _, rb := range n.pastRebases(own) {
		if rb.from != rb.c.rec.Feed && rb.at != nil {
			return rb.at.newest(name)
		}
	}
	return nil, nil, false
}

// past is a rebase and the node that makes it, nil for one that is being folded.
type past struct {
	rebase
	c *node
}

// pastRebases lists the rebases on the way to n, and some of a successor of it.
func (n *node) pastRebases(own []rebase) (all []past) {
	for k := n; k != nil; k = k.parent {
		for _, rb := range k.rebases {
			all = append(all, past{rb, k})
		}
	}
	for _, rb := range own {
		c := &node{rec: &api.Record{Seq: 1}}
		if n != nil {
			c.rec = &api.Record{Seq: n.rec.Seq + 1, Feed: n.rec.Feed}
		}
		all = append(all, past{rb, c})
	}
	return all
}

// hides reports whether k, on the way to n, lies in a gap.
func (n *node) hides(k *node, own []rebase) bool {
	for _, rb := range n.pastRebases(own) {
		if rb.from == k.rec.Feed && rb.seqAt() < k.rec.Seq && k.rec.Seq < rb.c.rec.Seq {
			return true
		}
	}
	return false
}

func (t *tx) Own(key []byte) ([]byte, bool) {
	t.open()
	v, _, ok := t.n.parent.newest(rowName(classPut, "", key), t.n.rebases...)
	return v, ok
}

func (t *tx) At(dep api.Position, key []byte) ([]byte, bool) {
	n := t.dep(dep)
	if n.owner.name != t.n.owner.name {
		return nil, false
	}
	v, _, ok := n.newest(rowName(classPut, "", key))
	return v, ok
}

func (t *tx) Fact(dep api.Position, name string, key []byte) ([]byte, bool) {
	v, _, ok := t.dep(dep).newest(rowName(classFact, name, key))
	return v, ok
}

func (t *tx) Dep(dep api.Position) (*api.Record, bool) {
	n := t.dep(dep)
	r := *n.rec
	r.Body, r.Auth, r.Deps = nil, nil, slices.Clone(r.Deps)
	return &r, n.out.Void == nil
}

func (t *tx) Put(key, value []byte) {
	t.open()
	t.rows[rowName(classPut, "", key)] = append([]byte{}, value...)
}

func (t *tx) Publish(name string, key, value []byte) {
	t.open()
	t.rows[rowName(classFact, name, key)] = append([]byte{}, value...)
}

func (t *tx) Index(key, value []byte) {
	t.open()
	t.index[string(key)] = append([]byte{}, value...)
}

func (t *tx) Add(counter []byte, delta int64) {
	t.open()
	t.count[string(counter)] += delta
}

func (t *tx) Final(pos api.Position, by api.Support) {
	t.open()
	t.finals = append(t.finals, statement{pos, by})
}

func (t *tx) Cut(c api.Cut) {
	t.open()
	own := c.Feed == t.n.rec.Feed
	if own && c.At != t.n.rec.Position() || !own && c.At.Seq > 0 && (c.At.Feed != c.Feed || !t.Within(c.At)) {
		panic(fmt.Sprintf("%s: a cut of feed %s at %v, which the record does not cite", t.n.owner.name, c.Feed.Short(), c.At))
	}
	val := slices.Concat(api.Seq8(c.At.Seq), c.At.ID[:], []byte{0})
	if own || c.Next != (api.Key{}) {
		val[40] = 1
	}
	if !own {
		t.cuts = append(t.cuts, c)
	}
	t.rows[rowName(classCut, "", c.Feed[:])] = val

	base := slices.Concat(c.Feed[:], api.Seq8(c.At.Seq), c.At.ID[:])
	if c.At.Seq == 0 {
		var ok bool
		if base, _, ok = t.n.parent.newest(rowName(classNext, "", c.Feed[:]), t.n.rebases...); !ok {
			return
		}
	} else if c.Next == (api.Key{}) {
		return
	}
	next := c.Feed
	if c.Next != (api.Key{}) {
		topic := t.n.rec.Topic
		if f := t.m.feeds[api.Hash(base[:32])]; f != nil {
			topic = f.topic
		}
		if next = record.FeedID(topic, c.Next); next == c.Feed {
			return
		}
	}
	t.rows[rowName(classNext, "", next[:])] = base
}

// statement is a position stated final.
type statement struct {
	pos api.Position
	by  api.Support
}

// Row classes: what an app keeps for itself, facts, cuts, and who goes on.
const (
	classPut  = 'p'
	classFact = 'f'
	classCut  = 'c'
	classNext = 'n'
)

// rowName names a row within a feed so that no name is a prefix of another and order is the keys' order: 0x00 in the key becomes 0x00 0xff,
// and 0x00 0x01 ends it.
func rowName(class byte, name string, key []byte) string {
	s := string(class)
	if class == classFact {
		s += name + "\x00"
	}
	return s + strings.ReplaceAll(string(key), "\x00", "\x00\xff") + "\x00\x01"
}

// rowKey is the key in a classPut row's name.
func rowKey(name string) string {
	return strings.ReplaceAll(strings.TrimSuffix(name[1:], "\x00\x01"), "\x00\xff", "\x00")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
