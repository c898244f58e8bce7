package fold_test

import (
	"context"
	"log/slog"
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
	return fold.Section(n.Context(), snap, store.OpenVolatile, n.apps, slog.New(slog.DiscardHandler), space, ps)
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
	if _, err := fold.Section(ctx, n.st, opened, n.apps, slog.New(slog.DiscardHandler), w.space, []api.Position{said.Position()}); err == nil {
		t.Error("it goes on")
	}
}
