package trust

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

func TestImport(t *testing.T) {
	f := start(t, "test", Options{})
	rows := sample(t)
	in := args{"seed": "otc", "rows": rows[:300]}
	var out ImportOut
	if err := f.call("ann", "trust.import", in, &out); err != nil || out.Accepted != 300 || out.Skipped != 0 {
		t.Fatalf("first half: %+v %v", out, err)
	}
	in["rows"] = rows // the first half again
	if err := f.call("ann", "trust.import", in, &out); err != nil || out != (ImportOut{Accepted: 200, Skipped: 300, People: 141}) {
		t.Fatalf("all: %+v %v", out, err)
	}
	if err := f.call("ann", "trust.import", in, &out); err != nil || out != (ImportOut{Skipped: 500, People: 141}) {
		t.Fatalf("again: %+v %v", out, err)
	}
	f.same()
	// What arrived as records scores like what was read directly.
	direct := sampleGraph(t)
	for _, from := range []Label{"1", "35"} {
		want, _ := direct.scores(api.DID(from), "")
		p, err := f.people.get("otc", from)
		if err != nil {
			t.Fatal(err)
		}
		got := f.App.space(f.space).from(p.did, importContext, f.m.Clock).scores
		if len(got) != len(want) || len(got) < 50 {
			t.Errorf("from %s: %d people, want %d", from, len(got), len(want))
		}
		for label, score := range want {
			q, err := f.people.get("otc", Label(label))
			if err != nil {
				t.Fatal(err)
			}
			if got[q.did] != score {
				t.Errorf("from %s of %s: %v, want %v", from, label, got[q.did], score)
			}
		}
	}
}

// TestImportWaitsForTheGate: who writes too fast is asked to come back later; nobody else waits for them, and no row is lost.
func TestImportWaitsForTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, "test", Options{})
		last := map[api.DID]time.Time{}
		f.host.limit = func(s api.Signer) error {
			if time.Since(last[s.DID()]) < time.Second {
				return api.Errorf("gate", api.RateLimited, "one a second")
			}
			last[s.DID()] = time.Now()
			return nil
		}
		var rows []Row
		for i := range 5 {
			for _, who := range []Label{"1", "2", "3", "4"} {
				rows = append(rows, Row{Source: who, Target: Label(fmt.Sprint(100 + i)), Rating: 1})
			}
		}
		began := time.Now()
		var out ImportOut
		if err := f.call("ann", "trust.import", args{"seed": "s", "rows": rows}, &out); err != nil || out.Accepted != 20 {
			t.Fatalf("%+v %v", out, err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("20 rows of 4 people at one a second each took %v", took)
		}
	})
}

// TestImportStops at the first error and names the row.
func TestImportStops(t *testing.T) {
	f := start(t, "test", Options{})
	n := 0
	f.host.limit = func(api.Signer) error {
		if n++; n == 5 {
			return api.Errorf("store", api.Unavailable, "disk full")
		}
		return nil
	}
	var rows []Row
	for i := range 10 {
		rows = append(rows, Row{Source: "1", Target: Label(fmt.Sprint(100 + i)), Rating: 1})
	}
	err := f.call("ann", "trust.import", args{"seed": "s", "rows": rows}, &ImportOut{})
	if api.KindOf(err) != api.Unavailable || !strings.Contains(fmt.Sprint(err), "rows[4]: ") {
		t.Fatalf("got %v", err)
	}
	f.host.limit = nil
	var out ImportOut
	if err := f.call("ann", "trust.import", args{"seed": "s", "rows": rows}, &out); err != nil || out.Accepted != 6 || out.Skipped != 4 {
		t.Fatalf("repeated: %+v %v", out, err)
	}
}

func FuzzImportInput(f *testing.F) {
	f.Add([]byte(`{"seed":"s","rows":[{"source":1,"target":"2","rating":-10,"time":5}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		op := api.Handle(api.Operation{Name: "trust.import"}, func(context.Context, *api.Call, *ImportIn) (*ImportOut, error) { return nil, nil })
		in, err := op.Decode(raw)
		if err != nil {
			return
		}
		for _, r := range in.(*ImportIn).Rows {
			if r.Rating < -10 || r.Rating > 10 || r.Source == r.Target || r.Source == "" || len(r.Target) > maxLabel {
				t.Errorf("accepted %+v", r)
			}
		}
	})
}
