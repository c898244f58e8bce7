package fold_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

func (n *node) section(space api.Hash, by ...*record.Envelope) (*api.Section, error) {
	n.Helper()
	n.total() // commits
	snap := n.st.Snapshot()
	defer snap.Close()
	var ps []api.Position
	for _, e := range by {
		ps = append(ps, e.Position())
	}
	sec, _, err := fold.Section(n.Context(), snap, store.OpenVolatile, n.apps, slog.New(slog.DiscardHandler), space, ps, nil, nil)
	return sec, err
}

func (n *node) wantSection(sec *api.Section, err error, records uint64, digest api.Hash) {
	n.Helper()
	switch {
	case err != nil:
		n.Fatal(err)
	case len(sec.Open) > 0 || sec.Records != records || sec.Digest != digest:
		n.Errorf("%d records, digest %s, open %v; want %d and %s", sec.Records, sec.Digest.Short(), sec.Open, records, digest.Short())
	case len(sec.Apps) != 1 || sec.Apps[0].App != "toy":
		n.Errorf("apps %+v", sec.Apps)
	}
}

// A section comes to one state, whatever else a node holds: later records, other branches, what others state, another order.
func TestSectionIsWhatItNames(t *testing.T) {
	w := newWorld(t)
	r1 := w.add("bob", nil, 1)
	dep := w.add("carol", nil, 2)
	r2 := w.make("bob", "toy", "add", r1, []byte{4}, dep)
	cut := w.make("office", "cuts", "cut", nil, nil, r1)
	said := w.make("witness", "say", "final", nil, position(r2))
	also := w.make("witness", "say", "final", said, position(cut))
	view := w.all[1:] // the founding record is stated by nobody and cited by nobody
	alone := newNode(t)
	alone.put(view...)
	alone.total()
	want := alone.digest()
	early := newNode(t)
	early.put(r1, dep, r2, said)
	early.total()

	w.add("bob", r2, 8)                                                       // beyond
	other := w.make("bob", "toy", "add", r1, []byte{16})                      // another branch
	w.make("dan", "say", "final", nil, position(other))                       // somebody else's word
	w.make("witness", "say", "final", also, position(w.all[0]))               // a later word
	w.make("witness", "say", "final", said, position(w.add("dora", nil, 32))) // another branch of the witness's feed
	all := newNode(t)
	all.put(w.all...)
	sec, err := all.section(w.space, also)
	all.wantSection(sec, err, uint64(len(view)), want)
	sec, err = all.section(w.space, said)
	all.wantSection(sec, err, 4, early.digest())
	sec, err = alone.section(w.space, also)
	alone.wantSection(sec, err, uint64(len(view)), want)
}

// What is final by others' words and not here is named, and nothing is folded; what is not here at all is not found.
func TestSectionNamesWhatIsOpen(t *testing.T) {
	w := newWorld(t)
	r1 := w.add("bob", nil, 1)
	r2 := w.add("bob", r1, 2)
	said := w.make("witness", "say", "final", nil, position(r2))
	new := w.make("witness", "say", "final", said, position(w.add("eve", nil, 1)))
	n := newNode(t)
	n.put(w.all[0], r1, said, new)
	sec, err := n.section(w.space, said)
	if err != nil || len(sec.Open) != 1 || sec.Open[0] != r2.Position() || sec.Records != 0 {
		t.Errorf("%+v, %v; want %v open", sec, err, r2.Position())
	}
	if sec, err = n.section(w.space, new); err != nil || len(sec.Open) != 2 {
		t.Errorf("%+v, %v; want a position of a feed that is not here open as well", sec, err)
	}
	if _, err := n.section(w.space, w.make("witness", "say", "final", new, position(r1))); api.KindOf(err) != api.NotFound {
		t.Errorf("a place that is not here: %v", err)
	}
	n.put(r2)
	if sec, err = n.section(w.space, said); err != nil || len(sec.Open) > 0 || sec.Records != 3 {
		t.Errorf("%+v, %v; want it folded", sec, err)
	}
}

func TestSectionEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	said := w.make("witness", "say", "final", nil, position(w.add("bob", nil, 1)))
	n := newNode(t)
	n.put(w.all...)
	n.total()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	opened := func() (store.Store, error) { t.Error("a scratch store is opened"); return store.OpenVolatile() }
	if _, _, err := fold.Section(ctx, n.st, opened, n.apps, slog.New(slog.DiscardHandler), w.space, []api.Position{said.Position()}, nil, nil); err == nil {
		t.Error("it goes on")
	}
}

// Each row of a section's state is shown to be in it by a path of its own, and nothing else is.
func TestSectionProvesItsRows(t *testing.T) {
	w := newWorld(t)
	last := w.add("bob", nil, 1)
	for i := range 12 {
		last = w.make(fmt.Sprint("p", i), "toy", "add", nil, []byte{byte(i)}, last)
	}
	last = w.make("p0", "toy", "add", w.all[2], []byte{9}, last)
	said := w.make("witness", "say", "final", nil, position(last))
	n := newNode(t)
	n.put(w.all...)
	n.total()
	snap := n.st.Snapshot()
	defer snap.Close()
	rows, err := fold.Leaves(snap, n.apps)
	if err != nil || len(rows) < 10 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	by := []api.Position{said.Position()}
	nowhere := api.StateRow{App: "toy", Class: api.CounterRow, Key: []byte("nowhere")}
	sec, proofs, err := fold.Section(t.Context(), snap, store.OpenVolatile, n.apps, slog.New(slog.DiscardHandler), w.space, by, append(rows, nowhere), nil)
	if err != nil || len(proofs) != len(rows) {
		t.Fatalf("%d proofs of %d rows, %v", len(proofs), len(rows), err)
	}
	if api.AllDigest(sec.Apps) != sec.Digest {
		t.Error("the digest is not that of the apps' digests")
	}
	for i, p := range proofs {
		if d, ok := p.Digest(); !ok || d != sec.Apps[0].Digest {
			t.Errorf("row %d of %d, %q: %v, %t", p.Place, p.Rows, p.Key, d.Short(), ok)
		}
		for what, bad := range map[string]func(*api.RowProof){
			"value": func(p *api.RowProof) { p.Value = append(p.Value, 0) },
			"key":   func(p *api.RowProof) { p.Key = append([]byte{1}, p.Key...) },
			"place": func(p *api.RowProof) { p.Place ^= 1 },
			"rows":  func(p *api.RowProof) { p.Rows++ },
			"class": func(p *api.RowProof) { p.Class++ },
			"seq":   func(p *api.RowProof) { p.Seq++ },
			"feed":  func(p *api.RowProof) { p.Feed[3]++ },
			"short": func(p *api.RowProof) { p.Path = p.Path[:len(p.Path)-1] },
			"long":  func(p *api.RowProof) { p.Path = append(p.Path, api.Hash{}) },
			"path":  func(p *api.RowProof) { p.Path[i%len(p.Path)][7] ^= 4 },
		} {
			q := p
			q.Key, q.Value, q.Path = slices.Clone(p.Key), slices.Clone(p.Value), slices.Clone(p.Path)
			if bad(&q); func() bool { d, ok := q.Digest(); return ok && d == sec.Apps[0].Digest }() {
				t.Errorf("row %d of %d is proven with another %s", p.Place, p.Rows, what)
			}
		}
	}
}
