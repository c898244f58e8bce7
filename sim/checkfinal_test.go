package sim

import (
	"reflect"
	"testing"
	"time"
)

// A disk that has lost records, and has got as many others since, is heard to the end: else the checker misses words of witnesses, and takes for not
// final what is. In seed 503466 of an earlier state that was so after a disk had failed.
func TestWordsAreHeardAnewFromAnotherDisk(t *testing.T) {
	w, err := New(Options{Seed: 1, Nodes: 5, Witnesses: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ann, bob, erin := w.Node("ann"), w.Node("bob"), w.Node("erin")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := w.protocol()
	must(w.Pay(ann, bob, 1))
	must(w.Agree(time.Minute))
	must(erin.Backup())
	must(w.Pay(ann, bob, 2))
	must(w.Agree(time.Minute))
	must(p.Step(w.Cluster))
	had := p.seen[erin].records
	erin.Stop()
	for i := range int64(3) {
		must(w.Pay(bob, ann, 1+i))
		must(w.Advance(2 * time.Second))
	}
	must(erin.Restore(false))
	w.Restored(erin)
	must(w.Agree(time.Minute))
	must(p.Step(w.Cluster))
	h := p.listen(erin)
	if h.records <= had {
		t.Fatalf("erin has %d records after the loss and had %d: nothing is shown", h.records, had)
	}
	if want := w.protocol().listen(erin); !reflect.DeepEqual(h.words, want.words) {
		t.Errorf("after the loss of a disk these words are heard: %v; want %v", h.words, want.words)
	}
}
