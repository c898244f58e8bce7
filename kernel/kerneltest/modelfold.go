package kerneltest

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// fold runs the rules over r and gives its node, not yet stored.
func (m *Model) fold(r *api.Record) (*node, error) {
	const op = "model.fold"
	o := m.owners[r.Topic.Name]
	if o == nil {
		return nil, api.Errorf(op, api.Unsupported, "topic %q belongs to no app", r.Topic.Name)
	}
	n := &node{rec: r, owner: o}
	foreign := false
	for _, d := range r.Deps {
		dn := m.nodes[d.ID]
		if dn == nil || dn.rec.Position() != d {
			return nil, api.Errorf(op, api.NotFound, "dep %v is not here", d)
		}
		foreign = foreign || dn.rec.Topic.Space != r.Topic.Space
	}
	if r.Seq > 1 {
		if n.parent = m.nodes[r.Prev]; n.parent == nil || n.parent.rec.Feed != r.Feed || n.parent.rec.Seq != r.Seq-1 {
			return nil, api.Errorf(op, api.NotFound, "the predecessor of %v is not here", r.Position())
		}
		r.Author = n.parent.rec.Author
	} else {
		ke, err := record.ParseAuth(r.Auth)
		if err != nil {
			return nil, err
		}
		if ke.Device != r.Device {
			return nil, api.Errorf(op, api.Invalid, "the key event certifies another device")
		}
		r.Author = ke.DID
	}
	if foreign {
		n.out = kernelVoid("foreign-dep", "the record cites a record of another space")
		return n, nil
	}
	if founds := r.Seq == 1 && r.ID == r.Topic.Space; founds != (o.founding != "" && r.Kind == o.founding) {
		n.out = kernelVoid("founding", "only the founding kind of its topic founds a space, and it founds one")
		return n, nil
	}
	if !m.rebase(n) {
		return n, nil
	}
	if n.parent != nil {
		if _, _, ok := n.parent.newest(rowName(classCut, "", r.Feed[:]), n.rebases...); ok {
			n.out = kernelVoid("feed-ended", "the feed has closed itself")
			return n, nil
		}
	}
	n.out, n.effects = m.apply(n)
	// Pure means: the same again, from the same.
	out, again := m.apply(n)
	if !reflect.DeepEqual(out, n.out) || !reflect.DeepEqual(again, n.effects) {
		panic(fmt.Sprintf("%s: Apply of %v is not pure:\n%+v %+v\n%+v %+v", o.name, r.Position(), n.out, n.effects, out, again))
	}
	if n.out.Void != nil {
		n.effects, n.rebases = effects{}, nil
	}
	return n, nil
}

// rebase finds the cuts of n's feed that n is the first to cite; it is false, and n void, when one of them ends the feed elsewhere or for good.
func (m *Model) rebase(n *node) bool {
	var rbs []rebase
	for _, d := range n.rec.Deps {
		ends, by, cut := m.nodes[d.ID].newest(rowName(classCut, "", n.rec.Feed[:]))
		base, since, follows := m.nodes[d.ID].newest(rowName(classNext, "", n.rec.Feed[:]))
		cut, follows = cut && by.rec.Feed == d.Feed, follows && since.rec.Feed == d.Feed
		if cut && ends[40] == 1 {
			n.out = kernelVoid("feed-ended", "another device goes on")
			return false
		}
		rb := rebase{by: d.Feed}
		if cut {
			rb.seq = by.rec.Seq
		}
		if follows {
			rb.seq = max(rb.seq, since.rec.Seq)
		}
		cited := false
		for _, p := range n.parent.pastRebases(rbs) {
			cited = cited || p.by == rb.by && p.seq >= rb.seq
			follows = follows && p.from == n.rec.Feed
		}
		if cited {
			continue
		}
		if cut {
			rb.from, rb.at = n.rec.Feed, m.nodes[api.Hash(ends[8:40])]
			if rb.at != nil && n.parent.on(rb.at.rec.Seq) != rb.at {
				n.out = kernelVoid("cut-elsewhere", "the record cites a cut of its feed that does not lie before it")
				return false
			}
			rbs = append(rbs, rb)
		}
		if follows {
			rb.from, rb.at = api.Hash(base), m.nodes[api.Hash(base[40:72])]
			rbs = append(rbs, rb)
		}
	}
	n.rebases = rbs
	return true
}

func kernelVoid(rule, text string) api.Outcome { return api.Voided("kernel", rule, text) }

func (m *Model) apply(n *node) (api.Outcome, effects) {
	rec := *n.rec
	rec.Body, rec.Auth, rec.Deps = bytes.Clone(rec.Body), bytes.Clone(rec.Auth), slices.Clone(rec.Deps)
	t := &tx{m: m, n: n, effects: effects{rows: map[string][]byte{}, index: map[string][]byte{}, count: map[string]int64{}}}
	out := n.owner.app.Apply(t, &rec)
	if !bytes.Equal(rec.Body, n.rec.Body) || !slices.Equal(rec.Deps, n.rec.Deps) {
		panic(n.owner.name + ": Apply changed the record")
	}
	t.done = true
	return out, t.effects
}

// put stores a folded node and works out anew what has effect.
func (m *Model) put(n *node) {
	r := n.rec
	n.number = len(m.log)
	m.log = append(m.log, n)
	m.nodes[r.ID] = n
	f := m.feeds[r.Feed]
	if f == nil {
		f = &feed{topic: r.Topic, device: r.Device, author: r.Author}
		m.feeds[r.Feed] = f
	}
	for _, o := range f.nodes {
		if o.rec.Seq == r.Seq && (f.fork == 0 || r.Seq < f.fork) {
			f.fork = r.Seq
		}
	}
	f.nodes = append(f.nodes, n)
	for k := range n.effects.index {
		k = n.owner.name + "\x00" + k
		place := api.Position{Feed: r.Feed, Seq: r.Seq}
		if by, ok := m.users[k]; ok && by != place {
			panic(fmt.Sprintf("index key %q is written by %v and %v", k, by, place))
		}
		m.users[k] = place
	}
	if f.tip == n.parent {
		f.tip = n
	}
	m.forked = m.forked || f.fork != 0 || len(n.effects.cuts)+len(n.rebases) > 0
	if m.forked {
		if !m.busy {
			m.settle()
		}
		return
	}
	// The one short cut: without forks everything accepted has effect, and only final marks can move.
	f.active = n
	if n.out.Void == nil {
		m.do(n)
	}
	m.mark(r.Feed, f)
	for _, s := range n.effects.finals {
		if f := m.feeds[s.pos.Feed]; f != nil {
			m.mark(s.pos.Feed, f)
		}
	}
}

// settle computes which records have effect, from nothing: first no position is final, then those that effective records state, and so on
// until nothing moves. Then it does the effects.
func (m *Model) settle() {
	for _, f := range m.feeds {
		f.final, f.active = nil, f.end(nil)
		f.place()
	}
	for round := 0; ; round++ {
		if round > len(m.log) {
			panic("final positions do not come to rest")
		}
		moved := false
		for id, f := range m.feeds {
			if m.mark(id, f) {
				moved = true
			}
		}
		ends := map[*feed]*node{}
		for id, f := range m.feeds {
			ends[f] = m.cutEnd(id, f)
		}
		for f, end := range ends {
			moved = moved || f.active != end
			f.active = end
			f.place()
		}
		if !moved {
			break
		}
	}
	for app := range m.index {
		clear(m.index[app])
		clear(m.count[app])
	}
	for _, n := range m.log {
		if m.effective(n) {
			m.do(n)
		}
	}
}

// mark sets f's final record: of the positions that accepted records of enough other feeds state, in order, each that continues the one before.
func (m *Model) mark(id api.Hash, f *feed) bool {
	fin, rival := m.supported(id, false)
	moved := fin != f.final
	f.final, f.rival = fin, rival
	return moved
}

// sealedOff reports whether n is on a branch that seals of its feed have left.
func (m *Model) sealedOff(n *node) bool {
	if m.feeds[n.rec.Feed].fork == 0 {
		return false
	}
	seal, _ := m.supported(n.rec.Feed, true)
	return seal != nil && !n.onBranch(seal) && !seal.onBranch(n)
}

// supported is the last position of a feed that enough others state, in seals only or in all statements, and the first of another branch that they state.
func (m *Model) supported(id api.Hash, seals bool) (fin, rival *node) {
	type voice struct {
		n    *node // what is stated
		from api.Hash
		by   api.Support
	}
	var all []voice
	for _, n := range m.log {
		if n.rec.Feed == id || len(n.effects.finals) == 0 {
			continue
		}
		for _, s := range n.effects.finals {
			at := m.nodes[s.pos.ID]
			if s.pos.Feed == id && at != nil && at.rec.Position() == s.pos && s.by.Need > 0 && (s.by.Seal || !seals && !m.sealedOff(n)) {
				all = append(all, voice{at, n.rec.Feed, s.by})
			}
		}
	}
	slices.SortFunc(all, func(a, b voice) int {
		return cmp.Or(cmp.Compare(a.n.rec.Seq, b.n.rec.Seq), a.n.rec.ID.Compare(b.n.rec.ID))
	})
	for _, v := range all {
		froms := map[api.Hash]bool{}
		for _, o := range all {
			if o.by.Epoch == v.by.Epoch && o.by.Variant == v.by.Variant && o.by.Seal == v.by.Seal && o.n.on(v.n.rec.Seq) == v.n {
				froms[o.from] = true
			}
		}
		switch {
		case len(froms) < int(v.by.Need):
		case fin == nil || v.n.on(fin.rec.Seq) == fin:
			fin = v.n
		case rival == nil:
			rival = v.n
		}
	}
	return fin, rival
}

// end is the last record with effect when fin is the final one.
func (f *feed) end(fin *node) *node {
	switch {
	case f.fork == 0:
		return f.tip
	case fin != nil && fin.rec.Seq >= f.fork:
		return fin
	}
	return f.tip.on(f.fork - 1)
}

// cutEnd is the last record with effect when the final cuts of f are taken into account.
func (m *Model) cutEnd(id api.Hash, f *feed) *node {
	end := f.end(f.final)
	type cut struct {
		by *node
		at *node
	}
	var cuts []cut
	for _, n := range m.log {
		for _, c := range n.effects.cuts {
			if c.Feed == id && m.effective(n) && m.final(n) {
				cuts = append(cuts, cut{n, m.nodes[c.At.ID]})
			}
		}
	}
	slices.SortFunc(cuts, func(a, b cut) int {
		return cmp.Or(a.by.rec.Feed.Compare(b.by.rec.Feed), cmp.Compare(a.by.rec.Seq, b.by.rec.Seq))
	})
	if f.fork != 0 {
		for i, c := range cuts {
			newest := i+1 == len(cuts) || cuts[i+1].by.rec.Feed != c.by.rec.Feed
			if c.at != nil && c.at.rec.Seq >= f.fork && newest && (end == nil || c.at.on(end.rec.Seq) == end) {
				end = c.at
			}
		}
	}
	for moved := true; moved; {
		moved = false
		for _, c := range cuts {
			if end == nil || c.at != nil && (c.at.rec.Seq >= end.rec.Seq || end.on(c.at.rec.Seq) != c.at) {
				continue
			}
			cited := false
			for _, p := range end.pastRebases(nil) {
				cited = cited || p.by == c.by.rec.Feed && p.seq >= c.by.rec.Seq
			}
			if !cited {
				end, moved = c.at, true
			}
		}
	}
	return end
}

// place works out which records up to the active one have their place.
func (f *feed) place() {
	f.stand = map[*node]bool{}
	for n := f.active; n != nil; n = n.parent {
		if !f.active.hides(n, nil) {
			f.stand[n] = true
		}
	}
}

// on returns n's ancestor at seq, n itself when it is there, nil when there is none.
func (n *node) on(seq uint64) *node {
	for n != nil && n.rec.Seq > seq {
		n = n.parent
	}
	if n == nil || n.rec.Seq != seq {
		return nil
	}
	return n
}

// onBranch reports whether n is end or below it.
func (n *node) onBranch(end *node) bool { return end != nil && end.on(n.rec.Seq) == n }

// held reports whether n waits for a fork to be resolved.
func (m *Model) held(n *node) bool { return !n.onBranch(m.feeds[n.rec.Feed].active) }

func (m *Model) effective(n *node) bool {
	f := m.feeds[n.rec.Feed]
	return n.out.Void == nil && !m.held(n) && (!m.forked || f.stand[n])
}

func (m *Model) final(n *node) bool { return n.onBranch(m.feeds[n.rec.Feed].final) }

func (m *Model) do(n *node) {
	app := n.owner.name
	for k, v := range n.effects.index {
		m.index[app][k] = indexRow{v, n}
	}
	for k, d := range n.effects.count {
		c := m.count[app]
		if c[k] += d; c[k] == 0 {
			delete(c, k)
		}
	}
}
