package fold_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/record"
)

// told is what a reader says of all feeds and records, those that it has not included.
func told(r *fold.Reader, space api.Hash, all []*record.Envelope) string {
	var b strings.Builder
	feeds := map[api.Hash]bool{}
	for _, e := range all {
		if !feeds[e.Feed] {
			feeds[e.Feed] = true
			for _, k := range []string{"all", "none"} {
				row, by, ok := r.Own(e.Feed, []byte(k))
				fmt.Fprintf(&b, "%s %s %x %v %t\n", e.Feed.Short(), k, row, by, ok)
			}
			head, ok := r.Head(e.Feed)
			fmt.Fprintln(&b, head, ok)
		}
		rec, v, ok := r.Record(e.Position())
		fmt.Fprintln(&b, ok, v)
		if ok {
			fmt.Fprintln(&b, rec.ID, rec.Author)
		}
	}
	rec, v, ok := r.Lookup(space)
	fmt.Fprintln(&b, ok, v)
	if ok {
		fmt.Fprintln(&b, rec.ID, rec.Author, rec.Topic)
	}
	return b.String()
}

// Whatever is forked, cut, final and gone on from, a reader with a memory that others use too, of newer and of older snapshots, says what one without
// says.
func TestMemoryAnswersAsTheStore(t *testing.T) {
	type pair struct{ plain, recalling *fold.Reader }
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 7))
		w, n, mem := newWorld(t), newNode(t), fold.NewMemory()
		tips := map[string][]*record.Envelope{} // of each writer, oldest first
		var open []pair
		check := func() {
			for _, i := range rng.Perm(len(open)) {
				if want, got := told(open[i].plain, w.space, w.all), told(open[i].recalling, w.space, w.all); got != want {
					t.Fatalf("seed %d, %d records: with a memory\n%s\nwithout\n%s", seed, len(w.all), got, want)
				}
			}
		}
		n.put(w.all[0])
		for range 25 {
			who := []string{"bob", "carol", "heir", "office", "witness"}[rng.IntN(5)]
			topic, kind := "toy", []string{"add", "add", "add", "pass", "refused"}[rng.IntN(5)]
			body := []byte{byte(rng.IntN(9))}
			var prev *record.Envelope
			var deps []*record.Envelope
			some := w.all[rng.IntN(len(w.all))]
			switch had := tips[who]; {
			case len(had) > 1 && rng.IntN(12) == 0:
				prev = had[rng.IntN(len(had))] // a fork, as a rule
			case len(had) > 0:
				prev = had[len(had)-1]
			}
			switch who {
			case "office":
				topic, kind, body, deps = "cuts", []string{"cut", "heir"}[rng.IntN(2)], nil, []*record.Envelope{some}
			case "witness":
				topic, kind, body = "say", "final", position(some)
			default:
				if cuts := tips["office"]; len(cuts) > 0 && rng.IntN(4) == 0 {
					deps = cuts[len(cuts)-1:]
				}
			}
			e := w.make(who, topic, kind, prev, body, deps...)
			tips[who] = append(tips[who], e)
			n.put(e)
			if rng.IntN(3) > 0 {
				n.total() // commits
				log := slog.New(slog.DiscardHandler)
				open = append(open, pair{fold.NewReader(n.st, "toy", log), fold.NewReader(n.st, "toy", log).Recalling(mem)})
			}
			check()
			if len(open) > 3 {
				open[0].plain.Close()
				open[0].recalling.Close()
				open = open[1:]
			}
		}
		for _, p := range open {
			p.plain.Close()
			p.recalling.Close()
		}
	}
}

// A memory that is full forgets, and goes on.
func TestMemoryIsBounded(t *testing.T) {
	w, n, mem := newWorld(t), newNode(t), fold.NewMemory()
	r1 := w.add("bob", nil, 1)
	n.put(w.all...)
	n.total()
	log := slog.New(slog.DiscardHandler)
	for i := range 20_000 { // some 6 MB with their names, would they stay
		r := fold.NewReader(n.st, "toy", log).Recalling(mem)
		if _, _, ok := r.Own(r1.Feed, fmt.Appendf(nil, "%0200d", i)); ok {
			t.Fatalf("row %d exists", i)
		}
		if row, _, ok := r.Own(r1.Feed, []byte("all")); !ok || len(row) != 1 {
			t.Fatalf("row all after %d others: %v", i, row)
		}
		r.Close()
	}
	if got := mem.Size(); got > 4<<20 {
		t.Errorf("%d bytes remembered", got)
	}
}
