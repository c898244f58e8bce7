package kerneltest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
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
	t.open()
	if !slices.Contains(t.n.rec.Deps, p) {
		panic(fmt.Sprintf("%s: read at %v, which the record does not cite", t.n.owner.name, p))
	}
	return t.m.nodes[p.ID]
}

func (t *tx) open() {
	if t.done {
		panic(t.n.owner.name + ": Tx is used after Apply returned")
	}
}

// newest walks from n back to the record that wrote a row.
func (n *node) newest(name string) ([]byte, *node, bool) {
	for ; n != nil; n = n.parent {
		if v, ok := n.effects.rows[name]; ok {
			return bytes.Clone(v), n, true
		}
	}
	return nil, nil, false
}

func (t *tx) Own(key []byte) ([]byte, bool) {
	t.open()
	v, _, ok := t.n.parent.newest(rowName(classPut, "", key))
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

func (t *tx) Final(pos api.Position) {
	t.open()
	t.finals = append(t.finals, pos)
}

// Row classes: what an app keeps for itself, and facts.
const (
	classPut  = 'p'
	classFact = 'f'
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
