package ingest_test

import (
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// told is what an Inline's engine announces and answers.
type told struct {
	commits int
	results []ingest.Result
}

func inline(t *testing.T) (*ingest.Inline, *node, *told) {
	n, x := newNode(t), &told{}
	n.e.Committed = func(es []ingest.Event, _ []api.Position) { x.commits += len(es) }
	return ingest.NewInline(n.e), n, x
}

func (x *told) offer(r *ingest.Inline, es ...*record.Envelope) bool {
	raws := make([][]byte, len(es))
	for i, e := range es {
		raws[i] = e.Raw
	}
	return r.Offer(raws, ingest.Origin{Peer: "peer"}, func(_ int, res ingest.Result) { x.results = append(x.results, res) })
}

// TestInlineIsTheRoad: what is offered waits for Step, and nobody is told of it before it is on disk.
func TestInlineIsTheRoad(t *testing.T) {
	r, n, x := inline(t)
	g := genesis(t)
	a := &chain{t: t, s: newSigner("ann"), space: g.Topic.Space}
	one, two := a.next(1), a.next(2)
	if !x.offer(r, two, g, one) || r.Offered() != 1 || len(x.results) > 0 {
		t.Fatalf("%d offered, %v", r.Offered(), x.results)
	}
	if err := r.Step(false); err != nil {
		t.Fatal(err)
	}
	if n.total("total") != 3 || x.commits > 0 || len(x.results) > 0 || r.Offered() != 0 {
		t.Fatalf("total %d, %d announced, %v answered before the sync", n.total("total"), x.commits, x.results)
	}
	if err := r.Sync(); err != nil {
		t.Fatal(err)
	}
	if x.commits != 3 || len(x.results) != 3 {
		t.Fatalf("%d announced, %v", x.commits, x.results)
	}
	if got := r.Submit(t.Context(), [][]byte{two.Raw, []byte("none")}, ingest.Origin{}); got[0].Outcome != ingest.Duplicate || api.KindOf(got[1].Err) != api.Invalid {
		t.Errorf("%v", got)
	}
}

// TestInlineRefusesBadSignaturesByTheirBytes: a copy with a bad signature is refused, and the honest record lands after it (R4, scenario 11).
func TestInlineRefusesBadSignaturesByTheirBytes(t *testing.T) {
	r, n, x := inline(t)
	g := genesis(t)
	sig := append([]byte{g.Signature[0] ^ 1}, g.Signature[1:]...)
	bad, err := record.Seal(g.Record, g.Signed, sig)
	if err != nil {
		t.Fatal(err)
	}
	x.offer(r, bad)
	if err := r.Step(true); err != nil {
		t.Fatal(err)
	}
	x.offer(r, bad) // known by now
	x.offer(r, g)
	if err := r.Step(true); err != nil {
		t.Fatal(err)
	}
	if len(x.results) != 3 || !ingest.IsBadSignature(x.results[0].Err) || !ingest.IsBadSignature(x.results[1].Err) || x.results[2].Outcome != ingest.Committed {
		t.Fatalf("%v", x.results)
	}
	if n.why[ingest.BadSignature] != 2 {
		t.Errorf("%v", n.why)
	}
}

// TestInlineIsBounded: the queue refuses when it is full, and says so to each.
func TestInlineIsBounded(t *testing.T) {
	r, _, x := inline(t)
	g := genesis(t)
	for i := 0; x.offer(r, g); i++ {
		if i > 1<<16 {
			t.Fatal("there is no end to it")
		}
	}
	if last := x.results[len(x.results)-1]; last.Outcome != ingest.Refused || api.KindOf(last.Err) != api.Unavailable {
		t.Errorf("%v", last)
	}
	if err := r.Step(true); err != nil || r.Offered() != 0 || !x.offer(r, g) {
		t.Errorf("after a step: %v, %d offered", err, r.Offered())
	}
}

// TestInlineStopsWithItsStore: after a failed sync nothing is acknowledged any more.
func TestInlineStopsWithItsStore(t *testing.T) {
	r, n, x := inline(t)
	g := genesis(t)
	x.offer(r, g)
	n.st.(*store.Mem).Arm(store.Faults{FailSync: 1})
	if err := r.Step(true); err == nil {
		t.Fatal("nobody noticed that the disk failed")
	}
	if len(x.results) != 1 || x.results[0].Outcome != ingest.Refused || x.commits > 0 {
		t.Errorf("%v, %d announced", x.results, x.commits)
	}
	if _, err := r.Append(t.Context(), newSigner("ann"), api.Draft{}); err == nil {
		t.Error("appended")
	}
	if err := r.Do(t.Context(), func(*ingest.Engine) error { return nil }); err == nil {
		t.Error("done")
	}
	if x.offer(r, g) {
		t.Error("offered")
	}
	if got := r.Submit(t.Context(), [][]byte{g.Raw}, ingest.Origin{}); got[0].Outcome != ingest.Refused {
		t.Errorf("%v", got)
	}
}
