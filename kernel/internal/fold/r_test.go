package fold_test

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// toy adds up amounts, or with "pass" does not; "final" states the position in its body final, "cut" ends a feed at its first dep, "claim" at the
// position in its body, and "heir" says who goes on from there.
type toy struct{}

func (toy) Info() api.AppInfo {
	return api.AppInfo{Name: "toy", Topics: []api.TopicSpec{
		{Name: "space", Kinds: []string{"found"}, Founding: "found"},
		{Name: "toy", Kinds: []string{"add", "pass", "refused"}},
		{Name: "say", Kinds: []string{"final"}},
		{Name: "cuts", Kinds: []string{"cut", "claim", "heir"}},
	}}
}

func (toy) Apply(tx api.Tx, r *api.Record) api.Outcome {
	at := func() api.Position {
		return api.Position{Feed: api.Hash(r.Body[:32]), Seq: uint64(r.Body[32]), ID: api.Hash(r.Body[33:65])}
	}
	switch r.Kind {
	case "refused":
		return api.Voided("toy", "refused", "whatever it says")
	case "add":
		row, _ := tx.Own([]byte("all"))
		tx.Put([]byte("all"), append(row, r.Body...))
		tx.Add([]byte("total"), int64(r.Body[0]))
	case "final":
		tx.Final(at(), api.Alone)
	case "cut":
		tx.Cut(api.Cut{Feed: r.Deps[0].Feed, At: r.Deps[0]})
	case "heir":
		tx.Cut(api.Cut{Feed: r.Deps[0].Feed, At: r.Deps[0], Next: kerneltest.Signer("heir").Device()})
	case "claim":
		tx.Cut(api.Cut{Feed: at().Feed, At: at()})
	}
	return api.Accepted
}

type world struct {
	*testing.T
	space api.Hash
	all   []*record.Envelope
}

// make signs the record after prev, nil for the first of its feed.
func (w *world) make(who, topic, kind string, prev *record.Envelope, body []byte, deps ...*record.Envelope) *record.Envelope {
	w.Helper()
	s := kerneltest.Signer(who)
	r := &api.Record{Version: record.Version, Topic: api.Topic{Space: w.space, Name: topic}, Seq: 1, Kind: kind, Body: body, Auth: s.Auth(), Time: 1}
	if prev != nil {
		r.Seq, r.Prev, r.Auth = prev.Seq+1, prev.ID, nil
	}
	for _, d := range deps {
		r.Deps = append(r.Deps, d.Position())
	}
	e, err := record.Sign(r, s)
	if err != nil {
		w.Fatal(err)
	}
	w.all = append(w.all, e)
	return e
}

func (w *world) add(who string, prev *record.Envelope, n byte) *record.Envelope {
	w.Helper()
	return w.make(who, "toy", "add", prev, []byte{n})
}

func position(e *record.Envelope) []byte {
	return append(append(e.Feed[:], byte(e.Seq)), e.ID[:]...)
}

func newWorld(t *testing.T) *world {
	w := &world{T: t}
	w.space = w.make("founder", "space", "found", nil, nil).Topic.Space
	return w
}

// node is a state that is given records.
type node struct {
	*testing.T
	st    *store.Mem
	apps  *fold.Apps
	state *fold.State
}

func newNode(t *testing.T) *node {
	n := &node{T: t, st: store.OpenMem(store.Faults{})}
	var err error
	if n.apps, err = fold.NewApps([]api.App{toy{}}); err != nil {
		t.Fatal(err)
	}
	if n.state, err = fold.Open(n.st, n.apps, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.st.Close() })
	return n
}

func (n *node) put(es ...*record.Envelope) {
	n.Helper()
	for _, e := range es {
		again, err := record.Decode(e.Raw)
		if err != nil {
			n.Fatal(err)
		}
		if err := n.state.Put(again); err != nil {
			n.Fatal(err)
		}
	}
}

// total commits and returns what has effect.
func (n *node) total() int64 {
	n.Helper()
	if _, _, err := n.state.Commit(false); err != nil {
		n.Fatal(err)
	}
	r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
	defer r.Close()
	return r.Counter([]byte("total"))
}

func (n *node) digest() api.Hash {
	n.Helper()
	d, _, err := fold.Digest(n.st, n.apps)
	if err != nil {
		n.Fatal(err)
	}
	return d
}

// R5: a cut takes nothing back before it is final, a cut at a position that its record does not cite is none, and what was final before stays.
func TestR5_CutCountsOnceFinal(t *testing.T) {
	w := newWorld(t)
	r1 := w.add("bob", nil, 1)
	r2 := w.add("bob", r1, 2)
	r3 := w.add("bob", r2, 4)
	cut := w.make("office", "cuts", "cut", nil, nil, r2)
	n := newNode(t)
	n.put(w.all...)
	if got := n.total(); got != 7 {
		t.Errorf("total %d by a cut that is not final, want 7", got)
	}
	claim := w.make("eve", "cuts", "claim", nil, position(r1))
	said := w.make("witness", "say", "final", nil, position(claim))
	n.put(claim, said)
	if got := n.total(); got != 7 {
		t.Errorf("total %d by a cut that cites nothing, want 7", got)
	}
	n.put(w.make("witness", "say", "final", said, position(cut)))
	if got := n.total(); got != 3 {
		t.Errorf("total %d by a final cut, want 3", got)
	}
	r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
	defer r.Close()
	if _, v, ok := r.Record(r3.Position()); !ok || v.Accepted || v.Reason == nil || v.Reason.Rule != "cut" {
		t.Errorf("beyond the cut: %+v", v)
	}
	if _, v, ok := r.Record(claim.Position()); !ok || v.Accepted || v.Reason == nil || v.Reason.Rule != "apply-panic" {
		t.Errorf("the claimed cut: %+v", v)
	}
}

// A void record takes no cut into account: what follows it has no effect either, until an accepted one cites the cut.
func TestVoidTakesNoCutIntoAccount(t *testing.T) {
	w := newWorld(t)
	r1 := w.add("bob", nil, 1)
	r2 := w.add("bob", r1, 2)
	cut := w.make("office", "cuts", "cut", nil, nil, r1)
	w.make("witness", "say", "final", nil, position(cut))
	r3 := w.make("bob", "toy", "refused", r2, nil, cut)
	r4 := w.add("bob", r3, 4)
	n := newNode(t)
	n.put(w.all...)
	if got := n.total(); got != 1 {
		t.Errorf("total %d after a void record that cites the cut, want 1", got)
	}
	n.put(w.make("bob", "toy", "add", r4, []byte{8}, cut))
	if got := n.total(); got != 9 {
		t.Errorf("total %d after an accepted one that cites it, want 9", got)
	}
}

// R7: of a feed with many branches, some of them branched again, all nodes choose the same one, in whatever order and portions the records come:
// none while none is chosen, then the one that is final, then the one that a final cut adopts.
func TestR7_AllChooseTheSameBranch(t *testing.T) {
	for name, tc := range map[string]struct {
		choose func(w *world, b map[string]*record.Envelope)
		want   int64
	}{
		"nobody chooses": {func(*world, map[string]*record.Envelope) {}, 1},
		"one is final": {func(w *world, b map[string]*record.Envelope) {
			w.make("witness", "say", "final", nil, position(b["B3"]))
		}, 1 + 16 + 32},
		"an inner one is final": {func(w *world, b map[string]*record.Envelope) {
			w.make("witness", "say", "final", nil, position(b["a3"]))
		}, 1 + 2 + 8},
		"a cut adopts one": {func(w *world, b map[string]*record.Envelope) {
			cut := w.make("office", "cuts", "cut", nil, nil, b["C2"])
			w.make("witness", "say", "final", nil, position(cut))
		}, 1 + 64},
		"the witness contradicts itself, and the lower place counts": {func(w *world, b map[string]*record.Envelope) {
			w.make("witness", "say", "final", nil, position(b["C2"]))
			w.make("witness", "say", "final", nil, position(b["A3"]))
		}, 1 + 64},
		"an announced cut adopts none": {func(w *world, b map[string]*record.Envelope) {
			w.make("office", "cuts", "cut", nil, nil, b["C2"])
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := map[string]*record.Envelope{"1": w.add("mal", nil, 1)}
			for _, e := range []struct {
				name, prev string
				n          byte
			}{{"A2", "1", 2}, {"A3", "A2", 4}, {"a3", "A2", 8}, {"B2", "1", 16}, {"B3", "B2", 32}, {"C2", "1", 64}} {
				b[e.name] = w.add("mal", b[e.prev], e.n)
			}
			tc.choose(w, b)
			var want api.Hash
			for seed := range uint64(100) {
				n := newNode(t)
				rng := rand.New(rand.NewPCG(seed, 7))
				for _, e := range causal(w.all, rng) {
					if n.put(e); rng.IntN(3) == 0 {
						n.total()
					}
				}
				if got := n.total(); got != tc.want {
					t.Fatalf("seed %d: total %d, want %d", seed, got, tc.want)
				}
				if d := n.digest(); seed == 0 {
					want = d
				} else if d != want {
					t.Fatalf("seed %d: another state", seed)
				}
			}
		})
	}
}

// Branches are listed by where they end, those that branch again too, and a bound holds whoever forks how often.
func TestBranches(t *testing.T) {
	w := newWorld(t)
	first := w.add("mal", nil, 1)
	n := newNode(t)
	list := func() []api.Position {
		t.Helper()
		n.total()
		r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
		defer r.Close()
		return r.Branches(first.Feed)
	}
	if n.put(first); len(list()) != 0 {
		t.Error("a feed that is not forked has branches")
	}
	a2, b2 := w.add("mal", first, 2), w.add("mal", first, 4)
	a3, a4, b3 := w.add("mal", a2, 8), w.add("mal", a2, 16), w.add("mal", b2, 32)
	b4 := w.add("mal", b3, 64)
	n.put(a2, b2, a3, a4, b3, b4)
	want := []api.Position{a3.Position(), a4.Position(), b4.Position()}
	if a3.ID.Compare(a4.ID) > 0 {
		want[0], want[1] = want[1], want[0]
	}
	if got := list(); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for i := range api.MaxBranches {
		n.put(w.add("mal", a2, 65+byte(i)))
	}
	if got := list(); len(got) != api.MaxBranches {
		t.Errorf("%d branches, want %d", len(got), api.MaxBranches)
	}
}

// causal shuffles records so that each comes after what it stands on.
func causal(all []*record.Envelope, rng *rand.Rand) (es []*record.Envelope) {
	left := append([]*record.Envelope(nil), all...)
	here := map[api.Hash]bool{}
	for len(left) > 0 {
		i := rng.IntN(len(left))
		e := left[i]
		ready := e.Seq == 1 || here[e.Prev]
		for _, d := range e.Deps {
			ready = ready && here[d.ID]
		}
		if ready {
			here[e.ID] = true
			es = append(es, e)
			left = append(left[:i], left[i+1:]...)
		}
	}
	return es
}

// What a witness has stated counts for good, whether its own feed turned out to be forked before or after (fold.State, statements).
func TestStatementsCountForGood(t *testing.T) {
	w := newWorld(t)
	r1 := w.add("bob", nil, 1)
	r2 := w.add("bob", r1, 2)
	w.add("bob", r1, 4)
	say := func(prev, of *record.Envelope) *record.Envelope {
		return w.make("witness", "say", "final", prev, position(of))
	}
	first := say(nil, r1)
	left := w.make("witness", "say", "final", first, append(position(r1), 0))
	say(first, r1) // forks the witness's feed
	say(left, r2)
	for seed := range uint64(100) {
		n := newNode(t)
		n.put(causal(w.all, rand.New(rand.NewPCG(seed, 8)))...)
		if got := n.total(); got != 3 {
			t.Fatalf("seed %d: total %d, want 3", seed, got)
		}
	}
}

// Spaces do not read each other: a record that cites another space is void, whatever its app would say.
func TestForeignDepIsVoid(t *testing.T) {
	far := newWorld(t)
	there := far.add("bob", nil, 1)
	near := &world{T: t}
	near.space = near.make("other founder", "space", "found", nil, nil).Topic.Space
	near.make("ann", "toy", "add", nil, []byte{2}, there)
	n := newNode(t)
	n.put(append(far.all, near.all...)...)
	if got := n.total(); got != 1 {
		t.Errorf("total %d, want 1", got)
	}
}

// Who goes on from a cut feed stands on its rows from the first record on, and still when that one has written nothing.
func TestSuccessorStandsOnTheCutFeed(t *testing.T) {
	w := newWorld(t)
	r1 := w.add("old", nil, 1)
	w.add("old", r1, 2)
	cut := w.make("office", "cuts", "heir", nil, nil, r1)
	first := w.make("heir", "toy", "pass", nil, []byte{0}, cut)
	w.add("heir", first, 4)
	n := newNode(t)
	n.put(w.all...)
	n.total()
	r := fold.NewReader(n.st, "toy", slog.New(slog.DiscardHandler))
	defer r.Close()
	if row, _, _ := r.Own(first.Feed, []byte("all")); string(row) != "\x01\x04" {
		t.Errorf("the heir's row is %x, want what stands of the old feed's, and one more", row)
	}
}
