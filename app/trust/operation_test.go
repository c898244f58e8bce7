package trust

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

func TestAttestAndScore(t *testing.T) {
	f := start(t, "test", Options{})
	f.add("ann", "bob", 0.9, "")
	f.add("bob", "cat", 0.9, "hours")
	f.add("ann", "dan", -1, "")
	got := f.ask("ann", "cat", "")
	if got.Score != 0.5103 || got.Class != "partner" || len(got.Paths) != 1 || got.Paths[0].Via[0] != f.did("bob") || got.Paths[0].Weight != 0.729 {
		t.Errorf("ann of cat: %+v", got)
	}
	if got := f.ask("ann", "cat", "hours"); got.Score != 0 || got.Class != "isolated" {
		t.Errorf("ann of cat in hours: %+v", got)
	}
	if got := f.ask("ann", "ann", ""); got.Score != 1 || got.Class != "federated" || got.Paths == nil {
		t.Errorf("ann of herself: %+v", got)
	}
	f.add("bob", "cat", 0, "hours") // revoked
	if got := f.ask("ann", "cat", ""); got.Score != 0 {
		t.Errorf("after the revocation: %+v", got)
	}
	var g GraphOut
	if err := f.call("ann", "trust.graph", args{}, &g); err != nil || g != (GraphOut{People: 4, Edges: 2, Records: 4}) {
		t.Errorf("graph: %+v %v", g, err)
	}
	f.same()
}

func TestRefusals(t *testing.T) {
	f := start(t, "cooperative", Options{})
	for _, c := range []struct {
		who, op string
		in      args
		kind    api.Kind
		says    string
	}{
		{"ann", "trust.add", args{"to": f.did("bob")}, api.Invalid, "score: missing"},
		{"ann", "trust.add", args{"score": 1}, api.Invalid, "to: missing"},
		{"ann", "trust.add", args{"to": f.did("bob"), "score": 1.01}, api.Invalid, "score 1.01: want -1 to 1"},
		{"ann", "trust.add", args{"to": f.did("bob"), "score": 0.00001}, api.Invalid, "smallest"},
		{"ann", "trust.add", args{"to": "bob", "score": 1}, api.Invalid, "did:icn:"},
		{"ann", "trust.add", args{"to": f.did("ann"), "score": 1}, api.Invalid, "themselves"},
		{"ann", "trust.add", args{"to": f.did("bob"), "score": 1, "context": "a b"}, api.Invalid, `context "a b"`},
		{"ann", "trust.add", args{"to": f.did("bob"), "score": 1, "space": api.Hash{1}}, api.NotFound, "does not follow"},
		{"eve", "trust.add", args{"to": f.did("bob"), "score": 1}, api.Refused, "join the space"},
		{"", "trust.add", args{"to": f.did("bob"), "score": 1}, api.Unsupported, "record.submit"},
		{"ann", "trust.score", args{}, api.Invalid, "to: missing"},
		{"ann", "trust.score", args{"to": "bob"}, api.Invalid, "did:icn:"},
		{"ann", "trust.list", args{"limit": 1001}, api.Invalid, "limit 1001"},
		{"ann", "trust.list", args{"cursor": "xx"}, api.Invalid, "cursor"},
		{"ann", "trust.import", args{"seed": "s", "rows": []args{}}, api.Refused, "test spaces only"},
		{"ann", "trust.import", args{"seed": "", "rows": []args{}}, api.Invalid, "seed of 0 bytes"},
		{"ann", "trust.import", args{"seed": "s", "rows": []args{{"source": 1, "target": 2, "rating": 3}, {"source": 1, "target": 2, "rating": 11}}}, api.Invalid, "rows[1].rating 11"},
		{"ann", "trust.import", args{"seed": "s", "rows": []args{{"source": 1, "target": "1", "rating": 3}}}, api.Invalid, "rows[0].target"},
		{"ann", "trust.import", args{"seed": "s", "rows": []args{{"target": 2, "rating": 3}}}, api.Invalid, "rows[0].source"},
		{"ann", "trust.import", args{"seed": "s", "rows": []args{{"source": 1.5, "target": 2, "rating": 3}}}, api.Invalid, "person 1.5"},
		{"ann", "trust.import", args{"seed": "s", "rows": slices.Repeat([]args{{"source": 1, "target": 2}}, maxRows+1)}, api.TooLarge, "at most 5000"},
	} {
		err := f.call(c.who, c.op, c.in, &struct{}{})
		if api.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s %v: %v (%s), want %s and %q", c.op, c.in, err, api.KindOf(err).Code(), c.kind.Code(), c.says)
		}
	}
}

func TestListPages(t *testing.T) {
	f := start(t, "test", Options{})
	names := []string{"ann", "bob", "cat", "dan"}
	for _, who := range names {
		for i, whom := range names {
			if who != whom {
				f.add(who, whom, 0.1*float64(i+1), "")
				f.add(who, whom, -0.1, "hours")
			}
		}
	}
	f.same()
	for _, from := range []string{"", "bob"} {
		var all ListOut
		in := args{}
		if from != "" {
			in["from"] = f.did(from)
		}
		if err := f.call("ann", "trust.list", in, &all); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"": 24, "bob": 6}[from]; len(all.Edges) != want || all.Cursor != "" {
			t.Fatalf("from %q: %d edges, want %d; cursor %q", from, len(all.Edges), want, all.Cursor)
		}
		for limit := 1; limit <= 7; limit++ {
			var pages []Edge
			in["limit"], in["cursor"] = limit, ""
			for {
				var page ListOut
				if err := f.call("ann", "trust.list", in, &page); err != nil {
					t.Fatal(err)
				}
				pages = append(pages, page.Edges...)
				if len(pages) > len(all.Edges) {
					t.Fatalf("the pages do not end: %v", pages)
				}
				if in["cursor"] = page.Cursor; page.Cursor == "" {
					break
				}
			}
			if fmt.Sprint(pages) != fmt.Sprint(all.Edges) {
				t.Errorf("from %q in pages of %d: %v, want %v", from, limit, pages, all.Edges)
			}
		}
	}
}

// A request that is sent again later is the same request, though the record has a time in it; and nothing else is.
func TestRepeatedLater(t *testing.T) {
	f := start(t, "test", Options{})
	add := func(name string, score float64) (api.Receipt, error) {
		out, err := f.App.add(t.Context(), &api.Call{Actor: f.did("ann"), Signer: f.m.Signer("ann"), Idempotency: name}, &AddIn{To: f.did("bob"), Score: &score})
		f.m.Clock = f.m.Clock.Add(time.Minute)
		if err != nil {
			return api.Receipt{}, err
		}
		return out.Receipt, nil
	}
	first, err := add("one", 0.5)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := add("one", 0.5); err != nil || again.Position != first.Position || !again.Repeated {
		t.Errorf("%+v, %v; want the first, %+v", again, err, first)
	}
	if _, err := add("one", 0.6); api.KindOf(err) != api.Conflict {
		t.Errorf("another score by the same name: %v", err)
	}
	if other, err := add("two", 0.5); err != nil || other.Position.Seq != 2 || other.Repeated {
		t.Errorf("by another name: %+v, %v", other, err)
	}
	if _, err := add("one", 0.5); api.KindOf(err) != api.Conflict {
		t.Errorf("what stands has another time: %v", err)
	}
}
