package fold

import (
	"bytes"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// AppDigest is the digest of one app's state: its counters, index rows, and the feed rows and facts with effect. Two nodes that hold the same
// records have equal digests, however the records came; record ids are not part of it, values are.
type AppDigest struct {
	App    string
	Digest api.Hash
	Rows   int
}

// Digest computes all apps' digests from a snapshot, and one over them. It reads the whole state.
func Digest(r store.Reader, apps *Apps) (api.Hash, []AppDigest, error) {
	all, sums, _, err := prove(r, apps, nil, nil)
	return all, sums, err
}

// prove is Digest, and proves those of the rows that are there, as api.SectionProver says.
func prove(r store.Reader, apps *Apps, rows []api.StateRow, first func([]byte) bool) (api.Hash, []AppDigest, []api.RowProof, error) {
	trees := make([]tree, len(apps.names))
	byName := map[string]*tree{}
	wanted := map[string]int{} // by leafName
	for i, n := range apps.names {
		byName[n] = &trees[i]
	}
	for i := range rows {
		row := &rows[i]
		name := row.Key
		if row.Class == api.FeedRow {
			name = append(bytes.Clone(row.Feed[:]), api.PutName(row.Key)...)
		}
		wanted[leafName(row.App, row.Class, name)] = i
	}
	add := func(app string, class byte, name, value []byte, seq uint64, leaf api.Hash) {
		var p *path
		if len(wanted) > 0 {
			if i, ok := wanted[leafName(app, class, name)]; ok && (first == nil || class != api.FeedRow || first(value)) {
				p = &path{want: i, seq: seq, value: bytes.Clone(value)}
			}
		}
		byName[app].add(leaf, p)
	}
	if err := eachLeaf(r, apps, add); err != nil {
		return api.Hash{}, nil, nil, err
	}
	digests, sums := make([]api.StateDigest, len(trees)), make([]AppDigest, len(trees))
	found := make([]*api.RowProof, len(rows))
	for i := range trees {
		t := &trees[i]
		d := api.AppDigest(t.rows, t.root())
		digests[i] = api.StateDigest{App: apps.names[i], Digest: d}
		sums[i] = AppDigest{App: apps.names[i], Digest: d, Rows: int(t.rows)}
		for _, p := range t.paths {
			if first != nil && found[p.want] != nil {
				continue
			}
			found[p.want] = &api.RowProof{StateRow: rows[p.want], Seq: p.seq, Value: p.value, Place: p.place, Rows: t.rows, Path: p.beside}
		}
	}
	var proofs []api.RowProof
	for _, p := range found {
		if p != nil {
			proofs = append(proofs, *p)
		}
	}
	return api.AllDigest(digests), sums, proofs, nil
}

func leafName(app string, class byte, name []byte) string {
	return app + string([]byte{0, class}) + string(name)
}

// eachLeaf visits what makes up the state of the apps, those of one app in the order of its tree: counters, index rows, feed rows. The name of a feed row
// is its feed and its name.
func eachLeaf(r store.Reader, apps *Apps, add func(app string, class byte, name, value []byte, seq uint64, leaf api.Hash)) error {
	known := map[string]bool{}
	for _, n := range apps.names {
		known[n] = true
	}
	for _, ns := range []byte{nsCounter, nsIndex} {
		class := map[byte]byte{nsCounter: api.CounterRow, nsIndex: api.IndexRow}[ns]
		err := each(r, []byte{ns}, func(k, v []byte) (bool, error) {
			if app, rest, _ := bytes.Cut(k[1:], []byte{0}); known[string(app)] {
				add(string(app), class, rest, v, 0, api.StateLeaf(class, rest, v))
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	v := view{r: r}
	var f *Feed
	var st standing
	return each(r, []byte{nsRow}, func(k, val []byte) (bool, error) {
		id, name, seq, by := splitRow(k)
		if f == nil || f.ID != id {
			var err error
			if f, err = loadFeed(r, id, nil); err != nil {
				return false, err
			}
			if f == nil {
				return false, api.Errorf("fold.digest", api.Internal, "rows of feed %s without a header", id.Short())
			}
			if st, err = v.stands(f); err != nil {
				return false, err
			}
		}
		on, err := v.hasEffect(f, st, Mark{seq, by})
		if err != nil || !on {
			return err == nil, err
		}
		if o := apps.topics[f.Topic.Name]; o != nil {
			add(o.name, api.FeedRow, k[1:len(k)-rowSuffix], val, seq, api.StateLeaf(api.FeedRow, id[:], name, be(seq), val))
		}
		return true, nil
	})
}

// tree hashes leaves as they come, and holds one hash for each level.
type tree struct {
	rows  uint64
	peaks []peak // whole trees of a power of two of leaves, the larger first
	paths []*path
}

type peak struct {
	hash   api.Hash
	leaves uint64
	below  []*path // of leaves in it
}

// path goes upwards from a leaf that somebody wants.
type path struct {
	want   int
	place  uint64
	seq    uint64
	value  []byte
	beside []api.Hash
}

// add appends a leaf; p is nil where nobody wants it.
func (t *tree) add(leaf api.Hash, p *path) {
	n := peak{hash: leaf, leaves: 1}
	if p != nil {
		p.place = t.rows
		t.paths = append(t.paths, p)
		n.below = []*path{p}
	}
	t.rows++
	for len(t.peaks) > 0 && t.peaks[len(t.peaks)-1].leaves == n.leaves {
		n = join(t.peaks[len(t.peaks)-1], n)
		t.peaks = t.peaks[:len(t.peaks)-1]
	}
	t.peaks = append(t.peaks, n)
}

func join(l, r peak) peak {
	for _, p := range l.below {
		p.beside = append(p.beside, r.hash)
	}
	for _, p := range r.below {
		p.beside = append(p.beside, l.hash)
	}
	return peak{hash: api.StateNode(l.hash, r.hash), leaves: l.leaves + r.leaves, below: append(l.below, r.below...)}
}

// root ends the tree.
func (t *tree) root() api.Hash {
	if t.rows == 0 {
		return api.Hash{}
	}
	n := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		n = join(t.peaks[i], n)
	}
	return n.hash
}
