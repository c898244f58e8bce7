package kerneltest

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/record"
)

// toy is an app of plain effects: "found" founds, "count" counts its body's length, "final" states its deps final, "never" is void; the
// others break a rule.
type toy struct{ calls int }

func (*toy) Info() api.AppInfo {
	return api.AppInfo{Name: "toy", Topics: []api.TopicSpec{
		{Name: "toy", Founding: "found", Kinds: []string{"found", "count", "uncount", "peek", "clash", "impure", "never", "close"}},
		{Name: "states", Kinds: []string{"final"}},
		{Name: "cuts", Kinds: []string{"cut", "none"}},
	}}
}

func (a *toy) Apply(tx api.Tx, rec *api.Record) api.Outcome {
	switch rec.Kind {
	case "found":
	case "count":
		n, _ := tx.Own([]byte("n"))
		tx.Put([]byte("n"), append(n, 'x'))
		tx.Publish("last", nil, rec.Body)
		tx.Index(append([]byte("i/"), append(rec.Feed[:], api.Seq8(rec.Seq)...)...), rec.Body)
		tx.Add([]byte("total"), int64(len(rec.Body)))
		tx.Add([]byte("to-zero"), 1)
	case "uncount":
		tx.Add([]byte("to-zero"), -1)
	case "final":
		for _, d := range rec.Deps {
			by := api.Alone
			if len(rec.Body) == 2 {
				by = api.Support{Variant: uint64(rec.Body[0]), Need: uint16(rec.Body[1])}
			}
			tx.Final(d, by)
		}
	case "cut":
		c := api.Cut{Feed: rec.Deps[0].Feed, At: rec.Deps[0]}
		if h, _ := tx.Dep(rec.Deps[0]); h.Topic.Name != "toy" || len(rec.Body) > 1 && rec.Body[1] == 0 {
			return api.Voided("toy", "never", "no")
		}
		if len(rec.Body) > 0 {
			c.Next = Signer(fmt.Sprint("p", rec.Body[0])).Device()
		}
		tx.Cut(c)
	case "none": // of a feed that may not have begun
		feed := func(who byte) api.Hash {
			return record.FeedID(api.Topic{Space: rec.Topic.Space, Name: "toy"}, Signer(fmt.Sprint("p", who)).Device())
		}
		c := api.Cut{Feed: feed(rec.Body[0])}
		if len(rec.Body) > 1 {
			c.Next = Signer(fmt.Sprint("p", rec.Body[1])).Device()
		}
		tx.Cut(c)
	case "close":
		c := api.Cut{Feed: rec.Feed, At: rec.Position()}
		if len(rec.Body) > 0 {
			c.Next = Signer(fmt.Sprint("p", rec.Body[0])).Device()
		}
		tx.Cut(c)
	case "peek":
		tx.At(api.Position{Seq: 1}, nil)
	case "clash":
		tx.Index([]byte("i/fixed"), nil)
	case "impure":
		a.calls++
		tx.Put([]byte("n"), fmt.Append(nil, a.calls))
	default:
		return api.Voided("toy", "never", "no")
	}
	return api.Accepted
}

// start founds a space and gives the function that appends to it.
func start(t *testing.T) (*Model, api.Topic, func(who, kind, body string, deps ...api.Position) api.Position) {
	t.Helper()
	m := NewModel(&toy{})
	rc, err := m.Append(m.Signer("f"), api.Draft{Topic: api.Topic{Name: "toy"}, Kind: "found"})
	if err != nil {
		t.Fatal(err)
	}
	topic := rc.Topic
	return m, topic, func(who, kind, body string, deps ...api.Position) api.Position {
		t.Helper()
		at := topic
		if kind == "final" {
			at.Name = "states"
		}
		rc, err := m.Append(m.Signer(who), api.Draft{Topic: at, Kind: kind, Body: []byte(body), Deps: deps})
		if err != nil {
			t.Fatal(err)
		}
		return rc.Position
	}
}

func total(m *Model) int64 {
	r := m.Read("toy")
	defer r.Close()
	return r.Counter([]byte("total"))
}

func TestModelPanicsOnBrokenRules(t *testing.T) {
	for kind, want := range map[string]string{"peek": "does not cite", "impure": "not pure", "clash": "is written by"} {
		t.Run(kind, func(t *testing.T) {
			_, _, add := start(t)
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("recovered %q, want something with %q", got, want)
				}
			}()
			add("a", kind, "")
			add("a", kind, "")
		})
	}
}

func TestModelEffects(t *testing.T) {
	m, topic, add := start(t)
	add("a", "count", "12345")
	p := add("a", "count", "123")
	add("b", "count", "1")
	add("b", "uncount", "")
	if got := total(m); got != 9 {
		t.Errorf("total is %d, want 9", got)
	}
	if _, err := m.Append(m.Signer("a"), api.Draft{Topic: topic, Kind: "other"}); api.KindOf(err) != api.Refused {
		t.Errorf("a void draft: %v, want refused", err)
	}
	r := m.Read("toy")
	defer r.Close()
	add("a", "count", "after the snapshot")
	if v, by, ok := r.Own(p.Feed, []byte("n")); !ok || string(v) != "xx" || by != p {
		t.Errorf("own row: %q by %v, want xx by %v", v, by, p)
	}
	if v, _, _ := r.Fact(p.Feed, "last", nil); string(v) != "123" {
		t.Errorf("fact: %q, want 123", v)
	}
	var got []string
	for k, v := range r.Index([]byte("i/"), append(append([]byte{}, p.Feed[:]...), api.Seq8(1)...), false) {
		if string(k[2:34]) == string(p.Feed[:]) {
			got = append(got, string(v))
		}
	}
	if fmt.Sprint(got) != "[123]" {
		t.Errorf("index after the first: %q, want [123]", got)
	}
	var names []string
	for k := range r.Counters(nil) {
		names = append(names, string(k))
	}
	if add("b", "uncount", ""); fmt.Sprint(names) != "[to-zero total]" {
		t.Errorf("counters: %q", names)
	}
	add("b", "uncount", "")
	add("b", "uncount", "")
	now := m.Read("toy")
	defer now.Close()
	for k, n := range now.Counters([]byte("to-zero")) {
		t.Errorf("a counter at zero is still there: %s = %d", k, n)
	}
}

func TestModelIdempotency(t *testing.T) {
	m, topic, _ := start(t)
	d := api.Draft{Topic: topic, Kind: "count", Body: []byte("x"), Idempotency: "one"}
	first, err := m.Append(m.Signer("a"), d)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := m.Append(m.Signer("a"), d); err != nil || again.Position != first.Position || !again.Repeated {
		t.Errorf("repeated: %+v %v, want the first receipt", again, err)
	}
	d.Body = []byte("y")
	if _, err := m.Append(m.Signer("a"), d); api.KindOf(err) != api.Conflict {
		t.Errorf("another content: %v, want a conflict", err)
	}
}

func TestModelRefusesClaimedIDs(t *testing.T) {
	m, topic, _ := start(t)
	r, err := m.Make(m.Signer("a"), api.Draft{Topic: topic, Kind: "count", Body: []byte("x")}, api.Position{})
	if err != nil {
		t.Fatal(err)
	}
	forged := *r
	forged.Body = []byte("more")
	if _, err := m.Deliver(&forged); api.KindOf(err) != api.Invalid {
		t.Errorf("a changed body under the old id: %v, want invalid", err)
	}
	next, err := m.Make(m.Signer("a"), api.Draft{Topic: topic, Kind: "count"}, r.Position())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Deliver(next); api.KindOf(err) != api.NotFound {
		t.Errorf("without its predecessor: %v, want not found", err)
	}
}

// A fork withdraws effects from its seq on; a final position brings its branch back up to there.
func TestModelFork(t *testing.T) {
	m, topic, add := start(t)
	p1 := add("a", "count", "1")
	p2 := add("a", "count", "22")
	add("a", "count", "333")
	other, err := m.Make(m.Signer("a"), api.Draft{Topic: topic, Kind: "count", Body: []byte("4444444")}, p1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Deliver(other); err != nil {
		t.Fatal(err)
	}
	if got := total(m); got != 1 {
		t.Errorf("total is %d after the fork, want 1", got)
	}
	if _, err := m.Append(m.Signer("a"), api.Draft{Topic: topic, Kind: "count"}); api.KindOf(err) != api.Refused {
		t.Errorf("append to a forked feed: %v, want refused", err)
	}
	add("w", "final", "", p2)
	if got := total(m); got != 3 {
		t.Errorf("total is %d after 22 is final, want 3", got)
	}
	r := m.Read("toy")
	defer r.Close()
	if _, v, ok := r.Record(other.Position()); !ok || !v.Accepted || !v.Held || v.Final {
		t.Errorf("the other branch: %+v, want accepted and held", v)
	}
	if _, v, _ := r.Record(p2); v.Held || !v.Final {
		t.Errorf("the final branch: %+v, want final", v)
	}
	if h, _ := r.Head(p1.Feed); h != p2 {
		t.Errorf("head is %v, want %v", h, p2)
	}
}

// A position is final once enough feeds state it or a later one, alike in epoch and variant.
func TestModelSupport(t *testing.T) {
	m, topic, add := start(t)
	p1 := add("a", "count", "1")
	p2 := add("a", "count", "22")
	p3 := add("a", "count", "333")
	state := func(who string, p api.Position, variant byte) {
		t.Helper()
		_, err := m.Append(m.Signer(who), api.Draft{Topic: api.Topic{Space: topic.Space, Name: "states"}, Kind: "final", Deps: []api.Position{p}, Body: []byte{variant, 3}})
		if err != nil {
			t.Fatal(err)
		}
	}
	final := func() uint64 {
		r := m.Read("toy")
		defer r.Close()
		p, _ := r.Final(p1.Feed)
		return p.Seq
	}
	state("w0", p3, 0)
	state("w0", p2, 0)
	state("w1", p3, 0)
	state("w2", p2, 1)
	if got := final(); got != 0 {
		t.Errorf("final up to %d by two voices and one of another opinion", got)
	}
	state("w3", p1, 0)
	if got := final(); got != 1 {
		t.Errorf("final up to %d, want 1", got)
	}
	state("w2", p2, 0)
	if got := final(); got != 2 {
		t.Errorf("final up to %d, want 2", got)
	}
}

// tangle makes a random tangle of chains, forks, void records and conflicting statements.
func tangle(t *testing.T, seed uint64) (*Model, *rand.Rand) {
	t.Helper()
	cuts := seed%3 > 0
	rng := rand.New(rand.NewPCG(seed, 1))
	m, topic, _ := start(t)
	for range 40 {
		who := fmt.Sprint("p", rng.IntN(4))
		d := api.Draft{Topic: topic, Kind: []string{"count", "count", "count", "uncount", "never"}[rng.IntN(5)], Body: make([]byte, rng.IntN(9))}
		if cuts && rng.IntN(12) == 0 {
			d.Kind, d.Body = "close", []byte{byte(rng.IntN(4))}[:rng.IntN(2)]
		}
		rs := m.Records()
		if rng.IntN(4) == 0 {
			who = fmt.Sprint("w", rng.IntN(4))
			d = api.Draft{Topic: api.Topic{Space: topic.Space, Name: "states"}, Kind: "final", Deps: []api.Position{rs[rng.IntN(len(rs))].Position()}}
			if seed%2 == 0 { // several are needed
				v := rng.Uint64N(4) / 3
				d.Body = []byte{byte(v), byte(1 + (seed/2+v)%3)} // those whose statements add up need alike
			}
		}
		if cuts && rng.IntN(5) == 0 {
			who = fmt.Sprint("o", rng.IntN(2))
			d = api.Draft{Topic: api.Topic{Space: topic.Space, Name: "cuts"}, Kind: "cut", Deps: []api.Position{rs[rng.IntN(len(rs))].Position()}}
			if rng.IntN(3) == 0 {
				d.Body = []byte{byte(rng.IntN(4))}
			}
			if rng.IntN(4) == 0 {
				d.Kind, d.Deps, d.Body = "none", nil, []byte{byte(rng.IntN(4)), byte(rng.IntN(4))}[:1+rng.IntN(2)]
			}
		} else if d.Topic == topic && rng.IntN(2) == 0 {
			for range 3 {
				r := rs[rng.IntN(len(rs))]
				if own := r.Topic == topic && r.Device == m.Signer(who).Device(); !own && (r.Kind == "cut" || r.Kind == "none" || r.Kind == "close" || rng.IntN(3) == 0) {
					d.Deps = append(d.Deps, r.Position())
				}
			}
			d.Deps = oneEach(d.Deps)
		}
		var prev api.Position
		for _, r := range rs {
			if r.Topic == d.Topic && r.Device == m.Signer(who).Device() && r.Seq > prev.Seq && rng.IntN(6) > 0 {
				prev = r.Position()
			}
		}
		r, err := m.Make(m.Signer(who), d, prev)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Deliver(r); err != nil {
			t.Fatal(err)
		}
	}
	return m, rng
}

// oneEach keeps one position of each feed, in order.
func oneEach(ps []api.Position) []api.Position {
	slices.SortFunc(ps, func(a, b api.Position) int { return bytes.Compare(a.Feed[:], b.Feed[:]) })
	return slices.CompactFunc(ps, func(a, b api.Position) bool { return a.Feed == b.Feed })
}

// shuffle gives the records in another causal order.
func shuffle(m *Model, rng *rand.Rand) (rs []*api.Record) {
	here := map[api.Hash]bool{}
	ready := func(r *api.Record) bool {
		for _, d := range r.Deps {
			if !here[d.ID] {
				return false
			}
		}
		return r.Seq == 1 || here[r.Prev]
	}
	for left := m.Records(); len(left) > 0; {
		if i := rng.IntN(len(left)); ready(left[i]) {
			here[left[i].ID] = true
			rs = append(rs, left[i])
			left = append(left[:i], left[i+1:]...)
		}
	}
	return rs
}

// State is a function of the set of records, not of their order.
func TestModelOrder(t *testing.T) {
	for seed := range uint64(30) {
		m, rng := tangle(t, seed)
		other := NewModel(&toy{})
		for _, r := range shuffle(m, rng) {
			if _, err := other.Deliver(r); err != nil {
				t.Fatal(err)
			}
		}
		if m.Digest("toy") != other.Digest("toy") {
			t.Fatalf("seed %d: another order, another state", seed)
		}
	}
}

// A feed that closes itself takes nothing more, whether or not the close is final, and the device that it names goes on from there and only there.
func TestClose(t *testing.T) {
	m, topic, add := start(t)
	add("p0", "count", "")
	closing := add("p0", "close", "\x01")
	if _, err := m.Append(m.Signer("p0"), api.Draft{Topic: topic, Kind: "count"}); api.ReasonOf(err) == nil || api.ReasonOf(err).Rule != "feed-ended" {
		t.Errorf("after the close: %v", err)
	}
	next := add("p1", "count", "", closing)
	other := add("p2", "count", "", closing)
	r := m.Read("toy")
	defer r.Close()
	for p, want := range map[api.Position]string{next: "xx", other: "x"} {
		if b, _, _ := r.Own(p.Feed, []byte("n")); string(b) != want {
			t.Errorf("the row is %q, want %q", b, want)
		}
	}
}

// A device that is cut, or replaced, before it has written anything loses nothing: what goes on stands on what it would have stood on.
func TestSuccessorOfNobody(t *testing.T) {
	m, topic, _ := start(t)
	add := func(who, name, kind, body string, deps ...api.Position) api.Position {
		t.Helper()
		rc, err := m.Append(m.Signer(who), api.Draft{Topic: api.Topic{Space: topic.Space, Name: name}, Kind: kind, Body: []byte(body), Deps: deps})
		if err != nil {
			t.Fatal(err)
		}
		return rc.Position
	}
	add("o", "cuts", "cut", "\x01", add("p0", "toy", "count", ""))
	cut := add("o", "cuts", "none", "\x01") // of the feed that goes on, which has not begun
	add("p1", "toy", "count", "", cut)
	replaced := add("o", "cuts", "none", "\x01\x02") // nothing that it has written stands
	again := add("o", "cuts", "none", "\x02\x03")    // and the next wrote nothing
	for who, cites := range map[string]api.Position{"p2": replaced, "p3": again} {
		p := add(who, "toy", "count", "", cites)
		r := m.Read("toy")
		if b, _, _ := r.Own(p.Feed, []byte("n")); string(b) != "xx" {
			t.Errorf("%s stands on %q, want what p0 had and its own", who, b)
		}
		r.Close()
	}
	r := m.Read("toy")
	defer r.Close()
	if b, _, _ := r.Own(record.FeedID(topic, m.Signer("p1").Device()), []byte("n")); string(b) != "xx" {
		t.Errorf("p1 stands on %q, want what p0 had and its own", b)
	}
}

// The kernel's fold and the model make the same of the same records, in any order and however the commits are cut.
func TestModelIsTheFold(t *testing.T) {
	for seed := range uint64(500) {
		m, rng := tangle(t, seed)
		apps, err := fold.NewApps([]api.App{&toy{}})
		if err != nil {
			t.Fatal(err)
		}
		st := store.OpenMem(store.Faults{})
		s, err := fold.Open(st, apps, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range shuffle(m, rng) {
			e, err := record.Decode(m.Raw(r.ID))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Put(e); err != nil {
				t.Fatal(err)
			}
			if rng.IntN(3) == 0 || i == len(m.Records())-1 {
				if _, _, err := s.Commit(false); err != nil {
					t.Fatal(err)
				}
			}
		}
		_, ds, err := fold.Digest(st, apps)
		if err != nil {
			t.Fatal(err)
		}
		if ds[0].Digest != m.Digest("toy") {
			t.Errorf("seed %d: the fold and the model differ", seed)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
